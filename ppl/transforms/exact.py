"""Exact sums: finite discrete sites leave a density, factor by factor and plate by plate.

The value of such a site becomes a lane, an axis of all its values. Every term of the density that depends on the site
varies over that lane; the terms that share a lane are added up and the lane is summed out, innermost plates first, so
that the cost is that of the largest group of terms and never that of all combinations.

Reference: Obermeyer et al. (2019), Tensor variable elimination for plated factor graphs, algorithm 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ppl.errors import StrategyError
from ppl.program.distributions import Distribution
from ppl.program.ops import apply, chain, lane_logsumexp, plate_sum
from ppl.program.program import Program
from ppl.program.statements import Sample
from ppl.program.values import Lane, Plate, Value, is_constant, lift

# Sites of more values than this are not summed out unless a guide draws them: the cost is theirs times everything else.
LARGEST = 64
# Nor are sites that meet in one term with more combinations of values than this.
MOST_COMBINATIONS = 2**20


@dataclass(frozen=True)
class Term:
    """One term of a log density.

    Attributes:
        value: in nats, varying over (some of) `plates` and over lanes.
        plates: the plates that it is summed over in the end.
        parts: the statements whose terms it holds.
        first: what it is in the first step of a scan, where no step comes before; None if it does not read one.
    """

    value: Value
    plates: tuple[Plate, ...]
    parts: tuple[str, ...]
    first: Value | None = None

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The lanes it varies over."""
        return tuple(p for p in self.value.plates if isinstance(p, Lane))


def finite_values(dist: Distribution) -> tuple[int, int] | None:
    """The first value and the number of values of a discrete distribution over few whole numbers; None for others."""
    if dist.event_shape or dist.dtype == "float":
        return None
    support = dist.support
    if support.kind == "boolean":
        return 0, 2
    if support.kind != "integer_interval":
        return None
    if not all(is_constant(b) for b in support.bounds):
        return None
    low, high = (int(b.attr("value")) for b in support.bounds)
    return (low, high - low + 1) if high - low < LARGEST else None


def exact_sites(program: Program, drawn: Collection[str] = ()) -> dict[str, Sample]:
    """The latent sites that can be summed out exactly, those in `drawn` excepted; outer plates first."""
    found = {n: s for n, s in program.latents.items() if n not in drawn and finite_values(s.dist) is not None}
    return dict(sorted(found.items(), key=lambda item: len(item[1].plates)))


def lane_of(site: Sample) -> tuple[Lane, Value]:
    """The lane of a finite site, and the site's value along it."""
    values = finite_values(site.dist)
    assert values is not None
    low, count = values
    lane = Lane(site.name, count, site.plates)
    index = Value("plate_index", (), (("plate", lane),), (lane,), (), "int")
    return lane, apply("add", index, low) if low else index


def refuse_leaving(program: Program, lane: Lane, statement: str) -> StrategyError:
    """The error about a value of a summed-out site that becomes an array over the site's plate."""
    site, plate = program.sites[lane.site], lane.of[-1]
    carry = program.carries.get(statement)
    reader, remedy = repr(statement), "move what reads it into the plate"
    if carry is not None:
        # A scan hands on arrays of what stands in plates within its steps.
        reader = f"the next step of scan {carry.time.name!r} (carry {carry.hint!r})"
        remedy = f"open plate {plate.name!r} around the scan, so that each element has steps of its own"
    return StrategyError(
        f"it cannot be summed out: {reader} reads its values in plate {plate.name!r} together, "
        "and so all their combinations would count.",
        site=lane.site,
        model=program.name,
        declared_at=site.location,
        plate=str(plate),
        expected="statements inside the plate, which read one element",
        got="an array of all elements",
        remedy=f"Give it a site in the guide, or {remedy}.",
    )


def term_of(value: Value, plates: tuple[Plate, ...], name: str, first: Value | None) -> Term:
    """The term of one statement; `first` counts where the value depends on a site of the step before."""
    reads_before = any(isinstance(p, Lane) and p.before for p in value.plates)
    return Term(value, plates, (name,), first if reads_before else None)


def eliminate(
    program: Program, terms: Mapping[str, Term], batch: Mapping[str, int], keep: Collection[Lane] = ()
) -> dict[str, Term]:
    """Terms of the same sum from which all lanes but some have been summed out.

    Args:
        program: the model, for messages.
        terms: by statement.
        batch: number of evaluated elements of each subsampled plate.
        keep: lanes that stay.

    Returns:
        Terms by the name of their first statement.

    Raises:
        StrategyError: sites of different plates meet inside both, a minibatch would stand inside a sum, or there are
            too many combinations.
    """
    return _Elimination(program, batch, {lane.site for lane in keep}).run(list(terms.values()))


class _Elimination:
    def __init__(self, program: Program, batch: Mapping[str, int], keep: Collection[str]) -> None:
        self.program = program
        self.batch = batch
        self.keep = keep
        self.order = {name: i for i, name in enumerate(program.by_name)}

    def run(self, terms: list[Term]) -> dict[str, Term]:
        for term in terms:
            self._refuse_many([term])
        done = [t for t in terms if not self._summed(t)]
        rest: list[Term] = [t for t in terms if self._summed(t)]
        while rest:
            leaf = max((t.plates for t in rest), key=len)
            group = [t for t in rest if set(t.plates) == set(leaf)]
            rest = [t for t in rest if set(t.plates) != set(leaf)]
            for term in self._leaf(group, leaf):
                if self._summed(term):
                    rest.append(term if len(term.plates) < len(leaf) else self._outwards(term, leaf))
                else:
                    done.append(term)
        return {t.parts[0]: t for t in sorted(done, key=lambda t: self.order[t.parts[0]])}

    def _leaf(self, group: list[Term], leaf: tuple[Plate, ...]) -> list[Term]:
        """Sum out the sites of one nest of plates."""
        own = {lane for t in group for lane in self._summed(t) if set(lane.of) == set(leaf)}
        chained = {lane.site for lane in own if lane.before}
        single = {lane for lane in own if lane.site not in chained}
        while single:
            # The lane whose terms reach the fewest combinations goes first.
            lane = min(single, key=lambda one: (_reach(one, group), self.order[one.site]))
            single.remove(lane)
            merged = self._merge([t for t in group if lane in t.lanes])
            first = None if merged.first is None else lane_logsumexp(merged.first, lane)
            left = [t for t in group if lane not in t.lanes]
            group = [*left, Term(lane_logsumexp(merged.value, lane), leaf, merged.parts, first)]
        while chained:
            together = self._together(min(chained, key=self.order.__getitem__), chained, group)
            chained -= together
            involved = [t for t in group if together & {lane.site for lane in t.lanes}]
            group = [t for t in group if not together & {lane.site for lane in t.lanes}]
            group.append(self._paths(involved, leaf, together))
        return group

    def _together(self, site: str, chained: set[str], group: list[Term]) -> set[str]:
        """The sites whose paths have to be summed at once, because some term reads them together."""
        found = {site}
        while True:
            near = [{lane.site for lane in t.lanes} & chained for t in group]
            wider = found.union(*(n for n in near if n & found))
            if wider == found:
                return found
            found = wider

    def _paths(self, terms: list[Term], leaf: tuple[Plate, ...], sites: set[str]) -> Term:
        """Sum out sites of the steps of a scan: over all their paths at once."""
        before = {lane for t in terms for lane in t.lanes if lane.before and lane.site in sites}
        if len({(lane.before, lane.reverse) for lane in before}) > 1 or len(before) != len(sites):
            raise _both_ways(self.program, before)
        lanes = sorted(before, key=lambda lane: self.order[lane.site])
        pairs = [(Lane(lane.site, lane.size, lane.of), lane) for lane in lanes]
        time, reverse = lanes[0].before, lanes[0].reverse
        assert time is not None
        reading = [t for t in terms if t.first is not None]
        plain = [t for t in terms if t.first is None]
        value = chain(
            _sum([t.first for t in reading if t.first is not None]),
            _sum([t.value for t in plain]),
            _sum([t.value for t in reading]),
            time,
            tuple(pairs),
            reverse,
        )
        return Term(value, tuple(p for p in leaf if p != time), self._merge(terms).parts)

    def _outwards(self, term: Term, leaf: tuple[Plate, ...]) -> Term:
        """The product of a term over the plates that its sites lie outside of."""
        open_lanes = self._summed(term)
        reached = {p for lane in open_lanes for p in lane.of}
        target = tuple(p for p in leaf if p in reached)
        if len(target) == len(leaf):
            raise _meeting(self.program, open_lanes, leaf)
        product = tuple(p for p in leaf if p not in target)
        subsampled = [p for p in product if p.name in self.batch]
        if subsampled:
            raise _inside_minibatch(self.program, open_lanes[0], subsampled[0])
        first = None if term.first is None else plate_sum(term.first, product)
        return Term(plate_sum(term.value, product), target, term.parts, first)

    def _refuse_many(self, terms: list[Term]) -> None:
        """Terms that depend together on so many sites that nobody can go through their combinations."""
        lanes = {lane for t in terms for lane in t.lanes}
        count = math.prod(lane.size for lane in lanes)
        if count > MOST_COMBINATIONS:
            sites = sorted({lane.site for lane in lanes}, key=self.order.__getitem__)
            where = max((p for t in terms for p in t.parts), key=self.order.__getitem__)
            raise _too_many(self.program, sites, count, where)

    def _summed(self, term: Term) -> list[Lane]:
        return [lane for lane in term.lanes if lane.site not in self.keep]

    def _merge(self, terms: list[Term]) -> Term:
        self._refuse_many(terms)
        parts = sorted({p for t in terms for p in t.parts}, key=self.order.__getitem__)
        first = None
        if any(t.first is not None for t in terms):
            first = _sum([t.value if t.first is None else t.first for t in terms])
        return Term(_sum([t.value for t in terms]), terms[0].plates, tuple(parts), first)


def _sum(values: list[Value]) -> Value:
    return functools.reduce(lambda a, b: apply("add", a, b), values) if values else lift(0.0)


def _reach(lane: Lane, group: list[Term]) -> int:
    lanes = {other for t in group if lane in t.lanes for other in t.lanes}
    reach = 1
    for other in lanes:
        reach *= other.size
    return reach


def _both_ways(program: Program, lanes: Collection[Lane]) -> StrategyError:
    site = program.sites[min(lane.site for lane in lanes)]
    return StrategyError(
        "it cannot be summed out: scans that run in different directions read it, or scans over different steps.",
        site=site.name,
        model=program.name,
        declared_at=site.location,
        got=", ".join(sorted({f"{lane.site} over {lane.before}" for lane in lanes})),
        remedy="Read it in the scan that samples it, or give it a place in the guide.",
    )


def _too_many(program: Program, sites: list[str], count: int, where: str) -> StrategyError:
    shown = [*sites[:2], "...", sites[-1]] if len(sites) > 4 else sites
    return StrategyError(
        f"it cannot be summed out together with the other discrete sites that {where!r} depends on: every combination "
        "of their values counts.",
        site=sites[0],
        model=program.name,
        declared_at=program.sites[sites[0]].location,
        expected=f"at most {MOST_COMBINATIONS} combinations",
        got=f"{count:.3g} combinations of the values of {len(sites)} sites: {', '.join(shown)}",
        remedy="Use fewer sites or fewer values, let each reach a term of its own, or draw some of them in a guide.",
    )


def _meeting(program: Program, lanes: list[Lane], leaf: tuple[Plate, ...]) -> StrategyError:
    names = " and ".join(repr(lane.site) for lane in lanes)
    site = program.sites[lanes[0].site]
    return StrategyError(
        f"sites {names} cannot be summed out together: they live in different plates and meet in both, "
        "so that every combination of all elements would count.",
        site=lanes[0].site,
        model=program.name,
        declared_at=site.location,
        plate=", ".join(str(p) for p in leaf),
        expected="discrete sites whose plates contain one another",
        got="; ".join(f"{lane.site} in ({', '.join(p.name for p in lane.of)})" for lane in lanes),
        remedy="Give one of them a site in the guide.",
    )


def _inside_minibatch(program: Program, lane: Lane, plate: Plate) -> StrategyError:
    site = program.sites[lane.site]
    return StrategyError(
        f"the sum over its values stands outside plate {plate.name!r}, of which each step sees only a minibatch: "
        "the logarithm of such a sum has no unbiased estimate.",
        site=lane.site,
        model=program.name,
        declared_at=site.location,
        plate=str(plate),
        remedy="Fit without batch_size, or give the site a place in the guide.",
    )
