"""Predictions of Gaussian processes at new rows: conditional on draws and data at the old ones, by closed form."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import scipy.stats as st

import ppl
from ppl import dist, nn, ops
from ppl.errors import DataError, GuideError, ModelError, NonFiniteError, ShapeError
from ppl.posterior.posterior import Posterior
from ppl.posterior.prediction import Plan, make_plan
from tests.budget import sigmas

BACKENDS = ("numpyro", "pyro")
k = dist.kernels
GP = dist.GaussianProcess
NUMBERS = np.random.default_rng(0)
X, NEW = NUMBERS.normal(size=(6, 2)), NUMBERS.normal(size=(4, 2))
T, LATER = np.linspace(0.0, 2.0, 5), np.array([0.3, 1.1, 2.4])
DRAWS = 7


def rbf(a: np.ndarray, b: np.ndarray, lengthscale: float = 1.0) -> np.ndarray:
    a, b = (x.reshape(len(x), -1) for x in (a, b))
    return np.exp(-0.5 * ((a[:, None] - b[None]) ** 2).sum(-1) / lengthscale**2)


Kernel = Callable[[np.ndarray, np.ndarray], np.ndarray]


# Its annotations know numbers only.
normal: Any = st.multivariate_normal


def kriging(
    kernel: Kernel, old: np.ndarray, new: np.ndarray, value: np.ndarray, extra: float, means: Any = (0.0, 0.0)
) -> Any:
    """The distribution of values at new rows given those at old ones (Rasmussen and Williams, equation 2.19)."""
    inverse = np.linalg.inv(kernel(old, old) + extra * np.eye(len(old)))
    cross = kernel(new, old)
    loc = means[1] + cross @ inverse @ (value - means[0])
    return normal(loc, kernel(new, new) + extra * np.eye(len(new)) - cross @ inverse @ cross.T)


def fitted(program: ppl.Program, backend: str = "pyro", **draws: np.ndarray) -> Posterior:
    """A fit of one chain whose draws are made up."""
    return Posterior(program, backend=backend, precision="float64", draws={n: d[None] for n, d in draws.items()})


def density(fit: Posterior, plan: Plan, values: Mapping[str, np.ndarray], site: str) -> np.ndarray:
    """Log density of an extended site at some values, given the draws of the fit and these."""
    model = ppl.compile(plan.program, fit.backend, precision="float64")
    given = {own: fit.draws[name][0] for own, name in {**{n: n for n in plan.kept}, **plan.given}.items()}
    rest = {n: np.zeros((DRAWS, *model.sizes(n))) for n in plan.program.latents}
    terms = model.log_density(rest | given | dict(values), by_site=True)
    return model.backend.to_numpy(terms[site])


# --- a latent function ------------------------------------------------------------------------------------------------


@ppl.model
def heights(X):
    lengthscale = ppl.sample("lengthscale", dist.LogNormal(0.0, 1.0))
    slope = ppl.sample("slope", dist.Normal(0.0, 1.0).expand([2]))
    f = ppl.sample("f", GP(k.RBF(lengthscale), X, mean=lambda x: x @ slope, jitter=0.01), dims=("place",))
    with ppl.plate("rows", (X, f)) as (_, height):
        ppl.sample("y", dist.Normal(height, 0.5))


def heights_fit(backend: str = "pyro", draws: int = DRAWS) -> Posterior:
    generator = np.random.default_rng(1)
    return fitted(
        heights(X).observe(y=np.zeros(6)),
        backend,
        lengthscale=np.exp(0.3 * generator.normal(size=draws)),
        slope=generator.normal(size=(draws, 2)),
        f=generator.normal(size=(draws, 6)),
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("new", [NEW, NEW[:1], np.concatenate([X[3:], NEW, X[:3]])])
def test_a_function_goes_on_as_its_draws_and_those_of_its_kernel_say(backend: str, new: np.ndarray) -> None:
    """Jointly over the new rows: fewer, other ones, or old ones among them."""
    fit = heights_fit(backend)
    plan = make_plan(fit, {"X": new}, "auto", False)
    assert plan.extended == ("f",) and plan.kept == ("lengthscale", "slope") and not plan.local
    f = np.random.default_rng(2).normal(size=(DRAWS, len(new)))
    found = density(fit, plan, {"f": f}, "f")
    for i in range(DRAWS):
        lengthscale, slope, old = (fit.draws[n][0, i] for n in ("lengthscale", "slope", "f"))
        law = kriging(lambda a, b, s=lengthscale: rbf(a, b, s), X, new, old, 0.01, (X @ slope, new @ slope))
        assert found[i] == pytest.approx(law.logpdf(f[i]), rel=1e-8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_predictions_are_draws_of_it_and_feed_what_is_downstream(backend: str) -> None:
    count = 2000
    one = {n: np.repeat(d[0, :1], count, axis=0) for n, d in heights_fit().draws.items()}
    fit = fitted(heights(X).observe(y=np.zeros(6)), backend, **one)
    found = fit.predict(X=NEW)
    assert found["f"].dims == ("chain", "draw", "place") and found["y"].dims == ("chain", "draw", "rows")
    assert "f.old" not in found
    assert found.attrs["extended"] == ["f"] and "rows" in found.attrs["new_rows"]
    slope, lengthscale = one["slope"][0], one["lengthscale"][0]
    law = kriging(lambda a, b: rbf(a, b, lengthscale), X, NEW, one["f"][0], 0.01, (X @ slope, NEW @ slope))
    f, y = found["f"].values[0], found["y"].values[0]
    white = np.linalg.solve(np.linalg.cholesky(law.cov), (f - law.mean).T)
    residuals = (y - f) / 0.5
    for numbers in (white, residuals):
        assert abs(numbers.mean()) < sigmas(6) / np.sqrt(numbers.size)
        assert abs(np.mean(numbers**2) - 1.0) < sigmas(6) * np.sqrt(2.0 / numbers.size)
    assert abs(np.mean(white[:-1] * white[1:])) < sigmas(6) / np.sqrt(white[1:].size)


def test_the_rows_of_the_fit_need_no_extension() -> None:
    fit = heights_fit()
    for inputs in ({}, {"X": X}):
        found = fit.predict(inputs)
        assert found.attrs["extended"] == [] and list(found.data_vars) == ["y"]


@pytest.mark.parametrize("same_rows", [False, True])
def test_as_many_rows_at_other_places_are_new_rows_of_the_function(same_rows: bool) -> None:
    """The values of f belong to its rows, whoever they describe."""
    found = heights_fit().predict(X=X + 0.1, same_rows=same_rows)
    assert found.attrs["extended"] == ["f"]
    assert np.abs(found["f"].values - heights_fit().draws["f"]).max() > 0.01


def test_labels_of_the_old_rows_do_not_stay() -> None:
    fit = heights_fit().with_coords(place=list("abcdef"), rows=list("uvwxyz"))
    assert list(fit.predict(X=NEW).coords["place"].values) == [0, 1, 2, 3]
    assert list(fit.predict().coords["rows"].values) == list("uvwxyz")


@ppl.model
def marks(X):
    f = ppl.sample("f", GP(k.RBF(), X, jitter=0.01))
    with ppl.plate("marks", f) as height:
        own = ppl.sample("own", dist.Normal(height, 0.1))
        ppl.sample("y", dist.Normal(own, 0.5))


def test_a_plate_over_the_values_has_new_rows_too() -> None:
    draws = {"f": NUMBERS.normal(size=(DRAWS, 6)), "own": np.full((DRAWS, 6), 100.0)}
    found = fitted(marks(X).observe(y=np.zeros(6)), **draws).predict(X=X + 0.1)
    assert found.attrs["new_rows"] == ["marks"]
    assert np.abs(found["own"] - found["f"].values).max() < 1.0


# --- data at the old rows ---------------------------------------------------------------------------------------------


@ppl.model
def marginal(X):
    size = ppl.sample("size", dist.HalfNormal(1.0))
    noise = ppl.param("noise", 0.3, support=dist.support.positive)
    ppl.sample("y", GP(size * k.RBF(), X, 0.7, noise))


@pytest.mark.parametrize("backend", BACKENDS)
def test_observed_values_of_a_process_condition_it(backend: str) -> None:
    y, size = NUMBERS.normal(size=6), np.linspace(0.5, 2.0, DRAWS)
    fit = fitted(marginal(X).observe(y=y), backend, size=size)
    plan = make_plan(fit, {"X": NEW}, "auto", False)
    ahead = NUMBERS.normal(size=(DRAWS, 4))
    found = density(fit, plan, {"y": ahead}, "y")
    for i in range(DRAWS):
        law = kriging(lambda a, b, s=size[i]: s * rbf(a, b), X, NEW, y, 0.3, (0.7, 0.7))
        assert found[i] == pytest.approx(law.logpdf(ahead[i]), rel=1e-8)
    assert fit.predict(X=NEW).sizes == {"chain": 1, "draw": DRAWS, "y_dim_0": 4}


@pytest.mark.parametrize("backend", BACKENDS)
def test_missing_values_of_a_process_say_nothing_about_others(backend: str) -> None:
    """Left out of the density, they are left out of what predictions are conditional on."""
    y, size = NUMBERS.normal(size=6), np.linspace(0.5, 2.0, DRAWS)
    gaps = y.copy()
    gaps[[1, 4]] = np.nan
    fit = fitted(marginal(X).observe(y=gaps), backend, size=size)
    there = np.isfinite(gaps)
    model = ppl.compile(fit.program, backend, precision="float64")
    plan = make_plan(fit, {"X": NEW}, "auto", False)
    ahead = NUMBERS.normal(size=(DRAWS, 4))
    found, seen = density(fit, plan, {"y": ahead}, "y"), model.log_density({"size": size}, by_site=True)["y"]
    for i in range(DRAWS):
        kernel = functools.partial(scaled, size=size[i])
        law = kriging(kernel, X[there], NEW, y[there], 0.3, (0.7, 0.7))
        assert found[i] == pytest.approx(law.logpdf(ahead[i]), rel=1e-8)
        exact = normal(np.full(4, 0.7), kernel(X[there], X[there]) + 0.3 * np.eye(4))
        assert float(seen[i]) == pytest.approx(exact.logpdf(y[there]), rel=1e-8)


def scaled(a: np.ndarray, b: np.ndarray, size: float) -> np.ndarray:
    return size * rbf(a, b)


@ppl.model
def curves(times):
    """Several curves of one kernel, and something that is read off them."""
    with ppl.plate("curves", size=3):
        y = ppl.sample("y", GP(k.RBF(), times, noise=0.1).expand([2]))
        ppl.sample("first", dist.Normal(y[0, 0], 1.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_imputed_values_of_a_process_condition_it_as_they_were_drawn(backend: str) -> None:
    y = NUMBERS.normal(size=(3, 2, 5))
    gaps = y.copy()
    gaps[0, 1, 2] = gaps[2, 0, 0] = np.nan
    free = NUMBERS.normal(size=(DRAWS, 2))
    program = curves(T).observe(y=gaps, first=np.zeros(3))
    fit = fitted(program, backend, **{"y.missing": free})
    plan = make_plan(fit, {"times": LATER}, "auto", False)
    ahead = NUMBERS.normal(size=(DRAWS, 3, 2, 3))
    found = density(fit, plan, {"y": ahead}, "y")
    for i in range(DRAWS):
        whole = y.copy()
        whole[0, 1, 2], whole[2, 0, 0] = free[i]
        for j in range(3):
            laws = [kriging(rbf, T, LATER, whole[j, m], 0.1) for m in range(2)]
            assert found[i, j] == pytest.approx(sum(law.logpdf(ahead[i, j, m]) for m, law in enumerate(laws)), rel=1e-8)
    assert set(fit.predict(times=LATER).data_vars) == {"y", "first"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_curves_with_gaps_of_their_own(backend: str) -> None:
    @ppl.model
    def marginal_curves(times):
        with ppl.plate("curves", size=3):
            ppl.sample("y", GP(k.RBF(), times, noise=0.1).expand([2]))

    y = NUMBERS.normal(size=(3, 2, 5))
    y[0, 1, 2] = y[2, 0, 0] = y[2, 1, 4] = np.nan
    fit = fitted(marginal_curves(T).observe(y=y), backend)
    plan = make_plan(fit, {"times": LATER}, "auto", False)
    ahead = NUMBERS.normal(size=(1, 3, 2, 3))
    found = density(fit, plan, {"y": ahead}, "y")
    for j in range(3):
        there = np.isfinite(y[j])
        laws = [kriging(rbf, T[there[m]], LATER, y[j, m][there[m]], 0.1) for m in range(2)]
        total = sum(law.logpdf(ahead[0, j, m]) for m, law in enumerate(laws))
        assert float(found[0, j]) == pytest.approx(total, rel=1e-8)


# --- batches, and inputs that are computed ----------------------------------------------------------------------------


@ppl.model
def sequences(times, count: int = 3):
    with ppl.plate("latents", size=2):
        lengthscale = ppl.sample("lengthscale", dist.LogNormal(0.0, 1.0))
        with ppl.plate("sequences", size=count):
            z = ppl.sample("z", GP(k.RBF(lengthscale), times, jitter=0.01).expand([2]))
            with ppl.plate("times", z.T) as pair:
                ppl.sample("x", dist.Normal(ops.sum(pair), 1.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_processes_in_plates_go_on_each_for_itself(backend: str) -> None:
    scales = np.exp(0.3 * NUMBERS.normal(size=(DRAWS, 2)))
    draws = {"lengthscale": scales, "z": NUMBERS.normal(size=(DRAWS, 2, 3, 2, 5))}
    fit = fitted(sequences(T).observe(x=np.zeros((2, 3, 5))), backend, **draws)
    plan = make_plan(fit, {"times": LATER}, "auto", False)
    z = NUMBERS.normal(size=(DRAWS, 2, 3, 2, 3))
    found = density(fit, plan, {"z": z}, "z")
    assert found.shape == (DRAWS, 2, 3)
    for at in np.ndindex(found.shape):
        kernel = functools.partial(rbf, lengthscale=float(scales[at[:2]]))
        laws = [kriging(kernel, T, LATER, draws["z"][at][m], 0.01) for m in range(2)]
        assert found[at] == pytest.approx(sum(law.logpdf(z[at][m]) for m, law in enumerate(laws)), rel=1e-8)
    assert fit.predict(times=LATER)["x"].shape == (1, DRAWS, 2, 3, 3)


@ppl.model
def places_of_rows(X):
    net = nn.Linear("net", 2, 2)
    with ppl.plate("rows", X) as row:
        place = ppl.deterministic("place", net(row) * 2.0)
    f = ppl.sample("f", GP(k.RBF(), place, jitter=0.01))
    ppl.sample("g", GP(k.RBF(0.7), f, jitter=0.01))


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_that_are_computed_or_drawn_are_followed_back(backend: str) -> None:
    """A deep kernel, and a process of a process: rows of g are values of f, which has other ones."""
    draws = {"f": NUMBERS.normal(size=(DRAWS, 6)), "g": NUMBERS.normal(size=(DRAWS, 6))}
    fit = fitted(places_of_rows(X), backend, **draws)
    weights = ppl.compile(fit.program, backend, precision="float64").params
    plan = make_plan(fit, {"X": NEW}, "auto", False)
    assert plan.extended == ("f", "g")
    old, new = (2.0 * (x @ weights["net.0.weight"].T + weights["net.0.bias"]) for x in (X, NEW))
    ahead = {"f": NUMBERS.normal(size=(DRAWS, 4)), "g": NUMBERS.normal(size=(DRAWS, 4))}
    f, g = (density(fit, plan, ahead, n) for n in ("f", "g"))
    for i in range(DRAWS):
        assert f[i] == pytest.approx(kriging(rbf, old, new, draws["f"][i], 0.01).logpdf(ahead["f"][i]), rel=1e-8)
        law = kriging(lambda a, b: rbf(a, b, 0.7), draws["f"][i], ahead["f"][i], draws["g"][i], 0.01)
        assert g[i] == pytest.approx(law.logpdf(ahead["g"][i]), rel=1e-8)
    assert set(fit.predict(X=NEW).data_vars) == {"place", "f", "g"}


# --- what is refused --------------------------------------------------------------------------------------------------


def test_what_is_made_of_a_process_is_not_extended() -> None:
    @ppl.model
    def positive(X):
        ppl.sample("rate", dist.Transformed(GP(k.RBF(), X), dist.Exp()))

    fit = fitted(positive(X), rate=np.ones((DRAWS, 6)))
    for new in (NEW, X + 0.1):
        with pytest.raises(ShapeError, match=r"site 'rate'.*does not say how it goes on there"):
            fit.predict(X=new)


def test_the_evidence_of_new_rows_alone_is_not_there() -> None:
    @ppl.model
    def guide(X):
        ppl.sample("f", dist.Normal(ops.sum(X, axis=-1), 1.0))

    @ppl.model
    def model(X):
        f = ppl.sample("f", GP(k.RBF(), X))
        with ppl.plate("rows", f) as height:
            ppl.sample("y", dist.Normal(height, 1.0))

    fit = fitted(model(X).observe(y=np.zeros(6)), f=np.zeros((DRAWS, 6))).replace(guide=guide(X))
    with pytest.raises(ModelError, match=r"site 'f'.*joins the new rows to the old ones"):
        fit.bound({"X": NEW}, {"y": np.zeros(4)})


def test_inputs_without_values_say_nothing_about_old_rows() -> None:
    program = heights(ppl.spec((6, 2))).observe(y=np.zeros(6))
    fit = fitted(program, **{n: d[0] for n, d in heights_fit().draws.items()})
    with pytest.raises(DataError, match="the fit had no values of 'X'"):
        fit.predict(X=NEW)


def test_a_process_without_draws_cannot_go_on() -> None:
    fit = fitted(marks(X).observe(y=np.zeros(6)), own=np.zeros((DRAWS, 6)))
    with pytest.raises(DataError, match="no draws of latent 'f'"):
        fit.predict(X=NEW)


def test_a_guide_does_not_draw_new_rows_from_values_of_its_own() -> None:
    @ppl.model
    def guide(X):
        f = ppl.sample("f", dist.Normal(ops.sum(X, axis=-1), 1.0))
        with ppl.plate("marks", X) as row:
            ppl.sample("own", dist.Normal(row[0] + f[0], 1.0))

    draws = {"f": NUMBERS.normal(size=(DRAWS, 6)), "own": np.zeros((DRAWS, 6))}
    fit = fitted(marks(X).observe(y=np.zeros(6)), **draws).replace(guide=guide(X))
    with pytest.raises(GuideError, match="draws it from 'f', which has other rows now"):
        fit.predict(X=NEW, guide="guide")
    assert fit.predict(X=NEW).attrs["latents_of_new_rows"] == "model"


@pytest.mark.parametrize("backend", BACKENDS)
def test_rows_too_near_for_the_precision_are_named(backend: str) -> None:
    @ppl.model
    def exact(X):
        ppl.sample("f", GP(k.RBF(), X, jitter=0.0))

    fit = fitted(exact(X), backend, f=np.zeros((DRAWS, 6)))
    with pytest.raises(NonFiniteError, match=r"site 'f'.*its draw is not finite") as caught:
        fit.predict(X=np.repeat(NEW, 3, axis=0))
    # What is missing is a rounding error, of which each library makes its own.
    assert re.search(r"pass jitter=1e-1[3-6] to GaussianProcess \(it has 0\)", str(caught.value))
