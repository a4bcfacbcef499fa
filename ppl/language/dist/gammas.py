"""Families made of gamma variables over positive numbers."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, positive
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, div, lgamma, log, mul, neg, square, sub
from .guards import inside


def gamma_log_prob(x: Value, concentration: Number, rate: Number) -> Number:
    """Log density of the gamma distribution at a positive x."""
    norm = add(al.xlogy(concentration, rate), neg(lgamma(concentration)))
    return add(al.xlogy(sub(concentration, 1.0), x), neg(mul(rate, x)), norm)


class Gamma(Distribution):
    """Gamma distribution.

    Args:
        concentration: shape, positive.
        rate: inverse scale, positive; the mean is concentration / rate.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive, "rate": positive}

    def __init__(self, concentration: Any, rate: Any = 1.0) -> None:
        super().__init__({"concentration": concentration, "rate": rate})

    @property
    def support(self) -> Support:
        """Positive numbers."""
        return positive

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each element, in nats."""
        p = self.params
        return inside(self, value, lambda x: gamma_log_prob(x, p["concentration"], p["rate"]))

    def draw(self, noise: NoiseSource) -> Value:
        """A standard gamma draw over the rate."""
        return lift(
            div(
                noise.native("gamma", al.reals(self.params["concentration"]), self.event_shape, "float"),
                self.params["rate"],
            )
        )

    def element_mean(self) -> Value:
        """Concentration / rate."""
        return lift(div(self.params["concentration"], self.params["rate"]))

    def element_variance(self) -> Value:
        """Concentration / rate**2."""
        return lift(div(self.params["concentration"], square(self.params["rate"])))


class Chi2(Distribution):
    """Chi-squared distribution.

    Args:
        df: degrees of freedom, positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"df": positive}

    def __init__(self, df: Any) -> None:
        super().__init__({"df": df})

    @property
    def support(self) -> Support:
        """Positive numbers."""
        return positive

    def element_log_prob(self, value: Value) -> Value:
        """Gamma density with concentration df / 2 and rate 1/2."""
        return inside(self, value, lambda x: gamma_log_prob(x, mul(0.5, self.params["df"]), 0.5))

    def draw(self, noise: NoiseSource) -> Value:
        """Twice a standard gamma draw."""
        return 2.0 * noise.native("gamma", al.reals(mul(0.5, self.params["df"])), self.event_shape, "float")

    def element_mean(self) -> Value:
        """The degrees of freedom."""
        return self.params["df"]

    def element_variance(self) -> Value:
        """Twice the degrees of freedom."""
        return lift(mul(2.0, self.params["df"]))


class InverseGamma(Distribution):
    """Inverse gamma distribution: the reciprocal of a gamma variable.

    Args:
        concentration: shape, positive.
        rate: rate of the gamma variable, which is the scale of this one; positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive, "rate": positive}

    def __init__(self, concentration: Any, rate: Any = 1.0) -> None:
        super().__init__({"concentration": concentration, "rate": rate})

    @property
    def support(self) -> Support:
        """Positive numbers."""
        return positive

    def element_log_prob(self, value: Value) -> Value:
        """Gamma density of the reciprocal, with its change of volume."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        a, b = self.params["concentration"], self.params["rate"]
        norm = add(al.xlogy(a, b), neg(lgamma(a)))
        return add(neg(mul(add(a, 1.0), log(x))), neg(div(b, x)), norm)

    def draw(self, noise: NoiseSource) -> Value:
        """Rate over a standard gamma draw."""
        a, b = self.params["concentration"], self.params["rate"]
        return lift(div(b, noise.native("gamma", al.reals(a), self.event_shape, "float")))

    def element_mean(self) -> Value:
        """Rate / (concentration - 1); infinite for concentration <= 1."""
        a, b = self.params["concentration"], self.params["rate"]
        return al.where(a > 1.0, b / apply("where", a > 1.0, a - 1.0, 1.0), math.inf)

    def element_variance(self) -> Value:
        """Rate**2 / ((concentration - 1)**2 (concentration - 2)); infinite for concentration <= 2."""
        a, b = self.params["concentration"], self.params["rate"]
        safe = apply("where", a > 2.0, a, 3.0)
        return al.where(a > 2.0, apply("square", b / (safe - 1.0)) / (safe - 2.0), math.inf)
