"""The compiled loss of a fit: its objective as an emitted function, and the space of its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.backend.emit import Emitted
from ppl.backend.protocol import NoiseShape
from ppl.errors import StrategyError
from ppl.program.ops import apply
from ppl.program.program import Program, expressions
from ppl.program.values import Axis, Value, walk
from ppl.transforms.density import NoiseSpec
from ppl.transforms.unconstrain import unconstrained_params

from .chunking import chunked_loss
from .gradient.contract import Strategy, zero
from .gradient.resolve import Resolution, resolve
from .gradient.surrogate import Assembly, Extra
from .gradient.unseen import refuse_unseen
from .gradient.verdict import Report, verdicts
from .gradient.worlds import Contexts, Setting, World
from .marginal import Marginalized, marginal_of
from .objective.checking import as_groups, chunks_of, particles_of
from .schedules import Curve


@dataclass(frozen=True)
class Plan:
    """The loss of a fit as an expression graph.

    Attributes:
        loss: minus the objective in nats, with the gradient estimates of all strategies.
        noise: its random arguments.
        extras: parameters of baselines, by name.
        resolution: the strategy of each site.
        report: verdicts, and where plates stand.
        world: the draws of the first objective, for diagnosis.
        chunks: the particles that are held some at a time, with their number.
    """

    loss: Value
    noise: tuple[NoiseSpec, ...]
    extras: dict[str, Extra]
    resolution: Resolution
    report: Report
    world: World
    chunks: tuple[tuple[Axis, int], ...] = ()

    @property
    def curves(self) -> dict[str, Curve]:
        """The curves that the loss reads, by the name under which it does."""
        return {n.attr("name"): n.attr("curve") for n in walk([self.loss]) if n.op == "scheduled"}


@dataclass(frozen=True)
class Surrogate:
    """A compiled loss.

    Attributes:
        emitted: its source, a function of (params, values, data, noise, index), params unconstrained; `index` holds
            the rows of minibatches and the numbers of curves, as `Rows` gives them.
        loss: the function.
        noise: its random arguments with their shapes.
        plan: what it was made from.
    """

    emitted: Emitted
    loss: Any
    noise: list[NoiseShape]
    plan: Plan

    @property
    def starts(self) -> dict[str, np.ndarray]:
        """Starting values of the parameters that strategies bring along."""
        return {name: extra.start for name, extra in self.plan.extras.items()}


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


def plan_surrogate(
    model: Program,
    guide: Program,
    objective: Any,
    batch: Mapping[str, int],
    strategies: Mapping[str, Strategy] | None = None,
    marginal: Marginalized | None = None,
) -> Plan:
    """The loss of an objective, for a model and a guide.

    Args:
        model: the model.
        guide: the guide.
        objective: what is maximised: one for all parameters, or one each for those of model and guide.
        batch: batch size of each subsampled plate.
        strategies: gradient strategies by site of the guide; the others get a default.
        marginal: what `marginalized` gave, where the objective averages auxiliary sites out; then `guide` is its
            program.

    Raises:
        StrategyError: the objective cannot be estimated without bias in this way.
    """
    refuse_unseen(model, guide)
    groups = as_groups(objective)
    axes = particles_of(groups)
    chunks = chunks_of(groups, axes)
    if marginal is None and marginal_of(groups) is not None:
        raise StrategyError(
            "the objective averages auxiliary sites of the guide out, which this method does not.",
            model=guide.name,
            got=repr(marginal_of(groups)),
            remedy="Use SVI.",
        )
    resolution = resolve(model, guide, groups, strategies or {}, batch, marginal)
    noise: dict[str, NoiseSpec] = {}
    extras: dict[str, Extra] = {}
    blocks: dict[str, None] = {}
    total: Value | None = None
    world: World | None = None
    if len(groups) > 1:
        _refuse_shared(model, guide)
    for key, expression in groups.items():
        held = {"all": frozenset[str](), "model": frozenset(["guide"]), "guide": frozenset(["model"])}[key]
        setting = Setting(model, guide, batch, resolution.strategies, held, noise, marginal)
        contexts = Contexts(setting, resolution.exact)
        assembly = Assembly(contexts, axes, expression, extras)
        value = assembly.value()
        # The first objective is the one that is reported; of the others only the gradient counts.
        total = value if total is None else apply("add", total, zero(value))
        if world is None:
            world = next(iter(contexts.draws.values())).real
        for term in assembly.terms:
            if term.block is not None:
                outside = ", ".join(p.name for p in term.plates)
                blocks[f"{term.label}: " + (f"one for each element of {outside}" if outside else "one in all")] = None
    assert total is not None and world is not None
    notes = tuple(f"{site}: {note}" for site, note in resolution.notes.items())
    report = Report(verdicts(groups, guide, resolution), tuple(blocks), notes)
    return Plan(apply("negative", total), tuple(noise.values()), extras, resolution, report, world, chunks)


def _refuse_shared(model: Program, guide: Program) -> None:
    """Objectives of their own need parameters of their own.

    Raises:
        StrategyError: model and guide share one.
    """
    for name in guide.trained:
        if name in model.networks or name in model.params:
            raise StrategyError(
                f"model and guide share {name!r}, and each has an objective of its own.",
                model=guide.name,
                remedy="Give the two parameters different names, or use one objective for both.",
            )


def build_surrogate(
    model: Compiled,
    guide: Compiled,
    objective: Any,
    batch: Mapping[str, int],
    strategies: Mapping[str, Strategy] | None = None,
    marginal: Marginalized | None = None,
) -> Surrogate:
    """The loss of an objective, ready to be differentiated; as `plan_surrogate`."""
    plan = plan_surrogate(model.program, guide.program, objective, batch, strategies, marginal)
    programs = (model.program, guide.program)
    same = one_array(model.program.data)
    make = partial(model.emitter, programs=programs, lead=False, batch=batch, same=same)
    if plan.chunks:
        axis, chunk = plan.chunks[0]
        emitted, function = chunked_loss(model, guide, plan.loss, axis, chunk, batch, make)
    else:
        emitted = make().emit("loss", {"loss": plan.loss}, single=True)
        function = model.load(emitted, guide.networks)
    return Surrogate(emitted, function, model.noise_shapes(plan.noise, (), batch), plan)


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
