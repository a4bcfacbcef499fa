"""What a simulation keeps an eye on: one number beside the draws says whether they and their parameters are finite."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import NonFiniteError, SupportError
from ppl.program.ops import apply, plate_sum
from ppl.program.program import Program
from ppl.program.statements import Sample
from ppl.program.values import Frozen, Value
from ppl.transforms.density import Simulator, log_density

from .diagnosis import facts_of, fault, findings, is_positive, outputs_of, supports_of

if TYPE_CHECKING:
    from .compiled import Compiled

# Name of the output; no statement is called so, since names of statements are not empty.
TROUBLE = ""
_REMEDY = (
    'Check what its parameters are computed from. What overflows in float32 may not in precision="float64"; a prior '
    "with lighter tails does not either."
)


def trouble(program: Program, draws: Simulator, drawn: Iterable[str]) -> Value | None:
    """How many numbers are at fault in each draw, as `diagnosis` has it; None if nothing can be.

    A parameter counts too: from NaN the libraries draw zeros and ones, and torch gamma variables.
    """
    bad: list[Value] = []
    for name in drawn:
        value = draws.values[name]
        if not isinstance(program.by_name[name], Sample):
            bad += [apply("isnan", value)] if value.dtype == "float" else []
            continue
        bad += [apply("logical_not", apply("isfinite", value))] if value.dtype == "float" else []
        dist = draws.dists.get(name)
        supports = {} if dist is None else supports_of(dist)
        for fact, parameter in {} if dist is None else facts_of(dist).items():
            positive = is_positive(supports.get(fact))
            if parameter.dtype != "float" or (parameter.op == "const" and _is_fine(parameter, positive)):
                continue
            if positive:
                bad += [apply("logical_not", apply("isfinite", parameter)), apply("less", parameter, 0.0)]
            else:
                bad.append(apply("isnan", parameter))
    counts = [_count(b) for b in bad]
    return functools.reduce(lambda a, b: apply("add", a, b), counts) if counts else None


def _is_fine(parameter: Value, positive: bool) -> bool:
    """Whether a constant needs no watching; one that came with `do` may be anything."""
    item = parameter.attr("value")
    numbers = np.asarray(item.array if isinstance(item, Frozen) else item)
    return bool((np.isfinite(numbers) & (numbers >= 0)).all() if positive else not np.isnan(numbers).any())


def _count(bad: Value) -> Value:
    number = apply("where", bad, 1.0, 0.0)
    if number.ndim:
        number = apply("sum", number, axis=tuple(range(-number.ndim, 0)))
    return plate_sum(number, number.plates)


def drawing_fault(
    compiled: Compiled,
    given: Mapping[str, Any],
    drawn: Mapping[str, Any],
    params: Mapping[str, Any] | None,
    data: Mapping[str, Any] | None,
) -> NonFiniteError | SupportError:
    """The error for draws that are not finite: it names the first site at fault.

    Args:
        compiled: the program.
        given: values that sites were given.
        drawn: draws of the other sites, and computed values.
        params: parameters that differ from the starting values.
        data: inputs that differ from the bound ones.
    """
    program, backend = compiled.program, compiled.backend
    density = log_density(program, checked=False)
    values = {**given, **{n: a for n, a in drawn.items() if n in program.sites}}
    emitter = compiled.emitter(from_data=frozenset(program.observed) - values.keys())
    emitted = emitter.emit("diagnose", outputs_of({}, density.dists, {}))
    function = backend.jit(compiled.load(emitted), compiled.precision)
    given_params = compiled.param_arrays(params)
    results = function(given_params, values, compiled.bind(emitted, data), {})
    arrays = {n: backend.to_numpy(a) for n, a in {**values, **drawn}.items()}
    own = {n: backend.to_numpy(a) for n, a in given_params.items()}
    found = findings(program, {k: backend.to_numpy(v) for k, v in results.items()}, own, drawn=True)
    sites = frozenset(n for n in found.drawn if n in drawn)
    found = replace(found, values={**found.values, **arrays}, drawn=sites)
    error = fault(found, "in a simulation", remedy=_REMEDY)
    return error or NonFiniteError(
        "a number is not finite in a simulation.", model=program.name, declared_at=None, remedy=_REMEDY
    )


def density_fault(
    compiled: Compiled, values: Mapping[str, Any], params: Mapping[str, Any] | None, when: str
) -> NonFiniteError | SupportError:
    """The error for log densities that are NaN or infinite at some values: it names the first site at fault.

    Args:
        compiled: the program.
        values: each latent site, leading axes in front.
        params: parameters that differ from the starting values.
        when: which values these are: "at the draws of the posterior".
    """
    program, backend = compiled.program, compiled.backend
    density = log_density(program)
    emitter = compiled.emitter(from_data=frozenset(program.observed) - values.keys())
    emitted = emitter.emit("diagnose", outputs_of(density.terms, density.dists, density.values))
    function = backend.jit(compiled.load(emitted), compiled.precision)
    given = compiled.param_arrays(params)
    results = function(given, compiled.value_arrays(values), compiled.bind(emitted), {})
    arrays = {k: backend.to_numpy(v) for k, v in results.items()}
    found = findings(program, arrays, {n: backend.to_numpy(a) for n, a in given.items()}, parts=density.parts)
    error = fault(found, when, impossible=True)
    return error or NonFiniteError(f"a log density is not finite {when}.", model=program.name)


def is_troubled(count: np.ndarray) -> bool:
    """Whether `trouble` has found any."""
    return bool(np.any(count > 0))
