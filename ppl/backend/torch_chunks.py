"""A loss that holds one chunk of particles at a time, in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from .protocol import Arrays, ChunkRound


def chunked(
    rounds: Sequence[ChunkRound], last: Callable[..., Any], noise_places: Mapping[str, int], size: int, chunk: int
) -> Callable[..., Any]:
    """As `Backend.chunked`."""

    def loss(params: Arrays, values: Arrays, data: Arrays, noise: Arrays, index: Any = None, lead: Any = ()) -> Any:
        known: Arrays = dict(values)
        for one in rounds:
            if one.before is not None:
                known = {**known, **one.before(params, known, data, noise, index)}
            parts: list[Arrays] = []
            for start in range(0, size, chunk):
                width = min(chunk, size - start)

                part = partial(_part, one, start, width, noise_places, params, known, data, noise, index)
                # Nothing inside a chunk is kept for its gradient: it is computed again when that is taken.
                parts.append(checkpoint(part, use_reentrant=False, preserve_rng_state=False))
            known = {**known, **{n: torch.cat([p[n] for p in parts], one.places[n]) for n in one.outputs}}
        return last(params, known, data, noise, index)

    return loss


def _part(
    one: ChunkRound,
    start: int,
    width: int,
    noise_places: Mapping[str, int],
    params: Arrays,
    known: Arrays,
    data: Arrays,
    noise: Arrays,
    index: Any,
) -> Arrays:
    """What the particles from `start` on hand out."""
    own = {n: x.narrow(noise_places[n], start, width) if n in noise_places else x for n, x in noise.items()}
    mine = {n: known[n].narrow(one.places[n], start, width) for n in one.sliced}
    return one.inside(params, {**known, **mine}, data, own, index)
