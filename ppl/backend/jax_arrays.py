"""Precision and random arguments of JAX functions."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .protocol import Arrays, NoiseShape


@contextlib.contextmanager
def x64(precision: str) -> Iterator[None]:
    """Allow float64 inside; the global setting of JAX stays as it was."""
    if precision == "float64":
        with jax.enable_x64(True):
            yield
    else:
        yield


def draw_noise(key: jax.Array, shapes: tuple[NoiseShape, ...], precision: str) -> Arrays:
    """Random arguments by name; noise of one kind comes from one draw, which costs less than one draw each."""
    out: Arrays = {}
    plain = {"normal": jax.random.normal, "uniform": open_uniform}
    own = [s for s in shapes if s.kind == "key"]
    kinds = [k for k in plain if any(s.kind == k for s in shapes)]
    count = len(kinds) + len(own)
    keys = jax.random.split(key, count) if count > 1 else [key][:count]
    for kind, k in zip(kinds, keys, strict=False):
        members = [s for s in shapes if s.kind == kind]
        if len(members) == 1:
            out[members[0].name] = plain[kind](k, members[0].shape, dtype=precision)
            continue
        flat = plain[kind](k, (sum(int(np.prod(s.shape)) for s in members),), dtype=precision)
        start = 0
        for s in members:
            size = int(np.prod(s.shape))
            out[s.name] = flat[start : start + size].reshape(s.shape)
            start += size
    for s, k in zip(own, keys[len(kinds) :], strict=True):
        out[s.name] = k
    return out


def open_uniform(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Uniform numbers between 0 and 1, without 0."""
    return jax.random.uniform(key, shape, dtype=dtype, minval=jnp.finfo(dtype).tiny)
