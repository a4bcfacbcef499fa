"""Networks in native models: their specification spelled as `torch.nn` or `equinox.nn` layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppl.errors import UnsupportedByBackend
from ppl.program.networks import Layer, NetworkSpec, apply_layer
from ppl.program.values import Shape, Value, reference


def layer_inputs(spec: NetworkSpec, x: Value) -> list[Shape]:
    """The event shape that each layer is given when the network is applied to an element."""
    shapes: list[Shape] = []
    for layer in spec.layers:
        shapes.append(x.shape)
        x = apply_layer(layer, x, tuple(reference("param", w.name, (), w.shape, "float") for w in layer.weights))
    return shapes


def mapped_axes(spec: NetworkSpec, inputs: list[Shape]) -> int:
    """Over how many of its event axes an element has to be mapped, because equinox layers take a fixed number.

    Raises:
        UnsupportedByBackend: the layers disagree.
    """
    found: dict[int, str] = {}
    for layer, shape in zip(spec.layers, inputs, strict=True):
        taken = {"linear": 1, "embedding": 0, "conv2d": 3, "conv_transpose2d": 3}.get(layer.kind)
        if layer.kind == "layer_norm":
            taken = len(layer.get("shape"))
        elif layer.kind in ("reshape", "flatten"):
            taken = len(shape)
        if taken is not None:
            found.setdefault(len(shape) - taken, layer.name)
    if len(found) > 1:
        raise UnsupportedByBackend(
            "numpyro",
            f"network {spec.name!r} as a native model",
            f"layers {' and '.join(repr(n) for n in found.values())} act on different numbers of event axes",
            "Split the network in two, or give it an element with fewer axes.",
        )
    return next(iter(found), 0)


_TORCH_ACTIVATIONS = {
    "relu": "ReLU()", "tanh": "Tanh()", "sigmoid": "Sigmoid()", "softplus": "Softplus()", "gelu": "GELU()",
    "silu": "SiLU()", "elu": "ELU()", "leaky_relu": "LeakyReLU(0.01)", "identity": "Identity()",
    "softmax": "Softmax(-1)",
}  # fmt: skip
_EQX_ACTIVATIONS = {
    "relu": "jax.nn.relu", "tanh": "jnp.tanh", "sigmoid": "jax.nn.sigmoid", "softplus": "jax.nn.softplus",
    "gelu": "lambda x: jax.nn.gelu(x, approximate=False)", "silu": "jax.nn.silu", "elu": "jax.nn.elu",
    "leaky_relu": "jax.nn.leaky_relu", "identity": "lambda x: x", "softmax": "jax.nn.softmax",
}  # fmt: skip


def _settings(layer: Layer, names: tuple[str, ...], defaults: Mapping[str, Any]) -> str:
    parts = [f", {n}={layer.get(n)!r}" for n in names if layer.get(n) != defaults[n]]
    return "".join(parts)


def _torch_layer(layer: Layer, rank: int) -> str:
    get = layer.get
    match layer.kind:
        case "linear":
            return f"torch.nn.Linear({get('inputs')}, {get('outputs')}{'' if get('bias') else ', bias=False'})"
        case "conv2d":
            defaults = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": True}
            extra = _settings(layer, tuple(defaults), defaults)
            return f"torch.nn.Conv2d({get('inputs')}, {get('outputs')}, {get('kernel')}{extra})"
        case "conv_transpose2d":
            defaults = {"stride": (1, 1), "padding": (0, 0), "output_padding": (0, 0), "bias": True}
            extra = _settings(layer, tuple(defaults), defaults)
            return f"torch.nn.ConvTranspose2d({get('inputs')}, {get('outputs')}, {get('kernel')}{extra})"
        case "layer_norm":
            return f"torch.nn.LayerNorm({list(get('shape'))}, eps={get('eps')!r})"
        case "embedding":
            return f"torch.nn.Embedding({get('size')}, {get('features')})"
        case "reshape":
            unflatten = f"torch.nn.Unflatten(-1, {get('shape')})"
            if rank == 1:
                return unflatten
            return f"torch.nn.Sequential(torch.nn.Flatten(-{rank}), {unflatten})"
        case "flatten":
            return f"torch.nn.Flatten(-{rank})"
    return f"torch.nn.{_TORCH_ACTIVATIONS[layer.kind]}"


def torch_network(name: str, spec: NetworkSpec, inputs: list[Shape]) -> str:
    """The definition of a network as a `torch.nn.Sequential`, given the event shape that each layer takes."""
    layers = [(x.name, _torch_layer(x, len(shape))) for x, shape in zip(spec.layers, inputs, strict=True)]
    if all(own == str(i) for i, (own, _) in enumerate(layers)):
        rows = "".join(f"    {text},\n" for _, text in layers)
        return f"{name} = torch.nn.Sequential(\n{rows})"
    rows = "".join(f'    "{own}": {text},\n' for own, text in layers)
    return f"{name} = torch.nn.Sequential(OrderedDict({{\n{rows}}}))"


def _equinox_layer(layer: Layer, key: int) -> str:
    get = layer.get
    random = f", key=jax.random.key({key})"
    match layer.kind:
        case "linear":
            bias = "" if get("bias") else ", use_bias=False"
            return f"eqx.nn.Linear({get('inputs')}, {get('outputs')}{bias}{random})"
        case "conv2d":
            defaults = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1, "bias": True}
            extra = _settings(layer, tuple(defaults), defaults).replace("bias=", "use_bias=")
            return f"eqx.nn.Conv2d({get('inputs')}, {get('outputs')}, {get('kernel')}{extra}{random})"
        case "conv_transpose2d":
            defaults = {"stride": (1, 1), "padding": (0, 0), "output_padding": (0, 0), "bias": True}
            extra = _settings(layer, tuple(defaults), defaults).replace("bias=", "use_bias=")
            return f"eqx.nn.ConvTranspose2d({get('inputs')}, {get('outputs')}, {get('kernel')}{extra}{random})"
        case "layer_norm":
            return f"eqx.nn.LayerNorm({tuple(get('shape'))}, eps={get('eps')!r})"
        case "embedding":
            return f"eqx.nn.Embedding({get('size')}, {get('features')}{random})"
        case "reshape":
            return f"eqx.nn.Lambda(lambda x: x.reshape({get('shape')}))"
        case "flatten":
            return "eqx.nn.Lambda(jnp.ravel)"
    return f"eqx.nn.Lambda({_EQX_ACTIVATIONS[layer.kind]})"


def equinox_network(name: str, spec: NetworkSpec) -> str:
    """The definition of a network as an `equinox.nn.Sequential`."""
    rows = "".join(f"    {_equinox_layer(layer, i)},\n" for i, layer in enumerate(spec.layers))
    return f"{name} = eqx.nn.Sequential([\n{rows}])"
