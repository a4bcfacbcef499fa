"""Stochastic optimisation in torch: as few tensors and calls a step as possible.

Small parameters live in one flat vector, because in eager mode each tensor costs the optimiser microseconds a step;
large network weights stay tensors of their own, because copying them into one vector would cost more than it saves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .protocol import Arrays, OptimizerSpec

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
            self.leaves.append(torch.tensor(flat, dtype=dtype, requires_grad=True))
        for k in self.large:
            self.leaves.append(torch.tensor(np.array(params[k]), dtype=dtype, requires_grad=True))

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


def make_optimizer(spec: OptimizerSpec, leaves: list[Tensor]) -> tuple[torch.optim.Optimizer, Any]:
    """The torch optimiser of a specification, and its schedule if it has one."""
    s = dict(spec.settings)
    match spec.name:
        case "adam":
            optimizer: torch.optim.Optimizer = torch.optim.Adam(
                leaves, lr=spec.learning_rate, betas=(s["beta1"], s["beta2"]), eps=s["eps"], fused=True
            )
        case "adamw":
            optimizer = torch.optim.AdamW(
                leaves,
                lr=spec.learning_rate,
                betas=(s["beta1"], s["beta2"]),
                eps=s["eps"],
                weight_decay=s["weight_decay"],
                fused=True,
            )
        case "sgd":
            optimizer = torch.optim.SGD(leaves, lr=spec.learning_rate, momentum=s["momentum"])
        case _:
            optimizer = torch.optim.RMSprop(leaves, lr=spec.learning_rate, alpha=s["alpha"], eps=s["eps"])
    schedule = None
    if spec.decay == "cosine":
        final = spec.final_fraction

        def factor(step: int) -> float:
            done = min(step / spec.decay_steps, 1.0)
            return final + (1.0 - final) * 0.5 * (1.0 + float(np.cos(np.pi * done)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    elif spec.decay == "exponential":
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: spec.final_fraction ** (step / spec.decay_steps)
        )
    return optimizer, schedule


class TorchOptimization:
    """A loop of eager (or compiled) steps."""

    def __init__(
        self,
        loss: Callable[..., Any],
        params: Mapping[str, np.ndarray],
        data: Arrays,
        noise: Callable[[torch.Generator], Arrays],
        optimizer: OptimizerSpec,
        key: torch.Generator,
        dtype: torch.dtype,
        compile: bool,
    ) -> None:
        self.data = data
        self.noise = noise
        self.key = key
        self.dtype = dtype
        self.store = Parameters(params, dtype)
        self.optimizer, self.schedule = make_optimizer(optimizer, self.store.leaves)
        self.clip = optimizer.clip_norm

        def objective(leaves: list[Tensor], data: Arrays, noise: Arrays, index: Arrays) -> Tensor:
            return loss(self.store.unpack(leaves), {}, data, noise, index)

        self.objective = torch.compile(objective, dynamic=False) if compile else objective

    def run(self, steps: int, index: Mapping[str, np.ndarray]) -> np.ndarray:
        """Advance by some steps; the losses."""
        rows = {k: torch.as_tensor(v, dtype=torch.int64) for k, v in index.items()}
        losses = []
        leaves, step, data, noise, key = self.store.leaves, self.optimizer.step, self.data, self.noise, self.key
        objective = self.objective
        for i in range(steps):
            value = objective(leaves, data, noise(key), {k: v[i] for k, v in rows.items()})
            grads = torch.autograd.grad(value, leaves)
            if self.clip is not None:
                norm = torch.sqrt(sum(((g * g).sum() for g in grads), torch.zeros((), dtype=self.dtype)))
                grads = [g * torch.clamp(self.clip / (norm + 1e-12), max=1.0) for g in grads]
            for leaf, grad in zip(leaves, grads, strict=True):
                leaf.grad = grad
            step()
            if self.schedule is not None:
                self.schedule.step()
            losses.append(value.detach())
        return torch.stack(losses).numpy()

    def params(self) -> Arrays:
        """The parameters now."""
        return {k: v.detach().clone() for k, v in self.store.unpack([x.detach() for x in self.store.leaves]).items()}

    def snapshot(self) -> Any:
        """A copy of the state now."""
        return self.state()

    def rewind(self, snapshot: Any) -> None:
        """Go back to a snapshot."""
        self.restore(snapshot)

    def state(self) -> dict[str, np.ndarray]:
        """Parameters, optimiser state and generator state as numpy arrays."""
        out: dict[str, np.ndarray] = {f"leaf.{i}": x.detach().numpy().copy() for i, x in enumerate(self.store.leaves)}
        for i, entry in self.optimizer.state_dict()["state"].items():
            for name, item in entry.items():
                if item is not None:
                    out[f"optimizer.{i}.{name}"] = np.asarray(item).copy()
        if self.schedule is not None:
            out["schedule"] = np.asarray(self.schedule.last_epoch)
        return out | {"key": self.key.get_state().numpy().copy()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        with torch.no_grad():
            for i, leaf in enumerate(self.store.leaves):
                leaf.copy_(torch.as_tensor(np.array(state[f"leaf.{i}"])))
        document = self.optimizer.state_dict()
        entries: dict[int, dict[str, Any]] = {}
        for name, item in state.items():
            if name.startswith("optimizer."):
                _, i, field = name.split(".", 2)
                entries.setdefault(int(i), {})[field] = torch.as_tensor(np.array(item))
        document["state"] = entries
        self.optimizer.load_state_dict(document)
        if self.schedule is not None:
            self.schedule.last_epoch = int(state["schedule"]) - 1
            self.schedule.step()
        self.key.set_state(torch.as_tensor(np.array(state["key"]), dtype=torch.uint8))
