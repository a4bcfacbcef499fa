"""Fits of data with missing elements: draws of what is missing, and what counts as data."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

import ppl
from ppl import dist, ops
from ppl.backend.compiled import get_backend
from ppl.errors import PlateError
from ppl.inference import IWELBO, NUTS, SVI, Adam, AutoDelta, AutoNormal
from ppl.posterior.posterior import Posterior
from tests.budget import assert_mean, assert_variance, sigmas
from tests.inference.cases import BACKENDS
from tests.models.comparing import assert_means, gaussian_log_density
from tests.posterior.fits import Exact
from tests.transforms.test_missing import (
    COVARIANCE,
    LABELS,
    NAN,
    OUT,
    PATH,
    POINTS,
    X,
    covariate,
    labelled,
    path_conditional,
    total,
    walk,
)

RNG = np.random.default_rng(29)


@pytest.fixture(scope="module")
def path_fit() -> Posterior:
    method = NUTS(chains=2, warmup=300, draws=500, progress=False)
    return ppl.infer(walk().observe(y=PATH), method, seed=2)


def test_nuts_imputes_from_the_conditional(path_fit: Posterior):
    mean, covariance = path_conditional()
    draws = path_fit.draws["y.missing"]
    assert draws.shape == (2, 500, 5)
    assert_means({"y.missing": draws}, {"y.missing": mean})
    centred = (draws - mean) @ np.linalg.inv(np.linalg.cholesky(covariance)).T
    assert_means({"squares": centred**2}, {"squares": np.ones(5)})


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_with_imputed_elements_average_to_the_whole(backend: str):
    program = covariate().observe(x=X, y=OUT)
    guide = AutoDelta(init={"mu": 0.3, "slope": 1.1, "x.missing": np.array([0.2, -0.4])}, init_radius=0.0)
    whole = SVI(guide=guide, progress=False).start(program, get_backend(backend), 0, "float64").advance(1)
    still = SVI(guide=guide, optimizer=Adam(1e-14), batch_size=2, progress=False)
    parts = still.start(program, get_backend(backend), 0, "float64").advance(3)
    assert parts.mean() == pytest.approx(whole[0], rel=1e-9)
    assert np.ptp(parts) > 0.0


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_of_missing_elements_are_refused(backend: str):
    method = SVI(guide=AutoNormal(), steps=2, batch_size={"x.gaps": 1}, progress=False)
    with pytest.raises(PlateError, match="the missing elements of 'x' cannot be cut into minibatches") as caught:
        ppl.infer(covariate().observe(x=X, y=OUT), method, backend=backend)
    assert caught.value.expected == "a plate of rows, such as rows"
    assert "Cut the plate that the site stands in" in (caught.value.remedy or "")
    assert caught.value.declared_at is not None


@pytest.mark.parametrize("backend", BACKENDS)
def test_importance_weighted_bounds_count_imputed_elements(backend: str):
    """Of jointly normal elements every density is known, so the bound of a guide is an expectation of known numbers."""
    mean, covariance = path_conditional()
    program = walk().observe(y=PATH)
    guide = AutoNormal(init={"y.missing": mean}, init_scale=0.3)
    still = SVI(objective=IWELBO(4), guide=guide, optimizer=Adam(1e-14), progress=False)
    objective = still.start(program, get_backend(backend), 0, "float64").advance(2000)
    at = total(program, {"y.missing": mean}, "pyro")
    evidence = at - gaussian_log_density(mean, mean, covariance)
    draws = RNG.normal(size=(2000, 4, 5))
    log_weight = gaussian_log_density(mean + 0.3 * draws, mean, covariance) - stats.norm.logpdf(
        0.3 * draws, 0, 0.3
    ).sum(-1)
    bound = evidence + logsumexp(log_weight, axis=-1) - np.log(4)
    error = np.hypot(bound.std(), objective.std()) / np.sqrt(2000)
    assert abs(objective.mean() - bound.mean()) < sigmas() * error
    assert bound.mean() < evidence


def test_saving_and_loading(path_fit: Posterior, tmp_path: Path):
    again = Posterior.load(path_fit.save(tmp_path / "path"))
    assert again.program == path_fit.program
    np.testing.assert_array_equal(again.draws["y.missing"], path_fit.draws["y.missing"])
    np.testing.assert_array_equal(again.log_likelihood["y"], path_fit.log_likelihood["y"])


def test_arviz_sees_gaps_in_the_data_and_draws_of_what_is_missing(path_fit: Posterior):
    data = path_fit.to_arviz()
    np.testing.assert_array_equal(data["observed_data"]["y"], PATH)
    assert data["posterior"]["y.missing"].dims == ("chain", "draw", "y.gaps")
    groups = list(data.children) if hasattr(data, "children") else data.groups()
    # The walk has no other latent, and where the gaps are is seen from the data.
    assert {g.strip("/") for g in groups} - {""} == {"posterior", "log_likelihood", "sample_stats", "observed_data"}


def test_what_is_missing_is_no_data_point(path_fit: Posterior):
    density = path_fit.log_likelihood["y"]
    known = np.flatnonzero(~np.isnan(PATH))
    assert density.dims == ("chain", "draw", "y_known")
    np.testing.assert_array_equal(density["y_known"], known)
    before = np.broadcast_to(PATH, (2, 500, 12)).copy()
    before[..., np.isnan(PATH)] = path_fit.draws["y.missing"]
    mean = 0.8 * np.concatenate([np.ones((2, 500, 1)), before[..., :-1]], axis=-1)
    np.testing.assert_allclose(density, stats.norm.logpdf(PATH, mean, 0.5)[..., known], rtol=1e-4, atol=1e-5)
    result = path_fit.loo(pointwise=True)
    assert result.n_data_points == len(known)
    assert result.elpd_loo if hasattr(result, "elpd_loo") else result.elpd


def test_partly_known_rows_count_with_what_is_known():
    @ppl.model
    def model():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        with ppl.plate("groups", size=2), ppl.plate("rows", size=3):
            x = ppl.sample("x", dist.Normal(mu, 1.0).expand([2]))
            ppl.sample("y", dist.Normal(ops.sum(x), 1.0))

    x = RNG.normal(size=(2, 3, 2))
    x[0, 1] = x[1, 2, 0] = NAN
    y = np.where(np.arange(6).reshape(2, 3) == 4, NAN, 0.3)
    draws = {"mu": RNG.normal(0.0, 0.1, (2, 1000)), "x.missing": RNG.normal(0.0, 0.1, (2, 1000, 3))}
    fit = Posterior(model().observe(x=x, y=y), Exact(), backend="pyro", precision="float64", draws=draws)
    mu = draws["mu"][..., None, None, None]
    each = np.where(np.isnan(x), 0.0, stats.norm.logpdf(np.nan_to_num(x), mu)).sum(-1).reshape(2, 1000, 6)
    found = fit.log_likelihood
    assert found["x"].dims == ("chain", "draw", "x_known")
    np.testing.assert_allclose(found["x"], each[..., [0, 2, 3, 4, 5]], rtol=1e-9)
    np.testing.assert_array_equal(found["y"]["y_known"], [0, 1, 2, 3, 5])
    for site in ("x", "y"):
        result = fit.loo(site, pointwise=True)
        assert result.n_data_points == 5
        log = np.asarray(found[site]).reshape(2000, 5)
        # Draws that differ so little need no smoothing to speak of: the harmonic mean is the estimate.
        wanted = (np.log(2000) - logsumexp(-log, axis=0)).sum()
        assert float(result.elpd_loo if hasattr(result, "elpd_loo") else result.elpd) == pytest.approx(wanted, abs=0.02)


def test_vectors_whose_known_part_has_a_density_of_its_own_count_too():
    """Normal vectors that others read are imputed by number, and counted by the marginal density of what is known."""

    @ppl.model
    def model():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0).expand([3]))
        with ppl.plate("rows", size=4):
            x = ppl.sample("x", dist.MultivariateNormal(mu, covariance_matrix=COVARIANCE))
            ppl.sample("y", dist.Normal(ops.sum(x), 1.0))

    x = RNG.normal(size=(4, 3))
    x[0, 1] = x[1, [0, 2]] = x[2] = NAN
    draws = {"mu": RNG.normal(size=(1, 7, 3)), "x.missing": RNG.normal(size=(1, 7, 6))}
    program = model().observe(x=x, y=np.zeros(4))
    for backend in BACKENDS:
        fit = Posterior(program, Exact(), backend=backend, precision="float64", draws=draws)
        density = fit.log_likelihood["x"]
        np.testing.assert_array_equal(density["x_known"], [0, 1, 3])
        for i, row in enumerate((0, 1, 3)):
            known = ~np.isnan(x[row])
            within = COVARIANCE[np.ix_(known, known)]
            wanted = [gaussian_log_density(x[row, known], mu[known], within) for mu in draws["mu"][0]]
            np.testing.assert_allclose(density[0, :, i], wanted, rtol=1e-9)


def test_replicates_and_pictures_of_data_with_gaps(path_fit: Posterior):
    import matplotlib.pyplot as plt

    replicates = path_fit.predict(seed=4)
    assert replicates["y"].dims == ("chain", "draw", "time")
    assert_variance((replicates["y"].values[..., 0] - 0.8).ravel(), 0.25)
    assert path_fit.plot_predictive(num_pp_samples=20) is not None
    plt.close("all")


def test_simulating_draws_data_anew():
    """What is known is data: a simulation draws it like the rest, imputed or not."""
    for program in (covariate().observe(x=X, y=OUT), labelled().observe(z=LABELS, y=POINTS)):
        drawn = ppl.simulate(program, 3000, seed=2, backend="pyro")
        if "x" in drawn:
            assert_variance(drawn["x"].values[:, 0], 1.64)
            np.testing.assert_array_equal(drawn["x.missing"], drawn["x"].values[:, [1, 3]])
        else:
            assert_mean((drawn["z"].values[:, 0, None] == np.arange(3)) + 0.0, np.array([0.2, 0.3, 0.5]))
