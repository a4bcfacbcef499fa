import numpy as np
import pytest

import ppl
from ppl import dist
from ppl.errors import ModelError, UnknownNameError
from ppl.posterior.simulate import simulate
from tests.budget import sigmas
from tests.posterior.fits import centre, factors, regression, regression_inputs

BACKENDS = ("numpyro", "pyro")


@pytest.mark.parametrize("backend", BACKENDS)
def test_prior_predictive(backend):
    program = regression(**regression_inputs())
    found = simulate(program, 500, seed=1, backend=backend, precision="float64")
    assert list(found.data_vars) == ["slope", "intercept", "mean", "own", "y"]
    assert found["y"].dims == ("draw", "rows")
    assert found["slope"].dims == ("draw", "feature")
    assert found.attrs == {"program": "regression", "seed": 1, "backend": backend, "precision": "float64"}
    inputs = regression_inputs()
    mean = found["slope"].values @ inputs["X"].T + found["intercept"].values[:, inputs["group"]]
    np.testing.assert_allclose(found["mean"], mean, rtol=1e-9)
    residuals = ((found["y"] - found["mean"] - found["own"]) / 0.5).values
    assert abs(residuals.mean()) < sigmas() / np.sqrt(residuals.size)
    assert abs(np.mean(residuals**2) - 1) < sigmas() * np.sqrt(2 / residuals.size)
    assert found.identical(simulate(program, 500, seed=1, backend=backend, precision="float64"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_observed_sites_are_drawn_anew(backend):
    found = simulate(centre(3).observe(y=np.full(3, 50.0)), 20, backend=backend)
    assert np.all(found["y"] < 40)


@pytest.mark.parametrize("backend", BACKENDS)
def test_interventional(backend):
    found = simulate(centre(3).do(mu=7.0), 100, backend=backend, precision="float64")
    assert np.all(found["mu"] == 7.0)
    assert np.all(found["double"] == 14.0)
    assert found["mu"].dims == ("draw",)
    assert abs(found["y"].values.mean() - 7.0) < sigmas() / np.sqrt(300)


def test_parameters():
    program = factors(np.zeros((4, 3)))
    params = {"decoder.0.weight": np.zeros((3, 2)), "decoder.0.bias": np.full(3, 9.0)}
    assert np.all(np.abs(simulate(program, 10, params=params)["x"] - 9.0) < 1.0)
    with pytest.raises(UnknownNameError, match=r"no parameter 'decoder.0.wait'"):
        simulate(program, 10, params={"decoder.0.wait": np.zeros(1)})


@pytest.mark.parametrize("draws", [0, -3, 2.5, True])
def test_a_number_of_draws_that_is_none(draws):
    with pytest.raises(ModelError, match="positive number of draws"):
        simulate(centre(3), draws)


def test_factors_are_not_ignored_in_silence():
    @ppl.model
    def pulled():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        ppl.factor("near", -(mu**2))

    with pytest.raises(ModelError, match="factor 'near' reads 'mu', so a simulation would ignore it"):
        simulate(pulled(), 5)
    assert simulate(pulled(), 5, factors="ignore")["mu"].sizes == {"draw": 5}
