"""What emitted JAX code calls by name: the few operations that JAX does not have in the batched form we need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


def bernoulli_log_prob(logits: Any, value: Any) -> Array:
    """Log Bernoulli(value; logits), elementwise."""
    return value * logits - jax.nn.softplus(logits)


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


def concat(parts: Sequence[Array], axis: int, rank: int) -> Array:
    """Join along an event axis parts whose batch axes broadcast."""
    batch = jnp.broadcast_shapes(*(p.shape[: p.ndim - rank] for p in parts))
    return jnp.concatenate([jnp.broadcast_to(p, batch + p.shape[p.ndim - rank :]) for p in parts], axis=axis)


def _mapped(function: Any, arguments: Sequence[Array | None], ranks: Sequence[int]) -> Array:
    """Map a function of single elements over whatever batch axes its arguments have, folded where they are shared."""
    batch = [() if a is None else a.shape[: a.ndim - r] for a, r in zip(arguments, ranks, strict=True)]
    width = max(len(b) for b in batch)
    shape = jnp.broadcast_shapes(*batch)
    out = function
    for axis in reversed(range(width)):
        in_axes = []
        for b in batch:
            own = axis - (width - len(b))
            in_axes.append(0 if own >= 0 and b[own] == shape[axis] and shape[axis] > 1 else None)
        if all(i is None for i in in_axes):
            # An axis of size one everywhere: keep it by adding it back.
            out = _unit(out)
        else:
            out = jax.vmap(out, in_axes=tuple(in_axes))
    squeezed = []
    for a, b in zip(arguments, batch, strict=True):
        if a is None:
            squeezed.append(None)
            continue
        drop = tuple(i for i, n in enumerate(b) if n == 1)
        squeezed.append(jnp.squeeze(a, axis=drop) if drop else a)
    return out(*squeezed)


def _unit(function: Any) -> Any:
    return lambda *arguments: function(*arguments)[None]


def conv2d(
    x: Array, weight: Array, bias: Array | None, *, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    """2-D convolution of images (batch..., channels, height, width); weights may carry batch axes too."""

    def one(image: Array, kernel: Array, shift: Array | None) -> Array:
        out = jax.lax.conv_general_dilated(
            image[None],
            kernel,
            window_strides=stride,
            padding=[(p, p) for p in padding],
            rhs_dilation=dilation,
            feature_group_count=groups,
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
        )[0]
        return out if shift is None else out + shift[:, None, None]

    return _mapped(one, (x, weight, bias), (3, 4, 1))


def conv_transpose2d(
    x: Array, weight: Array, bias: Array | None, *, stride: Any, padding: Any, output_padding: Any
) -> Array:
    """2-D transposed convolution of images (batch..., channels, height, width); weight [in, out, h, w], as torch's."""
    kernel_size = weight.shape[-2:]
    pads = [(k - 1 - p, k - 1 - p + o) for k, p, o in zip(kernel_size, padding, output_padding, strict=True)]

    def one(image: Array, kernel: Array, shift: Array | None) -> Array:
        out = jax.lax.conv_general_dilated(
            image[None],
            jnp.flip(kernel, (-1, -2)).swapaxes(0, 1),
            window_strides=(1, 1),
            padding=pads,
            lhs_dilation=stride,
            dimension_numbers=("NCHW", "OIHW", "NCHW"),
        )[0]
        return out if shift is None else out + shift[:, None, None]

    return _mapped(one, (x, weight, bias), (3, 4, 1))


def layer_norm(x: Array, weight: Array, bias: Array, rank: int, eps: float) -> Array:
    """Layer normalisation over the last `rank` axes."""
    axes = tuple(range(-rank, 0))
    mean = x.mean(axes, keepdims=True)
    variance = x.var(axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + eps) * weight + bias


def call_network(module: Any, params: dict[str, Array], name: str, x: Array, rank: int) -> Array:
    """A user's own equinox module on folded elements, with its arrays taken from `params`."""
    import equinox as eqx

    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    leaves, tree = jax.tree_util.tree_flatten_with_path(arrays)
    own = [params[f"{name}{leaf_name(path)}"] for path, _ in leaves]
    filled = eqx.combine(jax.tree_util.tree_unflatten(tree, own), static)
    front = x.shape[: x.ndim - rank]
    out = jax.vmap(filled)(x.reshape((-1, *x.shape[x.ndim - rank :])))
    return out.reshape(front + out.shape[1:])


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
    """Beta draws, with pathwise gradients."""
    return jax.random.beta(key, jnp.broadcast_to(a, shape), jnp.broadcast_to(b, shape))


def sample_dirichlet(key: Array, concentration: Array, shape: tuple[int, ...]) -> Array:
    """Dirichlet draws, with pathwise gradients."""
    return jax.random.dirichlet(key, jnp.broadcast_to(concentration, shape), dtype=concentration.dtype)


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
