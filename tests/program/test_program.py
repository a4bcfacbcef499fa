"""What one can ask of a program, and that nothing changes it."""

import dataclasses

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.errors import UnknownNameError
from ppl.program.values import Frozen, Value
from tests.program.examples import GROUP, IMAGES, X, bound_everything, bound_regression, everything, regression, vae


def test_statements_by_kind_and_in_order():
    program = everything(X, GROUP)
    assert list(program.sites) == [
        "random.0.weight", "random.0.bias", "weights", "bound", "code", "y", "count",
    ]  # fmt: skip
    assert list(program.latents) == list(program.sites)
    assert not program.observed
    assert list(program.deterministics) == ["centre"]
    assert list(program.factors) == ["pull"]
    assert list(program.params) == ["scale", "offset"]
    assert list(program.networks) == ["net", "random"]
    assert [p.name for p in program.plates] == ["rows", "times", "more"]
    assert program.plate("times").size == 4


def test_observing_and_intervening_move_statements_between_kinds():
    program = bound_everything()
    assert list(program.observed) == ["y"]
    assert "y" not in program.latents
    assert list(program.deterministics) == ["weights", "centre"]
    assert program.deterministics["weights"].intervened
    assert not program.deterministics["centre"].intervened


def test_parents_are_read_directly_and_ancestors_indirectly():
    program = bound_regression()
    assert program.parents("y") == ("intercept", "group", "X", "slope", "noise")
    assert program.parents("slope") == ()
    assert program.children("intercept") == ("y",)
    assert program.children("X") == ("y",)

    @ppl.model
    def chain():
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        b = ppl.deterministic("b", a + 1.0)
        ppl.sample("c", dist.Normal(b, 1.0))
        ppl.sample("d", dist.Normal(a, 1.0))

    traced = chain()
    assert traced.ancestors("c") == {"a", "b"}
    assert traced.ancestors("a") == frozenset()
    assert traced.descendants("a") == {"b", "c", "d"}
    assert traced.descendants("d") == frozenset()
    # Cut from its parents, a site no longer descends from them.
    assert traced.do(b=0.0).descendants("a") == {"d"}


def test_dims_are_plates_then_event_axes():
    program = everything(X, GROUP)
    assert program.dims("weights") == ("part",)
    assert program.dims("y") == ("rows", "times")
    assert program.dims("count") == ("rows", "more", "count_dim_0")
    assert program.dims("centre") == ("rows", "unit")
    assert program.dims("offset") == ("rows",)
    assert program.dims("scale") == ("scale_dim_0",)


@pytest.mark.parametrize("query", ["parents", "statement", "dims"])
def test_an_unknown_name_suggests_the_nearest(query: str):
    with pytest.raises(UnknownNameError, match=r"no site 'slop'(.*\n)*.*Did you mean 'slope'\?"):
        getattr(bound_regression(), query)("slop")


def test_an_unknown_plate_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no plate 'row'(.*\n)*.*Did you mean 'rows'\?"):
        bound_regression().plate("row")


# --- equality ---------------------------------------------------------------------------------------------------------


def test_equal_declarations_are_equal_whatever_their_data():
    a, b = regression(X, GROUP), regression(X + 1.0, GROUP)
    assert a == b
    assert hash(a) == hash(b)
    assert a is not b


def test_different_declarations_differ():
    program = regression(X, GROUP)
    assert program != program.observe(y=np.zeros(7))
    assert program != program.do(noise=1.0)
    assert program.do(noise=1.0) != program.do(noise=2.0)
    assert program != regression(X[:3], GROUP[:3])
    assert program != regression(X, GROUP, groups=4)
    assert program != vae(IMAGES.astype(float))
    assert program != "regression"


def test_the_place_in_the_file_does_not_count():
    def declare(value):
        @ppl.model
        def same():
            ppl.sample("x", dist.Normal(value, 1.0))

        return same()

    @ppl.model
    def same():

        ppl.sample("x", dist.Normal(0.0, 1.0))

    assert declare(0.0) == same()
    assert declare(0.5) != same()
    # One and True are the same key for Python; here they are different constants.
    assert declare(1) == declare(1.0)


def test_sharing_a_value_or_writing_it_twice_is_the_same_declaration():
    @ppl.model
    def one():  # pyright: ignore[reportRedeclaration]
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        e = ops.exp(x)
        ppl.sample("y", dist.Normal(e, e))

    shared = one()

    @ppl.model
    def one():
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(ops.exp(x), ops.exp(x)))

    assert shared == one()


# --- nothing changes a program -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["name", "inputs", "settings", "plates", "statements", "data"])
def test_a_program_is_frozen(name: str):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(bound_regression(), name, None)


def test_statements_plates_and_values_are_frozen():
    program = bound_regression()
    site = program.sites["y"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        site.observed = False  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(dataclasses.FrozenInstanceError):
        program.plates[0].plate.size = 3  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(dataclasses.FrozenInstanceError):
        site.dist.params["loc"].shape = (2,)  # pyright: ignore[reportAttributeAccessIssue]


def test_transforms_leave_the_original_alone():
    program = regression(X, GROUP)
    before = program.to_json()
    data = dict(program.data)
    program.observe(y=np.zeros(7))
    program.do(noise=2.0, intercept=np.zeros(3))
    program.bind(X=X[:3], group=GROUP[:3])
    program.to_source("numpyro")
    assert program.to_json() == before
    assert dict(program.data) == data


def test_a_value_is_true_to_its_own_array():
    table = np.arange(3.0)

    @ppl.model
    def constants():
        ppl.sample("x", dist.Normal(table, 1.0))

    program = constants()
    table[:] = 99.0
    assert str(program.sites["x"].dist) == "Normal([0.0, 1.0, 2.0], 1.0)"
    with pytest.raises(ValueError, match="read-only"):
        constant_of(program.sites["x"].dist.params["loc"]).array[0] = 5.0


def constant_of(value: Value) -> Frozen:
    return value.attr("value")
