"""What a family is tested with: a distribution with constant parameters, and its references."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats as st

from ppl.program.distributions import Distribution

COVARIANCE = np.array([[2.0, 0.6, -0.2], [0.6, 1.5, 0.3], [-0.2, 0.3, 0.8]])
LOC = np.array([0.3, -1.0, 2.0])
FACTOR = np.array([[1.0, 0.2], [-0.5, 0.7], [0.3, 0.3]])
PROBS = np.array([0.2, 0.5, 0.3])
LOGITS = np.array([0.4, -1.0, 2.0])


@dataclass(frozen=True)
class Case:
    """A distribution and its references.

    Attributes:
        exact: a frozen scipy distribution, if scipy has the family.
        lacks: backends whose library does not have it.
        moments: whether there are a mean and a variance in closed form, and finite moments enough to estimate them.
        cdf: cumulative distribution function, where `exact` has none.
        log_density: log density of a batch of values, shape (count, event), where `exact` has none.
    """

    dist: Distribution
    exact: Any = None
    lacks: tuple[str, ...] = ()
    moments: bool = True
    cdf: Callable[[np.ndarray], np.ndarray] | None = None
    log_density: Callable[[np.ndarray], np.ndarray] | None = None


def gaussian(loc: np.ndarray, covariance: np.ndarray) -> Any:
    make: Any = st.multivariate_normal  # its annotation admits numbers only
    return make(loc, covariance)


def truncnorm(loc: float, scale: float, low: float, high: float) -> Any:
    return st.truncnorm((low - loc) / scale, (high - loc) / scale, loc, scale)


def cut(base: Any, low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """The cdf of a distribution restricted to an interval."""
    return lambda x: (base.cdf(x) - base.cdf(low)) / (base.cdf(high) - base.cdf(low))


def density_of(exact: Any, x: np.ndarray) -> np.ndarray:
    """Log density or log probability by scipy."""
    discrete = isinstance(getattr(exact, "dist", None), st.rv_discrete)
    return exact.logpmf(x) if discrete else exact.logpdf(x)
