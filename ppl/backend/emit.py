"""Pure functions as source text: expression graphs in, Python functions of (params, values, data, noise) out."""

from __future__ import annotations

import linecache
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl.program.networks import NetworkSpec
from ppl.program.ops import leave
from ppl.program.program import Program
from ppl.program.simplify import simplify
from ppl.program.values import Plate, Value, reference, rewrite, walk

from .layout import Layout, frame_of, index_text, lane_positions, merge, plate_positions
from .lowering import Lowering, identifier, text_of
from .pieces import Piece
from .spelling import ATOM, Spelling

HEADERS = {
    "torch": "import torch\nimport torch.nn.functional as F\n\nfrom ppl.backend import torch_runtime as runtime\n",
    "jax": (
        "import jax\nimport jax.numpy as jnp\nimport jax.scipy.special as jsp\n\n"
        "from ppl.backend import jax_runtime as runtime\n"
    ),
}
GROUPS = {"input": "data", "param": "params", "noise": "noise", "key": "noise", "scheduled": "index"}


@dataclass(frozen=True)
class Argument:
    """One array that an emitted function reads.

    Attributes:
        group: "params", "values", "data", "noise", or "index" for what changes from step to step.
        key: its key there.
        name: name of the statement.
        dtype: the dtype kind it is wanted in.
    """

    group: str
    key: str
    name: str
    dtype: str


@dataclass(frozen=True)
class Emitted:
    """An emitted function.

    Attributes:
        name: function name.
        source: the whole module text.
        constants: array constants the module expects in its namespace.
        arguments: what it reads.
        networks: names of the user's own modules that it calls.
        longest_scan: number of steps of the longest recurrence in it; 0 without one.
    """

    name: str
    source: str
    constants: Mapping[str, np.ndarray]
    arguments: tuple[Argument, ...]
    networks: tuple[str, ...]
    longest_scan: int = 0


class FunctionEmitter:
    """Emits one pure function.

    Args:
        programs: the programs whose plates occur.
        spelling: the array library.
        precision: "float32" or "float64".
        from_data: sites whose values are in `data`; all others are in `values`.
        lead: whether arguments in `values` and `noise` carry leading axes.
        batch: batch size of each subsampled plate.
        same: for data that is one array with other data, the name of that other; then the function reads one of them.
    """

    def __init__(
        self,
        programs: tuple[Program, ...],
        spelling: Spelling,
        precision: str,
        *,
        from_data: frozenset[str] = frozenset(),
        lead: bool = False,
        batch: Mapping[str, int] | None = None,
        same: Mapping[str, str] | None = None,
    ) -> None:
        self.programs = programs
        self.spelling = spelling
        self.precision = precision
        self.from_data = from_data
        self.lead = lead
        self.batch = dict(batch or {})
        self.same = same or {}
        self.positions: Mapping[str, int] = {}
        self.arguments: dict[str, Argument] = {}
        self.network_names: dict[str, None] = {}
        self.lowering: Lowering
        self._elements: list[Value] = []
        self._loaded: dict[str, str] = {}

    def emit(self, name: str, outputs: dict[str, Value], single: bool = False) -> Emitted:
        """The function that computes named outputs.

        Args:
            name: function name.
            outputs: expressions by name.
            single: return the one output itself instead of a dict.
        """
        counts = dict(self.batch)
        outputs = simplify(outputs, counts)
        outputs = rewrite(outputs, self._cast_leaves)
        plates = plate_positions(*self.programs)
        self.positions = plates | lane_positions(outputs.values(), max(plates.values(), default=0))
        reserved = {"params", "values", "data", "noise", "index", "lead", "networks", "runtime"}
        reserved |= {"torch", "F", "jax", "jnp", "jsp", name}
        self.lowering = Lowering(
            self.spelling,
            self.positions,
            self.precision,
            self._load,
            network=self._network,
            taken=reserved,
            sizes=self.batch,
        )
        self.lowering.plan(list(outputs.values()))
        self._elements = [node for node in walk(list(outputs.values())) if node.op == "element"]
        results = {}
        for key, value in outputs.items():
            piece = self.lowering.piece(value)
            results[key] = self._result(piece)
        body = "\n".join(f"    {line}" for line in self.lowering.lines)
        if single:
            (answer,) = results.values()
            closing = f"    return {answer}"
        else:
            closing = "    return {\n" + "".join(f"        {k!r}: {v},\n" for k, v in results.items()) + "    }"
        source = f"{HEADERS[self.spelling.library]}\n\ndef {name}(params, values, data, noise, index=None, lead=()):\n"
        source += (body + "\n" if body else "") + closing + "\n"
        longest = max((s.time.size for s in self.lowering.scans.values()), default=0)
        arguments, networks = tuple(self.arguments.values()), tuple(self.network_names)
        return Emitted(name, source, self.lowering.constants, arguments, networks, longest)

    def _result(self, piece: Piece) -> str:
        if not piece.number:
            # Axes of size one stand for plates further in that the value lacks; they line operands up, and end here.
            slots = [("0" if p is None else ":") for p in piece.layout.frame]
            return self.lowering.indexed(piece, index_text(slots + [":"] * piece.layout.rank)).text
        return self.lowering.array(piece).text

    def _cast_leaves(self, node: Value, args: tuple[Value, ...]) -> Value | None:
        """Integer data used as real numbers is converted once, when it is bound, instead of at every step."""
        if node.op != "astype" or node.dtype != "float":
            return None
        if args[0].op in ("input", "site"):
            leaf = args[0]
            name = leaf.attr("name")
            if leaf.op == "input" or name in self.from_data:
                return reference(leaf.op, name, leaf.plates, leaf.shape, "float", cast=True)
        if args[0].op == "element":
            inner = self._cast_leaves(
                Value("astype", args[0].args, node.attrs, args[0].args[0].plates, args[0].args[0].shape, "float"),
                args[0].args,
            )
            if inner is not None:
                e = args[0]
                return Value("element", (inner,), e.attrs, e.plates, e.shape, "float", e.hint)
        return None

    def _load(self, leaf: Value) -> Piece:
        if leaf.op == "plate_index":
            return self._plate_index(leaf)
        name = leaf.attr("name")
        group = GROUPS.get(leaf.op) or ("data" if name in self.from_data else "values")
        cast = bool(dict(leaf.attrs).get("cast"))
        key = f"{name}:float" if cast else name
        if group == "data" and name in self.same:
            own = (self.same[name], leaf.dtype)
            key = next((a.key for a in self.arguments.values() if a.group == "data" and (a.name, a.dtype) == own), key)
        self.arguments.setdefault(f"{group}/{key}", Argument(group, key, name, leaf.dtype))
        lead = self.lead and group in ("values", "noise") and leaf.op != "key"
        text = f"{group}[{text_of(key)}]"
        axes = self._batched_axes(leaf)
        if axes and leaf.op != "noise" and group != "values":
            text = self._subsampled(text, axes)
        frame = frame_of(leaf.plates, self.positions)
        text += index_text([("None" if p is None else ":") for p in frame] + [":"] * leaf.ndim)
        layout = Layout(lead, frame, leaf.ndim)
        if text not in self._loaded:
            stem = leaf.hint[0] if leaf.hint else f"{leaf.op}_{name}" if leaf.op == "noise" else name
            self._loaded[text] = self.lowering.fresh(stem)
            self.lowering.lines.append(f"{self._loaded[text]} = {text}")
        return Piece(self._loaded[text], ATOM + 1, layout)

    def _batched_axes(self, leaf: Value) -> list[tuple[int, Plate]]:
        if leaf.op == "input":
            return [
                (axis, p) for axis, p in enumerate(self._input_plates(leaf.attr("name"))) if p and p.name in self.batch
            ]
        return [(axis, p) for axis, p in enumerate(leaf.plates) if p.name in self.batch]

    def _input_plates(self, name: str) -> list[Plate]:
        """Which plate each leading axis of an input is mapped over."""
        sources = [(v, p.plate) for program in self.programs for p in program.plates for v in p.sources]
        # Arrays that came with `do` are mapped over where they are used; no plate statement knows of them.
        sources += [(node.args[0], node.attr("plate")) for node in self._elements]
        found: list[Plate] = []
        for source, plate in sources:
            chain: list[Plate] = [plate]
            node = source
            while node.op == "element":
                chain.insert(0, node.attr("plate"))
                node = node.args[0]
            if node.op == "input" and node.attr("name") == name and len(chain) > len(found):
                found = chain
        return found

    def _subsampled(self, text: str, axes: list[tuple[int, Plate]]) -> str:
        for axis, plate in axes:
            rows = f"index[{text_of(plate.name)}]"
            if axis == 0:
                text = f"{text}[{rows}]"
            elif self.spelling.library == "torch":
                text = f"{text}.index_select({axis}, {rows})"
            else:
                text = f"jnp.take({text}, {rows}, axis={axis})"
        return text

    def _plate_index(self, leaf: Value) -> Piece:
        plate: Plate = leaf.attr("plate")
        frame = frame_of((plate,), self.positions)
        text = (
            f"index[{text_of(plate.name)}]"
            if plate.name in self.batch
            else f"{self.spelling.module}.arange({plate.size})"
        )
        text += index_text([":"] + ["None"] * (len(frame) - 1))
        return Piece(text, ATOM, Layout(False, frame, 0))

    def _network(self, lowering: Lowering, node: Value) -> Piece:
        name = node.attr("name")
        self.network_names[name] = None
        if dict(node.attrs).get("external"):
            spec = next(p.networks[name].spec for p in self.programs if name in p.networks)
            return external_call(lowering, node, spec, f"networks[{name!r}]")
        x = lowering.piece(node.args[0])
        layout = Layout(x.layout.lead, x.layout.frame, node.ndim)
        self.arguments[f"params/{name}."] = Argument("params", f"{name}.", name, "float")
        return lowering.call(
            "runtime.call_network",
            f"networks[{name!r}]",
            "runtime.held(params)" if dict(node.attrs).get("held") else "params",
            repr(name),
            x.text,
            str(x.layout.rank),
            repr(node.shape),
            layout=layout,
        )


def external_call(lowering: Lowering, node: Value, spec: NetworkSpec, function: str) -> Piece:
    """A call of a user's own function; each element comes with the number of its own axes."""
    given = [lowering.array(lowering.piece(a)) for a in node.args]
    target = merge(Layout(a.layout.lead, a.layout.frame, 0) for a in given)
    texts = [lowering.aligned(a, Layout(target.lead, target.frame, a.layout.rank)).text for a in given]
    pairs = [f"({text}, {a.layout.rank})" for text, a in zip(texts, given, strict=True)]
    layout = Layout(target.lead, target.frame, node.ndim)
    batched = spec.foreign is not None and spec.foreign.call is not None and spec.foreign.call.batched
    more = ["batched=True"] if batched else []
    return lowering.call("runtime.map_elements", function, *pairs, *more, layout=layout)


_counter = 0


def execute(emitted_source: str, name: str, namespace: dict[str, Any], label: str) -> Any:
    """Run emitted source and return the function of that name; tracebacks show its lines.

    Args:
        emitted_source: module text.
        name: name of the function in it.
        namespace: constants and networks that the text refers to.
        label: what to call the text in tracebacks.
    """
    global _counter
    _counter += 1
    filename = f"<credo {label} {_counter}>"
    linecache.cache[filename] = (len(emitted_source), None, emitted_source.splitlines(keepends=True), filename)
    exec(compile(emitted_source, filename, "exec"), namespace)  # noqa: S102 - running our own text is what a compiler does
    return namespace[name]


__all__ = ["Argument", "Emitted", "FunctionEmitter", "execute", "identifier", "leave", "walk"]
