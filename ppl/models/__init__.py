"""The zoo: models from the literature, each as short as in its source, and each compiled to both backends.

Import what you need (`from ppl.models import vae, vae_encoder`), or read a file as an example of the language.
"""

from .autoencoders import conv_vae as conv_vae
from .autoencoders import conv_vae_encoder as conv_vae_encoder
from .autoencoders import cvae as cvae
from .autoencoders import cvae_encoder as cvae_encoder
from .autoencoders import vae as vae
from .autoencoders import vae_encoder as vae_encoder
from .bayesian_neural import bayesian_mlp as bayesian_mlp
from .clustering import vade as vade
from .deep_markov import backward_reader as backward_reader
from .deep_markov import deep_markov as deep_markov
from .discrete_codes import categorical_encoder as categorical_encoder
from .discrete_codes import categorical_vae as categorical_vae
from .discrete_codes import code_prior as code_prior
from .discrete_codes import entries_of as entries_of
from .discrete_codes import vq_decoder as vq_decoder
from .discrete_codes import vq_encoder as vq_encoder
from .discrete_codes import vq_vae as vq_vae
from .flow_densities import flow_density as flow_density
from .flow_densities import flow_encoder as flow_encoder
from .gaussian_processes import gp_classification as gp_classification
from .gaussian_processes import gp_regression as gp_regression
from .gaussian_processes import gp_vae as gp_vae
from .gaussian_processes import gp_vae_encoder as gp_vae_encoder
from .gaussian_processes import marginal_gp_regression as marginal_gp_regression
from .gaussian_processes import sparse_gp_classification as sparse_gp_classification
from .gaussian_processes import sparse_gp_guide as sparse_gp_guide
from .hidden_markov import EARTHQUAKES as EARTHQUAKES
from .hidden_markov import LETTERS as LETTERS
from .hidden_markov import WORDS as WORDS
from .hidden_markov import categorical_hmm as categorical_hmm
from .hidden_markov import poisson_hmm as poisson_hmm
from .hidden_markov import word_arrays as word_arrays
from .hierarchical import correlated_effects as correlated_effects
from .hierarchical import partial_pooling as partial_pooling
from .item_response import ANSWER_PATTERNS as ANSWER_PATTERNS
from .item_response import LSAT_ANSWERS as LSAT_ANSWERS
from .item_response import PATTERN_COUNTS as PATTERN_COUNTS
from .item_response import answer_patterns as answer_patterns
from .item_response import rasch as rasch
from .item_response import two_parameter as two_parameter
from .ladder import ladder_encoder as ladder_encoder
from .ladder import ladder_vae as ladder_vae
from .latent_factors import factor_analysis as factor_analysis
from .latent_factors import linear_gaussian_guide as linear_gaussian_guide
from .latent_factors import linear_gaussian_log_evidence as linear_gaussian_log_evidence
from .latent_factors import marginal_factor_analysis as marginal_factor_analysis
from .latent_factors import marginal_ppca as marginal_ppca
from .latent_factors import ppca as ppca
from .latent_factors import ppca_maximum_likelihood as ppca_maximum_likelihood
from .linear_models import linear_regression as linear_regression
from .linear_models import logistic_regression as logistic_regression
from .mixtures import factored_mixture as factored_mixture
from .mixtures import gaussian_mixture as gaussian_mixture
from .mixtures import ordered_mixture as ordered_mixture
from .schools import EFFECTS as EFFECTS
from .schools import SCHOOLS as SCHOOLS
from .schools import STANDARD_ERRORS as STANDARD_ERRORS
from .schools import eight_schools as eight_schools
from .schools import eight_schools_centred as eight_schools_centred
from .semi_supervised import m2 as m2
from .semi_supervised import m2_encoder as m2_encoder
from .state_space import NILE as NILE
from .state_space import PELTS as PELTS
from .state_space import backward_guide as backward_guide
from .state_space import local_level as local_level
from .state_space import local_trend as local_trend
from .state_space import marginal_local_level as marginal_local_level
from .state_space import predator_prey as predator_prey
from .survival import RELAPSED as RELAPSED
from .survival import REMISSION_WEEKS as REMISSION_WEEKS
from .survival import TREATED as TREATED
from .survival import survival_mixture as survival_mixture
from .switching import GROWTH as GROWTH
from .switching import switching_autoregression as switching_autoregression
from .switching import switching_level as switching_level
from .topics import lda as lda
from .topics import marginal_lda as marginal_lda
from .topics import prod_lda as prod_lda
from .topics import prod_lda_encoder as prod_lda_encoder
from .volatility import RETURNS as RETURNS
from .volatility import noncentred_volatility as noncentred_volatility
from .volatility import stochastic_volatility as stochastic_volatility

__all__ = [
    "ANSWER_PATTERNS",
    "EARTHQUAKES",
    "EFFECTS",
    "GROWTH",
    "LETTERS",
    "LSAT_ANSWERS",
    "NILE",
    "PATTERN_COUNTS",
    "PELTS",
    "RELAPSED",
    "REMISSION_WEEKS",
    "RETURNS",
    "SCHOOLS",
    "STANDARD_ERRORS",
    "TREATED",
    "WORDS",
    "answer_patterns",
    "backward_guide",
    "backward_reader",
    "bayesian_mlp",
    "categorical_encoder",
    "categorical_hmm",
    "categorical_vae",
    "code_prior",
    "conv_vae",
    "conv_vae_encoder",
    "correlated_effects",
    "cvae",
    "cvae_encoder",
    "deep_markov",
    "eight_schools",
    "eight_schools_centred",
    "entries_of",
    "factor_analysis",
    "factored_mixture",
    "flow_density",
    "flow_encoder",
    "gaussian_mixture",
    "gp_classification",
    "gp_regression",
    "gp_vae",
    "gp_vae_encoder",
    "ladder_encoder",
    "ladder_vae",
    "lda",
    "linear_gaussian_guide",
    "linear_gaussian_log_evidence",
    "linear_regression",
    "local_level",
    "local_trend",
    "logistic_regression",
    "m2",
    "m2_encoder",
    "marginal_factor_analysis",
    "marginal_gp_regression",
    "marginal_lda",
    "marginal_local_level",
    "marginal_ppca",
    "noncentred_volatility",
    "ordered_mixture",
    "partial_pooling",
    "poisson_hmm",
    "ppca",
    "ppca_maximum_likelihood",
    "predator_prey",
    "prod_lda",
    "prod_lda_encoder",
    "rasch",
    "sparse_gp_classification",
    "sparse_gp_guide",
    "stochastic_volatility",
    "survival_mixture",
    "switching_autoregression",
    "switching_level",
    "two_parameter",
    "vade",
    "vae",
    "vae_encoder",
    "vq_decoder",
    "vq_encoder",
    "vq_vae",
    "word_arrays",
]
