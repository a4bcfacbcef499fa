"""Conditioning, intervention and rebinding are rewrites of the program; their meaning is checked on both backends."""

# pyright: reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.transforms.bind import bind

BACKENDS = ("numpyro", "pyro")
X = np.array([[1.0, 2.0], [0.5, -1.0], [0.0, 3.0]])


@ppl.model
def chain(x):
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    b = ppl.deterministic("b", 2.0 * a)
    with ppl.plate("rows", x) as row:
        c = ppl.sample("c", dist.Normal(b + row[0], 1.0))
        ppl.sample("d", dist.Normal(c * row[1], 1.0))


def log_normal(x: np.ndarray, loc: np.ndarray) -> np.ndarray:
    return -0.5 * (x - loc) ** 2 - 0.5 * np.log(2.0 * np.pi)


@pytest.mark.parametrize("backend", BACKENDS)
def test_observe_conditions_and_leaves_the_original_alone(backend: str) -> None:
    program = chain(X)
    d = np.array([0.1, 0.2, 0.3])
    observed = program.observe(d=d)
    assert not program.observed and set(observed.observed) == {"d"} and set(observed.latents) == {"a", "c"}
    c = np.array([0.4, -0.2, 1.0])
    terms = ppl.compile(observed, backend, precision="float64").log_density({"a": 0.3, "c": c}, by_site=True)
    np.testing.assert_allclose(np.asarray(terms["d"]), log_normal(d, c * X[:, 1]), rtol=1e-12)
    np.testing.assert_allclose(np.asarray(terms["c"]), log_normal(c, 0.6 + X[:, 0]), rtol=1e-12)


@ppl.model
def vectors(rows: int = 3):
    with ppl.plate("rows", size=rows):
        ppl.sample("y", dist.MultivariateNormal([0.3, -1.0], [[1.0, 0.5], [0.5, 2.0]]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_known_numbers_of_a_vector_with_a_gap_stay(backend: str) -> None:
    y = np.array([[0.1, 0.2], [3.0, np.nan], [np.nan, -2.0]])
    terms = ppl.compile(vectors().observe(y=y), backend, precision="float64").log_density({}, by_site=True)
    # The first number of the second row, and the second one of the third.
    loc, variance = np.array([0.3, -1.0]), np.array([1.0, 2.0])
    alone = log_normal((np.array([3.0, -2.0]) - loc) / np.sqrt(variance), np.zeros(2)) - 0.5 * np.log(variance)
    np.testing.assert_allclose(np.asarray(terms["y"])[1:], alone, rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("values", "loc"),
    [
        ({"a": 1.5}, 3.0 + X[:, 0]),
        ({"b": -1.0}, -1.0 + X[:, 0]),
        ({"a": 1.5, "b": 0.5}, 0.5 + X[:, 0]),
    ],
)
def test_do_cuts_a_site_from_its_parents(values: dict, loc: np.ndarray, backend: str) -> None:
    """Deterministic sites included: NumPyro's own `do` would pass them by."""
    program = chain(X).do(**values)
    assert not set(values) & set(program.sites)
    assert all(program.parents(n) == () for n in values)
    c = np.array([0.4, -0.2, 1.0])
    latents = {n: v for n, v in {"a": 0.3, "c": c, "d": c}.items() if n in program.latents}
    terms = ppl.compile(program, backend, precision="float64").log_density(latents, by_site=True)
    np.testing.assert_allclose(np.asarray(terms["c"]), log_normal(c, loc), rtol=1e-12)
    assert ppl.agreement(program, precision="float64").difference < 1e-9


@pytest.mark.parametrize("backend", BACKENDS)
def test_do_takes_one_value_for_each_row(backend: str) -> None:
    program = chain(X).do(c=np.array([1.0, 2.0, 3.0]))
    d = np.zeros(3)
    terms = ppl.compile(program, backend, precision="float64").log_density({"a": 0.0, "d": d}, by_site=True)
    np.testing.assert_allclose(np.asarray(terms["d"]), log_normal(d, np.array([1.0, 2.0, 3.0]) * X[:, 1]), rtol=1e-12)
    assert ":= do" in str(program)


@pytest.mark.parametrize("backend", BACKENDS)
def test_bind_gives_plates_their_new_size(backend: str) -> None:
    old = chain(X).observe(d=np.zeros(3))
    new = old.bind(x=np.ones((5, 2)))
    assert old.plate("rows").size == 3 and new.plate("rows").size == 5
    # The data belonged to the old rows.
    assert not new.observed
    draws = ppl.compile(new, backend).simulate((4,))
    assert tuple(draws["d"].shape) == (4, 5)


def test_bind_drops_the_data_of_rows_that_are_no_longer_there() -> None:
    """By what the rows are, not by how many there happen to be."""
    old = chain(X).observe(d=np.zeros(3), a=0.5)
    assert set(old.bind(x=X + 1.0).observed) == {"a"}
    assert "d" not in old.bind(x=X + 1.0).data
    assert set(old.bind(x=X.copy()).observed) == {"a", "d"}
    assert set(bind(old, {"x": X + 1.0}, same_rows=True).observed) == {"a", "d"}
    assert set(bind(old, {"x": np.ones((5, 2))}, same_rows=True).observed) == {"a"}


def test_bind_gives_a_spec_its_values() -> None:
    old = chain(ppl.spec((3, 2))).observe(d=np.ones(3))
    new = old.bind(x=X)
    assert new == chain(X).observe(d=np.ones(3))
    np.testing.assert_array_equal(new.data["d"], np.ones(3))


def test_bind_keeps_data_outside_the_plates_that_change() -> None:
    @ppl.model
    def two(x, table):
        scale = ppl.sample("scale", dist.HalfNormal(ops.sum(table)))
        with ppl.plate("rows", x):
            ppl.sample("y", dist.Normal(0.0, scale))
        ppl.sample("curve", dist.Normal(x, 1.0))

    old = two(np.zeros(3), np.ones(2)).observe(y=np.zeros(3), curve=np.zeros(3))
    # A table is no row of anything: what was observed was observed.
    assert set(old.bind(table=np.full(2, 3.0)).observed) == {"y", "curve"}
    assert set(old.bind(x=np.ones(3)).observed) == {"curve"}
    # Without a plate there are no rows, but data of another shape is the data of something else.
    assert not old.bind(x=np.ones(4)).observed


@pytest.mark.parametrize("backend", BACKENDS)
def test_bind_gives_parameters_of_new_rows_their_start(backend: str) -> None:
    @ppl.model
    def own_level(x):
        with ppl.plate("rows", x):
            level = ppl.param("level", [0.5, 1.5])
            ppl.sample("y", dist.Normal(level, 1.0))

    new = own_level(np.zeros(3)).bind(x=np.ones(5))
    np.testing.assert_array_equal(new.params["level"].initial(), np.tile([0.5, 1.5], (5, 1)))
    draws = ppl.compile(new, backend).simulate((4,))
    assert tuple(draws["y"].shape) == (4, 5, 2)
    assert ppl.agreement(new, precision="float64").difference < 1e-9


def test_transforms_survive_a_file() -> None:
    program = chain(X).do(b=0.5).observe(d=np.zeros(3))
    again = ppl.Program.from_json(program.to_json(), program.data)
    assert again == program
    assert again != chain(X).observe(d=np.zeros(3))
    assert ppl.agreement(again).rows == ppl.agreement(program).rows
