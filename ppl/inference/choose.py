"""The chooser: which method `ppl.infer` takes when none is named, and why."""

from __future__ import annotations

from typing import Any

import numpy as np

from ppl.errors import StrategyError
from ppl.program.program import Program
from ppl.transforms.exact import exact_sites

from .guide import AutoDelta, AutoNormal
from .importance import ImportanceSampling
from .mcmc import NUTS
from .optimizers import Adam
from .svi import SVI

# Above this many latent numbers, or this many numbers of data, four chains of NUTS are no quick answer any more.
MANY_LATENTS = 2_000
MUCH_DATA = 200_000


def choose(program: Program) -> tuple[Any, str]:
    """A method for a program, and the reason in words.

    Raises:
        StrategyError: no method of this version treats the program.
    """
    if not program.latents and not program.params and not program.networks:
        raise StrategyError("nothing is unknown: no latent site, parameter or network.", model=program.name)
    exact = exact_sites(program)
    if exact and len(exact) == len(program.latents) and not program.params and not program.networks:
        return ImportanceSampling(), "all latent sites take few values, and are summed out exactly"
    discrete = [s for n, s in program.latents.items() if s.dist.dtype != "float" and n not in exact]
    if discrete:
        if len(discrete) == len(program.latents) and _size(program) <= 20:
            return ImportanceSampling(), f"site {discrete[0].name!r} is discrete and there are few latent numbers"
        raise StrategyError(
            "it is discrete among other latents and takes too many values to be summed out.",
            site=discrete[0].name,
            model=program.name,
            declared_at=discrete[0].location,
            remedy="Sum over a finite range by hand: ops.logsumexp over its values in a factor.",
        )
    trained = program.trained
    if trained and len(exact) == len(program.latents):
        why = "all latent sites are summed out exactly" if exact else "no site is latent"
        return SVI(guide=AutoDelta(), optimizer=Adam(1e-2)), f"{why}: parameters of maximum likelihood"
    if trained:
        return SVI(guide=AutoNormal(), optimizer=Adam(1e-2)), f"{trained[0]!r} is optimised, which rules NUTS out"
    latents, data = _size(program), sum(int(np.size(program.data[n])) for n in program.observed)
    if latents > MANY_LATENTS or data > MUCH_DATA:
        return SVI(guide=AutoNormal(), optimizer=Adam(1e-2)), f"{latents} latent numbers and {data} numbers of data"
    summed = f"{', '.join(map(repr, exact))} summed out exactly, all other" if exact else "all"
    return NUTS(), f"{summed} latents are continuous, and there are only {latents} of them"


def _size(program: Program) -> int:
    return sum(
        int(np.prod([p.size for p in s.plates])) * int(np.prod(s.dist.event_shape)) for s in program.latents.values()
    )
