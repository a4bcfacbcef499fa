"""Building arrays from others: padding, splitting, grids, windows, single entries replaced, sums by index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppl.errors import ShapeError, user_location
from ppl.program.indexing import gather
from ppl.program.ops import apply, in_scope, to_float
from ppl.program.values import Value, lift
from ppl.program.vocabulary import broadcast

from .elementwise import Operand
from .reductions import axes_of
from .shapes import broadcast_to, concat, moveaxis, one_hot


def _fail(name: str, problem: str, got: str, remedy: str | None = None) -> ShapeError:
    return ShapeError(f"{name}: {problem}.", declared_at=user_location(), got=got, remedy=remedy)


def pad(
    x: Operand, width: int | tuple[int, int] | Sequence[tuple[int, int]], mode: str = "constant", fill: Operand = 0.0
) -> Value:
    """The value with entries added at both ends of its event axes.

    Args:
        x: the value.
        width: how many before and behind: one number or pair for all axes, or a pair for each.
        mode: "constant" adds `fill`, "edge" repeats the last entry, "reflect" mirrors without it, "wrap" goes on from
            the other end.
        fill: the number that is added; may be a value.
    """
    value = in_scope(lift(x))
    pairs = np.broadcast_to(np.asarray(width, dtype=int), (value.ndim, 2)).tolist()
    modes = ("constant", "edge", "reflect", "wrap")
    if mode not in modes or any(n < 0 for pair in pairs for n in pair):
        raise _fail("pad", f"widths are at least 0, and the mode one of {modes}", f"width={width}, mode={mode!r}")
    for axis, (before, behind) in enumerate(pairs):
        if not before and not behind:
            continue
        if mode != "constant":
            value = gather(value, lift(np.pad(np.arange(value.shape[axis]), (before, behind), mode=mode)), axis)
            continue
        ends = [broadcast_to(fill, (*value.shape[:axis], n, *value.shape[axis + 1 :])) for n in (before, behind) if n]
        value = concat([*ends[: before > 0], value, *ends[before > 0 :]], axis)
    return value


def unstack(x: Operand, axis: int = 0) -> tuple[Value, ...]:
    """The entries along an event axis, one by one."""
    value = in_scope(lift(x))
    (at,) = axes_of("unstack", value, axis)
    lead = [slice(None)] * (value.ndim + at)
    return tuple(value[(*lead, i)] for i in range(value.shape[at]))


def split(x: Operand, sizes: int | Sequence[int], axis: int = -1) -> tuple[Value, ...]:
    """Consecutive parts along an event axis: so many equal ones, or parts of these sizes."""
    value = in_scope(lift(x))
    (at,) = axes_of("split", value, axis)
    whole = value.shape[at]
    if isinstance(sizes, int):
        parts = [whole // sizes] * sizes if sizes > 0 else []
    else:
        parts = [int(n) for n in sizes]
    if sum(parts) != whole:
        raise _fail("split", f"parts {sizes} do not make up {whole} entries", repr(value))
    lead = [slice(None)] * (value.ndim + at)
    ends = np.cumsum(parts).tolist()
    return tuple(value[(*lead, slice(end - n, end))] for n, end in zip(parts, ends, strict=True))


def ravel(x: Operand) -> Value:
    """All entries as one vector, row by row."""
    value = in_scope(lift(x))
    return apply("reshape", value, shape=(int(np.prod(value.shape)),))


def broadcast_arrays(*xs: Operand) -> tuple[Value, ...]:
    """Values, repeated to one event shape."""
    values = [in_scope(lift(x)) for x in xs]
    try:
        shape = broadcast(*(v.shape for v in values))
    except ValueError as error:
        raise _fail("broadcast_arrays", str(error), ", ".join(repr(v) for v in values)) from error
    return tuple(v if v.shape == shape else broadcast_to(v, shape) for v in values)


def meshgrid(*xs: Operand, indexing: str = "xy") -> tuple[Value, ...]:
    """The coordinates of all points of a grid, from the coordinates along each of its axes.

    Args:
        xs: vectors.
        indexing: "xy" puts the second vector along the first axis, as pictures do; "ij" keeps the order.
    """
    values = [in_scope(lift(x)) for x in xs]
    if any(v.ndim != 1 for v in values) or indexing not in ("xy", "ij"):
        raise _fail("meshgrid", "vectors are needed, and indexing='xy' or 'ij'", ", ".join(repr(v) for v in values))
    count = len(values)
    places = list(range(count))
    if indexing == "xy" and count > 1:
        places[:2] = [1, 0]
    shaped = [
        apply("reshape", v, shape=tuple(v.shape[0] if i == place else 1 for i in range(count)))
        for v, place in zip(values, places, strict=True)
    ]
    return broadcast_arrays(*shaped)


def sliding_window(x: Operand, size: int, axis: int = -1) -> Value:
    """All runs of `size` neighbours along an event axis, which counts the runs; their entries are a new last axis."""
    value = in_scope(lift(x))
    (at,) = axes_of("sliding_window", value, axis)
    count = value.shape[at] - size + 1
    if size < 1 or count < 1:
        raise _fail("sliding_window", f"{value.shape[at]} entries hold no run of {size}", repr(value))
    place = value.ndim + at
    return moveaxis(gather(value, lift(np.arange(count)[:, None] + np.arange(size)), place), place + 1, -1)


def set_at(x: Operand, index: Operand, entry: Operand, axis: int = 0) -> Value:
    """A copy in which the entry at one place along an event axis is another one.

    Args:
        x: the value.
        index: the place, an integer or an integer value; negative ones count from the end if they are numbers.
        entry: what stands there; broadcasts to the shape of one entry.
        axis: the event axis.
    """
    value, place, new = in_scope(lift(x)), in_scope(lift(index)), in_scope(lift(entry))
    (at,) = axes_of("set_at", value, axis)
    if place.dtype != "int" or place.shape:
        raise _fail("set_at", "one integer is needed as the place", repr(place))
    size = value.shape[at]
    if place.op == "const":
        number = place.attrs[0][1]
        if not -size <= number < size:
            raise _fail("set_at", f"place {number} is out of range for an axis of size {size}", repr(value))
        place = lift(number % size)
    here = apply("equal", np.arange(size).reshape((-1,) + (1,) * (-at - 1)), place)
    shape = (*value.shape[: value.ndim + at], 1, *value.shape[value.ndim + at + 1 :])
    one = broadcast_to(new, shape[: value.ndim + at] + shape[value.ndim + at + 1 :])
    return apply("where", here, apply("reshape", one, shape=shape), value)


def segment_sum(x: Operand, index: Operand, size: int) -> Value:
    """Sums of rows by group.

    Args:
        x: rows, shape (n, ...).
        index: the group of each row, integers from 0 to `size - 1`, shape (n,); others are an error on torch and are
            left out by JAX.
        size: number of groups.

    Returns:
        The sums, shape (size, ...).
    """
    return apply("segment_sum", to_float(in_scope(lift(x))), index, size=int(size))


def segment_mean(x: Operand, index: Operand, size: int) -> Value:
    """Means of rows by group, 0 for groups without rows; see `segment_sum`."""
    rows = in_scope(lift(x))
    counts = apply("sum", one_hot(index, size), axis=(-2,), keepdims=False)
    wide = apply("reshape", apply("maximum", counts, 1.0), shape=(int(size),) + (1,) * (rows.ndim - 1))
    return segment_sum(rows, index, size) / wide


def fill_tril(x: Operand) -> Value:
    """A lower triangular matrix from the vector of its entries, row by row; shape (n (n + 1) / 2,) to (n, n)."""
    value = in_scope(lift(x))
    size = int((np.sqrt(8 * value.shape[-1] + 1) - 1) / 2) if value.shape else 0
    if not size or size * (size + 1) // 2 != value.shape[-1]:
        raise _fail("fill_tril", "the entries of a triangle are needed: 1, 3, 6, 10, ...", repr(value))
    rows, columns = np.tril_indices(size)
    place = np.zeros((size, size), dtype=int)
    place[rows, columns] = np.arange(rows.size)
    full = gather(value, lift(place), value.ndim - 1)
    return apply("tril", full)


def toeplitz(x: Operand) -> Value:
    """The symmetric matrix with constant diagonals whose first column is a vector."""
    value = in_scope(lift(x))
    if value.ndim != 1:
        raise _fail("toeplitz", "a vector is needed", repr(value))
    places = np.arange(value.shape[0])
    return gather(value, lift(np.abs(places[:, None] - places)), 0)


def block_diag(*xs: Operand) -> Value:
    """A matrix with these matrices along its diagonal, and zeros elsewhere."""
    blocks = [to_float(in_scope(lift(x))) for x in xs]
    if not blocks or any(b.ndim != 2 for b in blocks):
        raise _fail("block_diag", "matrices are needed", ", ".join(repr(b) for b in blocks))
    width = sum(b.shape[1] for b in blocks)
    rows: list[Value] = []
    left = 0
    for block in blocks:
        m = block.shape[1]
        rows.append(pad(block, [(0, 0), (left, width - left - m)]))
        left += m
    return concat(rows, 0)
