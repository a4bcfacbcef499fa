"""Where axes lie: `[leading axes] [plates, outer to inner] [event axes]`, and the index text that lines two values up.

A value carries only the plates it varies over. Each plate has one fixed position, counted from the right end of the
block of plates, as a Pyro `dim` is; a plate the value lacks, to the right of one it has, is an axis of size one. Event
axes are addressed from the right, so leading axes need no mention anywhere.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from ppl.errors import PlateError
from ppl.program.program import Program
from ppl.program.values import Axis, Lane, Plate, Value, walk


@dataclass(frozen=True)
class Layout:
    """The axes of one lowered value.

    Attributes:
        lead: whether leading axes (draws, particles) may stand in front.
        frame: the plate axes from left to right; None for an axis of size one. The first entry is never None.
        rank: number of event axes.
    """

    lead: bool
    frame: tuple[Plate | None, ...]
    rank: int

    @property
    def batched(self) -> bool:
        """Whether anything stands in front of the event axes."""
        return self.lead or bool(self.frame)


def plate_positions(*programs: Program, without: Collection[str] = ()) -> dict[str, int]:
    """The position of every plate, counted from the right: innermost plates are at 1 (Pyro's `dim=-1`).

    Args:
        programs: whose plates.
        without: names of plates that get no position.

    Raises:
        PlateError: two plates are nested in both orders.
    """
    inside: dict[str, set[str]] = {}
    for program in programs:
        stacks = [s.plates for s in program.statements]
        stacks += [(*p.outer, p.plate) for p in program.plates]
        for stack in stacks:
            names = [p.name for p in stack if p.name not in without]
            for i, name in enumerate(names):
                inside.setdefault(name, set()).update(names[i + 1 :])
    positions: dict[str, int] = {}

    def position(name: str, path: tuple[str, ...]) -> int:
        if name in path:
            raise PlateError(
                f"plates {name!r} and {path[-1]!r} are nested in both orders.",
                model=programs[0].name,
                remedy="Nest two plates in one order everywhere.",
            )
        if name not in positions:
            positions[name] = 1 + max((position(n, (*path, name)) for n in inside[name]), default=0)
        return positions[name]

    for name in inside:
        position(name, ())
    return positions


def lane_positions(roots: Iterable[Value], outside: int) -> dict[str, int]:
    """The position of every lane and axis in some expressions: outside all plates; those that never meet share them.

    Args:
        roots: the expressions.
        outside: the greatest position of a plate.
    """
    meets: dict[str, set[str]] = {}
    axes: dict[str, Axis] = {}
    for node in walk(list(roots)):
        # A chain sums out lanes that only some of its operands have; the others must not stand in their place.
        meeting = node.args if node.op == "chain" else (node,)
        lanes = [p.name for value in meeting for p in value.plates if isinstance(p, (Lane, Axis))]
        axes.update((p.name, p) for p in node.plates if isinstance(p, Axis))
        for name in lanes:
            meets.setdefault(name, set()).update(lanes)
    positions: dict[str, int] = {}
    for axis in sorted(axes.values(), key=lambda a: (a.depth, a.name)):
        # Noise arrives with its axes in the order of their depths.
        inside = [positions[n] for n in meets[axis.name] if n in positions]
        positions[axis.name] = 1 + max(inside, default=outside)
    for name, others in meets.items():
        if name in positions:
            continue
        taken = {positions[o] for o in others if o in positions}
        positions[name] = next(p for p in itertools.count(outside + 1) if p not in taken)
    return positions


def frame_of(plates: Iterable[Plate], positions: Mapping[str, int]) -> tuple[Plate | None, ...]:
    """The plate axes of a value that varies over `plates`."""
    by_position = {positions[p.name]: p for p in plates}
    width = max(by_position, default=0)
    return tuple(by_position.get(d) for d in range(width, 0, -1))


def merge(layouts: Iterable[Layout]) -> Layout:
    """The layout of an elementwise combination."""
    items = list(layouts)
    width = max((len(x.frame) for x in items), default=0)
    frame: list[Plate | None] = [None] * width
    for x in items:
        for i, plate in enumerate(x.frame):
            if plate is not None:
                frame[width - len(x.frame) + i] = plate
    return Layout(any(x.lead for x in items), tuple(frame), max((x.rank for x in items), default=0))


def trim(frame: Iterable[Plate | None]) -> tuple[Plate | None, ...]:
    """A frame without the axes of size one at its left end."""
    items = list(frame)
    while items and items[0] is None:
        items.pop(0)
    return tuple(items)


def index_text(parts: list[str]) -> str:
    """Index text for trailing axes; empty if it would change nothing."""
    if all(p == ":" for p in parts):
        return ""
    while parts and parts[0] == ":":
        parts = parts[1:]
    return f"[{', '.join(['...', *parts])}]"


_AXES = re.compile(r"\[\.\.\., ((?:(?::|None|0), )*(?::|None|0))\]$")


def joined_index(base: str, index: str) -> tuple[str, str]:
    """Text and index text; where the text ends in an index that only adds or drops axes, both become one.

    >>> joined_index("x[..., None, :]", "[..., 0, :]")
    ('x', '')
    """
    first, second = _AXES.search(base), _AXES.search(index)
    if first is None or second is None or second.group(0) != index:
        return base, index
    inner = first.group(1).split(", ")
    out: list[str] = []
    for part in reversed(second.group(1).split(", ")):
        if part == "None":
            out.append(part)
            continue
        # This part acts on the next axis that the inner index leaves; dropped axes pass by.
        while inner and inner[-1] == "0":
            out.append(inner.pop())
        under = inner.pop() if inner else ":"
        if part == "0" and under == "None":
            continue
        out.append("0" if part == "0" else under)
    out += reversed(inner)
    return base[: first.start()], index_text(out[::-1])


def alignment(own: Layout, target: Layout) -> str:
    """Index text that makes a value broadcast against values of the target layout."""
    if not own.batched:
        return ""
    in_frame = len(target.frame) - len(own.frame) if own.lead else 0
    in_event = target.rank - own.rank
    return index_text(["None"] * in_frame + [":"] * len(own.frame) + ["None"] * in_event + [":"] * own.rank)


def leaving(own: Layout, plates: tuple[Plate, ...]) -> tuple[list[int], str, Layout]:
    """How plates become event axes.

    Returns:
        Axes (negative) to move to the right end of the plates, in order, or none; index text; the new layout.
    """
    frame = own.frame
    rest = trim(None if p in plates else p for p in frame)
    first = min(frame.index(p) for p in plates)
    layout = Layout(own.lead, rest, own.rank + len(plates))
    if tuple(p for p in frame[first:] if p is not None) == plates:
        # Nothing that stays stands further in: the axes are in place, only those of size one change.
        fill = ["None"] * (len(frame) - first if rest else 0)
        drop = ["0" if p is None else ":" for p in frame[first:]]
        return [], index_text([":"] * first + fill + drop + [":"] * own.rank), layout
    moved = [frame.index(p) - len(frame) - own.rank for p in plates]
    parts: list[str] = []
    for i, slot in enumerate(frame):
        kept = len(frame) - i <= len(rest)
        if slot in plates:
            parts += ["None"] if kept else []
        elif slot is None:
            parts += [":"] if kept else ["0"]
        else:
            parts.append(":")
    parts += [":"] * (len(plates) + own.rank)
    return moved, index_text(parts), layout


def entering(own: Layout, plate: Plate, position: int) -> tuple[tuple[int, int] | None, str, Layout]:
    """How the first event axis becomes a plate.

    Returns:
        A move (source, destination) of that axis, or None; index text; the new layout.
    """
    frame, rest = own.frame, own.rank - 1
    width = max(len(frame), position)
    slots: list[Plate | None] = [None] * (width - len(frame)) + list(frame)
    there = len(frame)  # how many slots exist physically, counted from the right
    right = [d for d in range(min(position - 1, there), 0, -1) if slots[width - d] is not None]
    left_parts = [":" for d in range(there, position, -1)]
    new = list(slots)
    new[width - position] = plate
    layout = Layout(own.lead, trim(new), rest)
    if not right:
        drop = ["0"] * min(position, there)
        return None, index_text(left_parts + drop + [":"] + ["None"] * (position - 1) + [":"] * rest), layout
    inner = min(position - 1, there)
    move = (-(rest + 1), -(rest + 1) - inner)
    drop = ["0"] if there >= position else []
    fill = ["None"] * (position - 1 - inner)
    return move, index_text(left_parts + drop + [":"] + fill + [":"] * (inner + rest)), layout
