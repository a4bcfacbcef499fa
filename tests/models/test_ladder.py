"""The ladder: what the guide's way down shares with the model, in numpy's words."""

import numpy as np
import pytest

import ppl
from ppl import models
from tests.models.cases import digits, ladder_vae
from tests.models.comparing import BACKENDS

Array = np.ndarray
LOWER = 4


def perceptron(params: dict[str, Array], name: str, x: Array) -> Array:
    hidden = np.tanh(x @ params[f"{name}.0.weight"].T + params[f"{name}.0.bias"])
    return hidden @ params[f"{name}.2.weight"].T + params[f"{name}.2.bias"]


def densities_of_the_lower_code(evidence: Array, backend: str) -> tuple[Array, Array, Array, dict[str, Array]]:
    """Its draws, with log densities in guide and model, where every image gives the same evidence about it.

    Args:
        evidence: mean and log standard deviation that the way up hands to the way down.
        backend: where all is computed.
    """
    guide = models.ladder_encoder(digits()[:100], lower=LOWER, upper=2, hidden=32)
    ours, theirs = (ppl.compile(p, backend, precision="float64") for p in (guide, ladder_vae()))
    params = {**theirs.params, **ours.params, "lower_evidence.bias": evidence}
    params["lower_evidence.weight"] = np.zeros_like(params["lower_evidence.weight"])
    drawn = ours.simulate((7,), key=ours.backend.key(0), params=params)
    draws = {name: ours.backend.to_numpy(values) for name, values in drawn.items()}
    log_q, log_p = (np.asarray(side.log_density(draws, params, by_site=True)["code"]) for side in (ours, theirs))
    return log_q, log_p, draws["code"], {**params, "top": draws["top"]}


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_evidence_the_guide_is_the_model(backend: str) -> None:
    blind = np.concatenate([np.zeros(LOWER), np.full(LOWER, 18.0)])
    log_q, log_p, _, _ = densities_of_the_lower_code(blind, backend)
    np.testing.assert_allclose(log_q, log_p, rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_evidence_and_expectation_are_weighted_by_their_precisions(backend: str) -> None:
    """Bayes' rule for a normal prior and a normal likelihood."""
    seen = np.array([0.5, -1.0, 2.0, 0.0, -0.3, 0.2, 0.0, -1.0])
    log_q, _, code, params = densities_of_the_lower_code(seen, backend)
    expected = perceptron(params, "prior", params["top"])
    mean, variance = expected[..., :LOWER], np.exp(2.0 * expected[..., LOWER:])
    noise = np.exp(2.0 * seen[LOWER:])
    gain = variance / (variance + noise)
    middle, spread = mean + gain * (seen[:LOWER] - mean), (1.0 - gain) * variance
    exact = -0.5 * np.sum((code - middle) ** 2 / spread + np.log(2.0 * np.pi * spread), axis=-1)
    np.testing.assert_allclose(log_q, exact, rtol=1e-9)
