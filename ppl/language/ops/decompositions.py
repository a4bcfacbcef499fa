"""Matrix factors and functions, each with a convention that makes it unique, so that both backends give one answer."""

from __future__ import annotations

from ppl.errors import ShapeError, user_location
from ppl.program.ops import apply, in_scope
from ppl.program.values import Value, lift

from .creation import eye
from .elementwise import Operand, maximum
from .linalg import matmul
from .reductions import argmax, max
from .shapes import diagonal, matrix_transpose, take_along_axis, triu


def _matrix(name: str, x: Operand) -> Value:
    value = in_scope(lift(x))
    if value.ndim < 2:
        raise ShapeError(f"{name}: a matrix is needed.", declared_at=user_location(), got=repr(value))
    return value


def _square(name: str, x: Operand) -> Value:
    value = _matrix(name, x)
    if value.shape[-1] != value.shape[-2]:
        raise ShapeError(f"{name}: a square matrix is needed.", declared_at=user_location(), got=repr(value))
    return value


def _parts(name: str, value: Value, count: int) -> tuple[Value, ...]:
    whole = apply(name, value)
    return tuple(apply("unpack", whole, at=at) for at in range(count))


def _signs(vectors: Value) -> Value:
    """For each column, the sign of its entry of largest size, shape (..., 1, columns); never 0."""
    place = argmax(apply("abs", vectors), axis=-2, keepdims=True)
    return apply("where", take_along_axis(vectors, place, -2) < 0.0, -1.0, 1.0)


def eigh(a: Operand) -> tuple[Value, Value]:
    """Eigenvalues of a symmetric matrix, in increasing order, and its eigenvectors as columns.

    Only the symmetric part of `a` counts. Of the two signs of an eigenvector, the one whose entry of largest size is
    positive is taken. Gradients of the vectors do not exist where two eigenvalues are equal.
    """
    matrix = _square("eigh", a)
    values, vectors = _parts("eigh", (matrix + matrix_transpose(matrix)) * 0.5, 2)
    return values, vectors * _signs(vectors)


def eigvalsh(a: Operand) -> Value:
    """Eigenvalues of a symmetric matrix, in increasing order."""
    matrix = _square("eigvalsh", a)
    return _parts("eigh", (matrix + matrix_transpose(matrix)) * 0.5, 2)[0]


def qr(a: Operand) -> tuple[Value, Value]:
    """Orthonormal columns Q and upper triangular R with Q @ R = a; the diagonal of R is not negative.

    For m rows and n columns Q is (m, k) and R is (k, n), with k the smaller of both. Gradients need m >= n.
    """
    q, r = _parts("qr", _matrix("qr", a), 2)
    k = r.shape[-2]
    flip = apply("where", diagonal(r[..., :k]) < 0.0, -1.0, 1.0)
    return q * flip[..., None, :], triu(r * flip[..., :, None])


def svd(a: Operand) -> tuple[Value, Value, Value]:
    """Singular value decomposition a = U @ diag(s) @ Vh, with as many values as the shorter side has entries.

    The values decrease; of the two signs of a column of U, the one whose entry of largest size is positive is taken.
    Gradients of the vectors do not exist where two singular values are equal.
    """
    u, s, vh = _parts("svd", _matrix("svd", a), 3)
    signs = _signs(u)
    return u * signs, s, vh * matrix_transpose(signs)


def svdvals(a: Operand) -> Value:
    """Singular values, in decreasing order."""
    return _parts("svd", _matrix("svdvals", a), 3)[1]


def pinv(a: Operand, rtol: float = 1e-7) -> Value:
    """Moore-Penrose inverse; singular values below `rtol` times the largest one count as zero."""
    u, s, vh = _parts("svd", _matrix("pinv", a), 3)
    kept = s > rtol * max(s, axis=-1, keepdims=True)
    # Both branches are differentiated, so the one that is not taken must be finite as well.
    inverse = apply("where", kept, 1.0 / apply("where", kept, s, 1.0), 0.0)
    return matmul(matrix_transpose(vh) * inverse[..., None, :], matrix_transpose(u))


def matrix_power(a: Operand, n: int) -> Value:
    """The matrix times itself n times; negative powers are those of the inverse."""
    matrix = _square("matrix_power", a)
    if n < 0:
        return matrix_power(apply("inv", matrix), -n)
    out: Value | None = None
    while n:
        if n & 1:
            out = matrix if out is None else matmul(out, matrix)
        n >>= 1
        matrix = matmul(matrix, matrix) if n else matrix
    return eye(matrix.shape[-1]) + matrix * 0.0 if out is None else out


def expm(a: Operand) -> Value:
    """Matrix exponential."""
    return apply("expm", a)


def kron(a: Operand, b: Operand) -> Value:
    """Kronecker product of two matrices (or two vectors): every entry of a times the whole of b."""
    x, y = in_scope(lift(a)), in_scope(lift(b))
    if x.ndim != y.ndim or x.ndim not in (1, 2):
        raise ShapeError("kron takes two matrices or two vectors.", declared_at=user_location(), got=f"{x!r} and {y!r}")
    shape = tuple(n * m for n, m in zip(x.shape, y.shape, strict=True))
    wide = x[:, None] * y[None, :] if x.ndim == 1 else x[:, None, :, None] * y[None, :, None, :]
    return apply("reshape", wide, shape=shape)


def cross(a: Operand, b: Operand) -> Value:
    """Cross product of vectors of three numbers on the last event axis."""
    x, y = in_scope(lift(a)), in_scope(lift(b))
    if not x.shape or not y.shape or x.shape[-1] != 3 or y.shape[-1] != 3:
        raise ShapeError("cross takes vectors of three numbers.", declared_at=user_location(), got=f"{x!r} and {y!r}")
    after, before = [1, 2, 0], [2, 0, 1]
    return x[..., after] * y[..., before] - x[..., before] * y[..., after]


def cdist(a: Operand, b: Operand) -> Value:
    """Euclidean distances between the rows of two matrices, (n, d) and (m, d), shape (n, m).

    At distance 0 the gradient is 0, where that of the square root would be infinite.
    """
    x, y = _matrix("cdist", a), _matrix("cdist", b)
    squared = apply("sum", apply("square", x[..., :, None, :] - y[..., None, :, :]), axis=(-1,), keepdims=False)
    positive = squared > 0.0
    return apply("where", positive, apply("sqrt", maximum(apply("where", positive, squared, 1.0), 0.0)), 0.0)
