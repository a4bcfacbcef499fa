"""The horseshoe as two sites: its posterior is that of the marginal prior, by quadrature."""

from __future__ import annotations

import arviz
import numpy as np
import pytest
import scipy.special as sp
from scipy import integrate
from scipy import stats as st

import ppl
from ppl import dist
from ppl.inference import NUTS
from tests.budget import sigmas
from tests.inference.cases import BACKENDS

Y = np.array([0.4, -2.0, 4.5])


@ppl.model
def shrinking(size: int = 3):
    with ppl.plate("coefficients", size=size):
        shrinkage = ppl.sample("shrinkage", dist.HalfCauchy(1.0))
        standard = ppl.sample("standard", dist.Normal(0.0, 1.0))
        beta = ppl.deterministic("beta", shrinkage * standard)
        ppl.sample("y", dist.Normal(beta, 1.0))


def posterior_mean(y: float) -> float:
    """With prior density exp(b**2 / 2) E1(b**2 / 2) / sqrt(2 pi**3), by quadrature (Carvalho et al., theorem 1)."""

    def weight(b: float, power: int) -> float:
        u = 0.5 * b * b
        # exp(u) E1(u), without overflow where u is large.
        scaled = np.exp(u) * sp.exp1(u) if u < 500.0 else 1.0 / u
        return float(b**power * scaled * st.norm.pdf(y - b))

    pieces = [(-np.inf, -1e-9), (1e-9, np.inf)]
    top, bottom = (sum(integrate.quad(weight, *p, args=(k,), limit=200)[0] for p in pieces) for k in (1, 0))
    return top / bottom


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_posterior_is_that_of_the_marginal_prior(backend: str):
    method = NUTS(chains=2, draws=2000, warmup=500, target_accept=0.95)
    if backend == "pyro":
        # Pyro's sampler runs eagerly, about twenty times slower than NumPyro's.
        method = NUTS(chains=1, draws=400, warmup=150, target_accept=0.95)
    draws = ppl.infer(shrinking().observe(y=Y), method, backend=backend, precision="float64").draws
    beta = np.asarray(draws["shrinkage"]) * np.asarray(draws["standard"])
    effective = np.array([float(arviz.ess(beta[..., i])) for i in range(3)])
    off = beta.mean((0, 1)) - np.array([posterior_mean(y) for y in Y])
    assert np.all(np.abs(off) < sigmas(3) * beta.std((0, 1)) / np.sqrt(effective))
