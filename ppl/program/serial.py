"""Programs as JSON: a table of expression nodes and a list of statements. Networks go by specification."""

# A JSON document carries no types; what is read is checked by building the program.
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportMatchNotExhaustive=false

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import FormatError, Location, ModelError, UnknownNameError, nearest

from .distributions import FAMILIES, KERNELS, Distribution
from .missing import Missing
from .networks import ForeignCall, ForeignModule, Layer, NetworkSpec
from .statements import Carry, Deterministic, Factor, Input, Network, Param, PlateStatement, Sample, Statement
from .supports import Support
from .values import Frozen, Plate, Value, walk

if TYPE_CHECKING:
    from .program import Program

FORMAT = "credo-program"
VERSION = 1


class _Writer:
    """Collects nodes into a table; equal nodes are written once, so that the text does not depend on sharing."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.known: dict[str, int] = {}
        self.done: dict[int, int] = {}
        self.alive: list[Value] = []

    def value(self, value: Value) -> int:
        # Operands come first, so that no chain of operations is too long for the call stack.
        for node in walk([value]):
            if id(node) not in self.done:
                self.done[id(node)] = self._node(node)
                self.alive.append(node)
        return self.done[id(value)]

    def _node(self, value: Value) -> int:
        row: dict[str, Any] = {
            "op": value.op,
            "args": [self.done[id(a)] for a in value.args],
            "attrs": {name: self.attribute(item) for name, item in value.attrs},
            "plates": [p.name for p in value.plates],
            "shape": list(value.shape),
            "dtype": value.dtype,
        }
        text = json.dumps(row, sort_keys=True)
        index = self.known.get(text)
        if index is None:
            index = self.known[text] = len(self.nodes)
            self.nodes.append(row | ({"hint": value.hint[0]} if value.hint else {}))
        return index

    def attribute(self, item: Any) -> Any:
        if isinstance(item, Plate):
            return {"plate": item.name}
        if isinstance(item, Frozen):
            return {"array": item.array.tolist(), "type": item.array.dtype.str}
        if isinstance(item, Support):
            return {"support": self.support(item)}
        if isinstance(item, Value):
            return {"value": self.value(item)}
        if isinstance(item, Distribution):
            return {"distribution": self.distribution(item)}
        if isinstance(item, (tuple, list)):
            return {"tuple": [self.attribute(i) for i in item]}
        if isinstance(item, float) and not np.isfinite(item):
            return {"float": repr(item)}
        parts = getattr(item, "to_parts", None)
        if parts is not None:
            return {getattr(item, "tag", "bijection"): {k: self.attribute(v) for k, v in parts().items()}}
        if isinstance(item, dict):
            return {"dict": {k: self.attribute(v) for k, v in item.items()}}
        return item

    def support(self, support: Support) -> Any:
        return {"kind": support.kind, "bounds": [self.value(b) for b in support.bounds]}

    def distribution(self, dist: Distribution) -> Any:
        row: dict[str, Any] = {
            "family": dist.family,
            "params": {name: self.value(v) for name, v in dist.params.items()},
            "static": {name: self.attribute(v) for name, v in dist.static.items()},
            "event_shape": list(dist.event_shape),
            "expanded": dist.expanded,
        }
        if dist.nested():
            row["nested"] = {name: self.distribution(d) for name, d in dist.nested().items()}
        if dist.mask_value is not None:
            row["mask"] = self.value(dist.mask_value)
        return row

    def network(self, spec: NetworkSpec) -> Any:
        row: dict[str, Any] = {
            "name": spec.name,
            "text": spec.text,
            "layers": [
                {"name": x.name, "kind": x.kind, "settings": {k: self.attribute(v) for k, v in x.settings}}
                for x in spec.layers
            ],
        }
        if spec.foreign is not None:
            row["out_shape"] = list(spec.out_shape or ())
            row["foreign"] = {"torch": spec.foreign.torch_name, "jax": spec.foreign.jax_name}
            call = spec.foreign.call
            if call is not None:
                row["call"] = {"inputs": self.attribute(call.inputs), "dtype": call.out_dtype, "batched": call.batched}
        return row

    def statement(self, s: Statement) -> dict[str, Any]:
        row: dict[str, Any] = {"kind": type(s).__name__, "name": s.name, "plates": [p.name for p in s.plates]}
        match s:
            case Sample():
                row |= {"dist": self.distribution(s.dist), "observed": s.observed, "auxiliary": s.auxiliary}
                row["names"] = list(s.names)
                if s.missing is not None:
                    row["missing"] = asdict(s.missing)
            case Deterministic():
                row |= {"expression": self.value(s.expression), "intervened": s.intervened, "names": list(s.names)}
            case Factor():
                row["expression"] = self.value(s.expression)
            case Param():
                row |= {"init": self.attribute(s.init), "support": self.support(s.support)}
                row["shape"] = None if s.shape is None else list(s.shape)
            case Carry():
                row |= {"init": self.value(s.init), "following": self.value(s.following), "reverse": s.reverse}
                row["hint"] = s.hint
            case Network():
                row |= {"spec": self.network(s.spec), "random": s.random}
        return row


def program_to_dict(program: Program, locations: bool = True) -> dict[str, Any]:
    """A program as plain data."""
    write = _Writer()
    plates = []
    for p in program.plates:
        row = {
            "name": p.name,
            "size": p.plate.size,
            "outer": [o.name for o in p.outer],
            "sources": [write.value(v) for v in p.sources],
            "ordered": p.ordered,
        }
        if locations:
            row |= {"location": asdict(p.location) if p.location else None, "alias": p.alias}
        plates.append(row)
    statements = []
    for s in program.statements:
        row = write.statement(s)
        if locations:
            row["location"] = asdict(s.location) if s.location else None
        statements.append(row)
    nodes = write.nodes if locations else [{k: v for k, v in n.items() if k != "hint"} for n in write.nodes]
    return {
        "format": FORMAT,
        "version": VERSION,
        "name": program.name,
        "inputs": [{"name": i.name, "shape": list(i.shape), "dtype": i.dtype} for i in program.inputs],
        "settings": [list(s) for s in program.settings],
        "plates": plates,
        "nodes": nodes,
        "statements": statements,
    }


def program_to_json(program: Program) -> str:
    """A program as JSON text."""
    return json.dumps(program_to_dict(program), indent=1)


class _Reader:
    def __init__(self, document: dict[str, Any]) -> None:
        self.plates = {p["name"]: Plate(p["name"], p["size"]) for p in document["plates"]}
        self.values: list[Value] = []
        for row in document["nodes"]:
            attrs = tuple(sorted((k, self.attribute(v)) for k, v in row["attrs"].items()))
            plates = tuple(self.plates[p] for p in row["plates"])
            args = tuple(self.values[i] for i in row["args"])
            hint = [row["hint"]] if "hint" in row else []
            self.values.append(Value(row["op"], args, attrs, plates, tuple(row["shape"]), row["dtype"], hint))

    def attribute(self, item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        ((kind, body),) = [(k, v) for k, v in item.items() if k != "type"]
        match kind:
            case "plate":
                return self.plates[body]
            case "array":
                return Frozen(np.array(body, dtype=np.dtype(item["type"])))
            case "support":
                return self.support(body)
            case "value":
                return self.values[body]
            case "distribution":
                return self.distribution(body)
            case "tuple":
                return tuple(self.attribute(i) for i in body)
            case "float":
                return float(body)
            case "dict":
                return {k: self.attribute(v) for k, v in body.items()}
            case "bijection":
                from ppl.program.distributions import BIJECTIONS

                parts = {k: self.attribute(v) for k, v in body.items()}
                return BIJECTIONS[parts["kind"]].from_parts(parts)
            case "kernel":
                parts = {k: self.attribute(v) for k, v in body.items()}
                return KERNELS[parts["kind"]].from_parts(parts)
        raise FormatError(f"unknown attribute kind {kind!r} in a program file.")

    def support(self, row: Any) -> Support:
        return Support(row["kind"], tuple(self.values[b] for b in row["bounds"]))

    def distribution(self, row: Any) -> Distribution:
        family = FAMILIES.get(row["family"])
        if family is None:
            raise UnknownNameError(f"there is no family {row['family']!r}.", remedy=nearest(row["family"], FAMILIES))
        params = {name: self.values[i] for name, i in row["params"].items()}
        static = {name: self.attribute(v) for name, v in row["static"].items()}
        nested = {name: self.distribution(d) for name, d in row.get("nested", {}).items()}
        out = family.from_parts(params, static, nested)
        out.event_shape = tuple(row["event_shape"])
        out.expanded = row["expanded"]
        if "mask" in row:
            out.mask_value = self.values[row["mask"]]
        return out

    def network(self, row: Any) -> NetworkSpec:
        layers = tuple(
            Layer(x["name"], x["kind"], tuple(sorted((k, self.attribute(v)) for k, v in x["settings"].items())))
            for x in row["layers"]
        )
        if "foreign" not in row:
            return NetworkSpec(row["name"], layers, row["text"])
        names = row["foreign"]
        call = None
        if "call" in row:
            call = ForeignCall(self.attribute(row["call"]["inputs"]), row["call"]["dtype"], row["call"]["batched"])
        foreign = ForeignModule(None, None, names["torch"], names["jax"], call)
        return NetworkSpec(row["name"], layers, row["text"], tuple(row["out_shape"]), foreign)

    def statement(self, row: Any) -> Statement:
        head = (row["name"], tuple(self.plates[p] for p in row["plates"]), _location(row))
        match row["kind"]:
            case "Sample":
                dist = self.distribution(row["dist"])
                missing = Missing(**row["missing"]) if "missing" in row else None
                return Sample(*head, dist, row["observed"], row["auxiliary"], tuple(row["names"]), missing)
            case "Deterministic":
                return Deterministic(*head, self.values[row["expression"]], row["intervened"], tuple(row["names"]))
            case "Factor":
                return Factor(*head, self.values[row["expression"]])
            case "Param":
                shape = None if row["shape"] is None else tuple(row["shape"])
                return Param(*head, self.attribute(row["init"]), self.support(row["support"]), shape)
            case "Carry":
                init, following = self.values[row["init"]], self.values[row["following"]]
                return Carry(*head, init, following, row["reverse"], row["hint"])
            case "Network":
                return Network(*head, self.network(row["spec"]), row["random"])
        raise FormatError(f"unknown statement kind {row['kind']!r} in a program file.")


def _location(row: Any) -> Location | None:
    at = row.get("location")
    return Location(at["file"], at["line"]) if at else None


def program_from_json(text: str) -> Program:
    """A program from JSON text.

    Raises:
        FormatError: the text is cut short, is not a program, or was written by a newer version.
    """
    from .program import Program

    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(
            "the program text is cut short or damaged.", got=str(error), remedy="Write the file again with to_json()."
        ) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise FormatError("this JSON is not a program.", expected=f'"format": "{FORMAT}"')
    if document["version"] > VERSION:
        raise FormatError(
            "the program was written by a newer version.",
            expected=f"format version {VERSION} or older",
            got=f"format version {document['version']}",
            remedy="Upgrade credo-ppl.",
        )
    read = _Reader(document)
    plates = tuple(
        PlateStatement(
            read.plates[p["name"]],
            tuple(read.plates[o] for o in p["outer"]),
            tuple(read.values[v] for v in p["sources"]),
            _location(p),
            p.get("alias", ""),
            p.get("ordered", False),
        )
        for p in document["plates"]
    )
    return Program(
        document["name"],
        tuple(Input(i["name"], tuple(i["shape"]), i["dtype"]) for i in document["inputs"]),
        tuple((a, b) for a, b in document["settings"]),
        plates,
        tuple(read.statement(s) for s in document["statements"]),
    )


def attach_modules(spec: NetworkSpec, torch: Any, jax: Any) -> NetworkSpec:
    """Give a foreign module that was read from a file its factories back.

    Raises:
        ModelError: the network is not a foreign module.
    """
    if spec.foreign is None:
        raise ModelError(f"network {spec.name!r} is built from its specification; it takes no factories.")
    return replace(spec, foreign=replace(spec.foreign, torch=torch, jax=jax))
