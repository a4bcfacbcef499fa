"""How far matrices are from positive definite: what the remedies of normal distributions are computed from."""

from __future__ import annotations

import numpy as np


def missing_diagonal(matrices: np.ndarray) -> float | None:
    """What has to be added to the diagonal for a Cholesky factor to exist in the matrices' own precision.

    Args:
        matrices: finite and symmetric up to rounding, shape (..., n, n).

    Returns:
        The greatest need of any of them: what its least eigenvalue lacks, plus what rounding may take from n rows.
        None if all have a factor, and where numbers are not finite: then something else is wrong.
    """
    if not matrices.size or not np.isfinite(matrices).all():
        return None
    flat = matrices.reshape(-1, *matrices.shape[-2:])
    needs = [_need(matrix) for matrix in flat if not _has_factor(matrix)]
    return max(needs, default=None)


def _has_factor(matrix: np.ndarray) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def _need(matrix: np.ndarray) -> float:
    rounding = len(matrix) * float(np.finfo(matrix.dtype).eps) * float(np.max(np.diagonal(matrix)))
    return max(0.0, -float(np.linalg.eigvalsh(matrix.astype(float))[0])) + max(rounding, np.finfo(float).tiny)
