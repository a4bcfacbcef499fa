"""What a family refuses, in which words; and that every family survives a program file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist
from ppl.errors import ModelError, PPLError, ShapeError, SupportError, UnknownNameError
from ppl.program.distributions import Distribution
from tests.language.family_cases import CASES, COVARIANCE, PROBS
from tests.reference import symbol

NORMAL = dist.Normal(0.0, 1.0)
# Calls that a type checker would refuse too.
untyped: Any = dist

MISTAKES: list[tuple[Callable[[], Any], type[PPLError], str]] = [
    # Arguments.
    (lambda: untyped.Normal(0.0, sigma=1.0), UnknownNameError, "Normal has no argument 'sigma'"),
    (lambda: untyped.Gamma(1.0, 2.0, 3.0), UnknownNameError, "Gamma: too many positional arguments"),
    (lambda: untyped.Beta(1.0), UnknownNameError, "Beta: missing a required argument: 'concentration0'"),
    (lambda: dist.Bernoulli(), ModelError, "Bernoulli takes exactly one of probs, logits"),
    (lambda: dist.Bernoulli(0.5, logits=0.0), ModelError, "Bernoulli takes exactly one of probs, logits"),
    (lambda: dist.MultivariateNormal(0.0), ModelError, "takes exactly one of covariance_matrix, precision_matrix"),
    (lambda: dist.NegativeBinomial(3.0), ModelError, "takes exactly one of probs, logits, mean"),
    (lambda: dist.NegativeBinomial(mean=3.0), ModelError, "takes exactly one of total_count, concentration"),
    (lambda: dist.NegativeBinomial(3.0, mean=3.0), ModelError, "total_count with probs or logits, or mean"),
    (lambda: dist.NegativeBinomial(probs=0.5, concentration=3.0), ModelError, "total_count with probs or logits"),
    # Domains.
    (lambda: dist.Normal(0.0, 0.0), SupportError, "Normal: parameter 'scale' is outside its domain"),
    (lambda: dist.Bernoulli(1.5), SupportError, "Bernoulli: parameter 'probs' is outside its domain"),
    (lambda: dist.Categorical([0.5, 0.6]), SupportError, "Categorical: parameter 'probs' is outside its domain"),
    (lambda: dist.Binomial(2.5, 0.5), SupportError, "Binomial: parameter 'total_count' is outside its domain"),
    (lambda: dist.MultivariateNormal(0.0, -COVARIANCE), SupportError, "'covariance_matrix' is outside its domain"),
    (lambda: dist.Dirichlet([1.0, 0.0]), SupportError, "Dirichlet: parameter 'concentration' is outside its domain"),
    (lambda: dist.Uniform(1.0, 1.0), SupportError, "Uniform: the interval is empty"),
    (lambda: dist.DiscreteUniform(3, 1), SupportError, "DiscreteUniform: the interval is empty"),
    (lambda: dist.TruncatedNormal(low=2.0, high=1.0), SupportError, "TruncatedNormal: the interval is empty"),
    (lambda: dist.Truncated(NORMAL, 2.0, 1.0), SupportError, "Truncated: the interval is empty"),
    (lambda: dist.Truncated(dist.Exponential(), -1.0), SupportError, "the lower bound lies below the support"),
    # Shapes.
    (lambda: dist.Normal(np.zeros(2), np.ones(3)), ShapeError, "Normal: the parameters' event shapes do not broadcast"),
    (lambda: dist.Categorical(symbol("p")), ShapeError, "Categorical: parameter 'probs' needs 1 event axes"),
    (lambda: dist.Dirichlet([1.0]), ShapeError, "Dirichlet needs at least two categories"),
    (lambda: dist.MultivariateNormal(np.zeros(2), COVARIANCE), ShapeError, "loc and covariance_matrix do not fit"),
    (
        lambda: dist.LowRankMultivariateNormal(np.zeros(3), np.ones((2, 1)), np.ones(3)),
        ShapeError,
        "LowRankMultivariateNormal: the parameters do not fit",
    ),
    (lambda: dist.LKJCholesky(1), ShapeError, "LKJCholesky needs a constant dimension of at least 2"),
    (lambda: dist.LKJCholesky(symbol("n", (), "int")), ShapeError, "LKJCholesky needs a constant dimension"),
    (lambda: dist.Delta(0.0, [1.0, 2.0]), ShapeError, "Delta: log_density is one number for the whole value"),
    (lambda: dist.Normal(np.zeros(2), 1.0).expand([3]), ShapeError, r"Normal.expand\(\[3\]\) does not fit"),
    (lambda: dist.Normal(np.zeros(2), 1.0).mask([True, False, True]), ShapeError, "mask needs booleans that broadcast"),
    # Composition.
    (lambda: dist.Multinomial(symbol("n", (), "int"), PROBS), ModelError, "Multinomial needs a constant total_count"),
    (lambda: dist.Truncated(dist.Gamma(1.0), 0.0, 1.0), ModelError, "Truncated cannot be made of Gamma"),
    (lambda: dist.Truncated(dist.StudentT(3.0), 0.0), ModelError, "Truncated cannot be made of StudentT"),
    (lambda: dist.Truncated(dist.GeneralizedPareto(0.0, 1.0, -0.5), 0.5), ModelError, "be made of GeneralizedPareto"),
    (lambda: dist.Truncated(dist.Gumbel(), 0.0), ModelError, "Truncated cannot be made of Gumbel"),
    (lambda: dist.ZeroInflated(NORMAL, 0.5), ModelError, "ZeroInflated needs a base over counts"),
    (lambda: dist.Transformed(NORMAL), ModelError, "Transformed takes a distribution and then bijections"),
    (lambda: dist.Transformed(NORMAL, np.exp), ModelError, "Transformed takes a distribution and then bijections"),
    (lambda: dist.Transformed(dist.Poisson(1.0), dist.Exp()), ModelError, "Transformed needs a continuous base"),
    (lambda: dist.Transformed(NORMAL, dist.StickBreaking()), ShapeError, r"StickBreaking\(\) acts on 1 event axes"),
    (
        lambda: dist.Transformed(NORMAL.expand([2]), dist.Affine(np.zeros(3), 1.0)),
        ShapeError,
        r"does not fit a base of event shape \(2,\)",
    ),
    (lambda: dist.Transformed(NORMAL.mask(True), dist.Exp()), ModelError, "Transformed cannot be made of a masked"),
    (lambda: dist.Transformed(dist.Beta(1.0, 1.0), dist.Ordered()).support, ShapeError, "acts on 1 event axes"),
    (
        lambda: dist.Transformed(dist.Dirichlet([1.0, 1.0]), dist.Exp()).support,
        SupportError,
        r"Exp\(\) does not act on simplex",
    ),
    (lambda: dist.MixtureSameFamily(PROBS, NORMAL), ShapeError, "the first event axis numbers the components"),
    (lambda: dist.MixtureSameFamily(NORMAL, NORMAL), ModelError, "the mixing distribution is one Categorical"),
    (lambda: dist.Mixture(PROBS, [NORMAL, NORMAL]), ShapeError, "Mixture has 3 weights and 2 components"),
    (lambda: dist.Mixture([0.5, 0.5], [NORMAL, NORMAL.expand([2])]), ShapeError, "different event shapes or dtypes"),
    (
        lambda: dist.Mixture([0.5, 0.5], [NORMAL, dist.Gamma(1.0)]),
        SupportError,
        "the components have different supports",
    ),
    # Beyond the usual families.
    (
        lambda: dist.AsymmetricLaplace(0.0, 1.0, -1.0),
        SupportError,
        "parameter 'asymmetry' is outside its domain",
    ),
    (lambda: dist.VonMises(0.0, 0.0), SupportError, "VonMises: parameter 'concentration' is outside its domain"),
    (
        lambda: dist.VonMisesFisher([1.0, 1.0], 1.0),
        SupportError,
        "parameter 'loc' is outside its domain",
    ),
    (lambda: dist.VonMisesFisher([1.0], 1.0), ShapeError, "VonMisesFisher needs vectors of at least two entries"),
    (lambda: dist.SphereUniform(1), ShapeError, "SphereUniform needs vectors of at least two entries"),
    (lambda: dist.ProjectedNormal(np.ones(4)), ShapeError, "ProjectedNormal is over the circle or the sphere"),
    (lambda: dist.OrderedLogistic(0.0, [1.0, 0.0]), SupportError, "OrderedLogistic: parameter 'cutpoints' is outside"),
    (lambda: dist.OrderedProbit(0.0, 1.0), ShapeError, "OrderedProbit: parameter 'cutpoints' needs 1 event axes"),
    (
        lambda: dist.DiscretizedLogistic(0.0, 1.0, low=3, high=1),
        SupportError,
        "the interval is empty",
    ),
    (lambda: dist.LogUniform(2.0, 1.0), SupportError, "LogUniform: the interval is empty"),
    (lambda: dist.LogUniform(0.0, 1.0), SupportError, "LogUniform: parameter 'low' is outside its domain"),
    (lambda: dist.Censored(NORMAL), ModelError, "Censored needs a limit"),
    (lambda: dist.Censored(NORMAL, high=np.nan), SupportError, "Censored: parameter 'high' is outside its domain"),
    (lambda: dist.Censored(NORMAL, low=2.0, high=1.0), SupportError, "Censored: the interval is empty"),
    (
        lambda: dist.Censored(dist.Gamma(2.0), high=1.0),
        ModelError,
        "Censored cannot be made of Gamma: it has no",
    ),
    (lambda: dist.Censored(dist.Poisson(2.0), high=1.0), ModelError, "Censored needs a continuous base over numbers"),
    (
        lambda: dist.Censored(NORMAL.expand([2]), high=np.ones(3)),
        ShapeError,
        "limits and base do not broadcast",
    ),
    (lambda: dist.Censored(NORMAL.mask(True), high=1.0), ModelError, "Censored cannot be made of a masked"),
    (
        lambda: dist.IntervalCensored(dist.StudentT(3.0), [0.0]),
        ModelError,
        "cannot be made of StudentT",
    ),
    (
        lambda: dist.IntervalCensored(NORMAL.expand([2]), np.arange(12.0).reshape(3, 4)),
        ShapeError,
        "IntervalCensored: edges and base do not broadcast",
    ),
    (lambda: dist.Hurdle(dist.Binomial(3, 0.5), 0.5), ModelError, "Hurdle cannot be made of Binomial"),
    (
        lambda: dist.Hurdle(dist.Poisson(np.ones(2)), np.full(3, 0.5)),
        ShapeError,
        "gate and base do not broadcast",
    ),
    (lambda: dist.DirichletMultinomial([1.0], 3), ShapeError, "DirichletMultinomial needs at least two categories"),
    (
        lambda: dist.DirichletMultinomial([1.0, 1.0], symbol("n", (), "int")),
        ModelError,
        "DirichletMultinomial needs a constant total_count",
    ),
    (lambda: dist.RelaxedBernoulli(0.5), ModelError, "RelaxedBernoulli takes exactly one of probs, logits"),
    (lambda: dist.RelaxedOneHotCategorical(0.5), ModelError, "RelaxedOneHotCategorical takes exactly one of probs"),
    (lambda: dist.ContinuousBernoulli(0.5, 0.5), ModelError, "ContinuousBernoulli takes exactly one of probs, logits"),
    (
        lambda: dist.GaussianRandomWalk(1.0, 0),
        ShapeError,
        "needs a constant num_steps of at least 1",
    ),
    (lambda: dist.ZeroSumNormal(1.0, size=1), ShapeError, "ZeroSumNormal needs a constant size of at least 2"),
    (lambda: dist.StickBreakingWeights(1.0, size=1), ShapeError, "StickBreakingWeights needs a constant size"),
    (lambda: dist.IndianBuffetWeights(1.0, size=0), ShapeError, "IndianBuffetWeights needs a constant size"),
    (
        lambda: dist.MatrixNormal(np.zeros((2, 3)), np.eye(3), np.eye(3)),
        ShapeError,
        "MatrixNormal: the parameters do not fit",
    ),
    (lambda: dist.CAR(0.0, 0.5, 1.0, np.eye(2)), ModelError, "CAR needs a constant adjacency matrix"),
    (lambda: dist.CAR(0.0, 0.5, 1.0, symbol("a", (2, 2))), ModelError, "CAR needs a constant adjacency matrix"),
    (
        lambda: dist.CAR(np.zeros(3), 0.5, 1.0, [[0, 1], [1, 0]]),
        ShapeError,
        "CAR: loc and adjacency do not fit",
    ),
    (lambda: dist.LKJ(1), ShapeError, "needs a constant dimension of at least 2"),
    (lambda: dist.Wishart(5.0), ModelError, "Wishart takes exactly one of scale_matrix, scale_tril"),
    (lambda: dist.Wishart(1.5, COVARIANCE), ShapeError, "Wishart has too few degrees of freedom for its size"),
    (lambda: dist.InverseWishart(5.0, np.ones((2, 3))), SupportError, "parameter 'scale_matrix' is outside its domain"),
    (
        lambda: dist.MultivariateStudentT(3.0, np.zeros(2), scale_tril=np.eye(3)),
        ShapeError,
        "MultivariateStudentT: loc and scale_tril do not fit",
    ),
    # Moments and quantiles that are not there.
    (lambda: dist.SkewLogistic().variance(), ModelError, "SkewLogistic has no variance in closed form"),
    (lambda: dist.Cauchy().mean(), ModelError, "Cauchy has no mean in closed form"),
    (lambda: dist.LKJCholesky(3).variance(), ModelError, "LKJCholesky has no variance in closed form"),
    (lambda: dist.Transformed(NORMAL, dist.Exp()).mean(), ModelError, "Transformed has no mean in closed form"),
    (lambda: dist.Gamma(1.0).cdf(symbol("x")), ModelError, "Gamma has no cumulative distribution function"),
    (lambda: dist.StudentT(3.0).icdf(symbol("p")), ModelError, "StudentT has no quantile function"),
]


@pytest.mark.parametrize(("attempt", "error", "message"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_mistakes_are_named(attempt: Callable[[], Any], error: type[PPLError], message: str):
    with pytest.raises(error, match=message):
        attempt()


def test_the_closest_argument_is_suggested():
    with pytest.raises(UnknownNameError, match="Did you mean 'scale'"):
        untyped.Normal(0.0, scales=1.0)


@pytest.mark.parametrize("name", list(CASES))
def test_every_family_survives_a_program_file(name: str):
    item = CASES[name].dist

    @ppl.model
    def program():
        with ppl.plate("rows", size=3):
            ppl.sample("x", item)

    before = program()
    after = ppl.Program.from_json(before.to_json())
    assert str(after) == str(before) and after.to_json() == before.to_json()
    again = after.sites["x"].dist
    assert facts(again) == facts(item)


def facts(item: Distribution) -> tuple[Any, ...]:
    return (
        type(item),
        item.event_shape,
        item.event_rank,
        item.dtype,
        item.reparameterized,
        item.support,
        repr(item),
        [facts(part) for part in item.nested().values()],
    )


def test_bounds_that_are_unknowns_stay_unknowns():
    @ppl.model
    def program():
        a = ppl.sample("a", dist.Beta(2.0, 2.0))
        b = ppl.sample("b", dist.Uniform(0.0, 1.0 - a))
        ppl.sample("c", dist.Transformed(dist.Normal(0.0, 1.0), dist.Interval(b, 1.0)))

    text = str(program())
    assert "b ~ Uniform(0.0, 1.0 - a)" in text
    assert "Interval(b, 1.0)" in text
    assert str(ppl.Program.from_json(program().to_json())) == text
