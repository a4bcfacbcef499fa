"""Indexing of symbolic values: static indices slice the event axes, integer values gather from a table."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from ppl.errors import ShapeError, user_location

from .ops import apply, in_scope
from .values import Value, constant


def _fail(value: Value, summary: str, expected: str, remedy: str) -> ShapeError:
    return ShapeError(summary, declared_at=user_location(), expected=expected, got=repr(value), remedy=remedy)


def _is_array(item: Any) -> bool:
    return isinstance(item, (Value, np.ndarray, list)) or (hasattr(item, "__array__") and np.ndim(item) > 0)


def getitem(value: Value, key: Any) -> Value:
    """`value[key]` on event axes.

    Integers, slices, None and Ellipsis slice; one integer value or integer array gathers.

    Raises:
        ShapeError: too many indices, an index out of range, a boolean mask, or two gathers at once.
    """
    value = in_scope(value)
    items: list[Any] = list(cast("tuple[Any, ...]", key)) if isinstance(key, tuple) else [key]
    used = sum(1 for item in items if item is not None and item is not Ellipsis)
    if used > value.ndim:
        raise _fail(
            value,
            f"{used} indices for a value with {value.ndim} event axes.",
            f"at most {value.ndim}",
            "Inside a plate a value is one element; outside its plate it has the plate's axis in front.",
        )
    if Ellipsis in [item for item in items if not _is_array(item)]:
        at = next(i for i, item in enumerate(items) if item is Ellipsis)
        items[at : at + 1] = [slice(None)] * (value.ndim - used)
    items += [slice(None)] * (value.ndim - sum(1 for item in items if item is not None))
    gathers = [i for i, item in enumerate(items) if _is_array(item)]
    if len(gathers) > 1:
        raise _fail(value, "more than one array index at a time.", "one", "Index one axis, then the next.")
    if not gathers:
        return _static(value, items)
    at = gathers[0]
    index = items[at] if isinstance(items[at], Value) else constant(np.asarray(items[at]))
    if index.dtype == "bool":
        raise _fail(
            value,
            "a boolean mask would make the shape depend on values.",
            "integers",
            "Keep the shape and choose with ops.where(mask, a, b), or .mask(mask) on a distribution.",
        )
    items[at] = slice(None)
    axis = sum(1 for item in items[:at] if not isinstance(item, (int, np.integer)))
    return gather(_static(value, items), index, axis)


def gather(table: Value, index: Value, axis: int = 0) -> Value:
    """Rows of a table along one event axis, chosen by an integer value."""
    if axis:
        order = (axis, *(i for i in range(table.ndim) if i != axis))
        table = apply("permute_dims", table, axes=order)
    out = apply("take", table, index)
    if axis:
        n = index.ndim
        back = (*range(n, n + axis), *range(n), *range(n + axis, out.ndim))
        out = apply("permute_dims", out, axes=back)
    return out


def _static(value: Value, items: list[Any]) -> Value:
    key: list[Any] = []
    axis = 0
    for item in items:
        if item is None:
            key.append(None)
            continue
        size = value.shape[axis]
        if isinstance(item, (int, np.integer)) and not isinstance(item, bool):
            if not -size <= item < size:
                raise _fail(
                    value,
                    f"index {item} is out of range for an event axis of size {size}.",
                    f"-{size} to {size - 1}",
                    "Inside a plate a value is one element; outside its plate it has the plate's axis in front.",
                )
            key.append(int(cast(int, item)))
        elif isinstance(item, slice):
            start, stop, step = cast("slice[Any, Any, Any]", item).indices(size)
            if step < 0:
                value = apply("flip", value, axis=(axis - value.ndim,))
                start, stop, step = size - 1 - start, size - 1 - stop, -step
            key.append((start, max(stop, start), step))
        else:
            raise _fail(
                value,
                f"{item!r} cannot index a symbolic value.",
                "integers, slices or integer values",
                "Name the parts of a value by variables, not by keys.",
            )
        axis += 1
    if (
        all(
            isinstance(k, tuple) and k == (0, n, 1)
            for k, n in zip([k for k in key if k is not None], value.shape, strict=True)
        )
        and None not in key
    ):
        return value
    return apply("index", value, key=tuple(key))
