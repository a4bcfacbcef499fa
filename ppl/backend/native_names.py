"""What things are called in native models, and the shapes in which native models hold them."""

from __future__ import annotations

import keyword
from collections.abc import Mapping

import numpy as np

from ppl.program.printing import fresh
from ppl.program.program import Program

from .layout import frame_of, plate_positions
from .lowering import identifier

# Names that emitted code has a use for already.
RESERVED = frozenset(
    [
        *keyword.kwlist,
        "F",
        "OrderedDict",
        "Path",
        "dist",
        "eqx",
        "eqx_module",
        "jax",
        "jnp",
        "jsp",
        "model",
        "modules",
        "networks",
        "np",
        "numpyro",
        "pyro",
        "runtime",
        "torch",
    ]
)


def network_variables(program: Program) -> dict[str, str]:
    """The variable in which the native module keeps each network, by the network's name."""
    used = set(RESERVED)
    return {name: fresh(f"{identifier(name)}_network", used) for name in program.networks}


def variable_names(program: Program) -> dict[str, str]:
    """The variable of each input and statement in the native model, by name; arguments are called the same."""
    used = set(RESERVED) | set(network_variables(program).values())
    return {name: fresh(identifier(name), used) for name in (*(i.name for i in program.inputs), *program.by_name)}


def native_values(program: Program, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Values of sites in the shape the libraries give them: an axis of size one for each plate further in.

    Args:
        program: a model or guide.
        values: one draw of each site, shape (plates..., event...).
    """
    positions = plate_positions(program)
    out: dict[str, np.ndarray] = {}
    for name, item in values.items():
        frame = frame_of(program.sites[name].plates, positions)
        array = np.asarray(item)
        out[name] = array.reshape(
            tuple(1 if p is None else p.size for p in frame) + program.sites[name].dist.event_shape
        )
    return out
