"""Numbers that are not finite are traced to the first site at fault: planted faults, by method and backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ppl
from ppl import dist, ops
from ppl.backend.compiled import get_backend
from ppl.backend.diagnosis import Findings, described, fault, is_fault
from ppl.errors import NonFiniteError, PPLError, StrategyError, SupportError
from ppl.inference import NUTS, SGD, SVI, AutoNormal, ImportanceSampling
from ppl.program.program import Program

BACKENDS = ("numpyro", "pyro")
X = np.array([0.5, 1.0, 2.0])
Y = np.array([0.1, 0.2, 0.3])
QUICK: dict[str, Any] = {"draws": 5, "progress": False}


@ppl.model
def root(x):
    """The scale is NaN wherever `a` is negative, and NaN in the rows whose input is large."""
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        spread = ppl.deterministic("spread", ops.sqrt(-1.0 - ops.square(a)) * row)
        ppl.sample("y", dist.Normal(a, spread))


@ppl.model
def direct(x):
    """As `root`, without a name for what is NaN."""
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        ppl.sample("y", dist.Normal(a * row, ops.sqrt(-1.0 - ops.square(a))))


@ppl.model
def weighed():
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    ppl.factor("weight", ops.log(-1.0 - ops.square(a)))


@ppl.model
def steep(x):
    """A finite density whose gradient is NaN everywhere."""
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        ppl.sample("y", dist.Normal(a * row + ops.sqrt(a - a), 1.0))


@ppl.model
def constant_guide(x):
    """A proposal with a density everywhere."""
    ppl.sample("a", dist.Normal(ppl.param("loc", 0.0), 1.0))


def observed(model: Any) -> Program:
    return model(X).observe(y=Y)


def caught(run: Callable[[], Any]) -> NonFiniteError:
    with pytest.raises(NonFiniteError) as error:
        run()
    return error.value


def assert_names(error: PPLError, site: str, *facts: str) -> None:
    """The error names a site, its line, and in what came the facts: parameters and parents, with their numbers."""
    assert error.site == site and error.declared_at is not None
    assert error.declared_at.file == __file__ and error.remedy
    for fact in facts:
        assert fact in str(error.got), (fact, error.got)


METHODS = {
    "svi": lambda: SVI(guide=AutoNormal(), steps=5, **QUICK),
    "nuts": lambda: NUTS(chains=2, warmup=5, **QUICK),
    "importance": lambda: ImportanceSampling(50),
    "importance with a guide": lambda: ImportanceSampling(50, guide=constant_guide(X)),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", METHODS)
def test_methods_name_the_computed_value_that_is_nan_first(name: str, backend: str) -> None:
    error = caught(lambda: ppl.infer(observed(root), METHODS[name](), backend=backend))
    assert_names(error, "spread", "value ", "not finite, the first nan at [", "; fed by a = ", "x = 0.5 to 2")
    assert error.summary.startswith("its value is not finite ")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", METHODS)
def test_methods_name_the_site_its_parameters_and_its_parents(name: str, backend: str) -> None:
    error = caught(lambda: ppl.infer(observed(direct), METHODS[name](), backend=backend))
    assert_names(error, "y", "log density ", "loc = ", "scale = ", "; fed by a = ", "x = 0.5 to 2")
    assert error.expected == "a finite density of Normal(a * row, sqrt(-1.0 - square(a)))"
    when = {"svi": "at step 0 of the fit", "nuts": "at any of 100 starting points"}.get(
        name, "at the draws of the guide"
    )
    assert error.summary == f"its log density is not finite {when}."


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", METHODS)
def test_methods_name_a_factor(name: str, backend: str) -> None:
    method = METHODS[name] if name != "importance with a guide" else METHODS["importance"]
    error = caught(lambda: ppl.infer(weighed(), method(), backend=backend))
    assert_names(error, "weight", "log weight ", "; fed by a = ")
    assert error.expected == "a finite log weight"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_proposal_without_a_density_is_named(backend: str) -> None:
    @ppl.model
    def guide(x):
        ppl.sample("a", dist.Normal(0.0, ops.sqrt(ppl.param("spread", -1.0))))

    @ppl.model
    def model(x):
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(a * row, 1.0))

    error = caught(lambda: ppl.infer(observed(model), ImportanceSampling(20, guide=guide(X)), backend=backend))
    assert_names(error, "a", "draw ", "loc = 0, scale = nan; fed by spread = -1")
    assert error.model == "guide"


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("steps", [1, 7])
def test_svi_names_the_site_whose_gradient_is_not_finite(steps: int, backend: str) -> None:
    """Also after the last step, whose loss nobody looks at any more; the parameters stay as they were."""
    method = SVI(guide=AutoNormal(), steps=steps, optimizer=SGD(0.1), **QUICK)
    run = method.start(observed(steep), get_backend(backend), 0, "float32")
    before = run.params()
    error = caught(run.finish)
    assert_names(error, "y", "loc = ", "scale = 1; fed by a = ")
    assert error.summary == "its gradient is not finite at step 0 of the fit, by guide.a.loc, guide.a.scale."
    assert "The state before this step is kept" in str(error.remedy) and "ops.where" in str(error.remedy)
    for name, array in run.params().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("backend", BACKENDS)
def test_nuts_names_the_site_whose_gradient_is_not_finite(backend: str) -> None:
    error = caught(lambda: ppl.infer(observed(steep), METHODS["nuts"](), backend=backend))
    assert_names(error, "y", "loc = ", "scale = 1; fed by a = ")
    assert error.summary == "its gradient is not finite where chain 1 of NUTS stands, by a."


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_chain_that_never_moves_is_refused(backend: str) -> None:
    @ppl.model
    def needle():
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        ppl.factor("wall", ops.where(ops.abs(a - 0.25) < 1e-12, 0.0, -np.inf))

    method = NUTS(chains=1, warmup=5, draws=60, max_tree_depth=2, progress=False, init={"a": 0.25})
    with pytest.raises(StrategyError, match="chain 1 of NUTS has not moved in 60 draws") as error:
        ppl.infer(needle(), method, backend=backend)
    assert error.value.model == "needle" and "cliffs" in str(error.value.remedy)


# --- simulation -------------------------------------------------------------------------------------------------------


@ppl.model
def counts(x):
    """A NaN rate: the libraries draw integers from it."""
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        ppl.sample("n", dist.Poisson(ops.exp(ops.log(-1.0 - ops.square(a)) * row)))


@ppl.model
def choices(x):
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        ppl.sample("n", dist.Categorical(logits=ops.stack([row, ops.log(-1.0 - ops.square(a))])))


@ppl.model
def gammas(x):
    """From a NaN concentration torch draws a tiny number."""
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        ppl.sample("n", dist.Gamma(ops.sqrt(-1.0 - ops.square(a)), row))


@ppl.model
def overflowing(x):
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        ppl.sample("n", dist.LogNormal(1000.0 + a, row))


@ppl.model
def mixed(x):
    """The parameter at fault is one of a part."""
    a = ppl.sample("a", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", x) as row:
        base = dist.Geometric(ops.sqrt(-1.0 - ops.square(a)) * row)
        ppl.sample("n", dist.ZeroInflated(base, 0.5))


DRAWN = {
    "counts": (counts, "rate = 90 of 90 not finite, the first nan at [0, 0]"),
    "choices": (choices, "logits = 0.5 to 2 with 90 of 180 not finite, the first nan at [0, 0, 1]"),
    "gammas": (gammas, "concentration = "),
    "overflowing": (overflowing, "draw 90 of 90 not finite, the first inf at [0, 0], loc = 9"),
    "mixed": (mixed, "base.probs = 90 of 90 not finite, the first nan at [0, 0]"),
    "direct": (direct, "scale = "),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", DRAWN)
def test_a_simulation_names_the_site_its_parameters_and_its_parents(name: str, backend: str) -> None:
    model, fact = DRAWN[name]
    error = caught(lambda: ppl.simulate(model(X), 30, backend=backend))
    assert_names(error, "y" if name == "direct" else "n", "draw ", fact, "; fed by ", "a = -", "x = 0.5 to 2")
    assert error.summary == "its draw is not finite in a simulation."
    side = ppl.compile(model(X), backend)
    with pytest.raises(NonFiniteError, match="its draw is not finite in a simulation"):
        side.simulate((30,))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_simulation_names_a_computed_value(backend: str) -> None:
    error = caught(lambda: ppl.simulate(root(X), 30, backend=backend))
    assert_names(error, "spread", "value 90 of 90 not finite", "fed by a = ", "x = 0.5 to 2")


@pytest.mark.parametrize("backend", BACKENDS)
def test_rare_faults_are_found_in_many_draws(backend: str) -> None:
    @ppl.model
    def rarely():
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        ppl.sample("b", dist.Normal(0.0, ops.sqrt(a + 3.0)))

    error = caught(lambda: ppl.simulate(rarely(), 20_000, backend=backend))
    assert_names(error, "b", "scale = ", " of 20000 not finite, the first nan at [", "fed by a = -")


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_intervention_that_breaks_a_site_names_it(backend: str) -> None:
    @ppl.model
    def model(x):
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        b = ppl.sample("b", dist.Normal(5.0, 0.1))
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(a, b))
            ppl.sample("z", dist.Normal(a * row, ops.log(b)))

    assert np.isfinite(ppl.simulate(model(X), 30, backend=backend)["z"]).all()
    with pytest.raises(SupportError, match="its parameter 'scale' lies outside its support in a simulation") as error:
        ppl.simulate(model(X).do(b=-1.0), 30, backend=backend)
    assert_names(error.value, "y", "scale = -1; fed by a = ", "b = -1")
    with pytest.raises(SupportError, match="its parameter 'scale' lies outside") as error:
        ppl.simulate(model(X).do(b=0.5), 30, backend=backend)
    assert_names(error.value, "z", "scale = -0.6931")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_prediction_names_the_site(backend: str) -> None:
    @ppl.model
    def model(x):
        a = ppl.sample("a", dist.Normal(0.0, 1.0))
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(a, ops.sqrt(row)))

    fit = ppl.infer(model(X).observe(y=Y), ImportanceSampling(50), backend=backend)
    assert np.isfinite(fit.predict()["y"]).all()
    error = caught(lambda: fit.predict(x=np.array([1.0, -2.0])))
    assert_names(
        error, "y", "loc = ", "scale = 1 with 1 of 2 not finite, the first nan at [1]", "fed by a = ", "x = -2 to 1"
    )


def test_infinite_computed_values_and_impossible_data_are_no_fault() -> None:
    @ppl.model
    def model():
        a = ppl.sample("a", dist.Uniform(0.0, 1.0))
        ppl.deterministic("log", ops.log(ops.minimum(a, 0.0)))
        n = ppl.sample("n", dist.Categorical(logits=ops.stack([a, a - np.inf])))
        ppl.sample("m", dist.Categorical(logits=ops.log(ops.one_hot(n, 2))))

    for backend in BACKENDS:
        draws = ppl.simulate(model(), 50, backend=backend)
        assert np.isneginf(draws["log"]).all() and (draws["n"] == 0).all() and (draws["m"] == 0).all()
    # Half of the draws of `a` are impossible given the data, and have weight zero.
    fit = ppl.infer(model().observe(n=0, m=0), ImportanceSampling(200))
    assert fit.log_evidence is not None and np.isfinite(fit.log_evidence)


# --- densities of a fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_log_likelihood_of_a_posterior_names_the_site(backend: str) -> None:
    @ppl.model
    def model(x):
        a = ppl.sample("a", dist.Normal(2.0, 0.1))
        with ppl.plate("rows", x) as row:
            ppl.sample("y", dist.Normal(row, ops.sqrt(a)))

    fit = ppl.infer(model(X).observe(y=Y), ImportanceSampling(50), backend=backend)
    assert np.isfinite(fit.log_likelihood["y"]).all()
    broken = fit.replace(draws={"a": -fit.draws["a"]})
    error = caught(lambda: broken.log_likelihood["y"])
    assert_names(error, "y", "log density ", "scale = ", "fed by x = 0.5 to 2, a = -")
    assert error.summary == "its log density is not finite at the draws of the posterior."


# --- the parts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "always", "unless_impossible"),
    [(0.0, False, False), (np.nan, True, True), (np.inf, True, True), (-np.inf, False, True)],
)
def test_what_counts_as_a_fault(number: float, always: bool, unless_impossible: bool) -> None:
    array = np.array([1.0, number])
    assert is_fault(array, impossible=True) == always
    assert is_fault(array, impossible=False) == unless_impossible


def test_numbers_are_described_in_a_few_words() -> None:
    assert described(np.array(1.25)) == "1.25" and described(np.array([[3]])) == "3"
    assert described(np.array([1.0, 1.0])) == "1" and described(np.array([2, -1])) == "-1 to 2"
    assert described(np.array([True, False])) == "bool[2]"
    assert described(np.array([[1.0, 2.0], [np.inf, np.nan]])) == (
        "1 to 2 with 2 of 4 not finite, the first inf at [1, 0]"
    )
    assert described(np.array([np.nan, np.nan])) == "2 of 2 not finite, the first nan at [0]"


def test_the_first_fault_in_the_order_of_the_program_is_named() -> None:
    program = observed(direct)
    bad = np.array(np.nan)
    found = Findings(program, {"y": bad, "a": bad}, {}, {})
    error = fault(found, "here")
    assert error is not None and error.site == "a" and error.got == "log density nan; fed by nothing"
    assert fault(Findings(program, {"y": np.array(-np.inf)}), "here", impossible=True) is None
    assert fault(Findings(program, {"y": np.array(-np.inf)}), "here") is not None


def test_a_distribution_has_its_own_remedy() -> None:
    """The covariance of a Gaussian process knows what helps."""

    @ppl.model
    def model(x):
        f = ppl.sample("f", dist.GaussianProcess(dist.kernels.RBF(1.0, 1.0), x, jitter=0.0))
        with ppl.plate("rows", f) as g:
            ppl.sample("y", dist.Normal(g, 1.0))

    x = np.array([0.0, 0.0, 0.0, 1.0])
    error = caught(lambda: ppl.simulate(model(x[:, None]), 5))
    assert error.site == "f" and "jitter" in str(error.remedy)
