"""Pictures: every format shows the same nodes, edges and plates, and the SVG is drawn so that it can be read."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

import ppl
from ppl import dist, nn, ops
from ppl.errors import FormatError
from ppl.program.graph import diagram
from ppl.program.layered import arrange, layers_of, size_of
from ppl.program.program import Program

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = np.random.default_rng(0)


@ppl.model
def hierarchy(X, group, groups: int = 5):
    mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
    tau = ppl.sample("tau", dist.HalfNormal(1.0))
    noise = ppl.param("noise", 1.0, support=dist.support.positive)
    slope = ppl.sample("slope", dist.Normal(0.0, 1.0).expand([3]))
    with ppl.plate("groups", size=groups):
        raw = ppl.sample("raw", dist.Normal(0.0, 1.0))
        intercept = ppl.deterministic("intercept", mu + tau * raw)
    with ppl.plate("rows", (X, group)) as (x, g):
        ppl.sample("y", dist.Normal(intercept[g] + x @ slope, noise))
    ppl.factor("shrink", -ops.sum(slope**2))


@ppl.model
def crossing(students: int = 20, items: int = 7):
    with ppl.plate("students", size=students):
        ability = ppl.sample("ability", dist.Normal(0.0, 1.0))
    with ppl.plate("items", size=items):
        difficulty = ppl.sample("difficulty", dist.Normal(0.0, 1.0))
    with ppl.plate("students", ability) as a, ppl.plate("items", difficulty) as d:
        ppl.sample("answer", dist.Bernoulli(logits=a - d))


@ppl.model
def nested():
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    odd = ppl.sample('odd <&"> \\ name', dist.Normal(a, 1.0))
    with ppl.plate("states", size=50):
        s = ppl.sample("s", dist.Normal(a, 1.0))
        with ppl.plate("schools", size=7):
            t = ppl.sample("t", dist.Normal(s, 1.0))
            with ppl.plate("pupils", size=30):
                ppl.sample("score", dist.Normal(t + odd, 1.0))
    total = ppl.deterministic("total", ops.sum(s))
    with ppl.plate("states", s) as own:
        ppl.sample("after", dist.Normal(total + own, 1.0))
    with ppl.plate("nothing", size=3):
        pass


@ppl.model
def vae(images):
    decoder = nn.MLP("decoder", [2, 5, 4])
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([2]))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)))


@ppl.model
def bayesian_network(X):
    net = nn.MLP("net", [3, 5, 1], prior=dist.Normal(0.0, 1.0))
    with ppl.plate("rows", X) as x:
        ppl.sample("y", dist.Normal(net(x)[0], 1.0))


@ppl.model
def long_chain(length: int = 20):
    values = [ppl.sample("v0", dist.Normal(0.0, 1.0))]
    for i in range(1, length):
        values.append(ppl.sample(f"v{i}", dist.Normal(values[-1] + values[i // 3], 1.0)))
    ppl.sample("end", dist.Normal(values[0] + values[-1], 1.0))


@ppl.model
def hidden(length: int = 12):
    """A step reads its own site of the step before."""
    with ppl.plate("states", size=3):
        moves = ppl.sample("moves", dist.Dirichlet(np.ones(3)))

    def step(previous, t):
        state = ppl.sample("state", dist.Categorical(probs=moves[previous]))
        ppl.sample("y", dist.Normal(1.0 * state + t, 1.0))
        return state

    last = ppl.scan("time", step, init=0, length=length)[-1]
    ppl.deterministic("end", last)


@ppl.model
def coupled(length: int = 5):
    """Sites of a step that read one another: of their own step, of the step before, and both."""
    start = ppl.sample("start", dist.Normal(0.0, 1.0))
    with ppl.plate("series", size=3):
        b = ppl.sample("b", dist.Normal(0.0, 1.0))

        def step(carry, t):
            u, v, w = carry
            x = ppl.sample("x", dist.Normal(v, 1.0))
            z = ppl.sample("z", dist.Normal(b * u + w, 1.0))
            middle = ppl.deterministic("middle", 2.0 * z)
            y = ppl.sample("y", dist.Normal(middle + z + x + v, 1.0))
            return x, z, y

        ppl.scan("time", step, init=(start, 0.0, 0.0), length=length)


LAGGED = {
    "hidden": {("state", "state")},
    "coupled": {("z", "x"), ("x", "z"), ("y", "z"), ("z", "y")},
}

PROGRAMS: dict[str, Program] = {
    "hierarchy": hierarchy(NUMBERS.normal(size=(9, 3)), NUMBERS.integers(0, 5, 9)).observe(y=np.zeros(9)),
    "crossing": crossing(),
    "nested": nested().do(a=1.0),
    "vae": vae(np.zeros((6, 4))),
    "bayesian_network": bayesian_network(np.zeros((6, 3))),
    "long_chain": long_chain(),
    "hidden": hidden(),
    "coupled": coupled(),
}
each_program = pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)


def expected_edges(program: Program) -> set[tuple[str, str]]:
    shown = [n for n in program.by_name if n not in program.carries]
    return {(p, n) for n in shown for p in program.parents(n) if not p.startswith("do.")}


def lagged_edges(program: Program) -> set[tuple[str, str]]:
    return {(p, n) for n in program.by_name if n not in program.carries for p in program.reads(n)[1]}


def unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text)


def dot_edges(text: str, tail: str = "") -> set[tuple[str, str]]:
    quoted = r'"((?:[^"\\]|\\.)*)"'
    found = re.findall(rf"^  {quoted} -> {quoted}{re.escape(tail)};$", text, re.MULTILINE)
    return {(unquoted(a), unquoted(b)) for a, b in found}


def mermaid_names(text: str) -> dict[str, str]:
    """Key of each node -> its name, from its label."""
    found = re.findall(r'^\s*(n_\w+)[(\[]+"(.*?)"[)\]]+:::(\w+)$', text, re.MULTILINE)
    decode = lambda label: re.sub(r"#(\d+);", lambda m: chr(int(m[1])), label.split("<br/>")[0])
    return {
        key: decode(label).removeprefix("do(").removesuffix(")" if kind == "intervened" else "")
        for key, label, kind in found
    }


def mermaid_edges(text: str, arrow: str = "-->") -> set[tuple[str, str]]:
    names = mermaid_names(text)
    found = re.findall(rf"^  (n_\w+) {re.escape(arrow)} (n_\w+)$", text, re.MULTILINE)
    return {(names[a], names[b]) for a, b in found}


def svg_edges(root: ET.Element, kind: str = "edge") -> set[tuple[str, str]]:
    return {(g.attrib["data-from"], g.attrib["data-to"]) for g in root.iter(f"{SVG}g") if g.get("class") == kind}


@each_program
def test_every_format_has_the_same_edges(program: Program):
    expected, lagged = expected_edges(program), lagged_edges(program)
    now = {(p, n) for p, n in expected if p in program.reads(n)[0]}
    assert now | lagged == expected
    graph, svg = program.to_networkx(), ET.fromstring(program.render().svg)
    assert set(graph.edges) == expected
    assert {e for e in graph.edges if graph.edges[e]["lagged"]} == lagged - now
    assert dot_edges(program.to_dot()) == now
    assert dot_edges(program.to_dot(), " [style=dashed, constraint=false]") == lagged
    assert mermaid_edges(program.to_mermaid()) == now
    assert mermaid_edges(program.to_mermaid(), "-.->") == lagged
    assert svg_edges(svg) == now
    assert svg_edges(svg, "edge lagged") == lagged


@pytest.mark.parametrize("name", LAGGED)
def test_what_is_read_of_the_step_before_is_an_edge_of_its_own(name: str):
    program = PROGRAMS[name]
    assert set(diagram(program).lagged) == LAGGED[name]
    graph = program.to_networkx()
    graph.remove_edges_from([e for e in graph.edges if graph.edges[e]["lagged"]])
    assert nx.is_directed_acyclic_graph(graph)
    # Every one is dashed, and none lies upon another.
    edges = [g for g in ET.fromstring(program.render().svg).iter(f"{SVG}g") if g.get("class", "").startswith("edge")]
    paths = [next(g.iter(f"{SVG}path")) for g in edges]
    assert len({p.attrib["d"] for p in paths}) == len(edges)
    for edge, path in zip(edges, paths, strict=True):
        assert ("stroke-dasharray" in path.attrib) == (edge.attrib["class"] == "edge lagged")


def test_a_carry_is_no_node_and_its_start_is_read_now():
    assert not {n for n in PROGRAMS["coupled"].carries} & set(PROGRAMS["coupled"].to_networkx().nodes)
    assert PROGRAMS["coupled"].reads("z") == (("b", "start"), ("x", "y"))


@each_program
def test_every_format_has_the_same_nodes(program: Program):
    statements = set(program.by_name) - set(program.carries)
    expected = {i.name for i in program.inputs if not i.name.startswith("do.")} | statements
    root = ET.fromstring(program.render().svg)
    assert set(program.to_networkx().nodes) == expected
    assert set(mermaid_names(program.to_mermaid()).values()) == expected
    assert {g.attrib["data-name"] for g in root.iter(f"{SVG}g") if "data-name" in g.attrib} == expected
    quoted = re.findall(r'^\s+"((?:[^"\\]|\\.)*)" \[label=(?!"")', program.to_dot(), re.MULTILINE)
    assert {unquoted(q) for q in quoted} == expected


@each_program
def test_every_format_has_every_plate(program: Program):
    sizes = [str(nest[-1]) for nest in diagram(program).nests]
    assert {s.rpartition(" ")[0] for s in sizes} == {p.name for p in program.plates}
    root = ET.fromstring(program.render().svg)
    assert sorted(r.attrib["data-plate"] for r in root.iter(f"{SVG}rect") if r.get("class") == "plate") == sorted(sizes)
    dot, mermaid = program.to_dot(), program.to_mermaid()
    assert sorted(re.findall(r'label="([^"]*)"; labelloc', dot)) == sorted(sizes)
    assert sorted(re.findall(r'subgraph plate_\d+\["([^"]*)"\]', mermaid)) == sorted(sizes)
    assert dot.count("{") == dot.count("}") == len(sizes) + 1
    assert mermaid.count("\n") > len(sizes)
    assert len(re.findall(r"^\s*end$", mermaid, re.MULTILINE)) == len(sizes)


def test_networkx_nodes_carry_what_the_program_says():
    graph = PROGRAMS["hierarchy"].to_networkx()
    assert graph.graph == {"name": "hierarchy", "plates": {"groups": 5, "rows": 9}}
    assert nx.is_directed_acyclic_graph(graph)
    assert graph.nodes["y"]["kind"] == "observed"
    assert graph.nodes["y"]["plates"] == ("rows",)
    assert graph.nodes["slope"] == {
        "kind": "latent",
        "plates": (),
        "shape": (3,),
        "distribution": "Normal(0.0, 1.0).expand([3])",
        "text": "slope ~ Normal(0.0, 1.0).expand([3])",
    }
    kinds = {n: d["kind"] for n, d in graph.nodes(data=True)}
    assert kinds["X"] == "input"
    assert kinds["noise"] == "param"
    assert kinds["shrink"] == "factor"
    assert kinds["intercept"] == "deterministic"
    # One row of X has three numbers; the rows are the plate.
    assert graph.nodes["X"]["plates"] == ("rows",)
    assert graph.nodes["X"]["shape"] == (3,)


def test_do_and_observation_are_marked():
    done = PROGRAMS["nested"]
    assert done.to_networkx().nodes["a"]["kind"] == "intervened"
    assert re.search(r'"a" \[label="do\(a\)", shape=box, peripheries=2', done.to_dot())
    assert 'n_a[["do(a)"]]:::intervened' in done.to_mermaid()
    assert 'class="node intervened"' in done.render().svg
    seen = PROGRAMS["hierarchy"].to_dot()
    assert re.search(r'"y" .*fillcolor="gray80"', seen)
    assert not re.search(r'"mu" .*gray80', seen)


def test_do_with_one_value_for_each_element_is_still_one_node():
    program = crossing(students=4, items=3).do(ability=np.arange(4.0))
    assert [i.name for i in program.inputs] == ["do.ability"]
    assert "do.ability" not in program.to_networkx()
    assert "do.ability" not in program.to_dot()


def test_an_input_read_as_a_whole_stands_outside_the_plate():
    @ppl.model
    def both(X):
        centre = ops.mean(X, axis=0)
        with ppl.plate("rows", X) as x:
            ppl.sample("y", dist.Normal(x - centre, 1.0))

    assert both(np.zeros((4, 2))).to_networkx().nodes["X"]["plates"] == ()


# --- the drawing ----------------------------------------------------------------------------------------------------


@each_program
def test_nothing_in_the_drawing_overlaps(program: Program):
    layout = arrange(diagram(program))
    nodes = [(s, *size_of(s.node)) for s in layout.slots if s.node]
    for i, (a, wide, high) in enumerate(nodes):
        y = layout.middles[a.layer]
        assert 0 <= a.x - wide / 2
        assert a.x + wide / 2 <= layout.width
        assert y + high / 2 <= layout.height
        for b, other, _ in nodes[:i]:
            assert a.layer != b.layer or abs(a.x - b.x) >= (wide + other) / 2
        for box in layout.boxes:
            inside = box.left <= a.x - wide / 2 and a.x + wide / 2 <= box.right and box.top <= y <= box.bottom
            apart = a.x + wide / 2 <= box.left or a.x - wide / 2 >= box.right or not box.top <= y <= box.bottom
            assert inside if a.nest[: len(box.nest)] == box.nest else apart
    for i, one in enumerate(layout.boxes):
        for two in layout.boxes[:i]:
            if two.nest[: len(one.nest)] == one.nest:
                assert one.left < two.left < two.right < one.right
                assert one.top < two.top < two.bottom < one.bottom
            else:
                assert one.right <= two.left or two.right <= one.left or one.bottom <= two.top or two.bottom <= one.top


@each_program
def test_every_edge_points_down(program: Program):
    layer = layers_of(diagram(program))
    assert all(layer[a] < layer[b] for a, b in diagram(program).edges)


def test_text_is_escaped():
    svg = PROGRAMS["nested"].render().svg
    assert 'odd <&"' not in svg
    names = [t.text for t in ET.fromstring(svg).iter(f"{SVG}text")]
    assert 'odd <&"> \\ name' in names


def test_render_writes_svg_and_nothing_else(tmp_path: Path):
    program = PROGRAMS["vae"]
    picture = program.render(str(tmp_path / "model.svg"))
    assert (tmp_path / "model.svg").read_text(encoding="utf-8") == picture.svg == picture._repr_html_()
    assert picture._repr_svg_().startswith("<svg ")
    assert program._repr_html_() == picture.svg
    assert str(picture).startswith("<picture of vae")
    with pytest.raises(FormatError, match=r"render writes SVG") as caught:
        program.render(str(tmp_path / "model.png"))
    assert caught.value.got == str(tmp_path / "model.png")
    assert "to_dot()" in (caught.value.remedy or "")


def test_a_drawing_is_reproducible():
    assert (
        hierarchy(np.zeros((9, 3)), np.zeros(9, int)).render().svg
        == hierarchy(np.zeros((9, 3)), np.zeros(9, int)).render().svg
    )


def test_shared_subexpressions_do_not_blow_up_the_text():
    @ppl.model
    def doubling():
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        for _ in range(60):
            x = x + x
        ppl.sample("y", dist.Normal(x, 1.0))

    program = doubling()
    assert len(program.to_networkx().nodes["y"]["text"]) < 200
    assert len(str(program)) < 6000
