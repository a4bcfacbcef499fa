"""Distributions and bijections: the families of Pyro, of NumPyro and our own, under one set of argument names."""

from ppl.program import supports as support
from ppl.program.distributions import Distribution as Distribution

from . import kernels as kernels
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
from .censored import Censored as Censored
from .compound_counts import BetaNegativeBinomial as BetaNegativeBinomial
from .compound_counts import DirichletMultinomial as DirichletMultinomial
from .compound_counts import Hurdle as Hurdle
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
from .directional import ProjectedNormal as ProjectedNormal
from .directional import SineSkewed as SineSkewed
from .directional import SphereUniform as SphereUniform
from .directional import VonMises as VonMises
from .directional import VonMisesFisher as VonMisesFisher
from .elementwise_bijections import Affine as Affine
from .elementwise_bijections import Exp as Exp
from .elementwise_bijections import Identity as Identity
from .elementwise_bijections import Interval as Interval
from .elementwise_bijections import Power as Power
from .elementwise_bijections import Sigmoid as Sigmoid
from .elementwise_bijections import Softplus as Softplus
from .elementwise_bijections import Tanh as Tanh
from .flows import Flow as Flow
from .folded import Folded as Folded
from .gammas import Chi2 as Chi2
from .gammas import Gamma as Gamma
from .gammas import InverseGamma as InverseGamma
from .gaussian_process import ConditionalGaussianProcess as ConditionalGaussianProcess
from .gaussian_process import GaussianProcess as GaussianProcess
from .kl import kl_divergence as kl_divergence
from .lifetimes import Dagum as Dagum
from .lifetimes import FisherSnedecor as FisherSnedecor
from .lifetimes import GeneralizedPareto as GeneralizedPareto
from .lifetimes import Gompertz as Gompertz
from .lifetimes import Levy as Levy
from .lifetimes import LogLogistic as LogLogistic
from .lifetimes import LogUniform as LogUniform
from .matrices import LKJ as LKJ
from .matrices import InverseWishart as InverseWishart
from .matrices import MultivariateStudentT as MultivariateStudentT
from .matrices import Wishart as Wishart
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
from .ordinal import DiscretizedLogistic as DiscretizedLogistic
from .ordinal import DiscretizedNormal as DiscretizedNormal
from .ordinal import IntervalCensored as IntervalCensored
from .ordinal import OrderedLogistic as OrderedLogistic
from .ordinal import OrderedProbit as OrderedProbit
from .positive import HalfCauchy as HalfCauchy
from .positive import HalfNormal as HalfNormal
from .positive import HalfStudentT as HalfStudentT
from .positive import LogNormal as LogNormal
from .quantized import Codebook as Codebook
from .quantized import Nearest as Nearest
from .relaxed import RelaxedBernoulli as RelaxedBernoulli
from .relaxed import RelaxedOneHotCategorical as RelaxedOneHotCategorical
from .skewed import AsymmetricLaplace as AsymmetricLaplace
from .skewed import GeneralizedNormal as GeneralizedNormal
from .skewed import SkewLogistic as SkewLogistic
from .skewed import SkewNormal as SkewNormal
from .skewed import SoftAsymmetricLaplace as SoftAsymmetricLaplace
from .skewed import SoftLaplace as SoftLaplace
from .structured import CAR as CAR
from .structured import GaussianRandomWalk as GaussianRandomWalk
from .structured import IndianBuffetWeights as IndianBuffetWeights
from .structured import MatrixNormal as MatrixNormal
from .structured import StickBreakingWeights as StickBreakingWeights
from .structured import ZeroSumNormal as ZeroSumNormal
from .transformed import Delta as Delta
from .transformed import Transformed as Transformed
from .transformed import TransformedDistribution as TransformedDistribution
from .truncated import Truncated as Truncated
from .truncated import TruncatedNormal as TruncatedNormal
from .unit import BetaProportion as BetaProportion
from .unit import ContinuousBernoulli as ContinuousBernoulli
from .unit import Kumaraswamy as Kumaraswamy
from .unit import LogitNormal as LogitNormal
from .vector_bijections import CorrMatrix as CorrMatrix
from .vector_bijections import FallingProducts as FallingProducts
from .vector_bijections import PositiveOrdered as PositiveOrdered
from .vector_bijections import UnitVector as UnitVector
from .vector_bijections import ZeroSum as ZeroSum
from .waiting import Exponential as Exponential
from .waiting import Pareto as Pareto
from .waiting import Weibull as Weibull
from .zero_inflated import ZeroInflated as ZeroInflated
from .zero_inflated import ZeroInflatedNegativeBinomial as ZeroInflatedNegativeBinomial
from .zero_inflated import ZeroInflatedPoisson as ZeroInflatedPoisson

__all__ = [
    "CAR",
    "LKJ",
    "Affine",
    "AsymmetricLaplace",
    "Bernoulli",
    "Beta",
    "BetaBinomial",
    "BetaNegativeBinomial",
    "BetaProportion",
    "Bijection",
    "Binomial",
    "Categorical",
    "Cauchy",
    "Censored",
    "Chi2",
    "Codebook",
    "Compose",
    "ConditionalGaussianProcess",
    "ContinuousBernoulli",
    "CorrCholesky",
    "CorrMatrix",
    "Dagum",
    "Delta",
    "Dirichlet",
    "DirichletMultinomial",
    "DiscreteUniform",
    "DiscretizedLogistic",
    "DiscretizedNormal",
    "Distribution",
    "Exp",
    "Exponential",
    "FallingProducts",
    "FisherSnedecor",
    "Flow",
    "Folded",
    "Gamma",
    "GaussianProcess",
    "GaussianRandomWalk",
    "GeneralizedNormal",
    "GeneralizedPareto",
    "Geometric",
    "Gompertz",
    "Gumbel",
    "HalfCauchy",
    "HalfNormal",
    "HalfStudentT",
    "Hurdle",
    "Identity",
    "IndianBuffetWeights",
    "Interval",
    "IntervalCensored",
    "Inverse",
    "InverseGamma",
    "InverseWishart",
    "Kumaraswamy",
    "LKJCholesky",
    "Laplace",
    "Levy",
    "LogLogistic",
    "LogNormal",
    "LogUniform",
    "Logistic",
    "LogitNormal",
    "LowRankMultivariateNormal",
    "LowerCholesky",
    "MatrixNormal",
    "Mixture",
    "MixtureSameFamily",
    "Multinomial",
    "MultivariateNormal",
    "MultivariateStudentT",
    "Nearest",
    "NegativeBinomial",
    "Normal",
    "OneHotCategorical",
    "Ordered",
    "OrderedLogistic",
    "OrderedProbit",
    "Pareto",
    "Permute",
    "Poisson",
    "PositiveDefinite",
    "PositiveOrdered",
    "Power",
    "ProjectedNormal",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "Sigmoid",
    "SineSkewed",
    "SkewLogistic",
    "SkewNormal",
    "SoftAsymmetricLaplace",
    "SoftLaplace",
    "Softplus",
    "SphereUniform",
    "StickBreaking",
    "StickBreakingWeights",
    "StudentT",
    "Tanh",
    "Transformed",
    "TransformedDistribution",
    "Truncated",
    "TruncatedNormal",
    "Uniform",
    "UnitVector",
    "VonMises",
    "VonMisesFisher",
    "Weibull",
    "Wishart",
    "ZeroInflated",
    "ZeroInflatedNegativeBinomial",
    "ZeroInflatedPoisson",
    "ZeroSum",
    "ZeroSumNormal",
    "biject_to",
    "inverse_of",
    "kernels",
    "kl_divergence",
    "support",
]
