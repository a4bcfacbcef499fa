"""Programs with discrete sites along scans; small enough that every path can be written down."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ppl
from ppl import dist, ops

RNG = np.random.default_rng(17)
T = 4
Y = RNG.normal(1.0, 1.0, T)
GRID = RNG.normal(1.0, 1.0, (2, 3))
MOVES = np.array([[0.7, 0.2, 0.1], [0.1, 0.6, 0.3], [0.3, 0.3, 0.4]])
PROGRAMS: dict[str, Callable[[], ppl.Program]] = {}


def program(function: Callable[[], ppl.Program]) -> Callable[[], ppl.Program]:
    """Enter a program under the words of its function's name."""
    PROGRAMS[function.__name__.strip("_").replace("_", " ")] = function
    return function


def scan(step: Any, init: Any = 0, length: int = T, **options: Any) -> Any:
    """A scan over the steps of the data."""
    return ppl.scan("time", step, init=init, **({} if "xs" in options else {"length": length}), **options)


def moves(name: str = "moves", values: int = 3) -> Any:
    """The rows of a transition matrix, as sites."""
    with ppl.plate(f"{name} from", size=values):
        return ppl.sample(name, dist.Dirichlet(np.arange(1.0, values + 1.0)))


@program
def _a_hidden_Markov_model():
    @ppl.model
    def model():
        rows, mean = moves(), ppl.sample("mean", dist.Normal(0.0, 2.0).expand([3]))

        def step(previous, t):
            z = ppl.sample("z", dist.Categorical(probs=rows[previous]))
            ppl.sample("y", dist.Normal(mean[z], 0.7))
            return z

        scan(step, 1)

    return model().observe(y=Y)


@program
def _backwards():
    @ppl.model
    def model():
        def step(previous, t):
            logits = ops.log(ops.asarray(MOVES)[previous]) + 0.1 * t * np.arange(3)
            z = ppl.sample("z", dist.Categorical(logits=logits))
            ppl.sample("y", dist.Normal(1.0 * z, 0.7))
            return z

        scan(step, 2, reverse=True)

    return model().observe(y=Y)


@program
def _inputs_in_the_transition():
    @ppl.model
    def model(xs):
        slope = ppl.sample("slope", dist.Normal(0.0, 1.0))

        def step(previous, x):
            z = ppl.sample("z", dist.Bernoulli(logits=slope * x + 2.0 * previous - 1.0))
            ppl.sample("y", dist.Normal(z, 0.7))
            return z

        scan(step, xs=xs)

    return model(RNG.normal(size=T)).observe(y=Y)


@program
def _a_start_that_is_drawn():
    """The first step reads a discrete site outside of the scan."""

    @ppl.model
    def model():
        rows = moves()
        start = ppl.sample("start", dist.Categorical(probs=np.array([0.2, 0.3, 0.5])))
        ppl.sample("w", dist.Normal(1.0 * start, 1.0))

        def step(previous, t):
            z = ppl.sample("z", dist.Categorical(probs=rows[previous]))
            ppl.sample("y", dist.Normal(z, 0.7))
            return z

        scan(step, start)

    return model().observe(y=Y, w=0.4)


@program
def _two_chains_seen_together():
    """A factorial chain."""

    @ppl.model
    def model():
        rows = moves()

        def step(carry, t):
            a = ppl.sample("a", dist.Categorical(probs=rows[carry[0]]))
            b = ppl.sample("b", dist.Bernoulli(probs=0.2 + 0.6 * carry[1]))
            ppl.sample("y", dist.Normal(a - 2.0 * b, 0.7))
            return a, b

        scan(step, (0, 1))

    return model().observe(y=Y)


@program
def _two_chains_seen_apart():
    @ppl.model
    def model():
        def step(carry, t):
            a = ppl.sample("a", dist.Categorical(probs=ops.asarray(MOVES)[carry[0]]))
            b = ppl.sample("b", dist.Bernoulli(probs=0.2 + 0.6 * carry[1]))
            ppl.sample("y", dist.Normal(1.0 * a, 0.7))
            ppl.sample("w", dist.Normal(1.0 * b, 0.7))
            return a, b

        scan(step, (0, 1))

    return model().observe(y=Y, w=Y[::-1])


@program
def _chains_that_read_each_other():
    @ppl.model
    def model():
        def step(carry, t):
            before_a, before_b = carry
            a = ppl.sample("a", dist.Bernoulli(logits=1.0 * before_a - before_b))
            b = ppl.sample("b", dist.Categorical(probs=ops.asarray(MOVES)[before_b + a - a * before_b]))
            ppl.sample("y", dist.Normal(a + 0.5 * b, 0.7))
            return a, b

        scan(step, (0, 1))

    return model().observe(y=Y)


@program
def _chains_in_a_plate():
    @ppl.model
    def model():
        with ppl.plate("series", size=2):
            stay = ppl.sample("stay", dist.Beta(2.0, 2.0))

            def step(previous, t):
                z = ppl.sample("z", dist.Bernoulli(probs=ops.where(previous == 1, stay, 1.0 - stay)))
                ppl.sample("y", dist.Normal(2.0 * z, 0.7))
                return z

            scan(step, length=3)

    return model().observe(y=GRID)


@program
def _chains_in_a_plate_with_a_first_step_of_its_own():
    """The number of the step is met before anything of the plate."""

    @ppl.model
    def model():
        with ppl.plate("series", np.array([0.1, 0.4])) as shift:

            def step(previous, t):
                probs = ops.where(t == 0, np.array([0.2, 0.3, 0.5]), ops.asarray(MOVES)[previous])
                z = ppl.sample("z", dist.Categorical(probs=probs))
                ppl.sample("y", dist.Normal(z + shift, 0.7))
                return z

            scan(step, length=3)

    return model().observe(y=GRID)


@program
def _a_mixture_of_chains():
    """Each series has a kind, which all of its steps read."""

    @ppl.model
    def model():
        weight = ppl.sample("weight", dist.Beta(2.0, 2.0))
        stay = ppl.sample("stay", dist.Beta(2.0, 2.0).expand([2]))
        with ppl.plate("series", size=2):
            kind = ppl.sample("kind", dist.Bernoulli(probs=weight))

            def step(previous, t):
                same = ops.where(previous == 1, stay[kind], 1.0 - stay[kind])
                z = ppl.sample("z", dist.Bernoulli(probs=same))
                ppl.sample("y", dist.Normal(2.0 * z + 0.3 * kind, 0.7))
                return z

            scan(step, length=3)

    return model().observe(y=GRID)


@program
def _one_site_above_all_chains():
    @ppl.model
    def model():
        season = ppl.sample("season", dist.Categorical(probs=np.array([0.3, 0.3, 0.4])))
        with ppl.plate("series", size=2):

            def step(previous, t):
                z = ppl.sample("z", dist.Bernoulli(logits=season - 1.0 + previous))
                ppl.sample("y", dist.Normal(2.0 * z, 0.7))
                return z

            scan(step, length=2)

    return model().observe(y=GRID[:, :2])


@program
def _a_local_site_in_each_step():
    """Which component an observation comes from belongs to its step alone."""

    @ppl.model
    def model():
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))

        def step(previous, t):
            z = ppl.sample("z", dist.Bernoulli(probs=0.2 + 0.6 * previous))
            outlier = ppl.sample("outlier", dist.Bernoulli(probs=0.1 + 0.2 * z))
            ppl.sample("y", dist.Normal(mean + z, 0.5 + 3.0 * outlier))
            return z

        scan(step)

    return model().observe(y=Y)


@program
def _a_plate_of_observations_in_each_step():
    @ppl.model
    def model():
        def step(previous, t):
            z = ppl.sample("z", dist.Bernoulli(probs=0.2 + 0.6 * previous))
            with ppl.plate("rows", size=2) as row:
                sign = ppl.sample("sign", dist.Bernoulli(probs=0.3 + 0.4 * z))
                ppl.sample("y", dist.Normal(z + 0.1 * row - sign, 0.7))
            return z

        scan(step, length=3)

    return model().observe(y=GRID.T)


@program
def _a_switching_autoregression():
    """Data of the step before and a discrete state meet."""

    @ppl.model
    def model():
        slope = ppl.sample("slope", dist.Normal(0.0, 0.5).expand([3]))

        def step(carry, t):
            z, before = carry
            z = ppl.sample("z", dist.Categorical(probs=ops.asarray(MOVES)[z]))
            return z, ppl.sample("y", dist.Normal(slope[z] * before, 0.7))

        scan(step, (0, 0.0))

    return model().observe(y=Y)


@program
def _continuous_states_beside_the_discrete_ones():
    @ppl.model
    def model():
        def step(carry, t):
            z, x = carry
            z = ppl.sample("z", dist.Bernoulli(probs=0.2 + 0.6 * z))
            x = ppl.sample("x", dist.Normal(0.9 * x + z, 0.2 + 0.5 * z))
            ppl.sample("y", dist.Normal(x, 0.7))
            return z, x

        scan(step, (0, 0.0))

    return model().observe(y=Y)


@program
def _observations_of_both_steps():
    """What is observed reads the state before as well; a factor does, too."""

    @ppl.model
    def model():
        def step(previous, t):
            z = ppl.sample("z", dist.Categorical(probs=ops.asarray(MOVES)[previous]))
            changed = ppl.deterministic("changed", z != previous)
            ppl.sample("y", dist.Normal(z + 0.3 * previous, ops.where(changed, 1.5, 0.7)))
            ppl.factor("pull", -0.2 * z * previous + 0.1 * z)
            return z

        scan(step, 1)

    return model().observe(y=Y)


@program
def _only_observations_read_the_step_before():
    @ppl.model
    def model():
        def step(previous, t):
            z = ppl.sample("z", dist.Categorical(probs=np.array([0.2, 0.3, 0.5])))
            ppl.sample("y", dist.Normal(z - 0.5 * previous, 0.7))
            return z

        scan(step, 1)

    return model().observe(y=Y)


@program
def _what_is_carried_is_computed_from_the_site():
    @ppl.model
    def model():
        def step(previous, t):
            z = ppl.sample("z", dist.Categorical(probs=0.5 * previous + np.full(3, 0.5 / 3.0)))
            ppl.sample("y", dist.Normal(1.0 * z, 0.7))
            return ops.one_hot(z, 3) * 1.0

        scan(step, np.array([1.0, 0.0, 0.0]))

    return model().observe(y=Y)


@program
def _values_that_do_not_start_at_zero():
    @ppl.model
    def model():
        def step(previous, t):
            z = ppl.sample("z", dist.DiscreteUniform(2, 4).mask(t > 0))
            ppl.factor("near", -((z - previous) ** 2) * 0.3)
            ppl.sample("y", dist.Normal(z - 2.0, 0.7))
            return z

        scan(step, 3)

    return model().observe(y=Y)


@program
def _steps_that_do_not_count():
    """The end of a shorter series is masked."""

    @ppl.model
    def model(lengths):
        rows = moves("moves", 2)
        with ppl.plate("series", lengths) as length:

            def step(previous, t):
                alive = t < length
                z = ppl.sample("z", dist.Categorical(probs=rows[previous]))
                ppl.sample("y", dist.Normal(2.0 * z, 0.7).mask(alive))
                return z

            scan(step, length=3)

    return model(np.array([1, 3])).observe(y=GRID)


@program
def _moves_that_are_impossible():
    """From left to right: some transitions have no probability at all, and neither have some paths."""

    @ppl.model
    def model():
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0).expand([3]))

        def step(previous, t):
            rows = ops.asarray([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [0.0, 0.0, 1.0]])
            z = ppl.sample("z", dist.Categorical(probs=rows[previous]))
            ppl.sample("y", dist.Normal(mean[z], 0.7))
            return z

        scan(step)

    return model().observe(y=Y)


@program
def _one_step():
    @ppl.model
    def model():
        def step(previous, t):
            z = ppl.sample("z", dist.Categorical(probs=ops.asarray(MOVES)[previous]))
            ppl.sample("y", dist.Normal(1.0 * z, 0.7))
            return z

        scan(step, 2, length=1)

    return model().observe(y=Y[:1])


@program
def _two_scans_one_after_the_other():
    """The second chain starts where the first one stood after its last step, and so has no sum of its own."""

    @ppl.model
    def model():
        mean = ppl.sample("mean", dist.Normal(0.0, 1.0))

        def first(previous, t):
            z = ppl.sample("z", dist.Bernoulli(probs=0.2 + 0.6 * previous))
            ppl.sample("y", dist.Normal(mean + z, 0.7))
            return z

        def second(previous, t):
            w = ppl.sample("w", dist.Bernoulli(probs=0.3 + 0.4 * previous))
            ppl.sample("v", dist.Normal(mean - w, 0.7))
            return w

        scan(first)
        ppl.scan("later", second, init=1, length=3)

    return model().observe(y=Y, v=Y[:3])
