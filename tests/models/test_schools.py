"""Eight schools against quadrature over the spread between schools."""

import numpy as np
import pytest
from scipy.special import logsumexp

import ppl
from ppl.inference import NUTS
from ppl.models import EFFECTS, STANDARD_ERRORS
from tests.models.cases import eight_schools, eight_schools_centred
from tests.models.comparing import BACKENDS, assert_means

# Pyro's sampler runs eagerly, many times slower than NumPyro's.
SAMPLERS = {
    "numpyro": NUTS(chains=1, draws=2000, warmup=500, progress=False),
    "pyro": NUTS(chains=1, draws=300, warmup=200, progress=False),
}


def exact_means() -> dict[str, np.ndarray]:
    """Posterior means: exact given the spread, which is integrated by quadrature.

    The substitution spread = 5 tan(angle) makes the half-Cauchy prior uniform on (0, pi / 2).
    """
    count = 4000
    spread = 5.0 * np.tan((np.arange(count) + 0.5) / count * np.pi / 2)[:, None]
    precision = 1.0 / (STANDARD_ERRORS**2 + spread**2)
    variance = 1.0 / (precision.sum(1) + 1.0 / 25.0)
    mean = variance * (precision * EFFECTS).sum(1)
    # The effects given the spread: normal, the mean integrated out.
    quadratic = (precision * EFFECTS**2).sum(1) - mean**2 / variance
    log_weights = 0.5 * (np.log(precision).sum(1) + np.log(variance) - quadratic)
    weights = np.exp(log_weights - logsumexp(log_weights))
    # A school's effect lies between its own estimate and the mean of all.
    own = spread**2 * precision
    effects = own * EFFECTS + (1.0 - own) * mean[:, None]
    return {"mean": weights @ mean, "spread": weights @ spread[:, 0], "true_effect": weights @ effects}


def test_the_reference_is_the_known_answer() -> None:
    """The mean over schools is about 4.4 under these priors, as in the literature."""
    assert exact_means()["mean"] == pytest.approx(4.4, abs=0.05)


@pytest.mark.parametrize("backend", BACKENDS)
def test_means(backend: str) -> None:
    posterior = ppl.infer(eight_schools(), SAMPLERS[backend], backend=backend)
    assert_means(posterior.draws, exact_means())


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_centred_form_is_the_same_posterior(backend: str) -> None:
    """Their densities differ by the change of variables from offsets to effects, and by nothing else."""
    generator = np.random.default_rng(0)
    mean, spread, offset = generator.normal(size=5), np.exp(generator.normal(size=5)), generator.normal(size=(5, 8))
    shared = {"mean": mean, "spread": spread}
    one = ppl.compile(eight_schools(), backend, precision="float64").log_density({**shared, "offset": offset})
    effect = mean[:, None] + spread[:, None] * offset
    centred = ppl.compile(eight_schools_centred(), backend, precision="float64")
    two = centred.log_density({**shared, "true_effect": effect})
    np.testing.assert_allclose(np.asarray(one), np.asarray(two) + 8 * np.log(spread), rtol=1e-12)
