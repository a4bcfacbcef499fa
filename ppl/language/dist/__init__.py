"""Distributions and bijections: the families that both Pyro and NumPyro know, under one set of argument names."""

from ppl.program import supports as support
from ppl.program.distributions import Distribution as Distribution

from .bijections import Bijection as Bijection
from .bijections import Compose as Compose
from .bijections import Inverse as Inverse
from .bijections import Permute as Permute
from .bijections import inverse_of as inverse_of
from .bounded import Beta as Beta
from .bounded import Dirichlet as Dirichlet
from .bounded import DiscreteUniform as DiscreteUniform
from .bounded import Uniform as Uniform
from .categorical import Categorical as Categorical
from .categorical import Multinomial as Multinomial
from .categorical import OneHotCategorical as OneHotCategorical
from .constrain import biject_to as biject_to
from .continuous import Cauchy as Cauchy
from .continuous import Gumbel as Gumbel
from .continuous import Laplace as Laplace
from .continuous import Logistic as Logistic
from .continuous import Normal as Normal
from .continuous import StudentT as StudentT
from .counts import Bernoulli as Bernoulli
from .counts import BetaBinomial as BetaBinomial
from .counts import Binomial as Binomial
from .counts import Geometric as Geometric
from .counts import NegativeBinomial as NegativeBinomial
from .counts import Poisson as Poisson
from .elementwise_bijections import Affine as Affine
from .elementwise_bijections import Exp as Exp
from .elementwise_bijections import Identity as Identity
from .elementwise_bijections import Interval as Interval
from .elementwise_bijections import Power as Power
from .elementwise_bijections import Sigmoid as Sigmoid
from .elementwise_bijections import Softplus as Softplus
from .elementwise_bijections import Tanh as Tanh
from .gammas import Chi2 as Chi2
from .gammas import Gamma as Gamma
from .gammas import InverseGamma as InverseGamma
from .kl import kl_divergence as kl_divergence
from .matrix_bijections import CorrCholesky as CorrCholesky
from .matrix_bijections import LowerCholesky as LowerCholesky
from .matrix_bijections import Ordered as Ordered
from .matrix_bijections import PositiveDefinite as PositiveDefinite
from .matrix_bijections import StickBreaking as StickBreaking
from .mixtures import Mixture as Mixture
from .mixtures import MixtureSameFamily as MixtureSameFamily
from .multivariate import LKJCholesky as LKJCholesky
from .multivariate import LowRankMultivariateNormal as LowRankMultivariateNormal
from .multivariate import MultivariateNormal as MultivariateNormal
from .positive import HalfCauchy as HalfCauchy
from .positive import HalfNormal as HalfNormal
from .positive import HalfStudentT as HalfStudentT
from .positive import LogNormal as LogNormal
from .transformed import Delta as Delta
from .transformed import Transformed as Transformed
from .transformed import TransformedDistribution as TransformedDistribution
from .truncated import Truncated as Truncated
from .truncated import TruncatedNormal as TruncatedNormal
from .waiting import Exponential as Exponential
from .waiting import Pareto as Pareto
from .waiting import Weibull as Weibull
from .zero_inflated import ZeroInflated as ZeroInflated
from .zero_inflated import ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial
from .zero_inflated import ZeroInflatedPoisson as ZeroInflatedPoisson

__all__ = [
    "Affine",
    "Bernoulli",
    "Beta",
    "BetaBinomial",
    "Bijection",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Chi2",
    "Compose",
    "CorrCholesky",
    "Delta",
    "Dirichlet",
    "DiscreteUniform",
    "Distribution",
    "Exp",
    "Exponential",
    "Gamma",
    "Geometric",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "HalfStudentT",
    "Identity",
    "Interval",
    "Inverse",
    "InverseGamma",
    "LKJCholesky",
    "Laplace",
    "LogNormal",
    "Logistic",
    "LowRankMultivariateNormal",
    "LowerCholesky",
    "Mixture",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "Ordered",
    "Pareto",
    "Permute",
    "Poisson",
    "PositiveDefinite",
    "Power",
    "Sigmoid",
    "Softplus",
    "StickBreaking",
    "StudentT",
    "Tanh",
    "Transformed",
    "TransformedDistribution",
    "Truncated",
    "TruncatedNormal",
    "Uniform",
    "Weibull",
    "ZeroInflated",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
    "biject_to",
    "inverse_of",
    "kl_divergence",
    "support",
]
