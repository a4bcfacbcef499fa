"""Gradient estimates against exact gradients: strategies, objectives and plate layouts, on small graphs.

Every comparison is made with the standard error of the estimates, and shares the suite's false-alarm budget with the
others of this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from ppl.inference import (
    ARM,
    CIWAE,
    ELBO,
    IWELBO,
    MIWAE,
    MVD,
    REBAR,
    SVI,
    DisARM,
    Enumerate,
    Learned,
    LeaveOneOut,
    Reinforce,
    Renyi,
    Reparam,
    Running,
)
from ppl.inference.gradient.contract import Strategy
from tests.budget import sigmas
from tests.inference.gradient_oracle import (
    GRAPHS,
    Graph,
    States,
    exact_gradient,
    logmeanexp,
    noise_of,
    start,
    value_and_gradient,
)

BACKENDS = ("numpyro", "pyro")
OBJECTIVES: dict[str, tuple[Any, int, Any]] = {
    "ELBO": (ELBO(), 1, lambda lw: lw.mean(0)),
    "ELBO of 2": (ELBO(2), 2, lambda lw: lw.mean(0)),
    "IWELBO": (IWELBO(2), 2, logmeanexp),
    "CIWAE": (CIWAE(2, 0.3), 2, lambda lw: 0.3 * lw.mean(0) + 0.7 * logmeanexp(lw)),
    "Renyi": (Renyi(0.4, 2), 2, lambda lw: logmeanexp(0.6 * lw) / 0.6),
    "MIWAE": (MIWAE(2, 2), 2, logmeanexp),
}
STRATEGIES: dict[str, Strategy] = {
    "reinforce": Reinforce(),
    "running": Reinforce(Running()),
    "learned": Reinforce(Learned()),
    "leave one out": Reinforce(LeaveOneOut()),
    "enumerate": Enumerate(),
    "mvd": MVD(),
    "arm": ARM(),
    "disarm": DisARM(),
    "rebar": REBAR(),
    "stl": Reparam("stl"),
    "dreg": Reparam("dreg"),
    "reparam": Reparam(),
}
BITS = ("reinforce", "running", "learned", "leave one out", "enumerate", "mvd", "arm", "disarm", "rebar")
# For each graph the sites that get the strategy, and the strategies.
PRODUCT: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bernoulli_chain": (("b", "c"), BITS),
    "mixed": (("b", "c"), BITS),
    "gaussians": (("z", "y"), ("reparam", "stl", "dreg", "reinforce", "leave one out", "mvd")),
    "global_and_local": (("g", "z"), BITS),
    "local": (("z", "y"), BITS),
    "pooled": (("z",), ("reinforce", "leave one out", "arm", "disarm")),
    "entered_again": (("z",), ("reinforce", "leave one out", "arm", "disarm")),
    "categories": (("c", "b"), ("reinforce", "learned", "leave one out", "enumerate", "mvd")),
    "steps": (("z",), ("reinforce", "running", "leave one out")),
}
COUPLED = {"IWELBO", "CIWAE", "Renyi", "MIWAE"}


def sensible(graph: str, objective: str, strategy: str) -> bool:
    """Whether the strategy is not refused for that objective."""
    if strategy == "leave one out" and objective == "ELBO":
        return False
    if graph == "global_and_local" and objective in COUPLED and strategy in ("enumerate", "mvd", "rebar"):
        return False  # the rows stand inside the logarithm
    if strategy == "stl" and objective in COUPLED:
        return False
    return not (strategy == "dreg" and objective in ("Renyi",))


CASES = [
    (graph, objective, strategy)
    for graph, (_, strategies) in PRODUCT.items()
    for objective in OBJECTIVES
    for strategy in strategies
    if sensible(graph, objective, strategy)
]
# One of each kind runs every time; the whole product, with more draws, is slow.
QUICK = [
    ("bernoulli_chain", "IWELBO", "rebar"),
    ("mixed", "IWELBO", "enumerate"),
    ("mixed", "ELBO", "disarm"),
    ("gaussians", "IWELBO", "dreg"),
    ("global_and_local", "IWELBO", "leave one out"),
    ("local", "CIWAE", "mvd"),
    ("pooled", "IWELBO", "reinforce"),
    ("entered_again", "ELBO", "disarm"),
    ("categories", "ELBO", "enumerate"),
    ("steps", "ELBO of 2", "leave one out"),
]


def strategies_of(graph: str, strategy: str) -> dict[str, Strategy]:
    return dict.fromkeys(PRODUCT[graph][0], STRATEGIES[strategy])


def deviations(
    graph: Graph, objective: Any, strategies: Mapping[str, Strategy], exact: Mapping[str, float], copies: int, seed: int
) -> np.ndarray:
    """How many standard errors each component of the mean gradient is off."""
    _, guide = graph.programs(copies)
    method = SVI(objective=objective, guide=guide, strategies=strategies, progress=False)
    run = start(graph, method, copies, "numpyro")
    _, grads = value_and_gradient(run, noise_of(run, seed))
    return np.array([off(grads[n], exact[n]) for n in exact])


def off(estimates: np.ndarray, exact: float) -> float:
    error = estimates.std(ddof=1) / np.sqrt(len(estimates))
    # Central differences have an error of their own.
    return float((estimates.mean() - exact) / np.hypot(error, 2e-7))


@pytest.mark.parametrize(("graph", "objective", "strategy"), QUICK)
def test_mean_gradient_is_exact(graph: str, objective: str, strategy: str) -> None:
    check(graph, objective, strategy, 20_000, len(QUICK))


@pytest.mark.slow
@pytest.mark.parametrize(("graph", "objective", "strategy"), CASES)
def test_mean_gradient_is_exact_everywhere(graph: str, objective: str, strategy: str) -> None:
    check(graph, objective, strategy, 200_000, len(CASES))


def check(name: str, objective: str, strategy: str, copies: int, comparisons: int) -> None:
    graph = GRAPHS[name]()
    given, particles, aggregate = OBJECTIVES[objective]
    value, exact = exact_gradient(States(graph), graph.params, particles, aggregate)
    found = deviations(graph, given, strategies_of(name, strategy), exact, copies, seed=1)
    assert np.all(np.abs(found) <= sigmas(len(graph.params) * comparisons)), dict(zip(exact, found, strict=True))
    assert np.isfinite(value)


@pytest.mark.slow
def test_deviations_do_not_repeat() -> None:
    """Two disjoint seeds: a bias would show in both, noise does not."""
    first, second = [], []
    for name, objective, strategy in CASES[::3]:
        graph = GRAPHS[name]()
        given, particles, aggregate = OBJECTIVES[objective]
        _, exact = exact_gradient(States(graph), graph.params, particles, aggregate)
        for seed, out in ((11, first), (12, second)):
            out.append(deviations(graph, given, strategies_of(name, strategy), exact, 20_000, seed))
    a, b = (np.concatenate(x) for x in (first, second))
    spread = (a * b).std(ddof=1) / np.sqrt(len(a))
    # Components of one estimate share their noise; four to a graph, so that the error is up to twice as large.
    assert abs((a * b).mean()) <= sigmas() * 2.0 * spread


@pytest.mark.parametrize(("graph", "objective", "strategy"), QUICK)
def test_backends_agree_on_equal_noise(graph: str, objective: str, strategy: str) -> None:
    results = []
    for backend in BACKENDS:
        drawn = GRAPHS[graph]()
        _, guide = drawn.programs(50)
        method = SVI(
            objective=OBJECTIVES[objective][0],
            guide=guide,
            strategies=strategies_of(graph, strategy),
            progress=False,
        )
        run = start(drawn, method, 50, backend)
        results.append(value_and_gradient(run, noise_of(run, 3)))
    (value, grads), (other, others) = results
    assert value == pytest.approx(other, rel=1e-9)
    for name in grads:
        np.testing.assert_allclose(grads[name], others[name], rtol=1e-6, atol=1e-8)
