"""Programs with scans, one of each kind of recurrence; small, and each with something observed."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ppl
from ppl import dist, nn, ops

RNG = np.random.default_rng(31)
STEPS = 6
SERIES = 3
Y = RNG.normal(size=STEPS)
GRID = RNG.normal(size=(SERIES, STEPS))
XS = RNG.normal(size=(STEPS, 2))

PROGRAMS: dict[str, Callable[[], ppl.Program]] = {}


def program(function: Callable[[], ppl.Program]) -> Callable[[], ppl.Program]:
    """Enter a program under the words of its function's name."""
    PROGRAMS[function.__name__.strip("_").replace("_", " ")] = function
    return function


def scan(step: Any, init: Any = 0.0, **options: Any) -> Any:
    """A scan over the steps of the data."""
    return ppl.scan("time", step, init=init, **({} if "xs" in options else {"length": STEPS}), **options)


@program
def _a_random_walk():
    @ppl.model
    def model():
        a = ppl.sample("a", dist.Uniform(-1.0, 1.0))

        def step(previous, t):
            z = ppl.sample("z", dist.Normal(a * previous, 0.3))
            ppl.sample("y", dist.Normal(z + 0.1 * t, 0.5))
            return z

        ppl.deterministic("last", scan(step)[-1])

    return model().observe(y=Y)


@program
def _an_observed_autoregression_of_order_two():
    @ppl.model
    def model():
        a = ppl.sample("a", dist.Normal(0.0, 0.5).expand([2]))
        scale = ppl.sample("scale", dist.HalfNormal(1.0))

        def step(pair, t):
            return ppl.sample("y", dist.Normal(a[0] * pair[0] + a[1] * pair[1], scale)), pair[0]

        scan(step, (0.2, -0.1))

    return model().observe(y=Y)


@program
def _a_recurrent_network():
    @ppl.model
    def model(xs):
        cell = nn.GRUCell("cell", 2, 3)
        head = nn.Linear("head", 3, 1)

        def step(hidden, x):
            hidden = cell(x, hidden)
            ppl.sample("y", dist.Normal(head(hidden)[0], 0.5))
            return hidden

        scan(step, np.zeros(3), xs=xs)

    return model(XS).observe(y=Y)


@program
def _a_differential_equation():
    """Logistic growth by the classical Runge-Kutta method."""

    @ppl.model
    def model():
        rate = ppl.sample("rate", dist.LogNormal(0.0, 0.3))
        start = ppl.sample("start", dist.Uniform(0.1, 0.5))

        def slope(x):
            return rate * x * (1.0 - x)

        def step(x, t):
            k1 = slope(x)
            k2 = slope(x + 0.25 * k1)
            k3 = slope(x + 0.25 * k2)
            x = ppl.deterministic("x", x + 0.5 / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + slope(x + 0.5 * k3)))
            ppl.sample("y", dist.Normal(x, 0.1))
            return x

        scan(step, start)

    return model().observe(y=Y)


@program
def _a_volatility_that_follows_the_data():
    """Partly sampled, partly computed: GARCH(1, 1)."""

    @ppl.model
    def model():
        a = ppl.sample("a", dist.Dirichlet(np.ones(3)))

        def step(carry, t):
            y, variance = carry
            variance = 0.1 + a[0] * y**2 + a[1] * variance
            return ppl.sample("y", dist.Normal(0.0, ops.sqrt(variance))), variance

        scan(step, (0.0, 1.0))

    return model().observe(y=Y)


@program
def _many_series():
    @ppl.model
    def model(xs):
        with ppl.plate("series", xs) as rows:
            a = ppl.sample("a", dist.Normal(0.0, 0.5))
            start = ppl.sample("start", dist.Normal(0.0, 1.0))

            def step(previous, x):
                z = ppl.sample("z", dist.Normal(a * previous + x, 0.3))
                ppl.sample("y", dist.Normal(z, 0.5))
                return z

            scan(step, start, xs=rows)

    return model(GRID).observe(y=GRID)


@program
def _many_series_of_a_computed_state():
    """The start does not vary over the series, what follows does."""

    @ppl.model
    def model():
        with ppl.plate("series", size=SERIES):
            a = ppl.sample("a", dist.Normal(0.0, 0.5))

            def step(level, t):
                level = ops.tanh(a * level + 0.5)
                ppl.sample("y", dist.Normal(level, 0.5))
                return level

            scan(step)

    return model().observe(y=GRID)


@program
def _a_plate_in_a_step():
    @ppl.model
    def model():
        with ppl.plate("rows", size=SERIES):
            weight = ppl.sample("weight", dist.Normal(0.0, 1.0))

        def step(previous, t):
            with ppl.plate("rows", (previous, weight)) as (before, w):
                z = ppl.sample("z", dist.Normal(0.5 * before + 0.1 * w, 0.4))
                ppl.sample("y", dist.Normal(z, 0.5))
            return z

        scan(step, np.zeros(SERIES))

    return model().observe(y=GRID.T)


@program
def _a_plate_in_a_step_of_a_computed_state():
    @ppl.model
    def model():
        rate = ppl.sample("rate", dist.HalfNormal(1.0))

        def step(level, t):
            level = level * ops.exp(-0.1 * rate)
            with ppl.plate("rows", size=SERIES) as row:
                ppl.sample("y", dist.Normal(level + 0.1 * row, 0.5))
            return level

        scan(step, 1.0)

    return model().observe(y=GRID.T)


@program
def _plates_around_and_inside():
    @ppl.model
    def model():
        with ppl.plate("groups", size=2):
            a = ppl.sample("a", dist.Normal(0.0, 0.5))

            def step(carry, t):
                level, trend = carry
                trend = 0.9 * trend + a
                with ppl.plate("rows", level) as before:
                    z = ppl.sample("z", dist.Normal(before + trend, 0.4))
                    ppl.sample("y", dist.Normal(z, 0.5))
                return z, trend

            scan(step, (np.zeros(SERIES), 0.0))

    return model().observe(y=RNG.normal(size=(2, STEPS, SERIES)))


@program
def _a_scan_in_a_scan():
    """Hours start from the day's level, which goes on from the last hour."""

    @ppl.model
    def model():
        a = ppl.sample("a", dist.Normal(0.5, 0.2))

        def day(level, d):
            def hour(before, h):
                z = ppl.sample("z", dist.Normal(a * before, 0.3))
                ppl.sample("y", dist.Normal(z + 0.1 * h, 0.5))
                return z

            hours = ppl.scan("hours", hour, init=level, length=3)
            return ppl.sample("level", dist.Normal(0.5 * level + 0.5 * hours[-1], 0.2))

        ppl.scan("days", day, init=1.0, length=4)

    return model().observe(y=RNG.normal(size=(4, 3)))


@program
def _a_computed_scan_in_a_computed_scan():
    @ppl.model
    def model():
        rate = ppl.sample("rate", dist.LogNormal(0.0, 0.2))

        def day(level, d):
            def hour(x, h):
                x = x + 0.1 * rate * (1.0 - x) + 0.01 * h
                ppl.sample("y", dist.Normal(x, 0.5))
                return x

            hours = ppl.scan("hours", hour, init=0.5 * level, length=3)
            level = 0.5 * level + hours[-1]
            ppl.sample("w", dist.Normal(level, 0.5))
            return level

        ppl.scan("days", day, init=1.0, length=4)

    return model().observe(y=RNG.normal(size=(4, 3)), w=RNG.normal(size=4))


@program
def _a_computed_scan_in_a_scan_of_sites_in_a_plate():
    @ppl.model
    def model():
        with ppl.plate("series", size=2):

            def day(level, d):
                path = ppl.scan("hours", lambda x, h: 0.8 * x + 0.1 * level, init=level, length=3)
                level = ppl.sample("level", dist.Normal(path[-1], 0.3))
                ppl.sample("y", dist.Normal(ops.sum(path) + level, 0.5))
                return level

            ppl.scan("days", day, init=1.0, length=4)

    return model().observe(y=RNG.normal(size=(2, 4)))


@program
def _backwards():
    @ppl.model
    def model(xs):
        a = ppl.sample("a", dist.Normal(0.5, 0.2))

        def step(carry, x):
            z, level = carry
            level = 0.5 * level + ops.sum(x)
            z = ppl.sample("z", dist.Normal(a * z + level, 0.3))
            ppl.sample("y", dist.Normal(z, 0.5))
            return z, level

        out = scan(step, (0.0, 1.0), xs=xs, reverse=True)
        ppl.deterministic("first", out[0][0] - out[1][-1])

    return model(XS).observe(y=Y)


@program
def _backwards_in_a_plate():
    @ppl.model
    def model():
        with ppl.plate("series", size=SERIES):

            def step(level, t):
                with ppl.plate("rows", size=2):
                    z = ppl.sample("z", dist.Normal(level, 0.3))
                level = 0.5 * level + ops.sum(z)
                ppl.sample("y", dist.Normal(level, 0.5))
                return level

            scan(step, 1.0, reverse=True)

    return model().observe(y=GRID)


@program
def _both_directions():
    """What is known of the past and of the future meet in every step."""

    @ppl.model
    def model(xs):
        with ppl.plate("series", size=SERIES):
            a = ppl.sample("a", dist.Normal(0.5, 0.2))
            ahead = scan(lambda h, x: ops.tanh(a * h + x[0]), xs=xs)
            back = scan(lambda h, x: ops.tanh(h + x[1] * np.ones(2)), np.zeros(2), xs=xs, reverse=True)
            with ppl.plate("time", (ahead, back)) as (f, b):
                ppl.sample("y", dist.Normal(f - ops.sum(b), 0.5))

    return model(XS).observe(y=GRID)


@program
def _ragged_lengths():
    """The steps behind the end of a series do not count."""

    @ppl.model
    def model(lengths):
        a = ppl.sample("a", dist.Normal(0.5, 0.2))
        with ppl.plate("series", lengths) as length:

            def step(previous, t):
                alive = t < length
                z = ppl.sample("z", dist.Normal(a * previous, 0.3).mask(alive))
                ppl.sample("y", dist.Normal(z, 0.5).mask(alive))
                return z

            scan(step)

    return model(np.array([2, 6, 4])).observe(y=GRID)


@program
def _positive_states():
    @ppl.model
    def model():
        shape = ppl.sample("shape", dist.Gamma(5.0, 1.0))

        def step(rate, t):
            rate = ppl.sample("rate", dist.Gamma(shape, shape / rate))
            ppl.sample("n", dist.Poisson(rate))
            return rate

        scan(step, 1.0)

    return model().observe(n=np.array([0, 1, 3, 1, 0, 2]))


@program
def _shares_that_drift():
    @ppl.model
    def model():
        def step(shares, t):
            shares = ppl.sample("shares", dist.Dirichlet(1.0 + 5.0 * shares))
            ppl.sample("n", dist.Multinomial(7, probs=shares))
            return shares

        scan(step, np.full(3, 1.0 / 3.0))

    return model().observe(n=RNG.multinomial(7, np.full(3, 1 / 3), STEPS))


@program
def _counts_that_breed():
    """A discrete carry without bound, and one that is computed from it."""

    @ppl.model
    def model():
        rate = ppl.sample("rate", dist.Gamma(2.0, 2.0))

        def step(carry, t):
            n, total = carry
            n = ppl.sample("n", dist.Poisson(rate * (1.0 + 0.1 * n) + 0.01 * total))
            return n, 0.5 * total + n

        scan(step, (3, 0.0))

    return model().observe(n=np.array([2, 1, 3, 5, 4, 2]))


@program
def _vectors_with_a_covariance():
    @ppl.model
    def model():
        turn = ppl.sample("turn", dist.Normal(0.0, 0.5).expand([2, 2]))

        def step(x, t):
            x = ppl.sample("x", dist.MultivariateNormal(turn @ x, covariance_matrix=np.array([[0.5, 0.1], [0.1, 0.3]])))
            ppl.sample("y", dist.Normal(x[0], 0.5))
            return x

        scan(step, np.ones(2))

    return model().observe(y=Y)


@program
def _a_factor_in_a_step():
    @ppl.model
    def model():
        def step(previous, t):
            z = ppl.sample("z", dist.Normal(0.0, 1.0))
            ppl.factor("smooth", -((z - previous) ** 2))
            ppl.sample("y", dist.Normal(z, 0.5))
            return z

        scan(step)

    return model().observe(y=Y)


@program
def _two_scans_one_after_the_other():
    @ppl.model
    def model():
        path = scan(lambda c, t: ppl.sample("z", dist.Normal(0.9 * c, 0.3)))

        def step(level, z):
            level = 0.7 * level + z
            ppl.sample("y", dist.Normal(level, 0.5))
            return level

        smooth = ppl.scan("again", step, init=path[0], xs=path)
        ppl.sample("end", dist.Normal(ops.mean(smooth), 1.0))

    return model().observe(y=Y, end=0.3)


@program
def _a_network_with_random_weights():
    @ppl.model
    def model(xs):
        cell = nn.Linear("cell", 4, 2, prior=dist.Normal(0.0, 0.5))

        def step(hidden, x):
            hidden = ops.tanh(cell(ops.concat([x, hidden])))
            ppl.sample("y", dist.Normal(hidden[0], 0.5))
            return hidden

        scan(step, np.zeros(2), xs=xs)

    return model(XS).observe(y=Y)


@program
def _nothing_is_handed_on():
    @ppl.model
    def model(xs):
        w = ppl.sample("w", dist.Normal(0.0, 1.0).expand([2]))

        def step(nothing, x):
            ppl.sample("y", dist.Normal(x @ w, 0.5))

        scan(step, None, xs=xs)

    return model(XS).observe(y=Y)


@program
def _one_step():
    @ppl.model
    def model():
        def step(carry, t):
            z, level = carry
            z = ppl.sample("z", dist.Normal(0.5 * z, 0.3))
            level = 0.5 * level + z
            ppl.sample("y", dist.Normal(level, 0.5))
            return z, level

        ppl.scan("time", step, init=(1.0, 0.0), length=1)

    return model().observe(y=np.array([0.3]))
