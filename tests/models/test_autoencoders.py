"""Autoencoders on the digits: held-out images are described better than by their average, on both backends alike."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

import ppl
from ppl import models
from ppl.backend.compiled import get_backend
from ppl.inference import ELBO, SVI, Adam
from ppl.inference.draws import guide_draws
from tests.budget import sigmas
from tests.models.cases import digits
from tests.models.comparing import BACKENDS

Array = np.ndarray
TRAINED = 1500  # images; the other 297 are held out
MARGIN = 3.0  # nats an image by which a fit has to beat independent pixels, of about 25 (13 for half an image)


@dataclass(frozen=True)
class Task:
    """A model with its encoder, on some images.

    Attributes:
        model: the observed model of images.
        encoder: its guide.
        target: the pixels that are modelled.
        steps: of training.
    """

    model: Callable[[Array], ppl.Program]
    encoder: Callable[[Array], ppl.Program]
    target: Callable[[Array], Array]
    steps: int


def pictures(images: Array) -> Array:
    return images.reshape(-1, 1, 8, 8)


def upper(images: Array) -> Array:
    return images[:, :32]


def lower(images: Array) -> Array:
    return images[:, 32:]


TASKS = {
    "vae": Task(
        lambda images: models.vae(images, hidden=64).observe(x=images),
        lambda images: models.vae_encoder(images, hidden=64),
        lambda images: images,
        600,
    ),
    "cvae": Task(
        lambda images: models.cvae(upper(images), 32, hidden=64).observe(y=lower(images)),
        lambda images: models.cvae_encoder(upper(images), lower(images), hidden=64),
        lower,
        600,
    ),
    "conv_vae": Task(
        lambda images: models.conv_vae(pictures(images), channels=8).observe(x=pictures(images)),
        lambda images: models.conv_vae_encoder(pictures(images), channels=8),
        lambda images: images,
        300,
    ),
}


def baseline(task: Task) -> float:
    """Held-out log likelihood of independent pixels, each at its frequency in training, in nats an image."""
    images = digits()
    train, test = task.target(images[:TRAINED]), task.target(images[TRAINED:])
    p = (train.sum(0) + 1.0) / (TRAINED + 2.0)
    return float(np.mean(np.sum(test * np.log(p) + (1.0 - test) * np.log1p(-p), axis=1)))


@functools.cache
def fitted(name: str, backend: str) -> dict[str, Array]:
    """Parameters of model and encoder after training."""
    task, images = TASKS[name], digits()[:TRAINED]
    method = SVI(
        objective=ELBO(analytic_kl=True),
        guide=task.encoder(images),
        optimizer=Adam(3e-3),
        steps=task.steps,
        batch_size=100,
        draws=1,
        progress=False,
    )
    return dict(ppl.infer(task.model(images), method, backend=backend).params)


def held_out_bound(name: str, params: dict[str, Array], backend: str) -> tuple[float, float]:
    """Evidence lower bound of held-out images, in nats an image, and its standard error."""
    task, images = TASKS[name], digits()[TRAINED:]
    model = ppl.compile(task.model(images), backend)
    guide = ppl.compile(task.encoder(images), backend)
    _, log_p, log_q = guide_draws(model, guide, params, get_backend(backend).key(1), 50, seed=0)
    bounds = (log_p.astype(float) - log_q) / len(images)
    return float(bounds.mean()), float(bounds.std(ddof=1) / np.sqrt(bounds.size))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", TASKS)
def test_it_beats_independent_pixels(name: str, backend: str) -> None:
    bound, error = held_out_bound(name, fitted(name, backend), backend)
    assert bound - sigmas() * error > baseline(TASKS[name]) + MARGIN


@pytest.mark.parametrize("name", TASKS)
def test_the_backends_agree_about_a_fit(name: str) -> None:
    """The parameters that one backend has found are worth the same on the other, up to the noise of the bound."""
    params = fitted(name, "numpyro")
    (one, error_one), (two, error_two) = (held_out_bound(name, params, backend) for backend in BACKENDS)
    assert abs(one - two) <= sigmas() * np.hypot(error_one, error_two)
    # Two trainings differ by their noise, which is small beside what either has gained.
    other, _ = held_out_bound(name, fitted(name, "pyro"), "pyro")
    assert abs(one - other) < 0.1 * (one - baseline(TASKS[name]))
