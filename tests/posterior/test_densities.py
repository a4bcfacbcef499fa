import warnings

import numpy as np
import pytest
from scipy.stats import norm

from ppl.errors import DataError, StrategyError, UnknownNameError
from ppl.posterior import evaluation
from ppl.posterior.loo import pareto_smooth
from ppl.posterior.posterior import Posterior
from tests.budget import sigmas
from tests.posterior.fits import (
    NOISE_SD,
    PRIOR_SD,
    Exact,
    centre,
    centre_approximation,
    centre_fit,
    centre_guide,
    centre_log_joint,
    centre_moments,
    centre_weighted,
    data,
    factors_fit,
    normal_log_density,
    present,
    regression_fit,
)
from tests.posterior.lines import arviz, loo_facts, reference_khat

BACKENDS = ("numpyro", "pyro")


@pytest.mark.parametrize("backend", BACKENDS)
def test_pointwise_densities_against_numpy(backend):
    fit = regression_fit(backend)
    y = fit.program.data["y"]
    wanted = normal_log_density(y, fit.draws["mean"] + fit.draws["own"], 0.5)
    assert fit.log_likelihood["y"].dims == ("chain", "draw", "rows")
    np.testing.assert_allclose(fit.log_likelihood["y"], wanted, rtol=1e-9)
    prior = fit.log_prior
    assert list(prior) == ["slope", "intercept", "own"]
    assert prior["slope"].dims == ("chain", "draw")
    np.testing.assert_allclose(prior["slope"], normal_log_density(fit.draws["slope"], 0.0, 1.0).sum(-1), rtol=1e-9)
    assert prior["intercept"].dims == ("chain", "draw", "groups")
    np.testing.assert_allclose(prior["own"], normal_log_density(fit.draws["own"], 0.0, 0.1), rtol=1e-9)


def test_fitted_parameters_are_used():
    fit = factors_fit()
    x, p = fit.program.data["x"], fit.params
    wanted = normal_log_density(x, fit.draws["z"] @ p["decoder.0.weight"].T + p["decoder.0.bias"], 0.1).sum(-1)
    np.testing.assert_allclose(fit.log_likelihood["x"], wanted, rtol=1e-3)


@pytest.mark.parametrize("budget", [1, 3000, 2**28])
@pytest.mark.parametrize("backend", BACKENDS)
def test_chunks_do_not_change_the_densities(backend, budget):
    fit = regression_fit(backend, draws=5)
    target = evaluation.compiled(fit.program, backend, "float64", 0)
    values = {n: fit.draws[n].reshape(10, *fit.draws[n].shape[2:]) for n in fit.program.latents}
    terms = evaluation.density_terms(target, values, {}, 10, budget)
    np.testing.assert_allclose(terms["y"].reshape(2, 5, 6), fit.log_likelihood["y"], rtol=1e-12)


def test_chunks_have_one_size_and_cover_every_draw_once():
    found = list(evaluation.pieces(10, 100, 350))
    assert [len(index) for _, index in found] == [3, 3, 3, 3]
    covered = np.concatenate([index[: place.stop - place.start] for place, index in found])
    np.testing.assert_array_equal(covered, np.arange(10))
    assert [p for p, _ in evaluation.pieces(4, 10**9, 1)] == [slice(i, i + 1) for i in range(4)]


def test_memory_of_a_draw_grows_with_the_rows():
    small = evaluation.bytes_per_draw(centre(10), "float64")
    large = evaluation.bytes_per_draw(centre(1000), "float64")
    assert 50 < large / small < 101
    assert evaluation.bytes_per_draw(centre(10), "float32") * 2 == small


def quantile_draws(loc: float, scale: float, count: int) -> np.ndarray:
    """Normal draws without Monte Carlo error: quantiles in random order."""
    draws = norm.ppf((np.arange(count) + 0.5) / count, loc, scale)
    return np.random.default_rng(0).permutation(draws)


def exact_loo(y: np.ndarray) -> np.ndarray:
    out = []
    for i in range(len(y)):
        mean, sd = centre_moments(np.delete(y, i))
        out.append(normal_log_density(y[i], mean, np.hypot(sd, NOISE_SD)))
    return np.array(out)


def test_loo_of_posterior_draws_is_exact_loo_and_arviz_s_own():
    y = data()
    mean, sd = centre_moments(y)
    mu = quantile_draws(mean, sd, 4000).reshape(4, 1000)
    fit = centre_fit(4, 1000).replace(draws={"mu": mu})
    ours, theirs = fit.loo(pointwise=True), arviz.loo(fit.to_arviz(), pointwise=True, var_name="y")
    found, wanted = loo_facts(ours), loo_facts(theirs)
    np.testing.assert_allclose(found["elpd_i"], exact_loo(y), atol=2e-3)
    assert found["elpd_i"].dims == ("rows",)
    for name in ("elpd", "se", "p", "n_samples", "n_data_points", "good_k"):
        assert found[name] == pytest.approx(wanted[name], rel=1e-4)
    np.testing.assert_allclose(found["pareto_k"], wanted["pareto_k"], rtol=1e-2, atol=1e-2)
    assert "elpd_loo" in str(fit.loo())
    with warnings.catch_warnings():
        # arviz 0.23 sorts in a way that pandas 3 deprecates.
        warnings.simplefilter("ignore")
        assert set(arviz.compare({"ours": ours, "theirs": theirs}).index) == {"ours", "theirs"}


@pytest.mark.parametrize(("shift", "widen"), [(0.0, 1.5), (1.0, 1.3), (-0.5, 2.0)])
def test_loo_of_variational_draws_is_corrected(shift, widen):
    y = data()
    mean, sd = centre_moments(y)
    mu = quantile_draws(mean + shift * sd, widen * sd, 4000)[None]
    fit = centre_approximation().replace(
        draws={"mu": mu},
        log_p=centre_log_joint(mu, y),
        log_q=normal_log_density(mu, mean + shift * sd, widen * sd),
    )
    exact = exact_loo(y)
    found = loo_facts(fit.loo(pointwise=True))
    np.testing.assert_allclose(found["elpd_i"], exact, atol=5e-3)
    # In-sample fit under the posterior, so that the effective number of parameters is right as well.
    inside = np.log(np.mean(np.exp(normal_log_density(y, quantile_draws(mean, sd, 4000)[:, None], NOISE_SD)), axis=0))
    assert found["p"] == pytest.approx(inside.sum() - exact.sum(), abs=0.02)
    plain = loo_facts(fit.replace(log_q=None, log_p=None, guide=None).loo())
    assert abs(plain["elpd"] - exact.sum()) > 10 * abs(found["elpd"] - exact.sum())


def test_loo_of_weighted_draws_is_corrected():
    fit = centre_weighted()
    found = loo_facts(fit.loo(pointwise=True))
    y = data()
    # The standard error of a self-normalised importance average, element by element (delta method).
    log_likelihood = normal_log_density(y, fit.draws["mu"].reshape(-1, 1), NOISE_SD)
    ratios = np.exp(present(fit.log_weights).reshape(-1, 1) - log_likelihood)
    ratios /= ratios.sum(axis=0)
    error = np.sqrt(np.sum((ratios * (np.exp(log_likelihood - exact_loo(y)) - 1)) ** 2, axis=0))
    assert np.all(np.abs(found["elpd_i"].values - exact_loo(y)) < sigmas(len(y)) * error)
    assert found["n_samples"] == 4000


def test_loo_refuses_what_has_no_meaning():
    fit = centre_fit()
    with pytest.raises(DataError, match="no site is observed"):
        fit.replace(program=centre(3)).loo()
    with pytest.raises(StrategyError, match="without log_p and log_q"):
        fit.replace(guide=centre_guide(12)).loo()
    with pytest.raises(UnknownNameError, match="no observed site 'x'"):
        fit.loo("x")
    with pytest.raises(DataError, match="too few draws"):
        centre_fit(2, 5).loo()


def test_loo_warns_of_elements_that_decide_alone():
    y = np.array([6.0])
    mean, sd = centre_moments(y)
    draws = {"mu": quantile_draws(mean, sd, 1000).reshape(2, 500)}
    fit = Posterior(centre(1).observe(y=y), Exact(), backend="pyro", precision="float64", draws=draws)
    with pytest.warns(UserWarning, match="Pareto"):
        assert loo_facts(fit.loo(pointwise=False))["warning"]


def test_khat_is_arviz_s():
    fit = centre_approximation(widen=0.5)
    assert fit.khat == pytest.approx(reference_khat((present(fit.log_p) - present(fit.log_q)).ravel()))


@pytest.mark.parametrize(("widen", "k"), [(0.4, 0.84), (0.6, 0.64), (0.8, 0.36)])
def test_khat_is_the_tail_index_of_the_ratios(widen, k):
    # For normals the ratio p/q has the tail index 1 - (sd of q / sd of p)^2. The finite sample is the quantiles of the
    # ratio's own distribution, so the only error is that of a fit to a tail that is a power law up to logarithms.
    mu = quantile_draws(0.0, widen, 20000)[None]
    log_p, log_q = normal_log_density(mu, 0.0, 1.0), normal_log_density(mu, 0.0, widen)
    fit = centre_approximation().replace(draws={"mu": mu}, log_p=log_p, log_q=log_q)
    assert fit.khat == pytest.approx(k, abs=0.2)


def test_khat_where_there_is_none():
    assert centre_fit().khat is None
    assert centre_approximation(draws=20).khat is None
    assert centre_approximation().replace(log_q=None).khat is None
    assert centre_weighted().khat == pytest.approx(-1.7, abs=0.5)


def test_an_exact_approximation_has_no_tail():
    fit = centre_approximation()
    assert fit.replace(log_q=present(fit.log_p) + 3.0).khat == -np.inf
    weights, khat = pareto_smooth(np.zeros((2, 50)))
    np.testing.assert_allclose(weights, -np.log(50))
    assert np.all(np.isneginf(khat))


def test_impossible_draws_keep_no_weight():
    rng = np.random.default_rng(0)
    ratios = np.where(np.arange(200) < 100, -np.inf, rng.normal(size=200))
    weights, khat = pareto_smooth(ratios)
    assert np.all(np.exp(weights[:100]) == 0)
    assert np.exp(weights).sum() == pytest.approx(1.0)
    assert np.isfinite(khat)


def test_prior_sd_is_what_the_exact_moments_assume():
    assert centre_fit().log_prior["mu"].values[0, 0] == pytest.approx(
        normal_log_density(centre_fit().draws["mu"][0, 0], 0.0, PRIOR_SD)
    )
