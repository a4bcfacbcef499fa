"""Networks of emitted NumPyro models that no layer of equinox stands for: functions of their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array


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
