"""Plates and leading axes: leaving, entering, and summing over them."""

# Each rule is named for the operation it lowers: (lowering, node, pieces of its operands) -> piece.
# ruff: noqa: D103

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ppl.backend.layout import Layout, entering, leaving, trim
from ppl.backend.pieces import Piece, tuple_text
from ppl.backend.spelling import ATOM
from ppl.program.values import Plate, Value

from .registry import rule

if TYPE_CHECKING:
    from ppl.backend.lowering import Lowering


def move(low: Lowering, piece: Piece, source: Any, destination: Any) -> Piece:
    if source == destination or source in ([], ()):
        return piece
    move = "torch.movedim" if low.torch else "jnp.moveaxis"
    return low.call(move, piece.text, repr(source), repr(destination), layout=piece.layout)


@rule
def leave(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    (arg,) = args
    moved, index, layout = leaving(arg.layout, node.attr("plates"))
    n = len(node.attr("plates"))
    out = move(low, arg, tuple(moved), tuple(range(-arg.layout.rank - n, -arg.layout.rank))) if moved else arg
    out = low.indexed(out, index)
    return Piece(out.text, out.level, layout)


@rule
def element(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    (arg,) = args
    plate: Plate = node.attr("plate")
    way, index, layout = entering(arg.layout, plate, low.positions[plate.name])
    out = move(low, arg, *way) if way else arg
    out = low.indexed(out, index)
    return Piece(out.text, out.level, layout)


@rule
def plate_sum(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    """Sum over plates and, in the same call, over the event axes of the attribute `axis`."""
    (arg,) = args
    plates = node.attr("plates")
    events: tuple[int, ...] = dict(node.attrs).get("axis", ())
    layout, rank = arg.layout, arg.layout.rank
    rest = trim(None if p in plates else p for p in layout.frame)
    slots = [i - len(layout.frame) - rank for i, p in enumerate(layout.frame) if p in plates or not rest]
    if not rest:
        if not layout.lead and len(slots) + len(events) == len(layout.frame) + rank:
            return Piece(f"{low.at(arg, ATOM)}.sum()", ATOM, Layout(False, (), 0))
        axes = tuple(sorted([*slots, *events]))
        return Piece(f"{low.at(arg, ATOM)}.sum({tuple_text(axes)})", ATOM, Layout(layout.lead, (), rank - len(events)))
    out = arg
    if events:
        out = Piece(f"{low.at(out, ATOM)}.sum({tuple_text(events)})", ATOM, arg.layout)
        slots = [s + len(events) for s in slots]
    # Axes inside those that stay are kept at size one, to hold these in place; axes outside go.
    edge = len(events) - len(rest) - rank
    inside = tuple(s for s in slots if s >= edge)
    if inside:
        keep = "keepdim" if low.torch else "keepdims"
        out = Piece(f"{low.at(out, ATOM)}.sum({tuple_text(inside)}, {keep}=True)", ATOM, arg.layout)
    outside = tuple(range(edge - len(layout.frame) + len(rest), edge))
    if outside:
        out = Piece(f"{low.at(out, ATOM)}.sum({tuple_text(outside)})", ATOM, arg.layout)
    return Piece(out.text, out.level, Layout(layout.lead, rest, rank - len(events)))


@rule
def lane_logsumexp(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    (arg,) = args
    layout = arg.layout
    lane = layout.frame.index(node.attr("lane"))
    rest = trim(None if p == node.attr("lane") else p for p in layout.frame)
    function = "torch.logsumexp" if low.torch else "jax.nn.logsumexp"
    if len(rest) < len(layout.frame):
        # The lane is the outermost axis; axes of size one that it held in place go with it.
        dropped = tuple(i - len(layout.frame) - layout.rank for i in range(len(layout.frame) - len(rest)))
        return low.call(function, arg.text, tuple_text(dropped), layout=Layout(layout.lead, rest, layout.rank))
    axis = str(lane - len(layout.frame) - layout.rank)
    keep = "keepdim=True" if low.torch else "keepdims=True"
    return low.call(function, arg.text, axis, keep, layout=Layout(layout.lead, rest, layout.rank))
