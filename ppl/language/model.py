"""`@ppl.model`: a function that declares, turned into one that traces."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from ppl.errors import Location, ModelError, nearest, user_location
from ppl.program.check import check_indices
from ppl.program.program import Program
from ppl.program.unrelated import ORIGINS, Origins
from ppl.program.values import OPEN_PLATES, Value, dtype_kind

from .arrays import Spec, is_array, to_numpy
from .trace import CURRENT, Trace


class Model:
    """A model function; calling it binds its inputs and returns the traced `Program`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.signature = inspect.signature(function)

    @property
    def name(self) -> str:
        """Name of the function."""
        return self.function.__name__

    @property
    def _location(self) -> Location:
        code = self.function.__code__
        return Location(code.co_filename, code.co_firstlineno)

    def __repr__(self) -> str:
        return f"<model {self.name}{self.signature}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Program:
        """Trace the model once on symbolic values; nothing numerical happens.

        Args:
            args: arrays become inputs, everything else stays a static setting.
            kwargs: the same, by name.

        Raises:
            ModelError: an argument is missing or unknown, or the model declares nothing.
            PPLError: whatever is wrong inside the model, with its line.
        """
        if CURRENT.get() is not None:
            # A model called inside a model is a sub-model: its statements join the outer one.
            return self.function(*args, **kwargs)
        bound = self._bind(args, kwargs)
        trace = Trace(self.name)
        settings: list[tuple[str, str]] = []
        arguments = {n: self._argument(trace, n, a, settings) for n, a in bound.arguments.items()}
        token, scope = CURRENT.set(trace), OPEN_PLATES.set(())
        origins = ORIGINS.set(Origins())
        try:
            result = self.function(*_positional(bound, arguments), **_keywords(bound, arguments))
        finally:
            ORIGINS.reset(origins)
            OPEN_PLATES.reset(scope)
            CURRENT.reset(token)
        self._check_result(trace, result)
        program = Program(
            self.name,
            tuple(trace.inputs),
            tuple(settings),
            tuple(trace.plates.values()),
            tuple(trace.statements.values()),
            dict(trace.data),
        )
        check_indices(program)
        return program

    def _bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            names = list(self.signature.parameters)
            unknown = [n for n in kwargs if n not in names]
            raise ModelError(
                f"the call does not fit: {error}.",
                model=self.name,
                declared_at=user_location(),
                expected=f"{self.name}{self.signature}",
                got=f"{len(args)} positional arguments" + (f" and {', '.join(kwargs)}" if kwargs else ""),
                remedy=nearest(unknown[0], names)
                if unknown
                else "Pass every input; ppl.spec(shape) stands for data to come.",
            ) from None
        bound.apply_defaults()
        return bound

    def _argument(self, trace: Trace, name: str, item: Any, settings: list[tuple[str, str]]) -> Any:
        if isinstance(item, Spec):
            return trace.add_input(name, item.shape, item.dtype, None)
        if is_array(item):
            array = to_numpy(item, name)
            return trace.add_input(name, array.shape, dtype_kind(array.dtype), array)
        if isinstance(item, Mapping):
            parts = cast("Mapping[str, Any]", item)
            if any(is_array(v) for v in parts.values()):
                return {k: self._argument(trace, f"{name}.{k}", v, settings) for k, v in parts.items()}
        if isinstance(item, tuple):
            members = cast("tuple[Any, ...]", item)
            if any(is_array(v) for v in members):
                return tuple(self._argument(trace, f"{name}.{i}", v, settings) for i, v in enumerate(members))
        text = repr(cast(Any, item))
        settings.append((name, text if len(text) <= 40 else text[:37] + "..."))
        return cast(Any, item)

    def _check_result(self, trace: Trace, result: Any) -> None:
        if inspect.isgenerator(result) or inspect.iscoroutine(result):
            result.close()
            raise ModelError(
                "a model is an ordinary function; this one contains `yield` or is `async`.",
                model=self.name,
                declared_at=self._location,
                expected="statements that run one after the other",
                got=type(result).__name__,
                remedy="Write `def` and call ppl.sample directly, without yield or await.",
            )
        if not trace.statements:
            raise ModelError(
                "it returned before it declared anything.",
                model=self.name,
                declared_at=self._location,
                expected="at least one ppl.sample or ppl.factor",
                got="no statement",
                remedy="Check for an early `return`, or a condition that is never true.",
            )


def _positional(bound: inspect.BoundArguments, arguments: dict[str, Any]) -> tuple[Any, ...]:
    return inspect.BoundArguments(bound.signature, arguments).args  # type: ignore[arg-type]


def _keywords(bound: inspect.BoundArguments, arguments: dict[str, Any]) -> dict[str, Any]:
    return inspect.BoundArguments(bound.signature, arguments).kwargs  # type: ignore[arg-type]


def model(function: Callable[..., Any]) -> Model:
    """Declare a model (or a guide): a Python function of inputs that samples sites.

    Args:
        function: its array arguments become inputs, all others are static settings.

    Returns:
        A callable that binds inputs and traces: `program = vae(images)`.
    """
    return Model(function)


__all__ = ["Model", "Value", "model"]
