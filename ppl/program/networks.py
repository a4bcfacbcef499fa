"""Networks by specification: layers as data, parameters by name, and their meaning in the vocabulary of ops.

A specification is inert. It prints, compares and serialises; the backends build `torch.nn` or `equinox` modules from
it, and lowering expands it into operations where the pure functions are emitted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ppl.errors import Location

from . import autoregressive, flows, sequences
from .layers import ACTIVATIONS, Layer, Weight, apply_layer
from .values import DType, Shape, Value


@dataclass(frozen=True)
class ForeignCall:
    """How a user's own function is called.

    Attributes:
        inputs: event shape and kind of number of each argument.
        out_dtype: kind of number of the result.
        batched: whether the function takes rows of elements; else it takes one, and is mapped.
        location: where the user declared it.
    """

    inputs: tuple[tuple[Shape, DType], ...]
    out_dtype: DType = "float"
    batched: bool = False
    location: Location | None = field(default=None, compare=False)


@dataclass(frozen=True)
class ForeignModule:
    """A user's own network or function: one for each backend.

    Attributes:
        torch: makes a `torch.nn.Module` of one element, or is the function itself; None if there is none.
        jax: makes an `equinox.Module`, called with a key, or is the function itself; None if there is none.
        call: for a function, how it is called; None for a network.
    """

    torch: Callable[[], Any] | None = field(default=None, compare=False)
    jax: Callable[[Any], Any] | None = field(default=None, compare=False)
    torch_name: str = ""
    jax_name: str = ""
    call: ForeignCall | None = None


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
    def is_function(self) -> bool:
        """Whether this is a function of the user's own, which has no weights."""
        return self.foreign is not None and self.foreign.call is not None

    @property
    def origin(self) -> str:
        """How the user wrote it, and where code of the user's own is found."""
        if self.foreign is None:
            return self.text
        return f"{self.text} of {' and '.join(n for n in (self.foreign.torch_name, self.foreign.jax_name) if n)}"

    def same_as(self, other: NetworkSpec) -> bool:
        """Whether model and guide mean one network by one name: the same layers, or the same code of the user's own."""
        if self.foreign is None or other.foreign is None:
            return self.layers == other.layers and self.foreign is other.foreign
        mine, theirs = self.foreign, other.foreign
        names = (mine.torch_name, mine.jax_name) == (theirs.torch_name, theirs.jax_name)
        if not names or self.out_shape != other.out_shape:
            return False
        # A factory may be made anew at each call of the model; a function that is another one computes something else.
        return mine.call is None or (mine.torch, mine.jax) == (theirs.torch, theirs.jax)

    @property
    def weights(self) -> dict[str, Weight]:
        """All parameter arrays by full name, `network.layer.weight`."""
        return {f"{self.name}.{layer.name}.{w.name}": w for layer in self.layers for w in layer.weights}

    @property
    def others(self) -> tuple[int, int]:
        """How many inputs a call takes beside the element: at least, at most."""
        counts = [layer.inputs for layer in self.layers]
        return max((low for low, _ in counts), default=0), max((high for _, high in counts), default=0)

    def initial(self, seed: int) -> dict[str, np.ndarray]:
        """Starting values of all parameters, equal for both backends."""
        out: dict[str, np.ndarray] = {}
        for index, (name, weight) in enumerate(self.weights.items()):
            out[name] = weight.initial(np.random.default_rng([seed, *self.name.encode(), index]))
        return out


def apply_network(
    spec: NetworkSpec, x: Value, weight: Callable[[str, Weight], Value], others: tuple[Value, ...] = ()
) -> Value:
    """A network on one element, expanded into ops.

    Args:
        spec: the network; not a foreign module.
        x: its input, one element.
        weight: gives the value of a parameter from its full name.
        others: what else it is called with: a state, an adjacency matrix; every layer that takes such inputs gets them.
    """
    for layer in spec.layers:
        own = tuple(weight(f"{spec.name}.{layer.name}.{w.name}", w) for w in layer.weights)
        x = apply_layer(layer, x, own, others)
    return x


__all__ = [
    "ACTIVATIONS",
    "ForeignCall",
    "ForeignModule",
    "Layer",
    "NetworkSpec",
    "Weight",
    "apply_layer",
    "apply_network",
    "autoregressive",
    "flows",
    "sequences",
]
