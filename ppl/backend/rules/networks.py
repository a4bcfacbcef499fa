"""Layers of networks, and draws by the library's own samplers."""

# Each rule is named for the operation it lowers: (lowering, node, pieces of its operands) -> piece.
# ruff: noqa: D103

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ppl.backend.layout import Layout, frame_of, merge
from ppl.backend.pieces import Piece
from ppl.backend.spelling import ATOM, MATMUL
from ppl.program.values import Value

from .contractions import contract
from .registry import RULES, rule

if TYPE_CHECKING:
    from ppl.backend.lowering import Lowering


@rule
def network(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    if low.network is None:
        raise NotImplementedError(node.attr("name"))
    return low.network(low, node)


@rule
def linear(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    x, weight, *bias = args
    target = merge([x.layout, *(Layout(a.layout.lead, a.layout.frame, 0) for a in (weight, *bias))])
    layout = Layout(target.lead, target.frame, node.ndim)
    if not weight.layout.batched and not any(b.layout.batched for b in bias):
        if low.torch:
            return low.call("F.linear", x.text, weight.text, *(b.text for b in bias), layout=layout)
        product = Piece(f"{low.at(x, MATMUL)} @ {low.at(weight, ATOM)}.T", MATMUL, layout)
        return Piece(f"{product.text} + {low.at(bias[0], 7)}", 6, layout) if bias else product
    # Random weights carry leading axes of their own.
    letters = "abcdefgh"[: x.layout.rank - 1]
    out = contract(low, f"{letters}i,oi->{letters}o", [x, weight], layout)
    if not bias:
        return out
    shift = low.aligned(bias[0], layout)
    return Piece(f"{out.text} + {low.at(shift, 7)}", 6, layout)


def _runtime(low: Lowering, node: Value, args: list[Piece], function: str, *more: str, **settings: Any) -> Piece:
    """A call of the runtime whose operands keep their own event axes; what stands in front of these is lined up."""
    target = merge(Layout(a.layout.lead, a.layout.frame, 0) for a in args)
    layout = Layout(target.lead, target.frame, node.ndim)
    texts = [low.aligned(a, Layout(target.lead, target.frame, a.layout.rank)).text for a in args]
    given = {**settings, **dict(node.attrs)}
    extra = [f"{k}={json.dumps(v) if isinstance(v, str) else repr(v)}" for k, v in given.items()]
    return low.call(f"runtime.{function}", *texts, *more, *extra, layout=layout)


def _convolution(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    function, rank = node.op[:-2], int(node.op[-2])
    return _runtime(low, node, args, function, *(["None"] if len(args) == 2 else []), rank=rank)


for _rank in (1, 2, 3):
    RULES[f"conv{_rank}d"] = RULES[f"conv_transpose{_rank}d"] = _convolution


@rule
def max_pool(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    return _runtime(low, node, args, "max_pool")


@rule
def avg_pool(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    return _runtime(low, node, args, "avg_pool")


@rule
def recurrent(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    return _runtime(low, node, args, "recurrent")


@rule
def attention(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    return _runtime(low, node, args, "attention")


@rule
def layer_norm(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    x, weight, bias = args
    if low.torch and not weight.layout.batched and not bias.layout.batched:
        shape = node.args[1].shape
        return low.call(
            "F.layer_norm", x.text, repr(shape), weight.text, bias.text, repr(node.attr("eps")), layout=x.layout
        )
    layout = merge([x.layout, weight.layout, bias.layout])
    texts = [low.aligned(a, layout).text for a in args]
    n = node.args[1].ndim
    return low.call("runtime.layer_norm", *texts, str(n), repr(node.attr("eps")), layout=layout)


@rule
def native(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    """A draw by the library's own sampler: its key comes first, then the parameters."""
    key, *params = args
    frame = frame_of(node.plates, low.positions)
    layout = Layout(bool(node.attr("lead")), frame, node.ndim)
    # Axes that belong to one draw, of each parameter; vectors are drawn whole, everything else number by number.
    cores = {"dirichlet": (1,), "multinomial": (0, 1)}.get(node.attr("sampler"), (0,) * len(params))
    ranks = [node.ndim - max(cores) + core for core in cores]
    texts = [low.aligned(p, Layout(layout.lead, frame, r)).text for p, r in zip(params, ranks, strict=True)]
    shape = low.shape_text(layout, node.shape)
    return low.call(f"runtime.sample_{node.attr('sampler')}", key.text, *texts, shape, layout=layout)
