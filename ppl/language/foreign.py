"""The user's own numerical code: functions of torch and of JAX that a model calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ppl.errors import DtypeError, ModelError, ShapeError, user_location
from ppl.program.networks import ForeignCall, ForeignModule, NetworkSpec
from ppl.program.ops import apply, in_scope
from ppl.program.statements import Network
from ppl.program.values import DType, Shape, Value, lift

from .trace import current


class ExternalFunction:
    """A declared function of the user's own: call it with elements."""

    def __init__(
        self,
        name: str,
        functions: tuple[Callable[..., Any] | None, Callable[..., Any] | None],
        shape: Shape,
        dtype: DType,
        batched: bool,
    ) -> None:
        self.name = name
        self.functions = functions
        self.shape = shape
        self.dtype: DType = dtype
        self.batched = batched
        self.location = user_location()

    def __call__(self, *inputs: Any) -> Value:
        """The function on one element of each input.

        Raises:
            ShapeError: the elements have other shapes than where it was called first.
            ModelError: it is called without any.
        """
        trace = current(f"external {self.name!r}")
        trace.harvest()
        values = tuple(in_scope(lift(i)) for i in inputs)
        if not values:
            raise ModelError(
                f"external {self.name!r} was called without arguments.",
                model=trace.model,
                declared_at=user_location(),
                expected="at least one value",
                got="none",
                remedy="What is the same for all elements is an input of the model, or a constant.",
            )
        spec = self._spec(tuple((v.shape, v.dtype) for v in values))
        statement = trace.statements.get(self.name)
        if isinstance(statement, Network) and _functions(statement.spec) == self.functions:
            if statement.spec != spec:
                raise ShapeError(
                    f"external {self.name!r} is called with elements of other shapes than before.",
                    model=trace.model,
                    declared_at=user_location(),
                    expected=f"{_shown(statement.spec)}, as at {statement.location}",
                    got=_shown(spec),
                    remedy="Declare it again under another name.",
                )
        else:
            trace.declare(Network(self.name, (), self.location, spec))
        attrs = {"name": self.name, "out_shape": self.shape, "out_dtype": self.dtype, "external": True}
        return apply("network", *values, **attrs)

    def _spec(self, inputs: tuple[tuple[Shape, DType], ...]) -> NetworkSpec:
        torch, jax = self.functions
        call = ForeignCall(inputs, self.dtype, self.batched, self.location)
        foreign = ForeignModule(torch, jax, qualified(torch), qualified(jax), call)
        return NetworkSpec(self.name, (), f"external({self.name!r})", self.shape, foreign)

    def __repr__(self) -> str:
        return f"external({self.name!r})"


def _functions(spec: NetworkSpec) -> tuple[Callable[..., Any] | None, Callable[..., Any] | None]:
    return (None, None) if spec.foreign is None else (spec.foreign.torch, spec.foreign.jax)


def _shown(spec: NetworkSpec) -> str:
    assert spec.foreign is not None
    assert spec.foreign.call is not None
    return ", ".join(f"{kind}{list(shape)}" for shape, kind in spec.foreign.call.inputs)


def external(
    name: str,
    *,
    torch: Callable[..., Any] | None = None,
    jax: Callable[..., Any] | None = None,
    shape: int | tuple[int, ...] = (),
    dtype: DType = "float",
    batched: bool = False,
) -> ExternalFunction:
    """A function of your own, in torch, in JAX or in both.

    The result is called with values of the model, `f(x, y)`, and gives one array. The function gets one element of
    each, without plates and draws: these are folded into one axis, over which it is mapped by `torch.vmap` or
    `jax.vmap`. Gradients go through it if its library can differentiate it.

    Args:
        name: name of the function.
        torch: a function of tensors.
        jax: a function of JAX arrays, which can be traced.
        shape: event shape of the result.
        dtype: kind of number of the result: "float", "int" or "bool".
        batched: the function takes arrays with one axis of rows in front, and keeps it; then it is not mapped. For code
            that cannot be, such as a solver with a loop that depends on numbers.

    Raises:
        ModelError: no function was given.
        DtypeError: there is no such kind of number.

    A backend for which no function is given refuses the program when compiling. What the function gives is compared
    with `shape` and `dtype`: by JAX when compiling, by torch when compiling if it runs on tensors without data, else at
    the first call.
    """
    if torch is None and jax is None:
        raise ModelError(
            f"ppl.external({name!r}) needs a function for at least one backend.",
            declared_at=user_location(),
            expected="torch=, jax= or both",
            got="neither",
            remedy="Pass a function of arrays of that library.",
        )
    if dtype not in ("float", "int", "bool"):
        raise DtypeError(
            f"ppl.external({name!r}): there is no kind of number {dtype!r}.",
            declared_at=user_location(),
            expected="'float', 'int' or 'bool'",
            got=repr(dtype),
        )
    return ExternalFunction(name, (torch, jax), (shape,) if isinstance(shape, int) else tuple(shape), dtype, batched)


def qualified(function: Callable[..., Any] | None) -> str:
    """Where a function of the user's own is found, for messages and files."""
    if function is None:
        return ""
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', repr(function))}"
