"""Continuous relaxations of discrete families: draws near the corners, differentiable in the parameters."""

from __future__ import annotations

from typing import Any, ClassVar

from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, positive, real, real_vector, simplex, unit_interval
from ppl.program.values import Shape, Value, lift

from . import algebra as al
from .algebra import Number, add, div, lgamma, log, mul, neg, softplus, sub
from .guards import exactly_one, inside


class RelaxedBernoulli(Distribution):
    """Binary concrete distribution: the sigmoid of a logistic variable.

    Args:
        temperature: positive; towards zero the draws go to 0 and 1, as those of Bernoulli.
        probs: probability of a draw above 1/2.
        logits: log odds, in place of `probs`.

    Reference: Maddison, Mnih and Teh (2017), The concrete distribution, appendix B.
    """

    parameters: ClassVar[dict[str, Support]] = {"temperature": positive, "probs": unit_interval, "logits": real}
    positional = 1

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None) -> None:
        exactly_one("RelaxedBernoulli", probs=probs, logits=logits)
        super().__init__({"temperature": temperature, "probs": probs, "logits": logits})

    @property
    def support(self) -> Support:
        """The unit interval."""
        return unit_interval

    @property
    def _logits(self) -> Value:
        return self.params["logits"] if "logits" in self.params else apply("logit", self.params["probs"])

    def element_log_prob(self, value: Value) -> Value:
        """Logistic density of the log odds, less log(x (1 - x))."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        odds = apply("logit", x)
        return add(self._of_odds(odds), neg(log(x)), neg(al.log1p(neg(x))))

    def _of_odds(self, odds: Number) -> Number:
        temperature = self.params["temperature"]
        z = sub(mul(temperature, odds), self._logits)
        return add(z, mul(-2.0, softplus(z)), log(temperature))

    def draw(self, noise: NoiseSource) -> Value:
        """Sigmoid of (logits + logistic noise) / temperature."""
        return apply("clipped_sigmoid", self._odds(noise))

    def _odds(self, noise: NoiseSource) -> Value:
        logistic = apply("logit", noise.uniform(self.event_shape))
        return lift(div(add(self._logits, logistic), self.params["temperature"]))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from its log odds: a draw itself may round to 0 or 1."""
        odds = self._odds(noise)
        volume = sub(mul(2.0, softplus(odds)), odds)
        return apply("clipped_sigmoid", odds), lift(add(self._of_odds(odds), volume))


class RelaxedOneHotCategorical(Distribution):
    """Concrete distribution on the simplex, also called Gumbel-softmax.

    Args:
        temperature: positive; towards zero the draws go to the corners, as those of OneHotCategorical.
        probs: vector of probabilities of the largest entry.
        logits: vector of log weights, in place of `probs`.

    Reference: Maddison, Mnih and Teh (2017), The concrete distribution, equation 10.
    """

    parameters: ClassVar[dict[str, Support]] = {"temperature": positive, "probs": simplex, "logits": real_vector}
    positional = 1
    event_rank = 1

    def __init__(self, temperature: Any, probs: Any = None, logits: Any = None) -> None:
        exactly_one("RelaxedOneHotCategorical", probs=probs, logits=logits)
        super().__init__({"temperature": temperature, "probs": probs, "logits": logits})

    @property
    def support(self) -> Support:
        """Probability vectors."""
        return simplex

    @property
    def _log_weights(self) -> Value:
        return self.params["logits"] if "logits" in self.params else apply("log", self.params["probs"])

    def core_shape(self) -> Shape:
        """One entry a category."""
        return self._log_weights.shape[-1:]

    @property
    def _temperature(self) -> Value:
        # One for each vector.
        t = self.params["temperature"]
        return t[..., None] if t.shape else t

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector with respect to all entries but one, in nats."""
        return inside(self, value, lambda x: self._of_logs(apply("log", x)))

    def _of_logs(self, logs: Value) -> Number:
        size, t = float(logs.shape[-1]), self.params["temperature"]
        scores = lift(sub(self._log_weights, mul(self._temperature, logs)))
        whole = apply("logsumexp", scores, axis=(-1,))
        norm = add(lgamma(size), mul(size - 1.0, log(t)))
        return add(al.sum_last(scores), mul(-size, whole), neg(al.sum_last(logs)), norm)

    def _logs(self, noise: NoiseSource) -> Value:
        gumbel = -apply("log", -apply("log", noise.uniform(self.event_shape)))
        return apply("log_softmax", div(add(self._log_weights, gumbel), self._temperature), axis=(-1,))

    def draw(self, noise: NoiseSource) -> Value:
        """Softmax of (log weights + Gumbel noise) / temperature."""
        return apply("exp", self._logs(noise))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from its logarithm: an entry itself may round to zero."""
        logs = self._logs(noise)
        return apply("exp", logs), lift(self._of_logs(logs))
