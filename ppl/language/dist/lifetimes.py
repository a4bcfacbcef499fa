"""Families over positive numbers for lifetimes, incomes and excesses: long tails, or hazards that grow."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, nonnegative, positive, real
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, betaln, div, exp, log, log1p, mul, neg, softplus, square, sub
from .bounded import check_order
from .guards import inside
from .waiting import Waiting


class Gompertz(Waiting):
    """Gompertz distribution: the hazard grows exponentially, as that of human deaths does.

    Args:
        concentration: hazard at zero over `rate`, positive.
        rate: growth of the hazard, positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive, "rate": positive}

    def __init__(self, concentration: Any, rate: Any = 1.0) -> None:
        super().__init__({"concentration": concentration, "rate": rate})

    @property
    def support(self) -> Support:
        """Numbers from zero upwards."""
        return nonnegative

    def floor(self) -> Number:
        """Zero."""
        return 0.0

    def element_log_prob(self, value: Value) -> Value:
        """Log hazard less the cumulative hazard."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        c, r = self.params["concentration"], self.params["rate"]
        return add(log(c), log(r), mul(r, x), neg(self.to_standard(x)))

    def to_standard(self, value: Number) -> Number:
        """Concentration * (exp(rate * value) - 1)."""
        return mul(self.params["concentration"], al.expm1(mul(self.params["rate"], value)))

    def from_standard(self, z: Number) -> Value:
        """log(1 + z / concentration) / rate."""
        return lift(div(log1p(div(z, self.params["concentration"])), self.params["rate"]))


class GeneralizedPareto(Waiting):
    """Generalised Pareto distribution: what lies above a high threshold.

    Args:
        loc: the threshold.
        scale: positive.
        concentration: 0 is exponential; positive has a power-law tail, negative ends at loc - scale / concentration.

    Reference: Coles (2001), An introduction to statistical modeling of extreme values, equation 4.2.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive, "concentration": real}
    positional = 3

    def __init__(self, loc: Any, scale: Any, concentration: Any) -> None:
        super().__init__({"loc": loc, "scale": scale, "concentration": concentration})

    @property
    def support(self) -> Support:
        """Numbers above the threshold, up to the end if there is one."""
        constant = al.number(self.params["concentration"])
        if constant is not None and constant < 0.0:
            return supports.interval(self.params["loc"], self._end)
        return supports.greater_than(self.params["loc"])

    @property
    def endless(self) -> bool:
        """Whether the concentration is known not to be negative."""
        constant = al.number(self.params["concentration"])
        return constant is not None and constant >= 0.0

    @property
    def _end(self) -> Number:
        return sub(self.params["loc"], div(self.params["scale"], self.params["concentration"]))

    def floor(self) -> Number:
        """The threshold."""
        return self.params["loc"]

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each element; -inf beyond the end, wherever the concentration has put it."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        if not self.checked or al.number(self.params["concentration"]) is not None:
            return self._formula(x)
        reached = add(1.0, mul(self.params["concentration"], self._excess(x)))
        ok = lift(reached) > 0.0
        return al.where(ok, self._formula(apply("where", ok, x, self.params["loc"])), -math.inf)

    def _formula(self, x: Value) -> Number:
        return neg(add(mul(add(1.0, self.params["concentration"]), self.to_standard(x)), log(self.params["scale"])))

    def _excess(self, value: Number) -> Number:
        return al.standardise(value, self.params["loc"], self.params["scale"])

    def to_standard(self, value: Number) -> Number:
        """log(1 + concentration * excess) / concentration; the excess itself near concentration 0."""
        c, y = self.params["concentration"], self._excess(value)
        constant = al.number(c)
        if constant == 0.0:
            return y
        if constant is not None:
            return div(log1p(mul(c, y)), c)
        small = abs(c) < _NEARLY_ZERO
        safe = apply("where", small, 1.0, c)
        near = mul(y, sub(1.0, mul(0.5, mul(c, y))))
        return al.where(small, near, div(log1p(mul(safe, y)), safe))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats; -inf beyond the end."""
        x = apply("maximum", value, self.params["loc"])
        ok = lift(add(1.0, mul(self.params["concentration"], self._excess(x)))) > 0.0
        inner = apply("where", ok, x, self.params["loc"])
        return al.where(ok, neg(self.to_standard(inner)), -math.inf)

    def from_standard(self, z: Number) -> Value:
        """Loc + scale * (exp(concentration * z) - 1) / concentration."""
        c = self.params["concentration"]
        constant = al.number(c)
        if constant == 0.0:
            excess = z
        elif constant is not None:
            excess = div(al.expm1(mul(c, z)), c)
        else:
            small = abs(c) < _NEARLY_ZERO
            safe = apply("where", small, 1.0, c)
            near = mul(z, add(1.0, mul(0.5, mul(c, z))))
            excess = al.where(small, near, div(al.expm1(mul(safe, z)), safe))
        return lift(al.shift(excess, self.params["loc"], self.params["scale"]))

    def element_mean(self) -> Value:
        """Loc + scale / (1 - concentration); infinite from concentration 1."""
        c = self.params["concentration"]
        safe = apply("where", c < 1.0, c, 0.0)
        finite = al.shift(div(1.0, sub(1.0, safe)), self.params["loc"], self.params["scale"])
        return al.where(c < 1.0, finite, math.inf)

    def element_variance(self) -> Value:
        """Scale**2 / ((1 - concentration)**2 (1 - 2 concentration)); infinite from concentration 1/2."""
        c = self.params["concentration"]
        safe = apply("where", c < 0.5, c, 0.0)
        finite = div(square(div(self.params["scale"], sub(1.0, safe))), sub(1.0, mul(2.0, safe)))
        return al.where(c < 0.5, finite, math.inf)


# Where the first two terms of the series are nearer to the truth than the formula in float32.
_NEARLY_ZERO = 1e-4


class LogLogistic(Distribution):
    """Log-logistic distribution: the exponential of a logistic variable; its hazard rises and falls again.

    Args:
        scale: median, positive.
        concentration: inverse scale of the logarithm, positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"scale": positive, "concentration": positive}

    def __init__(self, scale: Any, concentration: Any) -> None:
        super().__init__({"scale": scale, "concentration": concentration})

    @property
    def support(self) -> Support:
        """Positive numbers."""
        return positive

    def element_log_prob(self, value: Value) -> Value:
        """Logistic density of the logarithm, less the logarithm."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        z = self._log_odds(x)
        return add(z, mul(-2.0, softplus(z)), log(self.params["concentration"]), neg(log(x)))

    def _log_odds(self, x: Number) -> Number:
        return mul(self.params["concentration"], sub(log(x), log(self.params["scale"])))

    def draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return self.icdf(noise.uniform(self.event_shape))

    def icdf(self, probability: Value) -> Value:
        """Scale * odds ** (1 / concentration)."""
        power = div(apply("logit", probability), self.params["concentration"])
        return lift(mul(self.params["scale"], exp(power)))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return apply("exp", self.log_cdf(value))

    def log_cdf(self, value: Value) -> Value:
        """Log probability of an element being at most `value`, in nats."""
        return lift(neg(softplus(neg(self._log_odds(value)))))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        return lift(neg(softplus(self._log_odds(value))))

    def _moment(self, order: float) -> Value:
        # Of order r: (r pi / c) / sin(r pi / c), infinite from c = r.
        c = self.params["concentration"]
        finite = c > order
        angle = div(order * math.pi, apply("where", finite, c, 2.0 * order))
        return al.where(finite, div(angle, apply("sin", angle)), math.inf)

    def element_mean(self) -> Value:
        """Scale times (pi / c) / sin(pi / c); infinite for concentrations up to 1."""
        return lift(mul(self.params["scale"], self._moment(1.0)))

    def element_variance(self) -> Value:
        """By the second moment; infinite for concentrations up to 2."""
        c = self.params["concentration"]
        first = al.where(c > 2.0, self._moment(1.0), 0.0)
        return lift(mul(square(self.params["scale"]), sub(self._moment(2.0), square(first))))


class Dagum(Distribution):
    """Dagum distribution, also called Burr III: a model of incomes.

    Args:
        concentration: power of the log-logistic cdf, positive.
        sharpness: decay of the upper tail, positive.
        scale: positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive, "sharpness": positive, "scale": positive}
    positional = 3

    def __init__(self, concentration: Any, sharpness: Any, scale: Any) -> None:
        super().__init__({"concentration": concentration, "sharpness": sharpness, "scale": scale})

    @property
    def support(self) -> Support:
        """Positive numbers."""
        return positive

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        a, b, _ = self.params.values()
        z = self._log_odds(x)
        return add(log(a), log(b), neg(z), neg(mul(add(a, 1.0), softplus(neg(z)))), neg(log(x)))

    def _log_odds(self, x: Number) -> Number:
        return mul(self.params["sharpness"], sub(log(x), log(self.params["scale"])))

    def draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return self.icdf(noise.uniform(self.event_shape))

    def icdf(self, probability: Value) -> Value:
        """Scale * (p**(-1 / concentration) - 1)**(-1 / sharpness)."""
        odds = neg(log(al.expm1(neg(div(log(probability), self.params["concentration"])))))
        return lift(mul(self.params["scale"], exp(div(odds, self.params["sharpness"]))))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return apply("exp", self.log_cdf(value))

    def log_cdf(self, value: Value) -> Value:
        """Log probability of an element being at most `value`, in nats."""
        return lift(neg(mul(self.params["concentration"], softplus(neg(self._log_odds(value))))))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        return lift(al.log1mexp(neg(self.log_cdf(value))))


class Levy(Distribution):
    """Levy distribution; it has neither mean nor variance.

    Args:
        loc: lower end.
        scale: positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive}

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0) -> None:
        super().__init__({"loc": loc, "scale": scale})

    @property
    def support(self) -> Support:
        """Numbers above `loc`."""
        return supports.greater_than(self.params["loc"])

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        scale, distance = self.params["scale"], sub(x, self.params["loc"])
        power = mul(0.5, div(scale, distance))
        return add(mul(0.5, log(scale)), mul(-1.5, log(distance)), neg(power), -al.HALF_LOG_2PI)

    def draw(self, noise: NoiseSource) -> Value:
        """Loc + scale over a squared normal."""
        return lift(add(self.params["loc"], div(self.params["scale"], square(noise.normal(self.event_shape)))))

    def _root(self, value: Value) -> Number:
        return al.sqrt(div(self.params["scale"], sub(value, self.params["loc"])))

    def log_cdf(self, value: Value) -> Value:
        """Log probability of an element being at most `value`, in nats."""
        return lift(add(apply("log_ndtr", neg(self._root(value))), al.LOG_2))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return apply("exp", self.log_cdf(value))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        return apply("log", apply("erf", mul(math.sqrt(0.5), self._root(value))))

    def icdf(self, probability: Value) -> Value:
        """Loc + scale over the squared normal quantile of p / 2."""
        return lift(add(self.params["loc"], div(self.params["scale"], square(apply("ndtri", 0.5 * probability)))))


class LogUniform(Distribution):
    """Log-uniform distribution: the exponential of a uniform variable, also called reciprocal.

    Args:
        low: lower bound, positive.
        high: upper bound, above `low`.
    """

    parameters: ClassVar[dict[str, Support]] = {"low": positive, "high": positive}

    def __init__(self, low: Any, high: Any) -> None:
        super().__init__({"low": low, "high": high})
        check_order("LogUniform", self.params["low"], self.params["high"])

    @property
    def support(self) -> Support:
        """Numbers between the bounds."""
        return supports.interval(self.params["low"], self.params["high"])

    @property
    def _width(self) -> Number:
        return sub(log(self.params["high"]), log(self.params["low"]))

    def element_log_prob(self, value: Value) -> Value:
        """-log(x) - log(log(high / low))."""
        return inside(self, value, lambda x: neg(add(log(x), log(self._width))))

    def draw(self, noise: NoiseSource) -> Value:
        """Low * (high / low) ** noise."""
        return self.icdf(noise.uniform(self.event_shape))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        inner = apply("maximum", apply("minimum", value, self.params["high"]), self.params["low"])
        return lift(div(sub(log(inner), log(self.params["low"])), self._width))

    def icdf(self, probability: Value) -> Value:
        """Quantile of each element."""
        return lift(mul(self.params["low"], exp(mul(probability, self._width))))

    def element_mean(self) -> Value:
        """(high - low) / log(high / low)."""
        return lift(div(sub(self.params["high"], self.params["low"]), self._width))

    def element_variance(self) -> Value:
        """(high**2 - low**2) / (2 log(high / low)) - mean**2."""
        second = div(mul(0.5, sub(square(self.params["high"]), square(self.params["low"]))), self._width)
        return lift(sub(second, square(self.element_mean())))


class FisherSnedecor(Distribution):
    """F distribution: the ratio of two chi-squared variables, each over its degrees of freedom.

    Args:
        df1: degrees of freedom of the numerator, positive.
        df2: degrees of freedom of the denominator, positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"df1": positive, "df2": positive}

    def __init__(self, df1: Any, df2: Any) -> None:
        super().__init__({"df1": df1, "df2": df2})

    @property
    def support(self) -> Support:
        """Positive numbers."""
        return positive

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        a, b = (mul(0.5, v) for v in self.params.values())
        ratio = log(div(a, b))
        z = add(ratio, log(x))
        return add(mul(a, z), neg(log(x)), neg(mul(add(a, b), softplus(z))), neg(betaln(a, b)))

    def draw(self, noise: NoiseSource) -> Value:
        """The ratio of two gamma draws."""
        a, b = (lift(mul(0.5, v)) for v in self.params.values())
        top, bottom = (noise.native("gamma", al.reals(v), self.event_shape, "float") for v in (a, b))
        return lift(div(div(top, a), div(bottom, b)))

    def element_mean(self) -> Value:
        """df2 / (df2 - 2); infinite for df2 <= 2."""
        b = self.params["df2"]
        safe = apply("where", b > 2.0, b, 3.0)
        return al.where(b > 2.0, safe / (safe - 2.0), math.inf)

    def element_variance(self) -> Value:
        """2 df2**2 (df1 + df2 - 2) / (df1 (df2 - 2)**2 (df2 - 4)); infinite for df2 <= 4."""
        a, b = self.params["df1"], self.params["df2"]
        safe = apply("where", b > 4.0, b, 5.0)
        top = mul(2.0 * apply("square", safe), add(a, safe, -2.0))
        return al.where(b > 4.0, div(top, mul(a, apply("square", safe - 2.0) * (safe - 4.0))), math.inf)
