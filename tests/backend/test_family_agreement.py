"""Values and gradients of every log density: the emitted torch code and the emitted JAX code agree."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jsp
import numpy as np
import pytest

from ppl.backend import jax_runtime
from ppl.backend.layout import Layout, lane_positions
from ppl.backend.lowering import Lowering
from ppl.backend.pieces import Piece
from ppl.backend.spelling import ATOM, JAX
from ppl.program.distributions import Distribution
from ppl.program.simplify import simplify
from ppl.program.values import Value, walk
from tests.backend.test_family_gradients import HARD, freed, gradients
from tests.language.family_cases import CASES
from tests.reference import draws_of, symbol


def jax_gradients(
    root: Value, bound: dict[str, np.ndarray], precision: str = "float64"
) -> tuple[float, dict[str, np.ndarray]]:
    """A scalar and its gradients in the real leaves, by the emitted JAX code."""
    root = simplify({"root": root})["root"]
    lowering = Lowering(
        JAX,
        lane_positions([root], 0),
        precision,
        lambda leaf: Piece(leaf.attr("name"), ATOM + 1, Layout(False, (), leaf.ndim)),
    )
    lowering.plan([root])
    piece = lowering.piece(root)
    leaves = sorted({node.attr("name") for node in walk([root]) if node.op == "input"})
    real = [name for name in leaves if np.asarray(bound[name]).dtype.kind == "f"]
    fixed = [name for name in leaves if name not in real]
    lines = [f"def run({', '.join(real + fixed)}):", *(f"    {line}" for line in lowering.lines)]
    lines.append(f"    return {piece.text}")
    names: dict[str, Any] = {"jax": jax, "jnp": jnp, "jsp": jsp, "runtime": jax_runtime}
    names |= {name: jnp.asarray(array, _dtype(array, precision)) for name, array in lowering.constants.items()}
    exec("\n".join(lines), names)  # noqa: S102 - this is what the backend does with emitted code
    arguments = [jnp.asarray(bound[name], _dtype(bound[name], precision)) for name in real + fixed]
    if not real:
        return float(names["run"](*arguments)), {}
    run = jax.jit(jax.value_and_grad(lambda *a: jnp.asarray(names["run"](*a)), argnums=tuple(range(len(real)))))
    value, found = run(*arguments)
    return float(value), {name: np.asarray(array) for name, array in zip(real, found, strict=True)}


def _dtype(array: np.ndarray, precision: str) -> str | None:
    return precision if np.asarray(array).dtype.kind == "f" else None


@pytest.mark.parametrize("name", list(CASES))
def test_both_backends_have_the_same_gradients(name: str):
    item, bound = freed(CASES[name].dist)
    bound["x"] = draws_of(CASES[name].dist, 1, seed=1)[0]
    root = item.log_prob(symbol("x", item.event_shape, item.dtype))
    by_torch, torch_side = gradients(root, bound, "float64")
    with jax.enable_x64(True):
        by_jax, jax_side = jax_gradients(root, bound)
    assert by_jax == pytest.approx(by_torch, rel=1e-9, abs=1e-10)
    for leaf, gradient in jax_side.items():
        np.testing.assert_allclose(gradient, torch_side[leaf], rtol=1e-7, atol=1e-9, err_msg=leaf)


@pytest.mark.parametrize(("item", "at"), HARD, ids=[f"{item.family}-{i}" for i, (item, _) in enumerate(HARD)])
def test_single_precision_holds_where_it_is_hard(item: Distribution, at: Any):
    """JAX in float32 has finite gradients, and the value that torch has in float64."""
    free, bound = freed(item)
    bound["x"] = np.asarray(at)
    # The same numbers on both sides: those that float32 knows.
    bound = {n: np.asarray(a, _dtype(a, "float32")) for n, a in bound.items()}
    root = free.log_prob(symbol("x", item.event_shape, item.dtype))
    exact, _ = gradients(root, {n: np.asarray(a, _dtype(a, "float64")) for n, a in bound.items()}, "float64")
    value, found = jax_gradients(root, bound, "float32")
    assert value == pytest.approx(exact, rel=3e-5, abs=3e-5)
    for gradient in found.values():
        assert np.all(np.isfinite(gradient)), found
