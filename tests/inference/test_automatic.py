"""What automatic guides are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist
from ppl.errors import ModelError
from ppl.inference import AutoLowRank, AutoNormal
from ppl.transforms.unconstrain import unconstrained_params

UNBOUNDED: dict[str, Any] = {
    "real": dist.Normal(np.zeros(2), 1.0),
    "real_vector": dist.MultivariateNormal(np.zeros(2), np.eye(2)),
}
BOUNDED: dict[str, Any] = {
    "nonnegative": dist.HalfNormal(np.ones(2)),
    "positive": dist.Gamma(np.ones(2), 1.0),
    "simplex": dist.Dirichlet(np.ones(3)),
    "interval": dist.Uniform(np.zeros(2), 3.0),
}


def model(family: Any) -> ppl.Program:
    @ppl.model
    def one():
        ppl.sample("v", family)

    return one()


@pytest.mark.parametrize("kind", [*UNBOUNDED, *BOUNDED])
def test_a_site_is_transformed_only_where_there_is_something_to_transform(kind: str):
    program = model({**UNBOUNDED, **BOUNDED}[kind])
    assert program.sites["v"].dist.support.kind == kind
    guide = AutoNormal().build(program, 0)
    program.check(guide)
    assert guide.sites["v"].dist.family == ("Normal" if kind in UNBOUNDED else "Transformed")
    assert guide.sites["v"].dist.event_shape == program.sites["v"].dist.event_shape
    assert ppl.agreement(guide, precision="float64").difference < 1e-9


def test_a_parameter_is_mapped_only_where_there_is_something_to_map():
    supports = {
        "free": (dist.support.real, np.zeros(2)),
        "vector": (dist.support.real_vector, np.zeros(2)),
        "scale": (dist.support.positive, np.ones(2)),
    }

    @ppl.model
    def three():
        values = [ppl.param(n, start, support=support) for n, (support, start) in supports.items()]
        ppl.sample("y", dist.Normal(values[0] + values[1], values[2]))

    forward, inverse = unconstrained_params(three())
    assert set(forward) == set(inverse) == {"scale"}


@pytest.mark.parametrize(("rank", "columns"), [(None, 3), (2, 2), (50, 7)])
def test_a_guide_of_low_rank_starts_with_equal_variances_and_no_more_directions_than_numbers(
    rank: int | None, columns: int
):
    program = model(dist.Normal(np.zeros(7), 1.0))
    guide = AutoLowRank(rank, init_scale=0.2).build(program, 0)
    program.check(guide)
    factor, scale = (guide.params[n].init.array for n in ("guide.factor", "guide.scale"))
    assert factor.shape == (7, columns)
    np.testing.assert_allclose(np.sum(factor**2, axis=1) + scale**2, 0.04)
    assert ppl.agreement(guide, precision="float64").difference < 1e-9


@pytest.mark.parametrize("rank", [0, 1.5, True])
def test_a_rank_is_a_positive_integer(rank: Any):
    with pytest.raises(ModelError, match="AutoLowRank needs a rank of at least 1") as caught:
        AutoLowRank(rank)
    assert repr(rank) in str(caught.value)
