"""Bijections from real vectors onto rising, falling and zero-sum vectors, spheres and correlations.

On a surface, a hyperplane or a sphere, the determinant is that of surface area: the square root of det(J' J).
"""

from __future__ import annotations

import numpy as np

from ppl.errors import ShapeError, user_location
from ppl.program import supports
from ppl.program.ops import apply
from ppl.program.values import Shape, Value

from . import algebra as al
from .algebra import Number, add, exp, log
from .elementwise_bijections import log_one_minus_tanh_squared
from .matrix_bijections import CorrCholesky, FromReals, Triangular


class PositiveOrdered(FromReals):
    """Real vectors onto increasing vectors of positive numbers: exponentials as steps, from zero.

    Reference: Stan reference manual, positive ordered vector.
    """

    codomain_rank = 1
    onto = supports.positive_ordered

    def forward(self, x: Value) -> Value:
        """Running sum of exp(x_1), exp(x_2), ..."""
        return apply("cumsum", exp(x), axis=(-1,))

    def inverse(self, y: Value) -> Value:
        """Logarithms of the steps."""
        steps = al.last(y, slice(1, None)) - al.last(y, slice(None, -1))
        return apply("concat", log(al.last(y, slice(0, 1))), log(steps), axis=-1)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Sum of all entries."""
        return al.sum_last(x)


class FallingProducts(FromReals):
    """Real vectors onto falling vectors of numbers between 0 and 1: each a share, sigmoid(x), of the one before."""

    codomain_rank = 1
    onto = supports.falling

    def forward(self, x: Value) -> Value:
        """Running product of the shares."""
        return apply("exp", self._logs(x))

    def _logs(self, x: Value) -> Value:
        return apply("cumsum", apply("log_sigmoid", x), axis=(-1,))

    def inverse(self, y: Value) -> Value:
        """Log odds of each share."""
        before = apply("concat", al.last(y, slice(0, 1)) * 0.0 + 1.0, al.last(y, slice(None, -1)), axis=-1)
        return apply("log", y) - apply("log", before - y)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Sum of the logs of the products, and of what each share leaves."""
        return al.sum_last(self._logs(x) + apply("log_sigmoid", -x))


class Gaining(FromReals):
    """A map of n - 1 numbers onto vectors of n that one equation binds."""

    codomain_rank = 1

    def forward_shape(self, shape: Shape) -> Shape:
        """One entry more."""
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        """One entry less."""
        if not shape or shape[-1] < 2:
            raise ShapeError(
                f"{self} needs vectors of at least two entries.",
                declared_at=user_location(),
                expected="an event of size 2 or more",
                got=f"event shape {shape}",
            )
        return (*shape[:-1], shape[-1] - 1)


class ZeroSum(Gaining):
    """Real vectors of n - 1 entries onto vectors of n that sum to zero, distances kept.

    The columns of the map are the Helmert contrasts: entry k + 1 against the mean of the k entries before it.

    Reference: Stan reference manual, zero sum vector.
    """

    onto = supports.zero_sum

    def forward(self, x: Value) -> Value:
        """Contrasts, weighted by x."""
        k = np.arange(1.0, x.shape[-1] + 1.0)
        weighted = x / np.sqrt(k * (k + 1.0))
        tails = apply("flip", apply("cumsum", apply("flip", weighted, axis=(-1,)), axis=(-1,)), axis=(-1,))
        zero = al.last(weighted, slice(0, 1)) * 0.0
        return apply("concat", tails, zero, axis=-1) - apply("concat", zero, weighted * k, axis=-1)

    def inverse(self, y: Value) -> Value:
        """Inner products with the contrasts."""
        k = np.arange(1.0, float(y.shape[-1]))
        head = al.last(apply("cumsum", y, axis=(-1,)), slice(None, -1))
        return (head - al.last(y, slice(1, None)) * k) / np.sqrt(k * (k + 1.0))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Zero: distances are kept."""
        return 0.0


class UnitVector(Gaining):
    """Real vectors of n - 1 entries onto vectors of n and length one, all but the last axis' own direction.

    The inverse stereographic projection of x sinh(|x|) / |x|. The hyperbolic sine turns the heavy tails, which the
    projection alone would give densities near the missing point, into exponential ones. One point of a sphere is
    always missing: no sphere is the bijective image of all reals.
    """

    onto = supports.sphere

    def forward(self, x: Value) -> Value:
        """With r = |x|: (2 tanh(r) sech(r) x / r, 1 - 2 sech(r)**2)."""
        r = _length(x)
        sech = _sech(r)
        return apply("concat", (2.0 * apply("tanh", r) * sech / r) * x, 1.0 - 2.0 * apply("square", sech), axis=-1)

    def inverse(self, y: Value) -> Value:
        """With c the last entry and s the rest: s asinh(|s| / (1 - c)) / |s|."""
        rest = al.last(y, slice(None, -1))
        # 1 - c = (1 + c) t**2 with t = |s| / (1 + c) keeps its digits near the missing point; elsewhere 1 - c does.
        size, c = _length(rest), al.last(y, slice(-1, None))
        near = c > 0.0
        above = apply("square", size) / apply("where", near, 1.0 + c, 1.0)
        return rest * (apply("asinh", size / apply("where", near, above, 1.0 - c)) / size)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """(n - 1) log(2 / cosh(r)**2) + log(cosh(r)) + (n - 2) log(sinh(r) / r)."""
        free = x.shape[-1]
        r = al.last(_length(x), 0)
        log_cosh = r + apply("softplus", -2.0 * r) - al.LOG_2
        out = add(free * al.LOG_2, (1.0 - 2.0 * free) * log_cosh)
        if free == 1:
            return out
        # sinh(r) = exp(r) (1 - exp(-2 r)) / 2
        log_ratio = r - al.LOG_2 + apply("log", -apply("expm1", -2.0 * r) / r)
        return add(out, (free - 1.0) * log_ratio)


def _length(x: Value) -> Value:
    # The shift is far below rounding, except at zero, where the gradient of a root is not finite.
    return apply("sqrt", apply("sum", apply("square", x), axis=(-1,), keepdims=True) + 1e-30)


def _sech(r: Value) -> Value:
    return 2.0 * apply("exp", -r) / (1.0 + apply("exp", -2.0 * r))


class CorrMatrix(Triangular):
    """Real vectors onto correlation matrices, by way of their Cholesky factors.

    Reference: Stan reference manual, correlation matrices.
    """

    onto = supports.corr_matrix
    with_diagonal = False

    def forward(self, x: Value) -> Value:
        """Factor times its transpose."""
        factor = CorrCholesky().forward(x)
        return apply("matmul", factor, al.swap_last(factor))

    def inverse(self, y: Value) -> Value:
        """Read the Cholesky factor."""
        return CorrCholesky().inverse(apply("cholesky", y))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Volume on the entries below the diagonal."""
        # Column j of n (from 1) of the correlations moves with the n - j entries of the factor's column, each scaled
        # by the factor's diagonal L_jj; and log L_jj is half the sum of log(1 - tanh(x)**2) along row j. Together with
        # the factor's own volume, the entry in row i and column j (from 0) has the weight (n - j) / 2, whatever i.
        side = self.forward_shape(x.shape)[-1]
        _, columns = np.tril_indices(side, -1)
        return al.sum_last(log_one_minus_tanh_squared(x) * (0.5 * (side - columns)))
