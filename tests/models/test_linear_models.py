"""Linear and logistic regression against quadrature and scipy's optimiser, on the diabetes and breast cancer data."""

import numpy as np
import pytest
import scipy.optimize
from scipy.special import log_expit, logsumexp

import ppl
from ppl import models
from ppl.inference import NUTS, SVI, Adam, AutoDelta, Schedule
from tests.models.cases import diabetes, linear_regression, logistic_regression, tumours
from tests.models.comparing import BACKENDS, assert_means


def exact_linear_regression(X: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Posterior means: exact given the noise (ridge regression), which is integrated by quadrature."""
    design = np.column_stack([np.ones(len(y)), X])
    gram, moment = design.T @ design, design.T @ y
    log_noise = np.linspace(np.log(0.55), np.log(0.95), 401)
    log_weights, ridges = [], []
    for s in np.exp(log_noise):
        precision = gram / s**2 + np.eye(design.shape[1]) / 2.5**2
        ridge = np.linalg.solve(precision, moment / s**2)
        # log p(y | s) up to a constant: prior times likelihood over posterior, all at the ridge solution.
        joint = -0.5 * (np.sum((y - design @ ridge) ** 2) / s**2 + np.sum(ridge**2) / 2.5**2) - len(y) * np.log(s)
        evidence = joint - 0.5 * np.linalg.slogdet(precision)[1]
        log_weights.append(evidence - s + np.log(s))  # exponential prior, and the Jacobian of the logarithm
        ridges.append(ridge)
    weights = np.exp(np.array(log_weights) - logsumexp(log_weights))
    assert weights[0] < 1e-6 > weights[-1]
    mean = weights @ np.array(ridges)
    return {"intercept": mean[0], "slopes": mean[1:], "noise": weights @ np.exp(log_noise)}


# Two of the blood measurements are nearly collinear: a full mass matrix straightens them. Pyro's sampler runs eagerly,
# many times slower than NumPyro's.
SAMPLERS = {
    "numpyro": NUTS(chains=1, draws=1000, warmup=300, dense_mass=True, progress=False),
    "pyro": NUTS(chains=1, draws=150, warmup=150, dense_mass=True, progress=False),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_linear_regression_has_the_exact_posterior_means(backend: str) -> None:
    posterior = ppl.infer(linear_regression(), SAMPLERS[backend], backend=backend)
    assert posterior.diagnostics["divergences"] == 0
    assert_means(posterior.draws, exact_linear_regression(*diabetes()))


def log_cauchy(x: np.ndarray, scale: float) -> np.ndarray:
    return -np.log1p((x / scale) ** 2) - np.log(np.pi * scale)


def negative_log_posterior(points: np.ndarray, X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Of the logistic regression at (intercept, slopes), in nats; points of shape (..., 1 + slopes)."""
    logits = points[..., :1] + points[..., 1:] @ X.T
    likelihood = log_expit(np.where(y == 1, logits, -logits)).sum(-1)
    prior = log_cauchy(points[..., 0], 10.0) + log_cauchy(points[..., 1:], 2.5).sum(-1)
    return -(likelihood + prior)


@pytest.mark.parametrize("backend", BACKENDS)
def test_logistic_regression_has_its_mode_where_scipy_finds_it(backend: str) -> None:
    X, y = tumours()
    optimum = scipy.optimize.minimize(negative_log_posterior, np.zeros(7), args=(X, y), method="BFGS")
    scale = np.sqrt(np.diag(optimum.hess_inv))  # of the Laplace approximation
    adam = Adam(0.1, schedule=Schedule(steps=2000, final_fraction=1e-3))
    method = SVI(guide=AutoDelta(), optimizer=adam, steps=2000, draws=1, progress=False)
    posterior = ppl.infer(logistic_regression(), method, backend=backend, precision="float64")
    found = np.concatenate([posterior.draws[n][0, 0].reshape(-1) for n in ("intercept", "slopes")])
    # No noise is involved: what is left is what the optimisers leave.
    np.testing.assert_allclose((found - optimum.x) / scale, 0.0, atol=0.02)
    assert posterior.log_p is not None
    assert posterior.log_p[0, 0] == pytest.approx(-optimum.fun, abs=1e-3)


def test_logistic_regression_has_the_exact_posterior_means() -> None:
    """With two slopes the posterior is integrated on a grid."""
    X, y = tumours(features=2)
    optimum = scipy.optimize.minimize(negative_log_posterior, np.zeros(3), args=(X, y), method="BFGS")
    # A grid in the coordinates of the Laplace approximation, six standard deviations to each side.
    root = np.linalg.cholesky(optimum.hess_inv)
    steps = np.stack(np.meshgrid(*[np.linspace(-6.0, 6.0, 25)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    points = optimum.x + steps @ root.T
    log_weights = -negative_log_posterior(points, X, y)
    mean = np.exp(log_weights - logsumexp(log_weights)) @ points
    program = models.logistic_regression(X).observe(y=y)
    posterior = ppl.infer(program, NUTS(chains=1, draws=1000, warmup=300, progress=False))
    assert_means(posterior.draws, {"intercept": mean[0], "slopes": mean[1:]})
