"""Parameters that no gradient reaches: all that depends on them comes through comparisons or rounding."""

from __future__ import annotations

from collections.abc import Iterable

from ppl.errors import StrategyError
from ppl.program.program import Program, expressions
from ppl.program.statements import Factor, Sample
from ppl.program.values import Value

from .smoothness import COMPARISONS


def refuse_unseen(model: Program, guide: Program) -> None:
    """Refuse trained parameters whose gradient is zero everywhere, though the objective depends on them.

    They would stay where they started, without a word: an encoder whose output only says which entry of a table is the
    nearest, for example.

    Raises:
        StrategyError: naming the parameter, what reads it, and the operation between them.
    """
    smooth: set[str] = set()
    rough: dict[str, tuple[Program, str, str]] = {}
    for program in (model, guide):
        for statement in program.statements:
            if isinstance(statement, (Sample, Factor)):
                for name, op in _parameters_read(program, expressions(statement)).items():
                    if op is None:
                        smooth.add(name)
                    else:
                        rough.setdefault(name, (program, statement.name, op))
    for name, (program, reader, op) in rough.items():
        statement = program.by_name[name]
        if name in smooth or not getattr(statement, "trained", True):
            continue
        what = "network" if name in program.networks else "parameter"
        raise StrategyError(
            f"it depends on {what} {name!r} only through `{op}`, whose derivative is zero: no gradient would ever move "
            f"{name!r}.",
            site=reader,
            model=program.name,
            declared_at=program.by_name[reader].location,
            expected=f"a distribution that changes smoothly with {name!r}",
            got=f"{name!r} of {statement.location}, read through `{op}`",
            remedy="Let probabilities follow what is compared: logits=-distance / temperature instead of the nearest.",
        )


def _parameters_read(program: Program, roots: Iterable[Value]) -> dict[str, str | None]:
    """Parameters and networks that expressions depend on, each with the operation that hides it; None if none does."""
    found: dict[str, str | None] = {}
    seen: set[tuple[int, bool]] = set()
    waiting: list[tuple[Value, str | None]] = [(root, None) for root in roots]
    while waiting:
        node, hidden = waiting.pop()
        if (id(node), hidden is None) in seen:
            continue
        seen.add((id(node), hidden is None))
        if node.op in ("param", "network"):
            name = node.attr("name")
            found[name] = None if hidden is None or found.get(name, hidden) is None else hidden
        if node.op in ("site", "carry"):
            statement = program.by_name.get(node.attr("name"))
            if statement is not None and not isinstance(statement, Sample):
                waiting += [(root, hidden) for root in expressions(statement)]
        whole = node.op == "astype" and node.dtype != "float" and node.args[0].dtype == "float"
        below = node.op if hidden is None and (node.op in COMPARISONS or whole) else hidden
        waiting += [(arg, below) for arg in node.args]
    return found
