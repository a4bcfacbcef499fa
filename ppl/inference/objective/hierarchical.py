"""Bounds for guides with auxiliary sites.

References: Ranganath, Tran and Blei (2016), Hierarchical variational models; Sobolev and Vetrov (2019), Importance
weighted hierarchical variational inference; with both at once, Becker et al. (2024), Probabilistic programming with
programmable variational inference.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.posterior.methods import register
from ppl.program.program import Program

from .elbo import at_least_one
from .expression import Expression, guide, model
from .language import log_weight, logmeanexp, marginal, particles


@register
@dataclass(frozen=True)
class DIWHVI:
    """The importance-weighted bound with the guide's density estimated from fresh draws of its auxiliary sites.

    Attributes:
        particles: draws of the guide a step.
        auxiliary: draws of the auxiliary sites for each; one is the draw itself, the others come from the proposal.
        proposal: distribution of the auxiliary sites given the others, which are its inputs; None for the guide's own.
    """

    particles: int = 5
    auxiliary: int = 5
    proposal: Program | None = None

    def __post_init__(self) -> None:
        at_least_one(type(self).__name__, particles=self.particles, auxiliary=self.auxiliary)

    def expression(self) -> Expression:
        """The bound in nats."""
        averaged = marginal(guide, proposal=self.proposal, particles=self.auxiliary)
        return logmeanexp(log_weight(model, averaged), over=particles("k", self.particles))


@register
@dataclass(frozen=True)
class IWHVI:
    """The lower bound with the guide's density estimated from fresh draws of its auxiliary sites.

    Attributes:
        auxiliary: draws of the auxiliary sites; one is the draw itself, the others come from the proposal.
        proposal: distribution of the auxiliary sites given the others, which are its inputs; None for the guide's own.
    """

    auxiliary: int = 5
    proposal: Program | None = None

    def __post_init__(self) -> None:
        at_least_one("IWHVI", auxiliary=self.auxiliary)

    def expression(self) -> Expression:
        """The bound in nats."""
        return DIWHVI(1, self.auxiliary, self.proposal).expression()


@register
@dataclass(frozen=True)
class HVI:
    """The lower bound with the guide's density estimated from the auxiliary draw itself.

    Attributes:
        proposal: distribution of the auxiliary sites given the others, which are its inputs; None for the guide's own.
    """

    proposal: Program | None = None

    def expression(self) -> Expression:
        """The bound in nats."""
        return DIWHVI(1, 1, self.proposal).expression()
