"""Sums over all values of a discrete site, weighted by the guide's probabilities.

Under a linear objective every value is a lane, and costs are summed exactly. Where particles are coupled, the particles
are drawn, and the gradient sums over the values of one particle at a time.

Reference: Titsias and Lázaro-Gredilla (2015), Local expectation gradients for black box variational inference.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np

from ppl.posterior.methods import register
from ppl.program.distributions import Distribution
from ppl.program.ops import apply, element, leave
from ppl.program.values import Axis, Value, constant, is_constant

from .contract import LANE_BUDGET, Draw, Drawn, Phantom, stopped, zero


def element_values(dist: Distribution) -> np.ndarray | None:
    """The values of one independent element, shape (values, event of one draw); None if they are too many to list."""
    kind, bounds = dist.support.kind, dist.support.bounds
    if kind == "boolean":
        return np.arange(2)
    if kind == "integer_interval" and all(is_constant(b) for b in bounds):
        low, high = (int(b.attr("value")) for b in bounds)
        return np.arange(low, high + 1) if high - low < 1000 else None
    if dist.family == "OneHotCategorical":
        return np.eye(dist.event_shape[-1], dtype=int)
    return None


def count_values(dist: Distribution) -> float:
    """The number of joint values of all elements; infinite if unknown."""
    values = element_values(dist)
    return math.inf if values is None else float(len(values)) ** math.prod(dist.element_shape)


def support_table(dist: Distribution) -> np.ndarray:
    """All joint values, shape (values, event)."""
    values = element_values(dist)
    assert values is not None
    joint = itertools.product(range(len(values)), repeat=math.prod(dist.element_shape))
    rows = values[np.array(list(joint), dtype=int)]
    return rows.reshape(len(rows), *dist.event_shape)


def along(table: np.ndarray, lane: Axis) -> Value:
    """The rows of a table as alternatives on a lane; whole numbers that count up are the index of the lane itself."""
    if table.ndim == 1 and np.array_equal(table, np.arange(len(table)) + table[0]):
        index = Value("plate_index", (), (("plate", lane),), (lane,), (), "int")
        return apply("add", index, int(table[0])) if table[0] else index
    return element(constant(table), lane)


def may_be_zero(dist: Distribution) -> bool:
    """Whether a value can have probability zero: not where the parameters are log odds."""
    return "logits" not in dist.params


@register
@dataclass(frozen=True)
class Enumerate:
    """For discrete sites of few values."""

    @property
    def bias(self) -> str | None:
        """None."""
        return None

    def refusal(self, dist: Distribution) -> str | None:
        """The values have to be finitely many, and within the budget."""
        count = count_values(dist)
        if math.isinf(count):
            return f"{dist.family} has no finite list of values to sum over"
        if count > LANE_BUDGET:
            return f"it has {count:.0f} joint values, and the budget is {LANE_BUDGET} lanes"
        return None

    def lanes(self, dist: Distribution) -> int:
        """The number of joint values."""
        return int(count_values(dist))

    def draw(self, draw: Draw) -> Drawn:
        """All values on a lane; or a draw, with all values for the gradient."""
        table = support_table(draw.dist)
        lane = draw.lane(len(table))
        values = along(table, lane)
        chance = apply("exp", draw.score(values))
        if not draw.exact:
            value = stopped(draw.dist.draw(draw.noise))
            return Drawn(value, draw.at(value), phantoms=(Phantom(values, zero(chance), lane),))
        if may_be_zero(draw.dist):
            # A value of probability zero would bring 0 * inf: the likeliest value stands in, and counts for nothing.
            values = self._replaced(draw, table, values, chance)
        return Drawn(values, draw.at(values), lane=lane, probability=chance)

    def _replaced(self, draw: Draw, table: np.ndarray, values: Value, chance: Value) -> Value:
        best = draw.lane(len(table))
        others = along(table, best)
        log_chance = stopped(draw.score(others))
        which = apply("argmax", leave(log_chance, (best,)), axis=(-1,))
        likeliest = apply("take", constant(table), which)
        possible = apply("greater", stopped(chance), 0.0)
        return apply("where", possible, values, likeliest)
