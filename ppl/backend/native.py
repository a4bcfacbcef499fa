"""Native programs: an ordinary Pyro or NumPyro model as source text, which any tool of these libraries accepts."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from ppl.errors import UnknownNameError, UnsupportedByBackend, nearest, user_location
from ppl.language.dist.imputed import Imputed
from ppl.program.distributions import Distribution
from ppl.program.flows import is_flow
from ppl.program.missing import completed, missing_site
from ppl.program.networks import NetworkSpec
from ppl.program.ops import to_float
from ppl.program.printing import fresh
from ppl.program.program import Program, expressions
from ppl.program.statements import Deterministic, Factor, Network, Param, Sample, Statement
from ppl.program.supports import Support
from ppl.program.values import Plate, Value, walk

from .constraints import constraint_name
from .emit import external_call
from .families import Library, native_text
from .layout import Layout, alignment, frame_of, index_text, merge
from .lowering import Lowering, identifier, text_of
from .module_text import module_text
from .native_data import native_likelihood
from .native_names import RESERVED, network_variables, variable_names
from .native_networks import (
    equinox_network,
    flow_network,
    function_network,
    is_library_made,
    layer_inputs,
    mapped_axes,
    refuse_one_way,
    torch_network,
)
from .native_resolver import NativeResolver
from .native_scans import ScanWriter, step_name
from .pieces import Piece
from .scan_groups import groups, native_positions
from .spelling import ATOM, NATIVE_JAX, TORCH
from .stored import Stored
from .text_layout import laid_out

BACKENDS = ("numpyro", "pyro")


# A sample statement longer than this gets its parameters named; a parameter shorter than that stays where it is.
LONGEST_LINE = 110
LONGEST_PARAMETER = 20


def check_backend(name: str) -> Library:
    """The name of a backend.

    Raises:
        UnknownNameError: there is no such backend.
    """
    if name not in BACKENDS:
        raise UnknownNameError(
            f"there is no backend {name!r}.",
            declared_at=user_location(),
            expected=f"one of {BACKENDS}",
            got=repr(name),
            remedy=nearest(str(name), BACKENDS),
        )
    return "pyro" if name == "pyro" else "numpyro"


def native_source(program: Program, backend: str, function: str | None = None) -> str:
    """A program as a native model.

    Args:
        program: a model or guide.
        backend: "pyro" or "numpyro".
        function: name of the emitted function; by default "model".

    Raises:
        UnknownNameError: no such backend.
        UnsupportedByBackend: the library lacks something the program uses.
    """
    return NativeEmitter(program, check_backend(backend)).source(function or "model")


class NativeEmitter:
    """Emits one native model.

    Args:
        program: a model or guide.
        backend: whose model it becomes.
        stored: where networks and parameters find their values; without it, the text says how they start.
    """

    def __init__(self, program: Program, backend: Library, stored: Stored | None = None) -> None:
        self.program = program
        self.stored = stored
        self.backend: Library = backend
        self.positions = native_positions(program)
        self.spelling = TORCH if backend == "pyro" else NATIVE_JAX
        self.known: dict[str, Piece] = {}
        self.plate_variables: dict[str, str] = {}
        self.variables = variable_names(program)
        self.network_variables = network_variables(program)
        self.held = self.network_variables | {n: self.variables[n] for n, s in program.networks.items() if s.trained}
        # In the step of a loop, the variable that counts the steps, and those of values that the data's may not become.
        self.step = ""
        self.step_variables: dict[str, str] = {}
        # What the steps of earlier scans have computed last, by identity: it is read as a whole.
        self.handed_on: dict[int, Value] = {}

    # --- the whole text --------------------------------------------------------------------------------------------

    def source(self, function: str) -> str:
        """The module text: imports, networks, one function."""
        program = self.program
        refuse_one_way(program)
        inputs = [self.variables[i.name] for i in program.inputs]
        observed = [self.variables[n] for n in program.observed]
        arguments = inputs + [f"{name}=None" for name in observed]
        taken = RESERVED | {function} | set(self.variables.values()) | set(self.network_variables.values())
        self.lowering = Lowering(
            self.spelling,
            self.positions,
            "",
            self._load,
            network=self._network_call,
            taken=set(taken),
            inline_arrays=self._array_text,
        )
        self.resolver = NativeResolver(program, {})
        self.resolver.real = {n for n, s in program.sites.items() if self._drawn_as_real(s)}
        roots = self._resolve_all()
        self.lowering.plan([v for values in roots.values() for v in values[1]])
        open_now: tuple[Plate, ...] = ()
        body: list[str] = self._plates(self.lowering.taken)
        for carries, members in groups(program):
            if carries:
                first = [m for m in members if isinstance(m, Network)]
                body += ["    " + line for m in first for line in self.statement(m, None)]
                body += ScanWriter(self, carries, members, roots).lines()
                open_now = ()
                continue
            for statement in members:
                body += self.enter(open_now, statement.plates)
                open_now = statement.plates
                start = len(self.lowering.lines)
                text = self.statement(statement, roots[statement.name][0])
                indent = "    " * (len(open_now) + 1)
                body += [indent + line for line in self.lowering.lines[start:]]
                body += [indent + line for line in text]
        networks = self._networks()
        text = "\n".join([f"def {function}({', '.join(arguments)}):", *laid_out(body)])
        return module_text(self.backend, [*networks, text], self.stored.imports if self.stored else ())

    def _networks(self) -> list[str]:
        """Definitions of the networks; then, where values are stored, the lines that read them."""
        networks = [n for n in self.program.networks.values() if not n.random or is_flow(n.spec.layers)]
        blocks = [self._network_definition(n.spec) for n in networks]
        if self.stored is not None and (self.program.params or any(n.trained for n in networks)):
            loads = [self.stored.network(self.network_variables[n.name], n.name) for n in networks if n.trained]
            blocks.append("\n".join([self.stored.opening, *loads]))
        return blocks

    def _plates(self, taken: set[str]) -> list[str]:
        """Lines that make the plates which are opened more than once: Pyro wants one object, entered again."""
        opened: Counter[str] = Counter()
        sizes: dict[str, int] = {}
        open_now: tuple[Plate, ...] = ()
        for carries, members in groups(self.program):
            time = carries[0].time if carries else None
            open_now = () if carries else open_now
            for statement in members:
                plates = tuple(p for p in statement.plates if p != time)
                for plate in plates[_shared(open_now, plates) :]:
                    # A loop opens its plates at each step.
                    opened[plate.name] += 2 if carries and self.backend == "pyro" else 1
                    sizes[plate.name] = plate.size
                open_now = () if carries else plates
        lines = []
        for name, count in opened.items():
            if count > 1:
                self.plate_variables[name] = fresh(f"{identifier(name)}_plate", taken)
                lines.append(f"    {self.plate_variables[name]} = {self._plate(name, sizes[name])}")
        return lines

    def _plate(self, name: str, size: int) -> str:
        return f"{self.backend}.plate({text_of(name)}, {size}, dim=-{self.positions[name]})"

    def enter(self, open_now: tuple[Plate, ...], plates: tuple[Plate, ...]) -> list[str]:
        """Lines that open plates, those that are open already excepted."""
        lines = []
        for depth in range(_shared(open_now, plates), len(plates)):
            plate = plates[depth]
            what = self.plate_variables.get(plate.name) or self._plate(plate.name, plate.size)
            lines.append("    " * (depth + 1) + f"with {what}:")
        return lines

    # --- resolving networks with random weights -----------------------------------------------------------------------

    def _resolve_all(self) -> dict[str, tuple[Any, list[Value]]]:
        out: dict[str, tuple[Any, list[Value]]] = {}
        for s in self.program.statements:
            if isinstance(s, Sample):
                dist = self.resolver.distribution(native_likelihood(s, self.backend)).spelled()
                out[s.name] = (dist, list(dist.values()))
            elif isinstance(s, (Deterministic, Factor)):
                value = self.resolver.value(s.expression)
                out[s.name] = (value, [value])
            else:
                out[s.name] = (None, [])
        return out

    # --- statements -----------------------------------------------------------------------------------------------

    def statement(self, statement: Statement, body: Any) -> list[str]:
        """The lines of one statement."""
        name = statement.name
        variable = self.variables[name]
        library = self.backend
        match statement:
            case Sample():
                frame = frame_of(statement.plates, self.positions)
                obs = self._observed(statement, frame) if statement.observed else ""
                variable = self.step_variables.get(name, variable)
                auxiliary = ', infer={"is_auxiliary": True}' if statement.auxiliary else ""
                call = f"{library}.sample({self._site_name(name)}, {self._distribution(body, frame)}{obs}{auxiliary})"
                if len(call) > LONGEST_LINE:
                    self._name_parameters(body)
                    call = (
                        f"{library}.sample({self._site_name(name)}, {self._distribution(body, frame)}{obs}{auxiliary})"
                    )
                piece = Piece(variable, ATOM + 1, Layout(False, frame, len(statement.dist.event_shape)))
                if self._drawn_as_real(statement):
                    # As indices they have to be integers.
                    piece = Piece(f"{variable}.long()", ATOM, piece.layout)
                self.known[name] = piece
                used = self.is_used(name)
                return [f"{variable} = {call}" if used else call]
            case Deterministic():
                piece = self.lowering.piece(body)
                frame = frame_of(statement.plates, self.positions)
                self.known[name] = Piece(variable, ATOM + 1, Layout(False, frame, body.ndim))
                text = piece.text
                if piece.number:
                    maker = "torch.tensor" if self.backend == "pyro" else "jnp.asarray"
                    text = f"{maker}({text})"
                if piece.layout.frame != frame:
                    full = self.lowering.shape_text(Layout(False, frame, 0), body.shape)
                    aligned = self.lowering.aligned(piece, Layout(False, frame, body.ndim))
                    text = f"{self.spelling.module}.broadcast_to({text if piece.number else aligned.text}, {full})"
                event = f", event_dim={body.ndim}" if self.backend == "pyro" else ""
                return [f"{variable} = {library}.deterministic({self._site_name(name)}, {text}{event})"]
            case Factor():
                piece = self.lowering.piece(body)
                text = piece.text
                if piece.number:
                    text = f"torch.tensor({text})" if self.backend == "pyro" else f"jnp.asarray({text})"
                return [f"{library}.factor({self._site_name(name)}, {text})"]
            case Param():
                return self._param(statement, variable)
            case Network():
                if not statement.trained:
                    return []
                if self.backend == "pyro":
                    return [f"{variable} = pyro.module({text_of(name)}, {self.network_variables[name]})"]
                return [f"{variable} = eqx_module({text_of(name)}, {self.network_variables[name]})"]
        raise TypeError(type(statement).__name__)

    def _observed(self, site: Sample, frame: tuple[Plate | None, ...]) -> str:
        """The `obs` argument of an observed site."""
        variable = self.variables[site.name]
        shape = index_text([("None" if p is None else ":") for p in frame] + [":"] * len(site.dist.event_shape))
        if site.missing is not None and site.missing.how == "imputed":
            data = Value("slot", (), (), site.plates, site.dist.event_shape, site.dist.dtype)
            self.lowering.hold(data, Piece(variable + shape, ATOM, Layout(False, frame, data.ndim)))
            free = self.program.sites[missing_site(site.name)].value
            return f", obs=None if {variable} is None else {self.lowering.piece(completed(site, data, free)).text}"
        if not self.step:
            return f", obs={variable}{shape}"
        declared = self.program.sites[site.name].plates
        place = [self.step if p not in site.plates else ":" for p in declared]
        while place[-1] == ":":
            place.pop()
        return f", obs=None if {variable} is None else {variable}[{', '.join(place)}]{shape}"

    def _site_name(self, name: str) -> str:
        return step_name(name, self.step) if self.step else text_of(name)

    def _name_parameters(self, dist: Distribution) -> None:
        """Give the longer parameters of a distribution lines of their own."""
        for inner in dist.nested().values():
            self._name_parameters(inner)
        values = dict(dist.params) if dist.mask_value is None else {**dist.params, "mask": dist.mask_value}
        for name, value in values.items():
            piece = self.lowering.piece(value)
            if piece.level <= ATOM and not piece.number and len(piece.text) > LONGEST_PARAMETER:
                self.lowering.pieces[id(value)] = self.lowering.assign(piece, name)

    def _drawn_as_real(self, site: Sample) -> bool:
        """Whether the library draws a discrete site as real numbers: Pyro does, categories excepted."""
        return self.backend == "pyro" and site.dist.dtype != "float" and site.dist.family != "Categorical"

    def is_used(self, name: str) -> bool:
        """Whether the rest of the model reads a site."""
        read = any(name in self.program.parents(s.name) for s in self.program.statements)
        return read or isinstance(self.program.sites[name].dist, Imputed)

    def _param(self, statement: Param, variable: str) -> list[str]:
        frame = frame_of(statement.plates, self.positions)
        array = statement.initial()
        init = self._array_text(array) if array.ndim else repr(float(array))
        if self.backend == "pyro" and not array.ndim:
            init = f"torch.tensor({init})"
        if self.stored is not None:
            init = self.stored.parameter(statement.name)
        constraint = ""
        if statement.support.kind != "real":
            constraint = f", constraint={self._constraint(statement.support)}"
        shape = index_text([("None" if p is None else ":") for p in frame] + [":"] * len(statement.event_shape))
        self.known[statement.name] = Piece(variable, ATOM + 1, Layout(False, frame, len(statement.event_shape)))
        return [f"{variable} = {self.backend}.param({text_of(statement.name)}, {init}{constraint}){shape}"]

    def _constraint(self, support: Support) -> str:
        name = constraint_name(self.backend, support.kind)
        text = f"dist.constraints.{name}"
        if support.bounds:
            text += f"({', '.join(self.lowering.piece(b).text for b in support.bounds)})"
        return text

    # --- distributions -----------------------------------------------------------------------------------------------

    def _distribution(self, dist: Distribution, frame: tuple[Plate | None, ...]) -> str:
        batch_rank = len(dist.event_shape) - dist.event_rank
        text = self._expanded(dist, batch_rank)
        if dist.mask_value is not None:
            own = Layout(False, frame, batch_rank)
            text += f".mask({self.lowering.aligned(self.lowering.piece(dist.mask_value), own).text})"
        if batch_rank:
            text += f".to_event({batch_rank})"
        return text

    def _expanded(self, dist: Distribution, batch_rank: int) -> str:
        text = self.bare(dist, batch_rank)
        batch = dist.event_shape[:batch_rank]
        if dist.expanded and self._natural_batch(dist) != batch:
            own = merge(self.lowering.piece(v).layout for v in dist.values()) if dist.values() else Layout(False, (), 0)
            sizes = [1 if p is None else p.size for p in own.frame] + list(batch)
            text += f".expand([{', '.join(str(n) for n in sizes)}])"
        return text

    def _natural_batch(self, dist: Distribution) -> tuple[int, ...] | None:
        return None if dist.nested() else dist.batch_shape()

    def bare(self, dist: Distribution, batch_rank: int) -> str:
        """A distribution without expand, mask and to_event; parameters lined up for `batch_rank` independent axes."""
        if isinstance(dist, Imputed):
            # Its density is part of that of the site whose missing elements it holds.
            return f"dist.ImproperUniform({self._constraint(dist.support)}, (), {dist.event_shape})"
        ranks = {id(v): (dist.parameter_rank(n) if n in dist.parameters else 0) for n, v in dist.params.items()}

        counts = {id(v) for n, v in dist.params.items() if n in dist.parameters and dist.parameters[n].discrete}

        def text(value: Value) -> str:
            if self.backend == "pyro" and id(value) in counts and value.op != "const":
                # torch gives a number beside a tensor the tensor's dtype: next to integer counts, 0.5 would become 0.
                value = to_float(value)
            piece = self.lowering.piece(value)
            target = Layout(False, piece.layout.frame, max(batch_rank + ranks.get(id(value), 0), piece.layout.rank))
            return self.lowering.indexed(piece, alignment(piece.layout, target)).text

        def nested(inner: Distribution) -> str:
            return self._expanded(inner, len(inner.event_shape) - inner.event_rank)

        return native_text(self.backend, dist, text, nested, self.held)

    # --- leaves and networks -----------------------------------------------------------------------------------------

    def _load(self, leaf: Value) -> Piece:
        if leaf.op == "plate_index":
            plate = leaf.attr("plate")
            frame = frame_of((plate,), self.positions)
            text = f"{self.spelling.module}.arange({plate.size})" + index_text([":"] + ["None"] * (len(frame) - 1))
            return Piece(text, ATOM, Layout(False, frame, 0))
        if leaf.op == "input":
            return Piece(self.variables[leaf.attr("name")], ATOM + 1, Layout(False, (), leaf.ndim))
        if leaf.op == "network":
            own = text_of(leaf.attr("weight").removeprefix(f"{leaf.attr('name')}."))
            return Piece(f"{self.variables[leaf.attr('name')]}.weights[{own}]", ATOM + 1, Layout(False, (), leaf.ndim))
        piece = self.known[leaf.attr("name")]
        return replace(piece, text=piece.text.removesuffix(".long()")) if dict(leaf.attrs).get("cast") else piece

    def _network_call(self, lowering: Lowering, node: Value) -> Piece:
        name = node.attr("name")
        x = lowering.piece(node.args[0])
        layout = Layout(False, x.layout.frame, node.ndim)
        spec = self.program.networks[name].spec
        if spec.is_function:
            return external_call(lowering, node, spec, self.network_variables[name])
        if spec.foreign is None and not is_library_made(spec):
            given = [lowering.piece(a) for a in node.args]
            target = merge(Layout(False, a.layout.frame, 0) for a in given)
            texts = [lowering.aligned(a, Layout(False, target.frame, a.layout.rank)).text for a in given]
            return lowering.call(self.variables[name], *texts, layout=Layout(False, target.frame, node.ndim))
        width = len(x.layout.frame)
        call = self.variables[name]
        if self.backend == "numpyro":
            extra = 0 if spec.foreign is not None else mapped_axes(spec, layer_inputs(spec, node.args[0]))
            for _ in range(width + extra):
                call = f"jax.vmap({call})"
            return Piece(f"{call}({x.text})", ATOM, layout)
        if width > 1 and any(layer.kind.startswith("conv") for layer in spec.layers):
            inner = f"{lowering.at(x, ATOM)}.flatten(0, {width - 1})"
            return Piece(f"{call}({inner}).unflatten(0, {lowering.at(x, ATOM)}.shape[:{width}])", ATOM, layout)
        return Piece(f"{call}({x.text})", ATOM, layout)

    def _layer_inputs(self, spec: NetworkSpec) -> list[tuple[int, ...]]:
        """The event shape that each layer of a network takes where the network is called first."""
        for statement in self.program.statements:
            for node in walk(expressions(statement)):
                if node.op == "network" and node.attr("name") == spec.name:
                    return layer_inputs(spec, node.args[0])
        return [()] * len(spec.layers)

    def _call(self, spec: NetworkSpec) -> Value:
        """How a network is called.

        Raises:
            UnsupportedByBackend: its calls have elements of different shapes, or there is none.
        """
        roots = [e for statement in self.program.statements for e in expressions(statement)]
        calls = [n for n in walk(roots) if n.op == "network" and n.attr("name") == spec.name]
        if len({tuple(a.shape for a in n.args) for n in calls}) != 1:
            raise UnsupportedByBackend(
                self.backend,
                f"network {spec.name!r} as a native model",
                "its calls have elements of different shapes" if calls else "it is never called",
                "Declare one network for each shape, or use the inference of ppl, which has no such limit.",
            )
        return calls[0]

    def _array_text(self, array: np.ndarray) -> str:
        maker = "torch.tensor" if self.backend == "pyro" else "jnp.array"
        if array.size > 1 and np.all(array == array.flat[0]):
            number = array.flat[0].item()
            short = {0.0: "zeros", 1.0: "ones"}.get(number) if array.dtype.kind == "f" else None
            shape = str(array.size) if array.ndim == 1 else str(tuple(array.shape))
            if short:
                return f"{self.spelling.module}.{short}({shape})"
            if array.size > 3:
                return f"{self.spelling.module}.full({tuple(array.shape)}, {number!r})"
        if array.ndim == 2 and array.dtype.kind == "f" and np.array_equal(array, np.eye(*array.shape)):
            rows, columns = array.shape
            return f"{self.spelling.module}.eye({rows if rows == columns else f'{rows}, {columns}'})"
        return f"{maker}({array.tolist()})"

    def _network_definition(self, spec: NetworkSpec) -> str:
        name = self.network_variables[spec.name]
        if spec.foreign is not None:
            factory = spec.foreign.torch if self.backend == "pyro" else spec.foreign.jax
            if factory is None:
                other = "torch" if self.backend == "pyro" else "jax"
                raise UnsupportedByBackend(
                    self.backend,
                    f"external {spec.name!r}" if spec.is_function else f"network {spec.name!r}",
                    f"it was given no `{other}` {'function' if spec.is_function else 'factory'}",
                    f"Pass {other}=..., or use the other backend.",
                )
            if self.stored is not None:
                return self.stored.own(name, spec, factory, self.program.networks[spec.name].location)
            own = "function" if spec.is_function else "module"
            return f"{name} = networks[{text_of(spec.name)}]  # your own {own}"
        if is_flow(spec.layers):
            return flow_network(name, self.program.networks[spec.name], self.spelling, self._array_text)
        if not is_library_made(spec):
            return function_network(name, spec, self._call(spec), self.spelling, self._array_text)
        if self.backend == "pyro":
            return torch_network(name, spec, self._layer_inputs(spec))
        return equinox_network(name, spec)


def _shared(one: tuple[Plate, ...], two: tuple[Plate, ...]) -> int:
    """How many plates two stacks have in common, counted from the outside."""
    depth = 0
    while depth < min(len(one), len(two)) and one[depth] == two[depth]:
        depth += 1
    return depth
