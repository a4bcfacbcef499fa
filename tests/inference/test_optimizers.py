"""Optimisers: the same path on JAX, on torch, and on torch compiled; states that move between kinds of step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ppl
from ppl import dist
from ppl.backend.compiled import get_backend
from ppl.backend.torch_optimization import TorchOptimization
from ppl.backend.torch_steps import EagerStep, FusedStep
from ppl.inference import SGD, SVI, Adam, AdamW, AutoDelta, AutoNormal, RMSprop, Schedule
from ppl.inference.optimizers import Optimizer
from ppl.inference.svi import SVIRun
from tests.inference.cases import CASES

FALLING = Schedule(kind="cosine", steps=40)
OPTIMIZERS: dict[str, Optimizer] = {
    "adam": Adam(0.05),
    "adam with its own settings": Adam(0.05, beta1=0.8, beta2=0.95, eps=1e-4),
    "adam falling": Adam(0.05, schedule=FALLING),
    "adam clipped": Adam(0.05, clip_norm=0.5),
    "adamw": AdamW(0.05, weight_decay=0.1),
    "adamw falling": AdamW(0.05, weight_decay=0.1, schedule=Schedule(kind="exponential", steps=20)),
    "sgd": SGD(0.005),
    "sgd with momentum": SGD(0.002, momentum=0.9),
    "sgd clipped and falling": SGD(0.05, clip_norm=1.0, schedule=FALLING),
    "rmsprop": RMSprop(0.02),
}


def start(optimizer: Optimizer, backend: str, *, compile: bool = False) -> SVIRun:
    """A fit without noise: a point guide."""
    method = SVI(guide=AutoDelta(), optimizer=optimizer, compile=compile, progress=False)
    return method.start(CASES["regression"].build(), get_backend(backend), 0, "float64")


def step_of(run: SVIRun) -> object:
    assert isinstance(run.optimization, TorchOptimization)
    return run.optimization.step


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_all_three_take_the_same_path(name: str):
    optimizer = OPTIMIZERS[name]
    jax_run, eager, fused = (
        start(optimizer, "numpyro"),
        start(optimizer, "pyro"),
        start(optimizer, "pyro", compile=True),
    )
    assert isinstance(step_of(eager), EagerStep)
    assert isinstance(step_of(fused), FusedStep)
    # What torch.compile would compile is run as it stands; that compiling changes nothing is another test.
    with torch.compiler.set_stance("force_eager"):
        paths = [run.advance(30) for run in (jax_run, eager, fused)]
    # The losses are large numbers; what tells the paths apart is how they fall.
    assert paths[0][-1] > paths[0][0] + 0.1
    np.testing.assert_allclose(paths[2], paths[1], rtol=1e-12)
    # optax computes falling rates in float32.
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-7 if optimizer.schedule else 1e-12)
    wanted = jax_run.params()
    for run in (eager, fused):
        for key, value in run.params().items():
            np.testing.assert_allclose(value, wanted[key], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("first", [False, True])
def test_a_state_is_continued_by_the_other_kind_of_step(name: str, first: bool):
    whole, begun = (start(OPTIMIZERS[name], "pyro", compile=first) for _ in range(2))
    other = start(OPTIMIZERS[name], "pyro", compile=not first)
    with torch.compiler.set_stance("force_eager"):
        path = whole.advance(20)
        begun.advance(12)
        other.optimization.restore(begun.optimization.state())
        np.testing.assert_allclose(other.advance(8), path[12:], rtol=1e-12)


def test_compiling_changes_nothing_but_the_speed():
    program = CASES["regression"].build()
    runs = [
        SVI(guide=AutoNormal(), optimizer=Adam(0.02, schedule=FALLING), compile=compile, progress=False).start(
            program, get_backend("pyro"), 0, "float64"
        )
        for compile in (False, True)
    ]
    paths = [run.advance(20) for run in runs]
    np.testing.assert_allclose(paths[1], paths[0], rtol=1e-11)


def test_every_fit_has_a_code_object_of_its_own():
    """torch.compile counts graphs by code object, and stops compiling after a few of them without an error."""
    steps = [step_of(start(Adam(0.05), "pyro", compile=True)) for _ in range(2)]
    codes = [s.code for s in steps if isinstance(s, FusedStep)]
    assert len(codes) == 2
    assert codes[0] is not codes[1]


def test_samplers_with_a_generator_are_compiled_around():
    """A Gamma guide draws by torch's own sampler, which no graph can hold; the fit says the same as the eager one."""

    @ppl.model
    def model():
        rate = ppl.sample("rate", dist.Gamma(2.0, 1.0))
        with ppl.plate("rows", size=5):
            ppl.sample("n", dist.Poisson(rate))

    @ppl.model
    def guide():
        shape = ppl.param("shape", 3.0, support=dist.support.positive)
        ppl.sample("rate", dist.Gamma(shape, 1.0))

    program = model().observe(n=np.array([1, 0, 3, 2, 2]))
    run = SVI(guide=guide(), compile=True, progress=False).start(program, get_backend("pyro"), 0, "float64")
    assert isinstance(step_of(run), EagerStep)
    eager = SVI(guide=guide(), progress=False).start(program, get_backend("pyro"), 0, "float64")
    with torch.compiler.set_stance("force_eager"):
        np.testing.assert_allclose(run.advance(10), eager.advance(10), rtol=1e-12)
