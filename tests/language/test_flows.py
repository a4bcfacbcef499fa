"""Normalizing flows: determinants by automatic differentiation, both directions, both backends, and what is refused."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import ppl
from ppl import dist, nn
from ppl.backend.compiled import Compiled

BACKENDS = ("numpyro", "pyro")
SIZE, CONTEXT, ROWS = 5, 2, 2
NUMBERS = np.random.default_rng(0)
X = 1.5 * NUMBERS.normal(size=(ROWS, SIZE))
# Beyond the interval of the splines there are tails.
X[0, 1], X[1, 4] = 3.7, -4.2
H = NUMBERS.normal(size=(ROWS, CONTEXT))

FLOWS: dict[str, Callable[[], dist.Flow]] = {
    "RealNVP": lambda: nn.RealNVP("flow", SIZE, [6]),
    "RealNVP.context": lambda: nn.RealNVP("flow", SIZE, [], layers=2, context=CONTEXT),
    "RealNVP.permute": lambda: nn.RealNVP("flow", SIZE, [6, 4], layers=3, mixing="permute", activation="tanh"),
    "RealNVP.lu": lambda: nn.RealNVP("flow", SIZE, [6], layers=3, mixing="lu"),
    "RealNVP.householder": lambda: nn.RealNVP("flow", SIZE, [6], layers=2, mixing="householder"),
    "SplineCoupling": lambda: nn.SplineCoupling("flow", SIZE, [6], layers=2, bins=4),
    "SplineCoupling.context": lambda: nn.SplineCoupling("flow", SIZE, [6], layers=2, bound=2.0, context=CONTEXT),
    "MAF": lambda: nn.MAF("flow", SIZE, [8], layers=2),
    "MAF.context": lambda: nn.MAF("flow", SIZE, [8, 7], layers=2, context=CONTEXT, activation="tanh"),
    "MAF.spline": lambda: nn.MAF("flow", SIZE, [4], layers=2, transform="spline", bins=4, mixing="permute"),
    "IAF": lambda: nn.IAF("flow", SIZE, [8, 8], layers=2, mixing="lu"),
    "IAF.spline": lambda: nn.IAF("flow", SIZE, [8], layers=1, transform="spline", bins=4, context=CONTEXT),
    "IAF.linear": lambda: nn.IAF("flow", SIZE, [], layers=2),
    "Elementwise": lambda: nn.Elementwise("flow", SIZE),
    "Elementwise.context": lambda: nn.Elementwise("flow", SIZE, "affine", context=CONTEXT, hidden=[4]),
    "Mixing.lu": lambda: nn.Mixing("flow", SIZE),
    "Mixing.householder": lambda: nn.Mixing("flow", SIZE, "householder", reflections=3),
    "Planar": lambda: nn.Planar("flow", SIZE, layers=3),
    "Planar.context": lambda: nn.Planar("flow", SIZE, layers=2, context=CONTEXT),
    "Radial": lambda: nn.Radial("flow", SIZE, layers=3),
}
ONE_WAY = {"Planar", "Planar.context", "Radial"}


def with_context(flow: dist.Flow, h: Any) -> dist.Flow:
    return flow.given(h) if flow.layers[-1].get("context") else flow


@ppl.model
def both_ways(x, h, name: str):
    """Image, log determinant, and the way back."""
    declared = FLOWS[name]()
    with ppl.plate("rows", (x, h)) as (row, c):
        flow = declared.given(c) if name.endswith("context") or name == "IAF.spline" else declared
        image, log_det = flow.forward_with_log_det(row)
        ppl.deterministic("image", image)
        ppl.deterministic("log_det", log_det)
        if flow.invertible():
            back, there = flow.inverse_with_log_det(image)
            ppl.deterministic("back", back)
            ppl.deterministic("there", there)


def far_from_identity(side: Compiled) -> dict[str, np.ndarray]:
    """Weights that bend the flow: the usual start is the identity."""
    generator = np.random.default_rng(3)
    return {name: 0.7 * generator.normal(size=start.shape) for name, start in side.params.items()}


@functools.cache
def compiled(name: str, backend: str) -> Compiled:
    return ppl.compile(both_ways(X, H, name), backend, precision="float64")


def outputs(name: str, backend: str) -> dict[str, np.ndarray]:
    side = compiled(name, backend)
    found = side.simulate((), key=side.backend.key(0), params=far_from_identity(side))
    return {n: side.backend.to_numpy(v) for n, v in found.items()}


def jacobians(name: str, backend: str) -> np.ndarray:
    """Derivatives of the images by the automatic differentiation of the library, shape (rows, size, size)."""
    side = compiled(name, backend)
    params = far_from_identity(side)
    emitted = side.emitter(lead=False).emit("image", {"image": simulated(side, "image")}, single=True)
    function = side.load(emitted)
    arrays, data = side.param_arrays(params), side.bind(emitted)

    def image(x: Any) -> Any:
        return function(arrays, {}, {**data, "x": x}, {}).sum(0)

    with side.backend.context("float64"):
        if backend == "pyro":
            found = torch.func.jacrev(image)(torch.tensor(X)).numpy()
        else:
            found = np.asarray(jax.jit(jax.jacfwd(image))(jnp.asarray(X)))
    return np.moveaxis(found, 1, 0)


def simulated(side: Compiled, name: str) -> Any:
    from ppl.transforms.density import simulator

    return simulator(side.program, lead=False).values[name]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FLOWS)
def test_the_log_determinant_is_that_of_the_derivative(name: str, backend: str):
    expected = np.linalg.slogdet(jacobians(name, backend))[1]
    np.testing.assert_allclose(outputs(name, backend)["log_det"], expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", [n for n in FLOWS if n not in ONE_WAY])
def test_the_inverse_undoes_the_flow(name: str):
    found = outputs(name, "pyro")
    assert not np.allclose(found["image"], X)
    np.testing.assert_allclose(found["back"], X, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found["there"], found["log_det"], rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", FLOWS)
def test_both_backends_give_one_flow(name: str):
    one, two = (outputs(name, backend) for backend in BACKENDS)
    assert one.keys() == two.keys()
    for key in one:
        np.testing.assert_allclose(one[key], two[key], rtol=1e-9, atol=1e-9)
