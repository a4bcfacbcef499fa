"""Extending draws to other rows: what was drawn at the old rows becomes part of the program on the new ones.

A site whose distribution knows its rows (a Gaussian process) is, at new rows, conditional on what it was at the old
ones. The program for that holds both: the old site under a name of its own, with all that it was computed from and that
is different now, and the new site, whose distribution is `Distribution.extend` of the old one.
"""

# Statements are an open set; nothing that a distribution depends on is missing from the matches.
# pyright: reportMatchNotExhaustive=false

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from ppl.errors import DataError, ShapeError
from ppl.program.distributions import Distribution
from ppl.program.missing import completed, known_elements, missing_site
from ppl.program.ops import apply, element
from ppl.program.printing import fresh
from ppl.program.program import Program, expressions
from ppl.program.statements import Deterministic, Input, PlateStatement, Sample, Statement
from ppl.program.values import Plate, Value, reference, walk


@dataclass(frozen=True)
class Moved:
    """What is different on new rows.

    Attributes:
        inputs: inputs that have other values.
        plates: plates with new rows.
        sites: sites outside these plates whose entries belong to rows that are other rows now.
        statements: names of all random and computed sites that have other rows or values.
    """

    inputs: frozenset[str]
    plates: frozenset[str]
    sites: tuple[str, ...]
    statements: frozenset[str]


def moved(program: Program, inputs: Collection[str], plates: Collection[str]) -> Moved:
    """What is different where some inputs have other values and some plates new rows.

    A site keeps its draws whatever its parameters were computed from, unless its entries belong to other rows.
    """
    sites: list[str] = []
    names: set[str] = set()

    def reads(values: tuple[Value, ...]) -> bool:
        return any(
            (node.op == "input" and node.attr("name") in inputs)
            or (node.op == "site" and node.attr("name") in names)
            or any(p.name in plates for p in node.plates)
            for node in walk(values)
        )

    for statement in program.statements:
        if any(p.name in plates for p in statement.plates):
            names.add(statement.name)
        elif isinstance(statement, Sample) and reads(statement.dist.index()):
            names.add(statement.name)
            sites.append(statement.name)
        elif isinstance(statement, Deterministic) and reads(expressions(statement)):
            names.add(statement.name)
    return Moved(frozenset(inputs), frozenset(plates), tuple(sites), frozenset(names))


@dataclass(frozen=True)
class Extension:
    """A program on new rows in which some sites are conditional on their values at the old rows.

    Attributes:
        program: the new program, with the old rows in it.
        given: sites of the program that stand for old draws, each with the name of the site they are draws of.
        hidden: names that the program has for the old rows only.
    """

    program: Program
    given: Mapping[str, str]
    hidden: frozenset[str]


def extend(old: Program, new: Program, what: Moved) -> Extension:
    """Condition sites on new rows on what they were at the old ones.

    Args:
        old: the program on the old rows, with its data.
        new: the same declaration on new inputs, which has forgotten where data of these sites was missing.
        what: what is different there.

    Raises:
        ShapeError: the distribution of a site does not say how it goes on at other rows.
        DataError: an input that has other values had none before.
    """
    past = _Past(old, new, what)
    statements: list[Statement] = []
    for statement in new.statements:
        if isinstance(statement, Sample) and statement.name in what.sites:
            before = old.sites[statement.name]
            value, known = past.value(before.value), past.known(before)
            dist = past.distribution(before.dist).extend(value, statement.dist, known)
            if dist is None:
                raise _no_extension(old, before, what)
            statements += past.take()
            statement = replace(statement, dist=dist, observed=False)
        statements.append(statement)
    program = replace(
        new,
        inputs=(*new.inputs, *past.inputs),
        plates=(*new.plates, *past.plates.values()),
        statements=tuple(statements),
        data={**{n: a for n, a in new.data.items() if n not in what.sites}, **past.data},
    )
    return Extension(program, past.given, frozenset(past.hidden))


def _no_extension(program: Program, site: Sample, what: Moved) -> ShapeError:
    return ShapeError(
        "its rows are other rows now, and its distribution does not say how it goes on there.",
        site=site.name,
        model=program.name,
        declared_at=site.location,
        expected="rows as fitted, or dist.GaussianProcess itself",
        got=f"{site.dist!r} with new inputs {sorted(what.inputs)}",
        remedy="Sample the process itself, and compute what is made of it from its value.",
    )


class _Past:
    """Rewrites expressions of the old program so that they can stand in the new one.

    What is the same in both keeps its name; what moved gets one of its own.
    """

    def __init__(self, old: Program, new: Program, what: Moved) -> None:
        self.old = old
        self.what = what
        self.inputs_left = {i.name for i in new.inputs} - what.inputs
        self.plates_left = {p.name for p in new.plates} - what.plates
        self.statements_left = {s.name for s in new.statements} - what.statements
        self.taken = {s.name for s in new.statements} | {i.name for i in new.inputs} | {p.name for p in new.plates}
        self.names: dict[str, str] = {}
        self.done: dict[int, Value] = {}
        self.inputs: list[Input] = []
        self.data: dict[str, np.ndarray] = {}
        self.plates: dict[str, PlateStatement] = {}
        self.given: dict[str, str] = {}
        self.hidden: set[str] = set()
        self._new: list[Statement] = []
        self._alive: list[Value] = []

    def take(self) -> list[Statement]:
        """The statements that expressions rewritten since the last call need."""
        out, self._new = self._new, []
        return out

    def name(self, name: str) -> str:
        """What the old thing of a name is called beside the new one."""
        if name not in self.names:
            self.names[name] = fresh(f"{name}.old", self.taken)
        return self.names[name]

    def plate(self, plate: Plate) -> Plate:
        """A plate with its old rows."""
        if plate.name in self.plates_left:
            return plate
        name = self.name(plate.name)
        if name not in self.plates:
            statement = next(p for p in self.old.plates if p.plate == plate)
            outer = tuple(self.plate(p) for p in statement.outer)
            sources = tuple(self.value(v) for v in statement.sources)
            self.plates[name] = replace(statement, plate=Plate(name, plate.size), outer=outer, sources=sources)
        return self.plates[name].plate

    def stack(self, plates: tuple[Plate, ...]) -> tuple[Plate, ...]:
        """Plates with their old rows."""
        return tuple(self.plate(p) for p in plates)

    def value(self, root: Value) -> Value:
        """An expression of the old program."""
        # What is known by its identity must not make room for something else.
        self._alive.append(root)
        for node in walk([root]):
            if id(node) not in self.done:
                self.done[id(node)] = self._node(node)
        return self.done[id(root)]

    def distribution(self, dist: Distribution) -> Distribution:
        """A distribution of the old program."""
        return dist.substitute(self.value)

    def _node(self, node: Value) -> Value:
        name = node.attr("name") if node.op in ("input", "site") else ""
        if node.op == "input":
            return node if name in self.inputs_left else self._array(name, node.shape, node)
        if node.op == "site":
            return node if name in self.statements_left else self._site(node)
        args = tuple(self.done[id(a)] for a in node.args)
        attrs = tuple((k, self._attribute(v)) for k, v in node.attrs)
        return Value(node.op, args, attrs, self.stack(node.plates), node.shape, node.dtype, list(node.hint))

    def _attribute(self, item: Any) -> Any:
        if isinstance(item, Plate):
            return self.plate(item)
        items: tuple[Any, ...] = cast("tuple[Any, ...]", item) if isinstance(item, tuple) else ()
        return self.stack(items) if items and all(isinstance(i, Plate) for i in items) else cast("Any", item)

    def _array(self, name: str, shape: tuple[int, ...], like: Value) -> Value:
        own = self.name(name)
        if own not in self.data:
            if name not in self.old.data:
                raise DataError(
                    f"the fit had no values of {name!r}, so nothing is known about its old rows.",
                    model=self.old.name,
                    expected="the array that the model was fitted with",
                    got="a ppl.spec, which has a shape only",
                    remedy=f"Bind it before fitting: program.bind({name}=array).",
                )
            self.inputs.append(Input(own, shape, like.dtype))
            self.data[own] = np.asarray(self.old.data[name])
        return reference("input", own, (), shape, like.dtype)

    def _site(self, node: Value) -> Value:
        statement = self.old.by_name[node.attr("name")]
        if isinstance(statement, Sample) and statement.observed:
            return self._data(statement, node)
        own = self.name(statement.name)
        if own not in self.hidden:
            self.hidden.add(own)
            self._declare(own, statement)
        return reference("site", own, self.stack(node.plates), node.shape, node.dtype)

    def _data(self, site: Sample, like: Value) -> Value:
        """The data of an observed site, with draws of imputed elements in the place of missing ones."""
        sizes = tuple(p.size for p in site.plates)
        out = self._array(site.name, sizes + site.dist.event_shape, like)
        self.done[id(out)] = out
        for plate in site.plates:
            out = element(out, self.plate(plate))
            self.done[id(out)] = out
        if site.missing is None or site.missing.how != "imputed":
            return out
        free = self.old.sites[missing_site(site.name)].value
        return self.value(completed(site, out, free))

    def known(self, site: Sample) -> Value | None:
        """Which numbers of a site are known, where missing ones are summed out."""
        if site.missing is None or site.missing.how != "summed":
            return None
        known = known_elements(site)
        shape = site.dist.event_shape
        if known.shape != shape:
            wide = apply("reshape", known, shape=(*known.shape, *(1,) * (len(shape) - known.ndim)))
            known = apply("broadcast_to", wide, shape=shape)
        return self.value(known)

    def _declare(self, own: str, statement: Statement) -> None:
        plates = self.stack(statement.plates)
        match statement:
            case Sample():
                self.given[own] = statement.name
                dist = self.distribution(statement.dist)
                self._new.append(replace(statement, name=own, plates=plates, dist=dist))
            case Deterministic():
                expression = self.value(statement.expression)
                self._new.append(replace(statement, name=own, plates=plates, expression=expression))
