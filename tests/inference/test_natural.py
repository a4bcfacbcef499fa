"""Natural gradients and variational online Newton steps: exact on conjugate models, the source's recipe otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer

import ppl
from ppl import dist
from ppl.backend.compiled import get_backend
from ppl.errors import ModelError, PPLError, StrategyError
from ppl.inference import (
    ELBO,
    IVON,
    SVI,
    Adam,
    AutoDelta,
    AutoMultivariateNormal,
    AutoNormal,
    NaturalGradient,
    Ramp,
)
from ppl.inference.parts import optimizer_parts
from ppl.inference.svi import SVIRun
from tests.inference.cases import BACKENDS, CASES
from tests.inference.test_execution import evaluator


def with_noise(run: SVIRun, noise: Mapping[str, np.ndarray]) -> SVIRun:
    """The fit with the same noise at every step."""
    backend, loss = run.model.backend, run.surrogate.loss
    fixed = {k: backend.array(v, "float", run.model.precision) for k, v in noise.items()}
    trained = {k: backend.to_numpy(v) for k, v in run.optimization.params().items()}
    method = run.method
    parts = optimizer_parts(
        method.optimizer, method.schedule, list(trained), set(run.model.params), run.surrogate, run.guide
    )
    data = run.guide.bind(run.surrogate.emitted, run.model.program.data)
    run.optimization = backend.optimization(
        lambda params, values, data, _, rows: loss(params, values, data, fixed, rows),
        trained,
        data,
        [],
        parts,
        backend.key(0),
        run.model.precision,
        False,
    )
    return run


def start(name: str, guide: Any, optimizer: Any, backend: str, objective: Any = None) -> SVIRun:
    program = CASES[name].build()
    method = SVI(objective or ELBO(), guide=guide, optimizer=optimizer, progress=False)
    return method.start(program, get_backend(backend), 0, "float64")


def sigma_points(size: int) -> np.ndarray:
    """Points with the mean and the covariance of a standard normal, for which quadratics have exact expectations."""
    return np.sqrt(size) * np.concatenate([np.eye(size), -np.eye(size)])


# --- one step on conjugate models ------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["regression", "groups"])
@pytest.mark.parametrize("scale", [0.02, 0.1, 3.0])
def test_one_whole_step_is_the_posterior_with_a_full_covariance(name: str, backend: str, scale: float) -> None:
    case = CASES[name]
    size = len(case.covariance)
    run = start(name, AutoMultivariateNormal(scale), NaturalGradient(1.0), backend, ELBO(2 * size))
    assert len(run.surrogate.noise) == 1
    with_noise(run, {run.surrogate.noise[0].name: sigma_points(size)})
    run.advance(1)
    found = run.params()
    factor = found["guide.scale_tril"]
    mean = np.concatenate([np.ravel(case.mean[n]) for n in case.mean])
    np.testing.assert_allclose(factor @ factor.T, case.covariance, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found["guide.loc"], mean, rtol=1e-6, atol=1e-9)
    # And it stays there; the bound is the evidence.
    objective = run.advance(2)
    np.testing.assert_allclose(objective, case.log_evidence, rtol=1e-9)
    np.testing.assert_allclose(run.params()["guide.loc"], mean, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_whole_step_is_the_posterior_of_independent_numbers(backend: str) -> None:
    case = CASES["factors"]
    run = start("factors", AutoNormal(), NaturalGradient(1.0), backend, ELBO(2))
    ones = np.ones((1, 6))
    with_noise(run, {run.surrogate.noise[0].name: np.concatenate([ones, -ones])})
    run.advance(1)
    found = run.params()
    np.testing.assert_allclose(found["guide.z.loc"], case.mean["z"], rtol=1e-8)
    np.testing.assert_allclose(found["guide.z.scale"], np.sqrt(np.diag(case.covariance)), rtol=1e-8)
    np.testing.assert_allclose(run.advance(1), case.log_evidence, rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_independent_numbers_reach_the_best_of_their_family(backend: str) -> None:
    """Of a correlated posterior: its mean, and the inverse of the diagonal of its precision."""
    case = CASES["regression"]
    run = start("regression", AutoNormal(), NaturalGradient(0.5), backend, ELBO(6))
    points = sigma_points(3)
    names = [n.name for n in run.surrogate.noise]
    with_noise(run, dict(zip(names, (points[:, :2], points[:, 2]), strict=True)))
    run.advance(80)
    found = run.params()
    spread = 1.0 / np.sqrt(np.diag(np.linalg.inv(case.covariance)))
    np.testing.assert_allclose(found["guide.weights.loc"], case.mean["weights"], rtol=1e-6)
    np.testing.assert_allclose(found["guide.intercept.loc"], case.mean["intercept"], rtol=1e-6)
    np.testing.assert_allclose(found["guide.weights.scale"], spread[:2], rtol=1e-6)
    np.testing.assert_allclose(found["guide.intercept.scale"], spread[2], rtol=1e-6)


# --- the source's recipe, on real data --------------------------------------------------------------------------------

MEASURED, LABEL = (np.asarray(a, dtype=float) for a in load_breast_cancer(return_X_y=True))
DESIGN = ((MEASURED - MEASURED.mean(0)) / MEASURED.std(0))[:200, :5]
LABEL = LABEL[:200]


@ppl.model
def tumours(features):
    weights = ppl.sample("w", dist.Normal(0.0, 1.0).expand([5]))
    with ppl.plate("rows", features) as x:
        ppl.sample("y", dist.Bernoulli(logits=x @ weights))


PROGRAM = tumours(DESIGN).observe(y=LABEL)
NOISE = np.random.default_rng(4).normal(size=5)


def newton(steps: int, rate: float, beta1: float, beta2: float, scale: float, loc: np.ndarray) -> Any:
    """Algorithm 1 of Shen et al. (2024), with one draw a step and the mean loss over the rows; see `IVON` on the prior.

    Effective sample size lambda = rows, weight decay delta = 1 / rows.
    """
    rows = len(LABEL)
    delta = 1.0 / rows
    h = np.full(5, 1.0 / (rows * scale**2) - delta)
    m, g = loc.copy(), np.zeros(5)
    for t in range(1, steps + 1):
        sigma = 1.0 / np.sqrt(rows * (h + delta))
        theta = m + sigma * NOISE
        gradient = DESIGN.T @ (1.0 / (1.0 + np.exp(-DESIGN @ theta)) - LABEL) / rows
        curvature = gradient * (theta - m) / sigma**2
        g = beta1 * g + (1.0 - beta1) * (gradient + delta * m)
        h = beta2 * h + (1.0 - beta2) * curvature + 0.5 * (1.0 - beta2) ** 2 * (h - curvature) ** 2 / (h + delta)
        m = m - rate * (g / (1.0 - beta1**t)) / (h + delta)
    return m, 1.0 / np.sqrt(rows * (h + delta))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_ivon_takes_the_steps_of_its_source(backend: str, beta1: float) -> None:
    method = SVI(
        ELBO(analytic_kl=True), guide=AutoNormal(0.2), optimizer=IVON(0.1, beta1=beta1, beta2=0.9), progress=False
    )
    run = method.start(PROGRAM, get_backend(backend), 0, "float64")
    begin = run.params()["guide.w.loc"]
    with_noise(run, {run.surrogate.noise[0].name: NOISE})
    run.advance(7)
    loc, scale = newton(7, 0.1, beta1, 0.9, 0.2, begin)
    np.testing.assert_allclose(run.params()["guide.w.loc"], loc, rtol=1e-9)
    np.testing.assert_allclose(run.params()["guide.w.scale"], scale, rtol=1e-9)


OPTIMIZERS: dict[str, tuple[Any, Any]] = {
    "natural": (AutoNormal(), NaturalGradient(Ramp(0.3, 0.01, 8))),
    "natural, full": (AutoMultivariateNormal(), NaturalGradient(0.1)),
    "ivon": (AutoNormal(), IVON(0.1)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_both_backends_take_the_same_path(name: str) -> None:
    guide, optimizer = OPTIMIZERS[name]
    paths = []
    for backend in BACKENDS:
        run = SVI(ELBO(4), guide=guide, optimizer=optimizer, progress=False).start(
            PROGRAM, get_backend(backend), 0, "float64"
        )
        (shape,) = [n.shape for n in run.surrogate.noise]
        with_noise(run, {run.surrogate.noise[0].name: np.random.default_rng(1).normal(size=shape)})
        paths.append((run.advance(10), run.params()))
        # A state goes on where it was.
        state, steps = run.optimization.state(), run.steps_done
        further = run.advance(3)
        run.optimization.restore(state)
        run.steps_done = steps
        np.testing.assert_array_equal(run.advance(3), further)
    np.testing.assert_allclose(paths[1][0], paths[0][0], rtol=1e-9)
    for key, array in paths[0][1].items():
        np.testing.assert_allclose(paths[1][1][key], array, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_noise_never_makes_a_variance_negative(backend: str) -> None:
    """One draw far out: the estimated curvature is so negative that the plain step would leave the family."""
    method = SVI(ELBO(), guide=AutoNormal(0.5), optimizer=NaturalGradient(1.0), progress=False)
    run = method.start(PROGRAM, get_backend(backend), 0, "float64")
    noise = {run.surrogate.noise[0].name: np.full(5, -4.0)}
    _, grads = evaluator(run)(noise, {})
    ratio = 1.0 + grads["guide.w.scale"]
    assert (ratio < 0).any()
    with_noise(run, noise)
    run.advance(1)
    kept = np.where(ratio > 1e-4, ratio, 0.5 * (1.0 + ratio**2))
    np.testing.assert_allclose(run.params()["guide.w.scale"], 0.5 / np.sqrt(kept), rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_noise_never_makes_a_covariance_indefinite(backend: str) -> None:
    method = SVI(ELBO(), guide=AutoMultivariateNormal(0.5), optimizer=NaturalGradient(1.0), progress=False)
    run = method.start(PROGRAM, get_backend(backend), 0, "float64")
    with_noise(run, {run.surrogate.noise[0].name: np.full(5, -4.0)})
    run.advance(3)
    factor = run.params()["guide.scale_tril"]
    assert np.isfinite(factor).all()
    assert (np.linalg.eigvalsh(factor @ factor.T) > 0).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_model_and_guide_have_optimisers_of_their_own(backend: str, tmp_path: Any) -> None:
    @ppl.model
    def spread(features):
        width = ppl.param("width", 1.0, support=dist.support.positive)
        weights = ppl.sample("w", dist.Normal(0.0, width).expand([5]))
        with ppl.plate("rows", features) as x:
            ppl.sample("y", dist.Bernoulli(logits=x @ weights))

    method = SVI(
        ELBO(4),
        guide=AutoNormal(),
        optimizer={"model": Adam(0.02), "guide": IVON(0.2, beta2=0.95)},
        steps=200,
        batch_size=100,
        draws=50,
        progress=False,
    )
    fit = ppl.infer(spread(DESIGN).observe(y=LABEL), method, backend=backend)
    assert fit.params["width"] != 1.0
    # The fitted weights tell the tumours apart, as logistic regression on five measurements does.
    logits = DESIGN @ fit.params["guide.w.loc"]
    assert np.mean((logits > 0) == (LABEL > 0.5)) > 0.9
    fit.save(tmp_path / "fit")
    assert ppl.Posterior.load(tmp_path / "fit").method == method


# --- what is refused --------------------------------------------------------------------------------------------------


@ppl.model
def own(scale: str):
    shift = ppl.param("shift", np.zeros(5))
    width = ppl.param("width", np.ones(5), support=dist.support.positive)
    if scale == "shared":
        ppl.sample("w", dist.Normal(shift, ppl.param("one", 1.0, support=dist.support.positive)))
    elif scale == "computed":
        ppl.sample("w", dist.Normal(2.0 * shift, width))
    else:
        ppl.sample("w", dist.Normal(shift, width))


def started(guide: Any, optimizer: Any, program: Any = PROGRAM) -> Any:
    return SVI(guide=guide, optimizer=optimizer, progress=False).start(program, get_backend("numpyro"), 0, "float32")


def test_a_guide_of_ones_own_is_known() -> None:
    started(own("plain"), NaturalGradient(0.1)).advance(2)


REFUSED: dict[str, tuple[Any, type[PPLError], str]] = {
    "a step beyond the end": (lambda: NaturalGradient(1.5), ModelError, "length above 0 and up to 1"),
    "a step of nothing": (lambda: IVON(0.0), ModelError, "length above 0 and up to 1"),
    "no growth": (lambda: NaturalGradient(0.1, growth=1.0), ModelError, "grow by a factor above 2"),
    "a beta of one": (lambda: IVON(0.1, beta2=1.0), ModelError, "beta2 from 0 to below 1"),
    "a full covariance for IVON": (
        lambda: started(AutoMultivariateNormal(), IVON(0.1)),
        StrategyError,
        "IVON moves the mean and scale of a normal distribution of independent numbers",
    ),
    "a point": (lambda: started(AutoDelta(), NaturalGradient(0.1)), StrategyError, "'guide.w.point' is none"),
    "a shared scale": (lambda: started(own("shared"), NaturalGradient(0.1)), StrategyError, "parameter '(shift|one)'"),
    "a mean that is computed": (lambda: started(own("computed"), IVON(0.1)), StrategyError, "is none"),
    "parameters of the model": (
        lambda: started(AutoNormal(), NaturalGradient(0.1), with_width()),
        StrategyError,
        'optimizer={"model": Adam',
    ),
}


def with_width() -> ppl.Program:
    @ppl.model
    def wide(features):
        weights = ppl.sample("w", dist.Normal(0.0, ppl.param("width", 1.0, support=dist.support.positive)).expand([5]))
        with ppl.plate("rows", features) as x:
            ppl.sample("y", dist.Bernoulli(logits=x @ weights))

    return wide(DESIGN).observe(y=LABEL)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    make, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        make()
