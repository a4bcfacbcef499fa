"""Which draws a value depends on, and along which axes: what score terms and substitutions are summed over.

A value depends on one element of a plate only as long as every path from the draw to it goes element by element. Where
a path leaves the plate (as an array that is summed, gathered or contracted), or sums over it, that axis is lost, also
if the path enters the plate again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from ppl.program.distributions import Distribution
from ppl.program.values import Plate, Value

Reach: TypeAlias = dict[str, frozenset[Plate]]


class Dependence:
    """Dependence on the draws of one set.

    Args:
        values: the expressions of each draw, in the order in which they are drawn: itself, and under its name.
        dists: the distribution of each draw.
        axes: for each draw, the plates and axes it varies over.
    """

    def __init__(
        self,
        values: Mapping[str, tuple[Value, ...]],
        dists: Mapping[str, Distribution],
        axes: Mapping[str, tuple[Plate, ...]],
    ) -> None:
        self.axes = {name: frozenset(a) for name, a in axes.items()}
        self.marks: dict[int, str] = {}
        for name in dists:
            # Of two draws with one expression the second is the first by another name.
            for value in values[name]:
                self.marks.setdefault(id(value), name)
        self._known: dict[int, Reach] = {}
        self._alive: list[Value] = []
        self.parents = {name: self._joined([self.direct(v) for v in dist.values()]) for name, dist in dists.items()}
        # Steps of a scan read draws of the step before, so that a site can stand above itself: until nothing is new.
        while True:
            wider = {name: self._closed(reach) for name, reach in self.parents.items()}
            if wider == self.parents:
                break
            self.parents = wider

    def of(self, value: Value) -> Reach:
        """The draws that a value depends on, directly or through other draws, with the axes it keeps of each."""
        return self._closed(self.direct(value))

    def _closed(self, direct: Reach) -> Reach:
        out = dict(direct)
        for name, kept in direct.items():
            for above, own in self.parents[name].items():
                out[above] = out.get(above, own & kept) & own & kept
        return out

    def direct(self, value: Value) -> Reach:
        """The draws that a value reads, with the axes it keeps of each."""
        stack: list[tuple[Value, bool]] = [(value, False)]
        while stack:
            node, ready = stack.pop()
            if id(node) in self._known:
                continue
            name = self.marks.get(id(node))
            if name is not None:
                self._known[id(node)] = {name: self.axes[name]}
            elif ready or not node.args:
                self._known[id(node)] = self._through(node)
            else:
                stack.append((node, True))
                stack.extend((a, False) for a in node.args if id(a) not in self._known)
                continue
            self._alive.append(node)
        return self._known[id(value)]

    def between(self, value: Value) -> list[Value]:
        """The nodes of a value that do not belong to how a draw is made."""
        found: dict[int, Value] = {}
        stack = [value]
        while stack:
            node = stack.pop()
            if id(node) not in found and id(node) not in self.marks:
                found[id(node)] = node
                stack.extend(node.args)
        return list(found.values())

    def _through(self, node: Value) -> Reach:
        reach = self._joined([self._known[id(a)] for a in node.args])
        lost: tuple[Plate, ...] = ()
        if node.op in ("leave", "plate_sum"):
            lost = node.attr("plates")
        elif node.op == "lane_logsumexp":
            lost = (node.attr("lane"),)
        elif node.op in ("shift", "scan", "chain"):
            # Elements of a scan follow one another: a later one depends on all earlier ones.
            lost = (node.attr("plate"),)
        return {n: kept.difference(lost) for n, kept in reach.items()} if lost else reach

    @staticmethod
    def _joined(parts: list[Reach]) -> Reach:
        if len(parts) == 1:
            return parts[0]
        out: Reach = {}
        for part in parts:
            for name, kept in part.items():
                out[name] = out[name] & kept if name in out else kept
        return out
