"""Shapes and indices: reshape, permute, broadcast, join, slice and gather event axes."""

# Each rule is named for the operation it lowers: (lowering, node, pieces of its operands) -> piece.
# ruff: noqa: D103

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ppl.backend.layout import Layout, index_text, merge
from ppl.backend.pieces import Piece
from ppl.backend.spelling import ATOM
from ppl.program.printing import key_text
from ppl.program.values import Value

from .plates import move
from .registry import rule

if TYPE_CHECKING:
    from ppl.backend.lowering import Lowering


def _with_rank(low: Lowering, piece: Piece, rank: int) -> Layout:
    return Layout(piece.layout.lead, piece.layout.frame, rank)


@rule
def reshape(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    (arg,) = args
    shape = ", ".join(str(n) for n in node.shape)
    layout = _with_rank(low, arg, node.ndim)
    if not arg.layout.batched:
        return Piece(f"{low.at(arg, ATOM)}.reshape(({shape}{',' if node.ndim == 1 else ''}))", ATOM, layout)
    named = arg if arg.level > ATOM else low.assign(arg, "t")
    front = f"{named.text}.shape[:-{arg.layout.rank}]" if arg.layout.rank else f"{named.text}.shape"
    # Without event axes nothing may be left to unpack: torch wants at least one size.
    target = f"*{front}, {shape}" if node.ndim else front
    return Piece(f"{named.text}.reshape({target})", ATOM, layout)


@rule
def permute_dims(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    (arg,) = args
    axes: tuple[int, ...] = node.attr("axes")
    layout = _with_rank(low, arg, node.ndim)
    n = len(axes)
    if axes == (1, 0):
        if not arg.layout.batched:
            return Piece(f"{low.at(arg, ATOM)}.T", ATOM, layout)
        return Piece(f"{low.at(arg, ATOM)}.swapaxes(-1, -2)", ATOM, layout)
    source = tuple(a - n for a in axes)
    out = move(low, arg, source, tuple(range(-n, 0)))
    return Piece(out.text, out.level, layout)


@rule
def broadcast_to(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    (arg,) = args
    layout = _with_rank(low, arg, node.ndim)
    event = ", ".join(str(n) for n in node.shape)
    if arg.number:
        dtype = f", dtype={low.dtype(arg.number)}" if low.precision else ""
        return Piece(f"{low.xp}.full(({event},), {arg.text}{dtype})", ATOM, Layout(False, (), node.ndim))
    wide = low.aligned(arg, layout)
    if not arg.layout.batched:
        return low.call(f"{low.xp}.broadcast_to", wide.text, f"({event},)", layout=layout)
    named = wide if wide.level > ATOM else low.assign(wide, "t")
    shape = f"(*{named.text}.shape[:-{node.ndim}], {event})"
    return low.call(f"{low.xp}.broadcast_to", named.text, shape, layout=layout)


def _joined(low: Lowering, node: Value, args: list[Piece], rank: int) -> tuple[str, Layout]:
    target = merge(a.layout for a in args)
    layout = Layout(target.lead, target.frame, rank)
    texts = []
    for a in args:
        texts.append(low.aligned(a, layout).text)
    joined = f"[{', '.join(texts)}]"
    if all(a.layout == layout for a in args) or not target.batched:
        return joined, layout
    spread = "torch.broadcast_tensors" if low.torch else "jnp.broadcast_arrays"
    return f"{spread}({', '.join(texts)})", layout


@rule
def stack(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    joined, layout = _joined(low, node, args, node.ndim - 1)
    name = "dim" if low.torch else "axis"
    return low.call(
        f"{low.xp}.stack",
        joined,
        f"{name}={node.attr('axis')}",
        layout=Layout(layout.lead, layout.frame, node.ndim),
    )


@rule
def concat(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    axis = node.attr("axis")
    name = "dim" if low.torch else "axis"
    function = "torch.cat" if low.torch else "jnp.concatenate"
    target = merge(a.layout for a in args)
    layout = Layout(target.lead, target.frame, node.ndim)
    texts = [low.aligned(a, layout).text for a in args]
    if any(a.layout != layout for a in args) and target.batched:
        # Broadcast the batch axes only: the joined axis has a different size in each part.
        return low.call("runtime.concat", f"[{', '.join(texts)}]", str(axis), str(node.ndim), layout=layout)
    return low.call(function, f"[{', '.join(texts)}]", f"{name}={axis}", layout=layout)


@rule
def index(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    (arg,) = args
    layout = _with_rank(low, arg, node.ndim)
    key = key_text(node.attr("key"), node.args[0].shape)
    if not arg.layout.batched:
        return Piece(f"{low.at(arg, ATOM)}[{key}]", ATOM, layout)
    # All event axes are written out, because the batch axes hide behind the ellipsis.
    used = sum(1 for k in node.attr("key") if k is not None)
    parts = key.split(", ") if key else []
    parts += [":"] * (len(node.attr("key")) - len(parts))
    parts += [":"] * (node.args[0].ndim - used)
    return Piece(f"{low.at(arg, ATOM)}[{', '.join(['...', *parts])}]", ATOM, layout)


@rule
def take(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    table, index = args
    target = merge([Layout(table.layout.lead, table.layout.frame, 0), Layout(index.layout.lead, index.layout.frame, 0)])
    layout = Layout(target.lead, target.frame, node.ndim)
    rest = table.layout.rank - 1
    if not table.layout.batched:
        # In text for people, rows of a part `x[:, 0]` are picked from the whole.
        part = None if low.precision else re.fullmatch(r"(.*)\[:((?:, [^\[\]]+)+)\]", low.at(table, ATOM))
        if part:
            return Piece(f"{part[1]}[{index.text}{part[2]}]", ATOM, layout)
        return Piece(f"{low.at(table, ATOM)}[{index.text}]", ATOM, layout)
    if not index.layout.batched or not (table.layout.frame or index.layout.lead):
        # The axes of the index take the place of the table's first event axis, which is where plates stand.
        return Piece(f"{low.at(table, ATOM)}{index_text([index.text] + [':'] * rest)}", ATOM, layout)
    width = len(index.layout.frame)
    if not index.layout.lead and width < len(table.layout.frame) and not any(table.layout.frame[-width:]):
        # The table's axes all stand outside those of the index, which take the place of axes of size one.
        key = ", ".join(["...", *["0"] * width, index.text, *[":"] * rest])
        return Piece(f"{low.at(table, ATOM)}[{key}]", ATOM, layout)
    a = low.aligned(table, Layout(target.lead, target.frame, table.layout.rank))
    b = low.aligned(index, Layout(target.lead, target.frame, index.layout.rank))
    return low.call("runtime.gather", a.text, b.text, str(rest), str(index.layout.rank), layout=layout)


@rule
def take_along(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    target = merge(a.layout for a in args)
    texts = [low.aligned(a, target).text for a in args]
    return low.call("runtime.take_along", *texts, layout=Layout(target.lead, target.frame, node.ndim))


@rule
def one_hot(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    (arg,) = args
    dtype = low.dtype("float")
    layout = _with_rank(low, arg, node.ndim)
    if low.torch:
        whole = low.at(arg, ATOM) + ("" if arg.text.endswith(".long()") else ".long()")
        return Piece(f"F.one_hot({whole}, {node.attr('size')}).to({dtype})", ATOM, layout)
    return low.call("jax.nn.one_hot", arg.text, str(node.attr("size")), f"dtype={dtype}", layout=layout)
