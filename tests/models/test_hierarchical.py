"""Partial pooling against the exact Gaussian answer, which there is when the spreads and the noise are fixed."""

import numpy as np
import pytest

import ppl
from ppl import models
from ppl.inference import ELBO, SVI, Adam, AutoMultivariateNormal, AutoNormal, Schedule
from ppl.posterior.posterior import Posterior
from tests.budget import sigmas
from tests.models.cases import patients_by_age
from tests.models.comparing import BACKENDS, gaussian_log_density

INDEX, GROUP, Y = patients_by_age()
GROUPS = int(GROUP.max()) + 1
SPREAD, NOISE = np.array([0.3, 0.2]), 0.8
CORRELATION = np.linalg.cholesky([[1.0, -0.6], [-0.6, 1.0]])


def assert_gaussian(draws: np.ndarray, mean: np.ndarray, deviation: np.ndarray) -> None:
    """Mean and standard deviation of independent draws (count, numbers), as a fit by gradient steps leaves them."""
    count, left = len(draws), 0.03  # what the optimiser leaves behind, in standard deviations
    z = sigmas(2 * np.size(mean))
    assert np.all(np.abs(draws.mean(0) - mean) <= deviation * (z / np.sqrt(count) + left))
    assert np.all(np.abs(draws.std(0) / deviation - 1.0) <= z / np.sqrt(2.0 * (count - 1)) + left)


def fit(program: ppl.Program, guide: AutoNormal | AutoMultivariateNormal, backend: str) -> Posterior:
    adam = Adam(0.02, schedule=Schedule(steps=1000, final_fraction=1e-3))
    # Many particles, for what the noise of the gradient leaves behind falls with the root of their number.
    method = SVI(ELBO(particles=64), guide=guide, optimizer=adam, steps=1000, draws=4000, progress=False)
    return ppl.infer(program, method, backend=backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_group_means_shrink(backend: str) -> None:
    """Each group's mean is a weighted average of its own and the common one (Gelman and Hill, equation 12.1)."""
    common = 0.2
    slope = {"slope_mean": 0.0, "slope_spread": 0.0, "slope_offset": 0.0}
    fixed = {"intercept_mean": common, "intercept_spread": SPREAD[0], "noise": NOISE, **slope}
    program = models.partial_pooling(INDEX, GROUP, GROUPS).do(**fixed).observe(y=Y)
    count = np.bincount(GROUP)
    own = np.bincount(GROUP, weights=Y) / count
    precision, prior = count / NOISE**2, 1.0 / SPREAD[0] ** 2
    mean = (precision * own + prior * common) / (precision + prior)
    # The offsets are independent here, so the mean-field guide holds the exact posterior.
    posterior = fit(program, AutoNormal(), backend)
    assert_gaussian(posterior.draws["intercept"][0], mean, 1.0 / np.sqrt(precision + prior))
    # Pooled towards the common mean, the more the fewer patients a group has.
    kept = (posterior.draws["intercept"][0].mean(0) - common) / (own - common)
    assert np.all((kept > 0.0) & (kept < 1.0))
    assert kept[np.argmin(count)] < kept[np.argmax(count)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", ["partial_pooling", "correlated_effects"])
def test_lines_have_the_exact_posterior(form: str, backend: str) -> None:
    """Lines of all groups, from the joint Gaussian posterior of means and offsets."""
    root = SPREAD[:, None] * (CORRELATION if form == "correlated_effects" else np.eye(2))
    features = np.column_stack([np.ones_like(INDEX), INDEX])
    # All unknowns are standard normal: the mean line, then each group's offsets.
    offsets = np.zeros((len(Y), GROUPS, 2))
    offsets[np.arange(len(Y)), GROUP] = features @ root
    design = np.concatenate([features, offsets.reshape(len(Y), -1)], axis=1)
    covariance = np.linalg.inv(np.eye(design.shape[1]) + design.T @ design / NOISE**2)
    mean = covariance @ design.T @ Y / NOISE**2
    lines = np.concatenate([np.tile(np.eye(2), (GROUPS, 1)), np.kron(np.eye(GROUPS), root)], axis=1)
    deviation = np.sqrt(np.diag(lines @ covariance @ lines.T))
    evidence = gaussian_log_density(Y, np.zeros(len(Y)), design @ design.T + NOISE**2 * np.eye(len(Y)))

    if form == "correlated_effects":
        fixed = {"spread": SPREAD, "correlation": CORRELATION, "noise": NOISE}
    else:
        fixed = {"intercept_spread": SPREAD[0], "slope_spread": SPREAD[1], "noise": NOISE}
    program = getattr(models, form)(INDEX, GROUP, GROUPS).do(**fixed).observe(y=Y)
    posterior = fit(program, AutoMultivariateNormal(), backend)
    draws = posterior.draws
    found = draws["line"][0] if "line" in draws else np.stack([draws["intercept"][0], draws["slope"][0]], axis=-1)
    assert_gaussian(found.reshape(len(found), -1), lines @ mean, deviation)
    assert posterior.log_p is not None and posterior.log_q is not None
    gaps = posterior.log_p - posterior.log_q - evidence
    error = sigmas() * gaps.std() / np.sqrt(gaps.size)
    assert -0.05 - error < gaps.mean() < error
