"""Which statements make up the step of a scan, and where the axes of scans stand in native models."""

from __future__ import annotations

from collections.abc import Iterator

from ppl.program.program import Program, expressions
from ppl.program.statements import Carry, Statement
from ppl.program.values import Plate, walk

from .layout import plate_positions


def native_positions(program: Program) -> dict[str, int]:
    """The position of every plate, as in `plate_positions`, with the axes of scans outside all plates."""
    times = {c.time.name for c in program.carries.values()}
    positions = plate_positions(program, without=times)
    widest = max(positions.values(), default=0)
    return positions | {name: widest + 1 + i for i, name in enumerate(sorted(times))}


def groups(program: Program) -> Iterator[tuple[tuple[Carry, ...], list[Statement]]]:
    """Statements in order, those of the step of a scan together, with what the step is handed."""
    carries: list[Carry] = []
    members: list[Statement] = []
    for statement in program.statements:
        inside = bool(carries) and statement.plates[: len(carries[0].plates)] == carries[0].plates
        if isinstance(statement, Carry):
            if inside and len(statement.plates) > len(carries[0].plates):
                members.append(statement)
                continue
            if not inside or members or _another_scan(statement, carries[0]):
                yield from _group(carries, members)
                carries, members = [], []
            carries.append(statement)
            continue
        if carries and (not inside or _reads_all_steps(statement, carries[0].time)):
            yield from _group(carries, members)
            carries, members = [], []
        members.append(statement)
    yield from _group(carries, members)


def _group(carries: list[Carry], members: list[Statement]) -> Iterator[tuple[tuple[Carry, ...], list[Statement]]]:
    if carries or members:
        yield tuple(carries), list(members)


def _another_scan(carry: Carry, first: Carry) -> bool:
    """Whether a carry cannot be one of the same loop: it goes the other way, or reads all steps of the first."""
    return carry.time != first.time or carry.reverse != first.reverse or _reads_all_steps(carry, first.time)


def _reads_all_steps(statement: Statement, time: Plate) -> bool:
    return any(n.op == "leave" and time in n.attr("plates") for n in walk(expressions(statement)))
