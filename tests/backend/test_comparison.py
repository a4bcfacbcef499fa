"""The table of agreement: what it compares, and what it leaves out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import ppl
from ppl import dist
from ppl.program.supports import Support

BACKENDS = ("numpyro", "pyro")
COLUMNS = ("numpyro", "pyro", "numpyro native", "pyro native")
Y = np.array([0.5, -1.0, 2.0])


def shifted(support: Support, start: np.ndarray) -> ppl.Program:
    @ppl.model
    def model():
        direction = ppl.param("direction", start, support=support)
        ppl.sample("y", dist.Normal(direction, 1.0))

    return model().observe(y=Y)


def test_four_columns_where_both_libraries_can():
    table = ppl.agreement(shifted(dist.support.real, np.zeros(3)), precision="float64")
    assert table.columns == COLUMNS
    assert not table.left_out
    np.testing.assert_allclose(table.rows["y"], [stats.norm.logpdf(Y).sum()] * 4, rtol=1e-12)


@pytest.mark.parametrize(
    ("support", "start", "lacking"),
    [
        (dist.support.zero_sum, np.array([1.0, -0.5, -0.5]), "pyro native"),
        (dist.support.sphere, np.array([0.6, 0.0, 0.8]), "numpyro native"),
    ],
    ids=["zero_sum", "sphere"],
)
def test_a_column_that_a_library_cannot_have_is_left_out_and_named(support: Support, start: np.ndarray, lacking: str):
    table = ppl.agreement(shifted(support, start), precision="float64")
    assert table.columns == tuple(c for c in COLUMNS if c != lacking)
    assert set(table.left_out) == {lacking}
    np.testing.assert_allclose(table.rows["y"], [stats.norm.logpdf(Y - start).sum()] * 3, rtol=1e-12)
    assert table.difference < 1e-12
    lines = str(table).splitlines()
    assert lines[0].split() == ["site", *" ".join(table.columns).split()]
    assert lines[-1].startswith(f"left out: {lacking}, since a parameter with support {support.kind}")


def test_a_difference_shows():
    from ppl.backend.comparison import Agreement

    table = Agreement("m", "float64", COLUMNS, {"y": (1.0, 1.0, 1.0, 1.5)}, 0.5 / 1.5)
    assert "largest difference 3.33e-01" in str(table)
