"""What statements of native models are made of: names stay names, networks with random weights are spelled out."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from ppl.program.values import Value, reference
from ppl.transforms.density import Resolver

from .native_densities import library_density


class NativeResolver(Resolver):
    """Spells out networks with random weights, and finds densities of the library; all other names stay names.

    Attributes:
        real: discrete sites that the library draws as real numbers; where they are used as such, they stay that.
    """

    real: AbstractSet[str] = frozenset()

    def _node(self, node: Value) -> Value:
        if node.op == "site":
            return node
        if node.op == "astype" and node.args[0].op == "site" and node.dtype == "float":
            leaf = node.args[0]
            if leaf.attr("name") in self.real:
                return reference("site", leaf.attr("name"), leaf.plates, leaf.shape, "float", cast=True)
            return node
        if node.op == "network" and not self.program.networks[node.attr("name")].random:
            args = tuple(self._done[id(a)] for a in node.args)
            return Value("network", args, node.attrs, node.plates, node.shape, node.dtype, node.hint)
        density = library_density(node)
        if density is None:
            return super()._node(node)
        # A parameter that is a plain number may stand nowhere in the program.
        args = tuple(self._done.get(id(a), a) for a in density.args)
        return Value(density.op, args, density.attrs, density.plates, density.shape, density.dtype, density.hint)
