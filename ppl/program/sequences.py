"""Layers over rows of a matrix: recurrence over time, attention, graphs and sets."""

from __future__ import annotations

from typing import Any

import numpy as np

from .layers import Layer, Settings, Weight, apply_layer, kind, linear_weights, uniform_bound
from .ops import apply
from .values import DType, Shape, Value
from .vocabulary import broadcast, define

GATES = {"rnn": 1, "gru": 3, "lstm": 4}


# --- recurrence -------------------------------------------------------------------------------------------------------


def _gate_weights(s: Settings, suffix: str = "") -> tuple[Weight, ...]:
    inputs, hidden, rows = s["inputs"], s["hidden"], GATES[s["cell"]] * s["hidden"]
    bound = uniform_bound(hidden)
    shapes = {"weight_ih": (rows, inputs), "weight_hh": (rows, hidden), "bias_ih": (rows,), "bias_hh": (rows,)}
    return tuple(Weight(f"{name}{suffix}", shape, bound=bound) for name, shape in shapes.items())


def _parts(x: Value, count: int, size: int) -> list[Value]:
    return [x[..., i * size : (i + 1) * size] for i in range(count)]


def _cell(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    """One step, in the gate order of torch and equinox: reset, update, new; input, forget, cell, output."""
    hidden = s["hidden"]
    for other in others:
        if other.shape != (hidden,):
            raise ValueError(f"the state of a cell with {hidden} units cannot have event shape {other.shape}")
    h = others[0]
    from_x, from_h = apply("linear", x, w[0], w[2]), apply("linear", h, w[1], w[3])
    if s["cell"] == "rnn":
        return apply("tanh", from_x + from_h)
    if s["cell"] == "gru":
        (xr, xz, xn), (hr, hz, hn) = _parts(from_x, 3, hidden), _parts(from_h, 3, hidden)
        update = apply("sigmoid", xz + hz)
        new = apply("tanh", xn + apply("sigmoid", xr + hr) * hn)
        return new + update * (h - new)
    i, f, g, o = _parts(from_x + from_h, 4, hidden)
    c = apply("sigmoid", f) * others[1] + apply("sigmoid", i) * apply("tanh", g)
    return apply("stack", apply("sigmoid", o) * apply("tanh", c), c, axis=-2)


def _recurrent(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    x, weight_ih, weight_hh, _, _, *state = values
    hidden = weight_hh.shape[1]
    if x.ndim != 2 or x.shape[1] != weight_ih.shape[1]:
        raise ValueError(f"a recurrence over {weight_ih.shape[1]} features cannot take event shape {x.shape}")
    for v in state:
        if v.shape != (hidden,):
            raise ValueError(f"the first state of {hidden} units cannot have event shape {v.shape}")
    return (x.shape[0], hidden), "float"


def _sequence(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    cell, direction = s["cell"], s["direction"]
    if direction == "both":
        forward = apply("recurrent", x, *w[:4], cell=cell, reverse=False)
        return apply("concat", forward, apply("recurrent", x, *w[4:], cell=cell, reverse=True), axis=-1)
    return apply("recurrent", x, *w, *others, cell=cell, reverse=direction == "backward")


def _sequence_weights(s: Settings) -> tuple[Weight, ...]:
    first = _gate_weights(s, "_l0")
    return first + _gate_weights(s, "_l0_reverse") if s["direction"] == "both" else first


def _states(s: Settings) -> int:
    return 2 if s["cell"] == "lstm" else 1


define("recurrent", "special", _recurrent, None, "float")
kind("cell", _cell, _gate_weights, lambda s: (_states(s), _states(s)))
kind("recurrent", _sequence, _sequence_weights, lambda s: (0, 0 if s["direction"] == "both" else _states(s)))


# --- attention --------------------------------------------------------------------------------------------------------


def _attention(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    q, k, v = values
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(f"queries {q.shape}, keys {k.shape} and values {v.shape} do not fit")
    return (*broadcast(q.shape[:-2], k.shape[:-2], v.shape[:-2]), q.shape[-2], v.shape[-1]), "float"


def _attention_weights(s: Settings) -> tuple[Weight, ...]:
    size = s["size"]
    bound = (6.0 / (4 * size)) ** 0.5  # Glorot's start of the stacked projections, as in torch
    inner = (Weight("in_proj_weight", (3 * size, size), bound=bound), Weight("in_proj_bias", (3 * size,), "zeros"))
    out = Weight("out_proj.weight", (size, size), bound=uniform_bound(size)), Weight("out_proj.bias", (size,), "zeros")
    return inner + out


def _heads(x: Value, heads: int) -> Value:
    rows, size = x.shape
    return apply("permute_dims", apply("reshape", x, shape=(rows, heads, size // heads)), axes=(1, 0, 2))


def _attend(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    """Vaswani et al. (2017), Attention is all you need, section 3.2."""
    size, heads = s["size"], s["heads"]
    source = others[0] if others else x
    for v in (x, source):
        if v.ndim != 2 or v.shape[1] != size:
            raise ValueError(f"attention over {size} features cannot take event shape {v.shape}")
    weight, bias, out_weight, out_bias = w
    if others:
        q = apply("linear", x, weight[:size], bias[:size])
        k, v = _parts(apply("linear", source, weight[size:], bias[size:]), 2, size)
    else:
        q, k, v = _parts(apply("linear", x, weight, bias), 3, size)
    mixed = apply("attention", *(_heads(part, heads) for part in (q, k, v)), causal=s["causal"])
    rows = apply("reshape", apply("permute_dims", mixed, axes=(1, 0, 2)), shape=(x.shape[0], size))
    return apply("linear", rows, out_weight, out_bias)


def _block_parts(s: Settings) -> dict[str, Layer]:
    size, hidden = s["size"], s["hidden"]
    norm = (("eps", s["eps"]), ("shape", (size,)))
    dense = {"linear1": (size, hidden), "linear2": (hidden, size)}
    return {
        "self_attn": Layer("self_attn", "attention", (("causal", s["causal"]), ("heads", s["heads"]), ("size", size))),
        **{n: Layer(n, "linear", (("bias", True), ("inputs", i), ("outputs", o))) for n, (i, o) in dense.items()},
        "norm1": Layer("norm1", "layer_norm", norm),
        "norm2": Layer("norm2", "layer_norm", norm),
    }


def _block_weights(s: Settings) -> tuple[Weight, ...]:
    return tuple(
        Weight(f"{name}.{w.name}", w.shape, w.start, w.bound)
        for name, layer in _block_parts(s).items()
        for w in layer.weights
    )


def _block(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    """Normalisation before each part: Xiong et al. (2020), On layer normalization in the transformer architecture."""
    own: dict[str, tuple[Value, ...]] = {}
    start = 0
    layers = _block_parts(s)
    for name, layer in layers.items():
        own[name] = w[start : start + len(layer.weights)]
        start += len(layer.weights)

    def run(name: str, value: Value) -> Value:
        return apply_layer(layers[name], value, own[name])

    x = x + run("self_attn", run("norm1", x))
    hidden = apply_layer(Layer("", s["activation"]), run("linear1", run("norm2", x)), ())
    return x + run("linear2", hidden)


def _pool_weights(s: Settings) -> tuple[Weight, ...]:
    return Weight("seed", (s["seeds"], s["size"]), bound=uniform_bound(s["size"])), *_attention_weights(s)


def _attention_pool(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    """Lee et al. (2019), Set transformer, section 3.2: learned seeds attend to the rows."""
    out = _attend({**s, "causal": False}, w[0], w[1:], (x,))
    return out[0] if s["seeds"] == 1 else out


def _positions(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    """Vaswani et al. (2017), section 3.5: sines and cosines of the row's number, of growing wave length."""
    if x.ndim != 2:
        raise ValueError(f"positions are those of the rows of a matrix, not of event shape {x.shape}")
    rows, size = x.shape
    angle = np.arange(rows)[:, None] / 10000.0 ** (np.arange(0, size, 2) / size)
    table = np.stack([np.sin(angle), np.cos(angle)], -1).reshape(rows, -1)[:, :size]
    return apply("add", x, table)


define("attention", "special", _attention, 3, "float")
kind("attention", _attend, _attention_weights, lambda s: (0, 0 if s["causal"] else 1))
kind("positions", _positions)
kind("transformer_block", _block, _block_weights)
kind("attention_pool", _attention_pool, _pool_weights)


# --- graphs -----------------------------------------------------------------------------------------------------------


def _graph_conv(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    """Kipf and Welling (2017), Semi-supervised classification with graph convolutional networks, equation 2."""
    (adjacency,) = others
    if x.ndim != 2 or adjacency.shape != (x.shape[0], x.shape[0]):
        raise ValueError(f"nodes of event shape {x.shape} do not fit an adjacency matrix of {adjacency.shape}")
    out = apply("matmul", adjacency, apply("linear", x, w[0]))
    return apply("add", out, w[1]) if len(w) > 1 else out


kind("graph_conv", _graph_conv, linear_weights, (1, 1))
