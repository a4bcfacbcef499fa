"""The mistakes that Pyro and NumPyro let pass (design page 7): refused on both backends, in the same words."""

# The mistakes are deliberate.
# pyright: reportUnusedExpression=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist
from ppl.errors import GuideError, PPLError, ShapeError, SupportError
from ppl.inference import IWELBO, SVI, Adam, ImportanceSampling
from tests.tutorials.mistakes import coin, on_the_line, spread, total, which_side, with_more, with_sum, without_y

BACKENDS = ("numpyro", "pyro")
DATA = np.zeros(5)


@ppl.model
def pooled():
    x = ppl.sample("x", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(x, 1.0))


@ppl.model
def batched():
    """A batch dimension that no plate declares: here it is five numbers of one event."""
    ppl.sample("x", dist.Normal(ppl.param("mean", np.zeros(5)), 1.0))


@ppl.model
def pair():
    x = ppl.sample("x", dist.MultivariateNormal(np.zeros(2), np.eye(2)))
    ppl.sample("y", dist.Normal(x[0] + x[1], 0.1))


@ppl.model
def single():
    ppl.sample("x", dist.Normal(ppl.param("mean", 0.0), 1.0))


MISTAKES: dict[str, tuple[ppl.Program, ppl.Program, type[PPLError], str]] = {
    "a latent is missing from the guide": (total().observe(sum=4.0), without_y(), GuideError, "y"),
    "the guide has another support": (spread().observe(y=0.0), on_the_line(), SupportError, "scale"),
    "a batch dimension that no plate declares": (pooled().observe(y=0.0), batched(), ShapeError, "x"),
    "the guide observes": (total().observe(sum=4.0), with_sum().observe(sum=4.0), GuideError, "sum"),
    "an extra latent in the guide": (total().observe(sum=4.0), with_more(), GuideError, "w"),
    "another event rank": (pair().observe(y=0.0), single(), ShapeError, "x"),
}


def message(fit: Callable[[], Any], error: type[PPLError], site: str) -> str:
    with pytest.raises(error) as caught:
        fit()
    assert type(caught.value) is error
    assert caught.value.site == site
    assert caught.value.remedy
    return str(caught.value)


@pytest.mark.parametrize("objective", [None, IWELBO(5)], ids=["ELBO", "IWELBO"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_refused_before_anything_runs_in_the_same_words(mistake: str, objective: Any):
    program, guide, error, site = MISTAKES[mistake]
    method = SVI(guide=guide, steps=1, draws=1, progress=False, **({"objective": objective} if objective else {}))
    texts = {message(lambda b=b: ppl.infer(program, method, backend=b), error, site) for b in BACKENDS}
    assert len(texts) == 1


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_bernoulli_latent_gets_a_correct_strategy(backend: str):
    """Pyro learns 0.95 by score functions, NumPyro's Trace_ELBO nothing at all: the exact posterior is 0.9533."""
    method = SVI(guide=which_side(), steps=1500, optimizer=Adam(0.05), draws=1, progress=False)
    fit = ppl.infer(coin().observe(y=0.98), method, backend=backend)
    odds = np.exp(-0.5 * ((0.98 - 1.0) / 0.4) ** 2 + 0.5 * (0.98 / 0.4) ** 2)
    assert float(fit.params["p"]) == pytest.approx(odds / (1.0 + odds), abs=1e-4)


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_proposal_is_checked_alike(mistake: str):
    program, guide, error, site = MISTAKES[mistake]
    texts = {
        message(lambda b=b: ppl.infer(program, ImportanceSampling(10, guide), backend=b), error, site) for b in BACKENDS
    }
    assert len(texts) == 1


def test_data_with_a_batch_dimension_that_no_plate_declares():
    assert "shape" in message(lambda: pooled().observe(y=DATA), ShapeError, "y")


@pytest.mark.parametrize("backend", BACKENDS)
def test_without_a_plate_a_batch_is_one_event(backend: str):
    """In both model and guide the five numbers are one vector: its density is the sum, counted once."""

    @ppl.model
    def vector():
        x = ppl.sample("x", dist.Normal(np.zeros(5), 1.0))
        ppl.sample("y", dist.Normal(x, 1.0))

    program = vector().observe(y=DATA)
    program.check(batched())
    compiled = ppl.compile(program, backend, precision="float64")
    value = np.arange(5.0)
    found = compiled.backend.to_numpy(compiled.log_density({"x": value}))
    assert found.shape == ()
    np.testing.assert_allclose(found, -np.sum(value**2) - 5 * np.log(2 * np.pi), rtol=1e-12)
