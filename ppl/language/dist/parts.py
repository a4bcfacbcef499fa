"""What bijections and kernels have in common: operands, settings and parts, by which they compare and travel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

from ppl.program.supports import same_value
from ppl.program.values import Value


class Assembled(ABC):
    """Something in ops that is made of values, settings, and others of its kind.

    Attributes:
        params: operands, as values.
        static: settings that are not values.
        parts: what this one is made of.
    """

    params: dict[str, Value]
    static: dict[str, Any]
    parts: tuple[Any, ...]

    def _settle(self) -> None:  # noqa: B027 - most have nothing to derive
        """Derive what follows from the parts."""

    def substitute(self, replace: Callable[[Value], Value]) -> Self:
        """The same with every operand `v` replaced by `replace(v)`."""
        parts = self.to_parts()
        parts["params"] = {name: replace(v) for name, v in self.params.items()}
        parts["parts"] = tuple(part.substitute(replace) for part in self.parts)
        return self.from_parts(parts)

    def to_parts(self) -> dict[str, Any]:
        """What a file needs to hold: name, operands, settings and inner parts."""
        return {"kind": type(self).__name__, "params": self.params, "static": self.static, "parts": self.parts}

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> Self:
        """Rebuild it from `to_parts`."""
        out = cls.__new__(cls)
        out.params, out.static, out.parts = dict(parts["params"]), dict(parts["static"]), tuple(parts["parts"])
        out._settle()
        return out

    @abstractmethod
    def text(self, show: Callable[[Value], str]) -> str:
        """It as a person writes it, its operands shown by a function."""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Assembled):
            return NotImplemented
        if type(self) is not type(other) or self.static != other.static or self.parts != other.parts:
            return False
        mine, theirs = list(self.params.values()), list(other.params.values())
        return len(mine) == len(theirs) and all(same_value(a, b) for a, b in zip(mine, theirs, strict=True))

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.parts))

    def __repr__(self) -> str:
        from ppl.program.printing import expression

        return self.text(expression)
