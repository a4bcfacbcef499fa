"""Draws of a guide, weighted: against the exact posterior and evidence of a conjugate model."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from ppl.errors import ModelError, StrategyError
from tests.budget import sigmas
from tests.posterior.fits import NOISE_SD, PRIOR_SD, centre_approximation, centre_fit, centre_moments, data, present


def test_a_guide_that_is_off_is_corrected() -> None:
    """Shifted by half a standard deviation and half as wide again."""
    y = data()
    mean, sd = centre_moments(y)
    fit = centre_approximation(20_000, shift=0.5, widen=1.5)
    assert abs(float(fit.mean("mu")) - mean) > 0.4 * sd
    found = fit.importance_corrected()
    assert found.kind == "weighted"
    effective = found.diagnostics["ess"]
    # Self-normalised weights: the effective number of draws is what the errors go by.
    assert abs(float(found.mean("mu")) - mean) < sigmas(3) * sd / effective**0.5
    assert abs(float(found.std("mu")) - sd) < sigmas(3) * sd * (1.0 / effective) ** 0.5
    covariance = NOISE_SD**2 * np.eye(len(y)) + PRIOR_SD**2 * np.ones((len(y), len(y)))
    exact = stats.multivariate_normal.logpdf(y, np.zeros(len(y)), covariance)  # pyright: ignore[reportArgumentType]
    error = (1.0 / effective - 1.0 / 20_000) ** 0.5
    assert abs(present(np.asarray(found.log_evidence)) - exact) < sigmas(3) * error + error**2
    assert found.khat == pytest.approx(fit.khat)
    np.testing.assert_array_equal(found.draws["mu"], fit.draws["mu"])
    assert found.weights is not None
    assert found.weights.sum() == pytest.approx(1.0)


def test_what_is_refused() -> None:
    with pytest.raises(ModelError, match=r"only draws of a guide(.*\n)*.*kind 'samples'"):
        centre_fit().importance_corrected()
    fit = centre_approximation(50)
    with pytest.raises(StrategyError, match="every importance weight is zero"):
        fit.replace(log_p=np.full((1, 50), -np.inf)).importance_corrected()
