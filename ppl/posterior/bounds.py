"""Importance-weighted bounds on the log evidence of data, from weighted draws of a fitted guide."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import DataError, ModelError, ShapeError, UnknownNameError, nearest
from ppl.program.check import check_guide, not_a_guide
from ppl.program.program import Program
from ppl.transforms.bind import bind
from ppl.transforms.exact import exact_sites

from .evaluation import CHUNK_BYTES, compiled

if TYPE_CHECKING:
    import xarray

    from .posterior import Posterior


def log_evidence_bound(
    program: Program,
    guide: Program,
    *,
    params: Mapping[str, Any] | Posterior | None = None,
    particles: int = 5000,
    chunk: int | None = None,
    backend: str = "numpyro",
    precision: str = "float32",
    seed: int = 0,
) -> xarray.Dataset:
    """Importance-weighted lower bound on the log evidence, row by row where latents belong to rows.

    Args:
        program: the observed model.
        guide: where particles are drawn from.
        params: all parameters and network weights of model and guide, by name, or a fit that holds them.
        particles: draws of the guide for each row; the more, the tighter.
        chunk: particles that are held at a time; it need not divide their number. By default as many as fit into 256
            megabytes. Beyond them only the largest weights are kept, 3 * sqrt(particles) for each row.
        backend: "numpyro" (JAX) or "pyro" (torch).
        precision: "float32" or "float64".
        seed: for the draws.

    Returns:
        `bound` and its `standard_error`; `elbo`, the mean log weight, which is the bound of one particle; and `khat`,
        the Pareto tail index of the weights: above 0.7 the weights have no useful variance, and neither bound nor
        standard error says much. All but `khat` in nats. One of each for each row, dims (plate,), if all latents lie
        in one plate whose rows are independent in model and guide; what reads no latent and lies in no row is then left
        out. Else one for the whole. `attrs` hold the totals over the rows.

    Raises:
        ModelError: no particle, no chunk, or programs with parameters of which no values were given.
        UnknownNameError: there is no such parameter.
        GuideError: the guide does not fit the model.
        NonFiniteError: a weight is NaN or infinite; names the first site at fault.

    Sites of few values that the guide does not draw are summed out. In expectation the bound lies below the log
    evidence by the relative variance of the weights over twice the number of particles.

    Reference: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders.
    """
    check_programs(program, guide, "ppl.log_evidence_bound")
    check_guide(program, guide, exact_sites(program))
    given = given_params((program, guide), params, backend, precision, seed)
    return evidence_dataset(program, guide, given, particles, chunk, backend, precision, seed, {})


def given_params(
    programs: Sequence[Program], params: Mapping[str, Any] | Posterior | None, backend: str, precision: str, seed: int
) -> dict[str, np.ndarray]:
    """Values of all parameters of some programs, and of nothing else.

    Raises:
        ModelError: a parameter has no value.
        UnknownNameError: there is no such parameter.
        ShapeError: values of another shape.
    """
    from .posterior import Posterior

    start: dict[str, np.ndarray] = {}
    for program in programs:
        start |= compiled(program, backend, precision, seed).params
    if params is None and not start:
        return {}
    whole = isinstance(params, Posterior)
    items = params.params if isinstance(params, Posterior) else params or {}
    given = {n: np.asarray(a) for n, a in items.items()}
    missing = [name for name in start if name not in given]
    if missing:
        raise ModelError(
            f"parameter {missing[0]!r} has no value, and one that was not fitted would count as if it had been.",
            model=programs[0].name,
            expected=f"values of {list(start)}",
            got="none" if params is None else f"values of {list(given)}",
            remedy="Pass params=fit.params; the starting values are ppl.compile(program).params.",
        )
    unknown = [name for name in given if name not in start]
    if unknown and not whole:
        raise UnknownNameError(
            f"there is no parameter {unknown[0]!r}.",
            model=programs[0].name,
            expected=f"one of {list(start)}",
            got=repr(unknown[0]),
            remedy=nearest(unknown[0], start),
        )
    for name, wanted in start.items():
        if given[name].shape != wanted.shape:
            raise ShapeError(
                f"parameter {name!r} is given with the wrong shape.",
                model=programs[0].name,
                expected=str(wanted.shape),
                got=str(given[name].shape),
            )
    return {name: given[name] for name in start}


def evidence_dataset(
    program: Program,
    guide: Program,
    params: Mapping[str, np.ndarray],
    particles: int,
    chunk: int | None,
    backend: str,
    precision: str,
    seed: int,
    labels: Mapping[str, Sequence[Any]],
    chunk_bytes: int = CHUNK_BYTES,
) -> xarray.Dataset:
    """See `log_evidence_bound`; programs and parameters have been checked.

    Args:
        program: the observed model.
        guide: the guide.
        params: parameters of both.
        particles: draws of the guide for each row.
        chunk: particles that are held at a time.
        backend: "numpyro" or "pyro".
        precision: "float32" or "float64".
        seed: for the draws.
        labels: of the rows.
        chunk_bytes: memory that intermediate results may take where `chunk` is None.
    """
    for name, item in (("particle", particles), ("particle in a chunk", 1 if chunk is None else chunk)):
        if isinstance(item, bool) or not isinstance(item, (int, np.integer)) or item < 1:
            raise ModelError(f"a bound needs at least one {name}.", model=program.name, got=repr(item))
    from .conversion import build_dataset
    from .ratios import LogWeights, Tally

    target, own = (compiled(p, backend, precision, seed) for p in (program, guide))
    weights = LogWeights(target, own, params)
    tally = Tally(int(particles), weights.rows)
    for ratios in weights.chunks(int(particles), seed, chunk, chunk_bytes):
        tally.add(ratios)
    names = () if weights.plate is None else (weights.plate.name,)
    found = {n: getattr(tally, n) for n in ("bound", "standard_error", "elbo", "khat")}
    arrays = {n: (names, a if names else a[0]) for n, a in found.items()}
    totals = {
        "total": float(tally.bound.sum()),
        "total_standard_error": float(np.sqrt(np.square(tally.standard_error).sum())),
    }
    attrs = {"program": program.name, "guide": guide.name, "unit": "nats", "particles": int(particles), "seed": seed}
    own = {name: labels[name] for name in names if name in labels}
    return build_dataset(arrays, labels=own, attrs={**attrs, **totals, "backend": backend, "precision": precision})


def fit_bound(
    fit: Posterior,
    inputs: Mapping[str, Any],
    data: Mapping[str, Any],
    particles: int,
    seed: int,
    chunk: int | None = None,
    chunk_bytes: int = CHUNK_BYTES,
) -> xarray.Dataset:
    """See `Posterior.log_evidence_bound`.

    Args:
        fit: a fit with a guide.
        inputs: new inputs of model and guide.
        data: new data of observed sites.
        particles: draws of the guide for each row.
        seed: for the draws.
        chunk: particles that are held at a time.
        chunk_bytes: memory that intermediate results may take where `chunk` is None.
    """
    if fit.guide is None:
        raise without_guide(fit)
    model, guide = _bound_programs(fit, inputs, data)
    labels = {} if inputs else fit.coords
    return evidence_dataset(
        model, guide, fit.params, particles, chunk, fit.backend, fit.precision, seed, labels, chunk_bytes
    )


def without_guide(fit: Posterior) -> ModelError:
    """The error about a fit whose method has no guide."""
    return ModelError(
        "this fit has no guide, so there are no draws to bound the evidence with.",
        model=fit.program.name,
        got=f"a fit by {type(fit.method).__name__}",
        remedy="Fit by SVI, or use log_evidence of ImportanceSampling.",
    )


def check_programs(program: Any, guide: Any, what: str) -> None:
    """Refuse what is no program, no guide, or a program without data.

    Args:
        program: the model.
        guide: the guide.
        what: the function that was called, for messages.
    """
    if not isinstance(program, Program):
        raise ModelError(
            f"{what} needs a program.",
            got=type(program).__name__,
            remedy="Call the model with its inputs first: program = model(inputs).observe(site=data).",
        )
    if not isinstance(guide, Program):
        raise not_a_guide(guide)
    if not program.observed:
        raise DataError(
            "no site is observed, so there is no data to have evidence of.",
            model=program.name,
            remedy="Observe it: program.observe(site=array).",
        )


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


def refuse_unobserved(program: Program, names: Iterable[str]) -> None:
    """Refuse data of what a fit did not observe.

    Raises:
        UnknownNameError: there is no such observed site.
    """
    for name in names:
        if name not in program.observed:
            raise UnknownNameError(
                f"the fit observed no site {name!r}.",
                model=program.name,
                expected=f"data of {list(program.observed)}",
                got=repr(name),
                remedy=nearest(name, program.observed),
            )


def _bound_programs(fit: Posterior, inputs: Mapping[str, Any], data: Mapping[str, Any]) -> tuple[Program, Program]:
    """Model and guide on the rows in question, the model with their data.

    Raises:
        UnknownNameError: data of something that the fit did not observe.
        DataError: a site that the fit observed has no data here.
    """
    from .prediction import make_plan

    old, guide = fit.program, fit.guide
    assert guide is not None
    refuse_unobserved(old, data)
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
