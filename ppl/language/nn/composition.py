"""Networks of networks: sequences, residual blocks, networks whose weights come from others, and the user's own."""

# What a user passes is checked when it comes, whatever its annotation says.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ppl.errors import ModelError, ShapeError, user_location
from ppl.language.foreign import qualified
from ppl.language.trace import current
from ppl.program.distributions import Distribution
from ppl.program.layers import nested
from ppl.program.networks import ForeignModule, Layer, NetworkSpec, apply_network
from ppl.program.ops import apply, in_scope
from ppl.program.statements import Network
from ppl.program.values import Value, lift

from .declaring import NetworkValue, declare, known_activation, make_layer
from .dense import MLP


def Reshape(shape: Sequence[int]) -> Layer:
    """A layer for `Sequential` that gives one element another event shape."""
    return make_layer("reshape", "reshape", shape=tuple(shape))


def Flatten() -> Layer:
    """A layer for `Sequential` that makes one element a vector."""
    return make_layer("flatten", "flatten")


def _part_text(part: Layer) -> str:
    if part.kind in ("reshape", "flatten"):
        return f"{part.kind}({', '.join(str(v) for _, v in part.settings)})"
    title = {"pool_all": "Pool", "max_pool": "MaxPool", "avg_pool": "AvgPool", "positions": "Positions"}[part.kind]
    return f"{title}({', '.join(f'{k}={v!r}' for k, v in part.settings)})"


def _joined(name: str, what: str, parts: Sequence[NetworkValue | Layer | str]) -> tuple[tuple[Layer, ...], str]:
    """The layers of parts, which lose their own entry in the program; and how the user wrote them."""
    trace = current(f"nn.{what}({name!r})")
    layers: list[Layer] = []
    texts: list[str] = []
    for part in parts:
        if isinstance(part, str):
            layers.append(make_layer(f"{len(layers)}", known_activation(part)))
            texts.append(repr(part))
        elif isinstance(part, Layer):
            layers.append(Layer(f"{len(layers)}", part.kind, part.settings))
            texts.append(_part_text(part))
        elif isinstance(part, NetworkValue) and part.spec.foreign is None:
            trace.adopt(part.spec.name)
            single = len(part.spec.layers) == 1
            for layer in part.spec.layers:
                own = part.spec.name if single else f"{part.spec.name}_{layer.name}"
                layers.append(Layer(own, layer.kind, layer.settings))
            texts.append(part.spec.text)
        else:
            raise ModelError(
                f"network {name!r}: {part!r} cannot be a part of a {what}.",
                model=trace.model,
                declared_at=user_location(),
                expected="networks of ppl.nn, names of activations, nn.Reshape, nn.Flatten",
                got=type(part).__name__,
                remedy=f"Apply your own module before or after the {what}.",
            )
    return tuple(layers), f"{what}([{', '.join(texts)}])"


def Sequential(
    name: str, parts: Sequence[NetworkValue | Layer | str], *, prior: Distribution | None = None
) -> NetworkValue:
    """Networks and activations applied one after the other.

    Args:
        name: name of the network; a part's parameters are called `name.part.weight`.
        parts: networks declared just for this one (they lose their own entry), names of activations, `Reshape`,
            `Flatten` and pools. What it is called with beside the element goes to every part that takes such inputs.
        prior: distribution of one weight.

    Raises:
        ModelError: a part is none of these.
    """
    layers, text = _joined(name, "Sequential", parts)
    return declare(NetworkSpec(name, layers, text), prior)


def Residual(
    name: str, parts: Sequence[NetworkValue | Layer | str], *, prior: Distribution | None = None
) -> NetworkValue:
    """What parts make of an element one after the other, added to the element; parts of a `Sequential`.

    Args:
        name: name of the network; a part's parameters are called `name.0.part.weight`.
        parts: as in `Sequential`; together they keep the event shape.
        prior: distribution of one weight.

    Raises:
        ModelError: a part is none of these.

    Reference: He et al. (2016), Deep residual learning for image recognition.
    """
    layers, text = _joined(name, "Residual", parts)
    return declare(NetworkSpec(name, (make_layer("0", "residual", inner=nested(layers)),), text), prior)


class HyperNetworkValue:
    """A declared network whose weights are the output of another one: call it with a condition and an element."""

    def __init__(self, target: NetworkSpec, body: NetworkValue) -> None:
        self.target = target
        self.body = body

    def __call__(self, condition: Any, x: Any, *others: Any) -> Value:
        """Apply the network that the condition stands for to one element.

        Args:
            condition: what the weights depend on: one element of the perceptron.
            x: one element of the network.
            others: what the network takes beside it.

        Raises:
            ShapeError: the condition does not fit the perceptron, or the element the network.
        """
        numbers = self.body(condition)
        found: dict[str, Value] = {}
        start = 0
        for name, weight in self.target.weights.items():
            size = math.prod(weight.shape)
            found[name] = apply("reshape", numbers[start : start + size], shape=weight.shape)
            start += size
        inputs = [in_scope(lift(item)) for item in (x, *others)]
        try:
            return apply_network(self.target, inputs[0], lambda name, w: found[name], tuple(inputs[1:]))
        except ValueError as error:
            raise ShapeError(
                f"network {self.target.name!r} does not fit its input: {error}.",
                declared_at=user_location(),
                expected=f"an element for {self.target.text}",
                got=", ".join(repr(v) for v in inputs),
            ) from error

    def __repr__(self) -> str:
        return f"HyperNetwork({self.target.text}, {self.body.spec.text})"


def HyperNetwork(
    name: str,
    target: NetworkValue,
    sizes: Sequence[int],
    activation: str = "relu",
    *,
    prior: Distribution | None = None,
) -> HyperNetworkValue:
    """A network whose weights are computed from a condition by a perceptron; called as `net(condition, x)`.

    Args:
        name: name of the perceptron, which holds the only parameters.
        target: the network that is given its weights; declared just for this (it loses its own entry).
        sizes: features of the condition and of the hidden layers; the output has as many as `target` has weights.
        activation: between the layers of the perceptron.
        prior: distribution of one weight of the perceptron.

    Raises:
        ModelError: the target is a module of your own, has random weights, or has none.

    Reference: Ha, Dai and Le (2017), HyperNetworks.
    """
    trace = current(f"nn.HyperNetwork({name!r})")
    count = sum(math.prod(w.shape) for w in target.spec.weights.values())
    statement = trace.statements.get(target.spec.name)
    if not count or not isinstance(statement, Network) or statement.random:
        raise ModelError(
            f"network {name!r}: {target!r} cannot be given its weights.",
            model=trace.model,
            declared_at=user_location(),
            expected="a network of ppl.nn without a prior, declared just for this",
            got=repr(target),
            remedy="A prior belongs to the perceptron: HyperNetwork(..., prior=...).",
        )
    trace.adopt(target.spec.name)
    return HyperNetworkValue(target.spec, MLP(name, [*sizes, count], activation, prior=prior))


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
    foreign = ForeignModule(torch, jax, qualified(torch), qualified(jax))
    return declare(NetworkSpec(name, (), f"module({name!r})", shape, foreign), None)
