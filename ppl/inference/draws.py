"""From a fitted guide or sampler to a posterior: draws of all sites, and the densities that diagnostics need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.backend.diagnosis import is_fault
from ppl.backend.protocol import Key
from ppl.posterior.guide_draws import guide_fault
from ppl.posterior.posterior import Posterior
from ppl.program.ops import apply, plate_sum
from ppl.program.values import Value
from ppl.transforms.density import log_density, simulator, total_of
from ppl.transforms.exact import exact_sites

from .exact import computed_late, draw_exact
from .marginal import Marginalized

# Draws are made and scored in pieces of at most this many numbers of local latents and data.
PIECE = 4_000_000


def guide_draws(
    model: Compiled,
    guide: Compiled,
    params: Mapping[str, np.ndarray],
    key: Key,
    count: int,
    seed: int,
    averaged: Marginalized | None = None,
) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Draw from a guide.

    Args:
        model: the model.
        guide: the guide.
        params: parameters of both, in their own space.
        key: random state.
        count: number of draws.
        seed: for the sites that are summed out.
        averaged: the guide's auxiliary sites that are averaged out; then log q is that of all its sites less that of
            the auxiliary ones under the proposal, so that weights are still those of importance sampling.

    Returns:
        Draws of all latent and deterministic sites, shape (count, plates..., event...); log p(values, data), in which
        the sites without a guide are summed out, and log q(values), in nats, shape (count,).

    Raises:
        NonFiniteError: log q is not finite, or log p is NaN or plus infinity; names the first site at fault.
    """
    backend = model.backend
    drawn = guide.program if averaged is None else averaged.guide
    programs = (model.program, drawn)
    draws = simulator(drawn, lead=True, densities=True)
    exact = exact_sites(model.program, drawn.sites)
    latents = {name: draws.values[name] for name in model.program.latents if name not in exact}
    density = log_density(model.program, latents, checked=False, exact=exact)
    late = computed_late(model.program, exact)
    outputs: dict[str, Value] = {}
    for name in latents:
        outputs[f"value/{name}"] = model.filled(name, draws.values[name])
    for name in model.program.deterministics:
        if name not in late:
            outputs[f"value/{name}"] = model.filled(name, density.values[name])
    outputs["log_p"] = density.total()
    outputs["log_q"] = total_of([plate_sum(t, drawn.by_name[n].plates) for n, t in draws.log_probs.items()])
    if averaged is not None:
        reverse = averaged.reverse(draws.values, {}).items()
        less = total_of([plate_sum(t, drawn.by_name[n].plates) for n, t in reverse])
        outputs["log_q"] = apply("subtract", outputs["log_q"], less)
    emitted = model.emitter(programs=programs).emit("draw", outputs)
    function = backend.jit(model.load(emitted, guide.networks), model.precision, ("lead",))
    data = guide.bind(emitted, model.program.data)
    arrays = {k: backend.array(v, "float", model.precision) for k, v in params.items()}
    width = sum(int(np.prod(model.sizes(n))) for n in (*model.program.sites, *model.program.deterministics))
    piece = max(1, min(count, PIECE // max(width, 1)))
    pieces: list[dict[str, np.ndarray]] = []
    keys = backend.split(key, -(-count // piece))
    for start, own in zip(range(0, count, piece), keys, strict=True):
        # Pieces have one size, so that the function is compiled once; the last one is cut.
        shapes, again = model.noise_shapes(draws.noise, (piece,), {}), backend.copy(own)
        noise = backend.noise(own, shapes, model.precision)
        result = function(arrays, {}, data, noise, lead=(piece,))
        if is_fault(backend.to_numpy(result["log_q"]), False) or is_fault(backend.to_numpy(result["log_p"]), True):
            noise = backend.noise(again, shapes, model.precision)
            raise guide_fault(model, guide, draws, density, arrays, noise, piece)
        take = min(piece, count - start)
        pieces.append({k: _rows(backend.to_numpy(v), piece, k, model)[:take] for k, v in result.items()})
    joined = {k: np.concatenate([p[k] for p in pieces]) for k in pieces[0]}
    values = {k[6:]: v for k, v in joined.items() if k.startswith("value/")}
    values |= draw_exact(model, {n: values[n] for n in latents}, count, params, seed)
    return values, joined["log_p"], joined["log_q"]


def _rows(array: np.ndarray, count: int, name: str, model: Compiled) -> np.ndarray:
    """A result that depends on no draw has no leading axis yet; give it one."""
    rank = len(model.sizes(name[6:])) if name.startswith("value/") else 0
    return array if array.ndim > rank else np.broadcast_to(array, (count, *array.shape))


def guide_posterior(
    method: Any,
    model: Compiled,
    guide: Compiled,
    params: Mapping[str, np.ndarray],
    key: Key,
    seed: int,
    count: int,
    diagnostics: Mapping[str, Any],
    averaged: Marginalized | None = None,
) -> Posterior:
    """The posterior of a fitted guide; drawn when it is first looked at if the draws are large."""
    values, log_p, log_q = guide_draws(model, guide, params, key, count, seed, averaged)
    return Posterior(
        program=model.program,
        method=method,
        backend=model.backend.name,
        precision=model.precision,
        seed=seed,
        draws={k: v[None] for k, v in values.items()},
        params=dict(params),
        log_p=log_p[None],
        log_q=log_q[None],
        diagnostics=dict(diagnostics),
        guide=guide.program if averaged is None else averaged.guide,
        versions=model.backend.versions(),
    )
