"""What cannot be computed with, sampled or parametrised: refused while the model is traced."""

# The mistakes are deliberate.
# pyright: reportArgumentType=false, reportCallIssue=false, reportUnusedExpression=false

from __future__ import annotations

import math

import numpy as np
import pytest

import ppl
from ppl import dist, nn, ops
from ppl.errors import (
    DtypeError,
    ModelError,
    PlateError,
    ShapeError,
    SupportError,
    SymbolicValueError,
    UnknownNameError,
)
from tests.language.refusing import Table, assert_refused, normal

X = np.zeros((5, 3))
refused = Table()


# --- symbolic values -------------------------------------------------------------------------------------------------


@refused.model(SymbolicValueError, "truth value", r"ops\.where", got="`a > 0.0`")
def _python_if():
    a = normal("a")
    normal("b", loc=1.0 if a > 0 else -1.0)


@refused.model(SymbolicValueError, "truth value", r"ops\.where.*&")
def _python_and():
    a = normal("a")
    ops.where(a > 0 and a < 1, a, 0.0)


@refused.model(SymbolicValueError, "chained", r"&, \|, ~")
def _a_chained_comparison():
    ops.where(0 < normal("a") < 1, 1.0, 0.0)


@refused.model(SymbolicValueError, "truth value", r"ops\.where")
def _python_max_of_a_vector():
    max(normal("a", (3,)))


@refused.model(SymbolicValueError, "concrete float", r"ppl\.ops", got="'a'")
def _a_function_of_math():
    a = normal("a")
    math.exp(a)


@refused.model(SymbolicValueError, "concrete index", r"ops\.asarray")
def _a_list_indexed_by_a_value():
    [1.0, 2.0][ppl.sample("c", dist.Categorical(probs=ops.ones(2) / 2))]


@refused.model(SymbolicValueError, "concrete array", r"ops\.asarray\(table\)\[index\]")
def _a_numpy_array_indexed_by_a_value():
    np.ones(2)[ppl.sample("c", dist.Categorical(probs=ops.ones(2) / 2))]


@refused.model(SymbolicValueError, "concrete array", r"ppl\.ops|ops\.asarray", got="'a'")
def _a_numpy_array_of_a_value():
    a = normal("a")
    np.asarray(a)


@refused.model(SymbolicValueError, r"numpy\.exp was called", r"ops\.exp", got="'a'")
def _a_numpy_function():
    a = normal("a")
    np.exp(a)


@refused.model(SymbolicValueError, r"numpy\.sum was called", r"ops\.sum")
def _a_numpy_reduction():
    np.sum(normal("a", (3,)))


@refused.model(SymbolicValueError, r"numpy\.stack was called", r"ops\.stack")
def _a_numpy_function_of_a_list():
    np.stack([normal("a"), normal("b")])


@refused.model(SymbolicValueError, "changed in place", r"ops\.where")
def _assignment_to_an_element():
    a = normal("a", (3,))
    a[0] = 1.0


@refused.model(SymbolicValueError, "not a number", "numpy arrays", got="str")
def _a_string_among_numbers():
    normal("a") + "b"


# --- shapes and indices ----------------------------------------------------------------------------------------------


@refused.model(ShapeError, r"add: shapes \(3,\) and \(2,\) do not broadcast", "never contains the plate's size")
def _operands_that_do_not_broadcast():
    normal("a", (3,)) + np.ones(2)


@refused.call(ShapeError, "do not broadcast", "never contains the plate's size", got="over rows")
def _a_vector_as_long_as_the_plate():
    @ppl.model
    def small(x):
        offset = normal("offset", (5,))
        with ppl.plate("rows", x) as row:
            normal("y", loc=row + offset)

    small(X)


@refused.model(ShapeError, "contracts 3 with 2", "one element")
def _a_matrix_product_that_does_not_fit():
    normal("a", (3,)) @ normal("b", (2,))


@refused.model(ShapeError, "index 3 is out of range", "one element", expected="-3 to 2")
def _an_index_out_of_range():
    normal("a", (3,))[3]


@refused.model(ShapeError, "index 5 is out of range", "one element")
def _an_array_index_out_of_range():
    normal("a", (3,))[[0, 5]]


@refused.model(ShapeError, "2 indices for a value with 1 event axes", "plate's axis in front", expected="at most 1")
def _too_many_indices():
    normal("a", (3,))[0, 1]


@refused.model(ShapeError, "must be an integer", "one element")
def _a_real_index():
    normal("a", (3,))[normal("b")]


@refused.model(ShapeError, "boolean mask", r"ops\.where.*\.mask\(mask\)", expected="integers")
def _a_boolean_mask():
    a = normal("a", (3,))
    a[a > 0]


@refused.model(ShapeError, "cannot index", "variables", got="'a'")
def _a_string_index():
    normal("a", (3,))["first"]


@refused.model(ShapeError, "one number for each element", r"ops\.sum", site="f", got=r"\(3,\)")
def _a_factor_of_three_numbers():
    ppl.factor("f", normal("a", (3,)))


@refused.model(ShapeError, "2 names for 1 event axes", "once", site="a")
def _more_dims_than_axes():
    ppl.sample("a", dist.Normal(np.zeros(3), 1.0), dims=("x", "y"))


@refused.model(ShapeError, "1 names for 2 event axes", "once", site="d")
def _fewer_dims_than_axes():
    ppl.deterministic("d", normal("a", (2, 3)), dims=("x",))


# --- distributions ---------------------------------------------------------------------------------------------------


@refused.model(UnknownNameError, "no argument 'scal'", "Did you mean 'scale'", expected=r"Normal\(loc, scale\)")
def _a_misspelt_argument():
    ppl.sample("a", dist.Normal(0.0, scal=1.0))


@refused.model(UnknownNameError, "no argument 'lambda_'", "Did you mean|Known names", expected=r"Poisson\(rate")
def _an_argument_of_another_library():
    ppl.sample("a", dist.Poisson(lambda_=1.0))


@refused.model(UnknownNameError, "too many positional arguments", "once", got=r"Normal\(0.0, 1.0, 2.0\)")
def _too_many_arguments():
    ppl.sample("a", dist.Normal(0.0, 1.0, 2.0))


@refused.model(ModelError, "parameter 'loc' is None", "Give it a number", got=r"Normal\(None, 1.0\)")
def _a_parameter_that_is_none():
    ppl.sample("a", dist.Normal(None, 1.0))


@refused.model(SupportError, "'loc' is outside", "computed from", got="nan")
def _a_parameter_that_is_nan():
    ppl.sample("a", dist.Normal(np.nan, 1.0))


@refused.model(SupportError, "'scale' is outside", "order of the arguments", expected="scale in positive", got="-1")
def _a_negative_scale():
    ppl.sample("a", dist.Normal(0.0, -1.0))


@refused.model(ShapeError, "do not broadcast", "describe one element", got=r"loc \(3,\), scale \(2,\)")
def _parameters_that_do_not_broadcast():
    ppl.sample("a", dist.Normal(np.zeros(3), np.ones(2)))


@refused.model(ShapeError, r"expand\(\[4\]\) does not fit", "whole shape", expected=r"ends in \(3,\)")
def _an_expansion_that_does_not_fit():
    ppl.sample("a", dist.Normal(np.zeros(3), 1.0).expand([4]))


@refused.model(ModelError, "needs a distribution", r"ppl\.deterministic", site="b", got="symbolic 'a'")
def _a_value_in_place_of_a_distribution():
    a = normal("a")
    ppl.sample("b", a)


@refused.model(ModelError, "needs a distribution", r"ppl\.deterministic", site="a", got="1.0")
def _a_number_in_place_of_a_distribution():
    ppl.sample("a", 1.0)


@refused.model(ModelError, "needs a distribution", r"ppl\.dist", site="a", got="Normal")
def _a_family_that_was_not_called():
    ppl.sample("a", dist.Normal)


# --- parameters ------------------------------------------------------------------------------------------------------


@refused.model(SupportError, "start lies outside", "inside", site="p", expected="positive", got="-1")
def _a_parameter_that_starts_outside():
    ppl.param("p", -1.0, support=dist.support.positive)


@refused.model(SupportError, "start lies outside", "inside", site="p", got="nan")
def _a_parameter_that_starts_at_nan():
    ppl.param("p", np.nan)


@refused.model(DtypeError, "a parameter is real", "numbers", site="p")
def _a_parameter_of_text():
    ppl.param("p", "one")


@refused.model(ModelError, "not from a symbolic value", "where it is used", site="p")
def _a_parameter_that_starts_at_a_value():
    ppl.param("p", normal("a"))


@refused.model(SupportError, "cannot be kept there", "unit interval", site="p", got=r"interval\(0.0, a\)")
def _a_parameter_with_moving_bounds():
    a = normal("a")
    ppl.param("p", 0.5, support=dist.support.interval(0.0, a))


@refused.model(SupportError, "cannot be kept there", "unit interval", site="p", got="nonnegative_integer")
def _a_discrete_parameter():
    ppl.param("p", 1.0, support=dist.support.nonnegative_integer)


@refused.model(SupportError, "cannot be kept there", "unit interval", site="p", got="positive")
def _a_support_given_by_name():
    ppl.param("p", 1.0, support="positive")


# --- networks --------------------------------------------------------------------------------------------------------


@refused.model(ShapeError, r"network 'net' does not fit.*4 features.*\(3,\)", "one element", expected=r"MLP\(\[4, 2\]")
def _a_network_input_of_the_wrong_size():
    nn.MLP("net", [4, 2])(normal("a", (3,)))


@refused.model(ShapeError, "network 'net' does not fit", "one element", expected="Sequential")
def _layers_that_do_not_fit_each_other():
    nn.Sequential("net", [nn.Linear("one", 3, 4), nn.Linear("two", 5, 2)])(normal("a", (3,)))


@refused.model(ShapeError, "kernel is larger than the image", "reshape the element")
def _a_kernel_larger_than_the_image():
    nn.Conv2d("net", 1, 2, 5)(normal("a", (1, 3, 3)))


@refused.model(UnknownNameError, "no activation 'rellu'", "Did you mean 'relu'")
def _an_unknown_activation():
    nn.MLP("net", [2, 2, 2], "rellu")


@refused.model(PlateError, "inside plate 'rows'", "before the plate", plate="rows (3)")
def _random_weights_inside_a_plate():
    with ppl.plate("rows", size=3):
        nn.MLP("net", [2, 2], prior=dist.Normal(0.0, 1.0))


@refused.model(ModelError, "`prior` is the distribution of one weight", "repeated for each weight", got="1.0")
def _a_prior_that_is_a_number():
    nn.MLP("net", [2, 2], prior=1.0)


@refused.model(ShapeError, r"sizes\[1\] must be a positive integer", "Sizes are known", got="0")
def _a_layer_of_no_units():
    nn.MLP("net", [2, 0])


@refused.model(ModelError, "factory for at least one backend", "function that makes the module")
def _a_module_without_factories():
    nn.module("net", out_shape=2)


@pytest.mark.parametrize("name", refused.cases)
def test_refused(name: str):
    assert_refused(*refused.cases[name], __file__)


def test_the_table_is_long():
    assert len(refused.cases) > 30
