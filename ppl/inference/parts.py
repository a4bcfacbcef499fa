"""Which optimiser moves which parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from ppl.backend.protocol import OptimizerSpec, Part
from ppl.errors import ModelError, UnknownNameError, nearest

from .optimizers import SGD, Alternate, Optimizer
from .surrogate import Surrogate

GROUPS: tuple[str, ...] = ("model", "guide")


def optimizer_parts(
    optimizer: Optimizer | Mapping[str, Optimizer],
    schedule: Alternate | None,
    names: Sequence[str],
    model: Collection[str],
    surrogate: Surrogate,
) -> OptimizerSpec | tuple[Part, ...]:
    """The optimiser of each part of the parameters; one alone where all parameters have the same.

    Args:
        optimizer: what the user asks for.
        schedule: whose turn it is when; None for all at once.
        names: the parameters that are fitted.
        model: those of the model.
        surrogate: the loss; running baselines move by plain gradient descent, learned ones with the guide.

    Raises:
        UnknownNameError: there is no such group of parameters.
        ModelError: a group has parameters and no optimiser.
    """
    own = {n: extra.rate for n, extra in surrogate.plan.extras.items()}
    running = {n: rate for n, rate in own.items() if rate is not None}
    if isinstance(optimizer, Optimizer) and not running and schedule is None:
        return optimizer.spec
    given: dict[str, Optimizer] = (
        dict.fromkeys(GROUPS, optimizer) if isinstance(optimizer, Optimizer) else dict(optimizer)
    )
    for key in given:
        if key not in GROUPS:
            raise UnknownNameError(
                f"there is no group of parameters {key!r} to optimise.",
                expected="'model' and 'guide'",
                got=repr(key),
                remedy=nearest(str(key), GROUPS),
            )
    members = {
        "model": tuple(n for n in names if n in model),
        "guide": tuple(n for n in names if n not in model and n not in running),
    }
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
        parts.append(Part(group, given[key].spec, None if schedule is None else schedule.turns[key]))
    for rate in sorted(set(running.values())):
        parts.append(Part(tuple(n for n, r in running.items() if r == rate), SGD(rate).spec))
    return tuple(parts)
