"""A fit on the other backend, and its networks as modules of their own library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import ModelError, UnknownNameError, UnsupportedByBackend, nearest
from ppl.program.program import Program

from .evaluation import compiled, own_params

if TYPE_CHECKING:
    from .posterior import Posterior


def to_backend(fit: Posterior, backend: str) -> Posterior:
    """See `Posterior.to_backend`."""
    targets = [compiled(program, backend, fit.precision, fit.seed) for program in _programs(fit)]
    for target in targets:
        for network in target.program.networks.values():
            if network.spec.foreign is not None:
                _same_weights(fit, network.name, target.params, backend)
    # Emitting the density now means that what this backend lacks is refused here, not at the first use.
    versions = targets[0].backend.versions() if targets[0].density else {}
    return fit.replace(backend=backend, versions={**fit.versions, **versions})


def _programs(fit: Posterior) -> list[Program]:
    return [fit.program] + ([fit.guide] if fit.guide is not None else [])


def _same_weights(fit: Posterior, name: str, params: dict[str, np.ndarray], backend: str) -> None:
    """A user's own module moves only if both of its versions name and shape their weights alike."""
    here = {n: a.shape for n, a in fit.params.items() if n.startswith(f"{name}.")}
    there = {n: a.shape for n, a in params.items() if n.startswith(f"{name}.")}
    if here == there:
        return
    odd = min(n for n in here.keys() | there.keys() if here.get(n) != there.get(n))
    raise UnsupportedByBackend(
        backend,
        f"moving the weights of your own network {name!r}",
        f"{odd!r} has shape {here.get(odd, 'none')} in the fit and {there.get(odd, 'none')} there",
        "Give the torch and the jax module weights of equal names and shapes, or build it from ppl.nn.",
    )


def network(fit: Posterior, name: str) -> Any:
    """See `Posterior.network`."""
    for program in _programs(fit):
        statement = program.networks.get(name)
        if statement is None:
            continue
        if statement.random:
            raise ModelError(
                f"the weights of network {name!r} are random sites: there is one network for each draw.",
                model=program.name,
                declared_at=statement.location,
                remedy=f"Read its weights from the draws: posterior[{next(iter(statement.spec.weights))!r}].",
            )
        target = fit.compiled if program is fit.program else compiled(program, fit.backend, fit.precision, fit.seed)
        params = {**target.params, **own_params(target, fit.params)}
        return target.backend.module(program, name, target.source, fit.precision, params)
    known = [n for program in _programs(fit) for n in program.networks]
    raise UnknownNameError(f"there is no network {name!r}.", model=fit.program.name, remedy=nearest(name, known))
