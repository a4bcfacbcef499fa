"""Closed-form divergences against sums, integrals and draws."""

from __future__ import annotations

import numpy as np
import pytest

from ppl.errors import ShapeError
from ppl.language import dist, ops
from ppl.language.dist import Distribution, kl_divergence
from ppl.language.dist.kl import RULES
from ppl.program.values import walk
from tests.budget import sigmas
from tests.language.family_cases import COVARIANCE, FACTOR, LOC, LOGITS, PROBS
from tests.reference import draws_of, evaluate, symbol

TRIL = np.linalg.cholesky(COVARIANCE)

# On a line: checked by integration.
ON_A_LINE: list[tuple[Distribution, Distribution]] = [
    (dist.Normal(0.3, 1.7), dist.Normal(-0.5, 0.9)),
    (dist.Normal(0.3, 0.5), dist.Normal(0.0, 1.0)),
    (dist.LogNormal(0.3, 0.4), dist.LogNormal(0.1, 0.6)),
    (dist.HalfNormal(1.3), dist.HalfNormal(0.8)),
    (dist.Laplace(0.3, 1.7), dist.Laplace(-0.5, 0.9)),
    (dist.Gamma(2.5, 1.7), dist.Gamma(1.5, 0.7)),
    (dist.Gamma(2.5, 1.7), dist.Exponential(0.7)),
    (dist.Exponential(1.7), dist.Gamma(1.5, 0.7)),
    (dist.Exponential(1.7), dist.Exponential(0.7)),
    (dist.InverseGamma(6.0, 1.7), dist.InverseGamma(5.0, 2.0)),
    (dist.Beta(2.5, 1.7), dist.Beta(1.5, 3.0)),
    (dist.Uniform(0.2, 0.9), dist.Uniform(-1.0, 1.0)),
    (dist.Cauchy(0.3, 1.7), dist.Cauchy(-0.5, 0.9)),
    (dist.Transformed(dist.Normal(0.3, 0.4), dist.Exp()), dist.Transformed(dist.Normal(0.1, 0.6), dist.Exp())),
]
# Over whole numbers: summed.
COUNTED: list[tuple[Distribution, Distribution]] = [
    (dist.Bernoulli(0.3), dist.Bernoulli(0.6)),
    (dist.Bernoulli(logits=0.3), dist.Bernoulli(logits=-0.6)),
    (dist.Bernoulli(logits=0.3), dist.Bernoulli(0.6)),
    (dist.Categorical(PROBS), dist.Categorical(logits=LOGITS)),
    (dist.Categorical(logits=LOGITS), dist.Categorical(PROBS)),
    (dist.Poisson(2.5), dist.Poisson(4.0)),
    (dist.Geometric(0.3), dist.Geometric(logits=0.2)),
]
# Vectors: estimated from draws.
VECTORS: list[tuple[Distribution, Distribution]] = [
    (dist.Dirichlet([2.0, 1.5, 3.0]), dist.Dirichlet([1.0, 1.0, 1.0])),
    (dist.OneHotCategorical(PROBS), dist.OneHotCategorical(logits=LOGITS)),
    (dist.MultivariateNormal(LOC, COVARIANCE), dist.MultivariateNormal(0.0, scale_tril=0.5 * np.eye(3) + TRIL)),
    (
        dist.MultivariateNormal(LOC, COVARIANCE),
        dist.MultivariateNormal(LOC, precision_matrix=np.linalg.inv(2 * COVARIANCE)),
    ),
    (dist.Normal(LOC, 0.7), dist.MultivariateNormal(0.5, COVARIANCE)),
    (dist.MultivariateNormal(LOC, COVARIANCE), dist.Normal(0.3, [1.0, 2.0, 1.5])),
    (dist.Normal(LOC, 0.7), dist.Normal(0.0, 1.0).expand([3])),
    (dist.Normal(0.0, 1.0).expand([3]), dist.Normal(LOC, 2.0)),
    (
        dist.Transformed(dist.Normal(LOC, 0.5), dist.StickBreaking()),
        dist.Transformed(dist.Normal(0.0, 1.0).expand([3]), dist.StickBreaking()),
    ),
]


def known(q: Distribution, p: Distribution) -> float:
    value = kl_divergence(q, p)
    assert value is not None and value.shape == ()
    return float(evaluate(value))


def terms(item: Distribution, x: np.ndarray) -> np.ndarray:
    found = evaluate(item.element_log_prob(symbol("x", x.shape, item.dtype)), {"x": x})
    return np.broadcast_to(found, x.shape[: x.ndim - item.event_rank])


def test_every_rule_is_tested():
    pairs = {(type(q), type(p)) for q, p in ON_A_LINE + COUNTED + VECTORS}
    assert set(RULES) <= pairs


@pytest.mark.parametrize(("q", "p"), ON_A_LINE, ids=repr)
def test_on_a_line_it_is_the_integral(q: Distribution, p: Distribution):
    # The unconstrained line, which the bijection maps onto the support, is walked in steps that grow exponentially.
    reach = 20.0 if q.family == "Cauchy" else 6.0
    u = np.linspace(-reach, reach, 40001)
    t = np.sinh(u)
    bijection = dist.biject_to(q.support)
    s = symbol("t", t.shape)
    y, log_det = bijection.forward_with_log_det(s)
    x = evaluate(y, {"t": t})
    volume = np.broadcast_to(evaluate(log_det, {"t": t}), t.shape)
    log_q, log_p = terms(q, x), terms(p, x)
    weight = np.exp(log_q + volume) * np.cosh(u)
    integrand = np.where(weight > 1e-300, weight * (log_q - log_p), 0.0)
    assert known(q, p) == pytest.approx(np.trapezoid(integrand, u), rel=1e-6)


@pytest.mark.parametrize(("q", "p"), COUNTED, ids=repr)
def test_over_counts_it_is_the_sum(q: Distribution, p: Distribution):
    size = {"boolean": 2, "integer_interval": 3}.get(q.support.kind, 200)
    x = np.arange(size)
    log_q = terms(q.expand([size]), x)
    log_p = terms(p.expand([size]), x)
    assert known(q, p) == pytest.approx(np.sum(np.exp(log_q) * (log_q - log_p)), rel=1e-10)


@pytest.mark.parametrize(("q", "p"), VECTORS, ids=repr)
def test_of_vectors_it_is_the_mean_over_draws(q: Distribution, p: Distribution):
    count = 4000
    x = draws_of(q, count, seed=1)

    def totals(item: Distribution) -> np.ndarray:
        wide = item.expand((count, *item.element_shape))
        return terms(wide, x).reshape(count, -1).sum(-1)

    ratio = totals(q) - totals(p)
    assert abs(ratio.mean() - known(q, p)) < sigmas() * ratio.std() / np.sqrt(count)


def test_repetitions_count_each_element():
    q, p = dist.Gamma(2.5, 1.7), dist.Gamma(1.5, 0.7)
    assert known(q.expand([2, 3]), p.expand([2, 3])) == pytest.approx(6 * known(q, p))
    masked = known(q.expand([2]).mask([True, False]), p.expand([2]).mask([True, False]))
    assert masked == pytest.approx(known(q, p))


def test_a_point_mass_pays_the_density_of_its_point():
    p = dist.Gamma(2.0, 1.0)
    expected = -float(evaluate(p.log_prob(symbol("x")), {"x": 0.7}))
    assert known(dist.Delta(0.7), p) == pytest.approx(expected)
    assert known(dist.Delta(0.7, log_density=0.3), p) == pytest.approx(expected + 0.3)


def test_outside_it_is_infinite():
    assert known(dist.Uniform(0.0, 2.0), dist.Uniform(0.0, 1.0)) == np.inf
    low = symbol("low")
    value = kl_divergence(dist.Uniform(low, 1.0), dist.Uniform(0.0, 1.0))
    assert value is not None
    assert evaluate(value, {"low": -0.1}) == np.inf and evaluate(value, {"low": 0.5}) == pytest.approx(np.log(2.0))
    assert known(dist.Bernoulli(0.5), dist.Bernoulli(1.0)) == np.inf
    assert known(dist.Bernoulli(0.0), dist.Bernoulli(0.0)) == 0.0


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (dist.Normal(0.0, 1.0), dist.Cauchy(0.0, 1.0)),
        (dist.StudentT(3.0), dist.StudentT(4.0)),
        (dist.Normal(0.0, 1.0).expand([2]).mask([True, False]), dist.Normal(0.0, 1.0).expand([2])),
        (dist.Transformed(dist.Normal(), dist.Exp()), dist.Transformed(dist.Normal(), dist.Softplus())),
        (dist.LowRankMultivariateNormal(LOC, FACTOR, [1.0, 1.0, 1.0]), dist.MultivariateNormal(LOC, COVARIANCE)),
    ],
    ids=repr,
)
def test_without_a_closed_form_it_is_none(q: Distribution, p: Distribution):
    assert kl_divergence(q, p) is None


def test_a_standard_prior_costs_few_operations():
    loc, log_scale = symbol("loc", (8,)), symbol("log_scale", (8,))
    value = kl_divergence(dist.Normal(loc, ops.exp(log_scale)), dist.Normal(0.0, 1.0).expand([8]))
    assert value is not None
    operations = [node.op for node in walk([value]) if node.args]
    assert sorted(operations) == sorted(["exp", "square", "square", "add", "multiply", "subtract", "subtract", "sum"])


def test_shapes_must_agree():
    with pytest.raises(ShapeError, match="a divergence needs equal event shapes"):
        kl_divergence(dist.Normal(LOC, 1.0), dist.Normal(0.0, 1.0))
