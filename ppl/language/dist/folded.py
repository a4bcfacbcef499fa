"""The absolute value of a variable."""

from __future__ import annotations

from typing import Any

from ppl.errors import ModelError, user_location
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, nonnegative
from ppl.program.values import Shape, Value, lift

from . import algebra as al
from .algebra import neg
from .guards import inside
from .transformed import refuse_mask


class Folded(Distribution):
    """The absolute value of a variable on the real line.

    Args:
        base: distribution over real numbers; of a symmetric one around zero, the half has a family of its own.
    """

    def __init__(self, base: Any) -> None:
        if not isinstance(base, Distribution) or base.event_rank or base.support.kind != "real":
            raise ModelError(
                "Folded needs a base over real numbers.",
                declared_at=user_location(),
                expected="Normal, StudentT, Laplace, Logistic, ...",
                got=repr(base),
                remedy="What is positive already needs no folding.",
            )
        refuse_mask("Folded", base)
        super().__init__({}, nested={"base": base})

    @property
    def base(self) -> Distribution:
        """The distribution before folding."""
        return self._nested["base"]

    def _settle(self) -> None:
        self.event_shape = self.base.event_shape
        self.reparameterized = self.base.reparameterized

    def batch_shape(self) -> Shape:
        """The base's."""
        return self.base.event_shape

    @property
    def support(self) -> Support:
        """Numbers from zero upwards."""
        return nonnegative

    def element_log_prob(self, value: Value) -> Value:
        """Log of the sum of the base's densities at both signs."""
        base = self.base
        return inside(self, value, lambda x: apply("logaddexp", base.element_log_prob(x), base.element_log_prob(-x)))

    def draw(self, noise: NoiseSource) -> Value:
        """|a draw of the base|."""
        base = self.base
        return abs((base if base.event_shape == self.event_shape else base.expand(self.event_shape)).draw(noise))

    def log_survival(self, value: Value) -> Value:
        """Log probability of an element being above `value`, in nats: both tails of the base."""
        x = apply("maximum", value, 0.0)
        return apply("logaddexp", self.base.log_survival(x), self.base.log_cdf(-x))

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        return lift(neg(al.expm1(self.log_survival(value))))
