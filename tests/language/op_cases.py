"""One case or more for every operation of the vocabulary: operands, and an expression of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl.program.ops import apply
from ppl.program.values import Shape, Value
from ppl.program.vocabulary import (
    ARITHMETIC,
    COMPARISONS,
    REAL_BINARY,
    REAL_FUNCTIONS,
    SAME_UNARY,
)


@dataclass(frozen=True)
class Operand:
    """One operand: its event shape, and where its numbers come from (a key of `DOMAINS`)."""

    shape: Shape
    domain: str = "real"

    @property
    def dtype(self) -> str:
        """Its kind of number."""
        return {"int": "int", "row": "int", "truth": "bool"}.get(self.domain, "float")


def _spread(generator: np.random.Generator, shape: Shape) -> np.ndarray:
    # Steps of at least 0.05 between all entries, none of them at a kink: finite differences stay on one side.
    count = int(np.prod(shape))
    return (generator.permutation(count) - 0.37 * count + 0.21).reshape(shape) * (2.0 / max(count, 3))


def _definite(generator: np.random.Generator, shape: Shape) -> np.ndarray:
    root = generator.normal(size=shape)
    return root @ np.swapaxes(root, -1, -2) + shape[-1] * np.eye(shape[-1])


DOMAINS: dict[str, Callable[[np.random.Generator, Shape], np.ndarray]] = {
    "real": lambda g, s: g.normal(size=s),
    "spread": _spread,
    "positive": lambda g, s: g.uniform(0.3, 2.5, size=s),
    "above one": lambda g, s: g.uniform(1.2, 3.0, size=s),
    "unit": lambda g, s: g.uniform(0.05, 0.95, size=s),
    "definite": _definite,
    "int": lambda g, s: g.integers(-3, 4, size=s),
    "row": lambda g, s: g.integers(0, 3, size=s),
    "truth": lambda g, s: g.uniform(size=s) < 0.5,
}


@dataclass(frozen=True)
class Case:
    """An expression of operands.

    Attributes:
        op: the operation that is under test.
        build: from the operands to the expression.
        operands: what it is given.
        smooth: the operands by which it has a gradient.
        only: the one backend that has it, if not both.
    """

    op: str
    build: Callable[..., Value]
    operands: tuple[Operand, ...]
    smooth: tuple[int, ...] = ()
    only: str = ""

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The kinds of number of the operands."""
        return tuple(o.dtype for o in self.operands)


CASES: list[Case] = []


def case(
    op: str,
    *operands: Operand,
    smooth: bool | tuple[int, ...] = True,
    build: Callable[..., Value] | None = None,
    only: str = "",
    **attrs: Any,
) -> None:
    """Enter a case; by default the operation itself, with a gradient by every real operand."""
    real = tuple(i for i, o in enumerate(operands) if o.dtype == "float")
    by = smooth if isinstance(smooth, tuple) else real if smooth else ()
    CASES.append(Case(op, build or (lambda *xs: apply(op, *xs, **attrs)), operands, by, only))


def symmetric(x: Value) -> Value:
    """The symmetric part: libraries differ in the half of a matrix that they read."""
    axes = (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2)
    return (x + apply("permute_dims", x, axes=axes)) * 0.5


V, M, CUBE = (3,), (2, 3), (2, 3, 4)
REAL, SPREAD, POSITIVE, UNIT = (Operand(M, d) for d in ("real", "spread", "positive", "unit"))
SQUARE, DEFINITE = Operand((3, 3)), Operand((3, 3), "definite")

# --- elementwise ------------------------------------------------------------------------------------------------------

NARROW = {
    **dict.fromkeys(["log", "log1p", "log2", "log10", "sqrt", "lgamma", "digamma", "erfcx"], "positive"),
    **dict.fromkeys(["asin", "acos", "atanh", "logit", "erfinv", "ndtri", "tan"], "unit"),
    **dict.fromkeys(["relu", "elu", "leaky_relu"], "spread"),
    "acosh": "above one",
}
for name in REAL_FUNCTIONS:
    case(name, Operand(M, NARROW.get(name, "real")))
FIRST_POSITIVE = {"pow", "xlogy"}
for name in REAL_BINARY:
    if name in ("gammainc", "gammaincc"):
        # Torch has no gradient by the shape.
        case(name, POSITIVE, Operand(V, "positive"), smooth=(1,))
    elif name == "leaky_relu":
        case(name, SPREAD, build=lambda x: apply("leaky_relu", x, 0.2))
    elif name == "copysign":
        case(name, SPREAD, Operand(V), smooth=(0,))
    elif name == "bernoulli_log_prob":
        case(name, REAL, Operand(M, "unit"), smooth=(0,))
    else:
        case(name, POSITIVE, Operand(V, "positive" if name in ("xlogy", "xlog1py", "divide") else "real"))
        case(name, Operand(M, "positive" if name in FIRST_POSITIVE else "real"), Operand((2, 1), "positive"))
for name in ARITHMETIC:
    smooth = name not in ("floor_divide", "remainder")
    case(name, SPREAD, Operand(V, "real"), smooth=smooth)
    case(name, SPREAD, Operand((), "int"), smooth=smooth) if smooth else None
    case(name, Operand(M, "int"), Operand(V, "row"), build=lambda x, y, name=name: apply(name, x, y * 2 + 1))
for name in SAME_UNARY:
    # What stops a gradient has none.
    case(name, SPREAD, smooth=name in ("negative", "abs", "square"))
    case(name, Operand(M, "int"))
for name in COMPARISONS:
    case(name, Operand(M, "int"), Operand(V, "int"))
    case(name, SPREAD, Operand((), "int"), smooth=False)
for name in ("logical_and", "logical_or", "logical_xor"):
    case(name, Operand(M, "truth"), Operand(V, "truth"))
case("logical_not", Operand(M, "truth"))
for name in ("isnan", "isfinite", "isinf"):
    case(name, SPREAD, smooth=False, build=lambda x, name=name: apply(name, apply("log", apply("maximum", x, 0.0))))
case("where", Operand(V, "truth"), REAL, Operand(()))
case("where", Operand(V, "truth"), REAL, Operand(V, "int"), smooth=(1,))
case("astype", Operand(M, "int"), dtype="float")
case("astype", SPREAD, smooth=False, dtype="int")
case("astype", Operand(M, "truth"), dtype="int")
case("betainc", POSITIVE, Operand(V, "positive"), UNIT, smooth=(2,), only="numpyro")

# --- axes -------------------------------------------------------------------------------------------------------------

for axis in ((-1,), (-3, -1), (-3, -2, -1)):
    for name in ("sum", "prod", "mean", "var", "logsumexp"):
        case(name, Operand(CUBE), axis=axis, keepdims=axis == (-1,))
    for name in ("max", "min"):
        case(name, Operand(CUBE, "spread"), axis=axis, keepdims=axis == (-1,))
    for name in ("all", "any"):
        case(name, Operand(CUBE, "truth"), axis=axis, keepdims=axis == (-1,))
for name in ("sum", "prod", "max", "min"):
    case(name, Operand(CUBE, "int"), axis=(-2,))
    case(name, Operand(M, "truth"), axis=(-1,))
for name in ("argmax", "argmin"):
    case(name, Operand(CUBE, "spread"), smooth=False, axis=(-2,))
    case(name, Operand(V, "spread"), smooth=False, axis=(-1,), keepdims=True)
for axis in (-1, -2):
    for name in ("cumsum", "cumprod", "cumlogsumexp", "softmax", "log_softmax", "flip"):
        case(name, Operand(M), axis=(axis,))
    for name in ("cummax", "cummin", "sort"):
        case(name, SPREAD, axis=(axis,))
    case("argsort", SPREAD, smooth=False, axis=(axis,))
for name in ("cumsum", "cumprod", "cummax", "cummin", "sort", "flip"):
    case(name, Operand(M, "int"), axis=(-1,))
case("flip", Operand(CUBE), axis=(-3, -1))
case("polygamma", POSITIVE, n=1)

# --- matrices ---------------------------------------------------------------------------------------------------------

for name in ("cholesky", "inv", "det", "logdet", "expm"):
    case(name, DEFINITE, build=lambda x, name=name: apply(name, symmetric(x) * (0.2 if name == "expm" else 1.0)))
    case(name, Operand((2, 2, 2), "definite"), build=lambda x, name=name: apply(name, symmetric(x) * 0.3))
for name in ("inv", "det", "logdet"):
    case(name, SQUARE)
for name in ("tril", "triu", "diagonal"):
    case(name, SQUARE)
    case(name, Operand((2, 3, 3)))
case("diag_embed", Operand(V))
case("diag_embed", REAL)
for name in ("solve", "solve_triangular"):
    extra: dict[str, Any] = {"lower": True} if name == "solve_triangular" else {}
    case(name, DEFINITE, Operand((3, 2)), **extra)
    case(name, Operand((2, 3, 3), "definite"), Operand((3, 1)), **extra)
case("solve_triangular", DEFINITE, Operand((3, 2)), lower=False)
for one, two in ((V, V), (M, V), (V, (3, 2)), (M, (3, 2)), (M, (4, 3, 2)), ((4, 2, 3), (3, 2)), (V, (2, 3, 2))):
    case("matmul", Operand(one), Operand(two))
case("matmul", Operand(M, "int"), Operand(V, "int"))
for pattern, shapes in {
    "ij,j->i": (M, V),
    "i,j->ij": (V, (2,)),
    "ijk,kj->i": (CUBE, (4, 3)),
    "ii->i": ((3, 3),),
}.items():
    case("einsum", *(Operand(s) for s in shapes), pattern=pattern)
case("einsum", Operand(M), Operand(V), Operand((2,)), pattern="ij,j,i->")


def _part(op: str, at: int, make: Callable[[Value], Value] = symmetric) -> Callable[[Value], Value]:
    def build(x: Value) -> Value:
        out = apply("unpack", apply(op, make(x)), at=at)
        # Signs are a matter of convention; what is compared does not depend on them.
        return out if out.ndim == 1 else apply("square", out)

    return build


for at in (0, 1):
    case("eigh", DEFINITE, build=_part("eigh", at))
    case("qr", Operand((4, 3)), build=_part("qr", at, lambda x: x))
for at in (0, 1, 2):
    case("svd", Operand((4, 3)), build=_part("svd", at, lambda x: x))
    case("unpack", Operand((2, 3)), build=_part("svd", at, lambda x: x))
case("segment_sum", Operand((4,)), Operand((4,), "row"), size=3)
case("segment_sum", Operand((4, 2)), Operand((4,), "row"), size=3)

# --- shapes and indices -----------------------------------------------------------------------------------------------

case("reshape", Operand(CUBE), shape=(4, 6))
case("reshape", Operand(V), shape=(1, 3, 1))
case("reshape", Operand((1,)), shape=())
case("permute_dims", Operand(CUBE), axes=(2, 0, 1))
case("permute_dims", REAL, axes=(1, 0))
case("broadcast_to", Operand(V), shape=(2, 3))
case("broadcast_to", Operand((2, 1)), shape=(2, 3))
case("broadcast_to", Operand(()), shape=(2,))
case("stack", Operand(V), Operand(V), axis=-1)
case("stack", Operand(V), Operand(V, "int"), smooth=(0,), axis=-2)
case("stack", Operand(()), Operand(()), axis=-1)
case("concat", Operand(M), Operand((2, 1)), axis=-1)
case("concat", Operand(M), Operand((1, 3), "int"), smooth=(0,), axis=-2)
case("index", Operand(CUBE), key=((0, 2, 1), 1, None, (0, 4, 2)))
case("index", Operand(CUBE), key=(-1, (0, 3, 1), (0, 4, 1)))
case("take", Operand(V), Operand((), "row"))
case("take", Operand((3, 2)), Operand((4,), "row"))
case("take", Operand((3,)), Operand((2, 2), "row"))
case("take_along", Operand(M), Operand((2, 2), "row"))
case("take_along", Operand(M), Operand((1, 4), "row"))
case("one_hot", Operand(V, "row"), size=3)

# Operations that are not functions of event axes alone, and where they are held to their meaning.
ELSEWHERE = {
    "network": "tests/language/test_nn.py",
    "leave": "tests/backend/test_lowering.py",
    "element": "tests/backend/test_lowering.py",
    "plate_sum": "tests/backend/test_reducing.py",
    "lane_logsumexp": "tests/backend/test_reducing.py",
    "native": "tests/backend/test_lowering.py",
    "shift": "tests/language/test_scans.py",
    "scan": "tests/language/test_scans.py",
    "scanned": "tests/language/test_scans.py",
    "step_keys": "tests/language/test_scans.py",
    "chain": "tests/backend/test_chain.py",
    **dict.fromkeys(
        ["conv1d", "conv3d", "conv_transpose1d", "conv_transpose3d", "max_pool", "avg_pool", "recurrent", "attention"],
        "tests/language/test_nn_layers.py",
    ),
    "linear": "tests/language/test_nn.py",
    "conv2d": "tests/language/test_nn.py",
    "conv_transpose2d": "tests/language/test_nn.py",
    "layer_norm": "tests/language/test_nn.py",
}
