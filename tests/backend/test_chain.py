"""Sums over all paths of discrete values, as emitted code calls them: long ones, and ones that are hardly possible."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from ppl.backend import jax_runtime, torch_runtime

BACKENDS = ("numpyro", "pyro")


def value_and_gradient(backend: str, first: Any, own: Any, pair: Any) -> tuple[float, np.ndarray, np.ndarray]:
    """The log of the sum over paths, in nats, and its gradients by the weights of steps and of pairs."""
    if backend == "numpyro":
        function = jax.value_and_grad(jax_runtime.chain, argnums=(1, 2))
        total, (by_own, by_pair) = jax.jit(function)(*map(jnp.asarray, (first, own, pair)))
        return float(total), np.asarray(by_own), np.asarray(by_pair)
    arrays = [torch.tensor(x, requires_grad=True) for x in (first, own, pair)]
    total = torch_runtime.chain(*arrays)
    _, by_own, by_pair = torch.autograd.grad(total, arrays)
    return total.item(), by_own.numpy(), by_pair.numpy()


@pytest.mark.parametrize("backend", BACKENDS)
def test_long_sequences_keep_their_precision(backend: str) -> None:
    """In float32, ten thousand steps of some two nats: within a few units in the last place of the total."""
    generator = np.random.default_rng(0)
    own = generator.normal(-2.5, 1.0, (10_000, 3))
    pair = np.log(generator.dirichlet(np.ones(3), 3)).T
    alpha = own[0]
    for weights in own[1:]:
        alpha = np.logaddexp.reduce(pair + alpha, axis=1) + weights
    expected = np.logaddexp.reduce(alpha)
    found, by_own, _ = value_and_gradient(backend, *(x.astype(np.float32) for x in (np.zeros(3), own, pair)))
    assert found == pytest.approx(expected, rel=2e-6)
    # The gradient is the probability of each value in each step.
    np.testing.assert_allclose(by_own.sum(1), 1.0, atol=1e-4)


@pytest.mark.parametrize(("backend", "tree"), [("numpyro", True), ("pyro", True), ("pyro", False)])
def test_gradients_where_some_paths_are_impossible(backend: str, tree: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Left to right: nothing leads back, and the last value is never reached."""
    if not tree:
        # As for sums that are too large to be multiplied in pairs.
        monkeypatch.setattr(torch_runtime, "_LARGEST_TREE", 0)
    with np.errstate(divide="ignore"):
        pair = np.log(np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])).T
        first = np.log(np.array([1.0, 0.0, 0.0]))
    own = np.random.default_rng(0).normal(size=(6, 3))
    found, by_own, by_pair = value_and_gradient(backend, *(x.astype(np.float32) for x in (first, own, pair)))
    # By hand: the path is told by how many steps it spends in the first value.
    paths = np.array([own[:n, 0].sum() + own[n:, 1].sum() - min(n, 5) * np.log(2.0) for n in range(1, 7)])
    weights = np.exp(paths - np.logaddexp.reduce(paths))
    assert found == pytest.approx(np.logaddexp.reduce(paths), rel=1e-5)
    inside = np.array([weights[t:].sum() for t in range(6)])
    np.testing.assert_allclose(by_own, np.stack([inside, 1.0 - inside, 0.0 * inside], axis=1), atol=1e-5)
    assert np.isfinite(by_pair).all()


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_path_at_all(backend: str) -> None:
    found, _, _ = value_and_gradient(backend, np.full(2, -np.inf), np.zeros((4, 2)), np.zeros((2, 2)))
    assert found == -np.inf
