"""Kernels of the dot product of two rows: linear functions and polynomials with normal coefficients."""

from __future__ import annotations

from typing import Any, ClassVar

from ppl.errors import ModelError, user_location
from ppl.language.dist import algebra as al
from ppl.language.dist.algebra import Number, add, mul, square
from ppl.program.ops import apply
from ppl.program.supports import Support, nonnegative, positive
from ppl.program.values import Value, lift

from .kernel import ByColumn


class DotProduct(ByColumn):
    """A kernel of the products of two rows, column by column, weighed by `variance`."""

    by_column = frozenset({"variance"})

    def _products(self, x: Value, z: Value) -> Number:
        """Weighed dot products of all pairs of rows."""
        x, z = self._columns(x), self._columns(z)
        variance = self._scale("variance", x)
        if x.ndim == 1:
            return mul(variance, x[:, None] * z[None, :])
        if variance.ndim:
            return apply("matmul", x * variance, z.T)
        return mul(variance, apply("matmul", x, z.T))

    def _squares(self, x: Value) -> Number:
        """Weighed squared lengths of rows."""
        x = self._columns(x)
        variance = self._scale("variance", x)
        if x.ndim == 1:
            return mul(variance, square(x))
        if variance.ndim:
            return apply("matmul", square(x), variance)
        return mul(variance, al.sum_last(lift(square(x))))


class Linear(DotProduct):
    """Linear kernel, the sum over columns of variance * x * z: linear functions through the origin.

    Args:
        variance: of the slopes, positive; one number, or one for each column.
        active_dims: columns of the inputs that count; by default all.

    `Constant(v) + Linear(...)` adds an intercept of variance v.
    """

    parameters: ClassVar[dict[str, Support]] = {"variance": positive}

    def __init__(self, variance: Any = 1.0, *, active_dims: Any = None) -> None:
        super().__init__({"variance": variance}, active_dims)

    def _between(self, x: Value, z: Value) -> Number:
        return self._products(x, z)

    def _diagonal(self, x: Value) -> Number:
        return self._squares(x)


class Polynomial(DotProduct):
    """Polynomial kernel, (offset + the sum over columns of variance * x * z)**degree: polynomials of that degree.

    Args:
        degree: a positive constant integer.
        variance: positive; one number, or one for each column.
        offset: not negative; the larger, the more the lower powers count.
        active_dims: columns of the inputs that count; by default all.
    """

    parameters: ClassVar[dict[str, Support]] = {"variance": positive, "offset": nonnegative}
    positional = 0

    def __init__(self, degree: Any, variance: Any = 1.0, offset: Any = 1.0, *, active_dims: Any = None) -> None:
        if not isinstance(degree, int) or isinstance(degree, bool) or degree < 1:
            raise ModelError(
                "Polynomial takes a degree first.",
                declared_at=user_location(),
                expected="a positive constant integer",
                got=repr(degree),
            )
        super().__init__({"variance": variance, "offset": offset}, active_dims, degree=degree)

    def _power(self, products: Number) -> Number:
        base, degree = add(products, self.params["offset"]), self.static["degree"]
        return base if degree == 1 else lift(base) ** float(degree)

    def _between(self, x: Value, z: Value) -> Number:
        return self._power(self._products(x, z))

    def _diagonal(self, x: Value) -> Number:
        return self._power(self._squares(x))
