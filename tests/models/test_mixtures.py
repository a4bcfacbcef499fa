"""Gaussian mixtures: equal to scikit-learn's at equal parameters, and planted components are found."""

from typing import Any

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

import ppl
from ppl import models
from ppl.inference import SVI, Adam, AutoDelta, Schedule
from tests.budget import sigmas
from tests.models.cases import factored_mixture, flowers, gaussian_mixture, ordered_mixture, petals
from tests.models.comparing import BACKENDS

MEANS = np.array([[-2.0, -1.0], [0.0, 1.5], [2.0, -1.0]])
SCALES = np.array([[0.4, 0.3], [0.3, 0.4], [0.5, 0.3]])
COUNTS = np.array([60, 100, 90])


def planted() -> np.ndarray:
    """Points around three means, far enough apart to be told from each other."""
    generator = np.random.default_rng(5)
    return np.concatenate([generator.normal(m, s, (n, 2)) for m, s, n in zip(MEANS, SCALES, COUNTS, strict=True)])


def by_site(program: ppl.Program, values: dict[str, np.ndarray], backend: str, site: str) -> float:
    compiled = ppl.compile(program, backend, precision="float64")
    term = compiled.log_density(values, by_site=True)[site]
    return float(np.sum(compiled.backend.to_numpy(term)))


def reference_mixture(points: np.ndarray, components: int) -> tuple[dict[str, np.ndarray], float]:
    """Parameters that scikit-learn fits, and the log density of the points under them, in nats."""
    fit: Any = GaussianMixture(components, covariance_type="diag", random_state=0).fit(points)
    parameters = {"weights": fit.weights_, "mean": fit.means_, "scale": np.sqrt(fit.covariances_)}
    return parameters, fit.score(points) * len(points)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_density_is_that_of_scikit_learn(backend: str) -> None:
    points = flowers()
    values, expected = reference_mixture(points, 3)
    assert by_site(gaussian_mixture(), values, backend, "x") == pytest.approx(expected, rel=1e-10)
    assert by_site(factored_mixture(), values, backend, "likelihood") == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_density_of_numbers_is_that_of_scikit_learn(backend: str) -> None:
    values = petals()
    parameters, expected = reference_mixture(values[:, None], 2)
    order = np.argsort(parameters["mean"][:, 0])
    parameters = {name: array[order].reshape(2) for name, array in parameters.items()}
    assert by_site(ordered_mixture(), parameters, backend, "x") == pytest.approx(expected, rel=1e-10)


def both_ways(program: ppl.Program, values: dict[str, np.ndarray], backend: str) -> tuple[float, float]:
    """Log density in nats, and that with the components numbered back to front."""
    compiled = ppl.compile(program, backend, precision="float64")
    turned = {name: value[::-1].copy() for name, value in values.items()}
    return float(compiled.log_density(values)), float(compiled.log_density(turned))


@pytest.mark.parametrize("backend", BACKENDS)
def test_only_the_ordered_mixture_tells_its_components_apart(backend: str) -> None:
    generator = np.random.default_rng(1)
    free = {
        "weights": generator.dirichlet(np.ones(3)),
        "mean": generator.normal(size=(3, 4)),
        "scale": np.exp(generator.normal(size=(3, 4))),
    }
    ordered = {"weights": np.array([0.4, 0.6]), "mean": np.array([-1.0, 0.5]), "scale": np.array([0.3, 0.7])}
    density, turned = both_ways(gaussian_mixture(), free, backend)
    assert turned == pytest.approx(density, rel=1e-12)
    density, turned = both_ways(ordered_mixture(), ordered, backend)
    assert np.isfinite(density)
    assert turned == -np.inf


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("form", ["gaussian_mixture", "factored_mixture", "ordered_mixture"])
def test_planted_components_are_found(form: str, backend: str) -> None:
    points = planted() if form != "ordered_mixture" else planted()[:, 0]
    program = getattr(models, form)(points, components=3)
    if form != "factored_mixture":
        program = program.observe(x=points)
    adam = Adam(0.05, schedule=Schedule(steps=1000))
    method = SVI(guide=AutoDelta(init_radius=2.0), optimizer=adam, steps=1000, draws=1, progress=False)
    draws = ppl.infer(program, method, backend=backend).draws
    found = draws["mean"][0, 0].reshape(3, -1)
    order = np.argsort(found[:, 0])
    if form == "ordered_mixture":
        assert list(order) == [0, 1, 2]
    # The mode lies about as far from the planted means as the averages of the points do; the priors, of scale one and
    # more, move it by a few hundredths of that.
    error = (SCALES / np.sqrt(COUNTS)[:, None])[:, : found.shape[1]]
    off = np.abs(found[order] - MEANS[:, : found.shape[1]]) / error
    assert np.all(off <= 1.05 * sigmas(off.size)), off
    # Few points lie between the components, so the weights are nearly those of the points that were planted.
    np.testing.assert_allclose(draws["weights"][0, 0, order], COUNTS / COUNTS.sum(), atol=0.02)
