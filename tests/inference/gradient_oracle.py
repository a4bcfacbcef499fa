"""Exact objectives and gradients of small programs, and many independent gradient estimates of the same.

A program is declared once, by a function that may put a plate of copies around everything. Without copies, every state
of the guide (all values of discrete sites, quadrature nodes of normal ones) is listed with its probability, and
objectives are sums over all combinations of states, one for each particle; gradients are central differences of these.
With copies, each with parameters of its own, one call of the surrogate gives one independent gradient estimate a copy.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import torch

import ppl
from ppl import dist, ops
from ppl.backend.compiled import get_backend
from ppl.inference import SVI
from ppl.inference.svi import SVIRun

LARGEST_EXPANSION = 3_000_000


def around(copies: int) -> Any:
    """A plate of copies, or nothing."""
    return ppl.plate("copies", size=copies) if copies else contextlib.nullcontext()


@dataclass(frozen=True)
class Graph:
    """A model and a guide.

    Attributes:
        model: makes the model with a number of copies.
        guide: makes the guide with a number of copies.
        params: starting values by name.
        data: observed values of one copy.
        discrete: values of each discrete site of the guide.
        normal: names of the normal sites of the guide.
        rows: number of elements of the plate that stays outside nonlinear reducers; 0 where none does.
    """

    model: Callable[[int], ppl.Program]
    guide: Callable[[int], ppl.Program]
    params: Mapping[str, float]
    data: Mapping[str, Any]
    discrete: Mapping[str, np.ndarray]
    normal: tuple[str, ...] = ()
    rows: int = 0
    nodes: int = 24

    def programs(self, copies: int) -> tuple[ppl.Program, ppl.Program]:
        """Model with its data, and guide."""
        data = {
            n: np.broadcast_to(v, (copies, *np.shape(v))) if copies else np.asarray(v) for n, v in self.data.items()
        }
        return self.model(copies).observe(**data), self.guide(copies)


class States:
    """All states of the guide of one copy, with log weights and probabilities as functions of the parameters."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        model, guide = graph.programs(0)
        self.model, self.guide = (ppl.compile(p, "pyro", precision="float64") for p in (model, guide))
        shapes = {n: tuple(p.size for p in s.plates) + s.dist.event_shape for n, s in guide.sites.items()}
        nodes, weights = np.polynomial.hermite_e.hermegauss(graph.nodes)
        weights = weights / weights.sum()
        columns: list[list[Any]] = []
        for name in guide.sites:
            if name in graph.discrete:
                count = int(np.prod(shapes[name]))
                columns.append(
                    [np.reshape(v, shapes[name]) for v in itertools.product(graph.discrete[name], repeat=count)]
                )
            else:
                assert shapes[name] == ()
                columns.append(list(range(len(nodes))))
        rows = list(itertools.product(*columns))
        self.noise, self.discrete, self.log_weight = {}, {}, np.zeros(len(rows))
        for i, name in enumerate(guide.sites):
            column = np.array([row[i] for row in rows])
            if name in graph.discrete:
                self.discrete[name] = column
            else:
                self.noise[name] = nodes[column]
                self.log_weight += np.log(weights[column])

    def at(self, params: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
        """Probability of each state, shape (states,), and its log weight, shape (states, rows)."""
        arrays = {n: np.asarray(v, dtype=float) for n, v in params.items()}
        own = {n: v for n, v in arrays.items() if n in self.guide.params}
        theirs = {n: v for n, v in arrays.items() if n in self.model.params}
        count = len(self.log_weight)
        values = dict(self.discrete)
        if self.noise:
            drawn = self.guide.simulate((count,), noise=self.noise, values=self.discrete, params=own)
            values |= {n: np.asarray(drawn[n]) for n in self.graph.normal}
        log_p = self.model.log_density(values, theirs, by_site=True)
        log_q = self.guide.log_density(values, own, by_site=True)
        chance = self.log_weight.copy()
        for name in self.discrete:
            chance += np.asarray(log_q[name]).reshape(count, -1).sum(-1)
        rows = max(self.graph.rows, 1)
        lw = np.zeros((count, rows))
        for sign, terms in ((1.0, log_p), (-1.0, log_q)):
            for term in terms.values():
                flat = np.broadcast_to(np.asarray(term), np.asarray(term).shape if np.ndim(term) else (count,))
                flat = flat.reshape(count, rows, -1).sum(-1) if self.graph.rows else flat.reshape(count, -1).sum(-1)
                lw += sign * flat.reshape(count, rows)
        return np.exp(chance), lw


Aggregate = Callable[[np.ndarray], np.ndarray]


def logmeanexp(lw: np.ndarray, axis: int = 0) -> np.ndarray:
    """Log of the mean of exponentials."""
    top = lw.max(axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.mean(np.exp(lw - top), axis))


def exact_value(states: States, params: Mapping[str, float], particles: int, aggregate: Aggregate) -> float:
    """The expectation of an aggregate of independent particles.

    Args:
        states: all states of one particle.
        params: where.
        particles: how many.
        aggregate: from log weights, shape (particles, combinations, rows), to the objective of each row.
    """
    chance, lw = states.at(params)
    assert len(chance) ** particles <= LARGEST_EXPANSION
    index = np.array(list(itertools.product(range(len(chance)), repeat=particles))).T
    weight = chance[index].prod(0)
    return float(weight @ aggregate(lw[index]).sum(-1))


def exact_gradient(
    states: States, params: Mapping[str, float], particles: int, aggregate: Aggregate
) -> tuple[float, dict[str, float]]:
    """The exact objective, and its gradient by central differences."""
    step, out = 1e-4, {}
    for name, value in params.items():
        up, down = ({**params, name: value + s} for s in (step, -step))
        values = (exact_value(states, p, particles, aggregate) for p in (up, down))
        out[name] = (next(values) - next(values)) / (2 * step)
    return exact_value(states, params, particles, aggregate), out


# --- estimates -----------------------------------------------------------------------------------------------------


def start(graph: Graph, method: SVI, copies: int, backend: str) -> SVIRun:
    """A fit of copies, that has not taken a step."""
    model, _ = graph.programs(copies)
    return method.start(model, get_backend(backend), 0, "float64")


def noise_of(run: SVIRun, seed: int) -> dict[str, Any]:
    """Noise for one call of a surrogate, from numpy: the same for both backends."""
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {}
    for n in run.surrogate.noise:
        if n.kind == "key":
            out[n.name] = run.model.backend.key(seed)
        else:
            out[n.name] = rng.normal(size=n.shape) if n.kind == "normal" else rng.uniform(1e-12, 1.0, n.shape)
    return out


def value_and_gradient(run: SVIRun, noise: Mapping[str, Any], rows: Mapping[str, Any] | None = None) -> Any:
    """The objective and its gradient estimate at the starting parameters."""
    backend, precision = run.model.backend, run.model.precision
    begin = {**run.space.unconstrain({**run.model.params, **run.guide.params}), **run.surrogate.starts}
    data = run.guide.bind(run.surrogate.emitted, run.model.program.data)
    keyed = {n.name for n in run.surrogate.noise if n.kind == "key"}
    arrays = {k: v if k in keyed else backend.array(v, "float", precision) for k, v in noise.items()}
    index = {k: backend.array(v, "int", precision) for k, v in (rows or {}).items()}
    params = {k: backend.array(v, "float", precision) for k, v in begin.items()}
    if backend.name == "pyro":
        leaves = {k: v.clone().requires_grad_() for k, v in params.items()}
        loss = run.surrogate.loss(leaves, {}, data, arrays, index)
        grads = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        return -loss.item(), {k: -g.numpy() for k, g in zip(leaves, grads, strict=True) if g is not None}
    with backend.context(precision):
        loss, grads = jax.jit(jax.value_and_grad(run.surrogate.loss))(params, {}, data, arrays, index)
    return -float(loss), {k: -np.asarray(g) for k, g in grads.items()}


# --- graphs ---------------------------------------------------------------------------------------------------------


Maker = Callable[[int], ppl.Program]


def _pair(model: Callable[[], None], guide: Callable[[], None]) -> tuple[Maker, Maker]:
    @ppl.model
    def outer_model(copies: int):
        with around(copies):
            model()

    @ppl.model
    def outer_guide(copies: int):
        with around(copies):
            guide()

    return outer_model, outer_guide


def bernoulli_chain() -> Graph:
    """Two bits, the second depending on the first in model and guide; the model has a parameter."""

    def model():
        t = ppl.param("t", 0.3)
        b = ppl.sample("b", dist.Bernoulli(logits=-0.4))
        c = ppl.sample("c", dist.Bernoulli(logits=0.8 * b - 0.2 + 0.5 * t))
        ppl.sample("x", dist.Normal(t + b + 1.5 * c - 1.2 * b * c, 0.8))

    def guide():
        p, q, r = ppl.param("p", 0.2), ppl.param("q", -0.5), ppl.param("r", 0.9)
        b = ppl.sample("b", dist.Bernoulli(logits=p))
        ppl.sample("c", dist.Bernoulli(logits=q + r * b))

    bits = np.arange(2)
    return Graph(
        *_pair(model, guide),
        params={"t": 0.3, "p": 0.2, "q": -0.5, "r": 0.9},
        data={"x": 0.7},
        discrete={"b": bits, "c": bits},
    )


def mixed() -> Graph:
    """A bit above a normal site, and a bit below it."""

    def model():
        t = ppl.param("t", 0.4)
        b = ppl.sample("b", dist.Bernoulli(logits=0.3))
        z = ppl.sample("z", dist.Normal(0.5 * b, 1.0))
        c = ppl.sample("c", dist.Bernoulli(logits=t * z))
        ppl.sample("x", dist.Normal(z + 0.8 * c - 0.6 * b, 0.9))

    def guide():
        p, m, s = ppl.param("p", -0.3), ppl.param("m", 0.2), ppl.param("s", -0.4)
        b = ppl.sample("b", dist.Bernoulli(logits=p))
        z = ppl.sample("z", dist.Normal(m + 0.7 * b, ops.exp(s)))
        ppl.sample("c", dist.Bernoulli(logits=0.5 * z - 0.2 * b + m))

    bits = np.arange(2)
    return Graph(
        *_pair(model, guide),
        params={"t": 0.4, "p": -0.3, "m": 0.2, "s": -0.4},
        data={"x": 1.1},
        discrete={"b": bits, "c": bits},
        normal=("z",),
        nodes=16,
    )


def gaussians() -> Graph:
    """Two normal sites, the second depending on the first."""

    def model():
        t = ppl.param("t", 0.4)
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        y = ppl.sample("y", dist.Normal(0.6 * z, 1.0))
        ppl.sample("x", dist.Normal(z + t * y + 0.2 * z * y, 0.7))

    def guide():
        m, s, n = ppl.param("m", 0.2), ppl.param("s", -0.5), ppl.param("n", 0.3)
        z = ppl.sample("z", dist.Normal(m, ops.exp(s)))
        ppl.sample("y", dist.Normal(n * z - 0.1, ops.exp(s - 0.2)))

    return Graph(
        *_pair(model, guide),
        params={"t": 0.4, "m": 0.2, "s": -0.5, "n": 0.3},
        data={"x": 1.1},
        discrete={},
        normal=("z", "y"),
        nodes=20,
    )


def global_and_local() -> Graph:
    """A bit for all, and one for each of two rows: the sum over rows stands inside a nonlinear reducer."""

    def model():
        g = ppl.sample("g", dist.Bernoulli(logits=0.2))
        with ppl.plate("rows", size=2) as i:
            z = ppl.sample("z", dist.Bernoulli(logits=0.7 * g - 0.3))
            ppl.sample("x", dist.Normal(z + 0.5 * g + 0.3 * i, 0.8))

    def guide():
        p, q, r = ppl.param("p", 0.2), ppl.param("q", -0.5), ppl.param("r", 0.9)
        g = ppl.sample("g", dist.Bernoulli(logits=p))
        with ppl.plate("rows", size=2) as i:
            ppl.sample("z", dist.Bernoulli(logits=q + r * g + 0.4 * i))

    bits = np.arange(2)
    return Graph(
        *_pair(model, guide),
        params={"p": 0.2, "q": -0.5, "r": 0.9},
        data={"x": np.array([0.2, 1.3])},
        discrete={"g": bits, "z": bits},
    )


def local() -> Graph:
    """Two bits in each of two rows: rows stay outside a nonlinear reducer."""

    def model():
        with ppl.plate("rows", size=2) as i:
            z = ppl.sample("z", dist.Bernoulli(logits=0.3 - 0.2 * i))
            y = ppl.sample("y", dist.Bernoulli(logits=0.9 * z - 0.4))
            ppl.sample("x", dist.Normal(z + 0.7 * y + 0.3 * i, 0.8))

    def guide():
        p, q = ppl.param("p", 0.2), ppl.param("q", -0.5)
        with ppl.plate("rows", size=2) as i:
            z = ppl.sample("z", dist.Bernoulli(logits=p + 0.3 * i))
            ppl.sample("y", dist.Bernoulli(logits=q + 0.6 * z * i))

    bits = np.arange(2)
    return Graph(
        *_pair(model, guide),
        params={"p": 0.2, "q": -0.5},
        data={"x": np.array([0.2, 1.3])},
        discrete={"z": bits, "y": bits},
        rows=2,
    )


def pooled() -> Graph:
    """Bits of a plate that leave it: what reads them reads all of them."""

    def model():
        with ppl.plate("rows", size=3):
            z = ppl.sample("z", dist.Bernoulli(logits=-0.2))
        ppl.sample("x", dist.Normal(ops.sum(z, axis=-1) + 0.5 * ops.prod(z, axis=-1), 0.8))

    def guide():
        p, q = ppl.param("p", 0.2), ppl.param("q", 0.5)
        with ppl.plate("rows", size=3) as i:
            ppl.sample("z", dist.Bernoulli(logits=p + q * i))

    return Graph(
        *_pair(model, guide),
        params={"p": 0.2, "q": 0.5},
        data={"x": 1.4},
        discrete={"z": np.arange(2)},
    )


def entered_again() -> Graph:
    """Bits of a plate that leave it, are added up, and come back to the rows next to the rows' own bits."""

    def model():
        with ppl.plate("rows", size=3):
            z = ppl.sample("z", dist.Bernoulli(logits=-0.2))
        shares = ops.cumsum(z * 1.0, axis=-1)
        with ppl.plate("rows", (shares, z)) as (share, own):
            ppl.sample("x", dist.Normal(0.6 * share + own, 0.8))

    def guide():
        p, q = ppl.param("p", 0.2), ppl.param("q", 0.5)
        with ppl.plate("rows", size=3) as i:
            ppl.sample("z", dist.Bernoulli(logits=p + q * i))

    return Graph(
        *_pair(model, guide),
        params={"p": 0.2, "q": 0.5},
        data={"x": np.array([0.1, 1.2, 1.9])},
        discrete={"z": np.arange(2)},
    )


def categories() -> Graph:
    """A category that picks a row of a table, and two bits in one event."""

    def model():
        c = ppl.sample("c", dist.Categorical(probs=np.array([0.5, 0.2, 0.3])))
        b = ppl.sample("b", dist.Bernoulli(logits=ops.asarray(np.array([0.3, -0.4, 0.8]))[c]).expand([2]))
        ppl.sample("x", dist.Normal(ops.asarray(np.array([-1.0, 0.4, 1.5]))[c] + b[0] * (1.0 - 0.5 * b[1]), 0.8))

    def guide():
        p, q, r = ppl.param("p", 0.2), ppl.param("q", -0.6), ppl.param("r", 0.4)
        c = ppl.sample("c", dist.Categorical(logits=ops.stack([p, q, 0.1 * p])))
        ppl.sample("b", dist.Bernoulli(logits=ops.stack([r, -r]) + 0.3 * c))

    return Graph(
        *_pair(model, guide),
        params={"p": 0.2, "q": -0.6, "r": 0.4},
        data={"x": 0.9},
        discrete={"c": np.arange(3), "b": np.arange(2)},
    )


def steps() -> Graph:
    """A scan of three bits, each depending on the one before in model and guide."""

    def model():
        def step(before, t):
            z = ppl.sample("z", dist.Bernoulli(logits=1.2 * before - 0.5))
            ppl.sample("x", dist.Normal(1.0 * z, 0.7))
            return z

        ppl.scan("time", step, init=0, length=3)

    def guide():
        p, q = ppl.param("p", 0.2), ppl.param("q", 0.7)

        def step(before, t):
            return ppl.sample("z", dist.Bernoulli(logits=p + q * before))

        ppl.scan("time", step, init=0, length=3)

    return Graph(
        *_pair(model, guide),
        params={"p": 0.2, "q": 0.7},
        data={"x": np.array([0.1, 0.9, 0.4])},
        discrete={"z": np.arange(2)},
    )


GRAPHS: dict[str, Callable[[], Graph]] = {
    f.__name__: f
    for f in (
        bernoulli_chain,
        mixed,
        gaussians,
        global_and_local,
        local,
        pooled,
        entered_again,
        categories,
        steps,
    )
}
