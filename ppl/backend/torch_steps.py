"""One step of optimisation in torch: eager with `torch.optim`, or loss, gradient and update as one compiled graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from .protocol import Arrays, NoiseShape, OptimizerSpec

# Loss of (leaves, data, raw noise, rows); what the leaves and the raw noise mean is the caller's affair.
Objective = Callable[[list[Tensor], Arrays, list[Tensor], Arrays], Tensor]


class Noise:
    """The random arguments of a loss: drawn with one call for each kind, and cut up where the loss is computed.

    Cutting up is left to the loss, so that a compiled step does it in its graph.
    """

    def __init__(self, shapes: Sequence[NoiseShape], dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.groups: list[tuple[str, list[int], list[tuple[str, tuple[int, ...]]]]] = []
        for kind in ("normal", "uniform"):
            members = [s for s in shapes if s.kind == kind]
            if members:
                sizes = [math.prod(s.shape) for s in members]
                self.groups.append((kind, sizes, [(s.name, s.shape) for s in members]))
        self.keys = [s.name for s in shapes if s.kind == "key"]
        self.tiny = torch.finfo(dtype).tiny

    def draw(self, generator: torch.Generator) -> list[Tensor]:
        """One flat tensor for each kind of noise."""
        out: list[Tensor] = []
        for kind, sizes, _ in self.groups:
            if kind == "normal":
                out.append(torch.randn(sum(sizes), generator=generator, dtype=self.dtype))
            else:
                out.append(torch.rand(sum(sizes), generator=generator, dtype=self.dtype).clamp_(min=self.tiny))
        return out

    def unpack(self, flats: list[Tensor], generator: torch.Generator) -> Arrays:
        """Noise by name; samplers of the library get the generator itself."""
        out: Arrays = {}
        for flat, (_, sizes, members) in zip(flats, self.groups, strict=True):
            parts = flat.split(sizes) if len(sizes) > 1 else (flat,)
            for (name, shape), part in zip(members, parts, strict=True):
                out[name] = part.view(shape)
        for name in self.keys:
            out[name] = generator
        return out


def decay(spec: OptimizerSpec) -> Callable[[int], float]:
    """What is left of the learning rate after some steps."""
    if spec.decay == "cosine":
        final = spec.final_fraction

        def cosine(step: int) -> float:
            done = min(step / spec.decay_steps, 1.0)
            return final + (1.0 - final) * 0.5 * (1.0 + math.cos(math.pi * done))

        return cosine
    if spec.decay == "exponential":
        return lambda step: spec.final_fraction ** (step / spec.decay_steps)
    return lambda step: 1.0


def clipped(grads: Sequence[Tensor], clip: float | None) -> Sequence[Tensor]:
    """Gradients of no larger Euclidean norm than `clip`."""
    if clip is None:
        return grads
    norm = torch.stack([(g * g).sum() for g in grads]).sum().sqrt()
    factor = torch.clamp(clip / (norm + 1e-12), max=1.0)
    return [g * factor for g in grads]


class Step(Protocol):
    """Updates leaves in place."""

    def __call__(self, data: Arrays, noise: list[Tensor], rows: Arrays) -> Tensor:
        """Take one step; the loss before it."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """State of the optimiser by name, the same for both kinds of step."""
        ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        ...


def make_optimizer(spec: OptimizerSpec, leaves: list[Tensor]) -> torch.optim.Optimizer:
    """The torch optimiser of a specification."""
    s = dict(spec.settings)
    rate = spec.learning_rate
    match spec.name:
        case "adam":
            return torch.optim.Adam(leaves, lr=rate, betas=(s["beta1"], s["beta2"]), eps=s["eps"], fused=True)
        case "adamw":
            betas = (s["beta1"], s["beta2"])
            return torch.optim.AdamW(
                leaves, lr=rate, betas=betas, eps=s["eps"], weight_decay=s["weight_decay"], fused=True
            )
        case "sgd":
            return torch.optim.SGD(leaves, lr=rate, momentum=s["momentum"])
        case _:
            return torch.optim.RMSprop(leaves, lr=rate, alpha=s["alpha"], eps=s["eps"])


class EagerStep:
    """Autograd, then a torch optimiser.

    Args:
        objective: the loss, compiled or not.
        leaves: tensors that are updated in place.
        spec: the optimiser.
    """

    def __init__(self, objective: Objective, leaves: list[Tensor], spec: OptimizerSpec) -> None:
        self.objective = objective
        self.leaves = [x.requires_grad_() for x in leaves]
        self.clip = spec.clip_norm
        self.optimizer = make_optimizer(spec, leaves)
        self.base = spec.learning_rate
        self.decay = decay(spec) if spec.decay else None
        self.done = 0

    def __call__(self, data: Arrays, noise: list[Tensor], rows: Arrays) -> Tensor:
        """Take one step; the loss before it."""
        value = self.objective(self.leaves, data, noise, rows)
        self.update(torch.autograd.grad(value, self.leaves))
        return value.detach()

    def update(self, gradients: Sequence[Tensor]) -> None:
        """Move the leaves."""
        grads = clipped(gradients, self.clip)
        for leaf, grad in zip(self.leaves, grads, strict=True):
            leaf.grad = grad
        if self.decay is not None:
            for group in self.optimizer.param_groups:
                group["lr"] = self.base * self.decay(self.done)
        self.optimizer.step()
        self.done += 1

    def state(self) -> dict[str, np.ndarray]:
        """State of the optimiser by name: `<leaf>.<name>`, and the steps of the schedule."""
        out: dict[str, np.ndarray] = {}
        for i, entry in self.optimizer.state_dict()["state"].items():
            for name, item in entry.items():
                if item is not None:
                    out[f"{i}.{name}"] = np.asarray(item).copy()
        if self.decay is not None:
            out["schedule"] = np.asarray(self.done)
        return out

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        document = self.optimizer.state_dict()
        entries: dict[int, dict[str, Any]] = {}
        for name, item in state.items():
            if name != "schedule":
                i, field = name.split(".", 1)
                entries.setdefault(int(i), {})[field] = torch.as_tensor(np.array(item))
        document["state"] = entries
        self.optimizer.load_state_dict(document)
        self.done = int(state.get("schedule", 0))


Slots = dict[str, Tensor]


def _adam(s: Mapping[str, float]) -> Callable[[Tensor, Tensor, Slots, Any], None]:
    beta1, beta2, eps, shrink = s["beta1"], s["beta2"], s["eps"], s.get("weight_decay", 0.0)

    def update(leaf: Tensor, grad: Tensor, slots: Slots, rate: Any) -> None:
        step, first, second = slots["step"], slots["exp_avg"], slots["exp_avg_sq"]
        step.add_(1)
        if shrink:
            leaf.mul_(1 - rate * shrink)
        first.lerp_(grad, 1 - beta1)
        second.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
        # In single precision 1 - 0.999 has four digits. Numbers without axes leave the dtype of arrays as it is.
        count = step.double()
        scale = (second / (1 - beta2**count)).sqrt() + eps
        leaf.sub_(rate * (first / (1 - beta1**count)) / scale)

    return update


def _sgd(s: Mapping[str, float]) -> Callable[[Tensor, Tensor, Slots, Any], None]:
    momentum = s["momentum"]

    def update(leaf: Tensor, grad: Tensor, slots: Slots, rate: Any) -> None:
        if momentum:
            grad = slots["momentum_buffer"].mul_(momentum).add_(grad)
        leaf.sub_(rate * grad)

    return update


def _rmsprop(s: Mapping[str, float]) -> Callable[[Tensor, Tensor, Slots, Any], None]:
    alpha, eps = s["alpha"], s["eps"]

    def update(leaf: Tensor, grad: Tensor, slots: Slots, rate: Any) -> None:
        slots["step"].add_(1)
        square = slots["square_avg"].mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
        leaf.sub_(rate * grad / (square.sqrt() + eps))

    return update


# For each optimiser its update and the names of its state, which are those of `torch.optim`.
UPDATES = {
    "adam": (_adam, ("step", "exp_avg", "exp_avg_sq")),
    "adamw": (_adam, ("step", "exp_avg", "exp_avg_sq")),
    "sgd": (_sgd, ("momentum_buffer",)),
    "rmsprop": (_rmsprop, ("step", "square_avg")),
}


class FusedStep:
    """Loss, gradient and update as one graph for `torch.compile`.

    The gradient has to be a function for that (`torch.func`); compiling the loss alone leaves most of a small step's
    overhead where it was. The updates are those of `torch.optim`, and so are the names of the state, so that a
    checkpoint can be continued by either kind of step.

    Args:
        objective: the loss.
        leaves: tensors that are updated in place.
        spec: the optimiser.
    """

    def __init__(self, objective: Objective, leaves: list[Tensor], spec: OptimizerSpec) -> None:
        self.leaves = leaves
        make, names = UPDATES[spec.name]
        update, clip = make(dict(spec.settings)), spec.clip_norm
        if spec.name == "sgd" and not dict(spec.settings)["momentum"]:
            names = ()
        self.slots: list[Slots] = [
            {n: torch.zeros(()) if n == "step" else torch.zeros_like(leaf) for n in names} for leaf in leaves
        ]
        self.decay = decay(spec) if spec.decay else None
        self.base = spec.learning_rate
        self.done = 0
        # A number in the graph while it stays the same; a tensor when it changes, or each step would compile anew.
        self.rate: Any = self.base if self.decay is None else torch.tensor(self.base, dtype=leaves[0].dtype)

        def step(
            leaves: list[Tensor], slots: list[Slots], rate: Any, data: Arrays, noise: list[Tensor], rows: Arrays
        ) -> Tensor:
            grads, value = torch.func.grad_and_value(objective)(leaves, data, noise, rows)
            for leaf, grad, own in zip(leaves, clipped(grads, clip), slots, strict=True):
                update(leaf, grad, own, rate)
            return value

        own = fresh_code(step)
        self.code = own.__code__
        self.step = torch.compile(own, dynamic=False)

    def __call__(self, data: Arrays, noise: list[Tensor], rows: Arrays) -> Tensor:
        """Take one step; the loss before it."""
        if self.decay is not None:
            self.rate.fill_(self.base * self.decay(self.done))
        self.done += 1
        with torch.no_grad():
            return self.step(self.leaves, self.slots, self.rate, data, noise, rows)

    def state(self) -> dict[str, np.ndarray]:
        """State of the optimiser by name: `<leaf>.<name>`, and the steps of the schedule."""
        out = {f"{i}.{n}": t.numpy().copy() for i, slots in enumerate(self.slots) for n, t in slots.items()}
        if self.decay is not None:
            out["schedule"] = np.asarray(self.done)
        return out

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state; one without slots belongs to a fit that has not taken a step."""
        for i, slots in enumerate(self.slots):
            for name, tensor in slots.items():
                before = state.get(f"{i}.{name}")
                tensor.copy_(torch.zeros_like(tensor) if before is None else torch.as_tensor(np.array(before)))
        self.done = int(state.get("schedule", 0))


def fresh_code(function: Any) -> Any:
    """The function with a code object of its own.

    `torch.compile` keeps its graphs by code object and gives up after a few: the closures of all fits share one.
    """
    own = FunctionType(function.__code__.replace(), function.__globals__, function.__name__, None, function.__closure__)
    own.__kwdefaults__ = function.__kwdefaults__
    return own
