"""Densities, draws and gradients of scans: against a loop over the steps, in numpy, one element at a time."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false, reportAttributeAccessIssue=false

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

import ppl
from ppl import dist, nn, ops
from ppl.backend.compiled import get_backend
from ppl.inference import SVI, Adam, AutoDelta, AutoNormal
from ppl.transforms.density import simulator
from tests.backend.test_lowering import BACKENDS, assert_close, check_densities, numbers
from tests.budget import assert_mean, assert_variance, sigmas
from tests.inference.test_surrogate import loss_and_gradient
from tests.transforms.scan_programs import GRID, PROGRAMS, SERIES, STEPS, XS, Y, scan

# Their sites are drawn by samplers of the libraries, which take a key instead of noise.
KEYED = {"a volatility that follows the data", "positive states", "shares that drift", "counts that breed"}


# --- densities --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROGRAMS)
def test_densities_are_those_of_a_loop(name: str):
    """The interpreter that walks from step to step is the reference, for a batch of draws."""
    check_densities(PROGRAMS[name](), (2,), BACKENDS)


@pytest.mark.parametrize("name", ["a random walk", "plates around and inside", "a scan in a scan", "backwards"])
def test_densities_with_other_leading_axes(name: str):
    check_densities(PROGRAMS[name](), (), ("pyro",))
    check_densities(PROGRAMS[name](), (2, 3), ("pyro",))


def _density(program: ppl.Program, values: dict[str, Any], backend: str) -> dict[str, np.ndarray]:
    side = ppl.compile(program, backend, precision="float64")
    return numbers(side.log_density({n: np.asarray(v) for n, v in values.items()}, by_site=True))


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_autoregression_by_hand(backend: str):
    program = PROGRAMS["an observed autoregression of order two"]()
    found = _density(program, {"a": [0.4, -0.3], "scale": 0.7}, backend)
    one, two, wanted = 0.2, -0.1, []
    for y in Y:
        wanted.append(stats.norm.logpdf(y, 0.4 * one - 0.3 * two, 0.7))
        one, two = y, one
    assert_close(found["y"], np.array(wanted), "y")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_volatility_by_hand(backend: str):
    program = PROGRAMS["a volatility that follows the data"]()
    found = _density(program, {"a": [0.3, 0.5, 0.2]}, backend)
    before, variance, wanted = 0.0, 1.0, []
    for y in Y:
        variance = 0.1 + 0.3 * before**2 + 0.5 * variance
        wanted.append(stats.norm.logpdf(y, 0.0, np.sqrt(variance)))
        before = y
    assert_close(found["y"], np.array(wanted), "y")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_scan_in_a_scan_by_hand(backend: str):
    program = PROGRAMS["a computed scan in a computed scan"]()
    found = _density(program, {"rate": 1.3}, backend)
    level, y, w = 1.0, np.zeros((4, 3)), np.zeros(4)
    for d in range(4):
        x = 0.5 * level
        for h in range(3):
            x = x + 0.13 * (1.0 - x) + 0.01 * h
            y[d, h] = stats.norm.logpdf(program.data["y"][d, h], x, 0.5)
        level = 0.5 * level + x
        w[d] = stats.norm.logpdf(program.data["w"][d], level, 0.5)
    assert_close(found["y"], y, "y")
    assert_close(found["w"], w, "w")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_recurrent_network_by_hand(backend: str):
    """The equations of torch.nn.GRU, from the weights that the program starts with."""
    program = PROGRAMS["a recurrent network"]()
    side = ppl.compile(program, backend, precision="float64")
    p, h = {k.split(".", 1)[-1] if k.startswith("cell") else k: v for k, v in side.params.items()}, np.zeros(3)
    w_in, w_hidden, b_in, b_hidden = (next(v for k, v in p.items() if k.endswith(s)) for s in _GRU)
    sigmoid = lambda x: 1.0 / (1.0 + np.exp(-x))
    wanted = []
    for x, y in zip(XS, Y, strict=True):
        gates, hidden = w_in @ x + b_in, w_hidden @ h + b_hidden
        reset, update = sigmoid(gates[:3] + hidden[:3]), sigmoid(gates[3:6] + hidden[3:6])
        h = (1.0 - update) * np.tanh(gates[6:] + reset * hidden[6:]) + update * h
        mean = side.params["head.0.weight"] @ h + side.params["head.0.bias"]
        wanted.append(stats.norm.logpdf(y, mean[0], 0.5))
    assert_close(numbers(side.log_density({}, by_site=True))["y"], np.array(wanted), "y")


_GRU = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def test_masked_steps_do_not_count():
    program = PROGRAMS["ragged lengths"]()
    z = np.random.default_rng(0).normal(size=(SERIES, STEPS))
    found = _density(program, {"a": 0.4, "z": z}, "pyro")
    alive = np.arange(STEPS) < np.array([2, 6, 4])[:, None]
    for site, mean, at, scale in (("z", 0.4 * np.c_[np.zeros(SERIES), z[:, :-1]], z, 0.3), ("y", z, GRID, 0.5)):
        assert_close(found[site], np.where(alive, stats.norm.logpdf(at, mean, scale), 0.0), site)


# --- how it is computed -----------------------------------------------------------------------------------------------

PARALLEL = (
    "a random walk",
    "an observed autoregression of order two",
    "many series",
    "a plate in a step",
    "ragged lengths",
    "positive states",
    "shares that drift",
    "vectors with a covariance",
    "a factor in a step",
    "nothing is handed on",
    "a scan in a scan",
)
STEPWISE = ("a recurrent network", "a differential equation", "a volatility that follows the data", "backwards")


@pytest.mark.parametrize("backend", BACKENDS)
def test_carries_of_sites_are_evaluated_for_all_steps_at_once(backend: str):
    for name in PARALLEL:
        source = ppl.compile(PROGRAMS[name](), backend).density[0].source
        assert "runtime.scan" not in source, name
    for name in STEPWISE:
        source = ppl.compile(PROGRAMS[name](), backend).density[0].source
        assert source.count("runtime.scan") == 1, name


@ppl.model
def _long(length: int):
    a = ppl.sample("a", dist.Normal(0.5, 0.2))
    cell = nn.GRUCell("cell", 1, 3)

    def step(carry, t):
        z, hidden = carry
        z = ppl.sample("z", dist.Normal(a * z, 0.3))
        hidden = cell(ops.stack([z]), hidden)
        ppl.sample("y", dist.Normal(ops.sum(hidden), 0.5))
        return z, hidden

    ppl.scan("time", step, init=(0.0, np.zeros(3)), length=length)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_cost_of_compiling_does_not_depend_on_the_length(backend: str):
    """Statement for statement the text is the same; only the number of steps in it differs."""

    def lines(length: int) -> list[str]:
        side = ppl.compile(_long(length).observe(y=np.zeros(length)), backend)
        native = _long(length).observe(y=np.zeros(length)).to_source(backend)
        texts = (side.density[0].source, side._simulator(frozenset(), frozenset())[0].source, native)
        return [line.replace(str(length), "N") for text in texts for line in text.splitlines()]

    assert lines(10) == lines(1000)


# --- draws ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "a recurrent network",
        "a differential equation",
        "many series of a computed state",
        "a plate in a step",
        "plates around and inside",
        "a scan in a scan",
        "a computed scan in a scan of sites in a plate",
        "backwards in a plate",
        "both directions",
        "vectors with a covariance",
        "two scans one after the other",
    ],
)
def test_equal_noise_gives_equal_draws(name: str):
    program = PROGRAMS[name]()
    generator = np.random.default_rng(0)
    noise = {}
    for spec in simulator(program).noise:
        shape = (2, *(p.size for p in spec.plates), *spec.shape)
        noise[spec.name] = generator.normal(size=shape) if spec.kind == "normal" else generator.uniform(size=shape)
    one, two = (numbers(ppl.compile(program, b, precision="float64").simulate((2,), noise=noise)) for b in BACKENDS)
    assert one.keys() == two.keys() == {*program.sites, *program.deterministics}
    for site, array in one.items():
        assert array.shape == (2, *ppl.compile(program, "pyro").sizes(site))
        assert_close(array, two[site], site)


def test_draws_follow_the_recurrence():
    """Given the noise, a walk is a cumulative sum."""
    program = PROGRAMS["a random walk"]()
    eps, eta = np.random.default_rng(1).normal(size=(2, STEPS))
    side = ppl.compile(program, "numpyro", precision="float64")
    drawn = numbers(side.simulate(noise={"a": np.array(0.75), "z": eps, "y": eta}))
    z, a = 0.0, float(drawn["a"])
    for t in range(STEPS):
        z = a * z + 0.3 * eps[t]
        assert_close(drawn["z"][t], np.array(z), f"z at {t}")
        assert_close(drawn["y"][t], np.array(z + 0.1 * t + 0.5 * eta[t]), f"y at {t}")
    assert_close(drawn["last"], drawn["z"][-1], "last")


def test_every_keyed_program_is_listed():
    assert {n for n in PROGRAMS if any(s.kind == "key" for s in simulator(PROGRAMS[n]()).noise)} == KEYED


@ppl.model
def _keyed(length: int = 3):
    """A recurrence through a sampler of a library, whose start does not vary over the series, and one that reads it."""
    with ppl.plate("series", size=2):

        def step(carry, t):
            shares, state = carry
            shares = ppl.sample("shares", dist.Dirichlet(1.0 + 6.0 * shares))
            state = ppl.sample("state", dist.Categorical(probs=0.7 * shares + 0.3 * ops.one_hot(state, 3)))
            return shares, state

        ppl.scan("time", step, init=(np.full(3, 1.0 / 3.0), 0), length=length)


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_step_draws_anew(backend: str):
    """Joint moments in each step against a simulation in numpy; steps and series have innovations of their own."""
    count = 6_000
    drawn = numbers(ppl.compile(_keyed(), backend).simulate((count,), key=get_backend(backend).key(3)))
    generator = np.random.default_rng(4)
    shares, state = np.full((count, 2, 3), 1.0 / 3.0), np.zeros((count, 2), int)
    innovations, before = [], shares
    for t in range(3):
        parts = generator.gamma(1.0 + 6.0 * shares)
        shares = parts / parts.sum(-1, keepdims=True)
        probs = 0.7 * shares + 0.3 * np.eye(3)[state]
        state = (generator.uniform(size=(count, 2, 1)) > probs.cumsum(-1)).sum(-1)
        own = drawn["shares"][:, :, t]
        _same_mean(own, shares, f"shares at {t}")
        # The state follows the very shares that were drawn, and the state before it.
        _same_mean(own * np.eye(3)[drawn["state"][:, :, t]], shares * np.eye(3)[state], f"state and shares at {t}")
        innovations.append((own - (1.0 + 6.0 * before) / 9.0)[..., 0])
        before = own
    changes = np.stack(innovations, axis=-1).reshape(count, -1)
    assert_mean(changes, 0.0)
    correlation = np.corrcoef(changes.T)[np.triu_indices(6, 1)]
    assert np.abs(correlation).max() < sigmas(len(correlation)) / np.sqrt(count)
    stay = drawn["state"][:, :, 1] == drawn["state"][:, :, 2]
    expected = 0.3 + 0.7 * np.take_along_axis(drawn["shares"][:, :, 2], drawn["state"][:, :, 1, None], -1)[..., 0]
    assert_mean(stay - expected, 0.0)


def _same_mean(one: np.ndarray, two: np.ndarray, what: str) -> None:
    error = np.sqrt(one.var(0) / len(one) + two.var(0) / len(two))
    off = np.abs(one.mean(0) - two.mean(0))
    assert np.all(off <= sigmas(int(np.size(off))) * error), what


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_keyed_site_in_a_scan_in_a_scan(backend: str):
    """Inner steps of every outer step have keys of their own, also where both scans are recurrences."""

    @ppl.model
    def model():
        def day(level, d):
            hours = ppl.scan("hours", lambda g, h: ppl.sample("g", dist.Gamma(9.0, 9.0 / g)), init=level, length=3)
            return ppl.sample("level", dist.Gamma(9.0, 9.0 / hours[-1]))

        ppl.scan("days", day, init=1.0, length=3)

    count = 5_000
    drawn = numbers(ppl.compile(model(), backend).simulate((count,), key=get_backend(backend).key(5)))
    before = np.concatenate([np.ones((count, 1)), drawn["level"][:, :-1]], axis=1)
    path = np.concatenate([before[..., None], drawn["g"], drawn["level"][..., None]], axis=2)
    ratios = (path[..., 1:] / path[..., :-1]).reshape(count, -1)
    assert_mean(ratios, 1.0)
    correlation = np.corrcoef(ratios.T)[np.triu_indices(12, 1)]
    assert np.abs(correlation).max() < sigmas(len(correlation)) / np.sqrt(count)


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "a recurrent network",
        "a differential equation",
        "plates around and inside",
        "a computed scan in a scan of sites in a plate",
        "backwards in a plate",
        "positive states",
    ],
)
def test_gradients_are_equal_on_both_backends(name: str):
    """Of the loss of a variational fit, which goes through the unconstrained space."""
    program, results = PROGRAMS[name](), []
    if not program.latents:
        program = _with_a_latent(program)
    for backend in BACKENDS:
        run = SVI(guide=AutoNormal(), progress=False).start(program, get_backend(backend), 0, "float64")
        generator = np.random.default_rng(5)
        noise = {n.name: generator.normal(size=n.shape) for n in run.surrogate.noise}
        results.append(loss_and_gradient(run, noise, {}))
    (first, grads), (second, others) = results
    assert first == pytest.approx(second, rel=1e-9)
    assert grads.keys() == others.keys()
    assert max(np.abs(g).max() for g in grads.values()) > 0.0
    for key, grad in others.items():
        np.testing.assert_allclose(grads[key], grad, rtol=1e-8, atol=1e-9 * max(1.0, np.abs(grad).max()))


def _with_a_latent(program: ppl.Program) -> ppl.Program:
    """The recurrent network with noise in its output."""

    @ppl.model
    def model(xs):
        cell = nn.GRUCell("cell", 2, 3)

        def step(hidden, x):
            hidden = cell(x, hidden)
            z = ppl.sample("z", dist.Normal(hidden[0], 0.5))
            ppl.sample("y", dist.Normal(z, 0.5))
            return hidden

        scan(step, np.zeros(3), xs=xs)

    return model(XS).observe(y=program.data["y"])


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_of_series_average_to_the_whole(backend: str):
    """A recurrence within a subsampled plate: over one epoch the losses average to that of all series."""

    @ppl.model
    def model(xs):
        rate = ppl.sample("rate", dist.Normal(0.5, 0.2))
        with ppl.plate("series", xs) as rows:
            start = ppl.sample("start", dist.Normal(0.0, 1.0))

            def step(carry, x):
                level, z = carry
                z = ppl.sample("z", dist.Normal(0.5 * z, 1.0))
                level = ops.tanh(rate * level + x)
                ppl.sample("y", dist.Normal(level + z, 0.5))
                return level, z

            scan(step, (start, 0.0), xs=rows)

    grid = np.random.default_rng(8).normal(size=(6, STEPS))
    program = model(grid).observe(y=grid)
    start = {"rate": 0.4, "start": grid[:, 0], "z": np.random.default_rng(3).normal(size=(6, STEPS))}
    guide = AutoDelta(init=start, init_radius=0.0)
    whole = SVI(guide=guide, progress=False).start(program, get_backend(backend), 0, "float64").advance(1)
    # Steps so small that nothing moves: the three batches of an epoch are the data, each once.
    still = SVI(guide=guide, optimizer=Adam(1e-14), batch_size=2, progress=False)
    parts = still.start(program, get_backend(backend), 0, "float64").advance(3)
    assert parts.mean() == pytest.approx(whole[0], rel=1e-9)
    assert np.ptp(parts) > 0.0


# --- transforms -------------------------------------------------------------------------------------------------------


@ppl.model
def _walks(length: int = STEPS):
    with ppl.plate("series", size=SERIES):
        a = ppl.sample("a", dist.Normal(0.5, 0.1))

        def step(previous, t):
            z = ppl.sample("z", dist.Normal(a * previous, 0.3))
            ppl.sample("y", dist.Normal(z, 0.5))
            return z

        ppl.scan("time", step, init=1.0, length=length)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("item", [1.5, GRID], ids=["a number", "one for each element"])
def test_intervening_on_a_site_cuts_the_steps_apart(item: Any, backend: str):
    done = _walks().do(z=item)
    assert done.parents("z") == (() if np.ndim(item) == 0 else ("do.z",))
    side = ppl.compile(done, backend, precision="float64")
    drawn = numbers(side.simulate((3,), key=side.backend.key(0)))
    assert_close(drawn["z"], np.broadcast_to(item, (3, SERIES, STEPS)), "z")
    found = numbers(side.log_density({n: drawn[n] for n in done.latents}, by_site=True))
    assert_close(found["y"], stats.norm.logpdf(drawn["y"], item, 0.5), "y")
    # A site that is observed may be set all the same: it is its own parent, and nothing else depends on it.
    assert _walks().observe(z=GRID).do(z=item) == done


@pytest.mark.parametrize("backend", BACKENDS)
def test_some_steps_are_set_as_the_remedy_of_do_says(backend: str):
    @ppl.model
    def model(chosen, values):
        def step(previous, row):
            free = ppl.sample("free", dist.Normal(0.8 * previous, 0.3))
            z = ppl.deterministic("z", ops.where(row[0], row[1], free))
            ppl.sample("y", dist.Normal(z, 0.5))
            return z

        ppl.scan("time", step, init=1.0, xs=(chosen, values))

    program = model(np.array([False, True, False, False]), np.array([0.0, 5.0, 0.0, 0.0]))
    side = ppl.compile(program, backend, precision="float64")
    drawn = numbers(side.simulate((4000,), key=side.backend.key(1)))
    assert np.all(drawn["z"][:, 1] == 5.0)
    # Each step goes on from where the one before stands, be it set or drawn.
    wanted = np.c_[np.full(4000, 0.8), np.full(4000, 4.0), 0.8 * drawn["z"][:, 2]]
    off = drawn["z"][:, [0, 2, 3]] - wanted
    assert_mean(off, 0.0)
    assert_variance(off, 0.09)
    values = {"free": drawn["free"][:3], "y": drawn["y"][:3]}
    before = np.c_[np.ones(3), drawn["z"][:3, :-1]]
    exact = stats.norm.logpdf(values["free"], 0.8 * before, 0.3) + stats.norm.logpdf(values["y"], drawn["z"][:3], 0.5)
    assert_close(np.asarray(side.log_density(values)), exact.sum(-1), "density")


@pytest.mark.parametrize("backend", BACKENDS)
def test_observing_the_state_of_a_scan(backend: str):
    program = _walks().observe(z=GRID)
    side = ppl.compile(program, backend, precision="float64")
    found = numbers(side.log_density({"a": np.full(SERIES, 0.4), "y": GRID + 0.1}, by_site=True))
    before = np.c_[np.ones(SERIES), GRID[:, :-1]]
    assert_close(found["z"], stats.norm.logpdf(GRID, 0.4 * before, 0.3), "z")
    assert_close(found["y"], stats.norm.logpdf(0.1, 0.0, 0.5) * np.ones((SERIES, STEPS)), "y")


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_length_is_another_program_of_the_same_text(backend: str):
    """`bind` goes through the carries: arrays of another length give what a new call gives."""
    longer = np.random.default_rng(4).normal(size=(SERIES, 9))
    bound = PROGRAMS["many series"]().bind(xs=longer).observe(y=longer)
    values = {n: np.random.default_rng(1).normal(size=(SERIES,) if n != "z" else (SERIES, 9)) for n in bound.latents}
    found = _density(bound, values, backend)
    before = np.c_[values["start"], values["z"][:, :-1]]
    mean = values["a"][:, None] * before + longer
    assert_close(found["z"], stats.norm.logpdf(values["z"], mean, 0.3), "z")
    assert_close(found["y"], stats.norm.logpdf(longer, values["z"], 0.5), "y")
