"""The user's own functions on torch."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from ppl.program.networks import NetworkSpec

from .foreign import ForeignFunction, of_spec

_KINDS = {"float": torch.float32, "int": torch.int64, "bool": torch.bool}


def _kind(x: Tensor) -> str:
    return "float" if x.dtype.is_floating_point else "bool" if x.dtype == torch.bool else "int"


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
    if not isinstance(out, Tensor):
        foreign.refuse("one tensor", type(out).__name__)
    foreign.check(tuple(out.shape[len(rows) :]), _kind(out))
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


def call_external(foreign: ForeignFunction, *operands: tuple[Tensor, int]) -> Tensor:
    """A user's function on elements: axes in front of them are folded into one, over which it is mapped.

    Args:
        foreign: the function.
        operands: tensors, and how many of their axes are one element's.
    """
    batch = torch.broadcast_shapes(*(x.shape[: x.ndim - rank] for x, rank in operands))
    whole = not batch and not foreign.call.batched
    if whole:
        out = foreign.function(*(x for x, _ in operands))
    else:
        # What has no axes in front is the same for all rows: it is not copied, unless the function takes rows itself.
        fixed = [x.ndim == r and not foreign.call.batched for x, r in operands]
        rows = [
            x if one else x.expand((*batch, *x.shape[x.ndim - r :])).reshape(-1, *x.shape[x.ndim - r :])
            for (x, r), one in zip(operands, fixed, strict=True)
        ]
        if foreign.call.batched:
            out = foreign.function(*rows)
        else:
            out = torch.vmap(foreign.function, in_dims=tuple(None if one else 0 for one in fixed))(*rows)
    if not isinstance(out, Tensor):
        foreign.refuse("one tensor", type(out).__name__)
    element = tuple(out.shape if whole else out.shape[1:])
    foreign.check(element, _kind(out))
    return out if whole else out.reshape(*batch, *element)
