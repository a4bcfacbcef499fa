"""Order and rank: medians, quantiles, places in a sorted list, counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppl.errors import ShapeError, user_location
from ppl.program.ops import apply, in_scope
from ppl.program.values import Value, lift

from .elementwise import Operand
from .reductions import argsort, axes_of, sum
from .shapes import moveaxis, one_hot, take_along_axis


def quantile(x: Operand, q: float | Sequence[float], axis: int | None = None) -> Value:
    """Quantiles along an event axis, or of all entries; between two entries, linear interpolation as in numpy.

    Args:
        x: the numbers.
        q: probabilities, known while the model is declared; several of them come first in the result.
        axis: the event axis that is ranked; None for all entries together.

    Raises:
        ShapeError: a probability outside [0, 1], or an axis that is not there.
    """
    value = in_scope(lift(x))
    if axis is None:
        value, axis = apply("reshape", value, shape=(int(np.prod(value.shape)),)), 0
    (at,) = axes_of("quantile", value, axis)
    wanted = np.asarray(q, dtype=float)
    if np.any((wanted < 0.0) | (wanted > 1.0)):
        raise ShapeError(
            "quantile: a probability is outside [0, 1].",
            declared_at=user_location(),
            expected="numbers from 0 to 1",
            got=repr(q),
        )
    ranked = moveaxis(apply("sort", value, axis=(at,)), at, 0)
    place = wanted * (ranked.shape[0] - 1)
    low = np.floor(place).astype(int)
    part = (place - low).reshape(place.shape + (1,) * (ranked.ndim - 1))
    below, above = ranked[low], ranked[np.minimum(low + 1, ranked.shape[0] - 1)]
    return below * (1.0 - part) + above * part


def median(x: Operand, axis: int | None = None) -> Value:
    """The middle entry along an event axis, or of all entries; of an even number, the mean of the two."""
    return quantile(x, 0.5, axis)


def top_k(x: Operand, k: int, axis: int = -1) -> tuple[Value, Value]:
    """The k largest entries along an event axis, largest first, and their places."""
    value = in_scope(lift(x))
    (at,) = axes_of("top_k", value, axis)
    if not 1 <= k <= value.shape[at]:
        raise ShapeError(
            f"top_k: there are no {k} largest of {value.shape[at]} entries.",
            declared_at=user_location(),
            got=repr(value),
        )
    places = argsort(value, at, descending=True)[(*[slice(None)] * (value.ndim + at), slice(0, k))]
    return take_along_axis(value, places, at), places


def searchsorted(x1: Operand, x2: Operand, *, side: str = "left") -> Value:
    """Where entries would be inserted into an increasing list to keep its order; integers of the shape of `x2`.

    Args:
        x1: the list, shape (n,).
        x2: the entries.
        side: "left" for the place before entries that are equal, "right" for the place behind them.

    Every entry is compared with the whole list, which for the short lists of models (knots, cut points, times) is
    quicker than a search on either backend.
    """
    edges, entries = in_scope(lift(x1)), in_scope(lift(x2))
    if edges.ndim != 1 or side not in ("left", "right"):
        raise ShapeError(
            "searchsorted takes a list of numbers, and side='left' or 'right'.",
            declared_at=user_location(),
            got=f"{edges!r}, side={side!r}",
        )
    below = apply("less" if side == "left" else "less_equal", edges, entries[..., None])
    return sum(below, axis=-1)


def bincount(x: Operand, size: int) -> Value:
    """How often each integer from 0 to `size - 1` occurs among the entries along the last event axis; real numbers."""
    return sum(one_hot(x, size), axis=-2)
