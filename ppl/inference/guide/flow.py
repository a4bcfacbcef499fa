"""Automatic guides made of normalizing flows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl.errors import UnknownNameError, nearest
from ppl.language.dist import Affine, Flow, Normal, Transformed
from ppl.language.nn.flow_specs import elementwise_spec, one_way_spec, stacked_spec
from ppl.posterior.methods import register
from ppl.program import supports
from ppl.program.networks import NetworkSpec
from ppl.program.program import Program
from ppl.program.statements import Network, Param
from ppl.program.values import Frozen

from .automatic import joint_parts, split_joint

KINDS = ("affine", "iaf", "planar", "spline")


@register
@dataclass(frozen=True)
class AutoFlow:
    """One normalizing flow over all latent numbers, in unconstrained space: for posteriors that no normal resembles.

    Standard normal noise goes through the flow, which starts as the identity; then each number is scaled and shifted.
    A single latent number has nothing to be coupled with, and gets a spline of its own, whatever the kind.

    Attributes:
        layers: steps of the flow.
        kind: "spline", spline couplings (`nn.SplineCoupling`); "affine", affine couplings (`nn.RealNVP`); "iaf", an
            inverse autoregressive flow (`nn.IAF`; the AutoIAFNormal of other libraries); "planar", planar flows
            (`nn.Planar`), which cannot score given values.
        hidden: hidden layers of each perceptron; None for one layer of twice as many units as there are latent
            numbers, and at least 32.
        mixing: of the numbers between two steps, as in `nn.RealNVP`; planar flows need none.
        init_scale: starting standard deviation.
        init_radius: the means start uniformly within this distance of zero.
        init: where sites start instead, by name, each in its own space, shape (plates..., event...).

    Reference: Rezende and Mohamed (2015), Variational inference with normalizing flows.
    """

    layers: int = 4
    kind: str = "spline"
    hidden: tuple[int, ...] | None = None
    mixing: str = "reverse"
    init_scale: float = 0.1
    init_radius: float = 0.5
    init: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UnknownNameError(
                f"AutoFlow: there is no kind {self.kind!r}.",
                expected=f"one of {KINDS}",
                got=repr(self.kind),
                remedy=nearest(str(self.kind), KINDS),
            )

    def build(self, program: Program, seed: int, start: Mapping[str, np.ndarray] | None = None) -> Program:
        """The guide program: an auxiliary site `guide` of which every latent is a part, and a network `guide.flow`."""
        parts = joint_parts(program, "AutoFlow", self.init_radius, seed, start)
        spec = self.spec(parts.size)
        loc = Param("guide.loc", (), None, Frozen(parts.start), supports.real)
        scale = Param("guide.scale", (), None, Frozen(np.full(parts.size, self.init_scale)), supports.positive)
        noise = Normal(0.0, 1.0).expand([parts.size])
        joint = Transformed(noise, Flow(spec), Affine(loc.value, scale.value))
        return split_joint(program, "AutoFlow", parts, [Network(spec.name, (), None, spec), loc, scale], joint)

    def spec(self, size: int) -> NetworkSpec:
        """The network of the flow over so many numbers."""
        name, layers = "guide.flow", self.layers
        hidden = (max(2 * size, 32),) if self.hidden is None else self.hidden
        if self.kind == "planar":
            return one_way_spec("Planar", name, size, layers=layers)
        if size == 1:
            return elementwise_spec(name, size, "spline")
        transform = "spline" if self.kind == "spline" else "affine"
        family = {"iaf": "IAF", "spline": "SplineCoupling", "affine": "RealNVP"}[self.kind]
        return stacked_spec(family, name, size, hidden, layers=layers, transform=transform, mixing=self.mixing)
