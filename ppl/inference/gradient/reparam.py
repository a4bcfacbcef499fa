"""Reparameterised gradients: the draw is a smooth function of parameters and noise.

References: Kingma and Welling (2014); Roeder, Wu and Duvenaud (2017), Sticking the landing; Tucker et al. (2019),
Doubly reparameterized gradient estimators for Monte Carlo objectives; Figurnov, Mohamed and Mnih (2018), Implicit
reparameterization gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

from ppl.errors import UnknownNameError, nearest, user_location
from ppl.posterior.methods import register
from ppl.program.distributions import Distribution
from ppl.program.ops import apply

from .contract import Draw, Drawn, stopped, zero


@register
@dataclass(frozen=True)
class Reparam:
    """Gradients through the draw; for sites that are used smoothly.

    Attributes:
        entropy: "stl" leaves the score of the site's own density out, whose expectation is zero: for linear objectives.
            "dreg" is the doubly reparameterised gradient of a log mean weight (and "stl" in linear terms). None keeps
            the whole gradient.
        implicit: differentiate the distribution function instead of the sampler; for families of numbers that have one.
    """

    entropy: str | None = None
    implicit: bool = False

    def __post_init__(self) -> None:
        if self.entropy not in (None, "stl", "dreg"):
            raise UnknownNameError(
                f"Reparam has no entropy {self.entropy!r}.",
                declared_at=user_location(),
                expected="'stl', 'dreg' or None",
                got=repr(self.entropy),
                remedy=nearest(str(self.entropy), ["stl", "dreg"]),
            )

    @property
    def bias(self) -> str | None:
        """None."""
        return None

    def refusal(self, dist: Distribution) -> str | None:
        """Discrete draws do not change smoothly, and not every family has a sampler that does."""
        if dist.dtype != "float":
            return "it is discrete, and the reparameterised gradient needs draws that are smooth in the parameters"
        if self.implicit:
            lacks = type(dist).cdf is Distribution.cdf or dist.event_rank
            return f"{dist.family} has no distribution function to differentiate implicitly" if lacks else None
        if not dist.reparameterized:
            return f"{dist.family} has no draw that is a smooth function of its parameters"
        return None

    def lanes(self, dist: Distribution) -> int:
        """One."""
        return 1

    def draw(self, draw: Draw) -> Drawn:
        """The draw as a function of noise."""
        if not self.implicit:
            value, log_q = draw.dist.draw_with_log_prob(draw.noise)
            return Drawn(value, log_q)
        z = stopped(draw.dist.draw(draw.noise))
        # F(z; parameters) stays what it is while the parameters move: dz = -dF / q.
        speed = stopped(apply("exp", draw.dist.element_log_prob(z)))
        value = apply("subtract", z, apply("divide", zero(draw.dist.cdf(z)), speed))
        return Drawn(value, draw.at(value))
