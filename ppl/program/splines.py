"""Monotone rational-quadratic splines in ops, with the identity outside an interval.

Source: Durkan, Bekasov, Murray and Papamakarios (2019), Neural spline flows, section 3.1 and appendix A.
"""

from __future__ import annotations

import math

import numpy as np

from .ops import apply
from .values import Value, lift

# As in the paper's code: no bin vanishes and no slope is zero, so that neither direction divides by nothing in float32.
LEAST_SIZE = 1e-3
LEAST_SLOPE = 1e-3
# The softplus of this is the slope one, less the least slope: numbers that are all zero stand for the identity.
_UNIT_SLOPE = math.log(math.expm1(1.0 - LEAST_SLOPE))


def numbers(bins: int) -> int:
    """How many free numbers one spline has: widths and heights of the bins, and slopes between them."""
    return 3 * bins - 1


def spline(free: Value, x: Value, bins: int, bound: float, backward: bool) -> tuple[Value, Value]:
    """The image of numbers under splines from (-bound, bound) onto itself, with tails of slope one.

    Args:
        free: free numbers of each spline, shape (..., 3 bins - 1); zeros give the identity.
        x: one number for each spline, shape (...), or one that `free` broadcasts to.
        bins: how many bins each has.
        bound: half-width of the interval.
        backward: whether to give the preimage instead.

    Returns:
        The image (or preimage), and the log of the slope of this map there.
    """
    at = apply("minimum", apply("maximum", x, -bound), bound)
    rows, inner = _bins(free, bins, bound)
    edges = inner[..., 1 if backward else 0, :]
    index = apply("sum", at[..., None] >= edges, axis=(-1,))
    own = apply("take_along", rows, index[..., None, None])
    width, height, left, low, before, after = (own[..., i, 0] for i in range(6))
    slope = height / width
    bend = before + after - 2.0 * slope
    if backward:
        rise = at - low
        a = height * (slope - before) + rise * bend
        b = height * before - rise * bend
        # Positive but for rounding, of which the root must not be taken. This form of the solution does not cancel.
        inside_root = apply("maximum", apply("square", b) + 4.0 * a * slope * rise, 1e-30)
        t = 2.0 * slope * rise / (b + apply("sqrt", inside_root))
        rest = 1.0 - t
        image = left + t * width
    else:
        t = (at - left) / width
        rest = 1.0 - t
        image = low + height * (slope * apply("square", t) + before * t * rest) / (slope + bend * t * rest)
    both = t * rest
    upper = after * apply("square", t) + 2.0 * slope * both + before * apply("square", rest)
    log_slope = apply("log", upper) + 2.0 * apply("log", slope / (slope + bend * both))
    inside = apply("abs", x) < bound
    changed = apply("where", inside, image, x)
    return changed, apply("where", inside, -log_slope if backward else log_slope, 0.0)


def _bins(free: Value, bins: int, bound: float) -> tuple[Value, Value]:
    """For each bin width, height, left end, lower end and the slopes at both ends, shape (..., 6, bins).

    Also the edges between the bins on both axes, shape (..., 2, bins - 1).
    """
    lead = free.shape[:-1]
    both = apply("reshape", free[..., : 2 * bins], shape=(*lead, 2, bins))
    share = LEAST_SIZE + (1.0 - LEAST_SIZE * bins) * apply("softmax", both, axis=(-1,))
    sizes = (2.0 * bound) * share
    inner = apply("cumsum", sizes, axis=(-1,))[..., :-1] - bound
    starts = apply("concat", lift(np.full((*lead, 2, 1), -bound)), inner, axis=-1)
    slopes = LEAST_SLOPE + apply("softplus", free[..., None, 2 * bins :] + _UNIT_SLOPE)
    one = lift(np.ones((*lead, 1, 1)))
    before = apply("concat", one, slopes, axis=-1)
    after = apply("concat", slopes, one, axis=-1)
    return apply("concat", sizes, starts, before, after, axis=-2), inner
