"""Masks that do not fit, and arrays whose rows belong to different plates: refused while the model is traced."""

# The mistakes are deliberate.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.errors import PlateError, ShapeError
from tests.language.refusing import Table, assert_refused, normal

KNOWN = np.array([True, False, True, True])
refused = Table()


def two_plates(first: int = 4, second: int = 4) -> tuple[Any, Any]:
    """A site in each of two plates, both closed again."""
    with ppl.plate("people", size=first):
        ability = normal("ability")
    with ppl.plate("items", size=second):
        difficulty = normal("difficulty")
    return ability, difficulty


# --- masks ------------------------------------------------------------------------------------------------------------


@refused.model(
    ShapeError,
    r"Normal\.mask needs booleans",
    r"with ppl\.plate\('rows', \(x, mask\)\)",
    expected=r"bool\[\]",
    got=r"bool\[4\]",
)
def _a_mask_of_all_rows_inside_the_plate():
    with ppl.plate("rows", np.zeros(4)) as row:
        ppl.sample("y", dist.Normal(row, 1.0).mask(KNOWN))


@refused.model(PlateError, "different lengths", "one leading axis", plate="rows", got="with 3 rows")
def _a_mask_of_too_few_rows():
    with ppl.plate("rows", (np.zeros(4), KNOWN[:3])) as (row, known):
        ppl.sample("y", dist.Normal(row, 1.0).mask(known))


@refused.model(ShapeError, "needs booleans", "mask != 0", expected="bool", got=r"int\[\] over rows")
def _a_mask_of_integers():
    with ppl.plate("rows", (np.zeros(4), KNOWN.astype(int))) as (row, known):
        ppl.sample("y", dist.Normal(row, 1.0).mask(known))


@refused.model(
    ShapeError, r"broadcast to \(3,\)", "independent element of one draw", expected=r"bool\[3\]", got=r"bool\[2\]"
)
def _a_mask_of_too_few_elements():
    ppl.sample("y", dist.Normal(0.0, 1.0).expand([3]).mask(KNOWN[:2]))


@refused.model(
    ShapeError, r"broadcast to \(\)", "NaN", expected="one for each draw of MultivariateNormal", got=r"bool\[3\]"
)
def _a_mask_of_parts_of_a_joint_draw():
    ppl.sample("y", dist.MultivariateNormal(np.zeros(3), covariance_matrix=np.eye(3)).mask(KNOWN[:3]))


@refused.model(
    ShapeError, "needs booleans", "varies over plate 'items', which is not open", expected="bool", got=r"bool\[3\]"
)
def _a_mask_that_varies_over_another_plate():
    with ppl.plate("items", np.zeros(3)) as item:
        known = item > 1.0
    with ppl.plate("rows", np.zeros(4)) as row:
        ppl.sample("y", dist.Normal(row, 1.0).mask(known))


# --- plates that have nothing to do with each other -------------------------------------------------------------------

UNRELATED = {"plate": "people (4) and items (4)", "expected": "arrays over one plate, or one element of each"}


@refused.model(
    PlateError,
    "^subtract: the rows of plate 'people'",
    "For all pairs open both",
    got="ability.*difficulty",
    **UNRELATED,
)
def _a_difference():
    ability, difficulty = two_plates()
    ppl.deterministic("gap", ability - difficulty)


@refused.model(PlateError, "^less: the rows of plate 'people'", "one name", got="whose axis is 'items'", **UNRELATED)
def _a_comparison():
    ability, difficulty = two_plates()
    ppl.deterministic("missed", ability < difficulty)


@refused.model(PlateError, "^where: the rows of plate", "map one plate over both", got="whose axis is", **UNRELATED)
def _a_choice():
    ability, difficulty = two_plates()
    ppl.deterministic("either", ops.where(ability > 0.0, 1.0, difficulty))


@refused.model(
    PlateError, "^add: the rows of plate", "For all pairs", got="2.0 \\* .*ability.*whose axis is 'people'", **UNRELATED
)
def _a_sum_of_what_was_computed_from_them():
    ability, difficulty = two_plates()
    ppl.deterministic("total", 2.0 * ability + ops.exp(difficulty))


@refused.model(PlateError, "^Normal: the rows of plate", "For all pairs", got="whose axis is 'people'", **UNRELATED)
def _parameters_of_a_distribution():
    ability, difficulty = two_plates()
    ppl.sample("y", dist.Normal(ability, ops.exp(difficulty)))


@refused.model(
    PlateError,
    "^add: the rows of plate",
    "For all pairs",
    plate="people (4) and items (3)",
    expected="one plate",
    got="'items'",
)
def _plates_of_different_sizes():
    ability, difficulty = two_plates(4, 3)
    ppl.deterministic("total", ability + difficulty)


@refused.model(
    PlateError,
    "^add: the rows of plate 'people'",
    "For all pairs",
    plate="people (4) and items (4)",
    got="'items'",
    expected="one",
)
def _elements_of_two_inputs_outside_of_their_plates():
    with ppl.plate("people", np.zeros(4)) as person:
        pass
    with ppl.plate("items", np.ones(4)) as item:
        pass
    ppl.deterministic("total", person + item)


@refused.model(PlateError, "^add: the rows of plate", "For all pairs", got="whose axis is 'items'", **UNRELATED)
def _a_long_way_from_where_they_were_drawn():
    ability, difficulty = two_plates()
    score = ops.broadcast_to(ops.tanh(ops.exp(ability[None]) * 0.5 - 1.0)[:, :], (3, 4)) / 2
    ppl.deterministic("total", score + difficulty)


@refused.model(PlateError, r"^Normal\.mask: the rows of plate", "one name", got="whose axis is 'items'", **UNRELATED)
def _a_mask_of_other_rows():
    ability, difficulty = two_plates()
    ppl.sample("y", dist.Normal(ability, 1.0).mask(difficulty > 0.0))


@refused.model(
    PlateError, "^multiply: the rows of plate 'rows'", "map one plate over both", plate="rows (4)", got="'steps'"
)
def _steps_of_a_scan_and_rows():
    with ppl.plate("rows", size=4):
        weight = normal("weight")

    def step(previous: Any, t: Any) -> Any:
        return ppl.sample("z", dist.Normal(previous, 1.0))

    ppl.deterministic("total", weight * ppl.scan("steps", step, init=0.0, length=4))


@pytest.mark.parametrize("name", refused.cases)
def test_refused(name: str):
    assert_refused(*refused.cases[name], __file__)


# --- what has a meaning -----------------------------------------------------------------------------------------------


def crossed() -> None:
    ability, difficulty = two_plates(4, 3)
    with ppl.plate("people", ability) as a, ppl.plate("items", difficulty) as d:
        ppl.sample("y", dist.Normal(a - d, 1.0))


def paired() -> None:
    ability, difficulty = two_plates()
    with ppl.plate("pairs", (ability, difficulty)) as (a, d):
        ppl.sample("y", dist.Normal(a - d, 1.0))


def by_axes() -> None:
    ability, difficulty = two_plates()
    ppl.sample("y", dist.Normal(ability[:, None] - difficulty, 1.0))


def one_against_all() -> None:
    ability, difficulty = two_plates()
    with ppl.plate("people", ability) as a:
        ppl.sample("y", dist.Normal(a - difficulty, 1.0))


def summed() -> None:
    ability, difficulty = two_plates()
    ppl.sample("y", dist.Normal(ops.sum(ability) - difficulty, 1.0))


def one_row() -> None:
    ability, difficulty = two_plates(4, 1)
    ppl.sample("y", dist.Normal(ability - difficulty, 1.0))


def twice() -> None:
    ability, _ = two_plates()
    ppl.sample("y", dist.Normal(ability - 2.0 * ability, ops.exp(ability)))


def same_plate_again() -> None:
    ability, _ = two_plates()
    with ppl.plate("people", size=4):
        other = normal("other")
    ppl.sample("y", dist.Normal(ability - other, 1.0))


def contracted() -> None:
    ability, difficulty = two_plates()
    ppl.deterministic("product", ability @ difficulty)
    ppl.deterministic("trace", ops.einsum("i,i->", ability, difficulty))
    ppl.deterministic("outer", ops.einsum("i,j->ij", ability, difficulty))


def picked() -> None:
    ability, difficulty = two_plates()
    ppl.deterministic("ends", ability[0] - difficulty[3])
    ppl.deterministic("parts", ability[:3] - difficulty[1:])
    ppl.deterministic("matched", ability[np.array([2, 0, 1, 1])] - difficulty)


def mapped_again() -> None:
    """A plate over what was drawn in another one has its rows."""
    ability, _ = two_plates()
    with ppl.plate("again", (ability, np.arange(4.0))) as (a, _):
        later = ppl.sample("later", dist.Normal(a, 1.0))
    with ppl.plate("once more", 2.0 * later) as b:
        last = ppl.sample("last", dist.Normal(b, 1.0))
    ppl.deterministic("growth", later - ability)
    ppl.deterministic("all of it", last - ability)


def one_table() -> None:
    """Two plates over one table of numbers."""
    table = np.array([[0.1, 0.2], [0.3, -0.4], [2.0, 1.0]])
    with ppl.plate("first", table) as row:
        a = ppl.sample("a", dist.Normal(row[0], 1.0))
    with ppl.plate("second", table) as row:
        b = ppl.sample("b", dist.Normal(row[1], 1.0))
    ppl.sample("y", dist.Normal(a + b, 1.0))


def of_two_scans() -> None:
    """Steps of time are those of one clock."""

    def step(name: str) -> Callable[[Any, Any], Any]:
        return lambda previous, t: ppl.sample(name, dist.Normal(previous, 1.0))

    level = ppl.scan("days", step("level"), init=0.0, length=4)
    season = ppl.scan("seasons", step("season"), init=0.0, length=4)
    ppl.sample("y", dist.Normal(level + season, 1.0))


LEGAL = [crossed, paired, by_axes, one_against_all, summed, one_row, twice, same_plate_again, contracted, picked]
LEGAL += [mapped_again, one_table, of_two_scans]


@pytest.mark.parametrize("body", LEGAL)
def test_what_says_how_rows_belong_together_is_legal(body: Callable[[], None]):
    program = ppl.model(body)()
    assert ppl.agreement(program, precision="float64").difference < 1e-9
