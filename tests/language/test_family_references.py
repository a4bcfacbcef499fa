"""Families that scipy has no frozen distribution for, against formulas and quadrature of their own."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special as sp
import scipy.stats

from ppl.language import dist
from ppl.language.dist.special import log_bessel_i
from ppl.program.distributions import Distribution
from tests.budget import sigmas
from tests.language.circular_family_cases import ANGLES, FOUR, LEAN, NORTH, SHARP
from tests.language.family_case import COVARIANCE, PROBS
from tests.language.family_cases import CASES
from tests.language.test_families import element_log_prob
from tests.language.vector_family_cases import AREAS, NEIGHBOURS
from tests.reference import draws_of, evaluate, symbol

# scipy's annotations are those of discrete distributions.
st: Any = scipy.stats


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.log_density is not None])
def test_density_is_that_of_the_reference(name: str):
    case = CASES[name]
    assert case.log_density is not None
    x = draws_of(case.dist, 50, seed=1)
    np.testing.assert_allclose(element_log_prob(case.dist, x), case.log_density(x), rtol=1e-8, atol=1e-9)


DRAWS = 4000


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.dist.dtype == "int" and not c.dist.event_shape])
def test_counts_come_up_as_often_as_they_should(name: str):
    item = CASES[name].dist
    draws = draws_of(item, DRAWS, seed=6)
    values = np.arange(draws.min(), draws.max() + 1)
    chance = np.exp(element_log_prob(item, values))
    counts = np.bincount(draws - draws.min(), minlength=len(values))
    likely = chance * DRAWS > 10.0
    error = np.sqrt(DRAWS * chance * (1.0 - chance))
    assert likely.sum() >= 2
    assert np.all(np.abs(counts - DRAWS * chance)[likely] < sigmas(int(likely.sum())) * error[likely])
    # What is left over has the rest of the probability.
    rest = 1.0 - chance[likely].sum()
    allowed = sigmas() * np.sqrt(DRAWS * max(rest, 0.0)) + 10.0
    assert abs(counts[~likely].sum() - DRAWS * rest) < allowed


# A distribution, another one over the same support with lighter tails, and the mean of that one.
REWEIGHTED: list[tuple[Distribution, Distribution, np.ndarray]] = [
    (dist.VonMisesFisher(NORTH, 2.5), dist.VonMisesFisher(-NORTH, 0.5), -NORTH * (1.0 / np.tanh(0.5) - 2.0)),
    (dist.VonMisesFisher(FOUR, 1.5), dist.SphereUniform(4), np.zeros(4)),
    (dist.VonMisesFisher(NORTH[:2] / np.hypot(*NORTH[:2]), 1.5), dist.SphereUniform(2), np.zeros(2)),
    (dist.ProjectedNormal([0.6, -1.3, 0.4]), dist.SphereUniform(3), np.zeros(3)),
    (dist.ProjectedNormal([0.6, -1.3]), dist.SphereUniform(2), np.zeros(2)),
    (dist.RelaxedOneHotCategorical(0.7, PROBS), dist.Dirichlet([2.0, 1.5, 2.5]), np.array([2.0, 1.5, 2.5]) / 6.0),
    (dist.IndianBuffetWeights(1.7, size=3), dist.IndianBuffetWeights(2.5, size=3), (2.5 / 3.5) ** np.arange(1.0, 4.0)),
    (dist.StickBreakingWeights(1.7, size=3), dist.Dirichlet([1.5, 1.5, 2.0]), np.array([0.3, 0.3, 0.4])),
    (
        dist.CAR(AREAS, 0.6, 1.0, NEIGHBOURS),
        dist.CAR(AREAS + 0.1, 0.4, 1.5, NEIGHBOURS),
        AREAS + 0.1,
    ),
    (dist.LKJ(3, 1.5), dist.LKJ(3, 2.5), np.eye(3)),
    (dist.InverseWishart(14.0, COVARIANCE), dist.InverseWishart(18.0, 1.3 * COVARIANCE), 1.3 * COVARIANCE / 14.0),
    (dist.SineSkewed(dist.VonMises(ANGLES, SHARP), LEAN), dist.Uniform(-np.pi, np.pi).expand([2]), np.zeros(2)),
    (dist.VonMises(0.4, 1.7), dist.Uniform(-np.pi, np.pi), np.zeros(())),
    (dist.LogitNormal(0.3, 1.7), dist.Beta(2.5, 1.7), np.array(2.5 / 4.2)),
    (
        dist.SkewNormal(0.3, 1.7, 2.5),
        dist.SkewNormal(0.5, 1.0, 2.5),
        np.array(0.5 + np.sqrt(2 / np.pi) * 2.5 / 7.25**0.5),
    ),
]


@pytest.mark.parametrize(("p", "q", "mean"), REWEIGHTED, ids=[p.family for p, _, _ in REWEIGHTED])
def test_draws_weighted_by_densities_are_those_of_another(p: Distribution, q: Distribution, mean: np.ndarray):
    """With weights q(x) / p(x), draws x of p have the mean of q, and the weights have mean one."""
    x = draws_of(p, 4 * DRAWS, seed=7)
    # Independent numbers of q may be one draw of p.
    log_q = element_log_prob(q, x)
    log_q = log_q.reshape(len(x), -1).sum(-1) if q.event_rank < p.event_rank else log_q
    weight = np.exp(log_q - element_log_prob(p, x))
    terms = np.concatenate([weight[:, None], weight[:, None] * x.reshape(len(x), -1)], -1)
    expected = np.append(1.0, mean.ravel())
    error = terms.std(0) / np.sqrt(len(x))
    assert np.all(np.abs(terms.mean(0) - expected) <= sigmas(len(expected)) * error + 1e-12)


def test_survival_data_is_fitted_as_if_by_hand():
    """Indicators of censoring and limits give the same log density: of events the density, of the others survival."""
    time, seen = np.array([0.4, 1.5, 2.0, 0.7]), np.array([True, False, False, True])
    item = dist.Censored(dist.Weibull(1.7, 1.3), high=np.where(seen, np.inf, time))
    law = st.weibull_min(1.3, scale=1.7)
    expected = np.where(seen, law.logpdf(time), law.logsf(time))
    np.testing.assert_allclose(element_log_prob(item, time[None])[0], expected, rtol=1e-12)


def test_intervals_of_their_own_are_the_middle_one_of_three():
    low, high = np.array([0.2, 1.0]), np.array([0.5, 4.0])
    item = dist.IntervalCensored(dist.Weibull(1.7, 1.3).expand([2]), np.stack([low, high], -1))
    law = st.weibull_min(1.3, scale=1.7)
    found = element_log_prob(item, np.array([[1, 1]]))[0]
    np.testing.assert_allclose(found, np.log(law.cdf(high) - law.cdf(low)), rtol=1e-10)


@pytest.mark.parametrize(("low", "high"), [(30.0, 31.0), (-31.0, -30.0), (-1.0, 1.0), (5.0, 5.0 + 1e-6)])
def test_intervals_keep_their_digits_in_the_tails(low: float, high: float):
    item = dist.IntervalCensored(dist.Normal(0.0, 1.0), [low, high])
    with mpmath.workdps(60):
        mass = mpmath.ncdf(-low) - mpmath.ncdf(-high) if low > 0 else mpmath.ncdf(high) - mpmath.ncdf(low)
        expected = float(mpmath.log(mass))
    # The difference of the edges themselves has the digits that are left.
    digits = 1e-9 if high - low > 1e-3 else 1e-8
    assert element_log_prob(item, np.array([1]))[0] == pytest.approx(expected, rel=digits)


@pytest.mark.parametrize("order", [0.0, 0.5, 1.0, 1.5, 4.0, 9.5, 40.0])
def test_bessel_functions_are_scipys(order: float):
    x = np.geomspace(1e-3, 1e4, 60)
    exact = sp.ive(order, x)
    fine = exact > 1e-280
    found = evaluate(log_bessel_i(order, symbol("x", x.shape)), {"x": x})
    np.testing.assert_allclose(found[fine], np.log(exact[fine]), rtol=1e-10, atol=1e-10)


def test_a_pareto_whose_end_moves_is_the_same_on_both_sides_of_zero():
    c, x = symbol("c"), symbol("x")
    density = dist.GeneralizedPareto(0.0, 1.0, c).log_prob(x)
    for value in (-0.3, -1e-5, 0.0, 1e-5, 0.3):
        exact = st.genpareto(value).logpdf(1.5)
        assert evaluate(density, {"c": value, "x": 1.5}) == pytest.approx(exact, rel=1e-8)
    assert evaluate(density, {"c": -0.5, "x": 2.5}) == -np.inf
