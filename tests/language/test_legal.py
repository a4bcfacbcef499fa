"""What can be declared: one small program for each thing the language allows; both backends must agree on each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, nn, ops
from ppl.program.program import Program

NUMBERS = np.random.default_rng(3)
X = NUMBERS.normal(size=(4, 3))
TABLE = NUMBERS.normal(size=(4, 2))
GROUP = np.array([0, 2, 1, 0])
LEGAL: dict[str, Callable[[], Program]] = {}


def legal(*inputs: Any, then: Callable[[Program], Program] = lambda p: p) -> Callable[[Callable[..., None]], None]:
    """Enter a model with the inputs it is called with, and what is done to the program."""

    def enter(body: Callable[..., None]) -> None:
        LEGAL[body.__name__.strip("_").replace("_", " ")] = lambda: then(ppl.model(body)(*inputs))

    return enter


def normal(name: str, loc: Any = 0.0, scale: Any = 1.0) -> Any:
    return ppl.sample(name, dist.Normal(loc, scale))


@legal()
def _a_single_site():
    normal("a")


@legal(X)
def _a_plate_over_an_array(x):
    with ppl.plate("rows", x) as row:
        normal("y", row @ np.array([1.0, 2.0, 3.0]))


@legal(X, GROUP)
def _a_plate_over_a_tuple(x, group):
    with ppl.plate("rows", (x, group)) as (row, g):
        normal("y", row[g])


@legal({"x": X, "g": GROUP})
def _a_plate_over_a_dict(data):
    with ppl.plate("rows", data) as row:
        normal("y", row["x"][row["g"]])


@legal()
def _the_index_of_a_plate():
    with ppl.plate("times", size=4) as t:
        normal("y", 0.5 * t)


@legal(X, TABLE)
def _nested_plates_over_one_array(x, table):
    with ppl.plate("rows", (x, table)) as (row, cells):
        a = normal("a", row[0])
        with ppl.plate("columns", cells) as cell:
            normal("y", a * cell)


@legal()
def _crossing_plates():
    with ppl.plate("students", size=4):
        ability = normal("ability")
    with ppl.plate("items", size=3):
        difficulty = normal("difficulty")
    with ppl.plate("students", ability) as a, ppl.plate("items", difficulty) as d:
        ppl.sample("answer", dist.Bernoulli(logits=a - d))


@legal()
def _a_value_leaves_its_plate():
    with ppl.plate("rows", size=4):
        a = normal("a")
    normal("total", ops.sum(a))
    normal("first", a[0] - a[-1])


@legal(GROUP)
def _a_group_index_picks_from_a_plate(group):
    with ppl.plate("groups", size=3):
        a = ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]))
    with ppl.plate("rows", group) as g:
        normal("y", a[g])


@legal(X)
def _a_discrete_site_picks_from_a_plate(x):
    weights = ppl.sample("weights", dist.Dirichlet(ops.ones(2)))
    with ppl.plate("clusters", size=2):
        centre = ppl.sample("centre", dist.Normal(0.0, 5.0).expand([3]))
    with ppl.plate("rows", x):
        c = ppl.sample("c", dist.Categorical(probs=weights))
        normal("y", centre[c])


@legal(X)
def _a_plate_over_a_sampled_array(x):
    f = ppl.sample("f", dist.MultivariateNormal(np.zeros(4), covariance_matrix=x @ x.T + 4.0 * ops.eye(4)))
    with ppl.plate("rows", (x, f)) as (row, value):
        normal("y", value + row[0])


@legal(X)
def _python_numbers_and_numpy_arrays_among_values(x):
    with ppl.plate("rows", x) as row:
        normal("y", np.array([1.0, 2.0, 3.0]) * row + 2 - row / 3 + np.float64(1.5), np.ones(3) + 1)


@legal(X)
def _python_loops_and_sums_over_a_value(x):
    with ppl.plate("rows", x) as row:
        normal("y", sum(v**2 for v in row) / len(row))


@legal()
def _a_python_loop_over_sites():
    value = normal("x0")
    for i in range(1, 4):
        value = normal(f"x{i}", 0.5 * value)


@legal(3)
def _a_python_condition_on_a_setting(size):
    normal("a") if size > 2 else normal("b")


@legal()
def _a_sub_model():
    def location(name: str) -> Any:
        return normal(name, normal(f"{name}_mean"))

    location("a")
    location("b")


@legal()
def _support_that_depends_on_a_site():
    a = ppl.sample("a", dist.Uniform(0.0, 1.0))
    ppl.sample("b", dist.Uniform(0.0, 1.0 - a))


@legal(X)
def _choices_by_where(x):
    with ppl.plate("rows", x) as row:
        a = normal("a", row[0])
        normal("y", ops.where(a > 0, a, -2.0 * a), ops.where((a > 1) | (row[1] < 0), 0.5, 2.0))


@legal(X)
def _masked_elements(x):
    with ppl.plate("rows", x) as row:
        ppl.sample("y", dist.Normal(row, 1.0).mask(row > 0))


@legal()
def _parameters_alone_and_in_plates():
    scale = ppl.param("scale", [1.0, 2.0], support=dist.support.positive)
    with ppl.plate("rows", size=3):
        loc = ppl.param("loc", [0.5, -0.5])
        normal("y", loc, scale)


@legal(X)
def _factors_and_deterministic_values(x):
    a = normal("a")
    with ppl.plate("rows", x) as row:
        b = ppl.deterministic("b", a * row)
        ppl.factor("f", -ops.sum(b**2))
        ppl.factor("constant", 0.25)
    ppl.factor("g", -ops.sum(b))


@legal(X, then=lambda p: p.do(a=np.array([1.0, 2.0, 3.0, 4.0])).observe(y=np.zeros(4)))
def _intervention_on_each_element(x):
    with ppl.plate("rows", x) as row:
        a = normal("a", row[0])
        normal("y", a * row[1])


@legal(X, then=lambda p: p.do(b=0.5))
def _intervention_on_a_computed_value(x):
    a = normal("a")
    b = ppl.deterministic("b", 3.0 * a)
    with ppl.plate("rows", x) as row:
        normal("y", b + row[0])


@legal(X)
def _a_network_with_random_weights(x):
    net = nn.MLP("net", [3, 2, 1], "tanh", prior=dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        normal("y", net(row)[0])


@legal(X)
def _names_that_are_no_identifiers(x):
    a = normal("a b")
    c = normal('say "a_b" \\ \u00b5')
    with ppl.plate("two words", x) as row:
        normal("lambda", a * c + row[0])
        normal("model", row[1])
        normal("dist", row[2])


@legal(X)
def _names_that_look_alike_in_python(x):
    normal("a.b", normal("a b", normal("a_b")))
    normal("\u00b5", normal("\u03bc"))


@legal(X.astype(np.float32), GROUP.astype(np.uint8), np.array([True, False, True, True]))
def _inputs_of_every_dtype(x, group, flag):
    with ppl.plate("rows", (x, group, flag)) as (row, g, f):
        normal("y", row[g] + f, ops.where(f, 1.0, 2.0))


@legal(X)
def _integer_arithmetic_stays_integer(x):
    with ppl.plate("rows", x) as row:
        n = ppl.sample("n", dist.Binomial(4, 0.5))
        b = ppl.sample("b", dist.Bernoulli(0.5))
        normal("y", ops.arange(12)[2 * n + b] + row[n % 3])
        ppl.sample("m", dist.Binomial(n + 1, probs=0.25))


@pytest.mark.parametrize("name", LEGAL)
def test_both_backends_and_both_libraries_agree(name: str):
    table = ppl.agreement(LEGAL[name](), precision="float64")
    assert table.difference < 1e-9, str(table)


@pytest.mark.parametrize("name", LEGAL)
def test_it_prints_compares_and_comes_back_from_a_file(name: str):
    program = LEGAL[name]()
    again = ppl.Program.from_json(program.to_json(), program.data)
    assert again == program
    assert str(again) == str(program)
    for backend in ("numpyro", "pyro"):
        assert again.to_source(backend) == program.to_source(backend)
        compile(program.to_source(backend), "<source>", "exec")


@pytest.mark.parametrize("name", LEGAL)
def test_draws_have_plates_in_front(name: str):
    program = LEGAL[name]()
    draws = ppl.compile(program, "pyro").simulate((2,))
    for site, statement in {**program.sites, **program.deterministics}.items():
        wanted = (2, *(p.size for p in statement.plates), *statement.value.shape)
        assert tuple(draws[site].shape) == wanted
        assert len(program.dims(site)) == len(wanted) - 1


def test_the_table_is_long():
    assert len(LEGAL) >= 25
