"""Algebra on expression graphs before they are lowered: shared parts, folded constants, sums pushed inwards.

The formulas of the families are written for reading. What an expert would simplify by hand (a scale of one, the log of
a constant, a normaliser summed over rows it does not depend on) is simplified here, once for both backends.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from .ops import apply, element
from .values import Axis, Lane, Plate, Value, is_constant, lift, rewrite, walk

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
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "greater": lambda a, b: a > b,
    "greater_equal": lambda a, b: a >= b,
    "equal": lambda a, b: a == b,
    "not_equal": lambda a, b: a != b,
}


def number(value: Value) -> float | None:
    """The number of a scalar constant, or None."""
    return value.attrs[0][1] if is_constant(value) and not isinstance(value.attrs[0][1], bool) else None


def truth(value: Value) -> bool | None:
    """The truth value of a boolean constant, or None."""
    return value.attrs[0][1] if is_constant(value) and isinstance(value.attrs[0][1], bool) else None


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
        out = rewrite(roots, self._node)
        uses: Counter[int] = Counter(id(v) for v in out.values())
        for node in walk(list(out.values())):
            uses.update(id(a) for a in node.args)

        def gather(node: Value, args: tuple[Value, ...]) -> Value | None:
            if node.op != "lane_logsumexp":
                return None
            return Value(node.op, (self._gathered(args[0], uses),), node.attrs, node.plates, node.shape, node.dtype)

        out = rewrite(out, gather)
        return {name: self._gathered(value, uses) for name, value in out.items()}

    def _gathered(self, value: Value, uses: Mapping[int, int]) -> Value:
        """A scalar sum of terms with its constants and equal terms gathered."""
        if value.dtype != "float" or value.shape or value.op not in ("add", "subtract", "negative", "multiply"):
            return value
        constant, terms = self.linear(value, uses)
        return self.combine(constant, terms) if terms else value

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
        # Names are gathered when equal nodes are shared; those of the program itself stay as they are.
        kept = Value(node.op, args, node.attrs, node.plates, node.shape, node.dtype, list(node.hint))
        folded = self._fold(node, args)
        if folded is not None:
            return folded
        if node.op in ("sum", "plate_sum"):
            try:
                return self._sum(kept)
            except _GiveUp:
                return kept
        rule = getattr(self, f"_on_{node.op}", None)
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
        same = (value.shape, value.dtype, set(value.plates)) == (kept.shape, kept.dtype, set(kept.plates))
        return value if same else None

    def _on_add(self, kept: Value, a: Value, b: Value) -> Value | None:
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

    def _on_subtract(self, kept: Value, a: Value, b: Value) -> Value | None:
        if number(b) == 0:
            return self._same(kept, a)
        if number(a) == 0:
            return self._make("negative", b) if b.shape == kept.shape else None
        if b.op == "negative":
            return self._make("add", a, b.args[0])
        if number(b) is not None and a.op in ("add", "subtract") and number(a.args[1]) is not None:
            sign = 1.0 if a.op == "add" else -1.0
            shift = float(number(a.args[1]) or 0.0) * sign - float(number(b) or 0.0)
            return self._make("add" if shift >= 0 else "subtract", a.args[0], abs(shift))
        return None

    def _on_multiply(self, kept: Value, a: Value, b: Value) -> Value | None:
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

    def _on_divide(self, kept: Value, a: Value, b: Value) -> Value | None:
        return self._same(kept, a) if number(b) == 1 else None

    def _on_negative(self, kept: Value, a: Value) -> Value | None:
        if a.op == "negative":
            return self._same(kept, a.args[0])
        if a.op == "subtract":
            return self._make("subtract", a.args[1], a.args[0])
        if a.op == "multiply" and number(a.args[0]) is not None:
            return self._make("multiply", -number(a.args[0]), a.args[1])  # type: ignore[operator]
        return None

    def _on_pow(self, kept: Value, a: Value, b: Value) -> Value | None:
        if number(b) == 2 and kept.dtype == "float":
            return self._make("square", a)
        if number(b) == 1:
            return self._same(kept, a)
        return None

    def _on_log(self, kept: Value, a: Value) -> Value | None:
        return a.args[0] if a.op == "exp" else None

    def _on_exp(self, kept: Value, a: Value) -> Value | None:
        return a.args[0] if a.op == "log" else None

    def _on_where(self, kept: Value, condition: Value, a: Value, b: Value) -> Value | None:
        known = truth(condition)
        if known is not None:
            return self._same(kept, a if known else b)
        return self._same(kept, a) if a is b else None

    def _on_take(self, kept: Value, table: Value, index: Value) -> Value | None:
        """A table read at every one of its rows in turn needs no index: its rows are the lane."""
        lane = dict(index.attrs).get("plate") if index.op == "plate_index" else None
        if not isinstance(lane, (Lane, Axis)) or lane.size != table.shape[0] or lane in table.plates:
            return None
        return element(table, lane)

    def _on_logical_not(self, kept: Value, a: Value) -> Value | None:
        known = truth(a)
        return None if known is None else self._same(kept, lift(not known))

    def _on_logical_and(self, kept: Value, a: Value, b: Value) -> Value | None:
        for one, other in ((a, b), (b, a)):
            known = truth(one)
            if known is not None:
                return self._same(kept, other if known else one)
        return None

    def _on_logical_or(self, kept: Value, a: Value, b: Value) -> Value | None:
        for one, other in ((a, b), (b, a)):
            known = truth(one)
            if known is not None:
                return self._same(kept, one if known else other)
        return None

    # --- linear combinations -----------------------------------------------------------------------------------------

    def linear(self, value: Value, uses: Mapping[int, int] | None = None) -> tuple[float, list[tuple[float, Value]]]:
        """A real value as a constant plus coefficients times terms; equal terms are gathered.

        Sums that are smaller than the whole, or (where `uses` is given) needed elsewhere too, stay one term: taking
        them apart would compute them twice.
        """
        constant = 0.0
        order: dict[int, Value] = {}
        factors: dict[int, float] = {}
        stack: list[tuple[float, Value]] = [(1.0, value)]
        while stack:
            factor, node = stack.pop()
            c = number(node)
            if c is not None:
                constant += factor * c
            elif (
                node.dtype != "float"
                or node.op not in ("add", "subtract", "negative", "multiply", "divide")
                or (node is not value and uses is not None and uses.get(id(node), 0) > 1)
                or node.shape != value.shape
                or set(node.plates) != set(value.plates)
            ):
                order.setdefault(id(node), node)
                factors[id(node)] = factors.get(id(node), 0.0) + factor
            elif node.op in ("add", "subtract"):
                sign = 1.0 if node.op == "add" else -1.0
                stack.append((sign * factor, node.args[1]))
                stack.append((factor, node.args[0]))
            elif node.op == "negative":
                stack.append((-factor, node.args[0]))
            elif node.op == "multiply" and number(node.args[0]) is not None:
                stack.append((factor * float(number(node.args[0]) or 0.0), node.args[1]))
            elif node.op == "divide" and number(node.args[1]):
                stack.append((factor / float(number(node.args[1]) or 1.0), node.args[0]))
            else:
                order.setdefault(id(node), node)
                factors[id(node)] = factors.get(id(node), 0.0) + factor
        return constant, [(factors[k], v) for k, v in order.items() if factors[k] != 0.0]

    def combine(self, constant: float, terms: list[tuple[float, Value]]) -> Value:
        """The value of a linear combination, positive terms first, the constant last."""
        ordered = sorted(terms, key=lambda item: item[0] < 0)
        total: Value | None = None
        for factor, term in ordered:
            size = abs(factor)
            part = term if size == 1.0 else self._share(apply("multiply", size, term))
            if total is None:
                if factor < 0:
                    part = self._share(apply("negative", term) if size == 1.0 else apply("multiply", factor, term))
                total = part
            else:
                total = self._share(apply("add" if factor > 0 else "subtract", total, part))
        if total is None:
            return self._share(apply("add", constant, 0.0)) if constant else self._share(lift(constant))
        if constant:
            total = self._share(apply("add" if constant > 0 else "subtract", total, abs(constant)))
        return total

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
            axes = tuple(sorted([*inner_axes, *(left[a] for a in axes)]))
            body = body.args[0]
        if body.op == "plate_sum" and plates and not axes:
            # Sums over plates within sums over plates are one sum.
            plates, axes, body = (*plates, *body.attr("plates")), dict(body.attrs).get("axis", ()), body.args[0]
        return self._total(body, plates, axes)

    def _total(self, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> Value:
        constant, terms = self.linear(body)
        whole: list[tuple[float, Value]] = []
        out: list[tuple[float, Value]] = []
        for factor, term in terms:
            if self._smaller(term, body, plates, axes):
                count, rest = self._part(body, term, plates, axes)
                out.append((factor * count, rest))
            else:
                whole.append((factor, term))
        if len(whole) == 1:
            factor, term = whole[0]
            out.insert(0, (factor, self._product(term, body, plates, axes)))
        elif whole:
            common = abs(whole[0][0]) if len({abs(f) for f, _ in whole}) == 1 else 1.0
            inner = self.combine(0.0, [(f / common, t) for f, t in whole])
            out.insert(0, (common, self._reduced(inner, plates, axes)))
        if constant:
            constant *= self._size(body, plates, axes)
        rank = body.ndim - len(axes)
        if rank and (not whole or (constant and not out)):
            # What is left might lack an axis that stays; the plain sum keeps it.
            raise _GiveUp
        result = self.combine(constant, out)
        return result

    def _product(self, term: Value, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> Value:
        """The sum of one term; a factor that is the same for everything summed comes out."""
        if term.op in ("multiply", "divide"):
            a, b = term.args
            if term.op == "multiply" and self._untouched(a, plates) and b.shape == term.shape:
                return self._share(apply("multiply", a, self._total(b, plates, axes)))
            if self._untouched(b, plates) and a.shape == term.shape:
                return self._share(apply(term.op, self._total(a, plates, axes), b))
        if term.op == "sum" and plates and not axes:
            return self._sum(
                Value("plate_sum", (term,), (("plates", plates),), self._rest(term, plates), (), term.dtype)
            )
        return self._reduced(term, plates, axes)

    def _rest(self, value: Value, plates: tuple[Plate, ...]) -> tuple[Plate, ...]:
        return tuple(p for p in value.plates if p not in plates)

    def _untouched(self, value: Value, plates: tuple[Plate, ...]) -> bool:
        """Whether a factor is the same for everything that is summed (and has no event axes of its own)."""
        return not value.shape and not any(p in plates for p in value.plates)

    def _smaller(self, value: Value, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> bool:
        """Whether a term lacks some of what is summed over."""
        lacks_plate = any(p not in value.plates for p in plates)
        lacks_axis = any(-a > value.ndim or (value.shape[a] == 1 and body.shape[a] != 1) for a in axes)
        return lacks_plate or lacks_axis

    def _size(self, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> float:
        """How many numbers are summed."""
        return float(math.prod(self._count(p) for p in plates) * math.prod(body.shape[a] for a in axes))

    def _part(self, body: Value, term: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> tuple[float, Value]:
        """The sum of one smaller term: over what it varies over, and how often that counts."""
        count = 1.0
        for plate in plates:
            if plate not in term.plates:
                count *= self._count(plate)
        own: list[int] = []
        for a in axes:
            if -a > term.ndim:
                count *= body.shape[a]
            else:
                count *= body.shape[a] if term.shape[a] == 1 else 1
                own.append(a)
        rank = body.ndim - len(axes)
        if rank and term.ndim - len(own) not in (0, rank):
            raise _GiveUp
        present = tuple(p for p in plates if p in term.plates)
        if not present and not own:
            return count, term
        return count, self._total(term, present, tuple(own))

    def _reduced(self, body: Value, plates: tuple[Plate, ...], axes: tuple[int, ...]) -> Value:
        if not plates and not axes:
            return body
        shape = tuple(n for i, n in enumerate(body.shape) if i - body.ndim not in axes)
        if plates:
            attrs: tuple[tuple[str, Any], ...] = (("axis", axes), ("plates", plates))
            return self._share(Value("plate_sum", (body,), attrs, self._rest(body, plates), shape, body.dtype))
        return self._share(Value("sum", (body,), (("axis", axes),), body.plates, shape, body.dtype))


class _GiveUp(Exception):
    """A sum that cannot be pushed inwards; it stays as it was."""


def simplify(roots: dict[str, Value], counts: Mapping[str, int] | None = None) -> dict[str, Value]:
    """Simplify named expressions together.

    Args:
        roots: expressions by name; shared parts stay shared.
        counts: evaluated elements of subsampled plates.
    """
    return Simplifier(counts)(roots)
