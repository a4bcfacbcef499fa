"""What an objective means for a model and a guide: its terms, with every plate in its place."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from ppl.errors import StrategyError, UnknownNameError, nearest
from ppl.inference.schedules import scheduled
from ppl.language.dist.entropy import entropy_of
from ppl.language.dist.kl import kl_divergence
from ppl.program.ops import apply, leave, plate_sum
from ppl.program.program import Program
from ppl.program.values import Axis, Plate, Value, lift

from .blocks import (
    Block,
    Merged,
    Names,
    Slots,
    Term,
    common_plates,
    logmeanexp_term,
    merge,
    softmax_over,
    sum_over,
)
from .expression import (
    KL,
    SIR,
    Constant,
    Detached,
    Entropy,
    Expect,
    Expression,
    Function,
    Group,
    LogDensity,
    LogMeanExp,
    LogWeight,
    Marginal,
    Mean,
    Over,
    Scaled,
    Scheduled,
    Sites,
    Sum,
    Total,
    Weighted,
    Weights,
)

if TYPE_CHECKING:
    from ppl.inference.gradient.worlds import World


class Worlds(Protocol):
    """Where terms are evaluated: draws of the guide along some axes, with all densities at them."""

    model: Program
    guide: Program
    batch: Mapping[str, int]

    def at(self, axes: tuple[Axis, ...], kind: str) -> World:
        """Draws along axes.

        Args:
            axes: the particles, outermost first.
            kind: "linear" or "coupled" after the reducer around, "detached" for draws that are constants, "simulated"
                for draws of the model.
        """
        ...

    def gated(self, axes: tuple[Axis, ...], weights: Value) -> World | None:
        """The same draws for the doubly reparameterised gradient; None where no site asks for it."""
        ...


class Meaning:
    """Evaluates expressions.

    Args:
        worlds: where draws and densities come from.
        axes: the axis of each particle name.
        inside: which terms stand inside each coupling reducer, where that was found out before: at other values of a
            site a term may not vary over particles, and stands inside all the same.
    """

    def __init__(
        self, worlds: Worlds, axes: Mapping[str, Axis], inside: dict[tuple[Expression, str], set[str]] | None = None
    ) -> None:
        self.worlds = worlds
        self.axes = axes
        self.inside = {} if inside is None else inside
        self.model, self.guide = worlds.model, worlds.guide

    def terms(self, expression: Expression, kind: str = "linear", context: tuple[Axis, ...] = ()) -> list[Term]:
        """The terms of an expression.

        Args:
            expression: what is evaluated.
            kind: the kind of draws, as in `Worlds.at`.
            context: the axes that reducers around reduce.
        """
        match expression:
            case Constant(value):
                return [Term(repr(value), lift(value), (), constant=True)]
            case Scheduled(curve):
                return [Term(repr(curve), lift(scheduled(curve)), (), constant=True)]
            case LogDensity():
                return self._log_density(expression, kind, context)
            case LogWeight(guide=Marginal()):
                guide = self._marginal_terms(kind, context)
                return [*self._model_terms(None, (), kind, context), *(t.scaled(-1.0) for t in guide)]
            case LogWeight():
                guide = self._guide_terms(None, (), kind, context)
                return [*self._model_terms(None, (), kind, context), *(t.scaled(-1.0) for t in guide)]
            case KL():
                return self._divergences(expression, kind, context)
            case Entropy():
                return self._entropies(expression, kind, context)
            case Sum(parts):
                return [t for part in parts for t in self.terms(part, kind, context)]
            case Scaled(factor, body):
                return [t.scaled(factor) for t in self.terms(body, kind, context)]
            case Weighted(curve, body):
                return [t.scaled(scheduled(curve)) for t in self.terms(body, kind, context)]
            case Mean(body, over):
                own = self._axes(over)
                return [_reduced(t, own, mean=True) for t in self.terms(body, kind, _joined(context, own))]
            case Total(body, over):
                own = self._axes(over)
                return [_reduced(t, own, mean=False) for t in self.terms(body, kind, _joined(context, own))]
            case LogMeanExp(body, over):
                return self._logmeanexp(expression, body, over, kind, context)
            case Weights(body, over):
                return [self._weights(body, over, kind, context)]
            case Function(name, args):
                return [self._function(expression, name, args, kind, context)]
            case Detached(body):
                return [
                    replace(t, value=apply("stop_gradient", t.value), block=None, surrogate=None, sampled=False)
                    for t in self.terms(body, kind, context)
                ]
            case Expect():
                return self._expectation(expression, kind, context)
        raise NotImplementedError(type(expression).__name__)

    def _axes(self, over: Over) -> tuple[Axis, ...]:
        """The axes of particles; a single particle is none."""
        return tuple(self.axes[p.name] for p in over if p.size > 1)

    # --- leaves ----------------------------------------------------------------------------------------------------

    def _log_density(self, leaf: LogDensity, kind: str, context: tuple[Axis, ...]) -> list[Term]:
        if isinstance(leaf.program, Marginal):
            return self._marginal_terms(kind, context)
        if leaf.program.name == "model":
            return self._model_terms(leaf.sites, leaf.without, kind, context)
        return self._guide_terms(leaf.sites, leaf.without, kind, context)

    def _model_terms(self, sites: Sites, without: tuple[str, ...], kind: str, context: tuple[Axis, ...]) -> list[Term]:
        density = self.worlds.at(context, kind).density
        wanted = self._names(sites, without, self.model)
        priors = set(self.guide.sites)
        out: list[Term] = []
        for name, value in density.terms.items():
            parts = density.parts[name]
            if isinstance(sites, Group) and len(parts) == 1 and parts[0] in priors:
                continue
            if wanted is not None and not set(parts) & wanted:
                continue
            if wanted is not None and not set(parts) <= wanted:
                raise StrategyError(
                    f"its density cannot be told from that of {min(set(parts) - wanted)!r}: a discrete site "
                    "between them is summed out.",
                    site=min(set(parts) & wanted),
                    model=self.model.name,
                    remedy="Ask for both, or give the discrete site a place in the guide.",
                )
            out.append(Term(f"log p({', '.join(parts)})", value, density.plates[name]))
        return out

    def _guide_terms(self, sites: Sites, without: tuple[str, ...], kind: str, context: tuple[Axis, ...]) -> list[Term]:
        world = self.worlds.at(context, kind)
        wanted = self._names(sites, without, self.guide)
        return [
            Term(f"log q({name})", value, self.guide.by_name[name].plates)
            for name, value in world.log_q.items()
            if wanted is None or name in wanted
        ]

    def _marginal_terms(self, kind: str, context: tuple[Axis, ...]) -> list[Term]:
        """The estimated log density of the kept sites: one term for what the auxiliary ones touch, and the rest."""
        world = self.worlds.at(context, kind)
        parts = world.marginal
        assert parts is not None
        rest = [
            Term(f"log q({name})", value, self.guide.by_name[name].plates)
            for name, value in world.log_q.items()
            if name not in parts.real and name not in parts.auxiliary and name not in parts.ignored
        ]
        if not parts.real:
            return rest
        # A site whose density cancels still says which elements share a draw of it.
        plates = {n: self.guide.by_name[n].plates for n in dict.fromkeys((*parts.real, *parts.auxiliary))}
        kept = tuple(p for p in next(iter(plates.values())) if all(p in stack for stack in plates.values()))
        for name, stack in plates.items():
            inside = [p for p in stack if p not in kept and p.name in self.worlds.batch]
            if inside:
                raise StrategyError(
                    f"plate {inside[0].name!r} is subsampled, but its elements share auxiliary sites that are averaged "
                    "out, where a minibatch estimate is biased.",
                    site=name,
                    model=self.guide.name,
                    plate=str(inside[0]),
                    remedy="Use all rows (no batch_size), or auxiliary sites inside the plate.",
                )

        def together(terms: Mapping[str, Value]) -> Value:
            values = [plate_sum(v, tuple(p for p in plates[n] if p not in kept)) for n, v in terms.items()]
            return functools.reduce(lambda a, b: apply("add", a, b), values)

        def ratio(terms: Mapping[str, Value], reverse: Mapping[str, Value]) -> Value:
            return apply("subtract", together(terms), together(reverse)) if reverse else together(terms)

        real = ratio(parts.real, parts.real_reverse)
        if parts.count > 1:
            others = ratio(parts.fresh, parts.fresh_reverse)
            summed = apply("logsumexp", leave(others, (parts.inner,)), axis=(-1,))
            real = apply("subtract", apply("logaddexp", real, summed), math.log(parts.count))
        label = f"log q({', '.join(n for n in parts.real if n not in parts.auxiliary)})"
        return [Term(label, real, kept), *rest]

    def _names(self, sites: Sites, without: tuple[str, ...], program: Program) -> set[str] | None:
        """The names that are meant; None for all."""
        known = {**program.sites, **program.factors}
        for name in (*(sites if isinstance(sites, tuple) else ()), *without):
            if name not in known:
                raise UnknownNameError(
                    f"the objective names {name!r}, which {program.name!r} does not have.",
                    model=program.name,
                    expected=f"one of {list(known)}",
                    got=repr(name),
                    remedy=nearest(name, known),
                )
        if isinstance(sites, tuple):
            return set(sites) - set(without)
        return set(known) - set(without) if without else None

    def _divergences(self, leaf: KL, kind: str, context: tuple[Axis, ...]) -> list[Term]:
        world = self.worlds.at(context, kind)
        wanted = self._names(leaf.sites, leaf.without, self.guide)
        out: list[Term] = []
        for name, q in world.dists.items():
            if wanted is not None and name not in wanted:
                continue
            p = world.density.dists.get(name)
            # A prior that depends on a site that is summed out is no term of its own any more.
            alone = world.density.parts.get(name) == (name,)
            closed = None if p is None or not alone else kl_divergence(q, p)
            plates = self.guide.by_name[name].plates
            if closed is not None:
                out.append(Term(f"kl({name})", closed, world.density.plates[name]))
                continue
            if leaf.closed:
                raise StrategyError(
                    "its divergence from the prior has no closed form, which this objective needs.",
                    site=name,
                    model=self.guide.name,
                    declared_at=self.guide.by_name[name].location,
                    got=f"{q.family} in the guide, {'no prior' if p is None else p.family} in the model",
                    remedy="Choose families with a closed form, such as two normal distributions.",
                )
            out.append(Term(f"log q({name})", world.log_q[name], plates))
            if name in world.density.terms and alone:
                out.append(Term(f"log p({name})", world.density.terms[name], world.density.plates[name]).scaled(-1.0))
        return out

    def _entropies(self, leaf: Entropy, kind: str, context: tuple[Axis, ...]) -> list[Term]:
        world = self.worlds.at(context, kind)
        wanted = self._names(leaf.sites, (), self.guide)
        out: list[Term] = []
        for name, q in world.dists.items():
            if wanted is None or name in wanted:
                closed = entropy_of(q)
                value = apply("negative", world.log_q[name]) if closed is None else closed
                out.append(Term(f"entropy({name})", value, self.guide.by_name[name].plates))
        return out

    # --- reducers --------------------------------------------------------------------------------------------------

    def _merged(self, terms: Sequence[Term], kept: tuple[Plate, ...] | None = None) -> Merged:
        for term in terms:
            if term.surrogate is not None:
                raise StrategyError(
                    "a doubly reparameterised gradient holds for a log mean weight, not for a function of it.",
                    model=self.model.name,
                    got=term.label,
                    remedy="Use Reparam() without entropy='dreg' for this objective.",
                )
        return merge(terms, common_plates(terms) if kept is None else kept, self.worlds.batch, self.model.name)

    def _logmeanexp(
        self, whole: Expression, body: Expression, over: Over, kind: str, context: tuple[Axis, ...]
    ) -> list[Term]:
        axes = self._axes(over)
        if not axes:
            # One particle: the logarithm of the exponential of the body.
            return self.terms(body, kind, context)
        inner_kind = "coupled" if kind == "linear" else kind
        terms = self.terms(body, inner_kind, _joined(context, axes))
        inside, outside = self._split(whole, kind, terms, axes)
        if not inside:
            return outside
        merged = self._merged(inside)
        term = logmeanexp_term(merged, axes, repr(whole))
        if kind == "linear":
            weights = softmax_over(apply("stop_gradient", merged.value), axes)
            gated = self.worlds.gated(_joined(context, axes), weights)
            if gated is not None:
                self._refuse_scaled(body)
                others = Meaning(_Only(self.worlds, gated), self.axes).terms(body, "coupled", _joined(context, axes))
                lw = self._merged(self._split(whole, kind, others, axes)[0]).value
                term = replace(term, surrogate=sum_over(apply("multiply", weights, lw), axes))
        return [term, *outside]

    def _split(
        self, whole: Expression, kind: str, terms: list[Term], axes: tuple[Axis, ...]
    ) -> tuple[list[Term], list[Term]]:
        """The terms that vary over particles, and those that come out of the reducer."""
        names = self.inside.setdefault((whole, kind), {t.label for t in terms if _varies(t, axes)})
        return [t for t in terms if t.label in names], [t for t in terms if t.label not in names]

    def _refuse_scaled(self, body: Expression) -> None:
        if not isinstance(body, LogWeight):
            raise StrategyError(
                "the doubly reparameterised gradient holds for the log of the mean weight only.",
                model=self.model.name,
                expected="logmeanexp(log_weight(model, guide), over=...)",
                got=f"logmeanexp({body!r}, ...)",
                remedy="Use Reparam() without entropy='dreg' for this objective.",
            )

    def _weights(self, body: Expression, over: Over, kind: str, context: tuple[Axis, ...]) -> Term:
        axes = self._axes(over)
        inner_kind = "coupled" if kind == "linear" else kind
        terms = self.terms(body, inner_kind, _joined(context, axes))
        inside, _ = self._split(Weights(body, over), kind, terms, axes)
        if not inside:
            return Term(f"1/{over!r}", lift(1.0), (), constant=True).scaled(1.0 / _count(axes))
        merged = self._merged(inside)
        inner = merged.block

        def build(given: Slots, names: Names) -> Value:
            return softmax_over(inner.build(given, names), [names.get(a, a) for a in axes])

        block = Block(inner.slots, (*inner.over, *(a for a in axes if a not in inner.over)), build)
        return Term(f"softmax({body!r})", build(inner.slots, {}), merged.plates, block=block, sampled=merged.sampled)

    def _function(
        self, whole: Expression, name: str, args: tuple[Expression, ...], kind: str, context: tuple[Axis, ...]
    ) -> Term:
        inner_kind = "coupled" if kind == "linear" else kind
        lists = [self.terms(a, inner_kind, context) for a in args]
        kept = common_plates([t for terms in lists for t in terms])
        merged = [self._merged(terms, kept) for terms in lists]
        ends = [0]
        for m in merged:
            ends.append(ends[-1] + len(m.block.slots))

        def build(given: Slots, names: Names) -> Value:
            values = [m.block.build(given[ends[i] : ends[i + 1]], names) for i, m in enumerate(merged)]
            return apply(name, *values)

        slots = tuple(s for m in merged for s in m.block.slots)
        over = tuple(dict.fromkeys(a for m in merged for a in m.block.over))
        return Term(
            repr(whole),
            build(slots, {}),
            kept,
            block=Block(slots, over, build),
            sampled=any(m.sampled for m in merged),
        )

    # --- expectations ----------------------------------------------------------------------------------------------

    def _expectation(self, whole: Expect, kind: str, context: tuple[Axis, ...]) -> list[Term]:
        under = whole.under
        if not isinstance(under, SIR):
            return [replace(t, sampled=False) for t in self.terms(whole.body, "simulated", context)]
        axes = self._axes(under.over)
        inner = _joined(context, axes)
        if not under.detached:
            product = Function("multiply", (Weights(LogWeight(), under.over), whole.body))
            return self.terms(Total(product, under.over), kind, context)
        terms = self.terms(whole.body, "detached", inner)
        weights = self._weights(LogWeight(), under.over, "detached", context)
        out = []
        for term in terms:
            if term.block is not None or not set(weights.plates) <= set(term.plates):
                raise StrategyError(
                    "an expectation under detached weights takes a sum of log densities inside the plates of the "
                    "weights.",
                    model=self.model.name,
                    plate=", ".join(str(p) for p in weights.plates if p not in term.plates) or None,
                    got=term.label,
                )
            product = apply("multiply", apply("stop_gradient", weights.value), term.value)
            out.append(replace(term, label=repr(whole), value=sum_over(product, axes), sampled=False))
        return out


class _Only:
    """Worlds of which one is meant, whatever is asked for."""

    def __init__(self, worlds: Worlds, world: World) -> None:
        self.model, self.guide, self.batch = worlds.model, worlds.guide, worlds.batch
        self.world = world

    def at(self, axes: tuple[Axis, ...], kind: str) -> World:
        return self.world

    def gated(self, axes: tuple[Axis, ...], weights: Value) -> World | None:
        return None


def _joined(context: tuple[Axis, ...], own: tuple[Axis, ...]) -> tuple[Axis, ...]:
    both = {*context, *own}
    return tuple(sorted(both, key=lambda a: -a.depth))


def _varies(term: Term, axes: tuple[Axis, ...]) -> bool:
    return any(a in term.value.plates for a in axes)


def _count(axes: tuple[Axis, ...]) -> int:
    count = 1
    for axis in axes:
        count *= axis.size
    return count


def _reduced(term: Term, axes: tuple[Axis, ...], mean: bool) -> Term:
    """A term reduced over particles."""
    left = tuple(a for a in axes if a in term.value.plates)
    if term.block is None or not left or not set(left) <= set(term.block.over):
        return (term if mean else term.scaled(float(_count(axes)))).averaged(axes)
    # The term is coupled along these axes and still varies over them, as softmax weights do.
    inner, factor = term.block, 1.0 / _count(left) if mean else float(_count(axes)) / _count(left)

    def build(given: Slots, names: Names) -> Value:
        value = plate_sum(inner.build(given, names), tuple(names.get(a, a) for a in left))
        return value if factor == 1.0 else apply("multiply", factor, value)

    return replace(
        term, value=build(inner.slots, {}), block=Block(inner.slots, inner.over, build), pending=term.pending
    )


__all__ = ["Meaning", "Worlds"]
