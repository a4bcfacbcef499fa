"""Shapes and indexing of event axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ppl.errors import ShapeError, user_location
from ppl.program.indexing import gather
from ppl.program.ops import apply, in_scope
from ppl.program.values import Value, lift

from .creation import asarray
from .elementwise import Operand
from .reductions import axes_of


def _value(x: Operand) -> Value:
    return in_scope(lift(x))


def _fail(name: str, problem: str, value: Value, remedy: str | None = None) -> ShapeError:
    return ShapeError(f"{name}: {problem}.", declared_at=user_location(), got=repr(value), remedy=remedy)


def reshape(x: Operand, shape: int | Sequence[int]) -> Value:
    """The same entries, row by row, in another shape; one size may be -1, and follows from the others."""
    value = _value(x)
    wanted = [shape] if isinstance(shape, int) else [int(n) for n in shape]
    if wanted.count(-1) > 1:
        raise _fail("reshape", "only one size may be -1", value)
    if -1 in wanted:
        known = -math.prod(wanted)
        if known == 0 or math.prod(value.shape) % known:
            raise _fail("reshape", f"{math.prod(value.shape)} entries do not fill shape {tuple(wanted)}", value)
        wanted[wanted.index(-1)] = math.prod(value.shape) // known
    return apply("reshape", value, shape=tuple(wanted))


def broadcast_to(x: Operand, shape: int | Sequence[int]) -> Value:
    """The value, repeated along new or singleton axes."""
    return apply("broadcast_to", x, shape=(shape,) if isinstance(shape, int) else tuple(shape))


def stack(xs: Sequence[Operand], axis: int = 0) -> Value:
    """Values of equal shape along a new event axis."""
    values = [asarray(x) for x in xs]
    if not values:
        raise ShapeError("stack needs at least one value.", declared_at=user_location())
    rank = values[0].ndim + 1
    if not -rank <= axis < rank:
        raise _fail("stack", f"axis {axis} is out of range for {rank} axes", values[0])
    return apply("stack", *values, axis=axis - rank if axis >= 0 else axis)


def concat(xs: Sequence[Operand], axis: int = 0) -> Value:
    """Values one after the other along an event axis."""
    values = [in_scope(asarray(x)) for x in xs]
    if not values:
        raise ShapeError("concat needs at least one value.", declared_at=user_location())
    (at,) = axes_of("concat", values[0], axis)
    return apply("concat", *values, axis=at)


def expand_dims(x: Operand, axis: int = 0) -> Value:
    """A new event axis of size 1."""
    value = _value(x)
    rank = value.ndim + 1
    if not -rank <= axis < rank:
        raise _fail("expand_dims", f"axis {axis} is out of range for {rank} axes", value)
    return value[(*[slice(None)] * (axis % rank), None)]


def squeeze(x: Operand, axis: int | tuple[int, ...] | None = None) -> Value:
    """Without event axes of size 1: those named, or all of them."""
    value = _value(x)
    singles = tuple(i - value.ndim for i, n in enumerate(value.shape) if n == 1)
    axes = singles if axis is None else axes_of("squeeze", value, axis)
    if not set(axes) <= set(singles):
        raise _fail("squeeze", "only axes of size 1 can be removed", value)
    shape = tuple(n for i, n in enumerate(value.shape) if i - value.ndim not in axes)
    return value if shape == value.shape else apply("reshape", value, shape=shape)


def permute_dims(x: Operand, axes: Sequence[int]) -> Value:
    """Event axes in another order."""
    value = _value(x)
    order = tuple(a % value.ndim if -value.ndim <= a < value.ndim else a for a in axes)
    return value if order == tuple(range(value.ndim)) else apply("permute_dims", value, axes=order)


def moveaxis(x: Operand, source: int, destination: int) -> Value:
    """One event axis moved to another place."""
    value = _value(x)
    (start,) = axes_of("moveaxis", value, source)
    (end,) = axes_of("moveaxis", value, destination)
    order = [i for i in range(value.ndim) if i != start + value.ndim]
    order.insert(end + value.ndim, start + value.ndim)
    return permute_dims(value, order)


def swapaxes(x: Operand, first: int, second: int) -> Value:
    """Two event axes exchanged."""
    value = _value(x)
    (a,) = axes_of("swapaxes", value, first)
    (b,) = axes_of("swapaxes", value, second)
    order = list(range(value.ndim))
    order[a], order[b] = order[b], order[a]
    return permute_dims(value, order)


def matrix_transpose(x: Operand) -> Value:
    """The last two event axes exchanged."""
    value = _value(x)
    if value.ndim < 2:
        raise _fail("matrix_transpose", "a matrix is needed", value)
    return swapaxes(value, -1, -2)


def flip(x: Operand, axis: int | tuple[int, ...] | None = None) -> Value:
    """Entries in reverse order along some event axes, or all of them."""
    value = _value(x)
    return apply("flip", value, axis=axes_of("flip", value, axis))


def roll(x: Operand, shift: int, axis: int = -1) -> Value:
    """Entries moved along an event axis; those that leave it come in at the other end."""
    value = _value(x)
    (at,) = axes_of("roll", value, axis)
    cut = -shift % value.shape[at]
    lead = [slice(None)] * (value.ndim + at)
    if cut == 0:
        return value
    return apply("concat", value[(*lead, slice(cut, None))], value[(*lead, slice(None, cut))], axis=at)


def tile(x: Operand, repetitions: int | Sequence[int]) -> Value:
    """The whole value repeated along its event axes."""
    value = _value(x)
    counts = (repetitions,) if isinstance(repetitions, int) else tuple(repetitions)
    if len(counts) > value.ndim:
        value = apply("reshape", value, shape=(1,) * (len(counts) - value.ndim) + value.shape)
    counts = (1,) * (value.ndim - len(counts)) + counts
    for axis, count in enumerate(counts):
        if count > 1:
            value = apply("concat", *[value] * count, axis=axis - value.ndim)
        elif count < 1:
            raise _fail("tile", f"{count} repetitions leave nothing", value)
    return value


def repeat(x: Operand, repeats: int | Sequence[int], axis: int = -1) -> Value:
    """Each entry along an event axis repeated; `repeats` is one count or one for each entry."""
    value = _value(x)
    (at,) = axes_of("repeat", value, axis)
    size = value.shape[at]
    counts = np.broadcast_to(np.asarray(repeats), (size,)) if np.ndim(repeats) == 0 else np.asarray(repeats)
    if counts.shape != (size,):
        raise _fail("repeat", f"{counts.size} counts for an axis of size {size}", value)
    return gather(value, lift(np.repeat(np.arange(size), counts)), value.ndim + at)


def tril(x: Operand, k: int = 0) -> Value:
    """The matrix with zeros above its k-th diagonal."""
    return _triangle("tril", x, k)


def triu(x: Operand, k: int = 0) -> Value:
    """The matrix with zeros below its k-th diagonal."""
    return _triangle("triu", x, k)


def _triangle(name: str, x: Operand, k: int) -> Value:
    value = _value(x)
    if k == 0 or value.ndim < 2:
        return apply(name, value)
    keep = getattr(np, name)(np.ones(value.shape[-2:], dtype=bool), k)
    return apply("where", keep, value, 0 if value.dtype == "int" else 0.0)


def diag(x: Operand) -> Value:
    """A vector as a diagonal matrix, or the diagonal of a square matrix."""
    value = _value(x)
    return apply("diag_embed" if value.ndim == 1 else "diagonal", value)


def diagonal(x: Operand) -> Value:
    """The diagonal of square matrices on the last two event axes."""
    return apply("diagonal", x)


def diag_embed(x: Operand) -> Value:
    """Vectors on the last event axis as diagonal matrices."""
    return apply("diag_embed", x)


def take(x: Operand, indices: Operand, axis: int = 0) -> Value:
    """Entries along an event axis, chosen by integers; the integers' shape replaces that axis."""
    value, index = _value(x), _value(indices)
    (at,) = axes_of("take", value, axis)
    return gather(value, index, value.ndim + at)


def take_along_axis(x: Operand, indices: Operand, axis: int = -1) -> Value:
    """For each place, the entry along an event axis that an integer there names.

    The other axes of x and the integers broadcast.
    """
    value, index = _value(x), _value(indices)
    (at,) = axes_of("take_along_axis", value, axis)
    if index.ndim != value.ndim:
        raise _fail("take_along_axis", f"{value.ndim} axes of integers are needed", index)
    if at == -1:
        return apply("take_along", value, index)
    return moveaxis(apply("take_along", moveaxis(value, at, -1), moveaxis(index, at, -1)), -1, at)


def one_hot(x: Operand, size: int) -> Value:
    """Unit vectors of a size, with a 1 where the integer says; real numbers."""
    value = _value(x)
    if value.dtype == "float":
        raise _fail("one_hot", "an integer is needed", value, "Convert with ops.astype(x, 'int').")
    return apply("one_hot", value, size=int(size))
