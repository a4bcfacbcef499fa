"""Antithetic gradients of Bernoulli sites: two draws from one uniform variable, and costs at both.

References: Yin and Zhou (2019), ARM: augment-REINFORCE-merge gradient for stochastic binary networks; Dong, Mnih and
Tucker (2020), DisARM; Yin et al. (2020), Probabilistic best subset selection (U2G).
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.posterior.methods import register
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.values import Value

from .contract import Draw, Drawn, Phantom, stopped, zero


def log_odds(dist: Distribution) -> Value:
    """Log odds of a Bernoulli distribution, of its whole event shape."""
    value = dist.params["logits"] if "logits" in dist.params else apply("logit", dist.params["probs"])
    return apply("broadcast_to", value, shape=dist.event_shape) if dist.event_shape else value


def _bit(condition: Value) -> Value:
    return apply("astype", condition, dtype="int")


def _total(weight: Value) -> Value:
    return apply("sum", weight, axis=tuple(range(-weight.ndim, 0))) if weight.ndim else weight


@dataclass(frozen=True)
class _Antithetic:
    """What both have in common: a draw and its antithetic twin; all elements move at once."""

    @property
    def bias(self) -> str | None:
        """None."""
        return None

    def refusal(self, dist: Distribution) -> str | None:
        """Binary sites only."""
        return None if dist.family == "Bernoulli" else f"it needs a Bernoulli site, and this is {dist.family}"

    def lanes(self, dist: Distribution) -> int:
        """Two."""
        return 2

    def draw(self, draw: Draw) -> Drawn:
        """A draw that is a constant, and its twin."""
        odds = log_odds(draw.dist)
        u = draw.noise.uniform(draw.dist.event_shape)
        chance = apply("sigmoid", odds)
        b = stopped(_bit(apply("less", u, chance)))
        twin = stopped(_bit(apply("less", apply("subtract", 1.0, u), chance)))
        weight = self.weight(odds, u, b, twin)
        return Drawn(b, draw.at(b), phantoms=(Phantom(twin, _total(weight), joint=True),))

    def weight(self, odds: Value, u: Value, b: Value, twin: Value) -> Value:
        """What multiplies the cost at the twin less the cost at the draw, for each element."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class ARM(_Antithetic):
    """Augment-REINFORCE-merge."""

    def weight(self, odds: Value, u: Value, b: Value, twin: Value) -> Value:
        """The distance of the uniform variable from 1/2."""
        return apply("multiply", apply("subtract", u, 0.5), zero(odds))


@register
@dataclass(frozen=True)
class DisARM(_Antithetic):
    """ARM with the uniform variable averaged out given both draws."""

    def weight(self, odds: Value, u: Value, b: Value, twin: Value) -> Value:
        """Half the probability of the likelier value, where the draws differ."""
        differ = apply("subtract", twin, b)
        half = apply("multiply", 0.5, apply("sigmoid", apply("abs", stopped(odds))))
        return apply("multiply", apply("multiply", differ, half), zero(odds))
