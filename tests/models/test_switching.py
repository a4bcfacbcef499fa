"""Switching dynamics: published estimates, regimes that recessions show in, and sums over regimes by hand."""

import numpy as np
import pytest
import scipy.stats
from scipy.special import logsumexp

import ppl
from ppl.inference.exact import draw_exact
from ppl.models import GROWTH, NILE
from tests.models.cases import LAGS, switching_autoregression, switching_level
from tests.models.comparing import BACKENDS, summed_log_density

# Maximum likelihood estimates and log likelihood in nats (Hamilton 1989, table I; more digits by other programs).
PUBLISHED = {
    "level": np.array([-0.358811, 1.163517]),
    "stay": np.array([0.754673, 1.0 - 0.095915]),
    "weight": np.array([0.013486, -0.057521, -0.246983, -0.212923]),
    "noise": np.array(np.exp(-0.262658)),
}
LOG_LIKELIHOOD = -181.26339


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_published_likelihood(backend: str) -> None:
    """Hamilton's filter, at the maximum: what rounding has taken from the estimates does not show."""
    found = summed_log_density(switching_autoregression(), PUBLISHED, backend, "start")
    assert found == pytest.approx(LOG_LIKELIHOOD, abs=1e-4)


def test_recessions_are_the_low_regime() -> None:
    """Quarters well inside of recessions and of long upswings, as dated by the National Bureau of Economic Research."""
    side = ppl.compile(switching_autoregression(), "pyro", precision="float64")
    count = 100
    wide = {n: np.broadcast_to(v, (count, *v.shape)) for n, v in PUBLISHED.items()}
    history = draw_exact(side, wide, count, {}, seed=0)["history"]
    # The newest regime of a history is its leading bit; 0 is low.
    low = (history < 2**LAGS).mean(0)

    def at(year: int, quarter: int) -> float:
        # The series begins in the second quarter of 1951.
        return float(low[4 * (year - 1951) + quarter - 2 - LAGS])

    assert len(low) == len(GROWTH) - LAGS
    assert min(at(1953, 4), at(1957, 4), at(1974, 4), at(1981, 4)) > 0.9
    assert max(at(1955, 2), at(1965, 2), at(1972, 2), at(1983, 4)) < 0.1


@pytest.mark.parametrize("backend", BACKENDS)
def test_regimes_are_summed_out_beside_a_level(backend: str) -> None:
    """Given a level, by the forward algorithm: each step weighs the two sizes of its moves."""
    drift, stay, noise = np.array([0.05, 1.6]), np.array([0.95, 0.5]), np.array(110.0)
    level, start = 900.0 + 0.5 * (NILE - 900.0), np.array(1000.0)
    before = np.concatenate([[start], level[:-1]])
    steps = scipy.stats.norm.logpdf(level[:, None], before[:, None], 150.0 * drift)
    moves = np.log([[stay[0], 1.0 - stay[0]], [1.0 - stay[1], stay[1]]])
    forward = np.array([0.0, -np.inf])
    for weights in steps:
        forward = logsumexp(forward[:, None] + moves, axis=0) + weights
    expected = logsumexp(forward)
    values = {"drift": drift, "stay": stay, "noise": noise, "level": level, "start": start}
    found = summed_log_density(switching_level(), values, backend, "regime")
    assert found == pytest.approx(expected, rel=1e-10)
