"""Numbers that change from step to step: one formula, for optax, for torch, and for the arguments of a loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CurvePiece:
    """One stretch of a curve.

    Attributes:
        kind: "linear", "cosine" (half a period) or "exponential" (a straight line of logarithms).
        start: the number at its first step.
        end: the number after its last step.
        steps: how long it is.
    """

    kind: str
    start: float
    end: float
    steps: int

    def at(self, done: Any, xp: Any) -> Any:
        """The number at a fraction of its steps."""
        if self.start == self.end:
            return self.end + 0.0 * done
        if self.kind == "cosine":
            return self.end + (self.start - self.end) * 0.5 * (1.0 + xp.cos(xp.pi * done))
        if self.kind == "exponential":
            return self.start * (self.end / self.start) ** done
        return self.start + (self.end - self.start) * done


@dataclass(frozen=True)
class CurveSpec:
    """A curve as data: pieces one after the other, the last number for ever after, or all over again.

    Attributes:
        pieces: the stretches in order.
        again: whether it starts anew when it is over.
    """

    pieces: tuple[CurvePiece, ...]
    again: bool = False

    def at(self, step: Any, xp: Any) -> Any:
        """The number at a step.

        Args:
            step: number of steps before it, an integer or an array of integers.
            xp: numpy, or what answers to the same names.
        """
        if self.again:
            step = step % sum(p.steps for p in self.pieces)
        begin, value = 0, None
        for piece in self.pieces:
            done = (step - begin) / piece.steps
            now = piece.at(xp.clip(done, 0.0, 1.0), xp)
            # The first number of a piece is its start, whatever the piece before has come to.
            value = now if value is None else xp.where(step >= begin, now, value)
            begin += piece.steps
        return value
