"""The surrogate: one scalar loss as an expression graph, built from model, guide and objective."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.backend.emit import Emitted
from ppl.backend.protocol import NoiseShape
from ppl.errors import StrategyError
from ppl.program.ops import apply
from ppl.program.program import Program, expressions
from ppl.program.statements import Sample
from ppl.program.values import Value, walk
from ppl.transforms.density import Density, Simulator, log_density, simulator
from ppl.transforms.exact import exact_sites
from ppl.transforms.unconstrain import unconstrained_params

from .objective import Bound, Objective


@dataclass(frozen=True)
class Surrogate:
    """A compiled loss.

    Attributes:
        emitted: its source, a function of (params, values, data, noise, index), params unconstrained.
        loss: the function.
        noise: its random arguments with their shapes.
        sites: the same draws' by-site terms, for diagnosis.
        density: log density expressions of the model at the guide's draws.
        guide: draws of the guide.
    """

    emitted: Emitted
    loss: Any
    noise: list[NoiseShape]
    density: Density
    guide: Simulator


def refuse_discrete_guide(guide: Program) -> None:
    """Pathwise gradients need draws that depend smoothly on the guide's parameters.

    Raises:
        StrategyError: a guide site is discrete or has no such draw.
    """
    for site in guide.sites.values():
        if site.dist.dtype != "float" or not site.dist.reparameterized:
            raise StrategyError(
                "it is discrete, and the reparameterised gradient needs draws that are smooth in the parameters.",
                site=site.name,
                model=guide.name,
                declared_at=site.location,
                got=repr(site.dist),
                remedy="Sum it out in the model: dist.MixtureSameFamily, or ops.logsumexp over its values in a factor.",
            )


# Operations through which no gradient passes: a dependence on a site through one of these is lost.
COMPARISONS = frozenset(
    [
        "less",
        "less_equal",
        "greater",
        "greater_equal",
        "equal",
        "not_equal",
        "floor",
        "ceil",
        "round",
        "trunc",
        "sign",
        "argmax",
        "argmin",
        "argsort",
    ]
)


def refuse_comparisons(model: Program, guide: Program) -> None:
    """A pathwise gradient does not see a dependence through a comparison or a rounding.

    Raises:
        StrategyError: the density depends on a latent only through such an operation.
    """
    latents = {n for n in guide.sites if guide.sites[n].dist.dtype == "float"}
    for program in (model, guide):
        for statement in program.statements:
            for root in expressions(statement):
                _refuse_comparison(program, statement.name, root, latents)


def _refuse_comparison(program: Program, name: str, root: Value, latents: set[str]) -> None:
    for node in walk([root]):
        if node.op not in COMPARISONS:
            continue
        touched = _sites_read(program, node) & latents
        if touched:
            site = min(touched)
            raise StrategyError(
                f"it depends on {site!r} through `{node.op}`, whose derivative is zero: the reparameterised gradient "
                f"would not see that dependence.",
                site=name,
                model=program.name,
                declared_at=program.by_name[name].location,
                remedy="Use a smooth function (ops.sigmoid of the difference), or NUTS, or ImportanceSampling.",
            )


def _sites_read(program: Program, root: Value) -> set[str]:
    found: set[str] = set()
    for node in walk([root]):
        if node.op == "site":
            name = node.attr("name")
            statement = program.by_name.get(name)
            if isinstance(statement, Sample):
                found.add(name)
            elif statement is not None:
                for expression in expressions(statement):
                    found |= _sites_read(program, expression)
    return found


def check_minibatch(programs: tuple[Program, ...], batch: Mapping[str, int]) -> None:
    """Every use of a subsampled plate must be one element at a time.

    Raises:
        StrategyError: a value leaves the plate, a whole input is read, or a computed array is mapped over.
    """
    if not batch:
        return
    for program in programs:
        for carry in program.carries.values():
            if carry.time.name in batch:
                raise StrategyError(
                    f"scan {carry.time.name!r} hands {carry.hint!r} from step to step, so a minibatch of its steps has "
                    "no meaning.",
                    model=program.name,
                    declared_at=carry.location,
                    plate=str(carry.time),
                    remedy="Subsample a plate around the scan, or fit without batch_size.",
                )
        for statement in program.statements:
            for root in expressions(statement):
                _check_minibatch(program, statement.name, root, batch)


def _check_minibatch(program: Program, name: str, root: Value, batch: Mapping[str, int]) -> None:
    statement = program.by_name[name]
    mapped = _mapped_inputs(program, batch)
    for node in walk([root]):
        problem = None
        if node.op == "leave":
            plate = next((p for p in node.attr("plates") if p.name in batch), None)
            if plate is not None:
                problem = f"a value leaves plate {plate.name!r}, of which each step sees only a minibatch"
        elif node.op == "element" and node.attr("plate").name in batch:
            source = node.args[0]
            while source.op == "element":
                source = source.args[0]
            if source.op != "input":
                problem = (
                    f"plate {node.attr('plate').name!r} maps over a computed array, which a minibatch cannot slice"
                )
        for arg in node.args:
            if arg.op == "input" and arg.attr("name") in mapped and node.op != "element":
                problem = f"input {arg.attr('name')!r} is read whole, but its plate is subsampled"
        if problem:
            raise StrategyError(
                f"{problem}.",
                site=name,
                model=program.name,
                declared_at=statement.location,
                remedy="Fit without batch_size, or subsample another plate.",
            )


def _mapped_inputs(program: Program, batch: Mapping[str, int]) -> set[str]:
    names = set()
    for plate in program.plates:
        for source in plate.sources:
            depth_plates = [plate.name]
            node = source
            while node.op == "element":
                depth_plates.append(node.attr("plate").name)
                node = node.args[0]
            if node.op == "input" and set(depth_plates) & set(batch):
                names.add(node.attr("name"))
    return names


def build_surrogate(model: Compiled, guide: Compiled, objective: Objective, batch: Mapping[str, int]) -> Surrogate:
    """The loss of an objective, ready to be differentiated.

    Args:
        model: the model.
        guide: the guide.
        objective: what is maximised.
        batch: batch size of each subsampled plate.

    Raises:
        StrategyError: the objective cannot be estimated without bias in this way.
    """
    programs = (model.program, guide.program)
    params = {**unconstrained_params(model.program)[0], **unconstrained_params(guide.program)[0]}
    lead = objective.particles > 1
    draws = simulator(guide.program, params=params, lead=lead, densities=True)
    exact = exact_sites(model.program, draws.dists)
    latents = {name: draws.values[name] for name in model.program.latents if name not in exact}
    density = log_density(model.program, latents, params=params, checked=False, exact=exact, batch=batch)
    bound = Bound(density, draws, programs, batch)
    loss = apply("negative", objective.expression(bound))
    emitter = model.emitter(programs=programs, lead=lead, batch=batch, same=one_array(model.program.data))
    emitted = emitter.emit("loss", {"loss": loss}, single=True)
    function = model.load(emitted, guide.networks)
    shape = (objective.particles,) if lead else ()
    return Surrogate(emitted, function, model.noise_shapes(draws.noise, shape, batch), density, draws)


def one_array(data: Mapping[str, Any]) -> dict[str, str]:
    """For each name the first name under which the same numbers are known: an autoencoder's input and its data.

    Large arrays are taken for the same if they are one array.
    """
    out: dict[str, str] = {}
    for name, item in data.items():
        out[name] = next((n for n in out if out[n] == n and _same(data[n], item)), name)
    return out


# Numbers up to which arrays are compared one by one.
LARGEST_COMPARISON = 1_000_000


def _same(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return False
    return a.shape == b.shape and a.size <= LARGEST_COMPARISON and bool(np.array_equal(a, b))


class ParameterSpace:
    """Parameters of model and guide between their own space and the unconstrained one that is optimised."""

    def __init__(self, model: Compiled, guide: Compiled) -> None:
        self.model = model
        forward_model, inverse_model = unconstrained_params(model.program)
        forward_guide, inverse_guide = unconstrained_params(guide.program)
        programs = (model.program, guide.program)
        self.forward = {**forward_model, **forward_guide}
        emitter = model.emitter(programs=programs, lead=False)
        self._constrain = self._compile("constrain", self.forward, emitter)
        emitter = model.emitter(programs=programs, lead=False)
        self._unconstrain = self._compile("unconstrain", {**inverse_model, **inverse_guide}, emitter)

    def _compile(self, name: str, outputs: dict[str, Value], emitter: Any) -> Any:
        if not outputs:
            return None
        emitted = emitter.emit(name, outputs)
        backend = self.model.backend
        return backend.jit(self.model.load(emitted), self.model.precision)

    def _map(self, function: Any, params: Mapping[str, Any]) -> dict[str, Any]:
        backend, precision = self.model.backend, self.model.precision
        out = dict(params)
        if function is not None:
            arrays = {k: backend.array(v, "float", precision) for k, v in params.items()}
            new = function(arrays, {}, {}, {})
            out |= {k: backend.to_numpy(v) for k, v in new.items()}
        return {k: backend.to_numpy(v) for k, v in out.items()}

    def unconstrain(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Unconstrained values of parameters, numpy arrays by name."""
        return self._map(self._unconstrain, params)

    def constrain(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Parameters in their own space, numpy arrays by name."""
        return self._map(self._constrain, params)
