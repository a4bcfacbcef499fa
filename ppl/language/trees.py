"""Trees of values: tuples, lists, dicts, named tuples and dataclasses, with values or numbers at the leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, cast

from ppl.program.values import Value


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The leaves of a tree with their paths, in order; None stands for no leaf at all."""
    parts = _parts(tree)
    if parts is None:
        if tree is not None:
            yield path, tree
        return
    for key, part in parts.items():
        yield from leaves(part, (*path, key))


def rebuild(tree: Any, values: Iterator[Any]) -> Any:
    """A tree of the same structure with other leaves, taken in order."""
    parts = _parts(tree)
    if parts is None:
        return None if tree is None else next(values)
    items = {key: rebuild(part, values) for key, part in parts.items()}
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return dataclasses.replace(tree, **items)
    if isinstance(tree, Mapping):
        return {key: items[str(key)] for key in cast("Mapping[Any, Any]", tree)}
    make = cast("Any", type(tree))
    return make(**items) if hasattr(make, "_fields") else make(items.values())


def structure(tree: Any) -> str:
    """The shape of a tree as text: `(x, {'h': x})`; the order of keys does not count."""
    parts = _parts(tree)
    if parts is None:
        return "None" if tree is None else "x"
    if isinstance(tree, Mapping) or hasattr(tree, "_fields") or dataclasses.is_dataclass(tree):
        return "{" + ", ".join(f"{k!r}: {structure(parts[k])}" for k in sorted(parts)) + "}"
    inner = [structure(p) for p in parts.values()]
    return f"({', '.join(inner)}{',' if len(inner) == 1 else ''})"


def _parts(tree: Any) -> dict[str, Any] | None:
    """The branches of a node by key; None for a leaf."""
    if isinstance(tree, Value):
        return None
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return {f.name: getattr(tree, f.name) for f in dataclasses.fields(tree)}
    if isinstance(tree, Mapping):
        return {str(k): v for k, v in cast("Mapping[Any, Any]", tree).items()}
    if isinstance(tree, (tuple, list)):
        names = getattr(cast("Any", tree), "_fields", None)
        items = cast("tuple[Any, ...]", tree)
        return {names[i] if names else str(i): item for i, item in enumerate(items)}
    return None
