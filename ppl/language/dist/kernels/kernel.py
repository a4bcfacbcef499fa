"""Covariance functions: what a kernel is, and how kernels are added and multiplied."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from ppl.errors import ModelError, ShapeError, SupportError, user_location
from ppl.language.dist import algebra as al
from ppl.language.dist.algebra import Number, add, mul
from ppl.language.dist.parts import Assembled
from ppl.program.distributions import KERNELS
from ppl.program.ops import in_scope, to_float
from ppl.program.supports import Support, positive
from ppl.program.values import Shape, Value, is_constant, lift


def rows(x: Any) -> Value:
    """Inputs of a kernel as a real value of shape (n,) or (n, d).

    Raises:
        ShapeError: another number of axes.
    """
    value = to_float(in_scope(lift(x)))
    if value.ndim not in (1, 2):
        raise ShapeError(
            "a kernel takes rows of inputs.",
            declared_at=user_location(),
            expected="event shape (n,) for n numbers, or (n, d) for n vectors",
            got=repr(value),
            remedy="Inside a plate over the rows there is one row only: make the process outside, of all rows at once; "
            "a process for each element of another plate takes that element's own rows.",
        )
    return value


def columns(x: Value) -> int:
    """How many numbers a row has."""
    return 1 if x.ndim == 1 else x.shape[1]


class Kernel(Assembled):
    """A covariance function of two rows of inputs, in ops, so that its parameters may be values of the program.

    `kernel(X)` and `kernel(X, Z)` are covariance matrices; `kernel + other`, `kernel * other` and `2.0 * kernel` are
    kernels again.

    Class attributes:
        parameters: for each parameter, its support.
        by_column: parameters that may have one value for each column of the inputs.
        positional: how many parameters are printed without their name.

    Attributes:
        params: the parameters, as values.
        static: settings that are not values.
        parts: kernels that this one is made of.
    """

    # numpy leaves operators between an array and a kernel to the kernel.
    __array_ufunc__ = None
    # The kind of object in a program file.
    tag = "kernel"

    parameters: ClassVar[dict[str, Support]] = {}
    by_column: ClassVar[frozenset[str]] = frozenset()
    positional: ClassVar[int] = 1

    parts: tuple[Kernel, ...]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not inspect.isabstract(cls):
            KERNELS[cls.__name__] = cls

    def __init__(self, params: dict[str, Any] | None = None, parts: tuple[Kernel, ...] = (), **static: Any) -> None:
        self.params = {name: self._parameter(name, item) for name, item in (params or {}).items()}
        self.parts = parts
        self.static = static

    def _parameter(self, name: str, item: Any) -> Value:
        family = type(self).__name__
        value = to_float(in_scope(lift(item)))
        self._check_rank(name, value)
        if value.op == "const":
            array = np.asarray(value.attrs[0][1].array if value.shape else value.attrs[0][1])
            inside = self.parameters[name].contains(array)
            if inside is not None and not np.all(inside):
                raise SupportError(
                    f"{family}: parameter {name!r} is outside its domain.",
                    declared_at=user_location(),
                    expected=f"{name} in {self.parameters[name]}",
                    got=np.array2string(array, threshold=6),
                    remedy=f"Check what {name} is computed from, and the order of the arguments.",
                )
        return value

    def _check_rank(self, name: str, value: Value) -> None:
        most = 1 if name in self.by_column else 0
        if value.ndim > most:
            how_many = "one number, or one for each column of the inputs" if most else "one number"
            raise ShapeError(
                f"{type(self).__name__}: {name} is {how_many}.",
                declared_at=user_location(),
                expected="event shape ()" + (" or (d,)" if most else ""),
                got=repr(value),
                remedy="For processes that differ in their kernels, make each inside a plate.",
            )

    # --- what a kernel states: numbers that broadcast to the shape that is wanted ---------------------------------

    @abstractmethod
    def _between(self, x: Value, z: Value) -> Number:
        """Covariances of two sets of rows, that broadcast to (n, m)."""

    def _within(self, x: Value) -> Number:
        """Covariances of some rows among themselves, that broadcast to (n, n)."""
        return self._between(x, x)

    @abstractmethod
    def _diagonal(self, x: Value) -> Number:
        """Variances of some rows, that broadcast to (n,)."""

    def check(self, count: int) -> None:
        """Refuse inputs that the parameters do not fit.

        Args:
            count: columns of the inputs.

        Raises:
            ShapeError: a parameter has values for another number of columns, or a column does not exist.
        """
        for name, value in self.params.items():
            self._check_rank(name, value)  # a plate that was left since has given it an axis
        for part in self.parts:
            part.check(count)

    # --- what follows from it ------------------------------------------------------------------------------------

    def __call__(self, X: Any, Z: Any = None) -> Value:
        """Covariances of the function at rows of inputs.

        Args:
            X: shape (n,) or (n, d).
            Z: shape (m,) or (m, d); without it, X.

        Returns:
            Shape (n, m). Two sets of rows are other rows even where they are equal: noise that belongs to a row
            (`White`) counts within X alone.

        Raises:
            ShapeError: X or Z are no rows, or the kernel does not fit their columns.
        """
        x = rows(X)
        self.check(columns(x))
        if Z is None:
            return al.filled(self._within(x), (x.shape[0], x.shape[0]))
        z = rows(Z)
        if columns(z) != columns(x):
            raise ShapeError(
                "a kernel compares rows of equal length.",
                declared_at=user_location(),
                expected=f"rows of {columns(x)}, as in {x!r}",
                got=repr(z),
            )
        return al.filled(self._between(x, z), (x.shape[0], z.shape[0]))

    def diagonal(self, X: Any) -> Value:
        """Variances of the function at rows of inputs, shape (n,): the diagonal of `kernel(X)`."""
        x = rows(X)
        self.check(columns(x))
        return al.filled(self._diagonal(x), (x.shape[0],))

    def __add__(self, other: Any) -> Kernel:
        return Sum(self, _kernel(other))

    def __radd__(self, other: Any) -> Kernel:
        return Sum(_kernel(other), self)

    def __mul__(self, other: Any) -> Kernel:
        return Product(self, _kernel(other))

    def __rmul__(self, other: Any) -> Kernel:
        return Product(_kernel(other), self)

    def operands(self) -> dict[str, Value]:
        """Every parameter by name; where several parts have one of a name, they are numbered from the second on."""
        out: dict[str, Value] = {}
        for stem, value in self._named():
            name, count = stem, 2
            while name in out:
                name, count = f"{stem}_{count}", count + 1
            out[name] = value
        return out

    def _named(self) -> list[tuple[str, Value]]:
        return [*self.params.items(), *(item for part in self.parts for item in part._named())]

    def text(self, show: Callable[[Value], str]) -> str:
        """The kernel as a person writes it.

        Args:
            show: writes a value.
        """
        written = [
            show(value) if index < self.positional else f"{name}={show(value)}"
            for index, (name, value) in enumerate(self.params.items())
            if index < self.positional or not is_constant(value, 1.0)
        ]
        written += [f"{name}={item}" for name, item in self.static.items() if item is not None]
        return f"{type(self).__name__}({', '.join(written)})"


def _kernel(item: Any) -> Kernel:
    """A kernel as it is; a number as a constant one."""
    return item if isinstance(item, Kernel) else Constant(item)


class ByColumn(Kernel):
    """A kernel of some or all columns of the inputs."""

    def __init__(self, params: dict[str, Any], active_dims: Any, **static: Any) -> None:
        super().__init__(params, **static, active_dims=_dims(type(self).__name__, active_dims))

    def _columns(self, x: Value) -> Value:
        """The columns that count, shape (n, d); shape (n,) if there is one."""
        dims: Shape | None = self.static["active_dims"]
        if x.ndim == 1:
            return x
        if dims is None:
            return x if x.shape[1] > 1 else x[:, 0]
        return x[:, dims[0]] if len(dims) == 1 else al.pick_static(x, np.array(dims))

    def _scale(self, name: str, x: Value) -> Value:
        """A parameter, as one number where there is one column."""
        value = self.params[name]
        return value[0] if value.ndim and x.ndim == 1 else value

    def check(self, count: int) -> None:
        """Refuse inputs that the parameters do not fit.

        Args:
            count: columns of the inputs.

        Raises:
            ShapeError: a parameter has values for another number of columns, or a column does not exist.
        """
        super().check(count)
        family, dims = type(self).__name__, self.static["active_dims"]
        if dims is not None and max(dims) >= count:
            raise ShapeError(
                f"{family}: active_dims names column {max(dims)}.",
                declared_at=user_location(),
                expected=f"columns of the inputs, 0 to {count - 1}",
                got=f"active_dims={dims}",
            )
        used = count if dims is None else len(dims)
        for name, value in self.params.items():
            if value.ndim and value.shape[0] != used:
                raise ShapeError(
                    f"{family}: {name} has {value.shape[0]} values for {used} column{'s' * (used != 1)} of the inputs.",
                    declared_at=user_location(),
                    expected=f"one number, or {used}",
                    got=repr(value),
                    remedy="Give one value for each column that the kernel looks at, in their order.",
                )


def _dims(family: str, active_dims: Any) -> Shape | None:
    if active_dims is None:
        return None
    given = np.atleast_1d(np.asarray(active_dims))
    names = tuple(int(n) for n in given.ravel()) if given.dtype.kind in "iu" else ()
    if not names or given.ndim > 1 or min(names) < 0 or len(set(names)) < len(names):
        raise ShapeError(
            f"{family}: active_dims are columns of the inputs.",
            declared_at=user_location(),
            expected="different integers, counted from 0, such as active_dims=(0, 2)",
            got=repr(active_dims),
        )
    return names


class Sum(Kernel):
    """Kernels added: the function is a sum of independent ones.

    Args:
        kernels: two or more.
    """

    def __init__(self, *kernels: Kernel) -> None:
        super().__init__(parts=_flat(Sum, kernels))

    def _between(self, x: Value, z: Value) -> Number:
        return add(*(part._between(x, z) for part in self.parts))

    def _within(self, x: Value) -> Number:
        return add(*(part._within(x) for part in self.parts))

    def _diagonal(self, x: Value) -> Number:
        return add(*(part._diagonal(x) for part in self.parts))

    def text(self, show: Callable[[Value], str]) -> str:
        """The terms with plus signs between them."""
        return " + ".join(part.text(show) for part in self.parts)


class Product(Kernel):
    """Kernels multiplied: rows are alike if they are alike in every one of them.

    Args:
        kernels: two or more.
    """

    def __init__(self, *kernels: Kernel) -> None:
        super().__init__(parts=_flat(Product, kernels))

    def _between(self, x: Value, z: Value) -> Number:
        return reduce(mul, (part._between(x, z) for part in self.parts))

    def _within(self, x: Value) -> Number:
        return reduce(mul, (part._within(x) for part in self.parts))

    def _diagonal(self, x: Value) -> Number:
        return reduce(mul, (part._diagonal(x) for part in self.parts))

    def text(self, show: Callable[[Value], str]) -> str:
        """The factors with signs between them, sums in parentheses."""
        texts = ((isinstance(part, Sum), part.text(show)) for part in self.parts)
        return " * ".join(f"({text})" if wrapped else text for wrapped, text in texts)


def _flat(family: type[Kernel], kernels: tuple[Any, ...]) -> tuple[Kernel, ...]:
    wrong = next((k for k in kernels if not isinstance(k, Kernel)), None)
    if wrong is not None or len(kernels) < 2:
        raise ModelError(
            f"{family.__name__} takes two or more kernels.",
            declared_at=user_location(),
            expected="RBF(1.0) + White(0.1), for example",
            got=repr(kernels if wrong is None else wrong),
        )
    return tuple(part for k in kernels for part in (k.parts if isinstance(k, family) else (k,)))


class Constant(Kernel):
    """One covariance for all pairs of rows: a function of one unknown height, or the factor in `2.0 * kernel`.

    Args:
        variance: positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"variance": positive}

    def __init__(self, variance: Any = 1.0) -> None:
        super().__init__({"variance": variance})

    def _between(self, x: Value, z: Value) -> Number:
        return self.params["variance"]

    def _diagonal(self, x: Value) -> Number:
        return self.params["variance"]

    def text(self, show: Callable[[Value], str]) -> str:
        """As a number; a sum or product of kernels takes it for this kernel."""
        value = self.params["variance"]
        return show(value) if value.op in ("const", "site", "param", "input") else f"({show(value)})"


class White(Kernel):
    """Independent noise in each row: it adds to the variance of a row, and to no covariance.

    Args:
        variance: positive.
    """

    parameters: ClassVar[dict[str, Support]] = {"variance": positive}

    def __init__(self, variance: Any = 1.0) -> None:
        super().__init__({"variance": variance})

    def _between(self, x: Value, z: Value) -> Number:
        return 0.0

    def _within(self, x: Value) -> Number:
        return mul(self.params["variance"], lift(np.eye(x.shape[0])))

    def _diagonal(self, x: Value) -> Number:
        return self.params["variance"]
