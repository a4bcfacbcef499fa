"""The user's operations against numpy and scipy: values, inferred shapes and dtypes, and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special as sp
from scipy.linalg import block_diag, expm, toeplitz
from scipy.special import multigammaln  # pyright: ignore[reportAttributeAccessIssue]

from ppl.errors import PPLError, ShapeError, SymbolicValueError
from ppl.language import ops
from ppl.program.values import Value
from tests.reference import evaluate, symbol

GENERATOR = np.random.default_rng(0)
A = GENERATOR.normal(size=(2, 3))
B = GENERATOR.normal(size=(2, 3))
POSITIVE = np.abs(A) + 0.1
UNIT = 1.0 / (1.0 + np.exp(-A))
VECTOR = np.array([0.3, -1.2, 0.8])
CUBE = GENERATOR.normal(size=(2, 3, 4))
SQUARE = np.array([[2.0, 0.6, -0.2], [0.6, 1.5, 0.3], [-0.2, 0.3, 0.8]])
TRUTH = A > 0
WHOLE = np.array([[3, -1, 4], [1, -5, 9]])
INDEX = np.array([[2, 0], [1, 1]])
PLACE = np.array([[1, 0, 1], [0, 0, 1]])

# Name, arguments, and what numpy makes of them; arrays become symbols, everything else stays.
TABLE: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = []


def words(text: str) -> list[str]:
    return text.split()


def row(name: str, *args: Any, expect: Any, **kwargs: Any) -> None:
    TABLE.append((name, args, kwargs, expect))


for name in words("abs sign negative positive square exp expm1 sin cos tan sinh cosh tanh floor ceil round trunc"):
    row(name, A, expect=getattr(np, name)(A))
for name in words("sqrt log log1p log2 log10 reciprocal"):
    row(name, POSITIVE, expect=getattr(np, name)(POSITIVE))
for name in words("add subtract multiply divide floor_divide remainder maximum minimum logaddexp hypot"):
    row(name, A, B, expect=getattr(np, name)(A, B))
    row(name, A, VECTOR, expect=getattr(np, name)(A, VECTOR))
for name in words("equal not_equal less less_equal greater greater_equal"):
    row(name, WHOLE, WHOLE[:, :1], expect=getattr(np, name)(WHOLE, WHOLE[:, :1]))
for name in words("logical_and logical_or logical_xor"):
    row(name, TRUTH, ~TRUTH, expect=getattr(np, name)(TRUTH, ~TRUTH))
for name in words("isnan isfinite isinf"):
    odd = np.array([1.0, np.nan, np.inf])
    row(name, odd, expect=getattr(np, name)(odd))
for name in words("erf erfc erfcx ndtr log_ndtr i0 i1 i0e i1e softmax log_softmax expit"):
    axis = {"axis": -1} if "softmax" in name else {}
    row(name, A, expect=getattr(sp, name)(A, **axis))
for name in words("digamma gammaln entr"):
    row(name, POSITIVE, expect=getattr(sp, name)(POSITIVE))
for name in words("ndtri logit erfinv"):
    row(name, UNIT, expect=getattr(sp, name)(UNIT))
for name in words("xlogy xlog1py betaln gammainc gammaincc rel_entr"):
    row(name, POSITIVE, POSITIVE.T[:, 0], expect=getattr(sp, name)(POSITIVE, POSITIVE.T[:, 0]))
for name in words("sum prod max min mean all any"):
    row(name, CUBE, expect=getattr(np, name)(CUBE))
    row(name, CUBE, axis=1, expect=getattr(np, name)(CUBE, axis=1))
    row(name, CUBE, axis=(0, -1), keepdims=True, expect=getattr(np, name)(CUBE, axis=(0, -1), keepdims=True))
for name in words("argmax argmin"):
    row(name, CUBE, expect=getattr(np, name)(CUBE))
    row(name, CUBE, axis=1, expect=getattr(np, name)(CUBE, axis=1))
for name in words("cumsum cumprod sort argsort diff"):
    row(name, CUBE, expect=getattr(np, name)(CUBE, axis=-1))
    row(name, CUBE, axis=1, expect=getattr(np, name)(CUBE, axis=1))
for name, same in (("cumulative_sum", "cumsum"), ("cumulative_prod", "cumprod")):
    row(name, CUBE, axis=1, expect=getattr(np, same)(CUBE, axis=1))
for name, same in (("cummax", np.maximum), ("cummin", np.minimum), ("cumlogsumexp", np.logaddexp)):
    row(name, CUBE, expect=same.accumulate(CUBE, axis=-1))
    row(name, CUBE, axis=0, expect=same.accumulate(CUBE, axis=0))
for name in words("flip roll tril triu"):
    extra = (2, 1) if name == "roll" else ()
    row(name, SQUARE, *extra, expect=getattr(np, name)(SQUARE, *extra))
for name in words("cholesky inv det trace"):
    row(name, SQUARE, expect=getattr(np, name)(SQUARE) if name == "trace" else getattr(np.linalg, name)(SQUARE))
for name in words("asin acos atan asinh atanh"):
    row(name, UNIT, expect=getattr(np, f"arc{name[1:]}")(UNIT))

row("sinc", A, expect=np.sinc(A))
row("copysign", A, B, expect=np.copysign(A, B))
row("isclose", A, A + 1e-6 * TRUTH + 0.1 * ~TRUTH, expect=TRUTH)
row("nan_to_num", np.array([1.0, np.nan]), 7.0, expect=np.array([1.0, 7.0]))
row("betainc", 2.0, POSITIVE, UNIT, expect=sp.betainc(2.0, POSITIVE, UNIT))
row("polygamma", 0, POSITIVE, expect=sp.digamma(POSITIVE))
row("polygamma", 2, POSITIVE, expect=sp.polygamma(2, POSITIVE))
row("log_binomial", 7.0, POSITIVE, expect=np.log(sp.binom(7.0, POSITIVE)))
row("log1mexp", np.array([-1e-9, -0.5, -2.0, -50.0]), expect=np.log(-np.expm1(np.array([-1e-9, -0.5, -2.0, -50.0]))))
row("logdiffexp", np.array([2.0, 900.0]), np.array([1.0, 899.0]), expect=np.array([2.0, 900.0]) + np.log1p(-np.exp(-1)))
row("acosh", POSITIVE + 1.0, expect=np.arccosh(POSITIVE + 1.0))
row("atan2", A, B, expect=np.arctan2(A, B))
row("pow", POSITIVE, VECTOR, expect=POSITIVE**VECTOR)
row("clip", A, -0.5, 0.5, expect=np.clip(A, -0.5, 0.5))
row("clip", A, min=B, expect=np.maximum(A, B))
row("clip", A, max=0.5, expect=np.minimum(A, 0.5))
row("logical_not", TRUTH, expect=~TRUTH)
row("where", TRUTH, A, 0.0, expect=np.where(TRUTH, A, 0.0))
row("astype", WHOLE, "float", expect=WHOLE.astype(float))
row("astype", A, "int", expect=A.astype(int))
row("stop_gradient", A, expect=A)
row("lgamma", POSITIVE, expect=sp.gammaln(POSITIVE))
row("multigammaln", POSITIVE + 3.0, 3, expect=np.vectorize(multigammaln)(POSITIVE + 3.0, 3))
row("sigmoid", A, expect=sp.expit(A))
row("log_sigmoid", A, expect=sp.log_expit(A))
row("softplus", A, expect=np.log1p(np.exp(A)))
row("softplus_inverse", POSITIVE, expect=np.log(np.expm1(POSITIVE)))
row("relu", A, expect=np.maximum(A, 0.0))
row("gelu", A, expect=A * sp.ndtr(A))
row("silu", A, expect=A * sp.expit(A))
row("elu", A, expect=np.where(A > 0, A, np.expm1(A)))
row("leaky_relu", A, 0.2, expect=np.where(A > 0, A, 0.2 * A))
row("logsumexp", CUBE, expect=sp.logsumexp(CUBE))
row("logsumexp", CUBE, axis=1, expect=sp.logsumexp(CUBE, axis=1))
row("softmax", CUBE, axis=1, expect=sp.softmax(CUBE, axis=1))
row("var", CUBE, axis=1, expect=CUBE.var(1))
row("var", CUBE, correction=1, expect=CUBE.var(ddof=1))
row("std", CUBE, axis=(0, 2), correction=1, expect=CUBE.std((0, 2), ddof=1))
row("count_nonzero", WHOLE > 0, axis=0, expect=np.count_nonzero(WHOLE > 0, axis=0))
row("sort", A, axis=0, descending=True, expect=-np.sort(-A, axis=0))
row("argsort", A, descending=True, expect=np.argsort(-A))
row("reshape", CUBE, (4, -1), expect=CUBE.reshape(4, 6))
row("reshape", CUBE, -1, expect=CUBE.ravel())
row("broadcast_to", VECTOR, (2, 3), expect=np.broadcast_to(VECTOR, (2, 3)))
row("stack", [A, B], expect=np.stack([A, B]))
row("stack", [A, B], axis=-1, expect=np.stack([A, B], axis=-1))
row("concat", [A, B], axis=1, expect=np.concatenate([A, B], axis=1))
row("expand_dims", A, 1, expect=np.expand_dims(A, 1))
row("expand_dims", A, -1, expect=np.expand_dims(A, -1))
row("squeeze", A[None, :, None], expect=A)
row("squeeze", A[None, :, None], 0, expect=A[:, None])
row("permute_dims", CUBE, (2, 0, 1), expect=np.transpose(CUBE, (2, 0, 1)))
row("moveaxis", CUBE, 0, -1, expect=np.moveaxis(CUBE, 0, -1))
row("swapaxes", CUBE, 0, 2, expect=np.swapaxes(CUBE, 0, 2))
row("matrix_transpose", CUBE, expect=np.swapaxes(CUBE, -1, -2))
row("roll", CUBE, -1, expect=np.roll(CUBE, -1, -1))
row("tile", A, 2, expect=np.tile(A, 2))
row("tile", VECTOR, (2, 2), expect=np.tile(VECTOR, (2, 2)))
row("repeat", A, 2, expect=np.repeat(A, 2, axis=-1))
row("repeat", A, (2, 0), axis=0, expect=np.repeat(A, (2, 0), axis=0))
row("tril", CUBE, 1, expect=np.tril(CUBE, 1))
row("triu", CUBE, -1, expect=np.triu(CUBE, -1))
row("diag", VECTOR, expect=np.diag(VECTOR))
row("diag", SQUARE, expect=np.diag(SQUARE))
row("diagonal", SQUARE[None], expect=np.diag(SQUARE)[None])
row("diag_embed", A, expect=np.stack([np.diag(v) for v in A]))
row("take", CUBE, INDEX, axis=1, expect=np.take(CUBE, INDEX, axis=1))
row("take", VECTOR, 1, expect=VECTOR[1])
row("take_along_axis", A, INDEX, expect=np.take_along_axis(A, INDEX, -1))
row("take_along_axis", A, PLACE, axis=0, expect=np.take_along_axis(A, PLACE, 0))
row("one_hot", INDEX, 3, expect=np.eye(3)[INDEX])
row("zeros", (2, 3), expect=np.zeros((2, 3)))
row("ones", 3, "int", expect=np.ones(3, dtype=int))
row("full", (2, 3), VECTOR, expect=np.broadcast_to(VECTOR, (2, 3)))
row("zeros_like", WHOLE, expect=np.zeros_like(WHOLE))
row("ones_like", A, expect=np.ones_like(A))
row("full_like", A, 7.0, expect=np.full_like(A, 7.0))
row("eye", 2, 3, expect=np.eye(2, 3))
row("arange", 3, expect=np.arange(3))
row("arange", 1.0, 2.0, 0.25, expect=np.arange(1.0, 2.0, 0.25))
row("linspace", 0.0, 2.0, 5, expect=np.linspace(0.0, 2.0, 5))
row("linspace", np.array(1.0), 2.0, 5, expect=np.linspace(1.0, 2.0, 5))
row("asarray", [[1.0, np.array(2.0)], [np.array(3.0), 4.0]], expect=np.array([[1.0, 2.0], [3.0, 4.0]]))
row("asarray", WHOLE, "float", expect=WHOLE.astype(float))
row("matmul", A, SQUARE, expect=A @ SQUARE)
row("matmul", SQUARE, VECTOR, expect=SQUARE @ VECTOR)
row("vecdot", A, B, expect=(A * B).sum(-1))
row("outer", VECTOR, A[0], expect=np.outer(VECTOR, A[0]))
row("tensordot", CUBE, CUBE[0], 2, expect=np.tensordot(CUBE, CUBE[0], 2))
row("tensordot", CUBE, A, ([0, 1], [0, 1]), expect=np.tensordot(CUBE, A, ([0, 1], [0, 1])))
row("einsum", "ijk, ij -> k", CUBE, A, expect=np.einsum("ijk,ij->k", CUBE, A))
row("einsum", "ij,jk", A, SQUARE, expect=A @ SQUARE)
row("einsum", "ba", A, expect=A.T)
row("solve", SQUARE, VECTOR, expect=np.linalg.solve(SQUARE, VECTOR))
row("solve", SQUARE, A.T, expect=np.linalg.solve(SQUARE, A.T))
row("solve_triangular", SQUARE, VECTOR, expect=np.linalg.solve(np.tril(SQUARE), VECTOR))
row("solve_triangular", SQUARE, A.T, lower=False, expect=np.linalg.solve(np.triu(SQUARE), A.T))
row("cholesky_solve", np.linalg.cholesky(SQUARE), VECTOR, expect=np.linalg.solve(SQUARE, VECTOR))
row("logdet", SQUARE, expect=np.linalg.slogdet(SQUARE)[1])
row("slogdet", -SQUARE, expect=np.linalg.slogdet(-SQUARE))
SYMMETRIC = SQUARE @ SQUARE + np.diag([0.0, 1.0, 2.0])
LEFT, VALUES, RIGHT = np.linalg.svd(A.T, full_matrices=False)
LARGEST = np.sign(LEFT[np.argmax(np.abs(LEFT), axis=0), [0, 1]])
POINTS = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 0.0]])
WEIGHTS, AXES = np.linalg.eigh(SYMMETRIC)
Q, R = np.linalg.qr(SQUARE)
row("eigh", SYMMETRIC, expect=(WEIGHTS, AXES * np.sign(AXES[np.argmax(np.abs(AXES), axis=0), [0, 1, 2]])))
row("qr", SQUARE, expect=(Q * np.sign(np.diag(R)), np.triu(R * np.sign(np.diag(R))[:, None])))
row("eigvalsh", SYMMETRIC, expect=np.linalg.eigvalsh(SYMMETRIC))
row("svdvals", A, expect=np.linalg.svd(A, compute_uv=False))
row("svd", A.T, expect=(LEFT * LARGEST, VALUES, LARGEST[:, None] * RIGHT))
row("pinv", A, expect=np.linalg.pinv(A))
row("pinv", np.ones((2, 2)), expect=np.linalg.pinv(np.ones((2, 2))))
row("matrix_power", SQUARE, 5, expect=np.linalg.matrix_power(SQUARE, 5))
row("matrix_power", SQUARE, 0, expect=np.eye(3))
row("matrix_power", SQUARE, -2, expect=np.linalg.matrix_power(SQUARE, -2))
row("expm", SQUARE, expect=expm(SQUARE))
row("kron", A, SQUARE, expect=np.kron(A, SQUARE))
row("kron", VECTOR, A[0], expect=np.kron(VECTOR, A[0]))
row("cross", A, VECTOR, expect=np.cross(A, VECTOR))
row("cdist", POINTS, POINTS[:2], expect=np.array([[0.0, 5.0], [5.0, 0.0], [3.0, 4.0]]))
row("quantile", CUBE, 0.3, expect=np.quantile(CUBE, 0.3))
row("quantile", CUBE, (0.0, 0.25, 1.0), axis=1, expect=np.quantile(CUBE, (0.0, 0.25, 1.0), axis=1))
row("median", CUBE, axis=-1, expect=np.median(CUBE, axis=-1))
row("top_k", A, 2, expect=(-np.sort(-A)[:, :2], np.argsort(-A)[:, :2]))
row("top_k", A, 1, axis=0, expect=(A.max(0, keepdims=True), A.argmax(0)[None]))
for side in ("left", "right"):
    found = np.searchsorted([1.0, 2.0, 2.0, 3.0], [[0.0, 2.0], [2.5, 9.0]], side=side)  # type: ignore[call-overload]
    row("searchsorted", np.array([1.0, 2.0, 2.0, 3.0]), np.array([[0.0, 2.0], [2.5, 9.0]]), side=side, expect=found)
row("bincount", np.array([2, 0, 2]), 4, expect=np.array([1.0, 0.0, 2.0, 0.0]))
for mode in ("constant", "edge", "reflect", "wrap"):
    row("pad", A, [(1, 0), (0, 2)], mode, expect=np.pad(A, [(1, 0), (0, 2)], mode=mode))  # type: ignore[call-overload]
row("pad", A, 1, fill=np.array(3.0), expect=np.pad(A, 1, constant_values=3.0))
row("unstack", CUBE, axis=1, expect=tuple(CUBE[:, i] for i in range(3)))
row("split", CUBE, 2, expect=tuple(np.split(CUBE, 2, axis=-1)))
row("split", CUBE, [1, 2], axis=1, expect=(CUBE[:, :1], CUBE[:, 1:]))
row("ravel", CUBE, expect=CUBE.ravel())
row("broadcast_arrays", A, VECTOR, expect=tuple(np.broadcast_arrays(A, VECTOR)))
for indexing in ("xy", "ij"):
    grid = np.meshgrid(VECTOR, A[:, 0], A[1], indexing=indexing)  # type: ignore[call-overload]
    row("meshgrid", VECTOR, A[:, 0], A[1], indexing=indexing, expect=tuple(grid))
row("sliding_window", CUBE, 2, axis=1, expect=np.lib.stride_tricks.sliding_window_view(CUBE, 2, axis=1))
row("set_at", A, 1, VECTOR, expect=np.stack([A[0], VECTOR]))
row("set_at", A, -1, 5.0, axis=1, expect=np.column_stack([A[:, :2], [5.0, 5.0]]))
row("set_at", A, np.array(0), VECTOR, expect=np.stack([VECTOR, A[1]]))
row(
    "segment_sum",
    CUBE[0],
    np.array([2, 0, 2]),
    4,
    expect=np.stack([CUBE[0, 1], np.zeros(4), CUBE[0, 0] + CUBE[0, 2], np.zeros(4)]),
)
row("segment_mean", CUBE[0], np.array([1, 0, 1]), 2, expect=np.stack([CUBE[0, 1], (CUBE[0, 0] + CUBE[0, 2]) / 2]))
row("fill_tril", np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), expect=np.array([[1.0, 0, 0], [2, 3, 0], [4, 5, 6]]))
row("toeplitz", VECTOR, expect=toeplitz(VECTOR))
row("block_diag", A, SQUARE, expect=block_diag(A, SQUARE))
row("norm", A, expect=np.linalg.norm(A))
row("norm", A, axis=-1, keepdims=True, expect=np.linalg.norm(A, axis=-1, keepdims=True))
row("quadratic_form", SQUARE, VECTOR, expect=VECTOR @ SQUARE @ VECTOR)


def symbolic(item: Any, bound: dict[str, np.ndarray]) -> Any:
    """Arrays as symbols, also inside of lists."""
    if isinstance(item, list):
        return [symbolic(i, bound) for i in item]
    if not isinstance(item, np.ndarray):
        return item
    name = f"a{len(bound)}"
    bound[name] = item
    kind = {"f": "float", "i": "int", "b": "bool"}[item.dtype.kind]
    return symbol(name, item.shape, kind)  # type: ignore[arg-type]


def test_every_operation_is_in_the_table():
    assert {name for name, *_ in TABLE} == set(ops.__all__)


@pytest.mark.parametrize(("name", "args", "kwargs", "expect"), TABLE, ids=[f"{t[0]}-{i}" for i, t in enumerate(TABLE)])
def test_the_operation_is_numpys(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], expect: Any):
    bound: dict[str, np.ndarray] = {}
    function: Callable[..., Any] = getattr(ops, name)
    # Static arguments of these are lists of places and counts, not values.
    static = name in ("tensordot", "repeat", "tile", "pad", "split")
    given = [a if static and not isinstance(a, np.ndarray) else symbolic(a, bound) for a in args]
    found = function(*given, **{k: symbolic(v, bound) for k, v in kwargs.items()})
    results = found if isinstance(found, tuple) else (found,)
    for value, exact in zip(results, expect if isinstance(found, tuple) else (expect,), strict=True):
        assert isinstance(value, Value)
        array = evaluate(value, bound)
        kind = {"f": "float", "i": "int", "b": "bool"}[array.dtype.kind]
        assert value.shape == np.shape(exact) and value.dtype == kind
        np.testing.assert_allclose(array, exact, rtol=1e-11, atol=1e-12)


# Calls that a type checker would refuse too.
untyped: Any = ops

MISTAKES: list[tuple[Callable[[], Any], type[PPLError], str]] = [
    (
        lambda: ops.sum(symbol("x", (3,)), axis=1),
        ShapeError,
        "sum: axis 1 is out of range for a value with 1 event axes",
    ),
    (lambda: ops.mean(symbol("x", (3, 2)), axis=(0, -2)), ShapeError, "mean: an axis is named twice"),
    (lambda: ops.exp("x"), SymbolicValueError, "'x' is not a number"),
    (lambda: untyped.zeros((2, symbol("n", (), "int"))), SymbolicValueError, "a shape must be known"),
    (lambda: untyped.arange(symbol("n", (), "int")), SymbolicValueError, "the number of entries must be known"),
    (lambda: ops.reshape(symbol("x", (3, 2)), (4, -1)), ShapeError, "6 entries do not fill shape"),
    (lambda: ops.reshape(symbol("x", (3, 2)), (-1, -1)), ShapeError, "only one size may be -1"),
    (lambda: ops.reshape(symbol("x", (3, 2)), (4,)), ShapeError, "cannot reshape event shape"),
    (lambda: ops.stack([symbol("x", (3,)), symbol("y", (2,))]), ShapeError, "stack needs equal event shapes"),
    (lambda: ops.stack([]), ShapeError, "stack needs at least one value"),
    (lambda: ops.stack([symbol("x")], axis=2), ShapeError, "axis 2 is out of range for 1 axes"),
    (lambda: ops.concat([]), ShapeError, "concat needs at least one value"),
    (lambda: ops.concat([symbol("x", (3,)), symbol("y", (2, 3))]), ShapeError, "concat needs equal event shapes"),
    (lambda: ops.expand_dims(symbol("x"), 1), ShapeError, "axis 1 is out of range"),
    (lambda: ops.squeeze(symbol("x", (3,)), 0), ShapeError, "only axes of size 1 can be removed"),
    (lambda: ops.matrix_transpose(symbol("x", (3,))), ShapeError, "a matrix is needed"),
    (lambda: ops.tile(symbol("x", (3,)), 0), ShapeError, "0 repetitions leave nothing"),
    (lambda: ops.repeat(symbol("x", (3,)), [1, 2]), ShapeError, "2 counts for an axis of size 3"),
    (
        lambda: ops.take_along_axis(symbol("x", (3,)), symbol("i", (), "int")),
        ShapeError,
        "1 axes of integers are needed",
    ),
    (lambda: ops.one_hot(symbol("x"), 3), ShapeError, "an integer is needed"),
    (lambda: ops.var(symbol("x", (1,)), correction=1), ShapeError, "1 entries are too few for correction 1"),
    (lambda: ops.outer(symbol("x", (2, 2)), symbol("y", (2,))), ShapeError, "outer takes two vectors"),
    (lambda: ops.einsum("...i->i", symbol("x", (2, 2))), ShapeError, "there is no ellipsis"),
    (lambda: ops.einsum("ij->k", symbol("x", (2, 2))), ShapeError, "index 'k' of the result is in no operand"),
    (lambda: ops.einsum("ij", symbol("x", (2,))), ShapeError, "does not fit event shape"),
    (lambda: ops.tensordot(symbol("x", (2, 3)), symbol("y", (2,)), 1), ShapeError, "has sizes"),
    (lambda: ops.matmul(symbol("x", (2, 3)), symbol("y", (2,))), ShapeError, "@ contracts 3 with 2"),
    (lambda: ops.cholesky(symbol("x", (2, 3))), ShapeError, "a square matrix is needed"),
    (lambda: ops.solve(symbol("x", (2, 2)), symbol("y", (3,))), ShapeError, "a system of 2 equations"),
    (lambda: ops.quantile(symbol("x", (3,)), 1.5), ShapeError, r"a probability is outside \[0, 1\]"),
    (lambda: ops.top_k(symbol("x", (3,)), 4), ShapeError, "there are no 4 largest of 3 entries"),
    (lambda: ops.searchsorted(symbol("x", (3, 2)), 1.0), ShapeError, "searchsorted takes a list of numbers"),
    (lambda: ops.eigh(symbol("x", (3, 2))), ShapeError, "eigh: a square matrix is needed"),
    (lambda: ops.svd(symbol("x", (3,))), ShapeError, "svd: a matrix is needed"),
    (lambda: ops.kron(symbol("x", (3,)), symbol("y", (2, 2))), ShapeError, "two matrices or two vectors"),
    (lambda: ops.cross(symbol("x", (2,)), symbol("y", (3,))), ShapeError, "vectors of three numbers"),
    (lambda: ops.pad(symbol("x", (3,)), 1, "mirror"), ShapeError, "the mode one of"),
    (lambda: ops.split(symbol("x", (3,)), 2), ShapeError, "parts 2 do not make up 3 entries"),
    (lambda: ops.broadcast_arrays(symbol("x", (3,)), symbol("y", (2,))), ShapeError, "do not broadcast"),
    (lambda: ops.meshgrid(symbol("x", (3, 2))), ShapeError, "vectors are needed"),
    (lambda: ops.sliding_window(symbol("x", (3,)), 4), ShapeError, "3 entries hold no run of 4"),
    (lambda: ops.set_at(symbol("x", (3,)), 3, 0.0), ShapeError, "place 3 is out of range"),
    (lambda: ops.set_at(symbol("x", (3,)), 0.5, 0.0), ShapeError, "one integer is needed as the place"),
    (lambda: ops.segment_sum(symbol("x", (3,)), symbol("i", (2,), "int"), 2), ShapeError, "need one integer each"),
    (lambda: ops.fill_tril(symbol("x", (4,))), ShapeError, "the entries of a triangle are needed"),
    (lambda: ops.toeplitz(symbol("x", (3, 3))), ShapeError, "toeplitz: a vector is needed"),
    (lambda: ops.block_diag(symbol("x", (3,))), ShapeError, "block_diag: matrices are needed"),
    (lambda: ops.quadratic_form(symbol("x", (2, 2)), symbol("y", (2, 2))), ShapeError, "takes a matrix and a vector"),
]


@pytest.mark.parametrize(("attempt", "error", "message"), MISTAKES, ids=[m[2] for m in MISTAKES])
def test_mistakes_are_named(attempt: Callable[[], Any], error: type[PPLError], message: str):
    with pytest.raises(error, match=message):
        attempt()


def test_eigenvectors_and_qr_keep_their_convention():
    """Columns have their entry of largest size positive, and R has no negative diagonal: then both are unique."""
    values, vectors = (evaluate(v, {"a": SYMMETRIC}) for v in ops.eigh(symbol("a", (3, 3))))
    np.testing.assert_allclose(vectors @ np.diag(values) @ vectors.T, SYMMETRIC, rtol=1e-12)
    assert np.all(np.diff(values) > 0)
    assert np.all(vectors[np.argmax(np.abs(vectors), axis=0), range(3)] > 0)
    for matrix in (CUBE[0], CUBE[0].T):
        q, r = (evaluate(v, {"a": matrix}) for v in ops.qr(symbol("a", matrix.shape)))
        np.testing.assert_allclose(q @ r, matrix, rtol=1e-12)
        np.testing.assert_allclose(q.T @ q, np.eye(3), atol=1e-12)
        assert np.all(np.diag(r) > 0) and np.all(np.tril(r, -1) == 0.0)
