"""`ppl.eject`: a program as files that run without Credo."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppl.program.printing import fresh
from ppl.program.program import Program
from ppl.program.values import Shape

from .compiled import Compiled, compile
from .families import Library
from .native import NativeEmitter, check_backend
from .native_names import RESERVED, network_variables, variable_names
from .stored import Stored

TITLES: dict[Library, str] = {"pyro": "Pyro", "numpyro": "NumPyro"}


def eject(
    program: Program,
    path: str | os.PathLike[str],
    *,
    backend: str = "numpyro",
    precision: str = "float32",
    params: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Path:
    """Write a program as a Python file of its own, which runs where Credo is not installed.

    The file defines `model`, the text of `program.to_source(backend)`. If the program has networks or parameters, their
    values go into an `.npz` file of the same name beside it, from which the Python file reads them.

    Args:
        program: a model or guide.
        path: the Python file; `.py` is added to a name without suffix. An older file is replaced.
        backend: "numpyro" or "pyro".
        precision: of the arrays that are stored, "float32" or "float64".
        params: parameters and network weights, such as the `params` of a fit; without them, their starting values.
        seed: for starting values of networks.

    Returns:
        The path of the Python file.

    Raises:
        UnsupportedByBackend: the library lacks something that the program uses.
        ModelError: code of the user's own that another file cannot import.
        UnknownNameError: no such backend, precision or parameter.
        ShapeError: a parameter has another shape.
    """
    library = check_backend(backend)
    target = Path(path)
    target = target if target.suffix else target.with_name(f"{target.name}.py")
    compiled = compile(program, library, precision=precision, seed=seed)
    taken = RESERVED | set(variable_names(program).values()) | set(network_variables(program).values())
    stored = Stored(library, f"{target.stem}.npz", fresh("STORED", set(taken)))
    text = NativeEmitter(program, library, stored).source("model")
    arrays = stored_arrays(compiled, params)
    target.write_text(_docstring(program, library) + text, encoding="utf-8")
    if arrays:
        with open(target.with_name(stored.file), "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
    return target


def stored_arrays(compiled: Compiled, params: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    """Parameters, and weights of networks by the names that their own library gives them."""
    backend, program = compiled.backend, compiled.program
    given = {name: backend.to_numpy(array) for name, array in compiled.param_arrays(params).items()}
    out = {name: given[name] for name in program.params}
    for name, network in program.networks.items():
        if network.trained:
            module = backend.module(program, name, compiled.source, compiled.precision, given)
            out |= backend.module_arrays(module, name)
    return out


def _docstring(program: Program, library: Library) -> str:
    variables = variable_names(program)
    rows = [(variables[i.name], _described(i.dtype, i.shape)) for i in program.inputs]
    for name, site in program.observed.items():
        shape = tuple(p.size for p in site.plates) + site.dist.event_shape
        kind = "float" if library == "pyro" and site.dist.family != "Categorical" else site.dist.dtype
        rows.append(
            (variables[name], f"{_described(kind, shape)}: data of site {name!r}, which is drawn if it is None")
        )
    width = max((len(name) for name, _ in rows), default=0)
    lines = "".join(f"    {name:<{width}}  {text}\n" for name, text in rows)
    arguments = f"\n\nArguments of `model`:\n{lines}" if rows else ""
    return f'"""{program.name} for {TITLES[library]}, written by Credo.{arguments}"""\n\n'


def _described(kind: str, shape: Shape) -> str:
    return f"{kind}{list(shape)}" if shape else kind
