"""Gradient estimates side by side: variance, signal-to-noise ratio and cost of several methods on one program."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.backend.compiled import Compiled, get_backend
from ppl.backend.protocol import Part
from ppl.errors import ModelError, UnknownNameError, nearest
from ppl.posterior.posterior import Posterior
from ppl.program.program import Program

from .optimizers import SGD, Adam
from .svi import SVI, SVIRun

if TYPE_CHECKING:
    import pandas

# Repeats are told apart in this many blocks, whose variances differ by what the variance is uncertain by.
BLOCKS = 10
# Step size of learned baselines while they settle.
_SETTLING = Adam(1e-2)


@dataclass(frozen=True)
class GradientFigures:
    """How well one method estimates the gradient of some parameters.

    Attributes:
        method: the method's label.
        group: "model" or "guide", or the name of one parameter.
        size: how many numbers the group has.
        norm: length of the mean gradient, freed of what the noise of the mean adds to it.
        variance: of one estimate, summed over the numbers of the group.
        standard_error: of the variance.
        snr: signal-to-noise ratio of one estimate: norm over the root of the variance.
        seconds: median time of one gradient.
        work: variance times seconds; of two unbiased estimates that of less work is better.
    """

    method: str
    group: str
    size: int
    norm: float
    variance: float
    standard_error: float
    snr: float
    seconds: float
    work: float


@dataclass(frozen=True, eq=False)
class GradientReport:
    """Figures of gradient estimates, method by method.

    Attributes:
        program: name of the model.
        repeats: estimates by each method.
        backend: where they were made.
        groups: figures of the parameters of model and guide.
        parameters: figures of each parameter.
        mean: mean gradient of the objective by method and parameter, in unconstrained space.
        std: standard deviation of one estimate of it.
    """

    program: str
    repeats: int
    backend: str
    groups: tuple[GradientFigures, ...]
    parameters: tuple[GradientFigures, ...]
    mean: Mapping[str, Mapping[str, np.ndarray]]
    std: Mapping[str, Mapping[str, np.ndarray]]

    def to_dataframe(self, by: str = "group") -> pandas.DataFrame:
        """The figures as a table, indexed by method and group.

        Args:
            by: "group" for the parameters of model and guide together, "parameter" for each one.

        Raises:
            UnknownNameError: another word.
        """
        import pandas

        if by not in ("group", "parameter"):
            raise UnknownNameError(
                f"a report of gradients is not told apart by {by!r}.", remedy=nearest(str(by), ("group", "parameter"))
            )
        figures = self.groups if by == "group" else self.parameters
        names = ("size", "norm", "variance", "standard_error", "snr", "seconds", "work")
        index = pandas.MultiIndex.from_tuples([(f.method, f.group) for f in figures], names=["method", by])
        return pandas.DataFrame({name: [getattr(f, name) for f in figures] for name in names}, index=index)

    def _table(self) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        header = (
            "method",
            "parameters of",
            "numbers",
            "variance",
            "standard error",
            "signal/noise",
            "ms",
            "variance x ms",
        )
        rows = [
            (f.method, f.group, f.size, f.variance, f.standard_error, f.snr, 1e3 * f.seconds, 1e3 * f.work)
            for f in self.groups
        ]
        return header, rows

    @property
    def title(self) -> str:
        """What this is a report of."""
        return f"Gradients of {self.program!r} on {self.backend}, {self.repeats} estimates each"

    def __repr__(self) -> str:
        from ppl.posterior.tables import text_table

        return f"{self.title}\n{text_table(*self._table())}"

    def _repr_html_(self) -> str:
        from ppl.posterior.tables import html_table

        return html_table(self.title, *self._table())

    def plot(self, ax: Any = None) -> Any:
        """Variance of each method against its cost, one point for each group, on matplotlib axes.

        Lines of equal work fall from the upper left to the lower right; what lies below them is better.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(6.0, 4.0))
        for group, marker in (("guide", "o"), ("model", "s")):
            for i, label in enumerate(self.mean):
                own = [f for f in self.groups if f.method == label and f.group == group and f.variance > 0.0]
                for f in own:
                    ax.errorbar(
                        [1e3 * f.seconds], [f.variance], [f.standard_error], fmt=marker, color=f"C{i}",
                        label=f"{label}, {group}",
                    )  # fmt: skip
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xlabel("milliseconds per gradient")
        ax.set_ylabel("variance of the gradient")
        if ax.get_legend_handles_labels()[0]:
            ax.legend(frameon=False)
        return ax


class _Moments:
    """Mean and variance of arrays by name, and of the variances of blocks."""

    def __init__(self) -> None:
        self.count = 0
        self.mean: dict[str, np.ndarray] = {}
        self.square: dict[str, np.ndarray] = {}

    def add(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.count += 1
        for name, array in arrays.items():
            before = self.mean.get(name, np.zeros(array.shape))
            now = before + (array - before) / self.count
            # Welford's form: no difference of two large sums.
            self.square[name] = self.square.get(name, np.zeros(array.shape)) + (array - before) * (array - now)
            self.mean[name] = now

    def variance(self, name: str) -> np.ndarray:
        return self.square[name] / (self.count - 1)


class _Estimator:
    """One method at fixed parameters, ready to give gradients."""

    def __init__(self, label: str, run: SVIRun, warmup: int, seed: int) -> None:
        self.label, self.run = label, run
        backend, precision = run.model.backend, run.model.precision
        self.own = set(run.surrogate.starts)
        emitted = run.surrogate.emitted
        self.data = run.guide.bind(emitted, run.model.program.data)
        key = backend.key(seed)
        settle, self.key = backend.split(key, 2)
        params = {k: backend.to_numpy(v) for k, v in run.optimization.params().items()}
        if self.own and warmup:
            params |= self._settled(params, warmup, settle)
        self.params = {k: backend.array(v, "float", precision) for k, v in params.items()}
        self.gradient = backend.gradient(run.surrogate.loss, 0, precision)
        self.whole = _Moments()
        self.blocks = [_Moments() for _ in range(BLOCKS)]
        self.seconds: list[float] = []

    def _settled(self, params: Mapping[str, np.ndarray], steps: int, key: Any) -> dict[str, np.ndarray]:
        """Baselines after some steps in which nothing else moves."""
        run = self.run
        extras = run.surrogate.plan.extras
        rates = {n: e.rate for n, e in extras.items()}
        still = replace(SGD(1.0).spec, learning_rate=0.0)
        parts = [Part(tuple(n for n in params if n not in extras), still)]
        for rate in dict.fromkeys(rates.values()):
            spec = _SETTLING.spec if rate is None else SGD(rate).spec
            parts.append(Part(tuple(n for n, own in rates.items() if own == rate), spec))
        optimization = run.model.backend.optimization(
            run.surrogate.loss,
            params,
            self.data,
            run.surrogate.noise,
            tuple(p for p in parts if p.names),
            key,
            run.model.precision,
            False,
        )
        optimization.run(steps, run.rows(0, steps))
        return {n: run.model.backend.to_numpy(v) for n, v in optimization.params().items() if n in extras}

    def estimate(self, repeat: int, repeats: int, key: Any) -> None:
        """One more estimate."""
        run, backend = self.run, self.run.model.backend
        noise = backend.noise(key, run.surrogate.noise, run.model.precision)
        rows = run.rows(repeat, 1)
        index = {k: backend.array(v[0], "int", run.model.precision) for k, v in rows.items()}
        arguments = (self.params, {}, self.data, noise, index)
        if repeat == 0:
            # The first call compiles, which says nothing about the others.
            {k: backend.to_numpy(v) for k, v in self.gradient(*arguments).items()}
        began = time.perf_counter()
        found = {k: -backend.to_numpy(v).astype(float) for k, v in self.gradient(*arguments).items()}
        self.seconds.append(time.perf_counter() - began)
        own = {k: v for k, v in found.items() if k not in self.own}
        for name, array in own.items():
            if not np.isfinite(array).all():
                raise ModelError(
                    f"the gradient of parameter {name!r} is not finite under {self.label!r}.",
                    model=run.model.program.name,
                    remedy="Fit with this method: the error then names the site at fault.",
                )
        self.whole.add(own)
        self.blocks[repeat * BLOCKS // repeats].add(own)

    def figures(self, group: str, names: Sequence[str]) -> GradientFigures:
        """The figures of some parameters."""
        variance = sum(float(self.whole.variance(n).sum()) for n in names)
        each = [sum(float(b.variance(n).sum()) for n in names) for b in self.blocks]
        square = sum(float(np.square(self.whole.mean[n]).sum()) for n in names)
        norm = max(square - variance / self.whole.count, 0.0) ** 0.5
        seconds = float(np.median(self.seconds))
        return GradientFigures(
            method=self.label,
            group=group,
            size=sum(self.whole.mean[n].size for n in names),
            norm=norm,
            variance=variance,
            standard_error=float(np.std(each, ddof=1) / BLOCKS**0.5),
            snr=norm / variance**0.5 if variance > 0.0 else float("inf"),
            seconds=seconds,
            work=variance * seconds,
        )


def gradient_report(
    program: Program,
    method: SVI | Mapping[str, SVI] | Sequence[SVI],
    *,
    repeats: int = 200,
    params: Mapping[str, Any] | Posterior | None = None,
    warmup: int = 200,
    backend: str = "numpyro",
    precision: str = "float32",
    seed: int = 0,
) -> GradientReport:
    """Variance, signal-to-noise ratio and cost of gradient estimates, for several methods side by side.

    Args:
        program: the observed model.
        method: a fit by SVI, or several, best by a name for each: {"elbo": SVI(...), "iwelbo": SVI(...)}. They may
            differ in objective, strategies, guide and batch size.
        repeats: estimates by each method, at the same parameters and on fresh noise (and rows, in a minibatch).
        params: where the gradients are taken: parameters by name, in their own space, or a fit that holds them; by
            default where the methods start.
        warmup: steps in which baselines of score functions settle, while all other parameters stay.
        backend: "numpyro" (JAX) or "pyro" (torch).
        precision: "float32" or "float64".
        seed: for starts and noise.

    Returns:
        It prints as a table; `to_dataframe()` holds the numbers, `mean` and `std` the gradients themselves, and
        `plot()` shows variance against cost. Gradients are those of the objective (to be maximised), with respect to
        parameters in unconstrained space, which is where optimisers move.

    Raises:
        ModelError: too few repeats, no SVI, two methods of one name, or a gradient that is not finite.
        UnknownNameError: no method has such a parameter.
        PPLError: a method cannot treat the program.

    Reference: Rainforth et al. (2018), Tighter variational bounds are not necessarily better.
    """
    if not isinstance(program, Program):
        raise ModelError("ppl.gradient_report needs a program.", got=type(program).__name__)
    if isinstance(repeats, bool) or not isinstance(repeats, (int, np.integer)) or repeats < 2 * BLOCKS:
        raise ModelError(
            "variances need repeats.", model=program.name, expected=f"at least {2 * BLOCKS}", got=repr(repeats)
        )
    methods = _labelled(method)
    side = get_backend(backend)
    chosen = _placed(program, methods, params, side, precision, seed)
    estimators = [
        _Estimator(label, m.start(program, side, seed, precision), warmup, seed + 1) for label, m in chosen.items()
    ]
    keys = [side.split(e.key, int(repeats)) for e in estimators]
    # In turns, so that what else the machine does counts for all alike.
    for repeat in range(int(repeats)):
        for estimator, own in zip(estimators, keys, strict=True):
            estimator.estimate(repeat, int(repeats), own[repeat])
    groups: list[GradientFigures] = []
    single: list[GradientFigures] = []
    for e in estimators:
        names = list(e.whole.mean)
        members = {
            "model": [n for n in names if n in e.run.model.params],
            "guide": [n for n in names if n not in e.run.model.params],
        }
        groups += [e.figures(group, own) for group, own in members.items() if own]
        single += [e.figures(name, [name]) for name in names]
    return GradientReport(
        program=program.name,
        repeats=int(repeats),
        backend=side.name,
        groups=tuple(groups),
        parameters=tuple(single),
        mean={e.label: dict(e.whole.mean) for e in estimators},
        std={e.label: {n: e.whole.variance(n) ** 0.5 for n in e.whole.mean} for e in estimators},
    )


def _labelled(method: Any) -> dict[str, SVI]:
    from ppl.posterior.reports import method_text

    if isinstance(method, Mapping):
        methods = {str(k): m for k, m in method.items()}
    else:
        several = [method] if isinstance(method, SVI) or not isinstance(method, (list, tuple)) else list(method)
        labels = [method_text(m) for m in several]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise ModelError(
                f"two methods print as {twice}.", remedy='Name them: {"one": SVI(...), "other": SVI(...)}.'
            )
        methods = dict(zip(labels, several, strict=True))
    for label, m in methods.items():
        if not isinstance(m, SVI):
            raise ModelError(
                f"ppl.gradient_report compares fits by SVI, and {label!r} is none.",
                expected="SVI(objective=..., guide=..., strategies=...)",
                got=type(m).__name__,
            )
    if not methods:
        raise ModelError("ppl.gradient_report needs a method.", expected="SVI(...), or several by name", got="none")
    return methods


def _placed(
    program: Program,
    methods: Mapping[str, SVI],
    params: Mapping[str, Any] | Posterior | None,
    backend: Any,
    precision: str,
    seed: int,
) -> dict[str, SVI]:
    """The methods with the parameters at which gradients are taken."""
    if params is None:
        return dict(methods)
    given = dict(params.params) if isinstance(params, Posterior) else dict(params)
    out: dict[str, SVI] = {}
    known: set[str] = set()
    for label, m in methods.items():
        programs = program, m.guide_program(program, seed)
        names = {n for p in programs for n in Compiled(p, backend, precision, seed).params}
        known |= names
        out[label] = replace(m, params={**(m.params or {}), **{n: a for n, a in given.items() if n in names}})
    unknown = [n for n in given if n not in known]
    if unknown and not isinstance(params, Posterior):
        raise UnknownNameError(
            f"there is no parameter {unknown[0]!r}.", model=program.name, remedy=nearest(unknown[0], known)
        )
    return out
