"""Whether a bound is kept: ratios round by round, an interval for their median, and what may be said from it.

A single figure cannot tell a bound that is missed by one per cent from noise. So a bound is called kept, or missed,
only if a confidence interval for the median ratio lies on one side of it; otherwise more rounds are measured, and if
the last look leaves it open, the table says so. Where both candidates run the same compiled program, no clock is
needed.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Literal

LOOKS = 3  # at the rounds of the case, and twice and four times as many
LEVEL = 0.05  # chance that a bound is judged wrongly, over all looks together

Verdict = Literal["yes", "no", "open"]


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """First and third quartile; both are the value itself if there is only one."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def ratios(ours: Sequence[float], peer: Sequence[float]) -> list[float]:
    """ours / peer round by round: both were measured moments apart, so a slow drift of the machine cancels.

    One of them may have run further rounds for the sake of another bound; those have no pair.
    """
    return [a / b for a, b in zip(ours, peer, strict=False)]


def differences(ours: Sequence[float], peer: Sequence[float]) -> list[float]:
    """ours - peer round by round; see `ratios`."""
    return [a - b for a, b in zip(ours, peer, strict=False)]


def interval(values: Sequence[float], level: float = LEVEL / LOOKS) -> tuple[float, float]:
    """A confidence interval for the median, whatever the distribution of the values.

    Its ends are order statistics. It misses the median if fewer than k values lie on one side of it, and that number is
    binomial: k is the largest for which both tails together are no likelier than `level`. Of too few values for any
    such k (fewer than 7 at the usual level), the interval is unbounded.
    """
    count, below, k = len(values), 0.0, 0
    while True:
        below += math.comb(count, k) / 2**count
        if 2 * below > level:
            break
        k += 1
    ordered = sorted(values)
    return (ordered[k - 1], ordered[count - k]) if k else (-math.inf, math.inf)


def decide(values: Sequence[float], limit: float) -> Verdict:
    """Whether the median is at most `limit`, as far as these values tell."""
    low, high = interval(values)
    if high <= limit:
        return "yes"
    return "no" if low > limit else "open"
