"""Importance ratios of a fit: Pareto k-hat, and leave-one-out cross-validation that knows how the draws were made."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import DataError, StrategyError, UnknownNameError, nearest

from .conversion import CHAIN_DRAW, arviz_line, arviz_module, arviz_object, build_dataset, site_entries
from .likelihood import counted
from .views import moving_numbers

if TYPE_CHECKING:
    import xarray

    from .posterior import Posterior

# Below this, fewer than five draws lie in the tail, too few for a generalised Pareto distribution.
FEWEST_DRAWS = 25
# Numbers of the posterior whose effective sample sizes set the relative efficiency of LOO.
MOST_ESS = 200


def pareto_smooth(log_ratios: np.ndarray, efficiency: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Pareto smoothed importance weights, by arviz on either of its lines.

    Args:
        log_ratios: in nats, up to a constant for each row; shape (..., draws).
        efficiency: effective draws divided by draws.

    Returns:
        Normalised log weights, shape (..., draws), and the tail index k-hat, shape (...). Where the largest ratios are
        all equal there is no tail to fit: the weights stay as they are, and k-hat is minus infinity, its value for a
        distribution bounded that tightly.

    Reference: Vehtari et al. (2024), Pareto smoothed importance sampling.
    """
    arviz = arviz_module()
    rows = np.asarray(log_ratios, dtype=float).reshape(-1, log_ratios.shape[-1])
    rows = rows - rows.max(axis=-1, keepdims=True)
    count = rows.shape[-1]
    tail = int(np.ceil(min(count / 5.0, 3.0 * np.sqrt(count / efficiency))))
    largest = np.partition(rows, count - tail, axis=-1)[:, count - tail :]
    flat = np.ptp(largest, axis=-1) < 1e-12
    weights = rows - _log_sum(rows)
    khat = np.full(len(rows), -np.inf)
    if not flat.all():
        if arviz_line(arviz) == 0:
            weights[~flat], khat[~flat] = arviz.psislw(rows[~flat], efficiency)
        else:
            from arviz_stats.base import array_stats  # type: ignore[import-not-found]

            # From 1.0 on the function takes the negative: pointwise log likelihoods, not log ratios.
            weights[~flat], khat[~flat] = array_stats.psislw(-rows[~flat], r_eff=efficiency, axis=-1)
    return weights.reshape(log_ratios.shape), khat.reshape(log_ratios.shape[:-1])


def _log_sum(rows: np.ndarray) -> np.ndarray:
    top = rows.max(axis=-1, keepdims=True)
    return top + np.log(np.sum(np.exp(rows - top), axis=-1, keepdims=True))


def log_ratio(fit: Posterior) -> np.ndarray | None:
    """How much more likely each draw is under the posterior than under what it was drawn from.

    Returns:
        In nats, up to a constant, shape (chain, draw); None where there is no such distribution (MCMC, a point).
    """
    if fit.kind == "weighted":
        return np.asarray(fit.log_weights, dtype=float)
    if fit.kind == "variational" and fit.log_p is not None and fit.log_q is not None:
        return np.asarray(fit.log_p, dtype=float) - np.asarray(fit.log_q, dtype=float)
    return None


def khat(fit: Posterior) -> float | None:
    """Pareto k-hat of the importance ratios of a fit; None without ratios or with fewer than 25 draws."""
    ratio = log_ratio(fit)
    if ratio is None or ratio.size < FEWEST_DRAWS:
        return None
    if np.isnan(ratio).any() or np.isposinf(ratio).any():
        return float("inf")
    return float(pareto_smooth(ratio.reshape(1, -1))[1][0])


def loo(fit: Posterior, var_name: str | None, pointwise: bool | None) -> Any:
    """Leave-one-out cross-validation; see `Posterior.loo`."""
    name = _observed_name(fit, var_name)
    if fit.kind == "point":
        raise StrategyError(
            "a point estimate has no posterior to leave data out of.",
            model=fit.program.name,
            remedy="Fit with a guide that has a spread (AutoNormal), or with NUTS.",
        )
    if fit.chains * fit.count < FEWEST_DRAWS:
        raise DataError(
            "too few draws for Pareto smoothing.",
            model=fit.program.name,
            expected=f"at least {FEWEST_DRAWS} draws",
            got=f"{fit.chains * fit.count}",
        )
    ratio = log_ratio(fit)
    if ratio is None and fit.kind == "variational":
        raise StrategyError(
            "the draws come from a guide, and without log_p and log_q there is no correction for that.",
            model=fit.program.name,
            remedy="Plain LOO would take the guide for the posterior. Fit again with a method that stores log_q.",
        )
    if ratio is None:
        return _result(fit, name, np.zeros((fit.chains, fit.count)), efficiency(fit), pointwise)
    plates = fit.program.sites[name].plates
    if fit.independent_rows is not None and plates and plates[0].name == fit.independent_rows:
        # The other rows say nothing about this one, and their ratios would only add noise.
        ratio = ratio if fit.row_ratios is None else fit.row_ratios
    return _result(fit, name, ratio, 1.0, pointwise)


def _observed_name(fit: Posterior, var_name: str | None) -> str:
    observed = list(fit.program.observed)
    if not observed:
        raise DataError(
            "no site is observed, so there is nothing to leave out.",
            model=fit.program.name,
            remedy="Fit a program with data: program.observe(site=array).",
        )
    if var_name is None and len(observed) > 1:
        raise UnknownNameError(
            f"{len(observed)} sites are observed, and leaving out one element of each is a different question.",
            model=fit.program.name,
            expected=f"var_name, one of {', '.join(observed)}",
            remedy="Call loo(var_name=...) for each.",
        )
    name = observed[0] if var_name is None else var_name
    if name not in observed:
        raise UnknownNameError(
            f"there is no observed site {name!r}.", model=fit.program.name, remedy=nearest(name, observed)
        )
    return name


def _groups(fit: Posterior, name: str) -> Any:
    lead = {"chain": fit.chains, "draw": fit.count}
    latents = {n: fit.draws[n] for n in fit.program.latents if n in fit.draws}
    groups = {
        "posterior": build_dataset(site_entries(fit.program, latents), lead),
        "log_likelihood": fit.log_likelihood_dataset(),
    }
    return arviz_object(groups, {})


def _variable(fit: Posterior, name: str) -> str:
    dataset = fit.log_likelihood_dataset()
    return next(str(v) for v in dataset.data_vars if dataset[v].attrs.get("site", v) == name)


def efficiency(fit: Posterior) -> float:
    """Effective draws over draws, the mean over the latents' numbers (shared ones first, at most 200)."""
    numbers = moving_numbers(fit, MOST_ESS)
    if numbers is None:
        return 1.0
    return float(np.nanmean(arviz_module().ess(numbers, method="mean")["x"].values)) / (fit.chains * fit.count)


def _result(fit: Posterior, name: str, ratio: np.ndarray, efficiency: float, pointwise: bool | None) -> Any:
    """LOO from draws whose log ratios to the posterior are known; zero for posterior draws.

    Args:
        fit: the fit.
        name: the observed site.
        ratio: in nats, shape (chain, draw), or (chain, draw, rows) with a ratio for each row of the outermost plate.
        efficiency: effective draws divided by draws.
        pointwise: whether to keep the value of each element.

    The ratio of the posterior without y_i to what was drawn from is p(values, data) / q(values) / p(y_i | values). The
    weights are smoothed here and not in `arviz.loo`, which on 0.x knows no ratios and on 1.x stops at an element whose
    density never changes (one that is masked, say).

    Reference: Magnusson, Andersen, Jonasson and Vehtari (2019), Bayesian leave-one-out cross-validation for large data.
    """
    import xarray

    arviz = arviz_module()
    density = fit.log_likelihood[name].transpose(..., *CHAIN_DRAW)
    dims, (chains, count) = density.dims[:-2], density.shape[-2:]
    log_likelihood = density.values.reshape(*density.shape[:-2], chains * count).astype(float)
    flat = np.moveaxis(ratio.reshape(chains * count, *ratio.shape[2:]), 0, -1)
    sizes, data = tuple(p.size for p in fit.program.sites[name].plates), counted(fit.program, name)
    # Inner plates share the ratio of their row.
    flat = flat.reshape(*flat.shape[:-1], *(1,) * (len(sizes) + 1 - flat.ndim), chains * count)
    if data is not None and not data.all():
        flat = np.broadcast_to(flat, (*sizes, chains * count))[data]
    # A draw without weight keeps none, however unlikely it makes the element.
    weights, pareto_k = pareto_smooth(np.where(np.isneginf(flat), -np.inf, flat - log_likelihood), efficiency)
    # The fit to the elements themselves, under the posterior: with ratios, under smoothed weights.
    within = pareto_smooth(flat)[0] if np.ptp(flat) > 0 else np.full(flat.shape, -np.log(chains * count))
    lppd = float(_log_sum(within + log_likelihood).sum())
    coords = {d: density.coords[d] for d in dims}
    khats = xarray.DataArray(pareto_k, coords, dims, name="pareto_shape")
    if arviz_line(arviz) > 0:
        smooth = density.copy(data=weights.reshape(density.shape))
        result = arviz.loo(
            _groups(fit, name), pointwise, _variable(fit, name), efficiency, log_weights=smooth, pareto_k=khats
        )
        result.p = lppd - result.elpd
        return result
    return _elpd_data(weights, log_likelihood, lppd, khats, pointwise)


def _elpd_data(
    weights: np.ndarray, log_likelihood: np.ndarray, lppd: float, khats: xarray.DataArray, pointwise: bool | None
) -> Any:
    """The result as arviz 0.x has it."""
    from arviz.stats.stats_utils import ELPDData

    elpd_i = _log_sum(weights + log_likelihood)[..., 0]
    elpd, total = float(elpd_i.sum()), log_likelihood.shape[-1]
    good_k = min(1.0 - 1.0 / np.log10(total), 0.7)
    bad = int(np.sum(khats.values > good_k))
    if bad:
        warnings.warn(
            f"Pareto k-hat is above {good_k:.2f} for {bad} of {khats.size} elements: the draws say too little about "
            "the posterior without them for their part of this estimate to be trusted.",
            stacklevel=5,
        )
    facts = {
        "elpd_loo": elpd,
        "se": float(np.sqrt(elpd_i.size * np.var(elpd_i))),
        "p_loo": lppd - elpd,
        "n_samples": total,
        "n_data_points": elpd_i.size,
        "warning": bad > 0,
    }
    if arviz_module().rcParams["stats.ic_pointwise"] if pointwise is None else pointwise:
        facts |= {"loo_i": khats.copy(data=elpd_i).rename("loo_i"), "pareto_k": khats}
    facts |= {"scale": "log", "good_k": good_k}
    return ELPDData(data=list(facts.values()), index=list(facts))
