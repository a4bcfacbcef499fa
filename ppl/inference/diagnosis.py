"""Why the objective of a fit is not finite: the surrogate, looked at site by site."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.backend.diagnosis import SMOOTH, Findings, fault, findings, gradient_fault, outputs_of
from ppl.errors import NonFiniteError, PPLError
from ppl.program.values import Value

if TYPE_CHECKING:
    from .svi import SVIRun

# How many draws of fresh noise are looked at: the noise of the step itself is gone.
TRIES = 10
_KEPT = "The state before this step is kept: `params` and `posterior` of this error are those of the fit as it was."
_REMEDY = "Lower the learning rate, clip gradients (Adam(..., clip_norm=10)), or bound the parameters of this site."


def nonfinite_error(run: SVIRun, step: int) -> PPLError:
    """The error for an SVI objective that is not finite at a step: it names the first site at fault.

    Noise is drawn again at the state before that step, and every site's log density is looked at in order, then every
    site's gradient.
    """
    when = f"at step {step} of the fit"
    backend, model = run.model.backend, run.model
    world = run.surrogate.plan.world
    density = world.density
    outputs = outputs_of(world.log_q, world.dists, world.values, "guide/")
    outputs |= outputs_of(density.terms, density.dists, density.values, "model/")
    function, arguments = _function(run, step, outputs)
    params = run.params(averaged=False)
    seen: list[Findings] = []
    for attempt in range(TRIES):
        key = backend.key(run.seed + step + attempt * 1_000_003)
        arguments[3] = backend.noise(key, run.surrogate.noise, model.precision)
        with backend.context(model.precision):
            results = {k: backend.to_numpy(v) for k, v in function(*arguments).items()}
        seen = [
            findings(run.guide.program, results, params, drawn=True, prefix="guide/"),
            findings(model.program, results, params, parts=density.parts, prefix="model/"),
        ]
        for found in seen:
            error = fault(found, when, remedy=_REMEDY, before=_KEPT)
            if error is not None:
                return error
    for found, terms in zip(seen, (world.log_q, density.terms), strict=True):
        gradient = functools.partial(_gradient, run, step, terms, arguments[3])
        error = gradient_fault(found, gradient, when, SMOOTH, _KEPT)
        if error is not None:
            return error
    return NonFiniteError(
        f"the objective is not finite {when}, though every site's log density and gradient is at fresh noise.",
        model=model.program.name,
        remedy=f"{_KEPT} {_REMEDY}",
    )


def _function(run: SVIRun, step: int, outputs: dict[str, Any], **settings: Any) -> tuple[Any, list[Any]]:
    """A function of the fit's parameters, and what it is called with, noise aside."""
    backend, model, guide = run.model.backend, run.model, run.guide
    emitter = model.emitter(programs=(model.program, guide.program), lead=False, batch=run.batch)
    emitted = emitter.emit("diagnose", outputs, **settings)
    now = {k: backend.to_numpy(v) for k, v in run.optimization.params().items()}
    params = {k: backend.array(v, "float", model.precision) for k, v in {**run.fixed, **now}.items()}
    kinds = {"f": "float"}
    rows = {
        k: backend.array(v[0], kinds.get(v.dtype.kind, "int"), model.precision) for k, v in run.rows(step, 1).items()
    }
    data = guide.bind(emitted, model.program.data)
    return model.load(emitted, guide.networks), [params, {}, data, {}, rows]


def _gradient(run: SVIRun, step: int, terms: Mapping[str, Value], noise: Any, name: str) -> Mapping[str, np.ndarray]:
    """The gradient of one term by all parameters."""
    function, arguments = _function(run, step, {"term": terms[name]}, single=True)
    arguments[3] = noise
    backend = run.model.backend
    gradient = backend.gradient(lambda *given: function(*given).sum(), 0, run.model.precision)
    return {k: backend.to_numpy(v) for k, v in gradient(*arguments).items()}
