"""Statements of the language: sample, param, deterministic, factor."""

# What a user passes is checked when it comes, whatever its annotation says.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from typing import Any

import numpy as np

from ppl.errors import DtypeError, ModelError, ShapeError, SupportError, user_location
from ppl.program.distributions import Distribution
from ppl.program.ops import in_scope, to_float
from ppl.program.statements import Deterministic, Factor, Param, Sample
from ppl.program.supports import Support, real
from ppl.program.values import Frozen, Value, lift

from .trace import Trace, current


def _name(name: Any, what: str, trace: Trace) -> str:
    if not isinstance(name, str) or not name:
        raise ModelError(
            f"ppl.{what} needs a name first.",
            model=trace.model,
            declared_at=user_location(),
            got=repr(name),
            remedy=f'Write ppl.{what}("name", ...).',
        )
    return name


def sample(name: str, dist: Distribution, *, dims: tuple[str, ...] = (), auxiliary: bool = False) -> Value:
    """Declare a random site.

    Args:
        name: name of the site.
        dist: its distribution for one element; the plates around it repeat it.
        dims: names of the event axes in the posterior.
        auxiliary: in a guide, a variable of the guide's own that the model does not have.

    Returns:
        The symbolic draw; its shape is the event shape.

    Raises:
        ModelError: called outside a model, or without a distribution.
        NameClashError: the name is taken.
    """
    trace = current(f"ppl.sample({name!r})")
    at = user_location()
    if not isinstance(dist, Distribution):
        raise ModelError(
            "ppl.sample needs a distribution.",
            site=_name(name, "sample", trace),
            model=trace.model,
            declared_at=at,
            got=f"{type(dist).__name__}",
            remedy="Use a family of ppl.dist; a computed value is ppl.deterministic(name, value).",
        )
    if dims and len(dims) != len(dist.event_shape):
        raise ShapeError(
            f"{len(dims)} names for {len(dist.event_shape)} event axes.", site=name, model=trace.model, declared_at=at
        )
    trace.harvest()
    inside = dist.substitute(in_scope)
    statement = Sample(_name(name, "sample", trace), trace.open, at, inside, False, auxiliary, tuple(dims))
    trace.declare(statement)
    return statement.value


def deterministic(name: str, value: Any, *, dims: tuple[str, ...] = ()) -> Value:
    """Name a computed value, so that it is recorded, drawn and open to `do`.

    Args:
        name: name of the site.
        value: the value of one element.
        dims: names of the event axes in the posterior.
    """
    trace = current(f"ppl.deterministic({name!r})")
    trace.harvest()
    expression = in_scope(lift(value))
    statement = Deterministic(
        _name(name, "deterministic", trace), trace.open, user_location(), expression, False, tuple(dims)
    )
    trace.declare(statement)
    return statement.value


def factor(name: str, log_weight: Any) -> None:
    """Multiply the density by exp(log_weight), once for each element.

    Args:
        name: name of the factor.
        log_weight: in nats, a scalar for one element.

    Raises:
        ShapeError: the log weight is not a scalar.
    """
    trace = current(f"ppl.factor({name!r})")
    trace.harvest()
    expression = in_scope(lift(log_weight))
    if expression.shape:
        raise ShapeError(
            "a factor is one number for each element.",
            site=_name(name, "factor", trace),
            model=trace.model,
            declared_at=user_location(),
            expected="event shape ()",
            got=f"event shape {expression.shape}",
            remedy="Sum it: ops.sum(log_weight).",
        )
    statement = Factor(_name(name, "factor", trace), trace.open, user_location(), to_float(expression))
    trace.declare(statement)


def param(name: str, init: Any, *, support: Support = real) -> Value:
    """Declare a parameter that inference optimises.

    Args:
        name: name of the parameter; model and guide share parameters of one name.
        init: starting value of one element.
        support: where it is kept, for example `dist.support.positive`.

    Returns:
        The symbolic parameter; inside a plate, that of one element.

    Raises:
        DtypeError: the start is not real.
        SupportError: the start lies outside the support.
    """
    trace = current(f"ppl.param({name!r})")
    trace.harvest()
    at = user_location()
    if isinstance(init, Value):
        raise ModelError(
            "a parameter starts from numbers, not from a symbolic value.",
            site=_name(name, "param", trace),
            model=trace.model,
            declared_at=at,
            remedy="Give it numbers, and add the value to the parameter where it is used.",
        )
    array = np.asarray(init)
    if array.dtype.kind not in "fiu":
        raise DtypeError(
            "a parameter is real.", site=name, model=trace.model, declared_at=at, got=f"dtype {array.dtype}"
        )
    array = array.astype(float)
    inside = support.contains(array)
    if inside is not None and not np.all(inside):
        raise SupportError(
            "the start lies outside the support.",
            site=name,
            model=trace.model,
            declared_at=at,
            expected=str(support),
            got=str(array.tolist()),
        )
    statement = Param(_name(name, "param", trace), trace.open, at, Frozen(array), support)
    trace.declare(statement)
    return statement.value
