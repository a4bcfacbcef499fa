"""Deep Markov model: digits as sequences of eight rows, and what a recurrent guide has learnt about held-out ones."""

import functools

import numpy as np

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
MARGIN = 1.0  # nats an image by which forty rounds through the images have to beat independent pixels, of about 25


def sequences() -> tuple[Array, Array]:
    """Images to train on and others, rows from top to bottom."""
    rows = digits().reshape(-1, 8, 8)
    return rows[:TRAINED], rows[TRAINED:]


@functools.cache
def fitted() -> dict[str, Array]:
    """Parameters of model and guide after training on JAX."""
    train, _ = sequences()
    method = SVI(
        objective=ELBO(analytic_kl=True),
        guide=models.backward_reader(train),
        optimizer=Adam(3e-3),
        steps=600,
        batch_size=100,
        draws=1,
        progress=False,
    )
    return dict(ppl.infer(models.deep_markov(train).observe(x=train), method).params)


def held_out_bound(backend: str) -> tuple[float, float]:
    """Evidence lower bound of held-out images, in nats an image, and its standard error."""
    _, held_out = sequences()
    model = ppl.compile(models.deep_markov(held_out).observe(x=held_out), backend)
    guide = ppl.compile(models.backward_reader(held_out), backend)
    _, log_p, log_q = guide_draws(model, guide, fitted(), get_backend(backend).key(1), 50, seed=0)
    bounds = (log_p.astype(float) - log_q) / len(held_out)
    return float(bounds.mean()), float(bounds.std(ddof=1) / np.sqrt(bounds.size))


def test_rows_are_not_independent() -> None:
    """Held-out images are described better than by the frequency of each pixel, on both backends equally well."""
    train, held_out = sequences()
    p = (train.sum(0) + 1.0) / (len(train) + 2.0)
    independent = float(np.mean(np.sum(held_out * np.log(p) + (1.0 - held_out) * np.log1p(-p), axis=(1, 2))))
    (one, error_one), (two, error_two) = (held_out_bound(backend) for backend in BACKENDS)
    assert one - sigmas() * error_one > independent + MARGIN
    assert abs(one - two) <= sigmas() * np.hypot(error_one, error_two)
