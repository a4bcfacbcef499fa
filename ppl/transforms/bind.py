"""Rebinding: the same declaration on new inputs, whose plates may have other sizes."""

# Statements are an open set; what has no plates to resize stays as it is.
# pyright: reportMatchNotExhaustive=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ppl.errors import DataError, PlateError, ShapeError, UnknownNameError, nearest, user_location
from ppl.language.arrays import to_numpy
from ppl.program.check import check_indices
from ppl.program.distributions import Distribution
from ppl.program.program import Program
from ppl.program.statements import Carry, Deterministic, Factor, Input, Param, PlateStatement, Sample, Statement
from ppl.program.values import Plate, Value, dtype_kind, walk
from ppl.program.vocabulary import LEAVES, OPS

from .missing import forget


def bind(
    program: Program, inputs: Mapping[str, Any], *, same_rows: bool = False, lengths: Mapping[str, int] | None = None
) -> Program:
    """The same declaration on other inputs.

    A plate that maps over an input has new rows if that input had other values before, be there as many of them or not.
    An input that had none (`ppl.spec`) gets them here, and an equal one changes nothing: the rows stay what they are.

    Args:
        program: any program.
        inputs: an array for each input that changes.
        same_rows: inputs of unchanged length hold other values for the old rows.
        lengths: new lengths of scans without inputs.

    Returns:
        A program whose plates have the sizes of the new inputs. What is observed in a plate with new rows is no longer
        observed, since the data belongs to the old ones; parameters start there as they were declared to.

    Raises:
        UnknownNameError: there is no such input.
        ShapeError: another rank, other event axes, or plates that disagree; an intervention with a value for each of
            the old rows.
        PlateError: no rows, or a parameter that was given a value for each of the old ones.
    """
    known = {i.name: i for i in program.inputs}
    arrays: dict[str, np.ndarray] = {}
    for name, item in inputs.items():
        if name not in known:
            raise UnknownNameError(
                f"there is no input {name!r}.",
                model=program.name,
                declared_at=user_location(),
                expected=f"one of {list(known)}",
                got=repr(name),
                remedy=nearest(name, known),
            )
        arrays[name] = _check_input(program, known[name], to_numpy(item, name))
    shapes = {name: arrays[name].shape if name in arrays else i.shape for name, i in known.items()}
    changed = set[str]() if same_rows else changed_inputs(program, arrays)
    fresh = {p.name for p in program.plates if plate_inputs(p) & changed}
    longer = {p.name for p in program.plates if p.name in (lengths or {})}
    resized = {n for n, i in known.items() if shapes[n] != i.shape}
    # Where rows change the data goes, and what was brought along for its missing elements goes with it.
    touched = fresh | longer | {p.name for p in program.plates if plate_inputs(p) & resized}
    gaps = {n for n, s in program.sites.items() if s.missing and touched & {p.name for p in s.plates}}
    program = forget(program, gaps)
    shapes = {i.name: shapes[i.name] for i in program.inputs}
    rebuilt = _Rebuilder(program, shapes, fresh, set(arrays), lengths or {}).program(arrays)
    check_indices(rebuilt)
    return rebuilt


def plate_inputs(plate: PlateStatement) -> set[str]:
    """Names of the inputs whose rows a plate maps over, directly or through what is computed from them."""
    return {node.attr("name") for node in walk(list(plate.sources)) if node.op == "input"}


def changed_inputs(program: Program, arrays: Mapping[str, np.ndarray]) -> set[str]:
    """Inputs that had other values than these."""
    return {
        name
        for name, array in arrays.items()
        if name in program.data
        and not np.array_equal(np.asarray(program.data[name]), array, equal_nan=array.dtype.kind == "f")
    }


def _check_input(program: Program, known: Input, array: np.ndarray) -> np.ndarray:
    if array.ndim != len(known.shape):
        raise ShapeError(
            f"input {known.name!r} has another number of axes.",
            model=program.name,
            declared_at=user_location(),
            expected=f"{len(known.shape)} axes, as in {known.shape}",
            got=f"shape {array.shape}",
            remedy="Only the lengths of plates may change; for anything else call the model.",
        )
    if known.dtype != "float" and dtype_kind(array.dtype) == "float":
        raise DataError(
            f"input {known.name!r} holds real numbers, but the model uses it as {known.dtype}.",
            model=program.name,
            declared_at=user_location(),
            expected=f"dtype {known.dtype}",
            got=f"dtype {array.dtype}",
            remedy="Convert it with .astype, or call the model with the new input.",
        )
    return array.astype(float) if known.dtype == "float" and array.dtype.kind != "f" else array


class _Rebuilder:
    def __init__(
        self,
        program: Program,
        shapes: Mapping[str, tuple[int, ...]],
        fresh: set[str],
        bound: set[str],
        lengths: Mapping[str, int],
    ) -> None:
        self.lengths = lengths
        self.old = program
        self.shapes = shapes
        self.fresh = fresh
        self.bound = bound
        self.opened = {s.plate: s for s in program.plates}
        self.plates: dict[Plate, Plate] = {}
        self.done: dict[int, Value] = {}
        self.sites: dict[str, Value] = {}

    def plate(self, old: Plate) -> Plate:
        """The plate with its new size, which its sources tell."""
        if old not in self.plates:
            statement = self.opened[old]
            sources = [self.value(v) for v in statement.sources]
            lengths = {v.shape[0] for v in sources} or {self.lengths.get(old.name, old.size)}
            facts: dict[str, Any] = {
                "model": self.old.name,
                "declared_at": statement.location,
                "plate": str(old),
                "got": ", ".join(f"{v!r} with {v.shape[0]} rows" for v in sources),
            }
            if len(lengths) > 1:
                raise ShapeError(
                    f"the inputs of plate {old.name!r} have different lengths.",
                    **facts,
                    expected="one length",
                    remedy="Bind all inputs that the plate maps over together.",
                )
            if 0 in lengths:
                raise PlateError(
                    f"plate {old.name!r} has size 0.",
                    **facts,
                    expected="a positive number of elements",
                    remedy="Check that its input has rows.",
                )
            self.plates[old] = Plate(old.name, lengths.pop())
        return self.plates[old]

    def fresh_plate(self, s: Statement) -> Plate | None:
        """The outermost plate around a statement that has new rows."""
        return next((p for p in s.plates if p.name in self.fresh or self.plate(p).size != p.size), None)

    def stack(self, plates: tuple[Plate, ...]) -> tuple[Plate, ...]:
        return tuple(self.plate(p) for p in plates)

    def value(self, root: Value) -> Value:
        for node in walk([root]):
            if id(node) not in self.done:
                self.done[id(node)] = self._node(node)
        return self.done[id(root)]

    def _node(self, node: Value) -> Value:
        args = tuple(self.done[id(a)] for a in node.args)
        attrs = tuple((k, self.plate(v) if isinstance(v, Plate) else v) for k, v in node.attrs)
        left: tuple[Plate, ...] = ()
        if node.op == "leave":
            left = self.stack(node.attr("plates"))
            attrs = (("plates", left),)
        plates = self.stack(node.plates)
        if node.op in ("site", "carry"):
            return self.sites[node.attr("name")]
        if node.op == "input":
            shape = tuple(self.shapes[node.attr("name")])
        elif node.op in LEAVES:
            shape = node.shape
        elif node.op == "leave":
            shape = tuple(p.size for p in left) + args[0].shape
        else:
            try:
                shape, _ = OPS[node.op].infer(args, dict(attrs))
            except ValueError as error:
                raise ShapeError(
                    f"the new inputs do not fit the model: {node.op}: {error}.",
                    model=self.old.name,
                    declared_at=user_location(),
                    expected="the event axes that the model was called with",
                    got=", ".join(f"{n} of shape {x}" for n, x in self.shapes.items()),
                    remedy="Only the lengths of plates may change; for anything else call the model.",
                ) from error
        if node.op == "element" and args[0].shape[0] != dict(attrs)["plate"].size:
            raise ShapeError(
                f"what plate {node.attr('plate').name!r} maps over has kept its old length.",
                model=self.old.name,
                declared_at=self.opened[node.attr("plate")].location,
                plate=str(dict(attrs)["plate"]),
                expected=f"{dict(attrs)['plate'].size} rows",
                got=f"{args[0]!r} with {args[0].shape[0]} rows",
                remedy="For an array that was built from an input's length, call the model.",
            )
        return Value(node.op, args, attrs, plates, shape, node.dtype, node.hint)

    def distribution(self, dist: Distribution) -> Distribution:
        return dist.resized(self.value)

    def statement(self, s: Statement) -> Statement:
        plates = self.stack(s.plates)
        match s:
            case Sample():
                dist = self.distribution(s.dist)
                fits = self.fresh_plate(s) is None and dist.event_shape == s.dist.event_shape
                new = replace(s, plates=plates, dist=dist, observed=s.observed and fits)
                self.sites[s.name] = new.value
                return new
            case Deterministic():
                if s.intervened:
                    self.check_intervention(s)
                new = replace(s, plates=plates, expression=self.value(s.expression))
                self.sites[s.name] = new.value
                return new
            case Factor():
                return replace(s, plates=plates, expression=self.value(s.expression))
            case Carry():
                # What follows reads statements that come later; `program` fills it in when they have been rebuilt.
                new = replace(s, plates=plates, init=self.value(s.init))
                self.sites[s.name] = Value(
                    "carry", (), s.value.attrs, plates, new.init.shape, new.init.dtype, list(s.value.hint) or [s.hint]
                )
                return new
            case Param():
                fresh = self.fresh_plate(s)
                # Without `shape` it starts from the numbers of one element, which serve any number of rows.
                if s.shape is not None and fresh is not None:
                    raise PlateError(
                        f"parameter {s.name!r} has one value for each of the old rows.",
                        site=s.name,
                        model=self.old.name,
                        declared_at=s.location,
                        plate=str(fresh),
                        expected=f"rows as in the program: {fresh}",
                        got=f"new rows: {self.plate(fresh)}",
                        remedy="Make the guide again from the model with the new rows, or share the parameter by all.",
                    )
                return replace(s, plates=plates)
        return s

    def check_intervention(self, s: Deterministic) -> None:
        """An intervention that sets each of the old rows says nothing about new ones."""
        fresh, name = self.fresh_plate(s), f"do.{s.name}"
        if fresh is not None and name in self.shapes and name not in self.bound:
            raise ShapeError(
                f"it was set by `do` to a value for each of the old rows, but plate {fresh.name!r} has new ones.",
                site=s.name,
                model=self.old.name,
                declared_at=s.location,
                plate=str(self.plate(fresh)),
                expected="one value for all rows, or rows that stay",
                got=f"values of shape {self.shapes[name]}",
                remedy="Intervene again after binding.",
            )

    def program(self, arrays: dict[str, np.ndarray]) -> Program:
        statements = tuple(self.statement(s) for s in self.old.statements)
        statements = tuple(
            replace(s, following=self.value(s.following)) if isinstance(s, Carry) else s for s in statements
        )
        observed = {s.name for s in statements if isinstance(s, Sample) and s.observed}
        inputs = tuple(Input(i.name, tuple(self.shapes[i.name]), i.dtype) for i in self.old.inputs)
        names = {i.name for i in inputs} | observed
        plates = tuple(
            replace(
                p,
                plate=self.plate(p.plate),
                outer=self.stack(p.outer),
                sources=tuple(self.value(v) for v in p.sources),
            )
            for p in self.old.plates
        )
        data = {k: v for k, v in {**self.old.data, **arrays}.items() if k in names}
        return replace(self.old, inputs=inputs, plates=plates, statements=statements, data=data)
