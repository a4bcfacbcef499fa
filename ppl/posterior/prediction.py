"""Posterior prediction: replicates of the observed data, or new rows bound to the same declaration."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ppl.errors import DataError, GuideError, PlateError, ShapeError, UnknownNameError, nearest
from ppl.program.program import Program
from ppl.program.statements import Param, Sample
from ppl.program.values import walk
from ppl.transforms.bind import bind, changed_inputs, plate_inputs
from ppl.transforms.density import Continued
from ppl.transforms.extend import Extension, extend, moved
from ppl.transforms.missing import forget

from .conversion import build_dataset, site_entries
from .evaluation import CHUNK_BYTES, compiled, refuse_factors, simulated
from .forecasting import Growth, continued, growing, lengths_of

if TYPE_CHECKING:
    import xarray

    from .posterior import Posterior

Source = Literal["auto", "guide", "model"]


@dataclass(frozen=True)
class Plan:
    """Where each latent of a prediction comes from.

    Attributes:
        program: the model on the new inputs; with the old rows in it, if sites are extended.
        fresh: plates whose rows are new.
        kept: latents taken from the draws of the fit.
        local: latents in new rows, which have to be drawn.
        extended: sites drawn at new rows of theirs given what they were at the old ones, such as Gaussian processes.
        given: sites of the program that stand for the old rows, each with the latent whose draws they take.
        hidden: names that the program has for the old rows only.
        guide: the guide on the new inputs, if it draws them; else the model does.
        growth: the scan that goes on beyond the steps of the fit, if one does.
    """

    program: Program
    fresh: frozenset[str]
    kept: tuple[str, ...]
    local: tuple[str, ...]
    extended: tuple[str, ...]
    given: Mapping[str, str]
    hidden: frozenset[str]
    guide: Program | None
    growth: Growth | None = None


def predict(
    fit: Posterior,
    inputs: Mapping[str, Any],
    seed: int,
    source: Source = "auto",
    same_rows: bool = False,
    factors: str = "refuse",
    chunk_bytes: int = CHUNK_BYTES,
) -> xarray.Dataset:
    """Draw what a fit predicts; see `Posterior.predict`.

    Args:
        fit: equally weighted draws.
        inputs: new inputs of the model or the guide.
        seed: for all noise.
        source: what draws the latents of new rows.
        same_rows: whether new inputs of unchanged length describe the rows of the fit.
        factors: "refuse" or "ignore".
        chunk_bytes: memory that intermediate results may take.
    """
    plan = make_plan(fit, inputs, source, same_rows)
    total = fit.chains * fit.count
    sources = {name: name for name in plan.kept} | dict(plan.given)
    values = {own: fit.draws[name].reshape(total, *fit.draws[name].shape[2:]) for own, name in sources.items()}
    steps: Continued | None = None
    if plan.growth is not None:
        old_steps, steps = continued(fit, plan.program, plan.growth, plan.fresh, total)
        values |= old_steps
    drawn = set(plan.program.sites) - set(values)
    if factors != "ignore":
        refuse_factors(plan.program, drawn, "a prediction")
    seed_guide, seed_model = (int(s) for s in np.random.SeedSequence(seed).generate_state(2) >> 1)
    local: dict[str, np.ndarray] = {}
    if plan.guide is not None:
        own = compiled(plan.guide, fit.backend, fit.precision, fit.seed)
        given = {n: v for n, v in values.items() if n in plan.guide.sites}
        local = simulated(own, given, fit.params, total, seed_guide, set(plan.local), chunk_bytes)
    same = plan.program is fit.program
    target = fit.compiled if same else compiled(plan.program, fit.backend, fit.precision, fit.seed)
    result = simulated(target, values | local, fit.params, total, seed_model, None, chunk_bytes, steps) | local
    result = {name: array for name, array in result.items() if name not in plan.hidden}
    ordered = {s.name: result[s.name] for s in plan.program.statements if s.name in result}
    arrays = {n: a.reshape(fit.chains, fit.count, *a.shape[1:]) for n, a in ordered.items()}
    attrs = {
        "program": plan.program.name,
        "seed": seed,
        "backend": fit.backend,
        "precision": fit.precision,
        "new_inputs": sorted(inputs),
        "new_rows": sorted(plan.fresh),
        "latents_of_new_rows": ("guide" if plan.guide is not None else "model") if plan.local else "none",
        "extended": list(plan.extended),
    }
    other = plan.fresh | {dim for name in plan.extended for dim in plan.program.dims(name)}
    kept = {p.name for p in plan.program.plates} - plan.fresh
    if plan.growth is not None:
        # The labels of the fit are those of its own steps.
        kept.discard(plan.growth.name)
        other = other | {plan.growth.name}
    labels = {dim: own for dim, own in fit.coords.items() if dim in kept or dim not in other}
    lead = {"chain": fit.chains, "draw": fit.count}
    return build_dataset(site_entries(plan.program, arrays), lead, labels, attrs)


def make_plan(fit: Posterior, inputs: Mapping[str, Any], source: Source, same_rows: bool) -> Plan:
    """Decide where each latent comes from.

    Raises:
        UnknownNameError: neither model nor guide has such an input.
        ShapeError: the event of a site with no new rows would change.
        PlateError: a parameter has one value for each row of the fit, and the rows are new.
        GuideError: the guide was asked for and cannot draw the new rows.
        DataError: an index points outside its table, or a latent has no draws.
    """
    old, guide = fit.program, fit.guide
    if source not in ("auto", "guide", "model"):
        raise UnknownNameError(
            f"there is no source {source!r} of local latents.", remedy=nearest(str(source), ("auto", "guide", "model"))
        )
    lengths = lengths_of(old, inputs)
    inputs = {n: a for n, a in inputs.items() if n not in lengths}
    known = {i.name for i in old.inputs} | ({i.name for i in guide.inputs} if guide is not None else set())
    for name in inputs:
        if name not in known:
            raise UnknownNameError(
                f"there is no input {name!r}.",
                model=old.name,
                remedy=nearest(name, known) + " Data of observed sites is no input: it is what gets predicted.",
            )
    names = {i.name for i in old.inputs}
    own = {n: a for n, a in inputs.items() if n in names}
    new = bind(old, own, same_rows=same_rows, lengths=lengths) if own or lengths else old
    growth = growing(old, new)
    bound = names & set(inputs)
    # Values of which the fit had none are new as well.
    changed = changed_inputs(old, {n: new.data[n] for n in bound}) | (bound - set(old.data))
    steps = {growth.name} if growth is not None else set[str]()
    # What only has further steps describes the rows of the fit.
    grown = growth.inputs if growth is not None else frozenset[str]()
    fresh = _fresh_plates(old, new, changed - grown, same_rows) - steps
    what = moved(old, changed, fresh)
    while not same_rows and (more := _mapping(old, what.statements) - fresh - steps):
        # Rows of what has other rows, such as a plate over the values of a process.
        fresh |= more
        what = moved(old, changed, fresh)
    new = forget(new, set(what.sites))
    for param in new.params.values():
        if any(p.name in fresh for p in param.plates):
            raise PlateError(
                f"parameter {param.name!r} has one fitted value for each row of the fit; new rows have none.",
                model=old.name,
                declared_at=param.location,
                plate=", ".join(p.name for p in param.plates),
                remedy="Predict from a model whose parameters are shared by the rows, or make it a random site.",
            )
    kept, local = [], []
    for name, site in old.latents.items():
        if any(p.name in fresh for p in site.plates):
            local.append(name)
        elif growth is not None and growth.name in {p.name for p in site.plates}:
            # Its old steps are known; `continued` says so.
            continue
        elif name not in new.sites:
            # It stood for data that was missing in rows that are gone.
            continue
        elif name not in what.sites:
            _same_event(site, new.sites[name], old.name)
            kept.append(name)
    extension = extend(old, new, what) if what.sites else Extension(new, {}, frozenset())
    for name in (*kept, *extension.given.values()):
        if name not in fit.draws:
            raise DataError(f"there are no draws of latent {name!r} to predict from.", model=old.name)
    chosen = None
    if local and source != "model":
        try:
            chosen = _bound_guide(fit, new, inputs, fresh, local, set(what.sites))
        except GuideError:
            if source == "guide":
                raise
    return Plan(
        extension.program,
        frozenset(fresh),
        tuple(kept),
        tuple(local),
        what.sites,
        extension.given,
        extension.hidden,
        chosen,
        growth,
    )


def _fresh_plates(old: Program, new: Program, changed: set[str], same_rows: bool) -> set[str]:
    fresh = set()
    now = {p.name: p for p in new.plates}
    for before in old.plates:
        # What stood for missing data is gone where the rows are new.
        after = now.get(before.name, before)
        if before.plate.size != after.plate.size or (not same_rows and plate_inputs(before) & changed):
            fresh.add(before.name)
    return fresh


def _mapping(program: Program, names: Collection[str]) -> set[str]:
    """Plates that map over one of these statements."""
    return {
        plate.name
        for plate in program.plates
        if any(node.op == "site" and node.attr("name") in names for node in walk(plate.sources))
    }


def _same_event(before: Sample, after: Sample, model: str) -> None:
    if before.dist.event_shape != after.dist.event_shape:
        raise ShapeError(
            "the new inputs change its shape, so its draws do not fit any more.",
            site=before.name,
            model=model,
            declared_at=before.location,
            expected=f"event shape {before.dist.event_shape}, as fitted",
            got=f"event shape {after.dist.event_shape}",
            remedy="Plates can grow, and so can dist.GaussianProcess, which knows what its rows are; any other joint "
            "distribution over all rows does not say how it goes on.",
        )


def _bound_guide(
    fit: Posterior, new: Program, inputs: Mapping[str, Any], fresh: set[str], local: list[str], extended: set[str]
) -> Program:
    """The guide on the new inputs.

    Raises:
        GuideError: it is not amortised over the new rows, or draws them from a site that is extended.
    """

    def refuse(why: str) -> GuideError:
        return GuideError(
            f"the guide cannot draw {local[0]!r} for new rows: {why}.",
            model=fit.program.name,
            remedy='Pass the missing inputs, or predict(..., guide="model") to draw new rows from the model.',
        )

    guide = fit.guide
    if guide is None:
        raise refuse("the fit has no guide")
    own = {i.name for i in guide.inputs}
    for plate in guide.plates:
        if plate.name in fresh:
            needed = plate_inputs(plate)
            if not needed:
                raise refuse(f"its plate {plate.name!r} maps over no input")
            if missing := sorted(needed - set(inputs)):
                raise refuse(f"its input {missing[0]!r} was not given")
    try:
        bound = guide.bind(**{n: a for n, a in inputs.items() if n in own})
    except (ShapeError, PlateError) as error:
        raise refuse(error.summary.rstrip(".")) from error
    for name in local:
        if read := sorted(bound.ancestors(name) & extended):
            # The guide's own draw of that site would not be the one that the rest is predicted from.
            raise refuse(f"it draws it from {read[0]!r}, which has other rows now")
        site = bound.sites.get(name)
        if site is None or site.plates != new.sites[name].plates:
            raise refuse(
                f"it has {[str(p) for p in site.plates] if site else 'no such site'} where the model has "
                f"{[str(p) for p in new.sites[name].plates]}"
            )
    for statement in bound.statements:
        if isinstance(statement, Param) and any(p.name in fresh for p in statement.plates):
            raise refuse(f"its parameter {statement.name!r} has one value for each row of the fit")
        if isinstance(statement, Sample) and statement.auxiliary and not any(p.name in fresh for p in statement.plates):
            # Drawn anew, it would no longer belong to the draws of the latents that were made from it.
            raise refuse(f"its own site {statement.name!r} is not part of the fit")
    return bound
