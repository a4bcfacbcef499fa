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
from ppl.program.statements import Deterministic, Factor, Input, Param, Sample, Statement
from ppl.program.values import Plate, Value, dtype_kind, walk
from ppl.program.vocabulary import LEAVES, OPS


def bind(program: Program, inputs: Mapping[str, Any]) -> Program:
    """The same declaration on other inputs.

    Args:
        program: any program.
        inputs: an array for each input that changes.

    Returns:
        A program whose plates have the sizes of the new inputs. Observed sites inside a plate that changed its size are
        no longer observed: their data belongs to the old rows.

    Raises:
        UnknownNameError: there is no such input.
        ShapeError: another rank, other event axes, or plates that disagree.
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
    sizes = _plate_sizes(program, shapes)
    rebuilt = _Rebuilder(program, shapes, sizes).program(arrays)
    check_indices(rebuilt)
    return rebuilt


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


def _plate_sizes(program: Program, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for statement in program.plates:
        found: set[int] = {statement.plate.size} if not statement.sources else set()
        for source in statement.sources:
            depth = 0
            node = source
            while node.op == "element":
                depth, node = depth + 1, node.args[0]
            # A source that is computed keeps the size it had; the check on rebuilt shapes catches a disagreement.
            found.add(shapes[node.attr("name")][depth] if node.op == "input" else statement.plate.size)
        if len(found) > 1:
            raise ShapeError(
                f"the inputs of plate {statement.name!r} have different lengths {sorted(found)}.",
                model=program.name,
                declared_at=statement.location,
                plate=str(statement.plate),
                expected="one length",
                got=f"{sorted(found)}",
                remedy="Bind all inputs that the plate maps over together.",
            )
        if 0 in found:
            raise PlateError(
                f"plate {statement.name!r} has size 0.",
                model=program.name,
                declared_at=statement.location,
                plate=str(statement.plate),
                expected="a positive number of elements",
                got="0",
                remedy="Check that its input has rows.",
            )
        sizes[statement.name] = found.pop()
    return sizes


class _Rebuilder:
    def __init__(self, program: Program, shapes: Mapping[str, tuple[int, ...]], sizes: dict[str, int]) -> None:
        self.old = program
        self.shapes = shapes
        self.plates = {s.plate: Plate(s.name, sizes[s.name]) for s in program.plates}
        self.done: dict[int, Value] = {}
        self.sites: dict[str, Value] = {}

    def stack(self, plates: tuple[Plate, ...]) -> tuple[Plate, ...]:
        return tuple(self.plates[p] for p in plates)

    def value(self, root: Value) -> Value:
        for node in walk([root]):
            if id(node) not in self.done:
                self.done[id(node)] = self._node(node)
        return self.done[id(root)]

    def _node(self, node: Value) -> Value:
        args = tuple(self.done[id(a)] for a in node.args)
        attrs = tuple((k, self.plates[v] if isinstance(v, Plate) else v) for k, v in node.attrs)
        left: tuple[Plate, ...] = ()
        if node.op == "leave":
            left = self.stack(node.attr("plates"))
            attrs = (("plates", left),)
        plates = self.stack(node.plates)
        if node.op == "site":
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
        return Value(node.op, args, attrs, plates, shape, node.dtype, node.hint)

    def distribution(self, dist: Distribution) -> Distribution:
        out = dist.substitute(self.value)
        if not dist.expanded and not dist.nested():
            out.event_shape = out.batch_shape() + out.core_shape()
        return out

    def statement(self, s: Statement) -> Statement:
        plates = self.stack(s.plates)
        match s:
            case Sample():
                resized = any(a.size != b.size for a, b in zip(s.plates, plates, strict=True))
                new = replace(s, plates=plates, dist=self.distribution(s.dist), observed=s.observed and not resized)
                self.sites[s.name] = new.value
                return new
            case Deterministic():
                new = replace(s, plates=plates, expression=self.value(s.expression))
                self.sites[s.name] = new.value
                return new
            case Factor():
                return replace(s, plates=plates, expression=self.value(s.expression))
            case Param():
                return replace(s, plates=plates)
        return s

    def program(self, arrays: dict[str, np.ndarray]) -> Program:
        statements = tuple(self.statement(s) for s in self.old.statements)
        observed = {s.name for s in statements if isinstance(s, Sample) and s.observed}
        inputs = tuple(Input(i.name, tuple(self.shapes[i.name]), i.dtype) for i in self.old.inputs)
        names = {i.name for i in inputs} | observed
        plates = tuple(
            replace(
                p,
                plate=self.plates[p.plate],
                outer=self.stack(p.outer),
                sources=tuple(self.value(v) for v in p.sources),
            )
            for p in self.old.plates
        )
        data = {k: v for k, v in {**self.old.data, **arrays}.items() if k in names}
        return replace(self.old, inputs=inputs, plates=plates, statements=statements, data=data)
