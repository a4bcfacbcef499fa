"""Importance-weighted bounds on the log evidence of data, from weighted draws of a fitted guide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import DataError, ModelError, UnknownNameError, nearest
from ppl.program.program import Program
from ppl.transforms.bind import bind

from .conversion import build_dataset
from .evaluation import CHUNK_BYTES, bytes_per_draw, compiled, density_terms, pieces, simulated
from .prediction import make_plan
from .rows import independent_plate

if TYPE_CHECKING:
    import xarray

    from .posterior import Posterior


def importance_weighted_bound(
    fit: Posterior,
    inputs: Mapping[str, Any],
    data: Mapping[str, Any],
    particles: int,
    seed: int,
    chunk_bytes: int = CHUNK_BYTES,
) -> xarray.DataArray:
    """See `Posterior.bound`.

    Args:
        fit: a fit with a guide.
        inputs: new inputs of model and guide.
        data: new data of observed sites.
        particles: draws of the guide for each row.
        seed: for the draws.
        chunk_bytes: memory that intermediate results may take.
    """
    if isinstance(particles, bool) or not isinstance(particles, (int, np.integer)) or particles < 1:
        raise ModelError("a bound needs at least one particle.", model=fit.program.name, got=repr(particles))
    if fit.guide is None:
        raise ModelError(
            "this fit has no guide, so there are no draws to bound the evidence with.",
            model=fit.program.name,
            got=f"a fit by {type(fit.method).__name__}",
            remedy="Fit by SVI, or use log_evidence of ImportanceSampling.",
        )
    model, guide = _bound_programs(fit, inputs, data)
    summed = [name for name in model.latents if name not in guide.sites]
    if summed:
        raise ModelError(
            "the guide does not draw this site, which the fit summed out; bounds on the evidence need draws of all.",
            site=summed[0],
            model=model.name,
            declared_at=model.sites[summed[0]].location,
            expected=f"guide sites {sorted(model.latents)}",
            got=f"guide sites {sorted(guide.sites)}",
            remedy="The objective of the fit, in `diagnostics`, bounds the evidence of its own data.",
        )
    plate = independent_plate(model, guide)
    sizes = {} if plate is None else {plate: model.plate(plate).size}
    target, own = (compiled(p, fit.backend, fit.precision, fit.seed) for p in (model, guide))
    width = bytes_per_draw(model, fit.precision) + bytes_per_draw(guide, fit.precision)
    steps = list(pieces(particles, width, chunk_bytes))
    seeds = np.random.SeedSequence(seed).generate_state(len(steps)) >> 1
    total = np.full(tuple(sizes.values()), -np.inf)
    for (place, index), own_seed in zip(steps, seeds, strict=True):
        draws = simulated(own, {}, fit.params, len(index), int(own_seed), set(guide.sites), chunk_bytes)
        latents = {name: draws[name] for name in model.latents}
        ratio = np.zeros((len(index), *total.shape))
        for sign, program, terms in (
            (1.0, model, density_terms(target, latents, fit.params, len(index), chunk_bytes)),
            (-1.0, guide, density_terms(own, draws, fit.params, len(index), chunk_bytes)),
        ):
            for name, term in terms.items():
                ratio += sign * _by_row(program, name, term, plate)
        total = np.logaddexp(total, np.logaddexp.reduce(ratio[: place.stop - place.start], axis=0))
    bound = np.asarray(total - np.log(particles))
    labels = {} if inputs else {k: v for k, v in fit.coords.items() if k in sizes}
    dataset = build_dataset({"bound": (tuple(sizes), bound)}, labels=labels)
    return dataset["bound"].assign_attrs(unit="nats", particles=int(particles), seed=seed)


def _by_row(program: Program, name: str, term: np.ndarray, plate: str | None) -> np.ndarray:
    """One term of each draw, summed over all plates but the one whose rows are kept apart."""
    if plate is None:
        return term.reshape(len(term), -1).sum(axis=-1, dtype=float)
    if program.by_name[name].plates[:1] != (program.plate(plate),):
        # It reads no latent and belongs to no row.
        return np.zeros((len(term), 1))
    return term.reshape(*term.shape[:2], -1).sum(axis=-1, dtype=float)


def _joined(fit: Posterior, name: str) -> ModelError:
    site = fit.program.sites[name]
    return ModelError(
        "it joins the new rows to the old ones, so there is no evidence of the new rows alone.",
        site=name,
        model=fit.program.name,
        declared_at=site.location,
        got=f"{site.dist!r}",
        remedy="Compare predictions with the new data: predict(...) draws them given the old rows.",
    )


def _bound_programs(fit: Posterior, inputs: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[Program, Program]:
    """Model and guide on the rows in question, the model with their data.

    Raises:
        UnknownNameError: data of something that the fit did not observe.
        DataError: a site that the fit observed has no data here.
    """
    old, guide = fit.program, fit.guide
    assert guide is not None
    for name in data:
        if name not in old.observed:
            raise UnknownNameError(
                f"the fit observed no site {name!r}.",
                model=old.name,
                expected=f"data of {list(old.observed)}",
                got=repr(name),
                remedy=nearest(name, old.observed),
            )
    model = old
    if inputs:
        plan = make_plan(fit, inputs, "guide", False)
        if plan.extended:
            raise _joined(fit, plan.extended[0])
        known = {i.name for i in guide.inputs}
        model = plan.program
        guide = plan.guide or bind(guide, {n: a for n, a in inputs.items() if n in known})
    if data:
        model = model.observe(**data)
    for name in old.observed:
        if name not in model.observed:
            raise DataError(
                f"observed site {name!r} has no data for the new rows.",
                site=name,
                model=old.name,
                declared_at=old.sites[name].location,
                expected=f"data of {list(old.observed)}",
                got=f"data of {list(data)}",
                remedy=f"Pass them second: bound({{inputs}}, {{{name!r}: array}}).",
            )
    return model, guide
