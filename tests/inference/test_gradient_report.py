"""`ppl.gradient_report` against exact gradients and variances: the two-state model, and normal posteriors."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from scipy.stats import norm

import ppl
from ppl import dist
from ppl.errors import ModelError, UnknownNameError
from ppl.inference import ELBO, IWELBO, MVD, NUTS, SVI, Enumerate, LeaveOneOut, Reinforce, Reparam, Running
from tests.budget import sigmas

matplotlib.use("agg")

BACKENDS = ("numpyro", "pyro")
# 03-inference of the design: the gradient in the logit at one, two and five particles.
EXACT = {1: 0.0873, 2: 0.0433, 5: 0.0170}


@ppl.model
def states():
    b = ppl.sample("b", dist.Bernoulli(logits=float(np.log(0.3 / 0.7))))
    ppl.sample("x", dist.Normal(2.0 * b - 1.0, 1.0))


@ppl.model
def coin():
    ppl.sample("b", dist.Bernoulli(logits=ppl.param("a", 0.2)))


def method(particles: int, strategy: object) -> SVI:
    objective = IWELBO(particles) if particles > 1 else ELBO()
    return SVI(objective=objective, guide=coin(), strategies={"b": strategy}, progress=False)  # pyright: ignore[reportArgumentType]


METHODS = {
    "reinforce": method(1, Reinforce()),
    "running": method(1, Reinforce(Running())),
    "enumerate": method(1, Enumerate()),
    "reinforce 5": method(5, Reinforce()),
    "leave one out 5": method(5, Reinforce(LeaveOneOut())),
    "mvd 2": method(2, MVD()),
}
REPEATS = 400


@pytest.fixture(scope="module")
def reports() -> dict:
    program = states().observe(x=0.7)
    settings: dict = {"repeats": REPEATS, "precision": "float64", "seed": 5}
    # Each method takes JAX some seconds to compile.
    fewer = {label: METHODS[label] for label in ("reinforce", "running", "leave one out 5")}
    return {
        b: ppl.gradient_report(program, methods, backend=b, **settings)
        for b, methods in (("numpyro", fewer), ("pyro", METHODS))
    }


def log_weights() -> tuple[np.ndarray, np.ndarray]:
    """Log weights of the two states, and the derivative of the guide's log probability in its logit."""
    q = 1.0 / (1.0 + np.exp(-0.2))
    states, p = np.array([0.0, 1.0]), np.array([0.7, 0.3])
    return np.log(p * norm.pdf(0.7, 2 * states - 1) / np.array([1 - q, q])), states - q


@pytest.mark.parametrize("backend", BACKENDS)
def test_means_are_the_exact_gradients(backend: str, reports: dict) -> None:
    found = reports[backend]
    for label in found.mean:
        particles = int(label[-1]) if label[-1].isdigit() else 1
        error = float(found.std[label]["a"]) / REPEATS**0.5
        # The figures of the page have four digits.
        assert abs(float(found.mean[label]["a"]) - EXACT[particles]) < sigmas(2 * len(METHODS)) * error + 5e-5


@pytest.mark.parametrize("backend", BACKENDS)
def test_variances_are_the_exact_ones(backend: str, reports: dict) -> None:
    """At one particle the estimate takes two values, so its variance is known; enumeration has none."""
    figures = {f.method: f for f in reports[backend].groups}
    weights, score = log_weights()
    q = 1.0 / (1.0 + np.exp(-0.2))
    # The log weight depends on the logit as well: its own derivative is minus the score.
    low, high = (weights - 1.0) * score
    exact = q * (1 - q) * (high - low) ** 2
    # Of a sample variance of two values: the fourth moment is known too.
    fourth = (q * (1 - q) ** 4 + (1 - q) * q**4) * (high - low) ** 4
    error = ((fourth - exact**2) / REPEATS) ** 0.5
    assert abs(figures["reinforce"].variance - exact) < sigmas(2) * error + exact / REPEATS
    # The blocks say the same about the error, as well as ten of them can.
    assert 0.3 < figures["reinforce"].standard_error / error < 2.5
    # A baseline that settled near the mean weight takes variance away.
    assert figures["running"].variance < 0.5 * figures["reinforce"].variance
    if backend == "pyro":
        assert figures["enumerate"].variance < 1e-25
        assert figures["enumerate"].norm == pytest.approx(0.0873, abs=5e-5)
        assert figures["leave one out 5"].variance < 0.25 * figures["reinforce 5"].variance


@pytest.mark.parametrize("backend", BACKENDS)
def test_ratios_and_work_follow_from_variance_and_time(backend: str, reports: dict) -> None:
    found = reports[backend]
    for f in found.groups:
        assert f.seconds > 0.0
        assert f.work == pytest.approx(f.variance * f.seconds)
        assert f.snr == (pytest.approx(f.norm / f.variance**0.5) if f.variance > 0.0 else np.inf)
    assert {f.group for f in found.groups} == {"guide"}


@ppl.model
def gauss(rows):
    shift = ppl.param("shift", 0.5)
    with ppl.plate("rows", rows):
        z = ppl.sample("z", dist.Normal(0.0, 1.0))
        ppl.sample("x", dist.Normal(z + shift, 1.0))


@ppl.model
def normal(rows):
    with ppl.plate("rows", rows):
        ppl.sample("z", dist.Normal(ppl.param("m", 0.3), ppl.param("s", 0.8, support=dist.support.positive)))


ROWS = np.linspace(-1.0, 2.0, 8)


@pytest.mark.parametrize("backend", BACKENDS)
def test_pathwise_gradients_of_a_normal_model_have_their_variance(backend: str) -> None:
    """z = m + s e, so the gradient in m is the mean of what is linear in e, with the slope -2 s."""
    program = gauss(ROWS).observe(x=ROWS)
    methods = {
        "one": SVI(guide=normal(ROWS), progress=False),
        "four": SVI(objective=ELBO(4), guide=normal(ROWS), progress=False),
        "half": SVI(guide=normal(ROWS), batch_size=4, progress=False),
    }
    place = {"m": np.linspace(-1.0, 1.0, 8), "s": np.full(8, 0.6), "shift": np.array(0.1)}
    repeats = 200
    found = ppl.gradient_report(
        program, methods, repeats=repeats, params=place, backend=backend, precision="float64", seed=2
    )
    frame = found.to_dataframe("parameter")
    assert set(frame.index.get_level_values("method")) == set(methods)
    expected = -2.0 * place["m"] + ROWS - 0.1
    for label, particles in (("one", 1), ("four", 4)):
        variance = found.std[label]["m"] ** 2
        exact = (2 * 0.6) ** 2 / particles
        assert np.all(np.abs(variance / exact - 1.0) < sigmas(32) * (2.0 / repeats) ** 0.5 * 1.3)
        error = found.std[label]["m"] / repeats**0.5
        assert np.all(np.abs(found.mean[label]["m"] - expected) < sigmas(48) * error)
        # In the model's parameter the terms of all rows add up: x - z - shift, of standard deviation s.
        assert found.std[label]["shift"] ** 2 == pytest.approx(
            8 * 0.36 / particles, rel=sigmas(4) * (2 / repeats) ** 0.5
        )
    half = found.mean["half"]["m"]
    assert np.all(np.abs(half - expected) < sigmas(48) * found.std["half"]["m"] / repeats**0.5)
    # Half of the rows count twice: more noise than all of them.
    assert found.std["half"]["m"].min() > found.std["one"]["m"].max()
    groups = found.to_dataframe()
    assert list(groups.loc["one"].index) == ["model", "guide"]
    assert list(groups.loc["one"]["size"]) == [1, 16]


def test_it_prints_and_plots(reports: dict) -> None:
    found = reports["pyro"]
    text = repr(found)
    assert "Gradients of 'states' on pyro, 400 estimates each" in text
    assert all(label in text for label in METHODS)
    assert "<td>leave one out 5</td>" in found._repr_html_()
    axes = found.plot()
    labels = axes.get_legend_handles_labels()[1]
    assert "reinforce, guide" in labels
    # A variance of zero has no place on a logarithmic axis.
    assert not any(label.startswith("enumerate") for label in labels) or found.groups[2].variance > 0.0


def test_a_fit_gives_the_place_and_one_method_needs_no_name() -> None:
    program = gauss(ROWS).observe(x=ROWS)
    method = SVI(guide=normal(ROWS), steps=5, draws=5, progress=False)
    fit = ppl.infer(program, method, backend="pyro")
    found = ppl.gradient_report(
        program, [method, SVI(objective=ELBO(2), guide=normal(ROWS))], params=fit, backend="pyro", repeats=20
    )
    again = ppl.gradient_report(program, method, params=fit.params, backend="pyro", repeats=20)
    label = next(iter(again.mean))
    np.testing.assert_array_equal(found.mean[label]["m"], again.mean[label]["m"])


def test_what_is_refused() -> None:
    program = states().observe(x=0.7)
    with pytest.raises(ModelError, match=r"variances need repeats(.*\n)*.*at least 20"):
        ppl.gradient_report(program, METHODS, repeats=5)
    with pytest.raises(ModelError, match=r"compares fits by SVI, and 'nuts' is none"):
        ppl.gradient_report(program, {"nuts": NUTS()})  # pyright: ignore[reportArgumentType]
    with pytest.raises(ModelError, match="two methods print as"):
        ppl.gradient_report(program, [method(1, Reinforce()), method(1, Reinforce())])
    with pytest.raises(ModelError, match=r"needs a method"):
        ppl.gradient_report(program, {})
    with pytest.raises(ModelError, match="needs a program"):
        ppl.gradient_report(states, METHODS)  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownNameError, match=r"no parameter 'b'(.*\n)*.*names: a"):
        ppl.gradient_report(program, METHODS["reinforce"], params={"b": 0.0})
    with pytest.raises(UnknownNameError, match="not told apart by 'groups'"):
        ppl.gradient_report(program, METHODS["enumerate"], repeats=20, backend="pyro").to_dataframe("groups")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gradient_that_is_not_finite_is_refused(backend: str) -> None:
    method = SVI(guide=normal(ROWS), strategies={"z": Reparam()}, progress=False)
    with pytest.raises(ModelError, match=r"the gradient of parameter '\w+' is not finite under 'elbo'"):
        ppl.gradient_report(
            gauss(ROWS).observe(x=ROWS), {"elbo": method}, params={"m": np.full(8, np.inf)}, backend=backend, repeats=20
        )
