"""Objectives as expressions: what they print, what they are worth, whose parameters they train, and what is refused."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.datasets import load_digits

import ppl
from ppl import dist, nn, ops
from ppl.backend.compiled import get_backend
from ppl.errors import ModelError, PPLError, StrategyError, UnknownNameError
from ppl.inference import (
    CIWAE,
    CUBO,
    ELBO,
    IWELBO,
    MIWAE,
    MVD,
    PIWAE,
    REBAR,
    SVI,
    VIS,
    Adam,
    Alternate,
    AutoNormal,
    BetaELBO,
    CapacityELBO,
    Enumerate,
    ForwardKL,
    GumbelSoftmax,
    LeaveOneOut,
    Reinforce,
    Renyi,
    Reparam,
    ReweightedWakeSleep,
    SleepPhi,
    StraightThrough,
    WakePhi,
)
from ppl.inference import objective as obj
from ppl.inference.objective import guide, model, observed
from ppl.posterior.methods import Decoder, Encoder
from tests.budget import sigmas
from tests.inference.cases import BACKENDS, CASES
from tests.inference.gradient_oracle import GRAPHS, noise_of, start, value_and_gradient
from tests.inference.test_two_states import TWO, deviation
from tests.inference.test_two_states import guide as two_guide

k, m = obj.particles("k", 3), obj.particles("m", 2)
w = obj.log_weight(model, guide)


# --- as data ---------------------------------------------------------------------------------------------------------

PRINTED = {
    "mean(log_weight(model, guide), over=k)": obj.mean(w, over=k),
    "mean(logmeanexp(log_weight(model, guide), over=k), over=m)": obj.mean(obj.logmeanexp(w, over=k), over=m),
    "logmeanexp(log_weight(model, guide), over=(m, k))": obj.logmeanexp(w, over=(m, k)),
    "expect(log_density(guide), under=sir(model, guide, over=k).detach())": obj.expect(
        obj.log_density(guide), under=obj.sir(model, guide, over=k).detach()
    ),
    "log_density(model, sites=observed) - 4.0 * kl(guide, model)": obj.log_density(model, sites=observed)
    - 4.0 * obj.kl(guide, model),
    "-abs(kl(guide, model) - 3.0)": -abs(obj.kl(guide, model) - 3.0),
    "0.5 * mean(log_weight(model, guide), over=k) + entropy(guide, sites=['z'])": 0.5 * obj.mean(w, over=k)
    + obj.entropy(guide, sites="z"),
}


@pytest.mark.parametrize("text", PRINTED)
def test_prints_compares_and_comes_back_from_json(text: str) -> None:
    expression = PRINTED[text]
    assert repr(expression) == text
    document = Encoder(lambda array: "", strict=True).encode(expression)
    again = Decoder(lambda name: np.zeros(0)).decode(document)
    assert again == expression and hash(again) == hash(expression)
    assert again != obj.mean(w, over=obj.particles("k", 4))


SHIPPED: dict[str, Any] = {
    "ELBO": ELBO(6),
    "IWELBO": IWELBO(6),
    "MIWAE": MIWAE(2, 3),
    "PIWAE": PIWAE(2, 3),
    "CIWAE": CIWAE(6, 0.3),
    "Renyi": Renyi(0.4, 6),
    "CUBO": CUBO(2.0, 6),
    "VIS": VIS(6),
}


def lme(lw: np.ndarray, axis: Any = None) -> np.ndarray:
    return logsumexp(lw, axis=axis) - np.log(lw.size if axis is None else lw.shape[axis])


# For each objective its value, from the log weights of six particles in two rows of three.
VALUES = {
    "ELBO": lambda lw: lw.mean(),
    "IWELBO": lme,
    "MIWAE": lambda lw: lme(lw, 1).mean(),
    "PIWAE": lme,
    "CIWAE": lambda lw: 0.3 * lw.mean() + 0.7 * lme(lw),
    "Renyi": lambda lw: lme(0.6 * lw) / 0.6,
    "CUBO": lambda lw: -lme(2.0 * lw) / 2.0,
    "VIS": lme,
}


@pytest.fixture(scope="module")
def singles() -> Any:
    """Log weights of single draws of a hierarchical model, as a function of their noise."""
    program = CASES["groups"].build()
    run = SVI(objective=ELBO(), guide=AutoNormal(), progress=False).start(program, get_backend("numpyro"), 0, "float64")
    return lambda noise: value_and_gradient(run, noise)[0]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_objectives_are_their_formulas(name: str, backend: str, singles: Any) -> None:
    program = CASES["groups"].build()
    method = SVI(objective=SHIPPED[name], guide=AutoNormal(), progress=False)
    run = method.start(program, get_backend(backend), 0, "float64")
    noise = noise_of(run, 2)
    shape = (2, 3) if name in ("MIWAE", "PIWAE") else (6,)
    lw = [singles({n: v[i] for n, v in noise.items()}) for i in np.ndindex(shape)]
    value, _ = value_and_gradient(run, noise)
    assert value == pytest.approx(VALUES[name](np.reshape(lw, (2, 3))), rel=1e-9)


# --- divergences ---------------------------------------------------------------------------------------------------


def gaussian_run(objective: Any, backend: str = "numpyro", strategies: Any = None) -> Any:
    graph = GRAPHS["gaussians"]()
    _, own = graph.programs(5)
    method = SVI(objective=objective, guide=own, strategies=strategies or {}, progress=False)
    return start(graph, method, 5, backend)


def test_weights_of_divergences_site_by_site() -> None:
    """One is the ELBO with closed forms; a weight for one site is that weight and one for the other."""
    noise = noise_of(gaussian_run(ELBO(analytic_kl=True)), 1)

    def value(objective: Any) -> float:
        return value_and_gradient(gaussian_run(objective), noise)[0]

    plain = value(ELBO(analytic_kl=True))
    assert value(BetaELBO(1.0)) == pytest.approx(plain, rel=1e-12)
    of_z = value(obj.kl(guide, model, sites="z"))
    assert value(BetaELBO({"z": 3.0})) == pytest.approx(plain - 2.0 * of_z, rel=1e-12)
    assert value(BetaELBO(3.0)) == pytest.approx(plain - 2.0 * value(obj.kl(guide, model)), rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_capacity_is_counted_for_each_row(backend: str) -> None:
    """abs stands inside the plate that all guide sites live in."""
    noise = noise_of(gaussian_run(ELBO()), 1)
    fit = value_and_gradient(
        gaussian_run(obj.mean(obj.log_density(model, sites=observed) - 0.0 * w, over=obj.particles("k", 1))), noise
    )[0]
    source = gaussian_run(CapacityELBO(2.0, 0.4), backend)
    value, _ = value_and_gradient(source, noise)
    # The divergence of the second site depends on the draw of the first; each copy has its own.
    run = gaussian_run(obj.kl(guide, model))
    per_copy = np.array([_kl_of_copy(noise, i) for i in range(5)])
    assert value_and_gradient(run, noise)[0] == pytest.approx(per_copy.sum(), rel=1e-10)
    assert value == pytest.approx(fit - 2.0 * np.abs(per_copy - 0.4).sum(), rel=1e-10)


def _kl_of_copy(noise: Any, i: int) -> float:
    loc, scale = 0.2, np.exp(-0.5)
    z = loc + scale * noise["z"][i]
    first = -np.log(scale) + (scale**2 + loc**2 - 1.0) / 2.0
    mean, width = 0.3 * z - 0.1, np.exp(-0.7)
    return first - np.log(width) + (width**2 + (mean - 0.6 * z) ** 2 - 1.0) / 2.0


# --- groups of parameters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_each_group_has_its_own_objective(backend: str) -> None:
    both = {"model": IWELBO(4).expression(), "guide": ELBO(4).expression()}
    run = gaussian_run(both, backend)
    noise = noise_of(run, 1)
    value, grads = value_and_gradient(run, noise)
    bound, theirs = value_and_gradient(gaussian_run(IWELBO(4), backend), noise)
    _, ours = value_and_gradient(gaussian_run(ELBO(4), backend), noise)
    assert value == pytest.approx(bound, rel=1e-12)
    np.testing.assert_allclose(grads["t"], theirs["t"], rtol=1e-10)
    for name in ("m", "s", "n"):
        np.testing.assert_allclose(grads[name], ours[name], rtol=1e-10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_take_turns(backend: str) -> None:
    """One step of the model, then two of the guide; each group has its own step size."""
    graph = GRAPHS["gaussians"]()
    program, own = graph.programs(4)
    method = SVI(
        objective=ELBO(),
        guide=own,
        optimizer={"model": Adam(0.01), "guide": Adam(0.1)},
        schedule=Alternate(model=1, guide=2),
        progress=False,
    )
    run = method.start(program, get_backend(backend), 0, "float64")
    seen = [run.params()]
    for _ in range(6):
        run.advance(1)
        seen.append(run.params())
    moved = {n: [not np.array_equal(a[n], b[n]) for a, b in itertools.pairwise(seen)] for n in ("t", "m")}
    assert moved == {"t": [True, False, False] * 2, "m": [False, True, True] * 2}
    # The first step of Adam is as long as its learning rate.
    np.testing.assert_allclose(np.abs(seen[1]["t"] - seen[0]["t"]), 0.01, rtol=1e-4)
    np.testing.assert_allclose(np.abs(seen[2]["m"] - seen[1]["m"]), 0.1, rtol=1e-4)
    state = run.optimization.state()
    run.advance(3)
    after = run.params()
    run.optimization.restore(state)
    run.steps_done -= 3
    run.advance(3)
    np.testing.assert_array_equal(run.params()["m"], after["m"])


# --- wake and sleep --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", [WakePhi(2), ForwardKL(2), ReweightedWakeSleep(2)])
def test_the_wake_update_is_that_under_resampled_draws(objective: Any) -> None:
    from scipy.stats import norm

    copies, q = 50_000, 1.0 / (1.0 + np.exp(-0.2))
    run = start(TWO, SVI(objective=objective, guide=two_guide(copies), progress=False), copies, "numpyro")
    _, grads = value_and_gradient(run, noise_of(run, 3))
    exact = 0.0
    for bits in itertools.product([0, 1], repeat=2):
        chance = np.prod([q if b else 1 - q for b in bits])
        weights = np.array([norm.pdf(0.7, 2 * b - 1) * (0.3 if b else 0.7) / (q if b else 1 - q) for b in bits])
        exact += chance * (weights / weights.sum()) @ np.array([b - q for b in bits])
    assert abs(deviation(grads["a"], exact)) <= sigmas(3)


@ppl.model
def noisy_bit(copies: int):
    with ppl.plate("copies", size=copies):
        b = ppl.sample("b", dist.Bernoulli(logits=0.4))
        ppl.sample("x", dist.Normal(2.0 * b - 1.0, 1.0))


@ppl.model
def reading(x):
    with ppl.plate("copies", x) as one:
        ppl.sample("b", dist.Bernoulli(logits=ppl.param("a", 0.2) + ppl.param("s", 0.5) * one))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_sleep_update_reads_data_of_the_model(backend: str) -> None:
    copies = 20_000
    data = np.zeros(copies)
    method = SVI(objective=SleepPhi(), guide=reading(data), progress=False)
    run = method.start(noisy_bit(copies).observe(x=data), get_backend(backend), 0, "float64")
    _, grads = value_and_gradient(run, noise_of(run, 3))
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    exact = np.zeros(2)
    for b, chance in ((0, 1 / (1 + np.exp(0.4))), (1, 1 / (1 + np.exp(-0.4)))):
        x = 2.0 * b - 1.0 + nodes
        miss = b - 1 / (1 + np.exp(-(0.2 + 0.5 * x)))
        exact += chance * np.array([weights @ miss, weights @ (miss * x)])
    for name, expected in zip(("a", "s"), exact, strict=True):
        assert abs(deviation(grads[name], expected)) <= sigmas(2)


# --- the page's example ----------------------------------------------------------------------------------------------

IMAGES = (load_digits(return_X_y=True)[0][:256] > 7.5).astype(float)


@ppl.model
def drawing(images):
    decoder = nn.MLP("decoder", [6, 16, 64], activation="tanh")
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([4]))
        b = ppl.sample("b", dist.Bernoulli(logits=0.0))
        t = ppl.sample("t", dist.Bernoulli(logits=z[0]))
        ppl.sample("x", dist.Bernoulli(logits=decoder(ops.concat([z, ops.stack([1.0 * b, 1.0 * t])]))))


@ppl.model
def encoder(images):
    net = nn.MLP("encoder", [64, 16, 10])
    with ppl.plate("images", images) as image:
        h = net(image)
        ppl.sample("z", dist.Normal(h[:4], ops.exp(0.1 * h[4:8])))
        ppl.sample("b", dist.Bernoulli(logits=h[8]))
        ppl.sample("t", dist.Bernoulli(logits=h[9]))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_example_of_the_page_runs(backend: str, tmp_path: Any) -> None:
    program = drawing(IMAGES).observe(x=IMAGES)
    axis = obj.particles("k", 4)
    weight = obj.log_weight(model, guide)
    iwelbo = obj.logmeanexp(weight, over=axis)
    q_wake = obj.expect(obj.log_density(guide), under=obj.sir(model, guide, over=axis).detach())
    method = SVI(
        objective={"model": iwelbo, "guide": q_wake},
        guide=encoder(IMAGES),
        strategies={"z": Reparam(entropy="dreg"), "b": MVD(), "t": Reinforce(LeaveOneOut())},
        optimizer={"model": Adam(1e-3), "guide": Adam(3e-4)},
        schedule=Alternate(model=1, guide=5),
        steps=24,
        batch_size=128,
        draws=5,
        progress=False,
    )
    report = str(method.check(program))
    assert "unbiased: no, because the update is self-normalised" in report
    assert "one for each element of images" in report
    fit = ppl.infer(program, method, backend=backend)
    assert np.isfinite(fit.diagnostics["objective"]).all()
    fit.save(tmp_path / "fit")
    again = ppl.Posterior.load(tmp_path / "fit")
    assert again.method == method
    assert again.diagnostics["verdicts"] == fit.diagnostics["verdicts"] != []


def test_one_objective_with_the_strategies_of_the_page() -> None:
    program = drawing(IMAGES).observe(x=IMAGES)
    strategies = {"z": Reparam(), "b": MVD(), "t": Reinforce(LeaveOneOut())}
    method = SVI(objective=IWELBO(4), guide=encoder(IMAGES), strategies=strategies, batch_size=32, progress=False)
    assert str(method.check(program)).count("unbiased: yes") == 3
    results = []
    for backend in BACKENDS:
        run = method.start(program, get_backend(backend), 0, "float64")
        results.append(value_and_gradient(run, noise_of(run, 0), {n: v[0] for n, v in run.rows(0, 1).items()}))
    (value, grads), (other, others) = results
    assert value == pytest.approx(other, rel=1e-10)
    for name in grads:
        np.testing.assert_allclose(grads[name], others[name], rtol=1e-6, atol=1e-8)


# --- refusals --------------------------------------------------------------------------------------------------------


def fitted(objective: Any = None, strategies: Any = None, graph: str = "bernoulli_chain", **kwargs: Any) -> Any:
    program, own = GRAPHS[graph]().programs(0)
    return SVI(objective=objective or ELBO(), guide=own, strategies=strategies or {}, **kwargs).check(program)


REFUSED: dict[str, tuple[Any, type[PPLError], str]] = {
    "particles with two sizes": (
        lambda: fitted(obj.mean(w, over=k) + obj.logmeanexp(w, over=obj.particles("k", 5))),
        StrategyError,
        "particles 'k' have two sizes",
    ),
    "particles with two sizes in two groups": (
        lambda: fitted({"model": obj.mean(w, over=k), "guide": obj.mean(w, over=obj.particles("k", 5))}),
        StrategyError,
        "particles 'k' have two sizes",
    ),
    "the guide is never used": (
        lambda: fitted(obj.mean(obj.log_density(model), over=k)),
        StrategyError,
        "never uses the guide",
    ),
    "a site that does not exist": (
        lambda: fitted(obj.log_density(guide, sites=["bb"])),
        UnknownNameError,
        "names 'bb'.*(?s:.)*Did you mean 'b'",
    ),
    "a strategy for no site": (
        lambda: fitted(strategies={"bb": Reinforce()}),
        UnknownNameError,
        "strategy for 'bb'(?s:.)*Did you mean 'b'",
    ),
    "an unknown group": (lambda: fitted({"guides": w}), UnknownNameError, "no group of parameters 'guides'"),
    "no objective": (lambda: fitted(3.0), ModelError, "no objective"),
    "reparameterised bits": (lambda: fitted(strategies={"b": Reparam()}), StrategyError, "site 'b'.*it is discrete"),
    "sticking the landing under weights": (
        lambda: fitted(IWELBO(3), {"z": Reparam("stl")}, "gaussians"),
        StrategyError,
        "site 'z'(?s:.)*dreg",
    ),
    "doubly reparameterised above a score": (
        lambda: fitted(IWELBO(3), {"z": Reparam("dreg"), "c": Reinforce()}, "mixed"),
        StrategyError,
        "site 'z'.*(?s:.)*'c' is drawn depending on it",
    ),
    "doubly reparameterised Rényi": (
        lambda: fitted(Renyi(0.5, 3), {"z": Reparam("dreg"), "y": Reparam("dreg")}, "gaussians"),
        StrategyError,
        "log of the mean weight only",
    ),
    "no particles to leave out": (
        lambda: fitted(strategies={"b": Reinforce(LeaveOneOut())}),
        StrategyError,
        "there is only one",
    ),
    "elements that leave their plate": (
        lambda: fitted(strategies={"z": MVD()}, graph="pooled"),
        StrategyError,
        "all elements of plate 'rows' together",
    ),
    "relaxed value as an index": (
        lambda: fitted(strategies={"c": GumbelSoftmax(0.5, bias="relaxation")}, graph="categories"),
        StrategyError,
        "no relaxation; write it as OneHotCategorical",
    ),
    "relaxed control above another strategy": (
        lambda: fitted(strategies={"b": REBAR(), "c": Reinforce()}),
        StrategyError,
        "does not follow a relaxed value smoothly",
    ),
    "unnamed bias": (lambda: GumbelSoftmax(0.5), StrategyError, 'bias="relaxation"'),
    "another bias": (lambda: StraightThrough(0.5, bias="small"), StrategyError, "is biased"),
    "an entropy that does not exist": (lambda: Reparam("drag"), UnknownNameError, "no entropy 'drag'"),
    "over no particles": (lambda: obj.mean(w, over=3), ModelError, "which particles"),
    "a program in place of a placeholder": (lambda: obj.log_weight(guide, model), ModelError, "takes model"),
    "a term in place of a distribution": (
        lambda: obj.expect(w, under=w),  # type: ignore[arg-type]
        ModelError,
        "needs a distribution",
    ),
    "no function": (lambda: obj.function("sinus", w), ModelError, "no function 'sinus'"),
    "a term that is none": (lambda: w + "x", ModelError, "expressions and numbers"),
    "no particle": (lambda: obj.particles("k", 0), ModelError, "at least one particle"),
    "no particle in a chunk": (lambda: obj.particles("k", 4, chunk=0), ModelError, "in a chunk"),
    "Rényi of order one": (lambda: Renyi(1.0), ModelError, "is the ELBO"),
    "CUBO of order one": (lambda: CUBO(1.0), ModelError, "above 1"),
    "a power of zero": (lambda: obj.log_power_mean(w, 0.0, over=k), ModelError, "other than zero"),
    "turns without steps": (lambda: Alternate(model=0), ModelError, "leaves parameters where they are"),
    "a simulator with no data for the guide": (lambda: fitted(SleepPhi()), StrategyError, "reads no data of the model"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    build, error, message = REFUSED[name]
    with pytest.raises(error, match=message):
        build()


def test_a_divergence_without_a_closed_form_is_refused_where_it_has_to_have_one() -> None:
    program, _ = GRAPHS["gaussians"]().programs(0)

    @ppl.model
    def heavy():
        ppl.sample("z", dist.StudentT(4.0, ppl.param("m", 0.0), 1.0))
        ppl.sample("y", dist.Normal(0.0, 1.0))

    with pytest.raises(StrategyError, match=r"site 'z'.*no closed form"):
        SVI(objective=CapacityELBO(), guide=heavy()).check(program)


def test_too_many_lanes_are_refused_and_defaults_fall_back() -> None:
    @ppl.model
    def wide():
        ppl.sample("b", dist.Bernoulli(logits=np.zeros(9)))

    @ppl.model
    def likely():
        b = ppl.sample("b", dist.Bernoulli(logits=np.zeros(9)))
        ppl.sample("x", dist.Normal(ops.sum(b), 1.0))

    @ppl.model
    def odds():
        ppl.sample("b", dist.Bernoulli(logits=ppl.param("a", np.zeros(9))))

    program = likely().observe(x=2.0)
    with pytest.raises(StrategyError, match="512 joint values, and the budget is 64 lanes"):
        SVI(guide=odds(), strategies={"b": Enumerate()}).check(program)
    report = SVI(guide=odds()).check(program)
    assert "Reinforce(baseline=Running" in str(report) and "512 joint values" in str(report)
    assert "LeaveOneOut" in str(SVI(IWELBO(4), guide=odds()).check(program))


def test_a_comparison_redirects_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    @ppl.model
    def threshold():
        x = ppl.sample("x", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(ops.where(x > 0.0, 1.0, -1.0), 0.4))

    ppl.infer(threshold().observe(y=0.2), SVI(objective=ELBO(4), steps=5, draws=2, progress=False))
    assert "strategy of x: it is used through `greater` by 'y'" in capsys.readouterr().out
