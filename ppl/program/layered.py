"""Where nodes and plates of a diagram go: a layered layout in which plates are rectangles around their members.

Nodes stand in layers, each below all of its parents. One order from left to right holds for all layers, and keeps the
members of a plate together; so every wish "this stands left of that" points the same way, and a solution exists. Within
the order, positions are pulled towards the neighbours and pushed apart until nothing overlaps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

from .graph import Diagram, Nest, Node, label_of

NAME_SIZE, NOTE_SIZE, LABEL_SIZE = 14.0, 10.0, 11.0
GAP = 22.0  # between neighbours in a layer
PAD = 14.0  # between a plate's border and what stands inside
LABEL = 16.0  # room for a plate's label below its members
RISE = 40.0  # between layers, without borders
MARGIN = 16.0
LOOP = 20.0  # room at the side of a node for an edge that leads back to it
ROUNDS = 400


# --- sizes -------------------------------------------------------------------------------------------------------

_NARROW = set("iljtf.,:;'|!()[]{} ")
_WIDE = set("mwMW@%")


def width_of(text: str, size: float) -> float:
    """About how wide a text is."""
    em = sum(
        0.34 if c in _NARROW else 0.9 if c in _WIDE else 0.72 if c.isupper() or ord(c) > 591 else 0.57 for c in text
    )
    return em * size


def size_of(node: Node) -> tuple[float, float]:
    """Width and height of a node's shape."""
    title, note = label_of(node)
    text = max(width_of(title, NAME_SIZE), width_of(note, NOTE_SIZE))
    if node.kind == "empty":
        return 8.0, 22.0
    if node.kind in ("param", "input"):
        return text + 8, 34.0 if note else 22.0
    if node.kind == "factor":
        return max(16.0, width_of(title, LABEL_SIZE)), 30.0
    if node.kind in ("network", "intervened"):
        return text + 22, 38.0 if note else 30.0
    # An ellipse around a text is wider than the text by about the square root of two.
    return max(48.0, text * 1.25 + 22), 42.0


# --- layers -------------------------------------------------------------------------------------------------------


def layers_of(diagram: Diagram) -> dict[str, int]:
    """The layer of each node: one more than the deepest parent; what has no parents stands just above its children.

    What is read of an earlier step does not count: that would lead round in circles.
    """
    parents: dict[str, list[str]] = {name: [] for name in diagram.nodes}
    children: dict[str, list[str]] = {name: [] for name in diagram.nodes}
    for a, b in diagram.edges:
        parents[b].append(a)
        children[a].append(b)
    layer: dict[str, int] = {}
    # Statements come after what they read, so one pass in order of declaration is enough.
    for name in diagram.nodes:
        layer[name] = 1 + max((layer[p] for p in parents[name]), default=-1)
    for name in diagram.nodes:
        if not parents[name] and children[name]:
            layer[name] = min(layer[c] for c in children[name]) - 1
    return layer


# --- order --------------------------------------------------------------------------------------------------------


@dataclass
class Slot:
    """Something with a place in a layer: a node, or a bend of an edge that passes the layer.

    Attributes:
        node: the node; None for a bend.
        layer: its layer.
        nest: the plates around it.
        half: half of its width.
        near: slots in the layers next to it that it is connected with.
    """

    node: Node | None
    layer: int
    nest: Nest
    half: float
    near: list[Slot] = field(default_factory=list["Slot"])
    x: float = 0.0
    key: float = 0.0


@dataclass(frozen=True)
class Route:
    """Where an edge runs.

    Attributes:
        slots: what it runs through, from the upper node to the lower one; both are in one layer, or one node, only for
            an edge from an earlier step.
        lagged: whether it comes from an earlier step.
        up: whether it points upwards.
    """

    slots: list[Slot]
    lagged: bool = False
    up: bool = False

    @property
    def ends(self) -> tuple[Slot, Slot]:
        """Where it comes from, and where it leads."""
        first, last = self.slots[0], self.slots[-1]
        return (last, first) if self.up else (first, last)

    @property
    def steps(self) -> list[tuple[Slot, Slot]]:
        """Its pieces from one layer to the next."""
        return [(one, two) for one, two in pairwise(self.slots) if one.layer != two.layer]


def slots_of(diagram: Diagram, layer: dict[str, int]) -> tuple[dict[str, Slot], list[Route]]:
    """Slots of the nodes by name, and the routes of the edges."""
    loops = {a for a, b in diagram.lagged if a == b}
    slots = {
        n.name: Slot(n, layer[n.name], n.plates, size_of(n)[0] / 2 + (LOOP if n.name in loops else 0.0))
        for n in diagram.nodes.values()
    }
    for nest in diagram.nests:
        if not any(s.nest[: len(nest)] == nest for s in slots.values()):
            # A plate with nothing in it still has a box; the name cannot clash, because no statement's name is empty.
            hollow = Node("", "empty", nest, ())
            slots[f"\0{nest}"] = Slot(hollow, 0, nest, size_of(hollow)[0] / 2)
    routes: list[Route] = []
    for a, b, lagged in (*((*e, False) for e in diagram.edges), *((*e, True) for e in diagram.lagged)):
        up = layer[a] > layer[b]
        high, low = (b, a) if up else (a, b)
        bends = [Slot(None, at, (), 3.0) for at in range(layer[high] + 1, layer[low])]
        route = Route([slots[high], *bends, slots[low]], lagged, up)
        for one, two in pairwise(route.slots):
            if one is not two:
                one.near.append(two)
                two.near.append(one)
        routes.append(route)
    return slots, routes


def arranged(items: list[Slot], depth: int = 0) -> list[Slot]:
    """Slots sorted by key, the members of each plate kept together."""
    groups: list[list[Slot]] = []
    at: dict[Nest, int] = {}
    for item in items:
        nest = item.nest[: depth + 1]
        if len(nest) <= depth:
            groups.append([item])
        elif nest in at:
            groups[at[nest]].append(item)
        else:
            at[nest] = len(groups)
            groups.append([item])
    groups.sort(key=lambda g: sum(i.key for i in g) / len(g))
    out: list[Slot] = []
    for group in groups:
        out += arranged(group, depth + 1) if len(group[0].nest) > depth else group
    return out


def crossings(order: list[Slot], routes: list[Route]) -> int:
    """How many pairs of edges cross under an order."""
    rank = {id(s): i for i, s in enumerate(order)}
    steps: dict[int, list[tuple[int, int]]] = {}
    for route in routes:
        for one, two in route.steps:
            steps.setdefault(one.layer, []).append((rank[id(one)], rank[id(two)]))
    return sum(
        (a[0] - b[0]) * (a[1] - b[1]) < 0 for pairs in steps.values() for i, a in enumerate(pairs) for b in pairs[:i]
    )


def ordered(items: list[Slot], routes: list[Route]) -> list[Slot]:
    """An order with few crossings: each slot moves towards the mean place of its neighbours, plates as a whole."""
    best = order = arranged(items)
    fewest = crossings(order, routes)
    # Counting crossings takes time quadratic in the edges, and a picture of hundreds is past saving.
    for attempt in range(24 if len(routes) < 300 else 4):
        if fewest == 0 and attempt > 2:
            break
        place = {id(s): float(i) for i, s in enumerate(order)}
        for s in order:
            mean = sum(place[id(n)] for n in s.near) / len(s.near) if s.near else place[id(s)]
            s.key = mean if attempt % 2 else (mean + place[id(s)]) / 2
        order = arranged(order)
        count = crossings(order, routes)
        if count < fewest:
            best, fewest = order, count
    return best


# --- positions ----------------------------------------------------------------------------------------------------


@dataclass
class Box:
    """The rectangle of one nest of plates."""

    nest: Nest
    members: list[Slot]
    above: int = 0
    below: int = 0
    left: float = 0.0
    right: float = 0.0
    top: float = 0.0
    bottom: float = 0.0

    @property
    def layers(self) -> tuple[int, int]:
        """First and last layer it spans."""
        return min(m.layer for m in self.members), max(m.layer for m in self.members)

    @property
    def label(self) -> str:
        """Name and size of the plate."""
        return str(self.nest[-1])


def boxes_of(diagram: Diagram, order: list[Slot]) -> list[Box]:
    """The boxes, inner ones first, with the number of borders that stand above and below the members at either end."""
    boxes = [Box(nest, [s for s in order if s.node and s.nest[: len(nest)] == nest]) for nest in diagram.nests]
    boxes = sorted((b for b in boxes if b.members), key=lambda b: -len(b.nest))
    for i, box in enumerate(boxes):
        inner = [b for b in boxes[:i] if b.nest[:-1] == box.nest]
        box.above = 1 + max((b.above for b in inner if b.layers[0] == box.layers[0]), default=0)
        box.below = 1 + max((b.below for b in inner if b.layers[1] == box.layers[1]), default=0)
    return boxes


Edge = tuple[object, str, object, str, float]


def separations(order: list[Slot], boxes: list[Box]) -> list[Edge]:
    """What must stand left of what: (object, attribute, object, attribute, distance), all in the sense of the order."""
    rank = {id(s): i for i, s in enumerate(order)}
    out: list[Edge] = []
    by_layer: dict[int, list[Slot]] = {}
    for s in order:
        by_layer.setdefault(s.layer, []).append(s)
    for row in by_layer.values():
        for one, two in pairwise(row):
            out.append((one, "x", two, "x", one.half + two.half + (GAP if one.node and two.node else GAP / 2)))
    for i, box in enumerate(boxes):
        out.append((box, "left", box, "right", 2 * PAD + width_of(box.label, LABEL_SIZE)))
        first, last = box.layers
        for s in order:
            if not s.node:
                continue
            if s.nest[: len(box.nest)] == box.nest:
                out.append((box, "left", s, "x", PAD + s.half))
                out.append((s, "x", box, "right", PAD + s.half))
            elif first <= s.layer <= last:
                if rank[id(s)] < rank[id(box.members[0])]:
                    out.append((s, "x", box, "left", s.half + GAP / 2))
                else:
                    out.append((box, "right", s, "x", s.half + GAP / 2))
        for other in boxes[i + 1 :]:
            if box.nest[: len(other.nest)] == other.nest:
                out.append((other, "left", box, "left", PAD))
                out.append((box, "right", other, "right", PAD))
            elif first <= other.layers[1] and other.layers[0] <= last:
                one, two = (box, other) if rank[id(box.members[0])] < rank[id(other.members[0])] else (other, box)
                out.append((one, "right", two, "left", GAP / 2))
    return out


def place(order: list[Slot], boxes: list[Box]) -> None:
    """Give slots and boxes their horizontal positions."""
    rules = separations(order, boxes)
    x = 0.0
    for s in order:
        s.x = x = x + 2 * s.half + GAP
    for box in boxes:
        box.left = min(m.x - m.half for m in box.members)
        box.right = max(m.x + m.half for m in box.members)
    for turn in range(ROUNDS):
        pull = 0.5 * (1 - turn / ROUNDS)
        centre = sum(s.x for s in order) / len(order)
        for s in order:
            wish = sum(n.x for n in s.near) / len(s.near) if s.near else centre
            # Bends follow closely, so that long edges run straight.
            s.x += (0.9 if s.node is None else pull) * (wish - s.x)
        for box in boxes:
            box.left += pull * PAD
            box.right -= pull * PAD
        for one, a, two, b, distance in rules:
            short = getattr(one, a) + distance - getattr(two, b)
            if short > 0:
                setattr(one, a, getattr(one, a) - short / 2)
                setattr(two, b, getattr(two, b) + short / 2)
    _settle(rules)
    for box in boxes:  # inner ones first: no border stands further out than it has to
        inner = [b for b in boxes if b.nest[:-1] == box.nest and len(b.nest) > len(box.nest)]
        own = [m for m in box.members if m.nest == box.nest]
        tight = min([m.x - m.half for m in own] + [b.left for b in inner]) - PAD
        right = max([m.x + m.half for m in own] + [b.right for b in inner]) + PAD
        label = 2 * PAD + width_of(box.label, LABEL_SIZE)
        box.left = max(box.left, min(tight, right - label))
        box.right = max(right, box.left + label)


def _settle(rules: list[Edge]) -> None:
    """Push to the right until every rule holds exactly."""
    moved = True
    while moved:
        moved = False
        for one, a, two, b, distance in rules:
            need = getattr(one, a) + distance
            if getattr(two, b) < need - 1e-6:
                setattr(two, b, need)
                moved = True


def heights(slots: Iterable[Slot], boxes: list[Box], routes: list[Route]) -> list[float]:
    """The middle of each layer; sets tops and bottoms of the boxes."""
    tall: dict[int, float] = {}
    for s in slots:
        tall[s.layer] = max(tall.get(s.layer, 0.0), size_of(s.node)[1] if s.node else 0.0)
    reach: dict[int, float] = {}
    for route in routes:
        for one, two in pairwise(route.slots):
            reach[one.layer] = max(reach.get(one.layer, 0.0), abs(one.x - two.x))
    middles: list[float] = []
    y = MARGIN
    for layer in range(len(tall)):
        y += max((b.above for b in boxes if b.layers[0] == layer), default=0) * PAD
        middles.append(y + tall[layer] / 2)
        y += tall[layer]
        y += max((b.below for b in boxes if b.layers[1] == layer), default=0) * (PAD + LABEL)
        # Edges that go far to the side get room to turn.
        y += RISE + min(40.0, 0.08 * reach.get(layer, 0.0))
    for box in boxes:
        first, last = box.layers
        box.top = middles[first] - tall[first] / 2 - PAD * box.above
        box.bottom = middles[last] + tall[last] / 2 + (PAD + LABEL) * box.below
    return middles


# --- all together -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layout:
    """A finished layout.

    Attributes:
        slots: places of the nodes.
        routes: of the edges.
        boxes: rectangles of the plates, inner ones first.
        middles: vertical middle of each layer.
        width, height: size of the whole.
    """

    slots: tuple[Slot, ...]
    routes: tuple[Route, ...]
    boxes: tuple[Box, ...]
    middles: tuple[float, ...]
    width: float
    height: float


def arrange(diagram: Diagram) -> Layout:
    """Lay a diagram out."""
    slots, routes = slots_of(diagram, layers_of(diagram))
    everything = list(slots.values()) + [s for route in routes for s in route.slots[1:-1]]
    for i, slot in enumerate(everything):
        slot.key = float(i)
    order = ordered(everything, routes)
    boxes = boxes_of(diagram, order)
    place(order, boxes)
    middles = heights(everything, boxes, routes)
    shift = MARGIN - min([s.x - s.half for s in everything] + [b.left for b in boxes], default=0.0)
    for slot in everything:
        slot.x += shift
    for box in boxes:
        box.left, box.right = box.left + shift, box.right + shift
    width = MARGIN + max([s.x + s.half for s in everything] + [b.right for b in boxes], default=0.0)
    low = [middles[s.layer] + size_of(s.node)[1] / 2 for s in slots.values() if s.node]
    height = MARGIN + max(low + [b.bottom for b in boxes], default=0.0)
    return Layout(tuple(slots.values()), tuple(routes), tuple(boxes), tuple(middles), width, height)
