"""Exact sums: finite discrete sites leave a density, factor by factor and plate by plate.

The value of such a site becomes a lane, an axis of all its values. Every term of the density that depends on the site
varies over that lane; the terms that share a lane are added up and the lane is summed out, innermost plates first, so
that the cost is that of the largest group of terms and never that of all combinations.

Reference: Obermeyer et al. (2019), Tensor variable elimination for plated factor graphs, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ppl.errors import StrategyError
from ppl.program.distributions import Distribution
from ppl.program.ops import apply, lane_logsumexp, plate_sum
from ppl.program.program import Program
from ppl.program.statements import Sample
from ppl.program.values import Lane, Plate, Value, is_constant

# Sites of more values than this are not summed out unless a guide draws them: the cost is theirs times everything else.
LARGEST = 64


@dataclass(frozen=True)
class Term:
    """One term of a log density.

    Attributes:
        value: in nats, varying over (some of) `plates` and over lanes.
        plates: the plates that it is summed over in the end.
        parts: the statements whose terms it holds.
    """

    value: Value
    plates: tuple[Plate, ...]
    parts: tuple[str, ...]

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
    site = program.sites[lane.name]
    return StrategyError(
        f"it cannot be summed out: {statement!r} reads its values in plate {lane.of[-1].name!r} together, "
        "and so all their combinations would count.",
        site=lane.name,
        model=program.name,
        declared_at=site.location,
        plate=str(lane.of[-1]),
        expected="statements inside the plate, which read one element",
        got="an array of all elements",
        remedy="Give it a site in the guide, or move what reads it into the plate.",
    )


def eliminate(
    program: Program, terms: Mapping[str, Term], batch: Mapping[str, int], keep: Lane | None = None
) -> dict[str, Term]:
    """Terms of the same sum from which all lanes but one have been summed out.

    Args:
        program: the model, for messages.
        terms: by statement.
        batch: number of evaluated elements of each subsampled plate.
        keep: a lane that stays.

    Returns:
        Terms by the name of their first statement.

    Raises:
        StrategyError: sites of different plates meet inside both, or a minibatch would stand inside a sum.
    """
    order = {name: i for i, name in enumerate(program.by_name)}
    done: list[Term] = [t for t in terms.values() if not _summed(t, keep)]
    rest: list[Term] = [t for t in terms.values() if _summed(t, keep)]
    while rest:
        leaf = max((t.plates for t in rest), key=len)
        group: list[Term] = [t for t in rest if set(t.plates) == set(leaf)]
        rest = [t for t in rest if set(t.plates) != set(leaf)]
        own = {lane for t in group for lane in _summed(t, keep) if set(lane.of) == set(leaf)}
        while own:
            # The lane whose terms reach the fewest combinations goes first.
            lane = min(own, key=lambda one: (_reach(one, group), order[one.name]))
            own.remove(lane)
            involved = [t for t in group if lane in t.lanes]
            merged = _merge(involved, order)
            left = [t for t in group if lane not in t.lanes]
            group = [*left, Term(lane_logsumexp(merged.value, lane), leaf, merged.parts)]
        for term in group:
            open_lanes = _summed(term, keep)
            if not open_lanes:
                done.append(term)
                continue
            reached = {p for lane in open_lanes for p in lane.of}
            target = tuple(p for p in leaf if p in reached)
            if len(target) == len(leaf):
                raise _meeting(program, open_lanes, leaf)
            product = tuple(p for p in leaf if p not in target)
            subsampled = [p for p in product if p.name in batch]
            if subsampled:
                raise _inside_minibatch(program, open_lanes[0], subsampled[0])
            rest.append(Term(plate_sum(term.value, product), target, term.parts))
    return {t.parts[0]: t for t in sorted(done, key=lambda t: order[t.parts[0]])}


def _summed(term: Term, keep: Lane | None) -> list[Lane]:
    return [lane for lane in term.lanes if lane != keep]


def _reach(lane: Lane, group: list[Term]) -> int:
    lanes = {other for t in group if lane in t.lanes for other in t.lanes}
    reach = 1
    for other in lanes:
        reach *= other.size
    return reach


def _merge(terms: list[Term], order: Mapping[str, int]) -> Term:
    value = terms[0].value
    for term in terms[1:]:
        value = apply("add", value, term.value)
    parts = sorted({p for t in terms for p in t.parts}, key=lambda name: order[name])
    return Term(value, terms[0].plates, tuple(parts))


def _meeting(program: Program, lanes: list[Lane], leaf: tuple[Plate, ...]) -> StrategyError:
    names = " and ".join(repr(lane.name) for lane in lanes)
    site = program.sites[lanes[0].name]
    return StrategyError(
        f"sites {names} cannot be summed out together: they live in different plates and meet in both, "
        "so that every combination of all elements would count.",
        site=lanes[0].name,
        model=program.name,
        declared_at=site.location,
        plate=", ".join(str(p) for p in leaf),
        expected="discrete sites whose plates contain one another",
        got="; ".join(f"{lane.name} in ({', '.join(p.name for p in lane.of)})" for lane in lanes),
        remedy="Give one of them a site in the guide.",
    )


def _inside_minibatch(program: Program, lane: Lane, plate: Plate) -> StrategyError:
    site = program.sites[lane.name]
    return StrategyError(
        f"the sum over its values stands outside plate {plate.name!r}, of which each step sees only a minibatch: "
        "the logarithm of such a sum has no unbiased estimate.",
        site=lane.name,
        model=program.name,
        declared_at=site.location,
        plate=str(plate),
        remedy="Fit without batch_size, or give the site a place in the guide.",
    )
