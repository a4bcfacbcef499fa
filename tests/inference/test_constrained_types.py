"""Sites and parameters of every constrained type, on both backends: exact moments under NUTS, exact maxima by SVI."""

from __future__ import annotations

from typing import Any

import arviz
import numpy as np
import pytest
import scipy.special as sp

import ppl
from ppl import dist
from ppl.inference import ELBO, NUTS, SVI, Adam, AutoDelta, Schedule
from ppl.language.dist import support
from ppl.program.supports import Support
from tests.budget import sigmas
from tests.inference.cases import BACKENDS

NORTH = np.array([0.6, 0.0, 0.8])
SCALE = np.array([[1.0, 0.3], [0.3, 0.5]])
NORMALS = np.array([0.2, -0.3, 0.1])


@ppl.model
def everything():
    ppl.sample("zero_sum", dist.ZeroSumNormal(1.5, size=4))
    ppl.sample("direction", dist.VonMisesFisher(NORTH, 2.0))
    ppl.sample("sphere", dist.SphereUniform(3))
    ppl.sample("circle", dist.SphereUniform(2))
    ppl.sample("angle", dist.VonMises(0.4, 1.5))
    ppl.sample("correlation", dist.LKJ(3, 2.0))
    ppl.sample("factor", dist.LKJCholesky(3, 2.0))
    ppl.sample("covariance", dist.Wishart(6.0, SCALE))
    ppl.sample("weights", dist.StickBreakingWeights(1.5, size=4))
    ppl.sample("shares", dist.Dirichlet([2.0, 1.0, 3.0]))
    ppl.sample("ordered", dist.Transformed(dist.Normal(NORMALS, 0.5), dist.Ordered()))
    ppl.sample("positive_ordered", dist.Transformed(dist.Normal(NORMALS, 0.5), dist.PositiveOrdered()))
    ppl.sample("bounded", dist.LogUniform(0.5, 2.0))


STEP = np.exp(NORMALS + 0.125)  # the mean of an exponential step
# The numbers of a draw whose means are known, and those means.
MEANS = {
    "zero_sum": (lambda x: np.concatenate([x, x**2], -1), np.repeat([0.0, 1.5**2 * 0.75], 4)),
    "direction": (lambda x: x, NORTH * (1.0 / np.tanh(2.0) - 0.5)),
    "sphere": (lambda x: np.concatenate([x, x**2], -1), np.repeat([0.0, 1.0 / 3.0], 3)),
    "circle": (lambda x: np.concatenate([x, x**2], -1), np.repeat([0.0, 0.5], 2)),
    "angle": (
        lambda x: np.stack([np.cos(x - 0.4), np.sin(x - 0.4)], -1),
        np.array([sp.i1e(1.5) / sp.i0e(1.5), 0.0]),
    ),
    # Each correlation is a beta with both weights 5/2, on (-1, 1): variance 1/6.
    "correlation": (lambda x: x[..., [1, 2, 2], [0, 0, 1]] ** 2, np.full(3, 1.0 / 6.0)),
    "factor": (
        lambda x: (x @ np.swapaxes(x, -1, -2))[..., [1, 2, 2], [0, 0, 1]] ** 2,
        np.full(3, 1.0 / 6.0),
    ),
    "covariance": (lambda x: x[..., [0, 1, 1], [0, 0, 1]], 6.0 * SCALE[[0, 1, 1], [0, 0, 1]]),
    "weights": (lambda x: x, np.array([0.4, 0.24, 0.144, 0.216])),
    "shares": (lambda x: x, np.array([2.0, 1.0, 3.0]) / 6.0),
    "ordered": (lambda x: x, np.array([0.2, 0.2 + STEP[1], 0.2 + STEP[1] + STEP[2]])),
    "positive_ordered": (lambda x: x, np.cumsum(STEP)),
    "bounded": (lambda x: np.stack([x, 1.0 / x], -1), np.full(2, 1.5 / np.log(4.0))),
}


@pytest.mark.parametrize("backend", BACKENDS)
def test_nuts_has_the_exact_moments(backend: str):
    # Pyro's sampler runs eagerly, about twenty times slower than NumPyro's.
    method = NUTS(chains=2, draws=1500, warmup=500) if backend == "numpyro" else NUTS(chains=1, draws=250, warmup=150)
    program = everything()
    fit = ppl.infer(program, method, backend=backend, precision="float64", seed=1)
    assert set(MEANS) == set(program.sites)
    comparisons = sum(len(mean) for _, mean in MEANS.values())
    for name, (numbers, mean) in MEANS.items():
        x = np.asarray(fit.draws[name])
        inside = program.sites[name].dist.support.contains(x)
        assert inside is not None and inside.all(), name
        found = numbers(x)
        effective = np.array([float(arviz.ess(found[..., i])) for i in range(len(mean))])
        error = found.std((0, 1)) / np.sqrt(effective)
        off = np.abs(found.mean((0, 1)) - mean) / error
        assert np.all(off < sigmas(comparisons)), (name, off)


def rotated(angle: float) -> np.ndarray:
    return np.array([np.cos(angle), np.sin(angle)])


# Where a parameter is kept, where it starts, and where the data is.
PARAMS: dict[str, tuple[Support, Any, Any]] = {
    "ordered": (support.ordered, [-1.0, 0.0, 1.0], [-0.5, 0.3, 2.0]),
    "positive ordered": (support.positive_ordered, [1.0, 2.0, 3.0], [0.4, 0.9, 3.5]),
    "falling": (support.falling, [0.8, 0.5, 0.2], [0.9, 0.3, 0.25]),
    "simplex": (support.simplex, [0.2, 0.3, 0.5], [0.6, 0.1, 0.3]),
    "zero sum": (support.zero_sum, [0.0, 0.0, 0.0], [1.0, -1.5, 0.5]),
    "sphere": (support.sphere, [1.0, 0.0, 0.0], NORTH),
    "circle": (support.sphere, rotated(2.0), rotated(-2.0)),
    "lower Cholesky": (support.lower_cholesky, np.eye(2), [[0.5, 0.0], [0.7, 1.5]]),
    "correlation Cholesky": (support.corr_cholesky, np.eye(2), [[1.0, 0.0], [0.6, 0.8]]),
    "correlation": (support.corr_matrix, np.eye(2), [[1.0, -0.7], [-0.7, 1.0]]),
    "covariance": (support.positive_definite, np.eye(2), SCALE),
    "half-open interval": (support.half_open_interval(-1.0, 2.0), 0.0, 1.5),
    "circular": (support.circular, 0.0, -2.5),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PARAMS)
def test_a_parameter_of_each_type_reaches_the_maximum(name: str, backend: str):
    kept, start, data = PARAMS[name]

    @ppl.model
    def around():
        theta = ppl.param("theta", np.asarray(start), support=kept)
        ppl.sample("y", dist.Normal(theta, 1.0))

    program = around().observe(y=np.asarray(data, dtype=float))
    method = SVI(ELBO(), guide=AutoDelta(), optimizer=Adam(0.1, Schedule(steps=600)), steps=600)
    fit = ppl.infer(program, method, backend=backend, precision="float64")
    found = np.asarray(fit.params["theta"])
    inside = kept.contains(found)
    assert inside is not None and np.all(inside)
    np.testing.assert_allclose(found, data, atol=1e-4)
