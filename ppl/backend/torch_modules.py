"""Networks of emitted Pyro models that no layer of torch stands for: functions of their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, constraints


class FunctionModule(torch.nn.Module):
    """A function of weights and elements as a module; elements may have any leading axes.

    Args:
        function: from weights by name and elements to the result.
        weights: by name; names with dots become modules inside of modules, as in torch.nn.
    """

    def __init__(self, function: Callable[..., Tensor], weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.function = function
        for name, weight in weights.items():
            *path, own = name.split(".")
            holder: torch.nn.Module = self
            for part in path:
                if part not in dict(holder.named_children()):
                    holder.add_module(part, torch.nn.Module())
                holder = holder.get_submodule(part)
            holder.register_parameter(own, torch.nn.Parameter(weight))

    def forward(self, *inputs: Tensor) -> Tensor:
        """The network on elements."""
        return self.function(dict(self.named_parameters()), *inputs)


def load_weights(module: torch.nn.Module, arrays: Mapping[str, Any], name: str) -> None:
    """Give a module the weights that stand under its name."""
    front = f"{name}."
    own = {key.removeprefix(front): torch.tensor(a) for key, a in arrays.items() if key.startswith(front)}
    module.load_state_dict(own)


Direction = Callable[..., tuple[Tensor, Tensor]]


class FlowTransform(Transform):
    """A normalizing flow with its weights and context.

    Args:
        function: from weights, a vector and the context to its image and the log volume it stretches space by.
        inverse_function: the same for the way back; None if there is none.
        weights: arrays by name.
        context: what the flow depends on, or nothing.
    """

    domain = constraints.real_vector
    codomain = constraints.real_vector
    bijective = True

    def __init__(
        self,
        function: Direction | None,
        inverse_function: Direction | None,
        weights: Mapping[str, Tensor],
        *context: Tensor,
    ) -> None:
        super().__init__(cache_size=1)
        self.directions = (function, inverse_function)
        self.weights = weights
        self.context = context
        # The last vector and image, and the log volume there: what made a draw has scored it already.
        self._seen: tuple[Any, Any, Any] = (None, None, None)

    def with_cache(self, cache_size: int = 1) -> Transform:
        """The flow: it remembers its last pass in any case."""
        return self

    def _run(self, x: Tensor, backward: bool) -> tuple[Tensor, Tensor]:
        function = self.directions[backward]
        if function is None:
            raise NotImplementedError("This flow cannot be run in this direction: it belongs in a guide.")
        # Axes that the vectors have and the context lacks are further vectors with one context.
        context = [c.expand(torch.broadcast_shapes(x.shape[:-1], c.shape[:-1]) + c.shape[-1:]) for c in self.context]
        return function(self.weights, x, *context)

    def _call(self, x: Tensor) -> Tensor:
        y, volume = self._run(x, backward=False)
        self._seen = (x, y, volume)
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        x, volume = self._run(y, backward=True)
        self._seen = (x, y, -volume)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """The log volume, of the pass that found x or y if that was the last one."""
        if self._seen[0] is x and self._seen[1] is y:
            return self._seen[2]
        return self._run(x, backward=False)[1] if self.directions[0] else -self._run(y, backward=True)[1]


class FlowModule(FunctionModule):
    """A normalizing flow as a module; a call gives the image and the log volume it stretches space by.

    Args:
        function: from weights, a vector and the context to its image and log volume; None if there is none.
        inverse_function: the same for the way back.
        weights: by name.
    """

    def __init__(
        self, function: Direction | None, inverse_function: Direction | None, weights: Mapping[str, Tensor]
    ) -> None:
        super().__init__(function, weights)  # pyright: ignore[reportArgumentType]
        self.directions = (function, inverse_function)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The weights by name."""
        return dict(self.named_parameters())

    def given(self, *context: Tensor, weights: Mapping[str, Tensor] | None = None) -> FlowTransform:
        """The flow as a transform, for a context if it depends on one."""
        return FlowTransform(*self.directions, weights or self.weights, *context)
