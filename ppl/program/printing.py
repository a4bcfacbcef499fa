"""Programs as text, in the style in which a person writes them: plates indented, file and line at the right."""

# Statements are an open set; a match over them ends in an error.
# pyright: reportMatchNotExhaustive=false

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from .distributions import Distribution
from .missing import is_own_input
from .statements import Carry, Deterministic, Factor, Network, Param, Sample, Statement
from .values import Frozen, Plate, Value, walk

if TYPE_CHECKING:
    from .program import Program

INFIX = {
    "add": ("+", 6), "subtract": ("-", 6), "multiply": ("*", 7), "divide": ("/", 7), "floor_divide": ("//", 7),
    "remainder": ("%", 7), "matmul": ("@", 7), "pow": ("**", 9), "less": ("<", 3), "less_equal": ("<=", 3),
    "greater": (">", 3), "greater_equal": (">=", 3), "equal": ("==", 3), "not_equal": ("!=", 3),
    "logical_and": ("&", 5), "logical_or": ("|", 4), "logical_xor": ("^", 4),
}  # fmt: skip
PREFIX = {"negative": ("-", 8), "logical_not": ("~", 8)}
ATOM = 20
DEEPEST = 12


def number_text(number: Any) -> str:
    """A constant as a person writes it."""
    if isinstance(number, Frozen):
        array = number.array
        if array.ndim == 2 and array.dtype.kind == "f" and np.array_equal(array, np.eye(*array.shape)):
            return f"eye{array.shape}"
        if array.size <= 16:
            return str(array.tolist())
        if array.size and np.all(array == array.flat[0]):
            return f"full({list(array.shape)}, {array.flat[0].item()!r})"
        return f"array{list(array.shape)}"
    return repr(number)


def key_text(key: tuple[Any, ...], shape: tuple[int, ...]) -> str:
    """The key of a static index, with full slices written as `:`."""
    parts: list[str] = []
    axis = 0
    for item in key:
        if item is None:
            parts.append("None")
            continue
        if isinstance(item, int):
            parts.append(str(item))
        else:
            start, stop, step = item
            size = shape[axis]
            text = f"{start or ''}:{'' if stop == size else stop}"
            parts.append(text + (f":{step}" if step != 1 else ""))
        axis += 1
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return ", ".join(parts)


class Expressions:
    """Prints values.

    Args:
        named: values that appear by their name instead of their definition, by identity.
        deepest: how many operations are shown inside one another; shared parts could give any number.
        carries: what carries of scans are called, by name.
    """

    def __init__(
        self,
        named: dict[int, str] | None = None,
        deepest: int = 2 * DEEPEST,
        carries: Mapping[str, str] | None = None,
    ) -> None:
        self.named = named or {}
        self.deepest = deepest
        self.carries = carries or {}
        self._depth = 0

    def text(self, value: Value, outer: int = 0) -> str:
        """One value, in parentheses where the surrounding operator binds tighter."""
        if id(value) in self.named:
            return self.named[id(value)]
        if self._depth >= self.deepest and value.args:
            return "..."
        self._depth += 1
        body, level = self.definition(value)
        self._depth -= 1
        return f"({body})" if level < outer else body

    def definition(self, value: Value) -> tuple[str, int]:
        """The text that defines a value, and how tightly it binds."""
        op = value.op
        if op in INFIX:
            symbol, level = INFIX[op]
            a, b = value.args
            left, right = (level + 1, level) if op == "pow" else (level, level + 1)
            if op == "pow":
                return f"{self.text(a, left)}{symbol}{self.text(b, right).removesuffix('.0')}", level
            return f"{self.text(a, left)} {symbol} {self.text(b, right)}", level
        if op in PREFIX:
            symbol, level = PREFIX[op]
            return f"{symbol}{self.text(value.args[0], level)}", level
        return self._call(value), ATOM

    def _call(self, value: Value) -> str:
        op, args = value.op, value.args
        if op == "const":
            return number_text(value.attrs[0][1])
        if op in ("site", "param", "input"):
            return value.attr("name")
        if op in ("carry", "carried"):
            own = value.hint[0] if value.hint else value.attr("name")
            return self.carries.get(value.attr("name"), own)
        if op in ("noise", "key"):
            return f"{op}_{value.attr('name')}"
        if op == "scheduled":
            return value.attr("name")
        if op == "plate_index":
            return value.hint[0] if value.hint else f"{value.attr('plate').name}_index"
        if op in ("plate_count", "plate_scale"):
            return f"{op}({value.attr('plate').name})"
        if op == "element":
            return value.hint[0] if value.hint else f"{self.text(args[0], ATOM)}[{value.attr('plate').name}]"
        if op == "leave":
            return self.text(args[0], ATOM)
        if op == "network":
            name = value.attr("name")
            # Weights that are sites come with the network's own line.
            given = [a for a in args if not (a.op == "site" and a.attr("name").startswith(f"{name}."))]
            return f"{name}({', '.join(self.text(a) for a in given)})"
        if op == "index":
            return f"{self.text(args[0], ATOM)}[{key_text(value.attr('key'), args[0].shape)}]"
        if op == "take":
            return f"{self.text(args[0], ATOM)}[{self.text(args[1])}]"
        if op == "permute_dims" and value.attr("axes") == tuple(reversed(range(args[0].ndim))):
            return f"{self.text(args[0], ATOM)}.T"
        if op == "astype":
            return self.text(args[0])
        if op in ("stack", "concat"):
            inner = f"[{', '.join(self.text(a) for a in args)}]"
        else:
            inner = ", ".join(self.text(a) for a in args)
        extras: list[str] = []
        for name, item in value.attrs:
            if name == "axis" and isinstance(item, tuple):
                axes = cast("tuple[int, ...]", item)
                if len(axes) == args[0].ndim and op not in ("softmax", "log_softmax"):
                    continue
                item = axes[0] if len(axes) == 1 else axes
            if item is False:
                continue
            extras.append(f"{name}={item!r}")
        return f"{op}({', '.join([inner, *extras])})"


def expression(value: Value) -> str:
    """One value as text, without names for its parts."""
    return Expressions().text(value)


def distribution_text(dist: Distribution, printer: Expressions | None = None) -> str:
    """A distribution as the user writes it."""
    show = printer or Expressions(deepest=6)
    parts = [distribution_text(d, show) for d in dist.nested().values()]
    for index, (name, value) in enumerate(dist.params.items()):
        positional = index < dist.positional and name not in ("probs", "logits")
        parts.append(show.text(value) if positional else f"{name}={show.text(value)}")
    for name, item in dist.static.items():
        if hasattr(item, "text"):
            # A kernel comes first, and shows its values as the program calls them.
            parts.insert(0, item.text(show.text))
            continue
        # Several things in one setting are arguments of their own, as in Transformed(base, first, second).
        several = cast("tuple[Any, ...]", item) if isinstance(item, tuple) else None
        parts += [f"{name}={item}"] if several is None else [_part_text(i, show) for i in several]
    text = f"{dist.family}({', '.join(parts)})"
    batch = dist.event_shape[: len(dist.event_shape) - dist.event_rank]
    if dist.expanded and batch:
        text += f".expand({list(batch)})"
    if dist.mask_value is not None:
        text += f".mask({show.text(dist.mask_value)})"
    return text


def _part_text(part: Any, show: Expressions) -> str:
    # A bijection writes its operands by the names that they have here.
    write = getattr(part, "text", None)
    return str(part) if write is None else write(show.text)


@dataclass(frozen=True, eq=False)
class _Next(Statement):
    """The end of a scan's step, where what it hands on is known: a line of its own in the text of a program."""

    carry: Carry


def _roots(statement: Statement) -> tuple[Value, ...]:
    from .program import expressions

    if isinstance(statement, Carry):
        return (statement.init,)
    if isinstance(statement, _Next):
        return (statement.carry.following,)
    return expressions(statement)


def in_order(statements: Iterable[Statement]) -> tuple[Statement, ...]:
    """Statements as a person writes them: what a step hands on comes at the end of the step."""
    out: list[Statement] = []
    pending: list[Carry] = []

    def close(plates: tuple[Plate, ...]) -> None:
        while pending and pending[-1].plates != plates[: len(pending[-1].plates)]:
            done = [c for c in pending if c.plates == pending[-1].plates]
            out.extend(_Next(c.name, c.plates, None, c) for c in done)
            del pending[len(pending) - len(done) :]

    for statement in statements:
        close(statement.plates)
        if isinstance(statement, Carry):
            pending.append(statement)
        out.append(statement)
    close(())
    return tuple(out)


def carry_names(statements: Iterable[Statement]) -> dict[str, str]:
    """What the text calls the carries of scans: as the user does, unless a statement has that name."""
    statements = tuple(statements)
    names = {s.name for s in statements}
    carries, used = [s for s in statements if isinstance(s, Carry)], set(names)
    return {c.name: fresh(f"{c.hint}_before" if c.hint in names else c.hint, used) for c in carries}


def printer_of(program: Program) -> tuple[Expressions, tuple[Statement, ...], dict[str, list[Value]]]:
    """What prints the values of a program, its statements in the order of the text, and what to define before each."""
    statements = in_order(program.statements)
    carries = carry_names(statements)
    names, before = plan_names(statements, {*(s.name for s in statements), *carries.values()})
    return Expressions(names, carries=carries), statements, before


def plan_names(statements: tuple[Statement, ...], taken: set[str]) -> tuple[dict[int, str], dict[str, list[Value]]]:
    """Decide which intermediate values get a line of their own.

    A value does if the user gave it a name, if it is used more than once and is not a leaf, or if it holds so many
    operations inside one another that nobody could read them.

    Returns:
        Names by identity of the value, and for each statement the values to define before it.
    """
    uses: Counter[int] = Counter()
    everything: set[int] = set()
    for statement in statements:
        for node in walk(_roots(statement)):
            if id(node) not in everything:
                everything.add(id(node))
                uses.update(id(a) for a in node.args)
        uses.update(id(root) for root in _roots(statement))
    names: dict[int, str] = {}
    before: dict[str, list[Value]] = {}
    used = set(taken)
    depth: dict[int, int] = {}
    silent = {"site", "param", "input", "const", "element", "plate_index", "leave", "astype", "noise", "carry"}
    for statement in statements:
        for node in walk(_roots(statement)):
            if id(node) in names:
                continue
            depth[id(node)] = 1 + max((depth[id(a)] for a in node.args), default=0)
            if node.op in silent or (not node.hint and uses[id(node)] < 2 and depth[id(node)] < DEEPEST):
                continue
            depth[id(node)] = 0
            name = fresh(node.hint[0] if node.hint else "value", used)
            names[id(node)] = name
            before.setdefault(_key(statement), []).append(node)
    return names, before


def _key(statement: Statement) -> str:
    return f"next {statement.name}" if isinstance(statement, _Next) else statement.name


def fresh(stem: str, used: set[str]) -> str:
    """A name that is not used yet, entered into `used`."""
    name, count = stem, 2
    while name in used:
        name, count = f"{stem}_{count}", count + 1
    used.add(name)
    return name


def program_text(program: Program) -> str:
    """A program in the style of the user's source."""
    arguments = [f"{i.name}: {i.dtype}{list(i.shape)}" for i in program.inputs if not is_own_input(i.name)]
    arguments += [f"{name}={text}" for name, text in program.settings]
    rows: list[tuple[str, str]] = [(f"{program.name}({', '.join(arguments)})", "")]
    printer, statements, before = printer_of(program)
    names = printer.named
    aliases = {p.plate: p for p in program.plates}
    open_now: tuple[Plate, ...] = ()
    # The weights of a random network are sites too; its own line stands for them.
    hidden_sites = {w for n in program.networks.values() if n.random for w in n.spec.weights}
    for statement in statements:
        plates = statement.plates
        keep = 0
        while keep < min(len(plates), len(open_now)) and plates[keep] == open_now[keep]:
            keep += 1
        for depth in range(keep, len(plates)):
            rows.append(
                (
                    "    " * (depth + 1) + _plate_line(plates[depth], aliases, printer, program.carries.values()),
                    _at(aliases[plates[depth]]),
                )
            )
        open_now = plates
        indent = "    " * (len(plates) + 1)
        for value in before.get(_key(statement), []):
            hidden = Expressions({k: v for k, v in names.items() if k != id(value)}, carries=printer.carries)
            rows.append((f"{indent}{names[id(value)]} = {hidden.text(value)}", ""))
        if statement.name not in hidden_sites:
            both_ways = bool(plates) and len(_directions(program.carries.values(), plates[-1])) == 2
            rows.append((indent + statement_text(statement, printer, both_ways), _at(statement)))
    width = min(max(len(text) for text, _ in rows) + 2, 88)
    return "\n".join(f"{text:<{width - 2}}  {at}".rstrip() for text, at in rows)


def _at(item: Any) -> str:
    return f"# {os.path.basename(item.location.file)}:{item.location.line}" if item.location else ""


def _plate_line(plate: Plate, aliases: dict[Plate, Any], printer: Expressions, carries: Collection[Carry] = ()) -> str:
    statement = aliases[plate]
    if statement.ordered:
        sources = ", ".join(printer.text(s) for s in statement.sources)
        mapped = f"({sources})" if len(statement.sources) > 1 else sources
        backwards = ", reverse=True" if _directions(carries, plate) == {True} else ""
        over = f"xs={mapped}{backwards}):  # {plate.size} steps" if mapped else f"length={plate.size}{backwards}):"
        return f"for {statement.alias or '_'} in scan({plate.name!r}, {over}"
    alias = f" as {statement.alias}" if statement.alias else ""
    if not statement.sources:
        return f"with plate({plate.name!r}, size={plate.size}){alias}:"
    sources = ", ".join(printer.text(s) for s in statement.sources)
    inner = f"({sources})" if len(statement.sources) > 1 else sources
    return f"with plate({plate.name!r}, {inner}){alias}:  # {plate.size} elements"


def _directions(carries: Collection[Carry], plate: Plate) -> set[bool]:
    return {c.reverse for c in carries if c.time == plate}


def statement_text(statement: Statement, printer: Expressions, both_ways: bool = False) -> str:
    """One statement as a line; `both_ways` if scans run along its plate in both directions."""
    match statement:
        case Sample():
            if statement.dist.family == "Imputed":
                return f"{statement.name}: the {statement.plates[0].size} missing elements  [imputed]"
            notes = [n for n, on in (("observed", statement.observed), ("auxiliary", statement.auxiliary)) if on]
            notes += [] if statement.missing is None else [str(statement.missing)]
            return f"{statement.name} ~ {distribution_text(statement.dist, printer)}" + "".join(
                f"  [{n}]" for n in notes
            )
        case Deterministic():
            arrow = ":= do" if statement.intervened else "="
            given = statement.expression
            while given.op == "element":
                given = given.args[0]
            # One value for each element came with `do`, as an input of its own that the user has no name for.
            own = given.op == "input" and given.attr("name") == f"do.{statement.name}"
            text = f"array{list(given.shape)}" if own else printer.text(statement.expression)
            return f"{statement.name} {arrow} {text}"
        case Factor():
            return f"factor {statement.name}: {printer.text(statement.expression)}"
        case Param():
            kind = "" if statement.support.kind == "real" else f", support={statement.support}"
            return f"{statement.name} = param({number_text(_scalar(statement.init))}{kind})"
        case Carry():
            backwards = ", reverse=True" if both_ways and statement.reverse else ""
            return f"{printer.text(statement.value)} = carry({printer.text(statement.init)}{backwards})"
        case _Next():
            return f"next {printer.text(statement.carry.value)} = {printer.text(statement.carry.following)}"
        case Network():
            return f"{statement.name} = {statement.spec.text}" + ("  [random weights]" if statement.random else "")
    raise TypeError(type(statement).__name__)


def _scalar(frozen: Frozen) -> Any:
    return frozen.array.item() if frozen.array.ndim == 0 else frozen
