"""A loss that holds one chunk of particles at a time, in JAX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from .protocol import Arrays, ChunkRound


def chunked(
    rounds: Sequence[ChunkRound], last: Callable[..., Any], noise_places: Mapping[str, int], size: int, chunk: int
) -> Callable[..., Any]:
    """As `Backend.chunked`."""
    full, rest = divmod(size, chunk)

    def loss(params: Arrays, values: Arrays, data: Arrays, noise: Arrays, index: Any = None, lead: Any = ()) -> Any:
        known: Arrays = dict(values)
        for one in rounds:
            if one.before is not None:
                known |= one.before(params, known, data, noise, index)

            def part(start: Any, width: int, one: ChunkRound = one, known: Arrays = known) -> Arrays:
                def cut(x: jax.Array, place: int) -> jax.Array:
                    return jax.lax.dynamic_slice_in_dim(x, start, width, axis=place)

                own = {n: cut(x, noise_places[n]) if n in noise_places else x for n, x in noise.items()}
                mine = {n: cut(known[n], one.places[n]) for n in one.sliced}
                return one.inside(params, {**known, **mine}, data, own, index)

            known = {**known, **_joined(part, one, full, chunk, rest)}
        return last(params, known, data, noise, index)

    return loss


def _joined(part: Callable[[Any, int], Arrays], one: ChunkRound, full: int, chunk: int, rest: int) -> Arrays:
    # Nothing inside a chunk is kept for its gradient: it is computed again when that is taken.
    starts = chunk * jnp.arange(full)
    stacked = jax.lax.map(jax.checkpoint(lambda start: part(start, chunk)), starts)
    out: Arrays = {}
    for name in one.outputs:
        x, place = jnp.moveaxis(stacked[name], 0, one.places[name]), one.places[name]
        out[name] = x.reshape(*x.shape[:place], full * chunk, *x.shape[place + 2 :])
    if rest:
        more = jax.checkpoint(lambda start: part(start, rest))(full * chunk)
        out = {n: jnp.concatenate([x, more[n]], axis=one.places[n]) for n, x in out.items()}
    return out
