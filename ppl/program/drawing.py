"""Diagrams as SVG: the shapes of nodes, plates and edges, placed by `layered`. No Graphviz is needed."""

from __future__ import annotations

import math
from itertools import pairwise

from .graph import Diagram, Node, escape, label_of
from .layered import LABEL_SIZE, LOOP, NAME_SIZE, NOTE_SIZE, Box, Layout, Route, Slot, arrange, size_of

FONT = "Helvetica, Arial, sans-serif"
STYLE = "max-width: 100%"
Point = tuple[float, float]
# How far to the side an edge runs that would otherwise lie upon another one.
BOW = 26.0


def draw(diagram: Diagram) -> str:
    """A diagram as SVG text."""
    layout = arrange(diagram)
    size = f'width="{layout.width:.0f}" height="{layout.height:.0f}"'
    view = f'viewBox="0 0 {layout.width:.0f} {layout.height:.0f}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} role="img" font-family="{FONT}" style="{STYLE}">',
        f"<title>{escape(diagram.title)}</title>",
        f'<rect {size} fill="#ffffff"/>',
    ]
    parts += [_box(b) for b in reversed(layout.boxes)]
    parts += [_arrow(route, layout) for route in layout.routes]
    parts += [_label(b) for b in layout.boxes]
    parts += [_shape(s, layout.middles[s.layer]) for s in layout.slots if s.node]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _box(box: Box) -> str:
    w, h = box.right - box.left, box.bottom - box.top
    return (
        f'<rect class="plate" data-plate="{escape(box.label)}" x="{box.left:.1f}" y="{box.top:.1f}" width="{w:.1f}" '
        f'height="{h:.1f}" rx="9" fill="#5b7db1" fill-opacity="0.06" stroke="#7d8ba3"/>'
    )


def _label(box: Box) -> str:
    return _text(box.label, box.right - 8, box.bottom - 7, LABEL_SIZE, "#4a5875", "end")


def _text(text: str, x: float, y: float, size: float, colour: str, anchor: str = "middle") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
    body = f'<text {place} fill="{colour}">{escape(text)}</text>'
    if anchor == "middle":
        return body
    # A white rim keeps the label of a plate legible where an edge passes behind it.
    rim = 'fill="#ffffff" stroke="#ffffff" stroke-width="3" stroke-linejoin="round" aria-hidden="true"'
    return f"<text {place} {rim}>{escape(text)}</text>{body}"


def _shape(slot: Slot, y: float) -> str:
    node = slot.node
    assert node is not None
    if node.kind == "empty":
        return ""
    w, h = size_of(node)
    x, title, note = slot.x, *label_of(node)
    ink = 'stroke="#2b2f36" stroke-width="1.2"'
    frame = f'x="{x - w / 2:.1f}" y="{y - h / 2:.1f}" width="{w:.1f}" height="{h:.1f}"'
    match node.kind:
        case "latent" | "observed" | "deterministic":
            fill = "#d3d7de" if node.kind == "observed" else "#ffffff"
            dash = ' stroke-dasharray="5 3"' if node.kind == "deterministic" else ""
            shape = f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{w / 2:.1f}" ry="{h / 2:.1f}" fill="{fill}" {ink}{dash}/>'
        case "intervened":
            inner = f'x="{x - w / 2 + 3:.1f}" y="{y - h / 2 + 3:.1f}" width="{w - 6:.1f}" height="{h - 6:.1f}"'
            shape = f'<rect {frame} fill="#fff3c4" {ink}/><rect {inner} fill="none" {ink}/>'
        case "network":
            shape = f'<rect {frame} rx="5" fill="#eef3fb" stroke="#5b7db1"/>'
        case "factor":
            shape = f'<rect x="{x - 7:.1f}" y="{y - h / 2:.1f}" width="14" height="14" fill="#2b2f36"/>'
            texts = _text(title, x, y + h / 2 - 3, LABEL_SIZE, "#2b2f36")
            return _group(node, shape + texts)
        case _:
            shape = ""
    if note:
        texts = _text(title, x, y - 0.5, NAME_SIZE, "#16181d") + _text(note, x, y + 12, NOTE_SIZE, "#5a6270")
    else:
        texts = _text(title, x, y + 5, NAME_SIZE, "#16181d")
    return _group(node, shape + texts)


def _group(node: Node, inside: str) -> str:
    head = f'<g class="node {node.kind}" data-name="{escape(node.name)}">'
    return f"{head}<title>{escape(node.text)}</title>{inside}</g>"


def _towards(slot: Slot, middle: float, target: Point) -> Point:
    """Where the line from a node's middle to a point leaves its shape."""
    node = slot.node
    assert node is not None
    w, h = (d / 2 + 1 for d in size_of(node))
    dx, dy = target[0] - slot.x, target[1] - middle
    if node.kind in ("latent", "observed", "deterministic"):
        scale = 1 / math.hypot(dx / w, dy / h)
    else:
        scale = min(w / abs(dx) if dx else math.inf, h / abs(dy) if dy else math.inf)
    return slot.x + dx * scale, middle + dy * scale


def _blocked(first: Slot, last: Slot, slots: tuple[Slot, ...]) -> bool:
    """Whether another node of either layer stands between two nodes."""
    low, high = sorted((first.x, last.x))
    return any(s.layer in (first.layer, last.layer) and low < s.x < high for s in slots)


def _curve(route: Route, layout: Layout) -> list[tuple[Point, Point]]:
    """The points an edge runs through, from where it comes to where it leads, each with the direction it has there."""
    first, last = route.ends
    if first is last:
        return _loop(first, layout.middles[first.layer])
    if first.layer == last.layer:
        return _arc(first, last, layout.middles[first.layer])
    beside = [r for r in layout.routes if r is not route and {id(e) for e in r.ends} == {id(first), id(last)}]
    if route.lagged and beside and len(route.slots) == 2:
        return _bow(first, last, layout)
    down = _downward(route.slots, layout)
    return [(p, (-dx, -dy)) for p, (dx, dy) in reversed(down)] if route.up else down


def _loop(slot: Slot, middle: float) -> list[tuple[Point, Point]]:
    """At the right side of a node, out and back."""
    x, y = slot.x, middle
    start, end = _towards(slot, y, (x + 40, y - 14)), _towards(slot, y, (x + 40, y + 14))
    return [(start, (2.6 * LOOP, -LOOP)), (end, (-2.6 * LOOP, -LOOP))]


def _arc(first: Slot, last: Slot, middle: float) -> list[tuple[Point, Point]]:
    """Between nodes of one layer: above them to the right, below them to the left."""
    dx = last.x - first.x
    side = -1.0 if dx > 0 else 1.0
    start = _towards(first, middle, (first.x + 0.3 * dx, middle + side * 30))
    end = _towards(last, middle, (last.x - 0.3 * dx, middle + side * 30))
    return [(start, (0.6 * dx, side * 45)), (end, (0.6 * dx, -side * 45))]


def _bow(first: Slot, last: Slot, layout: Layout) -> list[tuple[Point, Point]]:
    """Between neighbouring layers, beside the straight line: up on the right, down on the left."""
    top, bottom = layout.middles[first.layer], layout.middles[last.layer]
    side = BOW if bottom < top else -BOW
    middle = ((first.x + last.x) / 2 + side, (top + bottom) / 2)
    start, end = _towards(first, top, middle), _towards(last, bottom, middle)
    out, back = ((b[0] - a[0], b[1] - a[1]) for a, b in ((start, middle), (middle, end)))
    return [(start, (2 * out[0], 2 * out[1])), (end, (2 * back[0], 2 * back[1]))]


def _downward(route: list[Slot], layout: Layout) -> list[tuple[Point, Point]]:
    """The points of an edge from one layer to a lower one."""
    first, last, middles = route[0], route[-1], layout.middles
    assert first.node is not None and last.node is not None
    top, bottom = middles[first.layer], middles[last.layer]
    bends = [(s.x, middles[s.layer]) for s in route[1:-1]]
    dx, dy = last.x - first.x, bottom - top
    if not bends and abs(dx) > 1.5 * dy and _blocked(first, last, layout.slots):
        # A flat line would run through the neighbours: leave downwards, arrive from above.
        side = math.copysign(0.25, dx)
        start = _towards(first, top, (first.x + side * size_of(first.node)[0], top + dy))
        end = _towards(last, bottom, (last.x - side * size_of(last.node)[0], top))
        return [(start, (0.0, 1.2 * dy)), (end, (dx * 0.15, 1.2 * dy))]
    start = _towards(first, top, bends[0] if bends else (last.x, bottom))
    end = _towards(last, bottom, bends[-1] if bends else (first.x, top))
    points = [start, *bends, end]
    around = [start, *points, end]
    turns = [(0.35 * (c[0] - a[0]), 0.6 * (c[1] - a[1])) for a, c in zip(around, around[2:], strict=False)]
    turns[0] = (points[1][0] - start[0], points[1][1] - start[1])
    turns[-1] = (end[0] - points[-2][0], end[1] - points[-2][1])
    return list(zip(points, turns, strict=True))


def _arrow(route: Route, layout: Layout) -> str:
    first, last = route.ends
    assert first.node is not None and last.node is not None
    curve = _curve(route, layout)
    tip, (dx, dy) = curve[-1]
    length = math.hypot(dx, dy) or 1.0
    ux, uy = dx / length, dy / length
    end = (tip[0] - 7 * ux, tip[1] - 7 * uy)
    curve[-1] = (end, (dx, dy))
    path = f"M{curve[0][0][0]:.1f},{curve[0][0][1]:.1f}"
    for (a, da), (b, db) in pairwise(curve):
        path += f" C{a[0] + da[0] / 3:.1f},{a[1] + da[1] / 3:.1f} {b[0] - db[0] / 3:.1f},{b[1] - db[1] / 3:.1f}"
        path += f" {b[0]:.1f},{b[1]:.1f}"
    sides = [(end[0] - 3.2 * uy, end[1] + 3.2 * ux), (end[0] + 3.2 * uy, end[1] - 3.2 * ux), tip]
    head = " ".join(f"{x:.1f},{y:.1f}" for x, y in sides)
    data = f'data-from="{escape(first.node.name)}" data-to="{escape(last.node.name)}"'
    dash = ' stroke-dasharray="4 3"' if route.lagged else ""
    line = f'<path d="{path}" fill="none" stroke="#4d5562" stroke-width="1.2"{dash}/>'
    kind, tip = ("edge lagged", "<title>from an earlier step</title>") if route.lagged else ("edge", "")
    return f'<g class="{kind}" {data}>{tip}{line}<polygon points="{head}" fill="#4d5562"/></g>'
