import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

import ppl
from ppl import dist
from ppl.errors import DataError, UnknownNameError
from ppl.posterior.posterior import Posterior
from ppl.posterior.reports import method_text
from tests.posterior.fits import (
    Exact,
    Step,
    centre,
    centre_approximation,
    centre_fit,
    centre_guide,
    centre_weighted,
    factors_fit,
    present,
    regression_fit,
)
from tests.posterior.lines import LINE, arviz


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


# --- text -------------------------------------------------------------------------------------------------------------


def test_a_fit_as_text():
    fit = regression_fit(draws=20, log_evidence=-12.3456, sample_stats={"diverging": np.zeros((2, 20), bool)})
    assert repr(fit).splitlines()[:5] == [
        "Posterior of 'regression' by Exact() on pyro (float64, seed 0)",
        "  sites: slope (feature 2), intercept (groups 3), mean (rows 6), own (rows 6)",
        "  draws: 2 chains of 20 draws",
        "  log evidence: -12.346 nats",
        f"  largest R-hat: {rhat(fit):.3f}",
    ]
    assert "divergences: 0" in repr(fit)
    assert "objective: -21.90 nats" in repr(centre_approximation())
    assert "parameters: 2 numbers in 2 arrays" in repr(centre_approximation())
    assert "effective draws:" in repr(centre_weighted())


def rhat(fit: Posterior) -> float:
    found = arviz.rhat(fit.dataset())
    return max(float(found[name].max()) for name in ("slope", "intercept", "own"))


def test_methods_on_one_line():
    assert method_text(Exact()) == "Exact()"
    assert method_text(Exact(7, Step(0.5))) == "Exact(draws=7, step=Step(size=0.5))"
    assert method_text(Exact(guide=centre_guide(2))) == "Exact(guide=centre_guide)"
    assert method_text(None) == "no method"
    assert method_text("by hand") == "'by hand'"
    assert len(method_text(Exact(sizes=tuple(range(1000))))) == 160


# --- problems ---------------------------------------------------------------------------------------------------------


def test_a_good_fit_has_no_problems():
    assert centre_fit().problems == []
    assert centre_approximation().problems == []
    assert centre_weighted().problems == []


def test_divergences_are_reported():
    stats = {"diverging": np.arange(2000).reshape(4, 500) < 3}
    assert centre_fit(sample_stats=stats).problems[0].startswith("3 divergent transitions")
    assert centre_fit(diagnostics={"divergences": 1}).problems[0].startswith("1 divergent transition:")


def test_chains_that_disagree_are_reported():
    fit = centre_fit()
    mu = fit.draws["mu"] + np.arange(4)[:, None]
    assert fit.replace(draws={"mu": mu}).problems[0].startswith("R-hat reaches")
    assert centre_fit(diagnostics={"max_rhat": 1.2}).problems == [
        "R-hat reaches 1.200 (above 1.01): the chains disagree. Run longer, or reparameterise."
    ]
    assert "R-hat" in centre_fit(diagnostics={"max_rhat": float("nan")}).problems[0]


def test_a_bad_approximation_is_reported():
    assert centre_approximation(widen=0.2).problems[0].startswith("Pareto k-hat is")


def test_weights_that_rest_on_a_few_draws_are_reported():
    fit = centre_weighted()
    assert "worth" in fit.replace(log_weights=5000 * present(fit.log_weights)).problems[-1]


def test_a_point_estimate_is_reported():
    @ppl.model
    def point(rows: int):
        at = ppl.param("at", 0.0)
        ppl.sample("mu", dist.Delta(at))

    fit = centre_approximation().replace(guide=point(12))
    assert fit.kind == "point"
    assert fit.khat is None
    assert fit.problems == ["a point estimate: it says nothing about uncertainty."]
    with pytest.raises(ppl.errors.StrategyError, match="a point estimate has no posterior"):
        fit.loo()


def test_a_joint_guide_is_no_point():
    @ppl.model
    def joint(rows: int):
        both = ppl.sample("both", dist.Normal(0.0, 1.0).expand([2]), auxiliary=True)
        ppl.sample("mu", dist.Delta(both[0]))

    assert centre_approximation().replace(guide=joint(12)).kind == "variational"


# --- HTML -------------------------------------------------------------------------------------------------------------


def test_a_fit_as_html():
    text = regression_fit(draws=20, coords={"groups": ["north", "south", "west"]})._repr_html_()
    assert "<b>Posterior of regression</b>" in text
    assert "slope[0]" in text
    assert "intercept[south]" in text
    assert "own[5]" in text
    assert text.count("<table>") == text.count("</table>") == 2


def test_numbers_in_html():
    fit = centre_weighted()
    for number in (fit.mean("mu"), fit.std("mu"), fit.quantile("mu", 0.95)):
        assert f"<td>{float(number):.4g}</td>" in fit._repr_html_()


def test_large_sites_take_one_row():
    draws = {"z": np.zeros((1, 3, 500, 2), np.float32)}
    from tests.posterior.fits import factors

    fit = Posterior(factors(np.zeros((500, 3))).observe(x=np.zeros((500, 3))), draws=draws)
    assert "z (images 500, code 2)" in fit._repr_html_()
    assert "1,000 numbers" in fit._repr_html_()


def test_html_escapes_every_name():
    @ppl.model
    def nasty():
        with ppl.plate("<p>", size=2):
            ppl.sample("<script>", dist.Normal(0.0, 1.0))

    nasty_fit = Posterior(
        nasty(),
        Exact(sizes=("<b>",)),  # type: ignore[arg-type]
        draws={"<script>": np.zeros((1, 3, 2))},
        coords={"<p>": ["<i>", "&"]},
        backend="<u>",
    )
    text = nasty_fit._repr_html_()
    for raw in ("<script>", "<p>", "<i>", "<u>", "('<b>"):
        assert raw not in text
    assert "&lt;script&gt;[&lt;i&gt;]" in text


def test_problems_stand_in_the_html():
    assert "divergent" in centre_fit(diagnostics={"divergences": 2})._repr_html_()
    assert 'class="warn"' not in centre_fit()._repr_html_()


# --- tables -----------------------------------------------------------------------------------------------------------


def test_summary_has_one_row_for_each_number():
    table = regression_fit().summary()
    assert list(table.index[:5]) == ["slope[0]", "slope[1]", "intercept[0]", "intercept[1]", "intercept[2]"]
    assert {"mean", "sd", "r_hat", "ess_bulk"} <= set(table.columns)
    assert list(regression_fit().summary("slope", kind="stats").index) == ["slope[0]", "slope[1]"]
    with pytest.raises(UnknownNameError, match="no draws of 'slop'"):
        regression_fit().summary(["slop"])


def test_summary_of_a_fit_without_chains():
    table = centre_approximation().summary(round_to="none")
    assert "r_hat" not in table
    assert table.loc["mu", "mean"] == pytest.approx(float(centre_approximation().mean("mu")))


def test_summary_of_weighted_draws_says_so():
    fit = centre_weighted()
    table = fit.summary(round_to="none")
    assert table.attrs["draws"] == "resampled systematically from 4000 weighted draws, seed 0"
    assert table.loc["mu", "mean"] == pytest.approx(float(fit.mean("mu")), abs=0.005)
    assert "ess_bulk" not in table


def test_summary_of_a_site_that_never_moves():
    fit = Posterior(centre(3).do(mu=1.0), draws={"mu": np.ones((2, 10)), "double": np.full((2, 10), 2.0)})
    assert fit.summary(round_to="none").loc["mu", "mean"] == 1.0


# --- plots ------------------------------------------------------------------------------------------------------------


def test_traces_and_densities():
    fit = regression_fit(draws=50)
    # Two numbers in a row of density and trace; a panel for each number; the same for resampled draws.
    for draw in (
        lambda: fit.plot_trace("slope"),
        lambda: fit.plot_posterior(["slope"]),
        lambda: centre_weighted(100).plot_posterior(),
    ):
        assert draw() is not None
        assert len(plt.gcf().axes) == 2
        plt.close("all")
    with pytest.raises(UnknownNameError, match="no draws of 'slop'"):
        fit.plot_trace("slop")


def test_replicates_among_the_data():
    fit = centre_fit(2, 20)
    assert fit.plot_predictive() is not None
    assert fit.plot_predictive(fit.predict(), **{"num_samples" if LINE else "num_pp_samples": 5}) is not None
    with pytest.raises(DataError, match="no site is observed"):
        centre_fit(2, 20).replace(program=centre(12)).plot_predictive()
    new = factors_fit(draws=3)
    with pytest.raises(DataError, match="predictions are for new inputs"):
        new.plot_predictive(new.predict(images=np.ones((2, 3))))


def test_the_objective():
    fit = centre_approximation()
    axes = fit.plot_objective()
    assert axes.get_ylabel() == "objective (nats)"
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), fit.diagnostics["objective"])
    # The running mean of a straight line is that line.
    x, y = axes.lines[1].get_data()
    np.testing.assert_allclose(y, -100.0 + 80.0 * (np.asarray(x) - 4.5) / 399)
    _, own = plt.subplots()
    assert fit.plot_objective(own, window=1) is own
    assert len(own.lines) == 1
    with pytest.raises(DataError, match="no objective to plot"):
        centre_fit().plot_objective()
