"""Families over vectors and matrices whose entries are bound together."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.special as sp
import scipy.stats

from ppl.language import dist
from tests.language.family_case import COVARIANCE, LOC, LOGITS, PROBS, Case, gaussian

# scipy's annotations are those of discrete distributions.
st: Any = scipy.stats

BOTH = ("pyro", "numpyro")
TRIL = np.linalg.cholesky(COVARIANCE)
ROWS = np.linalg.cholesky(np.array([[1.5, 0.4], [0.4, 0.9]]))
MEANS = np.array([[0.3, -1.0, 2.0], [0.0, 0.5, 1.0]])
# A square of four regions with one diagonal.
NEIGHBOURS = np.array([[0, 1, 1, 0], [1, 0, 1, 1], [1, 1, 0, 1], [0, 1, 1, 0]])
AREAS = np.array([0.3, -0.5, 1.0, 0.0])
GRID = np.array([[0.0, 0.3], [0.5, -0.2], [1.4, 0.1], [2.0, 0.9]])
SMOOTH = 1.7 * np.exp(-0.5 * ((GRID[:, None] - GRID[None]) ** 2 / np.array([0.8, 1.5]) ** 2).sum(-1))
ROUGH = np.exp(-np.abs(GRID[:, :1] - GRID[:, 0]) / 0.7)
STEPS = np.minimum(np.arange(1, 5)[:, None], np.arange(1, 5)[None, :])


def concrete(x: np.ndarray, temperature: float, probs: np.ndarray) -> np.ndarray:
    """Log density of Maddison, Mnih and Teh (2017), equation 10, as it stands there."""
    n = len(probs)
    powers = probs * x ** (-temperature - 1.0)
    norm = np.sum(probs * x**-temperature, -1) ** n
    return np.log(sp.gamma(n) * temperature ** (n - 1) * np.prod(powers, -1) / norm)


def sticks(x: np.ndarray, concentration: float) -> np.ndarray:
    """Log density of the weights by the beta densities of the shares and what is left before each."""
    left = 1.0 - np.cumsum(x, -1)[..., :-1]
    before = np.concatenate([np.ones((*x.shape[:-1], 1)), left[..., :-1]], -1)
    shares = x[..., :-1] / before
    return (st.beta(1.0, concentration).logpdf(shares) - np.log(before)).sum(-1)


def buffet(x: np.ndarray, concentration: float) -> np.ndarray:
    """Log density of probabilities by the beta densities of the shares of those before."""
    before = np.concatenate([np.ones((*x.shape[:-1], 1)), x[..., :-1]], -1)
    return (st.beta(concentration, 1.0).logpdf(x / before) - np.log(before)).sum(-1)


TABLE = np.array([[0.5, -1.0], [2.0, 0.3], [-0.7, 1.2]])


def rows(x: np.ndarray) -> np.ndarray:
    """Log probability of rows of the table."""
    return sp.log_softmax(LOGITS)[np.argmin(np.square(x[..., None, :] - TABLE).sum(-1), -1)]


VECTORS: dict[str, Case] = {
    "Codebook": Case(dist.Codebook(TABLE, LOGITS), log_density=rows),
    "Codebook.batch": Case(dist.Codebook(TABLE, np.stack([LOGITS, -LOGITS])), lacks=BOTH),
    "Nearest": Case(dist.Nearest([1.4, 0.1], TABLE), log_density=lambda x: np.log(np.all(x == TABLE[1], -1))),
    "Nearest.batch": Case(dist.Nearest([[1.4, 0.1], [-0.5, 0.9]], TABLE), lacks=BOTH),
    "MultivariateStudentT": Case(
        dist.MultivariateStudentT(12.0, LOC, scale_tril=TRIL),
        log_density=lambda x: st.multivariate_t(LOC, COVARIANCE, df=12.0).logpdf(x),
    ),
    "GaussianProcess": Case(
        dist.GaussianProcess(dist.kernels.RBF([0.8, 1.5], 1.7), GRID, [0.3, -1.0, 2.0, 0.0], [0.4, 0.2, 0.1, 0.3]),
        gaussian(np.array([0.3, -1.0, 2.0, 0.0]), SMOOTH + np.diag([0.4, 0.2, 0.1, 0.3])),
    ),
    "GaussianProcess.jitter": Case(
        dist.GaussianProcess(2.0 * dist.kernels.Matern12(0.7), GRID[:, 0], 0.5, jitter=0.01),
        gaussian(np.full(4, 0.5), 2.0 * ROUGH + 0.01 * np.eye(4)),
    ),
    "GaussianProcess.batch": Case(
        dist.GaussianProcess(dist.kernels.Matern12(0.7) + dist.kernels.White(0.2), GRID[:, :1]).expand([2])
    ),
    "ConditionalGaussianProcess": Case(
        dist.GaussianProcess(2.0 * dist.kernels.Matern12(0.7), GRID[2:, 0], 0.5, 0.1).condition(
            GRID[:2, 0], [1.5, -0.3], noise=0.2
        ),
        gaussian(
            0.5 + 2.0 * ROUGH[2:, :2] @ np.linalg.solve(2.0 * ROUGH[:2, :2] + 0.2 * np.eye(2), [1.0, -0.8]),
            2.0 * ROUGH[2:, 2:]
            + 0.1 * np.eye(2)
            - 4.0 * ROUGH[2:, :2] @ np.linalg.solve(2.0 * ROUGH[:2, :2] + 0.2 * np.eye(2), ROUGH[:2, 2:]),
        ),
    ),
    "ConditionalGaussianProcess.batch": Case(
        dist.GaussianProcess(dist.kernels.Matern12(0.7), GRID[2:, 0]).condition(
            GRID[:2, 0], [[1.5, -0.3], [0.2, 0.4]], noise=0.2
        ),
    ),
    "GaussianRandomWalk": Case(dist.GaussianRandomWalk(1.7, 4), gaussian(np.zeros(4), 1.7**2 * STEPS), ("pyro",)),
    "GaussianRandomWalk.batch": Case(dist.GaussianRandomWalk([0.5, 1.7], 3), lacks=("pyro",)),
    "ZeroSumNormal": Case(
        dist.ZeroSumNormal(1.7, size=4),
        lacks=("pyro",),
        # In any three entries, with the volume that the fourth adds: 1/2 log 4.
        log_density=lambda x: gaussian(np.zeros(3), 1.7**2 * (np.eye(3) - 0.25)).logpdf(x[:, :3]) - 0.5 * np.log(4.0),
    ),
    "ZeroSumNormal.batch": Case(dist.ZeroSumNormal([0.5, 1.7, 1.0], size=4), lacks=("pyro",)),
    "VonMisesFisher.batch": Case(
        dist.VonMisesFisher([[0.6, 0.0, 0.8], [0.0, 1.0, 0.0]], [0.5, 3.0]), lacks=("numpyro",), moments=False
    ),
    "StickBreakingWeights.batch": Case(dist.StickBreakingWeights([0.5, 1.7], size=4), lacks=BOTH),
    "RelaxedOneHotCategorical.batch": Case(dist.RelaxedOneHotCategorical([0.7, 1.5], PROBS), lacks=BOTH, moments=False),
    "CAR.batch": Case(dist.CAR(AREAS, [0.6, -0.3], [1.7, 1.0], NEIGHBOURS), lacks=("pyro",), moments=False),
    "Wishart.batch": Case(dist.Wishart([5.5, 8.0], scale_tril=TRIL)),
    "InverseWishart.batch": Case(dist.InverseWishart([14.0, 18.0], scale_tril=TRIL), lacks=("pyro",)),
    "MultivariateStudentT.batch": Case(dist.MultivariateStudentT([12.0, 15.0], LOC, scale_tril=TRIL)),
    "LKJ.batch": Case(dist.LKJ(3, [0.7, 2.0]), moments=False),
    "MatrixNormal.batch": Case(
        dist.MatrixNormal(np.stack([MEANS, -MEANS]), np.stack([ROWS, np.eye(2)]), TRIL), lacks=("pyro",)
    ),
    "DirichletMultinomial.batch": Case(dist.DirichletMultinomial([[0.7, 1.0, 2.5], [3.0, 1.0, 1.0]], 7)),
    "IndianBuffetWeights": Case(
        dist.IndianBuffetWeights(1.7, size=4), lacks=BOTH, log_density=lambda x: buffet(x, 1.7)
    ),
    "IndianBuffetWeights.batch": Case(dist.IndianBuffetWeights([0.5, 1.7], size=4), lacks=BOTH),
    "StickBreakingWeights": Case(
        dist.StickBreakingWeights(1.7, size=4), lacks=BOTH, log_density=lambda x: sticks(x, 1.7)
    ),
    "RelaxedOneHotCategorical": Case(
        dist.RelaxedOneHotCategorical(0.7, PROBS),
        lacks=("numpyro",),
        moments=False,
        log_density=lambda x: concrete(x, 0.7, PROBS),
    ),
    "RelaxedOneHotCategorical.logits": Case(
        dist.RelaxedOneHotCategorical(1.5, logits=LOGITS),
        lacks=("numpyro",),
        moments=False,
        log_density=lambda x: concrete(x, 1.5, sp.softmax(LOGITS)),
    ),
    "MatrixNormal": Case(
        dist.MatrixNormal(MEANS, ROWS, TRIL),
        lacks=("pyro",),
        log_density=lambda x: np.array([st.matrix_normal(MEANS, ROWS @ ROWS.T, COVARIANCE).logpdf(v) for v in x]),
    ),
    "CAR": Case(
        dist.CAR(AREAS, 0.6, 1.7, NEIGHBOURS),
        gaussian(AREAS, np.linalg.inv(1.7 * (np.diag(NEIGHBOURS.sum(1)) - 0.6 * NEIGHBOURS))),
        ("pyro",),
        moments=False,
    ),
    "LKJ": Case(dist.LKJ(4, 1.5), moments=False),
    "LKJ.two": Case(
        dist.LKJ(2, 0.7),
        moments=False,
        log_density=lambda x: st.beta(0.7, 0.7, loc=-1.0, scale=2.0).logpdf(x[:, 1, 0]),
    ),
    "Wishart": Case(
        dist.Wishart(5.5, COVARIANCE),
        log_density=lambda x: np.array([st.wishart(5.5, COVARIANCE).logpdf(v) for v in x]),
    ),
    "Wishart.tril": Case(
        dist.Wishart(5.5, scale_tril=TRIL),
        log_density=lambda x: np.array([st.wishart(5.5, COVARIANCE).logpdf(v) for v in x]),
    ),
    "InverseWishart": Case(
        dist.InverseWishart(14.0, COVARIANCE),
        lacks=("pyro",),
        log_density=lambda x: np.array([st.invwishart(14.0, COVARIANCE).logpdf(v) for v in x]),
    ),
    "InverseWishart.tril": Case(
        dist.InverseWishart(14.0, scale_tril=TRIL),
        lacks=("pyro",),
        log_density=lambda x: np.array([st.invwishart(14.0, COVARIANCE).logpdf(v) for v in x]),
    ),
}
