"""Plates: inside one, the user sees one element; outside, values of the plate are arrays."""

from __future__ import annotations

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.language.model import Model
from ppl.program.program import Program, expressions
from ppl.program.values import walk

BACKENDS = ("numpyro", "pyro")
NUMBERS = np.random.default_rng(8)
X = NUMBERS.normal(size=(4, 3))


def log_normal(x: np.ndarray, loc: np.ndarray | float, scale: np.ndarray | float = 1.0) -> np.ndarray:
    return -0.5 * ((x - loc) / scale) ** 2 - np.log(scale) - 0.5 * np.log(2 * np.pi)


def terms(program: Program, backend: str, **values: np.ndarray) -> dict[str, np.ndarray]:
    side = ppl.compile(program, backend, precision="float64")
    return {n: np.asarray(t) for n, t in side.log_density(values, by_site=True).items()}


def shapes(model: Model, *inputs: np.ndarray) -> dict[str, tuple[int, ...]]:
    return {n: d.expression.shape for n, d in model(*inputs).deterministics.items()}


# --- what the user sees ---------------------------------------------------------------------------------------------


def test_shapes_never_contain_plate_sizes():
    seen = {}

    @ppl.model
    def model(x):
        seen["input"] = x.shape
        with ppl.plate("rows", x) as row:
            seen["row"] = row.shape
            a = ppl.sample("a", dist.Normal(row, 1.0).expand([2, 3]))
            seen["site"] = a.shape
            with ppl.plate("inner", size=7) as i:
                seen["index"] = i.shape
                b = ppl.sample("b", dist.Normal(a[0], 1.0))
                seen["both"] = b.shape
            seen["left"] = (b + 0.0).shape
        seen["outside"] = (a + 0.0).shape, len(a), a.T.shape, len(list(a))
        seen["far"] = (b * 1.0).shape

    program = model(X)
    assert seen == {
        "input": (4, 3),
        "row": (3,),
        "site": (2, 3),
        "index": (),
        "both": (3,),
        "left": (7, 3),
        "outside": ((4, 2, 3), 4, (3, 2, 4), 4),
        "far": (4, 7, 3),
    }
    assert program.sites["b"].dist.event_shape == (3,)
    assert [p.name for p in program.sites["b"].plates] == ["rows", "inner"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_row_has_its_own_term(backend: str):
    @ppl.model
    def model(x):
        w = ppl.sample("w", dist.Normal(0.0, 1.0).expand([3]))
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(row @ w, 0.5))

    w, y = NUMBERS.normal(size=(2, 3)), NUMBERS.normal(size=(2, 4))
    found = terms(model(X), backend, w=w, y=y)
    np.testing.assert_allclose(found["y"], log_normal(y, w @ X.T, 0.5), rtol=1e-12)
    np.testing.assert_allclose(found["w"], log_normal(w, 0.0).sum(-1), rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_crossing_plates_meet_in_a_matrix(backend: str):
    @ppl.model
    def model():
        with ppl.plate("rows", size=4):
            a = ppl.sample("a", dist.Normal(0.0, 1.0))
        with ppl.plate("columns", size=2):
            b = ppl.sample("b", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", a) as one, ppl.plate("columns", b) as other:
            ppl.sample("y", dist.Normal(one - 2.0 * other, 1.0))

    a, b, y = NUMBERS.normal(size=(3, 4)), NUMBERS.normal(size=(3, 2)), NUMBERS.normal(size=(3, 4, 2))
    found = terms(model(), backend, a=a, b=b, y=y)
    assert {n: t.shape for n, t in found.items()} == {"a": (3, 4), "b": (3, 2), "y": (3, 4, 2)}
    np.testing.assert_allclose(found["y"], log_normal(y, a[:, :, None] - 2.0 * b[:, None, :]), rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_outer_plates_sum_inner_ones(backend: str):
    """A site of an outer plate stands beside axes of size one; they must not enter its term or its draws."""

    @ppl.model
    def model():
        with ppl.plate("schools", size=3):
            mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
            with ppl.plate("pupils", size=5):
                score = ppl.sample("score", dist.Normal(mean, 1.0))
            ppl.sample("rank", dist.Normal(ops.sum(score), 1.0))

    mean, score, rank = NUMBERS.normal(size=(2, 3)), NUMBERS.normal(size=(2, 3, 5)), NUMBERS.normal(size=(2, 3))
    found = terms(model(), backend, mean=mean, score=score, rank=rank)
    np.testing.assert_allclose(found["mean"], log_normal(mean, 0.0), rtol=1e-12)
    np.testing.assert_allclose(found["rank"], log_normal(rank, score.sum(-1)), rtol=1e-12)
    side = ppl.compile(model(), backend, precision="float64")
    total = np.asarray(side.log_density({"mean": mean, "score": score, "rank": rank}))
    exact = sum(t.reshape(2, -1).sum(-1) for t in found.values())
    np.testing.assert_allclose(total, exact, rtol=1e-12)
    assert np.shape(side.simulate((6,))["mean"]) == (6, 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_factor_counts_once_for_each_element_even_if_it_is_constant(backend: str):
    @ppl.model
    def model():
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", size=4), ppl.plate("columns", size=3):
            ppl.factor("constant", 0.5)
            ppl.factor("shared", 2.0 * a)

    side = ppl.compile(model(), backend, precision="float64")
    a = np.array([0.3, -1.0])
    exact = log_normal(a, 0.0) + 12 * 0.5 + 12 * 2.0 * a
    np.testing.assert_allclose(np.asarray(side.log_density({"a": a})), exact, rtol=1e-12)
    native = side.backend.native_log_density(model(), side.source, {"a": a[0]}, {}, "float64")
    np.testing.assert_allclose(sum(native.values()), exact[0], rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_plate_maps_over_what_a_plate_left_behind(backend: str):
    @ppl.model
    def model():
        with ppl.plate("rows", size=4):
            a = ppl.sample("a", dist.Normal(0.0, 1.0).expand([2]))
        with ppl.plate("again", ops.flip(a, axis=0)) as element:
            ppl.sample("y", dist.Normal(ops.sum(element), 1.0))
        with ppl.plate("rows", a) as same:
            ppl.sample("z", dist.Normal(same[0], 1.0))

    a, y, z = NUMBERS.normal(size=(4, 2)), NUMBERS.normal(size=4), NUMBERS.normal(size=4)
    found = terms(model(), backend, a=a, y=y, z=z)
    np.testing.assert_allclose(found["y"], log_normal(y, a[::-1].sum(-1)), rtol=1e-12)
    np.testing.assert_allclose(found["z"], log_normal(z, a[:, 0]), rtol=1e-12)


def test_an_element_of_what_left_its_plate_is_the_value_itself():
    """Mapping a plate over its own values takes no detour through an array."""

    @ppl.model
    def model():
        with ppl.plate("rows", size=4):
            a = ppl.sample("a", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", a) as same:
            ppl.sample("y", dist.Normal(same, 1.0))

    assert model().sites["y"].dist.params["loc"].op == "site"


def test_gathers_do_not_expand_the_table():
    @ppl.model
    def model(group):
        with ppl.plate("groups", size=3):
            a = ppl.sample("a", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", group) as g:
            ppl.sample("y", dist.Normal(a[g], 1.0))

    program = model(NUMBERS.integers(0, 3, size=100))
    values = {"a": NUMBERS.normal(size=(5, 3)), "y": NUMBERS.normal(size=(5, 100))}
    for backend in BACKENDS:
        side = ppl.compile(program, backend, precision="float64")
        found = np.asarray(side.log_density(values, by_site=True)["y"])
        exact = log_normal(values["y"], values["a"][:, program.data["group"]])
        np.testing.assert_allclose(found, exact, rtol=1e-12)
        text = side.density[0].source
        assert "expand" not in text and "broadcast" not in text and "one_hot" not in text
        assert "a[..., group]" in text


# --- structures and names -------------------------------------------------------------------------------------------


def test_elements_keep_the_structure_of_the_input():
    @ppl.model
    def model(data):
        with ppl.plate("rows", {"pair": (data["x"], data["u"]), "v": data["v"]}) as row:
            (x, u), v = row["pair"], row["v"]
            ppl.sample("y", dist.Normal(x[0] + u, ops.exp(v)))

    program = model({"x": X, "u": X[:, 0], "v": X[:, 1]})
    assert program.sites["y"].plates[0].size == 4
    assert ppl.agreement(program).difference < 1e-5


def test_the_users_name_for_an_element_is_kept():
    @ppl.model
    def model(x):
        with ppl.plate("rows", (x, x)) as (first, second):
            ppl.sample("y", dist.Normal(first[0] + second[1], 1.0))
        with ppl.plate("times", size=3) as t:
            ppl.sample("z", dist.Normal(0.5 * t, 1.0))

    assert [p.alias for p in model(X).plates] == ["(first, second)", "t"]


def test_a_plate_may_be_opened_any_number_of_times():
    @ppl.model
    def model():
        for i in range(3):
            with ppl.plate("rows", size=4):
                ppl.sample(f"x{i}", dist.Normal(0.0, 1.0))

    program = model()
    assert [p.name for p in program.plates] == ["rows"]
    for backend in BACKENDS:
        # One plate object, entered again: two of one name would be a mistake in Pyro.
        assert program.to_source(backend).count('plate("rows", 4') == 1
    assert ppl.agreement(program).difference < 1e-5


def test_a_list_or_array_inside_the_model_is_mapped_over_too():
    @ppl.model
    def model():
        with ppl.plate("rows", [1.0, 2.0, 3.0]) as x, ppl.plate("columns", np.arange(2)) as i:
            ppl.sample("y", dist.Normal(x * i, 1.0))

    program = model()
    assert [p.plate.size for p in program.plates] == [3, 2]
    assert ppl.agreement(program).difference < 1e-5


# --- cost -----------------------------------------------------------------------------------------------------------


def nodes(program: Program) -> int:
    return len(walk([v for s in program.statements for v in expressions(s)]))


def sized(rows: int) -> Program:
    @ppl.model
    def model(x, group):
        w = ppl.sample("w", dist.Normal(0.0, 1.0).expand([2]))
        with ppl.plate("groups", size=10):
            a = ppl.sample("a", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", (x, group)) as (row, g):
            z = ppl.sample("z", dist.Normal(row @ w + a[g], 1.0))
            ppl.sample("y", dist.Bernoulli(logits=z))

    return model(np.zeros((rows, 2), dtype=np.float32), np.zeros(rows, dtype=np.int8))


@pytest.mark.parametrize("backend", BACKENDS)
def test_cost_depends_on_statements_and_not_on_rows(backend: str):
    """A plate of a million rows declares, prints, compiles and writes the same few lines as a plate of ten."""
    small, large = sized(10), sized(1_000_000)
    assert len(large.statements) == len(small.statements) == 4
    assert nodes(large) == nodes(small)
    assert len(large.to_json()) < len(small.to_json()) + 100
    assert len(str(large).splitlines()) == len(str(small).splitlines())
    texts = [p.to_source(backend) for p in (small, large)]
    assert len(texts[0].splitlines()) == len(texts[1].splitlines())
    emitted = [ppl.compile(p, backend).density[0] for p in (small, large)]
    assert emitted[0].source == emitted[1].source
    assert not emitted[1].constants
    # The data is held as it came: no copy, no conversion.
    assert large.data["group"].dtype == np.int8
