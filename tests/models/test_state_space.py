"""State-space models against the Kalman filter and smoother, and against published estimates."""

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

import ppl
from ppl.inference import NUTS
from ppl.models import (
    NILE,
    PELTS,
    backward_guide,
    local_level,
    local_trend,
    marginal_local_level,
    predator_prey,
)
from tests.budget import assert_mean
from tests.models import kalman
from tests.models.comparing import BACKENDS, assert_means

CENTRE, SCALE = 900.0, 150.0
# Maximum likelihood estimates of the variances (Durbin and Koopman 2012, section 2.10.3).
NOISE, DRIFT = np.sqrt(15099.0), np.sqrt(1469.1)


def nile(**known: float) -> ppl.Program:
    return local_level(len(NILE), CENTRE, SCALE).do(**known).observe(y=NILE)


def test_the_reference_gives_the_published_estimates() -> None:
    """With a level that could be anywhere at the start, the greatest evidence is at the published variances."""

    def loss(logs: np.ndarray) -> float:
        drift, noise = np.exp(logs)
        return -kalman.local_level(NILE, drift, noise, CENTRE, 1e6)[0]

    best = scipy.optimize.minimize(loss, np.log([50.0, 100.0]), method="Nelder-Mead", options={"xatol": 1e-6})
    drift, noise = np.exp(2.0 * best.x)
    assert (noise, drift) == pytest.approx((15099.0, 1469.1), rel=1e-3)


def backward_params(drift: float, noise: float) -> dict[str, np.ndarray]:
    """Parameters at which `backward_guide` is the posterior: from filtered means and variances, by Bayes' rule."""
    mean, variance = [CENTRE], [(3.0 * SCALE) ** 2]
    for y in NILE:
        ahead = variance[-1] + drift**2
        gain = ahead / (ahead + noise**2)
        mean.append(mean[-1] + gain * (y - mean[-1]))
        variance.append((1.0 - gain) * ahead)
    means, variances = np.array(mean), np.array(variance)
    gains = variances / (variances + drift**2)
    # Nothing comes after the last level: the guide hands it the centre.
    gains[-1] = 0.0
    found = {
        "gain": gains,
        "mean": ((1.0 - gains) * (means - CENTRE)) / SCALE,
        "spread": np.sqrt((1.0 - gains) * variances) / SCALE,
    }
    return {n: v[1:] for n, v in found.items()} | {f"start_{n}": v[0] for n, v in found.items()}


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_guide_contains_the_posterior(backend: str) -> None:
    """With known scales each draw of the exact guide has one weight, the evidence, and its means are the smoother's."""
    known = {"drift": DRIFT, "noise": NOISE}
    guide = ppl.compile(backward_guide(len(NILE), CENTRE, SCALE).do(**known), backend, precision="float64")
    model = ppl.compile(nile(**known), backend, precision="float64")
    params = {**guide.params, **backward_params(DRIFT, NOISE)}
    drawn = guide.simulate((1000,), key=guide.backend.key(0), params=params)
    values = {n: guide.backend.to_numpy(drawn[n]) for n in ("start", "level")}
    log_p, log_q = (side.backend.to_numpy(side.log_density(values, p)) for side, p in ((model, None), (guide, params)))
    evidence, means, _ = kalman.local_level(NILE, DRIFT, NOISE, CENTRE, SCALE)
    np.testing.assert_allclose(log_p - log_q, evidence, rtol=1e-9)
    assert_mean(values["level"], means[1:])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("drift", [0.5, DRIFT, 300.0])
def test_the_marginal_form_is_the_evidence(drift: float, backend: str) -> None:
    program = marginal_local_level(len(NILE), CENTRE, SCALE).observe(y=NILE)
    values = {"drift": np.array(drift), "noise": np.array(NOISE)}
    side = ppl.compile(program, backend, precision="float64")
    terms = side.log_density(values, by_site=True)
    evidence, _, _ = kalman.local_level(NILE, drift, NOISE, CENTRE, SCALE)
    assert side.backend.to_numpy(terms["y"]).sum() == pytest.approx(evidence, rel=1e-10)


def test_levels_with_gaps() -> None:
    """Two gaps of twenty years each: nothing is known there but what the levels around them say."""
    y = NILE.copy()
    y[20:40] = y[60:80] = np.nan
    program = local_level(len(y), CENTRE, SCALE).do(drift=DRIFT, noise=NOISE).observe(y=y)
    posterior = ppl.infer(program, NUTS(chains=2, draws=300, warmup=200, progress=False))
    _, means, _ = kalman.local_level(y, DRIFT, NOISE, CENTRE, SCALE)
    assert_means(posterior.draws, {"level": means[1:]})


def test_level_and_slope() -> None:
    known = {"drift": 30.0, "bend": 4.0, "noise": NOISE}
    program = local_trend(len(NILE), CENTRE, SCALE).do(**known).observe(y=NILE)
    method = NUTS(chains=2, draws=200, warmup=200, progress=False)
    posterior = ppl.infer(program, method)
    _, means, _ = kalman.local_trend(NILE, **known, centre=CENTRE, scale=SCALE)
    assert_means(posterior.draws, {"level": means[1:, 0], "slope": means[1:, 1]})


def test_a_year_of_predator_and_prey() -> None:
    """The midpoint rule against an integrator with error control, at the rates of the fit."""
    program = predator_prey(2)
    rate = np.array([0.55, 0.028, 0.80, 0.024])
    start = np.log([30.0, 4.0])

    def slope(_: float, x: np.ndarray) -> np.ndarray:
        return np.array([rate[0] - rate[1] * np.exp(x[1]), rate[3] * np.exp(x[0]) - rate[2]])

    exact = scipy.integrate.solve_ivp(slope, (0.0, 2.0), start, t_eval=[1.0, 2.0], rtol=1e-10, atol=1e-10).y.T
    side = ppl.compile(program, "pyro", precision="float64")
    values = {"rate": rate, "process": np.array(1e-9), "noise": np.array(1.0), "start": start}
    drawn = side.backend.to_numpy(side.simulate((1,), key=side.backend.key(0), values=values)["log_size"])[0]
    np.testing.assert_allclose(drawn, exact, atol=0.01)


def test_the_published_rates_of_predator_and_prey() -> None:
    """Posterior means and standard deviations in Carpenter's study, whose populations keep exactly to their course."""
    program = predator_prey(len(PELTS)).observe(pelts=PELTS)
    posterior = ppl.infer(program, NUTS(chains=2, draws=150, warmup=250, progress=False))
    rate = posterior.draws["rate"].reshape(-1, 4).astype(float)
    assert np.all(np.abs(rate.mean(0) - [0.55, 0.028, 0.80, 0.024]) < [0.07, 0.004, 0.10, 0.004])
