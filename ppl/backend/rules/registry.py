"""The table of lowering rules, by name of the operation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ppl.backend.lowering import Lowering
    from ppl.backend.pieces import Piece
    from ppl.program.values import Value

Rule: TypeAlias = "Callable[[Lowering, Value, list[Piece]], Piece]"

RULES: dict[str, Rule] = {}


def rule(function: Rule) -> Rule:
    """Enter a rule under the name of the function, which is the name of the operation."""
    RULES[function.__name__] = function
    return function
