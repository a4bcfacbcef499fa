"""Conditioning: random sites become observed, after their data has been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ppl.errors import DataError, DtypeError, ShapeError, SupportError, UnknownNameError, nearest
from ppl.language.arrays import to_numpy
from ppl.program.printing import distribution_text
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Sample

# Discrete data given as real numbers is converted to integers up to this size, and used as it is beyond.
LARGEST_COPY = 1_000_000


def observe(program: Program, data: Mapping[str, Any]) -> Program:
    """A program whose named sites are observed.

    Args:
        program: any program.
        data: an array for each site, shape (plates..., event...).

    Raises:
        UnknownNameError: there is no such site.
        DataError: NaN, or a site that cannot be observed.
        ShapeError: wrong shape.
        DtypeError: integers for a real site, or the reverse.
        SupportError: values outside the support.
    """
    arrays = {name: check_data(program, name, item) for name, item in data.items()}
    statements = tuple(
        replace(s, observed=True) if isinstance(s, Sample) and s.name in arrays else s for s in program.statements
    )
    return replace(program, statements=statements, data={**program.data, **arrays})


def check_data(program: Program, name: str, item: Any) -> np.ndarray:
    """The data of one site as an array, after every check that needs no random numbers."""
    statement = program.by_name.get(name)
    if isinstance(statement, Deterministic):
        raise DataError(
            "it is computed from other sites, so it cannot be observed here.",
            site=name,
            model=program.name,
            declared_at=statement.location,
            remedy="Make it a random site with measurement noise, or use .do to set it.",
        )
    if not isinstance(statement, Sample):
        raise UnknownNameError(
            f"there is no random site {name!r} to observe.", model=program.name, remedy=nearest(name, program.sites)
        )
    array = to_numpy(item, name)
    facts: dict[str, Any] = {"site": name, "model": program.name, "declared_at": statement.location}
    sizes = tuple(p.size for p in statement.plates)
    event = statement.dist.event_shape
    plate = ", ".join(f"{p.name} ({p.size} rows)" for p in statement.plates) or None
    if array.shape != sizes + event:
        got_event = array.shape[len(sizes) :] if array.shape[: len(sizes)] == sizes else None
        where = f"event shape {event}" if not sizes else f"event shape {event} in each row"
        raise ShapeError(
            f"the distribution has {where}, the data has "
            + (f"{got_event}." if got_event is not None else f"shape {array.shape}."),
            **facts,
            plate=plate,
            expected=f"shape {sizes + event}, from {distribution_text(statement.dist)}",
            got=f"shape {array.shape}, from data {name!r}",
            remedy="Plates come first, outermost in front, then the event. Reshape the data or change the model.",
        )
    kind = statement.dist.dtype
    if kind == "float" and array.dtype.kind in "iub":
        raise DtypeError(
            f"it is real, but its data has dtype {array.dtype}.",
            **facts,
            expected="real numbers",
            got=f"{array.dtype}",
            remedy=f"If the numbers are measurements, pass {name}.astype(float).",
        )
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        bad = np.argwhere(~np.isfinite(array))
        raise DataError(
            f"its data holds {len(bad)} numbers that are NaN or infinite.",
            **facts,
            plate=plate,
            got=f"first at index {tuple(int(i) for i in bad[0])}",
            remedy="Leave these rows out, or fill them in; a distribution's .mask leaves elements out of the density.",
        )
    if kind != "float" and array.dtype.kind == "f":
        if not np.all(np.mod(array, 1) == 0):
            at = tuple(int(i) for i in np.argwhere(np.mod(array, 1) != 0)[0])
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


def check_support(statement: Sample, array: np.ndarray, facts: dict[str, Any]) -> None:
    """Data must lie where the density is positive; supports with symbolic bounds are checked when running."""
    support = statement.dist.support
    inside = support.contains(array)
    if inside is None or np.all(inside):
        return
    bad = np.argwhere(~inside)
    at = tuple(int(i) for i in bad[0])
    raise SupportError(
        f"{len(bad)} of its {inside.size} data values lie outside the support.",
        **facts,
        expected=f"values in {support}, from {distribution_text(statement.dist)}",
        got=f"{np.array2string(array[at], threshold=6)} at index {at}",
        remedy="Rescale the data, or choose a distribution whose support holds it.",
    )
