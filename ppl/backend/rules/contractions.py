"""Matrix products, einsum and linear systems, with batch axes on either side."""

# Each rule is named for the operation it lowers: (lowering, node, pieces of its operands) -> piece.
# ruff: noqa: D103

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ppl.backend.layout import Layout, merge
from ppl.backend.pieces import Piece
from ppl.backend.spelling import ATOM, MATMUL
from ppl.program.values import Value

from .registry import rule

if TYPE_CHECKING:
    from ppl.backend.lowering import Lowering


@rule
def matmul(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    a, b = args
    ranks = (a.layout.rank, b.layout.rank)
    target = merge([a.layout, b.layout])
    layout = Layout(target.lead, target.frame, node.ndim)
    flat_right = not b.layout.batched and (ranks[1] <= 2 or ranks[0] >= ranks[1] or not a.layout.batched)
    if flat_right or (ranks == (1, 2) and not a.layout.batched):
        # One side has no batch axes that could meet event axes of the other: the library's own rule is right.
        return _at_operator(low, a, b, layout)
    if ranks == (1, 1):
        if not a.layout.batched:
            return _at_operator(low, b, a, layout)
        return contract(low, "i,i->", [a, b], layout)
    if ranks == (2, 1) and not a.layout.batched:
        return _at_operator(low, b, Piece(f"{low.at(a, ATOM)}.T", ATOM, a.layout), layout)
    if ranks[1] == 1:
        batch = "abcdefgh"[: ranks[0] - 2]
        return contract(low, f"{batch}mn,n->{batch}m", [a, b], layout)
    if ranks[0] == 1:
        batch = "abcdefgh"[: ranks[1] - 2]
        return contract(low, f"n,{batch}nm->{batch}m", [a, b], layout)
    rank = max(ranks)
    wide = Layout(target.lead, target.frame, rank)
    return _at_operator(low, low.aligned(a, wide), low.aligned(b, wide), layout)


def _at_operator(low: Lowering, a: Piece, b: Piece, layout: Layout) -> Piece:
    return Piece(f"{low.at(a, MATMUL)} @ {low.at(b, MATMUL + 1)}", MATMUL, layout)


@rule
def einsum(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    target = merge(a.layout for a in args)
    return contract(low, node.attr("pattern"), args, Layout(target.lead, target.frame, node.ndim))


def contract(low: Lowering, pattern: str, args: list[Piece], layout: Layout) -> Piece:
    inputs, _, output = pattern.partition("->")
    terms = inputs.split(",")
    batched = [a.layout.batched for a in args]
    texts = []
    for a in args:
        own = Layout(layout.lead, layout.frame, a.layout.rank)
        texts.append(low.aligned(a, own).text)
    dots = ["..." if flag else "" for flag in batched]
    left = ",".join(d + t for d, t in zip(dots, terms, strict=True))
    right = ("..." if any(batched) else "") + output
    return low.call(f"{low.xp}.einsum", f'"{left}->{right}"', *texts, layout=layout)


def _binary_matrix(low: Lowering, node: Value, args: list[Piece], **attrs: Any) -> Piece:
    target = merge(a.layout for a in args)
    wide = Layout(target.lead, target.frame, node.ndim)
    fitted = [low.aligned(a, wide) for a in args]
    text = low.spelling.calls[node.op].format(*(f.text for f in fitted), **attrs)
    return Piece(text, ATOM, wide)


@rule
def solve(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    return _binary_matrix(low, node, args)


@rule
def solve_triangular(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    lower = bool(dict(node.attrs).get("lower", True))
    return _binary_matrix(low, node, args, lower=lower, upper=not lower)
