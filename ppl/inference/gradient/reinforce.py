"""Score-function gradients: costs times the gradient of the log density of the draw.

References: Williams (1992), Simple statistical gradient-following algorithms; Mnih and Rezende (2016), Variational
inference for Monte Carlo objectives, for the leave-one-out baseline.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.posterior.methods import register
from ppl.program.distributions import Distribution

from .baseline import Baseline
from .contract import Draw, Drawn, stopped


@register
@dataclass(frozen=True)
class Reinforce:
    """For any site. Costs count as far as they depend on the draw, plate element by plate element.

    Attributes:
        baseline: what is subtracted from the costs: `LeaveOneOut()`, `Running()`, `Learned()`, or None.
    """

    baseline: Baseline | None = None

    @property
    def bias(self) -> str | None:
        """None."""
        return None

    def refusal(self, dist: Distribution) -> str | None:
        """A point has no density."""
        return "it is a point, whose density has no gradient" if dist.family in ("Delta", "Nearest") else None

    def lanes(self, dist: Distribution) -> int:
        """One."""
        return 1

    def draw(self, draw: Draw) -> Drawn:
        """A draw that is a constant, and its score."""
        value = stopped(draw.dist.draw(draw.noise))
        return Drawn(value, draw.at(value), score=draw.score(value))
