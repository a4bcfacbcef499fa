"""What emitted JAX code calls by name: the few operations that JAX does not have in the batched form we need."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from .foreign import check_rows
from .jax_foreign import map_elements
from .jax_layers import attention, avg_pool, conv, conv_transpose, layer_norm, max_pool, recurrent


def bernoulli_log_prob(logits: Any, value: Any) -> Array:
    """Log Bernoulli(value; logits), elementwise."""
    return value * logits - softplus(logits)


def softplus(x: Any) -> Array:
    """log(1 + exp(x)); JAX's own goes through logaddexp, whose care for two infinities costs more than the rest."""
    return jnp.maximum(x, 0.0) + jnp.log1p(jnp.exp(-jnp.abs(x)))


def clipped_sigmoid(x: Array) -> Array:
    """The sigmoid, kept off 0 and 1 by the smallest number that the precision tells apart from them."""
    limits = jnp.finfo(x.dtype)
    return jnp.clip(jax.nn.sigmoid(x), limits.tiny, 1.0 - limits.eps)


def diag_embed(x: Array) -> Array:
    """Diagonal matrices from vectors."""
    return x[..., None] * jnp.eye(x.shape[-1], dtype=x.dtype)


def _same_batch(a: Array, b: Array, rank: int = 2) -> tuple[Array, Array]:
    batch = jnp.broadcast_shapes(a.shape[:-rank], b.shape[:-rank])
    return jnp.broadcast_to(a, batch + a.shape[-rank:]), jnp.broadcast_to(b, batch + b.shape[-rank:])


def solve(a: Array, b: Array) -> Array:
    """Solutions of linear systems; batch axes broadcast."""
    return jnp.linalg.solve(*_same_batch(a, b))


def solve_triangular(a: Array, b: Array, *, lower: bool) -> Array:
    """Solutions of triangular systems; batch axes broadcast."""
    a, b = _same_batch(a, b)
    return jax.lax.linalg.triangular_solve(a, b, left_side=True, lower=lower)


def gather(table: Array, index: Array, rest: int, index_rank: int) -> Array:
    """Rows of a table that has batch axes itself, without expanding the table.

    Args:
        table: shape (batch..., rows, rest...).
        index: integers, shape (batch..., index...); batch axes broadcast against the table's.
        rest: number of axes behind the rows.
        index_rank: number of index axes.
    """
    batch = table.ndim - 1 - rest
    batch_index = index.ndim - index_rank
    width = max(batch, batch_index)
    table = table.reshape((1,) * (width - batch) + table.shape)
    index = index.reshape((1,) * (width - batch_index) + index.shape)
    where: list[Any] = []
    for axis in range(width):
        size = table.shape[axis]
        where.append(0 if size == 1 else jnp.arange(size).reshape((size,) + (1,) * (width - axis - 1 + index_rank)))
    return table[(*where, index)]


def take_along(table: Array, index: Array) -> Array:
    """Entries along the last axis; batch axes broadcast."""
    return jnp.take_along_axis(*_same_batch(table, index, 1), axis=-1)


def segment_sum(data: Array, index: Array, size: int, rest: int) -> Array:
    """Sums of rows by group.

    Args:
        data: rows, shape (batch..., n, rest...).
        index: the group of each row, shape (batch..., n); batch axes broadcast.
        size: number of groups.
        rest: number of axes behind the rows.
    """
    batch = jnp.broadcast_shapes(data.shape[: data.ndim - 1 - rest], index.shape[:-1])
    data = jnp.broadcast_to(data, batch + data.shape[data.ndim - 1 - rest :])
    # Axes that all rows of the index share stay out of the scatter.
    shared = (
        ()
        if index.ndim == 1
        else tuple(jnp.arange(n).reshape((n,) + (1,) * (len(batch) - i)) for i, n in enumerate(batch))
    )
    zeros = jnp.zeros((*batch, size, *data.shape[data.ndim - rest :]), data.dtype)
    if not shared:
        return zeros.at[(..., index, *[slice(None)] * rest)].add(data)
    return zeros.at[(*shared, index)].add(data)


def _running(function: Any, x: Array, axis: int) -> Array:
    return function(x, axis=axis % x.ndim)


def cummax(x: Array, axis: int) -> Array:
    """Largest entry so far."""
    return _running(jax.lax.cummax, x, axis)


def cummin(x: Array, axis: int) -> Array:
    """Least entry so far."""
    return _running(jax.lax.cummin, x, axis)


def cumlogsumexp(x: Array, axis: int) -> Array:
    """Running logsumexp."""
    return _running(jax.lax.cumlogsumexp, x, axis)


def concat(parts: Sequence[Array], axis: int, rank: int) -> Array:
    """Join along an event axis parts whose batch axes broadcast."""
    batch = jnp.broadcast_shapes(*(p.shape[: p.ndim - rank] for p in parts))
    return jnp.concatenate([jnp.broadcast_to(p, batch + p.shape[p.ndim - rank :]) for p in parts], axis=axis)


def shift(init: Any, following: Array, axis: int, *, reverse: bool = False) -> Array:
    """Values one step earlier along an axis of steps, the first of which gets `init`; all other axes broadcast."""
    rest = slice(1, None) if reverse else slice(None, -1)
    kept = following[(..., rest, *[slice(None)] * (-axis - 1))]
    first = jnp.asarray(init, following.dtype)
    wide = jnp.broadcast_shapes(
        first.shape, (*following.shape[:axis], 1, *following.shape[following.ndim + axis + 1 :])
    )
    first = jnp.broadcast_to(first, wide)
    kept = jnp.broadcast_to(kept, (*wide[:axis], kept.shape[axis], *wide[len(wide) + axis + 1 :]))
    return jnp.concatenate([kept, first] if reverse else [first, kept], axis=axis)


def step_keys(key: Array, length: int) -> Array:
    """A key for each step of a scan."""
    return jax.random.split(key, length)


def scan(
    step: Callable[..., Any],
    init: tuple[Any, ...],
    xs: tuple[Array, ...],
    length: int,
    shapes: tuple[tuple[int, ...], ...],
    *,
    reverse: bool = False,
) -> tuple[Array, ...]:
    """Repeat a step.

    Args:
        step: function of (carry, x) -> (next carry, results).
        init: the first carry.
        xs: arrays with the steps in front.
        length: number of steps.
        shapes: plates and event of each carry; leading axes come from what a step computes.
        reverse: from the last step to the first.

    Returns:
        The results of all steps, these in front.
    """
    carry = tuple(_wide(jnp.asarray(c), s) for c, s in zip(init, shapes, strict=True))
    first = tuple(x[0] for x in xs)
    while True:
        # What a step returns may have leading axes (draws, particles) that the start has not.
        after, _ = jax.eval_shape(step, carry, first)
        wide = tuple(
            jnp.broadcast_to(c, jnp.broadcast_shapes(c.shape, a.shape)).astype(jnp.promote_types(c.dtype, a.dtype))
            for c, a in zip(carry, after, strict=True)
        )
        if all(w.shape == c.shape and w.dtype == c.dtype for w, c in zip(wide, carry, strict=True)):
            break
        carry = wide

    def body(carry: tuple[Array, ...], x: tuple[Array, ...]) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        new, results = step(carry, x)
        return tuple(jnp.broadcast_to(n, c.shape).astype(c.dtype) for n, c in zip(new, carry, strict=True)), results

    return jax.lax.scan(body, carry, xs, length=length, reverse=reverse)[1]


# Steps of a chain that run between two turns of XLA's loop, each of which costs as much as some small operations.
UNROLLED = 2


def chain(
    first: Array,
    own: Array,
    pair: Array,
    *,
    sites: int = 1,
    starts: bool = False,
    moving: bool = False,
    reverse: bool = False,
) -> Array:
    """The log of the sum over all paths of discrete values, one step after the other.

    The steps are taken from the last to the first, so that axes which only the first step has (the values of a site it
    starts from) join at the end. The largest weight is kept apart: added up in them, the rounding of long sequences
    would reach whole nats in float32.

    Args:
        first: log weights in the first step beyond `own`, shape (..., values...); with `starts`, one for each step,
            shape (..., steps, values...).
        own: log weights in each step, shape (..., steps, values...).
        pair: log weights of values now and before, shape (..., values..., values...); with `moving`, of each step.
        sites: how many sites there are, and so axes of values.
        starts: whether `first` is given for every step, of which one counts.
        moving: whether `pair` differs from step to step.
        reverse: whether the last step comes first.

    Returns:
        Shape (...), axes in front broadcast.
    """
    first, own, pair = (_flat(x, n, sites) for x, n in ((first, 1), (own, 1), (pair, 2)))
    begin = -1 if reverse else 0
    if starts:
        first = first[..., begin, :]
    steps = own.shape[-2]
    rest = slice(None, -1) if reverse else slice(1, None)
    weights = jnp.moveaxis(own[..., rest, :], -2, 0)
    matrices = jnp.moveaxis(pair[..., rest, :, :], -3, 0) if moving else None
    batch = jnp.broadcast_shapes(own.shape[:-2], pair.shape[: pair.ndim - (3 if moving else 2)])
    later = jnp.zeros(batch + own.shape[-1:], jnp.result_type(first, own, pair))
    lowest = jnp.finfo(later.dtype).min

    def step(later: Array, x: Any) -> tuple[Array, Array]:
        weight, matrix = x
        ahead = (later + weight)[..., :, None] + (pair if matrix is None else matrix)
        later = jax.nn.logsumexp(ahead, -2)
        top = jnp.maximum(jax.lax.stop_gradient(later.max(-1)), lowest)
        return later - top[..., None], top

    later, tops = jax.lax.scan(step, later, (weights, matrices), length=steps - 1, reverse=not reverse, unroll=UNROLLED)
    return jax.nn.logsumexp(first + own[..., begin, :] + later, -1) + tops.sum(0)


def _flat(x: Array, times: int, sites: int) -> Array:
    """The values of several sites on one axis; `times` such groups of axes stand at the right end."""
    if sites == 1:
        return x
    front = x.shape[: x.ndim - times * sites]
    groups = [x.shape[x.ndim - (times - i) * sites : x.ndim - (times - i - 1) * sites] for i in range(times)]
    return x.reshape(*front, *(math.prod(g) for g in groups))


def _wide(x: Array, shape: tuple[int, ...]) -> Array:
    return jnp.broadcast_to(x, jnp.broadcast_shapes(x.shape, shape))


def call_network(
    module: Any, params: dict[str, Array], name: str, x: Array, rank: int, shape: tuple[int, ...]
) -> Array:
    """A user's own equinox module on folded elements, with its arrays taken from `params`."""
    import equinox as eqx

    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    leaves, tree = jax.tree_util.tree_flatten_with_path(arrays)
    own = [params[f"{name}{leaf_name(path)}"] for path, _ in leaves]
    filled = eqx.combine(jax.tree_util.tree_unflatten(tree, own), static)
    front = x.shape[: x.ndim - rank]
    out = jax.vmap(filled)(x.reshape((-1, *x.shape[x.ndim - rank :])))
    check_rows(name, out.shape[1:], shape)
    return out.reshape(front + out.shape[1:])


def held(params: dict[str, Array]) -> dict[str, Array]:
    """Parameters as constants for the gradient."""
    return {name: jax.lax.stop_gradient(p) for name, p in params.items()}


def leaf_name(path: Any) -> str:
    """The name of a leaf of a module, `.layers.0.weight`, from its path."""
    parts = []
    for entry in path:
        parts.append(str(getattr(entry, "name", getattr(entry, "idx", getattr(entry, "key", entry)))))
    return "." + ".".join(parts)


# --- draws by JAX's own samplers ------------------------------------------------------------------------------------


def sample_gamma(key: Array, concentration: Array, shape: tuple[int, ...]) -> Array:
    """Standard gamma draws, with implicit pathwise gradients."""
    concentration = jnp.asarray(concentration)
    tiny = jnp.finfo(concentration.dtype).tiny
    return jnp.maximum(jax.random.gamma(key, jnp.broadcast_to(concentration, shape)), tiny)


def sample_beta(key: Array, a: Array, b: Array, shape: tuple[int, ...]) -> Array:
    """Beta draws, with pathwise gradients; kept off 0 and 1, where the density may be infinite, as torch does."""
    draws = jax.random.beta(key, jnp.broadcast_to(a, shape), jnp.broadcast_to(b, shape))
    limits = jnp.finfo(draws.dtype)
    return jnp.clip(draws, limits.tiny, 1.0 - limits.epsneg)


def sample_dirichlet(key: Array, concentration: Array, shape: tuple[int, ...]) -> Array:
    """Dirichlet draws, with pathwise gradients; kept off 0, where the density may be infinite, as torch does."""
    draws = jax.random.dirichlet(key, jnp.broadcast_to(concentration, shape), dtype=concentration.dtype)
    return jnp.maximum(draws, jnp.finfo(draws.dtype).tiny)


def sample_poisson(key: Array, rate: Array, shape: tuple[int, ...]) -> Array:
    """Poisson draws."""
    return jax.random.poisson(key, jnp.broadcast_to(rate, shape), shape)


def sample_binomial(key: Array, total_count: Array, probs: Array, shape: tuple[int, ...]) -> Array:
    """Binomial draws."""
    probs = jnp.broadcast_to(probs, shape)
    return jax.random.binomial(key, jnp.broadcast_to(total_count, shape), probs, shape, dtype=probs.dtype).astype(
        jnp.int32
    )


def sample_multinomial(key: Array, total_count: Array, probs: Array, shape: tuple[int, ...]) -> Array:
    """Multinomial draws."""
    count = jnp.broadcast_to(jnp.asarray(total_count, dtype=probs.dtype), shape[:-1])
    draws = jax.random.multinomial(key, count, jnp.broadcast_to(probs, shape), shape=shape, dtype=probs.dtype)
    return draws.astype(jnp.int32)


__all__ = [
    "attention",
    "avg_pool",
    "bernoulli_log_prob",
    "call_network",
    "chain",
    "clipped_sigmoid",
    "concat",
    "conv",
    "conv_transpose",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "diag_embed",
    "gather",
    "held",
    "layer_norm",
    "leaf_name",
    "map_elements",
    "max_pool",
    "recurrent",
    "sample_beta",
    "sample_binomial",
    "sample_dirichlet",
    "sample_gamma",
    "sample_multinomial",
    "sample_poisson",
    "scan",
    "segment_sum",
    "shift",
    "solve",
    "solve_triangular",
    "step_keys",
    "take_along",
]
