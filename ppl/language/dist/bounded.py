"""Families over intervals, of real or whole numbers, and over simplices."""

from __future__ import annotations

from typing import Any, ClassVar

from ppl.errors import ShapeError, SupportError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, integer, positive, positive_vector, real, simplex, unit_interval
from ppl.program.values import Shape, Value, lift

from . import algebra as al
from .algebra import Number, add, betaln, div, lgamma, log, mul, neg, square, sub
from .guards import inside


def check_order(family: str, low: Value | None, high: Value | None) -> None:
    """Refuse constant bounds in the wrong order.

    Raises:
        SupportError: the interval is empty.
    """
    if low is None or high is None:
        return
    a, b = al.number(low), al.number(high)
    if a is not None and b is not None and a >= b:
        raise SupportError(
            f"{family}: the interval is empty.",
            declared_at=user_location(),
            expected="low < high",
            got=f"low {a}, high {b}",
            remedy="Exchange the bounds.",
        )


class Uniform(Distribution):
    """Uniform distribution on an interval, whose bounds may depend on other unknowns.

    Args:
        low: lower bound.
        high: upper bound, above `low`.
    """

    parameters: ClassVar[dict[str, Support]] = {"low": real, "high": real}

    def __init__(self, low: Any = 0.0, high: Any = 1.0) -> None:
        super().__init__({"low": low, "high": high})
        check_order("Uniform", self.params["low"], self.params["high"])

    @property
    def support(self) -> Support:
        """Numbers between the bounds."""
        if al.number(self.params["low"]) == 0.0 and al.number(self.params["high"]) == 1.0:
            return unit_interval
        return supports.interval(self.params["low"], self.params["high"])

    @property
    def width(self) -> Number:
        """Distance between the bounds."""
        return sub(self.params["high"], self.params["low"])

    def element_log_prob(self, value: Value) -> Value:
        """-log(high - low) inside."""
        return inside(self, value, lambda _: neg(log(self.width)))

    def draw(self, noise: NoiseSource) -> Value:
        """Low + (high - low) * noise."""
        return lift(al.shift(noise.uniform(self.event_shape), self.params["low"], self.width))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        z = div(sub(value, self.params["low"]), self.width)
        return apply("maximum", apply("minimum", z, 1.0), 0.0)

    def icdf(self, probability: Value) -> Value:
        """Quantile of each element."""
        return lift(al.shift(probability, self.params["low"], self.width))

    def element_mean(self) -> Value:
        """The midpoint."""
        return lift(mul(0.5, add(self.params["low"], self.params["high"])))

    def element_variance(self) -> Value:
        """Squared width / 12."""
        return lift(mul(1.0 / 12.0, square(self.width)))


class DiscreteUniform(Distribution):
    """Uniform distribution over the integers between two bounds, both included.

    Args:
        low: least value.
        high: greatest value, above `low`.
    """

    parameters: ClassVar[dict[str, Support]] = {"low": integer, "high": integer}
    dtype = "int"
    reparameterized = False

    def __init__(self, low: Any = 0, high: Any = 1) -> None:
        super().__init__({"low": low, "high": high})
        check_order("DiscreteUniform", self.params["low"], self.params["high"])

    @property
    def support(self) -> Support:
        """Integers between the bounds."""
        return supports.integer_interval(self.params["low"], self.params["high"])

    @property
    def size(self) -> Number:
        """Number of values."""
        return add(sub(self.params["high"], self.params["low"]), 1.0)

    def element_log_prob(self, value: Value) -> Value:
        """-log(number of values) inside."""
        return inside(self, value, lambda _: neg(log(self.size)))

    def draw(self, noise: NoiseSource) -> Value:
        """Low + whole part of uniform noise times the number of values."""
        steps = apply("floor", mul(noise.uniform(self.event_shape), self.size))
        # Rounding can carry noise just below 1 to the size itself.
        steps = apply("minimum", steps, sub(self.size, 1.0))
        return apply("astype", add(self.params["low"], steps), dtype="int")

    def element_mean(self) -> Value:
        """The midpoint."""
        return lift(mul(0.5, add(self.params["low"], self.params["high"])))

    def element_variance(self) -> Value:
        """(size**2 - 1) / 12."""
        return lift(mul(1.0 / 12.0, sub(square(self.size), 1.0)))


class Beta(Distribution):
    """Beta distribution.

    Args:
        concentration1: weight of one, positive; the mean is concentration1 / (concentration1 + concentration0).
        concentration0: weight of zero, positive.
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
        return add(al.xlogy(sub(a, 1.0), x), al.xlog1py(sub(b, 1.0), neg(x)), neg(betaln(a, b)))

    def draw(self, noise: NoiseSource) -> Value:
        """The backend's own draw, differentiable in the parameters."""
        return noise.native("beta", al.reals(*self.params.values()), self.event_shape, "float")

    def element_mean(self) -> Value:
        """concentration1 / (concentration1 + concentration0)."""
        a, b = self.params["concentration1"], self.params["concentration0"]
        return lift(div(a, add(a, b)))

    def element_variance(self) -> Value:
        """Mean * (1 - mean) / (1 + concentration1 + concentration0)."""
        a, b = self.params["concentration1"], self.params["concentration0"]
        total = add(a, b)
        return lift(div(mul(a, b), mul(square(total), add(total, 1.0))))


class Dirichlet(Distribution):
    """Dirichlet distribution over probability vectors.

    Args:
        concentration: vector of weights, positive; the mean is the weights over their sum.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive_vector}
    event_rank = 1

    def __init__(self, concentration: Any) -> None:
        super().__init__({"concentration": concentration})

    @property
    def support(self) -> Support:
        """Probability vectors."""
        return simplex

    def core_shape(self) -> Shape:
        """One entry a category."""
        shape = self.params["concentration"].shape
        if shape[-1] < 2:
            raise ShapeError(
                "Dirichlet needs at least two categories.",
                declared_at=user_location(),
                got=repr(self.params["concentration"]),
                remedy="For a single number between 0 and 1 use Beta.",
            )
        return shape[-1:]

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector with respect to all but its last entry, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        a = self.params["concentration"]
        norm = add(lgamma(al.sum_last(a)), neg(al.sum_last(lift(lgamma(a)))))
        return add(al.sum_last(lift(al.xlogy(sub(a, 1.0), x))), norm)

    def draw(self, noise: NoiseSource) -> Value:
        """The backend's own draw, differentiable in the concentration."""
        concentration = al.lead(self.params["concentration"], len(self.event_shape))
        return noise.native("dirichlet", al.reals(concentration), self.event_shape, "float")

    def element_mean(self) -> Value:
        """Concentration over its sum."""
        a = self.params["concentration"]
        return a / apply("sum", a, axis=(-1,), keepdims=True)

    def element_variance(self) -> Value:
        """Mean * (1 - mean) / (1 + total concentration)."""
        total = apply("sum", self.params["concentration"], axis=(-1,), keepdims=True)
        m = self.element_mean()
        return m * (1.0 - m) / (total + 1.0)
