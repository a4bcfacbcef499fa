"""Plates: inside one, the user sees one element."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
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
    if not isinstance(cast(Any, name), str) or not name:
        raise PlateError(
            "a plate needs a name first.",
            model=trace.model,
            declared_at=at,
            expected="a string",
            got=repr(name),
            remedy='Write ppl.plate("name", ...).',
        )
    leaves = _leaves(trace, name, input)
    lengths = {value.shape[0] if value.shape else None for value in leaves}
    if None in lengths:
        raise PlateError(
            f"plate {name!r} maps over a scalar.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected="an array with a leading axis of rows",
            got=", ".join(repr(v) for v in leaves),
            remedy="Inside another plate an input is one element; a plate without input takes size=n.",
        )
    if len(lengths) > 1:
        raise PlateError(
            f"the inputs of plate {name!r} have different lengths.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected="one length",
            got=", ".join(f"{v!r} with {v.shape[0]} rows" for v in leaves),
            remedy="Arrays that a plate maps over together need one leading axis of one length.",
        )
    if not lengths and size is None:
        raise PlateError(
            f"plate {name!r} has neither an input nor a size.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected="an input or a size",
            got="neither",
            remedy="Write plate(name, array) or plate(name, size=n).",
        )
    length = next(iter(lengths), None)
    if length is not None and size is not None and length != size:
        raise PlateError(
            f"plate {name!r} has size {size}, but its input has {length} rows.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected=f"{length}, the rows of {', '.join(repr(v) for v in leaves)}",
            got=f"size={size}",
            remedy="Leave `size` out: the input tells it.",
        )
    count = length if length is not None else size
    if not isinstance(count, (int, np.integer)) or isinstance(count, bool):
        raise PlateError(
            f"plate {name!r} needs an integer size.",
            model=trace.model,
            declared_at=at,
            plate=name,
            expected="a positive integer",
            got=repr(count),
            remedy="A size is known when the model is declared; it cannot be a random value.",
        )
    here = Plate(name, int(count))
    trace.open_plate(PlateStatement(here, trace.open, tuple(leaves), at))
    token = OPEN_PLATES.set((*trace.open, here))
    try:
        if leaves:
            elements = [element(v, here) for v in leaves]
            yield _rebuild(input, iter(elements))
        else:
            elements = [Value("plate_index", (), (("plate", here),), (here,), (), "int")]
            yield elements[0]
        # By now the elements carry the user's variable names, if a statement inside has seen them.
        trace.harvest()
        names = [e.hint[0] for e in elements if e.hint]
        if len(names) == len(elements):
            trace.note_alias(name, names[0] if len(names) == 1 else f"({', '.join(names)})")
    finally:
        OPEN_PLATES.reset(token)


def _leaves(trace: Trace, name: str, item: Any) -> list[Value]:
    if item is None:
        return []
    if isinstance(item, Value):
        return [in_scope(item)]
    if isinstance(item, Mapping):
        parts = cast("Mapping[str, Any]", item)
        return [leaf for key, part in parts.items() for leaf in _leaves(trace, f"{name}.{key}", part)]
    if isinstance(item, tuple):
        members = cast("tuple[Any, ...]", item)
        return [leaf for i, part in enumerate(members) for leaf in _leaves(trace, f"{name}.{i}", part)]
    if is_array(item) or isinstance(item, list):
        return [trace.array_value(to_numpy(item, name), name)]
    raise PlateError(
        f"plate {name!r} cannot map over a {type(item).__name__}.",
        model=trace.model,
        declared_at=user_location(),
        plate=name,
        expected="an array, a value, or a tuple or dict of them",
        got=repr(item),
        remedy=f"Write plate({name!r}, size={item!r})." if isinstance(item, int) else "Pass numbers as an array.",
    )


def _rebuild(structure: Any, elements: Iterator[Value]) -> Any:
    if isinstance(structure, Mapping):
        return {key: _rebuild(part, elements) for key, part in cast("Mapping[str, Any]", structure).items()}
    if isinstance(structure, tuple):
        return tuple(_rebuild(part, elements) for part in cast("tuple[Any, ...]", structure))
    return next(elements)
