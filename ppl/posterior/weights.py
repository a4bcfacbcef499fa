"""Weighted draws in numpy: normalising, resampling, moments and quantiles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ppl.errors import NonFiniteError


def normalise(log_weights: np.ndarray) -> np.ndarray:
    """Weights that sum to one.

    Args:
        log_weights: in nats, up to a constant; any shape.

    Returns:
        Weights of the same shape, in float64.

    Raises:
        NonFiniteError: a weight is NaN or plus infinity, or all are zero.
    """
    log_weights = np.asarray(log_weights, dtype=float)
    top = log_weights.max(initial=-np.inf)
    if not np.isfinite(top):
        raise NonFiniteError(
            "the weights of the draws cannot be normalised.",
            expected="finite log weights (minus infinity for draws that are impossible)",
            got=f"a largest log weight of {top}",
        )
    weights = np.exp(log_weights - top)
    return weights / weights.sum()


def effective_draws(weights: np.ndarray) -> float:
    """How many equally weighted draws these are worth: 1 / sum of squares of normalised weights."""
    return float(1.0 / np.sum(np.square(weights)))


def systematic_indices(weights: np.ndarray | None, total: int, count: int, seed: int) -> np.ndarray:
    """Indices of resampled draws, in rising order.

    Args:
        weights: normalised, shape (total,); None for equal weights.
        total: number of draws to choose from.
        count: number of draws to return.
        seed: for the one uniform number that systematic resampling needs.

    Returns:
        Shape (count,). A draw of weight w appears either floor(count * w) or ceil(count * w) times, so equal weights
        with count <= total give distinct, evenly spaced draws.
    """
    if weights is None and count == total:
        return np.arange(total)
    cumulative = np.arange(1, total + 1) / total if weights is None else np.cumsum(weights)
    positions = (np.arange(count) + np.random.default_rng(seed).uniform()) / count
    # Rounding may leave the last cumulative weight below one; no position may fall behind it.
    cumulative[-1] = 1.0
    return np.searchsorted(cumulative, positions, side="right").clip(max=total - 1)


def mean(draws: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Mean over the leading axis.

    Args:
        draws: shape (draws, ...).
        weights: normalised, shape (draws,); None for equal weights.

    Returns:
        Shape (...), in float64.
    """
    if weights is None:
        return draws.mean(axis=0, dtype=float)
    return np.tensordot(weights, draws.astype(float), axes=1)


def std(draws: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Standard deviation over the leading axis; its square is unbiased for independent draws.

    Args:
        draws: shape (draws, ...).
        weights: normalised, shape (draws,); None for equal weights.

    Returns:
        Shape (...), in float64; NaN for a single draw.
    """
    centred = draws - mean(draws, weights)
    # For equal weights 1 - sum w^2 is (n - 1) / n, the usual correction.
    if weights is None:
        weights = np.full(len(draws), 1.0 / max(len(draws), 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(np.tensordot(weights, np.square(centred), axes=1) / (1.0 - np.sum(np.square(weights))))


def quantile(draws: np.ndarray, weights: np.ndarray | None, q: float | Sequence[float]) -> np.ndarray:
    """Quantiles over the leading axis.

    Args:
        draws: shape (draws, ...).
        weights: normalised, shape (draws,); None for equal weights.
        q: probabilities, a number or shape (quantiles,).

    Returns:
        Shape (...) for a number, (quantiles, ...) for several, in float64.

    Equal weights give numpy's default, linear interpolation between neighbours. Unequal ones give its generalisation:
    the average of the draws in a window of the cumulative weight, as wide as one of n draws, n being the effective
    number of draws.

    Reference: Akinshin (2023), Weighted quantile estimators.
    """
    if weights is None:
        return np.quantile(draws, q, axis=0)
    probabilities = np.atleast_1d(np.asarray(q, dtype=float))
    flat = draws.reshape(len(draws), -1).astype(float)
    order = np.argsort(flat, axis=0, kind="stable")
    ordered = np.take_along_axis(flat, order, axis=0)
    cumulative = np.cumsum(weights[order], axis=0)
    size = effective_draws(weights)
    out = np.empty((len(probabilities), flat.shape[1]))
    for row, p in enumerate(probabilities):
        reached = np.clip(size * cumulative - (size - 1.0) * p, 0.0, 1.0)
        # Rounding of the last cumulative weight must not lose mass.
        reached[-1] = 1.0
        share = np.diff(reached, axis=0, prepend=0.0)
        out[row] = np.sum(share * ordered, axis=0)
    shape = draws.shape[1:]
    return out.reshape(len(probabilities), *shape) if np.ndim(q) else out[0].reshape(shape)
