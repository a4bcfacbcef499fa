"""The recorder behind the language: while a model runs on symbolic values, its statements end up here."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ppl.errors import (
    Location,
    ModelError,
    NameClashError,
    PlateError,
    ScopeError,
    ShapeError,
    is_user_file,
    user_location,
)
from ppl.program.statements import Carry, Deterministic, Input, Network, PlateStatement, Sample, Statement
from ppl.program.unrelated import ORIGINS
from ppl.program.values import OPEN_PLATES, Plate, Value, constant, dtype_kind, walk

# Arrays larger than this are never copied into the program as constants; they become inputs.
LARGEST_CONSTANT = 4096

# Dimensions that all draws have; a plate or an axis of one of these names would stand beside it.
DRAW_DIMS = ("chain", "draw", "sample")

CURRENT: ContextVar[Trace | None] = ContextVar("current_trace", default=None)


@dataclass
class Trace:
    """Everything that a model has declared so far."""

    model: str
    inputs: list[Input] = field(default_factory=list[Input])
    data: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    plates: dict[str, PlateStatement] = field(default_factory=dict[str, PlateStatement])
    statements: dict[str, Statement] = field(default_factory=dict[str, Statement])
    nested: dict[tuple[str, str], Location | None] = field(default_factory=dict[tuple[str, str], "Location | None"])
    axes: dict[str, tuple[int, Location | None]] = field(default_factory=dict[str, "tuple[int, Location | None]"])

    @property
    def open(self) -> tuple[Plate, ...]:
        """The plates open now, outermost first."""
        return OPEN_PLATES.get() or ()

    def declare(self, statement: Statement) -> None:
        """Enter a statement.

        Raises:
            NameClashError: the name is taken.
            ScopeError: it reads a value of another model or one that is not declared.
        """
        self.harvest()
        earlier = self.statements.get(statement.name)
        if earlier is not None:
            raise NameClashError(
                "this name is already taken.",
                site=statement.name,
                model=self.model,
                declared_at=statement.location,
                expected="a new name",
                got=f"{statement.name!r}, first declared at {earlier.location}",
                remedy="Every site, parameter and network of a model needs a name of its own.",
            )
        if statement.name in {i.name for i in self.inputs}:
            raise NameClashError(
                "this name is already the name of an input.",
                site=statement.name,
                model=self.model,
                declared_at=statement.location,
                expected="a new name",
                got=f"{statement.name!r}, an input of the model",
                remedy="Rename one of them: data for a site comes from `.observe`, never from an input of that name.",
            )
        if statement.name in self.plates:
            raise self._plate_clash(statement.name, statement.location, self.plates[statement.name].location)
        if statement.name in self.axes:
            raise self._axis_clash(statement.name, statement.location, self.axes[statement.name][1])
        self.check_scope(statement)
        if isinstance(statement, (Sample, Deterministic)):
            for name, size in zip(statement.names, statement.value.shape, strict=False):
                if name in (statement.name, *self.statements):
                    at = self.statements[name].location if name in self.statements else statement.location
                    raise self._axis_clash(name, statement.location, at)
                self.name_axis(name, size, statement.location, site=statement.name)
        self.statements[statement.name] = statement

    def finish(self, carry: Carry) -> None:
        """Complete a carry that has been declared: what follows it is known now."""
        self.harvest()
        self.check_scope(carry)
        self.statements[carry.name] = carry

    def name_axis(self, name: str, size: int, here: Location | None, *, site: str | None = None) -> None:
        """Enter the name of a dimension of the posterior: a plate, or an event axis with a name.

        Raises:
            NameClashError: all draws have a dimension of this name, or it is the plate around the site.
            ShapeError: the name stands for another number of elements already.
        """
        facts: dict[str, Any] = {"site": site, "model": self.model, "declared_at": here}
        if name in DRAW_DIMS:
            raise NameClashError(
                f"{name!r} is a dimension of all draws.",
                **facts,
                expected=f"a name other than {', '.join(DRAW_DIMS)}",
                got=repr(name),
                remedy="Call the dimension by what it counts.",
            )
        if site is not None and name in {p.name for p in self.open}:
            raise NameClashError(
                f"an event axis and the plate around it are both called {name!r}.",
                **facts,
                plate=next(str(p) for p in self.open if p.name == name),
                expected="a new name",
                got=repr(name),
                remedy="Give the axis a name of its own; the plate has its name already.",
            )
        length, there = self.axes.setdefault(name, (size, here))
        if length != size:
            raise ShapeError(
                f"dimension {name!r} has {size} elements here and {length} elsewhere.",
                **facts,
                expected=f"{length} elements, as at {there}",
                got=f"{size} elements",
                remedy="Give dimensions of different lengths different names.",
            )

    def _axis_clash(self, name: str, here: Location | None, there: Location | None) -> NameClashError:
        return NameClashError(
            "an event axis and a statement share this name.",
            site=name,
            model=self.model,
            declared_at=here,
            expected="a new name",
            got=f"{name!r}, also at {there}",
            remedy="Call the axis by what it counts.",
        )

    def _plate_clash(self, name: str, here: Location | None, there: Location | None) -> NameClashError:
        # A plate is a dimension of the posterior and a site of Pyro's trace: two things of one name would collide.
        return NameClashError(
            "a plate and a statement share this name.",
            site=name,
            model=self.model,
            declared_at=here,
            expected="a new name",
            got=f"{name!r}, also at {there}",
            remedy="Call the plate by what it repeats, in the plural.",
        )

    def check_scope(self, statement: Statement) -> None:
        """Every name that a statement reads must have been declared in this model."""
        from ppl.program.program import expressions

        names = {i.name for i in self.inputs}
        for node in walk(expressions(statement)):
            if node.op in ("site", "param", "carry", "network") and node.attr("name") not in self.statements:
                name = node.attr("name")
                raise ScopeError(
                    f"it reads {name!r}, which is not declared in this model at this point.",
                    site=statement.name,
                    model=self.model,
                    declared_at=statement.location,
                    expected=f"one of {sorted(self.statements)}",
                    got=repr(node),
                    remedy=f"Declare {name!r} before this line; values never pass from one model to another.",
                )
            if node.op == "input" and node.attr("name") not in names:
                raise ScopeError(
                    f"it reads an input {node.attr('name')!r} of another model.",
                    site=statement.name,
                    model=self.model,
                    declared_at=statement.location,
                    expected=f"one of {sorted(names)}",
                    got=repr(node),
                    remedy="Pass the array to this model as an input of its own.",
                )
            for plate in node.plates:
                if plate.name not in self.plates or self.plates[plate.name].plate != plate:
                    raise ScopeError(
                        f"it reads a value from plate {plate.name!r}, which this model does not have.",
                        site=statement.name,
                        model=self.model,
                        declared_at=statement.location,
                        plate=str(plate),
                        expected=f"plates {[str(p.plate) for p in self.plates.values()]}",
                        got=repr(node),
                        remedy="Values never pass from one model to another; open the plate in this model.",
                    )

    def harvest(self) -> None:
        """Remember the user's variable names for values, so that programs and emitted code read like the source."""
        frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
        while frame is not None and not is_user_file(frame.f_code.co_filename):
            frame = frame.f_back
        if frame is None:
            return
        for name, item in frame.f_locals.items():
            if isinstance(item, Value) and not item.hint and not name.startswith("_"):
                item.hint.append(name)

    def add_input(self, name: str, shape: tuple[int, ...], dtype: Any, array: np.ndarray | None) -> Value:
        """A new input, bound to an array if there is one."""
        item = Input(name, tuple(shape), dtype)
        self.inputs.append(item)
        if array is not None:
            self.data[name] = array
        return item.value

    def array_value(self, array: np.ndarray, name: str) -> Value:
        """A raw array met inside a model: a constant if small, otherwise an input under a name of its own."""
        if array.size <= LARGEST_CONSTANT:
            return constant(array)
        taken = {i.name for i in self.inputs} | set(self.statements)
        stem, count = name, 2
        while name in taken:
            name, count = f"{stem}_{count}", count + 1
        return self.add_input(name, array.shape, dtype_kind(array.dtype), array)

    def open_plate(self, statement: PlateStatement) -> PlateStatement:
        """Enter a plate, new or met before.

        Raises:
            PlateError: impossible size, or another size than before.
        """
        plate = statement.plate
        if plate.size <= 0:
            what, size = ("scan", "length") if statement.ordered else ("plate", "size")
            raise PlateError(
                f"{what} {plate.name!r} has {size} {plate.size}.",
                model=self.model,
                declared_at=statement.location,
                plate=str(plate),
                expected="a positive number of elements",
                got=f"{plate.size}",
                remedy="Check that its input has rows.",
            )
        if plate in self.open:
            raise PlateError(
                f"plate {plate.name!r} is open already.",
                model=self.model,
                declared_at=statement.location,
                plate=str(plate),
                expected=f"a plate other than {[p.name for p in self.open]}",
                got=f"{plate.name!r} again",
                remedy="For pairs of elements of one kind, map a second plate over the same rows.",
            )
        first = self.plates.get(plate.name)
        if first is not None and first.plate.size != plate.size:
            raise PlateError(
                f"plate {plate.name!r} is used again with another size.",
                model=self.model,
                declared_at=statement.location,
                plate=str(first.plate),
                expected=f"{first.plate.size} elements, as at {first.location}",
                got=f"{plate.size} elements",
                remedy="Give different repetitions different names.",
            )
        named = self.statements.get(plate.name)
        if named is not None:
            raise self._plate_clash(plate.name, statement.location, named.location)
        for outer in self.open:
            if (plate.name, outer.name) in self.nested:
                raise PlateError(
                    f"plates {outer.name!r} and {plate.name!r} are nested in both orders.",
                    model=self.model,
                    declared_at=statement.location,
                    plate=str(plate),
                    expected=f"{outer.name!r} inside {plate.name!r}, as at {self.nested[plate.name, outer.name]}",
                    got=f"{plate.name!r} inside {outer.name!r}",
                    remedy="Nest two plates in one order everywhere.",
                )
            self.nested.setdefault((outer.name, plate.name), statement.location)
        origins = ORIGINS.get()
        if origins is not None:
            origins.open(plate, statement.sources, statement.ordered)
        if first is None:
            self.name_axis(plate.name, plate.size, statement.location)
            self.plates[plate.name] = statement
        elif statement.ordered and not first.ordered:
            # A scan along a plate that was open before: its elements follow one another from now on.
            self.plates[plate.name] = replace(first, ordered=True)
        return statement

    def note_alias(self, name: str, alias: str) -> None:
        """The user's name for one element of a plate."""
        if not self.plates[name].alias:
            self.plates[name] = replace(self.plates[name], alias=alias)

    def adopt(self, name: str) -> Network:
        """Take a network out of the program, because it became part of another one."""
        statement = self.statements.pop(name)
        assert isinstance(statement, Network)
        return statement


def current(what: str) -> Trace:
    """The recorder of the model that is being traced.

    Raises:
        ModelError: no model is being traced.
    """
    trace = CURRENT.get()
    if trace is None:
        raise ModelError(
            f"{what} was called outside a model.",
            declared_at=user_location(),
            expected="a call while a model is being traced",
            got="no model",
            remedy="Put it into a function decorated with @ppl.model, and call that function with its inputs.",
        )
    return trace


def here() -> Location | None:
    """The user's line."""
    return user_location()
