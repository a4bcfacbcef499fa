"""More families over the unit interval."""

from __future__ import annotations

from typing import Any, ClassVar

from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, positive, real, unit_interval
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, betaln, div, exp, lgamma, log, log1p, mul, neg, softplus, square, sub
from .continuous import normal_log_prob
from .guards import exactly_one, inside
from .special import log_sinhc


class Kumaraswamy(Distribution):
    """Kumaraswamy distribution: close to a beta, with a cdf and a quantile in closed form.

    Args:
        concentration1: power of the value, positive.
        concentration0: power of what is left of one, positive.

    Reference: Kumaraswamy (1980), A generalized probability density function for double-bounded random processes.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration1": positive, "concentration0": positive}

    def __init__(self, concentration1: Any, concentration0: Any) -> None:
        super().__init__({"concentration1": concentration1, "concentration0": concentration0})

    @property
    def support(self) -> Support:
        """The unit interval."""
        return unit_interval

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        a, b = self.params["concentration1"], self.params["concentration0"]
        rest = al.xlogy(sub(b, 1.0), neg(al.expm1(mul(a, log(x)))))
        return add(log(a), log(b), al.xlogy(sub(a, 1.0), x), rest)

    def draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise, kept off 0 and 1, where the density may be infinite."""
        return _kept_inside(self.icdf(noise.uniform(self.event_shape)))

    def icdf(self, probability: Value) -> Value:
        """(1 - (1 - p)**(1 / concentration0))**(1 / concentration1)."""
        a, b = self.params["concentration1"], self.params["concentration0"]
        powered = neg(al.expm1(div(apply("log1p", -probability), b)))
        return lift(exp(div(log(powered), a)))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        a, b = self.params["concentration1"], self.params["concentration0"]
        return lift(mul(b, log(neg(al.expm1(mul(a, log(value)))))))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return lift(neg(al.expm1(self.log_survival(value))))

    def _moment(self, order: float) -> Number:
        a, b = self.params["concentration1"], self.params["concentration0"]
        return mul(b, exp(betaln(add(1.0, div(order, a)), b)))

    def element_mean(self) -> Value:
        """First moment, by a beta function."""
        return lift(self._moment(1.0))

    def element_variance(self) -> Value:
        """Second moment less the squared mean."""
        return lift(sub(self._moment(2.0), square(self._moment(1.0))))


def _kept_inside(x: Value) -> Value:
    # The least that a double and a single tell apart from 0 and 1 in common.
    return apply("minimum", apply("maximum", x, 1e-37), 1.0 - 6e-8)


class LogitNormal(Distribution):
    """Logit-normal distribution: the sigmoid of a normal variable.

    Args:
        loc: mean of the log odds.
        scale: standard deviation of the log odds, positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive}

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0) -> None:
        super().__init__({"loc": loc, "scale": scale})

    @property
    def support(self) -> Support:
        """The unit interval."""
        return unit_interval

    def element_log_prob(self, value: Value) -> Value:
        """Normal density of the log odds, less log(x (1 - x))."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        z = al.standardise(apply("logit", x), self.params["loc"], self.params["scale"])
        return add(normal_log_prob(z), neg(log(self.params["scale"])), neg(log(x)), neg(log1p(neg(x))))

    def draw(self, noise: NoiseSource) -> Value:
        """Sigmoid of a normal draw."""
        return self._from_standard(noise.normal(self.event_shape))

    def _from_standard(self, z: Number) -> Value:
        return apply("clipped_sigmoid", al.shift(z, self.params["loc"], self.params["scale"]))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the noise."""
        z = noise.normal(self.event_shape)
        odds = al.shift(z, self.params["loc"], self.params["scale"])
        volume = sub(mul(2.0, softplus(odds)), odds)
        terms = add(normal_log_prob(z), neg(log(self.params["scale"])), volume)
        return apply("clipped_sigmoid", odds), lift(terms)

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return apply("ndtr", self._to_standard(value))

    def log_cdf(self, value: Value) -> Value:
        """Log probability of an element being at most `value`, in nats."""
        return apply("log_ndtr", self._to_standard(value))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        return apply("log_ndtr", neg(self._to_standard(value)))

    def _to_standard(self, value: Value) -> Number:
        return al.standardise(apply("logit", value), self.params["loc"], self.params["scale"])

    def icdf(self, probability: Value) -> Value:
        """Quantile of each element."""
        return self._from_standard(apply("ndtri", probability))


class BetaProportion(Distribution):
    """Beta distribution by its mean.

    Args:
        mean: between 0 and 1.
        concentration: positive; the variance is mean * (1 - mean) / (1 + concentration).
    """

    parameters: ClassVar[dict[str, Support]] = {"mean": unit_interval, "concentration": positive}

    def __init__(self, mean: Any, concentration: Any) -> None:
        super().__init__({"mean": mean, "concentration": concentration})

    @property
    def support(self) -> Support:
        """The unit interval."""
        return unit_interval

    @property
    def _weights(self) -> tuple[Number, Number]:
        mean, total = self.params["mean"], self.params["concentration"]
        return mul(mean, total), mul(sub(1.0, mean), total)

    def element_log_prob(self, value: Value) -> Value:
        """Beta density with concentrations mean * concentration and (1 - mean) * concentration."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        a, b = self._weights
        norm = add(lgamma(self.params["concentration"]), neg(lgamma(a)), neg(lgamma(b)))
        return add(al.xlogy(sub(a, 1.0), x), al.xlog1py(sub(b, 1.0), neg(x)), norm)

    def draw(self, noise: NoiseSource) -> Value:
        """The backend's own draw, differentiable in the parameters."""
        return noise.native("beta", al.reals(*self._weights), self.event_shape, "float")

    def element_mean(self) -> Value:
        """The mean."""
        return self.params["mean"]

    def element_variance(self) -> Value:
        """Mean * (1 - mean) / (1 + concentration)."""
        mean = self.params["mean"]
        return lift(div(mul(mean, sub(1.0, mean)), add(1.0, self.params["concentration"])))


class ContinuousBernoulli(Distribution):
    """Continuous Bernoulli distribution: the Bernoulli formula on the unit interval, normalised.

    Args:
        probs: between 0 and 1; 1/2 is uniform. It is not the mean.
        logits: log odds, in place of `probs`.

    Reference: Loaiza-Ganem and Cunningham (2019), The continuous Bernoulli: fixing a pervasive error in variational
    autoencoders, equations 6 to 8.
    """

    parameters: ClassVar[dict[str, Support]] = {"probs": unit_interval, "logits": real}

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        exactly_one("ContinuousBernoulli", probs=probs, logits=logits)
        super().__init__({"probs": probs, "logits": logits})

    @property
    def support(self) -> Support:
        """The unit interval."""
        return unit_interval

    @property
    def _logits(self) -> Value:
        return self.params["logits"] if "logits" in self.params else apply("logit", self.params["probs"])

    def element_log_prob(self, value: Value) -> Value:
        """Logits * (x - 1/2) - log(sinh(logits / 2) / (logits / 2))."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        logits = self._logits
        return sub(mul(logits, sub(x, 0.5)), log_sinhc(mul(0.5, abs(logits))))

    def draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return self.icdf(noise.uniform(self.event_shape))

    def icdf(self, probability: Value) -> Value:
        """log(1 + p (exp(logits) - 1)) / logits, taken from the end where the exponential is small."""
        logits = self._logits
        size = abs(logits)
        flat = size < _FLAT
        safe = apply("where", flat, 1.0, size)
        rising = logits > 0.0
        p = apply("where", rising, 1.0 - probability, probability)
        steep = neg(div(log1p(mul(p, al.expm1(neg(safe)))), safe))
        # Near the uniform distribution the first term of the series in the logits.
        level = add(p, mul(0.5, mul(size, mul(p, sub(p, 1.0)))))
        out = al.where(flat, level, steep)
        return al.where(rising, 1.0 - out, out)

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        logits = self._logits
        size = abs(logits)
        flat = size < _FLAT
        safe = apply("where", flat, 1.0, size)
        rising = logits > 0.0
        x = apply("where", rising, 1.0 - value, value)
        steep = div(al.expm1(neg(mul(safe, x))), al.expm1(neg(safe)))
        out = al.where(flat, add(x, mul(0.5, mul(size, mul(x, sub(1.0, x))))), steep)
        return al.where(rising, 1.0 - out, out)

    def element_mean(self) -> Value:
        """1/2 + (coth(logits / 2) - 2 / logits) / 2."""
        logits = self._logits
        flat = abs(logits) < 1e-2
        safe = apply("where", flat, 1.0, logits)
        steep = add(div(0.5, apply("tanh", 0.5 * safe)), neg(div(1.0, safe)))
        return lift(add(0.5, al.where(flat, mul(1.0 / 12.0, logits), steep)))

    def element_variance(self) -> Value:
        """1 / logits**2 - 1 / (4 sinh(logits / 2)**2)."""
        logits = self._logits
        flat = abs(logits) < 0.1
        safe = apply("where", flat, 1.0, logits)
        steep = sub(div(1.0, square(safe)), div(0.25, square(apply("sinh", 0.5 * safe))))
        return al.where(flat, sub(1.0 / 12.0, mul(1.0 / 240.0, square(logits))), steep)


# Logits below which two terms of a series are nearer to the truth than the formula in float32.
_FLAT = 1e-3
