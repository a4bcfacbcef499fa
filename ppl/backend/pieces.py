"""Pieces of emitted text, with the axes of the value they stand for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .layout import Layout


@dataclass(frozen=True)
class Piece:
    """A lowered value: text, how tightly it binds, where its axes are; `number` is the kind of a bare Python number."""

    text: str
    level: int
    layout: Layout
    number: Literal["", "float", "int", "bool"] = ""


NUMBER = Layout(False, (), 0)
REDUCTIONS = frozenset(["sum", "mean", "prod", "max", "min", "var", "logsumexp", "all", "any"])
# Operations that are no less readable, and right, on bare Python numbers.
TAKES_NUMBERS = frozenset(["broadcast_to", "library_log_prob", "take"])


def tuple_text(axes: tuple[int, ...], always: bool = False) -> str:
    """Axes as the argument of a reduction: one number, or a tuple."""
    if len(axes) == 1 and not always:
        return str(axes[0])
    return repr(tuple(axes))
