"""Networks of emitted Pyro models that no layer of torch stands for: functions of their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


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
