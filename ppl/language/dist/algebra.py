"""What the formulas of the families are written with: ops that fold constants, and a few shapes of linear algebra.

Log densities run op by op in eager torch, where each op costs microseconds, and most parameters are plain numbers. So
`log(2.0)` is a Python float here, adding zero adds no node, and the constants of a sum become one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ppl.program.indexing import gather
from ppl.program.ops import apply, to_float
from ppl.program.values import Shape, Value, lift

Number: TypeAlias = Value | float

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
LOG_2 = math.log(2.0)
LOG_PI = math.log(math.pi)


def number(x: Number) -> float | None:
    """The number that a scalar constant holds; None for anything else."""
    if not isinstance(x, Value):
        return float(x)
    if x.op != "const" or x.shape:
        return None
    return float(x.attrs[0][1])


def _elementary(op: str, fold: Callable[[float], float], x: Number) -> Number:
    constant = number(x)
    if constant is not None:
        try:
            return fold(constant)
        except (ValueError, OverflowError):
            pass  # a value at the edge of the domain: leave it to the backend, which knows infinities
    return apply(op, x)


def real(x: Number) -> Number:
    """A whole number as a real one, converted once for all its uses in a formula."""
    return to_float(x) if isinstance(x, Value) else x


def reals(*values: Number) -> tuple[Value, ...]:
    """Real arguments of a sampler."""
    return tuple(to_float(lift(v)) for v in values)


def log(x: Number) -> Number:
    """Natural logarithm; of an exponential, the exponent."""
    # Scales are often exponentials of unconstrained numbers.
    if isinstance(x, Value) and x.op == "exp":
        return x.args[0]
    return _elementary("log", math.log, x)


def log1p(x: Number) -> Number:
    """log(1 + x)."""
    return _elementary("log1p", math.log1p, x)


def exp(x: Number) -> Number:
    """Exponential."""
    return _elementary("exp", math.exp, x)


def expm1(x: Number) -> Number:
    """exp(x) - 1."""
    return _elementary("expm1", math.expm1, x)


def sqrt(x: Number) -> Number:
    """Square root."""
    return _elementary("sqrt", math.sqrt, x)


def square(x: Number) -> Number:
    """The square."""
    return _elementary("square", lambda v: v * v, x)


def lgamma(x: Number) -> Number:
    """Log of the gamma function."""
    return _elementary("lgamma", math.lgamma, x)


def sigmoid(x: Number) -> Number:
    """The logistic function."""
    return _elementary("sigmoid", lambda v: 1.0 / (1.0 + math.exp(-v)), x)


def softplus(x: Number) -> Number:
    """log(1 + exp(x))."""
    return _elementary("softplus", lambda v: max(v, 0.0) + math.log1p(math.exp(-abs(v))), x)


def neg(x: Number) -> Number:
    """The negative."""
    constant = number(x)
    return apply("negative", x) if constant is None else -constant


def add(*terms: Number) -> Number:
    """A sum; its constants become one, and negated terms are subtracted."""
    constants = 0.0
    out: Value | None = None
    negated: list[Value] = []
    for term in terms:
        constant = number(term)
        if constant is not None:
            constants += constant
        elif isinstance(term, Value) and term.op == "negative":
            negated.append(term.args[0])
        else:
            out = lift(term) if out is None else out + term
    if out is None and negated and constants:
        out, constants, negated = constants - negated[0], 0.0, negated[1:]
    elif out is None and negated:
        out, negated = -negated[0], negated[1:]
    if out is None:
        return constants
    for term in negated:
        out = out - term
    if constants:
        out = out + constants if constants > 0 else out - -constants
    return out


def sub(a: Number, b: Number) -> Number:
    """A - b."""
    constant = number(b)
    if constant is not None:
        return add(a, -constant)
    first = number(a)
    if first == 0.0:
        return neg(b)
    return a - b


def mul(a: Number, b: Number) -> Number:
    """A * b."""
    left, right = number(a), number(b)
    if left is not None and right is not None:
        return left * right
    if right == 1.0:
        return real(a)
    if left == 1.0:
        return real(b)
    if left == -1.0:
        return neg(b)
    return a * b


def div(a: Number, b: Number) -> Number:
    """A / b."""
    left, right = number(a), number(b)
    if left is not None and right:
        return left / right
    return real(a) if right == 1.0 else a / b


def standardise(x: Number, loc: Number, scale: Number) -> Number:
    """(x - loc) / scale."""
    return div(sub(x, loc), scale)


def shift(z: Number, loc: Number, scale: Number) -> Number:
    """Loc + scale * z."""
    return add(loc, mul(scale, z))


def xlogy(x: Number, y: Number) -> Number:
    """X * log(y), zero where x is zero."""
    left, right = number(x), number(y)
    if left == 0.0:
        return 0.0
    if left == 1.0 or (right is not None and right > 0.0):
        return mul(x, log(y))
    return apply("xlogy", x, y)


def xlog1py(x: Number, y: Number) -> Number:
    """X * log(1 + y), zero where x is zero."""
    left, right = number(x), number(y)
    if left == 0.0:
        return 0.0
    if left == 1.0 or (right is not None and right > -1.0):
        return mul(x, log1p(y))
    return apply("xlog1py", x, y)


def betaln(a: Number, b: Number) -> Number:
    """Log of the beta function."""
    return add(lgamma(a), lgamma(b), neg(lgamma(add(a, b))))


def log_choose(n: Number, k: Number) -> Number:
    """Log of the binomial coefficient."""
    return add(lgamma(add(n, 1.0)), neg(lgamma(add(k, 1.0))), neg(lgamma(sub(add(n, 1.0), k))))


def log1mexp(x: Number) -> Number:
    """log(1 - exp(-x)) for positive x."""
    return log(neg(expm1(neg(x))))


def sum_last(x: Value, count: int = 1) -> Value:
    """Sum over the last axes."""
    return apply("sum", x, axis=tuple(range(-count, 0))) if count else x


def filled(x: Number, shape: Shape) -> Value:
    """A value repeated to a shape; a constant is repeated at once."""
    value = lift(x)
    if value.shape == shape:
        return value
    constant = number(value)
    return apply("broadcast_to", value, shape=shape) if constant is None else lift(np.full(shape, constant))


def sum_as(x: Number, shape: Shape, count: int) -> Number:
    """Sum over the last `count` axes of `shape`, to which `x` broadcasts."""
    size = math.prod(shape[len(shape) - count :])
    if not isinstance(x, Value) or not x.shape:
        return mul(x, float(size))
    return sum_last(filled(x, shape), count) if count else x


def last(x: Value, index: int | slice) -> Value:
    """Part of the last axis."""
    return x[..., index]


def swap_last(x: Value) -> Value:
    """The transpose over the last two axes."""
    axes = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    return apply("permute_dims", x, axes=axes)


def matvec(matrix: Value, vector: Value) -> Value:
    """A matrix times the vectors on the last axis."""
    if vector.ndim == 1:
        return apply("matmul", matrix, vector)
    if matrix.ndim == 2:
        return apply("matmul", vector, swap_last(matrix))
    return last(apply("matmul", matrix, vector[..., None]), 0)


def solve_lower(matrix: Value, vector: Value, transposed: bool = False) -> Value:
    """X with L x = vector (or its transpose, L' x = vector) for a lower triangular L and vectors on the last axis."""
    system = swap_last(matrix) if transposed else matrix
    if matrix.ndim == 2 and vector.ndim > 1:
        # One matrix for many vectors: they become columns, so that the matrix is not repeated.
        columns = swap_last(apply("reshape", vector, shape=(math.prod(vector.shape[:-1]), vector.shape[-1])))
        out = swap_last(apply("solve_triangular", system, columns, lower=not transposed))
        return apply("reshape", out, shape=vector.shape)
    return last(apply("solve_triangular", system, vector[..., None], lower=not transposed), 0)


def pick(table: Value, index: Value) -> Value:
    """The entry of the last axis that an integer value names."""
    if table.ndim == 1:
        return apply("take", table, index)
    return last(apply("take_along", lead(table, index.ndim + 1), index[..., None]), 0)


def lead(x: Value, rank: int) -> Value:
    """A value with axes of size one in front, up to a rank."""
    missing = rank - x.ndim
    return x[(None,) * missing] if missing > 0 else x


def pick_static(x: Value, index: np.ndarray) -> Value:
    """Entries of the last axis at fixed places; the places' shape replaces that axis."""
    return gather(x, lift(index), x.ndim - 1)


def where(condition: Value, a: Number, b: Number) -> Value:
    """Choose element by element."""
    return apply("where", condition, a, b)
