"""Reductions, running sums and sorting, over event axes; plates are never touched."""

from __future__ import annotations

from ppl.errors import ShapeError, user_location
from ppl.program.ops import apply, in_scope
from ppl.program.values import Value, lift
from ppl.program.vocabulary import negative_axes

from .elementwise import Operand

Axis = int | tuple[int, ...] | None


def axes_of(name: str, value: Value, axis: Axis) -> tuple[int, ...]:
    """The event axes meant, counted from the right; None means all.

    Raises:
        ShapeError: an axis that the value does not have.
    """
    value = in_scope(value)
    try:
        return negative_axes(axis, value.ndim)
    except ValueError as error:
        raise ShapeError(
            f"{name}: {error}.",
            declared_at=user_location(),
            got=repr(value),
            remedy="Inside a plate a value is one element: its axes are those of the event alone.",
        ) from error


def _reduce(name: str, x: Operand, axis: Axis, keepdims: bool) -> Value:
    value = in_scope(lift(x))
    return apply(name, value, axis=axes_of(name, value, axis), keepdims=keepdims)


def sum(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """Sum over some event axes or all of them."""
    return _reduce("sum", x, axis, keepdims)


def prod(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """Product over some event axes or all of them."""
    return _reduce("prod", x, axis, keepdims)


def max(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """Largest entry along some event axes or all of them."""
    return _reduce("max", x, axis, keepdims)


def min(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """Least entry along some event axes or all of them."""
    return _reduce("min", x, axis, keepdims)


def mean(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """Mean over some event axes or all of them."""
    return _reduce("mean", x, axis, keepdims)


def var(x: Operand, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Value:
    """Variance over some event axes or all of them.

    Args:
        x: the numbers.
        axis: event axes; None for all.
        correction: what is taken off the count in the denominator: 0 for the mean squared deviation, 1 for the
            unbiased estimate.
        keepdims: keep reduced axes with size 1.
    """
    value = in_scope(lift(x))
    axes = axes_of("var", value, axis)
    out = apply("var", value, axis=axes, keepdims=keepdims)
    if not correction:
        return out
    count = 1
    for a in axes:
        count *= value.shape[a]
    if count <= correction:
        raise ShapeError(
            f"var: {count} entries are too few for correction {correction}.",
            declared_at=user_location(),
            got=repr(value),
        )
    return out * (count / (count - correction))


def std(x: Operand, axis: Axis = None, *, correction: float = 0.0, keepdims: bool = False) -> Value:
    """Standard deviation; see `var`."""
    return apply("sqrt", var(x, axis, correction=correction, keepdims=keepdims))


def all(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """Whether all entries hold."""
    return _reduce("all", x, axis, keepdims)


def any(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """Whether any entry holds."""
    return _reduce("any", x, axis, keepdims)


def _one_axis(name: str, x: Operand, axis: int | None) -> tuple[Value, int | None]:
    value = in_scope(lift(x))
    if axis is None:
        return (apply("reshape", value, shape=(_size(value),)) if value.ndim != 1 else value), -1
    return value, axis


def _size(value: Value) -> int:
    count = 1
    for n in value.shape:
        count *= n
    return count


def argmax(x: Operand, axis: int | None = None, *, keepdims: bool = False) -> Value:
    """Place of the largest entry along an event axis; None for the place among all entries, row by row."""
    value, at = _one_axis("argmax", x, axis)
    return _reduce("argmax", value, at, keepdims)


def argmin(x: Operand, axis: int | None = None, *, keepdims: bool = False) -> Value:
    """Place of the least entry along an event axis; None for the place among all entries, row by row."""
    value, at = _one_axis("argmin", x, axis)
    return _reduce("argmin", value, at, keepdims)


def count_nonzero(x: Operand, axis: Axis = None, *, keepdims: bool = False) -> Value:
    """Number of entries that are not zero."""
    return _reduce("sum", apply("astype", apply("not_equal", x, 0), dtype="int"), axis, keepdims)


def cumsum(x: Operand, axis: int = -1) -> Value:
    """Running sum along an event axis."""
    value = in_scope(lift(x))
    return apply("cumsum", value, axis=axes_of("cumsum", value, axis))


def cumprod(x: Operand, axis: int = -1) -> Value:
    """Running product along an event axis."""
    value = in_scope(lift(x))
    return apply("cumprod", value, axis=axes_of("cumprod", value, axis))


def diff(x: Operand, axis: int = -1) -> Value:
    """Differences of neighbours along an event axis."""
    value = in_scope(lift(x))
    (at,) = axes_of("diff", value, axis)
    after = (*[slice(None)] * (value.ndim + at), slice(1, None))
    before = (*[slice(None)] * (value.ndim + at), slice(None, -1))
    return value[after] - value[before]


def sort(x: Operand, axis: int = -1, *, descending: bool = False) -> Value:
    """Entries in increasing order along an event axis."""
    value = in_scope(lift(x))
    axes = axes_of("sort", value, axis)
    out = apply("sort", value, axis=axes)
    return apply("flip", out, axis=axes) if descending else out


def argsort(x: Operand, axis: int = -1, *, descending: bool = False) -> Value:
    """Places of the entries in increasing order along an event axis."""
    value = in_scope(lift(x))
    axes = axes_of("argsort", value, axis)
    return apply("argsort", -value if descending else value, axis=axes)


def cummax(x: Operand, axis: int = -1) -> Value:
    """Largest entry so far, along an event axis."""
    value = in_scope(lift(x))
    return apply("cummax", value, axis=axes_of("cummax", value, axis))


def cummin(x: Operand, axis: int = -1) -> Value:
    """Least entry so far, along an event axis."""
    value = in_scope(lift(x))
    return apply("cummin", value, axis=axes_of("cummin", value, axis))


cumulative_sum = cumsum
cumulative_prod = cumprod
