"""A flow fitted by maximum likelihood describes held-out measurements better than a normal distribution."""

import functools

import numpy as np
import pytest

import ppl
from ppl import models
from ppl.inference import SVI, AdamW, AutoDelta
from tests.models.cases import nuclei
from tests.models.comparing import BACKENDS, gaussian_log_density

Array = np.ndarray
TRAINED = 455  # of 569 tumours; the others are held out
MARGIN = 1.5  # nats a tumour by which the flow has to beat a normal distribution with all covariances


def baseline() -> Array:
    """Held-out log likelihood of a normal distribution with mean and covariance of the training rows, in nats."""
    train, test = nuclei()[:TRAINED], nuclei()[TRAINED:]
    return gaussian_log_density(test, train.mean(0), np.cov(train.T))


@functools.cache
def fitted(backend: str) -> dict[str, Array]:
    rows = nuclei()[:TRAINED]
    method = SVI(
        guide=AutoDelta(),
        optimizer=AdamW(3e-3, weight_decay=1.0),
        steps=400,
        batch_size=128,
        draws=1,
        progress=False,
    )
    return dict(ppl.infer(models.flow_density(rows).observe(x=rows), method, backend=backend).params)


def held_out(params: dict[str, Array], backend: str) -> Array:
    """Log likelihood of each held-out row, in nats."""
    rows = nuclei()[TRAINED:]
    side = ppl.compile(models.flow_density(rows).observe(x=rows), backend)
    return np.asarray(side.log_density({}, params, by_site=True)["x"], dtype=float)


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_beats_a_normal_distribution(backend: str) -> None:
    gain = held_out(fitted(backend), backend) - baseline()
    assert gain.mean() > MARGIN
    # Not by a few tumours alone.
    assert np.mean(gain > 0.0) > 0.6


def test_a_fit_is_worth_the_same_on_the_other_backend() -> None:
    params = fitted("numpyro")
    one, two = (held_out(params, backend) for backend in BACKENDS)
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)
