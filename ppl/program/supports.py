"""Supports: where a value may lie. Bounds may be values of the program, so a support can depend on other unknowns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .values import Value, is_constant, lift


def same_value(a: Value, b: Value) -> bool:
    """Whether two expressions are equal as written: the same operations on the same leaves.

    `==` on values builds a comparison; this one answers at once, and may say no for expressions of equal value.
    """
    same: set[tuple[int, int]] = set()
    pairs = [(a, b)]
    while pairs:
        x, y = pairs.pop()
        if x is y or (id(x), id(y)) in same:
            continue
        facts = (x.op, x.plates, x.shape, x.dtype, len(x.args))
        if facts != (y.op, y.plates, y.shape, y.dtype, len(y.args)) or x.attrs != y.attrs:
            return False
        same.add((id(x), id(y)))
        pairs.extend(zip(x.args, y.args, strict=True))
    return True


@dataclass(frozen=True, eq=False)
class Support:
    """A set of allowed values.

    Attributes:
        kind: a key of `KINDS`.
        bounds: the bounds of the kinds that have any, in order.
    """

    kind: str
    bounds: tuple[Value, ...] = ()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Support):
            return NotImplemented
        same_kind = self.kind == other.kind and len(self.bounds) == len(other.bounds)
        return same_kind and all(same_value(a, b) for a, b in zip(self.bounds, other.bounds, strict=True))

    def __hash__(self) -> int:
        return hash((self.kind, len(self.bounds)))

    @property
    def discrete(self) -> bool:
        """Whether the set is countable."""
        return self.kind in (
            "boolean",
            "nonnegative_integer",
            "positive_integer",
            "integer_interval",
            "multinomial",
            "integer",
            "row",
        )

    @property
    def rank(self) -> int:
        """Number of event axes of one member: 0 for numbers, 1 for vectors, 2 for matrices."""
        return KINDS[self.kind]

    def __str__(self) -> str:
        from .printing import expression

        if not self.bounds:
            return self.kind
        return f"{self.kind}({', '.join(expression(b) for b in self.bounds)})"

    def contains(self, array: np.ndarray) -> np.ndarray | None:
        """Which elements of an array lie in the support; None where a bound is no constant or an axis is missing.

        Args:
            array: shape (..., event of one member).

        Returns:
            Booleans of shape (...).
        """
        if not all(b.op == "const" for b in self.bounds) or array.ndim < self.rank:
            return None
        if self.rank == 2 and self.kind != "real_matrix" and array.shape[-1] != array.shape[-2]:
            return np.zeros(array.shape[:-2], dtype=bool)
        bounds = [b.attrs[0][1] if is_constant(b) else b.attrs[0][1].array for b in self.bounds]
        return _contains(self.kind, array, bounds)


# kind -> number of event axes of one member
KINDS: dict[str, int] = {
    "real": 0,
    "positive": 0,
    "nonnegative": 0,
    "unit_interval": 0,
    "interval": 0,
    "half_open_interval": 0,
    "censored": 0,
    "greater_than": 0,
    "less_than": 0,
    "boolean": 0,
    "integer": 0,
    "nonnegative_integer": 0,
    "positive_integer": 0,
    "integer_interval": 0,
    "real_vector": 1,
    "positive_vector": 1,
    "multinomial": 1,
    "row": 1,
    "simplex": 1,
    "ordered": 1,
    "positive_ordered": 1,
    "falling": 1,
    "zero_sum": 1,
    "sphere": 1,
    "real_matrix": 2,
    "lower_cholesky": 2,
    "corr_cholesky": 2,
    "corr_matrix": 2,
    "positive_definite": 2,
}


def _lower_with_positive_diagonal(x: np.ndarray) -> np.ndarray:
    lower = np.all(np.triu(x, 1) == 0, axis=(-2, -1))
    return lower & np.all(np.diagonal(x, axis1=-2, axis2=-1) > 0, axis=-1)


def _contains(kind: str, x: np.ndarray, bounds: list[Any]) -> np.ndarray:
    tolerance = 1e-4
    whole = np.equal(np.mod(x, 1), 0) if x.dtype != bool else np.ones(x.shape, dtype=bool)
    match kind:
        case "real":
            return np.isfinite(x)
        case "positive":
            return (x > 0) & np.isfinite(x)
        case "nonnegative":
            return (x >= 0) & np.isfinite(x)
        case "unit_interval":
            return (x >= 0) & (x <= 1)
        case "interval" | "censored":
            return (x >= bounds[0]) & (x <= bounds[1])
        case "half_open_interval":
            return (x >= bounds[0]) & (x < bounds[1])
        case "greater_than":
            return x > bounds[0]
        case "less_than":
            return x < bounds[0]
        case "boolean":
            return (x == 0) | (x == 1)
        case "integer":
            return whole
        case "nonnegative_integer":
            return whole & (x >= 0)
        case "positive_integer":
            return whole & (x >= 1)
        case "integer_interval":
            return whole & (x >= bounds[0]) & (x <= bounds[1])
        case "real_vector":
            return np.all(np.isfinite(x), axis=-1)
        case "positive_vector":
            return np.all((x > 0) & np.isfinite(x), axis=-1)
        case "real_matrix":
            return np.all(np.isfinite(x), axis=(-2, -1))
        case "multinomial":
            return np.all(whole & (x >= 0), axis=-1) & (x.sum(-1) == bounds[0])
        case "row":
            return np.any(np.all(x[..., None, :] == bounds[0], axis=-1), axis=-1)
        case "simplex":
            return np.all(x >= 0, axis=-1) & (np.abs(x.sum(-1) - 1) < tolerance)
        case "ordered":
            return np.all(np.diff(x, axis=-1) > 0, axis=-1)
        case "positive_ordered":
            return np.all(np.diff(x, axis=-1) > 0, axis=-1) & (x[..., 0] > 0)
        case "falling":
            return np.all(np.diff(x, axis=-1) < 0, axis=-1) & (x[..., 0] < 1) & (x[..., -1] > 0)
        case "zero_sum":
            return np.abs(x.sum(-1)) < tolerance * (1.0 + np.abs(x).max(-1))
        case "sphere":
            return np.abs((x**2).sum(-1) - 1) < tolerance
        case "lower_cholesky":
            return _lower_with_positive_diagonal(x)
        case "corr_cholesky":
            return _lower_with_positive_diagonal(x) & np.all(np.abs((x**2).sum(-1) - 1) < tolerance, axis=-1)
        case "corr_matrix":
            unit = np.all(np.abs(np.diagonal(x, axis1=-2, axis2=-1) - 1) < tolerance, axis=-1)
            return unit & _contains("positive_definite", x, [])
        case "positive_definite":
            symmetric = np.all(np.abs(x - np.swapaxes(x, -1, -2)) < tolerance, axis=(-2, -1))
            return symmetric & (np.linalg.eigvalsh(x)[..., 0] > 0)
        case _:
            raise KeyError(kind)


real = Support("real")
positive = Support("positive")
nonnegative = Support("nonnegative")
unit_interval = Support("unit_interval")
boolean = Support("boolean")
nonnegative_integer = Support("nonnegative_integer")
positive_integer = Support("positive_integer")
integer = Support("integer")
real_vector = Support("real_vector")
positive_vector = Support("positive_vector")
real_matrix = Support("real_matrix")
simplex = Support("simplex")
ordered = Support("ordered")
positive_ordered = Support("positive_ordered")
falling = Support("falling")
zero_sum = Support("zero_sum")
sphere = Support("sphere")
lower_cholesky = Support("lower_cholesky")
corr_cholesky = Support("corr_cholesky")
corr_matrix = Support("corr_matrix")
positive_definite = Support("positive_definite")


def interval(low: object, high: object) -> Support:
    """Real numbers between two bounds, which may be values."""
    return Support("interval", (lift(low), lift(high)))


def half_open_interval(low: object, high: object) -> Support:
    """Real numbers from a lower bound, which belongs to the set, to an upper one, which does not."""
    return Support("half_open_interval", (lift(low), lift(high)))


def censored(low: object, high: object) -> Support:
    """Real numbers between two limits that have a probability of their own; data may lie there, no latent can."""
    return Support("censored", (lift(low), lift(high)))


def greater_than(low: object) -> Support:
    """Real numbers above a bound."""
    return Support("greater_than", (lift(low),))


def less_than(high: object) -> Support:
    """Real numbers below a bound."""
    return Support("less_than", (lift(high),))


def integer_interval(low: object, high: object) -> Support:
    """Integers between two bounds, both included."""
    return Support("integer_interval", (lift(low), lift(high)))


def multinomial(total_count: object) -> Support:
    """Vectors of counts that sum to `total_count`."""
    return Support("multinomial", (lift(total_count),))


def row_of(table: object) -> Support:
    """The rows of a table, shape (rows, features)."""
    return Support("row", (lift(table),))


# Angles, in radians; the ends are one direction.
circular = interval(-np.pi, np.pi)
