"""A posterior as xarray and arviz objects."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import DataError

from .conversion import (
    Entry,
    arviz_module,
    arviz_object,
    build_dataset,
    check_labels,
    input_entries,
    known_numbers,
    observed_entries,
    plate_entries,
    site_entries,
    split_observed,
    with_chain,
)
from .evaluation import density_terms, own_params
from .simulate import simulate
from .weights import systematic_indices

if TYPE_CHECKING:
    import pandas
    import xarray

    from ppl.program.program import Program

    from .posterior import Posterior


def lead(fit: Posterior) -> dict[str, int]:
    """The leading dims and their sizes."""
    return {"chain": fit.chains, "draw": fit.count}


def site_array(
    fit: Posterior, name: str, array: np.ndarray, front: tuple[str, ...] = (), labels: Mapping[str, Any] | None = None
) -> xarray.DataArray:
    """One site's numbers with named dims, `front` ones first."""
    dims = fit.program.dims(name)
    sizes = dict(zip(front, array.shape, strict=False))
    dataset = build_dataset({name: (dims, np.asarray(array))}, sizes, {**fit.coords, **(labels or {})})
    return dataset[next(iter(dataset.data_vars))].rename(name)


def posterior_dataset(fit: Posterior) -> xarray.Dataset:
    """All draws, dims (chain, draw, plates..., event...)."""
    return build_dataset(site_entries(fit.program, fit.draws), lead(fit), fit.coords, _attrs(fit))


def stacked(fit: Posterior) -> xarray.Dataset:
    """All draws, chains joined, dims (sample, plates..., event...)."""
    total = fit.chains * fit.count
    flat = {name: array.reshape(total, *array.shape[2:]) for name, array in fit.draws.items()}
    return build_dataset(site_entries(fit.program, flat), {"sample": total}, fit.coords, _attrs(fit))


def resampled(fit: Posterior, draws: int | None, seed: int) -> Posterior:
    """Equally weighted draws in one chain."""
    total = fit.chains * fit.count
    weights = None if fit.weights is None else fit.weights.ravel()
    index = systematic_indices(weights, total, draws or total, seed)

    def take(array: np.ndarray) -> np.ndarray:
        return array.reshape(total, *array.shape[2:])[index][None]

    # The pointwise densities, if they are known already, go along instead of being evaluated again.
    known = fit.__dict__.get("terms")
    out = fit.replace(
        draws={name: take(array) for name, array in fit.draws.items()},
        log_weights=None,
        log_p=None if fit.log_p is None else take(fit.log_p),
        log_q=None if fit.log_q is None or weights is not None else take(fit.log_q),
        sample_stats={name: take(array) for name, array in fit.sample_stats.items()},
        # Resampled draws are those of the posterior, no longer those of the guide.
        guide=fit.guide if weights is None else None,
        diagnostics={**fit.diagnostics, "resampled_from": total} if weights is not None else fit.diagnostics,
    )
    if known is not None:
        out.__dict__["terms"] = {name: take(array) for name, array in known.items()}
    return out


def moving_numbers(fit: Posterior, most: int) -> xarray.Dataset | None:
    """Numbers of the latents as one variable `x`, those shared by all rows first, at most `most` of them.

    Returns:
        Dims (chain, draw, number), without numbers that never move: they say nothing about mixing. None if there are
        no others.
    """
    import xarray

    latents = sorted(fit.program.latents, key=lambda n: len(fit.program.sites[n].plates))
    columns = [
        fit.draws[n].reshape(fit.chains, fit.count, -1)[..., :most].astype(float) for n in latents if n in fit.draws
    ]
    if not columns:
        return None
    wide = np.concatenate(columns, axis=-1)[..., :most]
    wide = wide[..., np.ptp(wide, axis=(0, 1)) > 0]
    return xarray.Dataset({"x": (("chain", "draw", "number"), wide)}) if wide.size else None


# --- densities ------------------------------------------------------------------------------------------------------


def terms(fit: Posterior) -> dict[str, np.ndarray]:
    """Log density of every site and factor at every draw, in nats, shape (chain, draw, plates...)."""
    total = fit.chains * fit.count
    missing = [name for name in fit.program.latents if name not in fit.draws]
    if missing:
        raise DataError(
            f"there are no draws of latent {missing[0]!r}, so densities cannot be evaluated.", model=fit.program.name
        )
    values = {name: fit.draws[name].reshape(total, *fit.draws[name].shape[2:]) for name in fit.program.latents}
    flat = density_terms(fit.compiled, values, fit.params, total)
    return {name: array.reshape(fit.chains, fit.count, *array.shape[1:]) for name, array in flat.items()}


def with_density(program: Program) -> tuple[str, ...]:
    """The latents that have a density of their own, which imputed elements of data do not."""
    return tuple(n for n, s in program.latents.items() if s.dist.family != "Imputed")


def density_dataset(fit: Posterior, names: Sequence[str]) -> xarray.Dataset:
    """Log densities of some sites, dims (chain, draw, plates...)."""
    arrays = {name: fit.terms[name] for name in names}
    return build_dataset(plate_entries(fit.program, arrays), lead(fit), fit.coords, {"unit": "nats"})


def by_site(fit: Posterior, names: Sequence[str]) -> dict[str, xarray.DataArray]:
    """Log densities of some sites by name."""
    dataset = density_dataset(fit, names)
    return {str(array.attrs.get("site", v)): array for v, array in dataset.data_vars.items()}


def log_joint(fit: Posterior) -> np.ndarray:
    """Joint log density of values and data at every draw, in nats, shape (chain, draw)."""
    total = np.zeros((fit.chains, fit.count))
    for array in fit.terms.values():
        total += array.reshape(fit.chains, fit.count, -1).sum(axis=-1, dtype=float)
    return total


# --- arviz ----------------------------------------------------------------------------------------------------------


def arviz_groups(
    fit: Posterior,
    log_likelihood: bool,
    log_prior: bool,
    predictive: bool | xarray.Dataset,
    prior: bool | xarray.Dataset,
    coords: Mapping[str, Sequence[Any]] | None,
    gaps: bool = True,
) -> Any:
    """See `Posterior.to_arviz`; without `gaps`, missing numbers are left out of the data and its replicates."""
    if coords:
        check_labels(fit.program, coords)
        fit = fit.with_coords(**coords)
    program = fit.program
    groups: dict[str, xarray.Dataset] = {}
    particles: xarray.Dataset | None = None
    if fit.kind == "weighted":
        weighted = site_entries(program, fit.draws) | {"log_weight": ((), np.asarray(fit.log_weights))}
        particles = build_dataset(weighted, lead(fit), fit.coords, {**_attrs(fit), "log_weight": "nats"})
        fit = resampled(fit, None, fit.seed)
    groups["posterior"] = posterior_dataset(fit)
    if log_likelihood and program.observed:
        groups["log_likelihood"] = fit.log_likelihood_dataset()
    if log_prior and with_density(program):
        groups["log_prior"] = density_dataset(fit, with_density(program))
    stats = _sample_stats(fit, evaluated=log_likelihood or log_prior)
    if stats:
        groups["sample_stats"] = build_dataset(stats, lead(fit), attrs=_attrs(fit))
    if program.observed:
        groups["observed_data"] = build_dataset(observed_entries(program, gaps), labels=fit.coords)
    if inputs := input_entries(program):
        groups["constant_data"] = build_dataset(inputs, labels=fit.coords)
    if predictive is not False:
        replicates = _predictive_groups(fit, fit.predict() if predictive is True else predictive)
        groups |= replicates if gaps else {name: _known(program, group) for name, group in replicates.items()}
    if prior is not False:
        groups |= _prior_groups(fit, prior)
    if particles is not None:
        groups["particles"] = particles
    return arviz_object(groups, {"program": program.name, "method": type(fit.method).__name__, **fit.versions})


def _sample_stats(fit: Posterior, evaluated: bool) -> dict[str, Entry]:
    stats = dict(fit.sample_stats)
    if fit.log_p is not None:
        stats.setdefault("log_p", fit.log_p)
    if fit.log_q is not None:
        stats.setdefault("log_q", fit.log_q)
    if "lp" not in stats:
        if fit.log_p is not None:
            stats["lp"] = fit.log_p
        elif evaluated:
            stats["lp"] = log_joint(fit)
    return {name: ((), array) for name, array in stats.items()}


def _predictive_groups(fit: Posterior, dataset: xarray.Dataset) -> dict[str, xarray.Dataset]:
    observed, rest = split_observed(fit.program, dataset)
    # Predictions for other rows have a group of their own: arviz compares posterior_predictive with the data.
    name = "predictions" if dataset.attrs.get("new_inputs") else "posterior_predictive"
    groups = {name: with_chain(observed)} if len(observed.data_vars) else {}
    if name == "predictions" and len(rest.data_vars):
        groups[name] = with_chain(dataset)
    return groups


def _known(program: Program, dataset: xarray.Dataset) -> xarray.Dataset:
    """Replicates of observed sites at the numbers that are known in the data, on one axis where some are missing."""
    for variable, array in dataset.data_vars.items():
        known = known_numbers(program, str(array.attrs.get("site", variable)))
        if known is not None:
            values = array.transpose("chain", "draw", ...).values[:, :, known]
            dataset = dataset.assign({variable: (("chain", "draw", f"{variable}_known"), values)})
    return dataset


def _prior_groups(fit: Posterior, prior: bool | xarray.Dataset) -> dict[str, xarray.Dataset]:
    if prior is True:
        own = own_params(fit.compiled, fit.params)
        dataset = simulate(
            fit.program, min(fit.chains * fit.count, 1000), seed=fit.seed, backend=fit.backend,
            precision=fit.precision, params=own,
        )  # fmt: skip
    else:
        assert not isinstance(prior, bool)
        dataset = prior
    observed, rest = split_observed(fit.program, dataset)
    groups = {"prior": with_chain(rest)}
    if len(observed.data_vars):
        groups["prior_predictive"] = with_chain(observed)
    return groups


def _attrs(fit: Posterior) -> dict[str, Any]:
    attrs: dict[str, Any] = {
        "program": fit.program.name,
        "inference_library": "credo",
        "backend": fit.backend,
        "precision": fit.precision,
        "seed": fit.seed,
        "kind": fit.kind,
    }
    if "resampled_from" in fit.diagnostics:
        attrs["draws"] = _resampling_note(fit)
    if fit.log_evidence is not None:
        attrs["log_evidence"] = fit.log_evidence
    return attrs


def _resampling_note(fit: Posterior) -> str:
    return f"resampled systematically from {fit.diagnostics['resampled_from']} weighted draws, seed {fit.seed}"


# --- tables ---------------------------------------------------------------------------------------------------------


def chosen_names(fit: Posterior, var_names: str | Sequence[str] | None) -> list[str]:
    """The sites that were asked for, known ones all.

    Raises:
        UnknownNameError: there is no such site.
    """
    if var_names is None:
        return list(fit.draws)
    names = [var_names] if isinstance(var_names, str) else list(var_names)
    for name in names:
        fit[name]
    return names


def table_dataset(fit: Posterior, var_names: str | Sequence[str] | None) -> tuple[Posterior, xarray.Dataset]:
    """Equally weighted draws of some sites, for tables and plots."""
    names = chosen_names(fit, var_names)
    if fit.kind == "weighted":
        fit = resampled(fit, None, fit.seed)
    arrays = {name: fit.draws[name] for name in names}
    return fit, build_dataset(site_entries(fit.program, arrays), lead(fit), fit.coords, _attrs(fit))


def summary(fit: Posterior, var_names: str | Sequence[str] | None, settings: Mapping[str, Any]) -> pandas.DataFrame:
    """See `Posterior.summary`."""
    kind = "all" if fit.kind == "samples" and "resampled_from" not in fit.diagnostics else "stats"
    fit, dataset = table_dataset(fit, var_names)
    with warnings.catch_warnings():
        # A site that never moves (set by `do`, say) has R-hat 0 / 0: NaN in the table, not a warning.
        warnings.simplefilter("ignore", RuntimeWarning)
        table = arviz_module().summary(arviz_object({"posterior": dataset}, {}), **{"kind": kind, **settings})
    if "resampled_from" in fit.diagnostics and hasattr(table, "attrs"):
        table.attrs["draws"] = _resampling_note(fit)
    return table
