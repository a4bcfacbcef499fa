"""Comparing draws with exact answers: means up to the Monte Carlo error of the suite's one false-alarm budget."""

from collections.abc import Mapping
from typing import Any

import arviz
import numpy as np
import scipy.stats

from tests.budget import sigmas

BACKENDS = ("numpyro", "pyro")


def gaussian_log_density(x: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Log density of normal vectors, in nats, by scipy."""
    family: Any = scipy.stats.multivariate_normal
    return family(mean, covariance).logpdf(x)


def assert_means(draws: Mapping[str, np.ndarray], exact: Mapping[str, np.ndarray]) -> None:
    """Posterior means of a sampler equal the exact ones.

    Args:
        draws: for each site, shape (chains, draws, ...).
        exact: for each site, shape (...).
    """
    comparisons = sum(np.size(mean) for mean in exact.values())
    for site, mean in exact.items():
        found = np.asarray(draws[site], dtype=float)
        effective = arviz.ess(arviz.convert_to_dataset({site: found}), method="mean")[site].values
        error = found.std(axis=(0, 1)) / np.sqrt(effective)
        off = np.abs(found.mean(axis=(0, 1)) - mean) / error
        assert np.all(off <= sigmas(comparisons)), f"{site}: off by {np.max(off):.2f} standard errors"
