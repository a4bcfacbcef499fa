"""Relaxations: a continuous value in place of a discrete one. Their gradients are biased, and the bias is named.

References: Maddison, Mnih and Teh (2017), The concrete distribution; Jang, Gu and Poole (2017), Categorical
reparameterization with Gumbel-softmax; Bengio, Léonard and Courville (2013), for the straight-through estimator.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.errors import ModelError, StrategyError, user_location
from ppl.inference.schedules import Curve, lowest, scheduled
from ppl.posterior.methods import register
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.values import Value

from .arm import log_odds
from .contract import Draw, Drawn, stopped, zero


@dataclass(frozen=True)
class _Relaxed:
    """What both have in common.

    Attributes:
        temperature: positive; the lower, the closer to discrete and the noisier. A curve anneals it.
        bias: has to say "relaxation".
    """

    temperature: float | Curve = 0.5
    bias: str | None = None

    def __post_init__(self) -> None:
        if self.bias != "relaxation":
            raise StrategyError(
                f"{type(self).__name__} is biased: it fits a relaxed model in place of the discrete one.",
                declared_at=user_location(),
                expected='bias="relaxation"',
                got=f"bias={self.bias!r}",
                remedy=f'Write {type(self).__name__}({self.temperature}, bias="relaxation") if that is meant, or use '
                "Enumerate(), Reinforce(LeaveOneOut()) or DisARM(), which are unbiased.",
            )
        if not lowest(self.temperature) > 0:
            raise ModelError("a temperature is positive.", declared_at=user_location(), got=str(self.temperature))

    def refusal(self, dist: Distribution) -> str | None:
        """Families with a relaxation whose values the densities take."""
        if dist.family in ("Bernoulli", "OneHotCategorical"):
            return None
        more = "; write it as OneHotCategorical" if dist.family == "Categorical" else ""
        return f"{dist.family} has no relaxation{more}"

    def lanes(self, dist: Distribution) -> int:
        """One."""
        return 1

    def draw(self, draw: Draw) -> Drawn:
        """The relaxed draw, and the discrete log density continued to it."""
        soft = self._soft(draw)
        value = self.value(draw.dist, soft)
        return Drawn(value, draw.dist.total(self._log_q(draw.dist, value)))

    def _soft(self, draw: Draw) -> Value:
        dist, uniform = draw.dist, draw.noise.uniform(draw.dist.event_shape)
        if dist.family == "Bernoulli":
            return apply("sigmoid", (log_odds(dist) + apply("logit", uniform)) / scheduled(self.temperature))
        gumbel = -apply("log", -apply("log", uniform))
        logs: Value = getattr(dist, "log_probs")  # noqa: B009 - the family is known by its name only
        return apply("softmax", (logs + gumbel) / scheduled(self.temperature), axis=(-1,))

    def _log_q(self, dist: Distribution, value: Value) -> Value:
        if dist.family == "Bernoulli":
            return apply("bernoulli_log_prob", log_odds(dist), value)
        logs: Value = getattr(dist, "log_probs")  # noqa: B009
        return apply("sum", value * logs, axis=(-1,))

    def value(self, dist: Distribution, soft: Value) -> Value:
        """What the model sees."""
        raise NotImplementedError


@register
@dataclass(frozen=True)
class GumbelSoftmax(_Relaxed):
    """The model sees the relaxed value.

    Attributes:
        temperature: positive; the lower, the closer to discrete and the noisier. A curve anneals it.
        bias: has to say "relaxation".
    """

    def value(self, dist: Distribution, soft: Value) -> Value:
        """The relaxed value."""
        return soft


@register
@dataclass(frozen=True)
class StraightThrough(_Relaxed):
    """The model sees the discrete value; gradients pass as if it were the relaxed one.

    Attributes:
        temperature: positive. A curve anneals it.
        bias: has to say "relaxation".
    """

    def value(self, dist: Distribution, soft: Value) -> Value:
        """The discrete value, with the gradient of the relaxed one."""
        if dist.family == "Bernoulli":
            hard = apply("astype", apply("greater", stopped(soft), 0.5), dtype="float")
        else:
            hard = apply("one_hot", apply("argmax", stopped(soft), axis=(-1,)), size=dist.event_shape[-1])
        return apply("add", hard, zero(soft))
