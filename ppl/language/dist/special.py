"""Functions that several families need and neither library has, in a form that keeps its digits."""

from __future__ import annotations

import math

from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.supports import Support
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, log, mul, neg, square, sub
from .guards import inner_point


def log_sinhc(h: Number) -> Value:
    """log(sinh(h) / h) for h >= 0; zero at zero."""
    value = lift(h)
    small = value < 1e-2
    safe = apply("where", small, 1.0, value)
    # sinh(h) = exp(h) (1 - exp(-2 h)) / 2
    large = add(safe, al.log1mexp(mul(2.0, safe)), neg(log(safe)), -al.LOG_2)
    h2 = square(value)
    return al.where(small, mul(h2, sub(1.0 / 6.0, mul(1.0 / 180.0, h2))), large)


def log_tail(base: Distribution, at: Value, used: Value | None = None, *, upper: bool) -> Value:
    """Log probability of an element of `base` lying above (or below) a point, in nats.

    Args:
        base: a distribution over numbers.
        at: the point, which may lie outside the base's support.
        used: where the result counts, by default everywhere. Elsewhere, and outside the support, the formula never sees
            the point, and so has a finite gradient.
        upper: whether it is the probability of lying above.
    """
    before, behind = _ends(base.support, at)
    safe = used
    for outside in (before, behind):
        if outside is not None:
            here = apply("logical_not", outside)
            safe = here if safe is None else safe & here
    if safe is not None:
        inner = lift(0.0) if before is None and behind is None else inner_point(base.support, at.shape)
        at = apply("where", safe, at, inner)
    term = (base.log_survival if upper else base.log_cdf)(at)
    if before is not None:
        term = al.where(before, 0.0 if upper else -math.inf, term)
    return term if behind is None else al.where(behind, -math.inf if upper else 0.0, term)


def _ends(support: Support, at: Value) -> tuple[Value | None, Value | None]:
    """Whether a point lies before the support, and behind it; None where there is no such end."""
    match support.kind:
        case "positive" | "nonnegative":
            return at <= 0.0, None
        case "unit_interval":
            return at <= 0.0, at >= 1.0
        case "greater_than":
            return at <= support.bounds[0], None
        case "less_than":
            return None, at >= support.bounds[0]
        case "interval":
            return at <= support.bounds[0], at >= support.bounds[1]
        case _:
            return None, None


def log_between(base: Distribution, low: Value, high: Value) -> Value:
    """Log probability of an element of `base` lying in (low, high], in nats, for low < high.

    The two cumulative probabilities are subtracted in whichever tail the interval lies, where they keep their digits.
    """
    cdf_high, survival_low = log_tail(base, high, upper=False), log_tail(base, low, upper=True)
    lower = cdf_high <= survival_low
    far = al.where(lower, cdf_high, survival_low)
    near = al.where(lower, log_tail(base, low, upper=False), log_tail(base, high, upper=True))
    if all(end is None for end in _ends(base.support, low)):
        return lift(add(far, al.log1mexp(sub(far, near))))
    # Outside the support there is nothing to subtract.
    counted = near > -math.inf
    gap = al.where(counted, sub(far, near), 1.0)
    return lift(add(far, al.where(counted, al.log1mexp(gap), 0.0)))


# Ratios start this far above the order asked for; the error shrinks at each step down.
_DEPTH = 12


def log_bessel_i(order: float, x: Number) -> Value:
    """log(I_order(x)) - x for the modified Bessel function of the first kind, x > 0; order a multiple of 1/2.

    The ratios r_m = I_m / I_(m-1) obey r_m = 1 / (2 m / x + r_(m+1)), which is stable downwards. The first one is that
    of the uniform expansion for large orders; at order 0 or 1/2 the function itself is elementary.

    Reference: Amos (1974), Computation of modified Bessel functions and their ratios, section 2; Abramowitz and Stegun
    (1964), 9.7.7 and 9.3.9.
    """
    value = lift(x)
    first = order % 1.0
    if first == 0.0:
        out: Number = log(apply("i0e", value))
    else:
        # I_(1/2)(x) = sqrt(2 / (pi x)) sinh(x)
        out = add(mul(0.5, log(value)), log_sinhc(value), neg(value), 0.5 * math.log(2.0 / math.pi))
    steps = round(order - first)
    if steps == 0:
        return lift(out)
    top = order + _DEPTH
    ratio = _large_order_ratio(top, value)
    for i in range(1, _DEPTH + steps):
        m = top - i
        ratio = al.div(value, add(2.0 * m, mul(value, ratio)))
        if m <= order:
            out = add(out, log(ratio))
    return lift(out)


def _large_order_ratio(v: float, x: Value) -> Number:
    # log I_v(x) = s - v asinh(v / x) - log(2 pi s) / 2 + log(1 + u_1(v / s) / v + ...) with s = sqrt(v**2 + x**2)
    s, t = (al.sqrt(add(square(x), w * w)) for w in (v, v - 1.0))
    power = sub(mul(v - 1.0, apply("asinh", (v - 1.0) / x)), mul(v, apply("asinh", v / x)))
    scale = mul(0.5, sub(log(t), log(s)))
    tails = sub(log(_debye(v, s)), log(_debye(v - 1.0, t)))
    return al.exp(add(al.div(2.0 * v - 1.0, add(s, t)), power, scale, tails))


def _debye(v: float, s: Number) -> Number:
    p = al.div(v, s)
    p2 = square(p)
    one = mul(p, sub(3.0, mul(5.0, p2)))
    two = mul(p2, add(81.0, mul(p2, sub(mul(385.0, p2), 462.0))))
    three = mul(mul(p, p2), add(30375.0, mul(p2, add(-369603.0, mul(p2, sub(765765.0, mul(425425.0, p2)))))))
    return add(1.0, mul(1.0 / (24.0 * v), one), mul(1.0 / (1152.0 * v**2), two), mul(1.0 / (414720.0 * v**3), three))
