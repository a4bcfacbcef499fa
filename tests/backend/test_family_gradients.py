"""Gradients of every log density in torch: finite, also where a guard is at work, and equal to differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional

from ppl.backend import torch_runtime
from ppl.backend.layout import Layout, lane_positions
from ppl.backend.lowering import Lowering
from ppl.backend.pieces import Piece
from ppl.backend.spelling import ATOM, TORCH
from ppl.language import dist
from ppl.program.distributions import Distribution
from ppl.program.simplify import simplify
from ppl.program.values import Value, walk
from tests.language.family_cases import CASES, LOC
from tests.reference import draws_of, evaluate, symbol

# The free entries of these do not fill their array, so a difference in one entry leaves the support.
CONFINED = {"simplex", "corr_cholesky", "positive_definite", "lower_cholesky", "multinomial"}


def gradients(root: Value, bound: dict[str, np.ndarray], precision: str) -> tuple[float, dict[str, np.ndarray]]:
    """A scalar and its gradients in the real leaves, by the emitted torch code."""
    root = simplify({"root": root})["root"]
    lowering = Lowering(
        TORCH,
        lane_positions([root], 0),
        precision,
        lambda leaf: Piece(leaf.attr("name"), ATOM + 1, Layout(False, (), leaf.ndim)),
    )
    lowering.plan([root])
    piece = lowering.piece(root)
    leaves = sorted({node.attr("name") for node in walk([root]) if node.op == "input"})
    lines = [f"def run({', '.join(leaves)}):", *(f"    {line}" for line in lowering.lines), f"    return {piece.text}"]
    dtype = getattr(torch, precision)

    def tensor(array: Any, grad: bool) -> torch.Tensor:
        out = torch.tensor(np.asarray(array))
        return out.to(dtype).requires_grad_(grad) if out.is_floating_point() else out

    names: dict[str, Any] = {"torch": torch, "F": torch.nn.functional, "runtime": torch_runtime}
    names |= {name: tensor(array, False) for name, array in lowering.constants.items()}
    exec("\n".join(lines), names)  # noqa: S102 - this is what the backend does with emitted code
    arguments = {name: tensor(bound[name], True) for name in leaves}
    result = names["run"](**arguments)
    real = {name: a for name, a in arguments.items() if a.is_floating_point()}
    if not isinstance(result, torch.Tensor) or not result.requires_grad:
        return float(result), {name: np.zeros(a.shape) for name, a in real.items()}
    found = torch.autograd.grad(result, list(real.values()), allow_unused=True)
    arrays = {n: np.zeros(a.shape) if g is None else g.numpy() for (n, a), g in zip(real.items(), found, strict=True)}
    return result.item(), arrays


def freed(item: Distribution) -> tuple[Distribution, dict[str, np.ndarray]]:
    """The distribution with its real constants as free values, and what to bind them to."""
    bound: dict[str, np.ndarray] = {}

    def free(value: Value) -> Value:
        if value.op != "const" or value.dtype != "float":
            return value
        name = f"p{len(bound)}"
        bound[name] = evaluate(value)
        return symbol(name, value.shape)

    return item.substitute(free), bound


# A Delta has no density to differentiate, and a scale that is free must be positive.
# At a limit of its measurement a value has a probability, which a difference in the value leaves.
LEFT_OUT = {"Delta", "Delta.scalar", "Transformed.falling", "Censored.some"}


@pytest.mark.parametrize("name", [n for n in CASES if n not in LEFT_OUT])
def test_gradients_are_differences(name: str):
    item, bound = freed(CASES[name].dist)
    bound["x"] = draws_of(CASES[name].dist, 1, seed=1)[0]
    x = symbol("x", item.event_shape, item.dtype)
    plain = item.unchecked().log_prob(x)
    value, exact = gradients(plain, bound, "float64")
    assert value == pytest.approx(float(evaluate(plain, bound)), rel=1e-9, abs=1e-9)
    guarded_value, guarded = gradients(item.log_prob(x), bound, "float64")
    assert guarded_value == pytest.approx(value, rel=1e-12)
    generator = np.random.default_rng(2)
    for leaf, gradient in exact.items():
        assert np.all(np.isfinite(gradient))
        np.testing.assert_allclose(guarded.get(leaf, 0.0), gradient, rtol=1e-9, atol=1e-9)
        confined = leaf == "x" and item.support.kind in CONFINED
        square = bound[leaf].ndim >= 2 and bound[leaf].shape[-1] == bound[leaf].shape[-2]
        if confined or square:
            continue
        direction = generator.standard_normal(np.shape(bound[leaf])) * 1e-6
        up, down = (float(evaluate(plain, {**bound, leaf: bound[leaf] + s * direction})) for s in (1.0, -1.0))
        slope = (up - down) / 2.0
        assert float((gradient * direction).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-11)


HARD: list[tuple[Distribution, Any]] = [
    (dist.Bernoulli(0.3), 1),
    (dist.Bernoulli(logits=300.0), 0),
    (dist.Binomial(4, logits=-300.0), 4),
    (dist.Categorical(logits=[300.0, 0.0, -300.0]), 2),
    (dist.Normal(0.0, 1e-4), 1.0),
    (dist.StudentT(3.0), 1e8),
    (dist.Cauchy(0.0, 1.0), -1e8),
    (dist.Logistic(0.0, 1.0), 300.0),
    (dist.Gamma(0.1, 1.0), 1e-30),
    (dist.Beta(0.5, 0.5), 1e-30),
    (dist.LogNormal(0.0, 1.0), 1e-30),
    (dist.TruncatedNormal(0.0, 1.0, low=20.0, high=25.0), 21.0),
    (dist.TruncatedNormal(0.0, 1.0, low=-25.0, high=-20.0), -20.5),
    (dist.TruncatedNormal(0.0, 1.0, low=-50.0, high=50.0), 0.0),
    (dist.Truncated(dist.Cauchy(0.0, 1.0), 1e4, 1e5), 2e4),
    (dist.Truncated(dist.Exponential(1.0), 80.0, 90.0), 81.0),
    (dist.ZeroInflatedPoisson(3.0, 0.2), 0),
    (dist.ZeroInflatedPoisson(3.0, 0.2), 40),
    (dist.MixtureSameFamily([0.5, 0.5], dist.Normal([-100.0, 100.0], 1.0)), 0.0),
    (dist.Transformed(dist.Normal(LOC, 1.0), dist.StickBreaking()), [1e-30, 0.5, 0.25, 0.25]),
    (dist.AsymmetricLaplace(0.0, 1.0, 2.0), -1e6),
    (dist.SoftLaplace(0.0, 1.0), 300.0),
    (dist.SoftLaplace(0.0, 1.0), 0.0),
    (dist.SkewNormal(0.0, 1.0, 5.0), -10.0),
    (dist.SkewLogistic(0.0, 1.0, 2.0), -300.0),
    (dist.SoftAsymmetricLaplace(0.0, 1.0, 1.0, 0.1), 50.0),
    (dist.GeneralizedNormal(0.0, 1.0, 1.5), 0.0),
    (dist.GeneralizedNormal(0.0, 1.0, 3.0), 100.0),
    (dist.ContinuousBernoulli(logits=300.0), 0.5),
    (dist.ContinuousBernoulli(logits=0.0), 0.5),
    (dist.ContinuousBernoulli(0.5), 0.0),
    (dist.RelaxedBernoulli(0.1, logits=300.0), 0.5),
    (dist.LogitNormal(0.0, 1.0), 1e-30),
    (dist.Kumaraswamy(0.5, 0.5), 1e-30),
    (dist.LogLogistic(1.0, 2.0), 1e30),
    (dist.Gompertz(0.1, 1.0), 50.0),
    (dist.GeneralizedPareto(0.0, 1.0, 0.0), 1.0),
    (dist.GeneralizedPareto(0.0, 1.0, -0.5), 3.0),
    (dist.OrderedLogistic(300.0, [-1.0, 0.0, 1.0]), 1),
    (dist.OrderedLogistic(0.0, [-1.0, -1.0 + 1e-4, 1.0]), 1),
    (dist.OrderedProbit(20.0, [-1.0, 0.0, 1.0]), 1),
    (dist.OrderedProbit(-20.0, [-1.0, 0.0, 1.0]), 2),
    (dist.DiscretizedNormal(200.0, 1.0, low=0, high=255), 3),
    (dist.DiscretizedNormal(200.0, 1.0, low=0, high=255), 0),
    (dist.DiscretizedLogistic(200.0, 0.1, low=0, high=255), 3),
    (dist.IntervalCensored(dist.Exponential(1.0), [-1.0, 0.5, 2.0]), 1),
    (dist.IntervalCensored(dist.Weibull(1.0, 1.5), [0.0, 0.5]), 1),
    (dist.IntervalCensored(dist.Kumaraswamy(2.0, 2.0), [0.5, 1.0]), 1),
    (dist.IntervalCensored(dist.Kumaraswamy(2.0, 2.0), [0.5, 1.0]), 2),
    (dist.IntervalCensored(dist.GeneralizedPareto(0.0, 1.0, -0.5), [0.5, 3.0, 4.0]), 1),
    (dist.IntervalCensored(dist.GeneralizedPareto(0.0, 1.0, -0.5), [0.5, 3.0, 4.0]), 2),
    (dist.Censored(dist.Uniform(0.0, 1.0), high=2.0), 2.0),
    (dist.Censored(dist.Weibull(1.0, 1.5), high=[80.0, np.inf]), [80.0, 0.1]),
    (dist.Censored(dist.Weibull(1.0, 1.5), low=0.0), 0.0),
    (dist.Censored(dist.LogNormal(0.0, 1.0), high=1e4), 1e4),
    (dist.Censored(dist.Normal(0.0, 1.0), low=-20.0), -20.0),
    (dist.Hurdle(dist.Poisson(1e-4), 0.5), 1),
    (dist.Hurdle(dist.Poisson(80.0), 0.5), 0),
    (dist.VonMises(0.0, 1e4), 3.1),
    (dist.VonMisesFisher([0.0, 0.0, 1.0], 1e4), [0.0, 0.0, -1.0]),
    (dist.VonMisesFisher([0.0, 0.0, 0.0, 1.0], 1e-3), [0.0, 0.0, 0.0, -1.0]),
    (dist.ProjectedNormal([30.0, 0.0]), [-1.0, 0.0]),
    (dist.StickBreakingWeights(1.0, size=3), [1.0 - 1e-6, 9e-7, 1e-7]),
    # Outside: the guard must not let a NaN of the formula into the gradient.
    (dist.Gamma(2.0, 1.0), -1.0),
    (dist.LogNormal(0.0, 1.0), -1.0),
    (dist.Beta(2.0, 2.0), 2.0),
    (dist.Weibull(1.0, 1.5), -1.0),
    (dist.Pareto(1.0, 1.5), 0.5),
    (dist.Poisson(2.0), -3),
    (dist.Categorical([0.2, 0.8]), 7),
    (dist.TruncatedNormal(0.0, 1.0, low=0.0, high=1.0), 2.0),
    (dist.Transformed(dist.Normal(0.0, 1.0), dist.Exp()), -1.0),
    (dist.Transformed(dist.Gamma(2.0, 1.0), dist.Affine(1.0, 2.0)), 0.0),
    (dist.Transformed(dist.Normal(0.0, 1.0), dist.Tanh()), 2.0),
    (dist.GeneralizedPareto(0.0, 1.0, -0.5), 2.5),
    (dist.Levy(0.0, 1.0), -1.0),
    (dist.LogUniform(0.5, 1.0), 0.0),
    (dist.Kumaraswamy(2.0, 2.0), 1.1),
    (dist.Censored(dist.Weibull(1.0, 1.5), high=2.0), -1.0),
    (dist.StickBreakingWeights(1.0, size=3), [0.0, 1.5, -0.5]),
    (dist.ProjectedNormal([0.0, 0.0]), [0.0, 0.0]),
    (dist.Mixture([0.5, 0.5], [dist.Gamma(2.0, 1.0), dist.LogNormal(0.0, 1.0)]), -1.0),
    (dist.MixtureSameFamily([0.5, 0.5], dist.Uniform([0.0, 1.0], [2.0, 3.0])), 0.5),
]


@pytest.mark.parametrize(("item", "at"), HARD, ids=[f"{item.family}-{i}" for i, (item, _) in enumerate(HARD)])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_gradients_stay_finite_where_it_is_hard(item: Distribution, at: Any, precision: str):
    free, bound = freed(item)
    bound["x"] = np.asarray(at)
    value, found = gradients(free.log_prob(symbol("x", item.event_shape, item.dtype)), bound, precision)
    assert not np.isnan(value)
    for gradient in found.values():
        assert np.all(np.isfinite(gradient)), found
