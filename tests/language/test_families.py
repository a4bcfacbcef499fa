"""Every family against scipy, against its own sampler, and at the edge of its support."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats as st

from ppl.errors import ModelError
from ppl.language import dist, ops
from ppl.program.distributions import FAMILIES, Distribution
from ppl.program.values import walk
from tests.budget import FALSE_ALARM, sigmas
from tests.language.family_case import density_of
from tests.language.family_cases import CASES, LOC, LOGITS, PROBS, truncnorm
from tests.reference import NumpyNoise, draws_of, evaluate, symbol

DRAWS = 4000
# The Kolmogorov statistic times the root of the sample size exceeds this with the probability of one false alarm.
KOLMOGOROV = np.sqrt(np.log(2.0 / FALSE_ALARM) / 2.0)


def element_log_prob(item: Distribution, x: np.ndarray) -> np.ndarray:
    """Log densities of a batch of values, shape (count, elements)."""
    wide = item.expand((len(x), *item.element_shape))
    terms = evaluate(wide.element_log_prob(symbol("x", x.shape, item.dtype)), {"x": x})
    return np.broadcast_to(terms, (len(x), *item.element_shape))


def log_prob(item: Distribution, x: object) -> float:
    """Log density of one value."""
    value = np.asarray(x)
    kind = "float" if value.dtype.kind == "f" else "int"
    return float(evaluate(item.log_prob(symbol("x", item.event_shape, kind)), {"x": value}))


def test_every_family_has_a_case():
    # Missing elements have no density of their own: tests/transforms/test_missing.py.
    assert {case.dist.family for case in CASES.values()} == set(FAMILIES) - {"Imputed"}


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.exact is not None])
def test_density_is_scipys(name: str):
    case = CASES[name]
    x = draws_of(case.dist, 50, seed=1)
    exact = density_of(case.exact, x.T) if case.dist.family == "Dirichlet" else density_of(case.exact, x)
    np.testing.assert_allclose(element_log_prob(case.dist, x), exact, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", list(CASES))
def test_draws_lie_inside_and_the_guard_changes_nothing_there(name: str):
    item = CASES[name].dist
    x = draws_of(item, 20, seed=2)
    inside = item.support.contains(x)
    assert inside is not None and np.all(inside)
    plain = element_log_prob(item.unchecked(), x)
    assert np.all(np.isfinite(plain))
    np.testing.assert_array_equal(element_log_prob(item, x), plain)


@pytest.mark.parametrize("name", list(CASES))
def test_the_density_that_comes_with_a_draw_is_the_density_of_the_draw(name: str):
    item = CASES[name].dist
    noise = NumpyNoise(3)
    value, together = item.draw_with_log_prob(noise)
    assert value.shape == item.event_shape and value.dtype == item.dtype and together.shape == ()
    alone = log_prob(item, evaluate(value, noise.bindings))
    np.testing.assert_allclose(evaluate(together, noise.bindings), alone, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "name", [n for n, c in CASES.items() if (hasattr(c.exact, "cdf") or c.cdf) and not c.dist.event_shape]
)
def test_draws_follow_the_cdf(name: str):
    case = CASES[name]
    cdf = case.cdf or case.exact.cdf
    x = np.sort(draws_of(case.dist, DRAWS, seed=4))
    # For counts the distance between step functions is attained at the steps.
    above = np.arange(1, DRAWS + 1) / DRAWS - cdf(x)
    below = cdf(np.nextafter(x, -np.inf) if case.dist.dtype == "float" else x - 1) - np.arange(DRAWS) / DRAWS
    last = np.append(x[1:] != x[:-1], True)
    first = np.append(True, x[1:] != x[:-1])
    distance = max(above[last].max(), below[first].max())
    assert distance * np.sqrt(DRAWS) < KOLMOGOROV


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.moments])
def test_mean_and_variance_are_those_of_the_draws(name: str):
    item = CASES[name].dist
    mean, variance = item.mean(), item.variance()
    assert mean.shape == variance.shape == item.event_shape
    x = draws_of(item, DRAWS, seed=5).astype(float)
    found, spread = x.mean(0), x.var(0)
    fourth = ((x - found) ** 4).mean(0)
    allowed = sigmas(2 * max(1, int(np.prod(item.event_shape))))
    assert np.all(abs(found - evaluate(mean)) <= allowed * np.sqrt(spread / DRAWS) + 1e-12)
    error = np.sqrt(np.maximum(fourth - spread**2, 0.0) / DRAWS)
    assert np.all(abs(spread - evaluate(variance)) <= allowed * error + 1e-12)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.moments and hasattr(c.exact, "var")])
def test_mean_and_variance_are_scipys(name: str):
    case = CASES[name]
    np.testing.assert_allclose(evaluate(case.dist.mean()), case.exact.mean(), rtol=1e-8)
    np.testing.assert_allclose(evaluate(case.dist.variance()), case.exact.var(), rtol=1e-8)


@pytest.mark.parametrize("name", ["Categorical", "Categorical.logits"])
def test_categories_come_up_as_often_as_they_should(name: str):
    item = CASES[name].dist
    assert isinstance(item, dist.Categorical)
    expected = evaluate(item.probs)
    counts = np.bincount(draws_of(item, DRAWS, seed=6), minlength=3)
    assert np.all(abs(counts / DRAWS - expected) < sigmas(3) * np.sqrt(expected * (1 - expected) / DRAWS))
    np.testing.assert_allclose([log_prob(item, k) for k in range(3)], np.log(expected), rtol=1e-12)


def test_a_category_of_probability_zero_is_never_drawn():
    item = dist.Categorical([0.5, 0.0, 0.5])
    assert set(draws_of(item, 1000, seed=7)) == {0, 2}
    assert log_prob(item, 1) == -np.inf


@pytest.mark.parametrize(("dimension", "concentration"), [(2, 0.7), (4, 1.5)])
def test_lkj_correlations_have_their_marginal_law(dimension: int, concentration: float):
    factors = draws_of(dist.LKJCholesky(dimension, concentration), DRAWS, seed=8)
    correlations = factors @ np.swapaxes(factors, -1, -2)
    shape = concentration + dimension / 2.0 - 1.0
    for i, j in [(1, 0), (dimension - 1, dimension - 2)]:
        law = st.beta(shape, shape, loc=-1.0, scale=2.0)
        statistic = st.kstest(correlations[:, i, j], law.cdf).statistic
        assert statistic * np.sqrt(DRAWS) < np.sqrt(np.log(4.0 / FALSE_ALARM) / 2.0)


@pytest.mark.parametrize(
    ("low", "high"), [(8.0, 9.0), (-9.0, -8.0), (30.0, 31.0), (-0.5, 40.0), (5.0, None), (None, -20.0)]
)
def test_truncation_keeps_its_digits_in_the_tails(low: float | None, high: float | None):
    item = dist.TruncatedNormal(0.0, 1.0, low=low, high=high)
    exact = truncnorm(0.0, 1.0, -np.inf if low is None else low, np.inf if high is None else high)
    middle = 0.5 * ((low if low is not None else high - 1.0) + (high if high is not None else low + 1.0))  # type: ignore[operator]
    assert log_prob(item, middle) == pytest.approx(exact.logpdf(middle), rel=1e-9)
    if low is None or low < 9.0:
        x = draws_of(item, 1000, seed=9)
        assert st.kstest(x, exact.cdf).statistic * np.sqrt(1000) < KOLMOGOROV


OUTSIDE = [
    (dist.HalfNormal(1.0), -0.5),
    (dist.LogNormal(0.0, 1.0), -0.5),
    (dist.Gamma(2.0, 1.0), 0.0),
    (dist.Exponential(1.0), -1e-3),
    (dist.Pareto(2.0, 1.0), 1.9),
    (dist.Beta(2.0, 2.0), 1.5),
    (dist.Uniform(-1.0, 1.0), 1.1),
    (dist.Dirichlet([1.0, 1.0, 1.0]), [0.5, 0.5, 0.5]),
    (dist.Dirichlet([1.0, 1.0, 1.0]), [-0.5, 0.5, 1.0]),
    (dist.Bernoulli(0.3), 2),
    (dist.Bernoulli(logits=0.3), 0.5),
    (dist.Poisson(1.0), -1),
    (dist.Poisson(1.0), 0.5),
    (dist.Binomial(3, 0.5), 4),
    (dist.Categorical(PROBS), 3),
    (dist.OneHotCategorical(PROBS), [1, 1, 0]),
    (dist.Multinomial(4, PROBS), [1, 1, 1]),
    (dist.DiscreteUniform(0, 3), 4),
    (dist.TruncatedNormal(0.0, 1.0, low=0.0, high=1.0), -0.1),
    (dist.Truncated(dist.Exponential(1.0), 0.5, 2.0), 0.4),
    (dist.ZeroInflatedPoisson(1.0, 0.5), -1),
    (dist.LKJCholesky(2, 1.0), [[1.0, 0.0], [0.0, -1.0]]),
    (dist.Delta(1.0), 1.5),
    (dist.Transformed(dist.Normal(0.0, 1.0), dist.Exp()), -1.0),
    (dist.Transformed(dist.Gamma(2.0, 1.0), dist.Affine(1.0, 2.0)), 0.5),
    (dist.GeneralizedPareto(0.5, 1.0, 0.3), 0.4),
    (dist.GeneralizedPareto(0.5, 1.0, -0.5), 2.6),
    (dist.GeneralizedPareto(0.5, 1.0, [-0.5, 0.3]), [2.6, 1.0]),
    (dist.Levy(0.5, 1.0), 0.4),
    (dist.LogUniform(0.5, 1.0), 1.1),
    (dist.Gompertz(0.5, 1.0), -0.1),
    (dist.Kumaraswamy(2.0, 2.0), 1.1),
    (dist.OrderedLogistic(0.0, [0.0, 1.0]), 3),
    (dist.OrderedLogistic(0.0, [0.0, 1.0]), 0.5),
    (dist.DiscretizedNormal(0.0, 1.0, low=0, high=3), -1),
    (dist.Censored(dist.Normal(0.0, 1.0), high=1.0), 1.1),
    (dist.Censored(dist.Exponential(1.0), high=1.0), -0.1),
    (dist.Hurdle(dist.Poisson(1.0), 0.5), -1),
    (dist.BetaNegativeBinomial(1.0, 1.0, 1.0), -1),
    (dist.DirichletMultinomial([1.0, 1.0], 3), [1, 1]),
    (dist.VonMises(0.0, 1.0), 3.2),
    (dist.VonMisesFisher([1.0, 0.0], 1.0), [1.0, 1.0]),
    (dist.SphereUniform(2), [1.0, 1.0]),
    (dist.ProjectedNormal([1.0, 0.0]), [1.0, 1.0]),
    (dist.ZeroSumNormal(1.0, size=2), [1.0, 1.0]),
    (dist.StickBreakingWeights(1.0, size=2), [0.5, 0.6]),
    (dist.IndianBuffetWeights(1.0, size=2), [0.5, 0.6]),
    (dist.RelaxedOneHotCategorical(1.0, [0.5, 0.5]), [0.5, 0.6]),
    (dist.LKJ(2, 1.0), [[-1.0, 0.0], [0.0, 1.0]]),
    (dist.Wishart(3.0, np.eye(2)), [[-1.0, 0.0], [0.0, 1.0]]),
    (dist.MixtureSameFamily([0.5, 0.5], dist.Gamma([1.0, 2.0], 1.0)), -1.0),
    (dist.Mixture([0.5, 0.5], [dist.Gamma(1.0, 1.0), dist.LogNormal(0.0, 1.0)]), -1.0),
]


@pytest.mark.parametrize(("item", "value"), OUTSIDE, ids=[f"{item.family}-{i}" for i, (item, _) in enumerate(OUTSIDE)])
def test_outside_the_support_the_log_density_is_minus_infinity(item: Distribution, value: object):
    assert log_prob(item, value) == -np.inf


EDGES = [
    (dist.Bernoulli(0.0), 0, 0.0),
    (dist.Bernoulli(1.0), 1, 0.0),
    (dist.Poisson(0.0), 0, 0.0),
    (dist.Binomial(3, 0.0), 0, 0.0),
    (dist.Beta(1.0, 3.0), 0.0, np.log(3.0)),
    (dist.Exponential(2.0), 0.0, np.log(2.0)),
    (dist.Dirichlet([1.0, 1.0, 1.0]), [0.0, 0.5, 0.5], np.log(2.0)),
    (dist.Multinomial(2, [0.5, 0.5, 0.0]), [1, 1, 0], np.log(0.5)),
    (dist.OneHotCategorical([1.0, 0.0, 0.0]), [1, 0, 0], 0.0),
    (dist.Bernoulli(logits=800.0), 1, 0.0),
    (dist.Bernoulli(logits=-800.0), 1, -800.0),
    (dist.Categorical(logits=[800.0, 0.0, 0.0]), 1, -800.0),
    (dist.Gamma(3.0, 2.0), 1e-300, np.log(4.0) + 2 * np.log(1e-300)),
]


@pytest.mark.parametrize(("item", "value", "expected"), EDGES, ids=[repr(e[0]) for e in EDGES])
def test_density_at_the_edge(item: Distribution, value: object, expected: float):
    assert log_prob(item, value) == pytest.approx(expected, rel=1e-12, abs=1e-12)


CDFS = [n for n, c in CASES.items() if hasattr(c.exact, "cdf") and c.dist.dtype == "float" and not c.dist.event_shape]


@pytest.mark.parametrize("name", CDFS)
def test_cumulative_distribution_functions_are_scipys(name: str):
    case = CASES[name]
    x, p = symbol("x"), symbol("p")
    try:
        at = case.exact.ppf(np.array([1e-6, 0.3, 0.9]))
        found = [evaluate(case.dist.cdf(x), {"x": v}) for v in at]
    except ModelError as error:
        assert "no cumulative distribution function in closed form" in str(error)
        return
    np.testing.assert_allclose(found, case.exact.cdf(at), rtol=1e-9)
    for log_of, exact in ((case.dist.log_cdf, case.exact.logcdf), (case.dist.log_survival, case.exact.logsf)):
        np.testing.assert_allclose([evaluate(log_of(x), {"x": v}) for v in at], exact(at), rtol=1e-8)
    try:
        quantile = case.dist.icdf(p)
    except ModelError:
        return
    np.testing.assert_allclose(
        [evaluate(quantile, {"p": v}) for v in (0.01, 0.7)], case.exact.ppf([0.01, 0.7]), rtol=1e-8
    )


def test_masked_elements_contribute_nothing():
    item = dist.Normal(LOC, 2.0)
    kept = log_prob(item.mask([True, False, True]), LOC)
    whole = element_log_prob(item, LOC[None])[0]
    assert kept == pytest.approx(whole[0] + whole[2])
    again = item.mask([True, False, True]).mask([True, True, False])
    assert log_prob(again, LOC) == pytest.approx(whole[0])
    noise = NumpyNoise(0)
    value, together = again.draw_with_log_prob(noise)
    drawn = evaluate(value, noise.bindings)
    assert evaluate(together, noise.bindings) == pytest.approx(element_log_prob(item, drawn[None])[0, 0])


@pytest.mark.parametrize("name", list(CASES))
def test_expanding_repeats_elements(name: str):
    item = CASES[name].dist
    wide = item.expand((2, *item.element_shape))
    assert wide.event_shape == (2, *item.event_shape) and wide.event_rank == item.event_rank
    x = draws_of(item, 2, seed=10)
    assert log_prob(wide, x) == pytest.approx(log_prob(item, x[0]) + log_prob(item, x[1]), rel=1e-9)
    masked = wide.mask(np.array([True, False]).reshape(2, *[1] * len(item.element_shape)))
    assert log_prob(masked, x) == pytest.approx(log_prob(item, x[0]), rel=1e-9)


@pytest.mark.parametrize("name", list(CASES))
def test_substitution_reaches_every_value(name: str):
    item = CASES[name].dist
    seen: list[object] = []
    same = item.substitute(lambda v: seen.append(v) or v)
    assert len(seen) == len(item.values())
    x = draws_of(item, 1, seed=11)[0]
    assert log_prob(same, x) == log_prob(item, x)


def test_constants_fold_away():
    x = symbol("x")
    assert [node.op for node in walk([dist.Normal(0.0, 1.0).log_prob(x)]) if node.args] == [
        "square",
        "multiply",
        "subtract",
    ]
    assert dist.Uniform(0.0, 1.0).unchecked().log_prob(x).op == "const"
    guide = dist.Normal(symbol("loc"), ops.exp(symbol("log_scale")))
    assert "log" not in {node.op for node in walk([guide.log_prob(x)])}


def test_responsibilities_are_the_posterior_of_the_component():
    item = CASES["MixtureSameFamily"].dist
    assert isinstance(item, dist.MixtureSameFamily)
    weights = PROBS * st.norm.pdf(0.4, [-2.0, 0.0, 3.0], [0.5, 1.0, 0.7])
    found = evaluate(item.responsibilities(symbol("x")), {"x": 0.4})
    np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-12)


def test_components_with_different_bounds_are_cut_at_their_own():
    item = dist.MixtureSameFamily([0.25, 0.75], dist.Uniform([0.0, 1.0], [2.0, 3.0]))
    low, high = (evaluate(b) for b in item.support.bounds)
    assert (low, high) == (0.0, 3.0)
    for x, expected in ((0.5, 0.125), (1.5, 0.5), (2.5, 0.375)):
        assert log_prob(item.unchecked(), x) == pytest.approx(np.log(expected))


def test_logits_need_no_normalisation():
    assert log_prob(dist.Categorical(logits=LOGITS + 7.0), 1) == pytest.approx(
        log_prob(dist.Categorical(logits=LOGITS), 1)
    )
