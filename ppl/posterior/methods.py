"""Methods and figures as plain data: what a saved fit says about how it was made."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ppl.errors import FormatError, PPLError
from ppl.program.program import Program

T = TypeVar("T", bound=type)

# Classes that a file may name, by qualified name. Inference enters its own when it is imported; a name that is not here
# is never looked up, let alone imported.
METHODS: dict[str, type] = {}


def qualified_name(kind: type) -> str:
    """Module and name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def register(kind: T) -> T:
    """Class decorator: instances of this frozen dataclass come back as such when a fit is loaded."""
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is no dataclass")
    METHODS[qualified_name(kind)] = kind
    return kind  # type: ignore[return-value]


@dataclass(frozen=True)
class MethodRecord:
    """A method that a file names and this installation does not know: its name, settings and printed form."""

    type: str
    fields: Mapping[str, Any]
    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Printed:
    """A setting that no file can hold, as it printed."""

    text: str

    def __repr__(self) -> str:
        return self.text


# Tag of a JSON object that stands for something else.
TAG = "$"


class Encoder:
    """Turns settings and figures into JSON; arrays go to `store`, which returns the name to find them by.

    Args:
        store: keeps an array.
        strict: refuse what cannot be restored, instead of keeping how it printed.
    """

    def __init__(self, store: Callable[[np.ndarray], str], *, strict: bool) -> None:
        self.store = store
        self.strict = strict

    def encode(self, item: Any) -> Any:
        """One item, nested ones included.

        Raises:
            FormatError: it cannot be restored, and `strict` was asked for.
        """
        if item is None or isinstance(item, (bool, int, str)):
            return item
        if isinstance(item, np.generic):
            return self.encode(item.item())
        if isinstance(item, float):
            # JSON has no NaN and no infinity.
            return item if math.isfinite(item) else {TAG: "float", "text": repr(item)}
        if isinstance(item, np.ndarray):
            return {TAG: "array", "name": self.store(item)}
        if isinstance(item, list):
            return [self.encode(i) for i in item]
        if isinstance(item, tuple):
            return {TAG: "tuple", "items": [self.encode(i) for i in item]}
        if isinstance(item, Mapping):
            if all(isinstance(k, str) and not k.startswith(TAG) for k in item):
                return {k: self.encode(v) for k, v in item.items()}
            return {TAG: "mapping", "items": [[self.encode(k), self.encode(v)] for k, v in item.items()]}
        if isinstance(item, Path):
            return {TAG: "path", "text": str(item)}
        if isinstance(item, Program):
            return {TAG: "program", "document": json.loads(item.to_json())}
        if dataclasses.is_dataclass(item) and not isinstance(item, type):
            fields = {f.name: getattr(item, f.name) for f in dataclasses.fields(item) if f.init}
            if isinstance(item, MethodRecord):
                return {TAG: "record", "type": item.type, "fields": self.encode(dict(item.fields)), "text": item.text}
            own = {n: self.encode(v) for n, v in fields.items()}
            return {TAG: "record", "type": qualified_name(type(item)), "fields": own, "text": repr(item)}
        if self.strict:
            raise FormatError(
                "a diagnostic cannot be saved.",
                expected="numbers, strings, numpy arrays, and lists and dicts of them",
                got=f"{type(item).__name__}: {item!r:.60}",
            )
        return {TAG: "printed", "text": repr(item)}


class Decoder:
    """Turns the JSON of `Encoder` back.

    Args:
        fetch: gives an array by the name under which it was stored.
        programs: programs of the fit, data included; an equal one replaces its bare declaration.
    """

    def __init__(self, fetch: Callable[[str], np.ndarray], programs: tuple[Program, ...] = ()) -> None:
        self.fetch = fetch
        self.programs = programs

    def decode(self, item: Any) -> Any:
        """One item, nested ones included."""
        if isinstance(item, list):
            return [self.decode(i) for i in item]
        if not isinstance(item, dict):
            return item
        match item.get(TAG):
            case None:
                return {k: self.decode(v) for k, v in item.items()}
            case "float":
                return float(item["text"])
            case "array":
                return self.fetch(item["name"])
            case "tuple":
                return tuple(self.decode(i) for i in item["items"])
            case "mapping":
                return {self.decode(k): self.decode(v) for k, v in item["items"]}
            case "path":
                return Path(item["text"])
            case "program":
                program = Program.from_json(json.dumps(item["document"]))
                return next((p for p in self.programs if p == program), program)
            case "record":
                return self._record(item)
            case "printed":
                return Printed(item["text"])
        raise FormatError(f"the manifest holds an item of unknown kind {item[TAG]!r}.")

    def _record(self, item: Mapping[str, Any]) -> Any:
        fields = {name: self.decode(value) for name, value in item["fields"].items()}
        kind = METHODS.get(item["type"])
        if kind is not None:
            try:
                return kind(**fields)
            except (TypeError, ValueError, PPLError):
                # Another version of the class: its settings are worth more as a record than not at all.
                return MethodRecord(item["type"], fields, item["text"])
        return MethodRecord(item["type"], fields, item["text"])
