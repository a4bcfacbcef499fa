"""Draws of the model itself, data included, and the guide's density at them: the sleep phase of wake-sleep.

Reference: Hinton, Dayan, Frey and Neal (1995), The wake-sleep algorithm for unsupervised neural networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ppl.errors import StrategyError
from ppl.program.ops import element, leave, to_float
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Sample
from ppl.program.values import Value
from ppl.transforms.density import Density, Noise, NoiseSpec, Resolver, log_density

from .contract import stopped

if TYPE_CHECKING:
    from .worlds import Draws


class _Reader(Resolver):
    """Reads a guide whose inputs are replaced by drawn data."""

    def __init__(self, program: Program, params: Mapping[str, Value], inputs: Mapping[str, Value]) -> None:
        super().__init__(program, {}, params)
        self.inputs = inputs

    def _node(self, node: Value) -> Value:
        if node.op == "input" and node.attr("name") in self.inputs:
            return self.inputs[node.attr("name")]
        if node.op == "element":
            return element(self._done[id(node.args[0])], node.attr("plate"))
        return super()._node(node)


def data_inputs(model: Program, guide: Program) -> dict[str, str]:
    """The inputs of a guide that hold data of the model, with the sites that these are data of."""
    found: dict[str, str] = {}
    for given in guide.inputs:
        for name in model.observed:
            mine, theirs = guide.data.get(given.name), model.data.get(name)
            same = given.name == name if mine is None or theirs is None else _equal(mine, theirs)
            if same:
                found[given.name] = name
    return found


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return a is b or (np.shape(a) == np.shape(b) and bool(np.array_equal(a, b)))


def simulated_world(draws: Draws) -> tuple[Density, dict[str, Value], dict[str, Value]]:
    """Latents and data drawn from the model, as constants.

    Returns:
        The model's density there, the guide's by site, and the values.

    Raises:
        StrategyError: the model holds a factor, the guide draws what the model does not, or reads no data.
    """
    setting = draws.setting
    model, guide = setting.model, setting.guide
    if model.factors:
        name = next(iter(model.factors))
        raise StrategyError(
            "the model is no simulator: it holds this factor, which draws would leave out.",
            site=name,
            model=model.name,
            declared_at=model.factors[name].location,
            remedy="Use WakePhi(), or ELBO() with gradient strategies.",
        )
    incomplete = next((s for s in model.sites.values() if s.missing is not None), None)
    if incomplete is not None:
        raise StrategyError(
            "its data has missing elements, and draws of the model have none.",
            site=incomplete.name,
            model=model.name,
            declared_at=incomplete.location,
            remedy="Use WakePhi(), or ELBO() with gradient strategies.",
        )
    extra = [n for n in guide.sites if n not in model.sites]
    if extra:
        raise StrategyError(
            "the model does not draw this site, so the guide's density at draws of the model is not known.",
            site=extra[0],
            model=guide.name,
            declared_at=guide.sites[extra[0]].location,
            remedy="Use a guide that samples the latents of the model and nothing else.",
        )
    record: list[NoiseSpec] = []
    resolver = Resolver(model, {}, setting.all_held)
    for statement in model.statements:
        name = statement.name
        if isinstance(statement, Deterministic):
            resolver.values[name] = resolver.value(statement.expression)
        elif isinstance(statement, Sample):
            dist = resolver.distribution(statement.dist)
            noise = Noise(f"{draws.label}sleep {name}", (*draws.axes, *statement.plates), False, record)
            resolver.values[name] = stopped(dist.draw(noise))
    setting.noise.update((spec.name, spec) for spec in record)
    close = resolver.carries()
    values = dict(resolver.values) if close is None else {n: close(v) for n, v in resolver.values.items()}
    inputs: dict[str, Value] = {}
    for given, name in data_inputs(model, guide).items():
        value = values[name]
        if next(i for i in guide.inputs if i.name == given).dtype == "float":
            value = to_float(value)
        for plate in reversed(model.sites[name].plates):
            value = leave(value, (plate,))
        inputs[given] = value
    if not inputs:
        raise StrategyError(
            "the guide reads no data of the model, so there is nothing to learn from draws of the model.",
            model=guide.name,
            expected=f"an input of the guide that holds the data of one of {list(model.observed)}",
            got=f"inputs {[i.name for i in guide.inputs]}",
            remedy="Call the guide with the array that the model observes.",
        )
    reader = _Reader(guide, setting.own_params, inputs)
    log_q: dict[str, Value] = {}
    for statement in guide.statements:
        if isinstance(statement, Deterministic):
            reader.values[statement.name] = reader.value(statement.expression)
        elif isinstance(statement, Sample):
            dist = reader.distribution(statement.dist).unchecked()
            log_q[statement.name] = dist.log_prob(values[statement.name])
            reader.values[statement.name] = values[statement.name]
    close = reader.carries()
    if close is not None:
        log_q = {n: close(v) for n, v in log_q.items()}
    given = {n: values[n] for n in model.sites}
    density = log_density(model, given, params=setting.own_params, checked=False, batch=setting.batch)
    return density, log_q, reader.values


__all__ = ["data_inputs", "simulated_world"]
