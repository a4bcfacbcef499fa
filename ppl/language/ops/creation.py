"""Constant arrays, and arrays of values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from ppl.errors import SymbolicValueError, user_location
from ppl.program.ops import apply
from ppl.program.values import Value, lift

from .elementwise import Operand, astype

ShapeLike = int | Sequence[int]


def _shape(name: str, shape: ShapeLike) -> tuple[int, ...]:
    items = (shape,) if isinstance(shape, int | np.integer) else tuple(shape)
    if any(isinstance(n, Value) for n in items):
        raise SymbolicValueError(
            f"{name}: a shape must be known while the model is declared.",
            declared_at=user_location(),
            expected="whole numbers",
            got=repr(shape),
            remedy="Take the size from an argument of the model, or from `x.shape`.",
        )
    return tuple(int(n) for n in items)


def zeros(shape: ShapeLike = (), dtype: str = "float") -> Value:
    """An array of zeros."""
    return lift(np.zeros(_shape("zeros", shape), dtype=dtype))


def ones(shape: ShapeLike = (), dtype: str = "float") -> Value:
    """An array of ones."""
    return lift(np.ones(_shape("ones", shape), dtype=dtype))


def full(shape: ShapeLike, fill: Operand) -> Value:
    """An array of one number, which may be a value."""
    value = lift(fill)
    wanted = _shape("full", shape)
    return value if value.shape == wanted else apply("broadcast_to", value, shape=wanted)


def zeros_like(x: Operand) -> Value:
    """Zeros of the shape and kind of another value."""
    value = lift(x)
    return zeros(value.shape, value.dtype)


def ones_like(x: Operand) -> Value:
    """Ones of the shape and kind of another value."""
    value = lift(x)
    return ones(value.shape, value.dtype)


def full_like(x: Operand, fill: Operand) -> Value:
    """One number in the shape of another value."""
    return full(lift(x).shape, fill)


def eye(n: int, m: int | None = None) -> Value:
    """An identity matrix."""
    return lift(np.eye(n, m))


def arange(start: float, stop: float | None = None, step: float = 1) -> Value:
    """Equally spaced numbers, `stop` left out; whole numbers if all arguments are."""
    bounds = (0, start, step) if stop is None else (start, stop, step)
    if any(isinstance(n, Value) for n in bounds):
        raise SymbolicValueError(
            "arange: the number of entries must be known while the model is declared.",
            declared_at=user_location(),
            got=", ".join(repr(n) for n in bounds),
        )
    return lift(np.arange(*bounds))


def linspace(start: Operand, stop: Operand, num: int) -> Value:
    """`num` equally spaced numbers from `start` to `stop`, both included; the ends may be scalar values."""
    grid = np.linspace(0.0, 1.0, num)
    if not isinstance(start, Value) and not isinstance(stop, Value):
        return lift(np.linspace(start, stop, num))
    return start * (1.0 - grid) + stop * grid


def asarray(items: Any, dtype: str | None = None) -> Value:
    """A number, an array, or nested lists that may hold values, as one value."""
    if _holds_values(items):
        value = apply("stack", *(asarray(item) for item in items), axis=-asarray(items[0]).ndim - 1)
    else:
        value = lift(items)
    return value if dtype is None else astype(value, dtype)


def _holds_values(items: Any) -> bool:
    if not isinstance(items, list | tuple):
        return False
    return any(isinstance(i, Value) or _holds_values(i) for i in cast("Sequence[Any]", items))
