"""A program inside one more plate: many runs of it at once, each with data of its own."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ppl.errors import StrategyError
from ppl.program.ops import element
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Factor, Input, Network, Param, PlateStatement, Sample, Statement
from ppl.program.values import Plate, Value, reference

from .density import Resolver


class _Repeater(Resolver):
    """Reads a program in which some inputs are elements of arrays of them."""

    def __init__(self, program: Program, inputs: dict[str, Value]) -> None:
        super().__init__(program)
        self.inputs = inputs

    def _node(self, node: Value) -> Value:
        if node.op == "input" and node.attr("name") in self.inputs:
            return self.inputs[node.attr("name")]
        args = tuple(self._done[id(a)] for a in node.args)
        if node.op == "element":
            return element(args[0], node.attr("plate"))
        if node.op == "network":
            # Networks stay what they are: their elements vary over one plate more.
            return node if all(a is b for a, b in zip(args, node.args, strict=True)) else self.rebuilt(node, args)
        return super()._node(node)


def free_plate(program: Program, stem: str, size: int) -> Plate:
    """A plate whose name the program has not used yet."""
    taken = {p.name for p in program.plates} | {s.name for s in program.statements} | {i.name for i in program.inputs}
    name, count = stem, 2
    while name in taken:
        name, count = f"{stem}_{count}", count + 1
    return Plate(name, size)


def repeated(program: Program, plate: Plate, inputs: Collection[str]) -> Program:
    """Many runs of a program.

    Args:
        program: a model or guide.
        plate: the plate of the runs; a name that the program does not have.
        inputs: inputs of which each run has its own; the others are shared. Parameters and networks are shared too.

    Returns:
        The program inside the plate. The inputs have a leading axis of runs, and no data.

    Raises:
        StrategyError: a scan, whose steps would need a carry for each run.
    """
    carry = next(iter(program.carries.values()), None)
    if carry is not None:
        raise StrategyError(
            f"it hands {carry.hint!r} from step to step of scan {carry.time.name!r}, and such programs cannot be run "
            "for many sets of data at once.",
            model=program.name,
            declared_at=carry.location,
            remedy="Read the sequence by nn.GRU or nn.LSTM, which take it whole.",
        )
    declared: list[Input] = []
    own: dict[str, Value] = {}
    for given in program.inputs:
        if given.name in inputs:
            wide = Input(given.name, (plate.size, *given.shape), given.dtype)
            own[given.name] = element(wide.value, plate)
            declared.append(wide)
        else:
            declared.append(given)
    reader = _Repeater(program, own)
    statements: list[Statement] = []
    for s in program.statements:
        if isinstance(s, Sample):
            new = replace(s, plates=(plate, *s.plates), dist=s.dist.substitute(reader.value))
            reader.values[s.name] = new.value
        elif isinstance(s, Deterministic):
            # What varies over no run still has a value in each.
            reader.values[s.name] = reader.value(s.expression)
            new = replace(s, plates=(plate, *s.plates), expression=reader.values[s.name])
            reader.values[s.name] = reference("site", s.name, new.plates, s.expression.shape, s.expression.dtype)
        elif isinstance(s, Factor):
            new = replace(s, plates=(plate, *s.plates), expression=reader.value(s.expression))
        else:
            assert isinstance(s, (Param, Network))
            new = s
        statements.append(new)
    sources = tuple(i.value for i in declared if i.name in own)
    plates = [PlateStatement(plate, (), sources, None)]
    for p in program.plates:
        plates.append(replace(p, outer=(plate, *p.outer), sources=tuple(reader.value(v) for v in p.sources)))
    data = {n: a for n, a in program.data.items() if n not in own}
    return Program(program.name, tuple(declared), program.settings, tuple(plates), tuple(statements), data)
