"""Guides that do not fit their model, and programs that cannot be compiled as asked."""

# The mistakes are deliberate.
# pyright: reportArgumentType=false, reportCallIssue=false, reportUnusedExpression=false

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, nn
from ppl.errors import (
    DataError,
    GuideError,
    PlateError,
    ScopeError,
    ShapeError,
    SupportError,
    UnknownNameError,
    UnsupportedByBackend,
)
from ppl.inference import SVI, AutoNormal, ImportanceSampling
from tests.language.refusing import Table, assert_refused, normal, program, regression, traced, vae

X = np.zeros((5, 3))
refused = Table()


# --- guides -----------------------------------------------------------------------------------------------------------


def check(body: Any, size: int = 5) -> None:
    """Check a guide against the regression with data; `body` is given the rows."""

    @ppl.model
    def guide(x):
        body(x)

    observed = program().observe(y=np.zeros(5), n=np.zeros(5, int))
    observed.check(guide(np.zeros((size, 3))))


@refused.call(
    GuideError, "its input 'x' holds other values than input 'x' of the model", "one array", got="other values"
)
def _input_with_other_values_in_the_guide():
    @ppl.model
    def guide(x):
        w()
        s()

    program().observe(y=np.zeros(5), n=np.zeros(5, int)).check(guide(np.ones((5, 3))))


def w(shape: tuple[int, ...] = (3,)) -> None:
    normal("w", shape)


def s() -> None:
    ppl.sample("s", dist.LogNormal(0.0, 1.0))


def check_code(body: Any) -> None:
    """Check a guide against the autoencoder of four images; `body` is given these."""

    @ppl.model
    def guide(images):
        body(images)

    images = np.zeros((4, 1))
    vae(images).observe(x=np.zeros((4, 28), dtype=int)).check(guide(images))


def in_plate(name: str, rows: Any, family: Any) -> None:
    with ppl.plate(name, rows):
        ppl.sample("z", family)


def pair(target: Any, own: Any) -> None:
    """Check one family as the guide of another."""
    traced(lambda: ppl.sample("v", target)).check(traced(lambda: ppl.sample("v", own)))


@refused.call(GuideError, "no site for this latent", r"ppl\.sample\('s'", site="s", got=r"\['w'\]")
def _a_latent_without_a_guide_site():
    check(lambda x: w())


@refused.call(GuideError, "the model has no such site", "auxiliary=True", site="t", got="'t'")
def _a_guide_site_the_model_lacks():
    check(lambda x: (w(), s(), normal("t")))


@refused.call(GuideError, "the model observes this site", "Remove it", site="y")
def _a_guide_of_observed_data():
    check(lambda x: (w(), s(), normal("y")))


@refused.call(GuideError, "cannot be observed", "Observe the model's site", site="w")
def _an_observed_guide_site():
    @ppl.model
    def guide():
        w()
        s()

    program().observe(y=np.zeros(5), n=np.zeros(5, int)).check(guide().observe(w=np.zeros(3)))


@refused.call(
    SupportError, "impossible in the model", "LogNormal|biject_to", site="s", expected="HalfNormal", got="real"
)
def _a_guide_of_a_wider_support():
    check(lambda x: (w(), normal("s")))


@refused.call(
    ShapeError, r"event shape \(2,\), the model \(3,\)", "event shape", site="w", expected=r"as? .*\.py|\(3,\)"
)
def _a_guide_of_another_event_shape():
    check(lambda x: (w((2,)), s()))


@refused.call(PlateError, "disagree about its plates", "same plates", site="s", got=r"\['rows'\]", expected=r"\[\]")
def _a_guide_site_in_a_plate():
    def body(x):
        w()
        with ppl.plate("rows", x):
            s()

    check(body)


@refused.call(PlateError, "8 elements in the guide and 5 in the model", "same rows", plate="rows (8)")
def _a_guide_of_other_rows():
    def body(x):
        w()
        s()
        with ppl.plate("rows", x):
            ppl.deterministic("first", 1.0)

    check(body, size=8)


@refused.call(
    PlateError, "disagree about its plates", "same plates", site="z", got=r"\['pictures'\]", expected="images"
)
def _a_guide_site_in_another_plate_of_the_same_size():
    check_code(lambda images: in_plate("pictures", images, dist.Normal(0.0, 1.0).expand([2])))


@refused.call(PlateError, "disagree about its plates", "same plates", site="z", got=r"\[\]", expected="images")
def _an_event_axis_in_place_of_a_plate():
    check_code(lambda images: ppl.sample("z", dist.Normal(0.0, 1.0).expand([4, 2])))


@refused.call(
    PlateError, "in another order than the model", "as the model does", site="v", plate="b", got="'a' inside 'b'"
)
def _plates_nested_the_other_way():
    @ppl.model
    def model():
        with ppl.plate("a", size=2), ppl.plate("b", size=3):
            normal("v")

    @ppl.model
    def guide():
        with ppl.plate("b", size=3), ppl.plate("a", size=2):
            normal("v")

    model().check(guide())


@refused.call(PlateError, "3 elements in the guide and 4 in the model", "same rows", site="z")
def _a_guide_site_of_other_rows():
    check_code(lambda images: in_plate("images", np.zeros((3, 1)), dist.Normal(0.0, 1.0).expand([2])))


@refused.call(ShapeError, r"event shape \(\), the model \(2,\)", "event shape", site="z")
def _a_number_in_place_of_a_vector():
    check_code(lambda images: in_plate("images", images, dist.Normal(0.0, 1.0)))


@refused.call(
    SupportError, "impossible in the model", "Beta|biject_to", site="v", expected="unit_interval", got="positive"
)
def _a_guide_that_leaves_the_unit_interval():
    pair(dist.Beta(2.0, 2.0), dist.Gamma(2.0, 2.0))


@refused.call(SupportError, "impossible in the model", "Beta|biject_to", site="v", got=r"interval\(0.0, 2.0\)")
def _a_guide_of_a_longer_interval():
    pair(dist.Beta(2.0, 2.0), dist.Uniform(0.0, 2.0))


@refused.call(
    SupportError, "impossible in the model", "Dirichlet|biject_to", site="v", expected="simplex", got="unit_interval"
)
def _independent_numbers_for_a_simplex():
    pair(dist.Dirichlet(np.ones(3)), dist.Beta(np.ones(3), 1.0))


@refused.call(SupportError, "impossible in the model", "biject_to", site="v", expected="nonnegative", got="simplex")
def _a_simplex_for_independent_numbers():
    """Every simplex is positive, but its density is one on a surface: the two cannot be compared."""
    pair(dist.HalfNormal(np.ones(3)), dist.Dirichlet(np.ones(3)))


@refused.call(
    SupportError, "impossible in the model", "biject_to", site="v", expected="boolean", got="nonnegative_integer"
)
def _counts_for_a_coin():
    pair(dist.Bernoulli(0.5), dist.Poisson(1.0))


@refused.call(
    SupportError, "impossible in the model", "biject_to", site="v", expected="nonnegative,|nonnegative", got="integer"
)
def _counts_for_a_real_site():
    pair(dist.HalfNormal(1.0), dist.Poisson(1.0))


@refused.call(
    SupportError, "impossible in the model", "biject_to", site="v", expected=r"integer_interval\(0, 2\)", got="0, 3"
)
def _more_categories_than_the_model_has():
    pair(dist.Categorical(probs=np.ones(3) / 3), dist.Categorical(probs=np.ones(4) / 4))


@refused.call(
    SupportError, "impossible in the model", "biject_to", site="v", got=r"less_than\(0.0\)|interval\(-1.0, 0.0\)"
)
def _an_interval_on_the_wrong_side():
    pair(dist.HalfNormal(1.0), dist.Uniform(-1.0, 0.0))


@refused.call(
    SupportError, "impossible in the model", "biject_to", site="b", expected=r"interval\(0.0, 1.0 - a\)", got="unit"
)
def _a_guide_that_does_not_follow_a_moving_bound():
    @ppl.model
    def model():
        a = ppl.sample("a", dist.Uniform(0.0, 1.0))
        ppl.sample("b", dist.Uniform(0.0, 1.0 - a))

    @ppl.model
    def guide():
        ppl.sample("a", dist.Beta(2.0, 2.0))
        ppl.sample("b", dist.Beta(2.0, 2.0))

    model().check(guide())


@refused.call(GuideError, "no site for this latent", r"ppl\.sample\('w'", site="w", got=r"\['s'\]")
def _a_guide_whose_site_was_set_by_do():
    @ppl.model
    def guide():
        w()
        s()

    program().observe(y=np.zeros(5), n=np.zeros(5, int)).check(guide().do(w=0.0))


@refused.call(GuideError, "no site for this latent", r"ppl\.sample\('y'", site="y")
def _data_that_were_not_observed():
    @ppl.model
    def guide():
        w()
        s()

    program().observe(n=np.zeros(5, int)).check(guide())


@refused.call(ScopeError, "reads 'w', which is not declared in this model", "never pass from one model", site="s")
def _a_guide_that_reads_a_value_of_the_model():
    kept: list[Any] = []
    traced(lambda: kept.append(normal("w", (3,))))
    check(lambda x: (ppl.sample("s", dist.LogNormal(kept[0][0], 1.0)), w()))


@refused.call(GuideError, "'guide' is no guide", r"Call it with its inputs: guide=guide\(\.\.\.\)", got="Model")
def _a_guide_that_was_not_called():
    @ppl.model
    def guide():
        w()

    program().check(guide)


@refused.call(GuideError, "'guide' is no guide", r"put @ppl\.model above 'guide'", got="function")
def _a_guide_that_is_a_plain_function():
    def guide():
        w()

    SVI(guide=guide)


@refused.call(GuideError, "'AutoNormal' is no guide", r"Write AutoNormal\(\)", got="type", expected=r"AutoNormal\(\)")
def _a_family_of_guides_that_was_not_made():
    SVI(guide=AutoNormal)


@refused.call(GuideError, "'the prior' is no guide", r"@ppl\.model", got="str")
def _a_proposal_that_is_text():
    ImportanceSampling(guide="the prior")


@refused.call(GuideError, "cannot hold a factor", "Move the factor", site="f")
def _a_guide_with_a_factor():
    check(lambda x: (w(), s(), ppl.factor("f", 0.0)))


@refused.call(GuideError, r"parameter 'bias' has shape \(2,\)", "Rename", site="bias", expected=r"shape \(\)")
def _a_shared_parameter_of_another_shape():
    check(lambda x: (w(), s(), ppl.param("bias", np.zeros(2))))


@refused.call(GuideError, "'total' is a param in the guide", "Rename", site="total", expected="deterministic")
def _one_name_for_two_kinds():
    check(lambda x: (w(), s(), ppl.param("total", 0.0)))


@refused.call(GuideError, "network 'decoder' is Linear", "share one specification", site="decoder", expected="MLP")
def _a_shared_network_of_another_form():
    @ppl.model
    def guide(images):
        net = nn.Linear("decoder", 3, 4)
        with ppl.plate("images", images) as image:
            ppl.sample("z", dist.Normal(net(image)[:2], 1.0))

    images = np.zeros((2, 3))
    vae(images).observe(x=np.zeros((2, 28), dtype=int)).check(guide(images))


# --- compiling --------------------------------------------------------------------------------------------------------


@refused.call(UnknownNameError, "no backend 'stan'", "Known names: numpyro, pyro", got="'stan'")
def _source_for_an_unknown_backend():
    program().to_source("stan")


@refused.call(UnknownNameError, "no backend 'numpyr'", "Did you mean 'numpyro'")
def _an_unknown_backend():
    ppl.compile(program(), "numpyr")


@refused.call(UnknownNameError, "no precision 'float16'", "Did you mean 'float64'")
def _an_unknown_precision():
    ppl.compile(program(), precision="float16")


@refused.call(DataError, "input 'x' has no values", r"program\.bind\(x=array\)")
def _an_input_without_values():
    ppl.compile(regression(ppl.spec((5, 3)), ppl.spec(5, "int")), "pyro").simulate()


@refused.call(UnknownNameError, "no random site 'v'", "Did you mean|Known names")
def _simulating_with_an_unknown_site():
    ppl.compile(program(), "pyro").simulate(values={"v": 1.0})


@refused.call(ShapeError, "values have the wrong shape", "Draws come first", site="w", got=r"\(2,\)")
def _values_of_the_wrong_shape():
    ppl.compile(program(), "pyro").simulate(values={"w": np.zeros(2)})


@refused.call(DataError, "the value of latent 's' is missing", "Give every latent", site="s")
def _a_missing_value():
    ppl.compile(program(), "pyro").log_density({"w": np.zeros(3)})


@refused.call(UnknownNameError, "no parameter 'bais'", "Did you mean 'bias'")
def _an_unknown_parameter():
    ppl.compile(program(), "pyro").simulate(params={"bais": 1.0})


@refused.call(ShapeError, "'bias' is given with the wrong shape", "Plates come first", expected=r"\(\)", got=r"\(5,\)")
def _a_parameter_of_another_shape():
    ppl.compile(program(), "pyro").simulate(params={"bias": np.zeros(5)})


@pytest.mark.parametrize("name", refused.cases)
def test_refused(name: str):
    assert_refused(*refused.cases[name], __file__)


def test_a_module_for_one_backend_only_is_refused_by_the_other():
    @ppl.model
    def half(x):
        net = nn.module("net", torch=lambda: None, out_shape=2)
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(net(row), 1.0))

    with pytest.raises(UnsupportedByBackend, match=r"network 'net'.*no `jax` factory(.*\n)*.*use the other") as caught:
        half(X).to_source("numpyro")
    error = caught.value
    assert (error.backend, error.feature) == ("numpyro", "network 'net'")
    assert "jax=" in error.alternative
