"""Networks by specification: layers as data, parameters by name, and their meaning in the vocabulary of ops.

A specification is inert. It prints, compares and serialises; the backends build `torch.nn` or `equinox` modules from
it, and lowering expands it into operations where the pure functions are emitted.
"""

# Layers are an open set; a match over them ends in a default.
# pyright: reportMatchNotExhaustive=false

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .ops import apply
from .values import DType, Shape, Value
from .vocabulary import define

ACTIVATIONS = ("relu", "tanh", "sigmoid", "softplus", "gelu", "silu", "elu", "leaky_relu", "identity", "softmax")


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
        kind: a key of `WEIGHTS`, or the name of an activation.
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
        build = WEIGHTS.get(self.kind)
        return build(dict(self.settings)) if build else ()


@dataclass(frozen=True)
class ForeignModule:
    """A user's own network: one factory for each backend.

    Attributes:
        torch: makes a `torch.nn.Module` of one element; None if there is none.
        jax: makes an `equinox.Module`, called with a key; None if there is none.
    """

    torch: Callable[[], Any] | None = field(default=None, compare=False)
    jax: Callable[[Any], Any] | None = field(default=None, compare=False)
    torch_name: str = ""
    jax_name: str = ""


@dataclass(frozen=True)
class NetworkSpec:
    """A network as data.

    Attributes:
        name: name of the network.
        layers: its layers, first applied first; empty for a foreign module.
        text: how the user wrote it, for printing.
        out_shape: event shape of the result of a foreign module.
        foreign: the user's factories, for a foreign module.
    """

    name: str
    layers: tuple[Layer, ...]
    text: str
    out_shape: Shape | None = None
    foreign: ForeignModule | None = None

    @property
    def weights(self) -> dict[str, Weight]:
        """All parameter arrays by full name, `network.layer.weight`."""
        return {f"{self.name}.{layer.name}.{w.name}": w for layer in self.layers for w in layer.weights}

    def initial(self, seed: int) -> dict[str, np.ndarray]:
        """Starting values of all parameters, equal for both backends."""
        out: dict[str, np.ndarray] = {}
        for index, (name, weight) in enumerate(self.weights.items()):
            out[name] = weight.initial(np.random.default_rng([seed, *self.name.encode(), index]))
        return out


def _uniform(fan_in: int) -> float:
    # The default start of torch.nn and equinox alike: U(-1/sqrt(fan_in), 1/sqrt(fan_in)).
    return 1.0 / math.sqrt(max(fan_in, 1))


def _linear_weights(s: dict[str, Any]) -> tuple[Weight, ...]:
    bound = _uniform(s["inputs"])
    weight = Weight("weight", (s["outputs"], s["inputs"]), bound=bound)
    return (weight, Weight("bias", (s["outputs"],), bound=bound)) if s["bias"] else (weight,)


def _conv_weights(s: dict[str, Any]) -> tuple[Weight, ...]:
    kernel = tuple(s["kernel"])
    bound = _uniform(s["inputs"] // s["groups"] * math.prod(kernel))
    weight = Weight("weight", (s["outputs"], s["inputs"] // s["groups"], *kernel), bound=bound)
    return (weight, Weight("bias", (s["outputs"],), bound=bound)) if s["bias"] else (weight,)


def _conv_transpose_weights(s: dict[str, Any]) -> tuple[Weight, ...]:
    kernel = tuple(s["kernel"])
    bound = _uniform(s["outputs"] * math.prod(kernel))
    weight = Weight("weight", (s["inputs"], s["outputs"], *kernel), bound=bound)
    return (weight, Weight("bias", (s["outputs"],), bound=bound)) if s["bias"] else (weight,)


def _norm_weights(s: dict[str, Any]) -> tuple[Weight, ...]:
    shape = tuple(s["shape"])
    return Weight("weight", shape, "ones"), Weight("bias", shape, "zeros")


def _embedding_weights(s: dict[str, Any]) -> tuple[Weight, ...]:
    return (Weight("weight", (s["size"], s["features"]), "normal"),)


WEIGHTS: dict[str, Callable[[dict[str, Any]], tuple[Weight, ...]]] = {
    "linear": _linear_weights,
    "conv2d": _conv_weights,
    "conv_transpose2d": _conv_transpose_weights,
    "layer_norm": _norm_weights,
    "embedding": _embedding_weights,
}


# --- networks ----------------------------------------------------------------------------------------------------


def _linear(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    x, weight = values[:2]
    if not x.shape or x.shape[-1] != weight.shape[1]:
        raise ValueError(f"a linear layer from {weight.shape[1]} features cannot take event shape {x.shape}")
    return (*x.shape[:-1], weight.shape[0]), "float"


def _conv_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _conv2d(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    x, weight = values[:2]
    groups = attrs["groups"]
    if x.ndim != 3 or x.shape[0] != weight.shape[1] * groups:
        raise ValueError(f"a convolution from {weight.shape[1] * groups} channels cannot take event shape {x.shape}")
    spatial = tuple(
        _conv_size(x.shape[1 + i], weight.shape[2 + i], attrs["stride"][i], attrs["padding"][i], attrs["dilation"][i])
        for i in range(2)
    )
    if min(spatial) < 1:
        raise ValueError(f"the kernel is larger than the image of event shape {x.shape}")
    return (weight.shape[0], *spatial), "float"


def _conv_transpose2d(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    x, weight = values[:2]
    if x.ndim != 3 or x.shape[0] != weight.shape[0]:
        raise ValueError(f"a convolution from {weight.shape[0]} channels cannot take event shape {x.shape}")
    spatial = tuple(
        (x.shape[1 + i] - 1) * attrs["stride"][i]
        - 2 * attrs["padding"][i]
        + (weight.shape[2 + i] - 1)
        + attrs["output_padding"][i]
        + 1
        for i in range(2)
    )
    return (weight.shape[1], *spatial), "float"


def _layer_norm(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    x, weight = values[:2]
    if x.shape[x.ndim - weight.ndim :] != weight.shape:
        raise ValueError(f"a layer norm over {weight.shape} cannot take event shape {x.shape}")
    return x.shape, "float"


define("linear", "special", _linear, None, "float")
define("conv2d", "special", _conv2d, None, "float")
define("conv_transpose2d", "special", _conv_transpose2d, None, "float")
define("layer_norm", "special", _layer_norm, None, "float")


def apply_layer(layer: Layer, x: Value, weights: tuple[Value, ...]) -> Value:
    """One layer on one element, in ops."""
    match layer.kind:
        case "linear":
            return apply("linear", x, *weights)
        case "conv2d":
            keys = ("stride", "padding", "dilation", "groups")
            return apply("conv2d", x, *weights, **{k: layer.get(k) for k in keys})
        case "conv_transpose2d":
            keys = ("stride", "padding", "output_padding")
            return apply("conv_transpose2d", x, *weights, **{k: layer.get(k) for k in keys})
        case "layer_norm":
            return apply("layer_norm", x, *weights, eps=layer.get("eps"))
        case "embedding":
            return apply("take", weights[0], x)
        case "reshape":
            return apply("reshape", x, shape=layer.get("shape"))
        case "flatten":
            return apply("reshape", x, shape=(math.prod(x.shape),))
        case "identity":
            return x
        case "leaky_relu":
            return apply("leaky_relu", x, 0.01)
        case "softmax":
            return apply("softmax", x, axis=(-1,))
    return apply(layer.kind, x)


def apply_network(spec: NetworkSpec, x: Value, weight: Callable[[str, Weight], Value]) -> Value:
    """A network on one element, expanded into ops.

    Args:
        spec: the network; not a foreign module.
        x: its input, one element.
        weight: gives the value of a parameter from its full name.
    """
    for layer in spec.layers:
        own = tuple(weight(f"{spec.name}.{layer.name}.{w.name}", w) for w in layer.weights)
        x = apply_layer(layer, x, own)
    return x
