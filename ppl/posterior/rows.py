"""Fits whose rows stand alone: all latents lie in one plate, so each row has a posterior, and a ratio, of its own."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from ppl.program.program import Program
from ppl.program.values import Value, walk
from ppl.transforms.density import log_density

from .evaluation import compiled, density_terms
from .loo import FEWEST_DRAWS, pareto_smooth

if TYPE_CHECKING:
    import xarray

    from .posterior import Posterior


def independent_plate(model: Program, guide: Program, exact: Collection[str] = ()) -> str | None:
    """The plate whose rows are independent of each other given the parameters, in the posterior and in the guide.

    Every latent lies in it, as its outermost plate, and no density mixes its rows. None if there is no such plate: the
    steps of a scan follow one another.

    Args:
        model: the model.
        guide: the guide.
        exact: sites of the model that are summed out. Where others than these lack a guide there is no such plate: the
            densities by site, which are ratios by row, do not know of a sum.
    """
    drawn = {n: s for n, s in model.latents.items() if n not in exact}
    if drawn.keys() - guide.sites.keys():
        return None
    plates = {site.plates[:1] for site in (*drawn.values(), *guide.sites.values())}
    if len(plates) != 1 or plates == {()}:
        return None
    ((plate,),) = plates
    for program, latents, summed in ((model, set(drawn), exact), (guide, set(guide.sites), ())):
        if any(carry.time == plate for carry in program.carries.values()):
            return None
        density = log_density(program, exact=summed)
        for name, term in density.terms.items():
            mixing = _mixes(term, latents, plate.name)
            if mixing is None:
                continue
            if mixing or density.plates[name][:1] != (plate,):
                return None
    return plate.name


def _mixes(term: Value, latents: set[str], plate: str) -> bool | None:
    """Whether a term turns rows of latents into an array; None if it reads no latent."""
    reads: set[int] = set()
    for node in walk([term]):
        if (node.op == "site" and node.attr("name") in latents) or any(id(arg) in reads for arg in node.args):
            if node.op == "leave" and plate in {p.name for p in node.attr("plates")}:
                return True
            reads.add(id(node))
    return False if reads else None


def row_ratios(fit: Posterior) -> np.ndarray | None:
    """Log ratio of posterior to guide of each row, in nats, up to a constant for each row.

    Returns:
        Shape (chain, draw, rows); None unless the rows of a variational fit are independent.
    """
    if fit.kind != "variational" or fit.guide is None or fit.independent_rows is None:
        return None
    if any(name not in fit.draws for name in fit.guide.sites):
        return None
    total = fit.chains * fit.count
    values = {name: fit.draws[name].reshape(total, *fit.draws[name].shape[2:]) for name in fit.guide.sites}
    own = density_terms(compiled(fit.guide, fit.backend, fit.precision, fit.seed), values, fit.params, total)
    rows = fit.program.plate(fit.independent_rows).size
    ratio = np.zeros((fit.chains, fit.count, rows))
    for sign, terms, program in ((1.0, fit.terms, fit.program), (-1.0, own, fit.guide)):
        for name, array in terms.items():
            if program.by_name[name].plates[:1] == (program.plate(fit.independent_rows),):
                ratio += sign * array.reshape(fit.chains, fit.count, rows, -1).sum(axis=-1, dtype=float)
    return ratio


def khat_by_row(fit: Posterior) -> xarray.DataArray | None:
    """See `Posterior.khat_by_row`."""
    import xarray

    ratio = fit.row_ratios
    if ratio is None or fit.chains * fit.count < FEWEST_DRAWS:
        return None
    plate = str(fit.independent_rows)
    values = pareto_smooth(np.moveaxis(ratio.reshape(-1, ratio.shape[-1]), 0, -1))[1]
    labels = fit.coords.get(plate, np.arange(len(values)))
    return xarray.DataArray(values, {plate: labels}, (plate,), name="khat")
