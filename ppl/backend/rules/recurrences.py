"""Scans: values one step earlier, and recurrences as a function of one step that the runtime repeats."""

# Each rule is named for the operation it lowers: (lowering, node, pieces of its operands) -> piece.
# ruff: noqa: D103

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ppl.backend.layout import Layout, frame_of, index_text, merge, trim
from ppl.backend.pieces import Piece
from ppl.backend.spelling import ATOM
from ppl.program.values import Plate, Value, rewrite, walk

from .plates import move
from .registry import rule

if TYPE_CHECKING:
    from ppl.backend.lowering import Lowering


@rule
def shift(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    init, following = args
    time: Plate = node.attr("plate")
    layout = merge([init.layout, following.layout])
    texts = [low.aligned(a, layout).text for a in (init, following)]
    axis = -(low.positions[time.name] + layout.rank)
    reverse = ["reverse=True"] if node.attr("reverse") else []
    return low.call("runtime.shift", *texts, str(axis), *reverse, layout=layout)


@rule
def step_keys(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    time: Plate = node.attr("plate")
    return low.call("runtime.step_keys", args[0].text, str(time.size), layout=_steps(low, time))


@rule
def scanned(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    whole = low.scans[id(node.args[0])]
    at = whole.results.index(node.attr("at"))
    return _steps_to_place(low, Piece(f"{whole.variable}[{at}]", ATOM, whole.layouts[at]), whole.time)


@rule
def chain(low: Lowering, node: Value, args: list[Piece]) -> Piece:
    time: Plate = node.attr("plate")
    now, before = node.attr("now"), node.attr("before")
    gone = {time, *now, *before}
    whole = merge(a.layout for a in args)
    batch = [p for p in whole.frame if p is not None and p not in gone]
    first, own, pair = args
    moving = time in pair.layout.frame
    # The first step is one of all where what comes before it depends on the step.
    starts = time in first.layout.frame
    texts = [
        _last(low, first, batch, (*((time,) if starts else ()), *now)),
        _last(low, own, batch, (time, *now)),
        _last(low, pair, batch, (*((time,) if moving else ()), *now, *before)),
    ]
    settings = [f"sites={len(now)}"] if len(now) > 1 else []
    settings += [f"{name}=True" for name, on in (("starts", starts), ("moving", moving)) if on]
    settings += ["reverse=True"] if node.attr("reverse") else []
    frame = trim(None if p in gone else p for p in whole.frame)
    out = low.call("runtime.chain", *texts, *settings, layout=Layout(whole.lead, frame, 0))
    return low.indexed(out, index_text(["None" if p is None else ":" for p in frame]))


def _last(low: Lowering, piece: Piece, batch: list[Plate], last: tuple[Plate, ...]) -> str:
    """A value with some of its plates as its last axes, and in front of them one axis for each plate of `batch`."""
    frame = piece.layout.frame
    source = tuple(frame.index(p) - len(frame) for p in last)
    out = move(low, piece, source, tuple(range(-len(last), 0)))
    kept = [p for p in frame if p not in last]
    parts: list[str] = []
    order = {p: i for i, p in enumerate(batch)}
    missing = [p for p in batch if p not in kept]
    for p in kept:
        if p is None:
            parts.append("0")
            continue
        while missing and order[missing[0]] < order[p]:
            parts.append("None")
            missing.pop(0)
        parts.append(":")
    parts += ["None"] * len(missing)
    return low.indexed(out, index_text(parts + [":"] * len(last))).text


@dataclass(frozen=True)
class Scan:
    """A recurrence that has been lowered.

    Attributes:
        variable: the tuple of its results, steps in front.
        time: the plate of its steps.
        results: which operands of its node these are.
        layouts: of one step of each result.
    """

    variable: str
    time: Plate
    results: tuple[int, ...]
    layouts: tuple[Layout, ...]


def outside(node: Value) -> list[Value]:
    """What has to be lowered before a recurrence: the starts, and what its steps read but do not compute."""
    count: int = node.attr("count")
    return [*node.args[:count], *frontier(node)]


def frontier(node: Value) -> list[Value]:
    """The largest values that the steps of a recurrence read and that depend on nothing inside of it."""
    body = list(node.args[node.attr("count") :])
    free: dict[int, frozenset[int]] = {}
    bound: set[int] = {node.attr("token")}
    for inner in walk(body):
        tokens = frozenset[int]().union(*(free[id(a)] for a in inner.args))
        if inner.op == "carried":
            tokens = frozenset([inner.attr("token")])
        elif inner.op == "scan":
            bound.add(inner.attr("token"))
            tokens -= {inner.attr("token")}
        elif inner.op == "step_keys" and inner.attr("plate") != node.attr("plate"):
            # Keys of the steps of an inner scan are made in each step out of that step's own.
            tokens |= {node.attr("token")}
        free[id(inner)] = tokens
    found: dict[int, Value] = {}
    seen: set[int] = set()
    stack = list(reversed(body))
    while stack:
        inner = stack.pop()
        if id(inner) in seen:
            continue
        seen.add(id(inner))
        if free[id(inner)] & bound:
            stack.extend(reversed(inner.args))
        else:
            found[id(inner)] = inner
    return list(found.values())


def lower_scan(low: Lowering, node: Value) -> Piece:
    """A recurrence: the function of one step, and the call that repeats it."""
    time: Plate = node.attr("plate")
    count, token = node.attr("count"), node.attr("token")
    inits = [low.array(low.pieces[id(a)]) for a in node.args[:count]]
    edge = frontier(node)
    pieces = [low.pieces[id(v)] for v in edge]
    sliced = [time in p.layout.frame for p in pieces]
    lead = any(p.layout.lead for p in (*inits, *pieces))

    # The body of a step: plates without that of the steps, and variables for what comes from outside.
    slots: dict[int, Value] = {}
    for value in edge:
        slots[id(value)] = _slot(value, time)
    carried = {n.attr("name"): n for n in walk(list(node.args)) if n.op == "carried" and n.attr("token") == token}
    handed = {name: _slot(n, time) for name, n in carried.items()}

    def strip(inner: Value, args: tuple[Value, ...]) -> Value | None:
        if id(inner) in slots:
            return slots[id(inner)]
        if inner.op == "carried" and inner.attr("token") == token:
            return handed[inner.attr("name")]
        plates = tuple(p for p in inner.plates if p != time)
        return Value(inner.op, args, inner.attrs, plates, inner.shape, inner.dtype, inner.hint)

    wanted = tuple(sorted(low.wanted.get(id(node), ())))
    chosen = dict.fromkeys([*range(count, 2 * count), *wanted])
    body = rewrite({str(i): node.args[i] for i in chosen}, strip)
    # What is handed on and wanted as a result is used twice.
    low.plan([body[str(i)] for i in (*range(count, 2 * count), *wanted)])
    before, low.lines = low.lines, []
    carry, x = low.fresh("carry"), low.fresh("x")
    variables: dict[str, str] = {}
    for name in node.attr("names"):
        # A carry that no step reads is handed on all the same.
        stem = carried[name].hint[0] if name in carried else name.rpartition(".")[2]
        variables[name] = low.fresh(stem)
        if name in handed:
            layout = Layout(lead, frame_of(handed[name].plates, low.positions), handed[name].ndim)
            low.hold(handed[name], Piece(variables[name], ATOM + 1, layout))
    elements: list[str] = []
    for value, piece, own in zip(edge, pieces, sliced, strict=True):
        if not own:
            low.hold(slots[id(value)], piece)
            continue
        named = {"noise": "noise_", "input": ""}
        stem = value.hint[0] if value.hint else named[value.op] + value.attr("name") if value.op in named else "x"
        elements.append(low.fresh(stem))
        low.hold(slots[id(value)], _one_step(low, Piece(elements[-1], ATOM + 1, piece.layout), time, value))
    followers = [low.array(low.piece(body[str(count + i)])) for i in range(count)]
    results = [low.array(low.piece(body[str(at)])) for at in wanted]
    step = low.fresh(f"{time.name}_step")
    lines = [f"def {step}({carry}, {x}):"]
    lines.append(f"    {_tuple(variables.values())} = {carry}")
    if elements:
        lines.append(f"    {_tuple(elements)} = {x}")
    lines += [f"    {line}" for line in low.lines]
    shapes: list[str] = []
    handed_on: list[str] = []
    starts: list[str] = []
    for name, init, follower in zip(node.attr("names"), inits, followers, strict=True):
        plates = carried[name].plates if name in carried else ()
        frame = frame_of((p for p in plates if p != time), low.positions)
        own = Layout(lead, frame, follower.layout.rank)
        handed_on.append(low.aligned(follower, own).text)
        starts.append(low.aligned(init, own).text)
        event = carried[name].shape if name in carried else ()
        shapes.append(low.shape_text(Layout(False, frame, 0), event))
    lines.append(f"    return {_tuple(handed_on)}, {_tuple(r.text for r in results)}")
    low.lines = [*before, *lines]
    arrays = [_time_first(low, p, time, v).text for v, p, own in zip(edge, pieces, sliced, strict=True) if own]
    variable = low.fresh(f"{time.name}_steps")
    settings = ["reverse=True"] if node.attr("reverse") else []
    call = ", ".join([step, _tuple(starts), _tuple(arrays), str(time.size), _tuple(shapes), *settings])
    low.lines.append(f"{variable} = runtime.scan({call})")
    low.scans[id(node)] = Scan(variable, time, wanted, tuple(r.layout for r in results))
    return Piece(variable, ATOM + 1, Layout(False, (), 0))


def _slot(value: Value, time: Plate) -> Value:
    plates = tuple(p for p in value.plates if p != time)
    return Value("slot", (), (), plates, value.shape, value.dtype, value.hint)


def _tuple(items: object) -> str:
    texts = list(items)  # type: ignore[call-overload]
    return f"({', '.join(texts)}{',' if len(texts) == 1 else ''})"


def _steps(low: Lowering, time: Plate) -> Layout:
    return Layout(False, frame_of((time,), low.positions), 0)


def _time_first(low: Lowering, piece: Piece, time: Plate, value: Value) -> Piece:
    """A value of all steps with the steps in front of all axes."""
    layout, position = piece.layout, low.positions[time.name]
    if value.op == "step_keys" or (not layout.lead and len(layout.frame) == position):
        return piece
    return move(low, piece, -(position + layout.rank), 0)


def _one_step(low: Lowering, piece: Piece, time: Plate, value: Value) -> Piece:
    """One step of a value whose steps were put in front: the axis of steps is gone."""
    layout, position = piece.layout, low.positions[time.name]
    if value.op == "step_keys":
        # Keys have no axes for plates, only one for the steps.
        return Piece(piece.text, piece.level, Layout(False, (), 0))
    left, right = layout.frame[: len(layout.frame) - position], layout.frame[len(layout.frame) - position + 1 :]
    if left:
        # Plates further out keep their place by an axis of size one where the steps were.
        parts = [":"] * len(left) + ["None"] + [":"] * (len(right) + layout.rank)
        return low.indexed(
            Piece(piece.text, piece.level, Layout(layout.lead, (*left, None, *right), layout.rank)), index_text(parts)
        )
    rest = trim(right)
    parts = ["0"] * (len(right) - len(rest)) + [":"] * (len(rest) + layout.rank)
    return low.indexed(Piece(piece.text, piece.level, Layout(layout.lead, rest, layout.rank)), index_text(parts))


def _steps_to_place(low: Lowering, piece: Piece, time: Plate) -> Piece:
    """A result of all steps, these in front of all axes, with the axis of steps at its place among the plates."""
    own, position = piece.layout, low.positions[time.name]
    frame = own.frame
    if len(frame) >= position:
        slot = len(frame) - position
        parts = [":"] * slot + ["0"] + [":"] * (position - 1 + own.rank)
        whole = (*frame[:slot], time, *frame[slot + 1 :])
    else:
        parts = ["None"] * (position - 1 - len(frame)) + [":"] * (len(frame) + own.rank)
        whole = (time, *(None for _ in range(position - 1 - len(frame))), *frame)
    out = low.indexed(piece, index_text(parts))
    layout = Layout(own.lead, whole, own.rank)
    if own.lead or len(whole) > position:
        out = move(low, out, 0, -(position + own.rank))
    return Piece(out.text, out.level, layout)
