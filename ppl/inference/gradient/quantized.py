"""Vector quantisation: the nearest row of a codebook, gradients as if the encoder's output had been taken.

Reference: van den Oord, Vinyals and Kavukcuoglu (2017), Neural discrete representation learning, equations 2 and 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.errors import ModelError, StrategyError, user_location
from ppl.language.dist.quantized import Nearest
from ppl.posterior.methods import register
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.values import Value

from .contract import Draw, Drawn, stopped, zero


@register
@dataclass(frozen=True)
class VectorQuantized:
    """The model sees the nearest row; gradients pass to the encoder's output as if that had been taken itself.

    For an output z and the row e nearest to it, the gradient of -codebook * |sg(z) - e|^2 - commitment * |z - sg(e)|^2
    is added to that of the objective, one for each element; the objective's value is left as it is. The model's use of
    the row trains the encoder alone, as in the source: rows move by the first term only.

    Attributes:
        commitment: how strongly outputs are drawn to their rows.
        codebook: how strongly rows are drawn to their outputs.
        bias: has to say "straight-through".
    """

    commitment: float = 0.25
    codebook: float = 1.0
    bias: str | None = None

    def __post_init__(self) -> None:
        if self.bias != "straight-through":
            raise StrategyError(
                "VectorQuantized is biased: gradients pass a choice of the nearest row as if it were none.",
                declared_at=user_location(),
                expected='bias="straight-through"',
                got=f"bias={self.bias!r}",
                remedy='Write VectorQuantized(bias="straight-through") if that is meant, or give the latent as a '
                "Categorical site with Enumerate() or Reinforce(LeaveOneOut()), which are unbiased.",
            )
        if not (self.commitment >= 0 and self.codebook >= 0):
            raise ModelError(
                "VectorQuantized draws outputs and rows together with weights from zero up.",
                declared_at=user_location(),
                got=f"commitment={self.commitment}, codebook={self.codebook}",
            )

    def refusal(self, dist: Distribution) -> str | None:
        """The family that says which vector is meant."""
        if isinstance(dist, Nearest):
            return None
        return f"{dist.family} does not say which vector is to be quantised; the guide's site is dist.Nearest"

    def lanes(self, dist: Distribution) -> int:
        """One."""
        return 1

    def draw(self, draw: Draw) -> Drawn:
        """The nearest row with the output's gradient, and the terms that bring the two together."""
        dist = draw.dist
        assert isinstance(dist, Nearest)
        output, row = dist.output, dist.row(dist.nearest(stopped(dist.output)))
        value = apply("add", stopped(row), zero(output))
        pull = apply("multiply", self.codebook, _squared(stopped(output), row))
        commit = apply("multiply", self.commitment, _squared(output, stopped(row)))
        # The guide's density counts with a minus in every objective, and is that of a certain draw: zero.
        return Drawn(value, dist.total(zero(apply("add", pull, commit))))


def _squared(a: Value, b: Value) -> Value:
    return apply("sum", apply("square", apply("subtract", a, b)), axis=(-1,))
