"""Whether model and guide use a draw smoothly: a pathwise gradient does not see through comparisons and rounding."""

from __future__ import annotations

from collections.abc import Mapping

from ppl.program.program import Program, expressions
from ppl.program.statements import Sample
from ppl.program.values import Value, walk

from .dependence import Dependence

# Operations through which no gradient passes: a dependence on a site through one of these is lost.
COMPARISONS = frozenset(
    [
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "equal",
        "not_equal",
        "floor",
        "ceil",
        "round",
        "trunc",
        "sign",
        "argmax",
        "argmin",
        "argsort",
        "floor_divide",
    ]
)


def rough_uses(model: Program, guide: Program) -> dict[str, tuple[str, str, Program]]:
    """The real guide sites that a statement reads through such an operation.

    Returns:
        For each site the statement, the operation, and the program they stand in.
    """
    latents = {n for n in guide.sites if guide.sites[n].dist.dtype == "float"}
    found: dict[str, tuple[str, str, Program]] = {}
    for program in (model, guide):
        for statement in program.statements:
            for root in expressions(statement):
                for node in walk([root]):
                    if node.op in COMPARISONS:
                        for site in _sites_read(program, node) & latents:
                            found.setdefault(site, (statement.name, node.op, program))
    return found


def _sites_read(program: Program, root: Value) -> set[str]:
    found: set[str] = set()
    for node in walk([root]):
        if node.op == "site":
            name = node.attr("name")
            statement = program.by_name.get(name)
            if isinstance(statement, Sample):
                found.add(name)
            elif statement is not None:
                for expression in expressions(statement):
                    found |= _sites_read(program, expression)
    return found


def discrete_uses(terms: Mapping[str, Value], dependence: Dependence, site: str) -> tuple[str, str] | None:
    """A term that reads a discrete site in a way that has no meaning for values between: as an index, in a comparison.

    Returns:
        The term and the operation; None if there is none.
    """
    for label, term in terms.items():
        for node in dependence.between(term):
            rough = node.op in COMPARISONS or node.op in ("take", "take_along", "one_hot", "segment_sum")
            rough = rough or (node.op == "astype" and node.dtype != "float")
            if rough and any(site in dependence.direct(a) for a in node.args):
                return label, node.op
    return None
