"""Stochastic volatility: two forms of one model, and published estimates."""

import arviz
import numpy as np
import pytest

import ppl
from ppl.inference import NUTS
from ppl.models import RETURNS, noncentred_volatility, stochastic_volatility
from tests.budget import sigmas
from tests.models.comparing import BACKENDS

# Posterior means of Kim, Shephard and Chib (1998, section 3), rounded.
PUBLISHED = {"persistence": 0.978, "spread": 0.158, "scale": 0.647}


@pytest.mark.parametrize("backend", BACKENDS)
def test_both_forms_are_one_model(backend: str) -> None:
    """The density of shocks is that of log variances, times how far a shock moves one."""
    shocks = np.random.default_rng(0).normal(size=len(RETURNS))
    persistence, spread, mean, start = 0.95, 0.2, -1.0, 0.4
    common = {"persistence": np.array(persistence), "variance": np.array(spread**2), "mean": np.array(mean)}
    wide = spread / np.sqrt(1.0 - persistence**2)
    path = [mean + wide * start]
    for shock in shocks:
        path.append(mean + persistence * (path[-1] - mean) + spread * shock)
    centred = {**common, "start": np.array(path[0]), "log_variance": np.array(path[1:])}
    noncentred = {**common, "start_shock": np.array(start), "shock": shocks}
    totals = []
    for model, values in ((stochastic_volatility, centred), (noncentred_volatility, noncentred)):
        side = ppl.compile(model(len(RETURNS)).observe(y=RETURNS), backend, precision="float64")
        totals.append(float(side.backend.to_numpy(side.log_density(values))))
    assert totals[1] - totals[0] == pytest.approx(np.log(wide) + len(RETURNS) * np.log(spread), rel=1e-9)


def test_the_published_estimates() -> None:
    program = stochastic_volatility(len(RETURNS)).observe(y=RETURNS)
    posterior = ppl.infer(program, NUTS(chains=2, draws=200, warmup=300, progress=False))
    draws = posterior.draws
    found = {
        "persistence": draws["persistence"],
        "spread": np.sqrt(draws["variance"]),
        "scale": np.exp(0.5 * draws["mean"]),
    }
    for name, published in PUBLISHED.items():
        values = np.asarray(found[name], dtype=float)
        effective = arviz.ess(arviz.convert_to_dataset({name: values}), method="mean")[name].values
        # Theirs are rounded to three digits.
        allowed = sigmas(len(PUBLISHED)) * values.std() / np.sqrt(effective) + 5e-4
        assert abs(values.mean() - published) < allowed
