"""Families over categories and over counts of categories."""

from __future__ import annotations

from typing import Any, ClassVar

from ppl.errors import ModelError, ShapeError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, nonnegative_integer, real_vector, simplex
from ppl.program.values import Shape, Value, lift

from . import algebra as al
from .algebra import Number, add, lgamma, neg
from .guards import exactly_one, inside


class Categories(Distribution):
    """What families with category probabilities share: a vector of `probs` or of `logits`."""

    dtype = "int"
    reparameterized = False

    @property
    def categories(self) -> int:
        """Number of categories."""
        return self._weights.shape[-1]

    @property
    def _weights(self) -> Value:
        return self.params["probs"] if "probs" in self.params else self.params["logits"]

    @property
    def probs(self) -> Value:
        """Probabilities of the categories."""
        return self.params["probs"] if "probs" in self.params else apply("softmax", self.params["logits"], axis=(-1,))

    @property
    def log_probs(self) -> Value:
        """Log probabilities of the categories, in nats."""
        if "probs" in self.params:
            return apply("log", self.params["probs"])
        return apply("log_softmax", self.params["logits"], axis=(-1,))

    def _index(self, noise: NoiseSource, shape: Shape) -> Value:
        # Exponential race: the category whose waiting time, of rate p, ends first. This is Gumbel-max without the
        # logarithm of p, so that a probability of zero is never chosen and makes no NaN.
        waiting = -apply("log", noise.uniform((*shape, self.categories)))
        if "probs" in self.params:
            return apply("argmin", waiting / self.params["probs"], axis=(-1,))
        return apply("argmax", self.params["logits"] - apply("log", waiting), axis=(-1,))

    def _weighted(self, counts: Value) -> Value:
        counts = lift(al.real(counts))
        if "probs" in self.params:
            return al.sum_last(lift(al.xlogy(counts, self.params["probs"])))
        return al.sum_last(counts * self.log_probs)


class Categorical(Categories):
    """Categorical distribution over 0, 1, ..., K - 1.

    Args:
        probs: vector of probabilities that sum to one.
        logits: vector of log weights, normalised here; in place of `probs`.
    """

    parameters: ClassVar[dict[str, Support]] = {"probs": simplex, "logits": real_vector}

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        exactly_one("Categorical", probs=probs, logits=logits)
        super().__init__({"probs": probs, "logits": logits})

    @property
    def support(self) -> Support:
        """Whole numbers below the number of categories."""
        return supports.integer_interval(0, self.categories - 1)

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        index = apply("astype", x, dtype="int") if x.dtype != "int" else x
        if "probs" in self.params:
            return al.log(al.pick(self.params["probs"], index))
        return al.pick(self.log_probs, index)

    def draw(self, noise: NoiseSource) -> Value:
        """The category that wins an exponential race."""
        return self._index(noise, self.event_shape)


class OneHotCategorical(Categories):
    """Categorical distribution over the unit vectors.

    Args:
        probs: vector of probabilities that sum to one.
        logits: vector of log weights, normalised here; in place of `probs`.
    """

    parameters: ClassVar[dict[str, Support]] = {"probs": simplex, "logits": real_vector}
    event_rank = 1

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        exactly_one("OneHotCategorical", probs=probs, logits=logits)
        super().__init__({"probs": probs, "logits": logits})

    @property
    def support(self) -> Support:
        """Vectors of counts that sum to one."""
        return supports.multinomial(1)

    def core_shape(self) -> Shape:
        """One entry a category."""
        return (self.categories,)

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each vector, in nats."""
        return inside(self, value, self._weighted)

    def draw(self, noise: NoiseSource) -> Value:
        """The unit vector of the category that wins an exponential race."""
        unit = apply("one_hot", self._index(noise, self.element_shape), size=self.categories)
        return apply("astype", unit, dtype="int")

    def element_mean(self) -> Value:
        """The probabilities."""
        return self.probs

    def element_variance(self) -> Value:
        """P (1 - p)."""
        return self.probs * (1.0 - self.probs)


class Multinomial(Categories):
    """Multinomial distribution: how often each category came up.

    Args:
        total_count: number of draws; a constant, because it decides which vectors of counts are possible.
        probs: vector of probabilities that sum to one.
        logits: vector of log weights, normalised here; in place of `probs`.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "total_count": nonnegative_integer,
        "probs": simplex,
        "logits": real_vector,
    }
    positional = 1
    event_rank = 1

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None) -> None:
        exactly_one("Multinomial", probs=probs, logits=logits)
        count = lift(total_count)
        if al.number(count) is None:
            raise ModelError(
                "Multinomial needs a constant total_count.",
                declared_at=user_location(),
                expected="a whole number",
                got=repr(total_count),
                remedy="For counts that vary, condition: write the vector as independent Poisson counts.",
            )
        super().__init__({"total_count": count, "probs": probs, "logits": logits})
        if self.categories < 2:
            raise ShapeError("Multinomial needs at least two categories.", declared_at=user_location())

    @property
    def support(self) -> Support:
        """Vectors of counts that sum to the total."""
        return supports.multinomial(self.params["total_count"])

    def core_shape(self) -> Shape:
        """One entry a category."""
        return (self.categories,)

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each vector, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        counts = lift(al.real(x))
        ways = add(lgamma(add(self.params["total_count"], 1.0)), neg(al.sum_last(lift(lgamma(add(counts, 1.0))))))
        return add(self._weighted(counts), ways)

    def draw(self, noise: NoiseSource) -> Value:
        """The backend's own draw."""
        probs = al.lead(self.probs, len(self.event_shape))
        return noise.native("multinomial", (self.params["total_count"], probs), self.event_shape, "int")

    def element_mean(self) -> Value:
        """Total times probabilities."""
        return self.params["total_count"] * self.probs

    def element_variance(self) -> Value:
        """Total times p (1 - p)."""
        return self.params["total_count"] * (self.probs * (1.0 - self.probs))
