"""Running compiled functions over many draws, a bounded piece at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import ModelError
from ppl.program.missing import known_factor
from ppl.program.program import Program
from ppl.program.values import Value, walk
from ppl.transforms.density import Continued, log_density

if TYPE_CHECKING:
    from ppl.backend.compiled import Compiled

CHUNK_BYTES = 2**28
# Leaves that are there once, however many draws are evaluated.
_SHARED = {"const", "input", "param"}


def compiled(program: Program, backend: str, precision: str, seed: int) -> Compiled:
    """The program for a backend.

    Raises:
        ModelError: it has a network of the user's own that was read from a file without its factories.
    """
    from ppl.backend.compiled import compile

    for network in program.networks.values():
        foreign = network.spec.foreign
        if foreign is not None and foreign.torch is None and foreign.jax is None:
            raise ModelError(
                f"network {network.name!r} is your own module, and a file holds its weights but not its code.",
                model=program.name,
                declared_at=network.location,
                expected=" or ".join(n for n in (foreign.torch_name, foreign.jax_name) if n),
                remedy=f'Load with Posterior.load(path, modules={{"{network.name}": {{"torch": ..., "jax": ...}}}}).',
            )
    return compile(program, backend, precision=precision, seed=seed)


def bytes_per_draw(program: Program, precision: str) -> int:
    """An upper bound of the memory one draw takes while densities or simulations of a program are computed."""
    width = 8 if precision == "float64" else 4
    nodes = walk(list(log_density(program).terms.values()))
    return width * max(1, sum(_size(node) for node in nodes if node.op not in _SHARED))


def _size(node: Value) -> int:
    return math.prod(p.size for p in node.plates) * math.prod(node.shape)


def pieces(total: int, per_draw: int, budget: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Draws in pieces of equal size.

    Yields:
        Where a piece belongs, and the indices of its draws. The last piece repeats the last draw up to the full size:
        compiled functions see one shape only.
    """
    largest = max(1, min(total, budget // per_draw))
    size = math.ceil(total / math.ceil(total / largest))
    for start in range(0, total, size):
        yield slice(start, min(start + size, total)), np.minimum(np.arange(start, start + size), total - 1)


def params_of(program: Program, params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters and network weights that a program declares, out of those of model and guide."""
    networks = [n.spec for n in program.networks.values() if not n.random]
    named = {*program.params, *(w for spec in networks if spec.foreign is None for w in spec.weights)}
    # What the weights of a user's own module are called is known to the module alone, but for the start of the names.
    stems = tuple(f"{spec.name}." for spec in networks if spec.foreign is not None)
    return {n: array for n, array in params.items() if n in named or (stems and n.startswith(stems))}


def own_params(target: Compiled, params: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters that a program has, out of those of model and guide."""
    return {name: array for name, array in params.items() if name in target.params}


def density_terms(
    target: Compiled,
    values: Mapping[str, np.ndarray],
    params: Mapping[str, np.ndarray],
    total: int,
    chunk_bytes: int = CHUNK_BYTES,
) -> dict[str, np.ndarray]:
    """Log density of every site and factor at many draws, in nats.

    Args:
        target: the compiled program.
        values: every latent, shape (total, plates..., event...).
        params: parameters of model and guide.
        total: number of draws.
        chunk_bytes: memory that intermediate results may take.

    Returns:
        For each site and factor, shape (total, plates...).

    Raises:
        NonFiniteError: a log density is NaN or plus infinity; names the first site at fault.
    """
    from ppl.backend.diagnosis import is_fault
    from ppl.backend.watching import density_fault

    program = target.program
    plates = {n: tuple(p.size for p in program.by_name[n].plates) for n in (*program.sites, *program.factors)}
    out = {n: np.empty((total, *sizes), target.precision) for n, sizes in plates.items()}
    given = own_params(target, params)
    for place, index in pieces(total, bytes_per_draw(program, target.precision), chunk_bytes):
        terms = target.log_density({n: v[index] for n, v in values.items()}, given, by_site=True)
        for name, term in terms.items():
            # A term that varies over no draw, or not over one of its plates, still counts once for each.
            full = np.broadcast_to(target.backend.to_numpy(term), (len(index), *plates[name]))
            out[name][place] = full[: place.stop - place.start]
            if is_fault(full, impossible=True):
                chosen = {n: v[index] for n, v in values.items()}
                raise density_fault(target, chosen, given, "at the draws of the posterior")
    return out


def simulated(
    target: Compiled,
    values: Mapping[str, np.ndarray],
    params: Mapping[str, np.ndarray],
    total: int,
    seed: int,
    keep: Any = None,
    chunk_bytes: int = CHUNK_BYTES,
    continued: Continued | None = None,
) -> dict[str, np.ndarray]:
    """Draw every site that is not given, observed ones included.

    Args:
        target: the compiled program.
        values: the sites that are given, shape (total, plates..., event...).
        params: parameters of model and guide.
        total: number of draws.
        seed: for all noise.
        keep: names to return; by default all that were not given.
        chunk_bytes: memory that intermediate results may take.
        continued: the steps of a scan at which `values` hold.

    Returns:
        For each site and computed value, shape (total, plates..., event...).
    """
    parts: dict[str, list[np.ndarray]] = {}
    given = own_params(target, params)
    steps = list(pieces(total, bytes_per_draw(target.program, target.precision), chunk_bytes))
    backend = target.backend
    for (place, index), key in zip(steps, backend.split(backend.key(seed), len(steps)), strict=True):
        chosen = {n: v[index] for n, v in values.items()}
        result = target.simulate((len(index),), key=key, values=chosen, params=given, continued=continued)
        for name, array in result.items():
            if keep is None or name in keep:
                parts.setdefault(name, []).append(backend.to_numpy(array)[: place.stop - place.start])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def refuse_factors(program: Program, drawn: set[str], what: str) -> None:
    """A factor weighs the draws of the sites it reads; drawing them from the model alone would leave it out.

    Raises:
        ModelError: a factor depends on a site that is about to be drawn.
    """
    held = {known_factor(n) for n, s in program.sites.items() if s.missing is not None}
    for name, factor in program.factors.items():
        if name in held:
            # It holds known data in its place; a simulation draws data anew.
            continue
        reads = sorted(program.ancestors(name) & drawn)
        if reads:
            raise ModelError(
                f"factor {name!r} reads {reads[0]!r}, so {what} would ignore it.",
                model=program.name,
                declared_at=factor.location,
                remedy='Pass factors="ignore" for draws of the program without its factors.',
            )
