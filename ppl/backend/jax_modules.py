"""Networks of emitted NumPyro models that no layer of equinox stands for: functions of their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from .native_networks import starting_array


class FunctionModule(eqx.Module):
    """A function of weights and elements as a module; elements may have any leading axes.

    Attributes:
        weights: arrays by name.
        function: from weights and elements to the result.
    """

    weights: dict[str, Array]
    function: Callable[..., Array] = eqx.field(static=True)

    def __init__(self, function: Callable[..., Array], starts: Mapping[str, Any]) -> None:
        self.function = function
        self.weights = {n: jnp.asarray(starting_array(i, *s), float) for i, (n, s) in enumerate(starts.items())}

    def __call__(self, *inputs: Array) -> Array:
        """The network on elements."""
        return self.function(self.weights, *inputs)
