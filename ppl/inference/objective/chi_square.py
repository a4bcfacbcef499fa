"""Objectives from chi-square divergences: upper bounds on the evidence, and guides that cover the posterior.

References: Dieng et al. (2017), Variational inference via chi upper bound minimization; Liu et al. (2024), Variational
importance sampling, for `VIS`.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.errors import ModelError, user_location
from ppl.posterior.methods import register

from .elbo import at_least_one
from .expression import Expression, guide, model
from .language import log_power_mean, log_weight, logmeanexp, particles


@register
@dataclass(frozen=True)
class CUBO:
    """Minus the chi upper bound, which the guide makes as tight as it can; the model's parameters stay as they are.

    Attributes:
        order: power of the weights, above 1.
        particles: draws of the guide a step.
    """

    order: float = 2.0
    particles: int = 16

    def __post_init__(self) -> None:
        at_least_one("CUBO", particles=self.particles)
        if not self.order > 1.0:
            raise ModelError("CUBO needs an order above 1.", declared_at=user_location(), got=str(self.order))

    def expression(self) -> dict[str, Expression]:
        """Minus the bound of the guide, in nats."""
        return {"guide": -log_power_mean(log_weight(model, guide), self.order, over=particles("k", self.particles))}


@register
@dataclass(frozen=True)
class VIS:
    """The model maximises the importance-weighted bound; the guide minimises the variance of its weights.

    Attributes:
        particles: draws of the guide a step.
    """

    particles: int = 16

    def __post_init__(self) -> None:
        at_least_one("VIS", particles=self.particles)

    def expression(self) -> dict[str, Expression]:
        """The objectives of model and guide, in nats."""
        k, w = particles("k", self.particles), log_weight(model, guide)
        return {"model": logmeanexp(w, over=k), "guide": -logmeanexp(2.0 * w, over=k)}
