"""Measurements that stop at a limit: survival times cut by the end of a study, instruments that saturate."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from ppl.errors import ModelError, ShapeError, SupportError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, real
from ppl.program.values import Shape, Value, lift
from ppl.program.vocabulary import broadcast

from . import algebra as al
from .algebra import Number
from .bounded import check_order
from .guards import inner_point, inside, member
from .ordinal import needs_cdf
from .special import log_tail


class Censored(Distribution):
    """A draw of a base, or the limit that it went beyond: right- and left-censored data.

    A value at `high` says that the draw was at least that; one at `low`, that it was at most that. Between the limits
    the log density is the base's; at a limit it is a log probability. For survival times, `high` is the time at which
    each subject was last seen, and infinite for those whose event was seen.

    Args:
        base: a continuous distribution with a cdf in closed form.
        low: lower limit, or None; -inf where there is none.
        high: upper limit, or None; inf where there is none.
    """

    parameters: ClassVar[dict[str, Support]] = {"low": real, "high": real}
    positional = 0
    reparameterized = False

    def __init__(self, base: Any, *, low: Any = None, high: Any = None) -> None:
        needs_cdf("Censored", base)
        if low is None and high is None:
            raise ModelError(
                "Censored needs a limit.",
                declared_at=user_location(),
                expected="low=..., high=..., or both",
                got="neither",
                remedy="Give the limit of the measurement, or use the base itself.",
            )
        super().__init__({"low": low, "high": high}, nested={"base": base})
        check_order("Censored", self.params.get("low"), self.params.get("high"))

    def _check_parameters(self) -> None:
        for name, value in self.params.items():
            if value.op != "const":
                continue
            array = np.asarray(value.attrs[0][1].array if value.shape else value.attrs[0][1])
            if np.any(np.isnan(array)):
                raise SupportError(
                    f"Censored: parameter {name!r} is outside its domain.",
                    declared_at=user_location(),
                    expected=f"{name} in the real numbers, or infinite where nothing was censored",
                    got=np.array2string(array, threshold=6),
                    remedy=f"Check what {name} is computed from.",
                )

    @property
    def base(self) -> Distribution:
        """The distribution before censoring."""
        return self._nested["base"]

    def batch_shape(self) -> Shape:
        """Broadcast of the base's shape and the limits."""
        try:
            return broadcast(super().batch_shape(), self.base.event_shape)
        except ValueError as error:
            raise ShapeError(
                "Censored: limits and base do not broadcast.", declared_at=user_location(), got=str(error)
            ) from error

    @property
    def support(self) -> Support:
        """Numbers between the limits; the limits have a probability of their own."""
        return supports.censored(self.params.get("low", -np.inf), self.params.get("high", np.inf))

    def element_log_prob(self, value: Value) -> Value:
        """Log density between the limits, log probability at them, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        at = {name: apply("equal", x, limit) for name, limit in self.params.items()}
        out: Number = self._between(x, list(at.values()))
        for name, here in at.items():
            out = al.where(here, log_tail(self.base, x, here, upper=name == "high"), out)
        return out

    def _between(self, x: Value, at: list[Value]) -> Value:
        # A limit may lie at the edge of the base's support, where the density is not finite.
        outside = at[0] if len(at) == 1 else at[0] | at[1]
        support = self.base.support
        inner = lift(0.0) if member(support, x) is None else inner_point(support, x.shape)
        return self.base.element_log_prob(apply("where", outside, inner, x))

    def draw(self, noise: NoiseSource) -> Value:
        """A draw of the base, cut at the limits."""
        base = self.base
        out = (base if base.event_shape == self.event_shape else base.expand(self.event_shape)).draw(noise)
        if "low" in self.params:
            out = apply("maximum", out, self.params["low"])
        return apply("minimum", out, self.params["high"]) if "high" in self.params else out
