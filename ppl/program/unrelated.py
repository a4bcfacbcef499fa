"""Arrays whose rows belong to different plates: combined row by row, they would be paired by accident."""

from __future__ import annotations

from collections.abc import Sequence

from ppl.errors import PlateError, user_location

from .values import OPEN_PLATES, Plate, Value
from .vocabulary import OPS

# How many operations are looked through for the plate that an axis comes from.
DEPTH = 3


def refuse_unrelated(name: str, values: Sequence[Value]) -> None:
    """Refuse to line up the rows of one plate with those of another, where a model is declared.

    Args:
        name: the operation or family that does so.
        values: its operands, as they are seen here; their axes are lined up from the right.

    Raises:
        PlateError: an axis of one operand comes from another plate than that of another operand.
    """
    if OPEN_PLATES.get() is None or sum(bool(v.shape) for v in values) < 2:
        return
    found: dict[int, tuple[Plate, Value]] = {}
    for value in values:
        for axis, plate in axis_plates(value).items():
            other, earlier = found.setdefault(axis, (plate, value))
            if other.name != plate.name:
                raise PlateError(
                    f"{name}: the rows of plate {other.name!r} have nothing to do with those of plate {plate.name!r}.",
                    declared_at=user_location(),
                    plate=f"{other} and {plate}",
                    expected="arrays over one plate, or one element of each",
                    got=f"{earlier!r}, whose axis is {other.name!r}, and {value!r}, whose axis is {plate.name!r}",
                    remedy=f"Cross the plates: with ppl.plate({other.name!r}, ...), ppl.plate({plate.name!r}, ...). If "
                    "they are one plate, give it one name; to pair arrays of any origin, map one plate over both: "
                    "ppl.plate(name, (a, b)).",
                )


def axis_plates(value: Value, depth: int = DEPTH) -> dict[int, Plate]:
    """The plate that each axis of an array comes from, by the axis counted from the right; those that are known."""
    if value.op == "leave":
        plates: tuple[Plate, ...] = value.attr("plates")
        return {i - value.ndim: p for i, p in enumerate(plates) if p.size > 1}
    if depth and value.op in OPS and OPS[value.op].kind == "elementwise":
        return {axis: p for a in value.args for axis, p in axis_plates(a, depth - 1).items()}
    return {}
