"""What a gradient strategy is: how one site of the guide is drawn, and how gradients account for the draw.

For any function h of a draw, a strategy gives lanes z_l with coefficients c_l such that sum_l c_l h(z_l) has the
expectation E_q h, and such that its gradient, with what the strategy adds, has the gradient of E_q h as expectation.
Coefficients multiply along the graph; that the whole is unbiased follows by induction over the sites in order.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.values import Axis, Value
from ppl.transforms.density import Noise

# Strategies that evaluate an objective at more than this many alternatives are no defaults, and refused if asked for.
LANE_BUDGET = 64


def stopped(value: Value) -> Value:
    """The same number as a constant for the gradient."""
    return apply("stop_gradient", value)


def zero(value: Value) -> Value:
    """A number that is zero and has the gradient of a value."""
    return apply("subtract", value, stopped(value))


@dataclass(frozen=True)
class Phantom:
    """Other values of a draw, at which costs are evaluated for the gradient alone.

    The gradient estimate is the sum over lanes of (cost there - cost at the draw) times the weight's gradient.

    Attributes:
        value: the other values, along `lane` if there are several.
        weight: numbers that are zero and carry a gradient, one for each lane and each element of the site's plates.
        lane: the axis of the values; None for one value.
        joint: whether all elements of a plate may be moved at once.
    """

    value: Value
    weight: Value
    lane: Axis | None = None
    joint: bool = False


@dataclass(frozen=True)
class Relaxation:
    """Continuous versions of a discrete draw, for a control variate of its score term.

    Attributes:
        value: a relaxed draw, with a pathwise gradient.
        conditional: a relaxed draw given the discrete one, with a pathwise gradient.
        scale: how much of the control variate is used.
    """

    value: Value
    conditional: Value
    scale: float


@dataclass(frozen=True)
class Drawn:
    """One site as a strategy draws it.

    Attributes:
        value: the draw.
        log_q: its log density as a term of the objective, in nats.
        lane: the axis of exact alternatives, whose probabilities are exp(`log_q`); None for a draw.
        probability: of each alternative on the lane.
        score: log density at the draw, of which no part is masked; its gradient multiplies the costs. None for none.
        phantoms: other values at which costs are evaluated.
        relaxation: for a control variate of the score term.
    """

    value: Value
    log_q: Value
    lane: Axis | None = None
    probability: Value | None = None
    score: Value | None = None
    phantoms: tuple[Phantom, ...] = ()
    relaxation: Relaxation | None = None

    def mapped(self, change: Callable[[Value], Value]) -> Drawn:
        """The same with every expression changed."""

        def maybe(value: Value | None) -> Value | None:
            return None if value is None else change(value)

        phantoms = tuple(replace(p, value=change(p.value), weight=change(p.weight)) for p in self.phantoms)
        r = self.relaxation
        return replace(
            self,
            value=change(self.value),
            log_q=change(self.log_q),
            probability=maybe(self.probability),
            score=maybe(self.score),
            phantoms=phantoms,
            relaxation=r and replace(r, value=change(r.value), conditional=change(r.conditional)),
        )


@dataclass(frozen=True)
class Draw:
    """What a strategy is given to draw a site.

    Attributes:
        name: name of the site.
        dist: its distribution, parameters filled in, without guards.
        noise: where randomness comes from.
        exact: whether costs may be summed over all values of the site.
        lane: makes the axis of some alternatives.
    """

    name: str
    dist: Distribution
    noise: Noise
    exact: bool
    lane: Callable[[int], Axis]

    def at(self, value: Value) -> Value:
        """Log density at a value, as a term of the objective, in nats."""
        return self.dist.log_prob(value)

    def score(self, value: Value) -> Value:
        """Log density at a value whatever is masked: the draw is random also where it counts for nothing."""
        bare = copy.copy(self.dist)
        bare.mask_value = None
        return bare.log_prob(value)


class Strategy(Protocol):
    """How gradients pass through the draw of a site."""

    @property
    def bias(self) -> str | None:
        """The bias that the user has accepted by name; None for an unbiased strategy."""
        ...

    def refusal(self, dist: Distribution) -> str | None:
        """Why a site of this distribution cannot be treated; None if it can."""
        ...

    def lanes(self, dist: Distribution) -> int:
        """At how many alternatives costs are evaluated."""
        ...

    def draw(self, draw: Draw) -> Drawn:
        """Draw the site."""
        ...


__all__ = ["LANE_BUDGET", "Draw", "Drawn", "Phantom", "Relaxation", "Strategy", "stopped", "zero"]
