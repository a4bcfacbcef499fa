"""Comparing draws with exact answers: means up to the Monte Carlo error of the suite's one false-alarm budget."""

from collections.abc import Mapping
from typing import Any

import arviz
import numpy as np
import scipy.stats

import ppl
from ppl.program.ops import plate_sum
from ppl.transforms.density import log_density, total_of
from ppl.transforms.exact import exact_sites
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


def summed_log_density(
    program: ppl.Program,
    values: Mapping[str, np.ndarray],
    backend: str,
    *sites: str,
    params: Mapping[str, np.ndarray] | None = None,
) -> float:
    """Log density of given values, in nats, with all finite discrete sites summed out, in float64.

    Args:
        program: a model.
        values: of all other latents.
        backend: where it is computed.
        sites: the terms to add up, each named for its first statement; all terms if none is named.
        params: parameters that differ from their starts.
    """
    side = ppl.compile(program, backend, precision="float64")
    density = log_density(program, exact=exact_sites(program))
    parts = {n: plate_sum(t, density.plates[n]) for n, t in density.terms.items() if not sites or n in sites}
    emitted = side.emitter(lead=False).emit("total", {"total": total_of(list(parts.values()))}, single=True)
    function = side.backend.jit(side.load(emitted), "float64")
    return float(
        side.backend.to_numpy(function(side.param_arrays(params), side.value_arrays(values), side.bind(emitted), {}))
    )
