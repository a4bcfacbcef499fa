"""Item response: five items of the LSAT, against the integral, and against what others have published about them."""

import functools
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from scipy.special import expit, gammaln

import ppl
from ppl.inference import NUTS, SVI, Adam, AutoMultivariateNormal, AutoNormal, Schedule
from ppl.models import ANSWER_PATTERNS, LSAT_ANSWERS, PATTERN_COUNTS
from tests.models.cases import answer_patterns, rasch
from tests.models.comparing import BACKENDS, summed_log_density

# Marginal maximum likelihood by the R package ltm (Rizopoulos 2006, Journal of Statistical Software 17(5)).
PUBLISHED = {
    "discrimination": np.array([0.8254, 0.7229, 0.8905, 0.6886, 0.6575]),
    "difficulty": np.array([-3.3597, -1.3696, -0.2799, -1.8659, -3.1236]),
}
PUBLISHED_LOG_LIKELIHOOD = -2466.653
RASCH = {"discrimination": 0.7551, "difficulty": np.array([-3.6153, -1.3224, -0.3176, -1.7301, -2.7802])}


def test_the_data_are_those_of_the_source() -> None:
    """Shares of right answers as they are published."""
    np.testing.assert_array_equal(LSAT_ANSWERS.mean(axis=0), [0.924, 0.709, 0.553, 0.763, 0.870])
    assert len(LSAT_ANSWERS) == PATTERN_COUNTS.sum() == 1000


def probability(pattern: np.ndarray) -> float:
    """Of a pattern of answers at the published estimates, by adaptive quadrature over abilities."""

    def density(ability: float) -> float:
        p = expit(PUBLISHED["discrimination"] * (ability - PUBLISHED["difficulty"]))
        return float(np.prod(np.where(pattern == 1, p, 1.0 - p)) * np.exp(-0.5 * ability**2) / np.sqrt(2.0 * np.pi))

    return scipy.integrate.quad(density, -12.0, 12.0, epsabs=1e-13)[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_abilities_are_integrated_out(backend: str) -> None:
    found = summed_log_density(answer_patterns(), PUBLISHED, backend, "count")
    family: Any = scipy.stats.multinomial
    exact = np.array([probability(pattern) for pattern in ANSWER_PATTERNS])
    assert found == pytest.approx(family.logpmf(PATTERN_COUNTS, 1000, exact / exact.sum()), abs=1e-6)
    orders = gammaln(1001.0) - np.sum(gammaln(PATTERN_COUNTS + 1.0))
    assert found - orders == pytest.approx(PUBLISHED_LOG_LIKELIHOOD, abs=1e-3)


@functools.cache
def two_parameter_fit(method: str, backend: str) -> ppl.Posterior:
    adam = Adam(0.03, schedule=Schedule(steps=1500))
    guide = SVI(guide=AutoMultivariateNormal(), optimizer=adam, steps=1500, draws=2000, progress=False)
    chain = NUTS(chains=1, draws=500, warmup=400, progress=False)
    return ppl.infer(answer_patterns(), chain if method == "nuts" else guide, backend=backend)


@pytest.mark.parametrize("site", PUBLISHED)
def test_sampler_guide_and_maximum_likelihood_tell_one_story(site: str) -> None:
    """The posterior is skewed, and a prior moves it: all three agree to about half a standard deviation."""
    nuts = two_parameter_fit("nuts", "numpyro")
    middle, spread = nuts.mean(site).values, nuts.std(site).values
    assert np.all(np.abs(middle - PUBLISHED[site]) < 0.75 * spread)
    guides = [two_parameter_fit("svi", backend).mean(site).values for backend in BACKENDS]
    for guide in guides:
        assert np.all(np.abs(guide - middle) < spread)
    assert np.all(np.abs(guides[0] - guides[1]) < 0.25 * spread)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_thousand_abilities_are_learnt_along_with_the_items(backend: str) -> None:
    adam = Adam(0.05, schedule=Schedule(steps=600))
    fit = ppl.infer(
        rasch(), SVI(guide=AutoNormal(), optimizer=adam, steps=600, draws=500, progress=False), backend=backend
    )
    assert float(fit.mean("discrimination")) == pytest.approx(RASCH["discrimination"], abs=0.1)
    np.testing.assert_allclose(fit.mean("difficulty").values, RASCH["difficulty"], atol=0.3)
    # Under the Rasch model the number of right answers says all there is about a person.
    ability, score = fit.mean("ability").values, LSAT_ANSWERS.sum(axis=1)
    levels = np.array([ability[score == right].mean() for right in range(6)])
    assert np.all(np.diff(levels) > 0.2)
    assert max(ability[score == right].std() for right in range(6)) < 0.1
