"""What the simplifier folds, and what it must leave alone."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.program.ops import apply
from ppl.program.simplify import simplify, truth
from ppl.program.values import Value, constant, lift, reference

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "less": operator.lt,
    "less_equal": operator.le,
    "greater": operator.gt,
    "greater_equal": operator.ge,
    "equal": operator.eq,
    "not_equal": operator.ne,
}
X = reference("site", "x", (), (), "float")
FLAG = apply("less", X, 0.0)
YES, NO = lift(True), lift(False)


def one(value: Value) -> Value:
    return simplify({"root": value})["root"]


@pytest.mark.parametrize("name", COMPARISONS)
@pytest.mark.parametrize(("a", "b"), [(1.0, 2.0), (2.0, 1.0), (2.0, 2.0), (1, 2), (np.inf, np.inf), (-np.inf, 0.0)])
def test_a_comparison_of_numbers_is_a_constant(name: str, a: float, b: float):
    found = one(apply(name, a, b))
    assert truth(found) is COMPARISONS[name](a, b)
    assert (found.shape, found.dtype) == ((), "bool")


def test_where_of_a_known_condition_is_one_of_its_branches():
    assert one(apply("where", apply("less", 1.0, 2.0), X, 5.0)).op == "site"
    assert one(apply("where", apply("less", 2.0, 1.0), X, 5.0)).attr("value") == 5.0
    inner = apply("where", apply("equal", 1.0, 2.0), 1.0, 3.0)
    assert one(apply("multiply", inner, 2.0)).attr("value") == 6.0


def test_a_branch_of_another_shape_or_dtype_is_not_taken():
    vector = constant(np.array([1.0, 2.0]))
    assert one(apply("where", YES, 0.0, vector)).shape == (2,)
    assert one(apply("where", YES, 1, X)).dtype == "float"


@pytest.mark.parametrize(("op", "neutral"), [("logical_and", True), ("logical_or", False)])
def test_logic_with_a_constant(op: str, neutral: bool):
    for a, b in ((FLAG, lift(neutral)), (lift(neutral), FLAG)):
        assert one(apply(op, a, b)).op == "less"
    for a, b in ((FLAG, lift(not neutral)), (lift(not neutral), FLAG)):
        assert truth(one(apply(op, a, b))) is (not neutral)


def test_not_of_a_constant():
    assert truth(one(apply("logical_not", YES))) is False
    assert truth(one(apply("logical_not", NO))) is True
    assert one(apply("logical_not", FLAG)).op == "logical_not"


def test_a_comparison_with_a_site_stays():
    assert one(FLAG).op == "less"
    assert one(apply("where", FLAG, X, 0.0)).op == "where"


@ppl.model
def choices(x):
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    size = ops.asarray(2.0)
    known = ppl.deterministic("known", ops.where((size > 1.0) & (a < 0.5), a, 5.0))
    both = ppl.deterministic("both", ops.where(size > 3.0, 1.0, 0.5))
    number = ppl.deterministic("number", ops.where(a > 0.0, 1.0, 0.5))
    with ppl.plate("rows", x) as row:
        ppl.sample("y", dist.Normal(known + both + number + ops.where(row > 0.0, 3.0, 2.0), 1.0))


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("backend", ["numpyro", "pyro"])
def test_folded_programs_keep_their_values_and_their_precision(backend: str, precision: str):
    x = np.array([-1.0, 0.0, 2.0])
    compiled = ppl.compile(choices(x), backend, precision=precision)
    a = np.array([-1.0, 0.25, 2.0])
    draws = compiled.simulate((3,), values={"a": a})
    found = {n: compiled.backend.to_numpy(v) for n, v in draws.items()}
    np.testing.assert_array_equal(found["known"], np.where(a < 0.5, a, 5.0))
    np.testing.assert_array_equal(found["both"], [0.5, 0.5, 0.5])
    np.testing.assert_array_equal(found["number"], np.where(a > 0.0, 1.0, 0.5))
    assert {str(v.dtype) for n, v in found.items() if n != "a"} == {precision}


def test_compiling_does_not_change_what_the_program_says():
    """Names for values that compiling makes up stay out of the program: its text depends on nothing done before."""
    program = choices(np.zeros(3))
    before = (str(program), program.to_source("pyro"), program.to_source("numpyro"), program.to_json())
    for backend in ("pyro", "numpyro"):
        compiled = ppl.compile(program, backend)
        assert compiled.density[0].source
        compiled.simulate((2,))
    assert (str(program), program.to_source("pyro"), program.to_source("numpyro"), program.to_json()) == before
