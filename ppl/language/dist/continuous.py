"""Location-scale families: a standard distribution on the real line, moved and stretched."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, positive, real
from ppl.program.values import Shape, Value, lift

from . import algebra as al
from .algebra import Number, add, log, mul, neg, square

HALF_LOG_2PI = al.HALF_LOG_2PI


def normal_log_prob(z: Number) -> Number:
    """Log density of the standard normal distribution."""
    return add(mul(-0.5, square(z)), -HALF_LOG_2PI)


def cauchy_log_prob(z: Number) -> Number:
    """Log density of the standard Cauchy distribution."""
    return add(neg(al.log1p(square(z))), -al.LOG_PI)


def student_log_prob(z: Number, df: Number) -> Number:
    """Log density of Student's t distribution with location 0 and scale 1."""
    half = mul(0.5, df)
    norm = add(al.lgamma(add(half, 0.5)), neg(al.lgamma(half)), mul(-0.5, log(mul(math.pi, df))))
    return add(norm, neg(mul(add(half, 0.5), al.log1p(al.div(square(z), df)))))


def student_draw(noise: NoiseSource, df: Value, shape: Shape) -> Value:
    """A draw of Student's t distribution with location 0 and scale 1: a normal over the root of a gamma."""
    half = lift(mul(0.5, df))
    gamma = noise.native("gamma", al.reals(half), shape, "float")
    return noise.normal(shape) * apply("sqrt", half / gamma)


class LocationScale(Distribution):
    """A standard distribution, moved by `loc` and stretched by `scale`.

    A family states its standard form; the density of a draw then comes from the noise without undoing the shift.

    Class attributes:
        tail: "symmetric" if the standard form is symmetric about zero, which is what truncation needs.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive}
    tail: ClassVar[str] = "symmetric"

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0) -> None:
        super().__init__({"loc": loc, "scale": scale})

    @property
    def support(self) -> Support:
        """All real numbers."""
        return real

    @abstractmethod
    def standard_log_prob(self, z: Value) -> Number:
        """Log density of the standard form."""

    @abstractmethod
    def standard_draw(self, noise: NoiseSource) -> Value:
        """A draw of the standard form, of shape `event_shape`."""

    def standard_draw_with_log_prob(self, noise: NoiseSource) -> tuple[Value, Number]:
        """A draw of the standard form and its log density."""
        z = self.standard_draw(noise)
        return z, self.standard_log_prob(z)

    def standard_log_cdf(self, z: Value) -> Number:
        """Log of the cumulative distribution function of the standard form, accurate in the lower tail."""
        self._lacks("cumulative distribution function")

    def standard_icdf(self, probability: Value) -> Number:
        """Quantile function of the standard form."""
        self._lacks("quantile function")

    def to_standard(self, value: Number) -> Number:
        """(value - loc) / scale."""
        return al.standardise(value, self.params["loc"], self.params["scale"])

    def from_standard(self, z: Number) -> Value:
        """Loc + scale * z."""
        return lift(al.shift(z, self.params["loc"], self.params["scale"]))

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each element, in nats."""
        z = lift(self.to_standard(value))
        return lift(add(self.standard_log_prob(z), neg(log(self.params["scale"]))))

    def draw(self, noise: NoiseSource) -> Value:
        """Loc + scale * noise."""
        return self.from_standard(self.standard_draw(noise))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the noise."""
        z, terms = self.standard_draw_with_log_prob(noise)
        return self.from_standard(z), lift(add(terms, neg(log(self.params["scale"]))))

    def log_cdf(self, value: Value) -> Value:
        """Log probability of an element being at most `value`, in nats."""
        return lift(self.standard_log_cdf(lift(self.to_standard(value))))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        z = lift(self.to_standard(value))
        if self.tail == "symmetric":
            return lift(self.standard_log_cdf(-z))
        return lift(al.log1mexp(neg(self.standard_log_cdf(z))))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return apply("exp", self.log_cdf(value))

    def icdf(self, probability: Value) -> Value:
        """Quantile of each element."""
        return self.from_standard(self.standard_icdf(probability))

    def element_mean(self) -> Value:
        """The location, where the standard form has mean zero."""
        return self.params["loc"]

    def _scaled_variance(self, standard: float) -> Value:
        return lift(mul(standard, square(self.params["scale"])))


class Normal(LocationScale):
    """Normal distribution.

    Args:
        loc: mean.
        scale: standard deviation, positive.
    """

    def standard_log_prob(self, z: Value) -> Number:
        """-z**2 / 2, normalised."""
        return normal_log_prob(z)

    def standard_draw(self, noise: NoiseSource) -> Value:
        """Standard normal noise."""
        return noise.normal(self.event_shape)

    def standard_log_cdf(self, z: Value) -> Number:
        """Log of the normal cdf, accurate in the lower tail."""
        return apply("log_ndtr", z)

    def standard_icdf(self, probability: Value) -> Number:
        """Normal quantile."""
        return apply("ndtri", probability)

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return apply("ndtr", self.to_standard(value))

    def element_variance(self) -> Value:
        """The squared scale."""
        return self._scaled_variance(1.0)


class Cauchy(LocationScale):
    """Cauchy distribution; it has neither mean nor variance.

    Args:
        loc: median.
        scale: half the distance between the quartiles, positive.
    """

    def standard_log_prob(self, z: Value) -> Number:
        """-log(1 + z**2), normalised."""
        return cauchy_log_prob(z)

    def standard_draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return lift(self.standard_icdf(noise.uniform(self.event_shape)))

    def standard_log_cdf(self, z: Value) -> Number:
        """Log of the angle seen from z; atan2 keeps the lower tail, where atan(z) + pi/2 would cancel."""
        return add(log(apply("atan2", 1.0, -z)), -al.LOG_PI)

    def standard_icdf(self, probability: Value) -> Number:
        """tan(pi * (p - 1/2)), written so that a small p keeps its digits."""
        return -1.0 / apply("tan", math.pi * probability)

    def element_mean(self) -> Value:
        """Refused: the integral diverges."""
        self._lacks("mean")


class Laplace(LocationScale):
    """Laplace (double exponential) distribution.

    Args:
        loc: mean.
        scale: mean absolute deviation, positive.
    """

    def standard_log_prob(self, z: Value) -> Number:
        """-|z|, normalised."""
        return add(neg(abs(z)), -al.LOG_2)

    def standard_draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return lift(self.standard_icdf(noise.uniform(self.event_shape)))

    def standard_log_cdf(self, z: Value) -> Number:
        """Z - log 2 below zero."""
        constant = al.number(z)
        if constant is not None:
            tail = 0.5 * math.exp(-abs(constant))
            return math.log(tail) if constant < 0.0 else math.log1p(-tail)
        return al.where(z < 0.0, add(z, -al.LOG_2), al.log1p(mul(-0.5, al.exp(neg(abs(z))))))

    def standard_icdf(self, probability: Value) -> Number:
        """Exponential quantile on either side."""
        # Each side keeps the digits of its own tail: log(2p) below the median, -log(2(1 - p)) above.
        below = probability < 0.5
        tail = apply("where", below, probability, 1.0 - probability)
        size = apply("log", 2.0 * tail)
        return al.where(below, size, -size)

    def element_variance(self) -> Value:
        """Twice the squared scale."""
        return self._scaled_variance(2.0)


class Logistic(LocationScale):
    """Logistic distribution.

    Args:
        loc: mean.
        scale: positive; the standard deviation is pi / sqrt(3) times as large.
    """

    def standard_log_prob(self, z: Value) -> Number:
        """Z - 2 log(1 + exp(z))."""
        return z - 2.0 * apply("softplus", z)

    def standard_draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return apply("logit", noise.uniform(self.event_shape))

    def standard_log_cdf(self, z: Value) -> Number:
        """Log of the sigmoid."""
        return apply("log_sigmoid", z)

    def standard_icdf(self, probability: Value) -> Number:
        """Log odds."""
        return apply("logit", probability)

    def element_variance(self) -> Value:
        """pi**2 / 3 times the squared scale."""
        return self._scaled_variance(math.pi**2 / 3.0)


class Gumbel(LocationScale):
    """Gumbel distribution of maxima.

    Args:
        loc: mode.
        scale: positive.
    """

    tail = "skewed"

    def standard_log_prob(self, z: Value) -> Number:
        """-z - exp(-z)."""
        return neg(z + apply("exp", -z))

    def standard_draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return lift(self.standard_icdf(noise.uniform(self.event_shape)))

    def standard_draw_with_log_prob(self, noise: NoiseSource) -> tuple[Value, Number]:
        """exp(-z) is at hand as -log(u)."""
        waiting = -apply("log", noise.uniform(self.event_shape))
        z = -apply("log", waiting)
        return z, neg(z + waiting)

    def standard_log_cdf(self, z: Value) -> Number:
        """-exp(-z)."""
        return -apply("exp", -z)

    def standard_icdf(self, probability: Value) -> Number:
        """-log(-log(p))."""
        return -apply("log", -apply("log", probability))

    def element_mean(self) -> Value:
        """Loc + Euler's constant * scale."""
        return lift(al.shift(0.5772156649015329, self.params["loc"], self.params["scale"]))

    def element_variance(self) -> Value:
        """pi**2 / 6 times the squared scale."""
        return self._scaled_variance(math.pi**2 / 6.0)


class StudentT(LocationScale):
    """Student's t distribution.

    Args:
        df: degrees of freedom, positive.
        loc: median.
        scale: positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"df": positive, "loc": real, "scale": positive}
    positional = 3

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0) -> None:
        Distribution.__init__(self, {"df": df, "loc": loc, "scale": scale})

    def standard_log_prob(self, z: Value) -> Number:
        """Power law in 1 + z**2 / df."""
        return student_log_prob(z, self.params["df"])

    def standard_draw(self, noise: NoiseSource) -> Value:
        """A normal over the root of a gamma."""
        return student_draw(noise, self.params["df"], self.event_shape)

    def element_mean(self) -> Value:
        """The location; NaN for df <= 1."""
        return al.where(self.params["df"] > 1.0, self.params["loc"], math.nan)

    def element_variance(self) -> Value:
        """Scale**2 * df / (df - 2); infinite for 1 < df <= 2, NaN for df <= 1."""
        df = self.params["df"]
        safe = apply("where", df > 2.0, df, 3.0)
        finite = mul(square(self.params["scale"]), al.div(safe, safe - 2.0))
        return al.where(df > 2.0, finite, al.where(df > 1.0, math.inf, math.nan))
