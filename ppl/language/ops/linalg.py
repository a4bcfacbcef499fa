"""Linear algebra on event axes."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters

from ppl.errors import ShapeError, user_location
from ppl.program.ops import apply, in_scope
from ppl.program.values import Value, lift
from ppl.program.vocabulary import negative_axes

from .elementwise import Operand
from .reductions import axes_of, sum
from .shapes import matrix_transpose


def _value(x: Operand) -> Value:
    return in_scope(lift(x))


def matmul(a: Operand, b: Operand) -> Value:
    """Matrix product of the last two event axes; vectors are rows on the left and columns on the right."""
    return apply("matmul", a, b)


def vecdot(a: Operand, b: Operand, axis: int = -1) -> Value:
    """Sum of products along an event axis."""
    return sum(apply("multiply", a, b), axis)


def outer(a: Operand, b: Operand) -> Value:
    """All products of the entries of two vectors."""
    x, y = _value(a), _value(b)
    if x.ndim != 1 or y.ndim != 1:
        raise ShapeError("outer takes two vectors.", declared_at=user_location(), got=f"{x!r} and {y!r}")
    return x[:, None] * y[None, :]


def tensordot(a: Operand, b: Operand, axes: int | tuple[Sequence[int], Sequence[int]] = 2) -> Value:
    """Sum of products over pairs of event axes.

    Args:
        a: first value.
        b: second value.
        axes: how many last axes of a meet the first axes of b, or the axes of each.
    """
    x, y = _value(a), _value(b)
    first, second = (range(x.ndim - axes, x.ndim), range(axes)) if isinstance(axes, int) else axes
    left = list(ascii_letters[: x.ndim])
    right = list(ascii_letters[x.ndim : x.ndim + y.ndim])
    try:
        for i, j in zip(first, second, strict=True):
            (at,) = negative_axes(i, x.ndim)
            (to,) = negative_axes(j, y.ndim)
            right[to] = left[at]
    except ValueError as error:
        raise ShapeError(f"tensordot: {error}.", declared_at=user_location(), got=f"{x!r} and {y!r}") from error
    shared = set(left) & set(right)
    output = [c for c in (*left, *right) if c not in shared]
    return apply("einsum", x, y, pattern=f"{''.join(left)},{''.join(right)}->{''.join(output)}")


def einsum(pattern: str, *operands: Operand) -> Value:
    """Sum of products by index letters, as in numpy; plates never appear in the pattern.

    Args:
        pattern: for example "ij,j->i"; without an arrow, letters that occur once are kept, in alphabetical order.
        operands: values.
    """
    text = pattern.replace(" ", "")
    if "." in text:
        raise ShapeError(
            "einsum: write all event axes as letters; there is no ellipsis.",
            declared_at=user_location(),
            got=repr(pattern),
            remedy="Plates and draws ride along by themselves.",
        )
    if "->" not in text:
        letters = text.replace(",", "")
        text += "->" + "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    unknown = set(text.partition("->")[2]) - set(text.partition("->")[0])
    if unknown:
        raise ShapeError(
            f"einsum: index {min(unknown)!r} of the result is in no operand.",
            declared_at=user_location(),
            got=repr(pattern),
        )
    return apply("einsum", *operands, pattern=text)


def cholesky(a: Operand) -> Value:
    """Lower triangular factor L of a positive definite matrix L @ L.T."""
    return apply("cholesky", a)


def solve(a: Operand, b: Operand) -> Value:
    """X with a @ x = b; b is a vector or a matrix."""
    matrix, right = _value(a), _value(b)
    if right.ndim == 1:
        return apply("solve", matrix, right[:, None])[..., 0]
    return apply("solve", matrix, right)


def solve_triangular(a: Operand, b: Operand, *, lower: bool = True) -> Value:
    """X with a @ x = b for a triangular a, whose other half is not looked at; b is a vector or a matrix."""
    matrix, right = _value(a), _value(b)
    if right.ndim == 1:
        return apply("solve_triangular", matrix, right[:, None], lower=lower)[..., 0]
    return apply("solve_triangular", matrix, right, lower=lower)


def cholesky_solve(factor: Operand, b: Operand) -> Value:
    """X with L @ L.T @ x = b, for a lower triangular factor L; b is a vector or a matrix."""
    lower = _value(factor)
    return solve_triangular(matrix_transpose(lower), solve_triangular(lower, b), lower=False)


def inv(a: Operand) -> Value:
    """Inverse matrix."""
    return apply("inv", a)


def det(a: Operand) -> Value:
    """Determinant."""
    return apply("det", a)


def logdet(a: Operand) -> Value:
    """Logarithm of the absolute determinant."""
    return apply("logdet", a)


def slogdet(a: Operand) -> tuple[Value, Value]:
    """Sign and logarithm of the absolute determinant."""
    matrix = _value(a)
    return apply("sign", apply("det", matrix)), apply("logdet", matrix)


def trace(a: Operand) -> Value:
    """Sum of the diagonal."""
    return apply("sum", apply("diagonal", a), axis=(-1,))


def norm(x: Operand, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Value:
    """Euclidean length over some event axes or all of them; for a matrix, the Frobenius norm."""
    value = _value(x)
    return apply("sqrt", apply("sum", apply("square", value), axis=axes_of("norm", value, axis), keepdims=keepdims))


def quadratic_form(a: Operand, x: Operand) -> Value:
    """X.T @ a @ x for a vector x."""
    vector = _value(x)
    if vector.ndim != 1:
        raise ShapeError("quadratic_form takes a matrix and a vector.", declared_at=user_location(), got=repr(vector))
    return sum(vector * apply("matmul", a, vector))
