"""`ppl.calibrate` passes exact posteriors and finds those that are too narrow, too wide, shifted, or deaf."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import pytest
from scipy.stats import chi2

import ppl
from ppl import dist
from ppl.errors import DataError, ModelError, UnknownNameError
from ppl.inference import NUTS, ImportanceSampling
from ppl.inference.amortized.calibration import bins_for, uniformity
from tests.budget import FALSE_ALARM
from tests.posterior.fits import PRIOR_SD, centre, centre_fit, centre_moments

matplotlib.use("agg")

BACKENDS = ("numpyro", "pyro")
ROWS = 5


@dataclass(frozen=True)
class Conjugate:
    """Draws of the exact posterior of `centre`, or of one that is wrong on purpose."""

    widen: float = 1.0
    shift: float = 0.0
    deaf: bool = False
    draws: int = 99

    def check(self, program: ppl.Program, seed: int = 0) -> None:
        """Nothing to check."""

    def run(self, program: ppl.Program, backend: Any, seed: int, precision: str) -> ppl.Posterior:
        mean, sd = centre_moments(np.asarray(program.data["y"], dtype=float))
        if self.deaf:
            mean, sd = 0.0, PRIOR_SD
        draws = np.random.default_rng(seed).normal(mean + self.shift * sd, self.widen * sd, (1, self.draws))
        return ppl.Posterior(program, self, draws={"mu": draws, "double": 2.0 * draws}, backend="pyro")


def program() -> ppl.Program:
    return centre(ROWS).observe(y=np.zeros(ROWS))


def calibrate(method: Any, simulations: int = 400, backend: str = "pyro", **settings: Any) -> Any:
    return ppl.calibrate(program(), method, simulations, backend=backend, false_alarm=FALSE_ALARM, seed=1, **settings)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_exact_posterior_passes(backend: str) -> None:
    found = calibrate(Conjugate(), backend=backend)
    assert found.ok
    assert found.problems == []
    assert list(found.ranks) == ["mu"]
    assert found.ranks["mu"].shape == (400,)
    assert found.limit == FALSE_ALARM
    for level in (0.5, 0.8, 0.9):
        share, due = found.coverage(level)
        assert due == pytest.approx(level)
        assert abs(share["mu"] - due) < 4.3 * (due * (1 - due) / 400) ** 0.5


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Conjugate(widen=0.6), "too narrow"),
        (Conjugate(widen=1.8), "too wide"),
        (Conjugate(shift=0.5), "too high"),
        (Conjugate(shift=-0.5), "too low"),
    ],
)
def test_wrong_posteriors_are_found_and_the_mistake_is_named(wrong: Conjugate, says: str) -> None:
    found = calibrate(wrong)
    assert not found.ok
    assert found.uncalibrated == ["mu"]
    assert says in found.problems[0]


def test_a_method_that_ignores_the_data_passes_as_the_documentation_says() -> None:
    assert calibrate(Conjugate(deaf=True)).ok


def test_the_test_has_the_false_alarm_rate_that_it_states() -> None:
    """Over many sets of uniform ranks, small p-values are as rare as they should be."""
    rng = np.random.default_rng(0)
    ranks = rng.integers(0, 100, (4000, 200))
    p = np.array([uniformity(r, 99) for r in ranks])
    assert bins_for(200, 99) == 10
    for level in (0.01, 0.05, 0.5):
        # Counts are whole numbers, so the chi-square distribution is an approximation, here to a tenth.
        error = 4.3 * (level * (1 - level) / len(p)) ** 0.5
        assert abs(np.mean(p < level) - level) < error + 0.1 * level
    # And the statistic is what it is called: all in one of ten bins.
    assert uniformity(np.zeros(40, dtype=int), 99) == pytest.approx(chi2.sf(40.0, 1))


def test_weighted_draws_are_resampled() -> None:
    found = calibrate(ImportanceSampling(2000), 120, draws=19, progress=False)
    assert found.ok
    assert found.method == "ImportanceSampling(num_particles=2000)"


def test_discrete_latents_and_plates_have_ranks_with_equal_values_in_random_order() -> None:
    @ppl.model
    def signs(rows: int):
        with ppl.plate("rows", size=rows):
            s = ppl.sample("s", dist.Bernoulli(0.3))
            ppl.sample("y", dist.Normal(2.0 * s, 1.0))

    observed = signs(2).observe(y=np.zeros(2))
    found = ppl.calibrate(
        observed, ImportanceSampling(200), 100, draws=19, backend="pyro", false_alarm=FALSE_ALARM, progress=False
    )
    assert list(found.ranks) == ["s[0]", "s[1]"]
    assert found.ok
    assert found.limit == FALSE_ALARM / 2


def test_it_prints_and_plots() -> None:
    found = calibrate(Conjugate(widen=0.5), 200)
    text = repr(found)
    assert "Calibration of Conjugate(widen=0.5) on 'centre': 200 simulations of 99 draws" in text
    assert "false alarms in 2e-05 of all reports" in text
    assert "warning: mu: the posterior is too narrow" in text
    assert "too narrow" in found._repr_html_()
    frame = found.to_dataframe()
    assert list(frame.index) == ["mu"]
    assert not frame["calibrated"].to_numpy()[0]
    figure = found.plot()
    assert len(figure.axes[0].patches) >= 10
    with pytest.raises(UnknownNameError, match="no ranks of 'nu'"):
        found.plot(["nu"])
    with pytest.raises(ModelError, match="coverage needs a probability"):
        found.coverage(90)


def test_what_is_refused() -> None:
    with pytest.raises(DataError, match=r"no site is observed(.*\n)*.*program.observe"):
        ppl.calibrate(centre(ROWS), Conjugate())
    with pytest.raises(ModelError, match=r"too few simulations(.*\n)*.*at least 40"):
        calibrate(Conjugate(), 10)
    with pytest.raises(UnknownNameError, match=r"no latent 'nu'(.*\n)*.*mu"):
        calibrate(Conjugate(), sites=["nu"])
    with pytest.raises(ModelError, match=r"gives 20 draws, and ranks among 99(.*\n)*.*draws=20"):
        calibrate(Conjugate(draws=20))
    with pytest.raises(ModelError, match="needs a program"):
        ppl.calibrate(centre, Conjugate())  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownNameError, match="no precision 'double'"):
        calibrate(Conjugate(), precision="double")
    with pytest.raises(ModelError, match=r"a fit by Exact says nothing about other data(.*\n)*.*Pass the method"):
        calibrate(centre_fit())

    @ppl.model
    def learned():
        mu = ppl.sample("mu", dist.Normal(ppl.param("m", 0.0), 1.0))
        ppl.sample("y", dist.Normal(mu, 1.0))

    with pytest.raises(ModelError, match=r"'m', whose true value has no distribution(.*\n)*.*Give it a prior"):
        ppl.calibrate(learned().observe(y=0.0), NUTS())

    @ppl.model
    def weighed():
        mu = ppl.sample("mu", dist.Normal(0.0, 1.0))
        ppl.factor("f", -(mu**2))
        ppl.sample("y", dist.Normal(mu, 1.0))

    with pytest.raises(ModelError, match="factor 'f' reads 'mu', so a simulation would ignore it"):
        ppl.calibrate(weighed().observe(y=0.0), NUTS())
    with pytest.raises(ModelError, match="nothing is latent"):
        ppl.calibrate(centre(ROWS).observe(y=np.zeros(ROWS), mu=0.0), NUTS())
