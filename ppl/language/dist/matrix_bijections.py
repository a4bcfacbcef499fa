"""Bijections from real vectors onto simplices, ordered vectors and matrices.

All are written on the log scale where a product of many numbers below one would underflow. Their parametrisations are
those of Stan, which both NumPyro and Pyro follow.
"""

from __future__ import annotations

import math

import numpy as np

from ppl.errors import ShapeError, user_location
from ppl.program import supports
from ppl.program.ops import apply
from ppl.program.supports import Support
from ppl.program.values import Shape, Value, lift

from . import algebra as al
from .algebra import Number, add, exp, log
from .bijections import Bijection
from .elementwise_bijections import log_one_minus_tanh_squared


class FromReals(Bijection):
    """A map of unconstrained vectors onto a named support."""

    rank = 1
    onto: Support

    def image(self, support: Support) -> Support:
        """The named support, for all real vectors."""
        return self.onto if support.kind in ("real", "real_vector") else super().image(support)


class StickBreaking(FromReals):
    """Real vectors of n - 1 entries onto probability vectors of n, by breaking pieces off a stick.

    Reference: Stan reference manual, simplex transform.
    """

    codomain_rank = 1
    onto = supports.simplex

    def forward(self, x: Value) -> Value:
        """Break off sigmoid(x_k - log(pieces left)) of what is left."""
        return self.forward_with_log_det(x)[0]

    def inverse(self, y: Value) -> Value:
        """Log of each piece over what is left after it."""
        n = y.shape[-1]
        tails = apply("flip", apply("cumsum", apply("flip", y, axis=(-1,)), axis=(-1,)), axis=(-1,))
        odds = al.sub(log(al.last(y, slice(None, n - 1))), log(al.last(tails, slice(1, None))))
        return lift(odds) + _pieces_left(n)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Log determinant of the first n - 1 entries."""
        return self.forward_with_log_det(x)[1]

    def forward_with_log_det(self, x: Value) -> tuple[Value, Number]:
        """Both at once: with s = softplus, a piece is exp(x_k - s_1 - ... - s_k)."""
        count = x.shape[-1]
        odds = x - _pieces_left(count + 1)
        log_rest = apply("softplus", odds)
        spent = apply("cumsum", log_rest, axis=(-1,))
        pieces = apply("concat", exp(odds - spent), exp(-al.last(spent, slice(count - 1, None))), axis=-1)
        return pieces, al.sum_last(odds - log_rest * np.arange(count + 1.0, 1.0, -1.0))

    def forward_shape(self, shape: Shape) -> Shape:
        """One entry more."""
        return (*shape[:-1], shape[-1] + 1)

    def inverse_shape(self, shape: Shape) -> Shape:
        """One entry less."""
        return (*shape[:-1], shape[-1] - 1)


def _pieces_left(n: int) -> np.ndarray:
    # The shift makes x = 0 the centre of the simplex.
    return np.log(np.arange(n - 1.0, 0.0, -1.0))


class Ordered(FromReals):
    """Real vectors onto increasing ones: the first entry, then exponentials as steps."""

    codomain_rank = 1
    onto = supports.ordered

    def forward(self, x: Value) -> Value:
        """Running sum of x_1, exp(x_2), exp(x_3), ..."""
        steps = apply("concat", al.last(x, slice(0, 1)), exp(al.last(x, slice(1, None))), axis=-1)
        return apply("cumsum", steps, axis=(-1,))

    def inverse(self, y: Value) -> Value:
        """Logarithms of the steps."""
        steps = al.last(y, slice(1, None)) - al.last(y, slice(None, -1))
        return apply("concat", al.last(y, slice(0, 1)), log(steps), axis=-1)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Sum of all entries but the first."""
        return al.sum_last(al.last(x, slice(1, None)))


def _triangle_side(entries: int, with_diagonal: bool) -> int:
    side = int((math.isqrt(8 * entries + 1) + (-1 if with_diagonal else 1)) // 2)
    if side * (side + (1 if with_diagonal else -1)) // 2 != entries:
        raise ShapeError(
            f"a vector of {entries} entries does not fill a triangle.",
            declared_at=user_location(),
            expected="n (n + 1) / 2 entries" if with_diagonal else "n (n - 1) / 2 entries",
        )
    return side


def _to_lower(x: Value, side: int) -> Value:
    """A vector as the strictly lower triangle of a matrix, row by row; zeros elsewhere."""
    place = np.zeros((side, side), dtype=np.int64)
    place[np.tril_indices(side, -1)] = np.arange(side * (side - 1) // 2)
    return al.pick_static(x, place) * np.tril(np.ones((side, side)), -1)


def _from_lower(matrix: Value) -> Value:
    """The strictly lower triangle of a matrix as a vector, row by row."""
    side = matrix.shape[-1]
    rows, columns = np.tril_indices(side, -1)
    flat = apply("reshape", matrix, shape=(*matrix.shape[:-2], side * side))
    return al.pick_static(flat, rows * side + columns)


class Triangular(FromReals):
    """A map of vectors onto matrices with a free lower triangle."""

    codomain_rank = 2
    with_diagonal = True

    def forward_shape(self, shape: Shape) -> Shape:
        """A square matrix."""
        side = _triangle_side(shape[-1], self.with_diagonal)
        return (*shape[:-1], side, side)

    def inverse_shape(self, shape: Shape) -> Shape:
        """As many entries as are free."""
        side = shape[-1]
        return (*shape[:-2], side * (side + (1 if self.with_diagonal else -1)) // 2)


class LowerCholesky(Triangular):
    """Real vectors onto lower triangular matrices with a positive diagonal.

    The entries below the diagonal come first, row by row, then the logarithms of the diagonal.
    """

    onto = supports.lower_cholesky

    def forward(self, x: Value) -> Value:
        """Fill the triangle."""
        side = _triangle_side(x.shape[-1], True)
        diagonal = lift(exp(al.last(x, slice(x.shape[-1] - side, None))))
        if side == 1:
            return diagonal[..., None]
        below = _to_lower(al.last(x, slice(None, x.shape[-1] - side)), side)
        return below + apply("diag_embed", diagonal)

    def inverse(self, y: Value) -> Value:
        """Read the triangle."""
        diagonal = lift(log(apply("diagonal", y)))
        return diagonal if y.shape[-1] == 1 else apply("concat", _from_lower(y), diagonal, axis=-1)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Sum of the logarithms of the diagonal."""
        side = _triangle_side(x.shape[-1], True)
        return al.sum_last(al.last(x, slice(x.shape[-1] - side, None)))


class PositiveDefinite(Triangular):
    """Real vectors onto positive definite matrices, by way of their Cholesky factors."""

    onto = supports.positive_definite

    def forward(self, x: Value) -> Value:
        """Factor times its transpose."""
        factor = LowerCholesky().forward(x)
        return apply("matmul", factor, al.swap_last(factor))

    def inverse(self, y: Value) -> Value:
        """Read the Cholesky factor."""
        return LowerCholesky().inverse(apply("cholesky", y))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Volume of factor times transpose on the lower triangle, after that of the exponentials."""
        side = _triangle_side(x.shape[-1], True)
        logs = al.last(x, slice(x.shape[-1] - side, None))
        return add(al.sum_last(logs * np.arange(side + 1.0, 1.0, -1.0)), side * al.LOG_2)


class CorrCholesky(Triangular):
    """Real vectors onto Cholesky factors of correlation matrices, by canonical partial correlations tanh(x).

    Reference: Stan reference manual, Cholesky factors of correlation matrices.
    """

    onto = supports.corr_cholesky
    with_diagonal = False

    def forward(self, x: Value) -> Value:
        """Each entry takes its share, tanh(x), of the length that its row has left."""
        side = _triangle_side(x.shape[-1], False)
        log_left = 0.5 * _to_lower(log_one_minus_tanh_squared(x), side)
        # Exclusive running sum along the row: what is left before this entry.
        before = apply("cumsum", log_left, axis=(-1,)) - log_left
        share = _to_lower(apply("tanh", x), side) + np.eye(side)
        return share * exp(before)

    def inverse(self, y: Value) -> Value:
        """Atanh of each entry over the length that its row has left."""
        below = apply("tril", y) * np.tril(np.ones(y.shape[-2:]), -1)
        squares = apply("square", y)
        # Rows have length one, so what is left at an entry is the sum of the squares from there to the diagonal.
        left = apply("flip", apply("cumsum", apply("flip", squares, axis=(-1,)), axis=(-1,)), axis=(-1,))
        lower = np.tril(np.ones(y.shape[-2:]), -1)
        safe = al.where(lift(lower > 0), left, 1.0)
        return apply("atanh", _from_lower(below / apply("sqrt", safe)))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Volume on the entries below the diagonal."""
        side = _triangle_side(x.shape[-1], False)
        rows, columns = np.tril_indices(side, -1)
        # An entry scales all later ones of its row by the square root of what it leaves.
        return al.sum_last(log_one_minus_tanh_squared(x) * (1.0 + 0.5 * (rows - 1 - columns)))
