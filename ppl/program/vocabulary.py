"""The vocabulary of operations: one entry an operation, with its rule for event shapes, dtypes and batching.

Names are those of the Python array API where it has one. Event axes are always counted from the right, which is what
lets any number of leading axes (posterior draws, particles, plates) ride along without a special case.

`kind` is the batching rule that lowering follows:

    elementwise   operands broadcast against each other; event ranks are aligned
    axes          acts on event axes given by the attribute `axis` (negative); any leading axes ride along
    matrix        acts on the last one or two event axes, already batched in both libraries
    special       has a rule of its own in `ppl.backend.rules`
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .values import DType, Shape, Value

Infer = Callable[[tuple[Value, ...], dict[str, Any]], tuple[Shape, DType]]


@dataclass(frozen=True)
class Op:
    """One operation: its name, batching rule, and how it infers shape and dtype of its result.

    Attributes:
        name: the key in `OPS`.
        kind: the batching rule.
        infer: from operands and attributes to (event shape, dtype).
        arity: number of operands; None for any number.
        operands: "float" converts integer operands to real ones, "promote" only where kinds are mixed, "branches" the
            same from the second operand on, "any" never.
        counts: whether booleans become integers first.
    """

    name: str
    kind: str
    infer: Infer
    arity: int | None
    operands: str = "any"
    counts: bool = False


OPS: dict[str, Op] = {}


def define(
    name: str, kind: str, infer: Infer, arity: int | None = 1, operands: str = "any", *, counts: bool = False
) -> None:
    """Enter an operation into the vocabulary."""
    OPS[name] = Op(name, kind, infer, arity, operands, counts)


def _kind_name(values: tuple[Value, ...]) -> DType:
    kinds = {v.dtype for v in values}
    return "float" if "float" in kinds else "int" if "int" in kinds else "bool"


def broadcast(*shapes: Shape) -> Shape:
    """Broadcast event shapes by the usual rules.

    Raises:
        ValueError: an axis has two different sizes, neither of them 1.
    """
    rank = max((len(s) for s in shapes), default=0)
    out: list[int] = []
    for axis in range(rank):
        sizes = {s[axis - rank + len(s)] for s in shapes if axis - rank + len(s) >= 0}
        sizes.discard(1)
        if len(sizes) > 1:
            raise ValueError(f"shapes {' and '.join(str(s) for s in shapes)} do not broadcast")
        out.append(sizes.pop() if sizes else 1)
    return tuple(out)


# --- elementwise -------------------------------------------------------------------------------------------------


def _elementwise(out: str) -> Infer:
    def infer(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
        shape = broadcast(*(v.shape for v in values))
        if out == "same":
            kind = _kind_name(values)
            return shape, "int" if kind == "bool" else kind
        return shape, out  # type: ignore[return-value]

    return infer


REAL_FUNCTIONS = [
    "exp", "expm1", "log", "log1p", "log2", "log10", "sqrt", "sin", "cos", "tan", "asin", "acos", "atan", "sinh",
    "cosh", "tanh", "asinh", "acosh", "atanh", "sinc", "sigmoid", "clipped_sigmoid", "log_sigmoid", "logit", "softplus",
    "relu", "gelu", "silu", "elu", "erf", "erfc", "erfinv", "erfcx", "lgamma", "digamma", "ndtr", "ndtri", "log_ndtr",
    "i0e", "i1e",
]  # fmt: skip
REAL_BINARY = [
    "divide", "atan2", "copysign", "logaddexp", "xlogy", "xlog1py", "pow", "bernoulli_log_prob", "leaky_relu",
    "gammainc", "gammaincc",
]  # fmt: skip
ARITHMETIC = ["add", "subtract", "multiply", "maximum", "minimum", "floor_divide", "remainder"]
SAME_UNARY = ["negative", "abs", "sign", "square", "floor", "ceil", "round", "trunc", "stop_gradient"]
COMPARISONS = ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]

for _name in REAL_FUNCTIONS:
    define(_name, "elementwise", _elementwise("float"), 1, "float")
for _name in REAL_BINARY:
    define(_name, "elementwise", _elementwise("float"), 2, "float")
for _name in ARITHMETIC:
    define(_name, "elementwise", _elementwise("same"), 2, "promote", counts=True)
for _name in SAME_UNARY:
    define(_name, "elementwise", _elementwise("same"), 1, counts=True)
for _name in COMPARISONS:
    define(_name, "elementwise", _elementwise("bool"), 2, "promote")
for _name in ("logical_and", "logical_or", "logical_xor"):
    define(_name, "elementwise", _elementwise("bool"), 2)
for _name in ("logical_not", "isnan", "isfinite", "isinf"):
    define(_name, "elementwise", _elementwise("bool"), 1)


# One backend lacks it, which its lowering rule says.
define("betainc", "special", _elementwise("float"), 3, "float")


def _where(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    return broadcast(*(v.shape for v in values)), _kind_name(values[1:])


def _astype(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    return values[0].shape, attrs["dtype"]


define("where", "elementwise", _where, 3, "branches")
define("astype", "elementwise", _astype, 1)


# --- axes --------------------------------------------------------------------------------------------------------


def negative_axes(axis: Any, rank: int) -> tuple[int, ...]:
    """Axes counted from the right; None stands for all of them.

    Raises:
        ValueError: an axis is out of range or given twice.
    """
    wanted = tuple(range(rank)) if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
    out: list[int] = []
    for a in wanted:
        if not -rank <= a < rank:
            raise ValueError(f"axis {a} is out of range for a value with {rank} event axes")
        out.append(a - rank if a >= 0 else a)
    if len(set(out)) != len(out):
        raise ValueError("an axis is named twice")
    return tuple(sorted(out))


def _reduction(out: str) -> Infer:
    def infer(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
        (value,) = values
        axes = {a + value.ndim for a in attrs["axis"]}
        if attrs.get("keepdims"):
            shape = tuple(1 if i in axes else n for i, n in enumerate(value.shape))
        else:
            shape = tuple(n for i, n in enumerate(value.shape) if i not in axes)
        dtype: DType = _kind_name(values) if out == "same" else out  # type: ignore[assignment]
        return shape, "int" if out == "same" and dtype == "bool" else dtype

    return infer


for _name in ("sum", "prod"):
    define(_name, "axes", _reduction("same"), counts=True)
for _name in ("max", "min"):
    define(_name, "axes", _reduction("same"), counts=True)
for _name in ("mean", "var", "logsumexp"):
    define(_name, "axes", _reduction("float"), operands="float")
for _name in ("all", "any"):
    define(_name, "axes", _reduction("bool"))
for _name in ("argmax", "argmin"):
    define(_name, "axes", _reduction("int"), counts=True)


def _keep(out: str | None = None) -> Infer:
    def infer(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
        return values[0].shape, out or values[0].dtype  # type: ignore[return-value]

    return infer


for _name in ("cumsum", "cumprod", "cummax", "cummin", "sort"):
    define(_name, "axes", _keep(), counts=True)
define("flip", "axes", _keep())
for _name in ("softmax", "log_softmax", "cumlogsumexp"):
    define(_name, "axes", _keep("float"), operands="float")
# The order of the derivative is a setting: neither library differentiates by it.
define("polygamma", "axes", _keep("float"), operands="float")
define("argsort", "axes", _keep("int"), counts=True)


# --- matrices ----------------------------------------------------------------------------------------------------


def _need_square(shape: Shape) -> None:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"a square matrix is needed, not shape {shape}")


def _square_to(out: Callable[[Shape], Shape]) -> Infer:
    def infer(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
        _need_square(values[0].shape)
        return out(values[0].shape), "float"

    return infer


for _name in ("cholesky", "inv", "expm"):
    define(_name, "matrix", _square_to(lambda s: s), operands="float")
for _name in ("det", "logdet"):
    define(_name, "matrix", _square_to(lambda s: s[:-2]), operands="float")


def _triangle(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    if values[0].ndim < 2:
        raise ValueError(f"a matrix is needed, not shape {values[0].shape}")
    return values[0].shape, values[0].dtype


def _diagonal(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    shape = values[0].shape
    _need_square(shape)
    return (*shape[:-2], shape[-1]), values[0].dtype


def _diag_embed(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    shape = values[0].shape
    if not shape:
        raise ValueError("a vector is needed for a diagonal matrix")
    return (*shape, shape[-1]), values[0].dtype


define("tril", "matrix", _triangle)
define("triu", "matrix", _triangle)
define("diagonal", "matrix", _diagonal)
define("diag_embed", "matrix", _diag_embed)


def _solve(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    matrix, right = values
    _need_square(matrix.shape)
    if right.ndim < 2 or right.shape[-2] != matrix.shape[-1]:
        raise ValueError(f"a system of {matrix.shape[-1]} equations cannot take a right side of shape {right.shape}")
    return (*broadcast(matrix.shape[:-2], right.shape[:-2]), *right.shape[-2:]), "float"


define("solve", "special", _solve, 2, "float")
define("solve_triangular", "special", _solve, 2, "float")


def _matmul(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    a, b = values[0].shape, values[1].shape
    if len(a) == 0 or len(b) == 0:
        raise ValueError("@ needs vectors or matrices on both sides; use * with a scalar")
    inner = b[-2] if len(b) > 1 else b[0]
    if a[-1] != inner:
        raise ValueError(f"@ contracts {a[-1]} with {inner} (event shapes {a} and {b})")
    batch = broadcast(a[:-2], b[:-2])
    tail = (() if len(a) == 1 else (a[-2],)) + (() if len(b) == 1 else (b[-1],))
    return batch + tail, _kind_name(values)


define("matmul", "special", _matmul, 2, "promote")


def _einsum(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    inputs, _, output = attrs["pattern"].partition("->")
    terms = inputs.split(",")
    if len(terms) != len(values):
        raise ValueError(f"einsum pattern {attrs['pattern']!r} names {len(terms)} operands, got {len(values)}")
    sizes: dict[str, int] = {}
    for term, value in zip(terms, values, strict=True):
        if len(term) != value.ndim:
            raise ValueError(f"einsum term {term!r} does not fit event shape {value.shape}")
        for letter, size in zip(term, value.shape, strict=True):
            if sizes.setdefault(letter, size) != size:
                raise ValueError(f"einsum index {letter!r} has sizes {sizes[letter]} and {size}")
    return tuple(sizes[letter] for letter in output), _kind_name(values)


define("einsum", "special", _einsum, None, "promote")


# --- several arrays at once, and sums by index -----------------------------------------------------------------------


def _several(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    # Never seen by a user: `unpack` takes the arrays out one by one, so that they are computed once.
    return (), "float"


def _unpack(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    (whole,) = values
    shape = whole.args[0].shape
    batch, m, n, k = shape[:-2], shape[-2], shape[-1], min(shape[-2:])
    shapes: dict[str, tuple[Shape, ...]] = {
        "eigh": ((n,), (n, n)),
        "qr": ((m, k), (k, n)),
        "svd": ((m, k), (k,), (k, n)),
    }
    at: int = attrs["at"]
    return batch + shapes[whole.op][at], "float"


def _segment_sum(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    data, index = values
    if index.dtype != "int" or index.ndim != 1 or not data.shape or data.shape[0] != index.shape[0]:
        raise ValueError(f"rows of shape {data.shape} need one integer each, not {index.dtype} {index.shape}")
    return (attrs["size"], *data.shape[1:]), "float"


for _name in ("eigh", "qr", "svd"):
    define(_name, "special", _several, operands="float")
define("unpack", "special", _unpack)
define("segment_sum", "special", _segment_sum, 2)


# --- shape and indexing ------------------------------------------------------------------------------------------


def _reshape(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    shape: Shape = attrs["shape"]
    if math.prod(shape) != math.prod(values[0].shape):
        raise ValueError(f"cannot reshape event shape {values[0].shape} to {shape}")
    return shape, values[0].dtype


def _permute(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    axes: tuple[int, ...] = attrs["axes"]
    if sorted(axes) != list(range(values[0].ndim)):
        raise ValueError(f"axes {axes} do not permute the {values[0].ndim} event axes")
    return tuple(values[0].shape[a] for a in axes), values[0].dtype


def _broadcast_to(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    if broadcast(values[0].shape, attrs["shape"]) != tuple(attrs["shape"]):
        raise ValueError(f"event shape {values[0].shape} does not broadcast to {attrs['shape']}")
    return tuple(attrs["shape"]), values[0].dtype


def _stack(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    if len({v.shape for v in values}) != 1:
        raise ValueError(f"stack needs equal event shapes, got {[v.shape for v in values]}")
    shape = values[0].shape
    at = attrs["axis"] + len(shape) + 1
    return (*shape[:at], len(values), *shape[at:]), _kind_name(values)


def _concat(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    axis: int = attrs["axis"]
    first = values[0].shape
    for v in values:
        if v.ndim != len(first) or any(
            n != m for i, (n, m) in enumerate(zip(v.shape, first, strict=True)) if i != axis + len(first)
        ):
            raise ValueError(f"concat needs equal event shapes away from its axis, got {[v.shape for v in values]}")
    shape = list(first)
    shape[axis] = sum(int(v.shape[axis]) for v in values)
    return tuple(shape), _kind_name(values)


def _index(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    shape: list[int] = []
    axis = 0
    for item in attrs["key"]:
        if item is None:
            shape.append(1)
            continue
        size = values[0].shape[axis]
        if isinstance(item, int):
            if not -size <= item < size:
                raise ValueError(f"index {item} is out of range for an event axis of size {size}")
        else:
            shape.append(len(range(*slice(*item).indices(size))))
        axis += 1
    return tuple(shape), values[0].dtype


def _check_range(index: np.ndarray, size: int) -> None:
    # JAX would take the nearest row instead, without a word.
    outside = index[(index < -size) | (index >= size)]
    if outside.size:
        raise ValueError(f"index {outside.flat[0]} is out of range for an axis of size {size}")


def _take(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    table, index = values
    if not table.shape:
        raise ValueError("a scalar cannot be indexed")
    if index.dtype != "int":
        raise ValueError(f"an index must be an integer, not of dtype {index.dtype}")
    if index.op == "const":
        _check_range(np.asarray(index.attrs[0][1].array if index.shape else index.attrs[0][1]), table.shape[0])
    return index.shape + table.shape[1:], table.dtype


def _take_along(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    table, index = values
    if table.ndim != index.ndim:
        raise ValueError("take_along_axis needs equal event ranks")
    return (*broadcast(table.shape[:-1], index.shape[:-1]), index.shape[-1]), table.dtype


def _one_hot(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    return (*values[0].shape, attrs["size"]), "float"


define("reshape", "special", _reshape)
define("permute_dims", "special", _permute)
define("broadcast_to", "special", _broadcast_to)
define("stack", "special", _stack, None, "promote")
define("concat", "special", _concat, None, "promote")
define("index", "special", _index)
define("take", "special", _take, 2)
define("take_along", "special", _take_along, 2)
define("one_hot", "special", _one_hot)


# --- what carries its own shape ------------------------------------------------------------------------------------


def _module(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    return attrs["out_shape"], attrs.get("out_dtype", "float")


# A network applied to one element: printed by name, expanded or called when lowering. With the attribute `weight`, the
# weight of that name, for distributions that hold a network.
define("network", "special", _module, None)


# --- plates ------------------------------------------------------------------------------------------------------


def _element(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    return values[0].shape[1:], values[0].dtype


def _same(values: tuple[Value, ...], attrs: dict[str, Any]) -> tuple[Shape, DType]:
    return values[0].shape, values[0].dtype


define("leave", "special", _same)
define("element", "special", _element)
# Sum (or count, with a scale for minibatches) over plates: only lowering's own graphs contain these.
define("plate_sum", "special", _same)
# Sum alternatives out, in log space: only densities contain these.
define("lane_logsumexp", "special", _same)
# The sum over all paths of discrete sites through a scan, in log space: `ppl.program.ops.chain`.
define("chain", "special", _same, 3)
# What the step before left: the second operand one step earlier, and the first operand at the first step.
define("shift", "special", _same, 2)
# A recurrence; `ppl.program.recurrence` says what it holds. `scanned` takes out one of its results over all steps.
define("scan", "special", _several, None)
define("scanned", "special", _module)
# A random key for each step of a scan, out of one.
define("step_keys", "special", _same)
# A draw by the library's own sampler; the first operand is a random key.
define("native", "special", _module, None)


# Leaves have no operands; lowering binds them to arguments of the emitted function.
LEAVES = frozenset({"const", "input", "site", "param", "carry", "noise", "key", "plate_index", "scheduled"})
