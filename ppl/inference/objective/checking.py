"""What can be wrong with an objective whatever model it meets, and what it is one of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ppl.errors import ModelError, StrategyError, UnknownNameError, nearest
from ppl.program.values import Axis

from .expression import KL, SIR, Detached, Entropy, Expect, Expression, LogDensity, LogWeight, Particles


def checked(expression: Expression, key: str) -> dict[str, Particles]:
    """The particles of an expression by name.

    Raises:
        StrategyError: one name has two sizes, particles are left, or the guide is never used.
    """
    found: dict[str, Particles] = {}
    for node in expression.walk():
        under = node.under.over if isinstance(node, Expect) and isinstance(node.under, SIR) else ()
        for axis in (*getattr(node, "over", ()), *under):
            known = found.setdefault(axis.name, axis)
            if known != axis:
                raise StrategyError(
                    f"particles {axis.name!r} have two sizes in one objective.",
                    expected=f"{known!r} everywhere",
                    got=f"{axis!r} as well",
                    remedy="Make the axis once and use it in both places, or name the two differently.",
                )
    _refuse_unused(expression, key)
    return found


def _refuse_unused(expression: Expression, key: str) -> None:
    """An objective for the guide has to say something about the guide."""

    def uses(node: Expression) -> bool:
        if isinstance(node, Detached):
            return False
        if isinstance(node, (LogWeight, KL, Entropy)) or (
            isinstance(node, LogDensity) and node.program.name == "guide"
        ):
            return True
        return any(uses(part) for part in node.parts) or (isinstance(node, Expect) and uses_draws(node))

    def uses_draws(node: Expect) -> bool:
        return isinstance(node.under, SIR) and not node.under.detached

    if key != "model" and not uses(expression):
        raise StrategyError(
            "the objective never uses the guide's density.",
            expected="a term such as log_weight(model, guide), kl(guide, model) or entropy(guide)",
            got=repr(expression),
            remedy="Without one the guide collapses to a point; for a point estimate say so with AutoDelta().",
        )


def particles_of(expressions: Mapping[str, Expression]) -> dict[str, Axis]:
    """The axes of all particles of an objective, those declared later further in.

    Raises:
        StrategyError: as `checked`.
    """
    found: dict[str, Particles] = {}
    for key, expression in expressions.items():
        for name, axis in checked(expression, key).items():
            known = found.setdefault(name, axis)
            if known != axis:
                raise StrategyError(
                    f"particles {name!r} have two sizes in one objective.",
                    expected=f"{known!r} everywhere",
                    got=f"{axis!r} as well",
                    remedy="Make the axis once and use it in both places, or name the two differently.",
                )
    names = list(found)
    return {n: Axis(f"particles {n}", found[n].size, len(names) - i) for i, n in enumerate(names)}


def chunks_of(expressions: Mapping[str, Expression], axes: Mapping[str, Axis]) -> tuple[tuple[Axis, int], ...]:
    """The particles that are held some at a time, with their number.

    Raises:
        StrategyError: there are two such axes.
    """
    found: dict[Axis, int] = {}
    for key, expression in expressions.items():
        for name, axis in checked(expression, key).items():
            if axis.chunk is not None and axis.chunk < axis.size:
                found[axes[name]] = axis.chunk
    if len(found) > 1:
        raise StrategyError(
            "two axes of particles are to be held in chunks.",
            expected="one chunked axis in an objective",
            got=", ".join(f"{a.name} ({c} of {a.size})" for a, c in found.items()),
            remedy="Leave chunk out for all but the longest axis.",
        )
    return tuple(found.items())


def as_groups(objective: Any) -> dict[str, Expression]:
    """An objective as expressions for groups of parameters: "all", or "model" and "guide".

    Raises:
        ModelError: it is no objective.
        UnknownNameError: there is no such group of parameters.
    """
    given = objective.expression() if hasattr(objective, "expression") else objective
    if isinstance(given, Expression):
        return {"all": given}
    if not isinstance(given, Mapping) or not given:
        raise ModelError(
            "this is no objective.",
            expected="ELBO(), an expression, or {'model': expression, 'guide': expression}",
            got=repr(objective)[:80],
        )
    for key, item in given.items():
        if key not in ("model", "guide"):
            raise UnknownNameError(
                f"there is no group of parameters {key!r}.",
                expected="'model' and 'guide'",
                got=repr(key),
                remedy=nearest(str(key), ["model", "guide"]),
            )
        if not isinstance(item, Expression):
            as_groups(item)
    return dict(given)
