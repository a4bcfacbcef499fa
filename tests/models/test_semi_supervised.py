"""M2 on digits of which a hundred have labels: better than a network that has seen these alone."""

import numpy as np
from scipy.special import logsumexp
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import ppl
from ppl import models
from ppl.inference import ELBO, SVI, Adam
from tests.budget import sigmas
from tests.models.cases import bundled, digits, few_labels
from tests.models.comparing import BACKENDS

Array = np.ndarray
UNLABELLED = 1300  # images that train without labels, beside 100 with; the other 397 are held out
SIZES = {"latent": 8, "hidden": 128}


def held_out() -> tuple[Array, Array]:
    """Images and labels that no fit has seen."""
    images, labels = digits(), bundled(load_digits)[1]
    labelled, _, others = few_labels(10, len(images))
    chosen = np.sort(np.concatenate([np.flatnonzero(labels == digit)[:10] for digit in range(10)]))
    assert len(labelled) + len(others) == len(images)
    rest = np.delete(np.arange(len(images)), chosen)[UNLABELLED:]
    return images[rest], labels[rest]


def fitted(steps: int, rate: float, backend: str) -> ppl.Posterior:
    labelled, labels, images = few_labels(10, UNLABELLED)
    program = models.m2(labelled, images, **SIZES)
    program = program.observe(labelled_x=labelled, given=labels, guess=labels, x=images)
    guide = models.m2_encoder(labelled, labels, images, **SIZES)
    batch = {"images": 100}
    method = SVI(ELBO(analytic_kl=True), guide, Adam(rate), steps=steps, batch_size=batch, draws=5, progress=False)
    return ppl.infer(program, method, backend=backend)


def by_evidence(params: dict[str, Array], images: Array, particles: int = 30) -> Array:
    """The class under which an image is likeliest: its importance-weighted evidence with each label in turn."""
    wide, each = np.repeat(images, 10, axis=0), np.tile(np.arange(10), len(images))
    model = ppl.compile(models.m2(wide, images[:1], **SIZES).observe(labelled_x=wide, given=each, guess=each))
    guide = ppl.compile(models.m2_encoder(wide, each, images[:1], **SIZES))
    draws = guide.simulate((particles,), key=guide.backend.key(0), params=params)
    draws = {name: guide.backend.to_numpy(values) for name, values in draws.items()}
    draws["x"] = np.broadcast_to(images[:1], (particles, 1, 64))
    log_p = model.log_density(draws, params, by_site=True)
    log_q = guide.log_density({n: draws[n] for n in guide.program.sites}, params, by_site=True)
    ratio = np.asarray(log_p["labelled_x"]) + np.asarray(log_p["labelled_code"]) - np.asarray(log_q["labelled_code"])
    return np.asarray(logsumexp(ratio, axis=0)).reshape(-1, 10).argmax(axis=1)


def test_images_without_labels_help() -> None:
    """Held-out accuracy, beside that of networks of the same size that train on the labelled images alone."""
    images, truth = held_out()
    labelled, labels, _ = few_labels(10, 0)
    alone = [
        MLPClassifier((128,), max_iter=2000, random_state=seed).fit(labelled, labels).score(images, truth)
        for seed in range(3)
    ]
    found = by_evidence(dict(fitted(1500, 3e-3, "numpyro").params), images) == truth
    assert found.mean() > np.mean(alone) + 0.02


def test_the_backends_agree_about_the_bound() -> None:
    """Parameters that do not move see the same minibatches, and codes whose noise averages out."""
    one, two = (fitted(60, 1e-12, backend).diagnostics["objective"] for backend in BACKENDS)
    off = one - two
    assert abs(off.mean()) <= sigmas() * off.std(ddof=1) / np.sqrt(len(off))
    assert off.std() < 0.01 * abs(one.mean())
