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
    rebuilt = _Rebuilder(program, shapes).program(arrays)
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


class _Rebuilder:
    def __init__(self, program: Program, shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.old = program
        self.shapes = shapes
        self.opened = {s.plate: s for s in program.plates}
        self.plates: dict[Plate, Plate] = {}
        self.done: dict[int, Value] = {}
        self.sites: dict[str, Value] = {}

    def plate(self, old: Plate) -> Plate:
        """The plate with its new size, which its sources tell."""
        if old not in self.plates:
            statement = self.opened[old]
            sources = [self.value(v) for v in statement.sources]
            lengths = {v.shape[0] for v in sources} or {old.size}
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
        if node.op == "element" and args[0].shape[0] != dict(attrs)["plate"].size:
            raise ShapeError(
                f"what plate {node.attr('plate').name!r} maps over has kept its old length.",
                model=self.old.name,
                declared_at=self.opened[node.attr("plate")].location,
                plate=str(dict(attrs)["plate"]),
                expected=f"{dict(attrs)['plate'].size} rows",
                got=f"{args[0]!r} with {args[0].shape[0]} rows",
                remedy="Intervene again after binding; for an array built from an input's length call the model.",
            )
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
                plate=self.plate(p.plate),
                outer=self.stack(p.outer),
                sources=tuple(self.value(v) for v in p.sources),
            )
            for p in self.old.plates
        )
        data = {k: v for k, v in {**self.old.data, **arrays}.items() if k in names}
        return replace(self.old, inputs=inputs, plates=plates, statements=statements, data=data)
