"""The user's own functions on JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from ppl.program.networks import NetworkSpec

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
    foreign.checked(out)
    return foreign


def module_shape(module: Any, shape: tuple[int, ...], kind: str) -> tuple[int, ...]:
    """The event shape that a module gives for one element, traced on shapes alone."""
    return jax.eval_shape(module, jax.ShapeDtypeStruct(shape, _KINDS[kind])).shape


def map_elements(function: Callable[..., Array], *operands: tuple[Array, int], batched: bool = False) -> Array:
    """A function of elements on arrays of them: axes in front are folded into one, over which it is mapped.

    Args:
        function: takes one element of each operand, or rows of them if it is `batched`.
        operands: arrays, and how many of their axes are one element's.
        batched: whether the function takes an axis of rows itself, and keeps it.
    """
    arrays = [(jnp.asarray(a), rank) for a, rank in operands]
    batch = jnp.broadcast_shapes(*(a.shape[: a.ndim - rank] for a, rank in arrays))
    if not batch and not batched:
        return function(*(a for a, _ in arrays))
    # What has no axes in front is the same for all rows: it is not copied, unless the function takes rows itself.
    fixed = [a.ndim == rank and not batched for a, rank in arrays]
    rows = [
        a if one else jnp.broadcast_to(a, batch + a.shape[a.ndim - rank :]).reshape(-1, *a.shape[a.ndim - rank :])
        for (a, rank), one in zip(arrays, fixed, strict=True)
    ]
    if not batched:
        function = jax.vmap(function, in_axes=tuple(None if one else 0 for one in fixed))
    out = function(*rows)
    return out.reshape(batch + out.shape[1:])
