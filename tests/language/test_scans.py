"""Scans as they are declared: trees of carries, what a step is mapped over, text, JSON, graph queries, refusals."""

# Names in models are symbolic values, and the mistakes are deliberate.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import ppl
from ppl import dist, nn, ops
from ppl.errors import DtypeError, ModelError, NameClashError, PlateError, ScopeError, ShapeError, SymbolicValueError
from ppl.inference.minibatch import batch_sizes
from ppl.program.values import Value
from tests.language.refusing import Table, assert_refused, normal, traced

refused = Table()


# --- trees of carries -------------------------------------------------------------------------------------------------


class Trend(NamedTuple):
    level: Any
    slope: Any


@dataclasses.dataclass(frozen=True)
class Memory:
    hidden: Any
    cell: Any


def _next(tree: Any) -> Any:
    """The same tree, one step on: every leaf drifts."""
    if isinstance(tree, Value):
        return tree + 1.0
    if isinstance(tree, dict):
        return {k: _next(v) for k, v in tree.items()}
    if isinstance(tree, Trend):
        return Trend(*map(_next, tree))
    if isinstance(tree, Memory):
        return Memory(_next(tree.hidden), _next(tree.cell))
    if tree is None:
        return None
    return type(tree)(_next(part) for part in tree)


@pytest.mark.parametrize(
    ("init", "hints", "shapes"),
    [
        (0.0, ["state"], [()]),
        (np.zeros(2), ["state"], [(2,)]),
        ((0.0, np.zeros(2)), ["state_0", "state_1"], [(), (2,)]),
        ([0.0, (1.0, 2.0)], ["state_0", "state_1_0", "state_1_1"], [(), (), ()]),
        ({"h": np.zeros(3), "c": 0.0}, ["h", "c"], [(3,), ()]),
        (Trend(0.0, 0.0), ["level", "slope"], [(), ()]),
        (Memory(np.zeros(2), {"a": 0.0}), ["hidden", "a"], [(2,), ()]),
        ((0.0, None), ["state_0"], [()]),
        (None, [], []),
    ],
    ids=lambda item: type(item).__name__,
)
def test_a_carry_is_any_tree(init: Any, hints: list[str], shapes: list[tuple[int, ...]]):
    seen: list[Any] = []

    @ppl.model
    def model():
        def step(state, t):
            seen.append(state)
            normal("z")
            return _next(state)

        seen.append(ppl.scan("time", step, init=init, length=4))

    program = model()
    handed, trajectory = seen
    assert type(handed) is type(trajectory) is (Value if isinstance(init, (float, np.ndarray)) else type(init))
    carries = list(program.carries.values())
    assert [c.hint for c in carries] == hints
    assert [c.value.shape for c in carries] == shapes
    assert all(c.time.name == "time" and c.following.shape == c.init.shape for c in carries)
    leaves = [v for v in _leaves(trajectory) if v is not None]
    # Outside the scan, the axis of steps stands in front.
    assert [v.shape for v in leaves] == [(4, *s) for s in shapes]
    assert [v.shape for v in _leaves(handed) if v is not None] == shapes


def _leaves(tree: Any) -> list[Any]:
    if tree is None or isinstance(tree, Value):
        return [tree]
    parts = vars(tree).values() if isinstance(tree, Memory) else tree.values() if isinstance(tree, dict) else tree
    return [leaf for part in parts for leaf in _leaves(part)]


def test_carries_have_names_of_their_own():
    @ppl.model
    def model():
        normal("time.h")

        def step(carry, t):
            return {"h": carry["h"] * 0.5, "c": normal("z", loc=carry["h"])}

        ppl.scan("time", step, init={"h": 0.0, "c": 0.0}, length=3)
        ppl.scan("time", lambda h, t: h + 1.0, init=0.0, length=3)

    assert list(model().carries) == ["time.carry.h", "time.carry.c", "time.h_2"]


def test_keys_of_a_dict_may_come_in_any_order():
    @ppl.model
    def model():
        def step(carry, t):
            return {"b": normal("z", loc=carry["a"]), "a": carry["b"]}

        out = ppl.scan("time", step, init={"a": 1.0, "b": 2.0}, length=3)
        ppl.deterministic("a", out["a"])

    carries = model().carries
    assert carries["time.carry.a"].following.op == "carry"
    assert carries["time.carry.b"].following.attr("name") == "z"
    assert carries["time.carry.b"].init.attr("value") == 2.0
    # The trajectory of `a` is what was handed on as `a`.
    assert model().deterministics["a"].expression.args[0].attr("name") == "time.carry.b"


def test_the_trajectory_is_what_each_step_returned():
    @ppl.model
    def model():
        out = ppl.scan("time", lambda c, t: normal("z", loc=c), init=0.0, length=5)
        assert out.shape == (5,)
        ppl.deterministic("last", out[-1])
        ppl.deterministic("all", out)

    program = model()
    assert program.parents("last") == ("z",)
    assert program.deterministics["all"].expression.op == "leave"


# --- what is mapped over ----------------------------------------------------------------------------------------------


class Weather(NamedTuple):
    rain: Any
    wind: Any


@pytest.mark.parametrize(
    ("xs", "shapes"),
    [
        (np.zeros(4), [()]),
        (np.zeros((4, 3)), [(3,)]),
        ([1.0, 2.0, 3.0, 4.0], [()]),
        ((np.zeros(4), np.zeros((4, 2))), [(), (2,)]),
        ({"u": np.zeros(4), "v": (np.zeros((4, 2)), np.zeros(4))}, [(), (2,), ()]),
        (Weather(np.zeros(4), np.zeros((4, 2))), [(), (2,)]),
    ],
    ids=["array", "rows", "list", "tuple", "dict", "named tuple"],
)
def test_steps_are_mapped_over_arrays(xs: Any, shapes: list[tuple[int, ...]]):
    seen: list[Any] = []

    @ppl.model
    def model():
        def step(carry, x):
            seen.append(x)
            normal("z")

        ppl.scan("time", step, xs=xs)

    program = model()
    (x,) = seen
    assert [v.shape for v in _leaves(x)] == shapes
    assert type(x) is (Value if not isinstance(xs, (tuple, dict)) else type(xs))
    assert program.plate("time").size == 4
    assert program.plates[0].ordered


def test_steps_are_mapped_over_values():
    """What another scan left behind, and sites of a plate, are values like others."""

    @ppl.model
    def model():
        with ppl.plate("days", size=4):
            shock = normal("shock")
        path = ppl.scan("time", lambda c, x: normal("z", loc=c + x), init=0.0, xs=shock)
        ppl.scan("again", lambda c, x: normal("y", loc=c - x), init=0.0, xs=path, reverse=True)

    program = model()
    assert program.parents("z") == ("shock", "z")
    assert program.parents("y") == ("z", "y")
    assert [c.reverse for c in program.carries.values()] == [False, True]


def test_a_scan_along_a_plate_orders_it():
    @ppl.model
    def model():
        with ppl.plate("days", size=4):
            shock = normal("shock")
        ppl.scan("days", lambda c, x: normal("z", loc=c + x), init=0.0, xs=shock)

    assert model().plates[0].ordered
    assert str(model()).splitlines()[1].startswith("    for shock in scan('days', length=4):")


def test_the_number_of_the_step_is_a_value():
    @ppl.model
    def model():
        ppl.scan("time", lambda carry, t: normal("z", loc=0.1 * t + carry), init=0.0, length=3)

    (step,) = model().plates
    assert model().sites["z"].plates == (step.plate,)
    assert "loc = 0.1 * t + carry" in str(model())


# --- text -------------------------------------------------------------------------------------------------------------


@ppl.model
def local_trend(inputs, series: int = 2):
    drift = ppl.sample("drift", dist.Normal(0.0, 1.0))
    with ppl.plate("series", size=series):
        start = ppl.sample("start", dist.Normal(0.0, 1.0))

        def step(before, x):
            level = ppl.sample("level", dist.Normal(before.level + before.slope, 0.1))
            mean = level + drift * x
            ppl.sample("y", dist.Normal(mean, 0.5))
            return Trend(level, 0.9 * before.slope)

        path = ppl.scan("time", step, init=Trend(start, 0.0), xs=inputs)
    ppl.deterministic("last", path.level[:, -1])


LOCAL_TREND = """\
local_trend(inputs: float[6], series=2)
    drift ~ Normal(0.0, 1.0)
    with plate('series', size=2):
        start ~ Normal(0.0, 1.0)
        for x in scan('time', xs=inputs):  # 6 steps
            level_before = carry(start)
            slope = carry(0.0)
            level ~ Normal(level_before + slope, 0.1)
            mean = level + drift * x
            y ~ Normal(mean, 0.5)
            next level_before = level
            next slope = 0.9 * slope
    last = level[:, -1]"""


@ppl.model
def both_ways(xs):
    cell = nn.GRUCell("cell", 2, 3)

    def forwards(h, x):
        return cell(x, h)

    def backwards(h, x):
        return 0.5 * h + ops.sum(x)

    ahead = ppl.scan("time", forwards, init=np.zeros(3), xs=xs)
    back = ppl.scan("time", backwards, init=0.0, xs=xs, reverse=True)
    with ppl.plate("time", (ahead, back)) as (f, b):
        ppl.sample("y", dist.Normal(ops.sum(f) + b, 1.0))


BOTH_WAYS = """\
both_ways(xs: float[4, 2])
    cell = GRUCell(2, 3)
    for x in scan('time', xs=xs):  # 4 steps
        h = carry([0.0, 0.0, 0.0])
        h_2 = carry(0.0, reverse=True)
        f = cell(x, h)
        b = 0.5 * h_2 + sum(x)
        y ~ Normal(sum(f) + b, 1.0)
        next h = f
        next h_2 = b"""


@ppl.model
def within(outer: int = 3):
    def day(level, d):
        def hour(c, h):
            return ppl.sample("z", dist.Normal(c, 1.0))

        ppl.scan("hours", hour, init=level, length=4, reverse=True)
        return ppl.sample("level", dist.Normal(0.9 * level, 1.0))

    ppl.scan("days", day, init=0.0, length=outer)


WITHIN = """\
within(outer=3)
    for d in scan('days', length=3):
        level_before = carry(0.0)
        for h in scan('hours', length=4, reverse=True):
            c = carry(level_before)
            z ~ Normal(c, 1.0)
            next c = z
        level ~ Normal(0.9 * level_before, 1.0)
        next level_before = level"""

EXAMPLES: dict[str, tuple[Callable[[], ppl.Program], str]] = {
    "a tree of carries in a plate": (lambda: local_trend(np.zeros(6)), LOCAL_TREND),
    "scans in both directions": (lambda: both_ways(np.zeros((4, 2))), BOTH_WAYS),
    "a scan in a scan": (lambda: within(), WITHIN),
}
each_example = pytest.mark.parametrize("name", EXAMPLES)


@each_example
def test_the_text_is_that_of_the_source(name: str):
    make, text = EXAMPLES[name]
    assert [line.partition("  # test_scans")[0].rstrip() for line in str(make()).splitlines()] == text.splitlines()


@each_example
def test_json_and_back(name: str):
    program = EXAMPLES[name][0]()
    again = ppl.Program.from_json(program.to_json())
    assert again == program
    assert hash(again) == hash(program)
    assert str(again).split() == str(program).split()
    assert again.to_dot() == program.to_dot()
    assert {n: program.reads(n) for n in program.by_name} == {n: again.reads(n) for n in again.by_name}


def test_programs_differ_in_what_a_scan_does():
    def program(start: float = 0.0, factor: float = 0.5, reverse: bool = False, length: int = 3) -> ppl.Program:
        def step(c, t):
            return normal("z", loc=factor * c)

        return traced(lambda: ppl.scan("time", step, init=start, length=length, reverse=reverse))

    same = program()
    assert same == program()
    for other in (program(start=1.0), program(factor=0.6), program(reverse=True), program(length=4)):
        assert same != other


# --- graph queries ----------------------------------------------------------------------------------------------------


def test_what_is_handed_on_is_a_parent():
    program = EXAMPLES["a tree of carries in a plate"][0]()
    assert program.parents("level") == ("start", "level")
    assert program.reads("level") == (("start",), ("level",))
    assert program.children("start") == ("level",)
    assert program.children("level") == ("level", "y", "last")
    assert program.ancestors("level") == {"start", "level"}
    assert program.ancestors("last") == {"start", "level"}
    assert program.descendants("level") == {"level", "y", "last"}
    assert program.descendants("drift") == {"y"}


def test_two_steps_back_counts_too():
    @ppl.model
    def model():
        first = normal("first")

        def step(pair, t):
            normal("y", loc=pair[1])
            return normal("z", loc=pair[0]), pair[0]

        ppl.scan("time", step, init=(first, 0.0), length=5)

    # `first` stands outside the scan: it belongs to no earlier step.
    assert model().reads("y") == (("first",), ("z",))
    assert model().descendants("first") == {"z", "y"}


# --- refusals ---------------------------------------------------------------------------------------------------------


def _scan(step: Any, init: Any = 0.0, **options: Any) -> Any:
    return ppl.scan("time", step, init=init, **{"length": 3, **options})


@refused.model(
    ShapeError, "carry 'c' changes its shape", r"ops\.zeros\(\(2,\)\)", plate="time", expected=r"\(\), that of `init`"
)
def _a_carry_that_changes_its_shape():
    _scan(lambda c, t: ops.stack([normal("a"), 1.0]))


@refused.model(DtypeError, "carry 'c' changes from int to float", "0.0 instead of 0", plate="time", got="float")
def _a_carry_that_starts_as_an_integer():
    _scan(lambda c, t: normal("a", loc=c), 0)


@refused.model(DtypeError, "carry 'c' changes from float to int", "kind of number", plate="time", got="int")
def _a_carry_that_becomes_an_integer():
    _scan(lambda c, t: ppl.sample("a", dist.Poisson(1.0)))


@refused.model(ShapeError, "another structure", "form in which", plate="time", expected="x, as", got=r"\(x,\)")
def _a_carry_that_becomes_a_tuple():
    _scan(lambda c, t: (normal("a", loc=c),))


@refused.model(ShapeError, "another structure", "form in which", expected=r"\{'a': x, 'b': x\}", got=r"\{'a': x\}")
def _a_carry_that_loses_a_key():
    _scan(lambda c, t: {"a": c["a"]}, {"a": 0.0, "b": 0.0})


@refused.model(ShapeError, "another structure", "must return the next carry", plate="time", got="None")
def _a_step_that_returns_nothing():
    def step(c, t):
        normal("a", loc=c)

    _scan(step)


@refused.model(ShapeError, "another structure", "form in which", expected="None", got="x")
def _a_step_that_returns_what_it_was_not_given():
    _scan(lambda c, t: normal("a"), None)


@refused.model(ModelError, "function of two arguments", "Take both", got=r"<lambda>\(c\)")
def _a_step_of_one_argument():
    _scan(lambda c: normal("a", loc=c))


@refused.model(ModelError, "function of two arguments", "Take both", got=r"<lambda>\(c, t, u\)")
def _a_step_of_three_arguments():
    _scan(lambda c, t, u: normal("a", loc=c))


@refused.model(ModelError, "function of two arguments", "Take both", got=r"^3$")
def _a_step_that_is_no_function():
    _scan(3)


@refused.model(PlateError, "scan 'time' has length 0", "has rows", plate="time", expected="positive", got="0")
def _no_steps():
    _scan(lambda c, t: c, length=0)


@refused.model(PlateError, "scan 'time' has length 0", "has rows", plate="time")
def _arrays_without_steps():
    _scan(lambda c, x: c, xs=np.zeros((0, 2)), length=None)


@refused.model(PlateError, "needs an integer length", "known when", plate="time", got="2.5")
def _half_a_step():
    _scan(lambda c, t: c, length=2.5)


@refused.model(PlateError, "neither an input nor a length", "length=n", plate="time", got="neither")
def _no_length_at_all():
    _scan(lambda c, t: c, length=None)


@refused.model(PlateError, "different lengths", "one leading axis", plate="time", got="3 rows.*4 rows")
def _arrays_of_different_lengths():
    _scan(lambda c, x: c, xs=(np.zeros(3), np.zeros(4)), length=None)


@refused.model(PlateError, "length 4, but its input has 3 rows", "Leave `length` out", plate="time")
def _a_length_that_disagrees():
    _scan(lambda c, x: c, xs=np.zeros(3), length=4)


@refused.model(PlateError, "cannot map over a int", r"scan\('time', length=7\)", plate="time", got="7")
def _a_number_of_steps_as_input():
    _scan(lambda c, x: c, xs=7, length=None)


@refused.model(PlateError, "maps over a scalar", "length=n", plate="time")
def _a_scalar_as_input():
    _scan(lambda c, x: c, xs=np.array(2.0), length=None)


@refused.model(PlateError, "a scan needs a name first", r'ppl\.scan\("name"', got="function")
def _a_scan_without_a_name():
    ppl.scan(lambda c, t: c, 0.0, length=3)


@refused.model(PlateError, "used again with another size", "different names", plate="time", got="4 elements")
def _another_length_under_the_same_name():
    _scan(lambda c, t: normal("a"))
    _scan(lambda c, t: normal("b"), length=4)


@refused.model(PlateError, "plate 'time' is open already", "second plate", plate="time")
def _a_scan_inside_itself():
    _scan(lambda c, t: _scan(lambda d, s: d, c)[-1])


@refused.model(PlateError, "used again with another size", "different names", plate="rows", got="3 elements")
def _a_plate_in_a_scan_that_changes_size():
    def step(c, t):
        for name, size in (("a", 2), ("b", 3)):
            with ppl.plate("rows", size=size):
                normal(name)
        return c

    _scan(step)


@refused.model(PlateError, "needs an integer size", "cannot be a random value", plate="rows", got="symbolic")
def _a_plate_whose_size_is_the_step():
    def step(c, t):
        with ppl.plate("rows", size=t):
            normal("a")
        return c

    _scan(step)


@refused.model(SymbolicValueError, "truth value", r"ops\.where", got="symbolic")
def _a_decision_about_the_step():
    _scan(lambda c, t: normal("a") if t > 1 else c)


@refused.model(ShapeError, "out of range", "axis in front", got="symbolic")
def _a_step_beyond_the_last():
    normal("b", loc=_scan(lambda c, t: normal("a", loc=c))[3])


@refused.model(NameClashError, "plate and a statement share", "plural", site="time")
def _a_site_named_as_its_scan():
    _scan(lambda c, t: normal("time", loc=c))


@refused.model(NameClashError, "already taken", "name of its own", site="time.c")
def _a_site_named_as_a_carry():
    _scan(lambda c, t: normal("time.c", loc=c))


@refused.model(NameClashError, "already taken", "name of its own", site="a")
def _a_site_that_two_scans_declare():
    _scan(lambda c, t: normal("a", loc=c))
    _scan(lambda c, t: normal("a", loc=c))


@refused.model(SymbolicValueError, "'zero' is not a number", "numpy arrays", got="str")
def _a_start_that_is_no_number():
    _scan(lambda c, t: c, "zero")


@refused.call(ModelError, "outside a model", "@ppl.model", got="no model")
def _a_scan_outside_a_model():
    _scan(lambda c, t: c)


@refused.call(ScopeError, "not declared in this model", "never pass from one model", site="b")
def _a_carry_of_another_model():
    box: list[Any] = []
    traced(lambda: _scan(lambda c, t: (box.append(c), c)[1]))
    traced(lambda: normal("b", loc=box[0]))


def _series() -> ppl.Program:
    @ppl.model
    def model():
        with ppl.plate("series", size=6):
            _scan(lambda c, t: normal("z", loc=c), length=4)

    return model().observe(z=np.zeros((6, 4)))


@refused.call(PlateError, "cannot be cut into minibatches: its steps follow", "plate around", plate="time", got="c$")
def _a_minibatch_of_steps():
    batch_sizes(_series(), {"time": 2})


@pytest.mark.parametrize("case", refused.cases)
def test_refused(case: str):
    assert_refused(*refused.cases[case], __file__)


def test_minibatches_are_of_whole_series():
    assert batch_sizes(_series(), 2) == {"series": 2}
    assert batch_sizes(_series(), {"time": 4}) == {}

    # Steps that hand on nothing are independent of one another, as the elements of a plate are.
    def step(nothing, t):
        normal("z")

    program = traced(lambda: ppl.scan("time", step, length=4)).observe(z=np.zeros(4))
    assert batch_sizes(program, 2) == {"time": 2}
