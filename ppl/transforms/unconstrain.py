"""Unconstrained space: every site and parameter as the image of real numbers under the bijection of its support.

A support that depends on other unknowns gives a bijection whose bounds are expressions of those unknowns, so it is
recomputed wherever the density is evaluated; no transform is ever frozen at a starting value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ppl.errors import StrategyError
from ppl.language.dist import biject_to
from ppl.language.dist.bijections import Bijection
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Sample
from ppl.program.values import Shape, Value, lift, reference

from .density import Resolver


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
        backward.values[name] = statement.value
        if statement.observed:
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
        out.values[name] = y
        out.log_dets[name] = log_det_total(here, x, y)
        out.inverses[name] = there.inverse(statement.value)
    return out


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
            remedy="Sum it out by hand: dist.MixtureSameFamily, or ops.logsumexp over its values in a factor.",
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
        if statement.support.kind == "real":
            continue
        bijection = biject_to(statement.support)
        shape = bijection.inverse_shape(statement.event_shape)
        x = reference("param", name, statement.plates, shape, "float")
        forward[name] = bijection.forward(x)
        inverse[name] = bijection.inverse(statement.value)
    return forward, inverse
