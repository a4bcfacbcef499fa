import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.posterior.posterior import Posterior
from tests.posterior.fits import Exact, encoder, factors, factors_fit, normal_log_density, present
from tests.posterior.lines import loo_facts
from tests.posterior.test_densities import quantile_draws

ROWS, DRAWS, NOISE = 40, 400, 1.0


@ppl.model
def codes(x):
    with ppl.plate("rows", x):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(z, NOISE))


@ppl.model
def codes_guide(x, widen: float = 1.2):
    with ppl.plate("rows", x) as one:
        ppl.sample("z", dist.Normal(one / (1 + NOISE**2), widen * (1 + NOISE**-2) ** -0.5))


def codes_fit(widen: float = 1.2) -> Posterior:
    """Local latents with exact posteriors N(x / 2, 1 / 2), approximated too widely or too narrowly."""
    x = np.random.default_rng(0).normal(size=ROWS) * np.hypot(1, NOISE)
    loc, scale = x / (1 + NOISE**2), widen * (1 + NOISE**-2) ** -0.5
    rng = np.random.default_rng(1)
    standard = np.stack([rng.permutation(quantile_draws(0.0, 1.0, DRAWS)) for _ in range(ROWS)], axis=-1)
    z = (loc + scale * standard)[None]
    log_p = normal_log_density(z, 0.0, 1.0) + normal_log_density(x, z, NOISE)
    return Posterior(
        codes(x).observe(y=x),
        Exact(),
        backend="pyro",
        precision="float64",
        draws={"z": z},
        guide=codes_guide(x, widen),
        log_p=log_p.sum(-1),
        log_q=normal_log_density(z, loc, scale).sum(-1),
        coords={"rows": [f"r{i}" for i in range(ROWS)]},
    )


def test_rows_that_stand_alone_are_recognised():
    assert codes_fit().independent_rows == "rows"
    assert factors_fit(draws=3).independent_rows == "images"


def test_ratios_of_rows_against_numpy():
    fit = codes_fit()
    z, x = fit.draws["z"], fit.program.data["y"]
    wanted = normal_log_density(z, 0.0, 1.0) + normal_log_density(x, z, NOISE)
    wanted = wanted - normal_log_density(z, x / (1 + NOISE**2), 1.2 * (1 + NOISE**-2) ** -0.5)
    np.testing.assert_allclose(present(fit.row_ratios), wanted, rtol=1e-8, atol=1e-8)


def test_khat_of_rows():
    fit = codes_fit(widen=0.4)
    found = fit.khat_by_row()
    assert found is not None
    assert found.dims == ("rows",)
    assert found.coords["rows"].values[3] == "r3"
    # The tail index of each row's ratio is 1 - 0.4^2, whatever the row; 400 draws see it only roughly.
    np.testing.assert_allclose(found, 0.84, atol=0.35)
    wide = codes_fit(widen=1.2).khat_by_row()
    assert wide is not None
    assert np.all(wide < 0.5)


def test_the_joint_khat_of_many_rows_is_no_problem():
    fit = codes_fit(widen=0.4)
    assert fit.khat is not None
    assert fit.problems == []
    assert "for all 40 rows of rows together; khat_by_row() has each" in repr(fit)
    # Weights are joint: there it is one.
    weighted = fit.replace(log_weights=present(fit.log_p) - present(fit.log_q))
    assert weighted.khat == fit.khat
    assert weighted.problems
    assert weighted.khat_by_row() is None


@pytest.mark.parametrize("widen", [1.5, 2.0, 2.5])
def test_loo_of_rows_is_the_density_of_each_row(widen):
    fit = codes_fit(widen)
    exact = normal_log_density(fit.program.data["y"], 0.0, np.hypot(1, NOISE))
    found = loo_facts(fit.loo(pointwise=True))
    # Without its own data a row's latent has its prior. The draws are quantiles; what is left is the smoothing error.
    np.testing.assert_allclose(found["elpd_i"], exact, atol=0.05)
    assert found["elpd"] == pytest.approx(exact.sum(), abs=0.5)
    assert found["elpd_i"].dims == ("rows",)


def test_a_network_of_rows():
    fit = factors_fit(draws=30)
    assert fit.row_ratios is not None
    assert fit.row_ratios.shape == (1, 30, 5)
    assert fit.khat_by_row() is not None
    assert factors_fit(draws=10).khat_by_row() is None


@ppl.model
def shared(x):
    mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x):
        ppl.sample("y", dist.Normal(ppl.sample("z", dist.Normal(mu, 1.0)), 1.0))


@ppl.model
def shared_guide(x):
    ppl.sample("mu", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x):
        ppl.sample("z", dist.Normal(0.0, 1.0))


@ppl.model
def local_guide(x):
    with ppl.plate("rows", x):
        ppl.sample("z", dist.Normal(0.0, 1.0))


@ppl.model
def summed(x):
    with ppl.plate("rows", x):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
    ppl.sample("total", dist.Normal(ops.sum(z), 1.0))


@ppl.model
def centred(x):
    with ppl.plate("rows", x):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
    middle = ppl.deterministic("middle", ops.mean(z))
    with ppl.plate("rows", x):
        ppl.sample("y", dist.Normal(z - middle, 1.0))


@ppl.model
def described(x):
    with ppl.plate("rows", x):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(z, 1.0))
    ppl.deterministic("middle", ops.mean(z))


@pytest.mark.parametrize(
    ("model", "guide", "plate"),
    [
        (shared(np.zeros(4)).observe(y=np.zeros(4)), shared_guide(np.zeros(4)), None),
        (summed(np.zeros(4)).observe(total=np.array(0.0)), local_guide(np.zeros(4)), None),
        (centred(np.zeros(4)).observe(y=np.zeros(4)), local_guide(np.zeros(4)), None),
        (described(np.zeros(4)).observe(y=np.zeros(4)), local_guide(np.zeros(4)), "rows"),
        (codes(np.zeros(4)).observe(y=np.zeros(4)), codes_guide(np.zeros(4)), "rows"),
        (factors(np.zeros((4, 3))).observe(x=np.zeros((4, 3))), encoder(np.zeros((4, 3))), "images"),
    ],
    ids=["a shared latent", "a sum", "a mean inside", "a mean beside", "codes", "networks"],
)
def test_which_rows_stand_alone(model, guide, plate):
    fit = Posterior(model, guide=guide, backend="pyro")
    assert fit.independent_rows == plate
    if plate is None:
        assert fit.row_ratios is None
        assert fit.khat_by_row() is None
