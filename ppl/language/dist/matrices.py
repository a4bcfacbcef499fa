"""Families over covariances and correlations, and the multivariate Student's t distribution."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from ppl.errors import ShapeError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, positive, real_vector
from ppl.program.values import Shape, Value, lift

from . import algebra as al
from .algebra import Number, add, div, lgamma, log, mul, neg, square, sub
from .guards import exactly_one, inside
from .multivariate import LKJCholesky


class LKJ(Distribution):
    """LKJ distribution over correlation matrices; LKJCholesky, over their factors, is cheaper.

    Args:
        dimension: rows of the matrix, a constant of at least 2.
        concentration: positive; 1 is uniform over correlation matrices, larger favours weak correlations.

    Reference: Lewandowski, Kurowicka and Joe (2009), Generating random correlation matrices based on vines and
    extended onion method, equation 16.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": positive}
    positional = 0
    event_rank = 2

    def __init__(self, dimension: Any, concentration: Any = 1.0) -> None:
        size = LKJCholesky(dimension).dimension
        super().__init__({"concentration": concentration}, dimension=size)

    @property
    def support(self) -> Support:
        """Correlation matrices."""
        return supports.corr_matrix

    def core_shape(self) -> Shape:
        """Square matrices."""
        return (self.static["dimension"],) * 2

    @property
    def _factor(self) -> LKJCholesky:
        out = LKJCholesky.from_parts({"concentration": self.params["concentration"]}, self.static, {})
        assert isinstance(out, LKJCholesky)
        return out

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each matrix with respect to its entries below the diagonal, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        # The factor's density at the identity is the constant of both.
        eye = lift(np.eye(self.static["dimension"]))
        norm = self._factor.unchecked().element_log_prob(eye)
        return add(mul(sub(self.params["concentration"], 1.0), apply("logdet", x)), norm)

    def draw(self, noise: NoiseSource) -> Value:
        """A drawn factor times its transpose."""
        factor = self._factor
        shape = self.element_shape
        wide = factor.expand(shape) if factor.element_shape != shape else factor
        drawn = wide.draw(noise)
        # The diagonal is one up to rounding; here it is one.
        eye = np.eye(self.static["dimension"])
        return apply("matmul", drawn, al.swap_last(drawn)) * (1.0 - eye) + eye


class CovarianceFamily(Distribution):
    """What Wishart and its inverse share: degrees of freedom, and a scale given as a matrix or by its factor."""

    parameters: ClassVar[dict[str, Support]] = {
        "df": positive,
        "scale_matrix": supports.positive_definite,
        "scale_tril": supports.lower_cholesky,
    }
    positional = 1
    event_rank = 2

    def __init__(self, df: Any, scale_matrix: Any = None, scale_tril: Any = None) -> None:
        exactly_one(self.family, scale_matrix=scale_matrix, scale_tril=scale_tril)
        super().__init__({"df": df, "scale_matrix": scale_matrix, "scale_tril": scale_tril})
        size = self._matrix.shape[-1]
        df_number = al.number(self.params["df"])
        if df_number is not None and df_number <= size - 1:
            raise ShapeError(
                f"{self.family} has too few degrees of freedom for its size.",
                declared_at=user_location(),
                expected=f"df above {size - 1}, for {size} by {size} matrices",
                got=f"df {df_number}",
            )

    @property
    def _matrix(self) -> Value:
        return self.params["scale_tril"] if "scale_tril" in self.params else self.params["scale_matrix"]

    @property
    def support(self) -> Support:
        """Positive definite matrices."""
        return supports.positive_definite

    def core_shape(self) -> Shape:
        """As the scale."""
        shape = self._matrix.shape[-2:]
        if shape[0] != shape[1]:
            raise ShapeError(
                f"{self.family} needs a square scale.", declared_at=user_location(), got=f"{self._matrix.shape}"
            )
        return shape

    @property
    def scale_tril(self) -> Value:
        """Lower Cholesky factor of the scale."""
        return self.params["scale_tril"] if "scale_tril" in self.params else apply("cholesky", self._matrix)

    @property
    def _scale(self) -> Value:
        if "scale_matrix" in self.params:
            return self.params["scale_matrix"]
        return apply("matmul", self.scale_tril, al.swap_last(self.scale_tril))

    def _log_norm(self) -> Number:
        # df n log(2) / 2 + log of the multivariate gamma function at df / 2
        n = self.event_shape[-1]
        half = mul(0.5, self.params["df"])
        pieces = [lgamma(sub(half, 0.5 * j)) for j in range(n)]
        return add(mul(n * al.LOG_2, half), *pieces, 0.25 * n * (n - 1) * al.LOG_PI)

    def _bartlett(self, noise: NoiseSource) -> Value:
        """Lower triangular factor of a Wishart draw with unit scale."""
        n = self.event_shape[-1]
        df = self.params["df"]
        wide = df[..., None] if df.shape else df
        half = lift(sub(mul(0.5, wide), lift(0.5 * np.arange(n))))
        gamma = noise.native("gamma", al.reals(half), self.event_shape[:-1], "float")
        below = apply("tril", noise.normal(self.event_shape)) * np.tril(np.ones((n, n)), -1)
        return below + apply("diag_embed", apply("sqrt", 2.0 * gamma))

    def _df_matrix(self) -> Value:
        df = self.params["df"]
        return df[..., None, None] if df.shape else df


def _half_log_det(factor: Value) -> Value:
    return al.sum_last(lift(log(apply("diagonal", factor))))


class Wishart(CovarianceFamily):
    """Wishart distribution: the sum of df outer products of normal vectors.

    Args:
        df: degrees of freedom, above the number of rows less one.
        scale_matrix: positive definite; the mean is df times it.
        scale_tril: lower Cholesky factor of the scale, in place of `scale_matrix`.
    """

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each matrix with respect to its lower triangle, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        n, df, scale = self.event_shape[-1], self.params["df"], self.scale_tril
        factor = apply("cholesky", x)
        trace = al.sum_last(apply("square", apply("solve_triangular", scale, factor, lower=True)), 2)
        power = mul(sub(df, n + 1.0), _half_log_det(factor))
        return add(power, mul(-0.5, trace), neg(mul(df, _half_log_det(scale))), neg(self._log_norm()))

    def draw(self, noise: NoiseSource) -> Value:
        """Bartlett's factor, scaled, times its transpose."""
        factor = apply("matmul", self.scale_tril, self._bartlett(noise))
        return apply("matmul", factor, al.swap_last(factor))

    def element_mean(self) -> Value:
        """Df times the scale."""
        return self._df_matrix() * self._scale

    def element_variance(self) -> Value:
        """Df * (s_ij**2 + s_ii s_jj)."""
        scale = self._scale
        diagonal = apply("diagonal", scale)
        return self._df_matrix() * (apply("square", scale) + diagonal[..., None] * diagonal[..., None, :])


class InverseWishart(CovarianceFamily):
    """Inverse Wishart distribution: the inverse of a Wishart draw whose scale is the inverse of this one's.

    Args:
        df: degrees of freedom, above the number of rows less one.
        scale_matrix: positive definite; the mean is scale / (df - rows - 1).
        scale_tril: lower Cholesky factor of the scale, in place of `scale_matrix`.
    """

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each matrix with respect to its lower triangle, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        n, df, scale = self.event_shape[-1], self.params["df"], self.scale_tril
        factor = apply("cholesky", x)
        trace = al.sum_last(apply("square", apply("solve_triangular", factor, scale, lower=True)), 2)
        power = mul(add(df, n + 1.0), _half_log_det(factor))
        return add(neg(power), mul(-0.5, trace), mul(df, _half_log_det(scale)), neg(self._log_norm()))

    def draw(self, noise: NoiseSource) -> Value:
        """With L the scale's factor and A that of a unit Wishart draw: L A'^-1 A^-1 L'."""
        bartlett = self._bartlett(noise)
        right = apply("solve_triangular", bartlett, al.swap_last(self.scale_tril), lower=True)
        return apply("matmul", al.swap_last(right), right)

    def element_mean(self) -> Value:
        """Scale / (df - rows - 1); infinite below."""
        excess = self._df_matrix() - (self.event_shape[-1] + 1.0)
        safe = apply("where", excess > 0.0, excess, 1.0)
        return al.where(excess > 0.0, self._scale / safe, math.inf)

    def element_variance(self) -> Value:
        """((m + 1) s_ij**2 + (m - 1) s_ii s_jj) / (m (m - 1)**2 (m - 3)) with m = df - rows; infinite for m <= 3."""
        m = self._df_matrix() - float(self.event_shape[-1])
        safe = apply("where", m > 3.0, m, 4.0)
        scale = self._scale
        diagonal = apply("diagonal", scale)
        product = diagonal[..., None] * diagonal[..., None, :]
        top = (safe + 1.0) * apply("square", scale) + (safe - 1.0) * product
        return al.where(m > 3.0, top / (safe * apply("square", safe - 1.0) * (safe - 3.0)), math.inf)


class MultivariateStudentT(Distribution):
    """Multivariate Student's t distribution: a normal vector over the root of one gamma variable.

    Args:
        df: degrees of freedom, positive.
        loc: median vector.
        scale_tril: lower Cholesky factor of the scale matrix; the covariance is df / (df - 2) times that matrix.
    """

    parameters: ClassVar[dict[str, Support]] = {
        "df": positive,
        "loc": real_vector,
        "scale_tril": supports.lower_cholesky,
    }
    positional = 3
    event_rank = 1

    def __init__(self, df: Any, loc: Any = 0.0, *, scale_tril: Any) -> None:
        mean, factor = lift(loc), lift(scale_tril)
        if not mean.shape and factor.ndim >= 2:
            mean = al.filled(mean, factor.shape[-1:])
        super().__init__({"df": df, "loc": mean, "scale_tril": factor})

    @property
    def support(self) -> Support:
        """All real vectors."""
        return real_vector

    def core_shape(self) -> Shape:
        """As many entries as the factor has rows."""
        shape = self.params["scale_tril"].shape[-2:]
        size = self.params["loc"].shape[-1]
        if shape != (size, size):
            raise ShapeError(
                "MultivariateStudentT: loc and scale_tril do not fit.",
                declared_at=user_location(),
                expected="a vector of n entries and an n by n matrix",
                got=f"loc {self.params['loc'].shape}, scale_tril {self.params['scale_tril'].shape}",
            )
        return (size,)

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector, in nats."""
        factor = self.params["scale_tril"]
        z = al.solve_lower(factor, lift(sub(value, self.params["loc"])))
        df, n = self.params["df"], float(self.event_shape[-1])
        half = mul(0.5, df)
        rest = mul(add(half, 0.5 * n), al.log1p(div(al.sum_last(apply("square", z)), df)))
        norm = add(lgamma(add(half, 0.5 * n)), neg(lgamma(half)), mul(-0.5 * n, log(mul(math.pi, df))))
        return lift(add(norm, neg(rest), neg(_half_log_det(factor))))

    def draw(self, noise: NoiseSource) -> Value:
        """Loc + factor @ noise over the root of a gamma draw."""
        half = lift(mul(0.5, self.params["df"]))
        gamma = noise.native("gamma", al.reals(half), self.element_shape, "float")
        length = apply("sqrt", half / gamma)[..., None]
        moved = al.matvec(self.params["scale_tril"], noise.normal(self.event_shape) * length)
        return lift(add(self.params["loc"], moved))

    def element_mean(self) -> Value:
        """The median; NaN for df <= 1."""
        df = self.params["df"]
        return al.where((df > 1.0)[..., None], self.params["loc"], math.nan)

    def element_variance(self) -> Value:
        """Df / (df - 2) times the diagonal of the scale matrix; infinite for df <= 2."""
        df = self.params["df"]
        safe = apply("where", df > 2.0, df, 3.0)
        diagonal = al.sum_last(lift(square(self.params["scale_tril"])))
        ratio = al.where(df > 2.0, safe / (safe - 2.0), math.inf)
        return (ratio[..., None] if ratio.shape else ratio) * diagonal
