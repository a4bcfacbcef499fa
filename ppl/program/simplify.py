"""Algebra on expression graphs before they are lowered: shared parts, folded constants, sums pushed inwards.

The formulas of the families are written for reading. What an expert would simplify by hand (a scale of one, the log of a
constant, a normaliser summed over rows it does not depend on) is simplified here, once for both backends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from .ops import apply
from .values import Plate, Value, is_constant, rewrite

_UNARY: dict[str, Callable[[Any], Any]] = {
    "negative": lambda x: -x,
    "abs": abs,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "square": lambda x: x * x,
    "lgamma": math.lgamma,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "erf": math.erf,
    "sigmoid": lambda x: 1.0 / (1.0 + math.exp(-x)),
    "softplus": lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0.0),
    "logit": lambda x: math.log(x) - math.log1p(-x),
}
_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "pow": lambda a, b: a**b,
    "maximum": max,
    "minimum": min,
}


def number(value: Value) -> float | None:
    """The number of a scalar constant, or None."""
    return value.attrs[0][1] if is_constant(value) and not isinstance(value.attrs[0][1], bool) else None


class Simplifier:
    """Rewrites graphs bottom-up; equal subgraphs become one.

    Args:
        counts: number of evaluated elements of each plate, where it differs from the plate's size.
    """

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.counts = counts or {}
        self._table: dict[Any, Value] = {}

    def __call__(self, roots: dict[str, Value]) -> dict[str, Value]:
        """Simplified expressions under the same names."""
        return rewrite(roots, self._node)

    def _node(self, node: Value, args: tuple[Value, ...]) -> Value:
        return self._share(self._rule(node, args))

    def _share(self, node: Value) -> Value:
        # bool, int and float constants compare equal in Python but are different values here.
        attrs = tuple((k, type(v).__name__, v) for k, v in node.attrs)
        key = (node.op, tuple(id(a) for a in node.args), attrs, node.plates, node.shape, node.dtype)
        try:
            found = self._table.get(key)
        except TypeError:
            return node
        if found is None:
            self._table[key] = node
            return node
        if node.hint and not found.hint:
            found.hint.extend(node.hint)
        return found

    def _make(self, op: str, *args: Any, **attrs: Any) -> Value:
        return self._node_from(apply(op, *args, **attrs))

    def _node_from(self, node: Value) -> Value:
        shared = tuple(self._share(a) for a in node.args)
        return self._node(Value(node.op, shared, node.attrs, node.plates, node.shape, node.dtype, node.hint), shared)

    def _rule(self, node: Value, args: tuple[Value, ...]) -> Value:
        kept = Value(node.op, args, node.attrs, node.plates, node.shape, node.dtype, node.hint) if args else node
        folded = self._fold(node, args)
        if folded is not None:
            return folded
        if node.op in ("sum", "plate_sum"):
            try:
                return self._sum(kept)
            except _GiveUp:
                return kept
        rule = getattr(self, f"_{node.op}", None)
        simpler = rule(kept, *args) if rule else None
        return kept if simpler is None else simpler

    def _fold(self, node: Value, args: tuple[Value, ...]) -> Value | None:
        numbers = [number(a) for a in args]
        if not args or any(n is None for n in numbers) or node.shape:
            return None
        function = _UNARY.get(node.op) if len(args) == 1 else _BINARY.get(node.op) if len(args) == 2 else None
        if function is None:
            return None
        try:
            result = function(*numbers)
        except (ValueError, OverflowError, ZeroDivisionError):
            return None
        return Value("const", (), (("value", float(result) if node.dtype == "float" else result),), (), (), node.dtype)

    # --- elementwise identities: each gives a simpler value, or None to keep the node -------------------------------

    def _same(self, kept: Value, value: Value) -> Value | None:
        return value if value.shape == kept.shape and value.dtype == kept.dtype else None

    def _add(self, kept: Value, a: Value, b: Value) -> Value | None:
        if number(a) == 0:
            return self._same(kept, b)
        if number(b) == 0:
            return self._same(kept, a)
        if b.op == "negative":
            return self._make("subtract", a, b.args[0])
        if a.op == "negative":
            return self._make("subtract", b, a.args[0])
        if number(b) is not None and a.op in ("add", "subtract") and number(a.args[1]) is not None:
            # (x - c) + d: one constant instead of two
            shift = number(a.args[1]) * (1 if a.op == "add" else -1) + number(b)  # type: ignore[operator]
            return self._make("add", a.args[0], shift)
        return None

    def _subtract(self, kept: Value, a: Value, b: Value) -> Value | None:
        if number(b) == 0:
            return self._same(kept, a)
        if number(a) == 0:
            return self._make("negative", b) if b.shape == kept.shape else None
        if b.op == "negative":
            return self._make("add", a, b.args[0])
        if number(b) is not None and a.op in ("add", "subtract") and number(a.args[1]) is not None:
            shift = number(a.args[1]) * (1 if a.op == "add" else -1) - number(b)  # type: ignore[operator]
            return self._make("add" if shift >= 0 else "subtract", a.args[0], abs(shift))
        return None

    def _multiply(self, kept: Value, a: Value, b: Value) -> Value | None:
        if number(a) is None and number(b) is not None:
            a, b = b, a
        c = number(a)
        if c is None:
            return None
        if c == 1:
            return self._same(kept, b)
        if c == -1 and b.dtype == kept.dtype and b.shape == kept.shape:
            return self._make("negative", b)
        if b.op == "negative":
            return self._make("multiply", -c, b.args[0])
        if b.op == "multiply" and number(b.args[0]) is not None:
            return self._make("multiply", c * number(b.args[0]), b.args[1])  # type: ignore[operator]
        return None

    def _divide(self, kept: Value, a: Value, b: Value) -> Value | None:
        return self._same(kept, a) if number(b) == 1 else None

    def _negative(self, kept: Value, a: Value) -> Value | None:
        if a.op == "negative":
            return self._same(kept, a.args[0])
        if a.op == "subtract":
            return self._make("subtract", a.args[1], a.args[0])
        if a.op == "multiply" and number(a.args[0]) is not None:
            return self._make("multiply", -number(a.args[0]), a.args[1])  # type: ignore[operator]
        return None

    def _pow(self, kept: Value, a: Value, b: Value) -> Value | None:
        if number(b) == 2 and kept.dtype == "float":
            return self._make("square", a)
        if number(b) == 1:
            return self._same(kept, a)
        return None

    def _log(self, kept: Value, a: Value) -> Value | None:
        return a.args[0] if a.op == "exp" else None

    def _exp(self, kept: Value, a: Value) -> Value | None:
        return a.args[0] if a.op == "log" else None

    def _where(self, kept: Value, condition: Value, a: Value, b: Value) -> Value | None:
        return self._same(kept, a) if a is b else None

    # --- sums ------------------------------------------------------------------------------------------------------

    def _count(self, plate: Plate) -> int:
        return self.counts.get(plate.name, plate.size)

    def _sum(self, node: Value) -> Value:
        """Push a sum (over event axes, or over plates and event axes) past constants and terms it does not touch."""
        (body,) = node.args
        attrs = dict(node.attrs)
        if attrs.get("keepdims") or node.dtype != "float":
            return node
        plates: tuple[Plate, ...] = attrs.get("plates", ())
        axes: tuple[int, ...] = attrs.get("axis", ())
        if body.op == "sum" and plates and not dict(body.attrs).get("keepdims"):
            # One reduction over plates and event axes instead of two; event axes are those of the inner body.
            inner_axes = body.attr("axis")
            left = [i for i in range(-body.args[0].ndim, 0) if i not in inner_axes]
            outer = tuple(left[a] for a in axes)
            return self._total(body.args[0], plates, tuple(sorted([*inner_axes, *outer])))
        return self._total(body, plates, axes, node)

    def _total(self, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...], node: Value | None = None) -> Value:
        if body.op == "negative":
            return self._make("negative", self._part(body, body.args[0], plates, axes))
        if body.op in ("multiply", "divide"):
            a, b = body.args
            if body.op == "multiply" and self._untouched(a, body, plates, axes):
                return self._make("multiply", a, self._part(body, b, plates, axes))
            if self._untouched(b, body, plates, axes):
                return self._make(body.op, self._part(body, a, plates, axes), b)
        if body.op in ("add", "subtract"):
            a, b = body.args
            if self._smaller(a, body, plates, axes) or self._smaller(b, body, plates, axes):
                left = self._part(body, a, plates, axes)
                return self._make(body.op, left, self._part(body, b, plates, axes))
        return self._reduced(body, plates, axes) if node is None or node.op == "plate_sum" else node

    def _untouched(self, value: Value, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> bool:
        """Whether a factor is the same for everything that is summed (and has no event axes of its own)."""
        return not value.shape and not any(p in plates for p in value.plates)

    def _smaller(self, value: Value, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> bool:
        lacks_plate = any(p in body.plates and p not in value.plates for p in plates)
        lacks_axis = any(-a > value.ndim or (value.shape[a] == 1 and body.shape[a] != 1) for a in axes)
        return lacks_plate or lacks_axis

    def _part(self, body: Value, term: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> Value:
        """The sum of one term of a body: summed over what it varies over, counted over the rest."""
        count = 1
        for plate in plates:
            if plate not in term.plates:
                count *= self._count(plate)
        own: list[int] = []
        drop: list[int] = []
        for a in axes:
            if -a > term.ndim:
                count *= body.shape[a]
            elif term.shape[a] == 1 and body.shape[a] != 1:
                count *= body.shape[a]
                drop.append(a)
            else:
                own.append(a)
        out = self._reduced(term, tuple(p for p in plates if p in term.plates), tuple(sorted([*own, *drop])))
        rank = body.ndim - len(axes)
        if out.ndim < rank and body.ndim > term.ndim and out.ndim:
            # Axes that stay must line up; this is rare enough to give up on pushing the sum.
            raise _GiveUp
        return out if count == 1 else self._make("multiply", float(count), out)

    def _reduced(self, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> Value:
        if not plates and not axes:
            return body
        shape = tuple(n for i, n in enumerate(body.shape) if i - body.ndim not in axes)
        rest = tuple(p for p in body.plates if p not in plates)
        if plates:
            attrs: tuple[tuple[str, Any], ...] = (("axis", axes), ("plates", plates))
            node = Value("plate_sum", (body,), attrs, rest, shape, body.dtype)
        else:
            node = Value("sum", (body,), (("axis", axes),), rest, shape, body.dtype)
        again = body.op in ("negative", "multiply", "divide", "add", "subtract", "sum")
        return self._share(self._sum(node) if again and not self._stuck(body, plates, axes) else node)

    def _stuck(self, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> bool:
        if body.op == "negative" or body.op == "sum":
            return body.op == "sum" and not plates
        a, b = body.args
        if body.op in ("multiply", "divide"):
            return not (
                (body.op == "multiply" and self._untouched(a, body, plates, axes))
                or self._untouched(b, body, plates, axes)
            )
        return not (self._smaller(a, body, plates, axes) or self._smaller(b, body, plates, axes))


class _GiveUp(Exception):
    """A sum that cannot be pushed inwards; it stays as it was."""


def simplify(roots: dict[str, Value], counts: Mapping[str, int] | None = None) -> dict[str, Value]:
    """Simplify named expressions together.

    Args:
        roots: expressions by name; shared parts stay shared.
        counts: evaluated elements of subsampled plates.
    """
    return Simplifier(counts)(roots)
