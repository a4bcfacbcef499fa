"""Baselines of score terms: what a cost is compared with. They never see the draw whose score they multiply.

References: Mnih and Gregor (2014), Neural variational inference and learning in belief networks; Mnih and Rezende
(2016), Variational inference for Monte Carlo objectives.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ppl.errors import ModelError, user_location
from ppl.posterior.methods import register
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.values import Shape, Value

from .contract import stopped

# Makes a parameter from its name, shape and start; `rate` is the step size of plain gradient descent, None for the
# optimiser of the fit.
Maker: TypeAlias = Callable[[str, Shape, np.ndarray, float | None], Value]


@register
@dataclass(frozen=True)
class LeaveOneOut:
    """The cost of the other particles: inside a log mean weight that is VIMCO."""


@register
@dataclass(frozen=True)
class Running:
    """A running mean of the costs of earlier steps.

    Attributes:
        decay: what is kept of the mean at each step.
    """

    decay: float = 0.9

    def __post_init__(self) -> None:
        if not 0.0 <= self.decay < 1.0:
            raise ModelError(
                "Running needs a decay from 0 to below 1.", declared_at=user_location(), got=str(self.decay)
            )

    def value(self, name: str, dist: Distribution, make: Maker) -> Value:
        """The mean so far: a parameter that moves towards each cost by 1 - decay of the way."""
        return make(name, (), np.zeros(()), 1.0 - self.decay)


@register
@dataclass(frozen=True)
class Learned:
    """A network with one hidden layer that predicts the cost from the parameters of the site's distribution.

    Attributes:
        hidden: width of the hidden layer.
    """

    hidden: int = 32

    def value(self, name: str, dist: Distribution, make: Maker) -> Value:
        """The prediction, one number for each element of the site's plates."""
        parts = [apply("reshape", stopped(v), shape=(int(np.prod(v.shape)),)) for v in dist.params.values()]
        x = apply("concat", *parts, axis=-1) if len(parts) > 1 else parts[0]
        width = x.shape[0]
        rng = np.random.default_rng([*name.encode()])

        def weight(part: str, shape: Shape, bound: float) -> Value:
            return make(f"{name}.{part}", shape, rng.uniform(-bound, bound, shape), None)

        first = weight("0.weight", (self.hidden, width), width**-0.5)
        h = apply("tanh", apply("matmul", first, x) + weight("0.bias", (self.hidden,), 0.0))
        last = weight("1.weight", (self.hidden,), self.hidden**-0.5)
        return apply("sum", last * h, axis=(-1,)) + weight("1.bias", (), 0.0)


Baseline: TypeAlias = LeaveOneOut | Running | Learned

__all__ = ["Baseline", "Learned", "LeaveOneOut", "Maker", "Running"]
