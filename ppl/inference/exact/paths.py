"""Paths of discrete sites through a scan: forward filtering, backward sampling.

Reference: Chib (1996), Calculating posterior distributions and modal estimates in Markov mixture models.
"""

from __future__ import annotations

import functools
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.program.ops import apply, leave, over, plate_sum
from ppl.program.program import Program
from ppl.program.statements import Sample
from ppl.program.values import Lane, Plate, Value
from ppl.transforms.density import Density, log_density


@dataclass(frozen=True)
class Paths:
    """The joint distribution of some sites along the steps of a scan, as expressions.

    Attributes:
        sites: the sites, whose values are looked at together.
        lanes: for each the lane of its values, and that of its values in the step before.
        first: log weight of the values in the first step, values on the event axes, up to a constant.
        pair: log weight of the values in a step and in the step before, these two groups on the event axes.
    """

    sites: tuple[Sample, ...]
    lanes: tuple[tuple[Lane, Lane], ...]
    first: Value
    pair: Value

    @property
    def time(self) -> Plate:
        """The plate of the steps."""
        time = self.lanes[0][1].before
        assert time is not None
        return time


def chained_sites(program: Program, exact: Collection[str]) -> set[str]:
    """The sites that a step of a scan reads of the step before."""
    if not program.carries or not exact:
        return set()
    terms = log_density(program, checked=False, exact=exact, keep=exact).terms.values()
    return {p.site for t in terms for p in t.plates if isinstance(p, Lane) and p.before}


def paths(model: Compiled, name: str, exact: Collection[str], chained: Collection[str]) -> Paths:
    """The distribution of a chained site, and of those that are tied to it, given everything but the other exact sites.

    Args:
        model: the model.
        name: the site.
        exact: all sites that have no values yet.
        chained: those of them that a step reads of the step before.
    """
    program = model.program
    plates = program.sites[name].plates
    together = [n for n in exact if n in chained and program.sites[n].plates == plates]
    density = log_density(program, checked=False, exact=exact, keep=together)
    terms = {n: {p for p in t.plates if isinstance(p, Lane)} for n, t in density.terms.items()}
    tied = {name}
    while True:
        wider = tied.union(*({lane.site for lane in lanes} for lanes in terms.values() if _sites(lanes) & tied))
        if wider == tied:
            break
        tied = wider
    names = [n for n in together if n in tied]
    before = {p.site: p for lanes in terms.values() for p in lanes if p.before}
    lanes = tuple((Lane(n, before[n].size, before[n].of), before[n]) for n in names)
    read = [n for n, found in terms.items() if _sites(found) & tied]
    now, then = tuple(a for a, _ in lanes), tuple(b for _, b in lanes)
    first = _total(density, read, plates, first=True)
    pair = _total(density, read, plates, first=False)
    return Paths(
        tuple(program.sites[n] for n in names),
        lanes,
        leave(model.filled(name, over(first, now)), now),
        leave(model.filled(name, over(pair, (*now, *then))), (*now, *then)),
    )


def _sites(lanes: Collection[Lane]) -> set[str]:
    return {lane.site for lane in lanes}


def _total(density: Density, names: list[str], plates: tuple[Plate, ...], first: bool) -> Value:
    values: list[Value] = []
    for n in names:
        term = density.firsts.get(n, density.terms[n]) if first else density.terms[n]
        values.append(plate_sum(term, tuple(p for p in density.plates[n] if p not in plates)))
    return functools.reduce(lambda a, b: apply("add", a, b), values)


def draw_paths(found: Paths, first: np.ndarray, pair: np.ndarray, generator: np.random.Generator) -> list[np.ndarray]:
    """Draw the values of the sites in all steps.

    Args:
        found: what is drawn.
        first: log weights in each step if it were the first, shape (count, plates..., values...).
        pair: log weights of values now and before, shape (count, plates..., values..., values...).
        generator: random state.

    Returns:
        For each site the index of its value, shape (count, plates...); NaN where no path is possible.
    """
    sizes = tuple(lane.size for lane, _ in found.lanes)
    width = int(np.prod(sizes))
    at = 1 + found.sites[0].plates.index(found.time)
    reverse = found.lanes[0][1].reverse
    front = first.shape[: first.ndim - len(sizes)]
    starts = np.moveaxis(first.reshape(*front, width), at, 0)[-1 if reverse else 0]
    steps = np.moveaxis(pair.reshape(*front, width, width), at, 0)
    if reverse:
        steps = steps[::-1]
    filtered = [starts.astype(float)]
    for matrix in steps[1:]:
        filtered.append(np.logaddexp.reduce(filtered[-1][..., None, :] + matrix, axis=-1))
    possible = np.isfinite(filtered[-1].max(axis=-1))
    noise = generator.gumbel(size=(len(filtered), *filtered[0].shape))
    states = [np.argmax(filtered[-1] + noise[-1], axis=-1)]
    for t in range(len(filtered) - 2, -1, -1):
        onward = np.take_along_axis(steps[t + 1], states[-1][..., None, None], axis=-2)[..., 0, :]
        states.append(np.argmax(filtered[t] + onward + noise[t], axis=-1))
    path = np.stack(states if reverse else states[::-1])
    whole = np.moveaxis(np.where(possible, path, -1), 0, at)
    parts = np.unravel_index(np.maximum(whole, 0), sizes)
    return [np.where(whole >= 0, part, -1) for part in parts]
