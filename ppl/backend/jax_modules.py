"""Networks of emitted NumPyro models that no layer of equinox stands for: functions of their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform


class FunctionModule(eqx.Module):
    """A function of weights and elements as a module; elements may have any leading axes.

    Attributes:
        function: from weights and elements to the result.
        weights: arrays by name.
    """

    function: Callable[..., Array] = eqx.field(static=True)
    weights: dict[str, Array]

    def __call__(self, *inputs: Array) -> Array:
        """The network on elements."""
        return self.function(self.weights, *inputs)


def load_weights(module: Any, arrays: Mapping[str, Any], name: str) -> Any:
    """A module with the weights that stand under its name, such as `net.layers[0].weight`."""

    def stored(path: Any, leaf: Any) -> Any:
        key = name + jax.tree_util.keystr(path)
        return jnp.asarray(arrays[key], leaf.dtype) if eqx.is_inexact_array(leaf) else leaf

    return jax.tree_util.tree_map_with_path(stored, module)


Direction = Callable[..., tuple[Array, Array]]


class FlowTransform(Transform):
    """A normalizing flow with its weights and context.

    Args:
        function: from weights, a vector and the context to its image and the log volume it stretches space by.
        inverse_function: the same for the way back; None if there is none.
        weights: arrays by name.
        context: what the flow depends on, or nothing.
    """

    def __init__(
        self,
        function: Direction | None,
        inverse_function: Direction | None,
        weights: Mapping[str, Array],
        *context: Array,
    ) -> None:
        self.directions = (function, inverse_function)
        self.weights = dict(weights)
        self.context = context

    @property
    def domain(self) -> Any:
        """Real vectors."""
        return constraints.real_vector

    @property
    def codomain(self) -> Any:
        """Real vectors."""
        return constraints.real_vector

    def _run(self, x: Array, backward: bool) -> tuple[Array, Array]:
        function = self.directions[backward]
        if function is None:
            raise NotImplementedError("This flow cannot be run in this direction: it belongs in a guide.")
        # Axes that the vectors have and the context lacks are further vectors with one context.
        lead = [jnp.broadcast_shapes(x.shape[:-1], c.shape[:-1]) for c in self.context]
        context = [jnp.broadcast_to(c, s + c.shape[-1:]) for s, c in zip(lead, self.context, strict=True)]
        return function(self.weights, x, *context)

    def __call__(self, x: Array) -> Array:
        """The image."""
        return self._run(x, backward=False)[0]

    def _inverse(self, y: Array) -> Array:
        return self._run(y, backward=True)[0]

    def call_with_intermediates(self, x: Array) -> tuple[Array, Array]:
        """The image and the log volume: what made a draw has scored it already."""
        return self._run(x, backward=False)

    def log_abs_det_jacobian(self, x: Array, y: Array, intermediates: Array | None = None) -> Array:
        """The log volume; of a value that was given, by the way back, which has found its preimage too."""
        if intermediates is not None:
            return intermediates
        return -self._run(y, backward=True)[1] if self.directions[1] else self._run(x, backward=False)[1]

    def tree_flatten(self) -> tuple[Any, Any]:
        """Arrays, and the rest."""
        return (self.weights, self.context), (("weights", "context"), {"directions": self.directions})

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class FlowModule(eqx.Module):
    """A normalizing flow as a module; a call gives the image and the log volume it stretches space by.

    Attributes:
        function: from weights, a vector and the context to its image and log volume; None if there is none.
        inverse_function: the same for the way back.
        weights: arrays by name.
    """

    function: Direction | None = eqx.field(static=True)
    inverse_function: Direction | None = eqx.field(static=True)
    weights: dict[str, Array]

    def __call__(self, *inputs: Array) -> tuple[Array, Array]:
        """Image and log volume of vectors."""
        assert self.function is not None
        return self.function(self.weights, *inputs)

    def given(self, *context: Array, weights: Mapping[str, Array] | None = None) -> FlowTransform:
        """The flow as a transform, for a context if it depends on one."""
        return FlowTransform(self.function, self.inverse_function, weights or self.weights, *context)
