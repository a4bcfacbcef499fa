"""Discrete sites summed out exactly: against the sum over all combinations, and against Pyro's and NumPyro's own."""

# Names in models are symbolic values.
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import logsumexp

import ppl
from ppl import dist, ops
from ppl.backend.compiled import Compiled, get_backend
from ppl.errors import StrategyError
from ppl.inference import ELBO, IWELBO, NUTS, SVI, Adam, AutoDelta, AutoNormal, ImportanceSampling
from ppl.inference.choose import choose
from ppl.inference.exact import draw_exact
from ppl.transforms.density import log_density
from ppl.transforms.exact import exact_sites, finite_values
from tests.budget import assert_frequencies, assert_mean, sigmas
from tests.inference.cases import BACKENDS

RNG = np.random.default_rng(11)
PROGRAMS: dict[str, Callable[[], ppl.Program]] = {}


def program(function: Callable[[], ppl.Program]) -> Callable[[], ppl.Program]:
    PROGRAMS[function.__name__.strip("_").replace("_", " ")] = function
    return function


@program
def _one_site():
    @ppl.model
    def model():
        m = ppl.sample("m", dist.Normal(0.0, 2.0))
        z = ppl.sample("z", dist.Categorical(probs=np.array([0.2, 0.5, 0.3])))
        ppl.sample("y", dist.Normal(m * z, 1.0))

    return model().observe(y=0.7)


@program
def _in_a_plate():
    @ppl.model
    def model():
        w = ppl.sample("w", dist.Dirichlet(np.array([1.0, 2.0])))
        with ppl.plate("components", size=2):
            centre = ppl.sample("centre", dist.Normal(0.0, 2.0).expand([2]))
        with ppl.plate("rows", size=3):
            z = ppl.sample("z", dist.Categorical(probs=w))
            ppl.sample("y", dist.Normal(centre[z], 1.0))

    return model().observe(y=RNG.normal(size=(3, 2)))


@program
def _outside_and_inside_a_plate():
    @ppl.model
    def model():
        m = ppl.sample("m", dist.Normal(0.0, 1.0))
        g = ppl.sample("g", dist.Bernoulli(logits=0.3 * m))
        with ppl.plate("rows", size=3):
            z = ppl.sample("z", dist.Bernoulli(probs=0.3 + 0.4 * g))
            ppl.sample("y", dist.Normal(m + z - 2.0 * g, 0.5))

    return model().observe(y=RNG.normal(size=3))


@program
def _nested_plates():
    @ppl.model
    def model():
        with ppl.plate("groups", size=2):
            m = ppl.sample("m", dist.Normal(0.0, 1.0))
            g = ppl.sample("g", dist.Categorical(logits=np.array([0.1, -0.2, 0.4])))
            with ppl.plate("rows", size=2):
                z = ppl.sample("z", dist.Bernoulli(logits=m * g))
                ppl.sample("y", dist.Normal(g - z, 1.0))

    return model().observe(y=RNG.normal(size=(2, 2)))


@program
def _a_chain():
    """A hidden Markov model written out; each sum holds two neighbours only."""

    @ppl.model
    def model():
        with ppl.plate("states", size=3):
            step = ppl.sample("step", dist.Dirichlet(np.array([2.0, 1.0, 1.0])))
        z = 0
        for t in range(5):
            z = ppl.sample(f"z{t}", dist.Categorical(probs=step[z]))
            ppl.sample(f"y{t}", dist.Normal(1.0 * z, 0.7))

    return model().observe(**{f"y{t}": v for t, v in enumerate(RNG.normal(1.0, 1.0, 5))})


@program
def _a_site_with_two_parents_of_its_own():
    @ppl.model
    def model():
        m = ppl.sample("m", dist.Normal(0.0, 1.0))
        a = ppl.sample("a", dist.Bernoulli(probs=0.3))
        b = ppl.sample("b", dist.Categorical(probs=np.array([0.5, 0.2, 0.3])))
        c = ppl.sample("c", dist.Bernoulli(logits=m + a - b))
        ppl.sample("y", dist.Normal(c + 0.1 * b, 1.0))
        ppl.factor("pull", -0.5 * a * c)

    return model().observe(y=0.2)


@program
def _a_factor_and_a_mask():
    @ppl.model
    def model():
        m = ppl.sample("m", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", size=3) as i:
            z = ppl.sample("z", dist.Categorical(probs=np.array([0.6, 0.4])).mask(i < 2))
            ppl.factor("pull", m * z)
            ppl.sample("y", dist.Normal(m + z, 1.0).mask(i > 0))

    return model().observe(y=RNG.normal(size=3))


@program
def _a_continuous_site_between():
    @ppl.model
    def model():
        with ppl.plate("rows", size=2):
            z = ppl.sample("z", dist.Bernoulli(probs=0.4))
            x = ppl.sample("x", dist.Normal(3.0 * z, 1.0))
            ppl.sample("y", dist.Normal(x, 0.5))

    return model().observe(y=RNG.normal(size=2))


@program
def _a_mixture_inside():
    @ppl.model
    def model():
        m = ppl.sample("m", dist.Normal(0.0, 1.0).expand([2]))
        with ppl.plate("rows", size=3):
            z = ppl.sample("z", dist.Bernoulli(probs=0.4))
            ppl.sample("y", dist.MixtureSameFamily(np.array([0.3, 0.7]), dist.Normal(m + z, 1.0)))

    return model().observe(y=RNG.normal(size=3))


def present(values: tuple[int, int] | None) -> tuple[int, int]:
    assert values is not None
    return values


def combinations(model: ppl.Program) -> dict[str, np.ndarray]:
    """All joint values of the discrete sites, shape (combinations, plates...)."""
    sites = exact_sites(model)
    sizes = {n: int(np.prod([p.size for p in s.plates])) for n, s in sites.items()}
    values = {n: present(finite_values(s.dist)) for n, s in sites.items()}
    ranges = [range(low, low + count) for n, (low, count) in values.items() for _ in range(sizes[n])]
    rows = np.array(list(itertools.product(*ranges)))
    parts = np.split(rows, np.cumsum(list(sizes.values()))[:-1], axis=1)
    return {n: part.reshape(-1, *(p.size for p in sites[n].plates)) for n, part in zip(sites, parts, strict=True)}


def every_combination(model: ppl.Program, values: dict[str, np.ndarray], backend: str) -> np.ndarray:
    """Log joint density at each combination, by the density that knows nothing of sums."""
    discrete = combinations(model)
    count = len(next(iter(discrete.values())))
    wide = {n: np.broadcast_to(v, (count, *v.shape)) for n, v in values.items()}
    side = ppl.compile(model, backend, precision="float64")
    return np.asarray(side.log_density({**wide, **discrete}))


def continuous(model: ppl.Program) -> dict[str, np.ndarray]:
    drawn = ppl.compile(model, "pyro", precision="float64").simulate(key=get_backend("pyro").key(3))
    return {n: np.asarray(drawn[n]) for n in model.latents if n not in exact_sites(model)}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_sum_is_that_over_all_combinations(name: str, backend: str):
    model = PROGRAMS[name]()
    values = continuous(model)
    side = Compiled(model, get_backend(backend), "float64", 0)
    total = log_density(model, exact=exact_sites(model)).total()
    emitted = side.emitter(lead=False).emit("total", {"total": total}, single=True)
    found = side.backend.jit(side.load(emitted), "float64")({}, side.value_arrays(values), side.bind(emitted), {})
    wanted = float(logsumexp(every_combination(model, values, backend)))
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-11)


@pytest.mark.parametrize("name", PROGRAMS)
def test_draws_come_from_the_exact_conditional(name: str):
    """Given the continuous sites, each combination is drawn as often as its probability says."""
    model = PROGRAMS[name]()
    values, count = continuous(model), 4000
    joint = every_combination(model, values, "pyro")
    wanted = np.exp(joint - logsumexp(joint))
    side = Compiled(model, get_backend("numpyro"), "float64", 0)
    wide = {n: np.broadcast_to(v, (count, *v.shape)) for n, v in values.items()}
    drawn = draw_exact(side, wide, count, {}, seed=1)
    table = {
        tuple(np.concatenate([np.ravel(v[i]) for v in combinations(model).values()])): i for i in range(len(joint))
    }
    sites = list(exact_sites(model))
    index = np.array([table[tuple(np.concatenate([np.ravel(drawn[n][i]) for n in sites]))] for i in range(count)])
    hits = index[:, None] == np.arange(len(joint))
    assert_mean(hits[:, wanted > 0.02].astype(float), wanted[wanted > 0.02])


def test_draws_are_equal_on_both_backends_and_deterministic_values_follow():
    @ppl.model
    def model():
        with ppl.plate("rows", size=3):
            z = ppl.sample("z", dist.Categorical(probs=np.array([0.2, 0.3, 0.5])))
            double = ppl.deterministic("double", 2.0 * z)
            ppl.sample("y", dist.Normal(double, 1.0))
        ppl.deterministic("total", ops.sum(z))

    observed = model().observe(y=np.array([0.5, 2.0, 4.5]))
    fits = [ppl.infer(observed, ImportanceSampling(200), backend=b) for b in BACKENDS]
    np.testing.assert_array_equal(fits[0].draws["z"], fits[1].draws["z"])
    np.testing.assert_array_equal(fits[0].draws["double"], 2.0 * fits[0].draws["z"])
    np.testing.assert_array_equal(fits[0].draws["total"], fits[0].draws["z"].sum(-1))
    # All sites are summed out, so every weight is the evidence itself.
    joint = every_combination(observed, {}, "pyro")
    for fit in fits:
        assert fit.log_evidence == pytest.approx(logsumexp(joint), abs=1e-5)
        assert fit.diagnostics["ess"] == pytest.approx(200)


# --- the methods ----------------------------------------------------------------------------------------------------


@ppl.model
def mixture(rows: int):
    weight = ppl.sample("weight", dist.Beta(2.0, 2.0))
    with ppl.plate("sides", size=2):
        centre = ppl.sample("centre", dist.Normal(0.0, 3.0))
    with ppl.plate("rows", size=rows):
        side = ppl.sample("side", dist.Bernoulli(probs=weight))
        ppl.sample("y", dist.Normal(centre[side], 0.5))


@ppl.model
def by_hand(rows: int):
    weight = ppl.sample("weight", dist.Beta(2.0, 2.0))
    with ppl.plate("sides", size=2):
        centre = ppl.sample("centre", dist.Normal(0.0, 3.0))
    with ppl.plate("rows", size=rows):
        ppl.sample("y", dist.MixtureSameFamily(ops.stack([1.0 - weight, weight]), dist.Normal(centre, 0.5)))


Y = np.concatenate([RNG.normal(-2.0, 0.5, 14), RNG.normal(1.5, 0.5, 6)])
START = {"centre": np.array([-1.0, 1.0])}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("objective", [ELBO(3), IWELBO(4)])
def test_svi_is_that_of_the_mixture_written_by_hand(backend: str, objective: ELBO | IWELBO):
    method = SVI(objective=objective, guide=AutoNormal(init=START), optimizer=Adam(0.05), progress=False)
    runs = [
        method.start(m(20).observe(y=Y), get_backend(backend), 0, "float64").advance(40) for m in (mixture, by_hand)
    ]
    np.testing.assert_allclose(runs[0], runs[1], rtol=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_minibatches_add_up_to_the_whole(backend: str):
    model = mixture(20).observe(y=Y)
    guide = AutoDelta(init=START, init_radius=0.0)
    whole = SVI(guide=guide, progress=False).start(model, get_backend(backend), 0, "float64").advance(1)
    # Steps so small that nothing moves: the four batches of an epoch are the data, each once.
    still = SVI(guide=guide, optimizer=Adam(1e-14), batch_size=5, progress=False)
    parts = still.start(model, get_backend(backend), 0, "float64").advance(4)
    assert parts.mean() == pytest.approx(whole[0], rel=1e-9)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_fit_knows_its_quality_and_bounds_the_evidence(backend: str):
    method = SVI(guide=AutoNormal(init=START), optimizer=Adam(0.05), steps=200, draws=100, progress=False)
    fit = ppl.infer(mixture(20).observe(y=Y), method, backend=backend)
    # The ratio is that of the summed density, which the guide approximates: the joint one would be far off.
    assert fit.log_p is not None
    assert fit.log_q is not None
    assert np.std(fit.log_p - fit.log_q) < 2.0
    assert set(fit.draws) == {"weight", "centre", "side"}
    assert fit.khat is not None
    assert fit.khat < 1.0
    # One weight for all rows, which share latents; the sum over sides is in it.
    found = fit.log_evidence_bound(particles=2000)
    assert found["bound"].dims == ()
    elbo = float(np.mean(fit.log_p - fit.log_q))
    assert abs(float(found["elbo"]) - elbo) < sigmas() * np.std(fit.log_p - fit.log_q) * (1 / 100 + 1 / 2000) ** 0.5
    assert float(found["bound"]) > float(found["elbo"])


def test_nuts_on_the_sum_is_the_mixture_written_by_hand():
    method = NUTS(chains=1, draws=300, warmup=300, init=START, progress=False)
    fits = [ppl.infer(m(20).observe(y=Y), method) for m in (mixture, by_hand)]
    # One density, one seed: the chains are the same up to rounding, until chaos sets in.
    np.testing.assert_allclose(fits[0].draws["centre"][:, 0], fits[1].draws["centre"][:, 0], rtol=1e-2)
    for fit in fits:
        np.testing.assert_allclose(fit.draws["centre"].mean((0, 1)), [-2.0, 1.5], atol=0.6)
    assert fits[0].draws["side"].shape == (1, 300, 20)
    # Rows far on one side are drawn there.
    far = np.abs(Y + 0.25) > 1.5
    np.testing.assert_allclose(fits[0].draws["side"].mean((0, 1))[far], (Y > -0.25)[far], atol=0.02)


def test_the_chosen_method_says_what_is_summed_out():
    fit, reason = choose(mixture(20).observe(y=Y))
    assert isinstance(fit, NUTS)
    assert "'side' summed out exactly" in reason


@pytest.mark.parametrize("backend", BACKENDS)
def test_parameters_of_maximum_likelihood_with_everything_else_summed_out(backend: str):
    """The fixed point of expectation and maximisation: a weight is the mean probability of its component."""

    @ppl.model
    def model():
        weight = ppl.param("weight", 0.5, support=dist.support.unit_interval)
        with ppl.plate("rows", size=20):
            side = ppl.sample("side", dist.Bernoulli(probs=weight))
            ppl.sample("y", dist.Normal(3.0 * side - 1.5, 2.0))

    observed = model().observe(y=Y)
    method, reason = choose(observed)
    assert isinstance(method, SVI)
    assert reason.startswith("all latent sites are summed out exactly")
    still = SVI(guide=AutoDelta(), optimizer=Adam(0.05), steps=400, draws=1, progress=False)
    weight = float(ppl.infer(observed, still, backend=backend).params["weight"])
    right, left = (np.exp(-((Y - at) ** 2) / 8.0) for at in (1.5, -1.5))
    assert weight == pytest.approx(np.mean(weight * right / (weight * right + (1 - weight) * left)), abs=1e-5)


def test_pyro_and_numpyro_have_the_same_density_and_marginals():
    """Pyro's TraceEnum_ELBO and NumPyro's funsor enumeration, on models written by hand in each."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as nd
    import pyro
    import pyro.distributions as pd
    import torch
    from numpyro.contrib.funsor import config_enumerate, enum
    from numpyro.contrib.funsor import log_density as enumerated
    from pyro.infer import TraceEnum_ELBO

    weight, centre, rows = 0.3, np.array([-1.5, 1.0]), np.linspace(-1.0, 0.8, 20)

    def torch_model():
        two, at = torch.tensor(2.0).double(), torch.as_tensor(centre)
        pyro.sample("weight", pd.Beta(two, two), obs=torch.tensor(weight).double())
        with pyro.plate("sides", 2):
            pyro.sample("centre", pd.Normal(0.0, 3.0), obs=at)
        with pyro.plate("rows", 20):
            side = pyro.sample("side", pd.Bernoulli(torch.tensor(weight).double()), infer={"enumerate": "parallel"})
            pyro.sample("y", pd.Normal(at[side.long()], 0.5), obs=torch.as_tensor(rows))

    loss = TraceEnum_ELBO(max_plate_nesting=1).loss(torch_model, lambda: None)
    marginals = TraceEnum_ELBO(max_plate_nesting=1).compute_marginals(torch_model, lambda: None)["side"].probs.numpy()

    def jax_model(pull):
        numpyro.sample("weight", nd.Beta(2.0, 2.0), obs=weight)
        with numpyro.plate("sides", 2):
            numpyro.sample("centre", nd.Normal(0.0, 3.0), obs=jnp.asarray(centre))
        with numpyro.plate("rows", 20):
            side = numpyro.sample("side", nd.Bernoulli(weight))
            numpyro.sample("y", nd.Normal(jnp.asarray(centre)[side], 0.5), obs=jnp.asarray(rows))
            numpyro.factor("pull", pull * side)

    def jax_total(pull):
        return enumerated(enum(config_enumerate(jax_model), first_available_dim=-2), (pull,), {}, {})[0]

    with jax.enable_x64(True):
        # The slope by a weight on each row's value is the probability of that value.
        theirs, slopes = jax.value_and_grad(jax_total)(jnp.zeros(20))
    model = mixture(20).observe(y=rows)
    side = Compiled(model, get_backend("pyro"), "float64", 0)
    total = log_density(model, exact=["side"]).total()
    emitted = side.emitter(lead=False).emit("total", {"total": total}, single=True)
    values = side.value_arrays({"weight": weight, "centre": centre})
    ours = float(side.load(emitted)({}, values, side.bind(emitted), {}))
    assert -loss == pytest.approx(ours, rel=1e-6)
    assert float(theirs) == pytest.approx(ours, rel=1e-6)
    np.testing.assert_allclose(marginals, slopes, rtol=1e-5, atol=1e-9)
    known = mixture(20).do(weight=weight, centre=centre)
    for backend in BACKENDS:
        drawn = ppl.infer(known.observe(y=rows), ImportanceSampling(4000), backend=backend).draws["side"][0]
        assert_frequencies(drawn == 1, marginals)
    assert (np.abs(marginals - 0.5) < 0.45).sum() > 5


# --- what has no exact sum ------------------------------------------------------------------------------------------


def _leaving():
    with ppl.plate("rows", size=3):
        z = ppl.sample("z", dist.Bernoulli(probs=0.5))
    m = ppl.sample("m", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(ops.sum(z) + m, 1.0))


def _crossing():
    m = ppl.sample("m", dist.Normal(0.0, 1.0))
    with ppl.plate("a", size=2):
        u = ppl.sample("u", dist.Bernoulli(probs=0.5))
    with ppl.plate("b", size=3):
        v = ppl.sample("v", dist.Bernoulli(probs=0.5))
    with ppl.plate("a", u) as s, ppl.plate("b", v) as t:
        ppl.sample("y", dist.Normal(m + s + t, 1.0))


def _support():
    z = ppl.sample("z", dist.Bernoulli(probs=0.5))
    m = ppl.sample("m", dist.Uniform(0.0, 1.0 + z))
    ppl.sample("y", dist.Normal(m, 1.0))


def _global():
    g = ppl.sample("g", dist.Bernoulli(probs=0.5))
    m = ppl.sample("m", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", size=4):
        ppl.sample("y", dist.Normal(m + g, 1.0))


def _event_axes():
    z = ppl.sample("z", dist.Bernoulli(probs=0.5).expand([3]))
    m = ppl.sample("m", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(m + z[0], 1.0))


def _infinite():
    n = ppl.sample("n", dist.Poisson(3.0))
    m = ppl.sample("m", dist.Normal(0.0, 1.0))
    ppl.sample("y", dist.Normal(m + n, 1.0))


def _many():
    m = ppl.sample("m", dist.Normal(0.0, 1.0))
    values = [ppl.sample(f"z{i}", dist.Categorical(logits=np.zeros(40))) for i in range(4)]
    ppl.sample("y", dist.Normal(m + sum(values), 1.0))


def _many_in_the_end():
    """Each term reads two sites only, but summing out the first one joins all the others."""
    m = ppl.sample("m", dist.Normal(0.0, 1.0))
    hubs = [ppl.sample(f"z{i}", dist.Categorical(logits=np.zeros(40))) for i in range(5)]
    for i, j in itertools.combinations(range(5), 2):
        ppl.factor(f"pair{i}{j}", 0.1 * hubs[i] * hubs[j])
    ppl.sample("y", dist.Normal(m, 1.0))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("body", "site", "shape", "options", "message"),
    [
        (_many, "z0", (), {}, "discrete sites that 'y' depends on: every combination of their values counts"),
        (_many_in_the_end, "z0", (), {}, "every combination of their values counts"),
        (_leaving, "z", (), {}, "'y' reads its values in plate 'rows' together"),
        (_crossing, "u", (2, 3), {}, "live in different plates and meet in both"),
        (_support, "m", (), {}, "its support depends on 'z', which is summed out"),
        (
            _global,
            "g",
            (4,),
            {"batch_size": 2},
            "stands outside plate 'rows', of which each step sees only a minibatch",
        ),
        (_event_axes, "z", (), {}, "it is discrete, and this method needs continuous"),
        (_infinite, "n", (), {}, "it is discrete, and this method needs continuous"),
    ],
)
def test_what_cannot_be_summed_out_is_refused(body, site: str, shape: tuple[int, ...], options, message: str, backend):
    model = ppl.model(body)().observe(y=np.zeros(shape))
    with pytest.raises(StrategyError, match=message) as caught:
        ppl.infer(model, SVI(guide=AutoNormal(), steps=2, progress=False, **options), backend=backend)
    assert caught.value.site == site
    assert caught.value.declared_at is not None
    assert caught.value.remedy
