"""Whose rows the axes of an array are: combined row by row, arrays of unrelated plates would be paired by accident.

Outside of its plate a value is the whole array, with an axis for the rows of the plate. The rows of two plates that
have nothing to do with each other may be as many, or broadcast, and then no shape tells that row i of the one would
meet row i of the other. So these axes are followed through what is computed element by element. Whatever says itself
how rows belong together is left alone: new axes, slices, indices, contractions, reductions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from ppl.errors import PlateError, user_location

from .values import OPEN_PLATES, Plate, Value, walk

# What a plate without input, and steps of time, have their rows from.
Origin = tuple[str, Any]
TIME: Origin = ("time", None)


@dataclass
class Origins:
    """What is known about axes and plates while a model is traced.

    Attributes:
        plates: for each plate, where its rows come from: itself, and the arrays and plates that it maps over.
        axes: for each array with axes from plates, by identity: the array, and its plates by axis from the right.
    """

    plates: dict[str, set[Origin]] = field(default_factory=dict[str, set[Origin]])
    axes: dict[int, tuple[Value, dict[int, Plate]]] = field(default_factory=dict[int, tuple[Value, dict[int, Plate]]])

    def of(self, value: Value) -> dict[int, Plate]:
        """The plate that each axis of an array comes from, by the axis counted from the right; those that are known."""
        return self.axes[id(value)][1] if id(value) in self.axes else {}

    def note(self, value: Value, plates: dict[int, Plate]) -> None:
        """Remember axes; one element is paired with nothing but itself, or with all."""
        several = {axis: plate for axis, plate in plates.items() if plate.size > 1}
        if several:
            self.axes[id(value)] = (value, several)

    def open(self, plate: Plate, rows: Iterable[Value], ordered: bool) -> None:
        """Remember where the rows of a plate come from."""
        found = self.plates.setdefault(plate.name, {("plate", plate.name)})
        if ordered:
            found.add(TIME)
        for array in rows:
            # Anything of as many rows that the array is computed from; rather too much than a pair torn apart.
            for node in walk([array]):
                if node.op == "leave":
                    for own in node.attr("plates"):
                        found |= self.plates.get(own.name, set()) if own.size == plate.size else set()
                elif not node.args and node.shape[:1] == (plate.size,):
                    found.add((node.op, node.attrs))

    def related(self, one: Plate, two: Plate) -> bool:
        """Whether row i of one plate has something to do with row i of the other."""
        none: set[Origin] = set()
        return one.name == two.name or bool(self.plates.get(one.name, none) & self.plates.get(two.name, none))


# While a model is traced.
ORIGINS: ContextVar[Origins | None] = ContextVar("origins", default=None)


def left(value: Value, plates: tuple[Plate, ...]) -> None:
    """Note that plates have become the leading axes of a value."""
    origins = ORIGINS.get()
    if origins is not None:
        origins.note(value, {i - value.ndim: p for i, p in enumerate(plates)} | origins.of(value.args[0]))


def inherit(out: Value, values: Sequence[Value]) -> None:
    """Note the axes of a result whose operands broadcast against each other, or which rearranges its only operand."""
    origins = ORIGINS.get()
    if origins is None or not origins.axes:
        return
    if out.op == "index":
        origins.note(out, _indexed(origins.of(values[0]), out))
    else:
        origins.note(out, {axis: p for v in reversed(values) for axis, p in origins.of(v).items()})


def _indexed(before: dict[int, Plate], out: Value) -> dict[int, Plate]:
    """The axes that are whole after slicing; who picks some rows has thought of which."""
    after: dict[int, Plate] = {}
    axis, place = -out.args[0].ndim, -out.ndim
    for key in out.attr("key"):
        plate = before.get(axis) if key is not None else None
        if plate is not None and key == (0, plate.size, 1):
            after[place] = plate
        axis += key is not None
        place += not isinstance(key, int)
    return after


def refuse_unrelated(name: str, values: Iterable[Value]) -> None:
    """Refuse to line up the rows of one plate with those of another, where a model is declared.

    Args:
        name: the operation or family that does so.
        values: its operands, as they are seen here; their axes are lined up from the right.

    Raises:
        PlateError: an axis of one operand comes from another plate than that of another operand.
    """
    origins = ORIGINS.get()
    if origins is None or not origins.axes:
        return
    found: dict[int, tuple[Plate, Value]] = {}
    for value in values:
        for axis, plate in origins.of(value).items():
            other, earlier = found.setdefault(axis, (plate, value))
            if not origins.related(other, plate):
                raise PlateError(
                    f"{name}: the rows of plate {other.name!r} have nothing to do with those of plate {plate.name!r}.",
                    declared_at=user_location(),
                    plate=f"{other} and {plate}",
                    expected="arrays over one plate, or one element of each",
                    got=f"{earlier!r}, whose axis is {other.name!r}, and {value!r}, whose axis is {plate.name!r}",
                    remedy=f"For all pairs open both: with ppl.plate({other.name!r}, ...), "
                    f"ppl.plate({plate.name!r}, ...). If they are one plate, give it one name; if row i belongs to row "
                    "i all the same, map one plate over both arrays: ppl.plate(name, (a, b)).",
                )


def mask_remedy(mask: Value, event_rank: int) -> str:
    """What to do about a mask that does not fit."""
    if mask.dtype != "bool":
        return "Compare: mask != 0 gives booleans."
    plate = next((p for p in OPEN_PLATES.get() or () if mask.shape[:1] == (p.size,)), None)
    if plate is not None:
        return (
            f"Inside plate {plate.name!r} there is one element: map the mask along with the data, "
            f"with ppl.plate({plate.name!r}, (x, mask)) as (row, known)."
        )
    origins = ORIGINS.get()
    other = None if origins is None else origins.of(mask).get(-mask.ndim)
    if other is not None:
        return f"It varies over plate {other.name!r}, which is not open here: open it around this one, or inside."
    if event_rank:
        return "A joint draw is left out as a whole; what is missing of its data is NaN there, see Program.observe."
    return "A mask has a value for each independent element of one draw, plates aside."
