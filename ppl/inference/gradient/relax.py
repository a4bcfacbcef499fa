"""Score terms with a control variate that sees a relaxation of the discrete draw.

The cost at a relaxed value, whose gradient is pathwise, is subtracted from the cost at the discrete one; its own
expectation is put back by a relaxed value drawn given the discrete one. Unbiased for every temperature and scale.

Reference: Tucker et al. (2017), REBAR: low-variance, unbiased gradient estimates for discrete latent variable models.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.errors import ModelError, user_location
from ppl.inference.schedules import Curve, lowest, scheduled
from ppl.posterior.methods import register
from ppl.program.distributions import Distribution
from ppl.program.ops import apply

from .arm import log_odds
from .contract import Draw, Drawn, Relaxation, stopped


@register
@dataclass(frozen=True)
class REBAR:
    """For Bernoulli sites whose relaxed values the model's densities take.

    Attributes:
        temperature: of the relaxation. A curve anneals it.
        scale: how much of the control variate is used; zero is plain REINFORCE.
    """

    temperature: float | Curve = 0.5
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not lowest(self.temperature) > 0:
            raise ModelError("a temperature is positive.", declared_at=user_location(), got=str(self.temperature))

    @property
    def bias(self) -> str | None:
        """None."""
        return None

    def refusal(self, dist: Distribution) -> str | None:
        """Binary sites only."""
        if dist.family != "Bernoulli":
            return f"it needs a Bernoulli site, and this is {dist.family}"
        return None if "logits" in dist.params else "its density at a relaxed value needs logits=, not probs="

    def lanes(self, dist: Distribution) -> int:
        """Three: the draw, a relaxed one, and a relaxed one given the draw."""
        return 3

    def draw(self, draw: Draw) -> Drawn:
        """A draw that is a constant, its score, and the two relaxed draws."""
        odds, shape = log_odds(draw.dist), draw.dist.event_shape
        u, v = draw.noise.uniform(shape), draw.noise.uniform(shape)
        soft = odds + apply("logit", u)
        bit = apply("greater", stopped(soft), 0.0)
        b = apply("astype", bit, dtype="int")
        chance = apply("sigmoid", odds)
        ratio = v / (1.0 - v)
        # The logistic variable given its sign.
        above = apply("log1p", ratio / (1.0 - chance))
        below = -apply("log1p", ratio / chance)
        given = apply("where", bit, above, below)
        t = scheduled(self.temperature)
        pair = Relaxation(apply("sigmoid", soft / t), apply("sigmoid", given / t), self.scale)
        return Drawn(b, draw.at(b), score=draw.score(b), relaxation=pair)
