"""`NPE` against conjugate posteriors and quadrature, and what it says of data that it cannot know."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportIndexIssue=false

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from scipy import stats

import ppl
from ppl import dist, nn, ops
from ppl.backend.compiled import compile
from ppl.errors import DataError, GuideError, ModelError, ShapeError, StrategyError, UnknownNameError
from ppl.inference import NPE, SVI, Adam, AutoAmortized, AutoNormal, Schedule
from ppl.program.values import Plate
from ppl.transforms.repeat import repeated
from tests.budget import FALSE_ALARM, sigmas
from tests.posterior.fits import NOISE_SD, PRIOR_SD, centre, centre_fit, centre_moments

BACKENDS = ("numpyro", "pyro")
ROWS = 5
Y = np.linspace(-1.0, 2.0, ROWS)


@ppl.model
def linear(y):
    """The exact posterior of `centre` has this form."""
    mean = nn.Linear("mean", ROWS, 1)(y)
    ppl.sample("mu", dist.Normal(mean[0], ppl.param("spread", 1.0, support=dist.support.positive)))


FALLING = Adam(0.03, schedule=Schedule(steps=800, final_fraction=0.005))
SIMULATIONS = 4000


@pytest.fixture(scope="module")
def fits() -> dict[str, ppl.Posterior]:
    method = NPE(linear(Y), SIMULATIONS, steps=800, batch_size=256, optimizer=FALLING, draws=4000, progress=False)
    return {b: ppl.infer(centre(ROWS).observe(y=Y), method, backend=b, seed=2) for b in BACKENDS}


def allowed(y: np.ndarray) -> tuple[float, float]:
    """Standard errors of posterior mean and spread that so many simulations leave, as in linear regression."""
    used = 0.9 * SIMULATIONS
    moments = NOISE_SD**2 * np.eye(ROWS) + PRIOR_SD**2
    sd = centre_moments(y)[1]
    return sd * (float(1.0 + y @ np.linalg.solve(moments, y)) / used) ** 0.5, sd / (2.0 * used) ** 0.5


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_conjugate_posterior_is_found_for_any_data(backend: str, fits: dict) -> None:
    fit = fits[backend]
    others = {"fitted": Y, "zero": np.zeros(ROWS), "far": np.full(ROWS, 2.5)}
    for y in others.values():
        found = fit if y is Y else fit.condition(y=y)
        mean, sd = centre_moments(y)
        own_mean, own_sd = allowed(y)
        weight, bias = fit.params["mean.0.weight"][0], fit.params["mean.0.bias"][0]
        # A tenth of what the simulations leave is left to the optimiser.
        assert abs(weight @ y + bias - mean) < 1.1 * sigmas(8) * own_mean
        assert abs(float(fit.params["spread"]) - sd) < 1.1 * sigmas(8) * own_sd
        draws = found.draws["mu"].ravel()
        assert abs(draws.mean() - (weight @ y + bias)) < sigmas(8) * sd * 1.1 / len(draws) ** 0.5
        assert found.problems == []
        # The values that are computed from the latents come along.
        np.testing.assert_allclose(found.draws["double"], 2.0 * found.draws["mu"], rtol=1e-6)
    assert fit.diagnostics["simulations"] == 3600
    assert len(fit.diagnostics["objective"]) == 800


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_answer_is_corrected_by_weights(backend: str, fits: dict) -> None:
    found = fits[backend].condition(y=np.full(ROWS, 1.5)).importance_corrected()
    mean, sd = centre_moments(np.full(ROWS, 1.5))
    assert abs(float(found.mean("mu")) - mean) < sigmas(4) * sd / found.diagnostics["ess"] ** 0.5
    covariance = NOISE_SD**2 * np.eye(ROWS) + PRIOR_SD**2
    exact = stats.multivariate_normal.logpdf(np.full(ROWS, 1.5), np.zeros(ROWS), covariance)
    # Draws of nearly the posterior: the weights hardly differ.
    error = max(1.0 / found.diagnostics["ess"] - 1.0 / 4000, 1e-12) ** 0.5
    assert found.log_evidence is not None
    assert abs(found.log_evidence - exact) < sigmas(4) * error + 1e-4
    assert found.khat is not None
    assert found.khat < 0.7


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fit_is_calibrated_and_a_narrowed_one_is_not(backend: str, fits: dict) -> None:
    fit = fits[backend]
    assert ppl.calibrate(fit.program, fit, 400, false_alarm=FALSE_ALARM).ok
    narrow = fit.replace(params={**fit.params, "spread": 0.6 * fit.params["spread"]})
    found = ppl.calibrate(fit.program, narrow, 400, false_alarm=FALSE_ALARM)
    assert found.uncalibrated == ["mu"]
    assert "too narrow" in found.problems[0]


def test_a_file_goes_on_answering(fits: dict, tmp_path: Any) -> None:
    fit = fits["pyro"]
    loaded = ppl.Posterior.load(fit.save(tmp_path / "fit"))
    assert loaded.method == fit.method
    mine, theirs = fit.condition(y=np.zeros(ROWS)), loaded.condition(y=np.zeros(ROWS))
    np.testing.assert_array_equal(mine.draws["mu"], theirs.draws["mu"])


def test_data_unlike_all_simulations_is_named(fits: dict) -> None:
    fit = fits["pyro"]
    with pytest.warns(UserWarning, match=r"5 of 5 numbers of the data \('y'\) lie outside of all 3600 simulations"):
        found = fit.condition(y=np.full(ROWS, 40.0))
    assert any("lie outside" in p for p in found.problems)
    assert "warning: 5 of 5 numbers" in repr(found)
    # Data of the model itself is not: about one alarm in a thousand sets was granted.
    sets = ppl.simulate(fit.program, 30, seed=8, backend="pyro")["y"].values
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for y in sets:
            fit.condition(y=y)


@ppl.model
def nested(x, shift):
    """A guide with a shared latent, one for each group, and one for each row of a group."""
    ppl.sample("top", dist.Normal(ops.mean(x) + shift, 1.0))
    scale = ppl.param("scale", 0.7, support=dist.support.positive)
    net = nn.Linear("net", 2, 1)
    with ppl.plate("groups", x) as group:
        middle = ppl.sample("middle", dist.Normal(ops.sum(group), scale))
        half = ppl.deterministic("half", 0.5 * middle)
        with ppl.plate("rows", group) as row:
            ppl.sample("low", dist.Normal(net(ops.stack([row, half]))[0], 1.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_runs_of_a_program_are_those_runs(backend: str) -> None:
    """Log densities of three runs at once, against one after the other."""
    rng = np.random.default_rng(5)
    x, shift = rng.normal(size=(3, 4, 2)), 0.3
    values = {"top": rng.normal(size=3), "middle": rng.normal(size=(3, 4)), "low": rng.normal(size=(3, 4, 2))}
    one = nested(x[0], np.array(shift))
    many = repeated(one, Plate("runs", 3), ["x"])
    assert str(many.plates[0].plate) == "runs (3)"
    whole = compile(many.bind(x=x), backend, precision="float64")
    params = {**whole.params, "scale": np.array(0.4)}
    terms = whole.log_density(values, params, by_site=True)
    for i in range(3):
        own = compile(nested(x[i], np.array(shift)), backend, precision="float64")
        expected = own.log_density({n: v[i] for n, v in values.items()}, params, by_site=True)
        for name, term in expected.items():
            found = whole.backend.to_numpy(terms[name])[i]
            np.testing.assert_allclose(found, own.backend.to_numpy(term), rtol=1e-12)


@ppl.model
def normal(rows: int):
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
    spread = ppl.sample("spread", dist.LogNormal(0.0, 0.5))
    with ppl.plate("rows", size=rows):
        ppl.sample("y", dist.Normal(mean, spread))


@ppl.model
def line(features):
    weights = ppl.sample("weights", dist.Normal(0.0, 1.0).expand([2]))
    with ppl.plate("rows", features) as x:
        ppl.sample("y", dist.Normal(x @ weights, 0.5))


@ppl.model
def walk(length: int):
    rate = ppl.sample("rate", dist.Beta(2.0, 2.0))

    def step(before, _):
        return ppl.sample("y", dist.Normal(rate * before, 0.5))

    ppl.scan("time", step, init=1.0, length=length)


def short(**settings: Any) -> NPE:
    defaults: dict[str, Any] = {"simulations": 4000, "steps": 600, "draws": 2000, "progress": False}
    falling = Adam(5e-3, schedule=Schedule(steps=600, final_fraction=0.02))
    family = AutoAmortized(settings.pop("family", "flow"), hidden=32, summary=8)
    return NPE(family, optimizer=falling, **{**defaults, **settings})


def quadrature(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Posterior means and standard deviations of mean and spread of `normal`."""
    m, s = np.meshgrid(np.linspace(-4, 4, 400), np.exp(np.linspace(-3, 3, 400)), indexing="ij")
    log = stats.norm.logpdf(m) + stats.lognorm.logpdf(s, 0.5) + stats.norm.logpdf(y[:, None, None], m, s).sum(0)
    weights = np.exp(log - log.max()) * s
    weights /= weights.sum()
    means = np.array([(weights * m).sum(), (weights * s).sum()])
    return means, np.sqrt([(weights * m**2).sum() - means[0] ** 2, (weights * s**2).sum() - means[1] ** 2])


def test_a_guide_made_from_the_model_reads_its_rows_as_a_set() -> None:
    y = np.array([0.3, -0.8, 1.4, 0.9, 0.2, 1.1])
    fit = ppl.infer(normal(6).observe(y=y), short(), backend="pyro")
    means, spreads = quadrature(y)
    corrected = fit.importance_corrected()
    assert corrected.khat is not None
    assert corrected.khat < 0.7
    error = sigmas(8) / corrected.diagnostics["ess"] ** 0.5
    found = np.array([float(corrected.mean("mean")), float(corrected.mean("spread"))])
    assert np.all(np.abs(found - means) < error * spreads)
    # Before that, it is near: within half a standard deviation.
    raw = np.array([float(fit.mean("mean")), float(fit.mean("spread"))])
    assert np.all(np.abs(raw - means) < 0.5 * spreads)
    again = fit.condition(y=y[::-1].copy())
    np.testing.assert_allclose(again.draws["mean"], fit.draws["mean"], atol=1e-4)
    # Both backends score draws alike.
    assert fit.guide is not None
    values = {n: fit.draws[n][0, :50] for n in fit.program.latents}
    both = [np.asarray(compile(fit.guide, b, precision="float64").log_density(values, fit.params)) for b in BACKENDS]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-8)
    np.testing.assert_allclose(both[0], np.asarray(fit.log_q)[0, :50], atol=2e-3)


@pytest.mark.parametrize(("backend", "family"), [("numpyro", "normal"), ("pyro", "flow")])
def test_rows_bring_their_inputs_along(backend: str, family: str) -> None:
    """A linear-Gaussian model: its posterior is known, and depends on which row has which features."""
    x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.5]])
    y = np.array([0.8, -0.4, 0.5, -1.2])
    fit = ppl.infer(line(x).observe(y=y), short(family=family, steps=400), backend=backend)
    precision = np.eye(2) + x.T @ x / 0.25
    covariance = np.linalg.inv(precision)
    mean, spread = covariance @ x.T @ y / 0.25, np.sqrt(np.diag(covariance))
    corrected = fit.importance_corrected()
    error = sigmas(8) / corrected.diagnostics["ess"] ** 0.5
    assert np.all(np.abs(corrected.mean("weights").values - mean) < error * spread)
    assert np.all(np.abs(fit.mean("weights").values - mean) < 0.7 * spread)
    exact = stats.multivariate_normal.logpdf(y, np.zeros(4), x @ x.T + 0.25 * np.eye(4))
    assert corrected.log_evidence is not None
    worth = 1.0 / corrected.diagnostics["ess"]
    assert abs(corrected.log_evidence - exact) < sigmas(8) * worth**0.5 + worth


def test_steps_of_a_scan_are_read_in_order() -> None:
    method = short(simulations=1000, steps=30, draws=50)
    fit = ppl.infer(walk(5).observe(y=np.linspace(1.0, 0.0, 5)), method, backend="pyro")
    assert fit.guide is not None
    assert "GRU" in str(fit.guide)
    assert np.all((fit.draws["rate"] > 0.0) & (fit.draws["rate"] < 1.0))
    back = fit.condition(y=np.linspace(0.0, 1.0, 5))
    assert np.abs(back.draws["rate"] - fit.draws["rate"]).max() > 1e-3
    other = compile(fit.guide, "numpyro", precision="float64")
    own = other.log_density({"rate": fit.draws["rate"][0]}, fit.params)
    np.testing.assert_allclose(own, np.asarray(fit.log_q)[0], atol=2e-3)
    # A fit moves, and goes on answering there.
    moved = fit.to_backend("numpyro").condition(y=np.linspace(0.0, 1.0, 5))
    assert moved.backend == "numpyro"
    assert abs(float(moved.mean("rate")) - float(back.mean("rate"))) < sigmas() * 0.5 * (2 / 50) ** 0.5


def test_each_simulation_is_used_once_if_there_is_no_bank() -> None:
    method = NPE(linear(Y), None, steps=40, batch_size=50, optimizer=FALLING, draws=20, progress=False)
    fit = ppl.infer(centre(ROWS).observe(y=Y), method, backend="pyro")
    assert fit.diagnostics["simulations"] == 2000
    known = NPE(AutoAmortized(hidden=64), 80, steps=1500, batch_size=32, optimizer=Adam(5e-3), draws=20, progress=False)
    by_heart = ppl.infer(centre(ROWS).observe(y=Y), known, backend="pyro")
    assert any("knows them by heart" in p for p in by_heart.problems)


def test_what_is_refused() -> None:
    program = centre(ROWS).observe(y=Y)
    with pytest.raises(DataError, match=r"no site is observed(.*\n)*.*condition"):
        ppl.infer(centre(ROWS), NPE())
    with pytest.raises(ModelError, match="answers for its own data alone"):
        centre_fit().condition(y=Y)
    with pytest.raises(ModelError, match="fewer simulations than a step takes"):
        NPE(simulations=100)
    with pytest.raises(ModelError, match="positive steps"):
        NPE(steps=0)
    with pytest.raises(ModelError, match="held_out is a share"):
        NPE(held_out=1.0)
    with pytest.raises(GuideError, match="is no guide"):
        NPE(AutoNormal())
    with pytest.raises(UnknownNameError, match=r"no family 'flows'(.*\n)*.*flow"):
        AutoAmortized("flows")
    with pytest.raises(DataError, match=r"site 'y'.*missing elements, and simulations have none"):
        ppl.infer(centre(ROWS).observe(y=np.array([0.0, np.nan, 1.0, 1.0, 1.0])), NPE())

    @ppl.model
    def blind():
        ppl.sample("mu", dist.Normal(0.0, ppl.param("s", 1.0, support=dist.support.positive)))

    with pytest.raises(GuideError, match="reads no data of the model"):
        NPE(blind()).check(program)

    @ppl.model
    def local(rows: int):
        with ppl.plate("rows", size=rows):
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("y", dist.Normal(z, 1.0))

    with pytest.raises(StrategyError, match=r"site 'z'.*outside all plates(.*\n)*.*Write the guide"):
        NPE().check(local(3).observe(y=np.zeros(3)))

    @ppl.model
    def matrix():
        a = ppl.sample("a", dist.Normal(0.0, 1.0).expand([2, 2]))
        ppl.sample("y", dist.Normal(a[0, 0], 1.0))

    with pytest.raises(StrategyError, match="posteriors of numbers and vectors, and this latent is an array"):
        NPE().check(matrix().observe(y=0.0))

    @ppl.model
    def learned():
        mu = ppl.sample("mu", dist.Normal(ppl.param("m", 0.0), 1.0))
        ppl.factor("f", mu)
        ppl.sample("y", dist.Normal(mu, 1.0))

    with pytest.raises(ModelError, match=r"holds 'm', whose value would have to be known(.*\n)*.*ReweightedWakeSleep"):
        NPE().check(learned().observe(y=0.0))

    @ppl.model
    def weighed():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        ppl.factor("f", mu)
        ppl.sample("y", dist.Normal(mu, 1.0))

    with pytest.raises(StrategyError, match="is no simulator"):
        NPE().check(weighed().observe(y=0.0))

    @ppl.model
    def recurrent(y):
        def step(before, value):
            return 0.5 * before + value

        ppl.sample("mu", dist.Normal(ppl.scan("time", step, init=0.0, xs=y)[-1], 1.0))

    with pytest.raises(StrategyError, match=r"from step to step of scan 'time'(.*\n)*.*nn.GRU"):
        NPE(recurrent(Y)).check(program)


def test_conditioning_is_refused_on_what_the_fit_does_not_know(fits: dict) -> None:
    fit = fits["pyro"]
    with pytest.raises(UnknownNameError, match=r"observed no site 'x'(.*\n)*.*y"):
        fit.condition(x=Y)
    with pytest.raises(ShapeError, match="site 'y'"):
        fit.condition(y=np.zeros(4))
    with pytest.raises(DataError, match="the guide has seen none with gaps"):
        fit.condition(y=np.array([0.0, np.nan, 1.0, 1.0, 1.0]))
    svi = SVI(guide=linear(Y), steps=2, draws=5, progress=False)
    with pytest.raises(ModelError, match="a fit by SVI answers for its own data alone"):
        ppl.infer(centre(ROWS).observe(y=Y), svi, backend="pyro").condition(y=Y)
