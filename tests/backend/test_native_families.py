"""Every family as Pyro and NumPyro write it: their log densities are those of our formulas."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro_dist
import pyro.distributions as pyro_dist
import pytest
import torch

from ppl.backend.families import Library, native_text, support_is_known
from ppl.errors import UnsupportedByBackend
from ppl.language import dist
from ppl.program.distributions import Distribution
from ppl.program.values import Value
from tests.language.family_cases import CASES, LOC
from tests.reference import draws_of, evaluate, symbol

# JAX's betaln has seven digits even in float64, and NumPyro's formulas are built on it.
SEVEN_DIGITS = {
    ("numpyro", "BetaBinomial"),
    ("numpyro", "BetaNegativeBinomial"),
    ("numpyro", "Hurdle"),
    ("numpyro", "NegativeBinomial"),
    ("numpyro", "ZeroInflatedNegativeBinomial"),
    # torch's own normaliser of this family is a polynomial of seven digits.
    ("pyro", "VonMises"),
    ("pyro", "SineSkewed"),
}


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    with jax.enable_x64(True):
        yield
    torch.set_default_dtype(before)


def written(library: Library, item: Distribution) -> str:
    """A distribution with constant parameters as the library's expression."""

    def text(value: Value) -> str:
        array = evaluate(value)
        return f"array({array.tolist()})" if array.ndim else repr(array.item())

    def nested(part: Distribution) -> str:
        expand = f".expand({list(part.element_shape)})" if part.expanded else ""
        return native_text(library, part, text, nested) + expand

    return native_text(library, item, text, nested)


def built(library: Library, item: Distribution) -> Any:
    """The library's own object."""
    names: dict[str, Any] = {"dist": numpyro_dist, "jnp": jnp, "array": jnp.array}
    if library == "pyro":
        names = {"dist": pyro_dist, "torch": torch, "array": torch.tensor}
    return eval(written(library, item), names)


def native_log_prob(library: Library, item: Distribution, x: np.ndarray) -> np.ndarray:
    if library == "numpyro":
        # Compiled, because JAX would compile its operations one by one otherwise.
        return np.asarray(jax.jit(lambda v: built("numpyro", item).log_prob(v))(jnp.asarray(x)))
    real = item.dtype == "float" or item.family != "Categorical"
    return built("pyro", item).log_prob(torch.as_tensor(x.astype(float) if real else x)).numpy()


@pytest.mark.parametrize("library", ["pyro", "numpyro"])
@pytest.mark.parametrize("name", list(CASES))
def test_the_native_log_density_is_ours(name: str, library: Library):
    case = CASES[name]
    item = case.dist
    if library in case.lacks:
        with pytest.raises(UnsupportedByBackend, match="is not supported by backend"):
            written(library, item)
        return
    x = draws_of(item, 10, seed=1)
    wide = item.expand((10, *item.element_shape))
    ours = evaluate(wide.element_log_prob(symbol("x", x.shape, item.dtype)), {"x": x})
    shape = (10, *item.element_shape)
    theirs = np.broadcast_to(native_log_prob(library, item, x), shape)
    digits = 1e-5 if (library, item.family) in SEVEN_DIGITS else 1e-9
    np.testing.assert_allclose(theirs, np.broadcast_to(ours, shape), rtol=digits, atol=digits)


@pytest.mark.parametrize(
    ("item", "pyro", "numpyro"),
    [
        (dist.Normal(0.0, 1.0), "dist.Normal(0.0, 1.0)", "dist.Normal(0.0, 1.0)"),
        (dist.StudentT(3.0), "dist.StudentT(3.0, 0.0, 1.0)", "dist.StudentT(3.0, 0.0, 1.0)"),
        (dist.Bernoulli(logits=0.5), "dist.Bernoulli(logits=0.5)", "dist.Bernoulli(logits=0.5)"),
        (dist.Binomial(3, 0.5), "dist.Binomial(3, probs=0.5)", "dist.Binomial(3, probs=0.5)"),
        (
            dist.NegativeBinomial(mean=3.0, concentration=2.0),
            "dist.GammaPoisson(2.0, 2.0 / 3.0)",
            "dist.NegativeBinomial2(3.0, 2.0)",
        ),
        (
            dist.LKJCholesky(3, 2.0),
            "dist.LKJCholesky(dim=3, concentration=2.0)",
            "dist.LKJCholesky(dimension=3, concentration=2.0)",
        ),
        (
            dist.OneHotCategorical([0.5, 0.5]),
            "dist.OneHotCategorical(probs=array([0.5, 0.5]))",
            "dist.Multinomial(1, probs=array([0.5, 0.5]))",
        ),
        (dist.Delta(0.5), "dist.Delta(torch.tensor(0.5))", "dist.Delta(0.5)"),
        (
            dist.Transformed(dist.Gamma(2.0, 1.0), dist.Affine(1.0, 2.0)),
            "dist.TransformedDistribution(dist.Gamma(2.0, 1.0), [dist.transforms.AffineTransform(1.0, 2.0)])",
            (
                "dist.TransformedDistribution(dist.Gamma(2.0, 1.0), "
                "[dist.transforms.AffineTransform(1.0, 2.0, domain=dist.constraints.positive)])"
            ),
        ),
        (
            dist.Transformed(dist.Normal(0.0, 1.0).expand([2]), dist.StickBreaking()),
            (
                "dist.TransformedDistribution(dist.Normal(0.0, 1.0).expand([2]).to_event(1), "
                "[dist.transforms.StickBreakingTransform()])"
            ),
            (
                "dist.TransformedDistribution(dist.Normal(0.0, 1.0).expand([2]).to_event(1), "
                "[dist.transforms.StickBreakingTransform()])"
            ),
        ),
    ],
    ids=lambda part: part.family if isinstance(part, Distribution) else "",
)
def test_the_text_is_what_a_person_would_write(item: Distribution, pyro: str, numpyro: str):
    assert written("pyro", item) == pyro
    assert written("numpyro", item) == numpyro


SUPPORTS = [
    dist.Transformed(dist.Normal(0.0, 1.0), dist.Exp()),
    dist.Transformed(dist.Gamma(2.0, 1.0), dist.Affine(1.0, 2.0)),
    dist.Transformed(dist.Exponential(2.0), dist.Affine(1.0, -2.0)),
    dist.Transformed(dist.Normal(0.0, 1.0), dist.Interval(-1.0, 3.0)),
    dist.Transformed(dist.Normal(0.0, 1.0), dist.biject_to(dist.support.greater_than(2.0))),
    dist.Transformed(dist.Normal(0.0, 1.0), dist.Affine(1.0, 2.0)),
    dist.Transformed(dist.Normal(LOC, 1.0), dist.StickBreaking()),
]


@pytest.mark.parametrize("item", SUPPORTS, ids=repr)
@pytest.mark.parametrize("library", ["pyro", "numpyro"])
def test_whether_the_native_support_is_ours_is_known(item: Distribution, library: Library):
    constraint = built(library, item).support
    inside = evaluate(item.draw(_Zero()))
    outside = {"positive": -1.0, "greater_than": -1e3, "less_than": 1e3, "interval": 1e3}.get(item.support.kind)
    make = torch.as_tensor if library == "pyro" else jnp.asarray
    check = constraint.check if library == "pyro" else constraint
    assert bool(np.all(np.asarray(check(make(inside)))))
    if outside is not None:
        refused = not bool(np.all(np.asarray(check(make(np.full(inside.shape, outside))))))
        assert refused == support_is_known(library, item)


class _Zero:
    """Noise in the middle of its range."""

    def normal(self, shape: tuple[int, ...]) -> Value:
        return dist.Delta(np.zeros(shape)).params["value"]

    def uniform(self, shape: tuple[int, ...]) -> Value:
        return dist.Delta(np.full(shape, 0.5)).params["value"]

    def native(self, sampler: str, args: tuple[Value, ...], shape: tuple[int, ...], dtype: Any) -> Value:
        return dist.Delta(np.ones(shape)).params["value"]


def test_what_a_library_lacks_is_refused_with_an_alternative():
    with pytest.raises(
        UnsupportedByBackend, match=r"dist\.DiscreteUniform is not supported by backend 'pyro'"
    ) as caught:
        written("pyro", dist.DiscreteUniform(0, 3))
    assert caught.value.alternative.startswith("Use dist.Categorical")
    with pytest.raises(UnsupportedByBackend, match="Pyro mixes components of one family only"):
        written("pyro", dist.Mixture([0.5, 0.5], [dist.Normal(), dist.Cauchy()]))
    with pytest.raises(UnsupportedByBackend, match="torch fills the triangle from a matrix"):
        written("pyro", dist.Transformed(dist.Normal(LOC, 1.0), dist.LowerCholesky()))
