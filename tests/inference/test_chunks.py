"""Particles in chunks: the same numbers as all at once, and memory that does not grow with their number."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

import ppl
from ppl import dist
from ppl.backend.compiled import get_backend
from ppl.errors import PPLError, StrategyError, UnsupportedByBackend
from ppl.inference import MVD, SVI, Adam, AutoNormal, Enumerate, LeaveOneOut, Reinforce, Reparam
from ppl.inference import objective as obj
from ppl.inference.objective import guide, model
from tests.inference.cases import BACKENDS, CASES
from tests.inference.gradient_oracle import GRAPHS, noise_of, start, value_and_gradient
from tests.inference.test_surrogate import IMAGES, encoder, vae

w = obj.log_weight(model, guide)


def bound(size: int, chunk: int | None) -> Any:
    return obj.logmeanexp(w, over=obj.particles("k", size, chunk=chunk))


def wake(size: int, chunk: int | None) -> Any:
    k = obj.particles("k", size, chunk=chunk)
    q = obj.expect(obj.log_density(guide), under=obj.sir(model, guide, over=k).detach())
    return {"model": obj.logmeanexp(w, over=k), "guide": q}


def mean_of_bounds(size: int, chunk: int | None) -> Any:
    k, m = obj.particles("k", 3), obj.particles("m", size, chunk=chunk)
    return obj.mean(obj.logmeanexp(w, over=k), over=m)


def power(size: int, chunk: int | None) -> Any:
    k = obj.particles("k", size, chunk=chunk)
    return obj.function("square", obj.mean(w, over=k)) + obj.total(obj.softmax(w, over=k) * w, over=k)


GAUSSIAN = {"z": Reparam("dreg"), "y": Reparam("dreg")}
CHUNKED: dict[str, tuple[str, Any, Any]] = {
    "linear": ("gaussians", lambda n, c: obj.mean(w, over=obj.particles("k", n, chunk=c)), {}),
    "coupled": ("gaussians", bound, {}),
    "doubly reparameterised": ("gaussians", bound, GAUSSIAN),
    "leave one out": ("bernoulli_chain", bound, {"b": Reinforce(LeaveOneOut()), "c": Enumerate()}),
    "measure-valued": ("mixed", bound, {"b": MVD()}),
    "wake": ("bernoulli_chain", wake, {}),
    "outer axis": ("local", mean_of_bounds, {}),
    "any function": ("bernoulli_chain", power, {}),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CHUNKED)
def test_chunks_change_nothing(name: str, backend: str) -> None:
    """Seven particles, three at a time: the last chunk is smaller."""
    graph, objective, strategies = CHUNKED[name]
    results = []
    for chunk in (None, 3):
        own = GRAPHS[graph]()
        method = SVI(objective=objective(7, chunk), guide=own.programs(4)[1], strategies=strategies, progress=False)
        run = start(own, method, 4, backend)
        results.append(value_and_gradient(run, noise_of(run, 1)))
    (value, grads), (other, others) = results
    assert other == pytest.approx(value, rel=1e-11)
    for key in grads:
        np.testing.assert_allclose(others[key], grads[key], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_and_networks_in_chunks(backend: str) -> None:
    program = vae(IMAGES).observe(x=IMAGES)
    results = []
    for chunk in (None, 2):
        method = SVI(objective=bound(6, chunk), guide=encoder(IMAGES), batch_size=8, progress=False)
        run = method.start(program, get_backend(backend), 0, "float64")
        results.append(value_and_gradient(run, noise_of(run, 1), {n: v[0] for n, v in run.rows(0, 1).items()}))
    (value, grads), (other, others) = results
    assert other == pytest.approx(value, rel=1e-11)
    for key in grads:
        np.testing.assert_allclose(others[key], grads[key], rtol=1e-9, atol=1e-10)


def test_memory_is_flat_in_the_number_of_particles() -> None:
    program = vae(IMAGES).observe(x=IMAGES)

    def bytes_needed(size: int, chunk: int | None) -> int:
        method = SVI(objective=bound(size, chunk), guide=encoder(IMAGES), progress=False)
        run = method.start(program, get_backend("numpyro"), 0, "float32")
        begin = run.space.unconstrain({**run.model.params, **run.guide.params})
        data = run.guide.bind(run.surrogate.emitted, run.model.program.data)
        noise = {k: np.float32(v) for k, v in noise_of(run, 1).items()}
        grad = jax.jit(jax.value_and_grad(run.surrogate.loss))
        plan = grad.lower({k: np.float32(v) for k, v in begin.items()}, {}, data, noise, {}).compile()
        memory = plan.memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes

    few, many = bytes_needed(16, 8), bytes_needed(128, 8)
    # What grows are the log weights: one number a particle and row.
    assert many - few <= 6 * (128 - 16) * len(IMAGES) * 4
    assert many < 0.25 * bytes_needed(128, None)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fit_in_chunks_runs(backend: str) -> None:
    method = SVI(bound(10, 4), guide=AutoNormal(), optimizer=Adam(0.05), steps=20, draws=5, progress=False)
    fit = ppl.infer(CASES["groups"].build(), method, backend=backend)
    assert np.isfinite(fit.diagnostics["objective"]).all()


@ppl.model
def rates():
    r = ppl.sample("r", dist.Gamma(2.0, 1.0))
    ppl.sample("y", dist.Poisson(r))


@ppl.model
def gamma():
    ppl.sample("r", dist.Gamma(ppl.param("a", 2.0, support=dist.support.positive), 1.0))


REFUSED: dict[str, tuple[Any, type[PPLError], str]] = {
    "a library's sampler": (
        lambda: SVI(bound(6, 2), guide=gamma()).start(rates().observe(y=3), get_backend("pyro"), 0, "float64"),
        UnsupportedByBackend,
        "own sampler",
    ),
    "two axes": (
        lambda: SVI(
            obj.mean(obj.logmeanexp(w, over=obj.particles("k", 4, chunk=2)), over=obj.particles("m", 4, chunk=2)),
            guide=gamma(),
        ).check(rates().observe(y=3)),
        StrategyError,
        "two axes of particles",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    build, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        build()
