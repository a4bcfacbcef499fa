"""The program: a traced model or guide as frozen data, with the questions one can ask of it."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import UnknownNameError, nearest, user_location

from .missing import missing_site
from .statements import Carry, Deterministic, Factor, Input, Network, Param, PlateStatement, Sample, Statement
from .values import Plate, Value, walk
from .verbs import Verbs

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, eq=False)
class Program(Verbs):
    """A traced model: what `print` shows, what transforms rewrite, what the compiler reads.

    Two programs are equal if they declare the same thing; the data bound to them and the lines they were written on do
    not count.

    Attributes:
        name: name of the model.
        inputs: arrays the model is given.
        settings: the static arguments of the call, for printing.
        plates: plates in the order in which they were first opened.
        statements: everything declared, in order.
        data: arrays bound to inputs and observed sites, by name.
    """

    name: str
    inputs: tuple[Input, ...]
    settings: tuple[tuple[str, str], ...]
    plates: tuple[PlateStatement, ...]
    statements: tuple[Statement, ...]
    data: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray], repr=False)

    # --- queries -------------------------------------------------------------------------------------------------

    @functools.cached_property
    def by_name(self) -> dict[str, Statement]:
        """All statements by name."""
        return {s.name: s for s in self.statements}

    @property
    def sites(self) -> dict[str, Sample]:
        """The random sites, in order of declaration."""
        return {s.name: s for s in self.statements if isinstance(s, Sample)}

    @property
    def latents(self) -> dict[str, Sample]:
        """The random sites that are not observed."""
        return {n: s for n, s in self.sites.items() if not s.observed}

    @property
    def observed(self) -> dict[str, Sample]:
        """The sites whose values come from data."""
        return {n: s for n, s in self.sites.items() if s.observed}

    @property
    def deterministics(self) -> dict[str, Deterministic]:
        """The named computed values, interventions included."""
        return {s.name: s for s in self.statements if isinstance(s, Deterministic)}

    @property
    def factors(self) -> dict[str, Factor]:
        """The log weights."""
        return {s.name: s for s in self.statements if isinstance(s, Factor)}

    @property
    def params(self) -> dict[str, Param]:
        """The declared parameters, those of networks excepted."""
        return {s.name: s for s in self.statements if isinstance(s, Param)}

    @property
    def networks(self) -> dict[str, Network]:
        """The networks by name."""
        return {s.name: s for s in self.statements if isinstance(s, Network)}

    @property
    def trained(self) -> list[str]:
        """Names of what is fitted besides latents: parameters, then networks whose weights are."""
        return [*self.params, *(n.name for n in self.networks.values() if n.trained)]

    @property
    def carries(self) -> dict[str, Carry]:
        """What the steps of scans hand on."""
        return {s.name: s for s in self.statements if isinstance(s, Carry)}

    def plate(self, name: str) -> Plate:
        """The plate of that name.

        Raises:
            UnknownNameError: there is none.
        """
        for statement in self.plates:
            if statement.name == name:
                return statement.plate
        raise UnknownNameError(
            f"there is no plate {name!r}.",
            model=self.name,
            declared_at=user_location(),
            expected=f"one of {[p.name for p in self.plates]}",
            got=repr(name),
            remedy=nearest(name, [p.name for p in self.plates]),
        )

    def statement(self, name: str) -> Statement:
        """The statement of that name.

        Raises:
            UnknownNameError: there is none.
        """
        found = self.by_name.get(name)
        if found is None:
            raise UnknownNameError(
                f"there is no site {name!r}.",
                model=self.name,
                declared_at=user_location(),
                expected=f"one of {list(self.by_name)}",
                got=repr(name),
                remedy=nearest(name, self.by_name),
            )
        return found

    def parents(self, name: str) -> tuple[str, ...]:
        """Names of the sites, parameters, networks and inputs that a statement reads directly, in order.

        What a step of a scan is handed by the step before counts: `program.parents("z")` holds "z" in a random walk.
        """
        now, before = self.reads(name)
        return tuple(dict.fromkeys((*now, *before)))

    def reads(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """What a statement reads of its own step, and what of an earlier step of a scan, each in order.

        A name can be among both. What stands outside the scan belongs to no earlier step, whatever way it is read.
        """
        statement = self.statement(name)
        now: dict[str, None] = {}
        before: dict[str, None] = {}
        seen: set[tuple[str, frozenset[Plate]]] = set()
        first = _names_read(expressions(statement))
        if isinstance(statement, Sample) and statement.missing is not None and statement.missing.how == "imputed":
            # Some of its own elements are values of that site.
            first.append(missing_site(name))
        none = frozenset[Plate]()
        stack = [(read, none) for read in reversed(first)]
        while stack:
            read, times = stack.pop()
            found = self.by_name.get(read)
            if not isinstance(found, Carry):
                plates = times & (self._mapped_by(read) if found is None else set(found.plates))
                (before if plates else now)[read] = None
            elif (read, times) not in seen:
                seen.add((read, times))
                stack += [(r, times | {found.time}) for r in reversed(_names_read((found.following,)))]
                stack += [(r, times) for r in reversed(_names_read((found.init,)))]
        return tuple(now), tuple(before)

    def _mapped_by(self, name: str) -> set[Plate]:
        """The plates that map over an input, or over what is computed from it."""
        return {p.plate for p in self.plates if name in _names_read(p.sources)}

    def children(self, name: str) -> tuple[str, ...]:
        """Names of the statements that read a name directly."""
        return tuple(s.name for s in self.statements if not isinstance(s, Carry) and name in self.parents(s.name))

    def ancestors(self, name: str) -> frozenset[str]:
        """All names that a statement depends on, directly or not."""
        found: set[str] = set()
        stack = [name]
        while stack:
            current = stack.pop()
            if current in self.by_name:
                new = [p for p in self.parents(current) if p not in found]
                found.update(new)
                stack += new
        return frozenset(found)

    def with_needed(self, names: Collection[str]) -> set[str]:
        """Names of statements, and of all that these need to be computed: carries of scans included."""
        found: set[str] = set()
        stack = list(names)
        while stack:
            name = stack.pop()
            if name not in found and name in self.by_name:
                found.add(name)
                stack += _names_read(expressions(self.by_name[name]))
        return found

    def descendants(self, name: str) -> frozenset[str]:
        """All statements that depend on a name, directly or not."""
        inside = (s.name for s in self.statements if not isinstance(s, Carry))
        return frozenset(n for n in inside if name in self.ancestors(n))

    def dims(self, name: str) -> tuple[str, ...]:
        """Dimension names of a site's draws after (chain, draw): its plates, then its event axes."""
        statement = self.statement(name)
        assert isinstance(statement, (Sample, Deterministic, Param))
        events = tuple(f"{name}_dim_{i}" for i in range(statement.value.ndim))
        given = getattr(statement, "names", ())
        return tuple(p.name for p in statement.plates) + (given or events)

    # --- identity ------------------------------------------------------------------------------------------------

    def to_json(self) -> str:
        """The declaration as JSON text; data is not part of it."""
        from .serial import program_to_json

        return program_to_json(self)

    @staticmethod
    def from_json(text: str, data: Mapping[str, Any] | None = None) -> Program:
        """Read a program back from JSON.

        Args:
            text: what `to_json` gave.
            data: arrays to bind to inputs and observed sites.

        Raises:
            FormatError: the text is damaged or written by a newer version.
        """
        from .serial import program_from_json

        program = program_from_json(text)
        return replace(program, data={k: np.asarray(v) for k, v in (data or {}).items()})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        from .serial import program_to_dict

        return program_to_dict(self, locations=False) == program_to_dict(other, locations=False)

    def __hash__(self) -> int:
        return hash((self.name, tuple(self.by_name)))

    def __str__(self) -> str:
        from .printing import program_text

        return program_text(self)

    def __repr__(self) -> str:
        return str(self)

    # --- pictures ------------------------------------------------------------------------------------------------

    def to_networkx(self) -> networkx.DiGraph[str]:
        """The graph of sites as a `networkx.DiGraph`; nodes carry kind, plates and distribution."""
        from .graph import to_networkx

        return to_networkx(self)

    def to_dot(self) -> str:
        """Graphviz text in plate notation."""
        from .graph import to_dot

        return to_dot(self)

    def to_mermaid(self) -> str:
        """Mermaid flowchart text, with a subgraph for each plate."""
        from .graph import to_mermaid

        return to_mermaid(self)

    def render(self, filename: str | None = None) -> Any:
        """A picture of the model in plate notation as SVG, drawn without graphviz.

        Args:
            filename: where to write it; without one, an object that notebooks display.
        """
        from .graph import render

        return render(self, filename)

    def _repr_html_(self) -> str:
        from .graph import to_svg

        return to_svg(self)


def expressions(statement: Statement) -> tuple[Value, ...]:
    """The expressions that a statement holds."""
    if isinstance(statement, Sample):
        return statement.dist.values()
    if isinstance(statement, (Deterministic, Factor)):
        return (statement.expression,)
    if isinstance(statement, Carry):
        return (statement.init, statement.following)
    return ()


def _names_read(values: tuple[Value, ...]) -> list[str]:
    names: list[str] = []
    for node in walk(values):
        if node.op in ("site", "param", "input", "carry", "network"):
            names.append(node.attr("name"))
    return names
