"""Every method on every program with an exact posterior, on both backends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np
import pytest

import ppl
from ppl.backend.compiled import get_backend
from ppl.inference import NUTS, SVI, AutoLowRank, AutoMultivariateNormal, AutoNormal
from ppl.inference.draws import guide_draws
from tests.budget import sigmas
from tests.inference.cases import BACKENDS, CASES, METHODS, Case

ROWS = [(case, method) for method, (_, cases) in METHODS.items() for case in cases]


def fit(case: str, method: str, backend: str):
    algorithm = METHODS[method][0]
    if isinstance(algorithm, NUTS) and backend == "pyro":
        # Pyro's sampler runs eagerly, about twenty times slower than NumPyro's.
        algorithm = dataclasses.replace(algorithm, chains=1, draws=400, warmup=150)
    return algorithm, ppl.infer(CASES[case].build(), algorithm, backend=backend, precision="float64")


def joined(draws: Mapping[str, np.ndarray], case: Case) -> np.ndarray:
    """All latent numbers of each draw, shape (draws, numbers)."""
    parts = [np.asarray(draws[n]) for n in case.mean]
    flat = [p.reshape(p.shape[0] * p.shape[1], -1) for p in parts]
    return np.concatenate(flat, axis=1)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("case", "method"), ROWS)
def test_moments(case: str, method: str, backend: str) -> None:
    exact = CASES[case]
    algorithm, posterior = fit(case, method, backend)
    draws = joined(posterior.draws, exact)
    mean = np.concatenate([np.ravel(v) for v in exact.mean.values()])
    deviation = np.sqrt(np.diag(exact.covariance))
    weights = np.full(len(draws), 1.0 / len(draws))
    effective = float(len(draws))
    if posterior.log_weights is not None:
        weights = np.exp(posterior.log_weights.ravel())
        weights = weights / weights.sum()
        effective = float(1.0 / np.sum(weights**2))
    if isinstance(algorithm, NUTS):
        effective = float(np.min(posterior.summary()["ess_bulk"].to_numpy()))
    found = weights @ draws
    variance = weights @ (draws - found) ** 2
    z = sigmas(2 * len(mean))
    # What an optimiser with a falling step size leaves behind: two per cent of a standard deviation.
    left = 0.02 if isinstance(algorithm, SVI) else 0.0
    assert np.all(np.abs(found - mean) <= deviation * (z / np.sqrt(effective) + left))
    assert np.all(np.abs(variance / deviation**2 - 1.0) <= z * np.sqrt(2.0 / (effective - 1.0)) + 2.0 * left)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", METHODS["importance"][1])
def test_evidence_of_importance_sampling(case: str, backend: str) -> None:
    _, posterior = fit(case, "importance", backend)
    # The relative variance of the estimate is (N / ess - 1) / N.
    count = METHODS["importance"][0].num_particles
    error = np.sqrt((count / posterior.diagnostics["ess"] - 1.0) / count)
    assert posterior.log_evidence is not None
    assert abs(posterior.log_evidence - CASES[case].log_evidence) <= sigmas() * error


def full(covariance: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters of AutoMultivariateNormal."""
    return {"guide.scale_tril": np.linalg.cholesky(covariance)}


def low_rank(covariance: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters of AutoLowRank: less its smallest eigenvalue, a covariance has one direction fewer."""
    values, vectors = np.linalg.eigh(covariance)
    factor = vectors[:, 1:] * np.sqrt(values[1:] - values[0])
    return {"guide.scale": np.full(len(values), np.sqrt(values[0])), "guide.factor": factor}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", [full, low_rank])
def test_exact_guide_gives_the_evidence_at_every_draw(
    family: Callable[[np.ndarray], dict[str, np.ndarray]], case: str, backend: str
) -> None:
    """With the exact posterior as guide, log p - log q has no variance: it is the evidence at each draw."""
    exact = CASES[case]
    program = exact.build()
    side = get_backend(backend)
    model = ppl.compile(program, backend, precision="float64")
    mean = np.concatenate([np.ravel(v) for v in exact.mean.values()])
    auto = AutoMultivariateNormal() if family is full else AutoLowRank(len(mean) - 1)
    guide = ppl.compile(auto.build(program, 0), backend, precision="float64")
    params = {"guide.loc": mean, **family(exact.covariance)}
    _, log_p, log_q = guide_draws(model, guide, params, side.key(0), 50, seed=0)
    np.testing.assert_allclose(log_p - log_q, exact.log_evidence, atol=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_importance_weighted_bound_rises_to_the_evidence(backend: str) -> None:
    """At a guide that is not the posterior the bound rises with particles, and its gap falls about as 1/K."""
    exact = CASES["factors"]
    program = exact.build()
    side = get_backend(backend)
    model = ppl.compile(program, backend, precision="float64")
    guide = ppl.compile(AutoNormal(init_scale=0.9).build(program, 0), backend, precision="float64")
    _, log_p, log_q = guide_draws(model, guide, guide.params, side.key(0), 64_000, seed=0)
    weights = (log_p - log_q).astype(float)
    gaps = []
    for k in (1, 8, 64):
        groups = weights.reshape(-1, k)
        top = groups.max(1, keepdims=True)
        bounds = np.log(np.mean(np.exp(groups - top), axis=1)) + top[:, 0]
        gap = exact.log_evidence - bounds.mean()
        assert gap >= -sigmas() * bounds.std() / np.sqrt(bounds.size)
        gaps.append(gap)
    assert gaps[0] > gaps[1] > gaps[2]
    # Asymptotically the gap is Var(w) / (2 K E[w]^2): from 8 to 64 particles it falls by more than half of that rate.
    assert gaps[2] < gaps[1] / 4.0
