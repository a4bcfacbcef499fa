"""Checks of a guide against its model, before anything runs."""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ppl.errors import (
    DataError,
    GuideError,
    PlateError,
    ShapeError,
    StrategyError,
    SupportError,
    nearest,
    user_location,
)

from .containment import contains
from .printing import distribution_text
from .statements import Deterministic, Network, Param, Sample, Statement
from .values import Value, walk

if TYPE_CHECKING:
    from .program import Program


def not_a_guide(guide: Any, expected: str = "a guide that was called with its inputs") -> GuideError:
    """The error about something that is passed for a guide and is none."""
    name = getattr(guide, "__name__", None)
    text = name or repr(guide)
    if isinstance(guide, type):
        remedy = f"Write {text}()."
    elif isinstance(guide, FunctionType):
        remedy = f"A guide is a model of the latents: put @ppl.model above {text!r}, and pass guide={text}(...)."
    elif callable(guide):
        remedy = f"Call it with its inputs: guide={text}(...)."
    else:
        remedy = "A guide is a model of the latents: a function with @ppl.model above it, called with its inputs."
    return GuideError(
        f"{name!r} is no guide." if name else f"{text} is no guide.",
        declared_at=user_location(),
        expected=expected,
        got=type(guide).__name__,
        remedy=remedy,
    )


def check_guide(model: Program, guide: Program, exact: Collection[str] = ()) -> None:
    """Every mistake in pairing a guide with a model, found without running either.

    Args:
        model: the model.
        guide: the guide.
        exact: latents that need no site in the guide, because they are summed out.

    Raises:
        GuideError: no program at all, a missing or extra site, an observed site in the guide, or an input the model
            does not have.
        ShapeError: different event shapes.
        PlateError: different plates, or plates nested in another order.
        SupportError: draws of the guide can be impossible in the model.
    """
    from .program import Program

    if not isinstance(cast(Any, guide), Program):
        raise not_a_guide(guide)
    latents = model.latents
    for name, site in latents.items():
        if name not in guide.sites and name not in exact:
            raise GuideError(
                "the guide has no site for this latent.",
                site=name,
                model=model.name,
                declared_at=site.location,
                expected=f"a sample statement {name!r} in guide {guide.name!r}",
                got=f"guide sites {sorted(guide.sites)}",
                remedy=f"Add ppl.sample({name!r}, ...) to the guide; "
                "a latent left out would keep its prior and bias the rest.",
            )
    for name, site in guide.sites.items():
        _check_site(model, guide, name, site)
    if guide.factors:
        first = next(iter(guide.factors.values()))
        raise GuideError(
            "a guide is a normalised distribution; it cannot hold a factor.",
            site=first.name,
            model=guide.name,
            declared_at=first.location,
            expected="sites and parameters",
            got=f"factor {first.name!r}",
            remedy="Move the factor to the model.",
        )
    _check_shared(model, guide)
    _check_inputs(model, guide)
    _check_data(model, guide)
    _check_nesting(model, guide)


def _check_site(model: Program, guide: Program, name: str, site: Sample) -> None:
    facts: dict[str, Any] = {"site": name, "model": guide.name, "declared_at": site.location}
    if site.observed:
        raise GuideError(
            "a guide site cannot be observed.",
            **facts,
            expected="a guide without data",
            got=f"data for {name!r}",
            remedy="Observe the model's site instead.",
        )
    if name not in model.sites:
        if site.auxiliary:
            return
        raise GuideError(
            "the model has no such site.",
            **facts,
            expected=f"one of {sorted(model.latents)}",
            got=repr(name),
            remedy=nearest(name, model.latents) + " An auxiliary variable is declared with auxiliary=True.",
        )
    target = model.sites[name]
    if target.observed:
        raise GuideError(
            "the model observes this site, so the guide must not sample it.",
            **facts,
            expected=f"sites {sorted(model.latents)}",
            got=f"{name!r}, observed at {target.location}",
            remedy="Remove it from the guide.",
        )
    if {p.name for p in site.plates} != {p.name for p in target.plates}:
        raise PlateError(
            "guide and model disagree about its plates.",
            **facts,
            expected=f"plates {[p.name for p in target.plates]}, as at {target.location}",
            got=f"plates {[p.name for p in site.plates]}",
            remedy="Sample it inside the same plates as in the model.",
        )
    for mine in site.plates:
        theirs = next(p for p in target.plates if p.name == mine.name)
        if mine.size != theirs.size:
            raise PlateError(
                f"plate {mine.name!r} has {mine.size} elements in the guide and {theirs.size} in the model.",
                **facts,
                plate=str(theirs),
                expected=f"{theirs.size} elements",
                got=f"{mine.size} elements",
                remedy="Call model and guide with the same rows.",
            )
    if site.dist.event_shape != target.dist.event_shape:
        raise ShapeError(
            f"the guide has event shape {site.dist.event_shape}, the model {target.dist.event_shape}.",
            **facts,
            expected=f"{target.dist.event_shape}, from {distribution_text(target.dist)} at {target.location}",
            got=f"{site.dist.event_shape}, from {distribution_text(site.dist)}",
            remedy="Give the guide's parameters the model's event shape.",
        )
    _check_support(model, target, site, facts)


def _check_support(model: Program, target: Sample, site: Sample, facts: dict[str, Any]) -> None:
    wanted, given = target.dist.support, site.dist.support
    # A Delta lies wherever its parameter does; a transformed base carries the support of its last bijection.
    if contains(wanted, given) or site.dist.family == "Delta":
        return
    remedy = {
        "positive": "Use dist.LogNormal or dist.Gamma, or dist.Transformed(base, dist.biject_to(support)).",
        "unit_interval": "Use dist.Beta, or dist.Transformed(base, dist.biject_to(support)).",
        "simplex": "Use dist.Dirichlet, or dist.Transformed(base, dist.biject_to(support)).",
    }.get(wanted.kind, "Use dist.Transformed(base, dist.biject_to(support)), or an automatic guide.")
    raise SupportError(
        "the guide can draw values that are impossible in the model.",
        **facts,
        expected=f"support {wanted}, from {distribution_text(target.dist)} at {target.location}",
        got=f"support {given}, from {distribution_text(site.dist)}",
        remedy=remedy,
    )


def _check_shared(model: Program, guide: Program) -> None:
    for name, statement in guide.by_name.items():
        other = model.by_name.get(name)
        if other is None or isinstance(statement, Sample):
            continue
        if type(other) is not type(statement):
            raise GuideError(
                f"{name!r} is a {type(statement).__name__.lower()} in the guide and a "
                f"{type(other).__name__.lower()} in the model.",
                site=name,
                model=guide.name,
                declared_at=statement.location,
                expected=f"a {type(other).__name__.lower()}, as at {other.location}",
                got=f"a {type(statement).__name__.lower()}",
                remedy="Rename one of them.",
            )
        if isinstance(statement, Network) and isinstance(other, Network) and not statement.spec.same_as(other.spec):
            raise GuideError(
                f"network {name!r} is {statement.spec.origin} in the guide and {other.spec.origin} in the model.",
                site=name,
                model=guide.name,
                declared_at=statement.location,
                expected=f"{other.spec.origin}, as at {other.location}",
                got=statement.spec.origin,
                remedy="Rename one of them, or share one specification.",
            )
        if isinstance(statement, Param) and isinstance(other, Param) and statement.full_shape != other.full_shape:
            raise GuideError(
                f"parameter {name!r} has shape {statement.full_shape} in the guide "
                f"and {other.full_shape} in the model.",
                site=name,
                model=guide.name,
                declared_at=statement.location,
                expected=f"shape {other.full_shape}, as at {other.location}",
                got=f"shape {statement.full_shape}",
                remedy="Rename one of them, or give both one start.",
            )


def _check_inputs(model: Program, guide: Program) -> None:
    sizes = {p.name: p.plate.size for p in model.plates}
    for plate in guide.plates:
        if plate.name in sizes and sizes[plate.name] != plate.plate.size:
            raise PlateError(
                f"plate {plate.name!r} has {plate.plate.size} elements in the guide "
                f"and {sizes[plate.name]} in the model.",
                model=guide.name,
                declared_at=plate.location,
                plate=str(plate.plate),
                expected=f"{sizes[plate.name]} elements",
                got=f"{plate.plate.size} elements",
                remedy="Call model and guide with the same rows.",
            )


def _check_data(model: Program, guide: Program) -> None:
    """Model and guide are one function in the end: what they call by one name has to be one array."""
    for name in guide.data.keys() & model.data.keys():
        a, b = model.data[name], guide.data[name]
        if a is b or np.array_equal(a, b):
            continue
        what = f"the data of site {name!r}" if name in model.sites else f"input {name!r}"
        raise GuideError(
            f"its input {name!r} holds other values than {what} of the model.",
            model=guide.name,
            declared_at=user_location(),
            expected=f"the model's array of shape {np.shape(a)}",
            got=f"an array of shape {np.shape(b)}" + ("" if np.shape(a) != np.shape(b) else " with other values"),
            remedy="Call both with one array, or give the guide's argument a name of its own.",
        )


def _check_nesting(model: Program, guide: Program) -> None:
    order = {
        (outer.name, inner.name): s.location for s in model.statements for outer, inner in combinations(s.plates, 2)
    }
    for s in guide.statements:
        for outer, inner in combinations(s.plates, 2):
            if (inner.name, outer.name) in order:
                raise PlateError(
                    f"the guide nests plates {inner.name!r} and {outer.name!r} in another order than the model.",
                    site=s.name,
                    model=guide.name,
                    declared_at=s.location,
                    plate=str(outer),
                    expected=f"{outer.name!r} inside {inner.name!r}, as at {order[inner.name, outer.name]}",
                    got=f"{inner.name!r} inside {outer.name!r}",
                    remedy="Nest them as the model does: then draws of both have their axes in one order.",
                )


def check_indices(program: Program) -> None:
    """Integer inputs that pick rows of a table must lie inside it.

    Raises:
        DataError: an index lies outside. Left alone, JAX would take the last row without a word.
    """
    from .program import expressions

    for statement in program.statements:
        for node in walk(expressions(statement)):
            name = _input_name(node.args[1]) if node.op == "take" and node.args[0].shape else None
            if name is None or name not in program.data:
                continue
            rows, array = node.args[0].shape[0], np.asarray(program.data[name])
            # A negative number would count from the end; in data it is what others write for "missing".
            if array.size and (array.min() < 0 or array.max() >= rows):
                bad = int(array.min() if array.min() < 0 else array.max())
                raise DataError(
                    f"it picks row {bad} of a table of {rows} by input {name!r}.",
                    site=statement.name,
                    model=program.name,
                    declared_at=statement.location,
                    expected=f"integers from 0 to {rows - 1} in {name!r}",
                    got=f"integers from {int(array.min())} to {int(array.max())}",
                    remedy="Number the groups from 0. A group that was not in a fit has no draws.",
                )


def _input_name(value: Value) -> str | None:
    while value.op in ("element", "astype"):
        value = value.args[0]
    return value.attr("name") if value.op == "input" else None


def check_auxiliary(guide: Program) -> None:
    """Auxiliary sites that nobody averages out: only those that the other sites are functions of are harmless.

    Raises:
        StrategyError: a site is random given an auxiliary one.
    """
    for name, site in guide.sites.items():
        if not site.auxiliary:
            continue
        for other in guide.sites.values():
            if other.name != name and other.dist.family != "Delta" and name in _read(guide, other):
                raise StrategyError(
                    f"auxiliary site {name!r} is not averaged out: {other.name!r} is random given it, so that the "
                    "density of the guide's draws is not known.",
                    site=name,
                    model=guide.name,
                    declared_at=site.location,
                    expected="an objective with marginal(guide, ...)",
                    got=f"{other.dist!r} of {other.name!r}",
                    remedy="Use HVI(), IWHVI(particles=20) or DIWHVI(...).",
                )


def _read(guide: Program, statement: Statement) -> set[str]:
    """The sites that a statement reads, through deterministic values too."""
    from .program import expressions

    found: set[str] = set()
    for node in walk(list(expressions(statement))):
        if node.op == "site":
            inner = guide.by_name[node.attr("name")]
            found |= _read(guide, inner) if isinstance(inner, Deterministic) else {inner.name}
    return found
