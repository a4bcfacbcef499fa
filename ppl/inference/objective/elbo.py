"""The evidence lower bound, and the same with its divergence reweighted.

References: Jordan et al. (1999); Kingma and Welling (2014); Higgins et al. (2017), beta-VAE; Burgess et al. (2018),
Understanding disentangling in beta-VAE, for the capacity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ppl.errors import ModelError, user_location
from ppl.inference.schedules import Curve, lowest
from ppl.posterior.methods import register

from .expression import Expression, guide, model, observed
from .language import kl, log_density, log_weight, mean, particles


@register
@dataclass(frozen=True)
class ELBO:
    """The evidence lower bound: the mean over particles of log p(values, data) - log q(values).

    Attributes:
        particles: draws of the guide a step.
        analytic_kl: take each site's KL divergence in closed form where there is one, instead of estimating it.
    """

    particles: int = 1
    analytic_kl: bool = False

    def __post_init__(self) -> None:
        at_least_one("ELBO", particles=self.particles)

    def expression(self) -> Expression:
        """The bound in nats."""
        k = particles("k", self.particles)
        if not self.analytic_kl:
            return mean(log_weight(model, guide), over=k)
        return mean(log_density(model, sites=observed) - kl(guide, model), over=k)


@register
@dataclass(frozen=True)
class BetaELBO:
    """The fit to the data less a multiple of the divergence from the prior; with 1 it is the ELBO.

    Attributes:
        beta: the multiple, or one for each site by name (1 for those left out); Ramp(0.0, 1.0, 1000) warms up.
        particles: draws of the guide a step.
    """

    beta: float | Curve | Mapping[str, float | Curve] = 4.0
    particles: int = 1

    def __post_init__(self) -> None:
        at_least_one("BetaELBO", particles=self.particles)
        for factor in self.beta.values() if isinstance(self.beta, Mapping) else [self.beta]:
            if not lowest(factor) >= 0:
                raise ModelError("BetaELBO needs weights from zero up.", declared_at=user_location(), got=str(factor))

    def expression(self) -> Expression:
        """The objective in nats."""
        fit = log_density(model, sites=observed)
        if isinstance(self.beta, Mapping):
            rest = kl(guide, model, without=tuple(self.beta))
            parts = [kl(guide, model, sites=[name]) * b for name, b in self.beta.items()]
            penalty = sum(parts, 1.0 * rest)
        else:
            penalty = kl(guide, model) * self.beta
        return mean(fit - penalty, over=particles("k", self.particles))


@register
@dataclass(frozen=True)
class CapacityELBO:
    """The fit to the data less a penalty for a divergence other than the capacity, element by element of the plates.

    Attributes:
        gamma: weight of the penalty.
        capacity: the divergence that is free, in nats for each element of the plates that all guide sites live in; a
            curve such as Ramp(0.0, 25.0, 10_000) lets it grow, as in the source.
        particles: draws of the guide a step.
    """

    gamma: float = 100.0
    capacity: float | Curve = 25.0
    particles: int = 1

    def __post_init__(self) -> None:
        at_least_one("CapacityELBO", particles=self.particles)

    def expression(self) -> Expression:
        """The objective in nats."""
        distance = abs(kl(guide, model, closed=True) - self.capacity)
        return mean(log_density(model, sites=observed) - self.gamma * distance, over=particles("k", self.particles))


def at_least_one(objective: str, **counts: int) -> None:
    """Refuse numbers of particles below one.

    Raises:
        ModelError: one is.
    """
    for count in counts.values():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ModelError(f"{objective} needs at least one particle.", declared_at=user_location(), got=repr(count))
