"""Stochastic optimisation in torch: as few tensors and calls a step as possible.

Small parameters live in one flat vector, because in eager mode each tensor costs the optimiser microseconds a step;
large network weights stay tensors of their own, because copying them into one vector would cost more than it saves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .protocol import Arrays, Averaging, NoiseShape, OptimizerSpec, Part
from .torch_parts import PartedStep, PartedStore
from .torch_steps import EagerStep, FusedStep, Noise, Step, fresh_code

# Arrays up to this many numbers share the flat vector.
LARGEST_FLAT = 2048


class Parameters:
    """Parameters by name, stored as one flat leaf and a few large ones."""

    def __init__(self, params: Mapping[str, np.ndarray], dtype: torch.dtype) -> None:
        self.names = list(params)
        self.shapes = {k: tuple(np.shape(v)) for k, v in params.items()}
        self.small = [k for k, v in params.items() if np.size(v) <= LARGEST_FLAT]
        self.large = [k for k in params if k not in set(self.small)]
        self.sizes = [int(np.prod(self.shapes[k])) for k in self.small]
        self.leaves: list[Tensor] = []
        if self.small:
            flat = np.concatenate([np.ravel(params[k]) for k in self.small])
            self.leaves.append(torch.tensor(flat, dtype=dtype))
        for k in self.large:
            self.leaves.append(torch.tensor(params[k], dtype=dtype))

    def unpack(self, leaves: list[Tensor]) -> Arrays:
        """Views by name."""
        out: Arrays = {}
        rest = leaves
        if self.small:
            parts = leaves[0].split(self.sizes)
            for name, part in zip(self.small, parts, strict=True):
                shape = self.shapes[name]
                out[name] = part if len(shape) == 1 else part.view(shape)
            rest = leaves[1:]
        out.update(zip(self.large, rest, strict=True))
        return out


class Mean:
    """The running mean of some leaves over the steps.

    Args:
        leaves: the leaves.
        averaging: how steps are weighted.
    """

    def __init__(self, leaves: list[Tensor], averaging: Averaging) -> None:
        self.averaging = averaging
        self.leaves = [x.detach().clone() for x in leaves]
        self.steps = 0

    def follow(self, leaves: list[Tensor]) -> None:
        """Take in the leaves after a step."""
        self.steps += 1
        rate = float(self.averaging.rate(self.steps, np))
        for mean, leaf in zip(self.leaves, leaves, strict=True):
            mean.lerp_(leaf.detach(), rate)


class TorchOptimization:
    """A loop of steps.

    Args:
        loss: function of (params, values, data, noise, rows).
        params: starting values.
        data: arrays that all steps read.
        noise: random arguments of the loss.
        optimizer: the optimiser.
        key: where noise comes from; it moves on.
        dtype: of the parameters.
        compile: make each step one compiled graph.
        averaging: the running mean of the parameters that is kept; None for none.
    """

    def __init__(
        self,
        loss: Callable[..., Any],
        params: Mapping[str, np.ndarray],
        data: Arrays,
        noise: Sequence[NoiseShape],
        optimizer: OptimizerSpec | tuple[Part, ...],
        key: torch.Generator,
        dtype: torch.dtype,
        compile: bool,
        averaging: Averaging | None = None,
    ) -> None:
        self.data = data
        self.dtype = dtype
        self.noise = Noise(noise, dtype)
        self.key = key
        self.store: Parameters | PartedStore = (
            PartedStore(params, optimizer, lambda own: Parameters(own, dtype))
            if isinstance(optimizer, tuple)
            else Parameters(params, dtype)
        )

        self.mean = None if averaging is None else Mean(self.store.leaves, averaging)

        def objective(leaves: list[Tensor], data: Arrays, noise: list[Tensor], rows: Arrays) -> Tensor:
            return loss(self.store.unpack(leaves), {}, data, self.noise.unpack(noise, key), rows)

        self.step: Step
        if isinstance(optimizer, tuple):
            assert isinstance(self.store, PartedStore)
            whole = torch.compile(fresh_code(objective), dynamic=False) if compile else objective
            self.step = PartedStep(whole, self.store, optimizer)
        elif not compile:
            self.step = EagerStep(objective, self.store.leaves, optimizer)
        elif self.noise.keys:
            # Generators of the library's own samplers do not go into a graph: compile around them.
            compiled = torch.compile(fresh_code(objective), dynamic=False)
            self.step = EagerStep(compiled, self.store.leaves, optimizer)
        else:
            self.step = FusedStep(objective, self.store.leaves, optimizer)

    def run(
        self, steps: int, index: Mapping[str, np.ndarray], meanwhile: Callable[[], None] | None = None
    ) -> np.ndarray:
        """Advance until a step is not finite; the losses. This thread takes the steps, so nothing is done meanwhile."""
        kinds = {"f": self.dtype}
        rows = {k: torch.as_tensor(v, dtype=kinds.get(v.dtype.kind, torch.int64)).unbind() for k, v in index.items()}
        step, data, draw, key = self.step, self.data, self.noise.draw, self.key
        losses: list[float] = []
        before = key.get_state()
        for i in range(steps):
            if self.noise.keys:
                before = key.get_state()
            loss = step(data, draw(key), {k: v[i] for k, v in rows.items()})
            if loss is None:
                self._draw_again(before, i)
                break
            losses.append(loss)
            if self.mean is not None:
                self.mean.follow(self.store.leaves)
        return np.asarray(losses)

    def _draw_again(self, before: Tensor, steps: int) -> None:
        """Bring the generator to where it was before a step that was not taken."""
        self.key.set_state(before)
        # How much a library's own sampler takes from it nobody knows: then its state is that of the step itself.
        for _ in range(0 if self.noise.keys else steps):
            self.noise.draw(self.key)

    def params(self) -> Arrays:
        """The parameters now."""
        return {k: v.detach().clone() for k, v in self.store.unpack([x.detach() for x in self.store.leaves]).items()}

    def averaged(self) -> Arrays:
        """The running mean of the parameters, or the parameters now."""
        if self.mean is None:
            return self.params()
        return {k: v.clone() for k, v in self.store.unpack(self.mean.leaves).items()}

    def state(self) -> dict[str, np.ndarray]:
        """Parameters, optimiser state and generator state as numpy arrays."""
        out: dict[str, np.ndarray] = {f"leaf.{i}": x.detach().numpy().copy() for i, x in enumerate(self.store.leaves)}
        out |= {f"optimizer.{k}": v for k, v in self.step.state().items()}
        if self.mean is not None:
            out |= {f"mean.{i}": x.numpy().copy() for i, x in enumerate(self.mean.leaves)}
            out["mean.steps"] = np.asarray(self.mean.steps)
        return out | {"key": self.key.get_state().numpy().copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        with torch.no_grad():
            for i, leaf in enumerate(self.store.leaves):
                leaf.copy_(torch.as_tensor(np.array(state[f"leaf.{i}"])))
        start = "optimizer."
        self.step.restore({k[len(start) :]: v for k, v in state.items() if k.startswith(start)})
        if self.mean is not None:
            self.mean.leaves = [torch.as_tensor(np.array(state[f"mean.{i}"])) for i in range(len(self.mean.leaves))]
            self.mean.steps = int(state["mean.steps"])
        self.key.set_state(torch.as_tensor(np.array(state["key"]), dtype=torch.uint8))
