"""Pictures of a program in plate notation: as a networkx graph, Graphviz and Mermaid text, and SVG.

All formats show the same `Diagram`: one node for each statement and input, one edge for each name that a statement
reads, and one box for each nest of plates. What a step of a scan reads of an earlier step is an edge of its own, which
is dashed and may lead back to where it comes from.

Boxes of Graphviz and Mermaid cannot overlap, so of two plates that cross, each has a box of its own and, where both are
open, one stands inside the other; equal labels mean the same plate.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ppl.errors import FormatError

from .missing import is_own_input
from .printing import Expressions, distribution_text, printer_of, statement_text
from .program import expressions
from .statements import Carry, Deterministic, Factor, Network, Param, Sample, Statement
from .values import Plate, Value, walk

if TYPE_CHECKING:
    import networkx

    from .program import Program

Nest = tuple[Plate, ...]


@dataclass(frozen=True)
class Node:
    """One thing that a program declares.

    Attributes:
        name: its name.
        kind: "latent", "observed", "deterministic", "intervened", "factor", "param", "network" or "input".
        plates: the plates around it, outermost first; for an input, those that map over it.
        shape: event shape of one element.
        note: a word or two for below the name: family, kind of network, shape of an input.
        distribution: the distribution as the user writes it; empty for all but random sites.
        text: the whole statement as the user writes it.
    """

    name: str
    kind: str
    plates: Nest
    shape: tuple[int, ...]
    note: str = ""
    distribution: str = ""
    text: str = ""


@dataclass(frozen=True)
class Diagram:
    """What every picture of a program shows.

    Attributes:
        title: name of the model.
        nodes: by name, in order of declaration; inputs come first.
        edges: (from, to), by name; there is no way round in them.
        lagged: edges from an earlier step of a scan, which may lead anywhere in the step; some are in `edges` as well.
        nests: every nest of plates that needs a box, outer ones first.
    """

    title: str
    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]
    lagged: tuple[tuple[str, str], ...]
    nests: tuple[Nest, ...]


def diagram(program: Program) -> Diagram:
    """The nodes, edges and plates of a program.

    The arrays that `do` brings along are part of the node they set, not nodes of their own.
    """
    stacks = [s.plates for s in program.statements] + [(*p.outer, p.plate) for p in program.plates]
    nests = dict.fromkeys(stack[:depth] for stack in stacks for depth in range(1, len(stack) + 1))
    mapped = _mapped_inputs(program, set(nests))
    nodes: dict[str, Node] = {}
    for item in program.inputs:
        if not is_own_input(item.name):
            plates = mapped.get(item.name, ())
            shape = item.shape[len(plates) :]
            note = str(list(shape)) if shape else ""
            text = f"{item.name}: {item.dtype}{list(item.shape)}"
            nodes[item.name] = Node(item.name, "input", plates, shape, note, "", text)
    # With names for shared parts, as in print(program): written out, they could grow without bound.
    printer, _, _ = printer_of(program)
    shown = [s for s in program.statements if not isinstance(s, Carry)]
    for statement in shown:
        nodes[statement.name] = _node(statement, printer)
    read = {s.name: program.reads(s.name) for s in shown}
    edges, lagged = (tuple((a, b) for b in read for a in read[b][i] if a in nodes) for i in (0, 1))
    return Diagram(program.name, nodes, edges, lagged, tuple(nests))


def _node(statement: Statement, printer: Expressions) -> Node:
    name, plates = statement.name, statement.plates
    text = statement_text(statement, printer)
    match statement:
        case Sample():
            kind = "observed" if statement.observed else "latent"
            dist = statement.dist
            return Node(name, kind, plates, dist.event_shape, dist.family, distribution_text(dist, printer), text)
        case Deterministic():
            kind = "intervened" if statement.intervened else "deterministic"
            return Node(name, kind, plates, statement.expression.shape, "", "", text)
        case Factor():
            return Node(name, "factor", plates, (), "factor", "", text)
        case Param():
            return Node(name, "param", plates, statement.init.array.shape, "param", "", text)
        case Network():
            return Node(name, "network", plates, (), statement.spec.text.partition("(")[0], "", text)
        case _:
            raise TypeError(type(statement).__name__)


def _mapped_inputs(program: Program, nests: set[Nest]) -> dict[str, Nest]:
    """For each input that is read one element at a time and in no other way, the nest that maps over it."""
    roots = [v for s in program.statements for v in expressions(s)]
    reads = roots + [arg for node in walk(roots) if node.op != "element" for arg in node.args]
    chains = [_chain(value, ()) for value in reads]
    chains += [_chain(source, (p.plate,)) for p in program.plates for source in p.sources]
    found: dict[str, set[Nest]] = {}
    for name, chain in chains:
        if name:
            found.setdefault(name, set()).add(chain)
    longest = {name: max(known, key=len) for name, known in found.items()}
    return {n: c for n, c in longest.items() if c in nests and all(k and c[: len(k)] == k for k in found[n])}


def _chain(value: Value, inner: Nest) -> tuple[str, Nest]:
    """The input that a value is one element of, and the plates mapped over, outermost first; "" for other values."""
    while value.op == "element":
        inner = (value.attr("plate"), *inner)
        value = value.args[0]
    return (value.attr("name") if value.op == "input" else ""), inner


# --- networkx -----------------------------------------------------------------------------------------------------


def to_networkx(program: Program) -> networkx.DiGraph[str]:
    """The graph as a `networkx.DiGraph`.

    Nodes carry `kind`, `plates` (names, outermost first), `shape` (event shape), `distribution` and `text`; the graph
    itself carries `name` and `plates`, the sizes by name. Edges carry `lagged`: whether all that is read comes from
    an earlier step of a scan. Without these edges the graph has no cycles.
    """
    import networkx

    picture = diagram(program)
    # networkx comes with types that are only partly filled in.
    graph = cast(Any, networkx).DiGraph(name=picture.title, plates={p.name: p.plate.size for p in program.plates})
    for node in picture.nodes.values():
        graph.add_node(
            node.name,
            kind=node.kind,
            plates=tuple(p.name for p in node.plates),
            shape=node.shape,
            distribution=node.distribution,
            text=node.text,
        )
    graph.add_edges_from(picture.lagged, lagged=True)
    graph.add_edges_from(picture.edges, lagged=False)
    return graph


# --- Graphviz -----------------------------------------------------------------------------------------------------

_DOT_STYLES = {
    "latent": 'shape=ellipse, style=filled, fillcolor="white"',
    "observed": 'shape=ellipse, style=filled, fillcolor="gray80"',
    "deterministic": "shape=ellipse, style=dashed",
    "intervened": 'shape=box, peripheries=2, style=filled, fillcolor="lightyellow"',
    "factor": 'shape=square, style=filled, fillcolor="black", fontcolor="white", width=0.2, margin=0.05',
    "param": "shape=plaintext",
    "network": 'shape=box, style="rounded"',
    "input": "shape=plaintext",
}


def label_of(node: Node) -> tuple[str, str]:
    """What a picture writes on a node: its name, and a second, smaller line."""
    return (f"do({node.name})", "") if node.kind == "intervened" else (node.name, node.note)


def _dot_text(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def to_dot(program: Program) -> str:
    """Graphviz text in plate notation: a cluster for each nest of plates, observed nodes shaded, `do` nodes boxed."""
    picture = diagram(program)
    lines = [f"digraph {_dot_text(picture.title)} {{", "  rankdir=TB;", '  node [fontname="Helvetica"];']
    count = 0

    def nest(current: Nest) -> None:
        nonlocal count
        indent = "  " * (len(current) + 1)
        if current:
            lines.append(f"{indent[2:]}subgraph cluster_{count} {{")
            lines.append(f'{indent}label={_dot_text(str(current[-1]))}; labelloc=b; labeljust=r; style="rounded";')
            count += 1
        members = [n for n in picture.nodes.values() if n.plates == current]
        for node in members:
            title, note = label_of(node)
            label = _dot_text(title + (f"\n{note}" if note else ""))
            tip = _dot_text(node.text)
            lines.append(f"{indent}{_dot_text(node.name)} [label={label}, {_DOT_STYLES[node.kind]}, tooltip={tip}];")
        inner = [n for n in picture.nests if n[:-1] == current]
        if current and not members and not inner:
            # Graphviz drops a cluster without nodes.
            lines.append(f'{indent}"plate {current[-1].name}" [style=invis, label=""];')
        for child in inner:
            nest(child)
        if current:
            lines.append(f"{indent[2:]}}}")

    nest(())
    lines += [f"  {_dot_text(a)} -> {_dot_text(b)};" for a, b in picture.edges]
    # Layers follow from what happens within a step.
    lines += [f"  {_dot_text(a)} -> {_dot_text(b)} [style=dashed, constraint=false];" for a, b in picture.lagged]
    return "\n".join([*lines, "}"]) + "\n"


# --- Mermaid ------------------------------------------------------------------------------------------------------

_MERMAID_SHAPES = {
    "latent": ('(["', '"])'),
    "observed": ('(["', '"])'),
    "deterministic": ('(["', '"])'),
    "intervened": ('[["', '"]]'),
    "factor": ('["', '"]'),
    "param": ('["', '"]'),
    "network": ('("', '")'),
    "input": ('["', '"]'),
}
_MERMAID_CLASSES = {
    "latent": "fill:#ffffff,stroke:#333333",
    "observed": "fill:#cccccc,stroke:#333333",
    "deterministic": "fill:#ffffff,stroke:#333333,stroke-dasharray:4 3",
    "intervened": "fill:#fff6d5,stroke:#333333",
    "factor": "fill:#333333,stroke:#333333,color:#ffffff",
    "param": "fill:none,stroke:none",
    "network": "fill:#eef3fb,stroke:#5b7db1",
    "input": "fill:none,stroke:none",
}


def _mermaid_text(text: str) -> str:
    # Mermaid reads entities with a hash sign, and takes quotes and angle brackets for its own.
    return "".join(c if c.isalnum() or c in " _.,()[]:=+-*/" else f"#{ord(c)};" for c in text)


def to_mermaid(program: Program) -> str:
    """Mermaid flowchart text, with a subgraph for each nest of plates."""
    picture = diagram(program)
    keys: dict[str, str] = {}
    for name in picture.nodes:
        # A prefix, because words such as `end` belong to Mermaid; a number where two names would become one.
        stem = "n_" + re.sub(r"[^A-Za-z0-9_]", "_", name)
        keys[name] = stem if stem not in keys.values() else f"{stem}_{len(keys)}"
    lines = ["flowchart TB"]
    count = 0

    def nest(current: Nest) -> None:
        nonlocal count
        indent = "  " * (len(current) + 1)
        if current:
            lines.append(f'{indent[2:]}subgraph plate_{count}["{_mermaid_text(str(current[-1]))}"]')
            count += 1
        for node in picture.nodes.values():
            if node.plates == current:
                before, after = _MERMAID_SHAPES[node.kind]
                title, note = (_mermaid_text(part) for part in label_of(node))
                label = title + (f"<br/>{note}" if note else "")
                lines.append(f"{indent}{keys[node.name]}{before}{label}{after}:::{node.kind}")
        for child in (n for n in picture.nests if n[:-1] == current):
            nest(child)
        if current:
            lines.append(f"{indent[2:]}end")

    nest(())
    lines += [f"  {keys[a]} --> {keys[b]}" for a, b in picture.edges]
    lines += [f"  {keys[a]} -.-> {keys[b]}" for a, b in picture.lagged]
    used = {n.kind for n in picture.nodes.values()}
    lines += [f"  classDef {kind} {style}" for kind, style in _MERMAID_CLASSES.items() if kind in used]
    return "\n".join(lines) + "\n"


# --- SVG ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """A drawing that notebooks display.

    Attributes:
        svg: the drawing as SVG text.
        title: name of the model.
    """

    svg: str
    title: str

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return f"<picture of {self.title}: {len(self.svg)} characters of SVG>"

    __repr__ = __str__


def to_svg(program: Program) -> str:
    """The program in plate notation as self-contained SVG text, drawn without Graphviz."""
    from .drawing import draw

    return draw(diagram(program))


def render(program: Program, filename: str | Path | None = None) -> Picture:
    """Draw a program.

    Args:
        program: any program.
        filename: where to write the SVG; None to write nothing.

    Returns:
        The drawing; notebooks display it.

    Raises:
        FormatError: the file name asks for another format.
    """
    picture = Picture(to_svg(program), program.name)
    if filename is not None:
        path = Path(filename)
        if path.suffix.lower() != ".svg":
            raise FormatError(
                "render writes SVG.",
                model=program.name,
                expected="a file name that ends in .svg",
                got=str(filename),
                remedy="For other formats pass to_dot() to Graphviz or to_mermaid() to Mermaid.",
            )
        path.write_text(picture.svg, encoding="utf-8")
    return picture


def escape(text: str) -> str:
    """Text for use in SVG, in attributes too."""
    return html.escape(text, quote=True)
