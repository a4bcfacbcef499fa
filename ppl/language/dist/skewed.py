"""Families on the real line that lean to one side, or whose tails are between those of the usual ones."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, positive, real
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, div, exp, lgamma, log, log1p, mul, neg, sqrt, square, sub
from .continuous import LocationScale, normal_log_prob


class AsymmetricLaplace(LocationScale):
    """Laplace distribution with a different slope on either side.

    The log density falls by asymmetry / scale for each unit above `loc`, by 1 / (asymmetry * scale) below it.

    Args:
        loc: mode.
        scale: positive.
        asymmetry: positive; above 1 the longer tail is on the left.

    Reference: Kotz, Kozubowski and Podgorski (2001), The Laplace distribution and generalizations, section 3.1.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive, "asymmetry": positive}
    positional = 3
    tail = "skewed"

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, asymmetry: Any = 1.0) -> None:
        Distribution.__init__(self, {"loc": loc, "scale": scale, "asymmetry": asymmetry})

    @property
    def _asymmetry(self) -> Value:
        return self.params["asymmetry"]

    def standard_log_prob(self, z: Value) -> Number:
        """-asymmetry * z above zero, z / asymmetry below, normalised."""
        k = self._asymmetry
        slope = al.where(z < 0.0, div(1.0, k), k)
        return neg(add(mul(slope, abs(z)), log(add(k, div(1.0, k)))))

    def standard_draw(self, noise: NoiseSource) -> Value:
        """The difference of two waiting times, one for each side."""
        k = self._asymmetry
        up, down = (-apply("log", noise.uniform(self.event_shape)) for _ in range(2))
        return lift(sub(div(up, k), mul(k, down)))

    def _tails(self, z: Value) -> tuple[Number, Number]:
        # Log of the mass below z if z is negative, of the mass above if it is positive; each at |z|.
        k, size = self._asymmetry, abs(z)
        k2 = square(k)
        below = add(neg(div(size, k)), neg(log1p(div(1.0, k2))))
        above = add(neg(mul(k, size)), neg(log1p(k2)))
        return below, above

    def standard_log_cdf(self, z: Value) -> Number:
        """Exponential below zero, one minus an exponential above."""
        below, above = self._tails(z)
        return al.where(z < 0.0, below, log1p(neg(exp(above))))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats."""
        z = lift(self.to_standard(value))
        below, above = self._tails(z)
        return al.where(z < 0.0, log1p(neg(exp(below))), above)

    def standard_icdf(self, probability: Value) -> Number:
        """Exponential quantile on either side of the mode."""
        k2 = square(self._asymmetry)
        left = probability < div(k2, add(1.0, k2))
        below = mul(probability, add(1.0, div(1.0, k2)))
        above = mul(1.0 - probability, add(1.0, k2))
        logs = log(al.where(left, below, above))
        return al.where(left, mul(self._asymmetry, logs), neg(div(logs, self._asymmetry)))

    def element_mean(self) -> Value:
        """Loc + scale * (1 / asymmetry - asymmetry)."""
        k = self._asymmetry
        return lift(al.shift(sub(div(1.0, k), k), self.params["loc"], self.params["scale"]))

    def element_variance(self) -> Value:
        """Scale**2 * (1 / asymmetry**2 + asymmetry**2)."""
        k2 = square(self._asymmetry)
        return lift(mul(square(self.params["scale"]), add(k2, div(1.0, k2))))


class SoftLaplace(LocationScale):
    """Hyperbolic secant distribution: Laplace tails, smooth at the mode.

    Args:
        loc: mean.
        scale: positive; the tails fall like exp(-|x - loc| / scale).
    """

    def standard_log_prob(self, z: Value) -> Number:
        """-log(pi * cosh(z))."""
        size = abs(z)
        return neg(add(size, al.softplus(mul(-2.0, size)), al.LOG_PI - al.LOG_2))

    def standard_draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return lift(self.standard_icdf(noise.uniform(self.event_shape)))

    def standard_log_cdf(self, z: Value) -> Number:
        """log(2 / pi * atan(exp(z)))."""
        # atan2 of both sides of the angle: above zero exp(z) would overflow.
        size = apply("exp", -abs(z))
        below = z < 0.0
        angle = apply("atan2", apply("where", below, size, 1.0), apply("where", below, 1.0, size))
        tail = log(al.where(below, apply("atan", size), angle))
        return add(tail, math.log(2.0 / math.pi))

    def standard_icdf(self, probability: Value) -> Number:
        """log(tan(pi p / 2))."""
        below = probability < 0.5
        tail = apply("where", below, probability, 1.0 - probability)
        size = apply("log", apply("tan", (0.5 * math.pi) * tail))
        return al.where(below, size, -size)

    def element_variance(self) -> Value:
        """pi**2 / 4 times the squared scale."""
        return self._scaled_variance(math.pi**2 / 4.0)


class SkewLogistic(LocationScale):
    """Logistic distribution whose cdf is raised to a power.

    Args:
        loc: mode for asymmetry 1.
        scale: positive.
        asymmetry: the power, positive; above 1 it leans to the right.

    Reference: Johnson, Kotz and Balakrishnan (1995), Continuous univariate distributions 2, section 23.10, type I.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive, "asymmetry": positive}
    positional = 3
    tail = "skewed"

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, asymmetry: Any = 1.0) -> None:
        Distribution.__init__(self, {"loc": loc, "scale": scale, "asymmetry": asymmetry})

    def standard_log_prob(self, z: Value) -> Number:
        """log(a) - z - (a + 1) log(1 + exp(-z))."""
        a = self.params["asymmetry"]
        return add(log(a), neg(z), neg(mul(add(a, 1.0), apply("softplus", -z))))

    def standard_draw(self, noise: NoiseSource) -> Value:
        """Quantile of uniform noise."""
        return lift(self.standard_icdf(noise.uniform(self.event_shape)))

    def standard_log_cdf(self, z: Value) -> Number:
        """A times the log of the sigmoid."""
        return mul(self.params["asymmetry"], apply("log_sigmoid", z))

    def standard_icdf(self, probability: Value) -> Number:
        """-log(p**(-1 / a) - 1)."""
        return neg(log(al.expm1(neg(div(log(probability), self.params["asymmetry"])))))

    def element_mean(self) -> Value:
        """Loc + scale * (digamma(a) + Euler's constant)."""
        standard = add(apply("digamma", self.params["asymmetry"]), 0.5772156649015329)
        return lift(al.shift(standard, self.params["loc"], self.params["scale"]))

    def element_variance(self) -> Value:
        """Refused: it needs the trigamma function."""
        self._lacks("variance")


class SkewNormal(LocationScale):
    """Skew normal distribution.

    Args:
        loc: mean for skewness 0.
        scale: standard deviation for skewness 0, positive.
        skewness: any number; positive leans to the right, and large numbers come close to a half-normal.

    Reference: Azzalini (1985), A class of distributions which includes the normal ones, equation 2.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive, "skewness": real}
    positional = 3
    tail = "skewed"

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, skewness: Any = 0.0) -> None:
        Distribution.__init__(self, {"loc": loc, "scale": scale, "skewness": skewness})

    def standard_log_prob(self, z: Value) -> Number:
        """Normal log density, plus log of twice the normal cdf of skewness * z."""
        return add(normal_log_prob(z), apply("log_ndtr", mul(self.params["skewness"], z)), al.LOG_2)

    @property
    def _share(self) -> Number:
        # Correlation with the variable whose sign was fixed.
        a = self.params["skewness"]
        return div(a, sqrt(add(1.0, square(a))))

    def standard_draw(self, noise: NoiseSource) -> Value:
        """Share of a half-normal, and normal noise for the rest."""
        half, rest = abs(noise.normal(self.event_shape)), noise.normal(self.event_shape)
        a = self.params["skewness"]
        return lift(div(add(mul(a, half), rest), sqrt(add(1.0, square(a)))))

    def element_mean(self) -> Value:
        """Loc + scale * share * sqrt(2 / pi)."""
        standard = mul(math.sqrt(2.0 / math.pi), self._share)
        return lift(al.shift(standard, self.params["loc"], self.params["scale"]))

    def element_variance(self) -> Value:
        """Scale**2 * (1 - 2 share**2 / pi)."""
        return lift(mul(square(self.params["scale"]), sub(1.0, mul(2.0 / math.pi, square(self._share)))))


class SoftAsymmetricLaplace(LocationScale):
    """An asymmetric Laplace variable plus an independent normal one.

    Args:
        loc: mode of the Laplace variable.
        scale: positive.
        asymmetry: of the Laplace variable, positive.
        softness: standard deviation of the normal variable in units of `scale`, positive.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "loc": real,
        "scale": positive,
        "asymmetry": positive,
        "softness": positive,
    }
    positional = 4
    tail = "skewed"

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, asymmetry: Any = 1.0, softness: Any = 1.0) -> None:
        Distribution.__init__(self, {"loc": loc, "scale": scale, "asymmetry": asymmetry, "softness": softness})

    def standard_log_prob(self, z: Value) -> Number:
        """Each exponential side convolved with the normal density."""
        k, s = self.params["asymmetry"], self.params["softness"]
        sides: list[Number] = []
        for rate, distance in ((k, z), (div(1.0, k), -z)):
            # exp((rate s)**2 / 2 - rate x) times the normal cdf at x / s - rate s
            power = sub(mul(0.5, square(mul(rate, s))), mul(rate, distance))
            sides.append(add(power, apply("log_ndtr", sub(div(distance, s), mul(rate, s)))))
        return sub(apply("logaddexp", *sides), log(add(k, div(1.0, k))))

    def standard_draw(self, noise: NoiseSource) -> Value:
        """The difference of two waiting times, plus normal noise."""
        k = self.params["asymmetry"]
        up, down = (-apply("log", noise.uniform(self.event_shape)) for _ in range(2))
        blur = mul(self.params["softness"], noise.normal(self.event_shape))
        return lift(add(div(up, k), neg(mul(k, down)), blur))

    def element_mean(self) -> Value:
        """Loc + scale * (1 / asymmetry - asymmetry)."""
        k = self.params["asymmetry"]
        return lift(al.shift(sub(div(1.0, k), k), self.params["loc"], self.params["scale"]))

    def element_variance(self) -> Value:
        """Scale**2 * (1 / asymmetry**2 + asymmetry**2 + softness**2)."""
        k2 = square(self.params["asymmetry"])
        total = add(k2, div(1.0, k2), square(self.params["softness"]))
        return lift(mul(square(self.params["scale"]), total))


class GeneralizedNormal(LocationScale):
    """Generalised normal distribution, with log density proportional to -|x - loc|**power.

    Args:
        loc: mean.
        scale: positive.
        power: positive; 1 is Laplace, 2 is normal with standard deviation scale / sqrt(2), large is uniform.

    Reference: Nadarajah (2005), A generalized normal distribution, equation 2.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive, "power": positive}
    positional = 3
    tail = "skewed"  # it is symmetric, but its cdf is no elementary function

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, power: Any = 2.0) -> None:
        Distribution.__init__(self, {"loc": loc, "scale": scale, "power": power})

    def standard_log_prob(self, z: Value) -> Number:
        """-|z|**power, normalised."""
        b, size = self.params["power"], abs(z)
        # At the mode itself the derivative in the power would be 0 * log(0).
        off = size > 0.0
        powered = al.where(off, apply("pow", apply("where", off, size, 1.0), b), 0.0)
        return add(neg(powered), log(b), neg(lgamma(div(1.0, b))), -al.LOG_2)

    def standard_draw(self, noise: NoiseSource) -> Value:
        """A gamma draw to the power of 1 / power, with a random sign."""
        inverse = div(1.0, self.params["power"])
        size = apply("pow", noise.native("gamma", al.reals(inverse), self.event_shape, "float"), inverse)
        return al.where(noise.uniform(self.event_shape) < 0.5, -size, size)

    def element_variance(self) -> Value:
        """Scale**2 * gamma(3 / power) / gamma(1 / power)."""
        b = self.params["power"]
        return lift(mul(square(self.params["scale"]), exp(sub(lgamma(div(3.0, b)), lgamma(div(1.0, b))))))
