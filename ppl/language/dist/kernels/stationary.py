"""Kernels of the distance between two rows. Distances are measured in lengthscales, one for all columns or one each."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from ppl.language.dist import algebra as al
from ppl.language.dist.algebra import Number, add, div, exp, mul, neg, square
from ppl.program.ops import apply
from ppl.program.supports import Support, positive
from ppl.program.values import Value, lift

from .kernel import ByColumn


def differences(x: Value, z: Value) -> Value:
    """Differences of all pairs of rows, shape (n, m), or (n, m, d) where rows are vectors."""
    return x[:, None] - z[None, :]


def named(value: Number, name: str) -> Value:
    """A value that goes by a name in emitted code."""
    out = lift(value)
    if out.args and not out.hint:
        out.hint.append(name)
    return out


class Stationary(ByColumn):
    """A kernel of the scaled distance r between two rows."""

    parameters: ClassVar[dict[str, Support]] = {"lengthscale": positive, "variance": positive}
    by_column = frozenset({"lengthscale"})

    def __init__(self, lengthscale: Any = 1.0, variance: Any = 1.0, *, active_dims: Any = None) -> None:
        super().__init__({"lengthscale": lengthscale, "variance": variance}, active_dims)

    def _squared(self, x: Value, z: Value) -> Number:
        """Squares of the scaled distances of all pairs of rows."""
        x, z = self._columns(x), self._columns(z)
        scale = self._scale("lengthscale", x)
        if scale.ndim:
            # A contraction: particles of lengthscales do not repeat the differences.
            return named(apply("matmul", square(differences(x, z)), div(1.0, square(scale))), "squared_distance")
        squares = lift(square(differences(x, z)))
        return div(named(al.sum_last(squares) if x.ndim > 1 else squares, "squared_distance"), square(scale))

    def _distance(self, x: Value, z: Value) -> Value:
        """Scaled distances of all pairs of rows; their gradient is 0 where they are 0."""
        u, v = self._columns(x), self._columns(z)
        scale = self._scale("lengthscale", u)
        if u.ndim == 1:
            return lift(div(named(abs(differences(u, v)), "distance"), scale))
        if scale.ndim:
            return named(_root(lift(self._squared(x, z))), "distance")
        return lift(div(named(_root(al.sum_last(lift(square(differences(u, v))))), "distance"), scale))

    def _diagonal(self, x: Value) -> Number:
        return self.params["variance"]

    def _scaled(self, correlation: Number) -> Number:
        return mul(self.params["variance"], correlation)


def _root(squared: Value) -> Value:
    # The square root has no finite gradient at 0, so it never sees one.
    squared = named(squared, "squared_distance")
    apart = named(squared > 0.0, "apart")
    return apply("where", apart, apply("sqrt", apply("where", apart, squared, 1.0)), 0.0)


class RBF(Stationary):
    """Squared exponential kernel, variance * exp(-r**2 / 2): functions that have all derivatives.

    Args:
        lengthscale: over what distance the function changes, positive; one number, or one for each column.
        variance: of the function at a row, positive.
        active_dims: columns of the inputs that count; by default all.

    Reference: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equation 4.9.
    """

    def _between(self, x: Value, z: Value) -> Number:
        return self._scaled(exp(mul(-0.5, self._squared(x, z))))


class Matern12(Stationary):
    """Exponential kernel, variance * exp(-r): rough, continuous functions (Ornstein and Uhlenbeck's process on a line).

    The arguments are those of `RBF`.

    Reference: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equation 4.18.
    """

    def _between(self, x: Value, z: Value) -> Number:
        return self._scaled(exp(neg(self._distance(x, z))))


class Matern32(Stationary):
    """Matern kernel of smoothness 3/2, variance * (1 + s) * exp(-s) with s = sqrt(3) r: one derivative.

    The arguments are those of `RBF`.

    Reference: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equation 4.17.
    """

    def _between(self, x: Value, z: Value) -> Number:
        s = mul(math.sqrt(3.0), self._distance(x, z))
        return self._scaled(mul(add(s, 1.0), exp(neg(s))))


class Matern52(Stationary):
    """Matern kernel of smoothness 5/2, variance * (1 + s + s**2 / 3) * exp(-s) with s = sqrt(5) r: two derivatives.

    The arguments are those of `RBF`.

    Reference: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equation 4.17.
    """

    def _between(self, x: Value, z: Value) -> Number:
        s = mul(math.sqrt(5.0), self._distance(x, z))
        return self._scaled(mul(add(s, div(square(s), 3.0), 1.0), exp(neg(s))))


class RationalQuadratic(Stationary):
    """Rational quadratic kernel, variance * (1 + r**2 / (2 alpha))**-alpha: squared exponentials of many lengthscales.

    Args:
        lengthscale: over what distance the function changes, positive; one number, or one for each column.
        variance: of the function at a row, positive.
        alpha: positive; the larger, the less the lengthscales differ.
        active_dims: columns of the inputs that count; by default all.

    Reference: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equation 4.19.
    """

    parameters: ClassVar[dict[str, Support]] = {"lengthscale": positive, "variance": positive, "alpha": positive}

    def __init__(
        self, lengthscale: Any = 1.0, variance: Any = 1.0, alpha: Any = 1.0, *, active_dims: Any = None
    ) -> None:
        ByColumn.__init__(self, {"lengthscale": lengthscale, "variance": variance, "alpha": alpha}, active_dims)

    def _between(self, x: Value, z: Value) -> Number:
        alpha = self.params["alpha"]
        return self._scaled(exp(mul(neg(alpha), al.log1p(div(self._squared(x, z), mul(2.0, alpha))))))


class Periodic(ByColumn):
    """Periodic kernel, variance * exp(-2 sum over columns of sin(pi (x - z) / period)**2 / lengthscale**2).

    Args:
        period: after what distance the function repeats, positive; one number, or one for each column.
        lengthscale: how much it changes within a period, positive; one number, or one for each column.
        variance: of the function at a row, positive.
        active_dims: columns of the inputs that count; by default all.

    Reference: MacKay (1998), Introduction to Gaussian processes, equation 47; Rasmussen and Williams (2006), Gaussian
    Processes for Machine Learning, equation 4.31.
    """

    parameters: ClassVar[dict[str, Support]] = {"period": positive, "lengthscale": positive, "variance": positive}
    by_column = frozenset({"period", "lengthscale"})

    def __init__(
        self, period: Any = 1.0, lengthscale: Any = 1.0, variance: Any = 1.0, *, active_dims: Any = None
    ) -> None:
        super().__init__({"period": period, "lengthscale": lengthscale, "variance": variance}, active_dims)

    def _between(self, x: Value, z: Value) -> Number:
        x, z = self._columns(x), self._columns(z)
        period, scale = self._scale("period", x), self._scale("lengthscale", x)
        waves = square(apply("sin", mul(math.pi, div(differences(x, z), period))))
        if x.ndim == 1:
            total = div(waves, square(scale))
        elif scale.ndim:
            total = apply("matmul", waves, div(1.0, square(scale)))
        else:
            total = div(al.sum_last(lift(waves)), square(scale))
        return mul(self.params["variance"], exp(mul(-2.0, total)))

    def _diagonal(self, x: Value) -> Number:
        return self.params["variance"]
