"""Families over angles and unit vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.stats

from ppl.language import dist
from tests.language.family_case import Case

# scipy's annotations are those of discrete distributions.
st: Any = scipy.stats

BOTH = ("pyro", "numpyro")
NORTH = np.array([0.6, -0.48, 0.64])
FOUR = np.array([0.5, -0.5, 0.5, 0.5])

ANGLES, SHARP, LEAN = np.array([0.4, -1.0]), np.array([1.7, 0.8]), np.array([0.5, -0.4])


def sine_skewed(x: np.ndarray) -> np.ndarray:
    return st.vonmises(SHARP, ANGLES).logpdf(x).sum(-1) + np.log1p((LEAN * np.sin(x - ANGLES)).sum(-1))


CIRCULAR: dict[str, Case] = {
    "VonMises": Case(
        dist.VonMises(0.4, 1.7),
        moments=False,
        log_density=lambda x: st.vonmises(1.7, 0.4).logpdf(x),
        cdf=lambda x: st.vonmises(1.7, 0.4).cdf(x) - st.vonmises(1.7, 0.4).cdf(-np.pi),
    ),
    "VonMises.sharp": Case(
        dist.VonMises(2.9, 60.0),
        moments=False,
        log_density=lambda x: st.vonmises(60.0, 2.9).logpdf(x),
        cdf=lambda x: st.vonmises(60.0, 2.9).cdf(x) - st.vonmises(60.0, 2.9).cdf(-np.pi),
    ),
    "VonMises.flat": Case(
        dist.VonMises(-2.0, 0.05),
        moments=False,
        log_density=lambda x: st.vonmises(0.05, -2.0).logpdf(x),
        cdf=lambda x: st.vonmises(0.05, -2.0).cdf(x) - st.vonmises(0.05, -2.0).cdf(-np.pi),
    ),
    "SineSkewed": Case(dist.SineSkewed(dist.VonMises(ANGLES, SHARP), LEAN), moments=False, log_density=sine_skewed),
    "SineSkewed.batch": Case(
        dist.SineSkewed(dist.VonMises([[0.4], [1.0]], 1.5).expand([2, 2]), [LEAN, -LEAN]), moments=False
    ),
    "VonMisesFisher": Case(
        dist.VonMisesFisher(NORTH, 2.5),
        lacks=("numpyro",),
        moments=False,
        log_density=lambda x: st.vonmises_fisher(NORTH, 2.5).logpdf(x),
    ),
    "VonMisesFisher.circle": Case(
        dist.VonMisesFisher(np.array([0.6, -0.8]), 1.5),
        lacks=BOTH,
        moments=False,
        log_density=lambda x: st.vonmises_fisher(np.array([0.6, -0.8]), 1.5).logpdf(x),
    ),
    "VonMisesFisher.four": Case(
        dist.VonMisesFisher(FOUR, 40.0),
        lacks=BOTH,
        moments=False,
        log_density=lambda x: st.vonmises_fisher(FOUR, 40.0).logpdf(x),
    ),
    "SphereUniform": Case(dist.SphereUniform(3), log_density=lambda x: np.full(len(x), -np.log(4.0 * np.pi))),
    "SphereUniform.five": Case(
        dist.SphereUniform(5), lacks=BOTH, log_density=lambda x: np.full(len(x), -np.log(8.0 * np.pi**2 / 3.0))
    ),
    "ProjectedNormal": Case(dist.ProjectedNormal([0.6, -1.3, 0.4]), moments=False),
    "ProjectedNormal.circle": Case(dist.ProjectedNormal([0.6, -1.3]), moments=False),
}
