"""Parts of the parameters with optimisers of their own, which may take turns, in optax."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from .protocol import OptimizerSpec, Part, UpdateSpec


def as_real(count: jax.Array) -> jax.Array:
    """A number of steps in the precision in force; JAX divides integers of 32 bits in single precision."""
    return count.astype(jnp.result_type(float))


def parted(
    parts: Sequence[Part], make: Callable[[OptimizerSpec], optax.GradientTransformation]
) -> optax.GradientTransformation:
    """One optimiser for parameters by name, out of one for each part."""
    made = [formula(p.optimizer, p.names) if isinstance(p.optimizer, UpdateSpec) else make(p.optimizer) for p in parts]
    transforms: dict[Hashable, optax.GradientTransformation] = {
        str(i): turned(one, p.turns) for i, (one, p) in enumerate(zip(made, parts, strict=True))
    }
    labels = {name: str(i) for i, p in enumerate(parts) for name in p.names}
    return optax.partition(transforms, lambda params: {name: labels[name] for name in params})


def formula(spec: UpdateSpec, names: Sequence[str]) -> optax.GradientTransformation:
    """An optimiser out of a formula of our own.

    Args:
        spec: the formula.
        names: the parameters that it moves; all others are masked.
    """

    def init(params: Any) -> Any:
        dtype = params[names[0]].dtype
        return jnp.zeros((), jnp.int32), {k: jnp.asarray(v, dtype) for k, v in spec.state.items()}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        count, kept = state
        own = {n: params[n] for n in names}
        dtype = own[names[0]].dtype
        values = spec.values({n: updates[n] for n in names}, kept, as_real(count), jnp)
        values["rate"] = jnp.asarray(values["rate"], dtype)
        new = spec.function(own, values, {}, {})
        moved = {**updates, **{n: new[n] - own[n] for n in names}}
        return moved, (count + 1, {k: new[k] for k in kept})

    return optax.GradientTransformation(init, update)


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
