"""Whether every value of one support lies in another: what a guide may draw for a site of the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .supports import Support, same_value
from .values import Value, is_constant

INFINITE = math.inf
# Sets of numbers, and of arrays of independent numbers, by their limits. Whether a limit itself belongs to a continuous
# set makes no difference: it is drawn with probability zero.
_REAL: dict[str, tuple[float, float]] = {
    "real": (-INFINITE, INFINITE),
    "real_vector": (-INFINITE, INFINITE),
    "real_matrix": (-INFINITE, INFINITE),
    "positive": (0.0, INFINITE),
    "positive_vector": (0.0, INFINITE),
    "nonnegative": (0.0, INFINITE),
    "unit_interval": (0.0, 1.0),
}
_WHOLE: dict[str, tuple[float, float]] = {
    "integer": (-INFINITE, INFINITE),
    "nonnegative_integer": (0, INFINITE),
    "positive_integer": (1, INFINITE),
    "boolean": (0, 1),
}


@dataclass(frozen=True)
class Box:
    """A set of numbers between two limits, which may be values of the program."""

    whole: bool
    low: Any
    high: Any


def box_of(support: Support) -> Box | None:
    """The limits of a support; None for sets with more to them, such as simplices."""
    if support.kind in _REAL:
        return Box(False, *_REAL[support.kind])
    if support.kind in _WHOLE:
        return Box(True, *_WHOLE[support.kind])
    bounds = [_number(b) for b in support.bounds]
    match support.kind:
        case "interval" | "half_open_interval" | "integer_interval":
            return Box(support.kind == "integer_interval", *bounds)
        case "greater_than":
            return Box(False, bounds[0], INFINITE)
        case "less_than":
            return Box(False, -INFINITE, bounds[0])
        case _:
            return None


def _number(value: Value) -> Any:
    """The number or array of a constant; other values as they are."""
    if value.op != "const":
        return value
    item = value.attr("value")
    return item if is_constant(value) else np.asarray(item.array)


def contains(outer: Support, inner: Support) -> bool:
    """Whether every value in `inner` lies in `outer`, up to values of probability zero.

    Supports with symbolic bounds are compared as they are written.
    """
    if outer == inner:
        return True
    a, b = box_of(outer), box_of(inner)
    return a is not None and b is not None and a.whole == b.whole and _below(a.low, b.low) and _below(b.high, a.high)


def _below(low: Any, high: Any) -> bool:
    if isinstance(low, Value) and isinstance(high, Value):
        return same_value(low, high)
    if isinstance(low, Value) or isinstance(high, Value):
        number, sign = (low, -1.0) if isinstance(high, Value) else (high, 1.0)
        # Of a bound that is computed, nothing is known but that it is finite.
        return bool(np.all(np.asarray(number) == sign * INFINITE))
    try:
        return bool(np.all(np.asarray(low) <= np.asarray(high)))
    except ValueError:
        return False
