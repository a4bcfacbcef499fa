"""Optimisers as data: `optax` on JAX, `torch.optim` on torch."""

from __future__ import annotations

from dataclasses import dataclass

from ppl.backend.curves import CurvePiece, CurveSpec
from ppl.backend.protocol import Averaging, OptimizerSpec
from ppl.errors import ModelError, user_location
from ppl.posterior.methods import register

from .schedules import Curve


@register
@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How the learning rate falls; for other courses give the learning rate as a curve: Adam(Joined([Ramp(...), ...])).

    Attributes:
        kind: "linear", "cosine" or "exponential".
        steps: over how many steps.
        final_fraction: what is left of the learning rate at the end and afterwards.
        warmup: steps before these in which it rises from zero, by equal steps.
    """

    kind: str = "cosine"
    steps: int
    final_fraction: float = 0.01
    warmup: int = 0

    def __post_init__(self) -> None:
        kinds = ("linear", "cosine", "exponential")
        if self.kind not in kinds or self.steps < 1 or self.warmup < 0 or not 0 <= self.final_fraction <= 1:
            raise ModelError(
                f"{self} is not a schedule.",
                declared_at=user_location(),
                expected='kind "linear", "cosine" or "exponential", at least one step, and a fraction from 0 to 1',
            )
        if self.kind == "exponential" and not self.final_fraction:
            raise ModelError(
                f"{self} never comes to its end: nothing falls to zero by equal factors.",
                declared_at=user_location(),
                remedy='Use kind="linear" or kind="cosine".',
            )

    @property
    def spec(self) -> CurveSpec:
        """What the learning rate is multiplied by."""
        fall = CurvePiece(self.kind, 1.0, float(self.final_fraction), self.steps)
        rise = (CurvePiece("linear", 0.0, 1.0, self.warmup),) if self.warmup else ()
        return CurveSpec((*rise, fall))


@register
@dataclass(frozen=True)
class EMA:
    """A running mean of all parameters over the steps; the posterior is that of the mean.

    Attributes:
        decay: weight of a step against the one after it; with 1 all steps count alike (Polyak and Ruppert).
        start: steps before the first that counts.

    The weights of what counts so far sum to one, so that the parameters at the start leave no trace.

    References: Polyak and Juditsky (1992), Acceleration of stochastic approximation by averaging; Izmailov et al.
    (2018), Averaging weights leads to wider optima and better generalization.
    """

    decay: float = 0.999
    start: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1 or self.start < 0:
            raise ModelError(
                f"{self} is no running mean.",
                declared_at=user_location(),
                expected="a decay above 0 and up to 1, and a start from 0 up",
            )

    @property
    def spec(self) -> Averaging:
        """What the backend is given."""
        return Averaging(float(self.decay), int(self.start))


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
        learning_rate: step size, a number or a curve such as Ramp(1e-2, 1e-4, 5000, "cosine").
        schedule: how it falls; None for constant.
        clip_norm: gradients of a larger Euclidean norm are scaled down to it; None for no clipping.
    """

    learning_rate: float | Curve
    schedule: Schedule | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        rate, own = self.learning_rate, type(self).__name__
        positive = rate.lowest >= 0 and rate.highest > 0 if isinstance(rate, Curve) else rate > 0
        if not positive:
            raise ModelError(f"{own}: the learning rate must be positive.", declared_at=user_location(), got=str(rate))
        if isinstance(rate, Curve) and self.schedule is not None:
            raise ModelError(
                f"{own}: the learning rate is a curve already, and a schedule would bend it once more.",
                declared_at=user_location(),
                got=f"{rate!r} and {self.schedule!r}",
                remedy="Leave one of them out.",
            )
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ModelError(
                f"{own}: gradients are clipped to a positive norm.",
                declared_at=user_location(),
                got=str(self.clip_norm),
            )

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Settings of this optimiser, by the names that the backends use."""
        return ()

    @property
    def spec(self) -> OptimizerSpec:
        """What the backend is given."""
        rate = self.learning_rate
        name = type(self).__name__.lower()
        if isinstance(rate, Curve):
            return OptimizerSpec(name, 1.0, self.settings, rate.spec, self.clip_norm)
        decay = None if self.schedule is None else self.schedule.spec
        return OptimizerSpec(name, float(rate), self.settings, decay, self.clip_norm)


@register
@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015)."""

    learning_rate: float | Curve = 1e-3
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

    learning_rate: float | Curve = 1e-2
    momentum: float = 0.0

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Settings by name."""
        return (("momentum", self.momentum),)


@register
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012)."""

    learning_rate: float | Curve = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8

    @property
    def settings(self) -> tuple[tuple[str, float], ...]:
        """Settings by name."""
        return (("alpha", self.alpha), ("eps", self.eps))
