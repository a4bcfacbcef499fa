"""Counts, ordinal data, and data that a limit or an interval stands for, beyond the usual families."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.stats

from ppl.language import dist
from tests.language.family_case import LOC, Case

# scipy's annotations are those of discrete distributions.
st: Any = scipy.stats

BOTH = ("pyro", "numpyro")
CUTS = np.array([-1.0, 0.2, 1.5])


def in_bins(base: Any, edges: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Log probability of the intervals between the edges."""
    below = np.concatenate([[0.0], base.cdf(edges), [1.0]])
    with np.errstate(divide="ignore"):
        logs = np.log(np.diff(below))
    return lambda k: logs[k]


def rounded(base: Any, low: int, high: int) -> Callable[[np.ndarray], np.ndarray]:
    """Log probability of whole numbers from low to high."""
    return lambda k: in_bins(base, np.arange(low, high) + 0.5)(k - low)


def hurdle(base: Any, gate: float) -> Callable[[np.ndarray], np.ndarray]:
    """Log probability of counts whose zeros come from a gate."""
    return lambda k: np.where(k == 0, np.log(gate), np.log1p(-gate) + base.logpmf(k) - np.log(base.sf(0)))


def limited(base: Any, low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """Log density between two limits, log probability at them."""
    return lambda x: np.where(x == high, base.logsf(high), np.where(x == low, base.logcdf(low), base.logpdf(x)))


def limited_cdf(base: Any, low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.where(x < low, 0.0, np.where(x >= high, 1.0, base.cdf(x)))


COUNTS: dict[str, Case] = {
    "DirichletMultinomial": Case(
        dist.DirichletMultinomial([0.7, 1.0, 2.5], 7),
        log_density=lambda k: st.dirichlet_multinomial([0.7, 1.0, 2.5], 7).logpmf(k),
    ),
    "BetaNegativeBinomial": Case(
        dist.BetaNegativeBinomial(1.7, 9.0, 4.0),
        lacks=("pyro",),
        log_density=lambda k: st.betanbinom(4, 9.0, 1.7).logpmf(k),
        cdf=lambda k: (
            np.cumsum(st.betanbinom(4, 9.0, 1.7).pmf(np.arange(2000)))[np.maximum(k, -1)] * (np.asarray(k) >= 0)
        ),
    ),
    "Hurdle.Poisson": Case(
        dist.Hurdle(dist.Poisson(1.5), 0.4), lacks=("pyro",), log_density=hurdle(st.poisson(1.5), 0.4)
    ),
    "Hurdle.NegativeBinomial": Case(
        dist.Hurdle(dist.NegativeBinomial(mean=3.0, concentration=4.0), 0.4),
        lacks=("pyro",),
        log_density=hurdle(st.nbinom(4.0, 4.0 / 7.0), 0.4),
        cdf=lambda k: (
            np.cumsum(np.exp(hurdle(st.nbinom(4.0, 4.0 / 7.0), 0.4)(np.arange(2000))))[np.maximum(k, 0)]
            * (np.asarray(k) >= 0)
        ),
    ),
    "Hurdle.Geometric": Case(
        dist.Hurdle(dist.Geometric(0.3), 0.4), lacks=("pyro",), log_density=hurdle(st.geom(0.3, -1), 0.4)
    ),
    "OrderedLogistic": Case(
        dist.OrderedLogistic(0.4, CUTS), moments=False, log_density=in_bins(st.logistic(0.4), CUTS)
    ),
    "OrderedLogistic.two": Case(
        dist.OrderedLogistic(0.4, CUTS[:1]), moments=False, log_density=in_bins(st.logistic(0.4), CUTS[:1])
    ),
    "OrderedLogistic.batch": Case(dist.OrderedLogistic(LOC, CUTS), moments=False),
    "OrderedProbit": Case(
        dist.OrderedProbit(0.4, CUTS), lacks=BOTH, moments=False, log_density=in_bins(st.norm(0.4), CUTS)
    ),
    "IntervalCensored": Case(
        dist.IntervalCensored(dist.Weibull(1.7, 1.3), [0.5, 1.0, 3.0]),
        lacks=BOTH,
        moments=False,
        log_density=in_bins(st.weibull_min(1.3, scale=1.7), np.array([0.5, 1.0, 3.0])),
    ),
    "IntervalCensored.bounded": Case(
        dist.IntervalCensored(dist.Kumaraswamy(2.5, 1.7), [-0.5, 0.4, 0.9, 1.2]),
        lacks=BOTH,
        moments=False,
        log_density=lambda k: np.log(np.diff(1.0 - (1.0 - np.array([0.0, 0.0, 0.4, 0.9, 1.0, 1.0]) ** 2.5) ** 1.7)[k]),
    ),
    "IntervalCensored.end": Case(
        dist.IntervalCensored(dist.GeneralizedPareto(0.5, 1.7, -0.4), [0.5, 1.0, 4.0, 6.0]),
        lacks=BOTH,
        moments=False,
        log_density=in_bins(st.genpareto(-0.4, 0.5, 1.7), np.array([0.5, 1.0, 4.0, 6.0])),
    ),
    "DiscretizedNormal": Case(
        dist.DiscretizedNormal(1.4, 1.7, low=-2, high=4),
        lacks=BOTH,
        moments=False,
        log_density=rounded(st.norm(1.4, 1.7), -2, 4),
    ),
    "DiscretizedLogistic": Case(
        dist.DiscretizedLogistic(1.4, 0.9, low=-2, high=4),
        lacks=BOTH,
        moments=False,
        log_density=rounded(st.logistic(1.4, 0.9), -2, 4),
    ),
    "Censored.right": Case(
        dist.Censored(dist.Weibull(1.7, 1.3), high=1.5),
        lacks=BOTH,
        moments=False,
        log_density=limited(st.weibull_min(1.3, scale=1.7), 0.0, 1.5),
        cdf=limited_cdf(st.weibull_min(1.3, scale=1.7), 0.0, 1.5),
    ),
    "Censored.exponential": Case(
        dist.Censored(dist.Exponential(1.7), high=1.0),
        lacks=BOTH,
        moments=False,
        log_density=limited(st.expon(scale=1 / 1.7), 0.0, 1.0),
    ),
    "Censored.left": Case(
        dist.Censored(dist.LogNormal(0.3, 0.4), low=1.0),
        lacks=BOTH,
        moments=False,
        log_density=limited(st.lognorm(0.4, scale=np.exp(0.3)), 1.0, np.inf),
    ),
    "Censored.both": Case(
        dist.Censored(dist.Normal(0.3, 1.7), low=-1.0, high=2.0),
        lacks=BOTH,
        moments=False,
        log_density=limited(st.norm(0.3, 1.7), -1.0, 2.0),
        cdf=limited_cdf(st.norm(0.3, 1.7), -1.0, 2.0),
    ),
    "Censored.some": Case(dist.Censored(dist.Weibull(1.7, 1.3), high=[1.5, np.inf, 0.8]), lacks=BOTH, moments=False),
}
