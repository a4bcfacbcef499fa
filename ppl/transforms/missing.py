"""Data with missing elements: summed out where that is exact, otherwise latent.

A missing element of a site that nothing reads is left out of the density, which is exact because elements are
independent given their parents (for a multivariate normal the known numbers have a density of their own). What is read
downstream becomes a latent: the values of a finite discrete site are summed out, all others are imputed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ppl.errors import DataError
from ppl.language.dist.imputed import Imputed
from ppl.program.missing import Missing, is_own_input, known_factor, mask_shape, missing_plate, missing_site, own_input
from ppl.program.ops import apply
from ppl.program.program import Program
from ppl.program.statements import Factor, Input, Sample, Statement
from ppl.program.values import dtype_kind

from .exact import finite_values

# Supports whose members are arrays of numbers that may each be anything: single numbers of them can be imputed.
FREE = {"real": "real", "real_vector": "real", "real_matrix": "real", "positive_vector": "positive"}


def split(item: Any) -> tuple[Any, np.ndarray | None]:
    """Data as an array, and which of its numbers are known; None where all are.

    Masked arrays and NaN mean missing. In the array the missing numbers have some value that other elements have.
    """
    source = item
    if isinstance(item, np.ma.MaskedArray):
        known = ~np.asarray(np.ma.getmaskarray(source))
        array = np.array(np.ma.getdata(source))
    else:
        array = np.asarray(source.detach().cpu() if hasattr(source, "detach") else source)
        if array.dtype.kind != "f" or not np.isnan(array).any():
            return source, None
        known, array = np.ones(array.shape, dtype=bool), np.array(array)
    if array.dtype.kind == "f":
        known = known & ~np.isnan(array)
    return array, None if known.all() else known


def with_missing(
    program: Program, site: Sample, array: np.ndarray, known: np.ndarray, location: Any
) -> tuple[tuple[Statement, ...], tuple[Input, ...], Mapping[str, np.ndarray]]:
    """The statements that take a site's place, with their inputs and data.

    Args:
        program: the program.
        site: the site.
        array: its data, shape (plates..., event...), checked.
        known: which numbers are known, same shape.
        location: the user's line.

    Raises:
        DataError: no element is known, or the missing ones can be neither summed out nor imputed.
    """
    sizes = tuple(p.size for p in site.plates)
    elements = sizes + site.dist.element_shape
    core = tuple(range(len(elements), known.ndim))
    whole = known.all(axis=core) if core else known
    numbers = bool(np.any(known.any(axis=core) != whole)) if core else False
    read = bool(program.children(site.name))
    mask = np.asarray(known if numbers else whole)
    facts: dict[str, Any] = {"site": site.name, "model": program.name, "declared_at": site.location}
    if not known.any():
        raise DataError(
            "all of its data is missing.",
            **facts,
            expected="some known elements",
            got=f"{array.size} missing numbers",
            remedy="Leave the site out of observe: then it is latent.",
        )
    missing = Missing("summed", int((~mask).sum()), int(mask.size), numbers)
    inputs = [Input(f"known.{site.name}", mask.shape, "bool")]
    data: dict[str, np.ndarray] = {f"known.{site.name}": mask}
    if not read and (not numbers or site.dist.has_marginal):
        observed = replace(site, observed=True, missing=missing)
        return (observed,), tuple(inputs), {site.name: array, **data}
    if finite_values(site.dist) is not None:
        return _enumerated(site, array, missing, inputs, data)
    return _imputed(site, array, mask, missing, inputs, data, facts)


def _enumerated(
    site: Sample, array: np.ndarray, missing: Missing, inputs: list[Input], data: dict[str, np.ndarray]
) -> tuple[tuple[Statement, ...], tuple[Input, ...], Mapping[str, np.ndarray]]:
    latent = replace(site, observed=False, missing=replace(missing, how="enumerated"))
    inputs.append(Input(f"given.{site.name}", array.shape, dtype_kind(array.dtype)))
    data[f"given.{site.name}"] = array
    known = own_input("known", site, mask_shape(site, missing), "bool")
    given = own_input("given", site, site.dist.event_shape, dtype_kind(array.dtype))
    wrong = apply("logical_and", known, apply("not_equal", site.value, given))
    held = Factor(known_factor(site.name), site.plates, site.location, apply("where", wrong, -np.inf, 0.0))
    return (latent, held), tuple(inputs), data


def _imputed(
    site: Sample,
    array: np.ndarray,
    mask: np.ndarray,
    missing: Missing,
    inputs: list[Input],
    data: dict[str, np.ndarray],
    facts: Mapping[str, Any],
) -> tuple[tuple[Statement, ...], tuple[Input, ...], Mapping[str, np.ndarray]]:
    support = site.dist.support
    kind = FREE.get(support.kind) if missing.numbers or support.kind in FREE else support.kind
    fixed = all(b.op == "const" and not b.shape for b in support.bounds)
    if kind is None or not fixed:
        why = "single numbers of one draw are missing" if kind is None else "its support depends on other unknowns"
        raise DataError(
            f"its missing elements can be neither summed out nor imputed: {why}.",
            **facts,
            expected="whole elements missing, and a support with constant bounds",
            got=f"{missing.count} of {missing.total} missing, support {support}",
            remedy="Leave these rows out, or declare the missing ones as a latent site of their own.",
        )
    core = () if missing.numbers or support.kind in FREE else site.dist.event_shape[len(site.dist.element_shape) :]
    if support.kind in FREE and not missing.numbers:
        # Whole vectors of free numbers are imputed number by number too.
        mask = np.broadcast_to(mask.reshape(*mask.shape, *(1,) * (array.ndim - mask.ndim)), array.shape)
        missing = replace(missing, count=int((~mask).sum()), total=int(mask.size), numbers=True)
        inputs[0] = Input(f"known.{site.name}", mask.shape, "bool")
        data[f"known.{site.name}"] = mask
    plate = missing_plate(site.name, missing.count)
    family = Imputed(kind, tuple(b.attr("value") for b in support.bounds), core, site.dist.dtype)
    free = Sample(missing_site(site.name), (plate,), site.location, family)
    slot = np.zeros(mask.shape, dtype=np.int64)
    slot[~mask] = np.arange(missing.count)
    inputs += [Input(f"slot.{site.name}", mask.shape, "int"), Input(f"at.{site.name}", (missing.count,), "int")]
    data[f"slot.{site.name}"] = slot
    data[f"at.{site.name}"] = np.flatnonzero(~mask)
    observed = replace(site, observed=True, missing=replace(missing, how="imputed"))
    return (free, observed), tuple(inputs), {site.name: array, **data}


def forget(program: Program, names: set[str]) -> Program:
    """A program without what earlier data with missing elements had brought along for some sites."""
    gone = {extra(n) for n in names for extra in (missing_site, known_factor)}
    inputs = tuple(i for i in program.inputs if not _belongs(i.name, names))
    statements = tuple(
        replace(s, missing=None) if isinstance(s, Sample) and s.name in names and s.missing else s
        for s in program.statements
        if s.name not in gone
    )
    plates = tuple(p for p in program.plates if p.name not in {missing_plate(n, 1).name for n in names})
    data = {k: v for k, v in program.data.items() if not _belongs(k, names)}
    return replace(program, inputs=inputs, statements=statements, plates=plates, data=data)


def _belongs(name: str, sites: set[str]) -> bool:
    return is_own_input(name) and not name.startswith("do.") and name.partition(".")[2] in sites
