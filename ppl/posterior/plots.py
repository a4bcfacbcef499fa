"""Pictures of a fit, by arviz on either of its lines, and of its training by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import DataError

from .conversion import arviz_line, arviz_module, arviz_object
from .views import arviz_groups, table_dataset

if TYPE_CHECKING:
    import xarray

    from .posterior import Posterior

Names = str | Sequence[str] | None


def _posterior_object(fit: Posterior, var_names: Names) -> Any:
    _, dataset = table_dataset(fit, var_names)
    return arviz_object({"posterior": dataset}, {})


def plot_trace(fit: Posterior, var_names: Names, settings: Mapping[str, Any]) -> Any:
    """See `Posterior.plot_trace`."""
    arviz = arviz_module()
    draw = arviz.plot_trace if arviz_line(arviz) == 0 else arviz.plot_trace_dist
    return draw(_posterior_object(fit, var_names), **settings)


def plot_posterior(fit: Posterior, var_names: Names, settings: Mapping[str, Any]) -> Any:
    """See `Posterior.plot_posterior`."""
    arviz = arviz_module()
    draw = arviz.plot_posterior if arviz_line(arviz) == 0 else arviz.plot_dist
    return draw(_posterior_object(fit, var_names), **settings)


def plot_predictive(fit: Posterior, predictive: xarray.Dataset | None, settings: Mapping[str, Any]) -> Any:
    """See `Posterior.plot_predictive`."""
    arviz = arviz_module()
    if not fit.program.observed:
        raise DataError("no site is observed, so there is no data to compare with.", model=fit.program.name)
    if predictive is not None and predictive.attrs.get("new_inputs"):
        raise DataError(
            "these predictions are for new inputs; the observed data belongs to other rows.",
            model=fit.program.name,
            remedy="Pass what predict() gives without inputs.",
        )
    given = True if predictive is None else predictive
    data = arviz_groups(fit, False, False, given, False, None, gaps=False)
    if arviz_line(arviz) == 0:
        return arviz.plot_ppc(data, **settings)
    # Its default of 50 comes with a warning where there are fewer.
    return arviz.plot_ppc_dist(data, **{"num_samples": min(50, _draws_of(data)), **settings})


def _draws_of(data: Any) -> int:
    sizes = data["posterior_predictive"].sizes
    return sizes["chain"] * sizes["draw"]


def plot_objective(fit: Posterior, ax: Any, window: int | None) -> Any:
    """See `Posterior.plot_objective`."""
    objective = fit.diagnostics.get("objective")
    if objective is None or not np.size(objective):
        raise DataError(
            "there is no objective to plot: the fit was not made by optimisation.",
            model=fit.program.name,
            remedy="For MCMC, look at plot_trace().",
        )
    import matplotlib.pyplot as plt

    if ax is None:
        _, ax = plt.subplots(figsize=(6.0, 3.5))
    trace = np.asarray(objective, dtype=float)
    steps = np.arange(1, trace.size + 1)
    width = window or max(1, trace.size // 50)
    ax.plot(steps, trace, alpha=0.3, linewidth=0.8)
    if width > 1 and trace.size >= width:
        mean = np.convolve(trace, np.full(width, 1.0 / width), mode="valid")
        ax.plot(steps[width - 1 :], mean, label=f"mean of {width} steps")
        ax.legend(frameon=False)
    # The first steps lie far below all others and would flatten the rest.
    late = trace[trace.size // 20 :]
    finite = late[np.isfinite(late)]
    if finite.size and np.ptp(finite) > 0:
        margin = 0.05 * np.ptp(finite)
        ax.set_ylim(finite.min() - margin, finite.max() + margin)
    ax.set_xlabel("step")
    ax.set_ylabel("objective (nats)")
    return ax
