"""The first networks: dense, convolutional, normalising, embedding, sequences of them, and the user's own."""

# What a user passes is checked when it comes, whatever its annotation says.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ppl.errors import ModelError, PlateError, ScopeError, ShapeError, UnknownNameError, nearest, user_location
from ppl.language.trace import Trace, current
from ppl.program.distributions import Distribution
from ppl.program.networks import ACTIVATIONS, ForeignModule, Layer, NetworkSpec, Weight, apply_network
from ppl.program.ops import apply, in_scope, to_float
from ppl.program.statements import Network, Sample
from ppl.program.values import Shape, Value, lift, reference


class NetworkValue:
    """A declared network: call it with one element."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec = spec

    def __call__(self, x: Any) -> Value:
        """Apply the network to one element.

        Raises:
            ShapeError: the element does not fit the first layer, or a later one.
        """
        trace = current(f"network {self.spec.name!r}")
        trace.harvest()
        value = in_scope(lift(x))
        if self.spec.foreign is None and not (self.spec.layers and self.spec.layers[0].kind == "embedding"):
            value = to_float(value)
        statement = trace.statements.get(self.spec.name)
        if not isinstance(statement, Network) or statement.spec is not self.spec:
            raise ScopeError(
                f"network {self.spec.name!r} is not declared in this model.",
                model=trace.model,
                declared_at=user_location(),
                expected=f"one of {[n for n, s in trace.statements.items() if isinstance(s, Network)]}",
                got=f"{self.spec.name!r}, of another model or a part of a Sequential",
                remedy="Declare the network in this model; model and guide share weights through equal names.",
            )
        if self.spec.foreign is not None:
            shape: Shape = self.spec.out_shape or ()
        else:
            try:
                shape = apply_network(self.spec, value, _shape_only).shape
            except ShapeError as error:
                raise ShapeError(
                    f"network {self.spec.name!r} does not fit its input: {error.summary}",
                    model=trace.model,
                    declared_at=user_location(),
                    expected=f"an element for {self.spec.text}",
                    got=repr(value),
                    remedy="A network takes one element; change its sizes, or reshape the element.",
                ) from error
        weights = tuple(_site(trace, name) for name in self.spec.weights) if statement.random else ()
        return apply("network", value, *weights, name=self.spec.name, out_shape=shape)

    def __repr__(self) -> str:
        return self.spec.text


def _shape_only(name: str, weight: Weight) -> Value:
    return reference("param", name, (), weight.shape, "float")


def _site(trace: Trace, name: str) -> Value:
    statement = trace.statements[name]
    assert isinstance(statement, Sample)
    return statement.value


def _declare(spec: NetworkSpec, prior: Distribution | None) -> NetworkValue:
    trace = current(f"nn network {spec.name!r}")
    at = user_location()
    if prior is None:
        trace.declare(Network(spec.name, (), at, spec))
        return NetworkValue(spec)
    if trace.open:
        raise PlateError(
            f"network {spec.name!r} with random weights stands inside plate {trace.open[-1].name!r}.",
            model=trace.model,
            declared_at=at,
            plate=str(trace.open[-1]),
            expected="no open plate",
            got=str(trace.open[-1]),
            remedy="Declare it before the plate: its weights are shared by all elements.",
        )
    if not isinstance(prior, Distribution) or prior.event_shape != () or spec.foreign is not None:
        raise ModelError(
            f"network {spec.name!r}: `prior` is the distribution of one weight of a network of ppl.nn.",
            model=trace.model,
            declared_at=at,
            expected="a distribution over numbers, such as dist.Normal(0, 1)",
            got=repr(prior),
            remedy="The prior is repeated for each weight; for other priors declare the weights with ppl.sample.",
        )
    for name, weight in spec.weights.items():
        trace.declare(Sample(name, (), at, prior.expand(weight.shape)))
    trace.declare(Network(spec.name, (), at, spec, random=True))
    return NetworkValue(spec)


def _layer(name: str, kind: str, **settings: Any) -> Layer:
    return Layer(name, kind, tuple(sorted(settings.items())))


def _single(name: str, layer: Layer, text: str, prior: Distribution | None) -> NetworkValue:
    return _declare(NetworkSpec(name, (layer,), text), prior)


def _activation(name: str) -> str:
    if name not in ACTIVATIONS:
        raise UnknownNameError(
            f"there is no activation {name!r}.",
            declared_at=user_location(),
            expected="a name of an activation",
            got=repr(name),
            remedy=nearest(name, ACTIVATIONS),
        )
    return name


def _positive(name: str, **sizes: int) -> None:
    for what, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ShapeError(
                f"network {name!r}: {what} must be a positive integer.",
                declared_at=user_location(),
                expected="at least 1",
                got=repr(size),
                remedy="Sizes are known when the model is declared: take them from shapes or settings.",
            )


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def Linear(
    name: str, inputs: int, outputs: int, *, bias: bool = True, prior: Distribution | None = None
) -> NetworkValue:
    """An affine map of the last event axis, from `inputs` to `outputs` features.

    Args:
        name: name of the network; parameters are `name.0.weight` [outputs, inputs] and `name.0.bias` [outputs].
        inputs: features in.
        outputs: features out.
        bias: whether it has one.
        prior: distribution of one weight; makes the weights random sites.
    """
    _positive(name, inputs=inputs, outputs=outputs)
    return _single(
        name,
        _layer("0", "linear", inputs=inputs, outputs=outputs, bias=bias),
        f"Linear({inputs}, {outputs}{'' if bias else ', bias=False'})",
        prior,
    )


def MLP(
    name: str,
    sizes: Sequence[int],
    activation: str = "relu",
    *,
    output: str = "identity",
    prior: Distribution | None = None,
) -> NetworkValue:
    """A multilayer perceptron.

    Args:
        name: name of the network; parameters are named as in a `torch.nn.Sequential` of its layers.
        sizes: features of input, hidden layers and output.
        activation: between layers, one of `relu`, `tanh`, `sigmoid`, `softplus`, `gelu`, `silu`, `elu`, `leaky_relu`.
        output: activation after the last layer.
        prior: distribution of one weight; makes the weights random sites (a Bayesian network).
    """
    if len(sizes) < 2:
        raise ShapeError(
            f"network {name!r}: an MLP needs at least an input and an output size.",
            declared_at=user_location(),
            expected="[inputs, ..., outputs]",
            got=f"{list(sizes)}",
            remedy=f'Write nn.MLP("{name}", [inputs, hidden, outputs]).',
        )
    _positive(name, **{f"sizes[{i}]": s for i, s in enumerate(sizes)})
    layers: list[Layer] = []
    for i in range(len(sizes) - 1):
        layers.append(_layer(str(len(layers)), "linear", inputs=sizes[i], outputs=sizes[i + 1], bias=True))
        last = i == len(sizes) - 2
        kind = _activation(output if last else activation)
        if kind != "identity":
            layers.append(_layer(str(len(layers)), kind))
    text = f"MLP({list(sizes)}, {activation!r}{'' if output == 'identity' else f', output={output!r}'})"
    return _declare(NetworkSpec(name, tuple(layers), text), prior)


def Conv2d(
    name: str,
    inputs: int,
    outputs: int,
    kernel: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: bool = True,
    prior: Distribution | None = None,
) -> NetworkValue:
    """A 2-D convolution (cross-correlation) of one image (channels, height, width).

    Args:
        name: name of the network; the weight is [outputs, inputs / groups, height, width].
        inputs: channels in.
        outputs: channels out.
        kernel: size of the kernel.
        stride: step between positions.
        padding: zeros added at each side.
        dilation: spacing of the kernel.
        groups: blocks of channels that are convolved separately.
        bias: whether it has one.
        prior: distribution of one weight.
    """
    _positive(name, inputs=inputs, outputs=outputs, groups=groups)
    layer = _layer(
        "0",
        "conv2d",
        inputs=inputs,
        outputs=outputs,
        kernel=_pair(kernel),
        stride=_pair(stride),
        padding=_pair(padding),
        dilation=_pair(dilation),
        groups=groups,
        bias=bias,
    )
    return _single(name, layer, f"Conv2d({inputs}, {outputs}, {_pair(kernel)})", prior)


def ConvTranspose2d(
    name: str,
    inputs: int,
    outputs: int,
    kernel: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    output_padding: int | Sequence[int] = 0,
    bias: bool = True,
    prior: Distribution | None = None,
) -> NetworkValue:
    """A 2-D transposed convolution of one image (channels, height, width).

    Args:
        name: name of the network; the weight is [inputs, outputs, height, width], as in torch.
        inputs: channels in.
        outputs: channels out.
        kernel: size of the kernel.
        stride: upsampling factor.
        padding: cut from each side of the result.
        output_padding: added to one side of the result.
        bias: whether it has one.
        prior: distribution of one weight.
    """
    _positive(name, inputs=inputs, outputs=outputs)
    layer = _layer(
        "0",
        "conv_transpose2d",
        inputs=inputs,
        outputs=outputs,
        kernel=_pair(kernel),
        stride=_pair(stride),
        padding=_pair(padding),
        output_padding=_pair(output_padding),
        groups=1,
        bias=bias,
    )
    return _single(name, layer, f"ConvTranspose2d({inputs}, {outputs}, {_pair(kernel)})", prior)


def LayerNorm(name: str, shape: int | Sequence[int], *, eps: float = 1e-5) -> NetworkValue:
    """Normalise the last event axes to mean 0 and variance 1, then scale and shift them.

    Args:
        name: name of the network.
        shape: sizes of the axes that are normalised.
        eps: added to the variance.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return _single(name, _layer("0", "layer_norm", shape=sizes, eps=eps), f"LayerNorm({list(sizes)})", None)


def Embedding(name: str, size: int, features: int, *, prior: Distribution | None = None) -> NetworkValue:
    """A table of `size` learned vectors, looked up by an integer.

    Args:
        name: name of the network.
        size: number of entries.
        features: length of each vector.
        prior: distribution of one number of the table.
    """
    _positive(name, size=size, features=features)
    return _single(
        name, _layer("0", "embedding", size=size, features=features), f"Embedding({size}, {features})", prior
    )


def Reshape(shape: Sequence[int]) -> Layer:
    """A layer for `Sequential` that gives one element another event shape."""
    return _layer("reshape", "reshape", shape=tuple(shape))


def Flatten() -> Layer:
    """A layer for `Sequential` that makes one element a vector."""
    return _layer("flatten", "flatten")


def Sequential(
    name: str, parts: Sequence[NetworkValue | Layer | str], *, prior: Distribution | None = None
) -> NetworkValue:
    """Networks and activations applied one after the other.

    Args:
        name: name of the network; a part's parameters are called `name.part.weight`.
        parts: networks declared just for this one (they lose their own entry), names of activations, `Reshape`,
            `Flatten`.
        prior: distribution of one weight.

    Raises:
        ModelError: a part is none of these.
    """
    trace = current(f"nn.Sequential({name!r})")
    layers: list[Layer] = []
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            layers.append(_layer(f"{len(layers)}", _activation(part)))
            texts.append(repr(part))
        elif isinstance(part, Layer):
            layers.append(Layer(f"{len(layers)}", part.kind, part.settings))
            texts.append(f"{part.kind}({', '.join(str(v) for _, v in part.settings)})")
        elif isinstance(part, NetworkValue) and part.spec.foreign is None:
            trace.adopt(part.spec.name)
            single = len(part.spec.layers) == 1
            for layer in part.spec.layers:
                own = part.spec.name if single else f"{part.spec.name}_{layer.name}"
                layers.append(Layer(own, layer.kind, layer.settings))
            texts.append(part.spec.text)
        else:
            raise ModelError(
                f"network {name!r}: {part!r} cannot be a part of a Sequential.",
                model=trace.model,
                declared_at=user_location(),
                expected="networks of ppl.nn, names of activations, nn.Reshape, nn.Flatten",
                got=type(part).__name__,
                remedy="Apply your own module before or after the Sequential.",
            )
    return _declare(NetworkSpec(name, tuple(layers), f"Sequential([{', '.join(texts)}])"), prior)


def module(
    name: str,
    *,
    torch: Callable[[], Any] | None = None,
    jax: Callable[[Any], Any] | None = None,
    out_shape: int | Sequence[int],
) -> NetworkValue:
    """The user's own network.

    Args:
        name: name of the network.
        torch: makes a `torch.nn.Module` whose forward takes a batch of elements (rows in front).
        jax: makes an `equinox.Module` from a key; it takes one element and is mapped over rows.
        out_shape: event shape of the result for one element.

    A backend for which no factory is given refuses the program when compiling.
    """
    shape = (out_shape,) if isinstance(out_shape, int) else tuple(out_shape)
    if torch is None and jax is None:
        raise ModelError(
            f"nn.module({name!r}) needs a factory for at least one backend.",
            declared_at=user_location(),
            expected="torch=, jax= or both",
            got="neither",
            remedy="Pass a function that makes the module.",
        )
    foreign = ForeignModule(torch, jax, _qualified(torch), _qualified(jax))
    return _declare(NetworkSpec(name, (), f"module({name!r})", shape, foreign), None)


def _qualified(factory: Callable[..., Any] | None) -> str:
    if factory is None:
        return ""
    return f"{getattr(factory, '__module__', '?')}:{getattr(factory, '__qualname__', repr(factory))}"
