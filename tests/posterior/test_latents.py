"""Rates, distortions, active units and collapse against the closed forms of linear autoencoders of real data."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_iris

import ppl
from ppl import dist, nn
from ppl.errors import GuideError, ModelError, NonFiniteError
from ppl.inference import AutoMultivariateNormal
from ppl.models import linear_gaussian_guide, ppca, ppca_maximum_likelihood
from ppl.posterior.latents import linear_vae_rates
from tests.budget import sigmas

matplotlib.use("agg")

BACKENDS = ("numpyro", "pyro")
FLOWERS = np.asarray(stats.zscore(load_iris(return_X_y=True)[0]))
LATENT = 2
# By standardisation the eigenvalues are 2.92, 0.91, 0.15, 0.02: a noise of 1.1 leaves room for one unit, not for two.
LARGE = 1.1


@ppl.model
def independent(observations, latent: int = LATENT):
    encode = nn.Linear("encode", observations.shape[-1], latent)
    scale = ppl.param("scale", np.ones(latent), support=dist.support.positive)
    with ppl.plate("rows", observations) as x:
        ppl.sample("z", dist.Normal(encode(x), scale))


def optimum(noise: float | None = None, turn: float = 0.0) -> dict[str, np.ndarray]:
    """Parameters of the optimum, by default with the noise of greatest likelihood, and the factors turned."""
    values, vectors = np.linalg.eigh(np.cov(FLOWERS.T, bias=True))
    best = ppca_maximum_likelihood(FLOWERS, LATENT)[2] if noise is None else noise
    axes = (vectors[:, -LATENT:] * np.sqrt(np.maximum(values[-LATENT:] - best**2, 0.0)))[:, ::-1]
    loadings = axes @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    precision = np.eye(LATENT) + loadings.T @ loadings / best**2
    encode = np.linalg.solve(precision, loadings.T) / best**2
    covariance = np.linalg.inv(precision)
    return {
        "loadings": loadings,
        "mean": np.zeros(4),
        "noise": np.array(best),
        "encode.0.weight": encode,
        "encode.0.bias": np.zeros(LATENT),
        "scale": np.diag(precision) ** -0.5,
        "spread": np.linalg.cholesky(covariance),
    }


def report(backend: str, params: dict[str, np.ndarray], guide: Any = independent, **settings: Any) -> Any:
    chosen = guide(FLOWERS, LATENT)
    own = {n: a for n, a in params.items() if n != ("spread" if guide is independent else "scale")}
    settings = {"draws": 60, "backend": backend, "precision": "float64", **settings}
    return ppl.latent_report(ppca(FLOWERS, LATENT).observe(x=FLOWERS), chosen, params=own, **settings)


def log_evidence(params: dict[str, np.ndarray]) -> float:
    covariance = params["loadings"] @ params["loadings"].T + params["noise"] ** 2 * np.eye(4)
    law: Any = stats.multivariate_normal(np.zeros(4), covariance)
    return float(law.logpdf(FLOWERS).mean())


@pytest.mark.parametrize("backend", BACKENDS)
def test_in_the_optimum_the_rates_are_those_of_lucas_and_others(backend: str) -> None:
    params = optimum()
    found = report(backend, params, chunk=7)
    wanted = linear_vae_rates(FLOWERS, float(params["noise"]), LATENT)
    assert wanted[1] > 0.1
    # The divergences are in closed form, so nothing is random in them.
    np.testing.assert_allclose([u.rate for u in found.units], wanted, rtol=1e-8)
    np.testing.assert_allclose(found.linear, wanted, rtol=1e-8)
    assert found.rate == pytest.approx(wanted.sum(), rel=1e-8)
    assert found.sites[0].standard_error == pytest.approx(0.0, abs=1e-12)
    # Rate and distortion make up the evidence, which this guide reaches.
    error = found.sites[1].standard_error
    assert abs(found.elbo - log_evidence(params)) < sigmas(2) * error
    assert (found.plate, found.rows, found.draws) == ("rows", 150, 60)
    assert found.active_units == LATENT
    assert found.problems == []
    # Means have the variance 1 - noise^2 / eigenvalue over the rows, posteriors the rest.
    shares = np.exp(-2.0 * wanted)
    for unit, share in zip(found.units, shares, strict=True):
        assert unit.spread == pytest.approx(share, rel=0.05)
        assert unit.mean_variance == pytest.approx((1.0 - share) * 150 / 149, rel=0.05)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_correlated_posterior_has_the_same_rate_in_all_and_none_by_unit(backend: str) -> None:
    found = report(backend, optimum(turn=0.6), linear_gaussian_guide)
    assert found.rate == pytest.approx(linear_vae_rates(FLOWERS, float(optimum()["noise"]), LATENT).sum(), rel=1e-8)
    assert all(np.isnan(u.rate) for u in found.units)
    assert found.active_units == LATENT


@pytest.mark.parametrize("backend", BACKENDS)
def test_collapse_that_the_likelihood_wants_is_told_from_one_that_it_does_not(backend: str) -> None:
    """With much noise the optimum itself leaves a unit at the prior; with little noise it is the optimiser's doing."""
    noisy = report(backend, optimum(LARGE))
    assert [u.active for u in noisy.units] == [True, False]
    assert noisy.linear[1] == 0.0
    assert any("a linear autoencoder would use 1 units as well" in p for p in noisy.problems)
    lost = optimum()
    lost["loadings"][:, 1] = 0.0
    lost["encode.0.weight"][1] = 0.0
    lost["scale"][1] = 1.0
    found = report(backend, lost)
    assert [u.active for u in found.units] == [True, False]
    assert found.units[1].rate == pytest.approx(0.0, abs=1e-12)
    assert "1 of 2 units have collapsed to the prior: z[1]." in found.problems
    assert any("not the noise" in p and "would use 2 units" in p for p in found.problems)


@ppl.model
def tower(rows):
    """Two layers over data: top is normal, below normal around it, both in one plate."""
    with ppl.plate("rows", rows):
        top = ppl.sample("top", dist.Normal(0.0, 1.0))
        below = ppl.sample("below", dist.Normal(0.8 * top, 0.6).expand([2]))
        kind = ppl.sample("kind", dist.Bernoulli(0.3))
        ppl.sample("x", dist.Normal(below + kind, 0.5))


@ppl.model
def climb(rows):
    with ppl.plate("rows", rows) as row:
        top = ppl.sample("top", dist.Normal(0.3 * row[0], 0.7))
        ppl.sample("below", dist.Normal(0.5 * row + 0.2 * top, 0.4))


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_of_a_hierarchical_guide_have_their_own_rates(backend: str) -> None:
    """Against expectations worked out by hand; a site that is summed out is part of what the data costs."""
    rows = FLOWERS[:40, :2]
    found = ppl.latent_report(
        tower(rows).observe(x=rows), climb(rows), backend=backend, precision="float64", draws=400, chunk=150
    )
    frame = found.to_dataframe()
    assert list(frame.index) == ["top", "below", "kind, x"]
    assert list(frame["role"]) == ["rate", "rate", "distortion"]
    assert list(frame["layer"][:2]) == [1, 2]
    mean = 0.3 * rows[:, 0]
    top = 0.5 * (0.49 + mean**2 - 1.0) - np.log(0.7)
    assert found.sites[0].nats == pytest.approx(top.mean(), rel=1e-9)
    # q and p differ by the mean 0.5 row - 0.6 top, whose square has this expectation under q(top).
    gap = (0.5 * rows - 0.6 * mean[:, None]) ** 2 + 0.36 * 0.49
    below = (np.log(0.6 / 0.4) - 0.5 + (0.16 + gap) / (2 * 0.36)).sum(axis=1)
    assert abs(found.sites[1].nats - below.mean()) < sigmas(2) * found.sites[1].standard_error
    layers = found.layers()
    assert list(layers.index) == [1, 2]
    assert float(layers["nats"].to_numpy().sum()) == pytest.approx(found.rate)
    assert list(layers["units"]) == [1, 2]
    units = found.units_dataframe()
    assert list(units.index) == ["top", "below[0]", "below[1]"]
    assert float(units["rate"].to_numpy().sum()) == pytest.approx(found.rate)
    bound = ppl.log_evidence_bound(
        tower(rows).observe(x=rows), climb(rows), backend=backend, precision="float64", particles=400, seed=1
    )
    error = np.hypot(found.sites[1].standard_error, found.sites[2].standard_error) * 2**0.5
    assert abs(found.elbo - float(bound["elbo"].mean())) < sigmas(2) * error


def test_it_prints_and_plots() -> None:
    found = report("pyro", optimum(LARGE))
    text = repr(found)
    assert "nats for each of 150 rows, 60 draws" in text
    assert "1 of 2" in text
    assert "warning: 1 of 2 units have collapsed" in text
    html = found._repr_html_()
    assert "<table>" in html
    assert "collapsed" in html
    axes = found.plot()
    assert axes.get_ylabel() == "rate (nats)"
    assert [bar.get_height() for bar in axes.patches] == sorted((u.rate for u in found.units), reverse=True)
    turned = report("pyro", optimum(turn=0.6), linear_gaussian_guide)
    assert turned.plot().get_ylabel() == "variance of the posterior mean"


def test_a_fit_reports_on_itself() -> None:
    method = ppl.inference.SVI(guide=independent(FLOWERS), steps=3, draws=5, progress=False)
    fit = ppl.infer(ppca(FLOWERS, LATENT).observe(x=FLOWERS), method, backend="pyro")
    found = fit.latent_report(draws=20, seed=3)
    settings: dict[str, Any] = {"params": fit, "draws": 20, "seed": 3, "backend": "pyro"}
    assert found == ppl.latent_report(fit.program, independent(FLOWERS), **settings)


def test_what_is_refused() -> None:
    program = ppca(FLOWERS, LATENT).observe(x=FLOWERS)
    with pytest.raises(ModelError, match="at least two draws"):
        report("pyro", optimum(), draws=1)
    with pytest.raises(ModelError, match="parameter 'loadings' has no value"):
        ppl.latent_report(program, independent(FLOWERS))
    with pytest.raises(GuideError, match=r"has the site 'guide' of its own(.*\n)*.*AutoNormal"):
        ppl.latent_report(program, AutoMultivariateNormal().build(program, 0), params={})
    with pytest.raises(ModelError, match="rates of a linear autoencoder need"):
        linear_vae_rates(FLOWERS, 0.0, 2)
    with pytest.raises(NonFiniteError, match=r"site 'x'.*at the draws of the guide"):
        report("pyro", {**optimum(), "loadings": np.full((4, 2), np.inf)})

    @ppl.model
    def clusters(points):
        centre = ppl.sample("centre", dist.Normal(0.0, 1.0).expand([2]))
        with ppl.plate("rows", points):
            side = ppl.sample("side", dist.Bernoulli(0.5))
            z = ppl.sample("z", dist.Normal(centre[side], 1.0))
            ppl.sample("x", dist.Normal(z, 1.0))

    @ppl.model
    def guide(points):
        ppl.sample("centre", dist.Normal(0.0, 1.0).expand([2]))
        with ppl.plate("rows", points):
            ppl.sample("z", dist.Normal(0.0, 1.0))

    points = FLOWERS[:, 0]
    with pytest.raises(ModelError, match=r"site 'z'.*its prior is part of the sum over side"):
        ppl.latent_report(clusters(points).observe(x=points), guide(points))
