"""Amortised guides made from a model: posteriors of shared latents as functions of the data, shaped by its plates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl.errors import StrategyError, UnknownNameError, nearest
from ppl.language import nn, ops
from ppl.language.dist import Affine, Identity, MixtureSameFamily, Normal, Transformed, biject_to
from ppl.language.dist.categorical import Categorical
from ppl.language.trace import CURRENT, Trace
from ppl.posterior.methods import register
from ppl.program.ops import to_float
from ppl.program.program import Program, expressions
from ppl.program.statements import PlateStatement, Sample
from ppl.program.values import OPEN_PLATES, Value, dtype_kind, walk
from ppl.transforms.unconstrain import unconstrained_shape

from .automatic import _latents, _Names

FAMILIES = ("flow", "normal")
# Spread of numbers that do not vary between simulations.
_LEAST = 1e-6


@dataclass(frozen=True)
class Bank:
    """What simulations look like, for putting networks on a scale.

    Attributes:
        data: of each observed site, shape (simulations, plates..., event...).
        latents: of each latent in unconstrained space, shape (simulations, event...).
    """

    data: Mapping[str, np.ndarray]
    latents: Mapping[str, np.ndarray]


@register
@dataclass(frozen=True)
class AutoAmortized:
    """The posterior of latents that no plate holds, as networks of the data: for `NPE`.

    Each observed site has a summary: of one event by a perceptron; of the elements of a plate, beside the rows of the
    inputs that it maps over, by a network that does not mind their order (`nn.DeepSets`), or by a perceptron of all
    if the model tells elements apart by their number; of the steps of a scan by a recurrent one (`nn.GRU`). The
    summaries are joined; each latent in turn gets a distribution that depends on them and on the latents before it.

    Attributes:
        family: "flow", masked autoregressive splines for vectors and mixtures of normals for single numbers; "normal",
            a normal for each number given those before it, so a normal in all with a full covariance. Both in
            unconstrained space.
        hidden: units of hidden layers.
        summary: length of the summary of each observed site.
        components: normals in a mixture.

    Reference: Papamakarios and Murray (2016), Fast epsilon-free inference of simulation models with Bayesian
    conditional density estimation; Radev et al. (2020), BayesFlow, for summaries of sets and sequences.
    """

    family: str = "flow"
    hidden: int = 64
    summary: int = 16
    components: int = 4

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise UnknownNameError(
                f"AutoAmortized: there is no family {self.family!r}.",
                expected=f"one of {FAMILIES}",
                got=repr(self.family),
                remedy=nearest(str(self.family), FAMILIES),
            )

    def check(self, program: Program) -> None:
        """Refuse models whose posterior this family cannot hold.

        Raises:
            StrategyError: a latent inside a plate, a discrete latent, a latent matrix, or data in two nested scans.
        """
        names = _Names(program)
        for name, site in program.latents.items():
            facts: dict[str, Any] = {"site": name, "model": program.name, "declared_at": site.location}
            if site.plates:
                raise StrategyError(
                    "AutoAmortized makes posteriors of latents outside all plates, and this one has a value for each "
                    "element of a plate.",
                    **facts,
                    plate=", ".join(str(p) for p in site.plates),
                    remedy="Write the guide: a model of the latents that takes the data as an input.",
                )
        for name, site in _latents(program, "AutoAmortized").items():
            shape = unconstrained_shape(names.distribution(site.dist), biject_to(names.distribution(site.dist).support))
            if len(shape) > 1:
                raise StrategyError(
                    "AutoAmortized makes posteriors of numbers and vectors, and this latent is an array.",
                    site=name,
                    model=program.name,
                    declared_at=site.location,
                    got=f"unconstrained shape {shape}",
                    remedy="Write the guide: a model of the latents that takes the data as an input.",
                )

    def build(self, program: Program, bank: Bank) -> Program:
        """The guide: a program with the data of each observed site as an input of the site's name.

        Args:
            program: the observed model.
            bank: simulations of it.
        """
        self.check(program)
        trace = Trace("AutoAmortized")
        token, scope = CURRENT.set(trace), OPEN_PLATES.set(())
        try:
            self._declare(trace, program, bank)
        finally:
            OPEN_PLATES.reset(scope)
            CURRENT.reset(token)
        return Program(
            trace.model, tuple(trace.inputs), (), tuple(trace.plates.values()), tuple(trace.statements.values()),
            dict(trace.data),
        )  # fmt: skip

    def _declare(self, trace: Trace, program: Program, bank: Bank) -> None:
        names = _Names(program)
        parts = [self._summary(trace, program, n, bank.data[n]) for n in program.observed]
        joined = ops.concat(parts) if len(parts) > 1 else parts[0]
        context = nn.MLP("guide.context", [joined.shape[0], self.hidden, self.hidden], output="relu")(joined)
        for name, site in _latents(program, "AutoAmortized").items():
            dist = names.distribution(site.dist)
            bijection = biject_to(dist.support)
            shape = unconstrained_shape(dist, bijection)
            values = bank.latents[name]
            mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), _LEAST)
            base = self._base(name, context, shape, mean, spread)
            family = base if isinstance(bijection, Identity) else Transformed(base, bijection)
            new = Sample(name, (), site.location, family, names=site.names)
            trace.declare(new)
            # Those that follow see it in unconstrained space, on the scale of the simulations.
            seen = (bijection.inverse(new.value) - mean) / spread
            context = ops.concat([context, ops.reshape(seen, (math.prod(shape),))])

    def _summary(self, trace: Trace, program: Program, name: str, simulated: np.ndarray) -> Value:
        """What is kept of one observed site: a vector."""
        site = program.sites[name]
        lead = 1 + len(site.plates)
        flat = simulated.astype(float).reshape(-1, *simulated.shape[lead:])
        mean, spread = flat.mean(axis=0), np.maximum(flat.std(axis=0), _LEAST)
        array = np.asarray(program.data[name], dtype=float)
        whole = trace.add_input(name, array.shape, "float", array)
        scaled = (whole - mean) / spread
        event = math.prod(site.dist.event_shape)
        if not site.plates:
            vector = ops.reshape(scaled, (event,))
            return nn.MLP(f"guide.{name}", [event, self.hidden, self.summary])(vector)
        outer = next(p for p in program.plates if p.plate == site.plates[0])
        rows = ops.reshape(scaled, (outer.plate.size, math.prod(array.shape[1:])))
        if outer.ordered:
            states = nn.GRU(f"guide.{name}", rows.shape[-1], self.hidden)(rows)
            return nn.Linear(f"guide.{name}.last", self.hidden, self.summary)(states[-1])
        beside = _row_inputs(program, outer)
        if beside is None:
            # Rows that are told apart by their number are no set.
            count = math.prod(rows.shape)
            return nn.MLP(f"guide.{name}", [count, self.hidden, self.summary])(ops.reshape(rows, (count,)))
        features = [rows, *(_scaled_input(trace, program, n) for n in beside)]
        joined = ops.concat(features, axis=-1) if len(features) > 1 else rows
        sizes = [joined.shape[-1], self.hidden, self.hidden], [self.hidden, self.hidden, self.summary]
        return nn.DeepSets(f"guide.{name}", *sizes, pool="mean")(joined)

    def _base(self, name: str, context: Value, shape: tuple[int, ...], mean: np.ndarray, spread: np.ndarray) -> Any:
        """The distribution of one latent in unconstrained space."""
        size = context.shape[0]
        if shape:
            count = shape[0]
            spline = self.family == "flow"
            noise = Normal(0.0, 1.0).expand([count])
            scale = Affine(mean, spread)
            if count > 1:
                flow = nn.MAF(
                    f"guide.{name}",
                    count,
                    [max(self.hidden, count)],
                    layers=3 if spline else 1,
                    transform="spline" if spline else "affine",
                    context=size,
                )
            else:
                kind = "spline" if spline else "affine"
                flow = nn.Elementwise(f"guide.{name}", 1, kind, context=size, hidden=[self.hidden])
            head = nn.MLP(f"guide.{name}.head", [size, self.hidden, 2 * count])(context)
            return Transformed(noise, flow.given(context), Affine(head[:count], ops.exp(head[count:])), scale)
        parts = self.components if self.family == "flow" else 1
        head = nn.MLP(f"guide.{name}.head", [size, self.hidden, 3 * parts])(context)
        loc, width = mean + spread * head[:parts], spread * ops.exp(head[parts : 2 * parts])
        if parts == 1:
            return Normal(loc[0], width[0])
        return MixtureSameFamily(Categorical(logits=head[2 * parts :]), Normal(loc, width))


def _row_inputs(program: Program, plate: PlateStatement) -> list[str] | None:
    """The inputs whose rows the elements of a plate have; None if elements differ in more than these and the data."""
    for statement in program.statements:
        for node in walk(expressions(statement)):
            if node.op == "plate_index" and node.attr("plate") == plate.plate:
                return None
    if any(v.op != "input" for v in plate.sources):
        return None
    return [v.attr("name") for v in plate.sources]


def _scaled_input(trace: Trace, program: Program, name: str) -> Value:
    """An input of the model as an input of the guide, one vector for each row, on unit scale."""
    array = np.asarray(program.data[name])
    known = next((i for i in trace.inputs if i.name == name), None)
    kind = dtype_kind(array.dtype)
    whole = trace.add_input(name, array.shape, kind, array) if known is None else known.value
    flat = array.reshape(len(array), -1).astype(float)
    rows = ops.reshape(to_float(whole), flat.shape)
    return (rows - flat.mean(axis=0)) / np.maximum(flat.std(axis=0), _LEAST)
