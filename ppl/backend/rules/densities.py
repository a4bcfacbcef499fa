"""Log densities that native text leaves to the library's own distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ppl.backend.layout import merge
from ppl.backend.pieces import Piece
from ppl.backend.spelling import ATOM
from ppl.program.values import Value

from .registry import rule

if TYPE_CHECKING:
    from ppl.backend.lowering import Lowering


@rule
def library_log_prob(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    """Log density of elements: the value comes first, then the parameters."""
    target = merge(a.layout for a in args)
    value, *params = (low.aligned(a, target).text for a in (low.array(args[0]), *args[1:]))
    return Piece(f"dist.{node.attr('family')}({', '.join(params)}).log_prob({value})", ATOM, target)
