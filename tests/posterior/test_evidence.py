"""`ppl.log_evidence_bound` against the exact evidence of a linear-Gaussian model of real data."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_iris

import ppl
from ppl import dist, nn
from ppl.errors import DataError, GuideError, ModelError, NonFiniteError, ShapeError, UnknownNameError
from ppl.inference import SVI, AutoNormal
from ppl.models import linear_gaussian_guide, ppca, ppca_maximum_likelihood
from ppl.posterior.ratios import LogWeights, Tally
from ppl.posterior.rows import independent_plate
from tests.budget import sigmas
from tests.posterior.lines import reference_khat

BACKENDS = ("numpyro", "pyro")
FLOWERS = np.asarray(stats.zscore(load_iris(return_X_y=True)[0]))
LATENT = 2
# A rotation of the factors, so that their posterior is correlated: otherwise a mean-field guide would be exact too.
TURN = np.array([[np.cos(0.6), -np.sin(0.6)], [np.sin(0.6), np.cos(0.6)]])
AXES, MEAN, NOISE = ppca_maximum_likelihood(FLOWERS, LATENT)
LOADINGS = AXES @ TURN
PRECISION = np.eye(LATENT) + LOADINGS.T @ LOADINGS / NOISE**2
COVARIANCE = np.linalg.inv(PRECISION)
ENCODE = COVARIANCE @ LOADINGS.T / NOISE**2
MODEL = {"loadings": LOADINGS, "mean": MEAN, "noise": np.array(NOISE)}
LINEAR = {"encode.0.weight": ENCODE, "encode.0.bias": -ENCODE @ MEAN}
EXACT = {**MODEL, **LINEAR, "spread": np.linalg.cholesky(COVARIANCE)}
# Wider than the posterior in every direction, so that the weights are bounded.
WIDE = 1.6 * np.diag(COVARIANCE)
FACTORISED = {**MODEL, **LINEAR, "scale": WIDE**0.5}
DENSITY: Any = stats.multivariate_normal(MEAN, LOADINGS @ LOADINGS.T + NOISE**2 * np.eye(4))
EVIDENCE: np.ndarray = DENSITY.logpdf(FLOWERS)


@ppl.model
def mean_field(observations, latent: int = LATENT):
    """A guide that takes the factors for independent."""
    encode = nn.Linear("encode", observations.shape[-1], latent)
    scale = ppl.param("scale", np.ones(latent), support=dist.support.positive)
    with ppl.plate("rows", observations) as x:
        ppl.sample("z", dist.Normal(encode(x), scale))


def flowers() -> ppl.Program:
    return ppca(FLOWERS, LATENT).observe(x=FLOWERS)


def relative_variance() -> float:
    """Of the weights of the mean-field guide: the integral of p^2 / q, p the posterior, less one."""
    twice = np.linalg.slogdet(2.0 * PRECISION - np.diag(1.0 / WIDE))[1]
    return float(np.expm1(np.linalg.slogdet(PRECISION)[1] + 0.5 * np.log(WIDE).sum() - 0.5 * twice))


def divergence() -> float:
    """KL(q | p) of the mean-field guide in nats; equal in all rows."""
    trace = (np.diag(PRECISION) * WIDE).sum()
    return float(0.5 * (trace - LATENT - np.linalg.slogdet(PRECISION)[1] - np.log(WIDE).sum()))


@pytest.mark.parametrize(("backend", "chunk"), [("numpyro", 3), ("pyro", None)])
def test_with_the_exact_posterior_as_guide_the_bound_is_the_evidence(backend: str, chunk: int | None) -> None:
    settings: Mapping[str, Any] = {"particles": 40, "chunk": chunk, "backend": backend, "precision": "float64"}
    found = ppl.log_evidence_bound(flowers(), linear_gaussian_guide(FLOWERS, LATENT), params=EXACT, **settings)
    assert found["bound"].dims == ("rows",)
    np.testing.assert_allclose(found["bound"], EVIDENCE, rtol=1e-9)
    np.testing.assert_allclose(found["elbo"], EVIDENCE, rtol=1e-9)
    np.testing.assert_allclose(found["standard_error"], 0.0, atol=1e-6)
    assert found.attrs["total"] == pytest.approx(EVIDENCE.sum(), rel=1e-9)
    assert found.attrs["particles"] == 40


@pytest.fixture(scope="module")
def bounds() -> dict[tuple[str, int], Any]:
    guide = mean_field(FLOWERS)
    return {
        (backend, particles): ppl.log_evidence_bound(
            flowers(), guide, params=FACTORISED, particles=particles, backend=backend, precision="float64", chunk=64
        )
        for backend in BACKENDS
        for particles in (1, 10, 1000)
    }


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mean_field_guide_bounds_from_below_and_the_bound_rises(backend: str, bounds: dict) -> None:
    gaps = {}
    for particles in (1, 10, 1000):
        gap = EVIDENCE - bounds[backend, particles]["bound"].values
        # All rows have the same gap in expectation, so their spread says how well its mean is known.
        error = sigmas(6) * gap.std(ddof=1) / len(gap) ** 0.5
        gaps[particles] = gap.mean()
        wanted = divergence() if particles == 1 else relative_variance() / (2 * particles)
        # Beyond the first, the next term of the expansion in 1 / particles counts as well.
        remainder = 0.0 if particles == 1 else (relative_variance() / particles) ** 2
        assert abs(gap.mean() - wanted) < error + remainder
    assert gaps[1] > gaps[10] > gaps[1000]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_standard_error_is_that_of_the_weights(backend: str, bounds: dict) -> None:
    found = bounds[backend, 1000]
    wanted = (relative_variance() / 1000) ** 0.5
    # The spread over rows is what the standard error of each row claims.
    gap = EVIDENCE - found["bound"].values
    assert abs(gap.std(ddof=1) / wanted - 1.0) < sigmas(4) / (2 * len(gap)) ** 0.5 + relative_variance() / 1000
    assert abs(float(found["standard_error"].mean()) / wanted - 1.0) < 0.1
    assert found.attrs["total_standard_error"] == pytest.approx(wanted * len(gap) ** 0.5, rel=0.1)
    # The tail of bounded weights is short.
    assert float(found["khat"].max()) < 0.7
    assert np.isinf(bounds[backend, 1]["standard_error"]).all()
    assert np.isnan(bounds[backend, 1]["khat"]).all()


def test_sums_and_tails_do_not_depend_on_the_chunks() -> None:
    """Against the formulas on all weights at once; heavy tails and impossible draws included."""
    rng = np.random.default_rng(3)
    weights = np.stack([rng.standard_t(3, 1000), 2.0 * rng.exponential(size=1000), rng.normal(size=1000)], axis=1)
    weights[::3, 2] = -np.inf
    tally = Tally(1000, 3)
    for start in range(0, 1000, 37):
        tally.add(weights[start : start + 37])
    plain = np.exp(weights)
    np.testing.assert_allclose(tally.bound, np.log(plain.mean(0)), rtol=1e-12)
    np.testing.assert_allclose(tally.elbo, weights.mean(0), rtol=1e-12)
    np.testing.assert_allclose(tally.standard_error, plain.std(0, ddof=1) / plain.mean(0) / 1000**0.5, rtol=1e-9)
    np.testing.assert_allclose(tally.khat, [reference_khat(row) for row in weights.T], rtol=1e-9)
    assert len(tally.largest) == tally.tail + 1 == 96


def test_weights_that_are_all_zero_are_no_evidence() -> None:
    tally = Tally(30, 2)
    tally.add(np.stack([np.full(30, -np.inf), np.linspace(0.0, 1.0, 30)], axis=1))
    assert np.isneginf(tally.bound[0])
    assert np.isinf(tally.standard_error[0])
    assert np.isposinf(tally.khat[0])
    assert np.isfinite([tally.bound[1], tally.standard_error[1], tally.khat[1]]).all()


def test_no_more_particles_are_held_than_a_chunk() -> None:
    from ppl.posterior.evaluation import compiled

    model, guide = (compiled(p, "numpyro", "float64", 0) for p in (flowers(), mean_field(FLOWERS)))
    weights = LogWeights(model, guide, FACTORISED)
    sizes = [len(part) for part in weights.chunks(50, 0, 7)]
    assert max(sizes) == 7
    assert sum(sizes) == 50


@pytest.mark.parametrize("backend", BACKENDS)
def test_sites_that_are_summed_out_have_a_bound_for_each_row(backend: str) -> None:
    """A mixture of two lines: the guide draws the point on a line, and the line is summed out."""

    @ppl.model
    def lines(points):
        with ppl.plate("rows", points):
            side = ppl.sample("side", dist.Bernoulli(0.3))
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.sample("x", dist.Normal(z + 3.0 * side, 0.5))

    @ppl.model
    def on_line(points):
        with ppl.plate("rows", points) as x:
            ppl.sample("z", dist.Normal(0.4 * x, 1.5))

    points = FLOWERS[:20, 0]
    found = ppl.log_evidence_bound(
        lines(points).observe(x=points), on_line(points), particles=4000, backend=backend, precision="float64"
    )
    sd = 1.25**0.5
    exact = np.log(0.7 * stats.norm.pdf(points, 0.0, sd) + 0.3 * stats.norm.pdf(points, 3.0, sd))
    assert found["bound"].dims == ("rows",)
    off = np.abs(found["bound"].values - exact)
    # The bias of the bound is half the square of its standard error.
    error = found["standard_error"].values
    assert np.all(off < sigmas(2 * len(points)) * error + error**2)


@pytest.mark.parametrize("backend", BACKENDS)
def test_steps_of_a_scan_are_not_independent_rows(backend: str) -> None:
    """The evidence of a random walk is one number, from a Kalman filter's joint normal density."""

    @ppl.model
    def walk(length: int):
        def step(before, _):
            z = ppl.sample("z", dist.Normal(0.9 * before, 0.3))
            ppl.sample("y", dist.Normal(z, 0.5))
            return z

        ppl.scan("time", step, init=0.0, length=length)

    y = FLOWERS[:4, 0]
    program = walk(4).observe(y=y)
    guide = AutoNormal().build(program, 0)
    assert independent_plate(program, guide) is None
    steps = np.array([[0.9 ** (i - j) if i >= j else 0.0 for j in range(4)] for i in range(4)])
    law: Any = stats.multivariate_normal(np.zeros(4), 0.09 * steps @ steps.T + 0.25 * np.eye(4))
    moments = 0.09 * steps @ steps.T
    gain = moments @ np.linalg.inv(moments + 0.25 * np.eye(4))
    params = {"guide.z.loc": gain @ y, "guide.z.scale": np.sqrt(np.diag(moments - gain @ moments))}
    found = ppl.log_evidence_bound(program, guide, params=params, backend=backend, precision="float64")
    assert found["bound"].dims == ()
    error = float(found["standard_error"])
    assert abs(float(found["bound"]) - law.logpdf(y)) < sigmas(2) * error + error**2


def test_a_fit_and_its_parameters_give_the_same_bound() -> None:
    fit = ppl.infer(flowers(), SVI(guide=mean_field(FLOWERS), steps=3, draws=5, progress=False), backend="pyro", seed=4)
    settings: Mapping[str, Any] = {"particles": 30, "backend": "pyro", "seed": 9}
    of_fit = ppl.log_evidence_bound(flowers(), mean_field(FLOWERS), params=fit, **settings)
    given = ppl.log_evidence_bound(flowers(), mean_field(FLOWERS), params=fit.params, **settings)
    own = fit.log_evidence_bound(particles=30, seed=9)
    for name in ("bound", "standard_error", "elbo", "khat"):
        np.testing.assert_array_equal(of_fit[name], given[name])
        np.testing.assert_array_equal(of_fit[name], own[name])
    held_out = fit.log_evidence_bound({"observations": FLOWERS[:5]}, {"x": FLOWERS[:5]}, particles=30, chunk=11)
    assert held_out["khat"].shape == (5,)


def test_what_is_refused() -> None:
    program, guide = flowers(), mean_field(FLOWERS)
    with pytest.raises(ModelError, match=r"parameter 'loadings' has no value(.*\n)*.*params=fit.params"):
        ppl.log_evidence_bound(program, guide)
    with pytest.raises(ModelError, match="parameter 'scale' has no value"):
        ppl.log_evidence_bound(program, guide, params={n: a for n, a in FACTORISED.items() if n != "scale"})
    with pytest.raises(UnknownNameError, match=r"no parameter 'scales'(.*\n)*.*'scale'"):
        ppl.log_evidence_bound(program, guide, params={**FACTORISED, "scales": 1.0})
    with pytest.raises(ShapeError, match="parameter 'scale' is given with the wrong shape"):
        ppl.log_evidence_bound(program, guide, params={**FACTORISED, "scale": np.ones(3)})
    with pytest.raises(ModelError, match="at least one particle in a chunk"):
        ppl.log_evidence_bound(program, guide, params=FACTORISED, chunk=0)
    with pytest.raises(DataError, match="no site is observed"):
        ppl.log_evidence_bound(ppca(FLOWERS, LATENT), guide, params=FACTORISED)
    with pytest.raises(ModelError, match=r"log_evidence_bound needs a program(.*\n)*.*Call the model"):
        ppl.log_evidence_bound(ppca, guide)
    with pytest.raises(GuideError, match="is no guide"):
        ppl.log_evidence_bound(program, AutoNormal())
    with pytest.raises(GuideError, match="no site for this latent"):
        ppl.log_evidence_bound(program, ppca(FLOWERS, LATENT).do(z=np.zeros(2)), params=MODEL)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_weight_that_is_not_finite_names_its_site(backend: str) -> None:
    broken = {**FACTORISED, "loadings": np.full((4, 2), np.inf)}
    with pytest.raises(NonFiniteError, match=r"site 'x'.*at the draws of the guide"):
        ppl.log_evidence_bound(flowers(), mean_field(FLOWERS), params=broken, backend=backend, particles=3)
