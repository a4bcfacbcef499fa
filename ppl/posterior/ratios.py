"""Log weights of a guide's draws, and what is kept of them when a few particles are held at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.backend.diagnosis import fault, findings, is_fault, outputs_of
from ppl.backend.protocol import Arrays
from ppl.errors import NonFiniteError, PPLError
from ppl.program.check import check_auxiliary
from ppl.program.ops import over, plate_sum
from ppl.program.values import Plate, Value
from ppl.transforms.density import Density, Simulator, log_density, simulator, total_of
from ppl.transforms.exact import exact_sites

from .evaluation import CHUNK_BYTES, bytes_per_draw, own_params, pieces

_GUIDE = 'Draws of a guide have a density: bound its parameters, give it lighter tails, or use precision="float64".'
_MODEL = "The guide draws values at which the model has no density: check what the parameters there are computed from."
# Numbers that are smoothed at a time.
SMOOTHED = 2_000_000


class LogWeights:
    """log p(values, data) - log q(values) at draws of a guide, for each independent row where there are such rows.

    Sites of few values that the guide does not draw are summed out.

    Attributes:
        plate: the plate whose rows have weights of their own; None where there is one weight in all.
        rows: how many there are; one where there is no such plate.
    """

    def __init__(self, model: Compiled, guide: Compiled, params: Mapping[str, np.ndarray]) -> None:
        # Here and not above: fits import this file, and need nothing of what that one loads.
        from .rows import independent_plate

        check_auxiliary(guide.program)
        self.model, self.guide = model, guide
        self.params = {**own_params(model, params), **own_params(guide, params)}
        exact = exact_sites(model.program, guide.program.sites)
        name = independent_plate(model.program, guide.program, tuple(exact))
        self.plate: Plate | None = None if name is None else model.program.plate(name)
        self.rows = 1 if self.plate is None else self.plate.size
        self.draws: Simulator = simulator(guide.program, lead=True, densities=True)
        latents = {n: self.draws.values[n] for n in model.program.latents if n not in exact}
        # The draws lie in the support, as the guide has been checked against the model.
        self.density: Density = log_density(model.program, latents, checked=False, exact=exact)

    def _outputs(self) -> dict[str, Value]:
        guide = self.guide.program
        log_p = [self._kept(term, self.density.plates[name]) for name, term in self.density.terms.items()]
        log_q = [self._kept(term, guide.by_name[name].plates) for name, term in self.draws.log_probs.items()]
        outputs = {"log_p": total_of([t for t in log_p if t is not None])}
        outputs["log_q"] = total_of([t for t in log_q if t is not None])
        return {name: self._wide(value) for name, value in outputs.items()}

    def _kept(self, term: Value, plates: tuple[Plate, ...]) -> Value | None:
        """A term summed over all plates but that of the rows; None if it belongs to no row (and reads no latent)."""
        if self.plate is None:
            return plate_sum(term, plates)
        if plates[:1] != (self.plate,):
            return None
        return plate_sum(term, plates[1:])

    def _wide(self, value: Value) -> Value:
        return value if self.plate is None else over(value, (self.plate,))

    def chunks(
        self, particles: int, seed: int, chunk: int | None = None, chunk_bytes: int = CHUNK_BYTES
    ) -> Iterator[np.ndarray]:
        """Log weights in nats.

        Args:
            particles: number of draws.
            seed: for the draws.
            chunk: draws that are held at a time; by default as many as fit into `chunk_bytes`.
            chunk_bytes: memory that intermediate results may take.

        Yields:
            Shape (some of the particles, rows), in float64.

        Raises:
            NonFiniteError: log q is not finite, or log p is NaN or plus infinity; names the first site at fault.
        """
        model, backend = self.model, self.model.backend
        programs = (model.program, self.guide.program)
        emitted = model.emitter(programs=programs).emit("log_weights", self._outputs())
        function = backend.jit(model.load(emitted, self.guide.networks), model.precision, ("lead",))
        data = self.guide.bind(emitted, model.program.data)
        params = self._arrays()
        if chunk is None:
            width = sum(bytes_per_draw(p, model.precision) for p in programs)
        else:
            width, chunk_bytes = 1, chunk
        steps = list(pieces(particles, width, chunk_bytes))
        for (place, index), key in zip(steps, backend.split(backend.key(seed), len(steps)), strict=True):
            # All chunks have one size, so that the function is compiled once; the last one is cut.
            lead = (len(index),)
            shapes, again = model.noise_shapes(self.draws.noise, lead, {}), backend.copy(key)
            result = function(params, {}, data, backend.noise(key, shapes, model.precision), lead=lead)
            log_p, log_q = (backend.to_numpy(result[name]).astype(float) for name in ("log_p", "log_q"))
            if is_fault(log_q, False) or is_fault(log_p, True):
                noise = backend.noise(again, shapes, model.precision)
                raise guide_fault(model, self.guide, self.draws, self.density, params, noise, lead[0])
            ratio = log_p - log_q
            if self.plate is None and ratio.ndim:
                ratio = ratio[..., None]
            yield np.broadcast_to(ratio, (*lead, self.rows))[: place.stop - place.start]

    def _arrays(self) -> Arrays:
        backend, precision = self.model.backend, self.model.precision
        return {k: backend.array(v, "float", precision) for k, v in self.params.items()}


def guide_fault(
    model: Compiled, guide: Compiled, draws: Simulator, density: Density, params: Arrays, noise: Arrays, count: int
) -> PPLError:
    """The error for draws of a guide whose densities are not finite, from the noise that they were made of.

    Args:
        model: the model.
        guide: the guide.
        draws: the guide's draws.
        density: the model's density there.
        params: parameters of both.
        noise: random arguments.
        count: number of draws.
    """
    backend = model.backend
    outputs = outputs_of(draws.log_probs, draws.dists, draws.values, "guide/")
    outputs |= outputs_of(density.terms, density.dists, density.values, "model/")
    emitted = model.emitter(programs=(model.program, guide.program)).emit("diagnose", outputs)
    function = backend.jit(model.load(emitted, guide.networks), model.precision, ("lead",))
    results = function(params, {}, guide.bind(emitted, model.program.data), noise, lead=(count,))
    arrays = {k: backend.to_numpy(v) for k, v in results.items()}
    own = {k: backend.to_numpy(v) for k, v in params.items()}
    drawn = findings(guide.program, arrays, own, drawn=True, prefix="guide/")
    scored = findings(model.program, arrays, own, parts=density.parts, prefix="model/")
    when = "at the draws of the guide"
    error = fault(drawn, when, remedy=_GUIDE) or fault(scored, when, impossible=True, remedy=_MODEL)
    return error or NonFiniteError(f"a log density is not finite {when}.", model=model.program.name)


@dataclass
class Tally:
    """Sums over the weights of each row, and the largest weights: what bounds and k-hat are made of.

    Attributes:
        particles: number of weights to come.
        rows: number of rows.
    """

    particles: int
    rows: int

    def __post_init__(self) -> None:
        self.count = 0
        self.sum = np.full(self.rows, -np.inf)
        self.square = np.full(self.rows, -np.inf)
        self.logs = np.zeros(self.rows)
        self.largest = np.empty((0, self.rows))

    @functools.cached_property
    def tail(self) -> int:
        """How many of the largest weights k-hat is read off, as in Vehtari et al. (2024)."""
        return int(np.ceil(min(self.particles / 5.0, 3.0 * np.sqrt(self.particles))))

    def add(self, log_weights: np.ndarray) -> None:
        """Take in the weights of some particles, in nats, shape (particles, rows)."""
        self.count += len(log_weights)
        self.sum = np.logaddexp(self.sum, _log_sum(log_weights))
        self.square = np.logaddexp(self.square, _log_sum(2.0 * log_weights))
        self.logs += log_weights.sum(axis=0)
        # One more than the tail: the smallest of them is the threshold that the tail lies above.
        joined = np.concatenate([self.largest, log_weights])
        keep = self.tail + 1
        self.largest = joined if len(joined) <= keep else np.partition(joined, len(joined) - keep, axis=0)[-keep:]

    @property
    def bound(self) -> np.ndarray:
        """Log of the mean weight of each row, in nats."""
        return self.sum - np.log(self.count)

    @property
    def elbo(self) -> np.ndarray:
        """Mean log weight of each row, in nats."""
        return self.logs / self.count

    @property
    def standard_error(self) -> np.ndarray:
        """Of the bound of each row, in nats, by the delta method: standard error over mean of the weights.

        Infinite with one particle, and where no weight is positive.
        """
        if self.count < 2:
            return np.full(self.rows, np.inf)
        with np.errstate(invalid="ignore"):
            variance = np.exp(self.square + np.log(self.count) - 2.0 * self.sum) - 1.0
        return np.where(np.isfinite(self.sum), np.sqrt(np.maximum(variance, 0.0) / (self.count - 1)), np.inf)

    @property
    def khat(self) -> np.ndarray:
        """Pareto k-hat of the weights of each row; NaN below 25 particles, infinite where no weight is positive."""
        from .loo import FEWEST_DRAWS, pareto_smooth

        out = np.full(self.rows, np.nan)
        if self.count < FEWEST_DRAWS:
            return out
        positive = np.isfinite(self.sum)
        out[~positive] = np.inf
        # The smoothing looks at the largest fifth: as many numbers below the threshold as that takes.
        width = 5 * self.tail
        places = np.flatnonzero(positive)
        step = max(1, SMOOTHED // width)
        for begin in range(0, len(places), step):
            own = self.largest[:, places[begin : begin + step]].T
            below = np.repeat(own.min(axis=1, keepdims=True), width - own.shape[1], axis=1)
            out[places[begin : begin + step]] = pareto_smooth(np.concatenate([below, own], axis=1), 1e-9)[1]
        return out


def _log_sum(log_weights: np.ndarray) -> np.ndarray:
    top = log_weights.max(axis=0)
    finite = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return finite + np.log(np.exp(log_weights - finite).sum(axis=0))
