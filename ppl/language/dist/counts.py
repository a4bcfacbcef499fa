"""Families over booleans and counts."""

from __future__ import annotations

from typing import Any, ClassVar

from ppl.errors import ModelError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, boolean, nonnegative_integer, positive, real, unit_interval
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, betaln, div, lgamma, log, log1p, mul, neg, square, sub
from .guards import exactly_one, inside


class Odds(Distribution):
    """What families with a success probability share: it is given as `probs` or as `logits`."""

    dtype = "int"
    reparameterized = False

    @property
    def success(self) -> Number:
        """Probability of success."""
        return self.params["probs"] if "probs" in self.params else al.sigmoid(self.params["logits"])

    @property
    def log_success(self) -> Number:
        """Log probability of success."""
        return log(self.params["probs"]) if "probs" in self.params else neg(al.softplus(neg(self.params["logits"])))

    @property
    def log_failure(self) -> Number:
        """Log probability of failure."""
        return log1p(neg(self.params["probs"])) if "probs" in self.params else neg(al.softplus(self.params["logits"]))

    def outcomes(self, successes: Number, failures: Number) -> Number:
        """Log probability of trials with given outcomes, in one order."""
        if "logits" in self.params:
            logits = self.params["logits"]
            return sub(mul(successes, logits), mul(add(successes, failures), al.softplus(logits)))
        probs = self.params["probs"]
        return add(al.xlogy(successes, probs), al.xlog1py(failures, neg(probs)))


class Bernoulli(Odds):
    """Bernoulli distribution over 0 and 1.

    Args:
        probs: probability of 1.
        logits: log odds of 1, in place of `probs`.
    """

    parameters: ClassVar[dict[str, Support]] = {"probs": unit_interval, "logits": real}

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        exactly_one("Bernoulli", probs=probs, logits=logits)
        super().__init__({"probs": probs, "logits": logits})

    @property
    def support(self) -> Support:
        """0 and 1."""
        return boolean

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        if "logits" in self.params:
            return apply("bernoulli_log_prob", self.params["logits"], x)
        # The logarithm of the one probability that counts: its gradient never sees the other one's zero.
        probs = self.params["probs"]
        return log(al.where(x > 0, probs, sub(1.0, probs)))

    def draw(self, noise: NoiseSource) -> Value:
        """1 where uniform noise lies below the probability."""
        return apply("astype", apply("less", noise.uniform(self.event_shape), self.success), dtype="int")

    def element_mean(self) -> Value:
        """The probability of 1."""
        return lift(self.success)

    def element_variance(self) -> Value:
        """P (1 - p)."""
        p = self.success
        return lift(mul(p, sub(1.0, p)))


class Geometric(Odds):
    """Geometric distribution: failures before the first success.

    Args:
        probs: probability of success in each trial.
        logits: log odds of success, in place of `probs`.
    """

    parameters: ClassVar[dict[str, Support]] = {"probs": unit_interval, "logits": real}

    def __init__(self, probs: Any = None, logits: Any = None) -> None:
        exactly_one("Geometric", probs=probs, logits=logits)
        super().__init__({"probs": probs, "logits": logits})

    @property
    def support(self) -> Support:
        """Counts."""
        return nonnegative_integer

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        if "probs" in self.params:
            return add(al.xlog1py(al.real(x), neg(self.params["probs"])), self.log_success)
        return add(mul(al.real(x), self.log_failure), self.log_success)

    def draw(self, noise: NoiseSource) -> Value:
        """Whole part of an exponential waiting time."""
        waiting = div(apply("log", noise.uniform(self.event_shape)), self.log_failure)
        return apply("astype", apply("floor", waiting), dtype="int")

    def element_mean(self) -> Value:
        """(1 - p) / p."""
        p = self.success
        return lift(div(sub(1.0, p), p))

    def element_variance(self) -> Value:
        """(1 - p) / p**2."""
        p = self.success
        return lift(div(sub(1.0, p), square(p)))


class Binomial(Odds):
    """Binomial distribution: successes in `total_count` trials.

    Args:
        total_count: number of trials.
        probs: probability of success.
        logits: log odds of success, in place of `probs`.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "total_count": nonnegative_integer,
        "probs": unit_interval,
        "logits": real,
    }
    positional = 1

    def __init__(self, total_count: Any, probs: Any = None, logits: Any = None) -> None:
        exactly_one("Binomial", probs=probs, logits=logits)
        super().__init__({"total_count": total_count, "probs": probs, "logits": logits})

    @property
    def support(self) -> Support:
        """Counts up to the number of trials."""
        return supports.integer_interval(0, self.params["total_count"])

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        n, k = al.real(self.params["total_count"]), al.real(x)
        if "logits" not in self.params:
            return add(self.outcomes(k, sub(n, k)), al.log_choose(n, k))
        logits = self.params["logits"]
        return add(mul(k, logits), neg(mul(n, al.softplus(logits))), al.log_choose(n, k))

    def draw(self, noise: NoiseSource) -> Value:
        """The backend's own draw."""
        args = (self.params["total_count"], lift(self.success))
        return noise.native("binomial", args, self.event_shape, "int")

    def element_mean(self) -> Value:
        """N p."""
        return lift(mul(self.params["total_count"], self.success))

    def element_variance(self) -> Value:
        """N p (1 - p)."""
        p = self.success
        return lift(mul(self.params["total_count"], mul(p, sub(1.0, p))))


class BetaBinomial(Distribution):
    """Beta-binomial distribution: a binomial whose probability is a beta draw.

    Args:
        concentration1: weight of success, positive.
        concentration0: weight of failure, positive.
        total_count: number of trials.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "concentration1": positive,
        "concentration0": positive,
        "total_count": nonnegative_integer,
    }
    positional = 3
    dtype = "int"
    reparameterized = False

    def __init__(self, concentration1: Any, concentration0: Any, total_count: Any = 1) -> None:
        super().__init__(
            {"concentration1": concentration1, "concentration0": concentration0, "total_count": total_count}
        )

    @property
    def support(self) -> Support:
        """Counts up to the number of trials."""
        return supports.integer_interval(0, self.params["total_count"])

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        a, b, n = (al.real(v) for v in self.params.values())
        k = al.real(x)
        # The arguments of the first beta function sum to a + b + n, whatever k is.
        mixed = add(lgamma(add(k, a)), lgamma(sub(add(n, b), k)), neg(lgamma(add(a, b, n))))
        return add(al.log_choose(n, k), mixed, neg(betaln(a, b)))

    def draw(self, noise: NoiseSource) -> Value:
        """A binomial draw whose probability is a beta draw."""
        a, b, n = self.params.values()
        probs = noise.native("beta", al.reals(a, b), self.event_shape, "float")
        return noise.native("binomial", (n, probs), self.event_shape, "int")

    def element_mean(self) -> Value:
        """N times the beta mean."""
        a, b, n = self.params.values()
        return lift(mul(n, div(a, add(a, b))))

    def element_variance(self) -> Value:
        """N a b (a + b + n) / ((a + b)**2 (a + b + 1))."""
        a, b, n = self.params.values()
        total = add(a, b)
        return lift(div(mul(mul(n, mul(a, b)), add(total, n)), mul(square(total), add(total, 1.0))))


class Poisson(Distribution):
    """Poisson distribution.

    Args:
        rate: expected count, not negative.
    """

    parameters: ClassVar[dict[str, Support]] = {"rate": supports.nonnegative}
    dtype = "int"
    reparameterized = False

    def __init__(self, rate: Any) -> None:
        super().__init__({"rate": rate})

    @property
    def support(self) -> Support:
        """Counts."""
        return nonnegative_integer

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        rate, k = self.params["rate"], al.real(x)
        return add(al.xlogy(k, rate), neg(rate), neg(lgamma(add(k, 1.0))))

    def draw(self, noise: NoiseSource) -> Value:
        """The backend's own draw."""
        return noise.native("poisson", al.reals(self.params["rate"]), self.event_shape, "int")

    def element_mean(self) -> Value:
        """The rate."""
        return self.params["rate"]

    def element_variance(self) -> Value:
        """The rate."""
        return self.params["rate"]


class NegativeBinomial(Odds):
    """Negative binomial distribution: a Poisson whose rate is a gamma draw.

    Give either `total_count` with `probs` or `logits`, or `mean` with `concentration`.

    Args:
        total_count: number of failures at which counting stops; any positive number.
        probs: probability of success; successes are counted.
        logits: log odds of success, in place of `probs`.
        mean: expected count.
        concentration: positive; the variance is mean + mean**2 / concentration.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "total_count": positive,
        "probs": unit_interval,
        "logits": real,
        "mean": positive,
        "concentration": positive,
    }
    positional = 0

    def __init__(
        self,
        total_count: Any = None,
        probs: Any = None,
        logits: Any = None,
        *,
        mean: Any = None,
        concentration: Any = None,
    ) -> None:
        exactly_one("NegativeBinomial", probs=probs, logits=logits, mean=mean)
        size = {"total_count": total_count, "concentration": concentration}
        if (mean is None and concentration is not None) or (mean is not None and total_count is not None):
            raise ModelError(
                "NegativeBinomial takes total_count with probs or logits, or mean with concentration.",
                declared_at=user_location(),
                got=", ".join(name for name, item in size.items() if item is not None),
            )
        exactly_one("NegativeBinomial", **size)
        super().__init__({**size, "probs": probs, "logits": logits, "mean": mean})

    @property
    def support(self) -> Support:
        """Counts."""
        return nonnegative_integer

    @property
    def failures(self) -> Value:
        """The number of failures at which counting stops, which is the concentration of the gamma rate."""
        return self.params["concentration"] if "mean" in self.params else self.params["total_count"]

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each element, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        n, k = self.failures, al.real(x)
        choose = add(lgamma(add(k, n)), neg(lgamma(add(k, 1.0))), neg(lgamma(n)))
        if "mean" in self.params:
            mean = self.params["mean"]
            odds = al.xlogy(k, div(mean, add(mean, n)))
            return add(choose, odds, neg(mul(n, log1p(div(mean, n)))))
        return add(choose, self.outcomes(k, n))

    @property
    def odds(self) -> Number:
        """Odds of success: the mean for each failure."""
        if "mean" in self.params:
            return div(self.params["mean"], self.params["concentration"])
        if "logits" in self.params:
            return al.exp(self.params["logits"])
        return div(self.params["probs"], sub(1.0, self.params["probs"]))

    def draw(self, noise: NoiseSource) -> Value:
        """A Poisson draw whose rate is a gamma draw."""
        rate = mul(noise.native("gamma", al.reals(self.failures), self.event_shape, "float"), self.odds)
        return noise.native("poisson", al.reals(rate), self.event_shape, "int")

    def element_mean(self) -> Value:
        """Failures times odds."""
        return lift(mul(self.failures, self.odds))

    def element_variance(self) -> Value:
        """Mean * (1 + odds)."""
        return lift(mul(mul(self.failures, self.odds), add(1.0, self.odds)))
