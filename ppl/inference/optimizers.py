"""Optimisers as data: `optax` on JAX, `torch.optim` on torch."""

from __future__ import annotations

from dataclasses import dataclass

from ppl.backend.protocol import OptimizerSpec
from ppl.errors import ModelError
from ppl.posterior.methods import register


@register
@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate falls.

    Attributes:
        kind: "cosine" or "exponential".
        steps: over how many steps.
        final_fraction: what is left of the learning rate at the end.
    """

    kind: str = "cosine"
    steps: int
    final_fraction: float = 0.01

    def __post_init__(self) -> None:
        if self.kind not in ("cosine", "exponential") or self.steps < 1 or not 0 <= self.final_fraction <= 1:
            raise ModelError(f"{self} is not a schedule.", expected='kind "cosine" or "exponential", at least one step')


@register
@dataclass(frozen=True, kw_only=True)
class Alternate:
    """Parameters of model and guide move in turns: some steps the ones, then some steps the others.

    Attributes:
        model: steps of the model's parameters in a round.
        guide: steps of the guide's parameters in a round.
    """

    model: int = 1
    guide: int = 1

    def __post_init__(self) -> None:
        if self.model < 1 or self.guide < 1:
            raise ModelError(f"{self} leaves parameters where they are.", expected="at least one step for each")

    @property
    def turns(self) -> dict[str, tuple[int, int, int]]:
        """For each group the period, its first step, and the step after its last."""
        period = self.model + self.guide
        return {"model": (period, 0, self.model), "guide": (period, self.model, period)}


@dataclass(frozen=True)
class Optimizer:
    """What all optimisers have.

    Attributes:
        learning_rate: step size.
        schedule: how it falls; None for constant.
        clip_norm: gradients of a larger Euclidean norm are scaled down to it; None for no clipping.
    """

    learning_rate: float
    schedule: Schedule | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ModelError(f"{type(self).__name__}: the learning rate must be positive.", got=str(self.learning_rate))

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Settings of this optimiser, by the names that the backends use."""
        return ()

    @property
    def spec(self) -> OptimizerSpec:
        """What the backend is given."""
        s = self.schedule
        return OptimizerSpec(
            type(self).__name__.lower(),
            self.learning_rate,
            self.settings,
            s.kind if s else None,
            s.steps if s else 0,
            s.final_fraction if s else 0.0,
            self.clip_norm,
        )


@register
@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015)."""

    learning_rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Settings by name."""
        return (("beta1", self.beta1), ("beta2", self.beta2), ("eps", self.eps))


@register
@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019)."""

    weight_decay: float = 1e-2

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Settings by name."""
        return (*super().settings, ("weight_decay", self.weight_decay))


@register
@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if asked."""

    learning_rate: float = 1e-2
    momentum: float = 0.0

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Settings by name."""
        return (("momentum", self.momentum),)


@register
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012)."""

    learning_rate: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Settings by name."""
        return (("alpha", self.alpha), ("eps", self.eps))
