"""Plates: inside one, the user sees one element."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ppl.errors import PlateError, user_location
from ppl.program.ops import element, in_scope
from ppl.program.statements import PlateStatement
from ppl.program.values import OPEN_PLATES, Plate, Value

from .arrays import is_array, to_numpy
from .trace import Trace, current


@contextmanager
def plate(name: str, input: Any = None, *, size: int | None = None) -> Generator[Any]:
    """Repeat what stands inside, independently, for each row of an input.

    Args:
        name: name of the plate; it becomes a dimension of the posterior.
        input: what to map over its leading axis: an array or value, or a tuple or dict of them.
        size: number of elements, for a plate without input.

    Yields:
        One element of the input, in the structure of the input; for `size=n`, the index of the element.

    Raises:
        PlateError: size 0, no leading axis, inputs of different lengths, a size that disagrees with its input, or a
            name used before with another size.
    """
    trace = current(f"ppl.plate({name!r})")
    trace.harvest()
    at = user_location()
    rows = mapped_rows(trace, "plate", name, input, size)
    here = rows.plate
    trace.open_plate(PlateStatement(here, trace.open, rows.values, at))
    token = OPEN_PLATES.set((*trace.open, here))
    try:
        elements = rows.elements()
        yield rebuilt(input, iter(elements)) if rows.values else elements[0]
        # By now the elements carry the user's variable names, if a statement inside has seen them.
        trace.harvest()
        names = [e.hint[0] for e in elements if e.hint]
        if len(names) == len(elements):
            trace.note_alias(name, names[0] if len(names) == 1 else f"({', '.join(names)})")
    finally:
        OPEN_PLATES.reset(token)


# What the number of elements is called.
_SIZE = {"plate": "size", "scan": "length"}


@dataclass(frozen=True)
class Rows:
    """What a plate or a scan maps over.

    Attributes:
        plate: name and number of elements.
        values: the arrays, in order; none for a number of elements alone.
    """

    plate: Plate
    values: tuple[Value, ...]

    def elements(self) -> list[Value]:
        """One element of each array, or the index of the element."""
        if self.values:
            return [element(v, self.plate) for v in self.values]
        return [Value("plate_index", (), (("plate", self.plate),), (self.plate,), (), "int")]


def mapped_rows(trace: Trace, what: str, name: Any, input: Any, size: int | None) -> Rows:
    """Check what a plate or a scan maps over.

    Args:
        trace: the model that is being traced.
        what: "plate" or "scan".
        name: its name.
        input: arrays or values to map over, or None.
        size: number of elements, or None.

    Raises:
        PlateError: no name, a scalar, inputs of different lengths, or a size that is none or another.
    """
    at = user_location()
    size_word = _SIZE[what]
    if not isinstance(name, str) or not name:
        raise PlateError(
            f"a {what} needs a name first.",
            model=trace.model,
            declared_at=at,
            expected="a string",
            got=repr(name),
            remedy=f'Write ppl.{what}("name", ...).',
        )
    leaves = _values(trace, what, name, input)
    lengths = {value.shape[0] if value.shape else None for value in leaves}
    if None in lengths:
        raise PlateError(
            f"{what} {name!r} maps over a scalar.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected="an array with a leading axis of rows",
            got=", ".join(repr(v) for v in leaves),
            remedy=f"Inside another plate an input is one element; a {what} without input takes {size_word}=n.",
        )
    if len(lengths) > 1:
        raise PlateError(
            f"the inputs of {what} {name!r} have different lengths.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected="one length",
            got=", ".join(f"{v!r} with {v.shape[0]} rows" for v in leaves),
            remedy=f"Arrays that a {what} maps over together need one leading axis of one length.",
        )
    if not lengths and size is None:
        raise PlateError(
            f"{what} {name!r} has neither an input nor a {size_word}.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected=f"an input or a {size_word}",
            got="neither",
            remedy=f"Give it an array to map over, or {size_word}=n.",
        )
    length = next(iter(lengths), None)
    if length is not None and size is not None and length != size:
        raise PlateError(
            f"{what} {name!r} has {size_word} {size}, but its input has {length} rows.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected=f"{length}, the rows of {', '.join(repr(v) for v in leaves)}",
            got=f"{size_word}={size}",
            remedy=f"Leave `{size_word}` out: the input tells it.",
        )
    count = length if length is not None else size
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool):
        raise PlateError(
            f"{what} {name!r} needs an integer {size_word}.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected="a positive integer",
            got=repr(count),
            remedy="A size is known when the model is declared; it cannot be a random value.",
        )
    return Rows(Plate(name, int(count)), tuple(leaves))


def _values(trace: Trace, what: str, name: str, item: Any) -> list[Value]:
    if item is None:
        return []
    if isinstance(item, Value):
        return [in_scope(item)]
    if isinstance(item, Mapping):
        parts = cast("Mapping[str, Any]", item)
        return [leaf for key, part in parts.items() for leaf in _values(trace, what, f"{name}.{key}", part)]
    if isinstance(item, tuple):
        members = cast("tuple[Any, ...]", item)
        return [leaf for i, part in enumerate(members) for leaf in _values(trace, what, f"{name}.{i}", part)]
    if is_array(item) or isinstance(item, list):
        return [trace.array_value(to_numpy(item, name), name)]
    raise PlateError(
        f"{what} {name!r} cannot map over a {type(item).__name__}.",
        model=trace.model,
        declared_at=user_location(),
        plate=name,
        expected="an array, a value, or a tuple or dict of them",
        got=repr(item),
        remedy=f"Write ppl.{what}({name!r}, {_SIZE[what]}={item!r})."
        if isinstance(item, int)
        else "Pass numbers as an array.",
    )


def rebuilt(structure: Any, elements: Iterator[Value]) -> Any:
    """Elements in the structure of the input that was mapped over."""
    if isinstance(structure, Mapping):
        return {key: rebuilt(part, elements) for key, part in cast("Mapping[str, Any]", structure).items()}
    if isinstance(structure, tuple):
        parts = [rebuilt(part, elements) for part in cast("tuple[Any, ...]", structure)]
        # A named tuple takes its fields one by one.
        make = cast("Any", type(structure))  # pyright: ignore[reportUnknownArgumentType]
        return make(*parts) if hasattr(make, "_fields") else make(parts)
    return next(elements)
