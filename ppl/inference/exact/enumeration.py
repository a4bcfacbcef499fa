"""Draws of discrete sites that were summed out: each from its exact distribution given everything drawn before it."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.backend.layout import plate_positions
from ppl.errors import NonFiniteError
from ppl.program.ops import leave, plate_sum
from ppl.program.program import Program
from ppl.program.statements import Sample
from ppl.program.values import Value
from ppl.transforms.density import log_density, total_of
from ppl.transforms.exact import exact_sites, finite_values, lane_of

from .paths import chained_sites, draw_paths, paths

# Log probabilities are evaluated for at most this many numbers at once.
PIECE = 10_000_000


def computed_late(program: Program, exact: Collection[str]) -> list[str]:
    """Deterministic values that depend on an exactly summed site: they can be computed once it has been drawn."""
    return [n for n in program.deterministics if program.ancestors(n) & set(exact)]


def draw_exact(
    model: Compiled, values: Mapping[str, np.ndarray], count: int, params: Mapping[str, Any], seed: int
) -> dict[str, np.ndarray]:
    """Draw the sites that are not in `values` from their exact distribution given those that are.

    Sites are drawn one after the other, outer plates first, each with the later ones summed out; those that follow one
    another in a scan all at once, by forward filtering and backward sampling.

    Args:
        model: the model.
        values: draws of all other latent sites, shape (count, plates..., event...).
        count: number of draws.
        params: parameters in their own space.
        seed: random seed; equal on both backends.

    Returns:
        Draws of the sites, and of the deterministic values that depend on them.

    Raises:
        NonFiniteError: all values of a site are impossible at some draw.
    """
    program = model.program
    exact = exact_sites(program, values)
    if not exact:
        return {}
    known = {n: v for n, v in values.items() if n in program.latents}
    names = list(exact)
    chained = chained_sites(program, exact)
    for name in names:
        if name in known:
            continue
        left = [n for n in names if n not in known]
        generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
        if name in chained:
            found = paths(model, name, left, chained)
            logits = _evaluate(model, {"first": found.first, "pair": found.pair}, known, count, params)
            drawn = draw_paths(found, logits["first"], logits["pair"], generator)
            for site, indices in zip(found.sites, drawn, strict=True):
                if (indices < 0).any():
                    raise _impossible(program, site, "no path of positive probability")
                known[site.name] = indices + _lowest(site)
            continue
        logits = _evaluate(model, {name: _logits(model, name, left)}, known, count, params)[name]
        best = logits.max(axis=-1)
        if not np.isfinite(best).all():
            raise _impossible(program, exact[name], f"{best[~np.isfinite(best)][0]}")
        known[name] = (logits + generator.gumbel(size=logits.shape)).argmax(axis=-1) + _lowest(exact[name])
    out = {n: known[n] for n in names}
    late = computed_late(program, names)
    if late:
        expressions = log_density(program).values
        out |= _evaluate(model, {n: model.filled(n, expressions[n]) for n in late}, known, count, params)
    return out


def _lowest(site: Sample) -> int:
    """The smallest value of a finite site."""
    found = finite_values(site.dist)
    assert found is not None
    return found[0]


def _impossible(program: Program, site: Sample, got: str) -> NonFiniteError:
    return NonFiniteError(
        "none of its values is possible given the other sites.",
        site=site.name,
        model=program.name,
        declared_at=site.location,
        expected="a finite log density of at least one value",
        got=got,
        remedy="Check the priors of what it depends on, and the data.",
    )


def _logits(model: Compiled, name: str, exact: list[str]) -> Value:
    """Log probability of each value up to a constant, values on the event axis."""
    program = model.program
    site = program.sites[name]
    lane, _ = lane_of(site)
    density = log_density(program, checked=False, exact=exact, keep=[name])
    terms: list[Value] = []
    for key, term in density.terms.items():
        if lane in term.plates:
            terms.append(plate_sum(term, tuple(p for p in density.plates[key] if p not in site.plates)))
    return leave(model.filled(name, total_of(terms)), (lane,))


def _evaluate(
    model: Compiled,
    outputs: Mapping[str, Value],
    values: Mapping[str, np.ndarray],
    count: int,
    params: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Expressions at draws, shape (count, plates..., event...) each."""
    backend = model.backend
    emitted = model.emitter().emit("exact", dict(outputs))
    function = backend.jit(model.load(emitted), model.precision)
    data, arrays = model.bind(emitted), model.param_arrays(params)
    read = {a.name for a in emitted.arguments if a.group == "values"}
    given = {n: v for n, v in values.items() if n in read}
    # The order in which plates were met while a value was computed is not that of its axes.
    at = plate_positions(model.program)
    plates = {n: sorted(v.plates, key=lambda p: -at[p.name]) for n, v in outputs.items()}
    shapes = {n: tuple(p.size for p in plates[n]) + v.shape for n, v in outputs.items()}
    width = max(1, *(int(np.prod(s)) for s in shapes.values()))
    piece = max(1, min(count, PIECE // width))
    parts: list[dict[str, np.ndarray]] = []
    for start in range(0, count, piece):
        # The last piece overlaps the one before, so that all have one size and the function is compiled once.
        begin = min(start, count - piece)
        result = function(arrays, model.value_arrays({n: v[begin : begin + piece] for n, v in given.items()}), data, {})
        whole = {n: np.broadcast_to(backend.to_numpy(v), (piece, *shapes[n])) for n, v in result.items()}
        parts.append({n: v[start - begin :] for n, v in whole.items()})
    return {n: np.concatenate([p[n] for p in parts]) for n in outputs}
