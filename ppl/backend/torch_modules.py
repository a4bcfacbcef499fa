"""Networks of emitted Pyro models that no layer of torch stands for: functions of their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .native_networks import starting_array


class FunctionModule(torch.nn.Module):
    """A function of weights and elements as a module; elements may have any leading axes.

    Args:
        function: from weights by name and elements to the result.
        starts: shape and start of each weight; names with dots become modules inside of modules, as in torch.nn.
    """

    def __init__(self, function: Callable[..., Tensor], starts: Mapping[str, Any]) -> None:
        super().__init__()
        self.function = function
        for index, (name, start) in enumerate(starts.items()):
            *path, own = name.split(".")
            holder: torch.nn.Module = self
            for part in path:
                if part not in dict(holder.named_children()):
                    holder.add_module(part, torch.nn.Module())
                holder = holder.get_submodule(part)
            array = torch.tensor(starting_array(index, *start), dtype=torch.get_default_dtype())
            holder.register_parameter(own, torch.nn.Parameter(array))

    def forward(self, *inputs: Tensor) -> Tensor:
        """The network on elements."""
        return self.function(dict(self.named_parameters()), *inputs)
