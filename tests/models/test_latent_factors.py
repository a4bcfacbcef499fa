"""PPCA and factor analysis: exact evidence in both forms, and the bound that reaches it."""

import numpy as np
import pytest
from sklearn.decomposition import FactorAnalysis

import ppl
from ppl import models
from ppl.backend.compiled import get_backend
from ppl.inference import ELBO, SVI, Adam, AutoDelta, Schedule
from ppl.inference.choose import choose
from ppl.inference.draws import guide_draws
from ppl.models import linear_gaussian_log_evidence, ppca_maximum_likelihood
from tests.budget import sigmas
from tests.models.cases import CASES, wines
from tests.models.comparing import BACKENDS, gaussian_log_density

ROWS, FEATURES = wines().shape
LATENT = 2


def parameters(form: str) -> dict[str, np.ndarray]:
    """Loadings, mean and noise at which to compare."""
    generator = np.random.default_rng(3)
    size = (FEATURES,) if "factor" in form else ()
    return {
        "loadings": generator.normal(size=(FEATURES, LATENT)),
        "mean": generator.normal(size=FEATURES),
        "noise": np.exp(0.3 * generator.normal(size=size)),
    }


def exact_guide(loadings: np.ndarray, mean: np.ndarray, noise: np.ndarray) -> dict[str, np.ndarray]:
    """Parameters at which `linear_gaussian_guide` is the posterior of the factors (Bishop 2006, equation 12.42)."""
    weighted = (loadings.T / np.square(noise)).reshape(LATENT, FEATURES)
    covariance = np.linalg.inv(np.eye(LATENT) + weighted @ loadings)
    return {
        "encode.0.weight": covariance @ weighted,
        "encode.0.bias": -covariance @ weighted @ mean,
        "spread": np.linalg.cholesky(covariance),
    }


@pytest.mark.parametrize("form", ["ppca", "factor_analysis"])
def test_the_closed_form_is_that_of_scipy(form: str) -> None:
    p = parameters(form)
    covariance = p["loadings"] @ p["loadings"].T + np.diag(np.broadcast_to(p["noise"] ** 2, FEATURES))
    expected = gaussian_log_density(wines(), p["mean"], covariance).sum()
    assert linear_gaussian_log_evidence(wines(), **p) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", ["ppca", "factor_analysis"])
def test_the_marginal_form_has_the_exact_evidence(form: str, backend: str) -> None:
    p = parameters(form)
    compiled = ppl.compile(CASES[f"marginal_{form}"](), backend, precision="float64")
    found = compiled.backend.to_numpy(compiled.log_density({}, p))
    assert found == pytest.approx(linear_gaussian_log_evidence(wines(), **p), rel=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", ["ppca", "factor_analysis"])
def test_the_latent_form_has_the_exact_evidence(form: str, backend: str) -> None:
    """With the exact posterior as guide, log p - log q is the evidence at every draw."""
    p = parameters(form)
    model = ppl.compile(CASES[form](), backend, precision="float64")
    guide = ppl.compile(models.linear_gaussian_guide(wines()), backend, precision="float64")
    everything = {**p, **exact_guide(**p)}
    _, log_p, log_q = guide_draws(model, guide, everything, get_backend(backend).key(0), 20, seed=0)
    np.testing.assert_allclose(log_p - log_q, linear_gaussian_log_evidence(wines(), **p), rtol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_marginal_form_is_fitted_by_maximum_likelihood(backend: str) -> None:
    """Nothing is latent there: the point guide is left with the parameters."""
    adam = Adam(0.03, schedule=Schedule(steps=1000))
    method = SVI(guide=AutoDelta(), optimizer=adam, steps=1000, draws=1, progress=False)
    reference = FactorAnalysis(LATENT, tol=1e-8).fit(wines()).score(wines()) * ROWS
    best = linear_gaussian_log_evidence(wines(), *ppca_maximum_likelihood(wines(), LATENT))
    for form, expected in (("ppca", best), ("factor_analysis", reference)):
        posterior = ppl.infer(CASES[f"marginal_{form}"](), method, backend=backend)
        assert posterior.log_p is not None
        # Of about 2800 nats: what the optimiser may leave, and what rounding to float32 may add.
        assert expected - 0.05 < posterior.log_p[0, 0] < expected + 0.01


def test_without_latents_the_chosen_method_is_maximum_likelihood() -> None:
    method, reason = choose(CASES["marginal_ppca"]())
    assert method.guide == AutoDelta()
    assert "maximum likelihood" in reason


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_latent_form_reaches_the_greatest_evidence(backend: str) -> None:
    loadings, mean, noise = ppca_maximum_likelihood(wines(), LATENT)
    best = linear_gaussian_log_evidence(wines(), loadings, mean, noise)
    guide = models.linear_gaussian_guide(wines())
    adam = Adam(0.03, schedule=Schedule(steps=1500, final_fraction=1e-3))
    method = SVI(ELBO(particles=8), guide=guide, optimizer=adam, steps=1500, draws=200, progress=False)
    posterior = ppl.infer(CASES["ppca"](), method, backend=backend)
    fitted = {name: posterior.params[name] for name in ("loadings", "mean", "noise")}
    evidence = linear_gaussian_log_evidence(wines(), **fitted)
    assert posterior.log_p is not None and posterior.log_q is not None
    gaps = posterior.log_p - posterior.log_q - evidence
    error = sigmas() * gaps.std() / np.sqrt(gaps.size)
    # A twentieth of a nat, of 2800, is what the optimiser may leave of either.
    assert best - 0.05 < evidence < best + 1e-3
    assert -0.05 - error < gaps.mean() < error
    product = fitted["loadings"] @ fitted["loadings"].T
    np.testing.assert_allclose(product, loadings @ loadings.T, atol=0.02)
