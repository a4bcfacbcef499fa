from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist
from ppl.errors import DataError, GuideError, ModelError, PlateError, ShapeError, UnknownNameError
from ppl.posterior import prediction
from ppl.posterior.posterior import Posterior
from tests.budget import sigmas
from tests.posterior.fits import (
    centre_weighted,
    factors,
    factors_code,
    factors_fit,
    regression_fit,
    regression_inputs,
)

BACKENDS = ("numpyro", "pyro")


def regression_mean(fit: Posterior, inputs: dict[str, np.ndarray]) -> np.ndarray:
    slope, intercept = fit.draws["slope"], fit.draws["intercept"]
    return np.einsum("nf,cdf->cdn", inputs["X"], slope) + intercept[..., inputs["group"]]


def assert_standard_normal(residuals: np.ndarray) -> None:
    count = residuals.size
    assert abs(residuals.mean()) < sigmas(2) / np.sqrt(count)
    assert abs(np.mean(residuals**2) - 1) < sigmas(2) * np.sqrt(2 / count)


@pytest.mark.parametrize("backend", BACKENDS)
def test_replicates_use_every_fitted_latent(backend):
    fit = regression_fit(backend)
    found = fit.predict(seed=1)
    assert list(found.data_vars) == ["mean", "y"]
    assert found["y"].dims == ("chain", "draw", "rows")
    np.testing.assert_allclose(found["mean"], fit.draws["mean"], rtol=1e-9)
    assert_standard_normal((found["y"].values - fit.draws["mean"] - fit.draws["own"]) / 0.5)
    assert not np.any(found["y"].values == fit.program.data["y"])


@pytest.mark.parametrize("rows", [4, 6])
@pytest.mark.parametrize("backend", BACKENDS)
def test_new_rows_keep_the_shared_latents_and_draw_their_own(backend, rows):
    fit, inputs = regression_fit(backend), regression_inputs(rows, seed=1)
    found = fit.predict(inputs)
    assert found.sizes == {"chain": 2, "draw": 200, "rows": rows}
    # Recomputed on the new inputs, not replayed.
    np.testing.assert_allclose(found["mean"], regression_mean(fit, inputs), rtol=1e-9)
    assert_standard_normal(found["own"].values / 0.1)
    assert_standard_normal((found["y"] - found["mean"] - found["own"]).values / 0.5)
    assert found.attrs["new_rows"] == ["rows"]
    assert found.attrs["latents_of_new_rows"] == "model"


def test_other_inputs_for_the_same_rows():
    fit, inputs = regression_fit(), regression_inputs(6, seed=1)
    found = fit.predict(X=inputs["X"], same_rows=True)
    assert "own" not in found
    wanted = regression_mean(fit, {**regression_inputs(), "X": inputs["X"]})
    np.testing.assert_allclose(found["mean"], wanted, rtol=1e-9)
    assert_standard_normal((found["y"].values - wanted - fit.draws["own"]) / 0.5)


def test_inputs_that_are_the_old_ones_are_no_new_rows():
    fit = regression_fit()
    assert fit.predict(regression_inputs()).attrs["new_rows"] == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_amortised_guide_draws_the_new_rows(backend):
    fit = factors_fit(backend)
    images = np.random.default_rng(9).normal(size=(3, 3))
    found = fit.predict(images=images)
    assert found["z"].dims == ("chain", "draw", "images", "code")
    assert found.attrs["latents_of_new_rows"] == "guide"
    assert np.abs(found["z"].values - factors_code(fit.params, images)).max() < 0.01 * sigmas(300)
    p = fit.params
    mean = found["z"].values @ p["decoder.0.weight"].T + p["decoder.0.bias"]
    assert_standard_normal((found["x"].values - mean) / 0.1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_model_draws_the_new_rows_if_asked(backend):
    found = factors_fit(backend).predict(images=np.ones((3, 3)), guide="model")
    assert found.attrs["latents_of_new_rows"] == "model"
    assert_standard_normal(found["z"].values)


def test_without_new_rows_the_fitted_codes_are_used():
    fit = factors_fit()
    found = fit.predict()
    mean = fit.draws["z"] @ fit.params["decoder.0.weight"].T + fit.params["decoder.0.bias"]
    assert "z" not in found
    assert_standard_normal((found["x"].values - mean) / 0.1)


def test_the_same_seed_gives_the_same_predictions():
    fit = regression_fit(draws=20)
    assert fit.predict().identical(fit.predict())
    assert not fit.predict(seed=1).equals(fit.predict(seed=2))


def test_a_number_of_draws():
    fit = regression_fit()
    found = fit.predict(draws=7)
    assert found.sizes == {"chain": 1, "draw": 7, "rows": 6}
    means = {tuple(row) for row in fit.draws["mean"].reshape(-1, 6).round(6).tolist()}
    assert all(tuple(row) in means for row in found["mean"].values[0].round(6).tolist())


def test_weighted_fits_are_resampled():
    fit = centre_weighted()
    found = fit.predict()
    assert found.sizes == {"chain": 1, "draw": 4000, "rows": 12}
    np.testing.assert_allclose(found["double"], fit.resample().draws["double"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_chunks_cover_every_draw(backend):
    fit, inputs = regression_fit(backend, draws=20), regression_inputs(4, seed=1)
    found = prediction.predict(fit, inputs, 0, chunk_bytes=4000)
    np.testing.assert_allclose(found["mean"], regression_mean(fit, inputs), rtol=1e-9)
    assert_standard_normal((found["y"] - found["mean"] - found["own"]).values / 0.5)
    assert len(np.unique(found["own"])) == 160


def test_labels_stay_where_the_rows_stay():
    fit = regression_fit(draws=3, coords={"rows": list("abcdef"), "groups": ["x", "y", "z"]})
    assert list(fit.predict().coords["rows"].values) == list("abcdef")
    assert list(fit.predict(regression_inputs(4, seed=1)).coords["rows"].values) == [0, 1, 2, 3]


def test_inputs_may_come_in_a_mapping():
    fit = regression_fit(draws=3)
    inputs: dict[str, Any] = regression_inputs(4, seed=1)
    assert fit.predict(inputs, seed=0).identical(fit.predict(**inputs, seed=0))


# --- what is refused --------------------------------------------------------------------------------------------------


def test_unknown_inputs_and_sources():
    fit = regression_fit(draws=3)
    with pytest.raises(UnknownNameError, match="no input 'Y'"):
        fit.predict(Y=np.zeros(6))
    with pytest.raises(UnknownNameError, match="no source 'prior'"):
        fit.predict(guide="prior")  # type: ignore[arg-type]


def test_inputs_that_disagree():
    with pytest.raises(ShapeError, match="inputs of plate 'rows' have different lengths"):
        regression_fit(draws=3).predict(X=np.zeros((4, 2)))


def test_groups_that_were_not_in_the_fit():
    inputs = {"X": np.zeros((2, 2)), "group": np.array([0, 3])}
    with pytest.raises(DataError, match="picks row 3 of a table of 3 by input 'group'"):
        regression_fit(draws=3).predict(inputs)


def test_a_guide_that_cannot_be_bound():
    fit = regression_fit(draws=3)
    inputs = regression_inputs(4, seed=1)
    with pytest.raises(GuideError, match="cannot draw 'own' for new rows: the fit has no guide"):
        fit.predict(inputs, guide="guide")


@ppl.model
def row_guide(images, latent: int = 2):
    with ppl.plate("images", images):
        loc = ppl.param("loc", np.zeros(latent))
        ppl.sample("z", dist.Normal(loc, 1.0))


@ppl.model
def other_input_guide(pictures, latent: int = 2):
    with ppl.plate("images", pictures) as picture:
        ppl.sample("z", dist.Normal(picture[:latent], 1.0))


@ppl.model
def sized_guide(latent: int = 2):
    with ppl.plate("images", size=5):
        ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]))


@ppl.model
def joint_guide(images, latent: int = 2):
    both = ppl.sample("both", dist.Normal(0.0, 1.0), auxiliary=True)
    with ppl.plate("images", images):
        ppl.sample("z", dist.Normal(both, 1.0).expand([latent]))


@pytest.mark.parametrize(
    ("guide", "why"),
    [
        (row_guide(np.zeros((5, 3))), "its parameter 'loc' has one value for each row of the fit"),
        (other_input_guide(np.zeros((5, 3))), "its input 'pictures' was not given"),
        (sized_guide(), "its plate 'images' maps over no input"),
        (joint_guide(np.zeros((5, 3))), "its own site 'both' is not part of the fit"),
    ],
)
def test_a_guide_that_is_not_amortised(guide, why):
    fit = factors_fit(draws=4).replace(guide=guide)
    images = np.ones((3, 3))
    with pytest.raises(GuideError, match=why):
        fit.predict(images=images, guide="guide")
    assert fit.predict(images=images).attrs["latents_of_new_rows"] == "model"


def test_a_guide_with_an_input_of_its_own():
    fit = factors_fit(draws=4).replace(guide=other_input_guide(np.zeros((5, 3))))
    found = fit.predict(images=np.ones((3, 3)), pictures=np.full((3, 3), 100.0))
    assert found.attrs["latents_of_new_rows"] == "guide"
    assert np.all(found["z"] > 90)


def test_parameters_of_rows():
    @ppl.model
    def per_row(x):
        with ppl.plate("rows", x) as one:
            offset = ppl.param("offset", 0.0)
            ppl.sample("y", dist.Normal(one + offset, 1.0))

    fit = Posterior(per_row(np.zeros(3)).observe(y=np.zeros(3)), backend="pyro", params={"offset": np.zeros(3)})
    with pytest.raises(PlateError, match="parameter 'offset' has one fitted value for each row"):
        fit.predict(x=np.zeros(4))


def test_a_joint_prior_over_rows_cannot_grow():
    @ppl.model
    def joint(x):
        f = ppl.sample("f", dist.Normal(x, 1.0))
        ppl.sample("y", dist.Normal(f, 1.0))

    fit = Posterior(joint(np.zeros(3)).observe(y=np.zeros(3)), backend="pyro", draws={"f": np.zeros((1, 4, 3))})
    with pytest.raises(ShapeError, match=r"site 'f'.*new inputs change its shape"):
        fit.predict(x=np.zeros(4))


def test_factors_on_what_is_drawn():
    @ppl.model
    def pulled(x):
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        ppl.factor("near", -(mu**2))
        with ppl.plate("rows", x) as one:
            y = ppl.sample("y", dist.Normal(mu + one, 1.0))
            ppl.factor("low", -y)

    fit = Posterior(pulled(np.zeros(3)).observe(y=np.zeros(3)), backend="pyro", draws={"mu": np.zeros((1, 4))})
    with pytest.raises(ModelError, match="factor 'low' reads 'y', so a prediction would ignore it"):
        fit.predict()
    assert fit.predict(factors="ignore")["y"].sizes == {"chain": 1, "draw": 4, "rows": 3}


def test_a_latent_without_draws():
    fit = Posterior(factors(np.zeros((5, 3))), backend="pyro", draws={"z": np.zeros((1, 4, 5, 2))})
    with pytest.raises(DataError, match="no draws of latent 'x' to predict from"):
        fit.predict()
