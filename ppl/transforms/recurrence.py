"""The carries of scans in a graph of expressions: shifted along time where that is possible, recurrences where not.

While the statements of a program are resolved, what a step is handed stays a name. Once all statements are resolved it
is known what every step hands on, as an expression of such names. A carry that follows from sampled sites and inputs
alone is that expression one step earlier (`shift`), for all steps at once. Carries that follow from themselves become
one recurrence (`scan`), which a backend computes step by step; what else depends on them is again computed for all
steps at once from the carries that the recurrence leaves behind.

A `scan` node has as operands the start of each carry, then what each hands on, then other values of a step that are
wanted for all steps. Inside it the carries are leaves `carried`, whose token belongs to this one node. `scanned` takes
one of its results: those of all steps, along the plate of the scan.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from ppl.errors import StrategyError
from ppl.program.ops import apply
from ppl.program.statements import Carry
from ppl.program.values import Lane, Plate, Value, walk

_tokens = itertools.count()

Rebuild = Callable[[Value, tuple[Value, ...]], Value]


@dataclass(frozen=True)
class Handed:
    """A carry with its names filled in, but for those of carries.

    Attributes:
        statement: the carry.
        init: its start.
        following: what a step hands on.
    """

    statement: Carry
    init: Value
    following: Value

    @property
    def time(self) -> Plate:
        """The plate of its scan."""
        return self.statement.time


class Carries:
    """Replaces the names of carries by expressions.

    Args:
        model: name of the model, for messages.
        carries: by name.
        results: values of statements; those that a recurrence computes anyway are taken from it.
        rebuild: a node with other operands.
        first: what to put for a carry that holds a discrete site which is summed out: its start, as in the first step,
            or the values of the site in the step before, on a lane of their own.
    """

    def __init__(
        self,
        model: str,
        carries: Mapping[str, Handed],
        results: Iterable[Value],
        rebuild: Rebuild,
        first: bool = False,
    ) -> None:
        self.model = model
        self.carries = carries
        self.results = list(results)
        self.rebuild = rebuild
        self.first = first
        self.known: dict[str, Value] = {}
        self.taken: dict[int, Value] = {}
        self._done: dict[int, Value] = {}
        self._alive: list[Value] = []
        for name, value in self._solve(set(carries)).items():
            self.known[name] = value

    def __call__(self, root: Value) -> Value:
        """An expression without names of carries."""
        return self._filled(root, self.known, self._done, self.taken)

    # --- solving ---------------------------------------------------------------------------------------------------

    def _solve(self, names: set[str], known: Mapping[str, Value] | None = None) -> dict[str, Value]:
        """The value that each of some carries has in a step; other carries stay names."""
        out: dict[str, Value] = dict(known or {})
        for group in _components(names, {n: self._reads(n) & names for n in names}):
            if len(group) == 1 and group[0] not in self._reads(group[0]):
                name = group[0]
                handed = self.carries[name]
                out[name] = self._shifted(handed, self._with(handed.init, out), self._with(handed.following, out))
                continue
            outer = [n for n in group if all(self.carries[n].time in self.carries[o].statement.plates for o in group)]
            if {self.carries[n].time for n in outer} != {self.carries[outer[0]].time} if outer else True:
                raise self._tangled(group)
            inner = sorted(set(group) - set(outer), key=lambda n: (len(self.carries[n].statement.plates), n))
            inside = self._solve(set(inner), out) if inner else out
            out |= self._recurrence(outer, inside, inner)
            for name in inner:
                # What an inner scan hands on is known from the steps of the outer one if it depends on these.
                handed, following = self.carries[name], self.taken.get(id(self.carries[name].following))
                if following is None:
                    out[name] = self._with(inside[name], out)
                else:
                    init = self._with(handed.init, out)
                    out[name] = shift(init, following, handed.time, handed.statement.reverse, handed.statement.hint)
        return {n: out[n] for n in names} if known is None else out

    def _reads(self, name: str) -> set[str]:
        handed = self.carries[name]
        return {n.attr("name") for n in walk([handed.init, handed.following]) if n.op == "carry"}

    def _with(self, root: Value, known: Mapping[str, Value]) -> Value:
        # What an earlier recurrence has computed is not computed again: a draw would be another draw.
        return self._filled(root, known, {}, self.taken)

    def _filled(
        self, root: Value, known: Mapping[str, Value], done: dict[int, Value], taken: Mapping[int, Value]
    ) -> Value:
        for node in walk([root]):
            if id(node) in done:
                continue
            self._alive.append(node)
            if id(node) in taken:
                done[id(node)] = taken[id(node)]
            elif node.op == "carry" and node.attr("name") in known:
                done[id(node)] = known[node.attr("name")]
            else:
                args = tuple(done[id(a)] for a in node.args)
                same = all(a is b for a, b in zip(args, node.args, strict=True))
                done[id(node)] = node if same else self.rebuild(node, args)
        return done[id(root)]

    def _shifted(self, handed: Handed, init: Value, following: Value) -> Value:
        lanes = lanes_of(following, handed.time)
        if not lanes:
            return shift(init, following, handed.time, handed.statement.reverse, handed.statement.hint)
        if self.first:
            return init
        if any(lane.before for lane in lanes):
            raise self._second_order(handed.statement, lanes[0])
        earlier = _earlier(following, {lane: lane.earlier(handed.time, handed.statement.reverse) for lane in lanes})
        if handed.time not in earlier.plates:
            return earlier
        return shift(init, earlier, handed.time, handed.statement.reverse, handed.statement.hint)

    def _recurrence(
        self, names: list[str], known: Mapping[str, Value], inner: Collection[str] = ()
    ) -> dict[str, Value]:
        """One `scan` node for carries that follow from themselves and one another.

        Args:
            names: the carries, of one scan.
            known: values of other carries within a step, which may read these.
            inner: those of them that belong to scans in the step.
        """
        handed = [self.carries[n] for n in names]
        time, reverse = handed[0].time, handed[0].statement.reverse
        inits = [self._with(h.init, known) for h in handed]
        followers = [self._with(h.following, known) for h in handed]
        token = next(_tokens)
        within = [self.carries[n].following for n in inner]
        cone = {id(n): n for n in walk([*(h.following for h in handed), *within])}
        depends = _dependents(list(cone.values()), {*names, *inner})
        # Results of statements that a step computes on the way are wanted for all steps. So are draws by a library's
        # sampler, of which there is one: each step has a key of its own.
        drawn = [v for v in cone.values() if v.op == "native" and id(v) in depends]
        keys = {id(k): step_keys(k, time) for v in drawn for k in _keys(v.args[0])}
        extras = [v for v in (*self.results, *within, *drawn) if id(v) in depends and v.op != "carry"]
        unlike = {id(h.following) for h in handed}
        extras = [v for v in {id(v): v for v in extras}.values() if id(v) not in unlike]
        filled = [self._with(v, known) for v in extras]
        plates = [tuple(p for p in i.plates if p != time) for i in inits]
        while True:
            # What a step hands on may vary over more plates than the start: then so does what it is handed.
            slots = {n: _slot(n, token, (*p, time), h.statement) for n, p, h in zip(names, plates, handed, strict=True)}
            memo: dict[int, Value] = dict(keys)
            steps = [self._filled(f, slots, memo, {}) for f in followers]
            wider = [_joined(p, tuple(q for q in s.plates if q != time)) for p, s in zip(plates, steps, strict=True)]
            if wider == plates:
                break
            plates = wider
        lanes = [lane for s in steps for lane in lanes_of(s, time)]
        if lanes:
            raise self._paths(handed[0].statement, lanes[0])
        more = [self._filled(f, slots, memo, {}) for f in filled]
        attrs = (
            ("count", len(names)),
            ("names", tuple(names)),
            ("plate", time),
            ("reverse", reverse),
            ("token", token),
        )
        node = Value("scan", (*inits, *steps, *more), attrs, (), (), "float")
        out: dict[str, Value] = {}
        for i, (name, h, init) in enumerate(zip(names, handed, inits, strict=True)):
            result = scanned(node, len(names) + i)
            out[name] = shift(init, result, time, reverse, h.statement.hint)
            if h.following.op != "carry":
                self.taken[id(h.following)] = result
        for i, original in enumerate(extras):
            self.taken[id(original)] = scanned(node, 2 * len(names) + i)
        return out

    def _paths(self, carry: Carry, lane: Lane) -> StrategyError:
        return StrategyError(
            f"it cannot be summed out: what scan {carry.time.name!r} carries from step to step ({carry.hint!r}) is "
            "computed from it, and so all its paths would count.",
            site=lane.site,
            model=self.model,
            declared_at=carry.location,
            plate=str(carry.time),
            expected="a carry that hands on the site itself",
            got=f"a carry that is computed from {lane.name!r} and from itself",
            remedy="Give the site a place in the guide, or carry the site and compute from it within the step.",
        )

    def _second_order(self, carry: Carry, lane: Lane) -> StrategyError:
        return StrategyError(
            f"it cannot be summed out: a step of scan {carry.time.name!r} reads it two steps back.",
            site=lane.site,
            model=self.model,
            declared_at=carry.location,
            plate=str(carry.time),
            expected="a step that reads the site of the step before",
            got=f"a carry {carry.hint!r} that hands on what it was handed",
            remedy="Let one site take the pairs of values, or give the site a place in the guide.",
        )

    def _tangled(self, group: list[str]) -> StrategyError:
        carry = self.carries[group[0]].statement
        return StrategyError(
            "carries of different scans follow from one another, though neither scan stands in the other's step.",
            model=self.model,
            declared_at=carry.location,
            got=", ".join(sorted(group)),
            remedy="Put them into one scan, whose carry is the pair.",
        )


def shift(init: Value, following: Value, time: Plate, reverse: bool = False, hint: str = "") -> Value:
    """What the step before left: `following` one step earlier, `init` at the first step."""
    if time not in following.plates:
        index = Value("plate_index", (), (("plate", time),), (time,), (), "int")
        first = apply("equal", index, time.size - 1 if reverse else 0)
        if following.shape:
            first = apply("reshape", first, shape=(1,) * following.ndim)
        return apply("where", first, init, following)
    plates = (*(p for p in _joined(init.plates, following.plates) if p != time), time)
    attrs = (("plate", time), ("reverse", reverse))
    return Value("shift", (init, following), attrs, plates, following.shape, following.dtype, [hint] if hint else [])


def scanned(node: Value, at: int) -> Value:
    """One result of a recurrence, of all steps."""
    time: Plate = node.attr("plate")
    source = node.args[at]
    plates = source.plates if time in source.plates else (*source.plates, time)
    return Value("scanned", (node,), (("at", at),), plates, source.shape, source.dtype, source.hint)


def step_keys(key: Value, time: Plate) -> Value:
    """A random key for each step, out of one for all."""
    return Value("step_keys", (key,), (("plate", time),), (*key.plates, time), (), "int")


def _keys(value: Value) -> list[Value]:
    return [node for node in walk([value]) if node.op == "key"]


def _slot(name: str, token: int, plates: tuple[Plate, ...], carry: Carry) -> Value:
    attrs = (("name", name), ("token", token))
    return Value("carried", (), attrs, plates, carry.init.shape, carry.init.dtype, [carry.hint])


def _joined(one: tuple[Plate, ...], two: tuple[Plate, ...]) -> tuple[Plate, ...]:
    return (*one, *(p for p in two if p not in one))


def _dependents(nodes: list[Value], names: Collection[str]) -> set[int]:
    """Which nodes, operands first, depend on one of some carries."""
    found: set[int] = set()
    for node in nodes:
        if (node.op == "carry" and node.attr("name") in names) or any(id(a) in found for a in node.args):
            found.add(id(node))
    return found


def lanes_of(value: Value, time: Plate) -> list[Lane]:
    """The lanes of sites in the steps of a scan that a value varies over."""
    return [p for p in value.plates if isinstance(p, Lane) and time in p.of]


def _earlier(value: Value, lanes: Mapping[Lane, Lane]) -> Value:
    """A value of a step with other lanes."""
    done: dict[int, Value] = {}
    for node in walk([value]):
        args = tuple(done[id(a)] for a in node.args)
        attrs = tuple((k, lanes.get(v, v) if isinstance(v, Lane) else v) for k, v in node.attrs)
        plates = tuple(lanes.get(p, p) if isinstance(p, Lane) else p for p in node.plates)
        same = plates == node.plates and attrs == node.attrs and all(map(operator.is_, args, node.args))
        done[id(node)] = node if same else Value(node.op, args, attrs, plates, node.shape, node.dtype, node.hint)
    return done[id(value)]


def _components(names: Collection[str], reads: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Strongly connected components, each after those that it reads (Tarjan, 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    out: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(reads[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group: list[str] = []
            while not group or group[-1] != name:
                group.append(stack.pop())
            out.append(sorted(group))

    for name in sorted(names):
        if name not in index:
            visit(name)
    return out
