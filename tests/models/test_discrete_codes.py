"""Discrete autoencoders: exact sums where codes are few, bounds below them, a refusal beyond, the nearest row."""

from typing import Any

import numpy as np
import pytest
from scipy.special import expit, logsumexp

import ppl
from ppl import models
from ppl.backend.compiled import get_backend
from ppl.errors import StrategyError
from ppl.inference import ELBO, SVI, Adam, AutoDelta
from tests.models.cases import categorical_vae, digits
from tests.models.comparing import BACKENDS

Array = np.ndarray
SIZES = {"codes": 2, "values": 4, "hidden": 32}


def components(params: dict[str, Array]) -> Array:
    """Probability of each pixel for each pair of codes, shape (4, 4, pixels): the decoder in numpy."""
    pairs = np.concatenate([np.repeat(np.eye(4)[:, None], 4, axis=1), np.repeat(np.eye(4)[None], 4, axis=0)], axis=-1)
    hidden = np.tanh(pairs @ params["decoder.0.weight"].T + params["decoder.0.bias"])
    return expit(hidden @ params["decoder.2.weight"].T + params["decoder.2.bias"])


def log_evidence(params: dict[str, Array], images: Array) -> float:
    """Of a mixture of sixteen binary images, in nats."""
    p = np.asarray(components(params), dtype=float).reshape(16, -1)
    joint = images @ np.log(p).T + (1.0 - images) @ np.log1p(-p).T
    return float(np.sum(logsumexp(joint, axis=1) - np.log(16.0)))


def first_objective(method: SVI, program: ppl.Program, backend: str) -> float:
    return float(method.start(program, get_backend(backend), 0, "float64").advance(1)[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_few_codes_are_a_mixture(backend: str) -> None:
    program = categorical_vae()
    params = dict(ppl.compile(program, backend, precision="float64").params)
    found = first_objective(SVI(guide=AutoDelta(), progress=False), program, backend)
    assert found == pytest.approx(log_evidence(params, digits()[:100]), rel=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fit_without_guide_and_one_with(backend: str) -> None:
    """Maximum likelihood beats independent pixels; a guide whose values are enumerated stays below the evidence."""
    images = digits()[:300]
    program = models.categorical_vae(images, **SIZES).observe(x=images)
    settings: dict[str, Any] = {"optimizer": Adam(1e-2), "steps": 200, "draws": 1, "progress": False}
    fit = ppl.infer(program, SVI(guide=AutoDelta(), **settings), backend=backend)
    exact = log_evidence(fit.params, images)
    share = (images.sum(axis=0) + 1.0) / (len(images) + 2.0)
    pixels = float(np.sum(images @ np.log(share) + (1.0 - images) @ np.log1p(-share)))
    assert exact > pixels + 4.0 * len(images)
    guide = models.categorical_encoder(images, **SIZES)
    both = SVI(ELBO(), guide, **settings)
    trained = both.start(program, get_backend(backend), 0, "float64")
    trained.advance(200)
    params = trained.params()
    bound = first_objective(SVI(guide=guide, params=params, progress=False), program, backend)
    assert pixels < bound < log_evidence(params, images)


IMAGES = digits()[:20]


@pytest.mark.parametrize("backend", BACKENDS)
def test_too_many_codes_for_a_sum_are_refused(backend: str) -> None:
    observed = models.categorical_vae(IMAGES, codes=20, values=10).observe(x=IMAGES)
    with pytest.raises(StrategyError, match="every combination of their values counts") as caught:
        ppl.infer(observed, SVI(guide=AutoDelta(), steps=2, progress=False), backend=backend)
    assert caught.value.site == "code0"
    assert caught.value.remedy


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_nearest_row_is_certain(backend: str) -> None:
    """The guide of the codebook draws what numpy finds nearest."""
    side = ppl.compile(models.vq_encoder(IMAGES), backend, precision="float64")
    params = side.params
    hidden = np.maximum(IMAGES @ params["encoder.0.weight"].T + params["encoder.0.bias"], 0.0)
    output = (hidden @ params["encoder.2.weight"].T + params["encoder.2.bias"]).reshape(-1, 4, 1, 4)
    nearest = np.sum((output - params["codebook"]) ** 2, axis=-1).argmin(axis=-1)
    drawn = side.backend.to_numpy(side.simulate((3,), key=side.backend.key(0))["code"])
    np.testing.assert_allclose(drawn, np.broadcast_to(params["codebook"][nearest], drawn.shape), rtol=1e-12)
