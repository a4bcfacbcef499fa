"""Parameters of a fit: whose they are, and where they can be taken."""

from __future__ import annotations

import numpy as np
import pytest

import ppl
from ppl import dist, nn
from ppl.errors import UnknownNameError
from ppl.posterior.posterior import Posterior
from tests.posterior.fits import centre_approximation, factors, factors_fit
from tests.posterior.test_saving import own_network_fit

BACKENDS = ("numpyro", "pyro")


def test_model_params_are_those_of_the_model_alone():
    fit = factors_fit(draws=3)
    assert set(fit.model_params) == {"decoder.0.weight", "decoder.0.bias"}
    for name, array in fit.model_params.items():
        np.testing.assert_array_equal(array, fit.params[name])
    assert centre_approximation().model_params == {}


def test_model_params_hold_the_weights_of_ones_own_network():
    fit = own_network_fit()
    assert set(fit.model_params) == set(fit.compiled.params) == set(fit.params)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_simulation_takes_the_params_of_a_fit(backend: str):
    fit = factors_fit(backend, draws=3)
    program = factors(np.zeros((4, 3)))
    whole = ppl.simulate(program, 5, params=fit.params, backend=backend)
    own = ppl.simulate(program, 5, params=fit.model_params, backend=backend)
    start = ppl.simulate(program, 5, backend=backend)
    np.testing.assert_array_equal(whole["x"], own["x"])
    assert not np.array_equal(whole["x"], start["x"])
    # A program without parameters takes none of them.
    bare = factors_fit(backend, draws=3).guide
    assert bare is not None
    assert ppl.simulate(bare, 5, params=fit.params, backend=backend)["z"].shape == (5, 5, 2)


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_agreement_takes_the_params_of_a_fit(precision: str):
    fit = factors_fit(draws=3)
    table = ppl.agreement(fit.program, params=fit.params, precision=precision)
    assert table.rows == ppl.agreement(fit.program, params=fit.model_params, precision=precision).rows
    assert table.rows != ppl.agreement(fit.program, precision=precision).rows
    assert table.difference < (1e-5 if precision == "float32" else 1e-9)


def test_a_misspelt_parameter_is_found_all_the_same():
    fit = factors_fit(draws=3)
    misspelt = {("decodr" + n.removeprefix("decoder")): a for n, a in fit.model_params.items()}
    for call in (ppl.simulate, ppl.agreement):
        with pytest.raises(
            UnknownNameError, match=r"no parameter 'decodr.0.bias'(.*\n)*.*Did you mean 'decoder.0.bias'"
        ):
            call(fit.program, params=misspelt)
        with pytest.raises(UnknownNameError, match=r"no parameter 'decodr\.0\.bias'"):
            call(fit.program, params={**misspelt, "decoder.0.weight": fit.params["decoder.0.weight"]})


@ppl.model
def two_networks(x):
    one, other = nn.Linear("a b", 2, 1), nn.Linear("a_b", 2, 1)
    with ppl.plate("rows", x) as row:
        ppl.sample("y", dist.Normal(one(row)[0] + other(row)[0], 1.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_networks_whose_names_look_alike_in_python_are_told_apart(backend: str):
    names = ("a b", "a_b")
    params = {f"{n}.0.weight": np.full((1, 2), 1.0 + i) for i, n in enumerate(names)}
    params |= {f"{n}.0.bias": np.zeros(1) for n in names}
    fit = Posterior(
        two_networks(np.eye(2)).observe(y=np.zeros(2)), backend=backend, params=params, log_p=np.zeros((1, 4))
    )
    for i, name in enumerate(names):
        module = fit.network(name)
        if backend == "pyro":
            import torch

            with torch.no_grad():
                found = module(torch.ones(2)).numpy()
        else:
            found = np.asarray(module(np.ones(2, np.float32)))
        np.testing.assert_allclose(found, [2.0 * (1 + i)])
