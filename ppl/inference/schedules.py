"""Curves over the steps of a fit: learning rates, weights in objectives, and temperatures that change on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ppl.backend.curves import CurvePiece, CurveSpec
from ppl.errors import ModelError, UnknownNameError, nearest, user_location
from ppl.posterior.methods import register
from ppl.program.values import Value

KINDS = ("linear", "cosine", "exponential")


@dataclass(frozen=True)
class Curve:
    """A number for each step of a fit; stands where a setting takes a number or a curve."""

    @property
    def spec(self) -> CurveSpec:
        """The curve as data."""
        raise NotImplementedError

    def values(self, start: int, stop: int) -> np.ndarray:
        """The numbers at steps start ... stop - 1."""
        return np.asarray(self.spec.at(np.arange(start, stop), np), dtype=float)

    @property
    def steps(self) -> int:
        """How many steps it takes."""
        return sum(p.steps for p in self.spec.pieces)

    @property
    def lowest(self) -> float:
        """Its smallest number."""
        return min(min(p.start, p.end) for p in self.spec.pieces)

    @property
    def highest(self) -> float:
        """Its largest number."""
        return max(max(p.start, p.end) for p in self.spec.pieces)


@register
@dataclass(frozen=True, repr=False)
class Ramp(Curve):
    """From one number to another; it stays there afterwards.

    Attributes:
        start: the number at the first step.
        end: the number after the last step.
        length: over how many steps.
        kind: "linear", "cosine" (slow at both ends) or "exponential" (by equal factors).

    As learning rates these are `optax.linear_schedule`, `optax.cosine_decay_schedule` and `optax.exponential_decay`, or
    `LinearLR`, `CosineAnnealingLR` and `ExponentialLR` of `torch.optim.lr_scheduler`.
    """

    start: float
    end: float
    length: int
    kind: str = "linear"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError(
                f"there is no ramp of kind {self.kind!r}.",
                declared_at=user_location(),
                expected=", ".join(map(repr, KINDS)),
                got=repr(self.kind),
                remedy=nearest(str(self.kind), KINDS),
            )
        if isinstance(self.length, bool) or not isinstance(self.length, int) or self.length < 1:
            raise ModelError("a ramp takes at least one step.", declared_at=user_location(), got=repr(self.length))
        if not (np.isfinite(self.start) and np.isfinite(self.end)):
            raise ModelError("a ramp leads from number to number.", declared_at=user_location(), got=repr(self))
        if self.kind == "exponential" and not (self.start > 0 and self.end > 0):
            raise ModelError(
                "an exponential ramp leads from one positive number to another.",
                declared_at=user_location(),
                got=repr(self),
                remedy='Use kind="linear" or kind="cosine" to reach zero.',
            )

    @property
    def spec(self) -> CurveSpec:
        """The curve as data."""
        return CurveSpec((CurvePiece(self.kind, float(self.start), float(self.end), self.length),))

    def __repr__(self) -> str:
        kind = "" if self.kind == "linear" else f", {self.kind!r}"
        return f"Ramp({self.start!r}, {self.end!r}, {self.length!r}{kind})"


@register
@dataclass(frozen=True, repr=False)
class Joined(Curve):
    """Curves one after the other: a warm-up and then a decay, or steps down.

    Attributes:
        curves: in order.
    """

    curves: Sequence[Curve]

    def __post_init__(self) -> None:
        object.__setattr__(self, "curves", tuple(self.curves))
        if not self.curves or not all(isinstance(c, Curve) and not c.spec.again for c in self.curves):
            raise ModelError(
                "Joined takes curves that come to an end.",
                declared_at=user_location(),
                expected="Joined([Ramp(...), Ramp(...)])",
                got=repr(list(self.curves)),
            )

    @property
    def spec(self) -> CurveSpec:
        """The curve as data."""
        return CurveSpec(tuple(p for c in self.curves for p in c.spec.pieces))

    def __repr__(self) -> str:
        return f"Joined({list(self.curves)!r})"


@register
@dataclass(frozen=True, repr=False)
class Cyclic(Curve):
    """A curve that starts anew whenever it is over.

    Attributes:
        curve: one period.

    Reference: Fu et al. (2019), Cyclical annealing schedule: a simple approach to mitigating KL vanishing.
    """

    curve: Curve

    def __post_init__(self) -> None:
        if not isinstance(self.curve, Curve) or self.curve.spec.again:
            raise ModelError(
                "Cyclic takes a curve that comes to an end.",
                declared_at=user_location(),
                expected="Ramp(...) or Joined(...)",
                got=repr(self.curve),
            )

    @property
    def spec(self) -> CurveSpec:
        """The curve as data."""
        return CurveSpec(self.curve.spec.pieces, True)

    def __repr__(self) -> str:
        return f"Cyclic({self.curve!r})"


def lowest(number: float | Curve) -> float:
    """The smallest number that a setting takes."""
    return number.lowest if isinstance(number, Curve) else number


def scheduled(number: float | Curve) -> float | Value:
    """A setting as an operand: a number as it is, a curve as an argument of the loss, one number a step."""
    if not isinstance(number, Curve):
        return number
    attrs = (("curve", number), ("name", repr(number)))
    return Value("scheduled", (), attrs, (), (), "float", ["scheduled"])
