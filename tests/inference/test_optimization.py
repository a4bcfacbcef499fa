"""Running optimisations: how their state is stored, taken back, and continued."""

from __future__ import annotations

from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import ppl
from ppl import dist, nn, ops
from ppl.backend.compiled import get_backend
from ppl.backend.jax_optimization import JaxOptimization, long_factors
from ppl.errors import NonFiniteError
from ppl.inference import SGD, SVI, Adam, AutoDelta, AutoNormal
from ppl.inference.svi import SVIRun
from tests.inference.cases import BACKENDS, CASES


@ppl.model
def curve(x):
    net = nn.MLP("net", [3, 16, 5, 1], "tanh")
    names = nn.Embedding("names", 12, 3)
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("rows", x) as (row, group):
        ppl.sample("y", dist.Normal(net(row + names(group))[0], noise))


RNG = np.random.default_rng(11)
X = RNG.normal(size=(30, 3))
GROUP = np.arange(30) % 12
Y = np.sin(X[:, 0]) + 0.1 * RNG.normal(size=30)
PROGRAM = curve((X, GROUP)).observe(y=Y)
# Weights of layers lie (out, in): 16 x 3 and 5 x 16, then 1 x 5; the table of names is 12 x 3 and is gathered from.
LONG = frozenset({"net.0.weight"})
# Backends, and whether steps are compiled; what torch.compile would compile is run as it stands.
WAYS = [("numpyro", False), ("pyro", False), ("pyro", True)]


def start(backend: str, **settings) -> SVIRun:
    """A fit without noise: a point guide."""
    method = SVI(**({"guide": AutoDelta(), "optimizer": Adam(0.02), "progress": False} | settings))
    return method.start(PROGRAM, get_backend(backend), 0, "float64")


def test_matrices_of_products_are_stored_with_the_short_axis_first():
    run = start("numpyro")
    assert isinstance(run.optimization, JaxOptimization)
    run.advance(3)
    assert run.optimization.turned == LONG
    assert run.optimization.carry[0]["net.0.weight"].shape == (3, 16)
    assert run.optimization.carry[0]["net.2.weight"].shape == (5, 16)
    assert run.optimization.params()["net.0.weight"].shape == (16, 3)
    assert run.optimization.state().keys() >= {"leaf.0", "key"}


def test_what_else_reads_a_matrix_leaves_it_as_it_is():
    params = {n: jnp.ones((4, 2)) for n in "abcdef"} | {"square": jnp.ones((2, 2)), "wide": jnp.ones((2, 4))}
    x = jnp.ones((3, 2))

    def loss(p):
        products = (x @ p["a"].T).sum() + (p["b"] @ jnp.ones(2)).sum() + (x @ p["square"].T).sum()
        rows = p["c"][jnp.array([1, 2])].sum() + (x @ p["c"].T).sum()
        penalty = (p["d"] ** 2).sum() + (x @ p["d"].T).sum()
        return products + rows + penalty + (x @ p["wide"]).sum()

    assert long_factors(loss, {k: v for k, v in params.items() if k not in "ef"}) == {"a", "b"}
    # A matrix that is returned, or read by nobody.
    assert long_factors(lambda p: p["e"], {k: params[k] for k in "ef"}) == {"f"}


def test_both_backends_take_the_same_path_through_networks():
    runs = [start(b) for b in BACKENDS]
    paths = [run.advance(30) for run in runs]
    assert paths[0][-1] > paths[0][0] + 1.0
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-9)
    wanted = runs[0].params()
    for key, value in runs[1].params().items():
        np.testing.assert_allclose(value, wanted[key], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_states_and_chunks_lead_to_one_path(backend: str):
    whole = start(backend).advance(20)
    pieces, other = start(backend), start(backend)
    np.testing.assert_array_equal(pieces.advance(10), whole[:10])
    other.optimization.restore(pieces.optimization.state())
    np.testing.assert_array_equal(-other.optimization.run(10, {}), whole[10:])
    np.testing.assert_array_equal(pieces.advance(10), whole[10:])


@pytest.mark.parametrize("backend", BACKENDS)
def test_checkpoint_of_networks(backend: str, tmp_path: Path):
    method = {"guide": AutoNormal(), "batch_size": 8, "checkpoint_every": 10, "chunk": 5, "draws": 2, "progress": False}
    whole = ppl.infer(PROGRAM, SVI(steps=20, **method), backend=backend)
    path = tmp_path / "fit.npz"
    ppl.infer(PROGRAM, SVI(steps=10, checkpoint=path, **method), backend=backend)
    continued = ppl.infer(PROGRAM, SVI(steps=20, checkpoint=path, **method), backend=backend)
    np.testing.assert_array_equal(continued.diagnostics["objective"], whole.diagnostics["objective"])
    assert continued.params["net.0.weight"].shape == (16, 3)
    for name, array in whole.params.items():
        np.testing.assert_array_equal(continued.params[name], array, err_msg=name)


@pytest.mark.parametrize(("backend", "compile"), WAYS)
def test_a_failing_chunk_ends_where_the_good_steps_end(backend: str, compile: bool):
    method = SVI(guide=AutoNormal(), optimizer=SGD(10.0), batch_size={"rows": 4}, compile=compile, progress=False)

    def begin() -> SVIRun:
        return method.start(CASES["regression"].build(), get_backend(backend), 0, "float32")

    failing, stopping = begin(), begin()
    with torch.compiler.set_stance("force_eager"):
        with pytest.raises(NonFiniteError, match="not finite at step"):
            failing.advance(40)
        assert 0 < failing.steps_done < 40
        objective = stopping.advance(failing.steps_done)
    np.testing.assert_array_equal(failing.trace, objective)
    wanted = stopping.optimization.state()
    for name, array in failing.optimization.state().items():
        np.testing.assert_array_equal(array, wanted[name], err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_computed_ahead_are_the_rows(backend: str):
    method = SVI(guide=AutoNormal(), batch_size=8, progress=False)
    ahead, plain = (method.start(PROGRAM, get_backend(backend), 0, "float32") for _ in range(2))
    for run, start, steps in ((ahead, 0, 5), (ahead, 5, 4), (ahead, 9, 5)):
        expected = plain.rows(start, steps)["rows"]
        run.rows.prepare(start, steps)
        np.testing.assert_array_equal(run.rows(start, steps)["rows"], expected)
    np.testing.assert_array_equal(ahead.rows(2, 3)["rows"], plain.rows(2, 3)["rows"])


@ppl.model
def cusp():
    """From a = 2 the first step of SGD(0.5) ends in a = 1, where the loss is finite and its gradient is 0 / 0."""
    a = ppl.param("a", 2.0)
    ppl.sample("x", dist.Normal(0.0, 1.0))
    ppl.factor("cost", -0.5 * (a - 1.0) ** 2 - ops.sqrt((a - 1.0) ** 2))


@pytest.mark.parametrize(("backend", "compile"), WAYS)
@pytest.mark.parametrize("steps", [2, 6])
def test_a_step_with_a_gradient_that_is_not_finite_is_not_taken(backend: str, compile: bool, steps: int):
    method = SVI(guide=AutoDelta(), optimizer=SGD(0.5, momentum=0.5), compile=compile, progress=False)
    run = method.start(cusp(), get_backend(backend), 0, "float32")
    with (
        torch.compiler.set_stance("force_eager"),
        pytest.raises(NonFiniteError, match=r"site 'cost'.*its gradient is not finite at step 1 of the fit"),
    ):
        run.advance(steps)
    assert run.steps_done == len(run.trace) == 1
    assert run.params()["a"] == 1.0
    assert all(np.isfinite(array).all() for array in run.optimization.state().values() if array.dtype.kind == "f")
