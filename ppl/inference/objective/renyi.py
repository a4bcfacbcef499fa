"""Bounds from Rényi divergences.

Reference: Li and Turner (2016), Rényi divergence variational inference.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.errors import ModelError, user_location
from ppl.posterior.methods import register

from .elbo import at_least_one
from .expression import Expression, guide, model
from .language import log_power_mean, log_weight, particles


@register
@dataclass(frozen=True)
class Renyi:
    """The log of the power mean of the weights, of power 1 - alpha.

    Attributes:
        alpha: 0 gives the importance-weighted bound; towards 1 it goes to the ELBO, which is a method of its own.
        particles: draws of the guide a step.
    """

    alpha: float = 0.5
    particles: int = 16

    def __post_init__(self) -> None:
        at_least_one("Renyi", particles=self.particles)
        if self.alpha == 1.0:
            raise ModelError(
                "Renyi of order 1 is the ELBO.", declared_at=user_location(), remedy="Use ELBO(particles)."
            )

    def expression(self) -> Expression:
        """The bound in nats."""
        return log_power_mean(log_weight(model, guide), 1.0 - self.alpha, over=particles("k", self.particles))
