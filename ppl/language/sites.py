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
from ppl.program.values import Frozen, Shape, Value, lift

from .trace import Trace, current


def _name(name: Any, what: str, trace: Trace) -> str:
    if not isinstance(name, str) or not name:
        raise ModelError(
            f"ppl.{what} needs a name first.",
            model=trace.model,
            declared_at=user_location(),
            expected="a string",
            got=repr(name),
            remedy=f'Write ppl.{what}("name", ...).',
        )
    return name


def _check_dims(name: str, dims: tuple[str, ...], shape: Shape, trace: Trace) -> None:
    if isinstance(dims, str) or not all(isinstance(d, str) and d for d in dims):
        raise ModelError(
            "dims is a tuple of names.",
            site=name,
            model=trace.model,
            declared_at=user_location(),
            expected=f"{len(shape)} strings, for event shape {shape}",
            got=repr(dims),
            remedy=f"Write dims=({dims!r},)." if isinstance(dims, str) else 'Write dims=("name", ...).',
        )
    if dims and (len(dims) != len(shape) or len(set(dims)) != len(dims)):
        raise ShapeError(
            f"{len(dims)} names for {len(shape)} event axes.",
            site=name,
            model=trace.model,
            declared_at=user_location(),
            expected=f"{len(shape)} different names, for event shape {shape}",
            got=repr(dims),
            remedy="Name each event axis once; plates have their names already.",
        )


def sample(name: str, dist: Distribution, *, dims: tuple[str, ...] = (), auxiliary: bool = False) -> Value:
    """Declare a random site.

    Args:
        name: name of the site.
        dist: its distribution for one element; the plates around it repeat it.
        dims: names of the event axes in the posterior; sites share a name, or that of a plate they are outside of, if
            it counts the same.
        auxiliary: in a guide, a variable of the guide's own that the model does not have.

    Returns:
        The symbolic draw; its shape is the event shape.

    Raises:
        ModelError: called outside a model, or without a distribution.
        NameClashError: the name is taken, or that of an event axis is.
        ShapeError: `dims` does not fit the event shape, or a name stands for another length elsewhere.
    """
    trace = current(f"ppl.sample({name!r})")
    at = user_location()
    if not isinstance(dist, Distribution):
        raise ModelError(
            "ppl.sample needs a distribution.",
            site=_name(name, "sample", trace),
            model=trace.model,
            declared_at=at,
            expected="a distribution",
            got=repr(dist),
            remedy="Use a family of ppl.dist; a computed value is ppl.deterministic(name, value).",
        )
    _check_dims(name, dims, dist.event_shape, trace)
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
    _check_dims(name, dims, expression.shape, trace)
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
            expected="a number or an array",
            got=repr(init),
            remedy="Give it numbers, and add the value to the parameter where it is used.",
        )
    _check_param_support(name, support, trace)
    array = np.asarray(init)
    if array.dtype.kind not in "fiu":
        raise DtypeError(
            "a parameter is real.",
            site=name,
            model=trace.model,
            declared_at=at,
            expected="real numbers",
            got=f"{init!r} of dtype {array.dtype}",
            remedy="Start it from numbers.",
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
            got=np.array2string(array, threshold=6),
            remedy="Start it inside, away from the bounds.",
        )
    statement = Param(_name(name, "param", trace), trace.open, at, Frozen(array), support)
    trace.declare(statement)
    return statement.value


def _check_param_support(name: str, support: Any, trace: Trace) -> None:
    fixed = isinstance(support, Support) and all(b.op == "const" for b in support.bounds)
    if fixed and not support.discrete:
        return
    raise SupportError(
        "a parameter cannot be kept there.",
        site=name,
        model=trace.model,
        declared_at=user_location(),
        expected="a continuous support with constant bounds, such as dist.support.positive",
        got=str(support),
        remedy="For bounds that move, keep a parameter in the unit interval and compute from it.",
    )
