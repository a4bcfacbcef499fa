"""Lower bounds on the log evidence, as expressions of the log densities of model and guide."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ppl.errors import ModelError, StrategyError
from ppl.language.dist.kl import kl_divergence
from ppl.posterior.methods import register
from ppl.program.ops import apply, plate_sum
from ppl.program.program import Program
from ppl.program.values import Plate, Value
from ppl.transforms.density import Density, Simulator, total_of


@dataclass(frozen=True)
class Bound:
    """The parts that an objective is made of.

    Attributes:
        model: log density of the model at the guide's draws.
        guide: draws of the guide, with their log densities.
        programs: model and guide.
        batch: batch size of each subsampled plate.
    """

    model: Density
    guide: Simulator
    programs: tuple[Program, Program]
    batch: Mapping[str, int]

    def plates(self, name: str) -> tuple[Plate, ...]:
        """Plates of a site of the guide."""
        return self.programs[1].by_name[name].plates

    def total(self, term: Value, plates: tuple[Plate, ...]) -> Value:
        """One term summed over plates."""
        return plate_sum(term, plates, dict(self.batch))


class Objective(Protocol):
    """What is maximised."""

    @property
    def particles(self) -> int:
        """Draws of the guide for each gradient step."""
        ...

    def expression(self, bound: Bound) -> Value:
        """The objective in nats, one number, with the leading axis of particles reduced."""
        ...


def _mean(value: Value) -> Value:
    return Value("lead_reduce", (value,), (("how", "mean"),), value.plates, value.shape, value.dtype)


def _check_particles(particles: int, name: str) -> None:
    if particles < 1:
        raise ModelError(f"{name} needs at least one particle.", got=str(particles))


@register
@dataclass(frozen=True)
class ELBO:
    """The evidence lower bound: the mean over particles of log p(values, data) - log q(values).

    Attributes:
        particles: draws of the guide a step.
        analytic_kl: take each site's KL divergence in closed form where there is one, instead of estimating it.

    Reference: Jordan et al. (1999); Kingma and Welling (2014).
    """

    particles: int = 1
    analytic_kl: bool = False

    def __post_init__(self) -> None:
        _check_particles(self.particles, "ELBO")

    def expression(self, bound: Bound) -> Value:
        """The bound in nats."""
        terms: list[Value] = []
        closed = self._closed_forms(bound)
        for name, term in bound.model.terms.items():
            if name in closed:
                terms.append(apply("negative", bound.total(closed[name], bound.model.plates[name])))
                continue
            terms.append(bound.total(term, bound.model.plates[name]))
        for name, term in bound.guide.log_probs.items():
            if name not in closed:
                terms.append(apply("negative", bound.total(term, bound.plates(name))))
        total = total_of(terms)
        return _mean(total) if self.particles > 1 else total

    def _closed_forms(self, bound: Bound) -> dict[str, Value]:
        if not self.analytic_kl:
            return {}
        out = {}
        for name, q in bound.guide.dists.items():
            p = bound.model.dists.get(name)
            # A prior that depends on a site that is summed out is no term of its own any more.
            alone = bound.model.parts.get(name) == (name,)
            divergence = None if p is None or not alone else kl_divergence(q, p)
            if divergence is not None:
                out[name] = divergence
        return out


@register
@dataclass(frozen=True)
class IWELBO:
    """The importance-weighted bound: log of the mean weight over particles.

    For latents that live in a plate it is the sum over the plate's elements of one bound each; a global latent puts the
    sum over elements inside the logarithm.

    Attributes:
        particles: draws of the guide a step; with one, the ELBO.

    Reference: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders.
    """

    particles: int = 16

    def __post_init__(self) -> None:
        _check_particles(self.particles, "IWELBO")

    def expression(self, bound: Bound) -> Value:
        """The bound in nats.

        Raises:
            StrategyError: a subsampled plate would stand inside the logarithm.
        """
        kept = self.outer_plates(bound)
        weights: list[Value] = []
        outside: list[Value] = []
        for name, term in bound.model.terms.items():
            plates = bound.model.plates[name]
            if self._depends(bound, name):
                weights.append(self._inside(bound, name, term, plates, kept))
            else:
                outside.append(bound.total(term, plates))
        for name, term in bound.guide.log_probs.items():
            weights.append(apply("negative", self._inside(bound, name, term, bound.plates(name), kept)))
        log_weight = total_of(weights)
        attrs = (("how", "logsumexp"),)
        total = Value("lead_reduce", (log_weight,), attrs, log_weight.plates, log_weight.shape, log_weight.dtype)
        total = apply("subtract", total, math.log(self.particles))
        return total_of([plate_sum(total, kept, dict(bound.batch)), *outside])

    def _depends(self, bound: Bound, name: str) -> bool:
        """Whether a term varies with the guide's draws."""
        model, latents = bound.programs[0], set(bound.guide.dists)
        parts = bound.model.parts[name]
        return any(part in latents or model.ancestors(part) & latents for part in parts)

    def _inside(
        self, bound: Bound, name: str, term: Value, plates: tuple[Plate, ...], kept: tuple[Plate, ...]
    ) -> Value:
        inner = tuple(p for p in plates if p not in kept)
        subsampled = [p for p in inner if p.name in bound.batch]
        if subsampled:
            raise StrategyError(
                f"plate {subsampled[0].name!r} is subsampled, but stands inside the logarithm of the "
                "importance-weighted bound, where a minibatch estimate is biased.",
                site=name,
                model=bound.programs[0].name,
                remedy="Use all rows (no batch_size), ELBO(), or a guide without global latents.",
            )
        return bound.total(term, inner)

    def outer_plates(self, bound: Bound) -> tuple[Plate, ...]:
        """The plates that stay outside the logarithm: those that every term with a latent in it lies in."""
        stacks = [bound.model.plates[n] for n in bound.model.terms if self._depends(bound, n)]
        stacks += [bound.plates(n) for n in bound.guide.log_probs]
        return tuple(p for p in stacks[0] if all(p in stack for stack in stacks))
