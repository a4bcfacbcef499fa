"""The user's own functions on JAX."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ppl.program.networks import NetworkSpec
from ppl.program.values import dtype_kind

from .foreign import ForeignFunction, of_spec

_KINDS = {"float": jnp.float32, "int": jnp.int32, "bool": jnp.bool_}


def foreign_function(spec: NetworkSpec, backend: str) -> ForeignFunction:
    """The function of a declaration, traced once on shapes alone.

    Raises:
        UnsupportedByBackend: none was given.
        ShapeError: it fails on elements of the declared shapes, or gives another shape or kind of number.
    """
    foreign = of_spec(spec, backend, "jax")
    rows = (2,) if foreign.call.batched else ()
    elements = [jax.ShapeDtypeStruct(rows + shape, _KINDS[kind]) for shape, kind in foreign.call.inputs]
    try:
        out: Any = jax.eval_shape(foreign.function, *elements)
    except Exception as error:  # noqa: BLE001 - a user's function may raise anything
        foreign.refuse("a result", f"{type(error).__name__}: {error}".splitlines()[0], error)
    if not hasattr(out, "shape"):
        foreign.refuse("one array", type(out).__name__)
    foreign.check(out.shape[len(rows) :], dtype_kind(out.dtype))
    return foreign


def module_shape(module: Any, shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """The event shape that a module gives for one element, traced on shapes alone."""
    return jax.eval_shape(module, jax.ShapeDtypeStruct(shape, _KINDS[kind])).shape


def call_external(foreign: ForeignFunction, *operands: tuple[Array, int]) -> Array:
    """A user's function on elements: axes in front of them are folded into one, over which it is mapped.

    Args:
        foreign: the function.
        operands: arrays, and how many of their axes are one element's.
    """
    arrays = [(jnp.asarray(a), rank) for a, rank in operands]
    batch = jnp.broadcast_shapes(*(a.shape[: a.ndim - r] for a, r in arrays))
    whole = not batch and not foreign.call.batched
    if whole:
        out = foreign.function(*(a for a, _ in arrays))
    else:
        # What has no axes in front is the same for all rows: it is not copied, unless the function takes rows itself.
        fixed = [a.ndim == r and not foreign.call.batched for a, r in arrays]
        rows = [
            a if one else jnp.broadcast_to(a, batch + a.shape[a.ndim - r :]).reshape(-1, *a.shape[a.ndim - r :])
            for (a, r), one in zip(arrays, fixed, strict=True)
        ]
        if foreign.call.batched:
            out = foreign.function(*rows)
        else:
            out = jax.vmap(foreign.function, in_axes=tuple(None if one else 0 for one in fixed))(*rows)
    element = out.shape if whole else out.shape[1:]
    foreign.check(element, dtype_kind(out.dtype))
    return out if whole else out.reshape(batch + element)
