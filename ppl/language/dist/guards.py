"""Guards at the edge of a support, and a check that several families share."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ppl.errors import ModelError, user_location
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.supports import Support
from ppl.program.values import Shape, Value, lift

from .algebra import Number, add, last, mul, number, sum_last, where


def member(support: Support, value: Value) -> Value | None:
    """Whether a value lies in a support, per element; None where all numbers do."""
    bounds = support.bounds
    whole = None if value.dtype != "float" else apply("equal", apply("floor", value), value)
    match support.kind:
        case "real" | "real_vector" | "real_matrix":
            return None
        case "positive_vector":
            return apply("all", value > 0.0, axis=(-1,))
        case "positive":
            return value > 0.0
        case "nonnegative":
            return value >= 0.0
        case "unit_interval":
            return (value >= 0.0) & (value <= 1.0)
        case "interval" | "censored":
            return (value >= bounds[0]) & (value <= bounds[1])
        case "half_open_interval":
            return (value >= bounds[0]) & (value < bounds[1])
        case "greater_than":
            return value > bounds[0]
        case "less_than":
            return value < bounds[0]
        case "boolean":
            return apply("equal", value * value, value)
        case "integer":
            return whole
        case "nonnegative_integer":
            return _both(value >= 0, whole)
        case "positive_integer":
            return _both(value >= 1, whole)
        case "integer_interval":
            return _both((value >= bounds[0]) & (value <= bounds[1]), whole)
        case "multinomial":
            elements = apply("all", _both(value >= 0, whole), axis=(-1,))
            return elements & apply("equal", sum_last(value), bounds[0])
        case "row":
            return apply("any", apply("all", apply("equal", value[..., None, :], bounds[0]), axis=(-1,)), axis=(-1,))
        case "simplex":
            return apply("all", value >= 0.0, axis=(-1,)) & (abs(sum_last(value) - 1.0) < 1e-4)
        case "ordered":
            return apply("all", last(value, slice(1, None)) > last(value, slice(None, -1)), axis=(-1,))
        case "positive_ordered":
            rising = apply("all", last(value, slice(1, None)) > last(value, slice(None, -1)), axis=(-1,))
            return rising & (last(value, 0) > 0.0)
        case "falling":
            falls = apply("all", last(value, slice(1, None)) < last(value, slice(None, -1)), axis=(-1,))
            return falls & (last(value, 0) < 1.0) & (last(value, -1) > 0.0)
        case "zero_sum":
            return abs(sum_last(value)) < 1e-4 * (1.0 + apply("max", abs(value), axis=(-1,)))
        case "sphere":
            return abs(sum_last(apply("square", value)) - 1.0) < 1e-4
        case "lower_cholesky" | "corr_cholesky" | "positive_definite" | "corr_matrix":
            return apply("all", apply("diagonal", value) > 0.0, axis=(-1,))
        case _:
            raise KeyError(support.kind)


def _both(a: Value, b: Value | None) -> Value:
    return a if b is None else a & b


def inner_point(support: Support, shape: Shape) -> Value:
    """A member of a support that is far from its edge, for values of an event shape."""
    bounds, size = support.bounds, shape[-1] if shape else 1
    match support.kind:
        case "interval" | "half_open_interval":
            return lift(mul(0.5, add(bounds[0], bounds[1])))
        case "greater_than":
            return lift(add(bounds[0], 1.0))
        case "less_than":
            return lift(add(bounds[0], -1.0))
        case "integer_interval":
            return bounds[0]
        case "row":
            return bounds[0][0]
        case "unit_interval":
            return lift(0.5)
        case "simplex":
            return lift(1.0 / size)
        case "ordered":
            return lift(np.arange(float(size)))
        case "positive_ordered":
            return lift(np.arange(1.0, size + 1.0))
        case "falling":
            return lift(np.linspace(0.9, 0.1, size))
        case "zero_sum":
            return lift(np.linspace(-1.0, 1.0, size))
        case "sphere":
            return lift(np.eye(size)[0])
        case "multinomial":
            first = number(bounds[0])
            return lift(np.array([int(first or 0)] + [0] * (size - 1)))
        case "lower_cholesky" | "corr_cholesky" | "positive_definite" | "corr_matrix":
            return lift(np.eye(size))
        case "boolean" | "nonnegative_integer" | "integer":
            return lift(0)
        case "positive_integer":
            return lift(1)
        case _:
            return lift(1.0)


def inside(dist: Distribution, value: Value, density: Callable[[Value], Number]) -> Value:
    """A log density that is -inf outside the support, with finite gradients everywhere.

    Args:
        dist: the distribution, whose `checked` switches the guard.
        value: where the density is wanted.
        density: log density of values inside the support. Outsiders are replaced before it is evaluated, so that the
            formula never sees one and no NaN enters the gradient.
    """
    ok = member(dist.support, value) if dist.checked else None
    if ok is None:
        return lift(density(value))
    wide = ok
    for _ in range(value.ndim - ok.ndim):
        wide = wide[..., None]
    inner = density(apply("where", wide, value, inner_point(dist.support, value.shape)))
    # A draw of several numbers is inside if all of them are.
    joint = dist.event_rank - (value.ndim - ok.ndim)
    if joint > 0:
        ok = apply("all", ok, axis=tuple(range(-joint, 0)))
    return where(ok, inner, -math.inf)


def exactly_one(family: str, **options: object) -> None:
    """Refuse a family whose alternative parameters were given twice or not at all.

    Raises:
        ModelError: none or several of the options are given.
    """
    given = [name for name, item in options.items() if item is not None]
    if len(given) != 1:
        raise ModelError(
            f"{family} takes exactly one of {', '.join(options)}.",
            declared_at=user_location(),
            expected=f"{family}({next(iter(options))}=...)",
            got=", ".join(given) if given else "none of them",
        )
