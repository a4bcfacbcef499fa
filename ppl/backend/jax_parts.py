"""Parts of the parameters with optimisers of their own, which may take turns, in optax."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .protocol import OptimizerSpec, Part


def parted(
    parts: Sequence[Part], make: Callable[[OptimizerSpec], optax.GradientTransformation]
) -> optax.GradientTransformation:
    """One optimiser for parameters by name, out of one for each part."""
    transforms: dict[Hashable, optax.GradientTransformation] = {
        str(i): turned(make(p.optimizer), p.turns) for i, p in enumerate(parts)
    }
    labels = {name: str(i) for i, p in enumerate(parts) for name in p.names}
    return optax.partition(transforms, lambda params: {name: labels[name] for name in params})


def turned(transform: optax.GradientTransformation, turns: tuple[int, int, int] | None) -> optax.GradientTransformation:
    """An optimiser that moves at some steps of a period only; between them it stays as it is."""
    if turns is None:
        return transform
    period, first, stop = turns

    def init(params: Any) -> Any:
        return jnp.zeros((), jnp.int32), transform.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        count, inner = state
        on = (count % period >= first) & (count % period < stop)
        moved, after = transform.update(updates, inner, params)
        moved = jax.tree_util.tree_map(lambda u: jnp.where(on, u, jnp.zeros_like(u)), moved)
        kept = jax.tree_util.tree_map(lambda new, old: jnp.where(on, new, old), after, inner)
        return moved, (count + 1, kept)

    return optax.GradientTransformation(init, update)
