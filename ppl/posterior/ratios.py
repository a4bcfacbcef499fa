"""Log weights of a guide's draws, and what is kept of them when a few particles are held at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.program.check import check_auxiliary
from ppl.program.ops import over, plate_sum
from ppl.program.values import Plate, Value
from ppl.transforms.density import total_of

from .evaluation import CHUNK_BYTES
from .guide_draws import GuideDraws

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
        check_auxiliary(guide.program)
        self.at = GuideDraws(model, guide, params)
        self.plate, self.rows = self.at.plate, self.at.rows

    def _outputs(self) -> dict[str, Value]:
        density, draws, guide = self.at.density, self.at.draws, self.at.guide.program
        log_p = [self._kept(term, density.plates[name]) for name, term in density.terms.items()]
        log_q = [self._kept(term, guide.by_name[name].plates) for name, term in draws.log_probs.items()]
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
        found = self.at.evaluate("log_weights", self._outputs(), particles, seed, chunk, chunk_bytes)
        for arrays, drawn, used in found:
            ratio = arrays["log_p"].astype(float) - arrays["log_q"].astype(float)
            if self.plate is None and ratio.ndim:
                ratio = ratio[..., None]
            yield np.broadcast_to(ratio, (drawn, self.rows))[:used]


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
