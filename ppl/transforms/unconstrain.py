"""Unconstrained space: every site and parameter as the image of real numbers under the bijection of its support.

A support that depends on other unknowns gives a bijection whose bounds are expressions of those unknowns, so it is
recomputed wherever the density is evaluated; no transform is ever frozen at a starting value.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ppl.errors import StrategyError
from ppl.language.dist import Identity, biject_to
from ppl.language.dist.bijections import Bijection
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Sample
from ppl.program.values import Shape, Value, lift, reference, walk

from .density import Resolver
from .exact import exact_sites


def unconstrained_shape(dist: Distribution, bijection: Bijection) -> Shape:
    """Event shape of the unconstrained value of a site."""
    return bijection.inverse_shape(dist.event_shape)


def log_det_total(bijection: Bijection, x: Value, y: Value) -> Value:
    """Log absolute determinant of a bijection's Jacobian over a whole event, in nats, a scalar."""
    terms = lift(bijection.log_abs_det(x, y))
    shape = x.shape[: x.ndim - bijection.rank]
    if terms.shape != shape:
        terms = apply("broadcast_to", terms, shape=shape) if terms.shape else terms * float(_count(shape))
    return apply("sum", terms, axis=tuple(range(-terms.ndim, 0))) if terms.ndim else terms


def _count(shape: Shape) -> int:
    out = 1
    for n in shape:
        out *= n
    return out


@dataclass(frozen=True)
class UnconstrainedSites:
    """The latent sites of a program in unconstrained space.

    Attributes:
        shapes: event shape of each unconstrained value.
        values: constrained value of each site, as an expression of the unconstrained ones.
        log_dets: log absolute determinant for each site, in nats, one number an element.
        inverses: unconstrained value of each site, as an expression of the constrained ones.
    """

    shapes: dict[str, Shape]
    values: dict[str, Value]
    log_dets: dict[str, Value]
    inverses: dict[str, Value]


def unconstrain_sites(
    program: Program, given: Mapping[str, Value] | None = None, *, params: Mapping[str, Value] | None = None
) -> UnconstrainedSites:
    """Express the latent sites of a program by unconstrained values.

    Args:
        program: a model.
        given: unconstrained value of each site; by default an argument of the emitted function, under the site's name.
        params: expressions for parameters that are replaced.

    Raises:
        StrategyError: a latent site is discrete.
    """
    exact = exact_sites(program)
    forward = Resolver(program, {}, params or {})
    backward = Resolver(program, {}, params or {})
    out = UnconstrainedSites({}, {}, {}, {})
    for statement in program.statements:
        name = statement.name
        if isinstance(statement, Deterministic):
            forward.values[name] = forward.value(statement.expression)
            backward.values[name] = backward.value(statement.expression)
        if not isinstance(statement, Sample):
            continue
        backward.values[name] = backward.observed(statement) if statement.observed else statement.value
        if statement.observed:
            forward.values[name] = forward.observed(statement)
            continue
        if name in exact:
            # What depends on it is summed over all its values; a support cannot be.
            forward.values[name] = statement.value
            continue
        refuse_discrete(program, statement)
        here = biject_to(forward.distribution(statement.dist).support)
        there = biject_to(backward.distribution(statement.dist).support)
        shape = unconstrained_shape(statement.dist, here)
        x = (given or {}).get(name)
        if x is None:
            x = reference("site", name, statement.plates, shape, "float")
        y = here.forward(x)
        forward.values[name] = y
        out.shapes[name] = shape
        refuse_summed_bounds(program, statement, [y], exact)
        out.values[name] = y
        out.log_dets[name] = log_det_total(here, x, y)
        out.inverses[name] = there.inverse(statement.value)
    ahead, back = forward.carries(), backward.carries()
    if ahead is not None and back is not None:
        out = UnconstrainedSites(
            out.shapes,
            {n: ahead(v) for n, v in out.values.items()},
            {n: ahead(v) for n, v in out.log_dets.items()},
            {n: back(v) for n, v in out.inverses.items()},
        )
    return out


def refuse_summed_bounds(program: Program, site: Sample, values: list[Value], exact: Collection[str]) -> None:
    """The space that a site is sampled in must not depend on a discrete site that is summed out.

    Args:
        program: the model.
        site: the site.
        values: expressions that its support depends on, deterministic values filled in.
        exact: sites that are summed out.

    Raises:
        StrategyError: one of them is read.
    """
    read = {n.attr("name") for n in walk(values) if n.op == "site"} & set(exact)
    if read:
        raise StrategyError(
            f"its support depends on {min(read)!r}, which is summed out: there is no one space to sample it in.",
            site=site.name,
            model=program.name,
            declared_at=site.location,
            got=f"{site.dist!r}",
            remedy=f"Give the guide a site for {min(read)!r}, or a support that holds for all of its values.",
        )


def refuse_discrete(program: Program, site: Sample) -> None:
    """A method that works in unconstrained space has nothing to do with a discrete site.

    Raises:
        StrategyError: always, for a discrete site.
    """
    if site.dist.support.discrete or site.dist.dtype != "float":
        raise StrategyError(
            "it is discrete, and this method needs continuous latent sites.",
            site=site.name,
            model=program.name,
            declared_at=site.location,
            expected="a site with a density on real numbers",
            got=f"{site.dist!r}",
            remedy="Sites of few values are summed out by themselves if they have no event axes (put repetitions in a "
            "plate); for others sum over a finite range by hand: ops.logsumexp in a factor.",
        )


def unconstrained_params(program: Program) -> tuple[dict[str, Value], dict[str, Value]]:
    """Declared parameters with a support, in unconstrained space.

    Returns:
        For each, its constrained value as an expression of the unconstrained argument of the same name; and its
        unconstrained value as an expression of the constrained one.
    """
    forward: dict[str, Value] = {}
    inverse: dict[str, Value] = {}
    for name, statement in program.params.items():
        bijection = biject_to(statement.support)
        if isinstance(bijection, Identity):
            continue
        shape = bijection.inverse_shape(statement.event_shape)
        x = reference("param", name, statement.plates, shape, "float")
        forward[name] = bijection.forward(x)
        inverse[name] = bijection.inverse(statement.value)
    return forward, inverse
