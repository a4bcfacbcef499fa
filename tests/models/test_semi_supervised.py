"""M2 on digits of which few have labels: the sum over unknown labels in numpy, and one bound on both backends."""

import numpy as np
import pytest
from scipy.special import log_expit, logsumexp

import ppl
from ppl import models
from ppl.inference import ELBO, SVI, Adam
from tests.budget import sigmas
from tests.models.cases import few_labels, m2
from tests.models.comparing import BACKENDS, summed_log_density

SIZES = {"latent": 8, "hidden": 64}


@pytest.mark.parametrize("backend", BACKENDS)
def test_unknown_labels_are_summed_out(backend: str) -> None:
    images = few_labels(2, 80)[2]
    generator = np.random.default_rng(3)
    codes = {"labelled_code": generator.normal(size=(20, 3)), "code": generator.normal(size=(80, 3))}
    params = dict(ppl.compile(m2(), backend, precision="float64").params)
    by_class = []
    for digit in np.eye(10):
        features = np.concatenate([np.broadcast_to(digit, (80, 10)), codes["code"]], axis=1)
        hidden = np.tanh(features @ params["decoder.0.weight"].T + params["decoder.0.bias"])
        logits = hidden @ params["decoder.2.weight"].T + params["decoder.2.bias"]
        by_class.append(np.sum(images * log_expit(logits) + (1.0 - images) * log_expit(-logits), axis=1))
    expected = np.sum(logsumexp(by_class, axis=0) - np.log(10.0))
    found = summed_log_density(m2(), codes, backend, "label", params=params)
    assert found == pytest.approx(expected, rel=1e-10)


def at_rest(backend: str) -> np.ndarray:
    """Bounds of minibatches at parameters that do not move."""
    labelled, labels, images = few_labels(5, 300)
    program = models.m2(labelled, images, **SIZES)
    program = program.observe(labelled_x=labelled, given=labels, guess=labels, x=images)
    guide = models.m2_encoder(labelled, labels, images, **SIZES)
    objective, batch = ELBO(analytic_kl=True), {"images": 100}
    method = SVI(objective, guide, Adam(1e-12), steps=60, batch_size=batch, draws=1, progress=False)
    return np.asarray(ppl.infer(program, method, backend=backend).diagnostics["objective"], dtype=float)


def test_the_backends_agree_about_the_bound() -> None:
    """They see the same minibatches, and codes whose noise averages out."""
    one, two = (at_rest(backend) for backend in BACKENDS)
    off = one - two
    assert abs(off.mean()) <= sigmas() * off.std(ddof=1) / np.sqrt(len(off))
    assert off.std() < 0.01 * abs(one.mean())
