"""Stochastic variational inference: an objective, a guide, an optimiser, and a loop that can be interrupted."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.backend.protocol import Optimization
from ppl.errors import FormatError, ModelError, PPLError, ShapeError, UnknownNameError, nearest
from ppl.posterior.methods import register
from ppl.posterior.posterior import Posterior
from ppl.program.check import check_auxiliary, check_guide, not_a_guide
from ppl.program.program import Program
from ppl.transforms.exact import exact_sites

from .checkpoint import read_checkpoint, write_checkpoint
from .diagnosis import nonfinite_error
from .draws import guide_posterior
from .gradient.contract import Strategy
from .gradient.verdict import Report
from .guide import AutoGuide, AutoNormal
from .marginal import Marginalized, marginal_of, marginalized
from .minibatch import Rows, batch_sizes
from .objective import ELBO
from .objective.checking import as_groups
from .optimizers import EMA, Adam, Alternate
from .parts import AnyOptimizer, optimizer_parts
from .progress import Progress
from .start import unconstrained_values
from .surrogate import ParameterSpace, Surrogate, build_surrogate, check_minibatch, plan_surrogate


@register
@dataclass(frozen=True)
class Plateau:
    """Stop early: when the mean objective over a window has not risen for some windows.

    Attributes:
        window: steps in a window.
        patience: windows without a rise of `tolerance` before the fit stops.
        tolerance: the smallest rise that counts, in nats.
    """

    window: int = 500
    patience: int = 3
    tolerance: float = 0.0


@register
@dataclass(frozen=True)
class SVI:
    """Stochastic variational inference.

    Attributes:
        objective: what is maximised: a shipped objective such as IWELBO(16), an expression in the words of
            `ppl.inference.objective`, or one each for the parameters of model and guide, {"model": ..., "guide": ...}.
        guide: a guide program, or a family that makes one from the model.
        optimizer: the optimiser; or one each for the parameters of model and guide, {"model": ..., "guide": ...}, and
            for parameters and networks by name, {..., "encoder": ...}.
        schedule: `Alternate(...)` if the parameters of model and guide move in turns; None for all at once.
        average: the running mean of the parameters that the posterior is made of; None for the last parameters.
        steps: number of gradient steps.
        batch_size: rows of each step, for the one data plate or by plate name; None for all rows.
        strategies: how gradients pass through the draw of a site, by name; the others get a default that `check` names.
        params: parameters that start elsewhere, by name, each in its own space: those of another fit, for example.
        draws: draws of the fitted guide that the posterior holds.
        compile: on torch, make each step (loss, gradient, update) one graph by `torch.compile`, which takes some
            seconds before the first step; JAX always compiles.
        plateau: when to stop early; None for never.
        checkpoint: a file to resume from and to save to; None for none.
        checkpoint_every: steps between saves.
        chunk: steps that run between two looks at the objective (fused into one call on JAX).
        progress: whether to show a progress bar.
    """

    objective: Any = field(default_factory=ELBO)
    guide: Program | AutoGuide = field(default_factory=AutoNormal)
    optimizer: AnyOptimizer | Mapping[str, AnyOptimizer] = field(default_factory=lambda: Adam(1e-2))
    schedule: Alternate | None = None
    average: EMA | None = None
    steps: int = 2000
    batch_size: int | Mapping[str, int] | None = None
    strategies: Mapping[str, Strategy] = field(default_factory=dict[str, Strategy])
    params: Mapping[str, Any] | None = None
    draws: int = 1000
    compile: bool = False
    plateau: Plateau | None = None
    checkpoint: str | Path | None = None
    checkpoint_every: int = 1000
    chunk: int = 100
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "draws", "checkpoint_every", "chunk"):
            if getattr(self, name) < 1:
                raise ModelError(f"SVI needs a positive {name}.", got=str(getattr(self, name)))
        made = isinstance(self.guide, Program) or (hasattr(self.guide, "build") and not isinstance(self.guide, type))
        if not made:
            raise not_a_guide(
                self.guide, "a guide that was called with its inputs, or a family of guides such as AutoNormal()"
            )

    def guide_program(self, program: Program, seed: int, start: Mapping[str, np.ndarray] | None = None) -> Program:
        """The guide as a program; `start` holds unconstrained starts of some sites."""
        return self.guide if isinstance(self.guide, Program) else self.guide.build(program, seed, start)

    def check(self, program: Program, seed: int = 0) -> Report:
        """Everything that can be wrong with this method on this program, before anything runs.

        Returns:
            For each objective and site whether the gradient is unbiased, and why; it prints.

        Raises:
            PPLError: the guide does not fit, a site cannot be treated, or a minibatch would be wrong.
        """
        guide = self.guide_program(program, seed)
        check_guide(program, guide, exact_sites(program))
        averaged = self.averaged(program, guide)
        batch = batch_sizes(program, self.batch_size)
        check_minibatch((program, guide), batch)
        whole = guide if averaged is None else averaged.program
        return plan_surrogate(program, whole, self.objective, batch, self.strategies, averaged).report

    def averaged(self, program: Program, guide: Program) -> Marginalized | None:
        """The guide with fresh draws of its auxiliary sites, if the objective averages these out.

        Raises:
            StrategyError: it should, and does not.
        """
        marginal = marginal_of(as_groups(self.objective))
        if marginal is None:
            check_auxiliary(guide)
            return None
        return marginalized(program, guide, marginal)

    def start(self, program: Program, backend: Any, seed: int, precision: str) -> SVIRun:
        """A fit that has not taken a step yet."""
        return SVIRun(self, program, backend, seed, precision)

    def run(self, program: Program, backend: Any, seed: int, precision: str) -> Posterior:
        """Fit, and draw from the fitted guide."""
        fit = self.start(program, backend, seed, precision)
        for note in fit.surrogate.plan.report.notes:
            print(f"strategy of {note}")
        return fit.finish()


class SVIRun:
    """One fit: compiled loss, optimisation state, and what has been seen of the objective.

    Attributes:
        surrogate: the compiled loss; `surrogate.emitted.source` is its text.
        optimization: parameters and optimiser state.
        objective: the objective at each step so far, in nats.
        seconds: time spent in all steps, compilation included.
        pace: seconds a step of each call of `advance`; the first call compiles.
    """

    def __init__(self, method: SVI, program: Program, backend: Any, seed: int, precision: str) -> None:
        method.check(program, seed)
        self.method = method
        self.seed = seed
        self.model = Compiled(program, backend, precision, seed)
        init = None if isinstance(method.guide, Program) else method.guide.init
        guide = method.guide_program(program, seed, unconstrained_values(self.model, init))
        self.averaged = method.averaged(program, guide)
        self.guide = Compiled(guide if self.averaged is None else self.averaged.program, backend, precision, seed)
        self.batch = batch_sizes(program, method.batch_size)
        self.surrogate: Surrogate = build_surrogate(
            self.model, self.guide, method.objective, self.batch, method.strategies, self.averaged
        )
        backend.check_step(self.surrogate.emitted, method.compile)
        self.space = ParameterSpace(self.model, self.guide)
        self.rows = Rows(program, self.batch, seed, self.surrogate.plan.curves)
        used = {a.key for a in self.surrogate.emitted.arguments if a.group == "params"}
        start = self.space.unconstrain(self._starting_params())
        self.fixed = {k: v for k, v in start.items() if not _is_used(k, used)}
        trained = {k: v for k, v in start.items() if _is_used(k, used)} | self.surrogate.starts
        if not trained:
            raise ModelError("the guide and the model have no parameters to fit.", model=program.name)
        data = {**self.guide.bind(self.surrogate.emitted, self.model.program.data)}
        key_fit, self.key_draws = backend.split(backend.key(seed), 2)
        self.optimization: Optimization = backend.optimization(
            self.surrogate.loss,
            trained,
            data,
            self.surrogate.noise,
            optimizer_parts(
                method.optimizer, method.schedule, list(trained), set(self.model.params), self.surrogate, self.guide
            ),
            key_fit,
            precision,
            method.compile,
            None if method.average is None else method.average.spec,
        )
        self.objective: list[np.ndarray] = []
        self.steps_done = 0
        self.seconds = 0.0
        self.pace: list[float] = []

    def _starting_params(self) -> dict[str, np.ndarray]:
        start = {**self.model.params, **self.guide.params}
        for name, item in (self.method.params or {}).items():
            array = np.asarray(item, dtype=self.model.precision)
            if name not in start:
                raise UnknownNameError(
                    f"there is no parameter {name!r}.", model=self.model.program.name, remedy=nearest(name, start)
                )
            if array.shape != start[name].shape:
                raise ShapeError(
                    f"parameter {name!r} starts with the wrong shape.",
                    model=self.model.program.name,
                    expected=str(start[name].shape),
                    got=str(array.shape),
                )
            start[name] = array
        return start

    # --- checkpoints -----------------------------------------------------------------------------------------------

    @property
    def fingerprint(self) -> str:
        """What must be equal for a checkpoint to be continued."""
        m = self.method
        parts = (
            self.model.program.to_json(),
            self.guide.program.to_json(),
            repr((m.objective, m.optimizer, m.schedule, m.average, dict(self.batch), dict(m.strategies))),
            self.model.backend.name,
            self.model.precision,
            str(self.seed),
        )
        # Here and not above: its start-up costs more than all of this file.
        import hashlib

        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def save(self) -> None:
        """Write the checkpoint."""
        assert self.method.checkpoint is not None
        arrays = {f"state/{k}": v for k, v in self.optimization.state().items()}
        arrays["objective"] = self.trace
        facts = {"fingerprint": self.fingerprint, "step": self.steps_done, "seconds": self.seconds}
        write_checkpoint(self.method.checkpoint, arrays, facts)

    def resume(self) -> bool:
        """Go on from the checkpoint, if there is one.

        Raises:
            FormatError: the file is damaged, or belongs to another fit.
        """
        path = self.method.checkpoint
        if path is None or not Path(path).exists():
            return False
        arrays, facts = read_checkpoint(path)
        if facts["fingerprint"] != self.fingerprint:
            raise FormatError(
                f"the checkpoint {str(path)!r} belongs to another fit.",
                model=self.model.program.name,
                expected="the same program, guide, objective, optimiser, batch size, backend, precision and seed",
                remedy="Choose another file, or delete this one.",
            )
        self.optimization.restore({k[6:]: v for k, v in arrays.items() if k.startswith("state/")})
        self.objective = [arrays["objective"]]
        self.steps_done = int(facts["step"])
        self.seconds = float(facts["seconds"])
        return True

    # --- the loop ----------------------------------------------------------------------------------------------------

    @property
    def trace(self) -> np.ndarray:
        """The objective at each step so far, in nats."""
        return np.concatenate(self.objective) if self.objective else np.zeros(0)

    def advance(self, steps: int) -> np.ndarray:
        """Take some steps; the objective at each, in nats.

        Raises:
            NonFiniteError: the objective or its gradient is not finite; the parameters are those before that step.
        """
        began = time.perf_counter()
        done = self.steps_done
        following = partial(self.rows.prepare, done + steps, steps)
        losses = self.optimization.run(steps, self.rows(done, steps), following)
        took = time.perf_counter() - began
        self.seconds += took
        self.pace.append(took / steps)
        self.steps_done += len(losses)
        if len(losses):
            self.objective.append(-losses)
        if len(losses) < steps:
            raise nonfinite_error(self, self.steps_done)
        return -losses

    def finish(self) -> Posterior:
        """Run all steps, and draw from the fitted guide.

        Raises:
            NonFiniteError: a step is not finite; `params` and `posterior` of the error are those before that step.
        """
        method = self.method
        resumed = self.resume()
        chunk = _chunk(method.steps, method.chunk)
        best, waiting, since = -np.inf, 0, self.steps_done
        with Progress(method.steps, self.steps_done, "SVI", method.progress) as progress:
            while self.steps_done < method.steps:
                try:
                    objective = self.advance(min(chunk, method.steps - self.steps_done))
                except PPLError as error:
                    error.params = self.params()
                    with contextlib.suppress(PPLError):  # parameters may be finite, and the densities of draws not
                        error.posterior = self.posterior({"resumed": resumed, "stopped_early": True})
                    raise
                progress.advance(len(objective), objective=float(objective.mean()))
                last = self.steps_done >= method.steps
                if method.checkpoint is not None and (last or self.steps_done - since >= method.checkpoint_every):
                    self.save()
                    since = self.steps_done
                if method.plateau is not None and self.steps_done % method.plateau.window < chunk:
                    mean = float(self.trace[-method.plateau.window :].mean())
                    if mean > best + method.plateau.tolerance:
                        best, waiting = mean, 0
                    else:
                        waiting += 1
                    if waiting >= method.plateau.patience:
                        break
        return self.posterior({"resumed": resumed, "stopped_early": self.steps_done < method.steps})

    def params(self, averaged: bool = True) -> dict[str, np.ndarray]:
        """All parameters of model and guide in their own space.

        Args:
            averaged: their running mean, if the method keeps one; it is a mean of unconstrained parameters.
        """
        own = self.surrogate.starts
        arrays = self.optimization.averaged() if averaged else self.optimization.params()
        now = {k: self.model.backend.to_numpy(v) for k, v in arrays.items() if k not in own}
        return self.space.constrain({**self.fixed, **now})

    def posterior(self, facts: Mapping[str, Any] | None = None) -> Posterior:
        """The fitted guide as a posterior."""
        # The first call compiles, which says nothing about the steps that follow.
        pace = self.pace[1:] or self.pace or [self.seconds / max(self.steps_done, 1)]
        diagnostics = {
            "objective": self.trace,
            "steps": self.steps_done,
            "seconds": self.seconds,
            "seconds_per_step": float(np.median(pace)),
            "verdicts": list(self.surrogate.plan.report.verdicts),
            **(facts or {}),
        }
        return guide_posterior(
            self.method,
            self.model,
            self.guide,
            self.params(),
            self.key_draws,
            self.seed,
            self.method.draws,
            diagnostics,
            self.averaged,
        )


def _is_used(name: str, used: set[str]) -> bool:
    return name in used or any(u.endswith(".") and name.startswith(u) for u in used)


def _chunk(steps: int, wanted: int) -> int:
    """A number of steps for each fused call that divides the total, so that one compiled loop serves all calls."""
    for size in range(min(wanted, steps), 0, -1):
        if steps % size == 0 and size * 4 >= min(wanted, steps):
            return size
    return min(wanted, steps)
