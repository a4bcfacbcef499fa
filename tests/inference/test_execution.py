"""How a fit runs: curves, clipping, averages, minibatches, groups with optimisers of their own, and what stops it."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import ppl
from ppl import dist, ops
from ppl.backend.compiled import get_backend
from ppl.errors import ModelError, NonFiniteError, PPLError, UnknownNameError
from ppl.inference import (
    EMA,
    SGD,
    SVI,
    Adam,
    AutoDelta,
    AutoNormal,
    BetaELBO,
    CapacityELBO,
    Cyclic,
    GumbelSoftmax,
    Joined,
    Ramp,
    Schedule,
    StraightThrough,
)
from ppl.inference import objective as obj
from ppl.inference.objective import guide, model, observed
from ppl.inference.schedules import Curve
from ppl.inference.svi import SVIRun
from tests.inference.cases import BACKENDS, CASES


def evaluator(run: SVIRun) -> Any:
    """The function of (noise, index) that gives the loss and its gradient at the start; compiled once."""
    backend, precision = run.model.backend, run.model.precision
    data = run.guide.bind(run.surrogate.emitted, run.model.program.data)
    params = dict(run.optimization.params())
    kinds = {"f": "float"}

    def arrays(given: Any) -> dict[str, Any]:
        return {k: backend.array(v, kinds.get(np.asarray(v).dtype.kind, "int"), precision) for k, v in given.items()}

    def of_torch(noise: Any, index: Any) -> tuple[float, dict[str, np.ndarray]]:
        leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
        value = run.surrogate.loss(leaves, {}, data, arrays(noise), arrays(index))
        grads = torch.autograd.grad(value, list(leaves.values()), allow_unused=True)
        return value.item(), {k: g.numpy() for k, g in zip(leaves, grads, strict=True) if g is not None}

    def of_jax(noise: Any, index: Any) -> tuple[float, dict[str, np.ndarray]]:
        with backend.context(precision):
            value, grads = compiled(params, {}, data, arrays(noise), arrays(index))
        return float(value), {k: np.asarray(g) for k, g in grads.items()}

    compiled = jax.jit(jax.value_and_grad(run.surrogate.loss))
    return of_torch if backend.name == "pyro" else of_jax


# --- curves ----------------------------------------------------------------------------------------------------------

WARM = Joined([Ramp(0.0, 0.1, 5), Ramp(0.1, 0.001, 20, "cosine")])


def _torch_rates(make: Any, steps: int, rate: float) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=rate)
    scheduler = make(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


SCHEDULERS = torch.optim.lr_scheduler
CURVES: dict[str, tuple[Curve, Any, Any, int]] = {
    "linear": (
        Ramp(0.1, 0.01, 20),
        optax.linear_schedule(0.1, 0.01, 20),
        lambda o: SCHEDULERS.LinearLR(o, 1.0, 0.1, 20),
        30,
    ),
    "cosine": (
        Ramp(0.1, 0.001, 20, "cosine"),
        optax.cosine_decay_schedule(0.1, 20, 0.01),
        lambda o: SCHEDULERS.CosineAnnealingLR(o, 20, 0.001),
        21,
    ),
    "exponential": (
        Ramp(0.1, 0.001, 20, "exponential"),
        optax.exponential_decay(0.1, 20, 0.01),
        lambda o: SCHEDULERS.ExponentialLR(o, 0.01 ** (1 / 20)),
        21,
    ),
    "steps down": (
        Joined([Ramp(0.1, 0.1, 7), Ramp(0.01, 0.01, 5), Ramp(0.001, 0.001, 1)]),
        optax.piecewise_constant_schedule(0.1, {7: 0.1, 12: 0.1}),
        lambda o: SCHEDULERS.MultiStepLR(o, [7, 12], 0.1),
        20,
    ),
    "warm-up and cosine": (
        WARM,
        optax.warmup_cosine_decay_schedule(0.0, 0.1, 5, 25, 0.001),
        lambda o: SCHEDULERS.SequentialLR(
            o, [SCHEDULERS.LinearLR(o, 1e-12, 1.0, 5), SCHEDULERS.CosineAnnealingLR(o, 20, 0.001)], [5]
        ),
        26,
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step")
@pytest.mark.parametrize("name", CURVES)
def test_curves_are_those_of_both_libraries(name: str) -> None:
    curve, theirs, make, steps = CURVES[name]
    own = curve.values(0, steps)
    # optax computes in float32.
    np.testing.assert_allclose(own, [float(theirs(i)) for i in range(steps)], rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(own, _torch_rates(make, steps, 0.1), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(jnp.asarray(curve.spec.at(jnp.arange(steps), jnp)), own, rtol=1e-5, atol=1e-8)
    np.testing.assert_array_equal(curve.values(3, 9), own[3:9])


def test_a_cycle_starts_anew() -> None:
    once = Joined([Ramp(0.0, 1.0, 4), Ramp(1.0, 1.0, 2)])
    np.testing.assert_allclose(once.values(0, 8), [0.0, 0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0])
    np.testing.assert_allclose(Cyclic(once).values(0, 18), np.tile(once.values(0, 6), 3))


@ppl.model
def slope():
    """The gradient of the objective is (3, 4) wherever one is."""
    a, b = ppl.param("a", 0.0), ppl.param("b", 0.0)
    ppl.factor("gain", 3.0 * a + 4.0 * b)


WAYS = [("numpyro", False), ("pyro", False), ("pyro", True)]


def climb(backend: str, compile: bool = False, **settings: Any) -> SVIRun:
    method = SVI(guide=AutoDelta(), compile=compile, progress=False, **settings)
    return method.start(slope(), get_backend(backend), 0, "float64")


def path(run: SVIRun, steps: int) -> np.ndarray:
    """The parameters after each step, the start first; shape (steps + 1, 2)."""
    seen = [run.params(averaged=False)]
    for _ in range(steps):
        run.advance(1)
        seen.append(run.params(averaged=False))
    return np.array([[p["a"], p["b"]] for p in seen])


@pytest.mark.parametrize(("backend", "compile"), WAYS)
@pytest.mark.parametrize(
    ("optimizer", "rates"),
    [
        (SGD(WARM), WARM.values(0, 30)),
        (SGD(0.1, Schedule(kind="cosine", steps=20, final_fraction=0.01, warmup=5)), WARM.values(0, 30)),
        (SGD(Cyclic(Ramp(0.1, 0.2, 3))), np.tile(Ramp(0.1, 0.2, 3).values(0, 3), 10)),
        (SGD(0.1, Schedule(kind="linear", steps=10, final_fraction=0.0)), Ramp(0.1, 0.0, 10).values(0, 30)),
    ],
)
def test_steps_are_as_long_as_the_learning_rate(backend: str, compile: bool, optimizer: SGD, rates: Any) -> None:
    with torch.compiler.set_stance("force_eager"):
        moved = np.diff(path(climb(backend, compile, optimizer=optimizer), 30), axis=0)
    np.testing.assert_allclose(moved, rates[:, None] * [3.0, 4.0], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("backend", "compile"), WAYS)
def test_gradients_are_clipped_to_a_norm(backend: str, compile: bool) -> None:
    with torch.compiler.set_stance("force_eager"):
        for clip, length in ((1.0, 1.0), (4.9, 4.9), (5.1, 5.0)):
            moved = np.diff(path(climb(backend, compile, optimizer=SGD(0.1, clip_norm=clip)), 2), axis=0)
            np.testing.assert_allclose(moved, np.tile([0.06 * length, 0.08 * length], (2, 1)), rtol=1e-9)


# --- averages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("backend", "compile"), WAYS)
@pytest.mark.parametrize("average", [EMA(0.9), EMA(0.5, start=4), EMA(1.0, start=3)])
def test_the_posterior_is_that_of_the_mean(backend: str, compile: bool, average: EMA) -> None:
    with torch.compiler.set_stance("force_eager"):
        run = climb(backend, compile, optimizer=SGD(WARM), average=average)
        later = path(run, 12)[1 + average.start :]
    weights = average.decay ** np.arange(len(later))[::-1]
    expected = weights @ later / weights.sum()
    for params in (run.params(), run.posterior().params):
        np.testing.assert_allclose([params["a"], params["b"]], expected, rtol=1e-9)
    # It goes on from a saved state.
    other = climb(backend, compile, optimizer=SGD(WARM), average=average)
    other.optimization.restore(run.optimization.state())
    with torch.compiler.set_stance("force_eager"):
        run.advance(3)
        other.advance(3)
    np.testing.assert_array_equal(other.params()["a"], run.params()["a"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_before_its_start_the_mean_is_the_last(backend: str) -> None:
    run = climb(backend, optimizer=SGD(0.1), average=EMA(0.9, start=10))
    run.advance(5)
    np.testing.assert_allclose(run.params()["a"], run.params(averaged=False)["a"], rtol=1e-12)


def test_means_of_a_fit_are_equal_on_both_backends() -> None:
    found = []
    for backend in BACKENDS:
        method = SVI(guide=AutoDelta(), optimizer=Adam(0.05), average=EMA(0.9), steps=20, draws=2, progress=False)
        found.append(ppl.infer(CASES["regression"].build(), method, backend=backend, precision="float64").params)
    for name, array in found[0].items():
        np.testing.assert_allclose(found[1][name], array, rtol=1e-7, atol=1e-9)


# --- minibatches over several plates ---------------------------------------------------------------------------------


USERS, ITEMS = 4, 3
RATED = np.random.default_rng(5).normal(size=(USERS, ITEMS))


@ppl.model
def table():
    """Every user with every item: plates that cross, each with a latent of its own."""
    level = ppl.sample("level", dist.Normal(0.0, 1.0))
    with ppl.plate("users", size=USERS):
        u = ppl.sample("u", dist.Normal(level, 1.0))
    with ppl.plate("items", size=ITEMS):
        v = ppl.sample("v", dist.Normal(0.0, 0.5))
    width = ppl.param("width", 0.7, support=dist.support.positive)
    with ppl.plate("users", size=USERS), ppl.plate("items", size=ITEMS):
        ppl.sample("rating", dist.Normal(u + 0.3 * v, width))


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_of_two_plates_average_to_the_whole(backend: str) -> None:
    """Over an epoch of all pairs of minibatches, each row with its own noise, to the loss and gradient of all rows."""
    program = table().observe(rating=RATED)
    full = SVI(guide=AutoNormal(), progress=False).start(program, get_backend(backend), 0, "float64")
    method = SVI(guide=AutoNormal(), batch_size={"users": 2, "items": 1}, progress=False)
    part = method.start(program, get_backend(backend), 0, "float64")
    generator = np.random.default_rng(7)
    noise = {n.name: generator.normal(size=n.shape) for n in full.surrogate.noise}
    value, grads = evaluator(full)(noise, {})
    found, evaluate = [], evaluator(part)
    for users, items in itertools.product([[0, 3], [1, 2]], [[0], [1], [2]]):
        rows = {"users": np.array(users), "items": np.array(items)}
        own = {"level": noise["level"], "u": noise["u"][rows["users"]], "v": noise["v"][rows["items"]]}
        found.append(evaluate(own, rows))
    assert np.mean([v for v, _ in found]) == pytest.approx(value, rel=1e-10)
    for key, grad in grads.items():
        np.testing.assert_allclose(np.mean([g[key] for _, g in found], 0), grad, rtol=1e-8, atol=1e-9)


def test_minibatches_of_two_plates_see_the_same_rows_on_both_backends() -> None:
    program = table().observe(rating=RATED)
    rows = []
    for backend in BACKENDS:
        method = SVI(guide=AutoNormal(), batch_size={"users": 2, "items": 2}, steps=4, chunk=4, draws=2, progress=False)
        run = method.start(program, get_backend(backend), 0, "float64")
        assert np.isfinite(run.advance(4)).all()
        rows.append(run.rows(0, 4))
    for name in ("users", "items"):
        np.testing.assert_array_equal(rows[0][name], rows[1][name])
        assert rows[0][name].shape == (4, 2)


# --- groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_parameters_have_optimisers_by_name(backend: str) -> None:
    """Plain gradient steps: each parameter's step is its own learning rate times the shared gradient."""
    program = table().observe(rating=RATED)
    whole = SVI(guide=AutoNormal(), optimizer=SGD(1e-3), progress=False)
    rates = {"width": SGD(2e-3), "guide.u.loc": SGD(3e-3), "guide": SGD(1e-3), "model": SGD(5e-3)}
    split = SVI(guide=AutoNormal(), optimizer=rates, progress=False)
    moved = []
    for method in (whole, split):
        run = method.start(program, get_backend(backend), 0, "float64")
        numbers = run.model.backend.to_numpy
        before = {k: numbers(v) for k, v in run.optimization.params().items()}
        run.advance(1)
        moved.append({k: numbers(v) - before[k] for k, v in run.optimization.params().items()})
    for name, step in moved[0].items():
        factor = {"width": 2.0, "guide.u.loc": 3.0}.get(name, 1.0)
        np.testing.assert_allclose(moved[1][name], factor * step, rtol=1e-9, err_msg=name)


# --- weights and temperatures that change ----------------------------------------------------------------------------


@ppl.model
def bits(rows: int = 5):
    shift = ppl.param("shift", 0.4)
    with ppl.plate("rows", size=rows):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        b = ppl.sample("b", dist.Bernoulli(logits=0.3))
        ppl.sample("x", dist.Normal(z + shift * b, 0.5))


@ppl.model
def bits_guide(rows: int = 5):
    with ppl.plate("rows", size=rows):
        ppl.sample("z", dist.Normal(ppl.param("m", 0.1), ppl.param("s", 0.8, support=dist.support.positive)))
        ppl.sample("b", dist.Bernoulli(logits=ppl.param("l", 0.2)))


BITS = bits().observe(x=np.linspace(-1.0, 1.0, 5))
RISING = Ramp(0.2, 1.0, 4, "cosine")
K = obj.particles("k", 2, chunk=1)
_FIT, _KL = obj.log_density(model, sites=observed), obj.kl(guide, model)
SETTINGS: dict[str, Any] = {
    "beta": lambda n: {"objective": BetaELBO(n, particles=2)},
    "beta of a site": lambda n: {"objective": BetaELBO({"z": n})},
    "capacity": lambda n: {"objective": CapacityELBO(2.0, n)},
    "own words": lambda n: {"objective": obj.mean(_FIT - _KL * n, over=obj.particles("k", 3))},
    "in chunks": lambda n: {"objective": obj.mean(_FIT - n * _KL, over=K)},
    "temperature": lambda n: {"strategies": {"b": GumbelSoftmax(n, bias="relaxation")}},
    "straight through": lambda n: {"strategies": {"b": StraightThrough(n, bias="relaxation")}},
}


def _losses(setting: Any, backend: str, steps: int) -> list[tuple[float, dict[str, np.ndarray]]]:
    """Losses and gradients at the start for the first steps, on the same noise."""
    method = SVI(guide=bits_guide(), optimizer=SGD(1e-3), progress=False, **setting)
    run = method.start(BITS, get_backend(backend), 0, "float64")
    generator = np.random.default_rng(3)
    noise = {n.name: generator.uniform(0.1, 0.9, size=n.shape) for n in run.surrogate.noise}
    evaluate = evaluator(run)
    return [evaluate(noise, {k: v[i] for k, v in run.rows(0, steps).items()}) for i in range(steps)]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SETTINGS)
def test_a_curve_is_at_each_step_the_number_it_says(name: str, backend: str) -> None:
    bent = _losses(SETTINGS[name](RISING), backend, 5)
    for i in (0, 3):
        value, grads = _losses(SETTINGS[name](float(RISING.values(i, i + 1)[0])), backend, 1)[0]
        assert bent[i][0] == pytest.approx(value, rel=1e-10)
        for key, grad in grads.items():
            np.testing.assert_allclose(bent[i][1][key], grad, rtol=1e-8, atol=1e-10)
    # All of this would hold of a curve that nobody reads.
    if name != "straight through":
        assert abs(bent[0][0] - bent[3][0]) > 1e-3
    # Below the divergence the gradient does not know how much capacity there is.
    if name != "capacity":
        assert any(np.abs(bent[0][1][k] - bent[3][1][k]).max() > 1e-3 for k in ("s", "l"))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_fits_with_curves_take_the_numbers_of_their_steps(precision: str) -> None:
    """The objective is the curve itself where all else is constant; chunks, compiled steps and resuming keep step."""
    term = obj.mean(obj.log_density(model) * 0.0 + Ramp(0.0, 4.0, 10) - 0.0 * _KL, over=obj.particles("k", 1))
    for backend, compile in WAYS:
        method = SVI(term, guide=bits_guide(), strategies={}, optimizer=SGD(1e-3), compile=compile, progress=False)
        run = method.start(BITS, get_backend(backend), 0, precision)
        with torch.compiler.set_stance("force_eager"):
            seen = np.concatenate([run.advance(4), run.advance(3), run.advance(5)])
        np.testing.assert_allclose(seen, np.minimum(np.arange(12) * 0.4, 4.0), rtol=1e-6)


def test_curves_print_compare_and_come_back(tmp_path: Any) -> None:
    objective = BetaELBO(Cyclic(Joined([Ramp(0.0, 1.0, 5), Ramp(1.0, 1.0, 5)])))
    text = "mean(log_density(model, sites=observed) - Cyclic(Joined([Ramp(0.0, 1.0, 5), Ramp(1.0, 1.0, 5)])) * "
    assert repr(objective.expression()).startswith(text[:40])
    assert "Cyclic(Joined([Ramp(0.0, 1.0, 5), Ramp(1.0, 1.0, 5)])) * kl(guide, model)" in repr(objective.expression())
    method = SVI(
        objective,
        guide=bits_guide(),
        optimizer={"model": Adam(WARM), "guide": Adam(0.01, Schedule(steps=5, warmup=2), clip_norm=1.0), "m": SGD(0.1)},
        average=EMA(0.9, start=2),
        strategies={"b": GumbelSoftmax(Ramp(1.0, 0.2, 10, "exponential"), bias="relaxation")},
        steps=6,
        draws=3,
        progress=False,
    )
    assert eval(repr(WARM)) == WARM
    fit = ppl.infer(BITS, method)
    fit.save(tmp_path / "fit")
    again = ppl.Posterior.load(tmp_path / "fit")
    assert again.method == method
    assert repr(again.method) == repr(method)


# --- what stops a fit ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fit_that_stops_hands_out_the_last_good_state(backend: str) -> None:
    program = CASES["regression"].build()
    method = SVI(guide=AutoNormal(), optimizer=SGD(10.0), steps=40, draws=20, progress=False)
    with pytest.raises(NonFiniteError, match=r"site '.*not finite") as caught:
        ppl.infer(program, method, backend=backend)
    error = caught.value
    assert error.site in program.sites
    assert "`params` and `posterior` of this error are those of the fit as it was" in str(error.remedy)
    assert all(np.isfinite(a).all() for a in error.params.values())
    # The steps before the one that failed lead to the same place.
    run = method.start(program, get_backend(backend), 0, "float32")
    with pytest.raises(NonFiniteError):
        run.advance(40)
    assert 0 < run.steps_done < 40
    for name, array in run.params().items():
        np.testing.assert_array_equal(error.params[name], array)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_last_good_state_is_a_posterior(backend: str) -> None:
    """From a = 2 the second step ends in a = 1, where the objective is finite and its gradient is 0 / 0."""

    @ppl.model
    def cusp():
        a = ppl.param("a", 2.0)
        ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.factor("cost", -0.5 * (a - 1.0) ** 2 - ops.sqrt((a - 1.0) ** 2))

    @ppl.model
    def point():
        ppl.sample("z", dist.Normal(ppl.param("m", 0.0), 1.0))

    rates = {"model": SGD(0.5), "guide": SGD(0.1)}
    with pytest.raises(NonFiniteError, match="not finite at step 1") as caught:
        ppl.infer(cusp(), SVI(guide=point(), optimizer=rates, steps=20, draws=8, progress=False), backend=backend)
    kept = caught.value.posterior
    assert kept.diagnostics["steps"] == len(kept.diagnostics["objective"]) == 1
    assert kept.diagnostics["stopped_early"]
    assert kept.params["a"] == caught.value.params["a"] == pytest.approx(1.0)
    assert np.asarray(kept.draws["z"]).shape == (1, 8)
    # Another start goes on from there.
    again = SVI(guide=point(), optimizer=SGD(0.1), steps=2, draws=2, params={**kept.params, "a": 1.5}, progress=False)
    assert 1.0 < ppl.infer(cusp(), again, backend=backend).params["a"] < 1.5


REFUSED: dict[str, tuple[Any, type[PPLError], str]] = {
    "a ramp of no kind": (lambda: Ramp(0.0, 1.0, 5, "cosin"), UnknownNameError, "Did you mean 'cosine'"),
    "a ramp without steps": (lambda: Ramp(0.0, 1.0, 0), ModelError, "at least one step"),
    "a ramp to nowhere": (lambda: Ramp(0.0, np.inf, 3), ModelError, "from number to number"),
    "an exponential from zero": (lambda: Ramp(0.0, 1.0, 5, "exponential"), ModelError, "one positive number"),
    "joined without end": (lambda: Joined([Cyclic(Ramp(0.0, 1.0, 5))]), ModelError, "curves that come to an end"),
    "a cycle of cycles": (lambda: Cyclic(Cyclic(Ramp(0.0, 1.0, 5))), ModelError, "a curve that comes to an end"),
    "a rate below zero": (lambda: Adam(Ramp(0.1, -0.1, 5)), ModelError, "learning rate must be positive"),
    "a rate bent twice": (lambda: Adam(WARM, Schedule(steps=5)), ModelError, "bend it once more"),
    "a schedule to zero by factors": (
        lambda: Schedule(kind="exponential", steps=5, final_fraction=0.0),
        ModelError,
        "never comes to its end",
    ),
    "a schedule of no kind": (lambda: Schedule(kind="cos", steps=5), ModelError, "is not a schedule"),
    "clipped to nothing": (lambda: Adam(0.1, clip_norm=0.0), ModelError, "clipped to a positive norm"),
    "a mean of nothing": (lambda: EMA(0.0), ModelError, "is no running mean"),
    "a temperature to zero": (
        lambda: GumbelSoftmax(Ramp(1.0, 0.0, 5), bias="relaxation"),
        ModelError,
        "a temperature is positive",
    ),
    "a beta below zero": (lambda: BetaELBO(Ramp(-1.0, 1.0, 5)), ModelError, "weights from zero up"),
    "divided by a curve": (lambda: _KL / Ramp(1.0, 2.0, 5), ModelError, "not divided by a curve"),
    "an optimiser for nobody": (
        lambda: climb("numpyro", optimizer={"model": SGD(0.1), "bb": SGD(0.1)}),
        UnknownNameError,
        "no group of parameters 'bb' to optimise",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        make()


def test_what_stops_a_fit_is_an_error_of_numbers() -> None:
    assert issubclass(NonFiniteError, PPLError)
    assert PPLError("nothing").posterior is None
