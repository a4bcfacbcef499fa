"""Every family once or more, with constant parameters, and what scipy says about it."""

from __future__ import annotations

import numpy as np
import scipy.stats as st

from ppl.language import dist
from tests.language.circular_family_cases import CIRCULAR
from tests.language.count_family_cases import COUNTS
from tests.language.family_case import (
    COVARIANCE,
    FACTOR,
    LOC,
    LOGITS,
    PROBS,
    Case,
    cut,
    gaussian,
    truncnorm,
)
from tests.language.line_family_cases import LINE
from tests.language.vector_family_cases import VECTORS

CASES: dict[str, Case] = {
    "Normal": Case(dist.Normal(0.3, 1.7), st.norm(0.3, 1.7)),
    "Normal.standard": Case(dist.Normal(0.0, 1.0), st.norm()),
    "Normal.vector": Case(dist.Normal(LOC, 2.0)),
    "Normal.expanded": Case(dist.Normal(LOC, 2.0).expand([2, 3])),
    "LogNormal": Case(dist.LogNormal(0.3, 0.4), st.lognorm(0.4, scale=np.exp(0.3))),
    "HalfNormal": Case(dist.HalfNormal(1.7), st.halfnorm(scale=1.7)),
    "HalfCauchy": Case(dist.HalfCauchy(1.7), st.halfcauchy(scale=1.7), moments=False),
    "HalfStudentT": Case(
        dist.HalfStudentT(5.0, 1.7), moments=False, cdf=lambda x: 2.0 * st.t(5.0, 0.0, 1.7).cdf(x) - 1.0
    ),
    "Cauchy": Case(dist.Cauchy(0.3, 1.7), st.cauchy(0.3, 1.7), moments=False),
    "StudentT": Case(dist.StudentT(12.0, 0.3, 1.7), st.t(12.0, 0.3, 1.7)),
    "Laplace": Case(dist.Laplace(0.3, 1.7), st.laplace(0.3, 1.7)),
    "Logistic": Case(dist.Logistic(0.3, 1.7), st.logistic(0.3, 1.7)),
    "Gumbel": Case(dist.Gumbel(0.3, 1.7), st.gumbel_r(0.3, 1.7)),
    "Exponential": Case(dist.Exponential(1.7), st.expon(scale=1 / 1.7)),
    "Weibull": Case(dist.Weibull(1.7, 1.3), st.weibull_min(1.3, scale=1.7)),
    "Pareto": Case(dist.Pareto(1.7, 12.0), st.pareto(12.0, scale=1.7)),
    "Gamma": Case(dist.Gamma(2.5, 1.7), st.gamma(2.5, scale=1 / 1.7)),
    "Gamma.one": Case(dist.Gamma(1.0, 2.0), st.gamma(1.0, scale=0.5)),
    "Chi2": Case(dist.Chi2(3.5), st.chi2(3.5)),
    "InverseGamma": Case(dist.InverseGamma(12.0, 1.7), st.invgamma(12.0, scale=1.7)),
    "Beta": Case(dist.Beta(2.5, 1.7), st.beta(2.5, 1.7)),
    "Uniform": Case(dist.Uniform(-0.5, 1.7), st.uniform(-0.5, 2.2)),
    "Dirichlet": Case(dist.Dirichlet([0.7, 1.0, 2.5]), st.dirichlet([0.7, 1.0, 2.5])),
    "Bernoulli": Case(dist.Bernoulli(0.3), st.bernoulli(0.3)),
    "Bernoulli.logits": Case(dist.Bernoulli(logits=0.8), st.bernoulli(1 / (1 + np.exp(-0.8)))),
    "Geometric": Case(dist.Geometric(0.3), st.geom(0.3, -1)),
    "Geometric.logits": Case(dist.Geometric(logits=-0.4), st.geom(1 / (1 + np.exp(0.4)), -1)),
    "Binomial": Case(dist.Binomial(9, 0.3), st.binom(9, 0.3)),
    "Binomial.logits": Case(dist.Binomial(9, logits=0.8), st.binom(9, 1 / (1 + np.exp(-0.8)))),
    "BetaBinomial": Case(dist.BetaBinomial(2.5, 1.7, 9), st.betabinom(9, 2.5, 1.7)),
    "Poisson": Case(dist.Poisson(3.5), st.poisson(3.5)),
    "NegativeBinomial": Case(dist.NegativeBinomial(4.5, 0.3), st.nbinom(4.5, 0.7)),
    "NegativeBinomial.logits": Case(dist.NegativeBinomial(4.5, logits=0.2), st.nbinom(4.5, 1 / (1 + np.exp(0.2)))),
    "NegativeBinomial.mean": Case(dist.NegativeBinomial(mean=3.0, concentration=4.0), st.nbinom(4.0, 4.0 / 7.0)),
    "DiscreteUniform": Case(dist.DiscreteUniform(-2, 4), st.randint(-2, 5), lacks=("pyro",)),
    "Categorical": Case(dist.Categorical(PROBS), moments=False),
    "Categorical.logits": Case(dist.Categorical(logits=LOGITS), moments=False),
    "Categorical.batch": Case(dist.Categorical(logits=np.stack([LOGITS, -LOGITS])), moments=False),
    "OneHotCategorical": Case(dist.OneHotCategorical(PROBS)),
    "OneHotCategorical.logits": Case(dist.OneHotCategorical(logits=LOGITS)),
    "Multinomial": Case(dist.Multinomial(7, PROBS)),
    "Multinomial.logits": Case(dist.Multinomial(7, logits=LOGITS)),
    "MultivariateNormal": Case(dist.MultivariateNormal(LOC, COVARIANCE), gaussian(LOC, COVARIANCE)),
    "MultivariateNormal.tril": Case(
        dist.MultivariateNormal(LOC, scale_tril=np.linalg.cholesky(COVARIANCE)), gaussian(LOC, COVARIANCE)
    ),
    "MultivariateNormal.precision": Case(
        dist.MultivariateNormal(LOC, precision_matrix=np.linalg.inv(COVARIANCE)),
        gaussian(LOC, COVARIANCE),
    ),
    "MultivariateNormal.batch": Case(
        dist.MultivariateNormal(0.0, scale_tril=np.stack([np.eye(3), np.linalg.cholesky(COVARIANCE)]))
    ),
    "LowRankMultivariateNormal": Case(
        dist.LowRankMultivariateNormal(LOC, FACTOR, [0.5, 1.0, 0.8]),
        gaussian(LOC, FACTOR @ FACTOR.T + np.diag([0.5, 1.0, 0.8])),
    ),
    "LKJCholesky": Case(dist.LKJCholesky(4, 1.5), moments=False),
    "LKJCholesky.two": Case(dist.LKJCholesky(2, 0.7), moments=False),
    "Delta": Case(dist.Delta(LOC, log_density=0.5)),
    "Delta.scalar": Case(dist.Delta(0.3)),
    "TruncatedNormal": Case(
        dist.TruncatedNormal(0.3, 1.7, low=-1.0, high=2.0), truncnorm(0.3, 1.7, -1.0, 2.0), ("pyro",)
    ),
    "TruncatedNormal.low": Case(dist.TruncatedNormal(0.3, 1.7, low=1.0), truncnorm(0.3, 1.7, 1.0, np.inf), ("pyro",)),
    "TruncatedNormal.high": Case(
        dist.TruncatedNormal(0.3, 1.7, high=1.0), truncnorm(0.3, 1.7, -np.inf, 1.0), ("pyro",)
    ),
    "Truncated.Laplace": Case(
        dist.Truncated(dist.Laplace(0.3, 1.7), -1.0, 2.0),
        lacks=("pyro",),
        moments=False,
        cdf=cut(st.laplace(0.3, 1.7), -1.0, 2.0),
    ),
    "Truncated.Cauchy": Case(
        dist.Truncated(dist.Cauchy(0.3, 1.7), -1.0, 2.0),
        lacks=("pyro",),
        moments=False,
        cdf=cut(st.cauchy(0.3, 1.7), -1.0, 2.0),
    ),
    "Truncated.Logistic": Case(
        dist.Truncated(dist.Logistic(0.3, 1.7), high=2.0),
        lacks=("pyro",),
        moments=False,
        cdf=cut(st.logistic(0.3, 1.7), -np.inf, 2.0),
    ),
    "Truncated.Exponential": Case(
        dist.Truncated(dist.Exponential(1.7), 0.5, 2.0),
        st.truncexpon(1.5 * 1.7, 0.5, 1 / 1.7),
        ("pyro", "numpyro"),
        moments=False,
    ),
    "Truncated.LogNormal": Case(
        dist.Truncated(dist.LogNormal(0.3, 0.4), 0.0, 2.0),
        lacks=("pyro", "numpyro"),
        moments=False,
        cdf=cut(st.lognorm(0.4, scale=np.exp(0.3)), 0.0, 2.0),
    ),
    "Truncated.Weibull": Case(
        dist.Truncated(dist.Weibull(1.7, 1.3), 0.5),
        lacks=("pyro", "numpyro"),
        moments=False,
        cdf=cut(st.weibull_min(1.3, scale=1.7), 0.5, np.inf),
    ),
    "Truncated.Pareto": Case(
        dist.Truncated(dist.Pareto(1.7, 2.0), high=5.0),
        lacks=("pyro", "numpyro"),
        moments=False,
        cdf=cut(st.pareto(2.0, scale=1.7), 1.7, 5.0),
    ),
    "Truncated.Normal": Case(dist.Truncated(dist.Normal(LOC, 1.7), -3.0, 2.0), lacks=("pyro",)),
    "ZeroInflatedPoisson": Case(dist.ZeroInflatedPoisson(3.5, 0.2)),
    "ZeroInflatedNegativeBinomial": Case(dist.ZeroInflatedNegativeBinomial(4.5, 0.3, gate=0.2)),
    "ZeroInflated.Geometric": Case(dist.ZeroInflated(dist.Geometric(0.3), 0.2)),
    "MixtureSameFamily": Case(dist.MixtureSameFamily(PROBS, dist.Normal([-2.0, 0.0, 3.0], [0.5, 1.0, 0.7]))),
    "MixtureSameFamily.vectors": Case(
        dist.MixtureSameFamily(dist.Categorical(logits=LOGITS), dist.Normal(np.arange(6.0).reshape(3, 2), 0.7))
    ),
    "MixtureSameFamily.multivariate": Case(
        dist.MixtureSameFamily(PROBS, dist.MultivariateNormal(np.arange(9.0).reshape(3, 3), COVARIANCE))
    ),
    "MixtureSameFamily.expanded": Case(dist.MixtureSameFamily(PROBS, dist.Normal([-2.0, 0.0, 3.0], 1.0)).expand([4])),
    "Mixture": Case(dist.Mixture([0.4, 0.6], [dist.Normal(-1.0, 0.5), dist.Laplace(2.0, 1.0)]), lacks=("pyro",)),
    "Mixture.positive": Case(
        dist.Mixture([0.4, 0.6], [dist.Gamma(2.0, 1.0), dist.LogNormal(0.0, 0.5)]), lacks=("pyro",)
    ),
    "Transformed": Case(
        dist.Transformed(dist.Normal(0.3, 0.4), dist.Exp()), st.lognorm(0.4, scale=np.exp(0.3)), moments=False
    ),
    "Transformed.affine": Case(
        dist.Transformed(dist.Gamma(2.5, 1.7), dist.Affine(1.0, 2.0)), st.gamma(2.5, 1.0, 2 / 1.7)
    ),
    "Transformed.falling": Case(dist.Transformed(dist.Exponential(1.7), dist.Affine(1.0, -2.0))),
    "Transformed.chain": Case(
        dist.Transformed(dist.Normal(LOC, 1.0), [dist.Sigmoid(), dist.Affine(-1.0, 2.0)]), moments=False
    ),
    "Transformed.interval": Case(dist.Transformed(dist.Normal(0.3, 1.0), dist.Interval(-1.0, 3.0)), moments=False),
    "Transformed.simplex": Case(
        dist.Transformed(dist.Normal(0.0, 1.0).expand([3]), dist.StickBreaking()), moments=False
    ),
    "Transformed.ordered": Case(dist.Transformed(dist.Normal(LOC, 0.5), dist.Ordered()), moments=False),
    "Transformed.correlation": Case(dist.Transformed(dist.Normal(LOC, 0.5), dist.CorrCholesky()), moments=False),
    "Transformed.matrix": Case(
        dist.Transformed(dist.Normal(LOC, 0.5), dist.PositiveDefinite()), lacks=("pyro",), moments=False
    ),
    "Transformed.multivariate": Case(
        dist.Transformed(dist.MultivariateNormal(LOC, COVARIANCE), dist.Softplus(), dist.Power(2.0)), moments=False
    ),
    "Transformed.tanh": Case(dist.Transformed(dist.Normal(0.3, 0.5), dist.Tanh()), moments=False),
    "Transformed.permuted": Case(
        dist.Transformed(dist.Normal(LOC, [1.0, 2.0, 3.0]), dist.Permute([2, 0, 1])), moments=False
    ),
    "Transformed.inverse": Case(dist.Transformed(dist.Gamma(2.0, 1.0), dist.Inverse(dist.Exp())), moments=False),
}

CASES |= LINE | COUNTS | CIRCULAR | VECTORS
