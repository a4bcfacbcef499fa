"""`ppl.simulate`: draws of a whole program, from its prior or under an intervention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ppl.errors import ModelError
from ppl.program.program import Program

if TYPE_CHECKING:
    import xarray


def simulate(
    program: Program,
    draws: int = 1000,
    *,
    seed: int = 0,
    backend: str = "numpyro",
    precision: str = "float32",
    params: Mapping[str, Any] | None = None,
    factors: Literal["refuse", "ignore"] = "refuse",
) -> xarray.Dataset:
    """Draw every site of a program, observed ones included: the prior predictive, or after `do` the interventional one.

    Args:
        program: any program; the data of its observed sites is not looked at.
        draws: how many draws.
        seed: for all noise.
        backend: "numpyro" (JAX) or "pyro" (torch).
        precision: "float32" or "float64".
        params: parameters and network weights, such as the `params` of a fit; without them, their starting values.
        factors: what to do about `ppl.factor`, which a simulation cannot honour.

    Returns:
        A Dataset of all random sites and computed values, dims (draw, plates..., event...).

    Raises:
        ModelError: `draws` is not positive, or the program has a factor.
        NonFiniteError: a draw or parameter is NaN or infinite, or a computed value NaN; names the first site at fault.
        SupportError: a parameter that has to be positive is negative.
    """
    from .conversion import build_dataset, site_entries
    from .evaluation import compiled, refuse_factors, simulated

    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 1:
        raise ModelError("ppl.simulate needs a positive number of draws.", model=program.name, got=repr(draws))
    if factors != "ignore":
        refuse_factors(program, set(program.sites) | set(program.deterministics) | set(program.params), "a simulation")
    target = compiled(program, backend, precision, seed)
    given = {name: np.asarray(array) for name, array in (params or {}).items()}
    # Unknown names must not pass unseen, so they are checked here and not filtered.
    target.param_arrays(given)
    arrays = simulated(target, {}, given, int(draws), seed)
    ordered = {s.name: arrays[s.name] for s in program.statements if s.name in arrays}
    attrs = {"program": program.name, "seed": seed, "backend": backend, "precision": precision}
    return build_dataset(site_entries(program, ordered), {"draw": int(draws)}, attrs=attrs)
