"""Which strategy each site of a guide gets: the one that is asked for, if it can be right, or a default."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ppl.errors import StrategyError, UnknownNameError, nearest
from ppl.inference.marginal import Marginalized, fresh
from ppl.inference.objective.blocks import Term
from ppl.inference.objective.checking import particles_of
from ppl.inference.objective.expression import Expression
from ppl.inference.objective.meaning import Meaning
from ppl.program.program import Program
from ppl.program.statements import Sample
from ppl.program.values import Axis, Plate

from .arm import ARM, DisARM
from .baseline import Learned, LeaveOneOut, Running
from .contract import LANE_BUDGET, Strategy
from .enumerate import Enumerate, count_values
from .quantized import VectorQuantized
from .reinforce import Reinforce
from .relax import REBAR
from .relaxed import GumbelSoftmax, StraightThrough
from .reparam import Reparam
from .smoothness import discrete_uses, rough_uses
from .worlds import Contexts, Setting

# Strategies that do not mind costs which read all elements of a plate together.
ANYWHERE = (Reparam, Reinforce, GumbelSoftmax, StraightThrough, ARM, DisARM, VectorQuantized)


@dataclass
class Facts:
    """What the objective does with one site.

    Attributes:
        lost: plates whose elements some cost reads together.
        coupled: whether a nonlinear reducer stands around a cost.
        particles: whether it is drawn along particles.
        rough: the term and the operation that read it as a discrete value.
        with_others: for each cost, the other sites that it depends on.
        below: sites that are drawn depending on it; itself too, in a scan whose steps read the step before.
    """

    lost: set[Plate] = field(default_factory=set[Plate])
    coupled: bool = False
    particles: bool = False
    rough: tuple[str, str] | None = None
    with_others: set[frozenset[str]] = field(default_factory=set[frozenset[str]])
    below: set[str] = field(default_factory=set[str])


@dataclass(frozen=True)
class Resolution:
    """The strategies of all sites.

    Attributes:
        strategies: by site.
        exact: for each combination of particle axes the sites that are summed over all values there.
        notes: why a default is not the first choice, by site.
        facts: what the objective does with each site; empty where nothing had to be known.
    """

    strategies: dict[str, Strategy]
    exact: dict[tuple[Axis, ...], frozenset[str]]
    notes: dict[str, str]
    facts: dict[str, Facts]


def resolve(
    model: Program,
    guide: Program,
    groups: Mapping[str, Expression],
    given: Mapping[str, Strategy],
    batch: Mapping[str, int],
    marginal: Marginalized | None = None,
) -> Resolution:
    """Choose a strategy for each site of the guide.

    Args:
        model: the model.
        guide: the guide.
        groups: the objective of each group of parameters.
        given: strategies that the user asks for, by site.
        batch: batch size of each subsampled plate.
        marginal: the guide's auxiliary sites that are averaged out; their fresh draws are treated as they are.

    Raises:
        UnknownNameError: a strategy for a site that does not exist.
        StrategyError: a strategy that would be wrong for its site.
    """
    for name in given:
        if name not in guide.sites:
            raise UnknownNameError(
                f"there is a gradient strategy for {name!r}, and the guide has no such site.",
                model=guide.name,
                expected=f"one of {list(guide.sites)}",
                got=repr(name),
                remedy=nearest(name, guide.sites),
            )
        reason = _unfit(given[name], guide.sites[name])
        if reason:
            raise _refused(guide, name, given[name], reason)
    if marginal is not None:
        for name, strategy in given.items():
            if getattr(strategy, "entropy", None):
                reason = "the score that it leaves out counts where auxiliary sites are averaged out"
                raise _refused(guide, name, strategy, reason, "Use Reparam().")
        given = {**given, **{fresh(n): given[n] for n in marginal.auxiliary if n in given}}
    rough = rough_uses(model, guide)
    for name, strategy in given.items():
        if isinstance(strategy, Reparam) and name in rough:
            raise rough_error(name, rough[name])
    plain = all(
        isinstance(given.get(n, Reparam()), Reparam) and _unfit(Reparam(), s) is None and n not in rough
        for n, s in guide.sites.items()
    )
    if plain:
        strategies: dict[str, Strategy] = {n: given.get(n, Reparam()) for n in guide.sites}
        if any(getattr(s, "entropy", None) for s in strategies.values()):
            facts, _ = probe(model, guide, groups, strategies, batch, marginal)
            _check_entropy(guide, strategies, facts)
        return Resolution(strategies, {}, {}, {})
    return _with_facts(model, guide, groups, given, batch, rough, marginal)


def _with_facts(
    model: Program,
    guide: Program,
    groups: Mapping[str, Expression],
    given: Mapping[str, Strategy],
    batch: Mapping[str, int],
    rough: Mapping[str, tuple[str, str, Program]],
    marginal: Marginalized | None,
) -> Resolution:
    first: dict[str, Strategy] = {
        n: Reparam() if _unfit(Reparam(), s) is None else Reinforce() for n, s in guide.sites.items()
    }
    facts, coupled = probe(model, guide, groups, first, batch, marginal)
    notes: dict[str, str] = {}
    strategies: dict[str, Strategy] = {}
    for name, site in guide.sites.items():
        if name in given:
            strategies[name] = given[name]
            _check_explicit(guide, name, given[name], facts[name])
        elif _unfit(Reparam(), site) is None and name not in rough:
            strategies[name] = Reparam()
        else:
            strategies[name] = _default(site, facts[name], strategies, rough.get(name), guide, notes)
    _check_entropy(guide, strategies, facts)
    _check_controls(guide, strategies, facts)
    _check_budget(guide, strategies, given, facts)
    enumerated = {n for n, s in strategies.items() if isinstance(s, Enumerate)}
    exact = {axes: frozenset(enumerated - inside) for axes, inside in coupled.items()}
    return Resolution(strategies, exact, notes, facts)


def _unfit(strategy: Strategy, site: Sample) -> str | None:
    return strategy.refusal(site.dist)


def _default(
    site: Sample,
    facts: Facts,
    chosen: Mapping[str, Strategy],
    rough: tuple[str, str, Program] | None,
    guide: Program,
    notes: dict[str, str],
) -> Strategy:
    baseline: Any = LeaveOneOut() if facts.particles else Running()
    if rough is not None and site.dist.dtype == "float":
        notes[site.name] = (
            f"it is used through `{rough[1]}` by {rough[0]!r}, which a reparameterised gradient would not see: "
            "score-function gradient instead"
        )
        return Reinforce(baseline)
    reason = _unfit(Enumerate(), site)
    if reason is None and facts.lost:
        plate = min(p.name for p in facts.lost)
        reason = f"costs depend on all elements of plate {plate!r} together"
    if reason is None and not facts.coupled:
        joint = _joint_lanes(site.name, facts, {**chosen, site.name: Enumerate()}, guide)
        if joint > LANE_BUDGET:
            reason = f"with the sites it meets it has {joint:.0f} joint values, and the budget is {LANE_BUDGET} lanes"
    if reason is None:
        return Enumerate()
    certain = _unfit(Reinforce(), site)
    if certain is not None and site.dist.family == "Nearest":
        remedy = f'Say strategies={{{site.name!r}: VectorQuantized(bias="straight-through")}}.'
        raise _refused(guide, site.name, Reinforce(), certain, remedy)
    notes[site.name] = f"{reason}: score-function gradient instead of a sum over values"
    return Reinforce(baseline)


def _joint_lanes(name: str, facts: Facts, strategies: Mapping[str, Strategy], guide: Program) -> float:
    """The largest number of joint values of enumerated sites that one cost depends on."""
    largest = 1.0
    for sites in facts.with_others or {frozenset([name])}:
        together = [n for n in sites | {name} if isinstance(strategies.get(n), Enumerate)]
        largest = max(largest, math.prod(count_values(guide.sites[n].dist) for n in together))
    return largest


def _check_explicit(guide: Program, name: str, strategy: Strategy, facts: Facts) -> None:
    if facts.lost and not isinstance(strategy, ANYWHERE):
        plate = min(facts.lost, key=lambda p: p.name)
        raise _refused(
            guide,
            name,
            strategy,
            f"costs depend on all elements of plate {plate.name!r} together, and this strategy changes one at a time",
            "Use Reinforce() or, for Bernoulli sites, DisARM().",
        )
    learned = isinstance(strategy, Reinforce) and isinstance(strategy.baseline, Learned)
    if name in facts.below and (learned or isinstance(strategy, (ARM, DisARM))):
        what = "a baseline that reads the draws of later steps" if learned else "moving all steps at once"
        raise _refused(
            guide,
            name,
            strategy,
            f"its elements are steps that depend on the step before, where {what} is biased",
            "Use Reinforce(Running()), or Reinforce(LeaveOneOut()) with particles.",
        )
    if isinstance(strategy, (GumbelSoftmax, StraightThrough, REBAR)) and facts.rough is not None:
        label, op = facts.rough
        raise _refused(
            guide,
            name,
            strategy,
            f"{label} reads it through `{op}`, which has no meaning for a relaxed value",
            "Give Bernoulli distributions logits=, write an index as a OneHotCategorical, or use Enumerate().",
        )
    if isinstance(strategy, Reinforce) and isinstance(strategy.baseline, LeaveOneOut) and not facts.particles:
        raise _refused(
            guide,
            name,
            strategy,
            "LeaveOneOut compares a particle with the others, and there is only one",
            "Use an objective with two particles or more, or Reinforce(Running()).",
        )


def _check_entropy(guide: Program, strategies: Mapping[str, Strategy], facts: Mapping[str, Facts]) -> None:
    for name, strategy in strategies.items():
        entropy = getattr(strategy, "entropy", None)
        if entropy == "stl" and facts[name].coupled:
            raise _refused(
                guide,
                name,
                strategy,
                "leaving the score out is biased where several particles are weighted against each other",
                'Use Reparam(entropy="dreg"), which is unbiased there.',
            )
        if entropy == "dreg":
            for below in sorted(facts[name].below):
                if not isinstance(strategies[below], Reparam):
                    raise _refused(
                        guide,
                        name,
                        strategy,
                        f"site {below!r} is drawn depending on it without a reparameterised gradient, so that the "
                        "identity behind the doubly reparameterised one does not hold",
                        "Use Reparam() here.",
                    )


def _check_controls(guide: Program, strategies: Mapping[str, Strategy], facts: Mapping[str, Facts]) -> None:
    for name, strategy in strategies.items():
        if not isinstance(strategy, REBAR):
            continue
        for below in sorted(facts[name].below - {name}):
            if not isinstance(strategies[below], (Reparam, REBAR)):
                raise _refused(
                    guide,
                    name,
                    strategy,
                    f"site {below!r} is drawn depending on it and does not follow a relaxed value smoothly",
                    f"Use REBAR() for {below!r} as well, or DisARM() here.",
                )
        if facts[name].lost:
            plate = min(p.name for p in facts[name].lost)
            reason = f"costs depend on all elements of plate {plate!r} together, and the relaxation is one element's"
            raise _refused(guide, name, strategy, reason, "Use Reinforce() or DisARM().")


def _check_budget(
    guide: Program, strategies: Mapping[str, Strategy], given: Mapping[str, Strategy], facts: Mapping[str, Facts]
) -> None:
    for name, strategy in strategies.items():
        if isinstance(strategy, Enumerate) and name in given and not facts[name].coupled:
            joint = _joint_lanes(name, facts[name], strategies, guide)
            if joint > LANE_BUDGET:
                names = sorted({n for sites in facts[name].with_others for n in sites} | {name})
                names = [n for n in names if isinstance(strategies.get(n), Enumerate)]
                raise _refused(
                    guide,
                    name,
                    strategy,
                    f"sites {', '.join(map(repr, names))} have {joint:.0f} joint values, and the budget is "
                    f"{LANE_BUDGET} lanes",
                    "Use Reinforce() or MVD() for some of them.",
                )


def _refused(guide: Program, name: str, strategy: Strategy, reason: str, remedy: str | None = None) -> StrategyError:
    site = guide.sites[name]
    return StrategyError(
        f"{reason}.",
        site=name,
        model=guide.name,
        declared_at=site.location,
        expected="a gradient strategy that is right for this site",
        got=f"{strategy!r} for {site.dist!r}",
        remedy=remedy or "Leave the site out of strategies={...} for a default, or use Reinforce().",
    )


def rough_error(site: str, use: tuple[str, str, Program]) -> StrategyError:
    """The error about a pathwise gradient that would not see a dependence."""
    name, op, program = use
    return StrategyError(
        f"it depends on {site!r} through `{op}`, whose derivative is zero: the reparameterised gradient "
        f"would not see that dependence.",
        site=name,
        model=program.name,
        declared_at=program.by_name[name].location,
        remedy="Use a smooth function (ops.sigmoid of the difference), strategies={...: Reinforce()}, NUTS, or "
        "ImportanceSampling.",
    )


def probe(
    model: Program,
    guide: Program,
    groups: Mapping[str, Expression],
    strategies: Mapping[str, Strategy],
    batch: Mapping[str, int],
    marginal: Marginalized | None = None,
) -> tuple[dict[str, Facts], dict[tuple[Axis, ...], set[str]]]:
    """What the objectives do with each site, found on simple draws.

    Returns:
        Facts by site; for each combination of particle axes the sites that stand inside a nonlinear reducer.
    """
    axes = particles_of(groups)
    facts = {n: Facts() for n in guide.sites}
    coupled: dict[tuple[Axis, ...], set[str]] = {}
    for key, expression in groups.items():
        contexts = Contexts(Setting(model, guide, batch, strategies, marginal=marginal))
        terms = Meaning(contexts, axes).terms(expression)
        for along, draws in contexts.draws.items():
            inside = coupled.setdefault(along, set())
            for term in terms:
                reach = draws.dependence.of(term.value)
                nonlinear = term.block is not None or not term.sampled
                for name, kept in reach.items():
                    if nonlinear:
                        inside.add(name)
                    if term.sampled and key != "model":
                        _note(facts[name], term, kept, guide.sites[name], reach)
            for name, parents in draws.dependence.parents.items():
                for above in parents:
                    facts[above].below.add(name)
            for name in guide.sites:
                facts[name].particles |= bool(along)
                if guide.sites[name].dist.dtype != "float" and facts[name].rough is None:
                    values = {t.label: t.value for t in terms}
                    facts[name].rough = discrete_uses(values, draws.dependence, name)
    return facts, coupled


def _note(facts: Facts, term: Term, kept: frozenset[Plate], site: Sample, reach: Mapping[str, Any]) -> None:
    facts.lost |= {p for p in site.plates if p not in kept}
    facts.coupled |= term.block is not None
    facts.with_others.add(frozenset(reach))
