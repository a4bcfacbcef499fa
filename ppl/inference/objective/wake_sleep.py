"""Objectives of the wake-sleep family: guides fitted to draws of the posterior, or of the model.

References: Hinton et al. (1995); Bornschein and Bengio (2015), Reweighted wake-sleep; Le et al. (2019), Revisiting
reweighted wake-sleep.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.errors import ModelError, user_location
from ppl.posterior.methods import register

from .elbo import at_least_one
from .expression import Expression, Particles, guide, model
from .language import expect, log_density, log_weight, logmeanexp, particles, simulated, sir


def _wake(k: Particles) -> Expression:
    return expect(log_density(guide), under=sir(model, guide, over=k).detach())


def _sleep() -> Expression:
    return expect(log_density(guide), under=simulated(model))


@register
@dataclass(frozen=True)
class WakePhi:
    """The guide's log density at its own draws, weighted towards the posterior; the model stays as it is.

    Attributes:
        particles: draws of the guide a step.
    """

    particles: int = 16

    def __post_init__(self) -> None:
        at_least_one("WakePhi", particles=self.particles)

    def expression(self) -> dict[str, Expression]:
        """The objective of the guide, in nats."""
        return {"guide": _wake(particles("k", self.particles))}


# The same update: the forward divergence, estimated by self-normalised weights.
ForwardKL = WakePhi


@register
@dataclass(frozen=True)
class SleepPhi:
    """The guide's log density at latents drawn from the model, given data drawn with them; the model stays as it is."""

    def expression(self) -> dict[str, Expression]:
        """The objective of the guide, in nats."""
        return {"guide": _sleep()}


@register
@dataclass(frozen=True)
class ReweightedWakeSleep:
    """The model maximises the importance-weighted bound; the guide follows the wake or the sleep update, or both.

    Attributes:
        particles: draws of the guide a step.
        phase: "wake", "sleep" or "both".
    """

    particles: int = 16
    phase: str = "wake"

    def __post_init__(self) -> None:
        at_least_one("ReweightedWakeSleep", particles=self.particles)
        if self.phase not in ("wake", "sleep", "both"):
            raise ModelError(
                f"ReweightedWakeSleep has no phase {self.phase!r}.",
                declared_at=user_location(),
                expected='"wake", "sleep" or "both"',
            )

    def expression(self) -> dict[str, Expression]:
        """The objectives of model and guide, in nats."""
        k = particles("k", self.particles)
        updates = {"wake": _wake(k), "sleep": _sleep(), "both": 0.5 * _wake(k) + 0.5 * _sleep()}
        return {"model": logmeanexp(log_weight(model, guide), over=k), "guide": updates[self.phase]}
