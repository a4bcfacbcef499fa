"""One way to look at what arviz gives, on either of its lines."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray

from ppl.posterior.conversion import arviz_line, arviz_module

# Untyped, as the names of its two lines differ.
arviz: Any = arviz_module()
LINE = arviz_line(arviz)


def groups_of(found: Any) -> dict[str, xarray.Dataset]:
    """The groups of an InferenceData or a DataTree."""
    if isinstance(found, xarray.DataTree):
        return {name: child.to_dataset() for name, child in found.children.items()}
    return {name: found[name] for name in found.groups()}


def loo_facts(result: Any) -> dict[str, Any]:
    """Figures of an ELPDData, under the names of arviz 1.x."""
    names = {"elpd": "elpd_loo", "p": "p_loo", "elpd_i": "loo_i"}
    wanted = ("elpd", "se", "p", "n_samples", "n_data_points", "good_k", "warning", "elpd_i", "pareto_k")
    if LINE == 0:
        return {n: result[names.get(n, n)] for n in wanted if names.get(n, n) in result.index}
    return {n: getattr(result, n) for n in wanted}


def reference_khat(log_ratios: np.ndarray) -> float:
    """Pareto k-hat by arviz."""
    if LINE == 0:
        return float(arviz.psislw(log_ratios)[1])
    from arviz_stats.base import array_stats  # type: ignore[import-not-found]

    return float(array_stats.psislw(-log_ratios)[1])
