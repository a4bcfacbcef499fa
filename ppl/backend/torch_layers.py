"""Layers of networks in torch, with any leading axes on elements and on weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_CONV_TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
_MAX_POOL = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
_AVG_POOL = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def folded(x: Tensor, rank: int) -> tuple[Tensor, tuple[int, ...]]:
    """All axes but the last `rank` folded into one; and their sizes."""
    front = tuple(x.shape[: x.ndim - rank])
    return x.reshape(-1, *x.shape[x.ndim - rank :]), front


def _shared(weight: Tensor, rank: int) -> bool:
    return weight.ndim == rank or all(n == 1 for n in weight.shape[: weight.ndim - rank])


def conv(x: Tensor, weight: Tensor, bias: Tensor | None, *, rank: int, **settings: Any) -> Tensor:
    """Convolution of images (batch..., channels, spatial...) with `rank` spatial axes; weights may be batched too."""
    return _convolve(_CONV[rank], x, weight, bias, rank, settings)


def conv_transpose(x: Tensor, weight: Tensor, bias: Tensor | None, *, rank: int, **settings: Any) -> Tensor:
    """Transposed convolution of images (batch..., channels, spatial...)."""
    return _convolve(_CONV_TRANSPOSE[rank], x, weight, bias, rank, settings)


def _convolve(
    function: Any, x: Tensor, weight: Tensor, bias: Tensor | None, rank: int, settings: dict[str, Any]
) -> Tensor:
    image, kernel = rank + 1, rank + 2
    if _shared(weight, kernel) and (bias is None or _shared(bias, 1)):
        flat, front = folded(x, image)
        shift = None if bias is None else bias.reshape(-1)
        out = function(flat, weight.reshape(weight.shape[-kernel:]), shift, **settings)
        # A weight drawn once keeps its axes of size one.
        wide = torch.broadcast_shapes(front, weight.shape[:-kernel], () if bias is None else bias.shape[:-1])
        return out.reshape(*wide, *out.shape[1:])
    fronts = weight.shape[:-kernel], () if bias is None else bias.shape[:-1]
    shape = torch.broadcast_shapes(x.shape[:-image], *fronts)
    # One call for each set of weights; the rows that share it stay together in one batch.
    outer = torch.broadcast_shapes(*fronts)
    outer = (1,) * (len(shape) - len(outer)) + tuple(outer)
    x = x.expand(*shape, *x.shape[-image:])
    weight = weight.expand(*outer, *weight.shape[-kernel:])
    bias = None if bias is None else bias.expand(*outer, bias.shape[-1])
    pick = [i for i, n in enumerate(outer) if n > 1]
    results = []
    for flat_index in range(math.prod(outer[i] for i in pick)):
        position: list[Any] = [slice(None)] * len(shape)
        own: list[Any] = [0] * len(shape)
        rest = flat_index
        for i in reversed(pick):
            position[i] = own[i] = rest % outer[i]
            rest //= outer[i]
        flat, front = folded(x[tuple(position)], image)
        out = function(flat, weight[tuple(own)], None if bias is None else bias[tuple(own)], **settings)
        results.append(out.reshape(*front, *out.shape[1:]))
    stacked = torch.stack(results).reshape(*(outer[i] for i in pick), *results[0].shape)
    return torch.movedim(stacked, tuple(range(len(pick))), tuple(pick))


def _pooled(table: Any, x: Tensor, kernel: Sequence[int], stride: Any, padding: Any) -> Tensor:
    flat, front = folded(x, len(kernel))
    out = table[len(kernel)](flat[None], tuple(kernel), tuple(stride), tuple(padding))[0]
    return out.reshape(*front, *out.shape[1:])


def max_pool(x: Tensor, *, kernel: Sequence[int], stride: Any, padding: Any) -> Tensor:
    """Largest entry of each window over the last axes."""
    return _pooled(_MAX_POOL, x, kernel, stride, padding)


def avg_pool(x: Tensor, *, kernel: Sequence[int], stride: Any, padding: Any) -> Tensor:
    """Mean of each window over the last axes; padding counts as zeros."""
    return _pooled(_AVG_POOL, x, kernel, stride, padding)


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, rank: int, eps: float) -> Tensor:
    """Layer normalisation over the last `rank` axes, with weights that may carry batch axes."""
    axes = tuple(range(-rank, 0))
    mean = x.mean(axes, keepdim=True)
    variance = x.var(axes, correction=0, keepdim=True)
    return (x - mean) * torch.rsqrt(variance + eps) * weight + bias


def recurrent(
    x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, *state: Tensor, cell: str, reverse: bool
) -> Tensor:
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
    if reverse:
        return recurrent(x.flip(-2), w_ih, w_hh, b_ih, b_hh, *state, cell=cell, reverse=False).flip(-2)
    hidden = w_hh.shape[-1]
    weights = (w_ih, w_hh, b_ih, b_hh)
    ranks = (2, 2, 1, 1)
    fronts = [x.shape[:-2], *(s.shape[:-1] for s in state)]
    fronts += [w.shape[: w.ndim - r] for w, r in zip(weights, ranks, strict=True)]
    batch = torch.broadcast_shapes(*fronts)
    start = [s.expand(*batch, hidden) for s in state] or [x.new_zeros((*batch, hidden))] * (2 if cell == "lstm" else 1)
    # One set of weights: the library's own kernel, on all rows at once. Under torch.compile its gradient fails (2.13),
    # and the loop below becomes one graph.
    if not torch.compiler.is_compiling() and all(_shared(w, r) for w, r in zip(weights, ranks, strict=True)):
        flat = x.expand(*batch, *x.shape[-2:]).reshape(-1, *x.shape[-2:])
        first = [s.reshape(1, -1, hidden) for s in start]
        own = [w.reshape(w.shape[w.ndim - r :]) for w, r in zip(weights, ranks, strict=True)]
        function: Any = {"rnn": torch.rnn_tanh, "gru": torch.gru, "lstm": torch.lstm}[cell]
        out = function(flat, first if cell == "lstm" else first[0], own, True, 1, 0.0, False, False, True)[0]
        return out.reshape(*batch, *out.shape[1:])
    gates = torch.einsum("...ti,...gi->...tg", x, w_ih) + b_ih[..., None, :]
    outputs = []
    h = start[0]
    for t in range(x.shape[-2]):
        now, own_gates = gates[..., t, :], torch.einsum("...h,...gh->...g", h, w_hh) + b_hh
        if cell == "rnn":
            h = torch.tanh(now + own_gates)
        elif cell == "gru":
            (xr, xz, xn), (hr, hz, hn) = now.chunk(3, -1), own_gates.chunk(3, -1)
            new = torch.tanh(xn + torch.sigmoid(xr + hr) * hn)
            h = new + torch.sigmoid(xz + hz) * (h - new)
        else:
            i, f, g, o = (now + own_gates).chunk(4, -1)
            start[1] = torch.sigmoid(f) * start[1] + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(start[1])
        outputs.append(h)
    return torch.stack(outputs, -2)


def attention(q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
    """Scaled dot-product attention of heads, (batch..., heads, queries, size) over (batch..., heads, keys, size)."""
    batch = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    q, k, v = (x.expand(*batch, *x.shape[-2:]) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, is_causal=causal)
