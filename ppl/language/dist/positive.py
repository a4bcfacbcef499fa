"""Families over positive numbers: the log-normal and the absolute values of symmetric variables."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, nonnegative, positive, real
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, div, exp, log, mul, neg, square
from .continuous import cauchy_log_prob, normal_log_prob, student_draw, student_log_prob
from .guards import inside


class LogNormal(Distribution):
    """Log-normal distribution: the exponential of a normal variable.

    Args:
        loc: mean of the logarithm.
        scale: standard deviation of the logarithm, positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive}
    tail: ClassVar[str] = "symmetric"

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0) -> None:
        super().__init__({"loc": loc, "scale": scale})

    @property
    def support(self) -> Support:
        """Positive numbers."""
        return positive

    def element_log_prob(self, value: Value) -> Value:
        """Normal density of the logarithm, less the logarithm."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        logarithm = log(x)
        z = al.standardise(logarithm, self.params["loc"], self.params["scale"])
        return add(normal_log_prob(z), neg(log(self.params["scale"])), neg(logarithm))

    def draw(self, noise: NoiseSource) -> Value:
        """Exponential of a normal draw."""
        return self.from_standard(noise.normal(self.event_shape))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the noise."""
        z = noise.normal(self.event_shape)
        logarithm = al.shift(z, self.params["loc"], self.params["scale"])
        return lift(exp(logarithm)), lift(add(normal_log_prob(z), neg(log(self.params["scale"])), neg(logarithm)))

    def to_standard(self, value: Number) -> Number:
        """(log(value) - loc) / scale."""
        return al.standardise(log(value), self.params["loc"], self.params["scale"])

    def from_standard(self, z: Number) -> Value:
        """exp(loc + scale * z)."""
        return lift(exp(al.shift(z, self.params["loc"], self.params["scale"])))

    def standard_log_cdf(self, z: Value) -> Number:
        """Log of the normal cdf."""
        return apply("log_ndtr", z)

    def standard_icdf(self, probability: Value) -> Number:
        """Normal quantile."""
        return apply("ndtri", probability)

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return apply("ndtr", self.to_standard(value))

    def log_cdf(self, value: Value) -> Value:
        """Log probability of an element being at most `value`, in nats."""
        return apply("log_ndtr", self.to_standard(value))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        return apply("log_ndtr", neg(self.to_standard(value)))

    def icdf(self, probability: Value) -> Value:
        """Quantile of each element."""
        return self.from_standard(self.standard_icdf(probability))

    def element_mean(self) -> Value:
        """exp(loc + scale**2 / 2)."""
        return lift(exp(add(self.params["loc"], mul(0.5, square(self.params["scale"])))))

    def element_variance(self) -> Value:
        """(exp(scale**2) - 1) exp(2 loc + scale**2)."""
        s2 = square(self.params["scale"])
        return lift(mul(al.expm1(s2), exp(add(mul(2.0, self.params["loc"]), s2))))


class Half(Distribution):
    """The absolute value of a symmetric variable with location zero."""

    parameters: ClassVar[dict[str, Support]] = {"scale": positive}

    def __init__(self, scale: Any = 1.0) -> None:
        super().__init__({"scale": scale})

    @property
    def support(self) -> Support:
        """Numbers from zero upwards."""
        return nonnegative

    @abstractmethod
    def whole_log_prob(self, z: Value) -> Number:
        """Log density of the symmetric variable with scale 1."""

    @abstractmethod
    def standard_draw(self, noise: NoiseSource) -> Value:
        """A nonnegative draw with scale 1."""

    def _density(self, z: Value) -> Number:
        return add(self.whole_log_prob(z), al.LOG_2, neg(log(self.params["scale"])))

    def element_log_prob(self, value: Value) -> Value:
        """Twice the symmetric density."""
        return inside(self, value, lambda x: self._density(lift(div(x, self.params["scale"]))))

    def draw(self, noise: NoiseSource) -> Value:
        """Scale * |noise|."""
        return lift(mul(self.params["scale"], self.standard_draw(noise)))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the noise."""
        z = self.standard_draw(noise)
        return lift(mul(self.params["scale"], z)), lift(self._density(z))


class HalfNormal(Half):
    """Half-normal distribution.

    Args:
        scale: standard deviation of the normal variable whose absolute value this is, positive.
    """

    def whole_log_prob(self, z: Value) -> Number:
        """Normal log density."""
        return normal_log_prob(z)

    def standard_draw(self, noise: NoiseSource) -> Value:
        """|normal noise|."""
        return abs(noise.normal(self.event_shape))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return apply("erf", mul(math.sqrt(0.5), div(apply("maximum", value, 0.0), self.params["scale"])))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        return lift(add(apply("log_ndtr", neg(div(apply("maximum", value, 0.0), self.params["scale"]))), al.LOG_2))

    def icdf(self, probability: Value) -> Value:
        """Quantile of each element."""
        return lift(mul(math.sqrt(2.0), mul(self.params["scale"], apply("erfinv", probability))))

    def element_mean(self) -> Value:
        """Scale * sqrt(2 / pi)."""
        return lift(mul(math.sqrt(2.0 / math.pi), self.params["scale"]))

    def element_variance(self) -> Value:
        """Scale**2 * (1 - 2 / pi)."""
        return lift(mul(1.0 - 2.0 / math.pi, square(self.params["scale"])))


class HalfCauchy(Half):
    """Half-Cauchy distribution; it has neither mean nor variance.

    A horseshoe prior is no family, since its marginal density is no elementary function, but two sites: shrinkage
    `s ~ HalfCauchy(1.0)` and `z ~ Normal(0.0, 1.0)`, whose product with the global scale is the coefficient.

    Args:
        scale: median, positive.

    Reference: Carvalho, Polson and Scott (2010), The horseshoe estimator for sparse signals, section 1.
    """

    def whole_log_prob(self, z: Value) -> Number:
        """Cauchy log density."""
        return cauchy_log_prob(z)

    def standard_draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return apply("tan", (0.5 * math.pi) * noise.uniform(self.event_shape))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        z = div(apply("maximum", value, 0.0), self.params["scale"])
        return lift(mul(2.0 / math.pi, apply("atan2", z, 1.0)))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        z = div(apply("maximum", value, 0.0), self.params["scale"])
        return lift(add(log(apply("atan2", 1.0, z)), math.log(2.0 / math.pi)))

    def icdf(self, probability: Value) -> Value:
        """Quantile of each element."""
        return lift(mul(self.params["scale"], apply("tan", (0.5 * math.pi) * probability)))


class HalfStudentT(Half):
    """The absolute value of a Student's t variable.

    Args:
        df: degrees of freedom, positive.
        scale: positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"df": positive, "scale": positive}

    def __init__(self, df: Any, scale: Any = 1.0) -> None:
        Distribution.__init__(self, {"df": df, "scale": scale})

    def whole_log_prob(self, z: Value) -> Number:
        """Student log density."""
        return student_log_prob(z, self.params["df"])

    def standard_draw(self, noise: NoiseSource) -> Value:
        """|normal over the root of a gamma|."""
        return abs(student_draw(noise, self.params["df"], self.event_shape))
