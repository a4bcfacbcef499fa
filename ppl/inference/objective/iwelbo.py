"""Importance-weighted bounds, and those that train model and guide by different numbers of particles.

References: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders; Rainforth et al. (2018), Tighter
variational bounds are not necessarily better.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.errors import ModelError, user_location
from ppl.posterior.methods import register

from .elbo import at_least_one
from .expression import Expression, guide, model
from .language import log_weight, logmeanexp, mean, particles


@register
@dataclass(frozen=True)
class IWELBO:
    """The log of the mean weight over particles.

    For latents that live in a plate it is the sum over the plate's elements of one bound each; a global latent puts the
    sum over elements inside the logarithm.

    Attributes:
        particles: draws of the guide a step; with one, the ELBO.
    """

    particles: int = 16

    def __post_init__(self) -> None:
        at_least_one("IWELBO", particles=self.particles)

    def expression(self) -> Expression:
        """The bound in nats."""
        return logmeanexp(log_weight(model, guide), over=particles("k", self.particles))


@register
@dataclass(frozen=True)
class MIWAE:
    """The mean of several importance-weighted bounds.

    Attributes:
        outer: how many bounds.
        particles: draws of the guide for each.
    """

    outer: int = 8
    particles: int = 8

    def __post_init__(self) -> None:
        at_least_one("MIWAE", outer=self.outer, particles=self.particles)

    def expression(self) -> Expression:
        """The bound in nats."""
        m, k = particles("m", self.outer), particles("k", self.particles)
        return mean(logmeanexp(log_weight(model, guide), over=k), over=m)


@register
@dataclass(frozen=True)
class PIWAE:
    """The model is trained by one bound of all draws, the guide by the mean of smaller ones.

    Attributes:
        outer: how many smaller bounds.
        particles: draws of the guide for each.
    """

    outer: int = 8
    particles: int = 8

    def __post_init__(self) -> None:
        at_least_one("PIWAE", outer=self.outer, particles=self.particles)

    def expression(self) -> dict[str, Expression]:
        """The bounds of model and guide, in nats."""
        m, k = particles("m", self.outer), particles("k", self.particles)
        w = log_weight(model, guide)
        return {"model": logmeanexp(w, over=(m, k)), "guide": mean(logmeanexp(w, over=k), over=m)}


@register
@dataclass(frozen=True)
class CIWAE:
    """A mixture of the ELBO and the importance-weighted bound, on the same draws.

    Attributes:
        particles: draws of the guide a step.
        beta: the weight of the ELBO, from 0 to 1.
    """

    particles: int = 16
    beta: float = 0.5

    def __post_init__(self) -> None:
        at_least_one("CIWAE", particles=self.particles)
        if not 0.0 <= self.beta <= 1.0:
            raise ModelError("CIWAE needs a beta from 0 to 1.", declared_at=user_location(), got=str(self.beta))

    def expression(self) -> Expression:
        """The bound in nats."""
        k, w = particles("k", self.particles), log_weight(model, guide)
        return self.beta * mean(w, over=k) + (1.0 - self.beta) * logmeanexp(w, over=k)
