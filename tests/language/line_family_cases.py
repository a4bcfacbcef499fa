"""Families on the line, on positive numbers and on the unit interval, beyond the usual ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special as sp
import scipy.stats

from ppl.language import dist
from tests.language.family_case import LOC, Case, cut

# scipy's annotations are those of discrete distributions.
st: Any = scipy.stats

BOTH = ("pyro", "numpyro")


def kumaraswamy(a: float, b: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.log(a * b) + (a - 1.0) * np.log(x) + (b - 1.0) * np.log1p(-(x**a))


def normalised(log_shape: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A log density on the unit interval, normalised by Gauss-Legendre quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    mass = 0.5 * np.sum(weights * np.exp(log_shape(0.5 + 0.5 * nodes)))
    return lambda x: log_shape(x) - np.log(mass)


def blurred(loc: float, scale: float, asymmetry: float, softness: float) -> Callable[[np.ndarray], np.ndarray]:
    """Log density of an asymmetric Laplace variable plus a normal one, by Gauss-Legendre quadrature of each side."""
    nodes, weights = np.polynomial.legendre.leggauss(4000)
    size = 20.0 + 20.0 * nodes
    kernel = st.norm(0.0, softness)

    def log_density(x: np.ndarray) -> np.ndarray:
        z = ((x - loc) / scale)[..., None]
        total = 0.0
        for rate, sign in ((asymmetry, 1.0), (1.0 / asymmetry, -1.0)):
            total = total + np.sum(20.0 * weights * np.exp(-rate * size) * kernel.pdf(z - sign * size), -1)
        return np.log(total / (asymmetry + 1.0 / asymmetry) / scale)

    return log_density


def logit_normal(loc: float, scale: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: st.norm(loc, scale).logpdf(sp.logit(x)) - np.log(x * (1.0 - x))


def relaxed(temperature: float, logits: float) -> Callable[[np.ndarray], np.ndarray]:
    law = st.logistic(logits / temperature, 1.0 / temperature)
    return lambda x: law.logpdf(sp.logit(x)) - np.log(x * (1.0 - x))


def relaxed_cdf(temperature: float, logits: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: st.logistic(logits / temperature, 1.0 / temperature).cdf(sp.logit(np.clip(x, 0.0, 1.0)))


LINE: dict[str, Case] = {
    "AsymmetricLaplace": Case(dist.AsymmetricLaplace(0.3, 1.7, 0.6), st.laplace_asymmetric(0.6, 0.3, 1.7)),
    "AsymmetricLaplace.left": Case(dist.AsymmetricLaplace(0.3, 1.7, 1.9), st.laplace_asymmetric(1.9, 0.3, 1.7)),
    "AsymmetricLaplace.vector": Case(dist.AsymmetricLaplace(LOC, 1.7, [0.5, 1.0, 2.0])),
    "SoftLaplace": Case(dist.SoftLaplace(0.3, 1.7), st.hypsecant(0.3, 1.7)),
    "SkewLogistic": Case(dist.SkewLogistic(0.3, 1.7, 2.4), st.genlogistic(2.4, 0.3, 1.7), ("numpyro",), moments=False),
    "SkewLogistic.left": Case(
        dist.SkewLogistic(0.3, 1.7, 0.4), st.genlogistic(0.4, 0.3, 1.7), ("numpyro",), moments=False
    ),
    "SkewNormal": Case(dist.SkewNormal(0.3, 1.7, 2.5), st.skewnorm(2.5, 0.3, 1.7), BOTH),
    "SkewNormal.left": Case(dist.SkewNormal(0.3, 1.7, -4.0), st.skewnorm(-4.0, 0.3, 1.7), BOTH),
    "SoftAsymmetricLaplace": Case(
        dist.SoftAsymmetricLaplace(0.3, 1.7, 0.7, 0.5),
        lacks=BOTH,
        log_density=blurred(0.3, 1.7, 0.7, 0.5),
    ),
    "Folded": Case(dist.Folded(dist.Normal(0.7, 1.7)), st.foldnorm(0.7 / 1.7, scale=1.7), moments=False),
    "Folded.student": Case(
        dist.Folded(dist.StudentT(5.0, 0.7, 1.7)),
        moments=False,
        log_density=lambda x: np.log(st.t(5.0, 0.7, 1.7).pdf(x) + st.t(5.0, 0.7, 1.7).pdf(-x)),
        cdf=lambda x: st.t(5.0, 0.7, 1.7).cdf(x) - st.t(5.0, 0.7, 1.7).cdf(-x),
    ),
    "Folded.vector": Case(dist.Folded(dist.Normal(LOC, 1.7)), moments=False),
    "GeneralizedNormal": Case(dist.GeneralizedNormal(0.3, 1.7, 1.5), st.gennorm(1.5, 0.3, 1.7), BOTH),
    "GeneralizedNormal.flat": Case(dist.GeneralizedNormal(0.3, 1.7, 6.0), st.gennorm(6.0, 0.3, 1.7), BOTH),
    "Gompertz": Case(dist.Gompertz(0.7, 1.3), st.gompertz(0.7, scale=1 / 1.3), ("pyro",), moments=False),
    "GeneralizedPareto": Case(dist.GeneralizedPareto(0.5, 1.7, 0.1), st.genpareto(0.1, 0.5, 1.7), ("numpyro",)),
    "GeneralizedPareto.exponential": Case(
        dist.GeneralizedPareto(0.5, 1.7, 0.0), st.genpareto(0.0, 0.5, 1.7), ("numpyro",)
    ),
    "GeneralizedPareto.bounded": Case(
        dist.GeneralizedPareto(0.5, 1.7, -0.4), st.genpareto(-0.4, 0.5, 1.7), ("numpyro",)
    ),
    "LogLogistic": Case(dist.LogLogistic(1.7, 9.0), st.fisk(9.0, scale=1.7)),
    "Dagum": Case(dist.Dagum(0.8, 2.5, 1.7), st.burr(2.5, 0.8, scale=1.7), ("pyro",), moments=False),
    "Levy": Case(dist.Levy(0.3, 1.7), st.levy(0.3, 1.7), moments=False),
    "LogUniform": Case(dist.LogUniform(0.2, 5.0), st.loguniform(0.2, 5.0)),
    "FisherSnedecor": Case(dist.FisherSnedecor(4.0, 30.0), st.f(4.0, 30.0), ("numpyro",)),
    "Truncated.SoftLaplace": Case(
        dist.Truncated(dist.SoftLaplace(0.3, 1.7), -1.0, 2.0),
        lacks=BOTH,
        moments=False,
        cdf=cut(st.hypsecant(0.3, 1.7), -1.0, 2.0),
    ),
    "Truncated.GeneralizedPareto": Case(
        dist.Truncated(dist.GeneralizedPareto(0.5, 1.7, 0.1), 0.7, 3.0),
        lacks=BOTH,
        moments=False,
        cdf=cut(st.genpareto(0.1, 0.5, 1.7), 0.7, 3.0),
    ),
    "Truncated.Gompertz": Case(
        dist.Truncated(dist.Gompertz(0.7, 1.3), 0.2, 1.0),
        lacks=BOTH,
        moments=False,
        cdf=cut(st.gompertz(0.7, scale=1 / 1.3), 0.2, 1.0),
    ),
    "Kumaraswamy": Case(
        dist.Kumaraswamy(2.5, 1.7),
        log_density=kumaraswamy(2.5, 1.7),
        cdf=lambda x: 1.0 - (1.0 - np.clip(x, 0.0, 1.0) ** 2.5) ** 1.7,
    ),
    "LogitNormal": Case(
        dist.LogitNormal(0.3, 1.7),
        log_density=logit_normal(0.3, 1.7),
        moments=False,
        cdf=lambda x: st.norm(0.3, 1.7).cdf(sp.logit(np.clip(x, 0.0, 1.0))),
    ),
    "BetaProportion": Case(dist.BetaProportion(0.3, 4.0), st.beta(1.2, 2.8)),
    "ContinuousBernoulli": Case(
        dist.ContinuousBernoulli(0.8),
        lacks=("numpyro",),
        log_density=normalised(lambda x: x * np.log(0.8) + (1.0 - x) * np.log(0.2)),
        cdf=lambda x: np.expm1(np.log(4.0) * np.clip(x, 0.0, 1.0)) / 3.0,
    ),
    "ContinuousBernoulli.logits": Case(
        dist.ContinuousBernoulli(logits=-3.0),
        lacks=("numpyro",),
        log_density=normalised(lambda x: -3.0 * x),
        cdf=lambda x: np.expm1(-3.0 * np.clip(x, 0.0, 1.0)) / np.expm1(-3.0),
    ),
    "ContinuousBernoulli.flat": Case(
        dist.ContinuousBernoulli(logits=1e-5), lacks=("numpyro",), log_density=normalised(lambda x: 1e-5 * x)
    ),
    "RelaxedBernoulli": Case(
        dist.RelaxedBernoulli(0.7, logits=0.4),
        log_density=relaxed(0.7, 0.4),
        moments=False,
        cdf=relaxed_cdf(0.7, 0.4),
    ),
    "RelaxedBernoulli.probs": Case(
        dist.RelaxedBernoulli(0.7, 0.3), log_density=relaxed(0.7, float(sp.logit(0.3))), moments=False
    ),
}
