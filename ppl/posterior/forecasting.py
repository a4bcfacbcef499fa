"""Forecasts: the steps of a scan beyond those of the fit, which stay what they were."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import ModelError, PlateError
from ppl.program.missing import missing_site
from ppl.program.program import Program
from ppl.program.statements import PlateStatement, Sample
from ppl.transforms.bind import plate_inputs
from ppl.transforms.density import Continued

if TYPE_CHECKING:
    from .posterior import Posterior


@dataclass(frozen=True)
class Growth:
    """A scan with more steps than in the fit.

    Attributes:
        name: the scan.
        before: number of steps in the fit.
        after: number of steps now.
        inputs: the inputs that it maps over, which are longer now and begin as before.
    """

    name: str
    before: int
    after: int
    inputs: frozenset[str] = frozenset()


def lengths_of(program: Program, inputs: Mapping[str, Any]) -> dict[str, int]:
    """Which of the arguments of a prediction are new lengths of scans.

    Raises:
        PlateError: a scan over arrays is given a length, or a scan fewer steps than it had.
    """
    scans = {p.name: p for p in program.plates if p.ordered}
    out: dict[str, int] = {}
    for name, item in inputs.items():
        if name not in scans or isinstance(item, bool) or not isinstance(item, (int, np.integer)):
            continue
        if scans[name].sources:
            raise PlateError(
                f"scan {name!r} maps over arrays, which tell how long it is.",
                model=program.name,
                declared_at=scans[name].location,
                plate=str(scans[name].plate),
                expected="longer arrays, which begin with those of the fit",
                got=f"{name}={item}",
                remedy="Pass the inputs of the further steps behind those of the old ones.",
            )
        if item < scans[name].plate.size:
            raise PlateError(
                f"scan {name!r} had {scans[name].plate.size} steps in the fit and gets fewer.",
                model=program.name,
                declared_at=scans[name].location,
                plate=str(scans[name].plate),
                expected=f"at least {scans[name].plate.size} steps",
                got=f"{item}",
                remedy="Give the number of all steps, those of the fit included.",
            )
        out[name] = int(item)
    return out


def growing(old: Program, new: Program) -> Growth | None:
    """The scan that goes on beyond the steps of the fit, with the same inputs at the old steps; None if none does.

    Raises:
        ModelError: it runs backwards, or several scans grow.
    """
    found: list[Growth] = []
    now = {p.name: p for p in new.plates}
    for before in old.plates:
        after = now.get(before.name, before)
        carries = [c for c in old.carries.values() if c.time == before.plate]
        if not before.ordered or after.plate.size <= before.plate.size or not carries:
            continue
        if not all(_begins_as_before(old, new, before, v) for v in range(len(before.sources))):
            continue
        if any(c.reverse for c in carries):
            raise ModelError(
                f"scan {before.name!r} runs from the last step to the first, so it has no further steps.",
                model=old.name,
                declared_at=before.location,
                remedy="Predict whole new sequences: pass inputs of the same length, or others.",
            )
        found.append(Growth(before.name, before.plate.size, after.plate.size, frozenset(plate_inputs(before))))
    if len(found) > 1:
        raise ModelError("several scans would go on at once.", model=old.name, got=", ".join(g.name for g in found))
    return found[0] if found else None


def _begins_as_before(old: Program, new: Program, plate: PlateStatement, index: int) -> bool:
    source, axis = plate.sources[index], 0
    while source.op == "element":
        source, axis = source.args[0], axis + 1
    if source.op != "input":
        return False
    name, size = source.attr("name"), plate.plate.size
    if name not in old.data or name not in new.data:
        return False
    one, two = np.asarray(old.data[name]), np.take(np.asarray(new.data[name]), range(size), axis=axis)
    return one.shape == two.shape and np.array_equal(one, two, equal_nan=one.dtype.kind == "f")


def continued(
    fit: Posterior, new: Program, growth: Growth, fresh: Collection[str], total: int
) -> tuple[dict[str, np.ndarray], Continued]:
    """Values of the old steps, for the simulation of all steps.

    Args:
        fit: the fit.
        new: its program with the further steps.
        growth: the scan.
        fresh: plates whose rows are new, so that nothing is known about any of their steps.
        total: number of draws.

    Returns:
        Values by site, shape (total, plates..., event...), arbitrary at the further steps; and which steps they are of.
    """
    plate = new.plate(growth.name)
    values: dict[str, np.ndarray] = {}
    for name, site in fit.program.sites.items():
        plates = {p.name for p in site.plates}
        if growth.name not in plates or plates & set(fresh):
            continue
        array = _old_values(fit, site, total)
        if array is not None:
            axis = 1 + [p.name for p in site.plates].index(growth.name)
            width = [(0, growth.after - growth.before if i == axis else 0) for i in range(array.ndim)]
            # What stands at the further steps is not looked at, but has to lie in the support.
            values[name] = np.pad(array, width, mode="edge")
    return values, Continued(plate, growth.before, frozenset(values) - set(fit.program.latents))


def _old_values(fit: Posterior, site: Sample, total: int) -> np.ndarray | None:
    if not site.observed:
        return fit.draws[site.name].reshape(total, *fit.draws[site.name].shape[2:])
    if not fit.program.children(site.name):
        return None
    # Later steps read the data; where it was missing, what was imputed.
    data = np.asarray(fit.program.data[site.name])
    array = np.broadcast_to(data, (total, *data.shape)).copy()
    if site.missing is not None and site.missing.how == "imputed":
        free = fit.draws[missing_site(site.name)]
        at = np.asarray(fit.program.data[f"at.{site.name}"])
        flat = array.reshape(total, -1, *free.shape[3:])
        flat[:, at] = free.reshape(total, *free.shape[2:])
    return array
