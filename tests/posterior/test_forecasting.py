"""Forecasts: what `predict` draws at steps beyond those of a fit, against exact prediction."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.errors import ModelError, PlateError, UnknownNameError
from ppl.posterior.posterior import Posterior
from tests.budget import assert_mean, assert_variance
from tests.posterior.fits import Exact

BACKENDS = ("numpyro", "pyro")
RNG = np.random.default_rng(41)
COUNT = 4000


def fit_of(program: ppl.Program, draws: dict[str, Any], backend: str = "pyro") -> Posterior:
    """A fit whose draws are given: forecasts are tested here, not inference."""
    arrays = {n: np.asarray(a)[None] for n, a in draws.items()}
    return Posterior(program, Exact(), backend=backend, precision="float64", draws=arrays)


@ppl.model
def level(length: int = 6, coefficient: float = 0.8):
    def step(previous, t):
        z = ppl.sample("z", dist.Normal(coefficient * previous, 0.3))
        ppl.deterministic("double", 2.0 * z)
        ppl.sample("y", dist.Normal(z + 0.1 * t, 0.5))
        return z

    ppl.scan("time", step, init=0.0, length=length)


Y = RNG.normal(size=6)


def level_fit(backend: str = "pyro") -> Posterior:
    z = RNG.normal(0.5, 0.4, size=(COUNT, 6))
    return fit_of(level().observe(y=Y), {"z": z, "double": 2.0 * z}, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_further_steps_go_on_from_the_draws_of_the_fit(backend: str):
    fit = level_fit(backend)
    found = fit.predict(time=9, seed=3)
    assert found.sizes["time"] == 9
    assert found["y"].dims == ("chain", "draw", "time")
    z, old = found["z"].values[0], fit.draws["z"][0]
    np.testing.assert_allclose(z[:, :6], old, rtol=1e-12)
    np.testing.assert_allclose(found["double"].values[0], 2.0 * z, rtol=1e-12)
    # Given the last state, each further step is normal with these moments.
    variance = 0.0
    for ahead in range(3):
        variance = 0.64 * variance + 0.09
        off = z[:, 6 + ahead] - 0.8 ** (ahead + 1) * old[:, -1]
        assert_mean(off, 0.0)
        assert_variance(off, variance)
    noise = found["y"].values[0] - z - 0.1 * np.arange(9)
    assert_mean(noise, 0.0)
    assert_variance(noise, 0.25)
    assert np.unique(found["y"].values[0, :, 0]).size == COUNT


def test_both_backends_forecast_the_same_distribution_and_seeds_repeat():
    fit = level_fit()
    np.testing.assert_array_equal(fit.predict(time=8, seed=1)["y"], fit.predict(time=8, seed=1)["y"])
    assert not np.array_equal(fit.predict(time=8, seed=1)["y"], fit.predict(time=8, seed=2)["y"])


def test_no_further_steps_are_replicates():
    fit = level_fit()
    found = fit.predict(time=6, seed=1)
    assert "z" not in found or np.array_equal(found["z"], fit.draws["z"])
    assert found.sizes["time"] == 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_linear_gaussian_forecast(backend: str):
    """From exact draws of the last state, by the Kalman filter, to the exact predictive moments."""
    mean, variance = 0.0, 0.0
    for t, y in enumerate(Y):
        mean, variance = 0.8 * mean, 0.64 * variance + 0.09
        gain = variance / (variance + 0.25)
        mean, variance = mean + gain * (y - 0.1 * t - mean), (1.0 - gain) * variance
    z = np.zeros((COUNT, 6))
    z[:, -1] = RNG.normal(mean, np.sqrt(variance), COUNT)
    found = fit_of(level().observe(y=Y), {"z": z, "double": 2.0 * z}, backend).predict(time=10)["y"].values[0]
    for t in range(6, 10):
        mean, variance = 0.8 * mean, 0.64 * variance + 0.09
        assert_mean(found[:, t], mean + 0.1 * t)
        assert_variance(found[:, t], variance + 0.25)


def test_data_that_feeds_back():
    """An autoregression has no states: its further steps go on from the data."""

    @ppl.model
    def model(length: int = 6):
        a = ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]))

        def step(pair, t):
            return ppl.sample("y", dist.Normal(a[0] * pair[0] + a[1] * pair[1], 0.5)), pair[0]

        ppl.scan("time", step, init=(0.0, 0.0), length=length)

    a = np.column_stack([RNG.uniform(0.3, 0.6, COUNT), RNG.uniform(-0.3, 0.3, COUNT)])
    for backend in BACKENDS:
        found = fit_of(model().observe(y=Y), {"a": a}, backend).predict(time=8)["y"].values[0]
        assert_mean(found[:, 6] - a[:, 0] * Y[5] - a[:, 1] * Y[4], 0.0)
        assert_variance(found[:, 6] - a[:, 0] * Y[5] - a[:, 1] * Y[4], 0.25)
        assert_mean(found[:, 7] - a[:, 0] * found[:, 6] - a[:, 1] * Y[5], 0.0)
        # At the steps of the fit they are replicates, each from the data before it.
        assert_mean(found[:, 3] - a[:, 0] * Y[2] - a[:, 1] * Y[1], 0.0)
        assert not (found[:, :6] == Y).any()


def test_longer_inputs():
    @ppl.model
    def model(xs):
        slope = ppl.sample("slope", dist.Normal(0.0, 1.0))

        def step(previous, x):
            z = ppl.sample("z", dist.Normal(0.5 * previous + slope * x, 0.3))
            ppl.sample("y", dist.Normal(z, 0.5))
            return z

        ppl.scan("time", step, init=0.0, xs=xs)

    xs = RNG.normal(size=6)
    slope, z = RNG.normal(1.0, 0.1, COUNT), RNG.normal(size=(COUNT, 6))
    fit = fit_of(model(xs).observe(y=Y), {"slope": slope, "z": z})
    longer = np.concatenate([xs, [2.0, -1.0]])
    found = fit.predict(xs=longer)
    np.testing.assert_array_equal(found["z"].values[0][:, :6], z)
    first = found["z"].values[0][:, 6] - 0.5 * z[:, -1] - 2.0 * slope
    assert_mean(first, 0.0)
    assert_variance(first, 0.09)
    second = found["z"].values[0][:, 7] - 0.5 * found["z"].values[0][:, 6] + slope
    assert_mean(second, 0.0)
    assert found.attrs["new_inputs"] == ["xs"]
    assert found.attrs["new_rows"] == []
    # Inputs that are other ones from the start belong to another sequence, whose states are drawn anew.
    other = fit.predict(xs=np.concatenate([xs + 1.0, [0.0]]))
    assert_mean(other["z"].values[0][:, 0] - slope * (xs[0] + 1.0), 0.0)
    assert other.attrs["new_rows"] == ["time"]


def test_many_series_in_a_plate_with_parameters_of_their_own():
    @ppl.model
    def model(xs):
        with ppl.plate("series", xs) as rows:
            drift = ppl.sample("drift", dist.Normal(0.0, 1.0))

            def step(previous, x):
                z = ppl.sample("z", dist.Normal(previous + drift + x, 0.3))
                ppl.sample("y", dist.Normal(z, 0.5))
                return z

            ppl.scan("time", step, init=0.0, xs=rows)

    xs = RNG.normal(size=(3, 5))
    drift, z = RNG.normal(size=(COUNT, 3)), RNG.normal(size=(COUNT, 3, 5))
    fit = fit_of(model(xs).observe(y=np.zeros((3, 5))), {"drift": drift, "z": z})
    found = fit.predict(xs=np.concatenate([xs, np.ones((3, 2))], axis=1))
    assert found.attrs["new_rows"] == []
    assert "drift" not in found
    np.testing.assert_array_equal(found["z"].values[0][..., :5], z)
    off = found["z"].values[0][..., 5] - z[..., -1] - drift - 1.0
    assert_mean(off, 0.0)
    assert_variance(off, 0.09)


def test_other_series_have_steps_of_their_own_from_the_first_one():
    """Where the rows are new, nothing is known of any step; a scan that grows at the same time changes nothing."""

    @ppl.model
    def model(starts, length: int = 4):
        with ppl.plate("series", starts) as start:
            drift = ppl.sample("drift", dist.Normal(0.0, 0.1))

            def step(previous, t):
                z = ppl.sample("z", dist.Normal(previous + drift, 0.3))
                ppl.sample("y", dist.Normal(z, 0.5))
                return z

            ppl.scan("time", step, init=start, length=length)

    draws = {"drift": np.full((COUNT, 2), 50.0), "z": np.full((COUNT, 2, 4), 50.0)}
    fit = fit_of(model(np.array([1.0, 2.0])).observe(y=np.zeros((2, 4))), draws)
    found = fit.predict(starts=np.array([3.0, -3.0, 5.0]), time=6)
    assert found.attrs["new_rows"] == ["series"]
    z, drift = found["z"].values[0], found["drift"].values[0]
    before = np.concatenate([np.broadcast_to([3.0, -3.0, 5.0], (COUNT, 3))[..., None], z[..., :-1]], axis=-1)
    off = z - before - drift[..., None]
    assert_mean(off, 0.0)
    assert_variance(off, 0.09)


def test_a_plate_within_the_steps():
    @ppl.model
    def model(length: int = 4):
        def step(previous, t):
            with ppl.plate("rows", previous) as before:
                z = ppl.sample("z", dist.Normal(0.5 * before, 0.3))
            ppl.sample("y", dist.Normal(ops.sum(z), 0.5))
            return z

        ppl.scan("time", step, init=np.zeros(2), length=length)

    z = RNG.normal(size=(COUNT, 4, 2))
    found = fit_of(model().observe(y=np.zeros(4)), {"z": z}).predict(time=5)
    np.testing.assert_array_equal(found["z"].values[0][:, :4], z)
    assert_mean(found["z"].values[0][:, 4] - 0.5 * z[:, -1], 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_computed_state(backend: str):
    """A carry that is no site is recomputed from the draws of the fit, and goes on from there."""

    @ppl.model
    def model(length: int = 5):
        rate = ppl.sample("rate", dist.LogNormal(0.0, 0.2))

        def step(carry, t):
            x, y = carry
            x = ppl.deterministic("x", x + 0.1 * rate * (1.0 - x) + 0.2 * y)
            return x, ppl.sample("y", dist.Normal(x, 0.5))

        ppl.scan("time", step, init=(0.2, 0.0), length=length)

    rate, y = RNG.lognormal(0.0, 0.2, COUNT), RNG.normal(size=5)
    x, before, path = np.full(COUNT, 0.2), 0.0, []
    for value in y:
        x = x + 0.1 * rate * (1.0 - x) + 0.2 * before
        path.append(x)
        before = value
    program = model().observe(y=y)
    found = fit_of(program, {"rate": rate, "x": np.stack(path, -1)}, backend).predict(time=7)
    np.testing.assert_allclose(found["x"].values[0][:, :5], np.stack(path, -1), rtol=1e-9)
    x = x + 0.1 * rate * (1.0 - x) + 0.2 * before
    np.testing.assert_allclose(found["x"].values[0][:, 5], x, rtol=1e-9)
    assert_mean(found["y"].values[0][:, 5] - x, 0.0)
    new = x + 0.1 * rate * (1.0 - x) + 0.2 * found["y"].values[0][:, 5]
    np.testing.assert_allclose(found["x"].values[0][:, 6], new, rtol=1e-9)


MOVES = np.array([[0.9, 0.1], [0.3, 0.7]])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hidden_markov_model(backend: str):
    @ppl.model
    def model(length: int = 4):
        def step(previous, t):
            z = ppl.sample("z", dist.Categorical(probs=ops.asarray(MOVES)[previous]))
            ppl.sample("y", dist.Normal(3.0 * z, 0.5))
            return z

        ppl.scan("time", step, init=0, length=length)

    z = RNG.integers(0, 2, (COUNT, 4))
    found = fit_of(model().observe(y=np.zeros(4)), {"z": z}, backend).predict(time=6)
    np.testing.assert_array_equal(found["z"].values[0][:, :4], z)
    last = z[:, -1]
    assert_mean(found["z"].values[0][:, 4] - MOVES[last, 1], 0.0)
    assert_mean(found["z"].values[0][:, 5] - (MOVES @ MOVES)[last, 1], 0.0)
    assert_mean(found["y"].values[0] - 3.0 * found["z"].values[0], 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gaps_that_were_imputed_feed_the_forecast(backend: str):
    @ppl.model
    def model(length: int = 6):
        ppl.scan("time", lambda c, t: ppl.sample("y", dist.Normal(0.8 * c, 0.5)), init=1.0, length=length)

    y = np.where(np.isin(np.arange(6), [2, 5]), np.nan, Y)
    gaps = RNG.normal(size=(COUNT, 2))
    fit = fit_of(model().observe(y=y), {"y.missing": gaps}, backend)
    found = fit.predict(time=8)["y"].values[0]
    assert_mean(found[:, 6] - 0.8 * gaps[:, 1], 0.0)
    assert_variance(found[:, 6] - 0.8 * gaps[:, 1], 0.25)
    assert_mean(found[:, 3] - 0.8 * gaps[:, 0], 0.0)
    assert_mean(found[:, 7] - 0.8 * found[:, 6], 0.0)


def test_labels_of_the_fit_are_those_of_its_own_steps():
    fit = level_fit().replace(coords={"time": list("abcdef")})
    assert list(fit.predict(seed=0)["time"].values) == list("abcdef")
    np.testing.assert_array_equal(fit.predict(time=8)["time"], np.arange(8))


# --- refused ----------------------------------------------------------------------------------------------------------


def test_fewer_steps_are_refused():
    with pytest.raises(PlateError, match="scan 'time' had 6 steps in the fit and gets fewer") as caught:
        level_fit().predict(time=5)
    assert caught.value.expected == "at least 6 steps"


def test_a_length_for_a_scan_over_arrays_is_refused():
    @ppl.model
    def model(xs):
        ppl.scan("time", lambda c, x: ppl.sample("y", dist.Normal(c + x, 1.0)), init=0.0, xs=xs)

    fit = fit_of(model(np.zeros(4)).observe(y=np.zeros(4)), {})
    with pytest.raises(PlateError, match="maps over arrays, which tell how long it is") as caught:
        fit.predict(time=6)
    assert caught.value.remedy == "Pass the inputs of the further steps behind those of the old ones."


def test_a_scan_that_runs_backwards_has_no_further_steps():
    @ppl.model
    def model(length: int = 4):
        def step(c, t):
            z = ppl.sample("z", dist.Normal(c, 1.0))
            ppl.sample("y", dist.Normal(z, 1.0))
            return z

        ppl.scan("time", step, init=0.0, length=length, reverse=True)

    fit = fit_of(model().observe(y=np.zeros(4)), {"z": np.zeros((10, 4))})
    with pytest.raises(ModelError, match="runs from the last step to the first") as caught:
        fit.predict(time=6)
    assert caught.value.declared_at is not None


def test_two_scans_cannot_grow_at_once():
    @ppl.model
    def model(length: int = 4):
        for name in ("one", "two"):
            ppl.scan(
                f"{name}s",
                lambda c, t, name=name: ppl.sample(name, dist.Normal(c, 1.0)),
                init=0.0,
                length=length,
            )

    fit = fit_of(model().observe(one=np.zeros(4), two=np.zeros(4)), {})
    with pytest.raises(ModelError, match="several scans would go on at once"):
        fit.predict(ones=5, twos=6)


def test_an_unknown_name_is_refused():
    with pytest.raises(UnknownNameError, match="no input 'times'"):
        level_fit().predict(times=9)
