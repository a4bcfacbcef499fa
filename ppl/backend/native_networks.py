"""Networks in native models: spelled as `torch.nn` or `equinox.nn` layers, or as functions of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppl.errors import StrategyError, UnsupportedByBackend, naming_site
from ppl.language.dist.flows import flows_of
from ppl.program.flows import flow_context, flow_size, refusal, run_flow
from ppl.program.networks import ACTIVATIONS, Layer, NetworkSpec, Weight, apply_layer, apply_network
from ppl.program.program import Program
from ppl.program.simplify import simplify
from ppl.program.statements import Network
from ppl.program.values import Shape, Value, reference

from .layout import Layout
from .lowering import Lowering, text_of
from .pieces import Piece
from .spelling import ATOM, Spelling
from .text_layout import laid_out

_CONVOLUTIONS = tuple(f"{kind}{rank}d" for kind in ("conv", "conv_transpose") for rank in (1, 2, 3))
# Layers that both torch.nn and equinox.nn have, with the same weights.
LIBRARY_KINDS = frozenset(
    [*ACTIVATIONS, *_CONVOLUTIONS, "linear", "embedding", "layer_norm", "rms_norm", "group_norm", "reshape", "flatten"]
)


def is_library_made(spec: NetworkSpec) -> bool:
    """Whether a network is a sequence of layers that both libraries have; others become functions of their weights."""
    return all(layer.kind in LIBRARY_KINDS for layer in spec.layers)


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
        taken = {"linear": 1, "embedding": 0}.get(layer.kind)
        if layer.kind in _CONVOLUTIONS:
            taken = int(layer.kind[-2]) + 1
        elif layer.kind in ("layer_norm", "rms_norm"):
            taken = len(layer.get("shape"))
        elif layer.kind in ("reshape", "flatten", "group_norm"):
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


def _convolution(layer: Layer) -> str:
    """The call of a convolution of either library, without its end."""
    get, rank = layer.get, int(layer.kind[-2])
    ones, zeros = (1,) * rank, (0,) * rank
    transposed = layer.kind.startswith("conv_transpose")
    more: dict[str, Any] = {"output_padding": zeros} if transposed else {"dilation": ones, "groups": 1}
    defaults = {"stride": ones, "padding": zeros, **more, "bias": True}
    extra = _settings(layer, tuple(defaults), defaults)
    kernel = get("kernel") if rank > 1 else get("kernel")[0]
    return f"Conv{'Transpose' if transposed else ''}{rank}d({get('inputs')}, {get('outputs')}, {kernel}{extra}"


def _torch_layer(layer: Layer, rank: int) -> str:
    get = layer.get
    match layer.kind:
        case "linear":
            return f"torch.nn.Linear({get('inputs')}, {get('outputs')}{'' if get('bias') else ', bias=False'})"
        case kind if kind in _CONVOLUTIONS:
            return f"torch.nn.{_convolution(layer)})"
        case "layer_norm":
            return f"torch.nn.LayerNorm({list(get('shape'))}, eps={get('eps')!r})"
        case "rms_norm":
            return f"torch.nn.RMSNorm({list(get('shape'))}, eps={get('eps')!r})"
        case "group_norm":
            return f"torch.nn.GroupNorm({get('groups')}, {get('channels')}, eps={get('eps')!r})"
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
        case kind if kind in _CONVOLUTIONS:
            return f"eqx.nn.{_convolution(layer).replace('bias=', 'use_bias=')}{random})"
        case "layer_norm":
            return f"eqx.nn.LayerNorm({tuple(get('shape'))}, eps={get('eps')!r})"
        case "rms_norm":
            return f"eqx.nn.RMSNorm({tuple(get('shape'))}, eps={get('eps')!r}, use_bias=False)"
        case "group_norm":
            return f"eqx.nn.GroupNorm({get('groups')}, {get('channels')}, eps={get('eps')!r})"
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


def function_network(name: str, spec: NetworkSpec, call: Value, spelling: Spelling, arrays: Any) -> str:
    """The definition of a network as a function of its weights and one or more elements, any leading axes in front.

    Args:
        name: the variable that holds the network.
        spec: the network.
        call: how the model calls it: an operation `network`.
        spelling: the words of the array library.
        arrays: writes an array constant as text.
    """
    given = [a for a in call.args if not (a.op == "site" and a.attr("name") in spec.weights)]
    stems = ["x", *(f"other_{i}" for i in range(1, len(given)))] if len(given) != 2 else ["x", "other"]
    leaves = [reference("input", n, (), a.shape, a.dtype) for n, a in zip(stems, given, strict=True)]

    def weight(full: str, w: Weight) -> Value:
        return reference("param", full, (), w.shape, "float")

    out = apply_network(spec, leaves[0], weight, tuple(leaves[1:]))
    function = f"{name.removesuffix('_network')}_function"
    text = _function(function, spec, stems, [out], spelling, arrays)
    return f"{text}\n\n{name} = modules.FunctionModule({function}, {_starts(spec, spelling)})"


def flow_network(name: str, network: Network, spelling: Spelling, arrays: Any) -> str:
    """The definition of a flow: its two directions as functions of its weights, each giving log volumes as well.

    Args:
        name: the variable that holds the flow.
        network: the network; if its weights are sites of the model, the flow has none of its own.
        spelling: the words of the array library.
        arrays: writes an array constant as text.
    """
    spec = network.spec
    size, width = flow_size(spec.layers), flow_context(spec.layers)
    weights = [reference("param", full, (), w.shape, "float") for full, w in spec.weights.items()]
    context = reference("input", "context", (), (width,), "float") if width else None
    texts: list[str] = []
    functions: list[str] = []
    for direction in ("forward", "inverse"):
        backward = direction == "inverse"
        if refusal(spec.layers, backward) is not None:
            functions.append("None")
            continue
        functions.append(f"{name.removesuffix('_network')}_{direction}")
        x = reference("input", "y" if backward else "x", (), (size,), "float")
        image = run_flow(spec.layers, x, weights, context, backward)
        stems = [x.attr("name"), *(["context"] if width else [])]
        texts.append(_function(functions[-1], spec, stems, list(image), spelling, arrays))
    starts = "{}" if network.random else _starts(spec, spelling)
    return "\n\n".join(texts) + f"\n\n{name} = modules.FlowModule({', '.join(functions)}, {starts})"


def refuse_one_way(program: Program) -> None:
    """Refuse observed sites whose flow cannot score given values; latent ones may be those of a guide.

    Raises:
        StrategyError: naming the site.
    """
    for site in program.observed.values():
        for flow in flows_of(site.dist):
            reason = refusal(flow.layers, backward=True)
            if reason is not None:
                with naming_site(site.name, program.name, site.location):
                    raise StrategyError(reason[0], got=repr(site.dist), remedy=reason[1])


def _function(
    function: str, spec: NetworkSpec, stems: list[str], results: list[Value], spelling: Spelling, arrays: Any
) -> str:
    """The definition of a function of weights and elements, any leading axes in front."""

    def load(leaf: Value) -> Piece:
        if leaf.op == "input":
            return Piece(leaf.attr("name"), ATOM + 1, Layout(True, (), leaf.ndim))
        own = leaf.attr("name").removeprefix(f"{spec.name}.")
        return Piece(f"weights[{text_of(own)}]", ATOM, Layout(False, (), leaf.ndim))

    simple = simplify({str(i): value for i, value in enumerate(results)}).values()
    lowering = Lowering(spelling, {}, "", load, taken={*stems, "weights"}, name_hints=False, inline_arrays=arrays)
    lowering.plan(list(simple))
    result = ", ".join(lowering.array(lowering.piece(out)).text for out in simple)
    body = "".join(f"{line}\n" for line in laid_out(f"    {line}" for line in [*lowering.lines, f"return {result}"]))
    return f"def {function}(weights, {', '.join(stems)}):\n    # {spec.text}\n{body}"


def _starts(spec: NetworkSpec, spelling: Spelling) -> str:
    rows = "".join(
        f"    {text_of(full.removeprefix(f'{spec.name}.'))}: {_start(w, i, spelling)},\n"
        for i, (full, w) in enumerate(spec.weights.items())
    )
    return f"{{\n{rows}}}"


def _start(weight: Weight, index: int, spelling: Spelling) -> str:
    """How a weight starts: constant, or drawn."""
    shape = str(weight.shape[0]) if len(weight.shape) == 1 else str(weight.shape)
    bound = repr(weight.bound)
    match weight.start, spelling.library:
        case "uniform", "torch":
            return f"torch.empty({shape}).uniform_(-{bound}, {bound})"
        case "normal", "torch":
            return f"torch.randn({shape})"
        case "uniform", _:
            return f"jax.random.uniform(jax.random.key({index}), {weight.shape}, minval=-{bound}, maxval={bound})"
        case "normal", _:
            return f"jax.random.normal(jax.random.key({index}), {weight.shape})"
    return f"{spelling.module}.{weight.start}({shape})"
