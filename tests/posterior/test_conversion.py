import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import arviz
import numpy as np
import pytest
import xarray

import ppl
from ppl import dist
from ppl.errors import ShapeError, UnknownNameError
from ppl.posterior import conversion, loo, plots, reports
from ppl.posterior.conversion import arviz_line, arviz_object, build_dataset, input_entries, resolve_dims, with_chain
from ppl.posterior.posterior import Posterior
from ppl.posterior.simulate import simulate
from tests.posterior.fits import (
    Exact,
    centre,
    centre_approximation,
    centre_fit,
    centre_weighted,
    data,
    factors_fit,
    regression_fit,
    regression_inputs,
)
from tests.posterior.lines import LINE, groups_of


class FakeArviz1:
    """What the conversion touches of arviz 1.x, which answers to the old name, with a warning."""

    __version__ = "1.3.0"

    @property
    def InferenceData(self):
        raise AssertionError("arviz 1.x has no InferenceData")


# --- the two lines of arviz -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("library", "line"),
    [
        (SimpleNamespace(__version__="0.23.4"), 0),
        (SimpleNamespace(__version__="1.0.0rc1"), 1),
        (SimpleNamespace(__version__="2.1"), 2),
        (SimpleNamespace(from_pyro=None), 0),
        (SimpleNamespace(__version__="unknown"), 1),
        (FakeArviz1(), 1),
    ],
)
def test_the_line_of_arviz(library, line):
    assert arviz_line(library) == line


def test_the_container_of_the_line_that_is_installed_here():
    found = centre_fit(2, 10).to_arviz()
    assert isinstance(found, xarray.DataTree if LINE else arviz.InferenceData)
    assert found.attrs["program"] == "centre"


class FakeArviz0:
    """What the conversion touches of arviz 0.x."""

    __version__ = "0.23.4"

    @staticmethod
    def InferenceData(attrs, **groups):
        return {"attrs": attrs, **groups}


@pytest.fixture
def arviz1(monkeypatch):
    """The conversion sees arviz 1.x; k-hat, R-hat and plots keep the real one."""
    assert all(module.arviz_module is conversion.arviz_module for module in (loo, plots, reports))
    monkeypatch.setattr(conversion, "arviz_module", FakeArviz1)


@pytest.mark.usefixtures("arviz1")
@pytest.mark.parametrize(
    "fit", [centre_fit(2, 10), centre_approximation(30), centre_weighted(40), regression_fit(draws=4)]
)
def test_a_data_tree_on_the_other_line(fit):
    found = fit.to_arviz(predictive=True, prior=True)
    assert isinstance(found, xarray.DataTree)
    wanted = {"posterior", "sample_stats", "log_likelihood", "log_prior", "observed_data", "posterior_predictive"}
    assert wanted | {"prior", "prior_predictive"} <= set(found.children)
    assert found.attrs["program"] == fit.program.name
    assert found["posterior"].to_dataset().attrs["inference_library"] == "credo"
    for name in ("posterior", "sample_stats", "log_likelihood", "posterior_predictive", "prior"):
        assert {"chain", "draw"} <= set(found[name].dims)


def test_both_lines_hold_the_same():
    groups = {"posterior": centre_fit(2, 10).dataset(), "other": xarray.Dataset({"a": ("x", np.ones(2))})}
    old = arviz_object(groups, {"program": "centre"}, FakeArviz0)
    new = arviz_object(groups, {"program": "centre"}, FakeArviz1)
    assert old.pop("attrs") == new.attrs
    assert list(old) == list(new.children)
    for name, dataset in old.items():
        assert dataset.identical(new[name].to_dataset())


# --- groups -----------------------------------------------------------------------------------------------------------


def test_groups_of_a_fit():
    fit = regression_fit(draws=4, sample_stats={"diverging": np.zeros((2, 4), bool)})
    found = groups_of(fit.to_arviz())
    assert found["posterior"]["slope"].dims == ("chain", "draw", "feature")
    assert found["log_likelihood"]["y"].dims == ("chain", "draw", "rows")
    assert list(found["log_prior"].data_vars) == ["slope", "intercept", "own"]
    assert found["observed_data"]["y"].dims == ("rows",)
    assert found["constant_data"]["X"].dims == ("rows", "X_dim_1")
    assert found["constant_data"]["group"].dims == ("rows",)
    assert set(found["sample_stats"].data_vars) == {"diverging", "lp"}
    total = fit.log_likelihood["y"].sum("rows") + fit.log_prior["slope"]
    total = total + fit.log_prior["intercept"].sum("groups") + fit.log_prior["own"].sum("rows")
    np.testing.assert_allclose(found["sample_stats"]["lp"], total)


def test_groups_that_were_not_asked_for():
    found = groups_of(regression_fit(draws=4).to_arviz(log_likelihood=False, log_prior=False))
    assert list(found) == ["posterior", "observed_data", "constant_data"]


def test_densities_of_a_guide_go_along():
    fit = centre_approximation(30)
    stats = groups_of(fit.to_arviz())["sample_stats"]
    np.testing.assert_array_equal(stats["log_q"], fit.log_q)
    np.testing.assert_array_equal(stats["lp"], fit.log_p)


def test_weighted_fits_have_resampled_draws_and_their_particles():
    fit = centre_weighted(40)
    found = groups_of(fit.to_arviz())
    assert dict(found["posterior"].sizes) == {"chain": 1, "draw": 40}
    assert "resampled systematically from 40 weighted draws" in found["posterior"].attrs["draws"]
    np.testing.assert_array_equal(found["particles"]["log_weight"], fit.log_weights)
    np.testing.assert_array_equal(found["particles"]["mu"], fit.draws["mu"])
    np.testing.assert_allclose(found["log_likelihood"]["y"], fit.resample().log_likelihood["y"])
    assert found["posterior"].attrs["log_evidence"] == fit.log_evidence


def test_predictions_and_priors_can_be_attached():
    fit = regression_fit(draws=4)
    found = groups_of(fit.to_arviz(predictive=fit.predict(), prior=simulate(fit.program, 7, backend="pyro")))
    assert list(found["posterior_predictive"].data_vars) == ["y"]
    assert found["prior"].sizes["draw"] == 7
    assert set(found["prior"].data_vars) == {"slope", "intercept", "mean", "own"}
    assert found["prior_predictive"]["y"].dims == ("chain", "draw", "rows")
    new = groups_of(fit.to_arviz(predictive=fit.predict(regression_inputs(3, seed=1))))
    assert "posterior_predictive" not in new
    assert set(new["predictions"].data_vars) == {"mean", "own", "y"}


def test_labels_reach_arviz():
    fit = centre_fit(2, 10, coords={"rows": [f"r{i}" for i in range(12)]})
    found = groups_of(fit.to_arviz())
    assert list(found["log_likelihood"].coords["rows"].values[:2]) == ["r0", "r1"]
    assert list(found["observed_data"].coords["rows"].values[:2]) == ["r0", "r1"]
    named = groups_of(centre_fit(2, 10).to_arviz(coords={"rows": list(range(100, 112))}))
    assert named["observed_data"]["y"].sel(rows=103) == data()[3]
    with pytest.raises(UnknownNameError, match="no plate or dimension 'row' to label"):
        centre_fit(2, 10).to_arviz(coords={"row": list(range(12))})


# --- names that clash -------------------------------------------------------------------------------------------------


def test_an_input_with_the_name_of_its_plate():
    fit = factors_fit(draws=3)
    entries = input_entries(fit.program)
    assert entries["images"][0] == ("images", "images_dim_1")
    found = groups_of(fit.to_arviz())
    assert found["constant_data"]["images_values"].dims == ("images", "images_dim_1")
    assert found["constant_data"]["images_values"].attrs["site"] == "images"


@ppl.model
def with_a_slash():
    with ppl.plate("group", size=3):
        ppl.sample("a/b", dist.Normal(0.0, 1.0))


@pytest.mark.usefixtures("arviz1")
def test_names_that_xarray_cannot_hold_are_changed():
    draws = {"a/b": np.random.default_rng(0).normal(size=(2, 6, 3))}
    fit = Posterior(with_a_slash(), Exact(), backend="pyro", draws=draws)
    found = fit.to_arviz(log_likelihood=False, log_prior=False)["posterior"]
    assert found["a.b"].dims == ("chain", "draw", "group")
    assert found["a.b"].attrs["site"] == "a/b"
    np.testing.assert_array_equal(found["a.b"], draws["a/b"])
    np.testing.assert_array_equal(fit["a/b"], draws["a/b"])
    assert fit["a/b"].name == "a/b"


def test_one_axis_name_for_one_length_makes_one_dimension():
    """A name may be shared, by sites and by a plate that they stand outside of; labels then go to all of them."""

    @ppl.model
    def curve():
        level = ppl.sample("level", dist.Normal(0.0, 1.0).expand([3]), dims=("times",))
        ppl.sample("slope", dist.Normal(0.0, 1.0).expand([3]), dims=("times",))
        with ppl.plate("times", level) as one:
            ppl.deterministic("double", 2.0 * one)

    draws = {n: np.random.default_rng(0).normal(size=(2, 6, 3)) for n in ("level", "slope", "double")}
    fit = Posterior(curve(), Exact(), backend="pyro", draws=draws).with_coords(times=["early", "noon", "late"])
    for name in draws:
        assert fit.dataset()[name].dims == ("chain", "draw", "times")
        np.testing.assert_array_equal(fit[name].sel(times="noon"), draws[name][..., 1])


def test_variables_never_share_a_name():
    found = build_dataset({"a/b": ((), np.ones(2)), "a.b": ((), np.zeros(2))}, {"draw": 2})
    assert list(found.data_vars) == ["a.b", "a.b_values"]


def test_dims_of_one_size_are_shared():
    shapes = {"a": (("g",), (3,)), "b": (("g", "g"), (3, 3)), "c": (("g",), (4,))}
    assert resolve_dims(shapes, {}) == {"a": ("g",), "b": ("g", "b_g"), "c": ("c_g",)}


def test_the_names_of_leading_dims_stay_theirs():
    assert resolve_dims({"a": (("draw", "g"), (3, 2))}, {"draw": 5}) == {"a": ("a_draw", "g")}


def test_labels_of_the_wrong_length():
    with pytest.raises(ShapeError, match="labels of dimension 'g' do not fit"):
        build_dataset({"a": (("g",), np.ones(3))}, labels={"g": ["x"]})


def test_draws_without_chains_become_one_chain():
    found = with_chain(simulate(centre(3), 5, backend="pyro"))
    assert found["y"].dims == ("chain", "draw", "rows")
    assert with_chain(found) is found


# --- what is loaded ---------------------------------------------------------------------------------------------------

CODE = """
import sys
import numpy as np
import ppl
from ppl.posterior.posterior import Posterior
from ppl.posterior.simulate import simulate

def loaded(*names):
    return {name.partition(".")[0] for name in sys.modules} & set(names)

assert not loaded("arviz", "matplotlib", "pandas", "xarray", "scipy", "torch", "jax")
from ppl import dist

@ppl.model
def centre(rows):
    mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", size=rows):
        ppl.sample("y", dist.Normal(mu, 1.0))

draws = {"mu": np.random.default_rng(0).normal(size=(1, 50))}
fit = Posterior(centre(3).observe(y=np.zeros(3)), draws=draws)
fit = Posterior.load(fit.save(sys.argv[1])).with_coords(rows=["a", "b", "c"])
fit.mean("mu"), fit.quantile("mu", 0.5), fit.dataset(), fit.stack(), fit.resample(5)
assert not loaded("arviz", "torch", "jax", "pyro", "numpyro")
fit.to_arviz(log_likelihood=False, log_prior=False), fit.summary(), fit._repr_html_()
# arviz 1.x itself looks for jax, but neither line loads torch.
assert not loaded("torch", "pyro")
"""


def test_reading_a_fit_needs_neither_torch_nor_jax(tmp_path):
    root = Path(__file__).parents[2]
    path = str(tmp_path / "fit")
    done = subprocess.run(
        [sys.executable, "-c", CODE, path],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
