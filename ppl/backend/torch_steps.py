"""One step of optimisation in torch: eager with `torch.optim`, or loss, gradient and update as one compiled graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import FunctionType
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.rmsprop import rmsprop
from torch.optim.sgd import sgd

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
    curve = spec.decay
    return lambda step: 1.0 if curve is None else float(curve.at(step, np))


def clipped(grads: Sequence[Tensor], clip: float | None) -> Sequence[Tensor]:
    """Gradients of no larger Euclidean norm than `clip`."""
    if clip is None:
        return grads
    norm = torch.stack([(g * g).sum() for g in grads]).sum().sqrt()
    factor = torch.clamp(clip / (norm + 1e-12), max=1.0)
    return [g * factor for g in grads]


def all_finite(tensors: Sequence[Tensor]) -> bool:
    """Whether every number is finite."""
    # A sum shows each NaN and infinity, and takes a fraction of the time; only where it overflows itself, all is read.
    if math.isfinite(sum(t.sum().item() for t in tensors)):
        return True
    return all(bool(torch.isfinite(t).all()) for t in tensors)


def loss_and_gradients(
    objective: Objective, leaves: list[Tensor], data: Arrays, noise: list[Tensor], rows: Arrays
) -> tuple[float, Sequence[Tensor]] | None:
    """A loss and its gradient by autograd; None if they are not finite."""
    value = objective(leaves, data, noise, rows)
    loss = value.item()
    if not math.isfinite(loss):
        return None
    gradients = torch.autograd.grad(value, leaves)
    return (loss, gradients) if all_finite(gradients) else None


class Step(Protocol):
    """Updates leaves in place."""

    def __call__(self, data: Arrays, noise: list[Tensor], rows: Arrays) -> float | None:
        """Take one step, unless the loss or its gradient is not finite; the loss before it, or None."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """State of the optimiser by name, the same for both kinds of step."""
        ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        ...


Slots = dict[str, Tensor]
# The names of each optimiser's state, which are those of `torch.optim`.
SLOTS = {
    "adam": ("step", "exp_avg", "exp_avg_sq"),
    "adamw": ("step", "exp_avg", "exp_avg_sq"),
    "sgd": ("momentum_buffer",),
    "rmsprop": ("step", "square_avg"),
}


class Slotted:
    """What both kinds of step have: leaves that are updated in place, the optimiser's state, and its falling rate.

    The state of both has the same names, so that a checkpoint can be continued by either.

    Args:
        leaves: tensors that are updated in place.
        spec: the optimiser.
    """

    def __init__(self, leaves: list[Tensor], spec: OptimizerSpec) -> None:
        self.leaves = leaves
        names = SLOTS[spec.name]
        if spec.name == "sgd" and not dict(spec.settings)["momentum"]:
            names = ()
        self.slots: list[Slots] = [
            {n: torch.zeros(()) if n == "step" else torch.zeros_like(leaf) for n in names} for leaf in leaves
        ]
        self.base = spec.learning_rate
        self.decay = decay(spec) if spec.decay else None
        self.done = 0

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


def torch_update(
    spec: OptimizerSpec, leaves: list[Tensor], slots: list[Slots]
) -> Callable[[Sequence[Tensor], float], None]:
    """The function of (gradients, rate) that updates leaves and slots by a function of `torch.optim`.

    Its classes call the same functions; what they do around these takes longer than a small step's update itself.
    """
    s = dict(spec.settings)
    plain = [x.detach() for x in leaves]

    def every(name: str) -> list[Any]:
        return [own[name] for own in slots]

    match spec.name:
        case "adam" | "adamw":
            lists = (every("exp_avg"), every("exp_avg_sq"), [], every("step"))
            own = {"beta1": s["beta1"], "beta2": s["beta2"], "eps": s["eps"]}
            own |= {"weight_decay": s.get("weight_decay", 0.0), "decoupled_weight_decay": spec.name == "adamw"}
            return partial(_call, adam, plain, lists, {"fused": True, "amsgrad": False, "maximize": False, **own})
        case "sgd":
            buffers = every("momentum_buffer") if s["momentum"] else [None] * len(plain)
            own = {"weight_decay": 0.0, "momentum": s["momentum"], "dampening": 0.0}
            return partial(_call, sgd, plain, (buffers,), {"nesterov": False, "maximize": False, **own})
        case _:
            lists = (every("square_avg"), [], [], every("step"))
            own = {"alpha": s["alpha"], "eps": s["eps"], "weight_decay": 0.0, "momentum": 0.0}
            return partial(_call, rmsprop, plain, lists, {"centered": False, **own})


def _call(
    function: Any,
    leaves: list[Tensor],
    lists: tuple[Any, ...],
    own: dict[str, Any],
    grads: Sequence[Tensor],
    rate: float,
) -> None:
    function(leaves, list(grads), *lists, lr=rate, **own)


class EagerStep(Slotted):
    """Autograd, then a torch optimiser.

    Args:
        objective: the loss, compiled or not.
        leaves: tensors that are updated in place.
        spec: the optimiser.
    """

    def __init__(self, objective: Objective, leaves: list[Tensor], spec: OptimizerSpec) -> None:
        super().__init__([x.requires_grad_() for x in leaves], spec)
        self.objective = objective
        self.clip = spec.clip_norm
        self.move = torch_update(spec, leaves, self.slots)

    def __call__(self, data: Arrays, noise: list[Tensor], rows: Arrays) -> float | None:
        """Take one step; the loss before it, or None if the step could not be taken."""
        found = loss_and_gradients(self.objective, self.leaves, data, noise, rows)
        if found is None:
            return None
        loss, gradients = found
        self.update(gradients)
        return loss

    def update(self, gradients: Sequence[Tensor]) -> None:
        """Move the leaves."""
        rate = self.base if self.decay is None else self.base * self.decay(self.done)
        self.move(clipped(gradients, self.clip), rate)
        self.done += 1


# The leaf and the slots after a step, from these before it, the gradient and the rate.
Update = Callable[[Tensor, Tensor, Slots, Any], tuple[Tensor, Slots]]


def _adam(s: Mapping[str, float]) -> Update:
    beta1, beta2, eps, shrink = s["beta1"], s["beta2"], s["eps"], s.get("weight_decay", 0.0)

    def update(leaf: Tensor, grad: Tensor, slots: Slots, rate: Any) -> tuple[Tensor, Slots]:
        step = slots["step"] + 1
        if shrink:
            leaf = leaf * (1 - rate * shrink)
        first = slots["exp_avg"].lerp(grad, 1 - beta1)
        second = (slots["exp_avg_sq"] * beta2).addcmul(grad, grad, value=1 - beta2)
        # In single precision 1 - 0.999 has four digits. Numbers without axes leave the dtype of arrays as it is.
        count = step.double()
        scale = (second / (1 - beta2**count)).sqrt() + eps
        leaf = leaf - rate * (first / (1 - beta1**count)) / scale
        return leaf, {"step": step, "exp_avg": first, "exp_avg_sq": second}

    return update


def _sgd(s: Mapping[str, float]) -> Update:
    momentum = s["momentum"]

    def update(leaf: Tensor, grad: Tensor, slots: Slots, rate: Any) -> tuple[Tensor, Slots]:
        if not momentum:
            return leaf - rate * grad, {}
        buffer = slots["momentum_buffer"] * momentum + grad
        return leaf - rate * buffer, {"momentum_buffer": buffer}

    return update


def _rmsprop(s: Mapping[str, float]) -> Update:
    alpha, eps = s["alpha"], s["eps"]

    def update(leaf: Tensor, grad: Tensor, slots: Slots, rate: Any) -> tuple[Tensor, Slots]:
        square = (slots["square_avg"] * alpha).addcmul(grad, grad, value=1 - alpha)
        return leaf - rate * grad / (square.sqrt() + eps), {"step": slots["step"] + 1, "square_avg": square}

    return update


UPDATES = {"adam": _adam, "adamw": _adam, "sgd": _sgd, "rmsprop": _rmsprop}


class FusedStep(Slotted):
    """Loss, gradient and update as one graph for `torch.compile`.

    The gradient has to be a function for that (`torch.func`); compiling the loss alone leaves most of a small step's
    overhead where it was. The updates are those of `torch.optim`.

    Args:
        objective: the loss.
        leaves: tensors that are updated in place.
        spec: the optimiser.
    """

    def __init__(self, objective: Objective, leaves: list[Tensor], spec: OptimizerSpec) -> None:
        super().__init__(leaves, spec)
        update, clip = UPDATES[spec.name](dict(spec.settings)), spec.clip_norm
        # A number in the graph while it stays the same; a tensor when it changes, or each step would compile anew.
        self.rate: Any = self.base if self.decay is None else torch.tensor(self.base, dtype=leaves[0].dtype)

        def step(
            leaves: list[Tensor], slots: list[Slots], rate: Any, data: Arrays, noise: list[Tensor], rows: Arrays
        ) -> Tensor:
            grads, value = torch.func.grad_and_value(objective)(leaves, data, noise, rows)
            # A step that is not finite is not taken: everything keeps its value, and the loss says so.
            sound = torch.isfinite(torch.stack([value, *(g.abs().max() for g in grads)])).all()
            for leaf, grad, own in zip(leaves, clipped(grads, clip), slots, strict=True):
                moved, after = update(leaf, grad, own, rate)
                leaf.copy_(torch.where(sound, moved, leaf))
                for name, tensor in after.items():
                    own[name].copy_(torch.where(sound, tensor, own[name]))
            return torch.where(sound, value, torch.nan)

        own = fresh_code(step)
        self.code = own.__code__
        self.step = torch.compile(own, dynamic=False)

    def __call__(self, data: Arrays, noise: list[Tensor], rows: Arrays) -> float | None:
        """Take one step; the loss before it, or None if the step could not be taken."""
        if self.decay is not None:
            self.rate.fill_(self.base * self.decay(self.done))
        with torch.no_grad():
            loss = self.step(self.leaves, self.slots, self.rate, data, noise, rows).item()
        if not math.isfinite(loss):
            return None
        self.done += 1
        return loss


def fresh_code(function: Any) -> Any:
    """The function with a code object of its own.

    `torch.compile` keeps its graphs by code object and gives up after a few: the closures of all fits share one.
    """
    own = FunctionType(function.__code__.replace(), function.__globals__, function.__name__, None, function.__closure__)
    own.__kwdefaults__ = function.__kwdefaults__
    return own
