"""Guides that fit their model: each pair passes the check, and both backends give the guide one density."""

# pyright: reportUnusedExpression=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, nn, ops
from ppl.program.containment import contains
from ppl.program.program import Program
from tests.language.refusing import normal

X = np.random.default_rng(4).normal(size=(4, 3))
GROUP = np.array([0, 2, 1, 0])
# Name -> (model, guide).
PAIRS: dict[str, tuple[Callable[[], Program], Callable[[], Program]]] = {}


def fits(model: Callable[..., Any], *inputs: Any) -> Callable[[Callable[..., Any]], None]:
    """Enter a guide with the model and the inputs of both."""

    def enter(guide: Callable[..., Any]) -> None:
        name = guide.__name__.strip("_").replace("_", " ")
        assert name not in PAIRS
        PAIRS[name] = (lambda: ppl.model(model)(*inputs)), (lambda: ppl.model(guide)(*inputs))

    return enter


def one(family: Any) -> Callable[[], Any]:
    """A model of a single site."""
    return lambda: ppl.sample("v", family)


def scale_and_rows(x):
    s = ppl.sample("s", dist.HalfNormal(1.0))
    with ppl.plate("rows", x) as row:
        z = normal("z", loc=row[0])
        ppl.deterministic("double", 2.0 * z)
    ppl.sample("total", dist.Normal(ops.sum(z), s))


@fits(scale_and_rows, X)
def _every_latent_in_its_plates(x):
    ppl.sample("s", dist.LogNormal(0.0, 1.0))
    with ppl.plate("rows", x):
        normal("z")
    normal("total")


@fits(scale_and_rows, X)
def _sites_in_another_order(x):
    with ppl.plate("rows", x):
        normal("z")
    normal("total")
    ppl.sample("s", dist.Exponential(1.0))


@fits(scale_and_rows, X)
def _sites_that_depend_on_each_other(x):
    s = ppl.sample("s", dist.Gamma(2.0, 1.0))
    with ppl.plate("rows", x):
        z = normal("z", loc=s)
    normal("total", loc=ops.mean(z))


@fits(scale_and_rows, X)
def _parameters_for_each_row(x):
    ppl.sample("s", dist.LogNormal(ppl.param("s_loc", 0.0), 1.0))
    with ppl.plate("rows", x):
        scale = ppl.param("z_scale", 0.5, support=dist.support.positive)
        ppl.sample("z", dist.Normal(ppl.param("z_loc", 0.0), scale))
    normal("total")


@fits(scale_and_rows, X)
def _an_amortised_guide(x):
    net = nn.MLP("net", [3, 4, 2], "tanh")
    ppl.sample("s", dist.LogNormal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        h = net(row)
        ppl.sample("z", dist.Normal(h[0], ops.exp(h[1])))
    normal("total")


@fits(scale_and_rows, X)
def _an_auxiliary_variable(x):
    noise = ppl.sample("noise", dist.Normal(0.0, 1.0).expand([2]), auxiliary=True)
    ppl.sample("s", dist.LogNormal(noise[0], 0.1))
    with ppl.plate("rows", x):
        normal("z", loc=noise[1])
    normal("total")


@fits(scale_and_rows, X)
def _a_plate_of_the_guides_own(x):
    with ppl.plate("restarts", size=2):
        start = ppl.param("start", 0.0)
    ppl.sample("s", dist.LogNormal(ops.mean(start), 1.0))
    with ppl.plate("rows", x):
        normal("z")
    normal("total")


@fits(scale_and_rows, X)
def _points(x):
    ppl.sample("s", dist.Delta(ppl.param("s_at", 1.0, support=dist.support.positive)))
    with ppl.plate("rows", x):
        ppl.sample("z", dist.Delta(ppl.param("z_at", 0.0)))
    ppl.sample("total", dist.Delta(ppl.param("total_at", 0.0)))


def grouped(group):
    with ppl.plate("groups", size=3):
        level = normal("level")
    with ppl.plate("rows", group) as g:
        normal("v", loc=level[g])


@fits(grouped, GROUP)
def _an_index_into_a_guide_site(group):
    with ppl.plate("groups", size=3):
        level = normal("level", loc=0.5)
    with ppl.plate("rows", group) as g:
        normal("v", loc=2.0 * level[g])


def moving():
    a = ppl.sample("a", dist.Uniform(0.0, 1.0))
    ppl.sample("b", dist.Uniform(0.0, 1.0 - a))


@fits(moving)
def _a_bound_that_moves_along():
    a = ppl.sample("a", dist.Beta(2.0, 2.0))
    ppl.sample("b", dist.Uniform(0.0, 1.0 - a))


@fits(one(dist.HalfNormal(1.0)))
def _gamma_for_half_normal():
    ppl.sample("v", dist.Gamma(2.0, 1.0))


@fits(one(dist.Gamma(2.0, 1.0)))
def _half_normal_for_gamma():
    ppl.sample("v", dist.HalfNormal(1.0))


@fits(one(dist.Gamma(2.0, 1.0)))
def _beta_for_gamma():
    ppl.sample("v", dist.Beta(2.0, 1.0))


@fits(one(dist.Normal(np.zeros(3), 1.0)))
def _positive_numbers_for_real_ones():
    ppl.sample("v", dist.LogNormal(np.zeros(3), 1.0))


@fits(one(dist.Beta(2.0, 1.0)))
def _a_shorter_interval():
    ppl.sample("v", dist.Uniform(0.25, 0.5))


@fits(one(dist.Dirichlet(np.ones(3))))
def _softmax_of_a_normal():
    ppl.sample("v", dist.Transformed(dist.Normal(np.zeros(2), 1.0), dist.biject_to(dist.support.simplex)))


@fits(one(dist.HalfNormal(1.0)))
def _exp_of_a_normal():
    ppl.sample("v", dist.Transformed(dist.Normal(0.0, 1.0), dist.biject_to(dist.support.positive)))


@fits(one(dist.Normal(0.0, 1.0)))
def _a_bound_that_is_computed():
    width = ppl.param("width", 1.0, support=dist.support.positive)
    ppl.sample("v", dist.Uniform(-width, width))


@fits(one(dist.Poisson(2.0)))
def _a_coin_for_counts():
    ppl.sample("v", dist.Bernoulli(0.5))


@fits(one(dist.Categorical(probs=np.ones(4) / 4)))
def _fewer_categories():
    ppl.sample("v", dist.Categorical(probs=np.ones(3) / 3))


@pytest.mark.parametrize("name", PAIRS)
def test_it_passes_and_both_backends_agree(name: str):
    model, guide = (build() for build in PAIRS[name])
    model.check(guide)
    for program in (model, guide):
        table = ppl.agreement(program, precision="float64")
        assert table.difference < 1e-9, str(table)


@pytest.mark.parametrize("name", PAIRS)
def test_the_models_density_is_finite_where_the_guide_draws(name: str):
    model, guide = (build() for build in PAIRS[name])
    compiled = ppl.compile(guide, "pyro", precision="float64")
    draws = compiled.simulate((200,))
    values = {n: draws[n] for n in model.latents}
    density = ppl.compile(model, "pyro", precision="float64").log_density(values)
    assert np.isfinite(compiled.backend.to_numpy(density)).all()


# Supports with samples of theirs; each pair is judged by what `contains` of the outer one says about the samples.
SUPPORTS = {
    "real": (dist.support.real, [-3.0, -0.5, 0.5, 3.0]),
    "positive": (dist.support.positive, [0.001, 0.5, 3.0]),
    "nonnegative": (dist.support.nonnegative, [0.001, 0.5, 3.0]),
    "unit interval": (dist.support.unit_interval, [0.001, 0.5, 0.999]),
    "interval(-1, 1)": (dist.support.interval(-1.0, 1.0), [-0.999, 0.5, 0.999]),
    "interval(0.2, 0.8)": (dist.support.interval(0.2, 0.8), [0.201, 0.5, 0.799]),
    "greater than 1": (dist.support.greater_than(1.0), [1.001, 5.0]),
    "greater than -1": (dist.support.greater_than(-1.0), [-0.999, 5.0]),
    "less than 0": (dist.support.less_than(0.0), [-5.0, -0.001]),
}


@pytest.mark.parametrize("inner", SUPPORTS)
@pytest.mark.parametrize("outer", SUPPORTS)
def test_containment_is_that_of_the_numbers(outer: str, inner: str):
    wanted, _ = SUPPORTS[outer]
    given, numbers = SUPPORTS[inner]
    inside = wanted.contains(np.array(numbers))
    assert inside is not None
    assert contains(wanted, given) == bool(np.all(inside))
