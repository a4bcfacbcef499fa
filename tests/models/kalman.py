"""Kalman filter and smoother for small models, in float64: the exact reference for linear-Gaussian state spaces."""

import numpy as np

Array = np.ndarray
LOG_2PI = float(np.log(2.0 * np.pi))


def kalman(
    y: Array, move: Array, spread: Array, show: Array, noise: float, mean: Array, covariance: Array
) -> tuple[float, Array, Array]:
    """Log evidence of a series, in nats, and what is known of each state given the whole series.

    x_0 ~ Normal(mean, covariance); x_t ~ Normal(move x_{t-1}, spread); y_t ~ Normal(show . x_t, noise^2). NaN is
    missing.

    Args:
        y: shape (steps,).
        move: shape (states, states).
        spread: covariance of a step, shape (states, states).
        show: shape (states,).
        noise: standard deviation of a measurement.
        mean: of the state before the first step, shape (states,).
        covariance: of the state before the first step, shape (states, states).

    Returns:
        Log evidence; means of the states from x_0 on, shape (steps + 1, states); covariances, one more axis.
    """
    evidence = 0.0
    filtered, predicted = [(mean, covariance)], []
    for value in y:
        m, p = move @ filtered[-1][0], move @ filtered[-1][1] @ move.T + spread
        predicted.append((m, p))
        if not np.isnan(value):
            variance = show @ p @ show + noise**2
            residual = value - show @ m
            evidence -= 0.5 * (LOG_2PI + np.log(variance) + residual**2 / variance)
            gain = p @ show / variance
            m, p = m + gain * residual, p - np.outer(gain, show @ p)
        filtered.append((m, p))
    smoothed = [filtered[-1]]
    for (m, p), (ahead, wide) in zip(filtered[-2::-1], predicted[::-1], strict=True):
        back = np.linalg.solve(wide, move @ p).T
        later, later_wide = smoothed[-1]
        smoothed.append((m + back @ (later - ahead), p + back @ (later_wide - wide) @ back.T))
    smoothed.reverse()
    return float(evidence), np.array([m for m, _ in smoothed]), np.array([p for _, p in smoothed])


def local_level(y: Array, drift: float, noise: float, centre: float, scale: float) -> tuple[float, Array, Array]:
    """`kalman` for the model of that name: evidence, means and variances of the start and of each level."""
    one = np.ones((1, 1))
    evidence, means, covariances = kalman(
        y, one, drift**2 * one, np.ones(1), noise, np.array([centre]), one * (3.0 * scale) ** 2
    )
    return evidence, means[:, 0], covariances[:, 0, 0]


def local_trend(
    y: Array, drift: float, bend: float, noise: float, centre: float, scale: float
) -> tuple[float, Array, Array]:
    """`kalman` for the model of that name; states are (level, slope)."""
    # The slope moves first, and the level by the new slope.
    move, through = np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([1.0, 1.0])
    spread = np.diag([drift**2, 0.0]) + bend**2 * np.outer(through, through)
    start = np.diag([(3.0 * scale) ** 2, (0.3 * scale) ** 2])
    return kalman(y, move, spread, np.array([1.0, 0.0]), noise, np.array([centre, 0.0]), start)
