"""Densities that a model spells out are written as `log_prob` of the library, where they are exactly that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.backend.native_densities import FAMILIES, library_density
from ppl.program.values import Value, reference

BACKENDS = ("numpyro", "pyro")
X, M = (reference("input", n, (), (3,), "float") for n in "xm")
S = reference("input", "s", (), (), "float")
NUMBERS = {
    "loc": {"value": M, "zero": 0.0, "number": 2.0, "negative": -2.0},
    "scale": {"value": S, "one": 1.0, "number": 3.0, "same": M},
}


@pytest.mark.parametrize("scale", NUMBERS["scale"])
@pytest.mark.parametrize("loc", NUMBERS["loc"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_form_is_found_again(family: Callable[..., Any], loc: str, scale: str) -> None:
    loc_given, scale_given = NUMBERS["loc"][loc], NUMBERS["scale"][scale]
    found = library_density(family(loc_given, scale_given).element_log_prob(X))
    assert found is not None and found.attr("family") == family.__name__ and found.shape == (3,)
    for got, given in zip(found.args, (X, loc_given, scale_given), strict=True):
        assert got is given or got.attr("value") == given


def near_misses() -> dict[str, Value]:
    z = (X - M) / S
    half = -0.5 * ops.square(z)
    return {
        "another constant": half - 0.9 - ops.log(S),
        "another scale in the norm": half - 0.9189385332046727 - ops.log(S + 1.0),
        "no norm": half,
        "another factor": -0.4 * ops.square(z) - 0.9189385332046727 - ops.log(S),
        "a density with a support": dist.Exponential(S).element_log_prob(X),
        "a difference": X - M,
    }


@pytest.mark.parametrize("name", near_misses())
def test_what_only_looks_like_a_density_stays_spelled_out(name: str) -> None:
    assert library_density(near_misses()[name]) is None


@ppl.model
def robust(y):
    """A mixture by hand, over an array with axes of its own, with parameters from another plate."""
    with ppl.plate("parts", size=2):
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))
        scale = ppl.sample("scale", dist.LogNormal(0.0, 1.0))
    with ppl.plate("rows", y) as row:
        shift = ppl.sample("shift", dist.Normal(0.0, 1.0))
        near = dist.Normal(mean, scale).element_log_prob(row - shift)
        far = dist.Cauchy(0.0, 2.0).element_log_prob(row)
        pull = dist.Laplace(1.0, scale[0]).element_log_prob(shift)
        ppl.factor("likelihood", ops.logaddexp(ops.logsumexp(near), far) + pull)


@pytest.mark.parametrize("backend", BACKENDS)
def test_text_calls_the_library(backend: str) -> None:
    program = robust(np.array([0.5, -1.0, 2.0]))
    text = program.to_source(backend)
    assert "dist.Normal(mean, scale).log_prob((y - shift)[..., None])" in text
    assert "dist.Cauchy(0.0, 2.0).log_prob(y)" in text
    assert (
        "dist.Laplace(1.0, scale[..., 0]).log_prob(shift)" in text
        or "dist.Laplace(1.0, scale[0]).log_prob(shift)" in text
    )
    assert ppl.Program.from_json(program.to_json()).to_source(backend) == text


def test_all_four_densities_agree() -> None:
    table = ppl.agreement(robust(np.array([0.5, -1.0, 2.0])), precision="float64")
    assert len(table.columns) == 4 and table.difference < 1e-12


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_number_has_a_density_too(backend: str) -> None:
    @ppl.model
    def model():
        m = ppl.sample("m", dist.Normal(0.0, 1.0))
        ppl.factor("pull", dist.Normal(m, 2.0).element_log_prob(ops.asarray(1.5)))

    assert ".log_prob(" in model().to_source(backend)
    assert ppl.agreement(model(), precision="float64").difference < 1e-12
