"""Vectors and matrices whose entries are bound together: walks, contrasts, sticks, neighbours, rows and columns."""

from __future__ import annotations

from operator import index
from typing import Any, ClassVar

import numpy as np

from ppl.errors import ModelError, ShapeError, SymbolicValueError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, positive, real_matrix, real_vector, simplex
from ppl.program.values import Shape, Value, lift

from . import algebra as al
from .algebra import Number, add, div, log, mul, neg, square, sub
from .guards import inside


def constant_size(family: str, name: str, size: Any, least: int) -> int:
    """A size that decides an event shape.

    Raises:
        ShapeError: it is no constant, or too small.
    """
    try:
        count = index(size)
    except (TypeError, SymbolicValueError):
        count = least - 1
    if count < least:
        raise ShapeError(
            f"{family} needs a constant {name} of at least {least}.",
            declared_at=user_location(),
            expected=f"{name}={least}, or more",
            got=repr(size),
        )
    return count


class GaussianRandomWalk(Distribution):
    """Gaussian random walk: the running sums of independent normal steps, from zero.

    Args:
        scale: standard deviation of a step, positive.
        num_steps: number of steps, a constant; the vector holds where each of them ends.
    """

    parameters: ClassVar[dict[str, Support]] = {"scale": positive}
    positional = 1
    event_rank = 1

    def __init__(self, scale: Any = 1.0, num_steps: Any = 1) -> None:
        super().__init__({"scale": scale}, num_steps=constant_size("GaussianRandomWalk", "num_steps", num_steps, 1))

    @property
    def support(self) -> Support:
        """All real vectors."""
        return real_vector

    def core_shape(self) -> Shape:
        """One entry a step."""
        return (self.static["num_steps"],)

    def element_log_prob(self, value: Value) -> Value:
        """Sum of the normal log densities of the steps, in nats."""
        steps = square(al.last(value, slice(1, None)) - al.last(value, slice(None, -1)))
        whole = add(al.sum_last(lift(steps)), square(al.last(value, 0)))
        return self._terms(whole)

    def _terms(self, squares: Number) -> Value:
        scale, count = self.params["scale"], float(self.static["num_steps"])
        return lift(add(mul(-0.5, div(squares, square(scale))), mul(-count, log(scale)), -count * al.HALF_LOG_2PI))

    def draw(self, noise: NoiseSource) -> Value:
        """Running sums of scale * noise."""
        return self._walk(noise.normal(self.event_shape))

    def _walk(self, z: Value) -> Value:
        scale = self.params["scale"]
        return lift(mul(scale[..., None] if scale.shape else scale, apply("cumsum", z, axis=(-1,))))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the steps."""
        z = noise.normal(self.event_shape)
        count = float(self.static["num_steps"])
        terms = add(mul(-0.5, al.sum_last(lift(square(z)))), mul(-count, log(self.params["scale"])))
        return self._walk(z), lift(add(terms, -count * al.HALF_LOG_2PI))

    def element_mean(self) -> Value:
        """Zero."""
        return lift(0.0)

    def element_variance(self) -> Value:
        """Steps so far times scale**2."""
        scale, steps = self.params["scale"], lift(np.arange(1.0, self.event_shape[-1] + 1.0))
        return lift(mul(square(scale[..., None] if scale.shape else scale), steps))


class ZeroSumNormal(Distribution):
    """Normal distribution over vectors that sum to zero: independent normals, less their mean.

    Args:
        scale: standard deviation before the mean is taken away, positive.
        size: entries of the vector, a constant of at least 2.
    """

    parameters: ClassVar[dict[str, Support]] = {"scale": positive}
    positional = 1
    event_rank = 1

    def __init__(self, scale: Any = 1.0, *, size: Any) -> None:
        super().__init__({"scale": scale}, size=constant_size("ZeroSumNormal", "size", size, 2))

    @property
    def support(self) -> Support:
        """Vectors that sum to zero."""
        return supports.zero_sum

    def core_shape(self) -> Shape:
        """One axis of the given size."""
        return (self.static["size"],)

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector with respect to volume on the hyperplane, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        scale, free = self.params["scale"], self.static["size"] - 1.0
        squares = div(al.sum_last(apply("square", x)), square(scale))
        return add(mul(-0.5, squares), mul(-free, log(scale)), -free * al.HALF_LOG_2PI)

    def draw(self, noise: NoiseSource) -> Value:
        """Scale * (noise - mean noise)."""
        z, scale = noise.normal(self.event_shape), self.params["scale"]
        centred = z - apply("mean", z, axis=(-1,), keepdims=True)
        return lift(mul(scale[..., None] if scale.shape else scale, centred))

    def element_mean(self) -> Value:
        """Zero."""
        return lift(0.0)

    def element_variance(self) -> Value:
        """Scale**2 * (1 - 1 / size)."""
        out = mul(1.0 - 1.0 / self.static["size"], square(self.params["scale"]))
        return lift(out)[..., None] if lift(out).shape else lift(out)


class StickBreakingWeights(Distribution):
    """Weights of a truncated Dirichlet process: each is a share, Beta(1, concentration), of what is left of a stick.

    The last weight is what is left after the others. Larger concentrations spread the mass over more weights.

    Args:
        concentration: positive.
        size: number of weights, a constant of at least 2.

    Reference: Ishwaran and James (2001), Gibbs sampling methods for stick-breaking priors, section 3.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive}
    positional = 1
    event_rank = 1

    def __init__(self, concentration: Any, *, size: Any) -> None:
        super().__init__({"concentration": concentration}, size=constant_size("StickBreakingWeights", "size", size, 2))

    @property
    def support(self) -> Support:
        """Probability vectors."""
        return simplex

    def core_shape(self) -> Shape:
        """One axis of the given size."""
        return (self.static["size"],)

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector with respect to all entries but one, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        # What is left before each weight but the first; the shares' own factors telescope into the last weight.
        tails = apply("flip", apply("cumsum", apply("flip", x, axis=(-1,)), axis=(-1,)), axis=(-1,))
        return self._terms(log(al.last(x, -1)), al.sum_last(lift(log(al.last(tails, slice(1, -1))))))

    def _terms(self, log_last: Number, log_left: Number) -> Number:
        a = self.params["concentration"]
        return add(mul(self.static["size"] - 1.0, log(a)), mul(sub(a, 1.0), log_last), neg(log_left))

    def _log_left(self, noise: NoiseSource) -> Value:
        # A share is 1 - u**(1 / concentration), and what it leaves u**(1 / concentration).
        a = self.params["concentration"]
        logs = apply("log", noise.uniform((*self.element_shape, self.static["size"] - 1)))
        return apply("cumsum", div(logs, a[..., None] if a.shape else a), axis=(-1,))

    def _pieces(self, log_left: Value) -> Value:
        zero = al.last(log_left, slice(0, 1)) * 0.0
        before = apply("concat", zero, al.last(log_left, slice(None, -1)), axis=-1)
        pieces = -apply("exp", before) * apply("expm1", log_left - before)
        return apply("concat", pieces, apply("exp", al.last(log_left, slice(-1, None))), axis=-1)

    def draw(self, noise: NoiseSource) -> Value:
        """Pieces broken off one after the other."""
        return self._pieces(self._log_left(noise))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from what each piece left: late weights may round to zero."""
        left = self._log_left(noise)
        return self._pieces(left), lift(self._terms(al.last(left, -1), al.sum_last(al.last(left, slice(None, -1)))))

    def element_mean(self) -> Value:
        """(a / (1 + a))**k / (1 + a) for weight k from 0; the last takes the rest."""
        return self._moments(1.0)

    def element_variance(self) -> Value:
        """By the second moments 2 / ((1 + a) (2 + a)) and a / (2 + a) of a share and of what it leaves."""
        return self._moments(2.0) - apply("square", self._moments(1.0))

    def _moments(self, order: float) -> Value:
        a = self.params["concentration"]
        a = a[..., None] if a.shape else a
        count = self.static["size"] - 1
        left = div(a, add(a, order))
        share = div(1.0, add(a, 1.0)) if order == 1.0 else div(2.0, mul(add(a, 1.0), add(a, 2.0)))
        powers = lift(al.exp(mul(lift(np.arange(count + 1.0)), log(left))))
        factor = mul(share, lift(np.append(np.ones(count), 0.0)))
        return lift(mul(powers, add(factor, lift(np.append(np.zeros(count), 1.0)))))


class IndianBuffetWeights(Distribution):
    """Probabilities of the features of a truncated Indian buffet process, in falling order.

    Each is a share, Beta(concentration, 1), of the one before it, the first of 1. Whether an object has a feature is
    then Bernoulli, independently; the larger the concentration, the more features are frequent.

    Args:
        concentration: positive.
        size: number of features, a constant of at least 1.

    Reference: Teh, Gorur and Ghahramani (2007), Stick-breaking construction for the Indian buffet process, equation 6.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive}
    positional = 1
    event_rank = 1

    def __init__(self, concentration: Any, *, size: Any) -> None:
        super().__init__({"concentration": concentration}, size=constant_size("IndianBuffetWeights", "size", size, 1))

    @property
    def support(self) -> Support:
        """Falling vectors of numbers between 0 and 1."""
        return supports.falling

    def core_shape(self) -> Shape:
        """One axis of the given size."""
        return (self.static["size"],)

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector, in nats; the shares' own factors telescope."""
        return inside(self, value, lambda x: self._terms(lift(log(x))))

    def _terms(self, logs: Value) -> Value:
        a = self.params["concentration"]
        return lift(add(mul(float(self.static["size"]), log(a)), mul(a, al.last(logs, -1)), neg(al.sum_last(logs))))

    def _logs(self, noise: NoiseSource) -> Value:
        a = self.params["concentration"]
        logs = apply("log", noise.uniform(self.event_shape))
        return apply("cumsum", div(logs, a[..., None] if a.shape else a), axis=(-1,))

    def draw(self, noise: NoiseSource) -> Value:
        """Running products of uniform numbers to the power 1 / concentration."""
        return apply("exp", self._logs(noise))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from its logarithms: late probabilities may round to zero."""
        logs = self._logs(noise)
        return apply("exp", logs), self._terms(logs)

    def element_mean(self) -> Value:
        """(a / (1 + a))**k for feature k, from 1."""
        return self._moments(1.0)

    def element_variance(self) -> Value:
        """By the second moments (a / (2 + a))**k."""
        return self._moments(2.0) - apply("square", self._moments(1.0))

    def _moments(self, order: float) -> Value:
        a = self.params["concentration"]
        a = a[..., None] if a.shape else a
        return lift(al.exp(mul(lift(np.arange(1.0, self.static["size"] + 1.0)), log(div(a, add(a, order))))))


class MatrixNormal(Distribution):
    """Matrix normal distribution: normal entries, with a covariance among rows and one among columns.

    Args:
        loc: mean, an n by p matrix.
        scale_tril_row: lower Cholesky factor of the n by n covariance of the rows.
        scale_tril_column: lower Cholesky factor of the p by p covariance of the columns.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "loc": real_matrix,
        "scale_tril_row": supports.lower_cholesky,
        "scale_tril_column": supports.lower_cholesky,
    }
    positional = 3
    event_rank = 2

    def __init__(self, loc: Any, scale_tril_row: Any, scale_tril_column: Any) -> None:
        super().__init__({"loc": loc, "scale_tril_row": scale_tril_row, "scale_tril_column": scale_tril_column})

    @property
    def support(self) -> Support:
        """All real matrices."""
        return real_matrix

    def core_shape(self) -> Shape:
        """Rows by columns of the mean."""
        loc, row, column = (v.shape[-2:] for v in self.params.values())
        if row != (loc[0], loc[0]) or column != (loc[1], loc[1]):
            raise ShapeError(
                "MatrixNormal: the parameters do not fit.",
                declared_at=user_location(),
                expected="loc (n, p), scale_tril_row (n, n), scale_tril_column (p, p)",
                got=f"loc {loc}, scale_tril_row {row}, scale_tril_column {column}",
            )
        return loc

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each matrix, in nats."""
        loc, row, column = self.params.values()
        inner = apply("solve_triangular", row, lift(sub(value, loc)), lower=True)
        z = apply("solve_triangular", column, al.swap_last(inner), lower=True)
        return self._terms(z)

    def _terms(self, z: Value) -> Value:
        n, p = self.event_shape[-2:]
        rows, columns = (self._log_diagonal(name) for name in ("scale_tril_row", "scale_tril_column"))
        volume = add(mul(float(p), rows), mul(float(n), columns), n * p * al.HALF_LOG_2PI)
        return lift(sub(mul(-0.5, al.sum_last(apply("square", z), 2)), volume))

    def _log_diagonal(self, name: str) -> Value:
        return al.sum_last(lift(log(apply("diagonal", self.params[name]))))

    def _move(self, z: Value) -> Value:
        loc, row, column = self.params.values()
        moved = apply("matmul", apply("matmul", row, z), al.swap_last(column))
        return lift(add(loc, moved))

    def draw(self, noise: NoiseSource) -> Value:
        """Loc + row factor @ noise @ column factor'."""
        return self._move(noise.normal(self.event_shape))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the noise: no system is solved."""
        z = noise.normal(self.event_shape)
        return self._move(z), self._terms(z)

    def element_mean(self) -> Value:
        """The mean matrix."""
        return self.params["loc"]

    def element_variance(self) -> Value:
        """Products of the diagonals of the two covariances."""
        rows, columns = (al.sum_last(apply("square", self.params[n])) for n in ("scale_tril_row", "scale_tril_column"))
        return rows[..., None] * columns[..., None, :]


class CAR(Distribution):
    """Conditional autoregression: each region is normal around the mean of its neighbours.

    The precision is conditional_precision * (D - correlation * adjacency), with D the numbers of neighbours.

    Args:
        loc: mean, a vector with an entry for each region, or one number.
        correlation: how much of a region's excess over `loc` its neighbours pass on; above -1 and below 1.
        conditional_precision: precision of a region for each of its neighbours, positive.
        adjacency: constant symmetric matrix, 1 between neighbours and 0 elsewhere; each region has a neighbour.

    Reference: Jin, Carlin and Banerjee (2005), Generalized hierarchical multivariate CAR models for areal data.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "loc": real_vector,
        "correlation": supports.interval(-1.0, 1.0),
        "conditional_precision": positive,
    }
    positional = 3
    event_rank = 1

    def __init__(self, loc: Any, correlation: Any, conditional_precision: Any, adjacency: Any) -> None:
        array = _adjacency(adjacency)
        if array is None:
            raise ModelError(
                "CAR needs a constant adjacency matrix in which every region has a neighbour.",
                declared_at=user_location(),
                expected="a symmetric matrix of zeros and ones, zero on the diagonal, without empty rows",
                got=repr(adjacency),
                remedy="Give regions without neighbours a site of their own.",
            )
        mean = lift(loc)
        if not mean.shape:
            mean = al.filled(mean, (array.shape[0],))
        super().__init__(
            {"loc": mean, "correlation": correlation, "conditional_precision": conditional_precision},
            adjacency=tuple(tuple(int(n) for n in row) for row in array),
        )

    @property
    def support(self) -> Support:
        """All real vectors."""
        return real_vector

    def core_shape(self) -> Shape:
        """One entry a region."""
        size = self._matrix.shape[0]
        if self.params["loc"].shape[-1] != size:
            raise ShapeError(
                "CAR: loc and adjacency do not fit.",
                declared_at=user_location(),
                expected=f"one mean for each of {size} regions",
                got=f"loc {self.params['loc'].shape}",
            )
        return (size,)

    @property
    def _matrix(self) -> np.ndarray:
        return np.asarray(self.static["adjacency"], dtype=float)

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector, in nats; the determinant is that of constant eigenvalues."""
        loc, correlation, precision = self.params.values()
        matrix, size = self._matrix, float(self.event_shape[-1])
        degrees = matrix.sum(axis=1)
        root = np.sqrt(degrees)
        eigenvalues = np.linalg.eigvalsh(matrix / root[:, None] / root[None, :])
        wide = correlation[..., None] if correlation.shape else correlation
        log_det = add(al.sum_last(lift(al.log1p(neg(mul(wide, lift(eigenvalues)))))), float(np.log(degrees).sum()))
        x = lift(sub(value, loc))
        passed = apply("matmul", x, lift(matrix)) if x.ndim > 1 else apply("matmul", lift(matrix), x)
        quadratic = al.sum_last(x * lift(sub(x * degrees, mul(wide, passed))))
        whole = add(log_det, mul(size, log(precision)), neg(mul(precision, quadratic)))
        return lift(add(mul(0.5, whole), -size * al.HALF_LOG_2PI))

    def draw(self, noise: NoiseSource) -> Value:
        """Loc + noise, solved by the transposed Cholesky factor of the precision."""
        loc, correlation, precision = self.params.values()
        matrix = self._matrix
        c, p = (v[..., None, None] if v.shape else v for v in (correlation, precision))
        factor = apply("cholesky", lift(mul(p, sub(lift(np.diag(matrix.sum(axis=1))), mul(c, lift(matrix))))))
        return lift(add(loc, al.solve_lower(factor, noise.normal(self.event_shape), transposed=True)))

    def element_mean(self) -> Value:
        """The mean vector."""
        return self.params["loc"]


def _adjacency(matrix: Any) -> np.ndarray | None:
    """A constant matrix that says which regions touch; None for anything else."""
    try:
        array = np.asarray(matrix, dtype=float)
    except (TypeError, ValueError, SymbolicValueError):
        return None
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not np.isin(array, (0.0, 1.0)).all():
        return None
    touching = np.array_equal(array, array.T) and not np.diagonal(array).any() and array.any(axis=1).all()
    return array if touching else None
