"""Applying operations: from operands to symbolic values, with plates kept in their place."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

from ppl.errors import ShapeError, UnknownNameError, nearest, user_location

from .unrelated import inherit, left, refuse_unrelated
from .values import OPEN_PLATES, DType, Lane, Plate, Value, lift
from .vocabulary import OPS


def merge_plates(values: tuple[Value, ...]) -> tuple[Plate, ...]:
    """The plates that a combination of values varies over, in the order in which they are open."""
    merged: list[Plate] = []
    for value in values:
        merged += [p for p in value.plates if p not in merged]
    order = OPEN_PLATES.get()
    if order:
        merged.sort(key=lambda p: order.index(p) if p in order else len(order))
    return tuple(merged)


def leave(value: Value, plates: tuple[Plate, ...]) -> Value:
    """Turn plates of a value into array axes in front of its event axes, outermost first."""
    if not plates:
        return value
    rest = tuple(p for p in value.plates if p not in plates)
    shape = tuple(p.size for p in plates) + value.shape
    out = Value("leave", (value,), (("plates", plates),), rest, shape, value.dtype, list(value.hint))
    left(out, plates)
    return out


def in_scope(value: Value) -> Value:
    """The value as it is seen here: plates that are not open any more have become array axes."""
    scope = OPEN_PLATES.get()
    if scope is None or not value.plates:
        return value
    closed = tuple(p for p in value.plates if p not in scope)
    return leave(value, closed) if closed else value


def apply(name: str, /, *args: Any, **attrs: Any) -> Value:
    """The value of an operation on values, numbers and arrays.

    Raises:
        UnknownNameError: no such operation.
        ShapeError: the event shapes do not fit.
        PlateError: the rows of unrelated plates would be combined one by one.
    """
    op = OPS.get(name)
    if op is None:
        raise UnknownNameError(f"there is no operation {name!r}.", remedy=nearest(name, OPS))
    values = tuple(in_scope(lift(a)) for a in args)
    if op.kind == "elementwise":
        refuse_unrelated(name, values)
    if op.operands == "float" or (op.operands == "promote" and "float" in {v.dtype for v in values}):
        values = tuple(to_float(v) for v in values)
    elif op.operands == "branches" and "float" in {v.dtype for v in values[1:]}:
        values = (values[0], *(to_float(v) for v in values[1:]))
    if op.counts and all(v.dtype == "bool" for v in values):
        # What is true counts as one; the libraries would answer with booleans again.
        values = tuple(to_integer(v) for v in values)
    try:
        shape, dtype = op.infer(values, attrs)
    except ValueError as error:
        raise ShapeError(
            f"{name}: {error}.",
            declared_at=user_location(),
            expected="operands that fit",
            got=", ".join(repr(v) for v in values),
            remedy="Inside a plate every value is one element; its shape never contains the plate's size.",
        ) from error
    out = Value(name, values, tuple(sorted(attrs.items())), merge_plates(values), shape, dtype)
    if op.kind == "elementwise" or name in ("broadcast_to", "index"):
        inherit(out, values)
    return out


def to_float(value: Value) -> Value:
    """The value as a real number; constants convert at once."""
    if value.dtype == "float":
        return value
    if value.op == "const":
        item = value.attrs[0][1]
        return lift(item.array.astype(float) if value.shape else float(item))
    return _as_type(value, "float")


def to_integer(value: Value) -> Value:
    """The value as an integer; constants convert at once."""
    if value.op == "const" and not value.shape:
        return lift(int(value.attrs[0][1]))
    return _as_type(value, "int")


def _as_type(value: Value, dtype: DType) -> Value:
    out = Value("astype", (value,), (("dtype", dtype),), value.plates, value.shape, dtype)
    inherit(out, (value,))
    return out


def element(value: Value, plate: Plate) -> Value:
    """One element of an array along its leading event axis, which becomes the plate."""
    if value.op == "leave" and value.attr("plates") == (plate,):
        return value.args[0]
    plates = (*value.plates, plate) if plate not in value.plates else value.plates
    return Value("element", (value,), (("plate", plate),), plates, value.shape[1:], value.dtype)


def plate_sum(value: Value, plates: tuple[Plate, ...], batch: dict[str, int] | None = None) -> Value:
    """The sum over all elements of plates, estimated from a minibatch where there is one.

    Args:
        value: what to sum; for a plate it does not vary over, it counts once for each element.
        plates: the plates to sum over.
        batch: number of elements evaluated, for subsampled plates.
    """
    scale = 1.0
    present = tuple(p for p in value.plates if p in plates)
    for plate in plates:
        if plate not in present:
            scale *= plate.size
        elif batch and plate.name in batch:
            scale *= plate.size / batch[plate.name]
    if present:
        rest = tuple(p for p in value.plates if p not in plates)
        value = Value("plate_sum", (value,), (("plates", present),), rest, value.shape, value.dtype)
    return value if scale == 1.0 else apply("multiply", scale, value)


def lane_logsumexp(value: Value, lane: Plate) -> Value:
    """The log of the sum of exponentials over the alternatives of a lane, or over particles."""
    if lane not in value.plates:
        return value + math.log(lane.size)
    rest = tuple(p for p in value.plates if p != lane)
    return Value("lane_logsumexp", (value,), (("lane", lane),), rest, value.shape, value.dtype)


def chain(
    first: Value, own: Value, pair: Value, time: Plate, lanes: tuple[tuple[Lane, Lane], ...], reverse: bool = False
) -> Value:
    """The log of the sum over all paths of discrete sites through the steps of a scan.

    Args:
        first: log weight of the sites' values in the first step, beyond `own`.
        own: log weight of their values in a step.
        pair: log weight of their values in a step and in the step before.
        time: the plate of the steps.
        lanes: for each site the lane of its values, and that of its values in the step before.
        reverse: whether the first step is the last element of the plate.
    """
    now, before = tuple(a for a, _ in lanes), tuple(b for _, b in lanes)
    parts = (over(first, now), over(own, (*now, time)), over(pair, (*now, *before)))
    gone = {time, *now, *before}
    rest = tuple(p for p in merge_plates(parts) if p not in gone)
    attrs = (("before", before), ("now", now), ("plate", time), ("reverse", reverse))
    return Value("chain", parts, attrs, rest, (), "float")


def over(value: Value, plates: tuple[Plate, ...]) -> Value:
    """A value that has an axis for each of some plates."""
    for plate in plates:
        if plate not in value.plates:
            index = Value("plate_index", (), (("plate", plate),), (plate,), (), "int")
            value = apply("add", value, apply("multiply", index, 0))
    return value


def free_lane(stem: str, size: int, values: Iterable[Value]) -> Lane:
    """A lane that none of these values varies over yet."""
    taken = {p.name for v in values for p in v.plates}
    name = next(n for n in itertools.chain([stem], (f"{stem}.{i}" for i in itertools.count(1))) if n not in taken)
    return Lane(name, size)
