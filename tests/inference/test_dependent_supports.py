"""Supports that move with other unknowns: the density is right at every step, from any start, on both backends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import arviz
import numpy as np
import pytest
from scipy import integrate
from scipy import stats as st

import ppl
from ppl import dist
from ppl.inference import ELBO, NUTS, SVI, Adam, AutoMultivariateNormal, Schedule
from tests.budget import sigmas
from tests.inference.cases import BACKENDS


@ppl.model
def triangle():
    a = ppl.sample("a", dist.Beta(1.0, 2.0))
    ppl.sample("b", dist.Uniform(0.0, 1.0 - a))


@ppl.model
def stick():
    """The program of design page 7: the declared density is not flat on the triangle."""
    a = ppl.sample("a", dist.Uniform(0.0, 1.0))
    ppl.sample("b", dist.Uniform(0.0, 1.0 - a))


@ppl.model
def ladder():
    low = ppl.sample("low", dist.Normal(0.0, 1.0))
    ppl.sample("high", dist.Truncated(dist.Normal(0.0, 1.0), low=low))


@ppl.model
def band():
    centre = ppl.sample("centre", dist.Normal(0.0, 1.0))
    width = ppl.sample("width", dist.LogNormal(0.0, 0.5))
    ppl.sample("inside", dist.TruncatedNormal(0.0, 1.0, low=centre - width, high=centre + width))


@ppl.model
def thresholds():
    cuts = ppl.sample("cuts", dist.Transformed(dist.Normal([0.0, 0.0], 1.0), dist.Ordered()))
    ppl.sample("between", dist.Uniform(cuts[0], cuts[1]))


@ppl.model
def rows():
    top = ppl.sample("top", dist.Uniform(1.0, 3.0))
    with ppl.plate("rows", size=3):
        ppl.sample("x", dist.Uniform(0.0, top))


Draws = dict[str, np.ndarray]


def mean_above_normal() -> float:
    """E[high] = E[hazard of the normal at low]."""
    hazard = lambda z: np.exp(2.0 * st.norm.logpdf(z) - st.norm.logsf(z))
    return float(integrate.quad(hazard, -12.0, 12.0)[0])


@dataclass(frozen=True)
class Moving:
    """A program whose supports move.

    Attributes:
        build: the program, without data.
        inside: which draws are possible, shape (...).
        numbers: functions of a draw, shape (..., count), and their exact means.
        starts: values to begin at, near the edges.
    """

    build: Callable[[], ppl.Program]
    inside: Callable[[Draws], np.ndarray]
    numbers: Callable[[Draws], np.ndarray]
    means: np.ndarray
    starts: tuple[dict[str, Any], ...]


STEP = float(np.exp(0.5))
CASES: dict[str, Moving] = {
    # Uniform on the triangle: means 1/3, mean squares 1/6, mean product 1/12.
    "triangle": Moving(
        triangle,
        lambda d: (d["b"] > 0.0) & (d["a"] + d["b"] < 1.0),
        lambda d: np.stack([d["a"], d["b"], d["a"] ** 2, d["b"] ** 2, d["a"] * d["b"]], -1),
        np.array([1 / 3, 1 / 3, 1 / 6, 1 / 6, 1 / 12]),
        ({"a": 0.99, "b": 0.005}, {"a": 0.01, "b": 0.98}),
    ),
    # With the support of b frozen where a starts, no draw has b above 0.6, whose share is 9.4 %.
    "stick": Moving(
        stick,
        lambda d: (d["b"] > 0.0) & (d["a"] + d["b"] < 1.0),
        lambda d: np.stack([d["a"], d["b"], d["b"] > 0.6], -1).astype(float),
        np.array([0.5, 0.25, 0.4 + 0.6 * np.log(0.6)]),
        ({"a": 0.4, "b": 0.3}, {"a": 0.99, "b": 0.005}),
    ),
    "ladder": Moving(
        ladder,
        lambda d: d["high"] > d["low"],
        lambda d: np.stack([d["low"], d["high"], d["low"] ** 2], -1),
        np.array([0.0, mean_above_normal(), 1.0]),
        ({"low": 2.5, "high": 2.6}, {"low": -3.0, "high": 3.0}),
    ),
    "band": Moving(
        band,
        lambda d: np.abs(d["inside"] - d["centre"]) < d["width"],
        lambda d: np.stack([d["centre"], d["inside"], np.log(d["width"])], -1),
        np.zeros(3),
        ({"centre": 2.0, "width": 0.1, "inside": 2.05}, {"centre": -1.0, "width": 3.0, "inside": 1.9}),
    ),
    "thresholds": Moving(
        thresholds,
        lambda d: (d["between"] > d["cuts"][..., 0]) & (d["between"] < d["cuts"][..., 1]),
        lambda d: np.stack([d["cuts"][..., 0], d["between"]], -1),
        np.array([0.0, 0.5 * STEP]),
        ({"cuts": [-2.0, -1.9], "between": -1.95}, {"cuts": [0.0, 5.0], "between": 4.9}),
    ),
    "rows": Moving(
        rows,
        lambda d: np.all((d["x"] > 0.0) & (d["x"] < d["top"][..., None]), -1),
        lambda d: np.concatenate([d["top"][..., None], d["x"]], -1),
        np.array([2.0, 1.0, 1.0, 1.0]),
        ({"top": 1.05, "x": [1.0, 0.01, 0.5]}, {"top": 2.9, "x": [2.8, 2.8, 0.1]}),
    ),
}


def arrays(draws: Any) -> Draws:
    return {name: np.asarray(draws[name]) for name in draws}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_nuts_has_the_exact_means_from_any_start(name: str, backend: str):
    case = CASES[name]
    for seed, start in enumerate(case.starts if backend == "numpyro" else case.starts[:1]):
        method = NUTS(chains=2, draws=800, warmup=400, target_accept=0.9, init=start)
        if backend == "pyro":
            # Pyro's sampler runs eagerly, about twenty times slower than NumPyro's.
            method = NUTS(chains=1, draws=300, warmup=150, target_accept=0.9, init=start)
        draws = arrays(ppl.infer(case.build(), method, backend=backend, precision="float64", seed=seed).draws)
        assert np.all(case.inside(draws))
        found = case.numbers(draws)
        effective = np.array([float(arviz.ess(found[..., i])) for i in range(len(case.means))])
        off = np.abs(found.mean((0, 1)) - case.means) / (found.std((0, 1)) / np.sqrt(effective))
        assert np.all(off < sigmas(len(case.means))), (start, off)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CASES)
def test_a_variational_fit_from_any_start_weighs_its_draws_by_the_right_density(name: str, backend: str):
    """Without data log p - log q are the weights of draws of q: their mean is one, and weighted means are exact."""
    case = CASES[name]
    guide = AutoMultivariateNormal(init=case.starts[BACKENDS.index(backend)])
    method = SVI(ELBO(8), guide=guide, optimizer=Adam(0.05, Schedule(steps=800)), steps=800, draws=4000)
    fit = ppl.infer(case.build(), method, backend=backend, precision="float64")
    draws = arrays(fit.draws)
    assert np.all(case.inside(draws))
    assert fit.log_p is not None and fit.log_q is not None
    weight = np.exp(np.asarray(fit.log_p) - np.asarray(fit.log_q)).ravel()
    numbers = case.numbers(draws).reshape(-1, len(case.means))
    # Each weighted number has the exact mean; the weights themselves, one.
    terms = weight[:, None] * np.concatenate([numbers, np.ones((len(weight), 1))], -1)
    expected = np.append(case.means, 1.0)
    error = terms.std(0) / np.sqrt(len(weight))
    assert np.all(np.abs(terms.mean(0) - expected) < sigmas(len(expected)) * error)


@pytest.mark.parametrize("name", CASES)
def test_the_backends_agree_and_the_libraries_where_they_can(name: str):
    assert ppl.agreement(CASES[name].build()).difference < 1e-4
