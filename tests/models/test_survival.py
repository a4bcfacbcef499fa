"""The survival mixture: its density in scipy's words, and a fit on both backends."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
from scipy.special import log_softmax, logsumexp

import ppl
from ppl.inference import NUTS
from ppl.inference.exact import draw_exact
from ppl.models import RELAPSED, REMISSION_WEEKS, TREATED
from ppl.transforms.density import log_density
from tests.budget import assert_mean
from tests.models.cases import survival_mixture
from tests.models.comparing import BACKENDS

VALUES = {
    "log_scale": np.array([-0.7, 0.6]),
    "shape": np.array([1.4, 0.9]),
    "logits": np.array([[0.3, -0.2], [-0.5, 0.4]]),
}


def by_group() -> np.ndarray:
    """Log of group probability times density, or probability of outliving the study, shape (subjects, groups)."""
    family: Any = scipy.stats.weibull_min
    lifetime = family(VALUES["shape"], scale=10.0 * np.exp(VALUES["log_scale"]))
    weeks = REMISSION_WEEKS[:, None]
    return log_softmax(VALUES["logits"], axis=1)[TREATED] + np.where(
        RELAPSED[:, None], lifetime.logpdf(weeks), lifetime.logsf(weeks)
    )


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_groups_are_summed_out(backend: str) -> None:
    program = survival_mixture()
    side = ppl.compile(program, backend, precision="float64")
    summed = log_density(program, exact=["group_of"])
    emitted = side.emitter(lead=False).emit("terms", {n: side.filled(n, t) for n, t in summed.terms.items()})
    function = side.backend.jit(side.load(emitted), "float64")
    found = function({}, side.value_arrays(VALUES), side.bind(emitted), {})
    assert summed.parts["group_of"] == ("group_of", "lifetime")
    np.testing.assert_allclose(np.asarray(found["group_of"]), np.asarray(logsumexp(by_group(), axis=1)), rtol=1e-10)


def test_groups_are_drawn_with_their_probabilities() -> None:
    side = ppl.compile(survival_mixture(), "pyro", precision="float64")
    wide = {n: np.broadcast_to(v, (5000, *v.shape)) for n, v in VALUES.items()}
    drawn = draw_exact(side, wide, 5000, {}, seed=2)["group_of"]
    wanted = np.exp(by_group()[:, 1] - np.asarray(logsumexp(by_group(), axis=1)))
    # The error of a mean is estimated from the draws, which takes some of each kind.
    mixed = (wanted > 0.02) & (wanted < 0.98)
    assert mixed.sum() >= 20
    assert_mean((drawn == 1).astype(float)[:, mixed], wanted[mixed])


def test_treatment_prolongs_remission() -> None:
    """Median time to relapse: 8 weeks without, 23 with the drug, by the product-limit estimate."""
    posterior = ppl.infer(survival_mixture(), NUTS(chains=2, draws=300, warmup=300, progress=False))
    draws = {n: np.asarray(v, dtype=float) for n, v in posterior.draws.items()}
    share = np.exp(log_softmax(draws["logits"], axis=-1))
    weeks = np.linspace(0.1, 80.0, 800)
    scale = 10.0 * np.exp(draws["log_scale"])[..., None, :, None]
    alive = (share[..., None] * np.exp(-((weeks / scale) ** draws["shape"][..., None, :, None]))).sum(-2)
    placebo, treated = weeks[(alive.mean((0, 1)) > 0.5).sum(-1) - 1]
    assert 5.0 < placebo < 11.0
    assert 16.0 < treated < 32.0
    assert posterior.draws["group_of"].shape == (2, 300, 42)
