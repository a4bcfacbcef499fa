"""Scans: steps that follow one another, each handed what the one before returned."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ppl.errors import DtypeError, Location, ModelError, ShapeError, user_location
from ppl.program.ops import in_scope
from ppl.program.statements import Carry, PlateStatement
from ppl.program.values import OPEN_PLATES, Value, lift

from .plates import mapped_rows, rebuilt
from .trace import Trace, current
from .trees import leaves, rebuild, structure


def scan(
    name: str,
    step: Callable[[Any, Any], Any],
    init: Any = None,
    xs: Any = None,
    *,
    length: int | None = None,
    reverse: bool = False,
) -> Any:
    """Declare a sequence: `step` describes one transition, and is traced once.

    Args:
        name: name of the axis of steps; it becomes a dimension of the posterior, in front of the event axes.
        step: a function of (carry, x) that declares one step and returns the next carry; x is one element of `xs`, or
            the number of the step where there are no `xs`.
        init: the carry before the first step: a number, a value, or a tree of them (tuples, lists, dicts, named tuples,
            dataclasses); None for steps that hand on nothing.
        xs: what to map over its leading axis: an array or value, or a tuple or dict of them.
        length: number of steps, for a scan without `xs`.
        reverse: run from the last step to the first.

    Returns:
        The carry after each step, in the structure of `init`, with the axis of steps in front: `[-1]` is the last.

    Raises:
        PlateError: length 0, `xs` of different lengths, or a name used before with another length.
        ShapeError: the step returns a carry of another structure or shape than `init`.
        DtypeError: the step returns a carry of another kind of number than `init`.
        ModelError: `step` does not take two arguments.

    What a step samples is indexed by the step, as by a plate. Where the carry consists of sampled sites and inputs, the
    density is evaluated for all steps at once; otherwise it is computed step by step (`jax.lax.scan`; a loop in torch).
    """
    trace = current(f"ppl.scan({name!r})")
    trace.harvest()
    at = user_location()
    rows = mapped_rows(trace, "scan", name, xs, length)
    first_name, second_name = _parameters(step, name, trace, at)
    starts = [(path, in_scope(lift(leaf))) for path, leaf in leaves(init)]
    trace.open_plate(PlateStatement(rows.plate, trace.open, rows.values, at, ordered=True))
    token = OPEN_PLATES.set((*trace.open, rows.plate))
    try:
        carries: list[Carry] = []
        for path, start in starts:
            carry_name = _carry_name(trace, ".".join((name, first_name, *path)))
            hint = path[-1] if path and not path[-1].isdigit() else "_".join((first_name, *path))
            # What follows is known once the step has been traced; till then the start stands in its place.
            carry = Carry(carry_name, trace.open, at, start, start, reverse, hint)
            trace.declare(carry)
            carries.append(carry)
        handed = [c.value for c in carries]
        for value, carry in zip(handed, carries, strict=True):
            value.hint.append(carry.hint)
        elements = rows.elements()
        if second_name and (xs is None or isinstance(xs, Value) or len(elements) == 1 == len(list(leaves(xs)))):
            elements[0].hint.append(second_name)
        given = rebuild(init, iter(handed))
        result = step(given, rebuilt(xs, iter(elements)) if rows.values else elements[0])
        trace.harvest()
        names = [e.hint[0] for e in elements if e.hint]
        if len(names) == len(elements):
            trace.note_alias(name, names[0] if len(names) == 1 else f"({', '.join(names)})")
        followers = _followers(trace, init, result, carries, at)
        for carry, follower in zip(carries, followers, strict=True):
            trace.finish(replace(carry, following=follower))
    finally:
        OPEN_PLATES.reset(token)
    return rebuild(init, iter([in_scope(f) for f in followers]))


def _parameters(step: Any, name: str, trace: Trace, at: Location | None) -> tuple[str, str]:
    """What the user calls the carry, and what the element: the arguments of the step; "" where that is a blank."""
    try:
        arguments = list(inspect.signature(step).parameters.values())
    except (TypeError, ValueError):
        arguments = []
    positional = [p for p in arguments if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    starred = any(p.kind == p.VAR_POSITIONAL for p in arguments)
    needed = [p for p in positional if p.default is p.empty]
    if not callable(step) or len(needed) > 2 or (len(positional) < 2 and not starred):
        raise ModelError(
            f"the step of scan {name!r} is a function of two arguments: the carry, and the element or the number of "
            "the step.",
            model=trace.model,
            declared_at=at,
            expected="def step(carry, x): ...; return the next carry",
            got=f"{getattr(step, '__name__', step)}({', '.join(p.name for p in arguments)})"
            if callable(step)
            else repr(step),
            remedy="Take both, even if one is not used; values from outside the step need not be passed in.",
        )
    first, second = (positional[i].name.strip("_") if len(positional) > i else "" for i in (0, 1))
    return first or "carry", second


def _carry_name(trace: Trace, stem: str) -> str:
    name, count = stem, 2
    while name in trace.statements:
        name, count = f"{stem}_{count}", count + 1
    return name


def _followers(trace: Trace, init: Any, result: Any, carries: list[Carry], at: Location | None) -> list[Value]:
    facts: dict[str, Any] = {"model": trace.model, "declared_at": at, "plate": str(trace.open[-1])}
    if structure(init) != structure(result):
        raise ShapeError(
            "the step returns a carry of another structure than it was given.",
            **facts,
            expected=f"{structure(init)}, as `init`",
            got=structure(result),
            remedy="Return the next carry, in the form in which the step receives it."
            if result is not None
            else "The step must return the next carry: end it with `return ...`.",
        )
    out: list[Value] = []
    returned = dict(leaves(result))
    for carry, (path, _) in zip(carries, leaves(init), strict=True):
        value = in_scope(lift(returned[path]))
        if value.shape != carry.init.shape:
            raise ShapeError(
                f"the carry {carry.hint!r} changes its shape from one step to the next.",
                **facts,
                expected=f"event shape {carry.init.shape}, that of `init`",
                got=f"event shape {value.shape}, from {value!r}",
                remedy=f"Start it from an array of shape {value.shape}: ops.zeros({value.shape}), for example.",
            )
        if value.dtype != carry.init.dtype:
            raise DtypeError(
                f"the carry {carry.hint!r} changes from {carry.init.dtype} to {value.dtype}.",
                **facts,
                expected=f"{carry.init.dtype}, as `init`",
                got=f"{value.dtype}, from {value!r}",
                remedy="Write the start as 0.0 instead of 0."
                if (carry.init.dtype, value.dtype) == ("int", "float")
                else "Give the start the kind of number that the step returns.",
            )
        out.append(value)
    return out
