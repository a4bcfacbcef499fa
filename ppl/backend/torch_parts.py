"""Parts of the parameters with optimisers of their own, which may take turns, in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .protocol import Arrays, Part, UpdateSpec
from .torch_steps import EagerStep, Objective, loss_and_gradients


class Store(Protocol):
    """Parameters by name in a few leaves."""

    leaves: list[Tensor]

    def unpack(self, leaves: list[Tensor]) -> Arrays:
        """Parameters by name."""
        ...


class PartedStore:
    """One store for each part, seen as one.

    Args:
        params: starting values.
        parts: which parameters belong together.
        make: makes the store of one part.
    """

    def __init__(
        self, params: Mapping[str, np.ndarray], parts: Sequence[Part], make: Callable[[Mapping[str, np.ndarray]], Store]
    ) -> None:
        self.stores = [make({n: params[n] for n in p.names}) for p in parts]
        self.leaves = [leaf for store in self.stores for leaf in store.leaves]

    def ranges(self) -> list[slice]:
        """Where the leaves of each part stand."""
        out, start = [], 0
        for store in self.stores:
            out.append(slice(start, start + len(store.leaves)))
            start += len(store.leaves)
        return out

    def unpack(self, leaves: list[Tensor]) -> Arrays:
        """Parameters by name."""
        out: Arrays = {}
        for store, place in zip(self.stores, self.ranges(), strict=True):
            out |= store.unpack(leaves[place])
        return out


class FormulaStep:
    """The update of one part by a formula of our own.

    Args:
        store: its parameters.
        spec: the formula.
    """

    def __init__(self, store: Store, spec: UpdateSpec) -> None:
        self.store = store
        self.spec = spec
        for leaf in store.leaves:
            leaf.requires_grad_()
        self.slots = {k: torch.as_tensor(np.array(v), dtype=store.leaves[0].dtype) for k, v in spec.state.items()}
        self.done = 0

    def update(self, gradients: Sequence[Tensor]) -> None:
        """Move the leaves."""
        with torch.no_grad():
            own = self.store.unpack([x.detach() for x in self.store.leaves])
            values = self.spec.values(self.store.unpack(list(gradients)), self.slots, self.done, np)
            values["rate"] = torch.as_tensor(values["rate"], dtype=self.store.leaves[0].dtype)
            new = self.spec.function(own, values, {}, {})
            for name, place in own.items():
                place.copy_(new[name])
            self.slots = {k: new[k] for k in self.slots}
        self.done += 1

    def state(self) -> dict[str, np.ndarray]:
        """Its numbers by name, and the steps of its learning rate."""
        return {f"kept.{k}": v.numpy().copy() for k, v in self.slots.items()} | {"done": np.asarray(self.done)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        self.slots = {k: torch.as_tensor(np.array(state[f"kept.{k}"])) for k in self.slots}
        self.done = int(state["done"])


class PartedStep:
    """Autograd once, then the optimiser of each part whose turn it is.

    Args:
        objective: the loss, compiled or not.
        store: the parameters.
        parts: the parts, as in the store.
    """

    def __init__(self, objective: Objective, store: PartedStore, parts: Sequence[Part]) -> None:
        self.objective = objective
        self.leaves = store.leaves
        self.places = store.ranges()
        self.turns = [p.turns for p in parts]
        self.steps = [
            FormulaStep(own, p.optimizer)
            if isinstance(p.optimizer, UpdateSpec)
            else EagerStep(objective, store.leaves[r], p.optimizer)
            for own, r, p in zip(store.stores, self.places, parts, strict=True)
        ]
        self.done = 0

    def __call__(self, data: Arrays, noise: list[Tensor], rows: Arrays) -> float | None:
        """Take one step; the loss before it, or None if the step could not be taken."""
        found = loss_and_gradients(self.objective, self.leaves, data, noise, rows)
        if found is None:
            return None
        loss, grads = found
        for step, place, turns in zip(self.steps, self.places, self.turns, strict=True):
            if turns is None or turns[1] <= self.done % turns[0] < turns[2]:
                step.update(grads[place])
        self.done += 1
        return loss

    def state(self) -> dict[str, np.ndarray]:
        """State of all optimisers by name."""
        out = {f"{i}/{k}": v for i, step in enumerate(self.steps) for k, v in step.state().items()}
        return out | {"done": np.asarray(self.done)}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        for i, step in enumerate(self.steps):
            own: dict[str, Any] = {k.partition("/")[2]: v for k, v in state.items() if k.startswith(f"{i}/")}
            step.restore(own)
        self.done = int(state.get("done", 0))
