"""Neural posterior estimation: a guide that is fitted to simulations of the model, and answers for any data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.errors import DataError, GuideError, ModelError, StrategyError
from ppl.inference.draws import guide_posterior
from ppl.inference.gradient.sleep import data_inputs as equal_inputs
from ppl.inference.guide import AutoDelta
from ppl.inference.guide.amortized import AutoAmortized, Bank
from ppl.inference.optimizers import Adam, Optimizer, Schedule
from ppl.inference.progress import Progress
from ppl.inference.svi import SVI
from ppl.posterior.bounds import refuse_unobserved
from ppl.posterior.methods import register
from ppl.posterior.posterior import Posterior
from ppl.program.check import check_guide, not_a_guide
from ppl.program.program import Program
from ppl.transforms.repeat import free_plate, repeated
from ppl.transforms.unconstrain import unconstrain_sites

# Probability that data of the model itself is called outside of what was simulated.
FALSE_ALARM = 1e-3
# Steps between two looks at the objective.
CHUNK = 100


@register
@dataclass(frozen=True)
class NPE:
    """Neural posterior estimation: the guide maximises the log density of latents given data, both simulated.

    The data of the program says which sites are data, and is what the posterior is for; `posterior.condition(x=...)`
    gives that of other data of the same shape, without another fit.

    Attributes:
        guide: a guide program that takes the data as inputs, or a family that makes one from the model.
        simulations: how many there are in the bank that steps draw minibatches from; None for as many as all steps
            take together, so that each is used once.
        steps: number of gradient steps.
        batch_size: simulations in a step.
        optimizer: the optimiser; None for Adam at a rate that falls from 2e-3 over all steps.
        held_out: share of the simulations that only judge the fit.
        draws: draws of the posterior.
        progress: whether to show a progress bar.

    References: Papamakarios and Murray (2016), Fast epsilon-free inference of simulation models with Bayesian
    conditional density estimation; Le, Baydin and Wood (2017), Inference compilation and universal probabilistic
    programming, whose objective is the same.
    """

    guide: Program | AutoAmortized = field(default_factory=AutoAmortized)
    simulations: int | None = 10_000
    steps: int = 3000
    batch_size: int = 128
    optimizer: Optimizer | None = None
    held_out: float = 0.1
    draws: int = 1000
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "draws"):
            if getattr(self, name) < 1:
                raise ModelError(f"NPE needs a positive {name}.", got=str(getattr(self, name)))
        if not 0.0 < self.held_out < 1.0:
            raise ModelError("NPE: held_out is a share.", expected="0 < held_out < 1", got=repr(self.held_out))
        if self.simulations is not None and self.simulations * (1.0 - self.held_out) < self.batch_size:
            raise ModelError(
                "NPE has fewer simulations than a step takes.",
                expected=f"more than {self.batch_size} besides those held out",
                got=f"simulations={self.simulations}, held_out={self.held_out}",
            )
        if not isinstance(self.guide, (Program, AutoAmortized)):
            raise not_a_guide(self.guide, "a guide that was called with the data, or AutoAmortized()")

    def check(self, program: Program, seed: int = 0) -> None:
        """Everything that can be wrong with this method on this program, before anything runs.

        Raises:
            DataError: nothing is observed, or data has missing elements.
            ModelError: the model has parameters to be fitted.
            StrategyError: the model holds a factor, or a latent that the family cannot treat.
            GuideError: the guide does not fit, has sites of its own, or reads no data.
        """
        refuse_as_simulator(program)
        if isinstance(self.guide, AutoAmortized):
            self.guide.check(program)
            return
        check_guide(program, self.guide)
        for name, site in self.guide.sites.items():
            if name not in program.latents:
                raise GuideError(
                    f"its density at simulated latents is not known: it has the site {name!r} of its own.",
                    site=name,
                    model=self.guide.name,
                    declared_at=site.location,
                    expected=f"sites {list(program.latents)}",
                )
        if not data_inputs(program, self.guide):
            raise GuideError(
                "the guide reads no data of the model, so it has one answer for all data.",
                model=self.guide.name,
                expected=f"an input with the data of one of {list(program.observed)}",
                got=f"inputs {[i.name for i in self.guide.inputs]}",
                remedy="Call the guide with the array that the model observes.",
            )
        repeated(self.guide, free_plate(self.guide, "simulation", 2), data_inputs(program, self.guide))

    def run(self, program: Program, backend: Any, seed: int, precision: str) -> Posterior:
        """Simulate, fit, and draw the posterior of the program's data."""
        self.check(program, seed)
        model = Compiled(program, backend, precision, seed)
        count, aside = self._counts()
        bank = _simulate(model, count + aside, seed)
        guide = self.guide
        if isinstance(guide, AutoAmortized):
            guide = guide.build(program, Bank({n: bank[n] for n in program.observed}, _unconstrained(model, bank)))
        inputs = data_inputs(program, guide)
        train = _scored(guide, inputs, {n: a[:count] for n, a in bank.items()})
        plate = train.plates[0].name
        batch = None if self.batch_size == count else {plate: self.batch_size}
        optimizer = self.optimizer or Adam(2e-3, schedule=Schedule(steps=self.steps, final_fraction=0.02))
        method = SVI(
            guide=AutoDelta(), optimizer=optimizer, steps=self.steps, batch_size=batch, draws=1, progress=False
        )
        fit = method.start(train, backend, seed, precision)
        with Progress(self.steps, 0, "NPE", self.progress) as bar:
            while fit.steps_done < self.steps:
                objective = fit.advance(min(CHUNK, self.steps - fit.steps_done)) / count
                bar.advance(len(objective), objective=float(objective.mean()))
        params = fit.params()
        held = _scored(guide, inputs, {n: a[count:] for n, a in bank.items()})
        scored = Compiled(held, backend, precision, seed)
        log_q = float(backend.to_numpy(scored.log_density({}, params))) / aside
        own = Compiled(guide, backend, precision, seed)
        facts: dict[str, Any] = {
            "objective": fit.trace / count,
            "steps": fit.steps_done,
            "seconds": fit.seconds,
            "simulations": count,
            "held_out_log_q": log_q,
        }
        for name in program.observed:
            facts[f"lowest {name}"], facts[f"highest {name}"] = bank[name].min(axis=0), bank[name].max(axis=0)
        facts["problems"] = _problems(program, facts, self.steps)
        key = backend.split(backend.key(seed), 3)[2]
        return guide_posterior(self, model, own, {**model.params, **params}, key, seed, self.draws, facts)

    def _counts(self) -> tuple[int, int]:
        """Simulations to fit to, and those held out."""
        if self.simulations is None:
            count = self.steps * self.batch_size
            return count, max(1, int(self.held_out * min(count, 10_000)))
        aside = max(1, int(self.held_out * self.simulations))
        return self.simulations - aside, aside

    def condition(self, fit: Posterior, data: Mapping[str, Any]) -> Posterior:
        """The posterior of other data; see `Posterior.condition`.

        Args:
            fit: what `run` gave.
            data: of observed sites; those that are left out keep theirs.
        """
        from ppl.backend.compiled import get_backend

        program = _with_data(fit.program, data)
        guide = _bound(fit, program)
        backend = get_backend(fit.backend)
        model, own = (Compiled(p, backend, fit.precision, fit.seed) for p in (program, guide))
        facts = {**fit.diagnostics, "problems": _problems(program, fit.diagnostics, self.steps)}
        key = backend.split(backend.key(fit.seed), 3)[2]
        return guide_posterior(self, model, own, fit.params, key, fit.seed, self.draws, facts)

    def many(self, fit: Posterior, data: Mapping[str, np.ndarray], draws: int, seed: int) -> dict[str, np.ndarray]:
        """Posterior draws for many sets of data, as `ppl.calibrate` asks for them."""
        from ppl.posterior.evaluation import compiled, simulated

        assert fit.guide is not None
        inputs = data_inputs(fit.program, fit.guide)
        sets = _repeated_on(fit.guide, inputs, data)
        target = compiled(sets, fit.backend, fit.precision, fit.seed)
        return simulated(target, {}, fit.params, draws, seed, set(fit.program.latents))


def data_inputs(model: Program, guide: Program) -> dict[str, str]:
    """The inputs of a guide that hold data of the model, with their sites: by name, or else by the array they hold."""
    named = {i.name: i.name for i in guide.inputs if i.name in model.observed}
    return named or equal_inputs(model, guide)


def refuse_as_simulator(program: Program) -> None:
    """Refuse programs whose draws are no draws of latents and data together.

    Raises:
        DataError: nothing is observed, or data has missing elements.
        ModelError: nothing is latent, or the model has parameters to be fitted.
        StrategyError: the model holds a factor.
    """
    if not program.observed:
        raise DataError(
            "no site is observed, so the model does not say what its data is.",
            model=program.name,
            remedy="Observe it: program.observe(x=array). condition(x=...) takes other data afterwards.",
        )
    if not program.latents:
        raise ModelError("nothing is latent, so there is no posterior.", model=program.name)
    for site in program.sites.values():
        if site.missing is not None:
            raise DataError(
                "its data has missing elements, and simulations have none.",
                site=site.name,
                model=program.name,
                declared_at=site.location,
                remedy="Use SVI or NUTS, which sum or impute them.",
            )
    trained = program.trained
    if trained:
        raise ModelError(
            f"the model holds {trained[0]!r}, whose value would have to be known to simulate.",
            model=program.name,
            declared_at=program.by_name[trained[0]].location,
            expected="a model whose unknowns are all random sites",
            remedy="Give it a prior, or fit it by SVI(objective=ReweightedWakeSleep()).",
        )
    if program.factors:
        name, factor = next(iter(program.factors.items()))
        raise StrategyError(
            "the model is no simulator: it holds this factor, which draws would leave out.",
            site=name,
            model=program.name,
            declared_at=factor.location,
            remedy="Use SVI or NUTS.",
        )


def _simulate(model: Compiled, count: int, seed: int) -> dict[str, np.ndarray]:
    from ppl.posterior.evaluation import simulated

    own = int(np.random.SeedSequence([seed, 4]).generate_state(1)[0] >> 1)
    bank = simulated(model, {}, {}, count, own)
    return {n: a for n, a in bank.items() if n in model.program.sites}


def _unconstrained(model: Compiled, bank: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Latents of simulations in unconstrained space."""
    backend, program = model.backend, model.program
    inverses = unconstrain_sites(program).inverses
    emitted = model.emitter(from_data=frozenset()).emit("unconstrain", inverses)
    function = backend.jit(model.load(emitted), model.precision)
    values = model.value_arrays({n: bank[n] for n in program.sites})
    found = function(model.param_arrays(), values, model.bind(emitted), {})
    return {n: backend.to_numpy(a).astype(float) for n, a in found.items()}


def _repeated_on(guide: Program, inputs: Mapping[str, str], data: Mapping[str, np.ndarray]) -> Program:
    """A guide for many sets of data, one run for each."""
    count = len(next(iter(data.values())))
    many = repeated(guide, free_plate(guide, "simulation", count), inputs)
    return replace(many, data={**many.data, **_arrays(guide, inputs, data)})


def _arrays(guide: Program, inputs: Mapping[str, str], data: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Data as the inputs of a guide, which may read whole numbers as real ones."""
    kinds = {i.name: i.dtype for i in guide.inputs}
    return {n: np.asarray(data[s], dtype=float if kinds[n] == "float" else None) for n, s in inputs.items()}


def _scored(guide: Program, inputs: Mapping[str, str], bank: Mapping[str, np.ndarray]) -> Program:
    """The guide of simulated data with the latents that were simulated along with it observed."""
    many = _repeated_on(guide, inputs, {s: bank[s] for s in inputs.values()})
    return many.observe(**{n: bank[n] for n in guide.sites})


def _with_data(program: Program, data: Mapping[str, Any]) -> Program:
    refuse_unobserved(program, data)
    return program.observe(**data)


def _bound(fit: Posterior, program: Program) -> Program:
    """The guide with the data of a program."""
    guide = fit.guide
    assert guide is not None
    inputs = data_inputs(fit.program, guide)
    for site in inputs.values():
        if program.sites[site].missing is not None:
            raise DataError(
                "its data has missing elements, and the guide has seen none with gaps.",
                site=site,
                model=program.name,
                declared_at=program.sites[site].location,
                remedy="Use SVI or NUTS, which sum or impute them.",
            )
    return guide.bind(**_arrays(guide, inputs, program.data))


def _problems(program: Program, facts: Mapping[str, Any], steps: int) -> list[str]:
    """What speaks against the answer: data unlike all simulations, and a guide that knows its simulations by heart."""
    from scipy.stats import poisson

    found: list[str] = []
    outside, total, named = 0, 0, ""
    for name in program.observed:
        array = np.asarray(program.data[name], dtype=float)
        far = (array < facts[f"lowest {name}"]) | (array > facts[f"highest {name}"])
        outside, total = outside + int(far.sum()), total + far.size
        named = named or (name if far.any() else "")
    # A number of the model's own is the largest or smallest of all with this probability.
    chance = 2.0 / (facts["simulations"] + 1.0)
    if outside > poisson.isf(FALSE_ALARM, total * chance):
        found.append(
            f"{outside} of {total} numbers of the data ({named!r}) lie outside of all {facts['simulations']} "
            "simulations: the guide has never seen such data, and its answer is a guess. Check model and priors."
        )
        warnings.warn(f"model {program.name!r}: {found[-1]}", stacklevel=4)
    trace = np.asarray(facts["objective"], dtype=float)
    tail = trace[-max(steps // 10, 1) :]
    gap, error = float(tail.mean() - facts["held_out_log_q"]), float(tail.std() / max(len(tail), 1) ** 0.5)
    if gap > 0.2 + 5.0 * error:
        found.append(
            f"held-out simulations are {gap:.2f} nats less likely than those that were fitted: the guide knows them by "
            "heart. Use more simulations, or simulations=None."
        )
    return found
