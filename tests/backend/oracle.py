"""What a program means, computed the slow way: one plate element at a time, in numpy.

Lowering moves axes around; this interpreter has none to move. Where the two agree, the axes were right.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from ppl.program.networks import Weight, apply_network
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Factor, Param, Sample
from ppl.program.values import Frozen, Plate, Value, reference
from tests.reference import NAMED, WITH_ATTRIBUTES

Where = Mapping[Plate, int]


def _linear(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    out = x @ weight.T
    return out if bias is None else out + bias


class Oracle:
    """The values of a program at one point.

    Args:
        program: any program whose networks are made of linear layers and activations.
        values: one draw of each latent site, shape (plates..., event...).
        params: parameters by name; by default their starts.
    """

    def __init__(
        self, program: Program, values: Mapping[str, np.ndarray], params: Mapping[str, np.ndarray] | None = None
    ) -> None:
        self.program = program
        self.arrays = {**program.data, **values}
        self.params = dict(params or {})
        self.known: dict[tuple[int, tuple[int, ...]], np.ndarray] = {}
        self.alive: list[Value] = []

    def log_density(self) -> dict[str, np.ndarray]:
        """Log density of each site and factor, shape (plates...)."""
        out: dict[str, np.ndarray] = {}
        for s in self.program.statements:
            if isinstance(s, Sample):
                out[s.name] = self.over(s.dist.log_prob(s.value), s.plates)
            elif isinstance(s, Factor):
                out[s.name] = self.over(s.expression, s.plates)
        return out

    def over(self, value: Value, plates: tuple[Plate, ...]) -> np.ndarray:
        """A value at every element of plates, shape (plates..., event...)."""
        sizes = tuple(p.size for p in plates)
        rows = [self.value(value, dict(zip(plates, at, strict=True))) for at in itertools.product(*map(range, sizes))]
        return np.stack(rows).reshape((*sizes, *value.shape))

    def value(self, node: Value, where: Where) -> np.ndarray:
        """One element of a value."""
        key = (id(node), tuple(where[p] for p in node.plates))
        if key not in self.known:
            self.known[key] = np.asarray(self._value(node, where))
            self.alive.append(node)
            assert self.known[key].shape == node.shape, f"{node!r} is {self.known[key].shape}"
        return self.known[key]

    def _value(self, node: Value, where: Where) -> Any:
        attrs = dict(node.attrs)
        match node.op:
            case "const":
                item = attrs["value"]
                return item.array if isinstance(item, Frozen) else item
            case "input":
                return self.arrays[attrs["name"]]
            case "plate_index":
                return where[attrs["plate"]]
            case "site" | "param":
                return self._named(attrs["name"], where)
            case "element":
                return self.value(node.args[0], where)[where[attrs["plate"]]]
            case "leave":
                plates: tuple[Plate, ...] = attrs["plates"]
                inner = itertools.product(*(range(p.size) for p in plates))
                rows = [self.value(node.args[0], {**where, **dict(zip(plates, at, strict=True))}) for at in inner]
                return np.stack(rows).reshape(node.shape)
            case "carry":
                return self._carry(attrs["name"], where)
            case "network":
                return self.value(self._network(node), where)
            case "linear":
                return _linear(*(self.value(a, where) for a in node.args))
        args = [self.value(a, where) for a in node.args]
        return WITH_ATTRIBUTES[node.op](*args, **attrs) if node.op in WITH_ATTRIBUTES else NAMED[node.op](*args)

    def _carry(self, name: str, where: Where) -> np.ndarray:
        """What a step is handed: the start, or what the step before left."""
        carry = self.program.carries[name]
        before = where[carry.time] + (1 if carry.reverse else -1)
        if not 0 <= before < carry.time.size:
            return self.value(carry.init, where)
        return self.value(carry.following, {**where, carry.time: before})

    def _named(self, name: str, where: Where) -> np.ndarray:
        statement = self.program.by_name.get(name)
        if isinstance(statement, Deterministic):
            return self.value(statement.expression, where)
        if isinstance(statement, Param):
            array = self.params.get(name, statement.initial())
        else:
            array = self.params[name] if statement is None else self.arrays[name]
        plates = () if statement is None else statement.plates
        return array[tuple(where[p] for p in plates)]

    def _network(self, node: Value) -> Value:
        statement = self.program.networks[node.attr("name")]
        count = len(node.args) - (len(statement.spec.weights) if statement.random else 0)
        sites = dict(zip(statement.spec.weights, node.args[count:], strict=False))

        def weight(name: str, w: Weight) -> Value:
            return sites[name] if name in sites else reference("param", name, (), w.shape, "float")

        return apply_network(statement.spec, node.args[0], weight, node.args[1:count])
