import numpy as np
import pytest

import ppl
from ppl import dist, nn
from ppl.errors import ModelError, UnknownNameError, UnsupportedByBackend
from ppl.posterior.posterior import Posterior
from tests.posterior.fits import centre_approximation, factors_fit, regression_fit
from tests.posterior.test_saving import make_jax, make_torch, own_network_fit

BACKENDS = ("numpyro", "pyro")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fit_means_the_same_on_the_other_backend(backend):
    other = BACKENDS[1 - BACKENDS.index(backend)]
    fit = regression_fit(backend, draws=5)
    moved = fit.to_backend(other)
    assert (moved.backend, fit.backend) == (other, backend)
    np.testing.assert_allclose(moved.log_likelihood["y"], fit.log_likelihood["y"], rtol=1e-9)
    assert moved.predict()["y"].sizes == {"chain": 2, "draw": 5, "rows": 6}
    assert {"torch", "jax"} & set(moved.versions)


def test_networks_move_by_name():
    fit = factors_fit(draws=5)
    moved = fit.to_backend("numpyro")
    np.testing.assert_allclose(moved.log_likelihood["x"], fit.log_likelihood["x"], rtol=1e-3)
    images = np.ones((2, 3))
    a, b = fit.predict(images=images)["z"].values, moved.predict(images=images)["z"].values
    np.testing.assert_allclose(a.mean((0, 1)), b.mean((0, 1)), atol=0.05)


def test_unknown_backends():
    with pytest.raises(UnknownNameError, match="no backend 'stan'"):
        regression_fit(draws=2).to_backend("stan")


def test_a_network_of_the_user_s_own_moves_if_its_weights_agree():
    fit = own_network_fit()
    moved = fit.to_backend("numpyro")
    np.testing.assert_allclose(moved.log_likelihood["y"], fit.log_likelihood["y"], rtol=1e-9)


def one_sided(torch, jax, params) -> Posterior:
    @ppl.model
    def model(X):
        net = nn.module("net", torch=torch, jax=jax, out_shape=1)
        with ppl.plate("rows", X) as x:
            ppl.sample("y", dist.Normal(net(x)[0], 1.0))

    return Posterior(model(np.eye(2)).observe(y=np.zeros(2)), params=params, log_p=np.zeros((1, 4)))


def test_a_network_with_weights_of_one_side_only_stays():
    weights = {"net.weight": np.ones((1, 2)), "net.bias": np.ones(1)}
    with pytest.raises(UnsupportedByBackend, match="given no `torch` factory"):
        one_sided(None, make_jax, weights).to_backend("pyro")

    def wide():
        import torch

        return torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.Linear(4, 1))

    with pytest.raises(UnsupportedByBackend, match="moving the weights of your own network 'net'"):
        one_sided(wide, make_jax, weights).to_backend("pyro")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_fitted_network_as_a_module(backend):
    fit = factors_fit(backend)
    z = np.array([0.3, -0.7], dtype=np.float32)
    wanted = fit.params["decoder.0.weight"] @ z + fit.params["decoder.0.bias"]
    module = fit.network("decoder")
    if backend == "pyro":
        import torch

        assert isinstance(module, torch.nn.Module)
        found = module(torch.as_tensor(z)).detach().numpy()
    else:
        import equinox

        assert isinstance(module, equinox.Module)
        found = np.asarray(fit.network("decoder")(z))
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert fit.network("encoder") is not None


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fitted_network_of_the_user_s_own(backend):
    module = own_network_fit().to_backend(backend).network("net")
    weight = module.weight.detach().numpy() if backend == "pyro" else np.asarray(module.weight)
    np.testing.assert_allclose(weight, [[1.0, 2.0]])
    assert make_torch()


def test_networks_that_are_none():
    with pytest.raises(UnknownNameError, match=r"no network 'decode'.*\n.*'decoder'"):
        factors_fit(draws=2).network("decode")
    with pytest.raises(UnknownNameError, match="no network 'net'"):
        centre_approximation(5).network("net")

    @ppl.model
    def bayesian(X):
        net = nn.Linear("net", 2, 1, prior=dist.Normal(0.0, 1.0))
        with ppl.plate("rows", X) as x:
            ppl.sample("y", dist.Normal(net(x)[0], 1.0))

    draws = {"net.0.weight": np.zeros((1, 3, 1, 2)), "net.0.bias": np.zeros((1, 3, 1))}
    fit = Posterior(bayesian(np.eye(2)).observe(y=np.zeros(2)), backend="pyro", draws=draws)
    with pytest.raises(ModelError, match=r"weights of network 'net' are random sites(.|\n)*net\.0\.weight"):
        fit.network("net")
    assert fit.predict()["y"].sizes == {"chain": 1, "draw": 3, "rows": 2}
