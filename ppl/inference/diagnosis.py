"""Where a number that is not finite came from: the first site at fault, its parameters, and what fed it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import NonFiniteError
from ppl.program.printing import distribution_text

if TYPE_CHECKING:
    from .svi import SVIRun


def nonfinite_error(run: SVIRun, step: int) -> NonFiniteError:
    """The error for an SVI objective that is not finite at a step: it names the first site at fault.

    The same noise is drawn again from the state before that step, and every site's log density is looked at in order.
    """
    backend, model, guide = run.model.backend, run.model, run.guide
    params = {k: backend.array(v, "float", model.precision) for k, v in {**run.fixed, **_now(run)}.items()}
    outputs: dict[str, Any] = {}
    world = run.surrogate.plan.world
    for name, term in world.log_q.items():
        outputs[f"guide/{name}"] = term
        outputs[f"value/{name}"] = world.values[name]
    for name, term in world.density.terms.items():
        outputs[f"model/{name}"] = term
    for name, dist in world.density.dists.items():
        for parameter, value in dist.facts().items():
            outputs[f"parameter/{name}/{parameter}"] = value
    for name, dist in world.dists.items():
        for parameter, value in dist.facts().items():
            outputs[f"guide parameter/{name}/{parameter}"] = value
    emitter = model.emitter(programs=(model.program, guide.program), lead=False, batch=run.batch)
    emitted = emitter.emit("diagnose", outputs)
    function = model.load(emitted, guide.networks)
    data = guide.bind(emitted, model.program.data)
    rows = {k: backend.array(v[0], "int", model.precision) for k, v in run.rows(step, 1).items()}
    noise = backend.noise(backend.key(run.seed + step), run.surrogate.noise, model.precision)
    with backend.context(model.precision):
        result = {k: backend.to_numpy(v) for k, v in function(params, {}, data, noise, rows).items()}
    return _message(run, step, result)


def _now(run: SVIRun) -> dict[str, Any]:
    return {k: run.model.backend.to_numpy(v) for k, v in run.optimization.params().items()}


def _message(run: SVIRun, step: int, result: dict[str, np.ndarray]) -> NonFiniteError:
    program = run.model.program
    for key, array in result.items():
        kind, _, name = key.partition("/")
        if kind not in ("guide", "model") or np.isfinite(array).all():
            continue
        owner = run.guide.program if kind == "guide" else program
        statement = owner.by_name[name]
        prefix = "guide parameter" if kind == "guide" else "parameter"
        facts = {k.rpartition("/")[2]: v for k, v in result.items() if k.startswith(f"{prefix}/{name}/")}
        got = ", ".join(f"{k} = {_range(v)}" for k, v in facts.items()) or "no parameters"
        dist = getattr(statement, "dist", None)
        remedy = None if dist is None else dist.remedy(facts)
        parents = ", ".join(owner.parents(name)) or "none"
        return NonFiniteError(
            f"its log density is not finite at step {step} of the fit.",
            site=name,
            model=owner.name,
            declared_at=statement.location,
            expected=f"a finite density of {distribution_text(dist)}" if dist is not None else "a finite log weight",
            got=f"{got}; fed by {parents}",
            remedy="The state before this step is kept. "
            + (
                remedy
                or "Lower the learning rate, clip gradients (Adam(..., clip_norm=10)), or bound the parameters of this "
                "site."
            ),
        )
    return NonFiniteError(
        f"the objective is not finite at step {step} of the fit, though every site's log density is at fresh noise.",
        model=program.name,
        remedy="The gradient overflowed. Lower the learning rate or clip gradients: Adam(..., clip_norm=10).",
    )


def _range(array: np.ndarray) -> str:
    bad = int((~np.isfinite(array)).sum())
    if array.ndim == 0:
        return f"{float(array):.4g}"
    finite = array[np.isfinite(array)]
    span = f"{finite.min():.4g} to {finite.max():.4g}" if finite.size else "no finite number"
    return span + (f" with {bad} not finite" if bad else "")
