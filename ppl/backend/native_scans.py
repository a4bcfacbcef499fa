"""Scans in native models: `numpyro.contrib.control_flow.scan`, and a loop over `pyro.markov` whose sites are numbered.

Both libraries want plates inside the step. The axis of steps stands in front of all plates in NumPyro's traces, so that
is where it stands in native models; in Pyro each step has sites of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ppl.errors import UnsupportedByBackend
from ppl.program.program import expressions
from ppl.program.statements import Carry, Network, Param, Sample, Statement
from ppl.program.values import Plate, Value, rewrite

from .layout import Layout, frame_of, index_text
from .lowering import text_of
from .pieces import Piece
from .spelling import ATOM

if TYPE_CHECKING:
    from .native import NativeEmitter


class ScanWriter:
    """Writes one scan of a native model.

    Args:
        emitter: the writer of the model.
        carries: what a step is handed.
        members: the statements of a step.
        resolved: statements with networks of random weights spelled out, by name.
    """

    def __init__(
        self,
        emitter: NativeEmitter,
        carries: tuple[Carry, ...],
        members: list[Statement],
        resolved: Mapping[str, tuple[Any, list[Value]]],
    ) -> None:
        self.emitter = emitter
        self.carries = carries
        self.members = [m for m in members if not isinstance(m, (Network, Param))]
        self.time = carries[0].time
        self.resolved = resolved
        self.own = {m.name for m in self.members}
        self.sliced: dict[str, tuple[Value, Piece]] = {}
        latent = [m.name for m in members if isinstance(m, Sample) and not m.observed]
        if emitter.backend == "numpyro" and carries[0].reverse and latent:
            raise UnsupportedByBackend(
                emitter.backend,
                "a scan from the last step to the first as a native model",
                "its scan hands given values to the steps in the opposite order",
                "Use the inference of ppl, which has no such limit, or flip the data and scan forwards.",
                site=latent[0],
            )
        for m in members:
            if isinstance(m, Sample) and m.missing is not None and m.missing.how == "imputed":
                raise UnsupportedByBackend(
                    emitter.backend,
                    "a scan with imputed data as a native model",
                    "its steps take data or nothing",
                    "Use the inference of ppl, which has no such limit.",
                    site=m.name,
                )
            if isinstance(m, (Carry, Param)):
                what = (
                    "a scan inside the step of a scan" if isinstance(m, Carry) else f"parameter {m.name!r} of each step"
                )
                raise UnsupportedByBackend(
                    emitter.backend,
                    f"{what} as a native model",
                    "its scan takes no more than sample statements in the step",
                    "Use the inference of ppl, which has no such limit.",
                )

    # --- the values of a step ----------------------------------------------------------------------------------------

    def _step_values(self) -> dict[str, Any]:
        """What each statement of a step is made of, without the axis of steps."""
        emitter, time = self.emitter, self.time
        roots = {f"next/{c.name}": emitter.resolver.value(c.following) for c in self.carries}
        for m in self.members:
            roots |= {f"{m.name}/{i}": v for i, v in enumerate(self.resolved[m.name][1])}
        slots: dict[Any, Value] = {}

        def slot(key: Any, value: Value, source: Value | None) -> Value:
            if key not in slots:
                plates = tuple(p for p in value.plates if p != time)
                slots[key] = Value("slot", (), (), plates, value.shape, value.dtype, value.hint)
                if source is not None:
                    self._slice(slots[key], value, source)
            return slots[key]

        def strip(node: Value, args: tuple[Value, ...]) -> Value | None:
            if time not in node.plates:
                return None
            if id(node) in emitter.handed_on:
                return slot(id(node), node, node)
            if node.op == "element" and node.attr("plate") == time and time not in node.args[0].plates:
                return slot(id(node.args[0]), node, node.args[0])
            if node.op == "plate_index":
                return slot("index", node, node)
            if node.op == "carry":
                mine = node.attr("name") in {c.name for c in self.carries}
                return slot(("carry", node.attr("name")), node, None if mine else node)
            plates = tuple(p for p in node.plates if p != time)
            if node.op == "site":
                if node.attr("name") not in self.own:
                    return slot(("site", node.attr("name"), node.dtype), node, node)
                return Value("site", (), node.attrs, plates, node.shape, node.dtype, node.hint)
            return Value(node.op, args, node.attrs, plates, node.shape, node.dtype, node.hint)

        stripped = rewrite(roots, strip, lambda node: id(node) in emitter.handed_on)
        self.handed = {c.name: slots.get(("carry", c.name)) for c in self.carries}
        self.index = slots.get("index")
        out: dict[str, Any] = {key: v for key, v in stripped.items() if key.startswith("next/")}
        for m in self.members:
            body, values = self.resolved[m.name]
            new = {id(v): stripped[f"{m.name}/{i}"] for i, v in enumerate(values)}
            out[m.name] = body.substitute(lambda v, new=new: new[id(v)]) if isinstance(m, Sample) else new[id(body)]
        emitter.lowering.plan(
            [v for key, b in out.items() for v in (b.values() if hasattr(b, "values") else (b,))]  # type: ignore[union-attr]
        )
        return out

    def _slice(self, slot: Value, value: Value, source: Value) -> None:
        """Enter an array over which the step is mapped."""
        emitter = self.emitter
        low = emitter.lowering
        if value.op == "plate_index":
            return
        piece = low.piece(source)
        # The axis of steps is the first event axis of an array, and the outermost plate of sites of other scans.
        at = -piece.layout.rank if value.op == "element" else -(low.positions[self.time.name] + piece.layout.rank)
        rank = value.ndim
        frame = piece.layout.frame if value.op == "element" else piece.layout.frame[1:]
        variable = low.fresh(value.hint[0] if value.hint else emitter_stem(source))
        layout = Layout(False, tuple(frame), rank)
        # Axes of size one at the left end stay where they are: in native models they do no harm.
        self.sliced[variable] = (slot, Piece(self._moved(piece, at), ATOM, layout))

    def _moved(self, piece: Piece, axis: int) -> str:
        low = self.emitter.lowering
        if len(piece.layout.frame) + piece.layout.rank == -axis:
            return piece.text
        move = "torch.movedim" if low.torch else "jnp.moveaxis"
        return f"{move}({piece.text}, {axis}, 0)"

    # --- text --------------------------------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        """The lines of the scan, at the level of the model function."""
        emitter, low = self.emitter, self.emitter.lowering
        start = len(low.lines)
        inits = {c.name: low.piece(emitter.resolver.value(c.init)) for c in self.carries}
        values = self._step_values()
        before = ["    " + line for line in low.lines[start:]]
        del low.lines[start:]
        write = self._numpyro if emitter.backend == "numpyro" else self._pyro
        lines = [*before, *write(inits, values)]
        del low.lines[start:]
        return lines

    def _variables(self) -> dict[str, str]:
        """A variable for each carry, holding what the step before left."""
        low = self.emitter.lowering
        out: dict[str, str] = {}
        for c in self.carries:
            out[c.name] = low.fresh(c.hint)
            slot = self.handed[c.name]
            if slot is not None:
                low.hold(slot, Piece(out[c.name], ATOM + 1, Layout(False, self._frame(c), slot.ndim)))
        return out

    def _frame(self, statement: Statement) -> tuple[Plate | None, ...]:
        return frame_of((p for p in statement.plates if p != self.time), self.emitter.positions)

    def _start(self, carry: Carry, init: Piece) -> str:
        """The first carry, as large as those that follow."""
        low, frame = self.emitter.lowering, self._frame(carry)
        target = Layout(False, frame, carry.init.ndim)
        if init.layout.frame == frame and not init.number:
            return init.text
        shape = low.shape_text(target, carry.init.shape)
        if init.number:
            value = low.at(init, 0)
            if frame or init.number == "int":
                dtype = ", dtype=torch.long" if low.torch and init.number == "int" else ""
                return f"{low.xp}.full({shape}, {value}{dtype})"
            return low.array(init).text
        return f"{low.xp}.broadcast_to({low.aligned(init, target).text}, {shape})"

    def _statements(self, values: Mapping[str, Any], depth: int) -> list[str]:
        """The statements of a step, in their plates."""
        emitter, low = self.emitter, self.emitter.lowering
        out: list[str] = []
        open_now: tuple[Plate, ...] = ()
        for m in self.members:
            plates = tuple(p for p in m.plates if p != self.time)
            shallow = replace(m, plates=plates)
            out += ["    " * depth + line for line in emitter.enter(open_now, plates)]
            open_now = plates
            start = len(low.lines)
            text = emitter.statement(shallow, values[m.name])
            indent = "    " * (len(plates) + 1 + depth)
            out += [indent + line for line in (*low.lines[start:], *text)]
            del low.lines[start:]
        return out

    def _next(self, values: Mapping[str, Any], depth: int) -> tuple[list[str], list[str]]:
        """Lines, and the text of each carry that the step hands on."""
        low = self.emitter.lowering
        start = len(low.lines)
        texts: list[str] = []
        for c in self.carries:
            piece = low.array(low.piece(values[f"next/{c.name}"]))
            frame = self._frame(c)
            if piece.layout.frame != frame:
                target = Layout(False, frame, piece.layout.rank)
                shape = low.shape_text(target, c.init.shape)
                texts.append(f"{low.xp}.broadcast_to({low.aligned(piece, target).text}, {shape})")
            else:
                texts.append(piece.text)
        lines = ["    " * (1 + depth) + line for line in low.lines[start:]]
        del low.lines[start:]
        return lines, texts

    def _read_later(self) -> list[str]:
        """Sites and carries of the step that other statements of the model read."""
        inside = self.own | {c.name for c in self.carries}
        following = {id(self.emitter.resolver.value(c.following)): f"next/{c.name}" for c in self.carries}
        read: dict[str, None] = {}
        for s in self.emitter.program.statements:
            if s.name in inside:
                continue
            roots = self.resolved[s.name][1] if s.name in self.resolved else list(expressions(s))
            stack, seen = list(roots), set[int]()
            while stack:
                node = stack.pop()
                if id(node) in seen:
                    continue
                seen.add(id(node))
                if node.op in ("site", "carry") and node.attr("name") in inside:
                    read[node.attr("name")] = None
                elif id(node) in following:
                    read[following[id(node)]] = None
                else:
                    stack.extend(node.args)
        return list(read)

    def _statement(self, name: str) -> Any:
        return self.emitter.program.by_name[name.removeprefix("next/")]

    def _known_later(self, name: str, text: str, layout: Layout) -> None:
        """Where the rest of the model finds the values of all steps."""
        width = self.emitter.positions[self.time.name] - 1
        inner = layout.frame
        parts = [":"] + ["None"] * (width - len(inner)) + [":"] * (len(inner) + layout.rank)
        index = index_text(parts) if width > len(inner) else ""
        frame = (self.time, *(None for _ in range(width - len(inner))), *inner)
        piece = Piece(text + index, ATOM if index else ATOM + 1, Layout(False, frame, layout.rank))
        if name.startswith("next/"):
            # What the last statement of a step computes is read as an expression, not by name.
            carry = self.emitter.program.carries[name.removeprefix("next/")]
            value = self.emitter.resolver.value(carry.following)
            self.emitter.lowering.hold(value, piece)
            self.emitter.handed_on[id(value)] = value
        else:
            self.emitter.known[name] = piece

    # --- NumPyro -----------------------------------------------------------------------------------------------------

    def _numpyro(self, inits: Mapping[str, Piece], values: Mapping[str, Any]) -> list[str]:
        emitter, low = self.emitter, self.emitter.lowering
        handed = self._variables()
        xs: dict[str, str] = {}
        for variable, (slot, piece) in self.sliced.items():
            low.hold(slot, Piece(variable, ATOM + 1, piece.layout))
            xs[variable] = piece.text
        if self.index is not None:
            variable = low.fresh(self.index.hint[0] if self.index.hint else "t")
            low.hold(self.index, Piece(variable, ATOM + 1, Layout(False, (), 0)))
            xs[variable] = f"jnp.arange({self.time.size})"
        for m in self.members:
            if isinstance(m, Sample) and m.observed:
                variable = emitter.variables[m.name]
                xs[variable] = self._data(m)
        step = low.fresh(f"{self.time.name}_step")
        body = self._statements(values, 1)
        more, following = self._next(values, 1)
        later = self._read_later()
        for i, c in enumerate(self.carries):
            if f"next/{c.name}" in later and not following[i].isidentifier():
                variable = low.fresh(f"next_{handed[c.name]}")
                more.append(f"        {variable} = {following[i]}")
                following[i] = variable
        texts = {**handed, **{f"next/{c.name}": t for c, t in zip(self.carries, following, strict=True)}}
        names = [texts[n] if n in texts else emitter.variables[n] for n in later]
        taken = [low.fresh(f"{t}_steps") if n in texts else t for n, t in zip(later, names, strict=True)]
        one_carry, one_x = len(handed) == 1, len(xs) == 1
        first = next(iter(handed.values())) if one_carry else low.fresh("carry")
        second = next(iter(xs)) if one_x else low.fresh("x") if xs else "_"
        out = ["", f"    def {step}({first}, {second}):"]
        if not one_carry:
            out.append(f"        {', '.join(handed.values())} = {first}")
        if xs and not one_x:
            out.append(f"        {', '.join(xs)} = {second}")
        results = names[0] if len(names) == 1 else f"({', '.join(names)})" if names else "None"
        out += [*body, *more, f"        return {_together(following)}, {results}", ""]
        start = _together([self._start(c, inits[c.name]) for c in self.carries])
        mapped = _together(list(xs.values())) if xs else "None"
        settings = f"length={self.time.size}" + (", reverse=True" if self.carries[0].reverse else "")
        call = f"scan({step}, {start}, {mapped}, {settings})"
        out.append(f"    _, {_together(taken)} = {call}" if taken else f"    {call}")
        for name, text in zip(later, taken, strict=True):
            self._known_later(name, text, Layout(False, self._frame(self._statement(name)), self._rank(name)))
        return out

    def _rank(self, name: str) -> int:
        statement = self._statement(name)
        return statement.init.ndim if isinstance(statement, Carry) else statement.value.ndim

    def _data(self, site: Sample) -> str:
        """The data of an observed site with the steps in front; None stays None."""
        variable = self.emitter.variables[site.name]
        at = site.plates.index(self.time)
        if at == 0:
            return variable
        return f"None if {variable} is None else jnp.moveaxis({variable}, {at}, 0)"

    # --- Pyro --------------------------------------------------------------------------------------------------------

    def _pyro(self, inits: Mapping[str, Piece], values: Mapping[str, Any]) -> list[str]:
        emitter, low = self.emitter, self.emitter.lowering
        handed = self._variables()
        out = [f"    {handed[c.name]} = {self._start(c, inits[c.name])}" for c in self.carries]
        at = low.fresh(self.index.hint[0] if self.index is not None and self.index.hint else "t")
        if self.index is not None:
            low.hold(self.index, Piece(f"torch.tensor({at})", ATOM, Layout(False, (), 0)))
        for variable, (slot, piece) in self.sliced.items():
            low.hold(slot, Piece(variable, ATOM + 1, piece.layout))
        later = self._read_later()
        stems = {**handed, **{f"next/{c.name}": f"next_{handed[c.name]}" for c in self.carries}}
        kept = {n: low.fresh(f"{stems.get(n) or emitter.variables[n]}_steps") for n in later}
        out += [f"    {name} = []" for name in kept.values()]
        steps = f"range({self.time.size})"
        if self.carries[0].reverse:
            steps = f"reversed({steps})"
        out.append(f"    for {at} in pyro.markov({steps}):")
        for variable, (_, piece) in self.sliced.items():
            moved = piece.text.startswith("torch.movedim(")
            out.append(f"        {variable} = {self._at_step(piece.text, at) if moved else f'{piece.text}[{at}]'}")
        out += [f"        {kept[n]}.append({handed[n]})" for n in later if n in handed]
        emitter.step = at
        observed = [m.name for m in self.members if isinstance(m, Sample) and m.observed and emitter.is_used(m.name)]
        emitter.step_variables = {n: low.fresh(f"{emitter.variables[n]}_{at}") for n in observed}
        out += self._statements(values, 1)
        emitter.step = ""
        more, following = self._next(values, 1)
        out += more
        own = {**emitter.variables, **emitter.step_variables}
        out += [f"        {kept[n]}.append({own[n]})" for n in later if n not in stems]
        out.append(f"        {', '.join(handed.values())} = {', '.join(following)}")
        out += [f"        {kept[f'next/{n}']}.append({handed[n]})" for n in handed if f"next/{n}" in kept]
        for name, steps_name in kept.items():
            layout = Layout(False, self._frame(self._statement(name)), self._rank(name))
            back = "[::-1]" if self.carries[0].reverse else ""
            out.append(f"    {steps_name} = torch.stack({steps_name}{back})")
            self._known_later(name, steps_name, layout)
        return out

    def _at_step(self, text: str, at: str) -> str:
        inner, axis = text.removeprefix("torch.movedim(").rsplit(", ", 2)[:2]
        return f"{inner}.select({axis}, {at})"


def _together(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def emitter_stem(source: Value) -> str:
    """A name for one step of an array."""
    return f"{source.attr('name')}_step" if source.op in ("input", "site", "carry") else "x"


def step_name(name: str, step: str) -> str:
    """The text of a site's name in one step of a loop; `native_names.step_name` gives the names themselves."""
    inner = text_of(name)[1:-1].replace("{", "{{").replace("}", "}}")
    return f'f"{inner}_{{{step}}}"'
