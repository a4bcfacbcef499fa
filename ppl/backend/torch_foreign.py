"""The user's own functions on torch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ppl.program.networks import NetworkSpec

from .foreign import ForeignFunction, of_spec

_KINDS = {"float": torch.float32, "int": torch.int64, "bool": torch.bool}


def foreign_function(spec: NetworkSpec, backend: str) -> ForeignFunction:
    """The function of a declaration, tried once on tensors without data.

    Raises:
        UnsupportedByBackend: none was given.
        ShapeError: it gives another shape or kind of number than declared.
    """
    foreign = of_spec(spec, backend, "torch")
    rows = (2,) if foreign.call.batched else ()
    elements = [torch.empty(rows + shape, dtype=_KINDS[kind], device="meta") for shape, kind in foreign.call.inputs]
    try:
        out: Any = foreign.function(*elements)
    except Exception:  # noqa: BLE001 - a user's function may raise anything
        # Some functions look at numbers, or hold tensors of their own: their result is checked when there is one.
        return foreign
    foreign.checked(out)
    return foreign


def module_shape(module: torch.nn.Module, shape: tuple[int, ...], kind: str) -> tuple[int, ...] | None:
    """The event shape that a module gives for rows of elements, tried without data; None if it cannot run that way."""
    try:
        with torch.no_grad():
            rows = torch.empty((2, *shape), dtype=_KINDS[kind], device="meta")
            out: Any = copy.deepcopy(module).float().to("meta")(rows)
    except Exception:  # noqa: BLE001 - a user's module may raise anything
        return None
    return tuple(out.shape[1:])


def map_elements(function: Callable[..., Tensor], *operands: tuple[Tensor, int], batched: bool = False) -> Tensor:
    """A function of elements on tensors of them: axes in front are folded into one, over which it is mapped.

    Args:
        function: takes one element of each operand, or rows of them if it is `batched`.
        operands: tensors, and how many of their axes are one element's.
        batched: whether the function takes an axis of rows itself, and keeps it.
    """
    batch = torch.broadcast_shapes(*(x.shape[: x.ndim - rank] for x, rank in operands))
    if not batch and not batched:
        return function(*(x for x, _ in operands))
    # What has no axes in front is the same for all rows: it is not copied, unless the function takes rows itself.
    fixed = [x.ndim == rank and not batched for x, rank in operands]
    rows = [
        x if one else x.expand((*batch, *x.shape[x.ndim - rank :])).reshape(-1, *x.shape[x.ndim - rank :])
        for (x, rank), one in zip(operands, fixed, strict=True)
    ]
    if not batched:
        function = torch.vmap(function, in_dims=tuple(None if one else 0 for one in fixed))
    out = function(*rows)
    return out.reshape(*batch, *out.shape[1:])
