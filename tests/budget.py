"""One false-alarm budget for the whole suite: every statistical tolerance follows from it and the Monte Carlo error."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from scipy import stats

# Probability that one statistical assertion fails although the code is right.
FALSE_ALARM = 2e-5


def sigmas(comparisons: int = 1) -> float:
    """How many standard errors a two-sided comparison may be off, when that many are made together."""
    return NormalDist().inv_cdf(1.0 - FALSE_ALARM / (2.0 * comparisons))


def assert_mean(draws: np.ndarray, expected: np.ndarray | float, effective: float | None = None) -> None:
    """The mean of draws equals its expectation, up to the Monte Carlo error.

    Args:
        draws: shape (count, ...).
        expected: shape (...).
        effective: effective number of draws, where they are correlated.
    """
    count = float(draws.shape[0]) if effective is None else effective
    error = draws.std(axis=0, ddof=1) / math.sqrt(count)
    off = np.abs(draws.mean(axis=0) - expected)
    allowed = sigmas(int(np.size(off))) * error
    assert np.all(off <= allowed), (
        f"off by {np.max(off / error):.2f} standard errors, {sigmas(int(np.size(off))):.2f} allowed"
    )


def assert_variance(draws: np.ndarray, expected: np.ndarray | float, effective: float | None = None) -> None:
    """The variance of nearly normal draws equals its expectation, up to the Monte Carlo error.

    The standard error of a sample variance v of normal draws is v * sqrt(2 / (count - 1)).
    """
    count = float(draws.shape[0]) if effective is None else effective
    found = draws.var(axis=0, ddof=1)
    error = np.asarray(expected) * math.sqrt(2.0 / (count - 1.0))
    off = np.abs(found - expected)
    allowed = sigmas(int(np.size(off))) * error
    assert np.all(off <= allowed), f"off by {np.max(off / error):.2f} standard errors"


def assert_frequencies(hits: np.ndarray, wanted: np.ndarray) -> None:
    """Independent rows hit each column as often as they should, by the binomial distribution itself.

    Args:
        hits: whether each draw hit, shape (count, events).
        wanted: probability of each, shape (events,).
    """
    found, count = hits.sum(0), len(hits)
    wanted = np.clip(wanted, 0.0, 1.0)
    tails = np.minimum(stats.binom.cdf(found, count, wanted), stats.binom.sf(found - 1, count, wanted))
    assert np.all(2.0 * len(wanted) * tails > FALSE_ALARM), f"{found / count} where {wanted} was expected"
