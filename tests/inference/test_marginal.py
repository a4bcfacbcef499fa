"""Auxiliary sites averaged out: bounds and gradients against enumeration and closed forms, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.backend.compiled import get_backend
from ppl.errors import ModelError, PPLError, StrategyError, UnknownNameError
from ppl.inference import DIWHVI, ELBO, HVI, IWHVI, SVI, Adam, AutoNormal, ImportanceSampling, Reinforce, Reparam
from ppl.inference import objective as obj
from ppl.inference.objective import guide, model
from ppl.inference.svi import SVIRun
from tests.budget import sigmas
from tests.inference.cases import BACKENDS
from tests.inference.test_execution import evaluator


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + np.exp(-x))


# --- two bits: everything by enumeration -----------------------------------------------------------------------------


@ppl.model
def bit():
    b = ppl.sample("b", dist.Bernoulli(logits=-0.4))
    ppl.sample("x", dist.Normal(2.0 * b - 1.0, 1.0))


@ppl.model
def mixed():
    """The kept bit depends on an auxiliary one."""
    a, s = ppl.param("a", 0.3), ppl.param("s", 1.2)
    u = ppl.sample("u", dist.Bernoulli(logits=a), auxiliary=True)
    ppl.sample("b", dist.Bernoulli(logits=ppl.param("c", -0.5) + s * u))


@ppl.model
def reverse(b):
    ppl.sample("u", dist.Bernoulli(logits=ppl.param("r", 0.1) + ppl.param("t", 0.8) * b))


PROGRAM = bit().observe(x=0.7)
START = {"a": 0.3, "s": 1.2, "c": -0.5, "r": 0.1, "t": 0.8}
PROPOSALS = {"own": None, "reverse": reverse(ppl.spec((), "int"))}
SCORES = {"u": Reinforce(), "b": Reinforce()}


def log_bernoulli(value: int, logit: float) -> float:
    return float(np.log(sigmoid(logit) if value else sigmoid(-logit)))


def log_joint(b: int) -> float:
    return log_bernoulli(b, -0.4) - 0.5 * (0.7 - (2 * b - 1)) ** 2 - 0.5 * np.log(2 * np.pi)


def estimate(draws: tuple[int, ...], b: int, p: dict[str, float], own: bool) -> float:
    """The estimate of log q(b) from auxiliary draws, the first of which b came from."""
    ratios = []
    for u in draws:
        proposal = p["a"] if own else p["r"] + p["t"] * b
        joint = log_bernoulli(u, p["a"]) + log_bernoulli(b, p["c"] + p["s"] * u)
        ratios.append(joint - log_bernoulli(u, proposal))
    return float(np.log(np.mean(np.exp(ratios))))


def outcomes(size: int, p: dict[str, float], own: bool) -> Any:
    """All draws of one particle, (auxiliary draws, bit), with their probabilities."""
    for b, *draws in itertools.product((0, 1), repeat=size + 1):
        chance = np.exp(log_bernoulli(draws[0], p["a"]) + log_bernoulli(b, p["c"] + p["s"] * draws[0]))
        for u in draws[1:]:
            chance *= np.exp(log_bernoulli(u, p["a"] if own else p["r"] + p["t"] * b))
        yield (tuple(draws), b), chance


def exact(particles: int, size: int, p: dict[str, float], own: bool) -> float:
    """The expectation of the bound."""
    total = 0.0
    for combination in itertools.product(list(outcomes(size, p, own)), repeat=particles):
        weights = [log_joint(b) - estimate(draws, b, p, own) for (draws, b), _ in combination]
        total += np.prod([c for _, c in combination]) * np.log(np.mean(np.exp(weights)))
    return total


def gradient(particles: int, size: int, own: bool, names: list[str]) -> dict[str, float]:
    def at(name: str, step: float) -> float:
        return exact(particles, size, {**START, name: START[name] + step}, own)

    return {n: (at(n, 1e-5) - at(n, -1e-5)) / 2e-5 for n in names}


def begin(objective: Any, backend: str, strategies: Any = SCORES) -> SVIRun:
    method = SVI(objective, guide=mixed(), strategies=strategies, progress=False)
    return method.start(PROGRAM, get_backend(backend), 0, "float64")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("proposal", PROPOSALS)
@pytest.mark.parametrize(("particles", "size"), [(1, 1), (1, 2), (1, 3), (2, 2)])
def test_value_and_gradient_are_those_of_enumeration(particles: int, size: int, proposal: str, backend: str) -> None:
    """The estimate at every outcome, by noise that leads to it, weighted by its probability: nothing is sampled."""
    own = proposal == "own"
    run = begin(DIWHVI(particles, size, PROPOSALS[proposal]), backend)
    evaluate = evaluator(run)
    shapes = {n.name: n.shape for n in run.surrogate.noise}
    value, sums = 0.0, dict.fromkeys(START, 0.0)
    for combination in itertools.product(list(outcomes(size, START, own)), repeat=particles):
        chance = float(np.prod([c for _, c in combination]))
        # A uniform number near zero draws a one, one near one a zero; of one draw the fresh one is left alone.
        pushed = lambda bits: np.where(np.asarray(bits), 1e-9, 1.0 - 1e-9)
        fresh = [draws[1:] or (0,) for (draws, _), _ in combination]
        noise = {
            "u": pushed([draws[0] for (draws, _), _ in combination]),
            "b": pushed([b for (_, b), _ in combination]),
            "u (fresh)": pushed(fresh),
        }
        loss, grads = evaluate({n: np.reshape(noise[n], shape) for n, shape in shapes.items()}, {})
        value -= chance * loss
        for name, grad in grads.items():
            sums[name] -= chance * float(grad)
    assert value == pytest.approx(exact(particles, size, START, own), rel=1e-7)
    names = ["a", "s", "c"] if own else list(START)
    for name, expected in gradient(particles, size, own, names).items():
        assert sums[name] == pytest.approx(expected, abs=1e-6), name


@pytest.mark.parametrize("proposal", PROPOSALS)
def test_bounds_rise_with_draws_and_stay_below_the_evidence(proposal: str) -> None:
    own = proposal == "own"
    evidence = np.log(sum(np.exp(log_joint(b)) for b in (0, 1)))
    bounds = [exact(*sizes, START, own) for sizes in ((1, 1), (1, 2), (1, 4), (2, 4))]
    assert all(a < b for a, b in itertools.pairwise([*bounds, evidence]))


def test_default_strategies_are_unbiased_for_bits_too() -> None:
    report = str(SVI(DIWHVI(2, 3), guide=mixed()).check(PROGRAM))
    assert "u (fresh)" in report
    assert "unbiased: no" not in report


# --- a normal mixture of normals: closed forms, and a proposal that is right -----------------------------------------


@ppl.model
def normals(rows):
    with ppl.plate("rows", rows):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.sample("x", dist.Normal(z, 0.5))


@ppl.model
def nested(rows):
    with ppl.plate("rows", rows) as row:
        u = ppl.sample("u", dist.Normal(0.3 * row, 0.6), auxiliary=True)
        ppl.sample("z", dist.Normal(0.5 * row + u, 0.4))


@ppl.model
def backwards(rows, z):
    """The conditional of u given z under the guide."""
    gain = 0.36 / (0.36 + 0.16)
    with ppl.plate("rows", (rows, z)) as (row, one):
        ppl.sample("u", dist.Normal(0.3 * row + gain * (one - 0.8 * row), np.sqrt(0.36 * (1.0 - gain))))


ROWS = np.array([0.4, -0.7, 1.5])
NORMALS = normals(ROWS).observe(x=ROWS)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [1, 3])
def test_with_the_right_proposal_the_density_is_exact(size: int, backend: str) -> None:
    """Row by row: no draw of the auxiliary site makes a difference."""
    run = SVI(IWHVI(size, backwards(ROWS, ppl.spec((3,)))), guide=nested(ROWS), progress=False, optimizer=Adam(1e-3))
    with pytest.raises(ModelError, match="no parameters to fit"):
        run.start(NORMALS, get_backend(backend), 0, "float64")

    @ppl.model
    def shifted(rows):
        shift = ppl.param("shift", 0.0)
        with ppl.plate("rows", rows) as row:
            u = ppl.sample("u", dist.Normal(0.3 * row, 0.6), auxiliary=True)
            ppl.sample("z", dist.Normal(0.5 * row + u + shift, 0.4))

    method = SVI(IWHVI(size, backwards(ROWS, ppl.spec((3,)))), guide=shifted(ROWS), progress=False)
    started = method.start(NORMALS, get_backend(backend), 0, "float64")
    generator = np.random.default_rng(5)
    noise = {n.name: generator.normal(size=n.shape) for n in started.surrogate.noise}
    loss, _ = evaluator(started)(noise, {})
    z = 0.8 * ROWS + 0.6 * noise["u"] + 0.4 * noise["z"]
    log_q = -0.5 * (z - 0.8 * ROWS) ** 2 / 0.52 - 0.5 * np.log(2 * np.pi * 0.52)
    log_p = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - 0.5 * (ROWS - z) ** 2 / 0.25 - 0.5 * np.log(2 * np.pi * 0.25)
    assert -loss == pytest.approx((log_p - log_q).sum(), rel=1e-9)


def test_a_fit_gives_draws_with_honest_weights() -> None:
    """Importance weights of the draws average to the evidence, auxiliary sites and all."""

    @ppl.model
    def wide(rows):
        shift = ppl.param("shift", 0.0)
        with ppl.plate("rows", rows) as row:
            u = ppl.sample("u", dist.Normal(0.3 * row, 0.6), auxiliary=True)
            ppl.sample("z", dist.Normal(0.5 * row + u + shift, 0.4))

    fits = []
    for proposal in (None, backwards(ROWS, ppl.spec((3,)))):
        method = SVI(IWHVI(4, proposal), guide=wide(ROWS), steps=20, batch_size=2, draws=20_000, progress=False)
        fits.append(ppl.infer(NORMALS, method))
    evidence = float(np.sum(-0.5 * ROWS**2 / 1.25 - 0.5 * np.log(2 * np.pi * 1.25)))
    for fit in fits:
        weights = np.exp(np.asarray(fit.log_p) - np.asarray(fit.log_q)).ravel() / np.exp(evidence)
        assert abs(weights.mean() - 1.0) <= sigmas(2) * weights.std() / np.sqrt(weights.size)
        assert set(fit.draws) == {"z"}


def test_it_prints_compares_and_comes_back(tmp_path: Any) -> None:
    method = SVI(DIWHVI(2, 3, PROPOSALS["reverse"]), guide=mixed(), strategies=SCORES, steps=3, draws=2, progress=False)
    k = obj.particles("k", 2)
    averaged = obj.marginal(guide, proposal=PROPOSALS["reverse"], particles=3)
    assert method.objective.expression() == obj.logmeanexp(obj.log_weight(model, averaged), over=k)
    text = "logmeanexp(log_weight(model, marginal(guide, proposal=reverse, particles=3)), over=k)"
    assert repr(method.objective.expression()) == text
    assert HVI().expression() == IWHVI(1).expression() == DIWHVI(1, 1).expression()
    ppl.infer(PROGRAM, method).save(tmp_path / "fit")
    assert ppl.Posterior.load(tmp_path / "fit").method == method


# --- what is refused --------------------------------------------------------------------------------------------------


@ppl.model
def too_much(b):
    ppl.sample("u", dist.Bernoulli(logits=0.1 * b))
    ppl.sample("v", dist.Bernoulli(logits=0.1 * b))


@ppl.model
def of_another_kind(b):
    ppl.sample("u", dist.Normal(0.1 * b, 1.0))


@ppl.model
def of_something_else(c):
    ppl.sample("u", dist.Bernoulli(logits=0.1 * c))


@ppl.model
def named_alike(b):
    ppl.sample("u", dist.Bernoulli(logits=ppl.param("a", 0.1) * b))


@ppl.model
def no_auxiliary():
    ppl.sample("b", dist.Bernoulli(logits=ppl.param("a", 0.1)))


def checked(objective: Any, of: Any = None, **settings: Any) -> Any:
    return SVI(objective, guide=of or mixed(), **settings).check(PROGRAM)


def keeping(keep: Any) -> Any:
    return obj.mean(obj.log_weight(model, obj.marginal(guide, keep, particles=2)), over=obj.particles("k", 1))


REFUSED: dict[str, tuple[Any, type[PPLError], str]] = {
    "nobody averages": (lambda: checked(ELBO()), StrategyError, "auxiliary site 'u' is not averaged out"),
    "nobody averages in importance sampling": (
        lambda: ppl.infer(PROGRAM, ImportanceSampling(10, guide=mixed())),
        StrategyError,
        "auxiliary site 'u' is not averaged out",
    ),
    "nobody averages in an estimate of the evidence": (
        lambda: ppl.log_evidence_bound(PROGRAM, mixed(), particles=10, params={n: START[n] for n in "asc"}),
        StrategyError,
        "auxiliary site 'u' is not averaged out",
    ),
    "nothing to average": (lambda: checked(HVI(), no_auxiliary()), ModelError, "nothing to average out"),
    "an automatic guide": (lambda: checked(HVI(), AutoNormal()), StrategyError, "AutoNormal|discrete"),
    "an unknown site": (lambda: checked(keeping(["bb"])), UnknownNameError, "keeps 'bb'"),
    "a latent averaged out": (lambda: checked(keeping(["u"])), ModelError, "averages 'b' out, which is a latent"),
    "no particle": (lambda: obj.marginal(guide, particles=0), ModelError, "at least one particle"),
    "no draw": (lambda: IWHVI(0), ModelError, "at least one particle"),
    "no program": (lambda: obj.marginal(guide, proposal=reverse), ModelError, "proposal of a marginal is a program"),  # type: ignore[arg-type]
    "some sites": (
        lambda: obj.log_density(obj.marginal(guide), sites=["b"]),
        ModelError,
        "that of all its sites together",
    ),
    "a proposal of more": (
        lambda: checked(HVI(too_much(ppl.spec((), "int")))),
        ModelError,
        "the auxiliary sites of the guide and nothing else",
    ),
    "a proposal of another kind": (
        lambda: checked(HVI(of_another_kind(ppl.spec((), "int")))),
        ModelError,
        "draws do not fit those of the guide",
    ),
    "a proposal that reads something else": (
        lambda: checked(HVI(of_something_else(ppl.spec((), "int")))),
        ModelError,
        "input 'c' that is no site of the guide",
    ),
    "a proposal that reads another shape": (
        lambda: checked(HVI(reverse(ppl.spec((3,), "int")))),
        ModelError,
        "in another shape",
    ),
    "a name twice": (
        lambda: checked(HVI(named_alike(ppl.spec((), "int")))),
        ModelError,
        "guide and proposal both declare 'a'",
    ),
    "one term alone": (
        lambda: checked(keeping(["b"]) + obj.mean(obj.entropy(guide), over=obj.particles("k", 1))),
        StrategyError,
        "reads the density of all sites in another",
    ),
    "two ways": (
        lambda: checked({"model": HVI().expression(), "guide": IWHVI(3).expression()}),
        StrategyError,
        "averages auxiliary sites out in two ways",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        make()


def test_leaving_the_score_out_is_refused() -> None:
    with pytest.raises(StrategyError, match="the score that it leaves out counts"):
        SVI(IWHVI(3), guide=nested(ROWS), strategies={"z": Reparam(entropy="stl")}).check(NORMALS)


def test_rows_that_share_auxiliary_sites_are_not_cut() -> None:
    @ppl.model
    def shared(rows):
        u = ppl.sample("u", dist.Normal(ppl.param("m", 0.0), 1.0), auxiliary=True)
        with ppl.plate("rows", rows):
            ppl.sample("z", dist.Normal(u, 1.0))

    with pytest.raises(StrategyError, match="plate 'rows' is subsampled, but its elements share auxiliary sites"):
        SVI(IWHVI(3), guide=shared(ROWS), batch_size=2).check(NORMALS)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_draw_that_rows_share_is_averaged_over_all_of_them_together(backend: str) -> None:
    @ppl.model
    def shared(rows):
        u = ppl.sample("u", dist.Normal(ppl.param("m", 0.2), 1.0), auxiliary=True)
        with ppl.plate("rows", rows):
            ppl.sample("z", dist.Normal(u, 0.5))

    run = SVI(IWHVI(3), guide=shared(ROWS), progress=False).start(NORMALS, get_backend(backend), 0, "float64")
    generator = np.random.default_rng(6)
    noise = {n.name: generator.normal(size=n.shape) for n in run.surrogate.noise}
    loss, _ = evaluator(run)(noise, {})
    u = 0.2 + np.concatenate([np.ravel(noise["u"]), np.ravel(noise["u (fresh)"])])
    z = u[0] + 0.5 * noise["z"]
    log_q = (-0.5 * ((z - u[:, None]) / 0.5) ** 2 - np.log(0.5) - 0.5 * np.log(2 * np.pi)).sum(-1)
    log_p = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - 0.5 * (ROWS - z) ** 2 / 0.25 - 0.5 * np.log(2 * np.pi * 0.25)
    assert -loss == pytest.approx(log_p.sum() - np.log(np.mean(np.exp(log_q))), rel=1e-9)


# --- the cone --------------------------------------------------------------------------------------------------------


@ppl.model
def cone():
    x = ppl.sample("x", dist.Normal(0.0, 10.0))
    y = ppl.sample("y", dist.Normal(0.0, 10.0))
    r = x * x + y * y
    ppl.sample("z", dist.Normal(r, 0.1 + r / 100.0))


@ppl.model
def ring():
    wide = dist.support.positive
    u = ppl.sample("u", dist.Uniform(0.0, 1.0), auxiliary=True)
    angle = 2.0 * np.pi * u
    ppl.sample("x", dist.Normal(np.sqrt(5.0) * ops.cos(angle), ppl.param("s1", 1.0, support=wide)))
    ppl.sample("y", dist.Normal(np.sqrt(5.0) * ops.sin(angle), ppl.param("s2", 1.0, support=wide)))


@ppl.model
def spot():
    wide = dist.support.positive
    ppl.sample("x", dist.Normal(ppl.param("m1", 1.0), ppl.param("s1", 1.0, support=wide)))
    ppl.sample("y", dist.Normal(ppl.param("m2", 1.0), ppl.param("s2", 1.0, support=wide)))


CONE = cone().observe(z=5.0)


def averaged(size: int, particles: int, samples: int = 1) -> Any:
    """The bound of so many particles with so many auxiliary draws each, averaged over independent samples."""
    own = obj.marginal(guide, particles=size) if size else guide
    bound = obj.logmeanexp(obj.log_weight(model, own), over=obj.particles("k", particles))
    return obj.mean(bound, over=obj.particles("m", samples))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_bound_of_the_cone_at_given_draws(backend: str) -> None:
    run = SVI(averaged(4, 3, 2), guide=ring(), progress=False).start(CONE, get_backend(backend), 0, "float64")
    generator = np.random.default_rng(8)
    draw = {"normal": generator.normal, "uniform": lambda size: generator.uniform(0.05, 0.95, size)}
    noise = {n.name: draw[n.kind](size=n.shape) for n in run.surrogate.noise}
    loss, _ = evaluator(run)(noise, {})

    def normal(x: Any, loc: Any, scale: Any) -> Any:
        return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)

    def centre(u: Any) -> tuple[Any, Any]:
        return np.sqrt(5.0) * np.cos(2 * np.pi * u), np.sqrt(5.0) * np.sin(2 * np.pi * u)

    # Axes: particles k and samples m in the order of the noise, then auxiliary draws.
    u, rest = noise["u"], noise["u (fresh)"]
    x, y = centre(u)[0] + noise["x"], centre(u)[1] + noise["y"]
    every = np.concatenate([u[..., None], rest], -1)
    density = normal(x[..., None], centre(every)[0], 1.0) + normal(y[..., None], centre(every)[1], 1.0)
    log_q = np.log(np.mean(np.exp(density), -1))
    r = x**2 + y**2
    weight = normal(x, 0.0, 10.0) + normal(y, 0.0, 10.0) + normal(5.0, r, 0.1 + r / 100.0) - log_q
    over = weight.shape.index(3)
    top = weight.max(over)
    bound = top + np.log(np.mean(np.exp(weight - np.expand_dims(top, over)), over))
    assert -loss == pytest.approx(bound.mean(), rel=1e-9)


# Auxiliary draws (0: the guide of two normals), particles, and the converged bound with its margin, in nats.
LADDER = {
    "ELBO": (0, 1, -8.08, 0.01),
    "IWELBO(5)": (0, 5, -7.54, 0.03),
    "HVI": (1, 1, -9.75, 0.01),
    "IWHVI(5)": (5, 1, -8.18, 0.01),
    "DIWHVI(5, 5)": (5, 5, -7.31, 0.01),
    "IWHVI(20)": (20, 1, -6.95, 0.02),
    "IWHVI(100)": (100, 1, -5.89, 0.02),
}


def converged(name: str, backend: str) -> tuple[float, float]:
    """The mean bound over the last steps of a fit that starts from scratch, and its Monte Carlo error."""
    size, particles, _, _ = LADDER[name]
    method = SVI(
        averaged(size, particles, 256), guide=ring() if size else spot(), optimizer=Adam(1e-2), steps=10_000, draws=10
    )
    objective = np.asarray(ppl.infer(CONE, method, backend=backend).diagnostics["objective"])[-3000:]
    return float(objective.mean()), float(objective.std() / np.sqrt(len(objective)))


@pytest.mark.slow
@pytest.mark.parametrize("name", LADDER)
def test_the_cone_converges_to_its_table(name: str) -> None:
    bound, error = converged(name, "numpyro")
    _, _, expected, margin = LADDER[name]
    assert abs(bound - expected) <= margin + 0.005 + sigmas() * error


@pytest.mark.slow
def test_the_cone_converges_on_torch_too() -> None:
    bound, error = converged("IWHVI(5)", "pyro")
    assert abs(bound - LADDER["IWHVI(5)"][2]) <= 0.015 + sigmas() * error
