"""Families whose parameters differ from row to row of a plate: both backends and both libraries agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats as st

import ppl
from ppl import dist, ops
from tests.budget import FALSE_ALARM

X = np.array([0.3, -0.6, 1.1])
CUTS = [-1.0, 0.2, 1.5]
EYE = np.eye(3)
ROWS = np.linalg.cholesky(np.array([[1.5, 0.4], [0.4, 0.9]]))
NEIGHBOURS = [[0, 1, 1], [1, 0, 1], [1, 1, 0]]


def unit(x: Any) -> Any:
    return ops.stack([ops.cos(x), ops.sin(x), 0.0 * x])


# From a row's number and a positive one to a distribution, by the libraries that have it.
FAMILIES: dict[str, dict[str, Callable[[Any, Any], dist.Distribution]]] = {
    "both": {
        "asymmetric_laplace": lambda x, s: dist.AsymmetricLaplace(x, s, s + 0.5),
        "soft_laplace": lambda x, s: dist.SoftLaplace(x, s),
        "kumaraswamy": lambda x, s: dist.Kumaraswamy(s, s + 1.0),
        "logit_normal": lambda x, s: dist.LogitNormal(x, s),
        "beta_proportion": lambda x, s: dist.BetaProportion(ops.sigmoid(x), s),
        "relaxed": lambda x, s: dist.RelaxedBernoulli(s, logits=x),
        "log_logistic": lambda x, s: dist.LogLogistic(s, s + 1.0),
        "log_uniform": lambda x, s: dist.LogUniform(s, s + 1.0),
        "levy": lambda x, s: dist.Levy(x, s),
        "von_mises": lambda x, s: dist.VonMises(x, s),
        "sine_skewed": lambda x, s: dist.SineSkewed(
            dist.VonMises(ops.stack([x, -x]), s), ops.stack([0.5 * ops.tanh(x), 0.3 + 0.0 * x])
        ),
        "folded": lambda x, s: dist.Folded(dist.Normal(x, s)),
        "ordered_logistic": lambda x, s: dist.OrderedLogistic(x, CUTS),
        "dirichlet_multinomial": lambda x, s: dist.DirichletMultinomial(ops.stack([s, s + 1.0, s]), 7),
        "projected": lambda x, s: dist.ProjectedNormal(ops.stack([x, s])),
        "sphere": lambda x, s: dist.SphereUniform(3),
        "student": lambda x, s: dist.MultivariateStudentT(s + 3.0, x, scale_tril=s * EYE),
        "wishart": lambda x, s: dist.Wishart(s + 4.0, scale_tril=s * EYE),
        "lkj": lambda x, s: dist.LKJ(3, s),
        "several": lambda x, s: dist.LogLogistic(s, ops.stack([s, s + 1.0])).expand([2]),
        "masked": lambda x, s: dist.VonMises(ops.stack([x, -x]), s).mask([True, False]),
    },
    "pyro": {
        "skew_logistic": lambda x, s: dist.SkewLogistic(x, s, s + 0.5),
        "generalized_pareto": lambda x, s: dist.GeneralizedPareto(x, s, 0.2 * s),
        "fisher": lambda x, s: dist.FisherSnedecor(s, s + 1.0),
        "continuous_bernoulli": lambda x, s: dist.ContinuousBernoulli(logits=x),
        "relaxed_one_hot": lambda x, s: dist.RelaxedOneHotCategorical(0.7, logits=ops.stack([x, s, 0.0 * x])),
        "von_mises_fisher": lambda x, s: dist.VonMisesFisher(unit(x), s),
    },
    "numpyro": {
        "dagum": lambda x, s: dist.Dagum(s, s + 1.0, s),
        "gompertz": lambda x, s: dist.Gompertz(s, s + 0.5),
        "beta_negative_binomial": lambda x, s: dist.BetaNegativeBinomial(s, s + 3.0, s + 1.0),
        "hurdle": lambda x, s: dist.Hurdle(dist.Poisson(s), ops.sigmoid(x)),
        "walk": lambda x, s: dist.GaussianRandomWalk(s, 4),
        "zero_sum": lambda x, s: dist.ZeroSumNormal(s, size=4),
        "matrix": lambda x, s: dist.MatrixNormal(x * np.ones((2, 3)), s * ROWS, EYE),
        "inverse_wishart": lambda x, s: dist.InverseWishart(s + 6.0, scale_tril=s * EYE),
        "car": lambda x, s: dist.CAR(x * np.ones(3), ops.tanh(x), s, NEIGHBOURS),
    },
    "neither": {
        "soft_asymmetric": lambda x, s: dist.SoftAsymmetricLaplace(x, s, s + 0.5, s),
        "skew_normal": lambda x, s: dist.SkewNormal(x, s, 3.0 * x),
        "generalized_normal": lambda x, s: dist.GeneralizedNormal(x, s, s + 1.0),
        "ordered_probit": lambda x, s: dist.OrderedProbit(x, CUTS),
        "interval_censored": lambda x, s: dist.IntervalCensored(dist.Weibull(s, s), ops.stack([s, s + 1.0])),
        "discretized_normal": lambda x, s: dist.DiscretizedNormal(x, s, low=-3, high=3),
        "discretized_logistic": lambda x, s: dist.DiscretizedLogistic(x, s, low=-3, high=3),
        "censored": lambda x, s: dist.Censored(dist.Weibull(s, s + 0.5), high=s),
        "stick": lambda x, s: dist.StickBreakingWeights(s, size=4),
        "buffet": lambda x, s: dist.IndianBuffetWeights(s, size=4),
        "circle_direction": lambda x, s: dist.VonMisesFisher(ops.stack([ops.cos(x), ops.sin(x)]), s),
    },
}


@pytest.mark.parametrize("library", FAMILIES)
def test_rows_with_their_own_parameters_agree(library: str):
    @ppl.model
    def rows(x):
        with ppl.plate("rows", x) as row:
            for name, family in FAMILIES[library].items():
                ppl.sample(name, family(row, ops.exp(0.5 * row)))

    found = ppl.agreement(rows(X), precision="float64")
    natives = {"both": {"pyro native", "numpyro native"}, "neither": set()}.get(library, {f"{library} native"})
    assert set(found.columns) == {"pyro", "numpyro"} | natives, found
    assert set(found.rows) == set(FAMILIES[library])
    # Constants of seven digits in the libraries' own formulas.
    assert found.difference < 1e-5, found


DRAWS = 4000


def sizes(array: np.ndarray) -> list[np.ndarray]:
    """Each number of a draw by itself."""
    return list(array.reshape(len(array), -1).T)


@pytest.mark.parametrize("library", FAMILIES)
def test_both_backends_draw_from_the_same_laws(library: str):
    """Draws in float32 are possible by their own backend's density, and equal in law on both."""

    @ppl.model
    def rows(x):
        with ppl.plate("rows", x) as row:
            for name, family in FAMILIES[library].items():
                ppl.sample(name, family(row, ops.exp(0.5 * row)))

    program = rows(X)
    drawn: dict[str, dict[str, np.ndarray]] = {}
    for backend in ("numpyro", "pyro"):
        values = {str(n): np.asarray(v) for n, v in ppl.simulate(program, DRAWS, seed=3, backend=backend).items()}
        drawn[backend] = values
        by_site = ppl.compile(program, backend).log_density(values, by_site=True)
        for name, terms in by_site.items():
            assert np.all(np.isfinite(np.asarray(terms))), (backend, name)
    for name in FAMILIES[library]:
        pairs = list(zip(sizes(drawn["numpyro"][name]), sizes(drawn["pyro"][name]), strict=True))
        # The two-sample Kolmogorov statistic exceeds this with the probability of a false alarm, ties or none.
        allowed = np.sqrt(np.log(2.0 * len(pairs) / FALSE_ALARM) / DRAWS)
        for ours, theirs in pairs:
            test: Any = st.ks_2samp(ours, theirs, method="asymp")
            assert test.statistic < allowed, name
