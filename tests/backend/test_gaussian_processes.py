"""Gaussian processes in emitted code: batches and leading axes, native models, and matrices without a factor."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest
import torch

import ppl
from ppl import dist, nn, ops
from ppl.backend import torch_runtime
from ppl.errors import NonFiniteError
from ppl.inference import ELBO, NUTS, SVI
from ppl.language.dist.definite import missing_diagonal
from ppl.language.dist.kernels import Kernel
from tests.backend.test_family_agreement import jax_gradients
from tests.backend.test_family_gradients import gradients
from tests.reference import symbol

BACKENDS = ("numpyro", "pyro")
k = dist.kernels
GP = dist.GaussianProcess
NUMBERS = np.random.default_rng(0)
TIMES, PLACES = np.linspace(0.0, 3.0, 6), NUMBERS.normal(size=(4, 6, 2))


@ppl.model
def crossed(times):
    """A kernel for each of two latents, and a process for each of four sequences on top of it."""
    lengthscale = ppl.sample("lengthscale", dist.LogNormal(0.0, 0.3))
    with ppl.plate("latents", size=2):
        variance = ppl.sample("variance", dist.LogNormal(0.0, 0.3))
        with ppl.plate("sequences", size=4):
            ppl.sample("z", GP(variance * k.Matern32(lengthscale), times, jitter=0.01))


@ppl.model
def ragged(times):
    """Times of their own for each sequence, and several functions of one kernel."""
    with ppl.plate("sequences", times) as own:
        lengthscale = ppl.sample("lengthscale", dist.LogNormal(0.0, 0.3))
        z = ppl.sample("z", GP(k.RBF(lengthscale), own, jitter=0.1).expand([2]))
        with ppl.plate("frames", z.T) as pair:
            ppl.sample("x", dist.Normal(ops.sum(pair), 1.0))


@ppl.model
def deep(places):
    """A kernel on what a network makes of the rows, a mean function, and values given elsewhere."""
    net = nn.MLP("net", [2, 5, 3], activation="tanh")
    with ppl.plate("sequences", places) as rows:
        with ppl.plate("rows", rows) as row:
            h = net(row)
        scales = ppl.sample("scales", dist.LogNormal(0.0, 0.3).expand([3]))
        kernel = k.RBF(scales) + k.Linear([1.0, 2.0, 0.5])
        f = ppl.sample("f", GP(kernel, h, mean=lambda r: r[0], noise=0.1).expand([2]))
        ppl.sample("y", GP(kernel, h[:2], noise=0.1).condition(h, f[0] - f[1], noise=0.2))


PROGRAMS: dict[str, ppl.Program] = {
    "crossed": crossed(TIMES),
    "ragged": ragged(TIMES + PLACES[..., 0]),
    "deep": deep(PLACES),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_backends_and_native_models_agree(name: str) -> None:
    """In float64; the processes of the zoo are compared in float32 as well."""
    table = ppl.agreement(PROGRAMS[name], precision="float64")
    assert not table.left_out
    assert table.difference < 1e-9, f"\n{table}"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["ragged", "deep"])
def test_draws_lead(name: str, backend: str) -> None:
    """Densities of many draws at once are those of each alone."""
    model = ppl.compile(PROGRAMS[name], backend, precision="float64")
    draws = model.simulate((3,), key=model.backend.key(0))
    values = {n: model.backend.to_numpy(draws[n]) for n in PROGRAMS[name].sites}
    together = model.backend.to_numpy(model.log_density(values))
    alone = [float(model.log_density({n: v[i] for n, v in values.items()})) for i in range(3)]
    np.testing.assert_allclose(together, alone, rtol=1e-12)


EQUAL = np.array([[0.3, -1.0], [0.3, -1.0], [0.5, 0.2]])


@pytest.mark.parametrize("kernel", [k.Matern12(0.7), k.Matern32([0.7, 1.5]), k.Matern52(0.7)], ids=repr)
def test_equal_rows_have_finite_gradients(kernel: Kernel) -> None:
    """Where the inputs are unknown themselves: the distance has a kink at zero."""
    root = ops.sum(kernel(symbol("x", (3, 2))) * np.arange(9.0).reshape(3, 3))
    _, by_torch = gradients(root, {"x": EQUAL}, "float64")
    with jax.enable_x64(True):
        _, by_jax = jax_gradients(root, {"x": EQUAL})
    assert np.isfinite(by_torch["x"]).all() and np.abs(by_torch["x"][2]).min() > 0.0
    np.testing.assert_allclose(by_jax["x"], by_torch["x"], rtol=1e-10)


# --- matrices that are not positive definite --------------------------------------------------------------------------


def test_torch_has_no_factor_where_jax_has_none() -> None:
    """One matrix of a batch without a factor is NaN; the others keep values and gradients."""
    good, bad = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 2.0], [2.0, 1.0]])
    both = torch.tensor(np.stack([good, bad]), requires_grad=True)
    factors = torch_runtime.cholesky(both)
    assert torch.isnan(factors[1]).any()
    np.testing.assert_allclose(factors[0].detach(), np.linalg.cholesky(good), rtol=1e-12)
    (gradient,) = torch.autograd.grad(factors[0].sum(), both)
    alone = torch.tensor(good, requires_grad=True)
    (wanted,) = torch.autograd.grad(torch.linalg.cholesky(alone).sum(), alone)
    np.testing.assert_allclose(gradient[0], wanted, rtol=1e-12)


@ppl.model
def near(X, jitter: float = 0.0):
    lengthscale = ppl.sample("lengthscale", dist.LogNormal(3.0, 0.1))
    f = ppl.sample("f", GP(k.RBF(lengthscale), X, jitter=jitter))
    with ppl.plate("rows", (X, f)) as (_, height):
        ppl.sample("y", dist.Normal(height, 0.1))


@ppl.model
def near_data(X, jitter: float = 0.0):
    lengthscale = ppl.sample("lengthscale", dist.LogNormal(3.0, 0.1))
    ppl.sample("y", GP(k.RBF(lengthscale), X, jitter=jitter))


X = np.linspace(0.0, 1.0, 60)
RUNS: dict[str, tuple[Any, str, Any]] = {
    "SVI": (near, "f", SVI(ELBO(particles=2), steps=5, progress=False)),
    "NUTS": (near_data, "y", NUTS(chains=1, draws=2, warmup=2, progress=False)),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", RUNS)
def test_a_kernel_matrix_without_a_factor_is_named_with_the_jitter_to_use(name: str, backend: str) -> None:
    model, site, method = RUNS[name]
    with pytest.raises(NonFiniteError, match="its log density is not finite") as caught:
        ppl.infer(model(X).observe(y=np.sin(X)), method, backend=backend)
    error = caught.value
    assert error.site == site
    assert "lengthscale = " in str(error.got)
    remedy = str(error.remedy)
    assert "Its kernel matrix is not positive definite in float32: pass jitter=1e-05" in remedy
    assert "(it has 0), give it noise, leave out rows of X that are equal, or work in precision=" in remedy


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_simulation_says_the_same(backend: str) -> None:
    with pytest.raises(NonFiniteError, match=r"site 'f'.*its draw is not finite in a simulation") as caught:
        ppl.simulate(near(X), 2, backend=backend)
    assert "pass jitter=1e-05 to GaussianProcess (it has 0)" in str(caught.value)


@pytest.mark.parametrize("backend", BACKENDS)
def test_with_that_jitter_the_density_is_there(backend: str) -> None:
    model = ppl.compile(near_data(X, jitter=1e-5).observe(y=np.sin(X)), backend)
    for lengthscale in (0.3, 1.0, 20.0):
        assert np.isfinite(float(model.log_density({"lengthscale": lengthscale})))


def test_how_much_a_diagonal_lacks() -> None:
    good, bad = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([[1.0, 2.0], [2.0, 1.0]])
    lacking = missing_diagonal(np.stack([good, bad]))
    assert lacking is not None and lacking == pytest.approx(1.0)
    np.linalg.cholesky(bad + lacking * np.eye(2))
    for fine in (good, np.stack([good, good]), bad * np.nan, np.zeros((0, 2, 2))):
        assert missing_diagonal(fine) is None


def test_the_remedy_of_a_conditional_process_looks_at_what_is_given_first() -> None:
    item = GP(k.RBF(), X[:2], jitter=0.1).condition(X[2:4], [0.0, 0.0], jitter=1e-3)
    good, bad = np.eye(2), np.ones((2, 2)) * [[1.0], [1.5]]
    assert set(item.facts()) == {"lengthscale", "variance", "covariance", "given covariance"}
    assert "(it has 0.001)" in str(item.remedy({"covariance": bad * np.nan, "given covariance": bad}))
    assert "(it has 0.1)" in str(item.remedy({"covariance": bad, "given covariance": good}))
    assert item.remedy({"covariance": good, "given covariance": good}) is None
    assert item.remedy({}) is None
