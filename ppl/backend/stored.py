"""Networks and parameters of an ejected model: where their values, and code of the user's own, come from."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ppl.errors import Location, ModelError
from ppl.program.networks import NetworkSpec

from .families import Library
from .lowering import text_of
from .spelling import NATIVE_JAX, TORCH


@dataclass
class Stored:
    """Arrays in a file beside the emitted module, in place of starting values written out.

    Attributes:
        library: "pyro" or "numpyro".
        file: name of the file of arrays.
        variable: what the module calls the arrays, by name.
        imports: lines that import code of the user's own.
    """

    library: Library
    file: str
    variable: str
    imports: list[str] = field(default_factory=list)

    @property
    def opening(self) -> str:
        """The line that reads the file."""
        return f"{self.variable} = dict(np.load(Path(__file__).with_name({text_of(self.file)})))"

    def parameter(self, name: str) -> str:
        """The value that a parameter starts from."""
        maker = f"{TORCH.module}.tensor" if self.library == "pyro" else f"{NATIVE_JAX.module}.asarray"
        return f"{maker}({self.variable}[{text_of(name)}])"

    def network(self, variable: str, name: str) -> str:
        """The line that gives a network its weights."""
        call = f"modules.load_weights({variable}, {self.variable}, {text_of(name)})"
        return call if self.library == "pyro" else f"{variable} = {call}"

    def own(self, variable: str, spec: NetworkSpec, function: Callable[..., Any], location: Location | None) -> str:
        """The line that makes a module of the user's own, or imports a function.

        Raises:
            ModelError: another file cannot import it.
        """
        module, name = importable(spec, function, location)
        if spec.is_function:
            self.imports.append(f"from {module} import {name} as {variable}")
            return ""
        factory = f"{variable}_factory"
        self.imports.append(f"from {module} import {name} as {factory}")
        return f"{variable} = {factory}({'' if self.library == 'pyro' else 'jax.random.key(0)'})"


def importable(spec: NetworkSpec, function: Callable[..., Any], location: Location | None) -> tuple[str, str]:
    """Module and name by which another file imports a function.

    Raises:
        ModelError: it cannot.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module not in (None, "__main__") and getattr(sys.modules.get(str(module)), name, None) is function:
        return str(module), name
    kind, what = ("external", "function") if spec.is_function else ("network", "factory")
    raise ModelError(
        f"{kind} {spec.name!r}: an ejected file cannot import your {what}.",
        declared_at=location,
        expected=f"a {what} that `from module import name` finds",
        got=f"{name or repr(function)} of {'the script that runs' if module == '__main__' else module}",
        remedy="Define it at the top level of a file that can be imported, and declare it from there.",
    )
