"""From expression graphs to lines of straight batched code: every rule for axes is here, for both libraries at once."""

from __future__ import annotations

import json
import keyword
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ppl.program.printing import key_text
from ppl.program.values import Frozen, Plate, Value, walk

from .layout import Layout, alignment, entering, frame_of, index_text, joined_index, leaving, merge, trim
from .spelling import ATOM, INFIX, MATMUL, PREFIX, Spelling

LONGEST_INLINE = 100


@dataclass(frozen=True)
class Piece:
    """A lowered value: text, how tightly it binds, where its axes are; `number` is the kind of a bare Python number."""

    text: str
    level: int
    layout: Layout
    number: Literal["", "float", "int", "bool"] = ""


NUMBER = Layout(False, (), 0)
REDUCTIONS = frozenset(["sum", "mean", "prod", "max", "min", "var", "logsumexp", "all", "any"])
# Operations that are no less readable, and right, on bare Python numbers.
TAKES_NUMBERS = frozenset(["broadcast_to", "take"])


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
        self._pieces: dict[int, Piece] = {}
        self._alive: list[Value] = []
        self._uses: Counter[int] = Counter()

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

    def piece(self, root: Value) -> Piece:
        """The piece of a value; lines that it needs are appended."""
        for node in walk([root]):
            if id(node) in self._pieces:
                continue
            piece = self._lower(node)
            hinted = self.name_hints and bool(node.hint) and node.op not in ("element", "leave", "astype")
            repeated = self._uses[id(node)] > 1 and piece.level < ATOM + 1 and not piece.number
            if repeated or (hinted and not piece.number and piece.level <= ATOM) or len(piece.text) > LONGEST_INLINE:
                piece = self.assign(piece, node.hint[0] if node.hint else "t")
            self._pieces[id(node)] = piece
            self._alive.append(node)
        return self._pieces[id(root)]

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
        special = getattr(self, f"_op_{node.op}", None)
        args = [self._pieces[id(a)] for a in node.args]
        from ppl.program.vocabulary import OPS

        if OPS[node.op].kind == "elementwise":
            return self._elementwise(node, args)
        if node.op not in TAKES_NUMBERS:
            args = [self.array(a) for a in args]
        return special(node, args) if special is not None else self._axes(node, args)

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
        single = _tuple_text(axes)
        # A reduction over everything needs no axis; logsumexp and functions that keep their axes do.
        axis = (
            ""
            if whole and not keep and node.op in ("sum", "mean", "max", "min", "var", "all", "any", "prod")
            else single
        )
        if node.op in ("var", "max", "min", "sum", "mean", "all", "any", "prod") or node.op == "logsumexp":
            axis = _join(axis, f"keepdim{'' if self.torch else 's'}=True" if keep else "")
        template = self.spelling.calls.get(node.op, f"{self.xp}.{node.op}({{0}})")
        method = template.startswith("{0}.")
        text = template.format(
            self.at(arg, ATOM) if method else arg.text,
            axis=axis,
            axes=_tuple_text(axes, always=True),
            correction=attrs.get("correction", 0),
            keep=keep,
            **{k: v for k, v in attrs.items() if k not in ("axis", "keepdims", "correction")},
        )
        text = text.replace("(, ", "(").replace(", )", ")")
        return Piece(text, ATOM, Layout(arg.layout.lead, arg.layout.frame, node.ndim))

    # --- plates --------------------------------------------------------------------------------------------------

    def _move(self, piece: Piece, source: Any, destination: Any) -> Piece:
        if source == destination or source in ([], ()):
            return piece
        move = "torch.movedim" if self.torch else "jnp.moveaxis"
        return self.call(move, piece.text, repr(source), repr(destination), layout=piece.layout)

    def _op_leave(self, node: Value, args: list[Piece]) -> Piece:
        (arg,) = args
        moved, index, layout = leaving(arg.layout, node.attr("plates"))
        n = len(node.attr("plates"))
        out = self._move(arg, tuple(moved), tuple(range(-arg.layout.rank - n, -arg.layout.rank))) if moved else arg
        out = self.indexed(out, index)
        return Piece(out.text, out.level, layout)

    def _op_element(self, node: Value, args: list[Piece]) -> Piece:
        (arg,) = args
        plate: Plate = node.attr("plate")
        move, index, layout = entering(arg.layout, plate, self.positions[plate.name])
        out = self._move(arg, *move) if move else arg
        out = self.indexed(out, index)
        return Piece(out.text, out.level, layout)

    def _op_plate_sum(self, node: Value, args: list[Piece]) -> Piece:
        """Sum over plates and, in the same call, over the event axes of the attribute `axis`."""
        (arg,) = args
        plates = node.attr("plates")
        events: tuple[int, ...] = dict(node.attrs).get("axis", ())
        layout, rank = arg.layout, arg.layout.rank
        rest = trim(None if p in plates else p for p in layout.frame)
        slots = [i - len(layout.frame) - rank for i, p in enumerate(layout.frame) if p in plates or not rest]
        if not rest:
            if not layout.lead and len(slots) + len(events) == len(layout.frame) + rank:
                return Piece(f"{self.at(arg, ATOM)}.sum()", ATOM, Layout(False, (), 0))
            axes = tuple(sorted([*slots, *events]))
            return Piece(
                f"{self.at(arg, ATOM)}.sum({_tuple_text(axes)})", ATOM, Layout(layout.lead, (), rank - len(events))
            )
        inner = arg
        if events:
            inner = Piece(f"{self.at(arg, ATOM)}.sum({_tuple_text(events)})", ATOM, arg.layout)
            slots = [s + len(events) for s in slots]
        text = inner
        if slots:
            keep = "keepdim" if self.torch else "keepdims"
            text = Piece(f"{self.at(inner, ATOM)}.sum({_tuple_text(tuple(slots))}, {keep}=True)", ATOM, layout)
        return Piece(text.text, text.level, Layout(layout.lead, layout.frame, rank - len(events)))

    def _op_lead_reduce(self, node: Value, args: list[Piece]) -> Piece:
        """Reduce the one leading axis: "mean" or "logsumexp"."""
        (arg,) = args
        axis = -(len(arg.layout.frame) + arg.layout.rank + 1)
        how = node.attr("how")
        layout = Layout(False, arg.layout.frame, arg.layout.rank)
        if not arg.layout.lead:
            return Piece(arg.text, arg.level, layout)
        if how == "mean":
            whole = not arg.layout.frame and not arg.layout.rank
            return Piece(f"{self.at(arg, ATOM)}.mean({'' if whole else axis})", ATOM, layout)
        function = "torch.logsumexp" if self.torch else "jax.nn.logsumexp"
        return self.call(function, arg.text, str(axis), layout=layout)

    # --- contractions --------------------------------------------------------------------------------------------

    def _op_matmul(self, node: Value, args: list[Piece]) -> Piece:
        a, b = args
        ranks = (a.layout.rank, b.layout.rank)
        target = merge([a.layout, b.layout])
        layout = Layout(target.lead, target.frame, node.ndim)
        flat_right = not b.layout.batched and (ranks[1] <= 2 or ranks[0] >= ranks[1] or not a.layout.batched)
        if flat_right or (ranks == (1, 2) and not a.layout.batched):
            # One side has no batch axes that could meet event axes of the other: the library's own rule is right.
            return self._at_operator(a, b, layout)
        if ranks == (1, 1):
            if not a.layout.batched:
                return self._at_operator(b, a, layout)
            return self._einsum("i,i->", [a, b], layout)
        if ranks == (2, 1) and not a.layout.batched:
            return self._at_operator(b, Piece(f"{self.at(a, ATOM)}.T", ATOM, a.layout), layout)
        if ranks[1] == 1:
            batch = "abcdefgh"[: ranks[0] - 2]
            return self._einsum(f"{batch}mn,n->{batch}m", [a, b], layout)
        if ranks[0] == 1:
            batch = "abcdefgh"[: ranks[1] - 2]
            return self._einsum(f"n,{batch}nm->{batch}m", [a, b], layout)
        rank = max(ranks)
        wide = Layout(target.lead, target.frame, rank)
        return self._at_operator(self.aligned(a, wide), self.aligned(b, wide), layout)

    def _at_operator(self, a: Piece, b: Piece, layout: Layout) -> Piece:
        return Piece(f"{self.at(a, MATMUL)} @ {self.at(b, MATMUL + 1)}", MATMUL, layout)

    def _op_einsum(self, node: Value, args: list[Piece]) -> Piece:
        target = merge(a.layout for a in args)
        return self._einsum(node.attr("pattern"), args, Layout(target.lead, target.frame, node.ndim))

    def _einsum(self, pattern: str, args: list[Piece], layout: Layout) -> Piece:
        inputs, _, output = pattern.partition("->")
        terms = inputs.split(",")
        batched = [a.layout.batched for a in args]
        texts = []
        for a in args:
            own = Layout(layout.lead, layout.frame, a.layout.rank)
            texts.append(self.aligned(a, own).text)
        dots = ["..." if flag else "" for flag in batched]
        left = ",".join(d + t for d, t in zip(dots, terms, strict=True))
        right = ("..." if any(batched) else "") + output
        return self.call(f"{self.xp}.einsum", f'"{left}->{right}"', *texts, layout=layout)

    def _binary_matrix(self, node: Value, args: list[Piece], **attrs: Any) -> Piece:
        target = merge(a.layout for a in args)
        wide = Layout(target.lead, target.frame, node.ndim)
        fitted = [self.aligned(a, wide) for a in args]
        text = self.spelling.calls[node.op].format(*(f.text for f in fitted), **attrs)
        return Piece(text, ATOM, wide)

    def _op_solve(self, node: Value, args: list[Piece]) -> Piece:
        return self._binary_matrix(node, args)

    def _op_solve_triangular(self, node: Value, args: list[Piece]) -> Piece:
        lower = bool(dict(node.attrs).get("lower", True))
        return self._binary_matrix(node, args, lower=lower, upper=not lower)

    # --- shapes and indices --------------------------------------------------------------------------------------

    def _with_rank(self, piece: Piece, rank: int) -> Layout:
        return Layout(piece.layout.lead, piece.layout.frame, rank)

    def _op_reshape(self, node: Value, args: list[Piece]) -> Piece:
        (arg,) = args
        shape = ", ".join(str(n) for n in node.shape)
        layout = self._with_rank(arg, node.ndim)
        if not arg.layout.batched:
            return Piece(f"{self.at(arg, ATOM)}.reshape(({shape}{',' if node.ndim == 1 else ''}))", ATOM, layout)
        named = arg if arg.level > ATOM else self.assign(arg, "t")
        front = f"{named.text}.shape[:-{arg.layout.rank}]" if arg.layout.rank else f"{named.text}.shape"
        if not self.torch:
            return Piece(f"{named.text}.reshape(*{front}, {shape})".replace(", )", ")"), ATOM, layout)
        return Piece(f"{named.text}.reshape(*{front}, {shape})".replace(", )", ")"), ATOM, layout)

    def _op_permute_dims(self, node: Value, args: list[Piece]) -> Piece:
        (arg,) = args
        axes: tuple[int, ...] = node.attr("axes")
        layout = self._with_rank(arg, node.ndim)
        n = len(axes)
        if axes == (1, 0):
            if not arg.layout.batched:
                return Piece(f"{self.at(arg, ATOM)}.T", ATOM, layout)
            return Piece(f"{self.at(arg, ATOM)}.swapaxes(-1, -2)", ATOM, layout)
        source = tuple(a - n for a in axes)
        out = self._move(arg, source, tuple(range(-n, 0)))
        return Piece(out.text, out.level, layout)

    def _op_broadcast_to(self, node: Value, args: list[Piece]) -> Piece:
        (arg,) = args
        layout = self._with_rank(arg, node.ndim)
        event = ", ".join(str(n) for n in node.shape)
        if arg.number:
            dtype = f", dtype={self.dtype(arg.number)}" if self.precision else ""
            return Piece(f"{self.xp}.full(({event},), {arg.text}{dtype})", ATOM, Layout(False, (), node.ndim))
        wide = self.aligned(arg, layout)
        if not arg.layout.batched:
            return self.call(f"{self.xp}.broadcast_to", wide.text, f"({event},)", layout=layout)
        named = wide if wide.level > ATOM else self.assign(wide, "t")
        shape = f"(*{named.text}.shape[:-{node.ndim}], {event})"
        return self.call(f"{self.xp}.broadcast_to", named.text, shape, layout=layout)

    def _joined(self, node: Value, args: list[Piece], rank: int) -> tuple[str, Layout]:
        target = merge(a.layout for a in args)
        layout = Layout(target.lead, target.frame, rank)
        texts = []
        for a in args:
            texts.append(self.aligned(a, layout).text)
        joined = f"[{', '.join(texts)}]"
        if all(a.layout == layout for a in args) or not target.batched:
            return joined, layout
        spread = "torch.broadcast_tensors" if self.torch else "jnp.broadcast_arrays"
        return f"{spread}({', '.join(texts)})", layout

    def _op_stack(self, node: Value, args: list[Piece]) -> Piece:
        joined, layout = self._joined(node, args, node.ndim - 1)
        name = "dim" if self.torch else "axis"
        return self.call(
            f"{self.xp}.stack",
            joined,
            f"{name}={node.attr('axis')}",
            layout=Layout(layout.lead, layout.frame, node.ndim),
        )

    def _op_concat(self, node: Value, args: list[Piece]) -> Piece:
        axis = node.attr("axis")
        name = "dim" if self.torch else "axis"
        function = "torch.cat" if self.torch else "jnp.concatenate"
        target = merge(a.layout for a in args)
        layout = Layout(target.lead, target.frame, node.ndim)
        texts = [self.aligned(a, layout).text for a in args]
        if any(a.layout != layout for a in args) and target.batched:
            # Broadcast the batch axes only: the joined axis has a different size in each part.
            return self.call("runtime.concat", f"[{', '.join(texts)}]", str(axis), str(node.ndim), layout=layout)
        return self.call(function, f"[{', '.join(texts)}]", f"{name}={axis}", layout=layout)

    def _op_index(self, node: Value, args: list[Piece]) -> Piece:
        (arg,) = args
        layout = self._with_rank(arg, node.ndim)
        key = key_text(node.attr("key"), node.args[0].shape)
        if not arg.layout.batched:
            return Piece(f"{self.at(arg, ATOM)}[{key}]", ATOM, layout)
        # All event axes are written out, because the batch axes hide behind the ellipsis.
        used = sum(1 for k in node.attr("key") if k is not None)
        parts = key.split(", ") if key else []
        parts += [":"] * (len(node.attr("key")) - len(parts))
        parts += [":"] * (node.args[0].ndim - used)
        return Piece(f"{self.at(arg, ATOM)}[{', '.join(['...', *parts])}]", ATOM, layout)

    def _op_take(self, node: Value, args: list[Piece]) -> Piece:
        table, index = args
        target = merge(
            [Layout(table.layout.lead, table.layout.frame, 0), Layout(index.layout.lead, index.layout.frame, 0)]
        )
        layout = Layout(target.lead, target.frame, node.ndim)
        rest = table.layout.rank - 1
        if not table.layout.batched:
            return Piece(f"{self.at(table, ATOM)}[{index.text}]", ATOM, layout)
        if not index.layout.batched:
            return Piece(f"{self.at(table, ATOM)}{index_text([index.text] + [':'] * rest)}", ATOM, layout)
        a = self.aligned(table, Layout(target.lead, target.frame, table.layout.rank))
        b = self.aligned(index, Layout(target.lead, target.frame, index.layout.rank))
        return self.call("runtime.gather", a.text, b.text, str(rest), str(index.layout.rank), layout=layout)

    def _op_take_along(self, node: Value, args: list[Piece]) -> Piece:
        target = merge(a.layout for a in args)
        texts = [self.aligned(a, target).text for a in args]
        return self.call("runtime.take_along", *texts, layout=Layout(target.lead, target.frame, node.ndim))

    def _op_one_hot(self, node: Value, args: list[Piece]) -> Piece:
        (arg,) = args
        dtype = self.dtype("float")
        layout = self._with_rank(arg, node.ndim)
        if self.torch:
            whole = self.at(arg, ATOM) + ("" if arg.text.endswith(".long()") else ".long()")
            return Piece(f"F.one_hot({whole}, {node.attr('size')}).to({dtype})", ATOM, layout)
        return self.call("jax.nn.one_hot", arg.text, str(node.attr("size")), f"dtype={dtype}", layout=layout)

    # --- networks ------------------------------------------------------------------------------------------------

    def _op_network(self, node: Value, args: list[Piece]) -> Piece:
        if self.network is None:
            raise NotImplementedError(node.attr("name"))
        return self.network(self, node)

    def _op_linear(self, node: Value, args: list[Piece]) -> Piece:
        x, weight, *bias = args
        target = merge([x.layout, *(Layout(a.layout.lead, a.layout.frame, 0) for a in (weight, *bias))])
        layout = Layout(target.lead, target.frame, node.ndim)
        if not weight.layout.batched and not any(b.layout.batched for b in bias):
            if self.torch:
                return self.call("F.linear", x.text, weight.text, *(b.text for b in bias), layout=layout)
            product = Piece(f"{self.at(x, MATMUL)} @ {self.at(weight, ATOM)}.T", MATMUL, layout)
            return Piece(f"{product.text} + {self.at(bias[0], 7)}", 6, layout) if bias else product
        # Random weights carry leading axes of their own.
        letters = "abcdefgh"[: x.layout.rank - 1]
        out = self._einsum(f"{letters}i,oi->{letters}o", [x, weight], layout)
        if not bias:
            return out
        shift = self.aligned(bias[0], layout)
        return Piece(f"{out.text} + {self.at(shift, 7)}", 6, layout)

    def _layer(self, node: Value, args: list[Piece], ranks: tuple[int, ...]) -> Piece:
        target = merge(Layout(a.layout.lead, a.layout.frame, 0) for a in args)
        layout = Layout(target.lead, target.frame, node.ndim)
        texts = [self.aligned(a, Layout(target.lead, target.frame, a.layout.rank)).text for a in args]
        settings = [f"{k}={v!r}" for k, v in node.attrs]
        if len(texts) == 2 and node.op != "layer_norm":
            texts.append("None")
        return self.call(f"runtime.{node.op}", *texts, *settings, layout=layout)

    def _op_conv2d(self, node: Value, args: list[Piece]) -> Piece:
        return self._layer(node, args, (3, 4, 1))

    def _op_conv_transpose2d(self, node: Value, args: list[Piece]) -> Piece:
        return self._layer(node, args, (3, 4, 1))

    def _op_layer_norm(self, node: Value, args: list[Piece]) -> Piece:
        x, weight, bias = args
        if self.torch and not weight.layout.batched and not bias.layout.batched:
            shape = node.args[1].shape
            return self.call(
                "F.layer_norm", x.text, repr(shape), weight.text, bias.text, repr(node.attr("eps")), layout=x.layout
            )
        layout = merge([x.layout, weight.layout, bias.layout])
        texts = [self.aligned(a, layout).text for a in args]
        n = node.args[1].ndim
        return self.call("runtime.layer_norm", *texts, str(n), repr(node.attr("eps")), layout=layout)

    # --- draws ---------------------------------------------------------------------------------------------------

    def _op_native(self, node: Value, args: list[Piece]) -> Piece:
        """A draw by the library's own sampler: its key comes first, then the parameters."""
        key, *params = args
        frame = frame_of(node.plates, self.positions)
        layout = Layout(bool(node.attr("lead")), frame, node.ndim)
        core = node.attr("core")
        texts = []
        for p in params:
            wide = Layout(layout.lead, layout.frame, node.ndim)
            texts.append(self.aligned(p, wide).text if core == 0 else p.text)
        shape = self.shape_text(layout, node.shape)
        return self.call(f"runtime.sample_{node.attr('sampler')}", key.text, *texts, shape, layout=layout)


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


def _tuple_text(axes: tuple[int, ...], always: bool = False) -> str:
    if len(axes) == 1 and not always:
        return str(axes[0])
    return repr(tuple(axes))


def _join(a: str, b: str) -> str:
    return ", ".join(x for x in (a, b) if x)
