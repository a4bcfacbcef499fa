"""Layers of networks in JAX, with any leading axes on elements and on weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array


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


# Names of the axes of images, kernels and results for `conv_general_dilated`, by the number of spatial axes.
_AXES = {n: (f"NC{'DHW'[3 - n :]}", f"OI{'DHW'[3 - n :]}", f"NC{'DHW'[3 - n :]}") for n in (1, 2, 3)}


def _shifted(out: Array, bias: Array | None) -> Array:
    return out if bias is None else out + bias.reshape(-1, *(1,) * (out.ndim - 1))


def conv(
    x: Array, weight: Array, bias: Array | None, *, rank: int, stride: Any, padding: Any, dilation: Any, groups: int
) -> Array:
    """Convolution of images (batch..., channels, spatial...); weights may carry batch axes too.

    Args:
        x: images.
        weight: kernels, shape (batch..., out, in / groups, spatial...).
        bias: shape (batch..., out), or None.
        rank: number of spatial axes.
        stride: step between positions, for each spatial axis.
        padding: zeros added at each side.
        dilation: spacing of the kernel.
        groups: blocks of channels that are convolved separately.
    """

    def one(image: Array, kernel: Array, shift: Array | None) -> Array:
        out = jax.lax.conv_general_dilated(
            image[None],
            kernel,
            window_strides=stride,
            padding=[(p, p) for p in padding],
            rhs_dilation=dilation,
            feature_group_count=groups,
            dimension_numbers=_AXES[rank],
        )[0]
        return _shifted(out, shift)

    return _mapped(one, (x, weight, bias), (rank + 1, rank + 2, 1))


def conv_transpose(
    x: Array, weight: Array, bias: Array | None, *, rank: int, stride: Any, padding: Any, output_padding: Any
) -> Array:
    """Transposed convolution of images (batch..., channels, spatial...); weight [in, out, spatial...], as torch's."""
    axes = tuple(range(-rank, 0))
    kernel_size = weight.shape[-rank:]
    pads = [(k - 1 - p, k - 1 - p + o) for k, p, o in zip(kernel_size, padding, output_padding, strict=True)]

    def one(image: Array, kernel: Array, shift: Array | None) -> Array:
        out = jax.lax.conv_general_dilated(
            image[None],
            jnp.flip(kernel, axes).swapaxes(0, 1),
            window_strides=(1,) * rank,
            padding=pads,
            lhs_dilation=stride,
            dimension_numbers=_AXES[rank],
        )[0]
        return _shifted(out, shift)

    return _mapped(one, (x, weight, bias), (rank + 1, rank + 2, 1))


def _windows(x: Array, start: float, combine: Any, kernel: Sequence[int], stride: Any, padding: Any) -> Array:
    front = x.ndim - len(kernel)
    sizes, steps = (1,) * front + tuple(kernel), (1,) * front + tuple(stride)
    pads = [(0, 0)] * front + [(p, p) for p in padding]
    return jax.lax.reduce_window(x, start, combine, sizes, steps, pads)


def max_pool(x: Array, *, kernel: Sequence[int], stride: Any, padding: Any) -> Array:
    """Largest entry of each window over the last axes."""
    return _windows(x, -math.inf, jax.lax.max, kernel, stride, padding)


def avg_pool(x: Array, *, kernel: Sequence[int], stride: Any, padding: Any) -> Array:
    """Mean of each window over the last axes; padding counts as zeros."""
    return _windows(x, 0.0, jax.lax.add, kernel, stride, padding) / math.prod(kernel)


def layer_norm(x: Array, weight: Array, bias: Array, rank: int, eps: float) -> Array:
    """Layer normalisation over the last `rank` axes."""
    axes = tuple(range(-rank, 0))
    mean = x.mean(axes, keepdims=True)
    variance = x.var(axes, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + eps) * weight + bias


def recurrent(
    x: Array, w_ih: Array, w_hh: Array, b_ih: Array, b_hh: Array, *state: Array, cell: str, reverse: bool
) -> Array:
    """Hidden states of a recurrent cell at all times, in the gate order of torch.

    Args:
        x: inputs, shape (batch..., time, features).
        w_ih: from inputs to gates, shape (batch..., gates * hidden, features).
        w_hh: from hidden states to gates, shape (batch..., gates * hidden, hidden).
        b_ih: added to the first, shape (batch..., gates * hidden).
        b_hh: added to the second.
        state: the first hidden state, and cell state of an LSTM, shape (batch..., hidden); zeros if left out.
        cell: "rnn", "gru" or "lstm".
        reverse: whether time runs backward.

    Returns:
        Hidden states, shape (batch..., time, hidden); under `reverse` each has seen what comes after it.
    """
    hidden = w_hh.shape[-1]
    # What does not depend on the state is one matrix product for all times.
    gates = jnp.einsum("...ti,...gi->...tg", x, w_ih) + b_ih[..., None, :]
    fronts = [gates.shape[:-2], w_hh.shape[:-2], b_hh.shape[:-1], *(s.shape[:-1] for s in state)]
    batch = jnp.broadcast_shapes(*fronts)
    zeros = jnp.zeros((*batch, hidden), gates.dtype)
    carry = tuple(jnp.broadcast_to(s, zeros.shape) for s in state) or (zeros,) * (2 if cell == "lstm" else 1)

    def step(carry: tuple[Array, ...], now: Array) -> tuple[tuple[Array, ...], Array]:
        h = carry[0]
        own = (h @ w_hh.T if w_hh.ndim == 2 else jnp.einsum("...h,...gh->...g", h, w_hh)) + b_hh
        if cell == "rnn":
            h = jnp.tanh(now + own)
            return (h,), h
        if cell == "gru":
            (xr, xz, xn), (hr, hz, hn) = jnp.split(now, 3, -1), jnp.split(own, 3, -1)
            new = jnp.tanh(xn + jax.nn.sigmoid(xr + hr) * hn)
            h = new + jax.nn.sigmoid(xz + hz) * (h - new)
            return (h,), h
        i, f, g, o = jnp.split(now + own, 4, -1)
        c = jax.nn.sigmoid(f) * carry[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    _, out = jax.lax.scan(step, carry, jnp.moveaxis(gates, -2, 0), reverse=reverse)
    return jnp.moveaxis(out, 0, -2)


def attention(q: Array, k: Array, v: Array, *, causal: bool) -> Array:
    """Scaled dot-product attention of heads, (batch..., heads, queries, size) over (batch..., heads, keys, size)."""
    scores = jnp.einsum("...qd,...kd->...qk", q, k) / math.sqrt(q.shape[-1])
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
    return jnp.einsum("...qk,...kd->...qd", jax.nn.softmax(scores, -1), v)
