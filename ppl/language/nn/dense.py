"""Dense networks: affine maps, multilayer perceptrons, monotone ones, and tables of vectors."""

from __future__ import annotations

from collections.abc import Sequence

from ppl.errors import ModelError, ShapeError, user_location
from ppl.program.distributions import Distribution
from ppl.program.networks import Layer, NetworkSpec

from .declaring import NetworkValue, check_sizes, declare, known_activation, make_layer, single


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
    check_sizes(name, inputs=inputs, outputs=outputs)
    return single(
        name,
        make_layer("0", "linear", inputs=inputs, outputs=outputs, bias=bias),
        f"Linear({inputs}, {outputs}{'' if bias else ', bias=False'})",
        prior,
    )


def dense_layers(
    name: str, what: str, sizes: Sequence[int], activation: str, output: str, kind: str = "linear"
) -> tuple[Layer, ...]:
    """Affine maps with activations between them.

    Raises:
        ShapeError: fewer than two sizes, or one that is no positive integer.
    """
    if len(sizes) < 2:
        raise ShapeError(
            f"network {name!r}: {what} needs at least an input and an output size.",
            declared_at=user_location(),
            expected="[inputs, ..., outputs]",
            got=f"{list(sizes)}",
            remedy=f'Write nn.{what}("{name}", [inputs, hidden, outputs]).',
        )
    check_sizes(name, **{f"sizes[{i}]": s for i, s in enumerate(sizes)})
    layers: list[Layer] = []
    for i in range(len(sizes) - 1):
        layers.append(make_layer(str(len(layers)), kind, inputs=sizes[i], outputs=sizes[i + 1], bias=True))
        last = i == len(sizes) - 2
        shape = known_activation(output if last else activation)
        if shape != "identity":
            layers.append(make_layer(str(len(layers)), shape))
    return tuple(layers)


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
    layers = dense_layers(name, "MLP", sizes, activation, output)
    text = f"MLP({list(sizes)}, {activation!r}{'' if output == 'identity' else f', output={output!r}'})"
    return declare(NetworkSpec(name, layers, text), prior)


def Embedding(name: str, size: int, features: int, *, prior: Distribution | None = None) -> NetworkValue:
    """A table of `size` learned vectors, looked up by an integer.

    Args:
        name: name of the network.
        size: number of entries.
        features: length of each vector.
        prior: distribution of one number of the table.
    """
    check_sizes(name, size=size, features=features)
    return single(
        name, make_layer("0", "embedding", size=size, features=features), f"Embedding({size}, {features})", prior
    )


def Monotone(
    name: str, sizes: Sequence[int], activation: str = "tanh", *, prior: Distribution | None = None
) -> NetworkValue:
    """A multilayer perceptron that increases in each of its inputs.

    Every weight enters through softplus(weight) / inputs, so it is positive whatever its sign; biases are free. For a
    function that falls in an input, negate the input.

    Args:
        name: name of the network.
        sizes: features of input, hidden layers and output.
        activation: between layers; an increasing one: `tanh`, `sigmoid`, `softplus`, `relu`, `elu` or `leaky_relu`.
        prior: distribution of one weight before the softplus.

    Raises:
        ShapeError: fewer than two sizes, or one that is no positive integer.
        ModelError: the activation is not increasing.

    Reference: Sill (1998), Monotonic networks.
    """
    increasing = ("tanh", "sigmoid", "softplus", "relu", "elu", "leaky_relu")
    if known_activation(activation) not in increasing:
        raise ModelError(
            f"network {name!r}: activation {activation!r} does not increase everywhere.",
            declared_at=user_location(),
            expected=f"one of {increasing}",
            got=repr(activation),
            remedy="Between positive weights an increasing activation keeps the network monotone; others do not.",
        )
    layers = dense_layers(name, "Monotone", sizes, activation, "identity", "monotone_linear")
    return declare(NetworkSpec(name, layers, f"Monotone({list(sizes)}, {activation!r})"), prior)
