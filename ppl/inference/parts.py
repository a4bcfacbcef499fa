"""Which optimiser moves which parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from ppl.backend.compiled import Compiled
from ppl.backend.protocol import OptimizerSpec, Part
from ppl.errors import ModelError, UnknownNameError, nearest

from .natural import GaussianOptimizer
from .optimizers import SGD, Alternate, Optimizer
from .surrogate import Surrogate

GROUPS: tuple[str, ...] = ("model", "guide")
AnyOptimizer: TypeAlias = Optimizer | GaussianOptimizer


def optimizer_parts(
    optimizer: AnyOptimizer | Mapping[str, AnyOptimizer],
    schedule: Alternate | None,
    names: Sequence[str],
    model: Collection[str],
    surrogate: Surrogate,
    guide: Compiled,
) -> OptimizerSpec | tuple[Part, ...]:
    """The optimiser of each part of the parameters; one alone where all parameters have the same.

    Args:
        optimizer: what the user asks for.
        schedule: whose turn it is when; None for all at once.
        names: the parameters that are fitted.
        model: those of the model.
        surrogate: the loss; running baselines move by plain gradient descent, learned ones with the guide.
        guide: the guide, whose normal distributions some optimisers know.

    Raises:
        UnknownNameError: there is no such group of parameters, parameter or network.
        ModelError: a group has parameters and no optimiser.
        StrategyError: an optimiser for normal distributions is to move something else.
    """
    own = {n: extra.rate for n, extra in surrogate.plan.extras.items()}
    running = {n: rate for n, rate in own.items() if rate is not None}
    if isinstance(optimizer, Optimizer) and not running and schedule is None:
        return optimizer.spec
    single = isinstance(optimizer, (Optimizer, GaussianOptimizer))
    given: dict[str, AnyOptimizer] = dict.fromkeys(GROUPS, optimizer) if single else dict(optimizer)
    members = _members(given, names, model, running)
    parts: list[Part] = []
    for key, group in members.items():
        if not group:
            continue
        if key not in given:
            raise ModelError(
                f"parameter {group[0]!r} belongs to the {key}, and there is no optimiser for that.",
                expected='optimizer={"model": ..., "guide": ...}, or one optimiser for all',
                got=f"optimisers for {list(given)}",
            )
        # What has an optimiser of its own still belongs to the model or to the guide, and takes its turn.
        role = "model" if group[0] in model else "guide"
        chosen = given[key]
        spec = chosen.spec if isinstance(chosen, Optimizer) else chosen.spec(key, group, guide)
        parts.append(Part(group, spec, None if schedule is None else schedule.turns[role]))
    for rate in sorted(set(running.values())):
        parts.append(Part(tuple(n for n, r in running.items() if r == rate), SGD(rate).spec))
    return tuple(parts)


def _members(
    given: Mapping[str, AnyOptimizer], names: Sequence[str], model: Collection[str], running: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """The parameters of each optimiser: those of a parameter or network that is named, then those of model and guide.

    Raises:
        UnknownNameError: nothing has that name.
    """
    left = [n for n in names if n not in running]
    members: dict[str, tuple[str, ...]] = {}
    for key in given:
        if key in GROUPS:
            continue
        members[key] = tuple(n for n in left if n == key or n.startswith(f"{key}."))
        if not members[key]:
            known = [*GROUPS, *left, *dict.fromkeys(n.partition(".")[0] for n in left)]
            raise UnknownNameError(
                f"there is no group of parameters {key!r} to optimise.",
                expected="'model', 'guide', a parameter or a network",
                got=repr(key),
                remedy=nearest(str(key), known),
            )
        left = [n for n in left if n not in members[key]]
    members["model"] = tuple(n for n in left if n in model)
    members["guide"] = tuple(n for n in left if n not in model)
    return members
