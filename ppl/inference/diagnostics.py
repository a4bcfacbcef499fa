"""Convergence figures that a sampler reports about itself."""

from __future__ import annotations

import numpy as np


def split_rhat(draws: np.ndarray) -> np.ndarray:
    """Rank-free split R-hat of each number.

    Args:
        draws: shape (chains, draws, ...).

    Returns:
        Shape (...); 1 where chains agree, NaN for constant draws.

    Reference: Gelman et al. (2013), Bayesian Data Analysis, third edition, section 11.4.
    """
    half = draws.shape[1] // 2
    parts = np.concatenate([draws[:, :half], draws[:, half : 2 * half]]).astype(float)
    within = parts.var(axis=1, ddof=1).mean(axis=0)
    between = half * parts.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(((half - 1) / half * within + between / half) / within)


def effective_sample_size(draws: np.ndarray) -> np.ndarray:
    """Effective number of independent draws for the mean of each number.

    Args:
        draws: shape (chains, draws, ...).

    Returns:
        Shape (...).

    Reference: Geyer (1992), initial monotone sequence; Vehtari et al. (2021), equations 10 to 13.
    """
    chains, count = draws.shape[:2]
    flat = draws.reshape(chains, count, -1).astype(float)
    centred = flat - flat.mean(axis=1, keepdims=True)
    size = 2 ** int(np.ceil(np.log2(2 * count)))
    spectrum = np.fft.rfft(centred, n=size, axis=1)
    autocovariance = np.fft.irfft(spectrum * np.conj(spectrum), n=size, axis=1)[:, :count] / count
    within = autocovariance[:, 0].mean(axis=0) * count / (count - 1)
    total = within * (count - 1) / count
    if chains > 1:
        total = total + flat.mean(axis=1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = 1.0 - (within - autocovariance.mean(axis=0) * count / (count - 1)) / total
    correlation[0] = 1.0
    pairs = correlation[: count - count % 2].reshape(-1, 2, correlation.shape[-1]).sum(axis=1)
    positive = np.cumprod(pairs > 0, axis=0)
    monotone = np.minimum.accumulate(np.where(positive, pairs, 0.0), axis=0)
    tau = np.maximum(-1.0 + 2.0 * monotone.sum(axis=0), 1.0 / np.log10(chains * count))
    return (chains * count / tau).reshape(draws.shape[2:])
