"""Distributions restricted to an interval."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, ClassVar

from ppl.errors import ModelError, ShapeError, SupportError, user_location
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, positive, real
from ppl.program.values import Shape, Value, lift
from ppl.program.vocabulary import broadcast

from . import algebra as al
from .algebra import Number, add, mul, neg, sub
from .bounded import check_order
from .continuous import LocationScale, Normal
from .elementwise_bijections import named_interval
from .guards import inside
from .positive import LogNormal
from .transformed import refuse_mask
from .waiting import Waiting


class Truncation(Distribution):
    """A base restricted to an interval and renormalised.

    The base is an increasing function of a standard variable, either symmetric about zero or exponential. Bounds are
    taken to that scale, where the mass between them has a form without cancellation.
    """

    @property
    @abstractmethod
    def base(self) -> Any:
        """The distribution before truncation."""

    @property
    def low(self) -> Value | None:
        """Lower bound, if there is one."""
        return self.params.get("low")

    @property
    def high(self) -> Value | None:
        """Upper bound, if there is one."""
        return self.params.get("high")

    @property
    def support(self) -> Support:
        """The part of the base's support between the bounds."""
        base = self.base.support
        low: Number | None = self.low
        if low is None and base.kind in ("positive", "nonnegative"):
            low = 0.0
        elif low is None and base.kind == "greater_than":
            low = base.bounds[0]
        return named_interval(low, self.high)

    def _standard_bounds(self) -> tuple[Number | None, Number | None]:
        low = None if self.low is None else self.base.to_standard(self.low)
        high = None if self.high is None else self.base.to_standard(self.high)
        return low, high

    def _log_mass(self) -> Number:
        """Log of the base's probability between the bounds, in nats."""
        low, high = self._standard_bounds()
        if self.base.tail == "exponential":
            if high is None:
                return 0.0 if low is None else neg(low)
            width = high if low is None else sub(high, low)
            return add(neg(low), al.log1mexp(width)) if low is not None else al.log1mexp(width)
        if low is None or high is None:
            return self._log_cdf(high if low is None else neg(low))
        near, far = _mirrored(low, high)
        log_far, log_near = self._log_cdf(far), self._log_cdf(near)
        return add(log_far, al.log1mexp(sub(log_far, log_near)))

    def _log_cdf(self, z: Number | None) -> Number:
        return self.base.standard_log_cdf(lift(z))

    def element_log_prob(self, value: Value) -> Value:
        """Density of the base over the mass between the bounds."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        return add(self.base.unchecked().element_log_prob(x), neg(self._log_mass()))

    def draw(self, noise: NoiseSource) -> Value:
        """Quantile of noise that is uniform on the mass between the bounds."""
        u = noise.uniform(self.event_shape)
        low, high = self._standard_bounds()
        base = self.base
        if base.tail == "exponential":
            z = self._exponential_draw(u, low, high)
        elif low is None:
            z = base.standard_icdf(mul(u, al.exp(self._log_cdf(high))))
        elif high is None:
            z = neg(base.standard_icdf(mul(u, al.exp(self._log_cdf(neg(low))))))
        else:
            near, far = _mirrored(low, high)
            below = al.exp(self._log_cdf(near))
            z = base.standard_icdf(lift(add(below, mul(u, sub(al.exp(self._log_cdf(far)), below)))))
            z = al.where(_upper(low, high), neg(z), z)
        return self._clipped(base.from_standard(z))

    def _exponential_draw(self, u: Value, low: Number | None, high: Number | None) -> Number:
        if high is None:
            return add(0.0 if low is None else low, neg(apply("log", u)))
        width = high if low is None else sub(high, low)
        z = neg(al.log1p(mul(u, al.expm1(neg(width)))))
        return z if low is None else add(low, z)

    def _clipped(self, value: Value) -> Value:
        # Rounding far out in a tail must not carry a draw over a bound.
        if self.low is not None:
            value = apply("maximum", value, self.low)
        return value if self.high is None else apply("minimum", value, self.high)

    def cdf(self, value: Value) -> Value:
        """Probability of an element being at most `value`."""
        base = self.base
        low = 0.0 if self.low is None else base.cdf(self.low)
        high = 1.0 if self.high is None else base.cdf(self.high)
        return lift(al.div(sub(base.cdf(self._clipped(value)), low), sub(high, low)))


def _upper(low: Number, high: Number) -> Value:
    return apply("greater", add(low, high), 0.0)


def _mirrored(low: Number, high: Number) -> tuple[Value, Value]:
    """Bounds of the same mass on the lower side, where a symmetric cdf keeps its digits."""
    a, b = al.number(low), al.number(high)
    if a is not None and b is not None:
        return (lift(-b), lift(-a)) if a + b > 0.0 else (lift(a), lift(b))
    upper = _upper(low, high)
    return al.where(upper, neg(high), low), al.where(upper, neg(low), high)


def _finite(bound: Any) -> Any:
    return None if isinstance(bound, (int, float)) and math.isinf(bound) else bound


class TruncatedNormal(Truncation):
    """Normal distribution restricted to an interval.

    Args:
        loc: mean before truncation.
        scale: standard deviation before truncation, positive.
        low: lower bound, or None.
        high: upper bound, or None.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "scale": positive, "low": real, "high": real}

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0, *, low: Any = None, high: Any = None) -> None:
        super().__init__({"loc": loc, "scale": scale, "low": _finite(low), "high": _finite(high)})
        check_order("TruncatedNormal", self.low, self.high)

    @property
    def base(self) -> Any:
        """The normal distribution before truncation."""
        # Not by the constructor: the parameters are already seen from inside this distribution's plates.
        return Normal.from_parts({"loc": self.params["loc"], "scale": self.params["scale"]}, {}, {})

    def element_mean(self) -> Value:
        """Loc + scale * (density at low - density at high) / mass."""
        low, high = self._standard_bounds()
        mass = self._log_mass()
        edges = [0.0 if z is None else al.exp(sub(self.base.standard_log_prob(lift(z)), mass)) for z in (low, high)]
        return self.base.from_standard(sub(*edges))

    def element_variance(self) -> Value:
        """Variance by the standard formula in the densities at the bounds."""
        low, high = self._standard_bounds()
        mass = self._log_mass()
        edges = [0.0 if z is None else al.exp(sub(self.base.standard_log_prob(lift(z)), mass)) for z in (low, high)]
        slopes = [0.0 if z is None else mul(z, e) for z, e in zip((low, high), edges, strict=True)]
        standard = add(1.0, sub(*slopes), neg(al.square(sub(*edges))))
        return lift(mul(al.square(self.params["scale"]), standard))


class Truncated(Truncation):
    """A distribution restricted to an interval and renormalised.

    Args:
        base: Normal, LogNormal, Cauchy, Laplace, SoftLaplace, Logistic, Exponential, Weibull, Gompertz, Pareto, or
            GeneralizedPareto without an upper end.
        low: lower bound, or None.
        high: upper bound, or None.
    """

    parameters: ClassVar[dict[str, Support]] = {"low": real, "high": real}
    positional = 0

    def __init__(self, base: Distribution, low: Any = None, high: Any = None) -> None:
        symmetric = isinstance(base, LocationScale | LogNormal) and base.tail == "symmetric" and _has_cdf(base)
        if not (symmetric or (isinstance(base, Waiting) and base.endless)):
            raise ModelError(
                f"Truncated cannot be made of {getattr(base, 'family', type(base).__name__)}.",
                declared_at=user_location(),
                expected="Normal, LogNormal, Cauchy, Laplace, SoftLaplace, Logistic, Exponential, Weibull, Gompertz, "
                "Pareto, or GeneralizedPareto of a constant concentration that is not negative",
                got=repr(base),
                remedy="Truncation needs the cdf and its inverse in elementary functions, and no upper end.",
            )
        refuse_mask("Truncated", base)
        floor = al.number(base.floor()) if isinstance(base, Waiting) else 0.0 if isinstance(base, LogNormal) else None
        lowest = None if _finite(low) is None else al.number(lift(low))
        if floor is not None and lowest == floor:
            low = None  # the base stops there by itself
        super().__init__({"low": _finite(low), "high": _finite(high)}, nested={"base": base})
        check_order("Truncated", self.low, self.high)
        if floor is not None and lowest is not None and lowest < floor:
            raise SupportError(
                f"Truncated: the lower bound lies below the support of {base.family}.",
                declared_at=user_location(),
                expected=f"low of at least {floor}",
                got=str(lowest),
                remedy="Leave low out.",
            )

    @property
    def base(self) -> Any:
        """The distribution before truncation."""
        return self._nested["base"]

    def batch_shape(self) -> Shape:
        """Broadcast of the base's shape and the bounds."""
        try:
            return broadcast(super().batch_shape(), self.base.event_shape)
        except ValueError as error:
            raise ShapeError(
                "Truncated: bounds and base do not broadcast.", declared_at=user_location(), got=str(error)
            ) from error

    def element_mean(self) -> Value:
        """As of TruncatedNormal; refused for other bases."""
        return self._as_normal("mean").element_mean()

    def element_variance(self) -> Value:
        """As of TruncatedNormal; refused for other bases."""
        return self._as_normal("variance").element_variance()

    def _as_normal(self, what: str) -> Distribution:
        if not isinstance(self.base, Normal):
            self._lacks(what)
        return TruncatedNormal.from_parts({**self.base.params, **self.params}, {}, {})


def _has_cdf(base: LocationScale | LogNormal) -> bool:
    return isinstance(base, LogNormal) or type(base).standard_log_cdf is not LocationScale.standard_log_cdf
