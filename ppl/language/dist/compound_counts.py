"""Counts whose probabilities are drawn first, and counts with a hurdle at zero."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ppl.errors import ModelError, ShapeError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, nonnegative_integer, positive, positive_vector, unit_interval
from ppl.program.values import Shape, Value, lift
from ppl.program.vocabulary import broadcast

from . import algebra as al
from .algebra import Number, add, betaln, div, lgamma, log, log1p, mul, neg, square, sub
from .counts import Geometric, NegativeBinomial, Poisson
from .guards import inside
from .transformed import refuse_mask


class DirichletMultinomial(Distribution):
    """Dirichlet-multinomial distribution: a multinomial whose probabilities are a Dirichlet draw.

    Args:
        concentration: vector of positive weights, one a category.
        total_count: number of draws; a constant, because it decides which vectors of counts are possible.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive_vector, "total_count": nonnegative_integer}
    event_rank = 1
    dtype = "int"
    reparameterized = False

    def __init__(self, concentration: Any, total_count: Any = 1) -> None:
        count = lift(total_count)
        if al.number(count) is None:
            raise ModelError(
                "DirichletMultinomial needs a constant total_count.",
                declared_at=user_location(),
                expected="a whole number",
                got=repr(total_count),
                remedy="For counts that vary, sample dist.Dirichlet and condition on independent Poisson counts.",
            )
        super().__init__({"concentration": concentration, "total_count": count})
        if self.params["concentration"].shape[-1] < 2:
            raise ShapeError("DirichletMultinomial needs at least two categories.", declared_at=user_location())

    @property
    def support(self) -> Support:
        """Vectors of counts that sum to the total."""
        return supports.multinomial(self.params["total_count"])

    def core_shape(self) -> Shape:
        """One entry a category."""
        return self.params["concentration"].shape[-1:]

    @property
    def _total(self) -> Value:
        return al.sum_last(self.params["concentration"])

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each vector, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        a, n, total = self.params["concentration"], al.real(self.params["total_count"]), self._total
        k = al.real(x)
        entries = add(lgamma(add(k, a)), neg(lgamma(a)), neg(lgamma(add(k, 1.0))))
        return add(lgamma(add(n, 1.0)), lgamma(total), neg(lgamma(add(n, total))), al.sum_last(lift(entries)))

    def draw(self, noise: NoiseSource) -> Value:
        """A multinomial draw whose probabilities are a Dirichlet draw."""
        concentration = al.lead(self.params["concentration"], len(self.event_shape))
        probs = noise.native("dirichlet", al.reals(concentration), self.event_shape, "float")
        return noise.native("multinomial", (self.params["total_count"], probs), self.event_shape, "int")

    def element_mean(self) -> Value:
        """Total count times concentration over its sum."""
        a = self.params["concentration"]
        return self.params["total_count"] * (a / apply("sum", a, axis=(-1,), keepdims=True))

    def element_variance(self) -> Value:
        """Multinomial variance times (total count + sum) / (1 + sum)."""
        a, n = self.params["concentration"], al.real(self.params["total_count"])
        total = apply("sum", a, axis=(-1,), keepdims=True)
        p = a / total
        return lift(mul(mul(n, div(add(total, n), add(total, 1.0))), p * (1.0 - p)))


class BetaNegativeBinomial(Distribution):
    """Beta negative binomial distribution: a negative binomial whose probability is a beta draw.

    Args:
        concentration1: weight of success, positive; successes are counted.
        concentration0: weight of failure, positive.
        total_count: number of failures at which counting stops; any positive number.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "concentration1": positive,
        "concentration0": positive,
        "total_count": positive,
    }
    positional = 3
    dtype = "int"
    reparameterized = False

    def __init__(self, concentration1: Any, concentration0: Any, total_count: Any) -> None:
        super().__init__(
            {"concentration1": concentration1, "concentration0": concentration0, "total_count": total_count}
        )

    @property
    def support(self) -> Support:
        """Counts."""
        return nonnegative_integer

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        b, a, n = self.params.values()
        k = al.real(x)
        choose = add(lgamma(add(k, n)), neg(lgamma(add(k, 1.0))), neg(lgamma(n)))
        mixed = add(lgamma(add(a, n)), lgamma(add(k, b)), neg(lgamma(add(k, add(a, b, n)))))
        return add(choose, mixed, neg(betaln(a, b)))

    def draw(self, noise: NoiseSource) -> Value:
        """A Poisson draw whose rate is a gamma draw, times odds that are a ratio of two more."""
        b, a, n = self.params.values()
        rate, top, bottom = (noise.native("gamma", al.reals(v), self.event_shape, "float") for v in (n, b, a))
        return noise.native("poisson", al.reals(rate * top / bottom), self.event_shape, "int")

    def element_mean(self) -> Value:
        """N b / (a - 1); infinite for a <= 1."""
        b, a, n = self.params.values()
        safe = apply("where", a > 1.0, a, 2.0)
        return al.where(a > 1.0, div(mul(n, b), safe - 1.0), math.inf)

    def element_variance(self) -> Value:
        """N b (n + a - 1) (b + a - 1) / ((a - 2) (a - 1)**2); infinite for a <= 2."""
        b, a, n = self.params.values()
        safe = apply("where", a > 2.0, a, 3.0)
        less = safe - 1.0
        top = mul(mul(mul(n, b), add(n, less)), add(b, less))
        return al.where(a > 2.0, div(top, mul(safe - 2.0, square(less))), math.inf)


class Hurdle(Distribution):
    """Zero with probability `gate`, else a draw of a count distribution that is not zero.

    Unlike ZeroInflated, all zeros come from the gate, so that there may also be fewer of them than the base would make.

    Args:
        base: Poisson, NegativeBinomial or Geometric.
        gate: probability of zero.

    Reference: Mullahy (1986), Specification and testing of some modified count data models, section 2.
    """

    parameters: ClassVar[dict[str, Support]] = {"gate": unit_interval}
    positional = 0
    dtype = "int"
    reparameterized = False

    def __init__(self, base: Any, gate: Any) -> None:
        if not isinstance(base, Poisson | NegativeBinomial | Geometric):
            raise ModelError(
                f"Hurdle cannot be made of {getattr(base, 'family', type(base).__name__)}.",
                declared_at=user_location(),
                expected="Poisson, NegativeBinomial or Geometric",
                got=repr(base),
                remedy="For other counts, a Bernoulli site says whether there are any, and masks the site that counts.",
            )
        refuse_mask("Hurdle", base)
        super().__init__({"gate": gate}, nested={"base": base})

    @property
    def base(self) -> Distribution:
        """The distribution of counts, zeros and all."""
        return self._nested["base"]

    @property
    def gate(self) -> Value:
        """Probability of zero."""
        return self.params["gate"]

    def batch_shape(self) -> Shape:
        """Broadcast of the base's shape and the gate."""
        try:
            return broadcast(super().batch_shape(), self.base.event_shape)
        except ValueError as error:
            raise ShapeError(
                "Hurdle: gate and base do not broadcast.", declared_at=user_location(), got=str(error)
            ) from error

    @property
    def support(self) -> Support:
        """Counts."""
        return nonnegative_integer

    def _log_zero(self) -> Number:
        """Log probability of zero under the base, in nats."""
        match self.base:
            case Poisson() as base:
                return neg(base.params["rate"])
            case Geometric() as base:
                return base.log_success
            case base:
                assert isinstance(base, NegativeBinomial)
                return neg(mul(base.failures, log1p(base.odds)))

    def element_log_prob(self, value: Value) -> Value:
        """The gate's at zero; elsewhere that of the base, which has no zeros, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        zero = apply("equal", x, 0)
        counted = self.base.unchecked().element_log_prob(apply("where", zero, 1, x))
        passed = add(log1p(neg(self.gate)), counted, neg(al.log1mexp(neg(self._log_zero()))))
        return al.where(zero, log(self.gate), passed)

    def draw(self, noise: NoiseSource) -> Value:
        """Zero where uniform noise lies below the gate."""
        closed = apply("less", noise.uniform(self.event_shape), self.gate)
        return apply("where", closed, 0, self._positive(noise))

    def _positive(self, noise: NoiseSource) -> Value:
        # Events of a Poisson process of random rate in [0, 1], given that there are any: the first one, by its time,
        # and those after it.
        match self.base:
            case Geometric() as base:
                wide = base if base.event_shape == self.event_shape else base.expand(self.event_shape)
                return wide.draw(noise) + 1
            case Poisson() as base:
                late = mul(noise.uniform(self.event_shape), al.expm1(neg(base.params["rate"])))
                rest: Number = add(base.params["rate"], log1p(late))
            case base:
                assert isinstance(base, NegativeBinomial)
                late = mul(noise.uniform(self.event_shape), al.expm1(self._log_zero()))
                # The rate is Gamma(n, 1 / odds); nothing happens before t with probability (1 + t odds)**-n, and then
                # the rate is Gamma(n + 1, t + 1 / odds).
                scaled = al.expm1(neg(div(log1p(late), base.failures)))
                gamma = noise.native("gamma", al.reals(add(base.failures, 1.0)), self.event_shape, "float")
                rest = mul(gamma, div(sub(base.odds, scaled), add(1.0, scaled)))
        # Rounding must not carry the first event over the end.
        rate = lift(al.reals(rest)[0])
        return noise.native("poisson", (apply("maximum", rate, 0.0),), self.event_shape, "int") + 1

    def element_mean(self) -> Value:
        """(1 - gate) * base mean / (1 - probability of zero)."""
        return lift(mul(self._passing, self.base.element_mean()))

    @property
    def _passing(self) -> Number:
        return div(sub(1.0, self.gate), neg(al.expm1(self._log_zero())))

    def element_variance(self) -> Value:
        """Second moment, which scales like the mean, less the squared mean."""
        mean = self.base.element_mean()
        second = add(self.base.element_variance(), square(mean))
        return lift(sub(mul(self._passing, second), square(mul(self._passing, mean))))
