"""Bounds on the evidence of rows: exact where the guide is, and tighter with more draws at the known rate."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import ppl
from ppl import dist
from ppl.errors import DataError, GuideError, ModelError, UnknownNameError
from ppl.posterior.posterior import Posterior
from tests.budget import sigmas
from tests.posterior.fits import NOISE_SD, PRIOR_SD, Exact, centre_approximation, centre_moments, regression_fit

BACKENDS = ("numpyro", "pyro")
X = np.random.default_rng(8).normal(0.0, 1.5, size=(6, 2))
NEW = np.random.default_rng(9).normal(0.0, 1.5, size=(4, 2))


@ppl.model
def signal(rows):
    """x = z + noise, both standard normal: z given x is N(x / 2, 1 / 2), and x is N(0, 2)."""
    with ppl.plate("rows", rows):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([2]), dims=("part",))
        ppl.sample("x", dist.Normal(z, 1.0), dims=("part",))


@ppl.model
def recognise(rows):
    slope = ppl.param("slope", 0.0)
    spread = ppl.param("spread", 1.0, support=dist.support.positive)
    with ppl.plate("rows", rows) as row:
        ppl.sample("z", dist.Normal(slope * row, spread))


def fit(backend: str, spread: float = 0.5**0.5, **facts) -> Posterior:
    return Posterior(
        signal(X).observe(x=X),
        Exact(),
        backend=backend,
        precision="float64",
        params={"slope": np.array(0.5), "spread": np.array(spread)},
        guide=recognise(X),
        draws={"z": np.zeros((1, 30, 6, 2))},
        log_q=np.zeros((1, 30)),
        **facts,
    )


def evidence(rows: np.ndarray) -> np.ndarray:
    return stats.norm.logpdf(rows, 0.0, 2.0**0.5).sum(-1)


@pytest.mark.parametrize("particles", [1, 7])
@pytest.mark.parametrize("backend", BACKENDS)
def test_an_exact_guide_gives_the_evidence_of_each_row(backend: str, particles: int):
    """Then each weight is the evidence, whatever was drawn."""
    found = fit(backend).bound(particles=particles)
    assert found.dims == ("rows",)
    np.testing.assert_allclose(found, evidence(X), rtol=1e-10)
    held_out = fit(backend).bound({"rows": NEW}, {"x": NEW}, particles=particles)
    np.testing.assert_allclose(held_out, evidence(NEW), rtol=1e-10)
    assert held_out.attrs["unit"] == "nats"


@pytest.mark.parametrize("backend", BACKENDS)
def test_more_particles_close_the_gap_as_one_over_their_number(backend: str):
    """The gap is half the variance of a weight, relative to its mean, over the number of particles."""
    rows = np.tile(NEW[:1], (4000, 1))
    wide = fit(backend, spread=1.0)
    gaps, errors = [], []
    for particles in (10, 40):
        found = evidence(rows) - np.asarray(wide.bound({"rows": rows}, {"x": rows}, particles=particles))
        gaps.append(found.mean())
        errors.append(found.std() / len(found) ** 0.5)
    # q = N(m, s^2) against p = N(m, v): E_q[(p/q)^2] = s^2 / (v sqrt(2 s^2 / v - 1)), for each of the two numbers.
    ratio = (1.0 / (0.5 * np.sqrt(2.0 / 0.5 - 1.0))) ** 2 - 1.0
    for particles, gap, error in zip((10, 40), gaps, errors, strict=True):
        # The next term of the expansion is of order 1 / particles^2.
        assert abs(gap - ratio / (2 * particles)) < sigmas() * error + (ratio / particles) ** 2
    assert gaps[1] < gaps[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_pieces_are_put_together(backend: str):
    from ppl.posterior.bounds import fit_bound

    whole = fit(backend, spread=1.0)
    found = fit_bound(whole, {}, {}, 1001, 3, chunk_bytes=20_000)["bound"]
    exact = evidence(X)
    # A thousand weights of relative variance 1/3: a standard error of two percent of a nat.
    np.testing.assert_allclose(found, exact, atol=sigmas() * (1 / 3 / 1001) ** 0.5)
    assert not np.array_equal(found, whole.bound(particles=1001))
    np.testing.assert_array_equal(whole.bound(particles=5, seed=1), whole.bound(particles=5, seed=1))
    assert not np.array_equal(whole.bound(particles=5, seed=1), whole.bound(particles=5, seed=2))


def test_labels_stay_with_their_rows_and_not_with_others():
    labelled = fit("pyro").with_coords(rows=list("abcdef"))
    assert list(labelled.bound().rows.values) == list("abcdef")
    assert list(labelled.bound({"rows": NEW}, {"x": NEW}).rows.values) == [0, 1, 2, 3]


def test_other_data_for_the_same_rows():
    found = fit("pyro", spread=1.0).bound(data_only := {}, {"x": X}, particles=3, seed=1)
    assert not data_only
    np.testing.assert_array_equal(found, fit("pyro", spread=1.0).bound(particles=3, seed=1))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_global_latent_gives_one_bound_for_all_rows(backend: str):
    approximation = centre_approximation()
    y = np.asarray(approximation.program.data["y"])
    loc, scale = centre_moments(y)
    exact_guide = {"loc": np.array(loc), "scale": np.array(scale)}
    found = approximation.replace(backend=backend, precision="float64", params=exact_guide).bound(particles=3)
    assert found.dims == ()
    covariance = NOISE_SD**2 * np.eye(len(y)) + PRIOR_SD**2 * np.ones((len(y), len(y)))
    exact = stats.multivariate_normal.logpdf(y, np.zeros(len(y)), covariance)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(found, exact, rtol=1e-10)


def test_what_a_bound_needs():
    with pytest.raises(ModelError, match="at least one particle"):
        fit("pyro").bound(particles=0)
    with pytest.raises(ModelError, match=r"has no guide(.*\n)*.*ImportanceSampling"):
        regression_fit(draws=3).bound()
    with pytest.raises(DataError, match=r"site 'x'.*no data for the new rows(.*\n)*.*bound"):
        fit("pyro").bound({"rows": NEW})
    with pytest.raises(UnknownNameError, match=r"observed no site 'X'(.*\n)*.*'x'"):
        fit("pyro").bound({"rows": NEW}, {"X": NEW})
    with pytest.raises(UnknownNameError, match="no input 'row'"):
        fit("pyro").bound({"row": NEW}, {"x": NEW})


def test_a_guide_that_is_not_amortised_cannot_bound_new_rows():
    @ppl.model
    def by_row(rows):
        with ppl.plate("rows", size=6):
            ppl.sample("z", dist.Normal(ppl.param("loc", np.zeros(2)), 1.0))

    own = fit("pyro").replace(guide=by_row(X), params={"loc": np.zeros((6, 2))})
    assert own.bound(particles=3).shape == (6,)
    with pytest.raises(GuideError, match="cannot draw 'z' for new rows"):
        own.bound({"rows": NEW}, {"x": NEW})
