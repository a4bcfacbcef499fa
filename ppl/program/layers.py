"""Layers as data: for every kind, its parameter arrays, and its meaning on one element in the vocabulary of ops."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .ops import apply
from .values import DType, Shape, Value
from .vocabulary import define

ACTIVATIONS = ("relu", "tanh", "sigmoid", "softplus", "gelu", "silu", "elu", "leaky_relu", "identity", "softmax")

Settings = Mapping[str, Any]
# A nested layer in the settings of another: its name, kind and settings.
Nested = tuple[str, str, tuple[tuple[str, Any], ...]]


@dataclass(frozen=True)
class Weight:
    """One parameter array of a layer: its name within the layer, shape, and how it starts.

    Attributes:
        bound: half-width of the uniform start, None for a constant start or a standard normal one (see `start`).
        start: "uniform", "zeros", "ones" or "normal".
    """

    name: str
    shape: Shape
    start: str = "uniform"
    bound: float = 0.0

    def initial(self, generator: np.random.Generator) -> np.ndarray:
        """Starting values in float64; both backends round the same numbers."""
        if self.start == "uniform":
            return generator.uniform(-self.bound, self.bound, self.shape)
        if self.start == "normal":
            return generator.standard_normal(self.shape)
        return np.zeros(self.shape) if self.start == "zeros" else np.ones(self.shape)


@dataclass(frozen=True)
class Layer:
    """One layer as data: its kind and settings.

    Attributes:
        name: its name within the network; parameters are called `network.name.weight`.
        kind: a key of `KINDS`, or the name of an activation.
        settings: static settings, sorted by name.
    """

    name: str
    kind: str
    settings: tuple[tuple[str, Any], ...] = ()

    def get(self, key: str) -> Any:
        """One setting."""
        return dict(self.settings)[key]

    @property
    def weights(self) -> tuple[Weight, ...]:
        """The parameter arrays of the layer."""
        kind = KINDS.get(self.kind)
        return kind.weights(dict(self.settings)) if kind else ()

    @property
    def inputs(self) -> tuple[int, int]:
        """How many inputs the layer takes beside the element: at least, at most."""
        kind = KINDS.get(self.kind)
        return kind.inputs(dict(self.settings)) if kind else (0, 0)


# Settings, the element, the layer's weights, and what else the network was called with.
Expand = Callable[[Settings, Value, tuple[Value, ...], tuple[Value, ...]], Value]


@dataclass(frozen=True)
class Kind:
    """What a kind of layer is.

    Attributes:
        expand: the layer on one element, in ops.
        weights: its parameter arrays, from its settings.
        inputs: how many inputs it takes beside the element: at least, at most.
    """

    expand: Expand
    weights: Callable[[Settings], tuple[Weight, ...]]
    inputs: Callable[[Settings], tuple[int, int]]


KINDS: dict[str, Kind] = {}


def _no_weights(s: Settings) -> tuple[Weight, ...]:
    return ()


def kind(
    name: str,
    expand: Expand,
    weights: Callable[[Settings], tuple[Weight, ...]] = _no_weights,
    inputs: tuple[int, int] | Callable[[Settings], tuple[int, int]] = (0, 0),
) -> None:
    """Enter a kind of layer."""
    KINDS[name] = Kind(expand, weights, inputs if callable(inputs) else lambda s: inputs)


def apply_layer(layer: Layer, x: Value, weights: tuple[Value, ...], others: tuple[Value, ...] = ()) -> Value:
    """One layer on one element, in ops.

    Args:
        layer: the layer.
        x: the element.
        weights: values of its weights.
        others: what else the network was called with; the layer takes as many of them as it can.
    """
    found = KINDS.get(layer.kind)
    if found is None:
        return apply(layer.kind, x)
    return found.expand(dict(layer.settings), x, weights, others[: layer.inputs[1]])


def uniform_bound(fan_in: int) -> float:
    """The default start of torch.nn and equinox alike: U(-1/sqrt(fan_in), 1/sqrt(fan_in))."""
    return 1.0 / math.sqrt(max(fan_in, 1))


# --- dense, embedding, activations, shapes --------------------------------------------------------------------------


def linear_weights(s: Settings) -> tuple[Weight, ...]:
    """Weight and bias of an affine map."""
    bound = uniform_bound(s["inputs"])
    weight = Weight("weight", (s["outputs"], s["inputs"]), bound=bound)
    return (weight, Weight("bias", (s["outputs"],), bound=bound)) if s["bias"] else (weight,)


def _linear(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    x, weight = values[:2]
    if not x.shape or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"a linear layer from {weight.shape[1]} features cannot take event shape {x.shape}")
    return (*x.shape[:-1], weight.shape[0]), "float"


def _embedding_weights(s: Settings) -> tuple[Weight, ...]:
    return (Weight("weight", (s["size"], s["features"]), "normal"),)


def _monotone(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    # Divided by the number of features: positive weights do not cancel, so their sum has to stay of size one.
    weight = apply("divide", apply("softplus", w[0]), float(s["inputs"]))
    return apply("linear", x, weight, *w[1:])


define("linear", "special", _linear, None, "float")
kind("linear", lambda s, x, w, others: apply("linear", x, *w), linear_weights)
kind("monotone_linear", _monotone, linear_weights)
kind("embedding", lambda s, x, w, others: apply("take", w[0], x), _embedding_weights)
kind("reshape", lambda s, x, w, others: apply("reshape", x, shape=s["shape"]))
kind("flatten", lambda s, x, w, others: apply("reshape", x, shape=(math.prod(x.shape),)))
kind("identity", lambda s, x, w, others: x)
kind("leaky_relu", lambda s, x, w, others: apply("leaky_relu", x, 0.01))
kind("softmax", lambda s, x, w, others: apply("softmax", x, axis=(-1,)))


# --- convolutions and pooling -----------------------------------------------------------------------------------------


def _conv_weights(s: Settings) -> tuple[Weight, ...]:
    kernel = tuple(s["kernel"])
    bound = uniform_bound(s["inputs"] // s["groups"] * math.prod(kernel))
    weight = Weight("weight", (s["outputs"], s["inputs"] // s["groups"], *kernel), bound=bound)
    return (weight, Weight("bias", (s["outputs"],), bound=bound)) if s["bias"] else (weight,)


def _conv_transpose_weights(s: Settings) -> tuple[Weight, ...]:
    kernel = tuple(s["kernel"])
    bound = uniform_bound(s["outputs"] * math.prod(kernel))
    weight = Weight("weight", (s["inputs"], s["outputs"], *kernel), bound=bound)
    return (weight, Weight("bias", (s["outputs"],), bound=bound)) if s["bias"] else (weight,)


def _conv_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _conv(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    x, weight = values[:2]
    groups, rank = attrs["groups"], weight.ndim - 2
    if x.ndim != rank + 1 or x.shape[0] != weight.shape[1] * groups:
        raise ValueError(f"a convolution from {weight.shape[1] * groups} channels cannot take event shape {x.shape}")
    spatial = tuple(
        _conv_size(x.shape[1 + i], weight.shape[2 + i], attrs["stride"][i], attrs["padding"][i], attrs["dilation"][i])
        for i in range(rank)
    )
    if min(spatial) < 1:
        raise ValueError(f"the kernel is larger than the image of event shape {x.shape}")
    return (weight.shape[0], *spatial), "float"


def _conv_transpose(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    x, weight = values[:2]
    rank = weight.ndim - 2
    if x.ndim != rank + 1 or x.shape[0] != weight.shape[0]:
        raise ValueError(f"a convolution from {weight.shape[0]} channels cannot take event shape {x.shape}")
    spatial = tuple(
        (x.shape[1 + i] - 1) * attrs["stride"][i]
        - 2 * attrs["padding"][i]
        + (weight.shape[2 + i] - 1)
        + attrs["output_padding"][i]
        + 1
        for i in range(rank)
    )
    return (weight.shape[1], *spatial), "float"


def _pool(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    (x,) = values
    kernel, stride, padding = attrs["kernel"], attrs["stride"], attrs["padding"]
    rank = len(kernel)
    if x.ndim < rank:
        raise ValueError(f"pooling over {rank} axes cannot take event shape {x.shape}")
    start = x.ndim - rank
    spatial = tuple(_conv_size(x.shape[start + i], kernel[i], stride[i], padding[i], 1) for i in range(rank))
    if min(spatial) < 1:
        raise ValueError(f"the window is larger than the image of event shape {x.shape}")
    return (*x.shape[:start], *spatial), "float"


def _with(name: str, *keys: str) -> Expand:
    return lambda s, x, w, others: apply(name, x, *w, **{k: s[k] for k in keys})


def _pool_all(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    return apply(s["how"], x, axis=tuple(s["axes"]), keepdims=False)


for _rank in (1, 2, 3):
    define(f"conv{_rank}d", "special", _conv, None, "float")
    define(f"conv_transpose{_rank}d", "special", _conv_transpose, None, "float")
    kind(f"conv{_rank}d", _with(f"conv{_rank}d", "stride", "padding", "dilation", "groups"), _conv_weights)
    kind(
        f"conv_transpose{_rank}d",
        _with(f"conv_transpose{_rank}d", "stride", "padding", "output_padding"),
        _conv_transpose_weights,
    )
for _name in ("max_pool", "avg_pool"):
    define(_name, "special", _pool, 1, "float")
    kind(_name, _with(_name, "kernel", "stride", "padding"))
kind("pool_all", _pool_all)


# --- normalisation ----------------------------------------------------------------------------------------------------


def norm_weights(s: Settings) -> tuple[Weight, ...]:
    """Scale and shift of a normalisation."""
    shape = tuple(s["shape"])
    return Weight("weight", shape, "ones"), Weight("bias", shape, "zeros")


def _layer_norm(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    x, weight = values[:2]
    if x.shape[x.ndim - weight.ndim :] != weight.shape:
        raise ValueError(f"a layer norm over {weight.shape} cannot take event shape {x.shape}")
    return x.shape, "float"


def _rms_norm(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    """Zhang and Sennrich (2019), Root mean square layer normalization."""
    _layer_norm((x, w[0]), {})
    axes = tuple(range(-w[0].ndim, 0))
    size = apply("mean", apply("square", x), axis=axes, keepdims=True)
    return apply("multiply", apply("divide", x, apply("sqrt", apply("add", size, s["eps"]))), w[0])


def _group_norm(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    """Wu and He (2018), Group normalization."""
    channels, groups = s["channels"], s["groups"]
    if not x.shape or x.shape[0] != channels:
        raise ValueError(f"a group norm of {channels} channels cannot take event shape {x.shape}")
    folded = apply("reshape", x, shape=(groups, math.prod(x.shape) // groups))
    centred = apply("subtract", folded, apply("mean", folded, axis=(-1,), keepdims=True))
    spread = apply("add", apply("mean", apply("square", centred), axis=(-1,), keepdims=True), s["eps"])
    whole = apply("reshape", apply("divide", centred, apply("sqrt", spread)), shape=x.shape)
    scale, shift = (apply("reshape", v, shape=(channels,) + (1,) * (x.ndim - 1)) for v in w)
    return apply("add", apply("multiply", whole, scale), shift)


define("layer_norm", "special", _layer_norm, None, "float")
kind("layer_norm", lambda s, x, w, others: apply("layer_norm", x, *w, eps=s["eps"]), norm_weights)
kind("rms_norm", _rms_norm, lambda s: norm_weights(s)[:1])
kind("group_norm", _group_norm, lambda s: norm_weights({"shape": (s["channels"],)}))


# --- layers around layers ---------------------------------------------------------------------------------------------


def nested(layers: tuple[Layer, ...]) -> tuple[Nested, ...]:
    """Layers as a setting of another layer."""
    return tuple((x.name, x.kind, x.settings) for x in layers)


def inner_layers(s: Settings) -> tuple[Layer, ...]:
    """The layers in the setting `inner`."""
    return tuple(Layer(*row) for row in s["inner"])


def _inner_weights(s: Settings) -> tuple[Weight, ...]:
    return tuple(
        Weight(f"{layer.name}.{w.name}", w.shape, w.start, w.bound) for layer in inner_layers(s) for w in layer.weights
    )


def _inner_inputs(s: Settings) -> tuple[int, int]:
    counts = [layer.inputs for layer in inner_layers(s)]
    return max((low for low, _ in counts), default=0), max((high for _, high in counts), default=0)


def _residual(s: Settings, x: Value, w: tuple[Value, ...], others: tuple[Value, ...]) -> Value:
    out, start = x, 0
    for layer in inner_layers(s):
        count = len(layer.weights)
        out = apply_layer(layer, out, w[start : start + count], others)
        start += count
    if out.shape != x.shape:
        raise ValueError(f"a residual block has to keep event shape {x.shape}, and gives {out.shape}")
    return apply("add", x, out)


kind("residual", _residual, _inner_weights, _inner_inputs)
