"""Programs with exact answers, and the methods that are tried on each: the product is the test suite."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats

import ppl
from ppl import dist, ops
from ppl.inference import (
    ELBO,
    NUTS,
    SVI,
    Adam,
    AutoLowRank,
    AutoMultivariateNormal,
    AutoNormal,
    ImportanceSampling,
    Schedule,
)

BACKENDS = ("numpyro", "pyro")


@dataclass(frozen=True)
class Case:
    """A program whose posterior is a known multivariate normal.

    Attributes:
        build: makes the observed program.
        mean: posterior mean by site.
        covariance: posterior covariance of all latent numbers, sites in order.
        log_evidence: in nats.
    """

    build: Callable[[], ppl.Program]
    mean: dict[str, np.ndarray]
    covariance: np.ndarray
    log_evidence: float


def _gaussian(
    design: np.ndarray, y: np.ndarray, prior: np.ndarray, noise: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Posterior mean and covariance, and evidence, of y ~ N(design @ u, noise^2), u ~ N(0, diag(prior^2))."""
    precision = design.T @ design / noise**2 + np.diag(prior**-2.0)
    covariance = np.linalg.inv(precision)
    mean = covariance @ design.T @ y / noise**2
    marginal = design @ np.diag(prior**2) @ design.T + noise**2 * np.eye(len(y))
    return mean, covariance, float(stats.multivariate_normal.logpdf(y, np.zeros(len(y)), marginal))  # pyright: ignore[reportArgumentType]


def _rng() -> np.random.Generator:
    return np.random.default_rng(20)


X = _rng().normal(size=(12, 2))
Y = X @ [0.7, -0.4] + 0.3 + 0.5 * _rng().normal(size=12)
GROUP = np.arange(12) % 3
Z = _rng().normal(size=12) + np.array([0.8, -0.2, 0.1])[GROUP]


@ppl.model
def regression(features):
    weights = ppl.sample("weights", dist.Normal(0.0, 1.0).expand([2]))
    intercept = ppl.sample("intercept", dist.Normal(0.0, 2.0))
    with ppl.plate("rows", features) as x:
        ppl.sample("y", dist.Normal(x @ weights + intercept, 0.5))


@ppl.model
def groups(group, count: int = 3):
    centre = ppl.sample("centre", dist.Normal(0.0, 1.0))
    with ppl.plate("groups", size=count):
        offset = ppl.sample("offset", dist.Normal(0.0, 0.7))
    with ppl.plate("rows", group) as g:
        ppl.sample("y", dist.Normal(centre + offset[g], 1.0))


@ppl.model
def factors(rows: int = 6):
    with ppl.plate("rows", size=rows):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(ops.stack([z, -0.5 * z]), 0.8))


def _regression_case() -> Case:
    design = np.column_stack([X, np.ones(12)])
    mean, covariance, evidence = _gaussian(design, Y, np.array([1.0, 1.0, 2.0]), 0.5)
    build = lambda: regression(X).observe(y=Y)
    return Case(build, {"weights": mean[:2], "intercept": mean[2]}, covariance, evidence)


def _groups_case() -> Case:
    design = np.column_stack([np.ones(12), np.eye(3)[GROUP]])
    mean, covariance, evidence = _gaussian(design, Z, np.array([1.0, 0.7, 0.7, 0.7]), 1.0)
    build = lambda: groups(GROUP).observe(y=Z)
    return Case(build, {"centre": mean[0], "offset": mean[1:]}, covariance, evidence)


def _factors_case() -> Case:
    y = _rng().normal(size=(6, 2))
    design = np.kron(np.eye(6), np.array([[1.0], [-0.5]]))
    mean, covariance, evidence = _gaussian(design, y.ravel(), np.ones(6), 0.8)
    build = lambda: factors().observe(y=y)
    return Case(build, {"z": mean}, covariance, evidence)


CASES: dict[str, Case] = {"regression": _regression_case(), "groups": _groups_case(), "factors": _factors_case()}

_FALLING = Adam(0.05, schedule=Schedule(steps=1500, final_fraction=0.01))

# Each method with the cases whose exact posterior it can reach; a new method is tested everywhere by being listed.
METHODS = {
    "svi-full": (SVI(guide=AutoMultivariateNormal(), optimizer=_FALLING, steps=1500, progress=False), tuple(CASES)),
    "svi-low-rank": (SVI(guide=AutoLowRank(2), optimizer=_FALLING, steps=1500, progress=False), ("groups",)),
    "svi-normal": (SVI(guide=AutoNormal(), optimizer=_FALLING, steps=1500, progress=False), ("factors",)),
    "svi-analytic": (
        SVI(objective=ELBO(2, analytic_kl=True), guide=AutoNormal(), optimizer=_FALLING, steps=1500, progress=False),
        ("factors",),
    ),
    "nuts": (NUTS(chains=2, draws=500, warmup=300, progress=False), tuple(CASES)),
    "importance": (ImportanceSampling(40_000), ("regression", "groups")),
}
