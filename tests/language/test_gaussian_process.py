"""Gaussian processes against scikit-learn's regressor, scipy's normal distribution and closed forms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats as st
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process import kernels as sklearn_kernels

import ppl
from ppl import dist, ops
from ppl.errors import ModelError, ShapeError, SupportError
from ppl.language.dist import Distribution, kl_divergence
from ppl.language.dist.entropy import entropy_of
from tests.reference import evaluate, symbol

# scikit-learn's annotations know one lengthscale only.
sk: Any = sklearn_kernels
k = dist.kernels
GP = dist.GaussianProcess
NUMBERS = np.random.default_rng(0)
PATIENTS, PROGRESSION = (np.asarray(x)[:60] for x in load_diabetes(return_X_y=True))
# Standardised body mass index, blood pressure and one of the serums; standardised progression.
ROWS = PATIENTS[:, [2, 3, 8]] / PATIENTS[:, [2, 3, 8]].std(axis=0)
Y = (PROGRESSION - PROGRESSION.mean()) / PROGRESSION.std()
SCALES = np.array([1.5, 2.5, 1.2])
OURS = k.RBF(SCALES, 0.8) + 0.3 * (k.Linear() + 0.09)
THEIRS = 0.8 * sk.RBF(SCALES) + 0.3 * sk.DotProduct(0.3)


def regressor(noise: Any) -> Any:
    """scikit-learn's process, at fixed hyperparameters."""
    make: Any = GaussianProcessRegressor
    return make(THEIRS, alpha=noise, optimizer=None).fit(ROWS, Y)


def log_prob(item: Distribution, x: np.ndarray) -> float:
    return float(evaluate(item.log_prob(symbol("x", item.event_shape)), {"x": x}))


def moments(item: Distribution) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of a normal distribution."""
    normal = item.spelled()
    assert isinstance(normal, dist.MultivariateNormal)
    np.testing.assert_allclose(evaluate(item.variance()), np.diag(evaluate(normal.covariance)), rtol=1e-9, atol=1e-12)
    return evaluate(item.mean()), evaluate(normal.covariance)


@pytest.mark.parametrize("noise", [0.4, np.linspace(0.1, 0.9, len(Y))])
def test_its_density_is_scikit_learns_log_marginal_likelihood(noise: Any) -> None:
    exact = regressor(noise).log_marginal_likelihood()
    assert log_prob(GP(OURS, ROWS, noise=noise), Y) == pytest.approx(exact, rel=1e-10)


def test_jitter_is_a_small_noise_that_noise_replaces() -> None:
    plain, noisy, both = GP(OURS, ROWS), GP(OURS, ROWS, noise=0.4), GP(OURS, ROWS, noise=0.4, jitter=0.1)
    assert (plain.jitter, noisy.jitter, both.jitter) == (1e-4, 0.0, 0.1)
    for item, extra in ((plain, 1e-4), (noisy, 0.4), (both, 0.5)):
        np.testing.assert_allclose(moments(item)[1], THEIRS(ROWS) + extra * np.eye(len(Y)), rtol=1e-10)
        np.testing.assert_allclose(evaluate(item.variance()), np.diag(THEIRS(ROWS)) + extra, rtol=1e-10)


@pytest.mark.parametrize("mean", [0.7, ROWS @ SCALES])
def test_a_mean_is_taken_away(mean: Any) -> None:
    law: Any = st.multivariate_normal(np.broadcast_to(mean, len(Y)), THEIRS(ROWS) + 0.4 * np.eye(len(Y)))
    item = GP(OURS, ROWS, mean, 0.4)
    assert log_prob(item, Y) == pytest.approx(law.logpdf(Y), rel=1e-10)
    np.testing.assert_allclose(evaluate(item.mean()), np.broadcast_to(mean, len(Y)))


def test_repetitions_are_functions_of_one_kernel() -> None:
    item = GP(OURS, ROWS, noise=0.4).expand([3])
    assert item.event_shape == (3, len(Y))
    draws = NUMBERS.normal(size=item.event_shape)
    one = GP(OURS, ROWS, noise=0.4)
    assert log_prob(item, draws) == pytest.approx(sum(log_prob(one, x) for x in draws))


# --- given other rows -------------------------------------------------------------------------------------------------

NEW = ROWS[:5] + NUMBERS.normal(size=(5, 3)) * 0.3


@pytest.mark.parametrize("noise", [0.4, 1e-4])
def test_noisy_values_elsewhere_give_scikit_learns_posterior(noise: float) -> None:
    """Noise of 1e-4 is the jitter that stands for none."""
    mean, covariance = regressor(noise).predict(NEW, return_cov=True)
    item = GP(OURS, NEW, jitter=0.0).condition(ROWS, Y, noise=noise)
    np.testing.assert_allclose(moments(item)[0], mean, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(moments(item)[1], covariance, rtol=1e-7, atol=1e-9)
    default = GP(OURS, NEW).condition(ROWS, Y, noise=None if noise == 1e-4 else noise)
    np.testing.assert_allclose(moments(default)[1], covariance + 1e-4 * np.eye(5), rtol=1e-7, atol=1e-9)


def test_without_noise_the_function_goes_through_its_values() -> None:
    smooth = THEIRS(ROWS, ROWS[:10]) @ np.linspace(-1.0, 1.0, 10)
    item = GP(OURS, ROWS, jitter=1e-10).condition(ROWS, smooth)
    np.testing.assert_allclose(moments(item)[0], smooth, atol=1e-8)
    np.testing.assert_allclose(moments(item)[1], 0.0, atol=1e-8)


@pytest.mark.parametrize("noise", [None, 0.4, np.linspace(0.1, 0.9, len(Y))])
def test_extending_is_conditioning_the_joint_distribution(noise: Any) -> None:
    """p(old) p(new | old) = p(old, new), of one process at all rows."""
    both, mean = np.concatenate([ROWS, NEW]), np.linspace(-1.0, 1.0, len(Y) + 5)
    tail: Any = noise if np.ndim(noise) == 0 else np.linspace(0.3, 0.5, 5)
    everywhere = noise if tail is noise else np.concatenate([noise, tail])
    joint = GP(OURS, both, mean, everywhere)
    old, new = GP(OURS, ROWS, mean[: len(Y)], noise), GP(OURS, NEW, mean[len(Y) :], tail)
    ahead = NUMBERS.normal(size=5)
    given = old.extend(symbol("y", Y.shape), new)
    assert given is not None and given.event_shape == (5,)
    conditional = evaluate(given.log_prob(symbol("z", (5,))), {"y": Y, "z": ahead})
    whole = log_prob(joint, np.concatenate([Y, ahead]))
    assert log_prob(old, Y) + conditional == pytest.approx(whole, rel=1e-9)


def test_repetitions_are_extended_one_by_one() -> None:
    old, new = GP(OURS, ROWS).expand([2]), GP(OURS, NEW).expand([2])
    draws = np.stack([Y, -2.0 * Y])
    given = old.extend(symbol("y", draws.shape), new)
    assert given is not None and given.event_shape == (2, 5)
    first = GP(OURS, NEW).condition(ROWS, Y)
    loc = evaluate(given.mean(), {"y": draws})
    np.testing.assert_allclose(loc, np.stack([moments(first)[0], -2.0 * moments(first)[0]]), rtol=1e-10)


def test_a_process_given_twice_is_given_both_at_once() -> None:
    """p(new | a) extended from p(b | a) is p(new | a, b), also in the plan of a second prediction."""
    a, b = slice(0, 40), slice(40, 60)
    first = GP(OURS, ROWS[b], noise=0.4).condition(ROWS[a], Y[a], noise=0.4)
    new = GP(OURS, NEW, noise=0.4).condition(ROWS[a], Y[a], noise=0.4)
    both = first.extend(ops.asarray(Y[b]), new)
    assert both is not None
    exact = GP(OURS, NEW, noise=0.4).condition(ROWS, Y, noise=0.4)
    for found, wanted in zip(moments(both), moments(exact), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-7, atol=1e-9)


def test_only_a_process_extends_a_process() -> None:
    assert GP(OURS, ROWS).extend(symbol("y", Y.shape), dist.Normal(0.0, 1.0).expand([5])) is None
    assert dist.Normal(0.0, 1.0).extend(symbol("y"), dist.Normal(0.0, 1.0)) is None
    assert dist.Normal(0.0, 1.0).index() == ()
    log_process = dist.Transformed(GP(OURS, symbol("X", (4, 3))), dist.Exp())
    assert [v.attr("name") for v in log_process.index()] == ["X"]


# --- divergences ------------------------------------------------------------------------------------------------------


def normal_divergence(m: np.ndarray, s: np.ndarray, n: np.ndarray, t: np.ndarray) -> float:
    """KL(N(m, s) | N(n, t)) in nats."""
    inverse = np.linalg.inv(t)
    trace = np.trace(inverse @ s) + (n - m) @ inverse @ (n - m) - len(m)
    return 0.5 * float(trace + np.linalg.slogdet(t)[1] - np.linalg.slogdet(s)[1])


def test_divergences_are_those_of_normal_distributions() -> None:
    prior, other = GP(OURS, NEW, noise=0.1), GP(k.Matern32(), NEW, 0.5, noise=0.3)
    guide = dist.MultivariateNormal(np.ones(5), 0.5 * np.eye(5) + 0.1)
    factored = dist.Normal(np.arange(5.0), 0.7)
    pairs = [(other, prior), (guide, prior), (prior, guide), (factored, prior), (prior, factored)]
    for q, p in pairs:
        found = kl_divergence(q, p)
        assert found is not None
        sides = [(np.arange(5.0), 0.49 * np.eye(5)) if side is factored else moments(side) for side in (q, p)]
        assert float(evaluate(found)) == pytest.approx(normal_divergence(*sides[0], *sides[1]), rel=1e-9)
    repeated = kl_divergence(factored.expand([2, 5]), prior.expand([2]))
    alone = kl_divergence(factored, prior)
    assert repeated is not None and alone is not None
    assert float(evaluate(repeated)) == pytest.approx(2.0 * float(evaluate(alone)))


def test_its_entropy_is_that_of_a_normal_distribution() -> None:
    item = GP(OURS, NEW, noise=0.1)
    found = entropy_of(item)
    assert found is not None
    log_det = np.linalg.slogdet(2.0 * np.pi * np.e * moments(item)[1])[1]
    assert float(evaluate(found)) == pytest.approx(0.5 * log_det, rel=1e-10)


# --- in a program -----------------------------------------------------------------------------------------------------


@ppl.model
def regression(X):
    lengthscale = ppl.sample("lengthscale", dist.LogNormal(0.0, 1.0))
    size = ppl.sample("size", dist.HalfNormal(1.0))
    slope = ppl.sample("slope", dist.Normal(0.0, 1.0).expand([3]))
    kernel = size**2 * k.RBF(lengthscale) + k.White(0.1)
    f = ppl.sample("f", GP(kernel, X, mean=lambda row: row @ slope))
    with ppl.plate("rows", (X, f)) as (_, height):
        ppl.sample("y", dist.Normal(height, 0.3))


def test_the_program_prints_the_kernel_as_it_was_written() -> None:
    text = str(regression(ROWS))
    kernel = "(size**2) * RBF(lengthscale) + White(0.1)"
    assert f"f ~ GaussianProcess({kernel}, X, mean=(X[X_rows] @ slope), jitter=0.0001)" in text
    assert set(regression(ROWS).parents("f")) == {"X", "lengthscale", "size", "slope"}


def test_the_program_travels_as_json() -> None:
    program = regression(ROWS)
    again = ppl.Program.from_json(program.to_json())
    assert again == program and str(again) == str(program)
    assert again.sites["f"].dist.event_shape == (len(Y),)


@ppl.model
def with_kernel(X, other: int = 0):
    kernel = k.Matern32(0.5) if other else k.Matern52(0.5)
    ppl.sample("f", GP(kernel, X))


def test_programs_differ_by_their_kernels() -> None:
    assert with_kernel(ROWS) == with_kernel(ROWS) != with_kernel(ROWS, other=1)


def test_a_mean_function_is_called_for_one_row() -> None:
    seen: list[Any] = []

    @ppl.model
    def model(X):
        ppl.sample("f", GP(k.RBF(), X, mean=lambda row: seen.append(row) or ops.sum(row) * 2.0, noise=1.0))

    item = model(ROWS).sites["f"].dist
    assert seen[0].shape == (3,) and item.params["mean"].shape == (len(Y),)
    terms = ppl.compile(model(ROWS), "pyro", precision="float64").log_density({"f": Y}, by_site=True)
    exact = log_prob(GP(k.RBF(), ROWS, 2.0 * ROWS.sum(axis=1), 1.0), Y)
    assert float(terms["f"]) == pytest.approx(exact, rel=1e-10)


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[type[Exception], str, Any]] = {
    "no kernel": (ModelError, "GaussianProcess takes a kernel first", lambda: GP(ROWS, k.RBF())),
    "a kernel class": (ModelError, "GaussianProcess takes a kernel first", lambda: GP(k.RBF, ROWS)),
    "a single row": (ShapeError, "a kernel takes rows of inputs", lambda: GP(k.RBF(), 1.0)),
    "three axes": (ShapeError, "a kernel takes rows of inputs", lambda: GP(k.RBF(), ROWS[None])),
    "missing inputs": (SupportError, "parameter 'X' is outside", lambda: GP(k.RBF(), ROWS * np.nan)),
    "too few lengthscales": (ShapeError, "lengthscale has 2 values for 3 columns", lambda: GP(k.RBF([1, 2]), ROWS)),
    "a mean of other rows": (ShapeError, "mean does not fit the rows of X", lambda: GP(k.RBF(), ROWS, np.ones(5))),
    "noise of other rows": (
        ShapeError,
        "noise does not fit the rows of X",
        lambda: GP(k.RBF(), ROWS, noise=np.ones(5)),
    ),
    "negative noise": (SupportError, "parameter 'noise' is outside", lambda: GP(k.RBF(), ROWS, noise=-0.1)),
    "negative jitter": (SupportError, "jitter is a constant that is not", lambda: GP(k.RBF(), ROWS, jitter=-0.1)),
    "unknown jitter": (SupportError, "jitter is a constant that is not", lambda: GP(k.RBF(), ROWS, jitter=symbol("s"))),
    "jitter by row": (SupportError, "jitter is a constant that is not", lambda: GP(k.RBF(), ROWS, jitter=np.ones(60))),
    "conditions without a mean": (
        ModelError,
        "condition needs the mean at the rows that are given",
        lambda: GP(k.RBF(), NEW, np.ones(5)).condition(ROWS, Y),
    ),
    "conditions on other rows": (
        ShapeError,
        "a process is given one value for each row",
        lambda: GP(k.RBF(), NEW).condition(ROWS, Y[:-1]),
    ),
    "conditions on other columns": (
        ShapeError,
        "compares rows of equal length",
        lambda: GP(k.RBF(), NEW).condition(ROWS[:, :2], Y),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str) -> None:
    error, match, make = REFUSED[name]
    with pytest.raises(error, match=match):
        make()


def test_one_row_of_a_plate_is_no_process() -> None:
    @ppl.model
    def model(X):
        with ppl.plate("rows", X) as row:
            ppl.sample("f", GP(k.RBF(), row[0]))

    with pytest.raises(ShapeError, match="a kernel takes rows of inputs") as caught:
        model(ROWS)
    assert "make the process outside" in str(caught.value)


def test_a_mean_function_gives_one_number() -> None:
    @ppl.model
    def model(X):
        ppl.sample("f", GP(k.RBF(), X, mean=lambda row: row))

    with pytest.raises(ShapeError, match="the mean function gives one number for a row"):
        model(ROWS)


def test_new_inputs_and_a_mean_for_the_old_rows() -> None:
    @ppl.model
    def model(X):
        ppl.sample("f", GP(k.RBF(), X, mean=np.ones(60)))

    with pytest.raises(ShapeError, match="mean does not fit the rows of X"):
        model(ROWS).bind(X=NEW)
