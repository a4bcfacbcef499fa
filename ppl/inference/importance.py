"""Importance sampling: weighted draws, and an unbiased estimate of the evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.errors import ModelError, StrategyError
from ppl.posterior.methods import register
from ppl.posterior.posterior import Posterior
from ppl.program.check import check_auxiliary, check_guide, not_a_guide
from ppl.program.program import Program
from ppl.transforms.exact import exact_sites

from .draws import guide_draws


@register
@dataclass(frozen=True)
class ImportanceSampling:
    """Draws from a proposal, weighted by log p(values, data) - log q(values).

    Attributes:
        num_particles: number of draws.
        guide: the proposal; None for the prior.
    """

    num_particles: int = 10_000
    guide: Program | None = None

    def __post_init__(self) -> None:
        if self.num_particles < 1:
            raise ModelError("ImportanceSampling needs at least one particle.", got=str(self.num_particles))
        if self.guide is not None and not isinstance(self.guide, Program):
            raise not_a_guide(self.guide)

    def proposal(self, program: Program) -> Program:
        """The proposal as a program; without a guide, the prior of the latent sites."""
        if self.guide is not None:
            return self.guide
        return prior_program(program)

    def check(self, program: Program, seed: int = 0) -> None:
        """Refuse proposals that do not fit the model.

        Raises:
            PPLError: the guide does not fit.
            StrategyError: nothing is latent.
        """
        if not program.latents:
            raise StrategyError("ImportanceSampling has nothing to sample: no site is latent.", model=program.name)
        if self.guide is not None:
            check_guide(program, self.guide, exact_sites(program))
            check_auxiliary(self.guide)

    def run(self, program: Program, backend: Any, seed: int, precision: str) -> Posterior:
        """Draw and weigh."""
        self.check(program)
        model = Compiled(program, backend, precision, seed)
        guide = Compiled(self.proposal(program), backend, precision, seed)
        key, _ = backend.split(backend.key(seed), 2)
        params = {**model.params, **guide.params}
        values, log_p, log_q = guide_draws(model, guide, params, key, self.num_particles, seed)
        log_weight = log_p.astype(float) - log_q.astype(float)
        if not np.isfinite(log_weight).any():
            raise StrategyError(
                "every importance weight is zero: no draw of the proposal is possible in the model.",
                model=program.name,
                remedy="Use a guide nearer the posterior, or NUTS.",
            )
        top = float(np.max(log_weight[np.isfinite(log_weight)]))
        total = top + math.log(float(np.sum(np.exp(log_weight - top))))
        normalised = log_weight - total
        ess = float(1.0 / np.sum(np.exp(2.0 * normalised)))
        return Posterior(
            program=program,
            method=self,
            backend=backend.name,
            precision=precision,
            seed=seed,
            draws={k: v[None] for k, v in values.items()},
            params=params,
            log_weights=normalised[None],
            log_p=log_p[None],
            log_q=log_q[None],
            log_evidence=total - math.log(self.num_particles),
            diagnostics={"ess": ess},
            guide=guide.program,
            versions=backend.versions(),
        )


def prior_program(program: Program) -> Program:
    """The latent sites of a model with everything they depend on, and nothing that is observed.

    Sites of few values are left out, to be summed exactly, unless another latent depends on them.
    """
    exact = exact_sites(program)
    needed = program.with_needed(set(program.latents) - exact.keys())
    observed = sorted(needed & set(program.observed))
    statements = []
    for statement in program.statements:
        if statement.name in needed:
            statements.append(statement)
    imputed = [n for n in program.latents if program.sites[n].dist.family == "Imputed"]
    if imputed:
        site = program.sites[imputed[0]]
        raise StrategyError(
            "missing elements of observed data have no prior of their own, so the prior is no proposal.",
            site=imputed[0],
            model=program.name,
            declared_at=site.location,
            expected="a guide that draws them",
            got=f"{site.plates[0].size} elements that are imputed",
            remedy="Pass a guide, or use NUTS or SVI.",
        )
    if observed:
        site = program.sites[observed[0]]
        raise StrategyError(
            f"a latent depends on observed site {observed[0]!r}, so the prior is no proposal.",
            model=program.name,
            declared_at=site.location,
            remedy="Pass a guide.",
        )
    return Program(f"{program.name}_prior", program.inputs, (), program.plates, tuple(statements), program.data)
