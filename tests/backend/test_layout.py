"""Axis algebra: index texts, run on numpy arrays, move axes where the layout says they are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ppl
from ppl import dist
from ppl.backend.layout import (
    Layout,
    alignment,
    entering,
    frame_of,
    index_text,
    joined_index,
    leaving,
    merge,
    plate_positions,
    trim,
)
from ppl.backend.lowering import Lowering
from ppl.backend.pieces import Piece
from ppl.backend.spelling import TORCH
from ppl.errors import PlateError
from ppl.program.values import Plate

# Every axis has a size of its own, so that an array's shape tells where its axes are.
PLATES = [Plate("a", 3), Plate("b", 5), Plate("c", 7), Plate("d", 11)]
POSITIONS = {p.name: len(PLATES) - i for i, p in enumerate(PLATES)}
EVENTS = (13, 17, 19)
LEAD = (2,)

pure = settings(derandomize=True, max_examples=80, deadline=None, database=None)
subsets = st.lists(st.sampled_from(PLATES), unique=True).map(lambda ps: tuple(sorted(ps, key=PLATES.index)))
layouts = st.builds(
    lambda lead, plates, rank: Layout(lead, frame_of(plates, POSITIONS), rank),
    st.booleans(),
    subsets,
    st.integers(0, len(EVENTS)),
)


def shape_of(layout: Layout, events: tuple[int, ...] = EVENTS) -> tuple[int, ...]:
    own = events[len(events) - layout.rank :]
    return (LEAD if layout.lead else ()) + tuple(1 if p is None else p.size for p in layout.frame) + own


def indexed(array: np.ndarray, index: str) -> np.ndarray:
    return eval(f"array{index}", {"array": array}) if index else array


@pure
@given(layouts, layouts)
def test_aligned_values_broadcast_to_the_merged_layout(one: Layout, two: Layout):
    target = merge([one, two])
    shapes = [indexed(np.zeros(shape_of(x)), alignment(x, target)).shape for x in (one, two)]
    assert np.broadcast_shapes(*shapes) == shape_of(target)


@pure
@given(layouts, st.data())
def test_plates_leave_to_the_front_of_the_event(layout: Layout, data: st.DataObject):
    present = [p for p in layout.frame if p is not None]
    plates = tuple(data.draw(st.permutations(present)))[: data.draw(st.integers(0, len(present)))]
    if not plates:
        return
    moved, index, new = leaving(layout, plates)
    array = np.zeros(shape_of(layout))
    if moved:
        array = np.moveaxis(array, moved, range(-layout.rank - len(plates), -layout.rank))
    out = indexed(array, index)
    events = tuple(p.size for p in plates) + EVENTS[len(EVENTS) - layout.rank :]
    assert out.shape == shape_of(new, events)
    assert new.rank == layout.rank + len(plates)
    assert [p for p in new.frame if p is not None] == [p for p in present if p not in plates]
    if tuple(p for p in layout.frame[layout.frame.index(plates[0]) :] if p is not None) == plates:
        assert not moved, "nothing that stays is further in, so no axis has to move"


@pure
@given(layouts, st.sampled_from(PLATES))
def test_the_first_event_axis_enters_as_a_plate(layout: Layout, plate: Plate):
    if layout.rank == 0 or plate in layout.frame:
        return
    move, index, new = entering(layout, plate, POSITIONS[plate.name])
    events = (plate.size, *EVENTS[len(EVENTS) - layout.rank + 1 :])
    array = np.zeros(shape_of(layout, events))
    out = indexed(np.moveaxis(array, *move) if move else array, index)
    assert out.shape == shape_of(new, events[1:])
    assert frame_of([p for p in new.frame if p], POSITIONS) == new.frame


simple = st.lists(st.sampled_from([":", "None", "0"]), max_size=6)


@pure
@given(simple, simple)
def test_two_indices_in_a_row_are_one(first: list[str], second: list[str]):
    shape = (2, 3, 5, 7, 11, 13, 17)
    x = np.arange(np.prod(shape)).reshape(shape)
    # A zero of the second index must meet an axis that is there.
    one, two = index_text(list(first)), index_text(list(second))
    base, rest = joined_index(f"x{one}", two)
    expected = indexed(indexed(x, one), two)
    np.testing.assert_array_equal(eval(base + rest, {"x": x}), expected)
    assert (base + rest).count("[") <= 1


def test_indices_that_do_more_than_add_or_drop_axes_are_left_alone():
    assert joined_index("x[..., 1:]", "[..., None, :]") == ("x[..., 1:]", "[..., None, :]")
    assert joined_index("f(x)[..., None, :]", "[..., 2:]") == ("f(x)[..., None, :]", "[..., 2:]")
    assert joined_index("f(x)[..., None, :]", "[..., 0, :]") == ("f(x)", "")
    assert joined_index("x", "[..., None]") == ("x", "[..., None]")


def test_frames_have_no_empty_slot_at_their_left_end():
    assert trim([None, None, PLATES[0], None]) == (PLATES[0], None)
    assert trim([None]) == ()
    assert frame_of((), POSITIONS) == ()
    assert frame_of((PLATES[1],), POSITIONS) == (PLATES[1], None, None)


def test_index_text_says_nothing_it_does_not_have_to():
    assert index_text([":", ":"]) == ""
    assert index_text([":", "None", ":"]) == "[..., None, :]"
    assert index_text(["None", ":", ":"]) == "[..., None, :, :]"


# --- positions of plates --------------------------------------------------------------------------------------------


def positions(*nests: str) -> dict[str, int]:
    @ppl.model
    def nested():
        for i, nest in enumerate(nests):
            declare(list(nest), f"x{i}")

    def declare(names: list[str], site: str) -> None:
        if not names:
            ppl.sample(site, dist.Normal(0.0, 1.0))
            return
        with ppl.plate(names[0], size=2):
            declare(names[1:], site)

    return plate_positions(nested())


@pytest.mark.parametrize(
    ("nests", "expected"),
    [
        (("a",), {"a": 1}),
        (("ab",), {"a": 2, "b": 1}),
        (("a", "b"), {"a": 1, "b": 1}),
        (("a", "b", "ab"), {"a": 2, "b": 1}),
        (("abc", "ac", "bd"), {"a": 3, "b": 2, "c": 1, "d": 1}),
        (("ab", "cb", "ca"), {"c": 3, "a": 2, "b": 1}),
    ],
)
def test_positions_count_from_the_innermost_plate(nests: tuple[str, ...], expected: dict[str, int]):
    assert positions(*nests) == expected


@pytest.mark.parametrize("nests", [("ab", "ba"), ("ab", "bc", "ca")])
def test_plates_nested_in_both_orders_have_no_position(nests: tuple[str, ...]):
    with pytest.raises(PlateError, match=r"(?s)nested in both orders.*in one order everywhere"):
        positions(*nests)


@pytest.mark.parametrize(
    ("layout", "event", "text"),
    [
        (Layout(False, (), 0), (), "()"),
        (Layout(False, (), 1), (5,), "(5,)"),
        (Layout(False, (PLATES[0], None), 1), (5,), "(3, 1, 5)"),
        (Layout(True, (), 0), (), "(lead + ())"),
        (Layout(True, (PLATES[0],), 0), (), "(lead + (3,))"),
    ],
)
def test_shapes_as_text_are_python(layout: Layout, event: tuple[int, ...], text: str):
    low = Lowering(TORCH, POSITIONS, "float32", lambda leaf: Piece("x", 0, layout), lead_shape="lead")
    assert low.shape_text(layout, event) == text
    sizes = tuple(1 if p is None else p.size for p in layout.frame) + event
    assert eval(text, {"lead": LEAD}) == (LEAD if layout.lead else ()) + sizes
