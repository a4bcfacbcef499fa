"""Normalizing flows as bijections: networks that can be run both ways and know how they change volumes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, cast

from ppl.errors import ModelError, ShapeError, user_location
from ppl.program.distributions import Distribution
from ppl.program.flows import flow_context, flow_size, refusal, run_flow
from ppl.program.layers import Layer, nested
from ppl.program.networks import NetworkSpec
from ppl.program.ops import apply, in_scope, to_float
from ppl.program.supports import Support
from ppl.program.values import Shape, Value, lift

from .algebra import Number, neg
from .bijections import Bijection, Compose


class Flow(Bijection):
    """A network of vectors that has an inverse; made by `nn.RealNVP`, `nn.SplineCoupling`, `nn.MAF` and their like.

    It stands wherever a bijection does:

        flow = nn.SplineCoupling("flow", 8, context=16)
        z = ppl.sample("z", dist.Transformed(dist.Normal(0.0, 1.0).expand([8]), flow.given(h)))

    A draw is scored by the pass that made it. A given value is scored by the inverse. Flows and other bijections chain:
    `dist.Transformed(base, rotate, flow, dist.Exp())`. The map acts on the last event axis; axes in front of it are
    further vectors.

    Args:
        spec: the network.
        sites: the weights, where these are random sites, by name.
    """

    rank = 1
    codomain_rank = 1

    def __init__(self, spec: NetworkSpec, sites: Mapping[str, Value] | None = None) -> None:
        weights = {
            name: apply("network", *([sites[name]] if sites else []), name=spec.name, out_shape=w.shape, weight=name)
            for name, w in spec.weights.items()
        }
        super().__init__(weights, network=spec.name, layers=nested(spec.layers))

    def _settle(self) -> None:
        self.layers = tuple(Layer(*row) for row in self.static["layers"])

    @property
    def name(self) -> str:
        """Name of the network."""
        return self.static["network"]

    @property
    def size(self) -> int:
        """Length of the vectors."""
        return flow_size(self.layers)

    @property
    def context(self) -> Value | None:
        """What the flow depends on, a vector; None if it was given nothing."""
        return self.params.get("context")

    @property
    def weights(self) -> dict[str, Value]:
        """The weights by name."""
        return {name: v for name, v in self.params.items() if name != "context"}

    def given(self, context: Any) -> Flow:
        """The flow that a context picks: amortised or conditional on values.

        Args:
            context: one vector, as long as the flow was declared with.

        Raises:
            ShapeError: another length, or a flow without a context.
        """
        value = to_float(in_scope(lift(context)))
        wanted = flow_context(self.layers)
        if not wanted or value.shape != (wanted,):
            raise ShapeError(
                f"flow {self.name!r} takes {f'a context of length {wanted}' if wanted else 'no context'}.",
                declared_at=user_location(),
                expected=f"event shape ({wanted},)" if wanted else f"{self.name}, without .given(...)",
                got=repr(value),
                remedy="Declare the flow with context=..., the length of what it depends on.",
            )
        out = copy.copy(self)
        out.params = {"context": value, **self.weights}
        return out

    def text(self, show: Callable[[Value], str]) -> str:
        """The network's name, and the context."""
        return self.name if self.context is None else f"{self.name}.given({show(self.context)})"

    # --- the map ------------------------------------------------------------------------------------------------

    def invertible(self, backward: bool = True) -> bool:
        """Whether the flow can be run backward (or forward)."""
        return refusal(self.layers, backward) is None

    def _run(self, x: Value, backward: bool) -> tuple[Value, Value]:
        self.forward_shape(x.shape)
        return run_flow(self.layers, x, list(self.weights.values()), self.context, backward)

    def forward(self, x: Value) -> Value:
        """The image of a vector."""
        return self._run(x, False)[0]

    def inverse(self, y: Value) -> Value:
        """The vector whose image this is."""
        return self._run(y, True)[0]

    def forward_with_log_det(self, x: Value) -> tuple[Value, Number]:
        """The image and the log determinant, in one pass."""
        return self._run(x, False)

    def inverse_with_log_det(self, y: Value) -> tuple[Value, Number]:
        """The preimage and the log determinant of the map there, in one pass."""
        x, log_det = self._run(y, True)
        return x, neg(log_det)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """By another pass forward, or backward where forward runs entry after entry."""
        sequential = [layer for layer in self.layers if dict(layer.settings).get("parallel") == "backward"]
        return neg(self._run(y, True)[1]) if sequential else self._run(x, False)[1]

    # --- shapes and sets ----------------------------------------------------------------------------------------

    def forward_shape(self, shape: Shape) -> Shape:
        """The same shape.

        Raises:
            ShapeError: vectors of another length.
            ModelError: the flow needs a context and has none.
        """
        if not shape or shape[-1] != self.size:
            raise ShapeError(
                f"flow {self.name!r} of vectors of length {self.size} cannot take event shape {shape}.",
                declared_at=user_location(),
                expected=f"({self.size},)",
                got=f"event shape {shape}",
                remedy=f"Give the base its shape with .expand([{self.size}]), or the flow another size.",
            )
        wanted = flow_context(self.layers)
        if wanted and self.context is None:
            raise ModelError(
                f"flow {self.name!r} was declared with a context and has been given none.",
                declared_at=user_location(),
                expected=f"{self.name}.given(h), with h of event shape ({wanted},)",
                got=self.name,
                remedy=f"Write {self.name}.given(...) where the flow is used.",
            )
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        """The same shape."""
        return self.forward_shape(shape)

    def image(self, support: Support) -> Support:
        """All reals, of all reals."""
        return support if support.kind in ("real", "real_vector", "real_matrix") else super().image(support)

    def preimage(self, support: Support) -> Support:
        """All reals, of all reals."""
        return self.image(support)


def flows_of(dist: Distribution) -> list[Flow]:
    """The flows that a distribution is made of; those run backwards are left out."""
    found: list[Flow] = []
    parts = list(cast("tuple[Bijection, ...]", dist.static.get("bijections", ())))
    while parts:
        part = parts.pop(0)
        if isinstance(part, Flow):
            found.append(part)
        elif isinstance(part, Compose):
            parts += part.parts
    return found + [flow for inner in dist.nested().values() for flow in flows_of(inner)]
