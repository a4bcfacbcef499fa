"""Counts with more zeros than their distribution would make."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from ppl.errors import ModelError, ShapeError, user_location
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, nonnegative, positive, real, unit_interval
from ppl.program.values import Shape, Value, lift
from ppl.program.vocabulary import broadcast

from . import algebra as al
from .algebra import Number, add, log, log1p, mul, neg, sub
from .counts import NegativeBinomial, Poisson
from .transformed import refuse_mask


class Inflation(Distribution):
    """Zero with probability `gate`, else a draw of a base."""

    dtype = "int"
    reparameterized = False

    @property
    @abstractmethod
    def base(self) -> Distribution:
        """The distribution of draws that pass the gate."""

    @property
    def support(self) -> Support:
        """The base's support."""
        return self.base.support

    def element_log_prob(self, value: Value) -> Value:
        """Zeros come from both sides, everything else from the base."""
        base = self.base if self.checked else self.base.unchecked()
        passed = add(log1p(neg(self.gate)), base.element_log_prob(value))
        return al.where(apply("equal", value, 0), apply("logaddexp", log(self.gate), passed), passed)

    @property
    def gate(self) -> Value:
        """Probability of an extra zero."""
        return self.params["gate"]

    def draw(self, noise: NoiseSource) -> Value:
        """Zero where uniform noise lies below the gate."""
        base = self.base
        if base.event_shape != self.event_shape:
            base = base.expand(self.event_shape)
        extra = apply("less", noise.uniform(self.event_shape), self.gate)
        return apply("where", extra, 0, base.draw(noise))

    def element_mean(self) -> Value:
        """(1 - gate) * base mean."""
        return lift(mul(sub(1.0, self.gate), self.base.element_mean()))

    def element_variance(self) -> Value:
        """(1 - gate) * (base variance + gate * base mean ** 2)."""
        mean: Number = self.base.element_mean()
        spread = add(self.base.element_variance(), mul(self.gate, al.square(mean)))
        return lift(mul(sub(1.0, self.gate), spread))


class ZeroInflated(Inflation):
    """A count distribution with extra zeros.

    Args:
        base: distribution of counts.
        gate: probability of an extra zero.
    """

    parameters: ClassVar[dict[str, Support]] = {"gate": unit_interval}
    positional = 0

    def __init__(self, base: Any, gate: Any) -> None:
        if not isinstance(base, Distribution) or not base.support.discrete or base.event_rank:
            raise ModelError(
                "ZeroInflated needs a base over counts.",
                declared_at=user_location(),
                expected="Poisson, NegativeBinomial, Binomial, Geometric, ...",
                got=repr(base),
                remedy="A continuous variable that may be exactly zero needs a discrete site that says whether it is.",
            )
        refuse_mask("ZeroInflated", base)
        super().__init__({"gate": gate}, nested={"base": base})

    @property
    def base(self) -> Distribution:
        """The distribution of draws that pass the gate."""
        return self._nested["base"]

    def batch_shape(self) -> Shape:
        """Broadcast of the base's shape and the gate."""
        try:
            return broadcast(super().batch_shape(), self.base.event_shape)
        except ValueError as error:
            raise ShapeError(
                "ZeroInflated: gate and base do not broadcast.", declared_at=user_location(), got=str(error)
            ) from error


class ZeroInflatedPoisson(Inflation):
    """Poisson distribution with extra zeros.

    Args:
        rate: expected count of draws that pass the gate.
        gate: probability of an extra zero.
    """

    parameters: ClassVar[dict[str, Support]] = {"rate": nonnegative, "gate": unit_interval}
    positional = 1

    def __init__(self, rate: Any, gate: Any) -> None:
        super().__init__({"rate": rate, "gate": gate})

    @property
    def base(self) -> Distribution:
        """The Poisson distribution of draws that pass the gate."""
        return Poisson.from_parts({"rate": self.params["rate"]}, {}, {})


class ZeroInflatedNegativeBinomial(Inflation):
    """Negative binomial distribution with extra zeros; its parameters are those of NegativeBinomial.

    Args:
        total_count: number of failures at which counting stops.
        probs: probability of success.
        logits: log odds of success, in place of `probs`.
        mean: expected count of draws that pass the gate, with `concentration`.
        concentration: positive.
        gate: probability of an extra zero.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "total_count": positive,
        "probs": unit_interval,
        "logits": real,
        "mean": positive,
        "concentration": positive,
        "gate": unit_interval,
    }
    positional = 0

    def __init__(
        self,
        total_count: Any = None,
        probs: Any = None,
        logits: Any = None,
        *,
        gate: Any,
        mean: Any = None,
        concentration: Any = None,
    ) -> None:
        base = NegativeBinomial(total_count, probs, logits, mean=mean, concentration=concentration)
        super().__init__({**base.params, "gate": gate})

    @property
    def base(self) -> Distribution:
        """The negative binomial distribution of draws that pass the gate."""
        return NegativeBinomial.from_parts({k: v for k, v in self.params.items() if k != "gate"}, {}, {})
