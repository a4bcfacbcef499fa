"""Intervention: a site is cut from its parents and set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ppl.errors import DataError, DtypeError, ModelError, ShapeError, SupportError, user_location
from ppl.language.arrays import to_numpy
from ppl.program.ops import element
from ppl.program.program import Program
from ppl.program.statements import Carry, Deterministic, Factor, Input, Param, Sample
from ppl.program.values import Value, constant, dtype_kind

from .missing import forget


def do(program: Program, values: Mapping[str, Any]) -> Program:
    """A program whose named sites, random or computed, are set to values.

    Args:
        program: any program.
        values: a number, an array of the event shape, or one of shape (plates..., event...).

    Raises:
        UnknownNameError: there is no such site.
        ModelError: it is a parameter, network or factor, or an observed site lies downstream (two readings).
        ShapeError: the value fits neither one element nor all of them.
    """
    # What stands in for missing data of a site goes with the data.
    program = forget(program, {n for n, s in program.sites.items() if n in values and s.missing is not None})
    inputs, data = list(program.inputs), dict(program.data)
    replaced: dict[str, Deterministic] = {}
    for name, item in values.items():
        settable = [*program.sites, *program.deterministics]
        if name in {i.name for i in program.inputs}:
            raise ModelError(
                f"{name!r} is an input; only sites can be intervened on.",
                site=name,
                model=program.name,
                declared_at=user_location(),
                expected=f"one of {settable}",
                got="an input",
                remedy="Inputs are given when the model is called, or by .bind.",
            )
        statement = program.statement(name)
        if not isinstance(statement, (Sample, Deterministic)):
            kinds: dict[type, str] = {Param: "a parameter", Factor: "a factor", Carry: "what a scan carries"}
            what = kinds.get(type(statement), "a network")
            raise ModelError(
                f"{name!r} is {what}; only sites can be intervened on.",
                site=name,
                model=program.name,
                declared_at=statement.location,
                expected=f"one of {settable}",
                got=what,
                remedy="Set what ppl.sample or ppl.deterministic declares.",
            )
        _refuse_ambiguous(program, name)
        expression = _expression(program, statement, item, inputs, data)
        replaced[name] = Deterministic(name, statement.plates, statement.location, expression, True, statement.names)
    statements = tuple(replaced.get(s.name, s) for s in program.statements)
    for name in replaced:
        if isinstance(program.by_name[name], Sample) and program.by_name[name].observed:  # type: ignore[attr-defined]
            data.pop(name, None)
    return replace(program, inputs=tuple(inputs), statements=statements, data=data)


def _refuse_ambiguous(program: Program, name: str) -> None:
    # A site of a scan may depend on itself, one step before: with its data gone that is no conflict.
    downstream = sorted(program.descendants(name) & set(program.observed) - {name})
    if downstream:
        raise ModelError(
            f"`do({name}=...)` after observing {downstream[0]!r}, which depends on it, has two readings.",
            site=name,
            model=program.name,
            declared_at=program.by_name[name].location,
            expected="no observed site downstream",
            got=f"{downstream}",
            remedy=(
                f"Data recorded under the intervention: program.do({name}=...).observe({downstream[0]}=...). "
                "What would have happened to these very units is a counterfactual, which this version does not have."
            ),
        )


def _expression(
    program: Program, statement: Sample | Deterministic, item: Any, inputs: list[Input], data: dict[str, np.ndarray]
) -> Value:
    target = statement.value
    array = to_numpy(item, statement.name)
    sizes = tuple(p.size for p in statement.plates)
    facts: dict[str, Any] = {"site": statement.name, "model": program.name, "declared_at": statement.location}
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise DataError(
            "the value to set is not finite.",
            **facts,
            expected="finite numbers",
            got=np.array2string(array, threshold=6),
            remedy="Set it to a number, at every element. To leave some as they are, sample them under another name "
            f"and declare ppl.deterministic({statement.name!r}, ops.where(chosen, value, sampled)).",
        )
    if target.dtype == "float":
        array = array.astype(float)
    elif array.dtype.kind == "f":
        if not np.all(np.mod(array, 1) == 0):
            raise DtypeError(
                "it is discrete and cannot be set to a fraction.",
                **facts,
                expected="whole numbers",
                got=np.array2string(array, threshold=6),
                remedy="Set it to integers or booleans.",
            )
        array = array.astype(np.int64)
    if array.dtype.kind == "b" and target.dtype == "int":
        array = array.astype(np.int64)
    if isinstance(statement, Sample):
        inside = statement.dist.support.contains(array)
        if inside is not None and not np.all(inside):
            raise SupportError(
                "the value to set lies outside the support.",
                **facts,
                expected=f"values in {statement.dist.support}",
                got=np.array2string(array, threshold=6),
                remedy="Set it to a value that the site could take.",
            )
    if array.shape == () or array.shape == target.shape:
        return constant(np.broadcast_to(array, target.shape) if target.shape else array)
    if array.shape != sizes + target.shape:
        raise ShapeError(
            "the value to set fits neither one element nor all of them.",
            **facts,
            expected=" or ".join(f"shape {x}" for x in dict.fromkeys([(), target.shape, sizes + target.shape])),
            got=f"shape {array.shape}",
            remedy="One value for all elements has the event shape; one for each has the plates in front.",
        )
    source = Input(f"do.{statement.name}", array.shape, dtype_kind(array.dtype))
    inputs.append(source)
    data[source.name] = array
    value = source.value
    for plate in statement.plates:
        value = element(value, plate)
    return value
