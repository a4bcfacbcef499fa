"""What cannot be declared: each mistake is refused while the model is traced, with the line it stands on."""

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
    ModelError,
    NameClashError,
    PlateError,
    ScopeError,
    ShapeError,
)
from tests.language.refusing import Table, assert_refused, normal, traced

X = np.zeros((5, 3))
refused = Table()


# --- names -----------------------------------------------------------------------------------------------------------


@refused.model(NameClashError, "already taken", "name of its own", site="a", got=r"first declared at .*\.py:\d+")
def _two_sites_of_one_name():
    normal("a")
    normal("a")


@refused.model(NameClashError, "already taken", "name of its own", site="a")
def _a_parameter_named_as_a_site():
    normal("a")
    ppl.param("a", 0.0)


@refused.model(NameClashError, "already taken", "name of its own", site="net")
def _two_networks_of_one_name():
    nn.Linear("net", 2, 2)
    nn.MLP("net", [2, 2])


@refused.model(NameClashError, "plate and a statement share this name", "plural", site="rows")
def _a_site_named_as_its_plate():
    with ppl.plate("rows", size=3):
        normal("rows")


@refused.model(NameClashError, "plate and a statement share this name", "plural", site="rows")
def _a_plate_named_as_an_earlier_site():
    normal("rows")
    with ppl.plate("rows", size=3):
        normal("a")


@refused.call(NameClashError, "already the name of an input", r"\.observe", site="y")
def _a_site_named_as_an_input():
    @ppl.model
    def small(y):
        normal("y")

    small(X)


@refused.model(ModelError, "needs a name first", r'ppl\.sample\("name"')
def _a_distribution_in_place_of_the_name():
    ppl.sample(dist.Normal(0.0, 1.0), "a")


@refused.model(ModelError, "needs a name first", r'ppl\.deterministic\("name"')
def _an_empty_name():
    ppl.deterministic("", 1.0)


@refused.model(
    NameClashError, "'chain' is a dimension of all draws", "what it counts", site="a", expected="chain, draw"
)
def _an_axis_named_as_the_chains():
    ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]), dims=("chain",))


@refused.model(NameClashError, "'draw' is a dimension of all draws", "what it counts", got="'draw'")
def _a_plate_named_as_the_draws():
    with ppl.plate("draw", size=3):
        normal("a")


@refused.model(
    NameClashError, "the plate around it are both called 'rows'", "name of its own", site="a", plate="rows (3)"
)
def _an_axis_named_as_the_plate_around_it():
    with ppl.plate("rows", size=3):
        ppl.deterministic("a", normal("b", (2,)), dims=("rows",))


@refused.model(
    NameClashError, "an event axis and a statement share", "what it counts", site="b", got=r"'b', also at .*\.py"
)
def _an_axis_named_as_an_earlier_site():
    normal("b")
    ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]), dims=("b",))


@refused.model(
    NameClashError, "an event axis and a statement share", "what it counts", site="b", got=r"'b', also at .*\.py"
)
def _a_site_named_as_an_earlier_axis():
    ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]), dims=("b",))
    normal("b")


@refused.model(NameClashError, "an event axis and a statement share", "what it counts", site="a")
def _an_axis_named_as_its_site():
    ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]), dims=("a",))


@refused.model(
    ShapeError, "dimension 'feature' has 3 elements here and 2", "different names", site="b", got="3 elements"
)
def _one_axis_name_for_two_lengths():
    ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]), dims=("feature",))
    ppl.sample("b", dist.Normal(0.0, 1.0).expand([3]), dims=("feature",))


@refused.model(
    ShapeError, "dimension 'rows' has 3 elements here and 2", "different names", expected=r"2 elements, as at .*\.py"
)
def _a_plate_of_another_length_than_the_axis_of_its_name():
    ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]), dims=("rows",))
    with ppl.plate("rows", size=3):
        normal("b")


@refused.model(ModelError, "dims is a tuple of names", r"dims=\('feature',\)", site="a", got="'feature'")
def _dims_that_are_one_string():
    ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]), dims="feature")


@refused.model(ModelError, "dims is a tuple of names", r"dims=\(\"name\"", site="a", got=r"\(0,\)")
def _dims_that_are_numbers():
    ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]), dims=(0,))


# --- plates ----------------------------------------------------------------------------------------------------------


@refused.model(PlateError, "size 0", "has rows", plate="rows (0)", expected="positive")
def _a_plate_of_size_zero():
    with ppl.plate("rows", size=0):
        normal("a")


@refused.model(PlateError, "size 0", "has rows", plate="rows")
def _a_plate_over_no_rows():
    with ppl.plate("rows", np.zeros((0, 2))):
        normal("a")


@refused.model(PlateError, "size -3", "has rows", plate="rows")
def _a_plate_of_negative_size():
    with ppl.plate("rows", size=-3):
        normal("a")


@refused.model(PlateError, "integer size", "known when the model is declared", plate="rows", got="2.5")
def _a_plate_of_fractional_size():
    with ppl.plate("rows", size=2.5):
        normal("a")


@refused.model(PlateError, "integer size", "cannot be a random value", plate="rows")
def _a_plate_of_random_size():
    with ppl.plate("rows", size=ppl.sample("n", dist.Poisson(3.0))):
        normal("a")


@refused.model(PlateError, "size 4, but its input has 5 rows", "Leave `size` out", plate="rows", got="size=4")
def _a_plate_size_that_disagrees_with_its_input():
    with ppl.plate("rows", X, size=4):
        normal("a")


@refused.model(PlateError, "used again with another size", "different names", plate="rows (3)", got="4 elements")
def _a_plate_used_again_with_another_size():
    with ppl.plate("rows", size=3):
        normal("a")
    with ppl.plate("rows", size=4):
        normal("b")


@refused.model(PlateError, "open already", "second plate over the same rows", plate="rows")
def _a_plate_inside_itself():
    with ppl.plate("rows", size=3), ppl.plate("rows", size=3):
        normal("a")


@refused.model(PlateError, "nested in both orders", "one order everywhere", expected=r"as at .*\.py:\d+")
def _plates_nested_in_both_orders():
    with ppl.plate("a", size=2), ppl.plate("b", size=3):
        normal("x")
    with ppl.plate("b", size=3), ppl.plate("a", size=2):
        normal("y")


@refused.model(PlateError, "neither an input nor a size", "size=n", plate="rows")
def _a_plate_of_nothing():
    with ppl.plate("rows"):
        normal("a")


@refused.model(PlateError, "cannot map over a int", r"size=5", plate="rows", got="5")
def _a_plate_over_a_number():
    with ppl.plate("rows", 5):
        normal("a")


@refused.model(PlateError, "cannot map over a float64", "numbers as an array", plate="rows", got="2.5")
def _a_plate_over_a_numpy_scalar():
    with ppl.plate("rows", np.float64(2.5)):
        normal("a")


@refused.model(PlateError, "maps over a scalar", "one element", plate="rows", got="symbolic")
def _a_plate_over_an_array_without_axes():
    with ppl.plate("rows", np.zeros(())):
        normal("a")


@refused.model(PlateError, "maps over a scalar", "one element", plate="rows", got="<symbolic 'a'")
def _a_plate_over_a_scalar_value():
    with ppl.plate("rows", normal("a")):
        normal("b")


@refused.model(PlateError, "different lengths", "one length", plate="rows", got="5 rows.* 4 rows")
def _plate_inputs_of_different_lengths():
    with ppl.plate("rows", (X, np.zeros(4))):
        normal("a")


@refused.model(PlateError, "needs a name first", r'ppl\.plate\("name"', got="3")
def _a_plate_without_a_name():
    with ppl.plate(3, size=2):
        normal("a")


# --- the model itself ------------------------------------------------------------------------------------------------


@refused.call(ModelError, r"ppl\.sample\('a'\) was called outside a model", r"@ppl\.model")
def _sample_outside_a_model():
    normal("a")


@refused.call(ModelError, r"ppl\.plate\('rows'\) was called outside a model", r"@ppl\.model")
def _plate_outside_a_model():
    with ppl.plate("rows", size=3):
        pass


@refused.call(ModelError, "returned before it declared anything", "early `return`", got="no statement")
def _a_model_that_returns_early():
    @ppl.model
    def small(flag):
        if flag:
            return
        normal("a")

    small(True)


@refused.call(ModelError, "returned before it declared anything", "early `return`", got="no statement")
def _an_empty_model():
    traced(lambda: None)


@refused.call(ModelError, "contains `yield`", "without yield", got="generator")
def _a_generator():
    @ppl.model
    def small():
        yield normal("a")

    small()


@refused.call(ModelError, "contains `yield` or is `async`", "without yield or await", got="coroutine")
def _a_coroutine():
    @ppl.model
    async def small():
        normal("a")

    small()


@refused.call(ModelError, "missing a required argument: 'x'", r"ppl\.spec", expected=r"small\(x\)")
def _a_missing_input():
    @ppl.model
    def small(x):
        normal("a")

    small()


@refused.call(ModelError, "unexpected keyword argument 'latnet'", "Did you mean 'latent'")
def _a_misspelt_setting():
    @ppl.model
    def small(latent=2):
        normal("a")

    small(latnet=3)


@refused.call(DataError, "'x' is not numeric", "Encode categories", got="<U1")
def _an_input_of_text():
    @ppl.model
    def small(x):
        normal("a")

    small(np.array(["a", "b"]))


@refused.call(DataError, "it picks row 3 of a table of 2", "Number the groups from 0", site="y")
def _a_group_that_does_not_exist():
    @ppl.model
    def small(group):
        with ppl.plate("groups", size=2):
            a = normal("a")
        with ppl.plate("rows", group) as g:
            normal("y", loc=a[g])

    small(np.array([0, 1, 3]))


@refused.call(DataError, "it picks row -1", "Number the groups from 0", site="y")
def _a_group_of_minus_one():
    @ppl.model
    def small(group):
        with ppl.plate("groups", size=2):
            a = normal("a")
        with ppl.plate("rows", group) as g:
            normal("y", loc=a[g])

    small(np.array([0, 1, -1]))


# --- values of other models ------------------------------------------------------------------------------------------


@refused.call(
    ScopeError, "reads 'a', which is not declared in this model", "never pass from one model to another", site="b"
)
def _a_site_of_another_model():
    kept: list[Any] = []
    traced(lambda: kept.append(normal("a")))
    traced(lambda: normal("b", loc=kept[0]))


@refused.call(
    ScopeError, "reads 'later', which is not declared in this model at this point", "before this line", site="b"
)
def _a_site_that_comes_later():
    kept: list[Any] = []
    traced(lambda: kept.append(normal("later")))

    def body():
        normal("b", loc=kept[0])
        normal("later")

    traced(body)


@refused.call(ScopeError, "reads an input 'x' of another model", "input of its own", site="b")
def _an_input_of_another_model():
    kept: list[Any] = []

    @ppl.model
    def one(x):
        kept.append(x)
        normal("a")

    one(X)
    traced(lambda: normal("b", loc=kept[0]))


@refused.call(
    ScopeError, "from plate 'rows', which this model does not have", "open the plate", site="b", plate="rows (3)"
)
def _an_element_of_another_models_plate():
    kept: list[Any] = []

    def body():
        with ppl.plate("rows", size=3) as i:
            kept.append(i)
            normal("a")

    traced(body)
    traced(lambda: normal("b", loc=kept[0] * 1.0))


@refused.call(ScopeError, "network 'net' is not declared in this model", "equal names")
def _a_network_of_another_model():
    kept: list[Any] = []
    traced(lambda: kept.append(nn.Linear("net", 1, 1)))
    traced(lambda: kept[0](np.ones(1)))


@pytest.mark.parametrize("name", refused.cases)
def test_refused(name: str):
    assert_refused(*refused.cases[name], __file__)


def test_the_table_is_long():
    assert len(refused.cases) > 30
