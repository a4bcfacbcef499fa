"""Pointwise log likelihood: the density of what is known of each element of the data, and of nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ppl.program.missing import known_elements, mask_shape
from ppl.program.program import Program
from ppl.program.statements import Sample
from ppl.program.values import Value
from ppl.transforms.density import log_density

from .conversion import build_dataset, known_numbers
from .evaluation import CHUNK_BYTES, bytes_per_draw, own_params, pieces

if TYPE_CHECKING:
    import xarray

    from .posterior import Posterior


def counted(program: Program, name: str) -> np.ndarray | None:
    """Which elements of an observed site are data, shape (plates...); None where all are.

    An element of which every number is missing is none. Neither is one of which some are, if these are imputed and the
    family has no density of the others alone.
    """
    known = known_numbers(program, name)
    if known is None:
        return None
    site = program.sites[name]
    axes = tuple(range(len(site.plates), known.ndim))
    some, every = np.asarray(known.any(axis=axes)), np.asarray(known.all(axis=axes))
    return every if _split(site) and _known_part(site) is None else some


def _split(site: Sample) -> bool:
    """Whether an element may hold imputed numbers beside known ones."""
    return site.missing is not None and site.missing.how == "imputed" and site.dist.event_shape != ()


def _known_part(site: Sample) -> str | None:
    """How the density of an element's known numbers comes about: "masked" or "marginal"; None where it does not."""
    assert site.missing is not None
    if mask_shape(site, site.missing) == site.dist.element_shape:
        return "masked"
    return "marginal" if site.dist.has_marginal else None


def likelihood_terms(fit: Posterior, chunk_bytes: int = CHUNK_BYTES) -> dict[str, np.ndarray]:
    """Log density of what is known of each element of observed sites, in nats, shape (chain, draw, plates...)."""
    program, total = fit.program, fit.chains * fit.count
    out = {name: fit.terms[name] for name in program.observed}
    split = {n: s for n, s in program.observed.items() if _split(s) and _known_part(s) is not None}
    if not split:
        return out
    target, density = fit.compiled, log_density(program)
    outputs: dict[str, Value] = {}
    for name, site in split.items():
        dist, value, known = density.dists[name], density.values[name], known_elements(site)
        masked = _known_part(site) == "masked"
        term = dist.mask(known).log_prob(value) if masked else dist.marginal_log_prob(value, known)
        outputs[name] = target.filled(name, term)
    emitted = target.emitter().emit("log_likelihood", outputs)
    function = target.backend.jit(target.load(emitted), target.precision)
    data, params = target.bind(emitted), target.param_arrays(own_params(target, fit.params))
    read = {a.name for a in emitted.arguments if a.group == "values"}
    draws = {n: fit.draws[n].reshape(total, *fit.draws[n].shape[2:]) for n in program.latents if n in read}
    sizes = {n: tuple(p.size for p in s.plates) for n, s in split.items()}
    parts = {n: np.empty((total, *sizes[n])) for n in split}
    for place, index in pieces(total, bytes_per_draw(program, target.precision), chunk_bytes):
        result = function(params, target.value_arrays({n: v[index] for n, v in draws.items()}), data, {})
        for name, term in result.items():
            full = np.broadcast_to(target.backend.to_numpy(term), (len(index), *sizes[name]))
            parts[name][place] = full[: place.stop - place.start]
    return out | {n: a.reshape(fit.chains, fit.count, *sizes[n]) for n, a in parts.items()}


def likelihood_dataset(fit: Posterior) -> xarray.Dataset:
    """Pointwise log likelihood, dims (chain, draw, plates...).

    Where elements of a site are missing, the others stand on one axis, called `<site>_known`; its labels are those of
    the plate, or numbers in the order of the elements where there are several plates.
    """
    program = fit.program
    entries: dict[str, tuple[tuple[str, ...], np.ndarray]] = {}
    labels = dict(fit.coords)
    for name, array in likelihood_terms(fit).items():
        plates = program.sites[name].plates
        data = counted(program, name)
        if data is None or data.all():
            entries[name] = (tuple(p.name for p in plates), array)
            continue
        dim = f"{name}_known"
        flat = array.reshape(fit.chains, fit.count, math.prod(p.size for p in plates))
        entries[name] = ((dim,), flat[..., data.ravel()])
        own = np.asarray(fit.coords.get(plates[0].name, np.arange(data.size))) if len(plates) == 1 else None
        labels[dim] = list(np.flatnonzero(data) if own is None else own[data])
    lead = {"chain": fit.chains, "draw": fit.count}
    return build_dataset(entries, lead, labels, {"unit": "nats"})
