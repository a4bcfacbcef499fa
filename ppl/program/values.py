"""Symbolic values: what a person computes with while a model is traced.

A `Value` is one node of a directed acyclic expression graph. It knows three things about itself: the plates it varies
over, the shape of one element (its *event shape*), and its dtype kind. Plate sizes never appear in a shape. Nothing
numerical is stored except in constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from ppl.errors import SymbolicValueError, user_location

DType: TypeAlias = Literal["float", "int", "bool"]
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Plate:
    """A named, conditionally independent repetition; `size` is the number of elements."""

    name: str
    size: int

    def __str__(self) -> str:
        return f"{self.name} ({self.size})"


# What the lane of a site's values in the step before is called, behind the name of the site.
BEFORE = " before"


@dataclass(frozen=True)
class Lane(Plate):
    """An axis of alternatives that are summed out: components of a mixture, values of a discrete site.

    In a lowered function it is a plate outside all plates. Programs hold no lanes, only densities made from them do.

    Attributes:
        of: the plates of the site whose values it holds.
        before: for a lane of the values that the site had in the step before, the plate of these steps.
        reverse: whether the step before is the next element of that plate.
    """

    of: tuple[Plate, ...] = ()
    before: Plate | None = None
    reverse: bool = False

    @property
    def site(self) -> str:
        """Name of the site whose values it holds."""
        return self.name.removesuffix(BEFORE) if self.before else self.name

    def earlier(self, time: Plate, reverse: bool) -> Lane:
        """The lane of the values that the site had in the step before."""
        return Lane(self.name + BEFORE, self.size, self.of, time, reverse)


@dataclass(frozen=True)
class Axis(Plate):
    """An axis outside all plates that an estimator reduces: particles, or the lanes of a gradient strategy.

    Programs hold none, only objectives made from them do.

    Attributes:
        depth: of two axes that meet, the one with the greater number lies further out.
    """

    depth: int = 0


# The plates that are open while a model is traced, outermost first; None when no model is being traced. An operation
# on a value whose plate is no longer open first turns that plate into an array axis.
OPEN_PLATES: ContextVar[tuple[Plate, ...] | None] = ContextVar("open_plates", default=None)


def dtype_kind(dtype: Any) -> DType:
    """The kind of a numpy dtype: "float", "int" or "bool".

    Raises:
        TypeError: complex, string, object and date types have no place in a program.
    """
    kind = np.dtype(dtype).kind
    if kind == "f":
        return "float"
    if kind in "iu":
        return "int"
    if kind == "b":
        return "bool"
    raise TypeError(f"dtype {dtype} is neither real, integer nor boolean")


@dataclass(frozen=True, eq=False, slots=True)
class Value:
    """One node of the expression graph of a program.

    Attributes:
        op: name of the operation, a key of `ppl.program.ops.OPS`.
        args: operands.
        attrs: static attributes, sorted by name.
        plates: the plates this value varies over, outermost first.
        shape: event shape of one element.
        dtype: "float", "int" or "bool".
        hint: the user's variable name for it, for printing only.
    """

    op: str
    args: tuple[Value, ...]
    attrs: tuple[tuple[str, Any], ...]
    plates: tuple[Plate, ...]
    shape: Shape
    dtype: DType
    hint: list[str] = field(default_factory=list[str], repr=False)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        # An operator between a numpy array and a value arrives here; everything else is a numpy function.
        op = _NUMPY_OPERATORS.get(ufunc.__name__)
        if method != "__call__" or op is None or kwargs:
            raise _numpy_called(ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}", self)
        return _apply(op, *inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise _numpy_called(function.__name__, self)

    def attr(self, name: str) -> Any:
        """The static attribute of that name."""
        for key, item in self.attrs:
            if key == name:
                return item
        raise KeyError(name)

    @property
    def ndim(self) -> int:
        """Number of event axes."""
        return len(self.shape)

    @property
    def T(self) -> Value:
        """The matrix transpose of a value with two event axes."""
        here = _seen_here(self)
        return _apply("permute_dims", here, axes=tuple(reversed(range(here.ndim))))

    def __repr__(self) -> str:
        plates = "".join(f" over {p.name}" for p in self.plates)
        return f"<symbolic {_short(self)}: {self.dtype}{list(self.shape)}{plates}>"

    def __bool__(self) -> bool:
        raise SymbolicValueError(
            "Python asked for the truth value of a symbolic value (`if`, `while`, `and`, `or`, `not`, chained `<`).",
            declared_at=user_location(),
            expected="a number that is known while the model is declared",
            got=repr(self),
            remedy="Choose between values with ops.where(condition, a, b); combine conditions with &, |, ~.",
        )

    def _concrete(self, kind: str) -> Any:
        raise SymbolicValueError(
            f"Python asked for a concrete {kind}, but a model runs on symbolic values.",
            declared_at=user_location(),
            expected="a number that is known while the model is declared",
            got=repr(self),
            remedy="Use the functions of ppl.ops; numpy and math see no numbers while a model is declared."
            + (" To pick from a list or array, write ops.asarray(table)[index]." if kind in ("array", "index") else ""),
        )

    def __float__(self) -> float:
        return self._concrete("float")

    def __int__(self) -> int:
        return self._concrete("int")

    def __index__(self) -> int:
        return self._concrete("index")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._concrete("array")

    def __len__(self) -> int:
        here = _seen_here(self)
        if not here.shape:
            raise TypeError("a scalar symbolic value has no length")
        return here.shape[0]

    def __iter__(self) -> Iterator[Value]:
        here = _seen_here(self)
        if not here.shape:
            raise TypeError("cannot iterate over a scalar symbolic value")
        return (here[i] for i in range(here.shape[0]))

    def __getitem__(self, key: Any) -> Value:
        from .indexing import getitem

        return getitem(self, key)

    def __setitem__(self, key: Any, item: Any) -> None:
        raise SymbolicValueError(
            "a symbolic value cannot be changed in place.",
            declared_at=user_location(),
            expected="a new value",
            got=f"an assignment to {self!r}",
            remedy="Build the value: ops.stack, ops.concat, or ops.where(condition, new, old).",
        )

    def __add__(self, other: Any) -> Value:
        return NotImplemented if _has_own_operators(other) else _apply("add", self, other)

    def __radd__(self, other: Any) -> Value:
        return _apply("add", other, self)

    def __sub__(self, other: Any) -> Value:
        return _apply("subtract", self, other)

    def __rsub__(self, other: Any) -> Value:
        return _apply("subtract", other, self)

    def __mul__(self, other: Any) -> Value:
        return NotImplemented if _has_own_operators(other) else _apply("multiply", self, other)

    def __rmul__(self, other: Any) -> Value:
        return _apply("multiply", other, self)

    def __truediv__(self, other: Any) -> Value:
        return _apply("divide", self, other)

    def __rtruediv__(self, other: Any) -> Value:
        return _apply("divide", other, self)

    def __floordiv__(self, other: Any) -> Value:
        return _apply("floor_divide", self, other)

    def __rfloordiv__(self, other: Any) -> Value:
        return _apply("floor_divide", other, self)

    def __mod__(self, other: Any) -> Value:
        return _apply("remainder", self, other)

    def __rmod__(self, other: Any) -> Value:
        return _apply("remainder", other, self)

    def __pow__(self, other: Any) -> Value:
        return _apply("pow", self, other)

    def __rpow__(self, other: Any) -> Value:
        return _apply("pow", other, self)

    def __matmul__(self, other: Any) -> Value:
        return _apply("matmul", self, other)

    def __rmatmul__(self, other: Any) -> Value:
        return _apply("matmul", other, self)

    def __neg__(self) -> Value:
        return _apply("negative", self)

    def __pos__(self) -> Value:
        return self

    def __abs__(self) -> Value:
        return _apply("abs", self)

    def __lt__(self, other: Any) -> Value:
        return _apply("less", self, other)

    def __le__(self, other: Any) -> Value:
        return _apply("less_equal", self, other)

    def __gt__(self, other: Any) -> Value:
        return _apply("greater", self, other)

    def __ge__(self, other: Any) -> Value:
        return _apply("greater_equal", self, other)

    def __eq__(self, other: object) -> Any:
        return _apply("equal", self, other)

    def __ne__(self, other: object) -> Any:
        return _apply("not_equal", self, other)

    def __hash__(self) -> int:
        return id(self)

    def __and__(self, other: Any) -> Value:
        return _apply("logical_and", self, other)

    def __rand__(self, other: Any) -> Value:
        return _apply("logical_and", other, self)

    def __or__(self, other: Any) -> Value:
        return _apply("logical_or", self, other)

    def __ror__(self, other: Any) -> Value:
        return _apply("logical_or", other, self)

    def __xor__(self, other: Any) -> Value:
        return _apply("logical_xor", self, other)

    def __invert__(self) -> Value:
        return _apply("logical_not", self)


def _has_own_operators(other: Any) -> bool:
    # As numpy understands it: a kernel that is scaled by a value decides what that is.
    return getattr(other, "__array_ufunc__", False) is None


def _apply(op: str, /, *args: Any, **attrs: Any) -> Value:
    from .ops import apply

    return apply(op, *args, **attrs)


# Names of the numpy functions that are operators, and of the operations that they are here.
_NUMPY_OPERATORS = {
    "add": "add", "subtract": "subtract", "multiply": "multiply", "divide": "divide", "true_divide": "divide",
    "floor_divide": "floor_divide", "remainder": "remainder", "power": "pow", "matmul": "matmul", "less": "less",
    "less_equal": "less_equal", "greater": "greater", "greater_equal": "greater_equal", "equal": "equal",
    "not_equal": "not_equal", "bitwise_and": "logical_and", "bitwise_or": "logical_or", "bitwise_xor": "logical_xor",
    "logical_and": "logical_and", "logical_or": "logical_or",
}  # fmt: skip


def _numpy_called(name: str, value: Value) -> SymbolicValueError:
    same = {"add.reduce": "sum", "multiply.reduce": "prod", "maximum.reduce": "max", "minimum.reduce": "min"}
    return SymbolicValueError(
        f"numpy.{name} was called on a symbolic value.",
        declared_at=user_location(),
        expected="numbers that are known while the model is declared",
        got=repr(value),
        remedy=f"Write ops.{same.get(name, name.partition('.')[0])}, or what ppl.ops has in its place.",
    )


def _short(value: Value) -> str:
    """A value in a message: the user's name for it, or how it is computed if that is short."""
    from .printing import Expressions

    if value.hint:
        return repr(value.hint[0])
    if value.op in ("site", "param", "input"):
        return repr(value.attr("name"))
    text = Expressions(deepest=4).text(value)
    return f"`{text}`" if len(text) <= 60 else value.op


def _seen_here(value: Value) -> Value:
    """The value with the shape it has at this point of the model: outside its plates, these are axes."""
    from .ops import in_scope

    return in_scope(value)


def constant(array: Any) -> Value:
    """A number or small array as a value; its whole shape is its event shape."""
    item = np.asarray(array)
    try:
        dtype = dtype_kind(item.dtype)
    except TypeError as error:
        raise SymbolicValueError(
            f"{array!r} is not a number, an array or a symbolic value.",
            declared_at=user_location(),
            expected="real, integer or boolean numbers",
            got=type(array).__name__,
            remedy="Pass numbers, numpy arrays or values of the model.",
        ) from error
    stored = item.item() if item.ndim == 0 else Frozen(item)
    return Value("const", (), (("value", stored),), (), item.shape, dtype)


class Frozen:
    """A read-only array that compares and hashes by content, so that constants can be shared and compared."""

    __slots__ = ("_hash", "array")

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.array(array)
        self.array.setflags(write=False)
        self._hash = hash((self.array.shape, self.array.dtype.str, self.array.tobytes()))

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Frozen)
            and self._hash == other._hash
            and self.array.dtype == other.array.dtype
            and np.array_equal(self.array, other.array, equal_nan=self.array.dtype.kind == "f")
        )

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Frozen({self.array.tolist()})"


def lift(item: Any) -> Value:
    """A value as it is; anything else as a constant."""
    return item if isinstance(item, Value) else constant(item)


def reference(op: str, name: str, plates: tuple[Plate, ...], shape: Shape, dtype: DType, **attrs: Any) -> Value:
    """A leaf that refers to a statement by name: an input, a site, a parameter, a deterministic value, a noise."""
    items = tuple(sorted({"name": name, **attrs}.items()))
    return Value(op, (), items, plates, shape, dtype)


def is_constant(value: Value, number: float | None = None) -> bool:
    """Whether a value is a scalar constant (equal to `number`, if one is given)."""
    if value.op != "const" or value.shape:
        return False
    return number is None or value.attrs[0][1] == number


def walk(
    roots: tuple[Value, ...] | list[Value], operands: Callable[[Value], Sequence[Value]] | None = None
) -> list[Value]:
    """All nodes that the roots depend on, operands before the operations that use them, each once.

    Args:
        roots: where to start.
        operands: which nodes come before a node, if not all of its operands do.
    """
    order: list[Value] = []
    seen: set[int] = set()
    stack: list[tuple[Value, bool]] = [(root, False) for root in reversed(roots)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            before = node.args if operands is None else operands(node)
            stack.extend((arg, False) for arg in reversed(before) if id(arg) not in seen)
    return order


def rewrite(roots: dict[str, Value], replace: Any, whole: Callable[[Value], bool] | None = None) -> dict[str, Value]:
    """Rebuild expression graphs bottom-up.

    Args:
        roots: named expressions.
        replace: called as `replace(node, args)` with each node and its rebuilt operands; returns the new node, or
            None to keep the node (with the new operands).
        whole: which nodes are replaced without a look at their operands.

    Returns:
        The rebuilt expressions, under the same names; sharing is kept.
    """
    done: dict[int, Value] = {}
    for node in walk(list(roots.values()), None if whole is None else lambda n: () if whole(n) else n.args):
        args = () if whole is not None and whole(node) else tuple(done[id(arg)] for arg in node.args)
        new = replace(node, args)
        if new is None:
            unchanged = all(a is b for a, b in zip(args, node.args, strict=True))
            new = (
                node if unchanged else Value(node.op, args, node.attrs, node.plates, node.shape, node.dtype, node.hint)
            )
        done[id(node)] = new
    return {name: done[id(root)] for name, root in roots.items()}
