"""Discrete sites along scans, summed out over all paths: against the sum written out, and against both libraries."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

import ppl
from ppl import dist, ops
from ppl.backend.compiled import Compiled, get_backend
from ppl.errors import StrategyError
from ppl.inference import NUTS, SVI, Adam, AutoDelta, AutoNormal, ImportanceSampling
from ppl.inference.exact import draw_exact
from ppl.transforms.density import log_density
from ppl.transforms.exact import exact_sites
from tests.budget import assert_frequencies, assert_mean, sigmas
from tests.inference.cases import BACKENDS
from tests.inference.chain_programs import MOVES, PROGRAMS, T, Y, scan
from tests.inference.test_enumeration import combinations, continuous, every_combination
from tests.models.comparing import assert_means


def total_and_gradient(model: ppl.Program, values: dict[str, Any], backend: str) -> tuple[float, dict[str, np.ndarray]]:
    """The log density with all discrete sites summed out, and its gradient in the continuous ones."""
    side = Compiled(model, get_backend(backend), "float64", 0)
    total = log_density(model, exact=exact_sites(model)).total()
    emitted = side.emitter(lead=False).emit("total", {"total": total}, single=True)
    function, data, given = side.load(emitted), side.bind(emitted), side.value_arrays(values)
    if backend == "pyro":
        leaves = {k: v.clone().requires_grad_() for k, v in given.items()}
        result = function({}, leaves, data, {})
        grads = torch.autograd.grad(result, list(leaves.values())) if leaves else ()
        return result.item(), {k: g.numpy() for k, g in zip(leaves, grads, strict=True)}
    with side.backend.context("float64"):
        result, found = jax.jit(jax.value_and_grad(lambda v: function({}, v, data, {})))(given)
    return float(result), {k: np.asarray(g) for k, g in found.items()}


# --- the sum ----------------------------------------------------------------------------------------------------------


# JAX compiles each program anew, so it evaluates one of each kind.
ON_BOTH = (
    "a hidden Markov model",
    "backwards",
    "inputs in the transition",
    "two chains seen together",
    "chains that read each other",
    "a mixture of chains",
    "one site above all chains",
    "a plate of observations in each step",
    "a switching autoregression",
    "what is carried is computed from the site",
    "moves that are impossible",
    "one step",
)


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_sum_is_that_over_all_paths(name: str):
    model = PROGRAMS[name]()
    values = continuous(model)
    wanted = float(logsumexp(every_combination(model, values, "pyro")))
    results = [total_and_gradient(model, values, backend) for backend in (BACKENDS if name in ON_BOTH else ("pyro",))]
    for found, _ in results:
        assert found == pytest.approx(wanted, rel=1e-11)
    for site, grad in results[0][1].items():
        assert np.isfinite(grad).all()
        np.testing.assert_allclose(results[-1][1][site], grad, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "name", ["a hidden Markov model", "a mixture of chains", "a local site in each step", "moves that are impossible"]
)
def test_gradients_are_those_of_the_sum_over_all_paths(name: str):
    """Differences of the sum that is written out."""
    model = PROGRAMS[name]()
    values = {n: np.array(v) for n, v in continuous(model).items()}
    _, grads = total_and_gradient(model, values, "pyro")

    def written_out(site: str, at: int, by: float) -> float:
        moved = {n: v.copy() for n, v in values.items()}
        moved[site].reshape(-1)[at] += by
        return float(logsumexp(every_combination(model, moved, "pyro")))

    for site, grad in grads.items():
        if model.sites[site].dist.family == "Dirichlet":
            # A row that does not add up to one is refused.
            continue
        for at in range(grad.size):
            slope = (written_out(site, at, 1e-5) - written_out(site, at, -1e-5)) / 2e-5
            assert grad.reshape(-1)[at] == pytest.approx(slope, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n != "a plate of observations in each step"])
def test_paths_are_drawn_from_their_joint_distribution(name: str):
    """Given the continuous sites, each path is drawn as often as its probability says."""
    model = PROGRAMS[name]()
    values, count = continuous(model), 2000
    joint = every_combination(model, values, "pyro")
    wanted = np.exp(joint - logsumexp(joint))
    side = Compiled(model, get_backend("pyro"), "float64", 0)
    wide = {n: np.broadcast_to(v, (count, *v.shape)) for n, v in values.items()}
    drawn = draw_exact(side, wide, count, {}, seed=1)
    paths = combinations(model)
    table = {tuple(np.concatenate([np.ravel(v[i]) for v in paths.values()])): i for i in range(len(joint))}
    index = np.array([table[tuple(np.concatenate([np.ravel(drawn[n][i]) for n in paths]))] for i in range(count)])
    assert np.isfinite(joint[index]).all()
    assert_frequencies(index[:, None] == np.arange(len(joint)), wanted)
    # The values of each step, and of each step with the one before it.
    for site, values in paths.items():
        for own in np.unique(values):
            each, found = values.reshape(len(joint), -1) == own, drawn[site].reshape(count, -1) == own
            for here, there in ((each, found), (each[:, 1:] & each[:, :-1], found[:, 1:] & found[:, :-1])):
                assert_frequencies(there, wanted @ here)


def test_draws_are_equal_on_both_backends_and_computed_values_follow():
    model = PROGRAMS["observations of both steps"]()
    fits = [ppl.infer(model, ImportanceSampling(100), backend=b) for b in BACKENDS]
    np.testing.assert_array_equal(fits[0].draws["z"], fits[1].draws["z"])
    for fit in fits:
        z = fit.draws["z"]
        before = np.concatenate([np.ones((1, 100, 1), int), z[..., :-1]], axis=-1)
        np.testing.assert_array_equal(fit.draws["changed"], z != before)
        assert fit.log_evidence == pytest.approx(logsumexp(every_combination(model, {}, "pyro")), abs=1e-5)


# --- the methods ------------------------------------------------------------------------------------------------------

STAYS = 0.8
SERIES = np.random.default_rng(9).normal(np.array([-1, -1, -1, 1, 1, 1, 1, -1, -1, 1]), 0.8)


@ppl.model
def switching(length: int = 10):
    stay = ppl.sample("stay", dist.Beta(4.0, 2.0))

    def step(previous, t):
        z = ppl.sample("z", dist.Bernoulli(probs=ops.where(previous == 1, stay, 1.0 - stay)))
        ppl.sample("y", dist.Normal(2.0 * z - 1.0, 1.5))
        return z

    ppl.scan("time", step, init=0, length=length)


@functools.cache
def exact() -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """On a grid of `stay`: its posterior, and the probability of state one in each step; and the log evidence."""
    grid = (np.arange(2000) + 0.5) / 2000
    log_prior = stats.beta.logpdf(grid, 4.0, 2.0)
    emission = stats.norm.logpdf(SERIES[:, None], np.array([-1.0, 1.0]), 1.5)
    moves = np.log(np.stack([np.stack([grid, 1 - grid], -1), np.stack([1 - grid, grid], -1)], -2))
    ahead = [moves[:, 0] + emission[0]]
    for e in emission[1:]:
        ahead.append(logsumexp(ahead[-1][:, :, None] + moves, axis=1) + e)
    back = [np.zeros((2000, 2))]
    for e in emission[:0:-1]:
        back.append(logsumexp(moves + (e + back[-1])[:, None, :], axis=2))
    joint = log_prior + logsumexp(ahead[-1], axis=-1)
    evidence = float(logsumexp(joint) - np.log(2000))
    posterior = np.exp(joint - logsumexp(joint))
    both = np.stack(ahead, 1) + np.stack(back[::-1], 1)
    return grid, posterior, np.exp(both - logsumexp(both, axis=-1, keepdims=True))[..., 1], evidence


def test_the_reference_is_that_of_all_paths():
    grid, posterior, ones, evidence = exact()
    model = switching().observe(y=SERIES)
    joint = every_combination(model, {"stay": grid[1200]}, "pyro")
    paths = combinations(model)["z"]
    weights = np.exp(joint - logsumexp(joint))
    np.testing.assert_allclose(weights @ paths, ones[1200], rtol=1e-6)
    assert posterior[1200] * 2000 == pytest.approx(np.exp(logsumexp(joint) - evidence), rel=1e-6)


def test_importance_sampling_gives_the_evidence():
    fit = ppl.infer(switching().observe(y=SERIES), ImportanceSampling(4000), backend="pyro", seed=3)
    _, posterior, ones, evidence = exact()
    # The error of a log of a mean of weights, from the effective number of draws.
    assert fit.log_evidence is not None
    error = np.sqrt(1.0 / float(fit.diagnostics["ess"]) - 1.0 / 4000)
    assert abs(fit.log_evidence - evidence) < sigmas() * error
    drawn = fit.resample(4000, seed=0).draws["z"][0]
    assert_mean(drawn + 0.0, posterior @ ones, float(fit.diagnostics["ess"]))


@pytest.mark.parametrize(("backend", "draws"), [("numpyro", 400), ("pyro", 120)])
def test_nuts_samples_the_posterior_and_paths(backend: str, draws: int):
    method = NUTS(chains=1, warmup=draws // 2, draws=draws, progress=False)
    fit = ppl.infer(switching().observe(y=SERIES), method, backend=backend, seed=1)
    grid, posterior, ones, _ = exact()
    assert_means({"stay": fit.draws["stay"]}, {"stay": np.asarray(posterior @ grid)})
    assert fit.draws["z"].shape == (1, draws, 10)
    # Where a state is nearly certain, the mean of so few draws is far from normal.
    unsure = np.abs(posterior @ ones - 0.5) < 0.4
    assert_means({"z": fit.draws["z"][..., unsure]}, {"z": (posterior @ ones)[unsure]})
    assert unsure.sum() >= 5


@pytest.mark.parametrize("backend", BACKENDS)
def test_svi_finds_the_mode_of_the_sum(backend: str):
    method = SVI(guide=AutoDelta(), optimizer=Adam(0.05), steps=400, draws=1, progress=False)
    fit = ppl.infer(switching().observe(y=SERIES), method, backend=backend)

    def loss(stay: float) -> float:
        return -total_and_gradient(switching().observe(y=SERIES), {"stay": np.array(stay)}, "pyro")[0]

    best = minimize_scalar(loss, bounds=(0.05, 0.95), method="bounded", options={"xatol": 1e-6}).x
    assert float(fit.draws["stay"].ravel()[0]) == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_of_series_add_up_to_the_whole(backend: str):
    @ppl.model
    def model(count: int = 6):
        stay = ppl.sample("stay", dist.Beta(4.0, 2.0))
        with ppl.plate("series", size=count):

            def step(previous, t):
                z = ppl.sample("z", dist.Bernoulli(probs=ops.where(previous == 1, stay, 1.0 - stay)))
                ppl.sample("y", dist.Normal(2.0 * z - 1.0, 0.8))
                return z

            ppl.scan("time", step, init=0, length=5)

    observed = model().observe(y=np.random.default_rng(2).normal(size=(6, 5)))
    guide = AutoDelta(init={"stay": 0.7}, init_radius=0.0)
    whole = SVI(guide=guide, progress=False).start(observed, get_backend(backend), 0, "float64").advance(1)
    still = SVI(guide=guide, optimizer=Adam(1e-14), batch_size=2, progress=False)
    parts = still.start(observed, get_backend(backend), 0, "float64").advance(3)
    assert parts.mean() == pytest.approx(whole[0], rel=1e-9)
    assert np.ptp(parts) > 0.0


def test_pyro_and_numpyro_have_the_same_density_and_marginals():
    """Pyro's TraceEnum_ELBO over markov steps and NumPyro's enumerated scan, on models written by hand in each."""
    import numpyro
    import numpyro.distributions as nd
    import pyro
    import pyro.distributions as pd
    from numpyro.contrib.control_flow import scan as numpyro_scan
    from numpyro.contrib.funsor import config_enumerate, enum
    from numpyro.contrib.funsor import log_density as enumerated
    from pyro.infer import TraceEnum_ELBO

    centre = np.array([-1.0, 0.5, 2.0])

    def torch_model():
        rows, at = torch.as_tensor(MOVES), torch.as_tensor(centre)
        z = 1
        for t in pyro.markov(range(T)):
            z = pyro.sample(f"z_{t}", pd.Categorical(rows[z]), infer={"enumerate": "parallel"})
            pyro.sample(f"y_{t}", pd.Normal(at[z], 0.7), obs=torch.as_tensor(Y[t]))

    theirs = -TraceEnum_ELBO(max_plate_nesting=0).loss(torch_model, lambda: None)
    found = TraceEnum_ELBO(max_plate_nesting=0).compute_marginals(torch_model, lambda: None)
    marginals = np.stack([np.asarray(found[f"z_{t}"].probs) for t in range(T)])

    def jax_model(y, pull):
        def step(z, row):
            z = numpyro.sample("z", nd.Categorical(jnp.asarray(MOVES)[z]))
            log_prob = nd.Normal(jnp.asarray(centre)[z], 0.7).log_prob(row[0]) + row[1][z]
            numpyro.sample("y", nd.Delta(jnp.broadcast_to(row[0], jnp.shape(z)), log_prob), obs=row[0])
            return z, None

        numpyro_scan(step, 1, (y, pull))

    def jax_total(pull):
        return enumerated(enum(config_enumerate(jax_model), first_available_dim=-1), (jnp.asarray(Y), pull), {}, {})[0]

    with jax.enable_x64(True):
        # The slope by a weight on each value is the probability of that value.
        others, slopes = jax.value_and_grad(jax_total)(jnp.zeros((T, 3)))

    @ppl.model
    def model():
        def step(previous, t):
            z = ppl.sample("z", dist.Categorical(probs=ops.asarray(MOVES)[previous]))
            ppl.sample("y", dist.Normal(ops.asarray(centre)[z], 0.7))
            return z

        scan(step, 1)

    ours = total_and_gradient(model().observe(y=Y), {}, "pyro")[0]
    assert theirs == pytest.approx(ours, rel=1e-6)
    assert float(others) == pytest.approx(ours, rel=1e-6)
    np.testing.assert_allclose(marginals, slopes, rtol=1e-5, atol=1e-9)
    for backend in BACKENDS:
        drawn = ppl.infer(model().observe(y=Y), ImportanceSampling(4000), backend=backend).draws["z"][0]
        assert_frequencies((drawn[..., None] == np.arange(3)).reshape(4000, -1), marginals.ravel())


# --- what has no exact sum --------------------------------------------------------------------------------------------


def _state(name: str, before: Any, mean: Any = 0.0) -> Any:
    z = ppl.sample(name, dist.Bernoulli(probs=0.2 + 0.6 * before))
    ppl.sample("y", dist.Normal(mean + z, 0.7))
    return z


def _second_order(mean: Any) -> None:
    scan(lambda c, t: (_state("z", 0.5 * c[0] + 0.5 * c[1], mean), c[0]), (0, 0))


def _computed_from_a_chain(mean: Any) -> None:
    def step(carry, t):
        z = ppl.sample("z", dist.Bernoulli(probs=0.2 + 0.6 * carry[0]))
        level = 0.5 * carry[1] + z
        ppl.sample("y", dist.Normal(mean + level, 0.7))
        return z, level

    scan(step, (0, 0.0))


def _computed_from_single_sites(mean: Any) -> None:
    def step(level, t):
        level = 0.5 * level + ppl.sample("z", dist.Bernoulli(probs=0.3))
        ppl.sample("y", dist.Normal(mean + level, 0.7))
        return level

    scan(step, 0.0)


def _all_steps_at_once(mean: Any) -> None:
    path = scan(lambda c, t: _state("z", c, mean))
    ppl.sample("w", dist.Normal(1.0 * ops.sum(path), 1.0))


def _a_plate_in_the_steps(mean: Any) -> None:
    def step(before, t):
        with ppl.plate("rows", before) as own:
            z = ppl.sample("z", dist.Bernoulli(probs=0.2 + 0.6 * own))
        ppl.sample("y", dist.Normal(mean, 0.7))
        return z

    scan(step, np.zeros(2, int))


def _both_directions(mean: Any) -> None:
    with ppl.plate("time", size=T):
        z = ppl.sample("z", dist.Bernoulli(probs=0.3))

    def step(name: str):
        def run(before, x):
            ppl.sample(name, dist.Normal(mean + x + 0.5 * before, 0.7))
            return x

        return run

    ppl.scan("time", step("y"), init=0, xs=z)
    ppl.scan("time", step("w"), init=0, xs=z, reverse=True)


def _plates_that_cross(mean: Any) -> None:
    with ppl.plate("rows", size=2):
        kind = ppl.sample("kind", dist.Bernoulli(probs=0.4))

    def step(before, t):
        z = ppl.sample("z", dist.Bernoulli(probs=0.2 + 0.6 * before))
        with ppl.plate("rows", kind) as own:
            ppl.sample("y", dist.Normal(mean + z + own, 0.7))
        return z

    scan(step)


def _values_without_bound(mean: Any) -> None:
    def step(before, t):
        n = ppl.sample("n", dist.Poisson(1.0 + 0.5 * before))
        ppl.sample("y", dist.Normal(mean + n, 0.7))
        return n

    scan(step)


def _rows_under_a_state(mean: Any) -> None:
    def step(before, t):
        z = ppl.sample("z", dist.Bernoulli(probs=0.2 + 0.6 * before))
        with ppl.plate("rows", size=4):
            ppl.sample("y", dist.Normal(mean + z, 0.7))
        return z

    scan(step)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("body", "site", "data", "batch", "message"),
    [
        (_second_order, "z", {"y": Y}, None, "a step of scan 'time' reads it two steps back"),
        (_computed_from_a_chain, "z", {"y": Y}, None, r"what scan 'time' carries .* is computed from it"),
        (_computed_from_single_sites, "z", {"y": Y}, None, r"what scan 'time' carries .* is computed from it"),
        (_all_steps_at_once, "z", {"y": Y, "w": 1.0}, None, "'w' reads its values in plate 'time' together"),
        (
            _a_plate_in_the_steps,
            "z",
            {"y": Y},
            None,
            r"the next step of scan 'time' \(carry 'before'\) reads its values",
        ),
        (_both_directions, "z", {"y": Y, "w": Y}, None, "scans that run in different directions read it"),
        (_plates_that_cross, "z", {"y": np.zeros((T, 2))}, None, "sites 'z' and 'kind' cannot be summed out together"),
        (_values_without_bound, "n", {"y": Y}, None, "it is discrete, and this method needs continuous"),
        (
            _rows_under_a_state,
            "z",
            {"y": np.zeros((T, 4))},
            {"rows": 2},
            "outside plate 'rows', of which each step sees",
        ),
    ],
)
def test_what_cannot_be_summed_out_is_refused(body, site: str, data: dict[str, Any], batch, message: str, backend: str):
    @ppl.model
    def model():
        body(ppl.sample("mean", dist.Normal(0.0, 1.0)))

    with pytest.raises(StrategyError, match=message) as caught:
        method = SVI(guide=AutoNormal(), steps=2, batch_size=batch, progress=False)
        ppl.infer(model().observe(**data), method, backend=backend)
    assert caught.value.site == site
    assert caught.value.declared_at is not None
    assert caught.value.remedy
