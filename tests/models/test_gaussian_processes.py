"""Gaussian processes: scikit-learn's likelihood and predictions, quadrature, and an identity of the posterior."""

from __future__ import annotations

import functools
from typing import Any

import arviz
import numpy as np
import pytest
import scipy.optimize
import scipy.special as sp
import scipy.stats as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as sklearn_kernels

import ppl
from ppl import models
from ppl.inference import NUTS, SVI, Adam, AutoDelta, Schedule
from ppl.inference.draws import guide_draws
from tests.budget import sigmas
from tests.models.cases import CASES, Array, body_and_progression, few_tumours, inducing_places, tumours, turning_digits
from tests.models.comparing import BACKENDS, gaussian_log_density

# scikit-learn's annotations know one lengthscale only.
sk: Any = sklearn_kernels
JITTER = 0.01
ROWS, Y = body_and_progression()
AT = {"lengthscale": 1.3, "size": 0.8, "noise": 0.6}


def regressor(lengthscale: float, size: float, noise: float, jitter: float = 0.0) -> Any:
    """scikit-learn's process, at fixed hyperparameters."""
    make: Any = GaussianProcessRegressor
    kernel = size**2 * sk.Matern(lengthscale, nu=1.5)
    return make(kernel, alpha=noise**2 + jitter, optimizer=None).fit(ROWS, Y)


def matern(a: Array, b: Array, lengthscale: float, size: float) -> Array:
    s = np.sqrt(3.0 * ((a[:, None] - b[None]) ** 2).sum(-1)) / lengthscale
    return size**2 * (1.0 + s) * np.exp(-s)


def rbf(a: Array, b: Array, lengthscale: float, size: float) -> Array:
    return size**2 * np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(-1) / lengthscale**2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_marginal_form_has_scikit_learns_likelihood(backend: str) -> None:
    model = ppl.compile(CASES["marginal_gp_regression"](), backend, precision="float64")
    found = model.log_density(AT, by_site=True)["y"]
    assert float(found) == pytest.approx(regressor(**AT).log_marginal_likelihood(), rel=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_latent_form_has_the_conjugate_posterior(backend: str) -> None:
    """p(f) p(y | f) is scikit-learn's likelihood times the normal posterior of f, at any f."""
    prior = matern(ROWS, ROWS, AT["lengthscale"], AT["size"]) + JITTER * np.eye(len(Y))
    gain = prior @ np.linalg.inv(prior + AT["noise"] ** 2 * np.eye(len(Y)))
    f = np.random.default_rng(0).normal(size=(5, len(Y)))
    model = ppl.compile(CASES["gp_regression"](), backend, precision="float64")
    given = {name: np.full(5, value) for name, value in AT.items()}
    terms = model.log_density({**given, "f": f}, by_site=True)
    joint = model.backend.to_numpy(terms["f"]) + model.backend.to_numpy(terms["y"]).sum(-1)
    posterior = gaussian_log_density(f, gain @ Y, prior - gain @ prior)
    evidence = regressor(**AT, jitter=JITTER).log_marginal_likelihood()
    np.testing.assert_allclose(joint - posterior, evidence, rtol=1e-8)


@functools.cache
def greatest() -> tuple[Array, float]:
    """Hyperparameters of greatest posterior density, and the log density there, by scipy."""

    def log_joint(x: Array) -> float:
        lengthscale, size, noise = np.exp(x)
        priors = st.lognorm.logpdf(lengthscale, 0.5) + st.halfnorm.logpdf([size, noise]).sum()
        return regressor(lengthscale, size, noise).log_marginal_likelihood() + priors

    found: Any = scipy.optimize.minimize(lambda x: -log_joint(x), np.log([1.0, 0.7, 0.7]), method="Nelder-Mead")
    return np.exp(found.x), -float(found.fun)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_marginal_form_is_fitted_and_predicts_as_scikit_learn_does(backend: str) -> None:
    adam = Adam(0.03, schedule=Schedule(steps=400))
    method = SVI(guide=AutoDelta(), optimizer=adam, steps=400, draws=1, progress=False)
    fit = ppl.infer(CASES["marginal_gp_regression"](), method, backend=backend)
    point, best = greatest()
    assert fit.log_p is not None
    # Of about 60 nats: what the optimiser may leave, and what rounding to float32 may add.
    assert best - 0.02 < fit.log_p[0, 0] < best + 0.002
    new = body_and_progression(60)[0][40:]
    many = fit.replace(draws={n: np.repeat(d, 2000, axis=1) for n, d in fit.draws.items()}, log_p=None, log_q=None)
    draws = many.predict(inputs=new)["y"].values[0]
    exact = regressor(*(float(fit.draws[n][0, 0]) for n in ("lengthscale", "size", "noise")))
    mean, sd = exact.predict(new, return_std=True)
    sd = np.sqrt(sd**2 + float(fit.draws["noise"][0, 0]) ** 2)
    white = (draws - mean) / sd
    assert np.all(np.abs(white.mean(0)) < sigmas(40) / np.sqrt(2000))
    assert np.all(np.abs((white**2).mean(0) - 1.0) < sigmas(40) * np.sqrt(2.0 / 2000))
    np.testing.assert_allclose([float(fit.draws[n][0, 0]) for n in ("lengthscale", "size", "noise")], point, rtol=0.05)


@pytest.mark.parametrize("backend", BACKENDS)
def test_classification_has_the_score_of_its_posterior(backend: str) -> None:
    """Integrated by parts, E[f | y] = K E[y - sigmoid(f) | y] for the kernel matrix K, whatever the data."""
    # Pyro's sampler runs eagerly, about twenty times slower than NumPyro's.
    rows, draws = (24, 500) if backend == "numpyro" else (8, 250)
    inputs, benign = few_tumours(rows)
    program = models.gp_classification(inputs).do(lengthscale=1.5, size=2.0).observe(y=benign)
    fit = ppl.infer(program, NUTS(chains=1, warmup=150, draws=draws, progress=False), backend=backend)
    kernel = matern(inputs, inputs, 1.5, 2.0) + JITTER * np.eye(rows)
    f = np.asarray(fit.draws["f"], dtype=float)
    off = f - (benign - sp.expit(f)) @ kernel
    effective = np.array([float(arviz.ess(off[..., i])) for i in range(rows)])
    assert np.all(np.abs(off.mean((0, 1))) < sigmas(rows) * off.std((0, 1)) / np.sqrt(effective))
    # The data moved the posterior away from the prior, for which this mean would be zero.
    assert np.abs(f.mean((0, 1))).max() > 0.5


def sparse_bound(lengthscale: float, size: float, loc: Array, root: Array) -> float:
    """Expected log likelihoods by quadrature, summed over rows, less the divergence of the guide of u from p(u)."""
    inputs, benign = tumours(2)
    places, count = inducing_places(inputs), len(loc)
    prior = rbf(places, places, lengthscale, size) + JITTER * np.eye(count)
    weights = np.linalg.solve(prior, rbf(places, inputs, lengthscale, size))
    variance = size**2 + JITTER + np.einsum("ur,uv,vr->r", weights, root @ root.T - prior, weights)
    nodes, mass = np.polynomial.hermite_e.hermegauss(60)
    f = (weights.T @ loc)[:, None] + np.sqrt(variance)[:, None] * nodes
    expected = (sp.log_expit((2.0 * benign - 1.0)[:, None] * f) @ mass).sum() / np.sqrt(2.0 * np.pi)
    inverse = np.linalg.inv(prior)
    volume = np.linalg.slogdet(prior)[1] - 2.0 * np.log(np.diag(root)).sum()
    return expected - 0.5 * (np.trace(inverse @ root @ root.T) + loc @ inverse @ loc - count + volume)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_sparse_form_has_the_bound_of_the_paper(backend: str) -> None:
    inputs, _ = tumours(2)
    places = inducing_places(inputs)
    generator = np.random.default_rng(0)
    loc = generator.normal(size=len(places))
    root = np.tril(0.2 * generator.normal(size=(len(places), len(places))), -1)
    np.fill_diagonal(root, np.exp(0.3 * generator.normal(size=len(places))))
    params = {"lengthscale": np.array(1.2), "size": np.array(1.5), "loc": loc, "spread": root}
    model = ppl.compile(CASES["sparse_gp_classification"](), backend, precision="float64")
    guide = ppl.compile(models.sparse_gp_guide(inputs, places), backend, precision="float64")
    _, log_p, log_q = guide_draws(model, guide, params, model.backend.key(0), 400, seed=0)
    off = log_p - log_q - sparse_bound(1.2, 1.5, loc, root)
    assert abs(off.mean()) < sigmas() * off.std() / np.sqrt(off.size)


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_of_the_sparse_form_have_its_bound_on_average(backend: str) -> None:
    """At a learning rate that moves nothing, so that all steps are draws at the start."""
    inputs, _ = tumours(2)
    places = inducing_places(inputs)
    guide = models.sparse_gp_guide(inputs, places)
    method = SVI(guide=guide, optimizer=Adam(1e-12), steps=300, draws=1, batch_size=100, progress=False)
    fit = ppl.infer(CASES["sparse_gp_classification"](), method, backend=backend)
    off = np.asarray(fit.diagnostics["objective"]) - sparse_bound(1.0, 1.0, np.zeros(len(places)), np.eye(len(places)))
    assert abs(off.mean()) < sigmas() * off.std() / np.sqrt(off.size)


@pytest.mark.parametrize("backend", BACKENDS)
def test_codes_between_the_frames_decode_to_images_between_them(backend: str) -> None:
    """Half-way between the angles of the fit, predictions are nearer to the turned digits than each video's mean is."""
    count = 20
    videos, angles = turning_digits(count)
    program = models.gp_vae(videos, angles, hidden=32, period=2.0 * np.pi).observe(x=videos)
    guide = models.gp_vae_encoder(videos, hidden=32)
    method = SVI(guide=guide, optimizer=Adam(0.01), steps=600, draws=50, progress=False)
    fit = ppl.infer(program, method, backend=backend)
    between, half = turning_digits(count, 2 * len(angles))
    truth, halves = between[:, 1::2], half[1::2]
    found = fit.predict(times=halves)
    assert found.attrs["extended"] == ["z"] and found["x"].shape == (1, 50, count, len(angles), 64)
    chance = found["x"].values[0].mean(axis=0)
    gain = ((videos.mean(axis=1, keepdims=True) - truth) ** 2).mean((1, 2)) - ((chance - truth) ** 2).mean((1, 2))
    assert gain.mean() > sigmas() * gain.std(ddof=1) / np.sqrt(count)
