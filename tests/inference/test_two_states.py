"""The two-state model: b ~ Bernoulli(0.3), x | b ~ Normal(2b - 1, 1), x = 0.7, guide Bernoulli(logits=0.2).

Its exact gradients at one, two and five particles are known, and so are the ways to miss them: each wrong estimator
here is told from the right one by the same comparison that the right ones pass.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

import ppl
from ppl import dist
from ppl.inference import (
    ARM,
    ELBO,
    IWELBO,
    MVD,
    REBAR,
    SVI,
    DisARM,
    Enumerate,
    Learned,
    LeaveOneOut,
    Reinforce,
    Reparam,
    Running,
)
from ppl.inference.gradient.contract import Draw, Drawn, Strategy
from ppl.inference.gradient.surrogate import _Site
from ppl.program.values import Value
from tests.budget import sigmas
from tests.inference.gradient_oracle import (
    GRAPHS,
    Graph,
    States,
    around,
    exact_gradient,
    logmeanexp,
    noise_of,
    start,
    value_and_gradient,
)

EXACT = {1: 0.0873, 2: 0.0433, 5: 0.0170}
COPIES = 100_000
STRATEGIES = {
    "reinforce": Reinforce(),
    "running baseline": Reinforce(Running()),
    "learned baseline": Reinforce(Learned()),
    "leave one out": Reinforce(LeaveOneOut()),
    "enumerate": Enumerate(),
    "mvd": MVD(),
    "arm": ARM(),
    "disarm": DisARM(),
    "rebar": REBAR(),
    "rebar, colder and half": REBAR(0.2, 0.5),
}


@ppl.model
def model(copies: int):
    with around(copies):
        b = ppl.sample("b", dist.Bernoulli(logits=float(np.log(0.3 / 0.7))))
        ppl.sample("x", dist.Normal(2.0 * b - 1.0, 1.0))


@ppl.model
def guide(copies: int):
    with around(copies):
        ppl.sample("b", dist.Bernoulli(logits=ppl.param("a", 0.2)))


TWO = Graph(model, guide, {"a": 0.2}, {"x": 0.7}, {"b": np.arange(2)})


def enumerated(particles: int) -> float:
    """The exact gradient in the logit, by enumeration and a central difference."""

    def bound(a: float) -> float:
        q, total = 1.0 / (1.0 + np.exp(-a)), 0.0
        for bits in itertools.product([0, 1], repeat=particles):
            weights = [norm.pdf(0.7, 2 * b - 1) * (0.3 if b else 0.7) / (q if b else 1 - q) for b in bits]
            total += np.prod([q if b else 1 - q for b in bits]) * np.log(np.mean(weights))
        return total

    return (bound(0.2 + 1e-5) - bound(0.2 - 1e-5)) / 2e-5


def estimates(strategy: Any, particles: int, backend: str = "numpyro", copies: int = COPIES) -> np.ndarray:
    objective = IWELBO(particles) if particles > 1 else ELBO()
    method = SVI(objective=objective, guide=guide(copies), strategies={"b": strategy}, progress=False)
    run = start(TWO, method, copies, backend)
    return value_and_gradient(run, noise_of(run, 4))[1]["a"]


def deviation(found: np.ndarray, exact: float) -> float:
    """How many standard errors a mean is off."""
    return float((found.mean() - exact) / np.hypot(found.std(ddof=1) / np.sqrt(len(found)), 1e-8))


@pytest.mark.parametrize("particles", EXACT)
def test_the_exact_gradient_is_that_of_the_page(particles: int) -> None:
    assert enumerated(particles) == pytest.approx(EXACT[particles], abs=5e-5)


@pytest.mark.parametrize("particles", EXACT)
@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_unbiased(name: str, particles: int) -> None:
    if name == "leave one out" and particles == 1:
        return
    found = estimates(STRATEGIES[name], particles)
    assert abs(deviation(found, enumerated(particles))) <= sigmas(len(EXACT) * len(STRATEGIES))


def test_leave_one_out_takes_most_of_the_variance_away() -> None:
    """At five particles VIMCO has a quarter of the variance of plain score functions, at most."""
    plain, own = estimates(Reinforce(), 5), estimates(Reinforce(LeaveOneOut()), 5)
    assert own.var() <= 0.25 * plain.var()


def test_enumeration_is_exact_under_a_linear_objective() -> None:
    found = estimates(Enumerate(), 1, copies=10)
    np.testing.assert_allclose(found, enumerated(1), atol=1e-9)


# --- estimators that are wrong ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WithoutMultiplier:
    """A draw whose score is forgotten, as in a library that treats it as reparameterised."""

    bias: str | None = None

    def refusal(self, dist: Any) -> str | None:
        return None

    def lanes(self, dist: Any) -> int:
        return 1

    def draw(self, draw: Draw) -> Drawn:
        return replace(Reinforce().draw(draw), score=None)


def averaged_score(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The score averaged over particles, where the cost has lost them and it has to be summed."""
    total = _Site.total

    def wrong(self: _Site, value: Value) -> Value:
        return total(self, value) * (1.0 / np.prod([a.size for a in self.over]))

    monkeypatch.setattr(_Site, "total", wrong)
    return Reinforce(LeaveOneOut())


def current_baseline(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A moving average that holds the current cost already: the score shrinks by the share of that cost, a half."""
    others = _Site._others

    def wrong(self: _Site, cost: Value) -> Value:
        return 0.5 * others(self, cost) + 0.5 * cost

    monkeypatch.setattr(_Site, "_others", wrong)
    return Reinforce(LeaveOneOut())


def forgotten(monkeypatch: pytest.MonkeyPatch) -> Any:
    """No multiplier at all."""
    from ppl.inference.gradient import verdict

    monkeypatch.setitem(verdict.REASONS, "WithoutMultiplier", "it is not")
    return WithoutMultiplier()


KNOWN_BAD: dict[str, Callable[[pytest.MonkeyPatch], Any]] = {
    "averaged score": averaged_score,
    "missing multiplier": forgotten,
    "baseline with the current sample": current_baseline,
}


@pytest.mark.parametrize("name", KNOWN_BAD)
def test_wrong_estimators_fail(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    strategy = KNOWN_BAD[name](monkeypatch)
    found = estimates(strategy, 2)
    assert abs(deviation(found, enumerated(2))) > sigmas(len(EXACT) * len(STRATEGIES))


def gaussian_deviation(entropy: str | None) -> float:
    """The largest deviation on two normal sites under a bound of two particles."""
    graph = GRAPHS["gaussians"]()
    _, exact = exact_gradient(States(graph), graph.params, 2, logmeanexp)
    copies = 100_000
    _, own = graph.programs(copies)
    strategies: dict[str, Strategy] = {n: Reparam(entropy) for n in ("z", "y")}
    run = start(graph, SVI(objective=IWELBO(2), guide=own, strategies=strategies, progress=False), copies, "numpyro")
    _, grads = value_and_gradient(run, noise_of(run, 5))
    return max(abs(deviation(grads[n], exact[n])) for n in exact)


def test_leaving_the_score_out_under_weights_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sticking the landing inside a log mean weight: biased, which the check knows and the oracle sees."""
    from ppl.inference.gradient import resolve, worlds

    monkeypatch.setattr(resolve, "_check_entropy", lambda *args: None)
    at = worlds.Contexts.at

    def wrong(self: worlds.Contexts, axes: Any, kind: str) -> Any:
        return at(self, axes, "linear" if kind == "coupled" else kind)

    monkeypatch.setattr(worlds.Contexts, "at", wrong)
    assert gaussian_deviation("stl") > sigmas(8)


def test_a_gate_between_guide_sites_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The weight has to multiply what comes back from the log weight, and not again between two sites of the guide."""
    from ppl.inference.gradient import worlds
    from ppl.program.ops import apply

    assert gaussian_deviation("dreg") <= sigmas(8)
    gated = worlds.Draws.gated

    def wrong(self: worlds.Draws, weights: Value) -> Any:
        world = gated(self, weights)
        assert world is not None
        # The second site drawn from the gated first one, and gated itself.
        first = world.values["z"]
        redrawn = self.changed("z", first)
        second = redrawn.values["y"]
        held = apply("stop_gradient", second)
        values = {"z": first, "y": apply("add", held, apply("multiply", weights, apply("subtract", second, held)))}
        again = self._world(values, self.setting.own_params)
        log_q = {**again.log_q, **self._held_log_q(again.values, ["z", "y"])}
        return replace(again, log_q=log_q)

    monkeypatch.setattr(worlds.Draws, "gated", wrong)
    assert gaussian_deviation("dreg") > sigmas(8)
