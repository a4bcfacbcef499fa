"""Where algorithms start: values that the user names, brought to unconstrained space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.errors import ScopeError, ShapeError, SupportError, UnknownNameError, nearest
from ppl.transforms.unconstrain import unconstrain_sites


def unconstrained_values(model: Compiled, values: Mapping[str, Any] | None) -> dict[str, np.ndarray]:
    """Unconstrained values of some latent sites.

    Args:
        model: the model.
        values: values by site, each in its own space, shape (plates..., event...).

    Raises:
        UnknownNameError: no such latent site.
        ShapeError: a value has another shape.
        SupportError: a value lies outside the support, or at its edge.
        ScopeError: the support depends on a site whose value is not given.
    """
    if not values:
        return {}
    program, backend = model.program, model.backend
    arrays = {}
    for name, item in values.items():
        site = program.latents.get(name)
        if site is None:
            raise UnknownNameError(
                f"there is no latent site {name!r} to start.", model=program.name, remedy=nearest(name, program.latents)
            )
        array = np.asarray(item, dtype=float)
        wanted = model.sizes(name)
        if array.shape != wanted and array.shape != ():
            raise ShapeError(
                "its starting value has the wrong shape.",
                site=name,
                model=program.name,
                expected=str(wanted),
                got=str(array.shape),
            )
        arrays[name] = backend.array(np.broadcast_to(array, wanted), "float", model.precision)
    inverses = unconstrain_sites(program).inverses
    emitted = model.emitter(lead=False).emit("unconstrain", {n: inverses[n] for n in arrays})
    needed = {a.name for a in emitted.arguments if a.group == "values"} - set(arrays)
    if needed:
        raise ScopeError(
            f"its support depends on {min(needed)!r}, so that site needs a starting value too.",
            site=min(arrays),
            model=program.name,
        )
    function = backend.jit(model.load(emitted), model.precision)
    result = function(model.param_arrays(), arrays, model.bind(emitted), {})
    out = {n: backend.to_numpy(v) for n, v in result.items()}
    for name, array in out.items():
        if not np.isfinite(array).all():
            raise SupportError(
                "its starting value lies outside its support, or at the edge of it.",
                site=name,
                model=program.name,
                expected=f"values inside {program.sites[name].dist.support}",
                got=np.array2string(np.asarray(values[name]), threshold=6),
            )
    return out
