"""The No-U-Turn sampler of NumPyro and of Pyro, on the emitted log density."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.backend.diagnosis import SMOOTH, Findings, fault, findings, gradient_fault, is_fault, outputs_of
from ppl.backend.emit import Emitted
from ppl.backend.protocol import NUTSResult, NUTSSettings
from ppl.errors import ModelError, NonFiniteError, PPLError, StrategyError
from ppl.inference.exact import computed_late, draw_exact
from ppl.inference.progress import watched
from ppl.inference.start import unconstrained_values
from ppl.posterior.methods import register
from ppl.posterior.posterior import Posterior
from ppl.program.ops import plate_sum
from ppl.program.program import Program
from ppl.transforms.density import log_density, total_of
from ppl.transforms.exact import exact_sites
from ppl.transforms.unconstrain import refuse_discrete, unconstrain_sites

# A chain of so many draws that has not moved once is refused.
STUCK = 50
_START = "Check the scale of the data and the priors of the sites that feed it, or pass init={...} to start elsewhere."


@register
@dataclass(frozen=True)
class NUTS:
    """The No-U-Turn sampler: gradients of the log density in unconstrained space, step size and mass adapted.

    Attributes:
        chains: independent chains.
        draws: draws kept from each chain.
        warmup: draws for adaptation, discarded.
        target_accept: acceptance probability that the step size is adapted to.
        max_tree_depth: trajectories double at most this often.
        dense_mass: adapt a full mass matrix instead of a diagonal one.
        init_radius: chains start uniformly within this distance of zero in unconstrained space.
        init: where all chains start some sites instead, by name, each in its own space.
        progress: whether to show a progress bar; it stays silent where nobody looks.

    Reference: Hoffman and Gelman (2014); the implementations are NumPyro's and Pyro's own.
    """

    chains: int = 4
    draws: int = 1000
    warmup: int = 1000
    target_accept: float = 0.8
    max_tree_depth: int = 10
    dense_mass: bool = False
    init_radius: float = 2.0
    init: Mapping[str, Any] | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        for name in ("chains", "draws", "warmup", "max_tree_depth"):
            if getattr(self, name) < 1:
                raise ModelError(f"NUTS needs a positive {name}.", got=str(getattr(self, name)))
        if not 0 < self.target_accept < 1:
            raise ModelError("NUTS: target_accept lies between 0 and 1.", got=str(self.target_accept))

    def check(self, program: Program, seed: int = 0) -> None:
        """Refuse what NUTS cannot sample.

        Raises:
            StrategyError: a discrete latent, nothing latent, or parameters to optimise.
        """
        if not program.latents:
            raise StrategyError("NUTS has nothing to sample: no site is latent.", model=program.name)
        exact = exact_sites(program)
        for site in program.latents.values():
            if site.name not in exact:
                refuse_discrete(program, site)
        if len(exact) == len(program.latents):
            raise StrategyError(
                "NUTS has nothing to sample: all latent sites are discrete, and can be summed out exactly.",
                model=program.name,
                remedy="Use ImportanceSampling(), whose draws are then exact.",
            )
        free = program.trained
        if free:
            first = program.by_name[free[0]]
            raise StrategyError(
                f"{free[0]!r} is a parameter to optimise, and NUTS samples sites only.",
                model=program.name,
                declared_at=first.location,
                remedy="Give it a prior (ppl.sample, or prior= on the network), or fit it with SVI.",
            )

    def run(self, program: Program, backend: Any, seed: int, precision: str) -> Posterior:
        """Sample, and bring the draws back to the sites' own space."""
        self.check(program)
        model = Compiled(program, backend, precision, seed)
        target = Unconstrained(model)
        key_run, _ = backend.split(backend.key(seed), 2)
        start = target.start(self.chains, self.init_radius, seed, unconstrained_values(model, self.init))
        settings = NUTSSettings(
            self.chains,
            self.warmup,
            self.draws,
            self.target_accept,
            self.max_tree_depth,
            self.dense_mass,
            self.progress and watched(),
        )
        data = model.bind(target.emitted)
        result = backend.nuts(target.function, start, {}, data, settings, key_run, precision)
        target.refuse_stuck(result)
        draws, log_p = target.constrain(result.draws)
        draws |= target.draw_exact(draws, seed)
        return Posterior(
            program=program,
            method=self,
            backend=backend.name,
            precision=precision,
            seed=seed,
            draws=draws,
            params={},
            log_p=log_p,
            sample_stats=dict(result.stats),
            diagnostics={"divergences": int(result.stats["diverging"].sum())},
            versions=backend.versions(),
        )


class Unconstrained:
    """The log density of a program's latent sites in unconstrained space.

    Attributes:
        emitted: its source.
        function: (params, values, data, noise) -> log density in nats, Jacobian included.
        shapes: shape of each unconstrained value, plates in front.
    """

    def __init__(self, model: Compiled) -> None:
        self.model = model
        program = model.program
        self.exact = exact_sites(program)
        sites = unconstrain_sites(program)
        density = log_density(program, sites.values, checked=False, exact=self.exact)
        jacobian = [plate_sum(t, program.by_name[n].plates) for n, t in sites.log_dets.items()]
        total = total_of([density.total(), *jacobian])
        self.emitted: Emitted = model.emitter(lead=False).emit("log_density", {"total": total}, single=True)
        self.function = model.load(self.emitted)
        self.shapes = {n: tuple(p.size for p in program.sites[n].plates) + s for n, s in sites.shapes.items()}
        outputs = {n: model.filled(n, v) for n, v in sites.values.items()}
        late = computed_late(program, self.exact)
        outputs |= {n: model.filled(n, density.values[n]) for n in program.deterministics if n not in late}
        outputs["log_p"] = density.total()
        emitted = model.emitter().emit("constrain", outputs)
        self._constrain = (emitted, model.backend.jit(model.load(emitted), model.precision))
        self._density = density

    def start(self, chains: int, radius: float, seed: int, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Starting points with a finite density, one for each chain; sites in `given` start there.

        Raises:
            NonFiniteError: a hundred tries gave none; names the first site at fault.
        """
        generator = np.random.default_rng([seed, 1])
        backend, precision = self.model.backend, self.model.precision
        data = self.model.bind(self.emitted)
        evaluate = backend.jit(self.function, precision)
        chosen: dict[str, list[np.ndarray]] = {n: [] for n in self.shapes}
        values: dict[str, Any] = {}
        for _ in range(chains):
            point: dict[str, np.ndarray] = {}
            for attempt in range(100):
                # Later tries stay closer to zero, where densities are tamer.
                width = radius * (1.0 if attempt < 50 else 0.1)
                point = {n: generator.uniform(-width, width, s) for n, s in self.shapes.items()}
                point |= given
                values = {n: backend.array(v, "float", precision) for n, v in point.items()}
                if np.isfinite(backend.to_numpy(evaluate({}, values, data, {}))):
                    break
            else:
                raise self._no_start(values)
            for n, v in point.items():
                chosen[n].append(v)
        return {n: np.stack(v) for n, v in chosen.items()}

    def _findings(self, values: dict[str, Any]) -> Findings:
        """Every site's log density at one point, and what it follows from."""
        model, density = self.model, self._density
        emitted = model.emitter(lead=False).emit("diagnose", outputs_of(density.terms, density.dists, density.values))
        function = model.backend.jit(model.load(emitted), model.precision)
        result = function({}, values, model.bind(emitted), {})
        arrays = {k: model.backend.to_numpy(v) for k, v in result.items()}
        return findings(model.program, arrays, model.params, parts=density.parts)

    def _no_start(self, values: dict[str, Any]) -> PPLError:
        when = "at any of 100 starting points"
        # Where every site has a finite density, the bijection to unconstrained space has none.
        return fault(self._findings(values), when, remedy=_START) or NonFiniteError(
            f"the log density is not finite {when}, though that of every site is.",
            model=self.model.program.name,
            remedy=_START,
        )

    def refuse_stuck(self, result: NUTSResult) -> None:
        """Refuse chains that have not gone anywhere.

        Raises:
            NonFiniteError: the log density or its gradient is not finite where a chain stands; names the first site.
            StrategyError: a chain of some length has never moved.
        """
        backend, precision = self.model.backend, self.model.precision
        diverging = np.asarray(result.stats["diverging"], dtype=bool)
        for chain in range(len(diverging)):
            stuck, good = diverging[chain].all(), np.isfinite(result.stats["lp"][chain]).all()
            last = {n: v[chain, -1] for n, v in result.draws.items()}
            moved = any((v[chain] != v[chain, -1]).any() for v in result.draws.values())
            if good and (moved or not (stuck or diverging.shape[1] >= STUCK)):
                continue
            values = {n: backend.array(v, "float", precision) for n, v in last.items()}
            when = f"where chain {chain + 1} of NUTS stands"
            found = self._findings(values)
            error = fault(found, when, remedy=_START) or gradient_fault(
                found, lambda name, values=values: self._gradient(name, values), when, SMOOTH
            )
            if error is not None:
                raise error
            if diverging.shape[1] >= STUCK:
                raise StrategyError(
                    f"chain {chain + 1} of NUTS has not moved in {diverging.shape[1]} draws.",
                    model=self.model.program.name,
                    expected="a log density whose gradient says where it goes on",
                    got=f"a log density of {result.stats['lp'][chain, -1]:.6g} that drops away all around",
                    remedy="Look for cliffs: ops.where and comparisons of latents, bounds that are not declared as a "
                    "support, noise scales near zero. init={...} starts the chains elsewhere.",
                )

    def _gradient(self, name: str, values: dict[str, Any]) -> dict[str, np.ndarray]:
        """The gradient of one site's log density by the unconstrained values."""
        model = self.model
        emitted = model.emitter(lead=False).emit("term", {"term": self._density.terms[name]}, single=True)
        function = model.load(emitted)
        data = model.bind(emitted)
        gradient = model.backend.gradient(lambda v: function({}, v, data, {}).sum(), 0, model.precision)
        return {n: model.backend.to_numpy(g) for n, g in gradient(values).items()}

    def constrain(self, draws: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Draws of all sites and deterministic values in their own space, and log p(values, data) in nats.

        Args:
            draws: unconstrained values, shape (chains, draws, ...).

        Raises:
            NonFiniteError: log p is not finite at a draw; names the first site at fault.
        """
        backend, precision = self.model.backend, self.model.precision
        emitted, function = self._constrain
        data = self.model.bind(emitted)
        parts = []
        chains = next(iter(draws.values())).shape[0]
        # One chain at a time bounds the memory of deterministic values.
        for chain in range(chains):
            values = {n: backend.array(v[chain], "float", precision) for n, v in draws.items()}
            parts.append({n: backend.to_numpy(v) for n, v in function({}, values, data, {}).items()})
        count = next(iter(draws.values())).shape[1]
        joined = {n: np.stack([_lead(p[n], count, self._rank(n)) for p in parts]) for n in parts[0]}
        log_p = joined.pop("log_p")
        if is_fault(log_p, False):
            chain, draw = np.argwhere(~np.isfinite(log_p))[0]
            found = self._findings({n: backend.array(v[chain, draw], "float", precision) for n, v in draws.items()})
            error = fault(found, "at a draw of NUTS", remedy=_START)
            raise error or NonFiniteError("the log density of a draw of NUTS is not finite.", model=found.program.name)
        return joined, log_p

    def draw_exact(self, draws: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
        """Draws of the sites that were summed out, and of what depends on them, shape (chains, draws, ...)."""
        chains, count = next(iter(draws.values())).shape[:2]
        flat = {n: v.reshape(chains * count, *v.shape[2:]) for n, v in draws.items() if n in self.model.program.latents}
        found = draw_exact(self.model, flat, chains * count, {}, seed)
        return {n: v.reshape(chains, count, *v.shape[1:]) for n, v in found.items()}

    def _rank(self, name: str) -> int:
        return 0 if name == "log_p" else len(self.model.sizes(name))


def _lead(array: np.ndarray, count: int, rank: int) -> np.ndarray:
    return array if array.ndim > rank else np.broadcast_to(array, (count, *array.shape))
