"""Measure-valued gradients: the derivative of a density as a difference of two densities, each with its own draw.

Each parameter of the site's distribution moves along its weak derivative: c (h(z+) - h(z-)), for z+ and z- drawn from
the two parts of its Hahn-Jordan decomposition. The draws are coupled, so that they differ by as little as they can.

References: Pflug (1996), Optimization of stochastic models; Heidergott, Vázquez-Abad and Volk-Makarewicz (2008);
Mohamed, Rosca, Figurnov and Mnih (2020), Monte Carlo gradient estimation in machine learning, table 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl.posterior.methods import register
from ppl.program.distributions import Distribution
from ppl.program.ops import apply, element
from ppl.program.values import Value, constant, lift, walk

from .contract import LANE_BUDGET, Draw, Drawn, Phantom, stopped, zero


def is_fixed(value: Value) -> bool:
    """Whether a value depends on no parameter and no draw."""
    return all(node.op not in ("param", "site", "noise", "key", "network") for node in walk([value]))


def _wide(value: Any, dist: Distribution) -> Value:
    return apply("broadcast_to", lift(value), shape=dist.event_shape) if dist.event_shape else lift(value)


@dataclass(frozen=True)
class _Move:
    """Another value of one element: `weight` (cost there - cost at the draw) is its part of the gradient."""

    value: Value
    weight: Value


Moves = Callable[[Draw, Value], list[_Move]]


def _bernoulli(draw: Draw, b: Value) -> list[_Move]:
    p = _wide(getattr(draw.dist, "success"), draw.dist)  # noqa: B009 - the family is known by its name only
    sign = apply("subtract", 1.0, apply("multiply", 2.0, b))
    return [_Move(apply("subtract", 1, b), apply("multiply", sign, zero(p)))]


def _categorical(draw: Draw, b: Value) -> list[_Move]:
    probs: Value = getattr(draw.dist, "probs")  # noqa: B009
    size = probs.shape[-1]
    chances = apply("broadcast_to", probs, shape=(*draw.dist.event_shape, size))
    moves: list[_Move] = []
    for j in range(size):
        weight = zero(chances[..., j])
        moves.append(_Move(_wide(lift(j), draw.dist), weight))
    return moves


def _normal(draw: Draw, z: Value) -> list[_Move]:
    loc, scale = (_wide(draw.dist.params[n], draw.dist) for n in ("loc", "scale"))
    shape = draw.dist.event_shape
    moves: list[_Move] = []
    if not is_fixed(loc):
        # A Rayleigh variable on either side of the mean.
        step = apply("sqrt", -2.0 * apply("log", draw.noise.uniform(shape)))
        weight = zero(loc) / stopped(scale * math.sqrt(2.0 * math.pi))
        moves += [_Move(loc + scale * step, weight), _Move(loc - scale * step, -weight)]
    if not is_fixed(scale):
        # A double-sided Maxwell variable, and its product with a uniform one, which is normal.
        parts = [draw.noise.normal(shape) for _ in range(3)]
        radius = apply("sqrt", sum((apply("square", p) for p in parts[1:]), apply("square", parts[0])))
        side = apply("sign", parts[0]) * radius
        weight = zero(scale) / stopped(scale)
        moves.append(_Move(loc + scale * side, weight))
        moves.append(_Move(loc + scale * side * draw.noise.uniform(shape), -weight))
    return moves


def _poisson(draw: Draw, z: Value) -> list[_Move]:
    return [_Move(apply("add", z, 1), zero(_wide(draw.dist.params["rate"], draw.dist)))]


def _waited(draw: Draw) -> Value:
    return -apply("log", draw.noise.uniform(draw.dist.event_shape))


def _exponential(draw: Draw, z: Value) -> list[_Move]:
    rate = _wide(draw.dist.params["rate"], draw.dist)
    return [_Move(z + _waited(draw) / rate, -zero(rate) / stopped(rate))]


def _gamma(draw: Draw, z: Value) -> list[_Move]:
    shape, rate = (_wide(draw.dist.params[n], draw.dist) for n in ("concentration", "rate"))
    return [_Move(z + _waited(draw) / rate, -shape * zero(rate) / stopped(rate))]


def _weibull(draw: Draw, z: Value) -> list[_Move]:
    scale, shape = (_wide(draw.dist.params[n], draw.dist) for n in ("scale", "concentration"))
    power = apply("pow", z / scale, shape) + _waited(draw)
    return [_Move(scale * apply("pow", power, 1.0 / shape), shape * zero(scale) / stopped(scale))]


FAMILIES: dict[str, Moves] = {
    "Bernoulli": _bernoulli,
    "Categorical": _categorical,
    "Exponential": _exponential,
    "Gamma": _gamma,
    "Normal": _normal,
    "Poisson": _poisson,
    "Weibull": _weibull,
}


@register
@dataclass(frozen=True)
class MVD:
    """For Bernoulli, Categorical, Normal, Poisson, Exponential, Gamma (in its rate) and Weibull (in its scale)."""

    @property
    def bias(self) -> str | None:
        """None."""
        return None

    def refusal(self, dist: Distribution) -> str | None:
        """Families without a pair here, parameters it does not cover, and too many lanes."""
        if dist.family not in FAMILIES:
            return f"{dist.family} has no measure-valued derivative here; there are {', '.join(FAMILIES)}"
        if dist.family in ("Gamma", "Weibull") and not is_fixed(dist.params["concentration"]):
            return f"the measure-valued derivative of {dist.family} covers no concentration that is fitted"
        if self.lanes(dist) > LANE_BUDGET:
            return f"it needs {self.lanes(dist)} lanes, and the budget is {LANE_BUDGET}"
        return None

    def lanes(self, dist: Distribution) -> int:
        """One for each alternative of each element, and one for the draw."""
        per = {"Normal": 4}.get(dist.family, 1)
        if dist.family == "Categorical":
            probs: Value = getattr(dist, "probs")  # noqa: B009
            per = probs.shape[-1]
        return 1 + per * math.prod(dist.event_shape)

    def draw(self, draw: Draw) -> Drawn:
        """A draw that is a constant, and its alternatives, one element at a time."""
        z = stopped(draw.dist.draw(draw.noise))
        moves = FAMILIES[draw.dist.family](draw, z)
        if not moves:
            return Drawn(z, draw.at(z))
        count, shape = math.prod(draw.dist.event_shape), draw.dist.event_shape
        lane = draw.lane(len(moves) * count) if len(moves) * count > 1 else None
        if lane is None:
            return Drawn(z, draw.at(z), phantoms=(Phantom(moves[0].value, _total(moves[0].weight)),))
        # Row (i, d) of the lane moves element d by move i.
        at = np.tile(np.eye(count, dtype=bool), (len(moves), 1)).reshape(-1, *shape)
        kind = np.repeat(np.arange(len(moves)), count)
        here = element(constant(at), lane)
        which = element(constant(kind), lane)
        value, weight = z, lift(0.0)
        for i, move in enumerate(moves):
            chosen = apply("logical_and", here, apply("equal", which, i))
            value = apply("where", chosen, stopped(move.value), value)
            weight = apply("where", chosen, move.weight, weight)
        return Drawn(z, draw.at(z), phantoms=(Phantom(value, _total(_wide(weight, draw.dist)), lane),))


def _total(weight: Value) -> Value:
    return apply("sum", weight, axis=tuple(range(-weight.ndim, 0))) if weight.ndim else weight
