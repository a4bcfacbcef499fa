"""The layout of emitted text: the same program, on lines that a person would write."""

from __future__ import annotations

import ast

import numpy as np
import pytest

import ppl
from ppl import dist
from ppl.backend.text_layout import WIDTH, joined_plates, laid_out, wrapped
from tests.backend.golden_models import GOLDEN

LONG = {
    "call": 'site = pyro.sample("site", dist.Normal(' + "a" * 50 + ", " + "b" * 60 + ").to_event(1), obs=site)",
    "chain": "t = f(" + "a" * 60 + ", " + "b" * 60 + ")[..., 0].to_event(1)",
    "method": "t = f(" + "a" * 60 + ", " + "b" * 60 + ").expand([2]).to_event(1)",
    "keyword": "f(" + "a" * 60 + ", name=g(" + "b" * 60 + ', "c, (d", ' + "e" * 60 + "), other=1)",
    "starred": "f(*" + "a" * 60 + ", **" + "b" * 60 + ")",
    "list": "t = torch.stack([" + ", ".join("abcdefg" * 4 for _ in range(6)) + "], dim=-1)",
    "tuple": "t = torch.stack((" + "a" * 60 + ", " + "b" * 60 + "), dim=-1)",
    "sum": "intercept = " + "a" * 50 + " + " + "b" * 52,
    "product of sums": "t = (" + "a" * 60 + " + " + "b" * 60 + ") * (c + d)",
    "called sum": "t = (" + "a" * 60 + " + " + "b" * 60 + ")(c)",
    "generator": "f(" + "a" * 60 + " for " + "b" * 20 + " in " + "c" * 60 + ")",
    "without arguments": "a" * 120 + "()",
    "head of a block": "with " + "a" * 120 + ":",
    "other letters": "é = f(" + "a" * 60 + ", " + "b" * 60 + ")",
    "result": "return f(" + "a" * 60 + ", " + "b" * 60 + ")",
}


@pytest.mark.parametrize("name", LONG)
def test_a_long_line_means_the_same_when_broken(name: str) -> None:
    lines = wrapped(LONG[name])
    if name == "head of a block":
        assert lines == [LONG[name]]
        return
    assert ast.dump(ast.parse("\n".join(lines))) == ast.dump(ast.parse(LONG[name]))
    alone = {
        "starred",
        "tuple",
        "product of sums",
        "called sum",
        "generator",
        "without arguments",
        "other letters",
        "chain",
    }
    assert (len(lines) == 1) == (name in alone - {"tuple", "starred"})
    if name not in alone:
        assert max(map(len, lines)) <= WIDTH


def test_a_broken_call_has_one_argument_on_each_line() -> None:
    first, second = "a" * 60, "b" * 60
    assert wrapped(f'    x = f("x, y", g({first}), name={second})') == [
        "    x = f(",
        '        "x, y",',
        f"        g({first}),",
        f"        name={second},",
        "    )",
    ]
    short = "c" * 50
    assert wrapped(f"    x = long_function({short}, {short})") == [
        "    x = long_function(",
        f"        {short}, {short}",
        "    )",
    ]


def test_lines_that_fit_are_left_alone() -> None:
    assert wrapped("x = f(a)") == ["x = f(a)"]
    assert laid_out(["", "    with a:", "        x = f(a)"]) == ["", "    with a:", "        x = f(a)"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["with a:", "    with b:", "        with c:", "            x"], ["with a, b, c:", "    x"]),
        (["with a:", "    with b:", "        x", "    y"], ["with a:", "    with b:", "        x", "    y"]),
        (["with a:", "    x", "    with b:", "        y"], ["with a:", "    x", "    with b:", "        y"]),
        (
            ["with a:", "    with b:", "        x", "", "with c:", "    y"],
            ["with a, b:", "    x", "", "with c:", "    y"],
        ),
        (
            ["for i in a:", "    with b:", "        with c:", "            x"],
            ["for i in a:", "    with b, c:", "        x"],
        ),
        (["with a:", "    def f(x):", "        with b:"], ["with a:", "    def f(x):", "        with b:"]),
    ],
)
def test_plates_are_joined_where_the_outer_holds_the_inner_alone(before: list[str], after: list[str]) -> None:
    assert joined_plates(before) == after


def test_plates_that_do_not_fit_on_a_line_stay_apart() -> None:
    lines = [f"with {'a' * 60}:", f"    with {'b' * 60}:", "        x"]
    assert joined_plates(lines) == lines


@pytest.mark.parametrize("backend", ["numpyro", "pyro"])
@pytest.mark.parametrize("name", GOLDEN)
def test_no_golden_line_is_too_long(name: str, backend: str) -> None:
    assert max(map(len, GOLDEN[name][0]().to_source(backend).split("\n"))) <= WIDTH + 10


@pytest.mark.parametrize("backend", ["numpyro", "pyro"])
def test_a_part_of_rows_is_picked_from_the_whole(backend: str) -> None:
    @ppl.model
    def lines(x, group, groups: int = 3):
        with ppl.plate("groups", size=groups):
            line = ppl.sample("line", dist.Normal(0.0, 1.0).expand([4]))
        with ppl.plate("rows", (x, group)) as (row, g):
            ppl.sample("y", dist.Normal(line[:, 0][g] + line[:, 1:3][g][1] * row, 1.0))

    program = lines(np.ones(5), np.array([0, 1, 2, 0, 1])).observe(y=np.zeros(5))
    assert "line[group, 0] + line[group, 1:3][..., 1] * x" in program.to_source(backend)
    assert ppl.agreement(program, precision="float64").difference < 1e-12
