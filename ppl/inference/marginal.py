"""Guides with auxiliary sites that are averaged out: the density of the kept sites, estimated from further draws.

With u the auxiliary sites, z the kept ones, and r(u | z) a proposal, one draw (u_0, z) of the guide and M - 1 fresh
draws u_j of r give an estimate of log q(z) whose expectation is no less than it:

    log 1/M sum_j q(u_j, z) / r(u_j | z)        u_0 the draw that z came from

so that log p(z) less the estimate stays a lower bound. The fresh draws are sites of an augmented guide, so that
gradients account for them as for any other.

References: Ranganath, Tran and Blei (2016), Hierarchical variational models; Sobolev and Vetrov (2019), Importance
weighted hierarchical variational inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ppl.errors import ModelError, StrategyError, UnknownNameError, nearest
from ppl.program.ops import element, leave
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Network, Param, PlateStatement, Sample, Statement
from ppl.program.values import Plate, Value
from ppl.transforms.density import Resolver

from .objective.expression import KL, Entropy, Expect, Expression, LogDensity, LogWeight, Marginal

INNER = "auxiliary draws"


def fresh(name: str) -> str:
    """The name of the site that holds fresh draws of an auxiliary one."""
    return f"{name} (fresh)"


def marginal_of(groups: Mapping[str, Expression]) -> Marginal | None:
    """The way in which an objective averages auxiliary sites out; None if it does not.

    Raises:
        StrategyError: there are two ways, or a term that does not.
    """
    found: dict[Marginal, None] = {}
    others: list[Expression] = []
    for expression in groups.values():
        for node in expression.walk():
            role = node.guide if isinstance(node, LogWeight) else node.program if isinstance(node, LogDensity) else None
            if isinstance(role, Marginal):
                found[role] = None
            elif isinstance(node, (KL, Entropy, Expect)) or (role is not None and role.name == "guide"):
                others.append(node)
    if len(found) > 1:
        raise StrategyError(
            "an objective averages auxiliary sites out in two ways.",
            expected="the same marginal(...) everywhere",
            got=" and ".join(map(repr, found)),
        )
    if found and others:
        raise StrategyError(
            "an objective averages auxiliary sites out in one term, and reads the density of all sites in another.",
            expected=f"{next(iter(found))!r} in place of the guide everywhere",
            got=repr(others[0]),
        )
    return next(iter(found), None)


@dataclass(frozen=True)
class Marginalized:
    """A guide whose auxiliary sites are averaged out.

    Attributes:
        program: the guide with sites for fresh draws.
        guide: the guide as it was given, with the parameters of the proposal.
        marginal: what was asked for.
        auxiliary: names of the sites that are averaged out.
    """

    program: Program
    guide: Program
    marginal: Marginal
    auxiliary: tuple[str, ...]

    @property
    def own(self) -> bool:
        """Whether fresh draws come from the guide itself, so that their densities cancel."""
        return self.marginal.proposal is None

    def given(self, values: Mapping[str, Value], params: Mapping[str, Value]) -> dict[str, Value]:
        """Log density of each guide site with the auxiliary ones at their fresh draws, in nats."""
        replaced = {n: values[fresh(n)] for n in self.auxiliary}
        return self._log_prob({**values, **replaced}, params, {n: n for n in self.guide.sites})

    def reverse(self, values: Mapping[str, Value], params: Mapping[str, Value]) -> dict[str, Value]:
        """Log density under the proposal of each auxiliary site's own draw, in nats."""
        replaced = {fresh(n): values[n] for n in self.auxiliary}
        return self._log_prob({**values, **replaced}, params, {fresh(n): n for n in self.auxiliary})

    def _log_prob(
        self, values: Mapping[str, Value], params: Mapping[str, Value], names: Mapping[str, str]
    ) -> dict[str, Value]:
        resolver = Resolver(self.program, {}, params)
        out: dict[str, Value] = {}
        for statement in self.program.statements:
            name = resolver.statement = statement.name
            if isinstance(statement, Deterministic):
                resolver.values[name] = resolver.value(statement.expression)
            elif isinstance(statement, Sample):
                if name in names:
                    out[names[name]] = resolver.distribution(statement.dist).unchecked().log_prob(values[name])
                resolver.values[name] = values[name]
        return out


def marginalized(model: Program, guide: Program, marginal: Marginal) -> Marginalized:
    """The guide in which auxiliary sites have fresh draws.

    Args:
        model: the model.
        guide: the guide.
        marginal: how they are averaged out.

    Raises:
        ModelError: nothing to average out; a proposal that is no distribution of the auxiliary sites.
        UnknownNameError: a kept site that the guide lacks.
        StrategyError: a guide with scans.
    """
    auxiliary = _auxiliary(model, guide, marginal)
    proposal = marginal.proposal
    extra: list[Statement] = []
    if proposal is not None:
        extra = _check_proposal(guide, proposal, auxiliary)
    bare = Program(guide.name, guide.inputs, guide.settings, guide.plates, (*extra, *guide.statements), guide.data)
    inner = Plate(INNER, marginal.particles - 1)
    if inner.size == 0:
        # Nobody reads these sites but the proposal's density, so one draw that is left alone does no harm.
        inner = Plate(INNER, 1)
    source = guide if proposal is None else proposal
    resolver = Resolver(source, {}) if proposal is None else _Conditional(source, {}, {}, guide=guide)
    added: list[Statement] = []
    for statement in source.statements:
        name = resolver.statement = statement.name
        if isinstance(statement, Deterministic):
            resolver.values[name] = resolver.value(statement.expression)
        elif isinstance(statement, Sample):
            if name not in auxiliary:
                resolver.values[name] = statement.value
                continue
            dist = resolver.distribution(statement.dist)
            site = Sample(fresh(name), (*statement.plates, inner), statement.location, dist, auxiliary=True)
            added.append(site)
            resolver.values[name] = site.value
    # Densities of all sites meet the fresh draws, so that their plate lies inside all others.
    stacks = dict.fromkeys(s.plates for s in (*guide.statements, *model.statements))
    plates = (*guide.plates, *(PlateStatement(inner, stack, (), None) for stack in stacks))
    program = Program(guide.name, guide.inputs, guide.settings, plates, (*bare.statements, *added), guide.data)
    return Marginalized(program, bare, marginal, auxiliary)


class _Conditional(Resolver):
    """Reads a proposal, whose inputs are the kept sites of a guide."""

    def __init__(self, program: Program, values: dict[str, Value], params: dict[str, Value], *, guide: Program) -> None:
        super().__init__(program, values, params)
        self.guide = guide

    def _node(self, node: Value) -> Value:
        if node.op == "input" and node.attr("name") in self.guide.sites:
            site = self.guide.sites[node.attr("name")]
            return leave(site.value, site.plates)
        if node.op == "element":
            # One element of what a kept site is in its plate: the site itself.
            return element(self._done[id(node.args[0])], node.attr("plate"))
        return super()._node(node)


def _auxiliary(model: Program, guide: Program, marginal: Marginal) -> tuple[str, ...]:
    keep = tuple(n for n in guide.sites if n in model.sites) if marginal.keep is None else marginal.keep
    for name in keep:
        if name not in guide.sites:
            raise UnknownNameError(
                f"marginal(...) keeps {name!r}, and the guide has no such site.",
                model=guide.name,
                expected=f"one of {list(guide.sites)}",
                got=repr(name),
                remedy=nearest(name, guide.sites),
            )
    lost = [n for n in guide.sites if n in model.sites and n not in keep]
    if lost:
        raise ModelError(
            f"marginal(...) averages {lost[0]!r} out, which is a latent of the model.",
            site=lost[0],
            model=guide.name,
            expected=f"keep= with all latents, {[n for n in guide.sites if n in model.sites]}",
            got=f"keep={list(keep)}",
        )
    auxiliary = tuple(n for n in guide.sites if n not in keep)
    if not auxiliary:
        raise ModelError(
            "marginal(...) has nothing to average out.",
            model=guide.name,
            expected="a guide with auxiliary sites: ppl.sample(..., auxiliary=True)",
            got=f"sites {list(guide.sites)}",
            remedy="Use log_weight(model, guide).",
        )
    if guide.carries:
        raise StrategyError(
            "marginal(...) does not average out what the steps of a scan hand on.",
            model=guide.name,
            got=f"a scan that hands on {', '.join(c.hint for c in guide.carries.values())}",
            remedy="Write the guide without ppl.scan.",
        )
    return auxiliary


def _check_proposal(guide: Program, proposal: Program, auxiliary: tuple[str, ...]) -> list[Statement]:
    """The parameters and networks of a proposal.

    Raises:
        ModelError: it is not a distribution of the auxiliary sites given the kept ones.
    """
    facts: dict[str, Any] = {"model": proposal.name}
    if set(proposal.sites) != set(auxiliary) or proposal.observed or proposal.factors or proposal.carries:
        raise ModelError(
            "a proposal samples the auxiliary sites of the guide and nothing else.",
            **facts,
            expected=f"sites {list(auxiliary)}",
            got=f"sites {list(proposal.sites)}",
        )
    for item in proposal.inputs:
        site = guide.sites.get(item.name)
        known = {i.name for i in guide.inputs}
        if site is None and item.name not in known:
            raise ModelError(
                f"the proposal reads an input {item.name!r} that is no site of the guide.",
                **facts,
                expected=f"kept sites, {[n for n in guide.sites if n not in auxiliary]}, or inputs {sorted(known)}",
                got=repr(item.name),
            )
        if site is not None:
            shape = tuple(p.size for p in site.plates) + site.dist.event_shape
            if item.name in auxiliary or item.shape != shape:
                raise ModelError(
                    f"the proposal reads {item.name!r} in another shape than the guide draws it.",
                    **facts,
                    expected=f"ppl.spec({shape})",
                    got=f"shape {item.shape}",
                )
    for name in auxiliary:
        mine, theirs = proposal.sites[name], guide.sites[name]
        if mine.dist.support != theirs.dist.support or (
            mine.dist.event_shape,
            mine.plates,
        ) != (theirs.dist.event_shape, theirs.plates):
            raise ModelError(
                "the proposal's draws do not fit those of the guide.",
                site=name,
                **facts,
                declared_at=mine.location,
                expected=f"{theirs.dist!r} in plates {[p.name for p in theirs.plates]}",
                got=f"{mine.dist!r} in plates {[p.name for p in mine.plates]}",
            )
    own: list[Statement] = [s for s in proposal.statements if isinstance(s, (Param, Network))]
    for statement in own:
        if statement.name in guide.by_name:
            raise ModelError(
                f"guide and proposal both declare {statement.name!r}.",
                **facts,
                declared_at=statement.location,
                remedy="Give the two different names.",
            )
    return own
