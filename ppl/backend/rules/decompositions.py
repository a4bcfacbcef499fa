"""Matrix factors, taken out of what the library returns one by one; sums by index; what one library lacks."""

# Each rule is named for the operation it lowers: (lowering, node, pieces of its operands) -> piece.
# ruff: noqa: D103

from __future__ import annotations

from typing import TYPE_CHECKING

from ppl.backend.layout import Layout, merge
from ppl.backend.pieces import Piece
from ppl.backend.spelling import ATOM
from ppl.errors import UnsupportedByBackend
from ppl.program.values import Value

from .registry import rule

if TYPE_CHECKING:
    from ppl.backend.lowering import Lowering


def _factors(low: Lowering, node: Value, arg: Piece, *settings: str) -> Piece:
    # The piece stands for a tuple; `unpack` indexes it, and as more than one part is used it gets a line of its own.
    return low.call(f"{low.xp}.linalg.{node.op}", arg.text, *settings, layout=arg.layout)


@rule
def cholesky(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    # A matrix that is not positive definite gives NaN in JAX, which is traced to its site; torch's own would raise.
    # A native model (without a precision of its own) is torch as its readers know it.
    function = "runtime.cholesky" if low.torch and low.precision else f"{low.xp}.linalg.cholesky"
    return low.call(function, args[0].text, layout=args[0].layout)


@rule
def eigh(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    return _factors(low, node, args[0])


@rule
def qr(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    return _factors(low, node, args[0])


@rule
def svd(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    return _factors(low, node, args[0], "full_matrices=False")


@rule
def unpack(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    (whole,) = args
    layout = Layout(whole.layout.lead, whole.layout.frame, node.ndim)
    return Piece(f"{low.at(whole, ATOM)}[{node.attr('at')}]", ATOM, layout)


@rule
def segment_sum(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    target = merge(Layout(a.layout.lead, a.layout.frame, 0) for a in args)
    texts = [low.aligned(a, Layout(target.lead, target.frame, a.layout.rank)).text for a in args]
    layout = Layout(target.lead, target.frame, node.ndim)
    return low.call("runtime.segment_sum", *texts, str(node.attr("size")), str(args[0].layout.rank - 1), layout=layout)


@rule
def betainc(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    if low.torch:
        raise UnsupportedByBackend(
            "pyro",
            "ops.betainc",
            "torch has neither the incomplete beta function nor its gradients",
            "Use backend='numpyro', or write the model with the density instead of the cdf.",
        )
    target = merge(a.layout for a in args)
    return low.call("jsp.betainc", *(low.aligned(a, target).text for a in args), layout=target)
