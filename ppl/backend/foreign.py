"""The user's own functions: what they are called with, and what is said when they give something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from ppl.errors import ShapeError, UnsupportedByBackend
from ppl.program.networks import ForeignCall, NetworkSpec
from ppl.program.program import Program, expressions
from ppl.program.statements import Network
from ppl.program.values import Shape, walk

from .protocol import Backend


@dataclass(frozen=True)
class ForeignFunction:
    """A user's function on one backend.

    Attributes:
        spec: its declaration.
        library: "torch" or "jax".
        function: the function.
    """

    spec: NetworkSpec
    library: str
    function: Callable[..., Any]

    def __call__(self, *elements: Any) -> Any:
        """The function on one element of each input, or on rows of them if it takes these; its result is looked at."""
        return self.checked(self.function(*elements))

    def checked(self, out: Any) -> Any:
        """A result of the function, after a look at it.

        Raises:
            ShapeError: it has another shape or kind of number than declared.
        """
        if not hasattr(out, "shape"):
            self.refuse("one array", type(out).__name__)
        found = tuple(out.shape[int(self.call.batched) :]), _kind(out.dtype)
        expected = (self.spec.out_shape or (), self.call.out_dtype)
        if found != expected:
            self.refuse(f"{_shown(*expected)} for one element, as declared", _shown(*found))
        return out

    @property
    def call(self) -> ForeignCall:
        """How it is called."""
        assert self.spec.foreign is not None
        assert self.spec.foreign.call is not None
        return self.spec.foreign.call

    def refuse(self, expected: str, got: str, cause: Exception | None = None) -> NoReturn:
        """Say that the function does not do what was declared.

        Raises:
            ShapeError: always.
        """
        rows = "rows of elements" if self.call.batched else "one element"
        raise ShapeError(
            f"external {self.spec.name!r}: its {self.library} function does not give what was declared.",
            declared_at=self.call.location,
            expected=expected,
            got=got,
            remedy=f"It is called with {rows} of {', '.join(_shown(*i) for i in self.call.inputs)}. "
            "Correct `shape=` or `dtype=`, or the function.",
        ) from cause


def check_module(program: Program, network: Network, module: Any, backend: Backend) -> None:
    """Compare what a user's module gives for the elements it is called with, with what was declared.

    Raises:
        ShapeError: it gives another event shape, or cannot take the element.
    """
    roots = [e for statement in program.statements for e in expressions(statement)]
    calls = [n for n in walk(roots) if n.op == "network" and n.attr("name") == network.name]
    for shape, kind in dict.fromkeys((call.args[0].shape, call.args[0].dtype) for call in calls):
        try:
            found = backend.module_shape(module, shape, kind)
        except Exception as error:  # noqa: BLE001 - a user's module may raise anything
            got, cause = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", error
        else:
            if found is None or found == network.spec.out_shape:
                continue
            got, cause = f"event shape {found}", None
        raise ShapeError(
            f"network {network.name!r}: your module does not give what was declared.",
            model=program.name,
            declared_at=network.location,
            expected=f"event shape {network.spec.out_shape} for an element of shape {shape}, from out_shape=",
            got=got,
            remedy="Correct `out_shape=`, the module, or the element that it is called with.",
        ) from cause


def check_rows(name: str, found: Shape, declared: Shape) -> None:
    """Compare what a user's module has given for rows with what was declared.

    Raises:
        ShapeError: another event shape.
    """
    if tuple(found) != declared:
        raise ShapeError(
            f"network {name!r}: your module does not give what was declared.",
            expected=f"event shape {declared}, from out_shape=",
            got=f"event shape {tuple(found)}",
            remedy="Correct `out_shape=`, the module, or the element that it is called with.",
        )


def _kind(dtype: Any) -> str:
    """The kind of number of a dtype of either library."""
    name = str(dtype).removeprefix("torch.")
    return "float" if "float" in name else "int" if "int" in name else name


def _shown(shape: Shape, kind: str) -> str:
    return f"{kind}{list(shape)}"


def of_spec(spec: NetworkSpec, backend: str, library: str) -> ForeignFunction:
    """The function of a declaration for one backend.

    Raises:
        UnsupportedByBackend: none was given.
    """
    assert spec.foreign is not None
    function = spec.foreign.torch if library == "torch" else spec.foreign.jax
    if function is None:
        other = "numpyro" if backend == "pyro" else "pyro"
        raise UnsupportedByBackend(
            backend,
            f"external {spec.name!r}",
            f"it was given no `{library}` function",
            f"Pass {library}=..., or use backend={other!r}.",
        )
    return ForeignFunction(spec, library, function)
