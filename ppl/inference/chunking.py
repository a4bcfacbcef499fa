"""Particles in chunks: a loss cut into a part for all particles and parts that are computed for a few at a time.

Values that vary over the chunked axis are computed chunk by chunk, and computed anew when gradients are taken, so that
memory does not grow with the number of particles. Wherever the axis is reduced (or left as an array) the values before
the reduction are what a chunk hands out: log weights, scores, sums of costs. What follows from a reduction and varies
over the axis again (normalised weights times something) is one more round of chunks. Values are those of the whole
loss, and so are gradients: nothing is estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ppl.backend.compiled import Compiled
from ppl.backend.emit import Emitted
from ppl.backend.layout import plate_positions
from ppl.backend.protocol import ChunkRound
from ppl.errors import UnsupportedByBackend
from ppl.program.ops import merge_plates
from ppl.program.program import Program
from ppl.program.simplify import simplify
from ppl.program.values import Axis, Plate, Value, reference, rewrite, walk

# What stays where it is read: arrays that are there anyway.
LEAVES = frozenset(["const", "param", "input", "site", "noise", "key", "plate_index", "scheduled"])


@dataclass
class Round:
    """One round of chunks.

    Attributes:
        before: values for all particles that the chunks read, by name.
        inside: values that the chunks hand out, by name.
        sliced: names of values along the axis of which each chunk reads its part.
    """

    before: dict[str, Value] = field(default_factory=dict[str, Value])
    inside: dict[str, Value] = field(default_factory=dict[str, Value])
    sliced: dict[str, None] = field(default_factory=dict[str, None])


class Cut:
    """A loss cut along an axis.

    Args:
        loss: one number.
        axis: the axis.
        programs: whose plates occur.
        batch: batch size of each subsampled plate.
    """

    def __init__(self, loss: Value, axis: Axis, programs: tuple[Program, ...], batch: Mapping[str, int]) -> None:
        self.axis = axis
        self.positions = plate_positions(*programs)
        whole = rewrite(simplify({"loss": loss}, batch), self._opened)["loss"]
        nodes = walk([whole])
        self.stages: dict[int, int] = {}
        for node in nodes:
            self.stages[id(node)] = max((self._step(a, node) for a in node.args), default=0)
        self.names: dict[int, str] = {}
        self.rounds = [Round() for _ in range(1 + max(self._stage_of_chunks(n) for n in nodes))]
        for node in nodes:
            for arg in node.args:
                self._edge(arg, node)
        self.places = {self._name(n): self._at(n) for n in nodes if id(n) in self.names and self.varies(n)}
        self.loss = self._cut(whole, len(self.rounds), False)
        for i, one in enumerate(self.rounds):
            one.before = {n: self._cut(v, i, False) for n, v in one.before.items()}
            one.inside = {n: self._cut(v, i, True) for n, v in one.inside.items()}

    def varies(self, node: Value) -> bool:
        """Whether a value has the axis."""
        return self.axis in node.plates

    def _outside(self, node: Value) -> bool:
        """Whether a value along the axis is there for all particles at once: noise, indices, parts of an array."""
        return node.op in LEAVES or (node.op == "element" and not self.varies(node.args[0]))

    def _opened(self, node: Value, args: tuple[Value, ...]) -> Value | None:
        """A sum over the axis and over more is a sum over the rest in each chunk, and then over the axis."""
        if node.op != "plate_sum" or self.axis not in node.attr("plates") or not self.varies(args[0]):
            return None
        rest = tuple(p for p in node.attr("plates") if p != self.axis)
        events = dict(node.attrs).get("axis", ())
        body = args[0]
        if rest or events:
            attrs: list[tuple[str, Any]] = [("axis", events), ("plates", rest)]
            plates = tuple(p for p in body.plates if p not in rest)
            op = "plate_sum" if rest else "sum"
            body = Value(op, (body,), tuple(attrs if rest else attrs[:1]), plates, node.shape, node.dtype)
        attrs = [("plates", (self.axis,))]
        return Value("plate_sum", (body,), tuple(attrs), node.plates, node.shape, node.dtype)

    def _step(self, arg: Value, node: Value) -> int:
        reduces = self.varies(arg) and not self.varies(node) and not self._outside(arg)
        return self.stages[id(arg)] + (1 if reduces else 0)

    def _stage_of_chunks(self, node: Value) -> int:
        return self.stages[id(node)] if self.varies(node) and not self._outside(node) else -1

    def _edge(self, arg: Value, node: Value) -> None:
        """Hand a value from where it is computed to where it is read."""
        chunked = self.varies(node) and not self._outside(node)
        mine, stage = self.stages[id(node)], self.stages[id(arg)]
        if not self.varies(arg):
            if arg.op in LEAVES or (not chunked and mine == stage):
                return
            self.rounds[stage].before[self._name(arg)] = arg
        elif self._outside(arg):
            if chunked and arg.op != "noise":
                self.rounds[stage].before[self._name(arg)] = arg
                self.rounds[mine].sliced[self._name(arg)] = None
        elif not self.varies(node):
            self.rounds[stage].inside[self._name(arg)] = arg
        elif stage < mine and id(arg) in self.names:
            self.rounds[mine].sliced[self._name(arg)] = None

    def _name(self, node: Value) -> str:
        return self.names.setdefault(id(node), f"part {len(self.names)}")

    def _order(self, node: Value) -> tuple[Plate, ...]:
        """Plates in the order of their axes in an array."""

        def key(plate: Plate) -> tuple[int, int]:
            return (1, plate.depth) if isinstance(plate, Axis) else (0, self.positions[plate.name])

        return tuple(sorted(node.plates, key=key, reverse=True))

    def _at(self, node: Value) -> int:
        return self._order(node).index(self.axis)

    def _known(self, node: Value, stage: int, inside: bool) -> bool:
        """Whether a value comes from an earlier part."""
        if id(node) not in self.names:
            return False
        own = self.stages[id(node)]
        if self.varies(node) and not self._outside(node):
            return own < stage
        return own < stage or (inside and own <= stage)

    def _cut(self, root: Value, stage: int, inside: bool) -> Value:
        """An expression of a part, in which what other parts have computed is an argument."""
        done: dict[int, Value] = {}

        def operands(node: Value) -> tuple[Value, ...]:
            return () if node is not root and self._known(node, stage, inside) else node.args

        for node in walk([root], operands):
            if node is not root and self._known(node, stage, inside):
                name = self.names[id(node)]
                if inside and self.varies(node):
                    self.rounds[stage].sliced[name] = None
                done[id(node)] = reference("site", name, self._order(node), node.shape, node.dtype)
                continue
            args = tuple(done[id(a)] for a in node.args)
            plates = node.plates if not args else merge_like(node, args)
            done[id(node)] = Value(node.op, args, node.attrs, plates, node.shape, node.dtype, node.hint)
        return done[id(root)]


def merge_like(node: Value, args: tuple[Value, ...]) -> tuple[Plate, ...]:
    """The plates of a node in the order of its operands."""
    merged = merge_plates(args)
    kept = tuple(p for p in merged if p in node.plates)
    return (*kept, *(p for p in node.plates if p not in kept))


def chunked_loss(
    model: Compiled, guide: Compiled, loss: Value, axis: Axis, chunk: int, batch: Mapping[str, int], emitter: Any
) -> tuple[Emitted, Any]:
    """The function of a loss that holds some particles at a time.

    Args:
        model: the model.
        guide: the guide.
        loss: one number.
        axis: the particles.
        chunk: how many are held at once.
        batch: batch size of each subsampled plate.
        emitter: makes an emitter.

    Raises:
        UnsupportedByBackend: a site is drawn by a sampler of the library, whose draws cannot be repeated.
    """
    keyed = [n for n in walk([loss]) if n.op == "native"]
    if keyed:
        raise UnsupportedByBackend(
            model.backend.name,
            "particles in chunks",
            f"a site is drawn by the library's own sampler ({keyed[0].attr('sampler')}), and each chunk is drawn twice",
            "Leave chunk out, or use a guide family with a noise form.",
        )
    stepped = [n for n in walk([loss]) if n.op == "scan" and any(axis in a.plates for a in n.args)]
    if stepped:
        raise UnsupportedByBackend(
            model.backend.name,
            "particles in chunks",
            "a recurrence runs along the steps of a scan for all particles together",
            "Leave chunk out.",
        )
    cut = Cut(loss, axis, (model.program, guide.program), batch)
    texts: list[str] = []
    arguments: dict[str, Any] = {}
    constants: dict[str, Any] = {}
    networks: dict[str, None] = {}

    def function(name: str, outputs: dict[str, Value], single: bool = False) -> Any:
        if not outputs:
            return None
        emitted: Emitted = emitter().emit(name, outputs, single=single)
        texts.append(emitted.source)
        arguments.update((f"{a.group}/{a.key}", a) for a in emitted.arguments if a.group != "values")
        constants.update(emitted.constants)
        networks.update(dict.fromkeys(emitted.networks))
        return model.load(emitted, guide.networks)

    rounds: list[ChunkRound] = []
    for i, one in enumerate(cut.rounds):
        before, inside = function(f"before_{i}", one.before), function(f"chunk_{i}", one.inside)
        places = {n: cut.places[n] for n in (*one.sliced, *one.inside)}
        rounds.append(ChunkRound(before, inside, tuple(one.sliced), tuple(one.inside), places))
    last = function("loss", {"loss": cut.loss}, single=True)
    noise = {n.attr("name"): n.plates.index(axis) for n in walk([loss]) if n.op == "noise" and axis in n.plates}
    whole = Emitted("loss", "\n\n".join(texts), constants, tuple(arguments.values()), tuple(networks))
    return whole, model.backend.chunked(tuple(rounds), last, noise, axis.size, chunk)
