"""From expression graphs to lines of straight batched code: every rule for axes is here, for both libraries at once."""

from __future__ import annotations

import json
import keyword
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ppl.program.values import Frozen, Value, walk

from .layout import Layout, alignment, joined_index, merge
from .pieces import NUMBER, REDUCTIONS, TAKES_NUMBERS, Piece, tuple_text
from .rules import RULES
from .rules.recurrences import Scan, lower_scan, outside
from .spelling import ATOM, INFIX, MATMUL, PREFIX, Spelling

LONGEST_INLINE = 100


class Lowering:
    """Lowers values to text, line by line.

    Args:
        spelling: the words of the array library.
        positions: position of each plate.
        precision: "float32", "float64", or "" for whatever the library's default is when the code runs.
        load: gives the piece of a leaf; called once for each leaf.
        network: lowers a network call that could not be expanded; None where that cannot occur.
        taken: names that emitted variables must not take.
        name_hints: whether values that the user named get a line of their own.
        inline_arrays: writes an array constant as text; None to hoist them into the emitted module.
        lead_shape: text of the tuple of leading sizes, for draws that need a shape.
        sizes: evaluated number of elements of each plate (smaller than its size under subsampling).
    """

    def __init__(
        self,
        spelling: Spelling,
        positions: Mapping[str, int],
        precision: str,
        load: Callable[[Value], Piece],
        *,
        network: Callable[[Lowering, Value], Piece] | None = None,
        taken: set[str] | None = None,
        name_hints: bool = True,
        inline_arrays: Callable[[np.ndarray], str] | None = None,
        lead_shape: str = "lead",
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self.spelling = spelling
        self.positions = positions
        self.precision = precision
        self.load = load
        self.network = network
        self.name_hints = name_hints
        self.inline_arrays = inline_arrays
        self.lead_shape = lead_shape
        self.sizes = sizes or {}
        self.taken = set(taken or ()) | set(keyword.kwlist)
        self.lines: list[str] = []
        self.constants: dict[str, np.ndarray] = {}
        self._constant_names: dict[Frozen, str] = {}
        self.pieces: dict[int, Piece] = {}
        self._alive: list[Value] = []
        self._uses: Counter[int] = Counter()
        # Of each recurrence, the results that are used, and how it was lowered.
        self.wanted: dict[int, set[int]] = {}
        self.scans: dict[int, Scan] = {}

    # --- driving -------------------------------------------------------------------------------------------------

    def plan(self, roots: list[Value]) -> None:
        """Count how often each value is used by these expressions; what is used once is written inline."""
        seen: set[int] = set()
        for root in roots:
            self._uses[id(root)] += 1
            for node in walk([root]):
                if id(node) not in seen:
                    seen.add(id(node))
                    self._uses.update(id(a) for a in node.args)
                    if node.op == "scanned":
                        self.wanted.setdefault(id(node.args[0]), set()).add(node.attr("at"))

    def piece(self, root: Value) -> Piece:
        """The piece of a value; lines that it needs are appended."""
        for node in walk([root], self._operands_of):
            if id(node) in self.pieces:
                continue
            piece = self._lower(node)
            hinted = self.name_hints and bool(node.hint) and node.op not in ("element", "leave", "astype")
            repeated = self._uses[id(node)] > 1 and piece.level < ATOM + 1 and not piece.number
            if repeated or (hinted and not piece.number and piece.level <= ATOM) or len(piece.text) > LONGEST_INLINE:
                piece = self.assign(piece, node.hint[0] if node.hint else "t")
            self.pieces[id(node)] = piece
            self._alive.append(node)
        return self.pieces[id(root)]

    def _operands_of(self, node: Value) -> Sequence[Value]:
        """What is lowered before a node: all operands; of a recurrence, those that stand outside of its steps."""
        if id(node) in self.pieces:
            return ()
        return outside(node) if node.op == "scan" else node.args

    def hold(self, node: Value, piece: Piece) -> None:
        """Let a piece stand for a value."""
        self.pieces[id(node)] = piece
        self._alive.append(node)

    def assign(self, piece: Piece, stem: str) -> Piece:
        """Give a piece a variable of its own."""
        name = self.fresh(stem)
        self.lines.append(f"{name} = {piece.text}")
        return Piece(name, ATOM + 1, piece.layout, piece.number)

    def fresh(self, stem: str) -> str:
        """A variable name that is free."""
        base = identifier(stem)
        name, count = base, 2
        while name in self.taken:
            name, count = f"{base}_{count}", count + 1
        self.taken.add(name)
        return name

    # --- helpers -------------------------------------------------------------------------------------------------

    @property
    def xp(self) -> str:
        """Name of the array module."""
        return self.spelling.module

    @property
    def torch(self) -> bool:
        """Whether the target is torch."""
        return self.spelling.library == "torch"

    def at(self, piece: Piece, outer: int) -> str:
        """Text of a piece as an operand."""
        return f"({piece.text})" if piece.level < outer else piece.text

    def indexed(self, piece: Piece, index: str) -> Piece:
        """A piece with index text behind it."""
        if not index:
            return piece
        base, index = joined_index(self.at(piece, ATOM), index)
        return Piece(base + index, ATOM if index else ATOM + 1, piece.layout)

    def aligned(self, piece: Piece, target: Layout) -> Piece:
        """A piece that broadcasts against the target layout."""
        return piece if piece.number else self.indexed(piece, alignment(piece.layout, target))

    def call(self, function: str, *arguments: str, layout: Layout) -> Piece:
        """A function call."""
        return Piece(f"{function}({', '.join(arguments)})", ATOM, layout)

    def dtype(self, kind: str) -> str:
        """The dtype of a kind, as text."""
        if kind == "float" and not self.precision:
            return "torch.get_default_dtype()" if self.torch else "float"
        return self.spelling.dtype(kind, self.precision)

    def array(self, piece: Piece) -> Piece:
        """A piece as an array even if it is a bare number, for what has methods, is indexed, or insists on arrays."""
        if not piece.number:
            return piece
        maker = "torch.tensor" if self.torch else "jnp.asarray"
        dtype = f", dtype={self.dtype(piece.number)}" if self.precision else ""
        return Piece(f"{maker}({piece.text}{dtype})", ATOM, piece.layout)

    def shape_text(self, layout: Layout, event: tuple[int, ...]) -> str:
        """The full shape of a value as text."""
        sizes = [str(1 if p is None else self.sizes.get(p.name, p.size)) for p in layout.frame]
        sizes += [str(n) for n in event]
        inner = f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
        return f"({self.lead_shape} + {inner})" if layout.lead else inner

    # --- one node ------------------------------------------------------------------------------------------------

    def _lower(self, node: Value) -> Piece:
        if node.op == "const":
            return self._constant(node)
        if not node.args or node.op in ("site", "param", "input", "noise", "key"):
            return self.load(node)
        if node.op == "scan":
            return lower_scan(self, node)
        special = RULES.get(node.op)
        args = [self.pieces[id(a)] for a in node.args]
        from ppl.program.vocabulary import OPS

        if node.op in OPS and OPS[node.op].kind == "elementwise":
            return self._elementwise(node, args)
        if node.op not in TAKES_NUMBERS:
            args = [self.array(a) for a in args]
        return special(self, node, args) if special is not None else self._axes(node, args)

    def _constant(self, node: Value) -> Piece:
        item = node.attr("value")
        if not isinstance(item, Frozen):
            text = _number(item, self.spelling)
            return Piece(text, 8 if text.startswith("-") else ATOM + 1, NUMBER, node.dtype)
        layout = Layout(False, (), node.ndim)
        if self.inline_arrays is not None:
            return Piece(self.inline_arrays(item.array), ATOM, layout)
        if item not in self._constant_names:
            name = f"C{len(self.constants)}"
            self._constant_names[item] = name
            self.constants[name] = item.array
        return Piece(self._constant_names[item], ATOM + 1, layout)

    def _elementwise(self, node: Value, args: list[Piece]) -> Piece:
        target = merge(a.layout for a in args)
        fitted = [self.aligned(a, target) for a in args]
        op = node.op
        if op.startswith("logical"):
            # Python's bool takes `~` for arithmetic.
            fitted = [self.array(f) for f in fitted]
        bare = node.dtype if all(f.number for f in fitted) else ""
        if op in INFIX:
            symbol, level = INFIX[op]
            if op == "pow" and fitted[1].number:
                fitted[1] = replace(fitted[1], text=fitted[1].text.removesuffix(".0"))
            left, right = (level + 1, level) if op == "pow" else (level, level + 1)
            space = "" if op == "pow" else " "
            text = f"{self.at(fitted[0], left)}{space}{symbol}{space}{self.at(fitted[1], right)}"
            return Piece(text, level, target, bare)
        if op in PREFIX:
            symbol, level = PREFIX[op]
            return Piece(f"{symbol}{self.at(fitted[0], level + 1)}", level, target, bare)
        if op == "astype":
            if bare:
                return Piece(f"{bare}({fitted[0].text})", ATOM, target, bare)
            method = "to" if self.torch else "astype"
            return Piece(f"{self.at(fitted[0], ATOM)}.{method}({self.dtype(node.dtype)})", ATOM, target)
        if op in ("floor", "ceil", "round", "trunc") and node.dtype == "int":
            return fitted[0]
        if op in ("maximum", "minimum") and self.torch and not bare and (fitted[0].number or fitted[1].number):
            tensor, bound = fitted if fitted[1].number else reversed(fitted)
            side = "min" if op == "maximum" else "max"
            return self.call("torch.clamp", tensor.text, f"{side}={bound.text}", layout=target)
        texts = self._operands(op, fitted)
        template = self.spelling.calls.get(op)
        if template is not None:
            texts = [f"({t})" if f"{{{i}}}." in template and f.level < ATOM else t for i, (t, f) in enumerate(texts)]
            return Piece(template.format(*texts), ATOM, target)
        return self.call(f"{self.xp}.{op}", *(t for t, _ in texts), layout=target)

    def _operands(self, op: str, pieces: list[Piece]) -> list[tuple[str, Piece]]:
        """Operands of a function, arrays where it insists on them: torch takes bare numbers in a few functions only."""
        if self.torch:
            numbers = {"where": [1, 2], "xlogy": [1], "leaky_relu": [1]}.get(op, [])
            # Of two numbers torch would choose the dtype by its default, so one of them says it.
            free = [i for i in numbers if pieces[i].number]
            free = free[1:] if op == "where" and len(free) == 2 else free
            pieces = [p if i in free else self.array(p) for i, p in enumerate(pieces)]
        elif self.spelling.calls.get(op, "").startswith("{0}."):
            pieces = [self.array(pieces[0]), *pieces[1:]]
        return [(p.text, p) for p in pieces]

    def _axes(self, node: Value, args: list[Piece]) -> Piece:
        (arg,) = args
        attrs = dict(node.attrs)
        axes = attrs.get("axis", ())
        keep = bool(attrs.get("keepdims", False))
        if not axes and node.op in REDUCTIONS:
            # Nothing to reduce; torch would take an empty list of axes for all of them.
            return Piece(f"{self.at(arg, MATMUL)} * 0.0", MATMUL, arg.layout) if node.op == "var" else arg
        whole = not arg.layout.batched and len(axes) == arg.layout.rank
        single = tuple_text(axes)
        # A reduction over everything needs no axis; logsumexp and functions that keep their axes do.
        axis = (
            ""
            if whole and not keep and node.op in ("sum", "mean", "max", "min", "var", "all", "any", "prod")
            else single
        )
        if node.op in REDUCTIONS or node.op in ("argmax", "argmin"):
            axis = _join(axis, f"keepdim{'' if self.torch else 's'}=True" if keep else "")
        template = self.spelling.calls.get(node.op, f"{self.xp}.{node.op}({{0}})")
        method = template.startswith("{0}.")
        text = template.format(
            self.at(arg, ATOM) if method else arg.text,
            axis=axis,
            axes=tuple_text(axes, always=True),
            correction=attrs.get("correction", 0),
            keep=keep,
            **{k: v for k, v in attrs.items() if k not in ("axis", "keepdims", "correction")},
        )
        text = text.replace("(, ", "(").replace(", )", ")")
        return Piece(text, ATOM, Layout(arg.layout.lead, arg.layout.frame, node.ndim))


def identifier(stem: str) -> str:
    """A Python identifier close to a name."""
    # Python reads identifiers in this normal form: names that it takes for one and the same have to look the same here.
    plain = unicodedata.normalize("NFKC", stem)
    text = "".join(c if f"a{c}".isidentifier() else "_" for c in plain)
    return text if text.isidentifier() else f"v_{text}"


def text_of(name: str) -> str:
    """A name as a string literal."""
    return json.dumps(name, ensure_ascii=False)


def _number(item: Any, spelling: Spelling) -> str:
    if isinstance(item, float):
        if np.isnan(item):
            return f"{spelling.module}.nan"
        if np.isinf(item):
            return f"{spelling.module}.inf" if item > 0 else f"-{spelling.module}.inf"
        return repr(float(item))
    return repr(item)


def _join(a: str, b: str) -> str:
    return ", ".join(x for x in (a, b) if x)
