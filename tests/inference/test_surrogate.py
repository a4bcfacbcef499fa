"""The loss that is differentiated: equal on both backends at equal noise, and right at minibatches."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch

import ppl
from ppl import dist, nn, ops
from ppl.backend.compiled import get_backend
from ppl.inference import ELBO, IWELBO, SVI, AutoDelta, AutoMultivariateNormal, AutoNormal
from ppl.inference.svi import SVIRun
from tests.inference.cases import BACKENDS, CASES


@ppl.model
def positive(size: int = 5):
    scale = ppl.sample("scale", dist.Gamma(2.0, 1.0))
    shares = ppl.sample("shares", dist.Dirichlet(ops.ones(3)))
    with ppl.plate("rows", size=size):
        rate = ppl.sample("rate", dist.HalfNormal(scale))
        ppl.sample("y", dist.Normal(rate * shares[0], 0.5))


@ppl.model
def vae(images, latent: int = 2):
    decoder = nn.MLP("decoder", [latent, 16, 6], activation="tanh")
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)))


@ppl.model
def encoder(images, latent: int = 2):
    net = nn.MLP("encoder", [6, 16, 2 * latent])
    with ppl.plate("images", images) as image:
        h = net(image)
        ppl.sample("z", dist.Normal(h[:latent], ops.exp(h[latent:])))


IMAGES = (np.random.default_rng(3).random((40, 6)) < 0.4).astype(np.float64)


def _vae(**kwargs) -> tuple[ppl.Program, SVI]:
    return vae(IMAGES).observe(x=IMAGES), SVI(guide=encoder(IMAGES), progress=False, **kwargs)


def _simple(program: ppl.Program, guide) -> tuple[ppl.Program, SVI]:
    return program, SVI(guide=guide, progress=False)


POSITIVE = positive().observe(y=np.array([0.3, 0.1, 0.7, 0.2, 0.4]))
PROGRAMS = {
    "vae": _vae(),
    "vae analytic": _vae(objective=ELBO(3, analytic_kl=True)),
    "vae iwelbo": _vae(objective=IWELBO(5)),
    "vae minibatch": _vae(batch_size=16),
    "regression full": _simple(CASES["regression"].build(), AutoMultivariateNormal()),
    "groups normal": _simple(CASES["groups"].build(), AutoNormal()),
    "positive normal": _simple(POSITIVE, AutoNormal()),
    "positive full": _simple(POSITIVE, AutoMultivariateNormal()),
    "positive point": _simple(POSITIVE, AutoDelta()),
}


def loss_and_gradient(run: SVIRun, noise: dict, rows: dict) -> tuple[float, dict[str, np.ndarray]]:
    """One value and its gradient at the starting parameters, as numpy arrays."""
    backend, precision = run.model.backend, run.model.precision
    start = run.space.unconstrain({**run.model.params, **run.guide.params})
    data = run.guide.bind(run.surrogate.emitted, run.model.program.data)
    noise = {k: backend.array(v, "float", precision) for k, v in noise.items()}
    kinds = {"f": "float"}
    index = {k: backend.array(v, kinds.get(np.asarray(v).dtype.kind, "int"), precision) for k, v in rows.items()}
    params = {k: backend.array(v, "float", precision) for k, v in start.items()}
    if backend.name == "pyro":
        leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
        value = run.surrogate.loss(leaves, {}, data, noise, index)
        grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        return value.item(), {k: g.numpy() for k, g in zip(leaves, grads, strict=True) if g is not None}
    with backend.context(precision):
        value, grads = jax.jit(jax.value_and_grad(run.surrogate.loss))(params, {}, data, noise, index)
    return float(value), {k: np.asarray(g) for k, g in grads.items()}


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_backends_give_equal_loss_and_gradient(name: str, precision: str, tolerance: float) -> None:
    program, method = PROGRAMS[name]
    results = []
    for backend in BACKENDS:
        run = method.start(program, get_backend(backend), 0, precision)
        generator = np.random.default_rng(5)
        noise = {n.name: generator.normal(size=n.shape) for n in run.surrogate.noise}
        results.append(loss_and_gradient(run, noise, {k: v[0] for k, v in run.rows(0, 1).items()}))
    (first, grads), (second, others) = results
    assert abs(first - second) <= tolerance * max(1.0, abs(first))
    assert grads.keys() >= others.keys()
    for key, grad in others.items():
        np.testing.assert_allclose(grads[key], grad, rtol=tolerance, atol=tolerance * max(1.0, np.abs(grad).max()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_average_to_the_whole(backend: str) -> None:
    """Over one epoch the minibatch losses average to the full loss, gradients too, when each row keeps its noise."""
    program, whole = _vae()
    full = whole.start(program, get_backend(backend), 0, "float64")
    noise = np.random.default_rng(6).normal(size=(40, 2))
    value, grads = loss_and_gradient(full, {"z": noise}, {})
    _, part = _vae(batch_size=8)
    run = part.start(program, get_backend(backend), 0, "float64")
    values, sums = [], {}
    for rows in run.rows(0, 5)["images"]:
        one, grad = loss_and_gradient(run, {"z": noise[rows]}, {"images": rows})
        values.append(one)
        sums = {k: sums.get(k, 0.0) + g / 5 for k, g in grad.items()}
    assert np.mean(values) == pytest.approx(value, rel=1e-10)
    for key, grad in grads.items():
        np.testing.assert_allclose(sums[key], grad, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_scale_local_parameters_and_not_global_ones(backend: str) -> None:
    """A global latent with a subsampled likelihood: the same bound on average as with all rows."""
    program = CASES["regression"].build()
    guide = AutoNormal()
    full = SVI(guide=guide, progress=False).start(program, get_backend(backend), 0, "float64")
    part = SVI(guide=guide, batch_size={"rows": 4}, progress=False).start(program, get_backend(backend), 0, "float64")
    generator = np.random.default_rng(7)
    noise = {n.name: generator.normal(size=n.shape) for n in full.surrogate.noise}
    value, grads = loss_and_gradient(full, noise, {})
    values, sums = [], {}
    for rows in part.rows(0, 3)["rows"]:
        one, grad = loss_and_gradient(part, noise, {"rows": rows})
        values.append(one)
        sums = {k: sums.get(k, 0.0) + g / 3 for k, g in grad.items()}
    assert np.mean(values) == pytest.approx(value, rel=1e-10)
    for key, grad in grads.items():
        np.testing.assert_allclose(sums[key], grad, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_are_a_permutation_each_epoch(backend: str) -> None:
    program, method = _vae(batch_size=8)
    run = method.start(program, get_backend(backend), 0, "float32")
    rows = run.rows(0, 10)["images"]
    assert sorted(rows[:5].ravel()) == list(range(40))
    assert sorted(rows[5:].ravel()) == list(range(40))
    assert not np.array_equal(rows[:5], rows[5:])
    np.testing.assert_array_equal(run.rows(3, 4)["images"], rows[3:7])


def test_iwelbo_places_plates() -> None:
    """Local latents: one logarithm for each row. A global latent: the sum over rows inside one logarithm."""
    program, method = _vae(objective=IWELBO(5))
    source = method.start(program, get_backend("numpyro"), 0, "float32").surrogate.emitted.source
    assert "logsumexp(" in source and ".sum(-1)" in source
    groups = CASES["groups"].build()
    run = SVI(objective=IWELBO(5), guide=AutoNormal(), progress=False).start(
        groups, get_backend("numpyro"), 0, "float64"
    )
    noise = {n.name: np.random.default_rng(1).normal(size=n.shape) for n in run.surrogate.noise}
    value, _ = loss_and_gradient(run, noise, {})
    one = SVI(objective=ELBO(1), guide=AutoNormal(), progress=False).start(groups, get_backend("numpyro"), 0, "float64")
    weights = []
    for k in range(5):
        loss, _ = loss_and_gradient(one, {n: v[k] for n, v in noise.items()}, {})
        weights.append(-loss)
    top = max(weights)
    by_hand = top + np.log(np.mean(np.exp(np.array(weights) - top)))
    assert -value == pytest.approx(by_hand, rel=1e-10)
