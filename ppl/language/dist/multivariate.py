"""Families over vectors and matrices."""

from __future__ import annotations

import math
from operator import index
from typing import Any, ClassVar

import numpy as np

from ppl.errors import ShapeError, SymbolicValueError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply, to_float
from ppl.program.supports import Support, positive, positive_vector, real_matrix, real_vector
from ppl.program.values import Shape, Value, lift

from . import algebra as al
from .algebra import Number, add, lgamma, log, mul, neg, square, sub
from .guards import exactly_one, inside


def _squared(x: Value) -> Value:
    return al.sum_last(lift(square(x)))


def _vector(loc: Value, size: int) -> Value:
    """A location given as one number, as a vector."""
    return loc if loc.shape else al.filled(loc, (size,))


class MultivariateNormal(Distribution):
    """Multivariate normal distribution; give one of three descriptions of the covariance.

    Args:
        loc: mean vector.
        covariance_matrix: positive definite.
        precision_matrix: inverse of the covariance.
        scale_tril: lower Cholesky factor of the covariance; the cheapest of the three.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "loc": real_vector,
        "covariance_matrix": supports.positive_definite,
        "precision_matrix": supports.positive_definite,
        "scale_tril": supports.lower_cholesky,
    }
    positional = 1
    event_rank = 1

    def __init__(
        self,
        loc: Any = 0.0,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
    ) -> None:
        exactly_one(
            "MultivariateNormal",
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        mean = lift(loc)
        matrix = next(lift(m) for m in (covariance_matrix, precision_matrix, scale_tril) if m is not None)
        if matrix.ndim >= 2:
            mean = _vector(mean, matrix.shape[-1])
        super().__init__(
            {
                "loc": mean,
                "covariance_matrix": covariance_matrix,
                "precision_matrix": precision_matrix,
                "scale_tril": scale_tril,
            }
        )

    @property
    def support(self) -> Support:
        """All real vectors."""
        return real_vector

    def core_shape(self) -> Shape:
        """As many entries as the matrix has rows."""
        name, matrix = list(self.params.items())[1]
        size = matrix.shape[-1]
        if matrix.shape[-2] != size or self.params["loc"].shape[-1] != size:
            raise ShapeError(
                f"MultivariateNormal: loc and {name} do not fit.",
                declared_at=user_location(),
                expected="a vector of n entries and an n by n matrix",
                got=f"loc {self.params['loc'].shape}, {name} {matrix.shape}",
            )
        return (size,)

    @property
    def has_marginal(self) -> bool:
        """Part of a normal vector is a normal vector."""
        return True

    def marginal_log_prob(self, value: Value, known: Value) -> Value:
        """Log density in nats of the known numbers of a draw, a scalar.

        Unknown numbers are made independent of the others, with mean where they are and variance one; their own density
        is then a constant, which is taken off again.
        """
        keep = to_float(known)
        both = apply("reshape", keep, shape=(*known.shape, 1)) * apply(
            "reshape", keep, shape=(*known.shape[:-1], 1, known.shape[-1])
        )
        covariance = self.covariance * both + apply("diag_embed", 1.0 - keep)
        whole = MultivariateNormal(self.params["loc"] * keep, covariance_matrix=covariance)
        terms = whole.element_log_prob(value * keep) + 0.5 * math.log(2.0 * math.pi) * apply(
            "sum", 1.0 - keep, axis=(-1,)
        )
        return self.total(terms)

    @property
    def scale_tril(self) -> Value:
        """Lower Cholesky factor of the covariance; not for use with a precision matrix."""
        if "scale_tril" in self.params:
            return self.params["scale_tril"]
        if "covariance_matrix" in self.params:
            return apply("cholesky", self.params["covariance_matrix"])
        return apply("cholesky", self.covariance)

    @property
    def covariance(self) -> Value:
        """The covariance matrix."""
        if "covariance_matrix" in self.params:
            return self.params["covariance_matrix"]
        if "precision_matrix" in self.params:
            return apply("inv", self.params["precision_matrix"])
        factor = self.params["scale_tril"]
        return apply("matmul", factor, al.swap_last(factor))

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector, in nats."""
        centred = lift(sub(value, self.params["loc"]))
        if "precision_matrix" in self.params:
            factor = apply("cholesky", self.params["precision_matrix"])
            z = al.matvec(al.swap_last(factor), centred)
            return lift(add(mul(-0.5, _squared(z)), self._log_diagonal(factor), self._norm))
        factor = self.scale_tril
        z = al.solve_lower(factor, centred)
        return lift(add(mul(-0.5, _squared(z)), neg(self._log_diagonal(factor)), self._norm))

    def draw(self, noise: NoiseSource) -> Value:
        """Loc + factor @ noise."""
        return self._move(noise.normal(self.event_shape), self._factor())

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the noise: no system is solved."""
        z = noise.normal(self.event_shape)
        factor = self._factor()
        log_diagonal = self._log_diagonal(factor)
        volume = log_diagonal if "precision_matrix" in self.params else neg(log_diagonal)
        return self._move(z, factor), lift(add(mul(-0.5, _squared(z)), volume, self._norm))

    def _factor(self) -> Value:
        matrix = self.params.get("precision_matrix")
        return self.scale_tril if matrix is None else apply("cholesky", matrix)

    def _move(self, z: Value, factor: Value) -> Value:
        by_precision = "precision_matrix" in self.params
        moved = al.solve_lower(factor, z, transposed=True) if by_precision else al.matvec(factor, z)
        return lift(add(self.params["loc"], moved))

    def _log_diagonal(self, factor: Value) -> Value:
        return al.sum_last(lift(log(apply("diagonal", factor))))

    @property
    def _norm(self) -> float:
        return -self.event_shape[-1] * al.HALF_LOG_2PI

    def element_mean(self) -> Value:
        """The mean vector."""
        return self.params["loc"]

    def element_variance(self) -> Value:
        """Diagonal of the covariance."""
        if "scale_tril" in self.params:
            return _squared(self.params["scale_tril"])
        return apply("diagonal", self.covariance)


class LowRankMultivariateNormal(Distribution):
    """Multivariate normal whose covariance is a low-rank matrix plus a diagonal one.

    The covariance is cov_factor @ cov_factor.T + diag(cov_diag); it is never formed, so that n entries with r factors
    cost n r**2.

    Args:
        loc: mean vector of n entries.
        cov_factor: n by r matrix.
        cov_diag: vector of n positive variances.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "loc": real_vector,
        "cov_factor": real_matrix,
        "cov_diag": positive_vector,
    }
    positional = 3
    event_rank = 1

    def __init__(self, loc: Any, cov_factor: Any, cov_diag: Any) -> None:
        diagonal = lift(cov_diag)
        mean = lift(loc)
        if diagonal.ndim:
            mean = _vector(mean, diagonal.shape[-1])
        super().__init__({"loc": mean, "cov_factor": cov_factor, "cov_diag": diagonal})

    @property
    def support(self) -> Support:
        """All real vectors."""
        return real_vector

    def core_shape(self) -> Shape:
        """As many entries as the diagonal."""
        sizes = {
            self.params["loc"].shape[-1],
            self.params["cov_factor"].shape[-2],
            self.params["cov_diag"].shape[-1],
        }
        if len(sizes) > 1:
            raise ShapeError(
                "LowRankMultivariateNormal: the parameters do not fit.",
                declared_at=user_location(),
                expected="loc (n,), cov_factor (n, r), cov_diag (n,)",
                got=", ".join(f"{name} {value.shape}" for name, value in self.params.items()),
            )
        return self.params["cov_diag"].shape[-1:]

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector, in nats, by the matrix inversion and determinant lemmas (Woodbury)."""
        loc, factor, diagonal = self.params.values()
        centred = lift(sub(value, loc))
        scaled = factor / diagonal[..., None]
        inner = apply("matmul", al.swap_last(factor), scaled) + np.eye(factor.shape[-1])
        root = apply("cholesky", inner)
        z = al.solve_lower(root, al.matvec(al.swap_last(scaled), centred))
        quadratic = sub(al.sum_last(apply("square", centred) / diagonal), _squared(z))
        log_det = add(al.sum_last(lift(log(diagonal))), mul(2.0, al.sum_last(lift(log(apply("diagonal", root))))))
        return lift(add(mul(-0.5, add(quadratic, log_det)), -self.event_shape[-1] * al.HALF_LOG_2PI))

    def draw(self, noise: NoiseSource) -> Value:
        """Loc + factor @ noise + root of the diagonal * noise."""
        loc, factor, diagonal = self.params.values()
        common = al.matvec(factor, noise.normal((*self.element_shape, factor.shape[-1])))
        return lift(add(loc, common, mul(apply("sqrt", diagonal), noise.normal(self.event_shape))))

    def element_mean(self) -> Value:
        """The mean vector."""
        return self.params["loc"]

    def element_variance(self) -> Value:
        """Row sums of the squared factor, plus the diagonal."""
        return _squared(self.params["cov_factor"]) + self.params["cov_diag"]


class LKJCholesky(Distribution):
    """LKJ distribution over Cholesky factors of correlation matrices.

    Args:
        dimension: rows of the matrix, a constant of at least 2.
        concentration: positive; 1 is uniform over correlation matrices, larger favours weak correlations.

    Reference: Lewandowski, Kurowicka and Joe (2009), Generating random correlation matrices based on vines and
    extended onion method.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive}
    positional = 0
    event_rank = 2

    def __init__(self, dimension: Any, concentration: Any = 1.0) -> None:
        try:
            size = index(dimension)
        except (TypeError, SymbolicValueError):
            size = 0
        if size < 2:
            raise ShapeError(
                "LKJCholesky needs a constant dimension of at least 2.",
                declared_at=user_location(),
                got=repr(dimension),
            )
        super().__init__({"concentration": concentration}, dimension=size)

    @property
    def dimension(self) -> int:
        """Rows of the matrix."""
        return self.static["dimension"]

    @property
    def support(self) -> Support:
        """Cholesky factors of correlation matrices."""
        return supports.corr_cholesky

    def core_shape(self) -> Shape:
        """Square matrices."""
        return (self.dimension, self.dimension)

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each factor with respect to its entries below the diagonal, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        n, eta = self.dimension, self.params["concentration"]
        logs = apply("log", al.last(apply("diagonal", x), slice(1, None)))
        # Row i (from 1) of the factor carries the exponent 2 (eta - 1) + n - 1 - i.
        fixed = al.sum_last(logs * np.arange(n - 2, -1, -1.0))
        free = mul(2.0, sub(eta, 1.0))
        weighted = fixed if al.number(free) == 0.0 else add(fixed, mul(free, al.sum_last(logs)))
        return add(weighted, neg(self._log_norm()))

    def _log_norm(self) -> Number:
        rest = self.dimension - 1
        alpha = add(self.params["concentration"], 0.5 * rest)
        pieces = [lgamma(sub(alpha, 0.5 * (j + 1))) for j in range(rest)]
        constant = (0.5 * rest + 0.25 * rest * (rest - 1)) * math.log(math.pi)
        return add(*pieces, neg(mul(float(rest), lgamma(alpha))), constant)

    def draw(self, noise: NoiseSource) -> Value:
        """Onion method: each row is a direction on the sphere, at a distance drawn from a beta."""
        n = self.dimension
        rows = np.arange(1, n)
        eta = self.params["concentration"][..., None]
        # Row i holds i entries below the diagonal; their squared length is Beta(i / 2, eta + (n - 1 - i) / 2).
        length = noise.native(
            "beta",
            (lift(0.5 * rows), lift(add(eta, lift(0.5 * (n - 1 - rows))))),
            (*self.element_shape, n - 1),
            "float",
        )
        normal = noise.normal((*self.event_shape[:-2], n - 1, n - 1))
        below = apply("tril", normal)
        scale = apply("sqrt", length / _squared(below))
        lower = below * scale[..., None]
        first = np.zeros((n - 1, 1))
        first_shape = (*self.element_shape, n - 1, 1)
        block = apply("concat", lower, apply("broadcast_to", lift(first), shape=first_shape), axis=-1)
        top = apply("broadcast_to", lift(np.zeros((1, n))), shape=(*self.element_shape, 1, n))
        diagonal = apply("sqrt", apply("maximum", 1.0 - length, 1e-30))
        ones = apply("broadcast_to", lift(np.ones(1)), shape=(*self.element_shape, 1))
        whole = apply("concat", ones, diagonal, axis=-1)
        return apply("concat", top, block, axis=-2) + apply("diag_embed", whole)
