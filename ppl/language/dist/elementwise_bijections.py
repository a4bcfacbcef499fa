"""Bijections that act on each number by itself."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ppl.errors import SupportError, user_location
from ppl.program import supports
from ppl.program.ops import apply
from ppl.program.supports import Support, positive, real, unit_interval
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, exp, log, mul, neg
from .bijections import Bijection


class Identity(Bijection):
    """The map that changes nothing."""

    def forward(self, x: Value) -> Value:
        """X itself."""
        return x

    def inverse(self, y: Value) -> Value:
        """Y itself."""
        return y

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Zero."""
        return 0.0

    def image(self, support: Support) -> Support:
        """The support itself."""
        return support

    def preimage(self, support: Support) -> Support:
        """The support itself."""
        return support


class Monotone(Bijection):
    """An increasing map of numbers; intervals go to intervals."""

    whole: ClassVar[Support] = real

    def image(self, support: Support) -> Support:
        """All of the codomain, or the interval between the images of the bounds."""
        match support.kind:
            case "real" | "real_vector" | "real_matrix":
                return self.whole
            case "positive" | "nonnegative":
                low: Number | None = 0.0
                high: Number | None = None
            case "unit_interval":
                low, high = 0.0, 1.0
            case "interval":
                low, high = support.bounds
            case "greater_than":
                low, high = support.bounds[0], None
            case "less_than":
                low, high = None, support.bounds[0]
            case _:
                return super().image(support)
        return self._between(low, high)

    def _between(self, low: Number | None, high: Number | None) -> Support:
        below, above = _ends(self.whole)
        a = below if low is None else self.forward(lift(low))
        b = above if high is None else self.forward(lift(high))
        return named_interval(a, b)


def _ends(support: Support) -> tuple[Number | None, Number | None]:
    match support.kind:
        case "real":
            return None, None
        case "positive":
            return 0.0, None
        case "unit_interval":
            return 0.0, 1.0
        case _:
            return support.bounds[0], support.bounds[1]


def named_interval(low: Number | None, high: Number | None) -> Support:
    """The set of numbers between two bounds, either of which may be absent."""
    if low is None and high is None:
        return real
    if low is None:
        return supports.less_than(high)
    a = al.number(low)
    if high is None:
        return positive if a == 0.0 else supports.greater_than(low)
    return unit_interval if a == 0.0 and al.number(high) == 1.0 else supports.interval(low, high)


class Exp(Monotone):
    """exp(x), onto the positive numbers."""

    whole = positive

    def forward(self, x: Value) -> Value:
        """Exponential."""
        return lift(exp(x))

    def inverse(self, y: Value) -> Value:
        """Logarithm."""
        return lift(log(y))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """X itself."""
        return x


class Softplus(Monotone):
    """log(1 + exp(x)), onto the positive numbers."""

    whole = positive

    def forward(self, x: Value) -> Value:
        """Softplus."""
        return lift(al.softplus(x))

    def inverse(self, y: Value) -> Value:
        """Y + log(1 - exp(-y))."""
        return lift(add(y, al.log1mexp(y)))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Log of the sigmoid."""
        return neg(al.softplus(neg(x)))


class Sigmoid(Monotone):
    """The logistic function, onto the unit interval."""

    whole = unit_interval

    def forward(self, x: Value) -> Value:
        """The sigmoid, kept from rounding to 0 or 1, where densities on the unit interval may be infinite."""
        return apply("clipped_sigmoid", x)

    def inverse(self, y: Value) -> Value:
        """Log odds."""
        return apply("logit", y)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """X - 2 log(1 + exp(x))."""
        return x - 2.0 * apply("softplus", x)


class Tanh(Monotone):
    """The hyperbolic tangent, onto the interval from -1 to 1."""

    whole = supports.interval(-1.0, 1.0)

    def forward(self, x: Value) -> Value:
        """Hyperbolic tangent."""
        return apply("tanh", x)

    def inverse(self, y: Value) -> Value:
        """Its inverse."""
        return apply("atanh", y)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """log(1 - tanh(x)**2), without the cancellation at large x."""
        return log_one_minus_tanh_squared(x)


def log_one_minus_tanh_squared(x: Value) -> Value:
    """log(1 - tanh(x)**2) = 2 (log 2 - x - softplus(-2 x))."""
    return 2.0 * (al.LOG_2 - x - apply("softplus", -2.0 * x))


class Affine(Monotone):
    """Loc + scale * x.

    Args:
        loc: where zero goes.
        scale: positive, or a constant of one sign; a value that may change its sign is not a bijection everywhere.
    """

    def __init__(self, loc: Any = 0.0, scale: Any = 1.0) -> None:
        super().__init__({"loc": loc, "scale": scale})
        constant = self._constant_scale()
        if constant is not None and not ((constant > 0).all() or (constant < 0).all()):
            raise SupportError(
                "Affine: the scale must be all positive or all negative.",
                declared_at=user_location(),
                got=str(constant.tolist()),
            )

    def _constant_scale(self) -> np.ndarray | None:
        scale = self.params["scale"]
        if scale.op != "const":
            return None
        return np.asarray(scale.attrs[0][1].array if scale.shape else scale.attrs[0][1])

    @property
    def falling(self) -> bool:
        """Whether the scale is a negative constant."""
        constant = self._constant_scale()
        return constant is not None and bool((constant < 0).all())

    def forward(self, x: Value) -> Value:
        """Loc + scale * x."""
        return lift(al.shift(x, self.params["loc"], self.params["scale"]))

    def inverse(self, y: Value) -> Value:
        """(y - loc) / scale."""
        return lift(al.standardise(y, self.params["loc"], self.params["scale"]))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Log of the size of the scale."""
        scale = self.params["scale"]
        if self.falling:
            return log(neg(scale))
        return log(scale) if scale.op in ("const", "exp", "softplus") else log(abs(scale))

    def preimage(self, support: Support) -> Support:
        """The image under the inverse, which is affine too."""
        loc, scale = self.params["loc"], self.params["scale"]
        return Affine(neg(al.div(loc, scale)), al.div(1.0, scale)).image(support)

    def _between(self, low: Number | None, high: Number | None) -> Support:
        a = None if low is None else self.forward(lift(low))
        b = None if high is None else self.forward(lift(high))
        return named_interval(b, a) if self.falling else named_interval(a, b)


class Power(Monotone):
    """X ** exponent on the positive numbers.

    Args:
        exponent: a constant other than zero, or a positive value.
    """

    whole = positive

    def __init__(self, exponent: Any) -> None:
        super().__init__({"exponent": exponent})
        if al.number(self.params["exponent"]) == 0.0:
            raise SupportError("Power: the exponent must not be zero.", declared_at=user_location())

    def forward(self, x: Value) -> Value:
        """X ** exponent."""
        return apply("pow", x, self.params["exponent"])

    def inverse(self, y: Value) -> Value:
        """Y ** (1 / exponent)."""
        return apply("pow", y, al.div(1.0, self.params["exponent"]))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Log |exponent| + (exponent - 1) log(x)."""
        exponent = self.params["exponent"]
        size = al.number(exponent)
        log_size = log(abs(exponent)) if size is None else math.log(abs(size))
        return add(log_size, mul(add(exponent, -1.0), log(x)))

    def image(self, support: Support) -> Support:
        """Positive numbers, or an interval of them."""
        exponent = al.number(self.params["exponent"])
        falling = exponent is not None and exponent < 0.0
        match support.kind:
            case "positive" | "nonnegative":
                return positive
            case "unit_interval":
                return supports.greater_than(1.0) if falling else unit_interval
            case "greater_than":
                bound = self.forward(support.bounds[0])
                return supports.interval(0.0, bound) if falling else supports.greater_than(bound)
            case "interval":
                ends = [self.forward(b) for b in support.bounds]
                return supports.interval(*(reversed(ends) if falling else ends))
            case _:
                return Bijection.image(self, support)


class Interval(Monotone):
    """A sigmoid stretched onto an interval.

    Args:
        low: lower bound.
        high: upper bound.
    """

    def __init__(self, low: Any, high: Any) -> None:
        super().__init__({"low": low, "high": high})

    @property
    def _width(self) -> Number:
        return al.sub(self.params["high"], self.params["low"])

    def forward(self, x: Value) -> Value:
        """Low + (high - low) * sigmoid(x)."""
        return lift(al.shift(apply("clipped_sigmoid", x), self.params["low"], self._width))

    def inverse(self, y: Value) -> Value:
        """Log of the ratio of the distances from the bounds."""
        low, high = self.params["low"], self.params["high"]
        return lift(al.sub(log(al.sub(y, low)), log(al.sub(high, y))))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Log density of the logistic distribution, plus the log width."""
        return add(x - 2.0 * apply("softplus", x), log(self._width))

    def image(self, support: Support) -> Support:
        """The interval, for all reals."""
        if support.kind == "real":
            return supports.interval(self.params["low"], self.params["high"])
        return Bijection.image(self, support)
