"""Families that are increasing functions of an exponential waiting time."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, nonnegative, positive
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, div, exp, lgamma, log, mul, neg, square, sub
from .guards import inside


class Waiting(Distribution):
    """An increasing function of a standard exponential variable, the waiting time."""

    tail: ClassVar[str] = "exponential"

    @abstractmethod
    def to_standard(self, value: Number) -> Number:
        """The waiting time that a value stands for."""

    @abstractmethod
    def from_standard(self, z: Number) -> Value:
        """The value for a waiting time."""

    @abstractmethod
    def floor(self) -> Number:
        """The least value."""

    @property
    def endless(self) -> bool:
        """Whether every waiting time stands for a finite value, however long: there is no greatest value."""
        return True

    def draw(self, noise: NoiseSource) -> Value:
        """The value for a waiting time of -log(uniform noise)."""
        return self.from_standard(-apply("log", noise.uniform(self.event_shape)))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        return lift(neg(self.to_standard(apply("maximum", value, self.floor()))))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return lift(neg(al.expm1(self.log_survival(value))))

    def icdf(self, probability: Value) -> Value:
        """Quantile of each element."""
        return self.from_standard(-apply("log1p", -probability))


class Exponential(Waiting):
    """Exponential distribution.

    Args:
        rate: events per unit, positive; the mean is 1 / rate.
    """

    parameters: ClassVar[dict[str, Support]] = {"rate": positive}

    def __init__(self, rate: Any = 1.0) -> None:
        super().__init__({"rate": rate})

    @property
    def support(self) -> Support:
        """Numbers from zero upwards."""
        return nonnegative

    def floor(self) -> Number:
        """Zero."""
        return 0.0

    def element_log_prob(self, value: Value) -> Value:
        """log(rate) - rate * value."""
        rate = self.params["rate"]
        return inside(self, value, lambda x: add(log(rate), neg(mul(rate, x))))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the noise."""
        negative_time = apply("log", noise.uniform(self.event_shape))
        return self.from_standard(-negative_time), lift(add(negative_time, log(self.params["rate"])))

    def to_standard(self, value: Number) -> Number:
        """Rate * value."""
        return mul(self.params["rate"], value)

    def from_standard(self, z: Number) -> Value:
        """Z / rate."""
        return lift(div(z, self.params["rate"]))

    def element_mean(self) -> Value:
        """1 / rate."""
        return lift(div(1.0, self.params["rate"]))

    def element_variance(self) -> Value:
        """1 / rate**2."""
        return lift(div(1.0, square(self.params["rate"])))


class Weibull(Waiting):
    """Weibull distribution.

    Args:
        scale: positive; about 63% of the draws lie below it.
        concentration: shape, positive; above 1 the hazard rises.
    """

    parameters: ClassVar[dict[str, Support]] = {"scale": positive, "concentration": positive}

    def __init__(self, scale: Any, concentration: Any) -> None:
        super().__init__({"scale": scale, "concentration": concentration})

    @property
    def support(self) -> Support:
        """Positive numbers."""
        return positive

    def floor(self) -> Number:
        """Zero."""
        return 0.0

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        scale, k = self.params["scale"], self.params["concentration"]
        logarithm = log(div(x, scale))
        power = mul(k, logarithm)
        return add(power, neg(logarithm), neg(exp(power)), log(div(k, scale)))

    def to_standard(self, value: Number) -> Number:
        """(value / scale) ** concentration."""
        return apply("pow", div(value, self.params["scale"]), self.params["concentration"])

    def from_standard(self, z: Number) -> Value:
        """Scale * z ** (1 / concentration)."""
        return lift(mul(self.params["scale"], apply("pow", z, div(1.0, self.params["concentration"]))))

    def element_mean(self) -> Value:
        """Scale * gamma(1 + 1 / concentration)."""
        return lift(mul(self.params["scale"], exp(lgamma(add(1.0, div(1.0, self.params["concentration"]))))))

    def element_variance(self) -> Value:
        """Scale**2 * (gamma(1 + 2 / concentration) - gamma(1 + 1 / concentration)**2)."""
        k = self.params["concentration"]
        second = exp(lgamma(add(1.0, div(2.0, k))))
        first = exp(mul(2.0, lgamma(add(1.0, div(1.0, k)))))
        return lift(mul(square(self.params["scale"]), sub(second, first)))


class Pareto(Waiting):
    """Pareto distribution: a power law above a least value.

    Args:
        scale: least value, positive.
        alpha: exponent of the survival function, positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"scale": positive, "alpha": positive}

    def __init__(self, scale: Any, alpha: Any) -> None:
        super().__init__({"scale": scale, "alpha": alpha})

    @property
    def support(self) -> Support:
        """Numbers above the scale."""
        return supports.greater_than(self.params["scale"])

    def floor(self) -> Number:
        """The scale."""
        return self.params["scale"]

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        scale, alpha = self.params["scale"], self.params["alpha"]
        return add(log(alpha), mul(alpha, log(scale)), neg(mul(add(alpha, 1.0), log(x))))

    def to_standard(self, value: Number) -> Number:
        """Alpha * log(value / scale)."""
        return mul(self.params["alpha"], log(div(value, self.params["scale"])))

    def from_standard(self, z: Number) -> Value:
        """Scale * exp(z / alpha)."""
        return lift(mul(self.params["scale"], exp(div(z, self.params["alpha"]))))

    def element_mean(self) -> Value:
        """Alpha * scale / (alpha - 1); infinite for alpha <= 1."""
        scale, alpha = self.params["scale"], self.params["alpha"]
        safe = apply("where", alpha > 1.0, alpha, 2.0)
        return al.where(alpha > 1.0, scale * safe / (safe - 1.0), math.inf)

    def element_variance(self) -> Value:
        """Scale**2 * alpha / ((alpha - 1)**2 (alpha - 2)); infinite for alpha <= 2."""
        scale, alpha = self.params["scale"], self.params["alpha"]
        safe = apply("where", alpha > 2.0, alpha, 3.0)
        finite = apply("square", scale / (safe - 1.0)) * safe / (safe - 2.0)
        return al.where(alpha > 2.0, finite, math.inf)
