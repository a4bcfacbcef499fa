import numpy as np
import pytest

from ppl.errors import ModelError, ShapeError, UnknownNameError
from ppl.posterior.posterior import FIELDS, Posterior
from tests.budget import sigmas
from tests.posterior.fits import (
    Exact,
    centre,
    centre_approximation,
    centre_fit,
    centre_guide,
    centre_moments,
    centre_weighted,
    data,
    factors_fit,
    present,
    regression_fit,
)


def test_dims_come_from_the_declaration():
    fit = regression_fit()
    assert fit.sites == ["slope", "intercept", "mean", "own"]
    assert fit["slope"].dims == ("chain", "draw", "feature")
    assert fit["intercept"].dims == ("chain", "draw", "groups")
    assert fit["mean"].dims == ("chain", "draw", "rows")
    assert factors_fit()["z"].dims == ("chain", "draw", "images", "code")
    np.testing.assert_array_equal(fit["slope"].values, fit.draws["slope"])
    np.testing.assert_array_equal(fit["intercept"].coords["groups"], [0, 1, 2])


def test_draws_are_in_the_order_of_the_declaration():
    fit = regression_fit()
    assert list(fit.replace(draws={name: fit.draws[name] for name in reversed(fit.sites)}).draws) == fit.sites


def test_labels():
    fit = regression_fit(coords={"groups": ["a", "b", "c"]})
    assert fit["intercept"].sel(groups="b").dims == ("chain", "draw")
    named = fit.with_coords(rows=[10, 20, 30, 40, 50, 60], feature=["age", "dose"])
    np.testing.assert_array_equal(named["own"].sel(rows=20), fit.draws["own"][:, :, 1])
    assert list(named.mean("slope").coords["feature"].values) == ["age", "dose"]
    assert list(fit.coords) == ["groups"]


def test_labels_that_do_not_fit_are_refused():
    with pytest.raises(UnknownNameError, match=r"no plate or dimension 'group' to label.*\n.*'groups'"):
        regression_fit(coords={"group": ["a", "b", "c"]})
    with pytest.raises(ShapeError, match="labels of dimension 'groups' do not fit"):
        _ = regression_fit(coords={"groups": ["a", "b"]})["intercept"]


def test_moments_of_exact_draws():
    fit = centre_fit()
    flat = fit.draws["mu"].ravel()
    assert fit.mean("mu").item() == pytest.approx(flat.mean())
    assert fit.std("mu").item() == pytest.approx(flat.std(ddof=1))
    assert fit.quantile("mu", 0.25).item() == pytest.approx(np.quantile(flat, 0.25))
    quantiles = regression_fit().quantile("slope", [0.1, 0.9])
    assert quantiles.dims == ("quantile", "feature")
    np.testing.assert_array_equal(quantiles.coords["quantile"], [0.1, 0.9])


def test_moments_honour_weights():
    fit, (mean, sd) = centre_weighted(), centre_moments(data())
    weights = present(fit.weights)
    # Standard errors of self-normalised importance averages.
    moved = fit.draws["mu"] - mean
    error = np.sqrt(np.sum((weights * moved) ** 2))
    assert abs(fit.mean("mu").item() - mean) < sigmas(2) * error
    error = np.sqrt(np.sum((weights * (moved**2 - sd**2)) ** 2))
    assert abs(fit.std("mu").item() ** 2 - sd**2) < sigmas(2) * error
    assert abs(fit.mean("double").item() - 2 * fit.mean("mu").item()) < 1e-9
    # Without weights these are draws of the prior, whose spread is far larger.
    assert fit.replace(log_weights=None).std("mu").item() > 5 * sd


def test_resampled_draws_have_the_weighted_moments():
    fit = centre_weighted()
    equal = fit.resample()
    assert (equal.chains, equal.count, equal.weights) == (1, 4000, None)
    shares = np.array([np.sum(equal.draws["mu"] == mu) for mu in fit.draws["mu"].ravel()[:200]])
    assert np.all(np.abs(shares - 4000 * present(fit.weights).ravel()[:200]) < 1)
    np.testing.assert_array_equal(equal.draws["mu"], fit.resample().draws["mu"])
    assert not np.array_equal(equal.draws["mu"], fit.resample(seed=9).draws["mu"])
    np.testing.assert_array_equal(equal.draws["double"], 2 * equal.draws["mu"])
    assert fit.resample(7).draws["mu"].shape == (1, 7)
    assert centre_fit().resample(10).draws["mu"].shape == (1, 10)
    with pytest.raises(ModelError, match="positive number"):
        fit.resample(0)


def test_stack_joins_chains():
    fit = regression_fit()
    stacked = fit.stack()
    assert stacked["own"].dims == ("sample", "rows")
    np.testing.assert_array_equal(stacked["own"].values[200:], fit.draws["own"][1])
    assert fit.dataset().sizes == {"chain": 2, "draw": 200, "feature": 2, "groups": 3, "rows": 6}


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match=r"no draws of 'slop'.*\n.*'slope'"):
        _ = regression_fit()["slop"]
    with pytest.raises(UnknownNameError, match="draws of 'nu'"):
        Posterior(centre(3), draws={"nu": np.zeros((1, 4))})


def test_draws_of_the_wrong_shape_are_refused():
    with pytest.raises(ShapeError, match=r"site 'mu'.*wrong shape"):
        Posterior(centre(3), draws={"mu": np.zeros((1, 4, 2))})
    with pytest.raises(ShapeError, match="wrong shape"):
        Posterior(centre(3), draws={"mu": np.zeros((1, 4)), "double": np.zeros((2, 4))})
    with pytest.raises(ShapeError, match="one of for each draw disagrees"):
        Posterior(centre(3), log_p=np.zeros((1, 4)), log_q=np.zeros((1, 5)))
    with pytest.raises(ShapeError, match="one of for each draw disagrees"):
        Posterior(centre(3), sample_stats={"diverging": np.zeros(4)})


def test_lazy_draws_are_made_once_and_only_when_looked_at():
    made = []
    fit = centre_fit()

    def make():
        made.append(1)
        return fit.draws

    lazy = fit.replace(draws=make, log_p=np.zeros((4, 500)))
    assert lazy.sites == ["mu", "double"]
    assert "4 chains of 500 draws" in repr(lazy)
    assert lazy._repr_html_()
    assert not made
    np.testing.assert_array_equal(lazy["mu"].values, fit["mu"].values)
    _ = lazy.draws["double"]
    assert made == [1]
    with pytest.raises(ShapeError, match="wrong shape"):
        _ = fit.replace(draws=lambda: {"mu": np.zeros((1, 2, 3))}).draws["mu"]


def test_kinds_of_fits():
    assert centre_fit().kind == "samples"
    assert centre_weighted().kind == "weighted"
    assert centre_approximation().kind == "variational"
    assert centre_approximation().resample(5).kind == "variational"
    # Resampled by weight, the draws are those of the posterior.
    assert centre_weighted().replace(guide=centre_guide(12)).resample().kind == "samples"


def test_a_fit_without_draws_has_parameters():
    fit = Posterior(centre(3), Exact(), params={"a": np.ones(2)})
    assert fit.sites == []
    assert (fit.chains, fit.count) == (1, 1)
    assert "no draws" in repr(fit)


def test_replace_knows_every_field():
    fit = centre_approximation()
    copy = fit.replace(seed=99)
    assert copy.seed == 99
    for name in set(FIELDS) - {"seed", "draws", "params", "diagnostics", "sample_stats", "versions", "coords"}:
        assert getattr(copy, name) is getattr(fit, name)
