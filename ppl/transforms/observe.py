"""Conditioning: random sites become observed, after their data has been checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ppl.errors import (
    DataError,
    DtypeError,
    PPLError,
    ShapeError,
    SupportError,
    UnknownNameError,
    nearest,
    user_location,
)
from ppl.language.arrays import to_numpy
from ppl.program.printing import distribution_text, expression
from ppl.program.program import Program
from ppl.program.statements import Deterministic, PlateStatement, Sample, Statement

from .missing import FREE, forget, split, with_missing

# Discrete data given as real numbers is converted to integers up to this size, and used as it is beyond.
LARGEST_COPY = 1_000_000
# Numbers that one look at the data takes in.
BLOCK = 1_000_000


def observe(program: Program, data: Mapping[str, Any]) -> Program:
    """A program whose named sites are observed.

    Args:
        program: any program.
        data: an array for each site, shape (plates..., event...); masked elements and NaN are missing.

    Raises:
        UnknownNameError: there is no such site.
        DataError: infinite numbers, nothing but missing ones, missing ones that can be neither summed out nor imputed,
            or a site that cannot be observed.
        ShapeError: wrong shape.
        DtypeError: integers for a real site, or the reverse.
        SupportError: values outside the support.
    """
    parts = {name: split(item) for name, item in data.items()}
    program = forget(program, {n for n, s in program.sites.items() if n in data and s.missing is not None})
    arrays = {name: check_data(program, name, item, known) for name, (item, known) in parts.items()}
    inputs, more = list(program.inputs), dict[str, np.ndarray]()
    first: list[Statement] = []
    statements: list[Statement] = []
    plates = list(program.plates)
    for s in program.statements:
        if not isinstance(s, Sample) or s.name not in arrays:
            statements.append(s)
            continue
        known = parts[s.name][1]
        if known is None:
            statements.append(replace(s, observed=True))
            more[s.name] = arrays[s.name]
            continue
        new, own, values = with_missing(program, s, arrays[s.name], known, user_location())
        inputs += own
        more |= values
        for one in new:
            if isinstance(one, Sample) and one.name != s.name:
                # Missing elements depend on nothing, and what reads them may come before the site in a scan.
                first.append(one)
                plates.append(PlateStatement(one.plates[0], (), (), s.location))
            else:
                statements.append(one)
    kept = {k: v for k, v in program.data.items() if k not in arrays}
    return replace(
        program,
        inputs=tuple(inputs),
        plates=tuple(plates),
        statements=(*first, *statements),
        data={**kept, **more},
    )


def check_data(program: Program, name: str, item: Any, known: np.ndarray | None = None) -> np.ndarray:
    """The data of one site as an array, after every check that needs no random numbers.

    Args:
        program: the program.
        name: the site.
        item: its data.
        known: which numbers are known; in the result the others are copies of a known element.
    """
    statement = program.by_name.get(name)
    if not isinstance(statement, Sample):
        raise _not_observable(program, name)
    array = to_numpy(item, name)
    sizes = tuple(p.size for p in statement.plates)
    plate = ", ".join(f"{p.name} ({p.size} rows)" for p in statement.plates) or None
    facts: dict[str, Any] = {
        "site": name,
        "model": program.name,
        "declared_at": statement.location,
        "plate": plate,
    }
    if array.shape != sizes + statement.dist.event_shape:
        raise _shape_error(statement, array, facts)
    if known is not None:
        array = _filled_in(statement, array, known)
    kind = statement.dist.dtype
    if kind == "float" and array.dtype.kind in "iub":
        raise DtypeError(
            f"it is real, but its data has dtype {array.dtype}.",
            **facts,
            expected="real numbers",
            got=f"{array.dtype}",
            remedy=f"If the numbers are measurements, pass {name}.astype(float).",
        )
    count, at = failing(array, np.isfinite) if array.dtype.kind == "f" else (0, ())
    if count:
        raise DataError(
            f"its data holds {count} numbers that are infinite.",
            **facts,
            expected="finite numbers",
            got=f"{array[at]}, first at index {at}",
            remedy="Make them NaN if they are missing; otherwise leave these rows out.",
        )
    if kind != "float" and array.dtype.kind == "f":
        count, at = failing(array, lambda x: np.mod(x, 1) == 0)
        if count:
            raise DtypeError(
                "it is discrete, but its data holds fractions.",
                **facts,
                expected=f"values in {statement.dist.support}",
                got=f"{array[at]} at index {at}",
                remedy="Pass integers or booleans, or choose a continuous distribution.",
            )
        # A large array stays the user's own: model inputs and data that are one array are then held once.
        array = array.astype(np.int64) if array.size <= LARGEST_COPY else array
    check_support(statement, array, facts)
    return array


def _filled_in(statement: Sample, array: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Data whose missing elements are copies of the first known one, which lies in the support."""
    elements = len(statement.plates) + len(statement.dist.element_shape)
    core = tuple(range(elements, array.ndim))
    whole = known.all(axis=core) if core else known
    if whole.any():
        # What is known of an element stays; but numbers of two members of a support may make none.
        every = np.reshape(whole, (*whole.shape, *(1,) * len(core)))
        keep = np.asarray(known if statement.dist.support.kind in FREE else every)
        array = np.where(keep, array, array[tuple(np.argwhere(whole)[0])])
    elif known.any():
        # Of every element some number is missing; families of free numbers take any number in its place.
        array[~known] = array[tuple(np.argwhere(known)[0])]
    else:
        array[~known] = 0
    return array


def _not_observable(program: Program, name: str) -> PPLError:
    statement = program.by_name.get(name)
    inputs, plates = {i.name for i in program.inputs}, {p.name: p for p in program.plates}
    facts: dict[str, Any] = {"model": program.name, "expected": f"one of {list(program.sites)}"}
    if isinstance(statement, Deterministic):
        how = "it was set by `do`" if statement.intervened else "it is computed from other sites"
        return DataError(
            f"{how}, so it cannot be observed here.",
            site=name,
            declared_at=statement.location,
            got="a value that `do` fixed" if statement.intervened else "a deterministic value",
            remedy="Take it out of one of them: what is set needs no data." if statement.intervened else _NOISE,
            **facts,
        )
    what = type(statement).__name__.lower() if statement is not None else ""
    what = what or ("input" if name in inputs else "plate" if name in plates else "")
    if not what:
        return UnknownNameError(
            f"there is no random site {name!r} to observe.",
            declared_at=user_location(),
            got=repr(name),
            remedy=nearest(name, program.sites),
            **facts,
        )
    at = statement.location if statement is not None else plates[name].location if name in plates else user_location()
    remedy = "Inputs are given when the model is called, or by .bind." if what == "input" else _ONLY_SITES
    return DataError(
        f"{name!r} is a{'n' if what == 'input' else ''} {what}; only random sites can be observed.",
        site=name,
        declared_at=at,
        got=f"a{'n' if what == 'input' else ''} {what}",
        remedy=remedy,
        **facts,
    )


_NOISE = "Make it a random site with measurement noise, or use .do to set it."
_ONLY_SITES = "Data belongs to what ppl.sample declares."


def _shape_error(statement: Sample, array: np.ndarray, facts: Mapping[str, Any]) -> ShapeError:
    name, event = statement.name, statement.dist.event_shape
    sizes = tuple(p.size for p in statement.plates)
    if array.shape[: len(sizes)] != sizes:
        axes = ", ".join(str(p) for p in statement.plates)
        return ShapeError(
            f"the data has shape {array.shape}, which does not fit its plates and event.",
            **facts,
            expected=f"shape {sizes + event}: {axes}, then event shape {event}",
            got=f"shape {array.shape}, from data {name!r}",
            remedy="Plates come first, outermost in front, then the event. For other rows call the model with them.",
        )
    got, each = array.shape[len(sizes) :], " per row" if sizes else ""
    # The parameters that made the event shape what it is.
    makers = [v for v in statement.dist.params.values() if v.op != "const" and v.shape[: len(event)] == event and event]
    source = f"`{expression(makers[0])}`" if len(makers) == 1 else distribution_text(statement.dist)
    remedy = "Reshape the data, or change the distribution's parameters."
    if len(makers) == 1 and makers[0].op == "network" and len(event) == len(got) == 1:
        remedy = f"Give the {makers[0].attr('name')} {got[0]} outputs, or reshape the data."
    return ShapeError(
        f"the distribution has event shape {event}, the data has {got}.",
        **facts,
        expected=f"{event}{each}, from {source}",
        got=f"{got}{each}, from data {name!r} of shape {array.shape}",
        remedy=remedy,
    )


def failing(
    array: np.ndarray, test: Callable[[np.ndarray], np.ndarray | None], rows: bool = True
) -> tuple[int, tuple[int, ...]]:
    """How many elements fail a test, and the index of the first.

    The test sees blocks of rows: what it computes on the way would otherwise be larger than the data themselves.

    Args:
        array: what to test.
        test: which elements pass, in front of the axes that it takes together; None where it cannot tell.
        rows: whether the first axis may be cut.
    """
    step = max(1, BLOCK * len(array) // max(array.size, 1)) if rows and array.ndim else 0
    count, first = 0, ()
    for start in range(0, len(array), step) if step else (0,):
        passed = test(array[start : start + step] if step else array)
        if passed is None or np.all(passed):
            continue
        bad = np.argwhere(~np.asarray(passed))
        if not count:
            at = [int(i) for i in bad[0]]
            first = (at[0] + start, *at[1:]) if at else ()
        count += len(bad)
    return count, first


def check_support(statement: Sample, array: np.ndarray, facts: dict[str, Any]) -> None:
    """Data must lie where the density is positive; supports with symbolic bounds are checked when running."""
    support = statement.dist.support
    # Rows can be looked at block by block; a site without plates has none.
    count, at = failing(array, support.contains, rows=bool(statement.plates))
    if not count:
        return
    size = array.size // math.prod(array.shape[array.ndim - support.rank :])
    raise SupportError(
        f"{count} of its {size} data values lie outside the support.",
        **facts,
        expected=f"values in {support}, from {distribution_text(statement.dist)}",
        got=f"{np.array2string(array[at], threshold=6)} at index {at}",
        remedy="Rescale the data, or choose a distribution whose support holds it.",
    )
