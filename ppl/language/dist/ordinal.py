"""Ordinal data: which of several consecutive intervals a variable fell into."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from ppl.errors import ModelError, ShapeError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, integer, ordered, positive, real
from ppl.program.values import Shape, Value, lift
from ppl.program.vocabulary import broadcast

from . import algebra as al
from .algebra import Number, add, neg, sub
from .bounded import check_order
from .continuous import Logistic, Normal
from .guards import inside
from .special import log_between, log_tail
from .transformed import refuse_mask


def needs_cdf(family: str, base: Any) -> None:
    """Refuse a base without a cumulative distribution function in elementary functions, or over more than numbers.

    Raises:
        ModelError: probabilities of intervals are not available.
    """
    expected = "Normal, LogNormal, Logistic, Exponential, Weibull, LogLogistic, Gompertz, Gumbel, ..."
    if not isinstance(base, Distribution) or base.event_rank or base.support.discrete:
        raise ModelError(
            f"{family} needs a continuous base over numbers.",
            declared_at=user_location(),
            expected=expected,
            got=repr(base),
        )
    refuse_mask(family, base)
    try:
        base.log_cdf(lift(0.5))
        base.log_survival(lift(0.5))
    except ModelError as error:
        raise ModelError(
            f"{family} cannot be made of {base.family}: it has no cumulative distribution function in closed form.",
            declared_at=user_location(),
            expected=expected,
            got=repr(base),
            remedy="Choose a family whose cdf is elementary, or make the exact value a latent site.",
        ) from error


class Intervals(Distribution):
    """The number of the interval that a variable falls into, counted from zero; edges are increasing vectors."""

    dtype = "int"
    reparameterized = False

    @property
    @abstractmethod
    def edges(self) -> Value:
        """Where one interval ends and the next begins; shape (..., intervals - 1)."""

    @property
    def intervals(self) -> int:
        """Number of intervals."""
        return self.edges.shape[-1] + 1

    @property
    def support(self) -> Support:
        """Whole numbers below the number of intervals."""
        return supports.integer_interval(0, self.intervals - 1)

    @property
    @abstractmethod
    def variable(self) -> Any:
        """The variable, one number an element."""

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of each interval, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        index = apply("astype", x, dtype="int") if x.dtype != "int" else x
        base, edges, last_one = self.variable, self.edges, self.intervals - 1
        first, final = apply("equal", index, 0), apply("equal", index, last_one)
        bottom, top = al.last(edges, 0), al.last(edges, -1)
        below, above = log_tail(base, bottom, first, upper=False), log_tail(base, top, final, upper=True)
        if last_one == 1:
            return al.where(first, below, above)
        at = apply("minimum", apply("maximum", index - 1, 0), last_one - 2)
        middle = self._between(al.pick(edges, at), al.pick(edges, at + 1))
        return al.where(first, below, al.where(final, above, middle))

    def _between(self, low: Value, high: Value) -> Number:
        return log_between(self.variable, low, high)

    def draw(self, noise: NoiseSource) -> Value:
        """Number of edges below a draw of the variable."""
        base = self.variable
        wide = base if base.event_shape == self.event_shape else base.expand(self.event_shape)
        over = apply("less", self.edges, wide.draw(noise)[..., None])
        return apply("astype", apply("sum", apply("astype", over, dtype="int"), axis=(-1,)), dtype="int")


class OrderedLogistic(Intervals):
    """Ordinal logistic regression: a logistic variable around a predictor, cut at thresholds.

    Args:
        predictor: location of the variable; larger makes higher categories likelier.
        cutpoints: increasing vector of thresholds, one fewer than there are categories.
    """

    parameters: ClassVar[dict[str, Support]] = {"predictor": real, "cutpoints": ordered}

    def __init__(self, predictor: Any, cutpoints: Any) -> None:
        super().__init__({"predictor": predictor, "cutpoints": cutpoints})

    @property
    def edges(self) -> Value:
        """The cutpoints."""
        return self.params["cutpoints"]

    @property
    def variable(self) -> Any:
        """Logistic around the predictor."""
        return Logistic.from_parts({"loc": self.params["predictor"], "scale": lift(1.0)}, {}, {})

    def _between(self, low: Value, high: Value) -> Number:
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)), without cancellation
        loc = self.params["predictor"]
        a, b = sub(high, loc), sub(low, loc)
        return add(neg(al.softplus(neg(a))), neg(al.softplus(b)), al.log1mexp(sub(high, low)))


class OrderedProbit(Intervals):
    """Ordinal probit regression: a normal variable around a predictor, cut at thresholds.

    Args:
        predictor: mean of the variable; larger makes higher categories likelier.
        cutpoints: increasing vector of thresholds, one fewer than there are categories.
    """

    parameters: ClassVar[dict[str, Support]] = {"predictor": real, "cutpoints": ordered}

    def __init__(self, predictor: Any, cutpoints: Any) -> None:
        super().__init__({"predictor": predictor, "cutpoints": cutpoints})

    @property
    def edges(self) -> Value:
        """The cutpoints."""
        return self.params["cutpoints"]

    @property
    def variable(self) -> Any:
        """Normal around the predictor."""
        return Normal.from_parts({"loc": self.params["predictor"], "scale": lift(1.0)}, {}, {})


class IntervalCensored(Intervals):
    """Which interval a draw of a base fell into: grouped, rounded and interval-censored data.

    Observations with intervals of their own, (a, b) each, have the edges (a, b) and the value 1: neither below the
    interval nor above it.

    Args:
        base: a continuous distribution with a cdf in closed form.
        edges: increasing vector; n edges make n + 1 intervals, the first and last of which are open.
    """

    parameters: ClassVar[dict[str, Support]] = {"edges": ordered}
    positional = 1

    def __init__(self, base: Any, edges: Any) -> None:
        needs_cdf("IntervalCensored", base)
        super().__init__({"edges": edges}, nested={"base": base})

    @property
    def edges(self) -> Value:
        """Where one interval ends and the next begins."""
        return self.params["edges"]

    @property
    def variable(self) -> Any:
        """The base, whose own edges of support are respected."""
        return self._nested["base"]

    def batch_shape(self) -> Shape:
        """Broadcast of the base's shape and the edges."""
        try:
            return broadcast(super().batch_shape(), self.variable.event_shape)
        except ValueError as error:
            raise ShapeError(
                "IntervalCensored: edges and base do not broadcast.", declared_at=user_location(), got=str(error)
            ) from error


class Discretized(Distribution):
    """A variable rounded to whole numbers from `low` to `high`; what lies beyond an end is counted there."""

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive, "low": integer, "high": integer}
    dtype = "int"
    reparameterized = False

    def __init__(self, loc: Any, scale: Any, *, low: Any, high: Any) -> None:
        super().__init__({"loc": loc, "scale": scale, "low": low, "high": high})
        check_order(self.family, self.params["low"], self.params["high"])

    @property
    @abstractmethod
    def variable(self) -> Any:
        """The variable before rounding."""

    @property
    def _moved(self) -> dict[str, Value]:
        return {"loc": self.params["loc"], "scale": self.params["scale"]}

    @property
    def support(self) -> Support:
        """Whole numbers between the bounds, both included."""
        return supports.integer_interval(self.params["low"], self.params["high"])

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of the unit interval around each value, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        base, k = self.variable, lift(al.real(x))
        low, high = lift(sub(k, 0.5)), lift(add(k, 0.5))
        at_low, at_high = apply("equal", x, self.params["low"]), apply("equal", x, self.params["high"])
        open_end = al.where(at_low, base.log_cdf(high), base.log_survival(low))
        return al.where(at_low | at_high, open_end, log_between(base, low, high))

    def draw(self, noise: NoiseSource) -> Value:
        """A draw of the variable, rounded and cut."""
        base = self.variable
        wide = base if base.event_shape == self.event_shape else base.expand(self.event_shape)
        # Cut first: what is far out has no integer.
        low, high = (al.real(self.params[n]) for n in ("low", "high"))
        cut = apply("maximum", apply("minimum", wide.draw(noise), high), low)
        return apply("astype", apply("floor", add(cut, 0.5)), dtype="int")


class DiscretizedNormal(Discretized):
    """Normal distribution rounded to whole numbers; the ends take what lies beyond them.

    Args:
        loc: mean before rounding.
        scale: standard deviation before rounding, positive.
        low: least value.
        high: greatest value.
    """

    @property
    def variable(self) -> Any:
        """The normal variable before rounding."""
        return Normal.from_parts(self._moved, {}, {})


class DiscretizedLogistic(Discretized):
    """Logistic distribution rounded to whole numbers, such as the grey values 0 to 255 of a pixel.

    Args:
        loc: mean before rounding.
        scale: positive.
        low: least value.
        high: greatest value.

    Reference: Salimans, Karpathy, Chen and Kingma (2017), PixelCNN++, equation 2.
    """

    @property
    def variable(self) -> Any:
        """The logistic variable before rounding."""
        return Logistic.from_parts(self._moved, {}, {})

    def element_log_prob(self, value: Value) -> Value:
        """Log probability of the unit interval around each value, in nats."""
        return inside(self, value, self._exactly)

    def _exactly(self, x: Value) -> Number:
        loc, scale = self.params["loc"], self.params["scale"]
        k = al.real(x)
        a, b = (al.standardise(add(k, half), loc, scale) for half in (0.5, -0.5))
        below, above = neg(al.softplus(neg(a))), neg(al.softplus(b))
        at_low, at_high = apply("equal", x, self.params["low"]), apply("equal", x, self.params["high"])
        # sigmoid(a) - sigmoid(b) = sigmoid(a) sigmoid(-b) (1 - exp(b - a)); at an end one factor is left.
        inner = add(below, above, al.log1mexp(al.div(1.0, scale)))
        return al.where(at_low, below, al.where(at_high, above, inner))
