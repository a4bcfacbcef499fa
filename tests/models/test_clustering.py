"""The clustering autoencoder: its mixture of codes in numpy's words, and digits that fall into clusters."""

import functools

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.special import log_softmax
from sklearn.datasets import load_digits
from sklearn.mixture import GaussianMixture

import ppl
from ppl import models
from ppl.backend.compiled import get_backend
from ppl.inference import ELBO, SVI, Adam
from ppl.inference.draws import guide_draws
from tests.budget import sigmas
from tests.models.cases import bundled, digits, vade
from tests.models.comparing import BACKENDS, summed_log_density

Array = np.ndarray
SIZES = {"latent": 5, "hidden": 128}
TRAINED = 1500  # images; the other 297 are held out


@pytest.mark.parametrize("backend", BACKENDS)
def test_clusters_are_summed_out(backend: str) -> None:
    generator = np.random.default_rng(2)
    z = generator.normal(size=(100, 4))
    params = {
        "logits": generator.normal(size=5),
        "mean": generator.normal(size=(5, 4)),
        "log_scale": 0.3 * generator.normal(size=(5, 4)),
    }
    spread: Array = np.exp(params["log_scale"])
    by_number: Array = -0.5 * ((z[:, None] - params["mean"]) / spread) ** 2 - np.log(spread) - 0.5 * np.log(2.0 * np.pi)
    together: Array = np.asarray(log_softmax(params["logits"]) + by_number.sum(axis=-1))
    expected = float(np.logaddexp.reduce(together, axis=1).sum())
    start = ppl.compile(vade(), backend, precision="float64").params
    found = summed_log_density(vade(), {"z": z}, backend, "cluster", params={**start, **params})
    assert found == pytest.approx(expected, rel=1e-10)


def training(images: Array, steps: int, params: dict[str, Array] | None = None) -> SVI:
    guide = models.vae_encoder(images, **SIZES)
    return SVI(ELBO(), guide, Adam(2e-3), steps=steps, batch_size=100, params=params, draws=20, progress=False)


@functools.cache
def fits() -> tuple[ppl.Posterior, ppl.Posterior]:
    """An autoencoder, and the clustering one that starts from it and from a mixture of its codes, as in the source."""
    images = digits()[:TRAINED]
    plain = ppl.infer(models.vae(images, **SIZES).observe(x=images), training(images, 800))
    codes = plain.draws["z"][0].mean(axis=0)
    mixture = GaussianMixture(10, covariance_type="diag", random_state=0, n_init=5).fit(codes)
    variances = np.asarray(mixture.covariances_) + plain.draws["z"][0].var(axis=0).mean(axis=0)
    start = {
        **plain.params,
        "logits": np.log(np.asarray(mixture.weights_)),
        "mean": mixture.means_,
        "log_scale": 0.5 * np.log(variances),
    }
    program = models.vade(images, **SIZES).observe(x=images)
    return plain, ppl.infer(program, training(images, 800, start))


def held_out(model: ppl.Program, params: dict[str, Array], backend: str) -> tuple[Array, float, float]:
    """Draws of held-out images' sites, the evidence lower bound in nats an image, and its standard error."""
    images = digits()[TRAINED:]
    ours, theirs = ppl.compile(model, backend), ppl.compile(models.vae_encoder(images, **SIZES), backend)
    values, log_p, log_q = guide_draws(ours, theirs, params, get_backend(backend).key(1), 50, seed=0)
    bounds = (log_p.astype(float) - log_q) / len(images)
    clusters = values.get("cluster", np.zeros((50, len(images)), dtype=int))
    return clusters, float(bounds.mean()), float(bounds.std(ddof=1) / np.sqrt(len(bounds)))


@pytest.mark.parametrize("backend", BACKENDS)
def test_clusters_describe_the_codes_better_than_one_normal(backend: str) -> None:
    images, (plain, clustered) = digits()[TRAINED:], fits()
    _, before, error_before = held_out(models.vae(images, **SIZES).observe(x=images), plain.params, backend)
    _, after, error_after = held_out(models.vade(images, **SIZES).observe(x=images), clustered.params, backend)
    assert after - before > 0.5 + sigmas() * np.hypot(error_before, error_after)


@pytest.mark.parametrize("backend", BACKENDS)
def test_clusters_are_digits_more_often_than_not(backend: str) -> None:
    """Accuracy of the best matching of clusters and digits, on images that were held out; chance is 0.1."""
    images, labels = digits()[TRAINED:], bundled(load_digits)[1][TRAINED:]
    clusters, _, _ = held_out(models.vade(images, **SIZES).observe(x=images), fits()[1].params, backend)
    mode = np.array([np.bincount(draws, minlength=10).argmax() for draws in clusters.T])
    table = np.array([[np.sum((mode == c) & (labels == d)) for d in range(10)] for c in range(10)])
    assert table[linear_sum_assignment(-table)].sum() / len(labels) > 0.6
