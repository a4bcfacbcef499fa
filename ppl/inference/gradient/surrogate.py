"""One scalar whose value is the objective and whose gradient is an unbiased estimate of the objective's gradient.

With l_i the terms that linear reducers leave apart, D the axes a value varies over, and sg a constant for the gradient:

    m_si = sum over the axes of s that l_i has lost of log q_s
    S = sum_i reduce_i [ C_i (l_i + sum over sampled s of sg(l_i - b) (m_si - sg m_si)) ] + phantom terms

C_i multiplies the probabilities of the values that are summed exactly; phantom terms are sg(cost at another value less
cost at the draw) times a weight of value zero, one particle at a time where particles are coupled. An axis that a cost
has lost is summed over, one that it still has is kept: neither is ever averaged.

References: Schulman et al. (2015), Gradient estimation using stochastic computation graphs; van Krieken, Tomczak and
ten Teije (2021), Storchastic.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ppl.errors import StrategyError
from ppl.inference.objective.blocks import Term, mean_over, sum_over
from ppl.inference.objective.expression import Expression
from ppl.inference.objective.meaning import Meaning
from ppl.program.ops import apply, plate_sum
from ppl.program.values import Axis, Plate, Shape, Value, reference

from .baseline import LeaveOneOut
from .contract import Drawn, Phantom, Relaxation, stopped, zero
from .enumerate import may_be_zero
from .worlds import Changed, Contexts, Draws, World


@dataclass(frozen=True)
class Extra:
    """A parameter of a baseline.

    Attributes:
        start: its starting value.
        rate: step size of plain gradient descent; None for the optimiser of the fit.
    """

    start: np.ndarray
    rate: float | None


@dataclass
class Assembly:
    """Builds the scalar of one objective.

    Attributes:
        contexts: the draws.
        axes: the axis of each particle name.
        expression: the objective.
        extras: parameters of baselines, by name.
    """

    contexts: Contexts
    axes: Mapping[str, Axis]
    expression: Expression
    extras: dict[str, Extra] = field(default_factory=dict[str, Extra])
    losses: list[Value] = field(default_factory=list[Value])

    def __post_init__(self) -> None:
        self.batch = dict(self.contexts.batch)
        meaning = Meaning(self.contexts, self.axes)
        self.terms = meaning.terms(self.expression)
        self.inside = meaning.inside
        for term in self.terms:
            left = [a for a in term.value.plates if isinstance(a, Axis) and a in self.axes.values()]
            dangling = [a for a in left if a not in term.pending]
            if dangling:
                raise StrategyError(
                    f"{dangling[0].name} are not reduced in the objective.",
                    model=self.contexts.model.name,
                    expected="mean, logmeanexp or total over them",
                    got=term.label,
                )

    # --- the whole -------------------------------------------------------------------------------------------------

    def value(self) -> Value:
        """The objective in nats, with its gradient estimate."""
        parts = [self._reduced_term(term) for term in self.terms]
        if "guide" not in self.contexts.setting.held:
            for draws in list(self.contexts.draws.values()):
                parts += self._estimates(draws)
        parts += [apply("negative", zero(loss)) for loss in self.losses]
        total = parts[0]
        for part in parts[1:]:
            total = apply("add", total, part)
        return total

    def _reduced_term(self, term: Term) -> Value:
        value = term.value
        if term.surrogate is not None:
            value = apply("add", stopped(value), zero(term.surrogate))
        if term.constant:
            return value
        for draws in self.contexts.draws.values():
            value = self._weighed(value, self._lanes(draws, term.value), draws, draws.real)
        return mean_over(plate_sum(value, term.plates, self.batch), term.pending)

    # --- exact lanes -----------------------------------------------------------------------------------------------

    def _lanes(self, draws: Draws, value: Value) -> list[str]:
        """The exactly summed sites that a value depends on."""
        if not draws.exact:
            return []
        return [n for n in draws.dependence.of(value) if self._drawn(draws, n).lane is not None]

    @staticmethod
    def _drawn(draws: Draws, name: str) -> Drawn:
        return draws.real.drawn[name]

    def _weighed(self, value: Value, sites: Sequence[str], draws: Draws, world: World) -> Value:
        """A value weighted by the probabilities of some sites' values and summed over their lanes."""
        for chance, possible in self._chances(sites, draws, world):
            if possible is not None:
                value = apply("where", possible, value, 0.0)
            value = apply("multiply", chance, value)
        lanes = [self._drawn(draws, n).lane for n in sites]
        return sum_over(value, [a for a in lanes if a is not None])

    def _chances(self, sites: Sequence[str], draws: Draws, world: World) -> list[tuple[Value, Value | None]]:
        out: list[tuple[Value, Value | None]] = []
        for name in sites:
            drawn = world.drawn.get(name) or self._drawn(draws, name)
            assert drawn.probability is not None
            possible = apply("greater", stopped(drawn.probability), 0.0) if may_be_zero(world.dists[name]) else None
            out.append((drawn.probability, possible))
        return out

    # --- estimates, site by site -------------------------------------------------------------------------------------

    def _estimates(self, draws: Draws) -> list[Value]:
        out: list[Value] = []
        for name, drawn in draws.real.drawn.items():
            if drawn.score is None and not drawn.phantoms:
                continue
            groups: dict[frozenset[Plate], list[int]] = {}
            for i, term in enumerate(self.terms):
                kept = draws.dependence.of(term.value).get(name) if term.sampled else None
                if kept is not None:
                    groups.setdefault(kept, []).append(i)
            for which, (kept, members) in enumerate(groups.items()):
                site = _Site(self, draws, name, drawn, kept, members, which)
                if drawn.score is not None:
                    out.append(site.score())
                out += [site.phantom(p) for p in drawn.phantoms]
        return out

    def parameter(self, name: str, shape: Shape, start: np.ndarray, rate: float | None) -> Value:
        """A parameter of a baseline."""
        self.extras[name] = Extra(np.broadcast_to(np.asarray(start, dtype=float), shape).copy(), rate)
        return reference("param", name, (), shape, "float")


@dataclass
class _Site:
    """The estimate for one site, of the costs that keep the same of its axes.

    Attributes:
        whole: what it belongs to.
        draws: the draws it belongs to.
        name: the site.
        drawn: what its strategy gave.
        kept: the axes and plates of the site that the costs keep.
        members: which terms these costs are.
        which: number of this group of costs.
    """

    whole: Assembly
    draws: Draws
    name: str
    drawn: Drawn
    kept: frozenset[Plate]
    members: list[int]
    which: int

    @property
    def terms(self) -> list[Term]:
        """The terms that are its costs."""
        return [self.whole.terms[i] for i in self.members]

    @property
    def own_lanes(self) -> list[str]:
        """The exactly summed sites that the site itself depends on."""
        return [n for n in self.draws.dependence.parents[self.name] if self._lane_of(n) is not None]

    def _lane_of(self, name: str) -> Axis | None:
        return self.draws.real.drawn[name].lane

    @property
    def over(self) -> tuple[Axis, ...]:
        """The particle axes that all costs couple."""
        first = self.terms[0].block
        return () if first is None else tuple(a for a in first.over if a in self.draws.axes)

    @property
    def lost(self) -> tuple[Plate, ...]:
        """The site's plates and axes that the costs have lost."""
        return tuple(p for p in self.draws.plates(self.name) if p not in self.kept)

    def refuse_subsampled(self) -> None:
        """A score summed over a plate of which a step sees a minibatch would miss the other rows.

        Raises:
            StrategyError: it would.
        """
        for plate in self.lost:
            if plate.name in self.whole.batch:
                raise StrategyError(
                    f"costs depend on all elements of plate {plate.name!r} together, of which each step sees only a "
                    "minibatch: its gradient has no unbiased estimate.",
                    site=self.name,
                    model=self.whole.contexts.guide.name,
                    plate=str(plate),
                    remedy="Fit without batch_size, or subsample another plate.",
                )

    # --- costs -----------------------------------------------------------------------------------------------------

    def cost(self, values: Sequence[Value], world: World) -> Value:
        """Values of the terms, added up to one number for each element that is kept.

        Args:
            values: of each term.
            world: where they were read.
        """
        total: Value | None = None
        for term, value in zip(self.terms, values, strict=True):
            lanes = [n for n in self.whole._lanes(self.draws, term.value) if n not in self.own_lanes]
            part = self.whole._weighed(value, lanes, self.draws, world)
            part = plate_sum(part, tuple(p for p in term.plates if p not in self.kept), self.whole.batch)
            part = mean_over(part, [a for a in term.pending if a not in self.kept and a not in self.over])
            total = part if total is None else apply("add", total, part)
        assert total is not None
        return total

    @property
    def here(self) -> Value:
        """The cost at the draws."""
        return self.cost([t.value for t in self.terms], self.draws.real)

    def at(self, world: World) -> Value:
        """The cost with the site changed, one particle at a time where particles are coupled."""
        changed = Changed(self.whole.contexts, self.draws.axes, world)
        others = Meaning(changed, self.whole.axes, self.whole.inside).terms(self.whole.expression)
        values: list[Value] = []
        for i in self.members:
            mine, theirs = self.whole.terms[i], others[i]
            assert mine.label == theirs.label
            values.append(theirs.value if mine.block is None else mine.block.substitute(theirs.parts.slots))
        return self.cost(values, world)

    def total(self, value: Value) -> Value:
        """An estimate for each element, added up: means over particles, sums over all else."""
        lanes = self.own_lanes
        for chance, possible in self.whole._chances(lanes, self.draws, self.draws.real):
            if possible is not None:
                value = apply("where", possible, value, 0.0)
            value = apply("multiply", stopped(chance), value)
        value = sum_over(value, [a for a in map(self._lane_of, lanes) if a is not None])
        plates = tuple(p for p in self.draws.setting.guide.by_name[self.name].plates if p in self.kept)
        coupled = tuple(a for a in self.over if a in value.plates)
        value = plate_sum(value, (*plates, *coupled), self.whole.batch)
        return mean_over(value, [a for a in self.draws.axes if a in self.kept])

    # --- scores ----------------------------------------------------------------------------------------------------

    def score(self) -> Value:
        """The costs times the score, less a baseline."""
        self.refuse_subsampled()
        log_q = self.drawn.score
        assert log_q is not None
        cost = self.here
        relaxation = self.drawn.relaxation
        if relaxation is not None:
            return self._with_control(cost, log_q, relaxation)
        baseline = getattr(self.draws.setting.strategies[self.name], "baseline", None)
        lost = self.lost
        if isinstance(baseline, LeaveOneOut):
            others = self._others(cost)
            # The baseline knows which particle it belongs to, so the scores are not added up over particles first.
            lost = tuple(p for p in lost if p not in others.plates)
            cost = apply("subtract", cost, others)
        elif baseline is not None:
            label = f"baseline.{self.draws.label}{self.name}.{self.which}"
            guess = baseline.value(label, self.draws.real.dists[self.name], self.whole.parameter)
            guess = self._fitted(guess)
            miss = apply("subtract", stopped(cost), guess)
            self.whole.losses.append(self._mean(apply("square", miss)))
            cost = apply("subtract", cost, stopped(guess))
        scores = plate_sum(log_q, lost) if lost else log_q
        return self.total(apply("multiply", stopped(cost), zero(scores)))

    def _fitted(self, guess: Value) -> Value:
        """A prediction for each element that is kept: the sum over those that are lost."""
        extra = tuple(p for p in guess.plates if p not in self.kept)
        return plate_sum(guess, extra) if extra else guess

    def _mean(self, value: Value) -> Value:
        """Half the mean over everything that a loss varies over."""
        count = math.prod(self.whole.batch.get(p.name, p.size) for p in value.plates)
        return apply("multiply", 0.5 / count, plate_sum(value, value.plates))

    def _others(self, cost: Value) -> Value:
        """The cost without a particle: the mean of the others, or the block with the particle replaced by that mean."""
        if self.over:
            values: list[Value] = []
            for term in self.terms:
                block = term.parts
                values.append(block.substitute(tuple(_mean_of_others(s, block.over) for s in block.slots)))
            return self.cost(values, self.draws.real)
        axis = next((a for a in reversed(self.draws.axes) if a in self.kept), None)
        if axis is None:
            raise StrategyError(
                "LeaveOneOut compares a particle with the others, and there is only one.",
                site=self.name,
                model=self.whole.contexts.guide.name,
                expected="an objective with two particles or more",
                got=repr(self.whole.expression),
                remedy="Use Reinforce(Running()) or Reinforce(Learned()), or more particles.",
            )
        return _mean_of_others(cost, (axis,))

    def _with_control(self, cost: Value, log_q: Value, relaxation: Relaxation) -> Value:
        if any(isinstance(p, Axis) is False for p in self.lost):
            raise self._lost_error("REBAR")
        soft = self.at(self.draws.changed(self.name, relaxation.value, hold=True))
        given = self.at(self.draws.changed(self.name, relaxation.conditional, hold=True))
        scale = relaxation.scale
        centred = stopped(apply("subtract", cost, apply("multiply", scale, given)))
        path = apply("multiply", scale, apply("subtract", zero(soft), zero(given)))
        return self.total(apply("add", apply("multiply", centred, zero(log_q)), path))

    # --- other values ----------------------------------------------------------------------------------------------

    def phantom(self, phantom: Phantom) -> Value:
        """The costs at other values, compared with those at the draw."""
        self.refuse_subsampled()
        lost = tuple(p for p in self.lost if p not in self.over)
        if lost and not phantom.joint:
            raise self._lost_error(type(self.draws.setting.strategies[self.name]).__name__)
        there = self.at(self.draws.changed(self.name, phantom.value))
        difference = stopped(apply("subtract", there, self.here))
        weight = plate_sum(phantom.weight, lost) if lost else phantom.weight
        product = apply("multiply", difference, weight)
        if phantom.lane is not None:
            product = sum_over(product, [phantom.lane])
        return self.total(product)

    def _lost_error(self, strategy: str) -> StrategyError:
        plate = next(p for p in self.lost if p not in self.draws.axes)
        return StrategyError(
            f"costs depend on all elements of plate {plate.name!r} together, and {strategy} moves one element of each.",
            site=self.name,
            model=self.whole.contexts.guide.name,
            declared_at=self.whole.contexts.guide.by_name[self.name].location,
            plate=str(plate),
            got=", ".join(t.label for t in self.terms),
            remedy="Use Reinforce() or, for Bernoulli sites, DisARM().",
        )


def _mean_of_others(value: Value, axes: tuple[Axis, ...]) -> Value:
    present = tuple(a for a in axes if a in value.plates)
    if not present:
        return value
    count = math.prod(a.size for a in present)
    rest = apply("subtract", plate_sum(value, present), value)
    return apply("multiply", 1.0 / (count - 1), rest)


__all__ = ["Assembly", "Extra"]
