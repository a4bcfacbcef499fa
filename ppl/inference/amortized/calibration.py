"""Simulation-based calibration: whether the posteriors of a method mean what they say, for any method.

Latents and data are drawn from the model; given the data, the rank of the true latent among posterior draws is uniform
if the method is right.

Reference: Talts et al. (2018), Validating Bayesian inference algorithms with simulation-based calibration.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from ppl.backend.compiled import PRECISIONS, get_backend
from ppl.errors import DataError, ModelError, UnknownNameError, nearest
from ppl.inference.progress import Progress
from ppl.posterior.posterior import Posterior
from ppl.program.program import Program

if TYPE_CHECKING:
    import pandas

# Bins of the test: as many as have this many simulations each, and no more than `MOST_BINS`.
BIN_SIZE = 20
MOST_BINS = 20


@runtime_checkable
class Amortised(Protocol):
    """A method whose fit answers for other data without being fitted again."""

    def many(self, fit: Posterior, data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
        """Posterior draws for many sets of data.

        Args:
            fit: what the method has learned.
            data: for each observed site, shape (sets, plates..., event...).
            draws: draws for each set.
            seed: for the draws.

        Returns:
            For each latent, shape (draws, sets, plates..., event...).
        """
        ...


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of true latents among posterior draws, and what they say.

    Attributes:
        program: name of the model.
        method: the method, on one line.
        ranks: for each number of each latent, how many posterior draws lie below the truth, shape (simulations,); from
            0 to `draws`.
        draws: posterior draws of each simulation.
        p_values: probability of ranks at least as uneven, by a chi-square test, were they uniform.
        false_alarm: probability that a right method is called uncalibrated, all numbers together.
    """

    program: str
    method: str
    ranks: Mapping[str, np.ndarray]
    draws: int
    p_values: Mapping[str, float]
    false_alarm: float

    @property
    def simulations(self) -> int:
        """Number of simulated data sets."""
        return len(next(iter(self.ranks.values())))

    @property
    def limit(self) -> float:
        """The p-value below which one number counts as uncalibrated: the false-alarm rate over the number of them."""
        return self.false_alarm / len(self.ranks)

    @property
    def uncalibrated(self) -> list[str]:
        """The numbers whose ranks are not uniform."""
        return [name for name, p in self.p_values.items() if p < self.limit]

    @property
    def ok(self) -> bool:
        """Whether all ranks may be uniform."""
        return not self.uncalibrated

    def coverage(self, level: float) -> tuple[dict[str, float], float]:
        """How often central posterior intervals hold the truth.

        Args:
            level: their posterior probability.

        Returns:
            The share for each number, and the share that is due: the nearest to `level` that so many draws can have.

        Raises:
            ModelError: a level outside (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise ModelError("coverage needs a probability.", expected="0 < level < 1", got=repr(level))
        outside = round((self.draws + 1) * (1.0 - level) / 2.0)
        due = (self.draws + 1 - 2 * outside) / (self.draws + 1)
        shares = {n: float(np.mean((r >= outside) & (r <= self.draws - outside))) for n, r in self.ranks.items()}
        return shares, due

    def to_dataframe(self) -> pandas.DataFrame:
        """One row for each number: p-value, mean rank over its largest value, coverage at 50 and 90 %, calibrated."""
        import pandas

        half, most = self.coverage(0.5)[0], self.coverage(0.9)[0]
        table = {
            "p_value": [self.p_values[n] for n in self.ranks],
            "mean_rank": [float(r.mean() / self.draws) for r in self.ranks.values()],
            "coverage_50": [half[n] for n in self.ranks],
            "coverage_90": [most[n] for n in self.ranks],
            "calibrated": [n not in self.uncalibrated for n in self.ranks],
        }
        return pandas.DataFrame(table, index=pandas.Index(list(self.ranks), name="number"))

    @property
    def problems(self) -> list[str]:
        """In which way ranks are uneven."""
        found: list[str] = []
        allowed = NormalDist().inv_cdf(1.0 - self.limit / 2.0)
        shares, due = self.coverage(0.5)
        for name in self.uncalibrated:
            share, mean = shares[name], float(self.ranks[name].mean() / self.draws)
            # Standard errors of a share and of a mean of uniform numbers.
            off = (share - due) / (due * (1.0 - due) / self.simulations) ** 0.5
            shift = (mean - 0.5) / (1.0 / (12.0 * self.simulations)) ** 0.5
            what = []
            if abs(off) > allowed:
                width = "narrow" if off < 0 else "wide"
                what.append(f"too {width} (intervals of {due:.0%} hold the truth {share:.0%} of the time)")
            if abs(shift) > allowed:
                what.append(f"too {'low' if shift > 0 else 'high'} (mean rank {mean:.2f} of 1)")
            found.append(f"{name}: the posterior is {' and '.join(what) or 'of another shape'}.")
        return found

    def _table(self) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        frame = self.to_dataframe()
        header = ("number", "p-value", "mean rank", "coverage 50 %", "coverage 90 %", "calibrated")
        return header, [(str(name), *row) for name, row in zip(frame.index, frame.to_numpy().tolist(), strict=True)]

    @property
    def title(self) -> str:
        """What this is a report of."""
        return (
            f"Calibration of {self.method} on {self.program!r}: {self.simulations} simulations of {self.draws} draws, "
            f"false alarms in {self.false_alarm:.2g} of all reports"
        )

    def __repr__(self) -> str:
        from ppl.posterior.tables import text_table

        header, rows = self._table()
        return "\n".join([self.title, text_table(header, rows), *(f"  warning: {p}" for p in self.problems)])

    def _repr_html_(self) -> str:
        from ppl.posterior.tables import html_table

        return html_table(self.title, *self._table(), self.problems)

    def plot(self, names: Sequence[str] | None = None) -> Any:
        """Histograms of ranks with the band in which a right method keeps each bar; a matplotlib figure.

        Args:
            names: which numbers; by default the first twelve.

        Raises:
            UnknownNameError: there is no such number.
        """
        import matplotlib.pyplot as plt

        chosen = list(self.ranks)[:12] if names is None else list(names)
        for name in chosen:
            if name not in self.ranks:
                raise UnknownNameError(f"there are no ranks of {name!r}.", remedy=nearest(name, self.ranks))
        columns = min(4, len(chosen))
        rows = -(-len(chosen) // columns)
        figure, axes = plt.subplots(rows, columns, figsize=(3.0 * columns, 2.4 * rows), squeeze=False)
        bins = bins_for(self.simulations, self.draws)
        mean = self.simulations / bins
        allowed = NormalDist().inv_cdf(1.0 - self.limit / (2.0 * bins)) * (mean * (1.0 - 1.0 / bins)) ** 0.5
        for ax in axes.ravel()[len(chosen) :]:
            ax.set_axis_off()
        for ax, name in zip(axes.ravel(), chosen, strict=False):
            ax.hist(self.ranks[name], bins=bins, range=(-0.5, self.draws + 0.5))
            ax.axhspan(mean - allowed, mean + allowed, alpha=0.25, color="grey")
            ax.set_title(name)
            ax.set_xlabel("rank")
        figure.tight_layout()
        return figure


def bins_for(simulations: int, draws: int) -> int:
    """Number of bins of equal width that ranks from 0 to `draws` are counted in."""
    most = max(2, min(MOST_BINS, simulations // BIN_SIZE))
    return max(b for b in range(1, most + 1) if (draws + 1) % b == 0)


def uniformity(ranks: np.ndarray, draws: int) -> float:
    """P-value of a chi-square test of ranks against the uniform distribution on 0 ... draws."""
    from scipy.stats import chi2

    bins = bins_for(len(ranks), draws)
    counts = np.bincount(ranks * bins // (draws + 1), minlength=bins)
    mean = len(ranks) / bins
    return float(chi2.sf(np.square(counts - mean).sum() / mean, bins - 1))


def calibrate(
    program: Program,
    method: Any,
    simulations: int = 500,
    *,
    draws: int = 99,
    sites: Sequence[str] | None = None,
    false_alarm: float = 0.01,
    backend: str = "numpyro",
    precision: str = "float32",
    seed: int = 0,
    progress: bool = True,
) -> Calibration:
    """Check a method on data simulated from the model: ranks of the true latents, coverage, a test of uniformity.

    Args:
        program: the model, with data observed; which sites are observed counts, not their values.
        method: any method; or a fit of an amortised method (NPE), which is asked and not fitted again.
        simulations: number of simulated data sets. The method runs on each; an amortised one is fitted once.
        draws: posterior draws for each, evenly spaced ones of a longer chain, resampled ones of weighted draws. 99
            divides into bins and intervals evenly.
        sites: latents that are looked at; by default all.
        false_alarm: probability that a right method is called uncalibrated in any number. The test is a chi-square
            test for each number, with this probability shared among them.
        backend: "numpyro" (JAX) or "pyro" (torch); a fit brings its own. JAX compiles for each data set, so methods
            that are not amortised are often quicker on "pyro".
        precision: "float32" or "float64"; a fit brings its own.
        seed: for simulations and method.
        progress: whether to show a progress bar.

    Returns:
        It prints as a table; `ok`, `problems`, `coverage(level)` and `to_dataframe()` hold the numbers, `plot()` shows
        the ranks.

    Raises:
        ModelError: nothing is observed or latent, a parameter is to be fitted (its truth has no distribution), a factor
            weighs what is simulated, too few simulations, or fewer posterior draws than asked for.
        UnknownNameError: no such latent.

    Uniform ranks do not prove a method right: a posterior that ignores the data passes as well. Too few simulations see
    only gross errors.

    Reference: Talts et al. (2018), Validating Bayesian inference algorithms with simulation-based calibration.
    """
    from ppl.posterior.evaluation import compiled, refuse_factors, simulated
    from ppl.posterior.reports import method_text

    names = _checked(program, simulations, draws, sites, false_alarm, precision)
    refuse_factors(program, set(program.sites), "a simulation")
    fit = method if isinstance(method, Posterior) else None
    if fit is not None:
        backend, precision, method = fit.backend, fit.precision, fit.method
        if not isinstance(method, Amortised):
            raise ModelError(
                f"a fit by {type(method).__name__} says nothing about other data.",
                model=program.name,
                expected="a method, or a fit by an amortised one such as NPE",
                remedy="Pass the method itself, which is then fitted to each simulated data set.",
            )
    # Three streams of random numbers: the truth, the method, and the order of equal values.
    streams = np.random.SeedSequence(seed).generate_state(3) >> 1
    target = compiled(program, backend, precision, seed)
    truth = simulated(target, {}, {}, simulations, int(streams[0]))
    data = {n: truth[n] for n in program.observed}
    side = get_backend(backend)
    if isinstance(method, Amortised):
        own = fit if fit is not None else _run(program, method, side, int(streams[1]), precision)
        found = method.many(own, data, draws, int(streams[1]))
    else:
        found = _each(program, method, names, data, draws, side, int(streams[1]), precision, progress)
    generator = np.random.default_rng(int(streams[2]))
    ranks: dict[str, np.ndarray] = {}
    for name in names:
        sizes = truth[name].shape[1:]
        below = (found[name] < truth[name]).sum(axis=0)
        equal = (found[name] == truth[name]).sum(axis=0)
        whole = below + generator.integers(0, equal + 1)
        for place in np.ndindex(*sizes):
            label = f"{name}[{', '.join(map(str, place))}]" if sizes else name
            ranks[label] = whole[(slice(None), *place)]
    p_values = {label: uniformity(r, draws) for label, r in ranks.items()}
    return Calibration(program.name, method_text(method), ranks, draws, p_values, false_alarm)


def _checked(
    program: Any, simulations: int, draws: int, sites: Sequence[str] | None, false_alarm: float, precision: str
) -> list[str]:
    if not isinstance(program, Program):
        raise ModelError("ppl.calibrate needs a program.", got=type(program).__name__)
    if precision not in PRECISIONS:
        raise UnknownNameError(f"there is no precision {precision!r}.", remedy=nearest(str(precision), PRECISIONS))
    if not program.observed:
        raise DataError(
            "no site is observed, so the model does not say what its data is.",
            model=program.name,
            remedy="Observe it, with any values: program.observe(site=array).",
        )
    if simulations < 2 * BIN_SIZE or draws < 9 or not 0.0 < false_alarm < 1.0:
        raise ModelError(
            "too few simulations or draws for a test.",
            model=program.name,
            expected=f"at least {2 * BIN_SIZE} simulations, 9 draws, 0 < false_alarm < 1",
            got=f"{simulations} simulations, {draws} draws, false_alarm={false_alarm}",
        )
    trained = program.trained
    if trained:
        raise ModelError(
            f"the model holds {trained[0]!r}, whose true value has no distribution to be drawn from.",
            model=program.name,
            declared_at=program.by_name[trained[0]].location,
            expected="a model whose unknowns are all random sites",
            remedy="Give it a prior: ppl.sample for a parameter, prior=dist.Normal(0.0, 1.0) for a network.",
        )
    for name in sites or ():
        if name not in program.latents:
            raise UnknownNameError(
                f"there is no latent {name!r}.", model=program.name, remedy=nearest(name, program.latents)
            )
    names = list(program.latents if sites is None else sites)
    if not names:
        raise ModelError("nothing is latent, so there is nothing to calibrate.", model=program.name)
    return names


def _run(program: Program, method: Any, backend: Any, seed: int, precision: str) -> Posterior:
    method.check(program, seed)
    return method.run(program, backend, seed, precision)


def _each(
    program: Program,
    method: Any,
    names: Sequence[str],
    data: Mapping[str, np.ndarray],
    draws: int,
    backend: Any,
    seed: int,
    precision: str,
    progress: bool,
) -> dict[str, np.ndarray]:
    """Posterior draws of a method that runs on each data set, shape (draws, sets, plates..., event...)."""
    if dataclasses.is_dataclass(method) and any(f.name == "progress" for f in dataclasses.fields(method)):
        # One bar is enough.
        method = dataclasses.replace(method, progress=False)  # pyright: ignore[reportArgumentType]
    total = len(next(iter(data.values())))
    seeds = np.random.SeedSequence(seed).generate_state(total) >> 1
    parts: dict[str, list[np.ndarray]] = {n: [] for n in names}
    with Progress(total, 0, "calibrate", progress) as bar:
        for i in range(total):
            observed = program.observe(**{n: a[i] for n, a in data.items()})
            fit = _run(observed, method, backend, int(seeds[i]), precision)
            if fit.weights is None and fit.chains * fit.count < draws:
                raise ModelError(
                    f"the method gives {fit.chains * fit.count} draws, and ranks among {draws} were asked for.",
                    model=program.name,
                    remedy=f"Raise its number of draws, or pass draws={fit.chains * fit.count}.",
                )
            chosen = fit.resample(draws)
            for name in names:
                parts[name].append(chosen.draws[name][0])
            bar.advance(1)
    return {n: np.stack(p, axis=1) for n, p in parts.items()}
