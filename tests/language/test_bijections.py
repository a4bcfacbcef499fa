"""Bijections: round trips, log determinants against numerical Jacobians, images of supports, files."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ppl.errors import ShapeError, StrategyError, SupportError
from ppl.language import dist
from ppl.language.dist import Bijection, support
from ppl.language.nn.flow_specs import mixing_spec, stacked_spec
from ppl.program.distributions import BIJECTIONS
from ppl.program.networks import NetworkSpec
from ppl.program.supports import Support
from ppl.program.values import lift
from tests.reference import evaluate, symbol

X3 = np.array([0.3, -1.2, 0.8])
X6 = np.array([0.3, -1.2, 0.8, 0.1, 0.5, -0.4])
LOWER3 = np.tril_indices(3)
BELOW3 = np.tril_indices(3, -1)


def free(y: np.ndarray, like: str) -> np.ndarray:
    """The entries of an image that determine it."""
    if like == "simplex":
        return y[:-1]
    if like in ("corr_cholesky", "corr_matrix"):
        return y[np.tril_indices(len(y), -1)]
    if like in ("lower_cholesky", "positive_definite"):
        return y[np.tril_indices(len(y))]
    return y


def bent(spec: NetworkSpec) -> dist.Flow:
    """A flow with constant weights, far from the identity that it starts as."""
    generator = np.random.default_rng(0)
    return dist.Flow(spec).substitute(lambda v: lift(0.5 * generator.normal(size=v.shape)))


# Bijection, a point, and the kind of image whose free entries are measured.
CASES: dict[str, tuple[Bijection, np.ndarray, str]] = {
    "Identity": (dist.Identity(), X3, ""),
    "Exp": (dist.Exp(), X3, ""),
    "Softplus": (dist.Softplus(), X3, ""),
    "Sigmoid": (dist.Sigmoid(), X3, ""),
    "Tanh": (dist.Tanh(), X3, ""),
    "Affine": (dist.Affine(1.0, 2.0), X3, ""),
    "Affine.vector": (dist.Affine(X3, np.array([1.0, 2.0, 3.0])), X3, ""),
    "Affine.falling": (dist.Affine(1.0, -2.0), X3, ""),
    "Interval": (dist.Interval(-1.0, 3.0), X3, ""),
    "Power": (dist.Power(2.5), np.exp(X3), ""),
    "Power.falling": (dist.Power(-1.0), np.exp(X3), ""),
    "Permute": (dist.Permute([2, 0, 1]), X3, ""),
    "StickBreaking": (dist.StickBreaking(), X3, "simplex"),
    "Ordered": (dist.Ordered(), X3, ""),
    "LowerCholesky": (dist.LowerCholesky(), X6, "lower_cholesky"),
    "LowerCholesky.one": (dist.LowerCholesky(), X3[:1], "lower_cholesky"),
    "CorrCholesky": (dist.CorrCholesky(), X6, "corr_cholesky"),
    "CorrCholesky.two": (dist.CorrCholesky(), X3[:1], "corr_cholesky"),
    "PositiveOrdered": (dist.PositiveOrdered(), X3, ""),
    "FallingProducts": (dist.FallingProducts(), X3, ""),
    "ZeroSum": (dist.ZeroSum(), X3, "surface"),
    "ZeroSum.two": (dist.ZeroSum(), X3[:1], "surface"),
    "UnitVector": (dist.UnitVector(), X3, "surface"),
    "UnitVector.circle": (dist.UnitVector(), X3[:1], "surface"),
    "UnitVector.far": (dist.UnitVector(), 6.0 * X3[:2], "surface"),
    "CorrMatrix": (dist.CorrMatrix(), X6, "corr_matrix"),
    "CorrMatrix.two": (dist.CorrMatrix(), X3[:1], "corr_matrix"),
    "PositiveDefinite": (dist.PositiveDefinite(), X6, "positive_definite"),
    "Compose": (dist.Compose(dist.Affine(0.5, 2.0), dist.Sigmoid(), dist.Affine(-1.0, 3.0)), X3, ""),
    "Compose.ranks": (
        dist.Compose(dist.Affine(0.5, 2.0), dist.Permute([2, 0, 1]), dist.StickBreaking()),
        X3,
        "simplex",
    ),
    "Compose.after": (dist.Compose(dist.Ordered(), dist.Exp()), X3, ""),
    "Inverse": (dist.Inverse(dist.Exp()), np.exp(X3), ""),
    "Inverse.Softplus": (dist.Inverse(dist.Softplus()), np.exp(X3), ""),
    "Flow": (bent(stacked_spec("SplineCoupling", "flow", 3, [4], transform="spline")), X3, ""),
    "Inverse.Flow": (dist.Inverse(bent(stacked_spec("MAF", "flow", 3, [4]))), X3, ""),
    "Compose.Flow": (
        dist.Compose(
            bent(mixing_spec("mix", 3, "lu", 1)), dist.Affine(1.0, 2.0), bent(stacked_spec("RealNVP", "flow", 3, []))
        ),
        X3,
        "",
    ),
}


def image(bijection: Bijection, x: np.ndarray) -> np.ndarray:
    return evaluate(bijection.forward(symbol("x", x.shape)), {"x": x})


def jacobian(function: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    step = 1e-6
    columns = [(function(x + step * e) - function(x - step * e)) / (2 * step) for e in np.eye(len(x))]
    return np.stack(columns, axis=-1)


def log_volume(matrix: np.ndarray) -> float:
    """Log of the volume that a unit cube is stretched to; on a surface, of its area."""
    if matrix.shape[0] == matrix.shape[1]:
        return float(np.linalg.slogdet(matrix)[1])
    return 0.5 * float(np.linalg.slogdet(matrix.T @ matrix)[1])


def test_every_bijection_has_a_case():
    assert {type(b).__name__ for b, _, _ in CASES.values()} == set(BIJECTIONS)


@pytest.mark.parametrize("name", list(CASES))
def test_round_trip(name: str):
    bijection, x, _ = CASES[name]
    y = image(bijection, x)
    assert y.shape == bijection.forward_shape(x.shape)
    assert bijection.inverse_shape(y.shape) == x.shape
    back = evaluate(bijection.inverse(symbol("y", y.shape)), {"y": y})
    np.testing.assert_allclose(back, x, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("name", list(CASES))
def test_log_determinant_is_that_of_the_numerical_jacobian(name: str):
    bijection, x, like = CASES[name]
    expected = log_volume(jacobian(lambda v: free(image(bijection, v), like), x))
    s, y = symbol("x", x.shape), image(bijection, x)
    alone = bijection.log_abs_det(s, symbol("y", y.shape))
    together = bijection.forward_with_log_det(s)[1]
    for found in (alone, together):
        value = evaluate(found, {"x": x, "y": y})
        shape = x.shape[: x.ndim - bijection.rank]
        assert np.broadcast_shapes(value.shape, shape) == shape
        np.testing.assert_allclose(np.broadcast_to(value, shape).sum(), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", list(CASES))
def test_a_batch_is_mapped_element_by_element(name: str):
    bijection, x, _ = CASES[name]
    batch = np.stack([x, 0.5 * x, 2.0 * x])
    assert bijection.forward_shape(batch.shape) == (3, *bijection.forward_shape(x.shape))
    y = image(bijection, batch)
    np.testing.assert_allclose(y, np.stack([image(bijection, v) for v in batch]), rtol=1e-13)
    back = evaluate(bijection.inverse(symbol("y", y.shape)), {"y": y})
    np.testing.assert_allclose(back, batch, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", list(CASES))
def test_parts_rebuild_the_bijection(name: str):
    bijection, _, _ = CASES[name]
    parts = bijection.to_parts()
    assert BIJECTIONS[parts["kind"]] is type(bijection)
    again = type(bijection).from_parts(parts)
    assert again == bijection and hash(again) == hash(bijection) and repr(again) == repr(bijection)
    assert again.rank == bijection.rank and again.codomain_rank == bijection.codomain_rank
    seen: list[object] = []
    assert bijection.substitute(lambda v: seen.append(v) or v) == bijection
    assert len(seen) == len(bijection.operands())


def test_bijections_with_different_operands_differ():
    assert dist.Affine(0.0, 1.0) != dist.Affine(0.0, 2.0)
    assert dist.Exp() != dist.Softplus()
    low = symbol("low")
    assert dist.Interval(low, low + 1.0) == dist.Interval(low, low + 1.0)


SUPPORTS = [
    (support.real, 3),
    (support.positive, 3),
    (support.nonnegative, 3),
    (support.unit_interval, 3),
    (support.interval(-1.0, 2.0), 3),
    (support.greater_than(2.0), 3),
    (support.less_than(2.0), 3),
    (support.simplex, 3),
    (support.ordered, 3),
    (support.half_open_interval(-1.0, 2.0), 3),
    (support.circular, 3),
    (support.positive_ordered, 3),
    (support.falling, 3),
    (support.zero_sum, 3),
    (support.sphere, 3),
    (support.corr_matrix, 6),
    (support.lower_cholesky, 6),
    (support.corr_cholesky, 6),
    (support.positive_definite, 6),
]


@pytest.mark.parametrize(("target", "size"), SUPPORTS, ids=[s.kind for s, _ in SUPPORTS])
def test_biject_to_maps_the_reals_onto_the_support(target: Support, size: int):
    bijection = dist.biject_to(target)
    points = np.random.default_rng(1).normal(0.0, 3.0, (200, size))
    inside = target.contains(image(bijection, points))
    assert inside is not None and inside.all()
    onto = bijection.image(support.real)
    # Up to an end that is drawn with probability zero.
    ends = {("positive", "nonnegative"), ("interval", "half_open_interval")}
    assert onto == target or (onto.kind, target.kind) in ends


def test_biject_to_moves_with_symbolic_bounds():
    a = symbol("a")
    bijection = dist.biject_to(support.interval(0.0, 1.0 - a))
    y = bijection.forward(symbol("x"))
    assert evaluate(y, {"x": 0.0, "a": 0.4}) == pytest.approx(0.3)
    assert bijection.operands()[1] is support.interval(0.0, bijection.params["high"]).bounds[1]


def test_extreme_values_stay_inside():
    x = symbol("x", (2,))
    for bijection in (dist.Sigmoid(), dist.StickBreaking()):
        y = evaluate(bijection.forward(x), {"x": [400.0, -400.0]})
        assert np.all(np.isfinite(evaluate(bijection.forward_with_log_det(x)[1], {"x": [400.0, -400.0]})))
        assert np.all((y >= 0) & (y <= 1))
    assert np.all(evaluate(dist.Sigmoid().forward(x), {"x": [400.0, -400.0]}) < 1.0)
    far = np.array([30.0, -30.0, 5.0])
    assert np.isfinite(evaluate(dist.CorrCholesky().forward_with_log_det(symbol("v", (3,)))[1], {"v": far}))


IMAGES = [
    (dist.Exp(), support.positive, support.greater_than(1.0)),
    (dist.Exp(), support.interval(0.0, 1.0), support.interval(1.0, np.e)),
    (dist.Exp(), support.less_than(0.0), support.interval(0.0, 1.0)),
    (dist.Affine(1.0, 2.0), support.positive, support.greater_than(1.0)),
    (dist.Affine(0.0, 2.0), support.positive, support.positive),
    (dist.Affine(1.0, -2.0), support.positive, support.less_than(1.0)),
    (dist.Affine(1.0, -2.0), support.unit_interval, support.interval(-1.0, 1.0)),
    (dist.Affine(-1.0, 1.0), support.greater_than(1.0), support.positive),
    (dist.Tanh(), support.real, support.interval(-1.0, 1.0)),
    (dist.Power(-1.0), support.unit_interval, support.greater_than(1.0)),
    (dist.Inverse(dist.Exp()), support.positive, support.real),
    (dist.Inverse(dist.StickBreaking()), support.simplex, support.real),
    (dist.Inverse(dist.Affine(1.0, 2.0)), support.greater_than(1.0), support.positive),
    (dist.Compose(dist.Exp(), dist.Affine(1.0, 2.0)), support.real, support.greater_than(1.0)),
    (dist.Sigmoid(), support.real, support.unit_interval),
    (dist.Permute([1, 0]), support.simplex, support.simplex),
]


@pytest.mark.parametrize(("bijection", "before", "after"), IMAGES, ids=[f"{b!r}-{s.kind}" for b, s, _ in IMAGES])
def test_images_of_supports(bijection: Bijection, before: Support, after: Support):
    found = bijection.image(before)
    assert found.kind == after.kind or {found.kind, after.kind} == {"interval", "unit_interval"}
    bounds = {"unit_interval": (0.0, 1.0)}.get(found.kind) or tuple(float(evaluate(b)) for b in found.bounds)
    expected = {"unit_interval": (0.0, 1.0)}.get(after.kind) or tuple(float(evaluate(b)) for b in after.bounds)
    np.testing.assert_allclose(bounds, expected, rtol=1e-12)


def test_inverse_of_does_not_wrap_twice():
    assert dist.inverse_of(dist.inverse_of(dist.Exp())) == dist.Exp()
    chain = dist.Compose(dist.Exp(), dist.Affine(1.0, 2.0))
    assert dist.inverse_of(chain) == dist.Compose(dist.Inverse(dist.Affine(1.0, 2.0)), dist.Inverse(dist.Exp()))


def test_mistakes_are_named():
    with pytest.raises(StrategyError, match="no bijection from the reals onto boolean: it is discrete"):
        dist.biject_to(support.boolean)
    with pytest.raises(SupportError, match="the scale must be all positive or all negative"):
        dist.Affine(0.0, [1.0, -1.0])
    with pytest.raises(SupportError, match="the exponent must not be zero"):
        dist.Power(0.0)
    with pytest.raises(ShapeError, match="Permute needs each place once"):
        dist.Permute([0, 0, 1])
    with pytest.raises(ShapeError, match=r"Permute of 3 entries does not fit event shape \(2,\)"):
        dist.Permute([0, 2, 1]).forward(symbol("x", (2,)))
    with pytest.raises(ShapeError, match="a vector of 4 entries does not fill a triangle"):
        dist.LowerCholesky().forward_shape((4,))
    with pytest.raises(SupportError, match=r"Exp\(\) does not act on simplex"):
        dist.Exp().image(support.simplex)
    with pytest.raises(SupportError, match=r"Exp\(\) has no inverse on real"):
        dist.Inverse(dist.Exp()).image(support.real)
