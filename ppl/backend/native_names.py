"""What things are called in native models, and the shapes in which native models hold them."""

from __future__ import annotations

import keyword
from collections.abc import Mapping

import numpy as np

from ppl.program.printing import fresh
from ppl.program.program import Program
from ppl.program.statements import Factor, Sample
from ppl.program.values import Plate

from .layout import frame_of
from .lowering import identifier
from .scan_groups import groups, native_positions

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
        "scan",
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


def native_values(program: Program, values: Mapping[str, np.ndarray], stacked: bool) -> dict[str, np.ndarray]:
    """Values of sites in the shape the libraries give them: an axis of size one for each plate further in.

    Args:
        program: a model or guide.
        values: one draw of each site, shape (plates..., event...).
        stacked: whether the steps of a scan are one site, with the steps in front, or a site each.
    """
    positions = native_positions(program)
    scanned = scanned_sites(program)
    out: dict[str, np.ndarray] = {}
    for name, item in values.items():
        site = program.sites[name]
        array, plates = np.asarray(item), site.plates
        if name in scanned:
            array = np.moveaxis(array, plates.index(scanned[name]), 0)
            plates = tuple(p for p in plates if p != scanned[name])
        frame = frame_of(plates, positions)
        shape = tuple(1 if p is None else p.size for p in frame) + site.dist.event_shape
        if name not in scanned:
            out[name] = array.reshape(shape)
        elif stacked:
            out[name] = array.reshape((len(array), *shape))
        else:
            out |= {step_name(name, t): row.reshape(shape) for t, row in enumerate(array)}
    return out


def step_name(name: str, step: int) -> str:
    """What one step of a site in a scan is called in Pyro."""
    return f"{name}_{step}"


def scanned_sites(program: Program) -> dict[str, Plate]:
    """The random sites and factors in steps of scans, with the plate of these steps."""
    return {
        m.name: carries[0].time
        for carries, members in groups(program)
        for m in members
        if carries and isinstance(m, (Sample, Factor))
    }


def native_owners(program: Program) -> dict[str, str]:
    """For what Pyro calls each step of a site in a scan, the name of the site."""
    return {step_name(name, t): name for name, time in scanned_sites(program).items() for t in range(time.size)}
