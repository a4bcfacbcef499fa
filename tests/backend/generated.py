"""Random small programs: plates in every arrangement, and expressions that mix plates, event ranks and indices."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import ppl
from ppl import dist, nn, ops
from ppl.errors import PlateError, ShapeError
from ppl.program.ops import in_scope
from ppl.program.program import Program
from ppl.program.values import Value

SHAPES: tuple[tuple[int, ...], ...] = ((), (), (), (2,), (3,), (1,), (2, 3), (3, 3))
DEPTH = 3


KINDS = [
    "normal", "normal", "normal", "scale", "expand", "mask", "bernoulli", "gamma", "categorical", "dirichlet", "mvn",
    "multinomial", "poisson", "deterministic", "factor", "uniform", "param",
]  # fmt: skip
# What is drawn from standard noise, without a sampler of the library's own.
NOISE_FORMS = [k for k in KINDS if k not in ("gamma", "dirichlet", "multinomial", "poisson")]


class Generator:
    """Builds one program; every decision is taken by `choose`.

    Args:
        choose: where decisions come from.
        kinds: which statements there may be.
    """

    def __init__(self, choose: random.Random, kinds: list[str] = KINDS) -> None:
        self.choose = choose
        self.kinds = kinds
        self.pool: list[Value] = []
        self.count = 0
        self.network: Any = None

    def program(self) -> Program:
        """A program, traced, with some of its sites observed."""
        rows, columns, groups = 4, 3, 2
        numbers = np.random.default_rng(self.choose.randrange(1000))
        x = numbers.normal(size=(rows, 3))
        table = numbers.normal(size=(rows, columns))
        group = numbers.integers(0, groups, size=rows)
        arrangement = self.choose.choice(ARRANGEMENTS)

        @ppl.model
        def generated(x: Any, table: Any, group: Any) -> None:
            self.network = nn.MLP("net", [3, 2], "tanh", prior=self.choose.choice([None, dist.Normal(0.0, 0.5)]))
            self.sites(self.choose.randint(1, 2))
            arrangement(self, x, table, group)
            if self.choose.random() < 0.6:
                self.sites(1)

        program = generated(x, table, group)
        if self.choose.random() < 0.25:
            program = self.intervened(program, numbers)
        # The support of a uniform site moves with its parents, so fixed data would fall outside.
        names = [n for n in program.sites if self.choose.random() < 0.3 and n[0] != "u"]
        if names:
            drawn = ppl.compile(program, "pyro", precision="float64").simulate()
            program = program.observe(**{n: np.asarray(drawn[n]) for n in names})
        return program

    def intervened(self, program: Program, numbers: np.random.Generator) -> Program:
        """The program with one real site set, to one value or to one for each element."""
        real = {n: s for n, s in program.sites.items() if n[0] in "zm"}
        if not real:
            return program
        name = self.choose.choice(list(real))
        sizes = tuple(p.size for p in real[name].plates) if self.choose.random() < 0.5 else ()
        return program.do(**{name: numbers.normal(size=sizes + real[name].dist.event_shape)})

    # --- statements ------------------------------------------------------------------------------------------------

    def name(self, kind: str) -> str:
        """A fresh name."""
        self.count += 1
        return f"{kind}{self.count}"

    def sites(self, count: int) -> None:
        """Some statements that read what there is."""
        for _ in range(count):
            value = self.bounded(self.expression(DEPTH)) if self.pool else ops.zeros(self.choose.choice(SHAPES))
            self.pool.append(self.statement(value))

    def statement(self, value: Value) -> Value:
        """One statement that reads a value."""
        kind = self.choose.choice(self.kinds)
        match kind:
            case "param":
                start = np.full(value.shape, 0.4) if self.choose.random() < 0.5 else np.asarray(0.4)
                return value * ppl.param(self.name("q"), start, support=dist.support.positive)
            case "deterministic":
                return ppl.deterministic(self.name("d"), value)
            case "factor":
                ppl.factor(self.name("f"), ops.sum(value))
                return value
            case "scale":
                return ppl.sample(self.name("z"), dist.Normal(0.3, ops.exp(value)))
            case "expand":
                return ppl.sample(self.name("z"), dist.Normal(value, 0.7).expand((2, *value.shape)))
            case "mask":
                return ppl.sample(self.name("z"), dist.Normal(value, 1.0).mask(value > 0.0123))
            case "bernoulli":
                return ppl.sample(self.name("b"), dist.Bernoulli(logits=value))
            case "gamma":
                return ppl.sample(self.name("g"), dist.Gamma(ops.exp(value), 2.0))
            case "poisson":
                return ppl.sample(self.name("n"), dist.Poisson(ops.exp(value)))
            case "uniform":
                return ppl.sample(self.name("u"), dist.Uniform(value, value + 1.5))
            case "multinomial" if value.ndim and value.shape[-1] > 1:
                return ppl.sample(self.name("w"), dist.Multinomial(3, probs=ops.softmax(value)))
            case "categorical":
                # A category drawn inside a plate indexes whatever table there is.
                logits = ops.stack([ops.sum(value), ops.asarray(0.2)])
                return ppl.sample(self.name("c"), dist.Categorical(logits=logits))
            case "dirichlet" if value.ndim and value.shape[-1] > 1:
                return ppl.sample(self.name("p"), dist.Dirichlet(ops.exp(value)))
            case "mvn" if value.ndim:
                factor = ops.diag_embed(ops.exp(value)) if self.choose.random() < 0.5 else ops.eye(value.shape[-1])
                return ppl.sample(self.name("m"), dist.MultivariateNormal(value, scale_tril=factor))
        return ppl.sample(self.name("z"), dist.Normal(value, 1.0))

    # --- expressions -----------------------------------------------------------------------------------------------

    def bounded(self, value: Value) -> Value:
        """A value in (-1, 1), so that no density overflows."""
        return ops.tanh(value)

    def leaf(self) -> Value:
        """Something that exists, mostly what is new."""
        recent = self.pool[-3:] if self.choose.random() < 0.5 else self.pool
        return in_scope(self.choose.choice(recent))

    def expression(self, depth: int) -> Value:
        """A random expression of real numbers."""
        if depth == 0 or self.choose.random() < 0.15:
            return ops.tanh(self.leaf() * 1.0)
        for _ in range(20):
            build = self.choose.choice(BUILDERS)
            try:
                value = build(self, depth - 1)
            except (ShapeError, PlateError, IndexError, ValueError):
                # These operands do not fit, or would pair rows of unrelated plates; the next try has others.
                continue
            if 0 < int(np.prod(value.shape)) <= 36 and value.ndim <= 3:
                return ops.tanh(value * 1.0)
        return ops.tanh(self.leaf() * 1.0)

    def axis(self, value: Value) -> int:
        """An event axis."""
        return self.choose.randrange(-value.ndim, value.ndim)

    def integer(self, size: int) -> Value:
        """An integer value below a size."""
        whole = [v for v in self.pool if v.dtype == "int" and size >= 2]
        if whole and self.choose.random() < 0.7:
            # Counts and coin flips are unbounded or two-valued; the remainder is a legal index.
            return in_scope(self.choose.choice(whole)) % 2
        picks = [self.choose.randrange(size) for _ in range(self.choose.choice([1, 2, 3]))]
        return ops.asarray(picks if self.choose.random() < 0.5 else picks[0])


def _binary(g: Generator, d: int) -> Value:
    a, b = g.expression(d), g.expression(d)
    kinds: list[Callable[[Value, Value], Value]] = [
        lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: 2.0 - a, lambda a, b: a / (2.0 + b),
        ops.maximum, ops.minimum, lambda a, b: ops.where(a > b, a, 0.5), lambda a, b: ops.where(a < 0.1, a, b),
        ops.logaddexp, lambda a, b: (a > 0) * b, lambda a, b: abs(a) ** 2 + b, lambda a, b: -a - -b,
    ]  # fmt: skip
    return g.choose.choice(kinds)(a, b)


def _unary(g: Generator, d: int) -> Value:
    a = g.expression(d)
    kinds = [ops.exp, ops.sigmoid, ops.softplus, ops.square, ops.abs, ops.sin, ops.log_sigmoid, ops.gelu, ops.negative]
    return g.choose.choice(kinds)(a)


def _reduce(g: Generator, d: int) -> Value:
    a = g.expression(d)[None] if g.choose.random() < 0.2 else g.expression(d)
    if not a.ndim:
        return a
    kinds = [ops.sum, ops.mean, ops.logsumexp, ops.max, ops.min, ops.prod, ops.var]
    axis: Any = None if g.choose.random() < 0.3 else g.axis(a)
    if a.ndim > 1 and g.choose.random() < 0.3:
        axis = (0, a.ndim - 1)
    return g.choose.choice(kinds)(a, axis=axis, keepdims=g.choose.random() < 0.3)


def _along(g: Generator, d: int) -> Value:
    a = g.expression(d)
    kinds = [ops.softmax, ops.log_softmax, lambda a, axis: ops.cumsum(a, axis=axis), lambda a, axis: ops.flip(a, axis)]
    kinds += [lambda a, axis: ops.sort(a, axis=axis)]
    return g.choose.choice(kinds)(a, axis=g.axis(a))


def _matmul(g: Generator, d: int) -> Value:
    return g.expression(d) @ g.expression(d)


def _einsum(g: Generator, d: int) -> Value:
    a, b = g.expression(d), g.expression(d)
    patterns = {(1, 1): ["i,j->ij", "i,i->", "i,i->i"], (2, 1): ["ij,j->i", "ij,k->kij"], (0, 1): [",i->i"]}
    patterns |= {(2, 2): ["ij,jk->ki", "ij,ij->", "ij,kj->ik"], (1, 2): ["i,ij->j"], (0, 0): [",->"]}
    return ops.einsum(g.choose.choice(patterns.get((a.ndim, b.ndim), ["-"])), a, b)


def _join(g: Generator, d: int) -> Value:
    a, b = g.expression(d), g.expression(d)
    if g.choose.random() < 0.5:
        return ops.stack([a, b, a * 0.5], axis=g.choose.randrange(-a.ndim - 1, a.ndim + 1))
    return ops.concat([a, b, a], axis=g.axis(a))


def _shape(g: Generator, d: int) -> Value:
    a = g.expression(d)
    kinds: list[Callable[[Value], Value]] = [
        lambda a: ops.reshape(a, (-1,)), lambda a: ops.reshape(a, (1, *a.shape)), lambda a: a.T,
        lambda a: ops.permute_dims(a, tuple(g.choose.sample(range(a.ndim), a.ndim))),
        lambda a: ops.broadcast_to(a, (2, *a.shape)), lambda a: a[..., None], lambda a: a[None],
        lambda a: ops.reshape(a, (*a.shape[1:], a.shape[0])), lambda a: ops.reshape(a, (*a.shape, 1, 1)),
    ]  # fmt: skip
    return g.choose.choice(kinds)(a)


def _index(g: Generator, d: int) -> Value:
    a = g.expression(d)
    n = a.shape[0]
    keys: list[Any] = [0, -1, n - 1, slice(1, None), slice(None, -1), slice(None, None, 2), slice(None, None, -1)]
    keys += [(..., 0), (..., slice(0, 1)), (None, 0), (0, None), (slice(None), None, 0)]
    return a[g.choose.choice(keys)]


def _gather(g: Generator, d: int) -> Value:
    tables = [t for t in map(in_scope, g.pool) if t.shape] or [g.expression(d)]
    table = g.choose.choice(tables) if g.choose.random() < 0.7 else g.expression(d)
    if g.choose.random() < 0.3 and table.ndim > 1:
        return table[:, g.integer(table.shape[1])]
    return table[g.integer(table.shape[0])]


def _matrix(g: Generator, d: int) -> Value:
    a = g.expression(d)
    square = a @ a.T * 0.1 + ops.eye(a.shape[-2]) if a.ndim == 2 else ops.diag_embed(1.5 + a)
    kinds = [ops.cholesky, ops.inv, ops.logdet, ops.diagonal, lambda m: ops.solve(m, ops.eye(m.shape[-1])[0:1].T)]
    kinds += [
        lambda m: ops.solve_triangular(ops.cholesky(m), m),
        ops.tril,
        ops.trace if hasattr(ops, "trace") else ops.triu,
    ]
    return g.choose.choice(kinds)(square)


def _network(g: Generator, d: int) -> Value:
    return g.network(g.expression(d))


def _hot(g: Generator, d: int) -> Value:
    return ops.one_hot(g.integer(2), 2)


BUILDERS = [_binary, _binary, _binary, _binary, _unary, _reduce, _along, _matmul, _einsum, _join, _shape, _index]
BUILDERS += [_gather, _gather, _matrix, _hot, _network, _network]


# --- arrangements of plates ---------------------------------------------------------------------------------------


@contextmanager
def _inside(g: Generator, *elements: Any) -> Iterator[None]:
    """Elements exist inside their plate only; sites declared there stay readable, with an axis for each plate."""
    here = [e for e in elements if isinstance(e, Value)]
    g.pool += here
    yield
    g.pool = [v for v in g.pool if not any(v is e for e in here)]


def _one(g: Generator, x: Value, table: Value, group: Value) -> None:
    with ppl.plate("rows", (x, group)) as (e, k), _inside(g, e, k):
        g.sites(2)


def _sized(g: Generator, x: Value, table: Value, group: Value) -> None:
    with ppl.plate("rows", size=4) as i, _inside(g, i, x[i]):
        g.sites(2)


def _nested(g: Generator, x: Value, table: Value, group: Value) -> None:
    with ppl.plate("rows", (x, table)) as (e, t), _inside(g, e):
        g.sites(1)
        with ppl.plate("columns", t) as cell, _inside(g, cell):
            g.sites(2)
        g.sites(1)


def _deep(g: Generator, x: Value, table: Value, group: Value) -> None:
    with ppl.plate("a", size=2) as i, _inside(g, i):
        g.sites(1)
        with ppl.plate("b", size=3) as j, _inside(g, j):
            if g.choose.random() < 0.5:
                g.sites(1)
            with ppl.plate("c", x[0] if g.choose.random() < 0.5 else ops.ones(2)) as e, _inside(g, e):
                g.sites(1)
        g.sites(1)


def _crossing(g: Generator, x: Value, table: Value, group: Value) -> None:
    with ppl.plate("rows", x) as e, _inside(g, e):
        g.sites(1)
        a = g.pool[-2]
    with ppl.plate("columns", size=3) as j, _inside(g, j):
        g.sites(1)
    both = (x, a) if a.shape and a.shape[0] == 4 else (x,)
    with ppl.plate("rows", both) as e, ppl.plate("columns", size=3) as j, _inside(g, j, *e):
        g.sites(1)


def _siblings(g: Generator, x: Value, table: Value, group: Value) -> None:
    with ppl.plate("groups", size=2):
        g.sites(1)
    plated = g.pool[-1]
    with ppl.plate("rows", (x, group)) as (e, k), _inside(g, e, k):
        if plated.plates:
            g.pool.append(plated[k])
        g.sites(2)
    with ppl.plate("groups", size=2) as i, _inside(g, i):
        g.sites(1)


def _mapped(g: Generator, x: Value, table: Value, group: Value) -> None:
    value = ops.tanh(ops.stack([g.expression(1)] * 3)) if g.choose.random() < 0.5 else ops.reshape(table, (-1,))[:3]
    with ppl.plate("parts", value) as e, _inside(g, e):
        g.sites(1)
        inner = g.pool[-1]
    inner = in_scope(inner)
    with ppl.plate("again", inner if inner.shape else value) as e, _inside(g, e):
        g.sites(1)


def _mixture(g: Generator, x: Value, table: Value, group: Value) -> None:
    with ppl.plate("clusters", size=2):
        centre = ppl.sample("centre", dist.Normal(0.0, 1.0).expand([3]))
        width = ppl.sample("width", dist.HalfNormal(1.0))
    g.pool += [centre, width]
    with ppl.plate("rows", x) as e, _inside(g, e):
        c = ppl.sample("c", dist.Categorical(logits=ops.stack([ops.sum(e), ops.asarray(0.0)])))
        g.pool.append(c)
        g.pool.append(ppl.sample("near", dist.Normal(centre[c], width[c] + 0.1)))
        g.sites(1)


ARRANGEMENTS = [_one, _sized, _nested, _deep, _crossing, _siblings, _mapped, _mixture]
