"""Every name in the distribution lists of Pyro and NumPyro: which family of ours it is, or why there is none.

A release that adds a name fails here, so that someone decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpyro.distributions as numpyro_dist
import pyro.distributions as pyro_dist
import pytest
import torch

from ppl.language import dist
from ppl.program.distributions import FAMILIES, Distribution
from tests.reference import evaluate, symbol

LISTS: dict[str, set[str]] = {"numpyro": set(numpyro_dist.__all__), "pyro": set(pyro_dist.__all__)}

# Theirs under another name, or as one of our families with certain arguments: what to write here.
WRITTEN: dict[str, str] = {
    "AffineBeta": "Transformed(Beta(...), Affine(loc, scale))",
    "AsymmetricLaplaceQuantile": "AsymmetricLaplace(loc, scale * k / q, k), with k = sqrt(q / (1 - q))",
    "AVFMultivariateNormal": "MultivariateNormal: it differs in the gradient estimator only",
    "BernoulliLogits": "Bernoulli(logits=...)",
    "BernoulliProbs": "Bernoulli(probs)",
    "BinomialLogits": "Binomial(n, logits=...)",
    "BinomialProbs": "Binomial(n, probs)",
    "CategoricalLogits": "Categorical(logits=...)",
    "CategoricalProbs": "Categorical(probs)",
    "DoublyTruncatedPowerLaw": "Truncated(Pareto(low, alpha), high=high), for falling powers",
    "ExtendedBinomial": "Binomial: a value outside its support has the log density -inf there too",
    "ExtendedBetaBinomial": "BetaBinomial: a value outside its support has the log density -inf there too",
    "FoldedDistribution": "Folded(base)",
    "GammaPoisson": "NegativeBinomial(mean=concentration / rate, concentration=concentration)",
    "GaussianScaleMixture": "MixtureSameFamily(mixing, Normal(0.0, scales))",
    "GeometricLogits": "Geometric(logits=...)",
    "GeometricProbs": "Geometric(probs)",
    "GroupedNormalNormal": "Normal in a plate of groups around a Normal in a plate of rows, which are two sites",
    "HurdleDistribution": "Hurdle(base, gate)",
    "HurdleLogits": "Hurdle(base, ops.sigmoid(gate_logits))",
    "HurdleNegativeBinomial2": "Hurdle(NegativeBinomial(mean=..., concentration=...), gate)",
    "HurdlePoisson": "Hurdle(Poisson(rate), gate)",
    "HurdleProbs": "Hurdle(base, gate)",
    "IntervalCensoredDistribution": "IntervalCensored(base, [low, high]), with the value 1 observed",
    "InverseWishartCholesky": "InverseWishart, of which ops.cholesky takes the factor",
    "LKJCorrCholesky": "LKJCholesky: an older name of it",
    "LeftCensoredDistribution": "Censored(base, low=...)",
    "LeftTruncatedDistribution": "Truncated(base, low=...)",
    "LogisticNormal": "Transformed(Normal(...), StickBreaking())",
    "LowerTruncatedPowerLaw": "Pareto(low, -alpha - 1)",
    "MixtureGeneral": "Mixture(mixing, components)",
    "MixtureOfDiagNormals": "MixtureSameFamily(mixing, Normal(...))",
    "MixtureOfDiagNormalsSharedCovariance": "MixtureSameFamily(mixing, Normal(...))",
    "MultinomialLogits": "Multinomial(n, logits=...)",
    "MultinomialProbs": "Multinomial(n, probs)",
    "NegativeBinomial2": "NegativeBinomial(mean=..., concentration=...)",
    "NegativeBinomialLogits": "NegativeBinomial(n, logits=...)",
    "NegativeBinomialProbs": "NegativeBinomial(n, probs)",
    "OMTMultivariateNormal": "MultivariateNormal: it differs in the gradient estimator only",
    "RelaxedBernoulliLogits": "RelaxedBernoulli(temperature, logits=...)",
    "RightCensoredDistribution": "Censored(base, high=...)",
    "RightTruncatedDistribution": "Truncated(base, high=...)",
    "TruncatedCauchy": "Truncated(Cauchy(...), low, high)",
    "TruncatedDistribution": "Truncated(base, low, high)",
    "TwoSidedTruncatedDistribution": "Truncated(base, low, high)",
    "VonMises3D": "VonMisesFisher(loc, concentration)",
    "WishartCholesky": "Wishart, of which ops.cholesky takes the factor",
    "ZeroInflatedDistribution": "ZeroInflated(base, gate)",
    "ZeroInflatedLogits": "ZeroInflated(base, ops.sigmoid(gate_logits))",
    "ZeroInflatedNegativeBinomial2": "ZeroInflatedNegativeBinomial(mean=..., concentration=..., gate=...)",
    "ZeroInflatedProbs": "ZeroInflated(base, gate)",
}

# No family by itself: what does its work here.
MACHINERY: dict[str, str] = {
    "ComposeTransformModule": "a class for torch modules; networks are sites of their own, ppl.nn",
    "ConditionalDistribution": "parameters are values of the program, so that every distribution is conditional",
    "ConditionalTransform": "operands of bijections are values of the program",
    "ConditionalTransformModule": "operands of bijections are values of the program",
    "ConditionalTransformedDistribution": "operands of bijections are values of the program",
    "Distribution": "the abstract class, ppl.dist.Distribution",
    "ExpandedDistribution": "what .expand returns",
    "ExponentialFamily": "an abstract class",
    "Independent": "event axes are independent elements without being told so",
    "MaskedDistribution": "what .mask returns",
    "MaskedMixture": "ops.where between the parameters, or .mask",
    "NanMaskedMultivariateNormal": "missing data belongs to program.observe, not to a family",
    "NanMaskedNormal": "missing data belongs to program.observe, not to a family",
    "Rejector": "a sampler for torch only",
    "TorchDistribution": "an abstract class of torch",
    "TransformModule": "a class for torch modules",
    "Unit": "ppl.factor",
    "biject_to": "the function of that name",
    "constraints": "ppl.dist.support",
    "enable_validation": "constants are checked when declared, data when observed; there is no switch",
    "is_validation_enabled": "there is no switch",
    "kl": "the function dist.kl_divergence",
    "kl_divergence": "the function of that name",
    "transforms": "the bijections of ppl.dist",
    "validation_enabled": "there is no switch",
}

# Not covered, and why.
WITHOUT: dict[str, str] = {
    "CirculantNormal": "needs Fourier transforms among the ops",
    "CoalescentRateLikelihood": "a likelihood of phylogenetics over trees that are no arrays",
    "CoalescentTimes": "a distribution of phylogenetics over event times of a given tree",
    "CoalescentTimesWithRate": "a distribution of phylogenetics over event times of a given tree",
    "DiscreteHMM": "time belongs to the program, as a scan whose discrete states are summed out",
    "Empirical": "it has no density; draws come from a posterior",
    "EulerMaruyama": "time belongs to the program; as a family it would hold a function of the user",
    "GammaGaussianHMM": "time belongs to the program",
    "GaussianCopula": "needs the cdf of its marginals and their inverses for any family",
    "GaussianCopulaBeta": "needs the inverse of the incomplete beta function",
    "GaussianHMM": "time belongs to the program",
    "GaussianMRF": "time belongs to the program",
    "GaussianStateSpace": "time belongs to the program",
    "HurdleGamma": "it has density and an atom at zero: a Bernoulli site says whether, and masks the other",
    "HurdleLogNormal": "it has density and an atom at zero: a Bernoulli site says whether, and masks the other",
    "ImproperUniform": "it has no draws, so that a program could not be simulated; ppl.param is the free number",
    "IndependentHMM": "time belongs to the program",
    "LeftTruncatedGamma": "needs the inverse of the incomplete gamma function",
    "LinearHMM": "time belongs to the program",
    "LogNormalNegativeBinomial": "its density is an integral; the rate is a latent site instead",
    "OneHotCategoricalStraightThrough": "its gradient is biased; the unbiased strategies belong to the objective",
    "OneOneMatching": "its density is approximate (belief propagation)",
    "OneTwoMatching": "its density is approximate (belief propagation)",
    "RelaxedBernoulliStraightThrough": "its gradient is biased; the unbiased strategies belong to the objective",
    "RelaxedOneHotCategoricalStraightThrough": "its gradient is biased; unbiased strategies belong to the objective",
    "RightTruncatedGamma": "needs the inverse of the incomplete gamma function",
    "SineBivariateVonMises": "its constant is an infinite series and its sampler a rejection over both angles",
    "SpanningTree": "a distribution over graphs, whose draws are edge lists from a Markov chain",
    "Stable": "it has no density in closed form",
    "StableWithLogProb": "its density is an integral at each value",
    "TruncatedGamma": "needs the inverse of the incomplete gamma function",
    "TruncatedPolyaGamma": "its density is a truncated alternating series; it serves one Gibbs sampler",
    "TwoSidedTruncatedGamma": "needs the inverse of the incomplete gamma function",
}


def undecided(names: set[str]) -> list[str]:
    """Names that are neither ours nor in a table."""
    return sorted(names - set(FAMILIES) - set(WRITTEN) - set(MACHINERY) - set(WITHOUT) - set(dist.__all__))


@pytest.mark.parametrize("library", LISTS)
def test_every_name_is_a_family_of_ours_or_a_decision(library: str):
    assert not undecided(LISTS[library])


def test_a_planted_name_is_found():
    assert undecided(LISTS["pyro"] | {"Brandnew"}) == ["Brandnew"]


@pytest.mark.parametrize("table", [WRITTEN, MACHINERY, WITHOUT], ids=["written", "machinery", "without"])
def test_no_decision_has_gone_stale(table: dict[str, str]):
    known = set.union(*LISTS.values())
    assert set(table) <= known, sorted(set(table) - known)
    others = {name for other in (WRITTEN, MACHINERY, WITHOUT) if other is not table for name in other}
    assert not set(table) & others
    assert all(table.values())


def test_a_family_that_has_come_is_no_longer_missed():
    assert not set(FAMILIES) & (set(WITHOUT) | set(WRITTEN))


def test_what_is_to_be_written_exists():
    for text in WRITTEN.values():
        first = text.split("(")[0].split(":")[0].split(" ")[0].split(",")[0]
        assert first in FAMILIES, text


def test_families_that_both_share_are_ours_but_for_the_listed():
    shared = LISTS["numpyro"] & LISTS["pyro"]
    assert sorted(shared & set(WITHOUT)) == [
        "ImproperUniform",
        "SineBivariateVonMises",
        "TruncatedPolyaGamma",
    ]


K = np.sqrt(0.7 / 0.3)
AT = np.array([0.4, 1.6, 2.5])
UNIT = np.array([0.6, 0.0, 0.8])
# Recipes that need arithmetic, and the library's own distribution.
RECIPES: dict[str, tuple[Distribution, Callable[[], Any], np.ndarray]] = {
    "AsymmetricLaplaceQuantile": (
        dist.AsymmetricLaplace(0.3, 1.7 * K / 0.7, K),
        lambda: numpyro_dist.AsymmetricLaplaceQuantile(0.3, 1.7, 0.7),
        AT,
    ),
    "DoublyTruncatedPowerLaw": (
        dist.Truncated(dist.Pareto(0.3, 1.5), high=3.0),
        lambda: numpyro_dist.DoublyTruncatedPowerLaw(-2.5, 0.3, 3.0),
        AT,
    ),
    "GammaPoisson": (
        dist.NegativeBinomial(mean=2.5 / 0.7, concentration=2.5),
        lambda: numpyro_dist.GammaPoisson(2.5, 0.7),
        np.array([0, 2, 5]),
    ),
    "LowerTruncatedPowerLaw": (
        dist.Pareto(0.3, 1.5),
        lambda: numpyro_dist.LowerTruncatedPowerLaw(-2.5, 0.3),
        AT,
    ),
    "AffineBeta": (
        dist.Transformed(dist.Beta(2.5, 1.7), dist.Affine(0.2, 3.0)),
        lambda: pyro_dist.AffineBeta(torch.tensor(2.5), torch.tensor(1.7), torch.tensor(0.2), torch.tensor(3.0)),
        AT,
    ),
    "LogisticNormal": (
        dist.Transformed(dist.Normal([0.3, -0.4], 1.2), dist.StickBreaking()),
        lambda: pyro_dist.LogisticNormal(torch.tensor([0.3, -0.4]), torch.tensor(1.2)),
        np.array([0.2, 0.5, 0.3]),
    ),
    "VonMises3D": (
        dist.VonMisesFisher(UNIT, 2.5),
        lambda: pyro_dist.VonMises3D(torch.tensor(2.5 * UNIT)),
        np.array([0.0, 1.0, 0.0]),
    ),
}


@pytest.mark.parametrize("name", RECIPES)
def test_the_recipe_is_the_library_s(name: str):
    ours, theirs, x = RECIPES[name]
    wide = ours.expand(x.shape) if not ours.event_shape else ours
    kind = "float" if x.dtype.kind == "f" else "int"
    found = evaluate(wide.element_log_prob(symbol("x", x.shape, kind)), {"x": x})
    value = torch.tensor(x) if name in ("AffineBeta", "LogisticNormal", "VonMises3D") else x
    # The libraries compute in float32 here.
    np.testing.assert_allclose(found, np.asarray(theirs().log_prob(value)), rtol=2e-5)
