"""Sums over draws of a guide from which rates, distortions and active units follow."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ppl.backend.compiled import Compiled
from ppl.errors import ModelError
from ppl.language.dist.kl import element_divergences, kl_divergence
from ppl.program.ops import apply, over
from ppl.program.values import Plate, Value

from .evaluation import CHUNK_BYTES
from .guide_draws import GuideDraws

# Numbers of these families are names, so their means and variances say nothing.
NAMES = ("Categorical", "OneHotCategorical")


class LatentSums:
    """Costs of all sites and moments of all latents, over draws of a guide.

    Attributes:
        latents: names of the latents that the guide draws, in order of declaration.
        plate: the plate whose rows are independent; None where there is none.
        noisy: the one observed normal site; None if there is not just one.
        noise: its standard deviation, if that is one number; else None.
    """

    def __init__(self, model: Compiled, guide: Compiled, params: Mapping[str, np.ndarray]) -> None:
        self.at = GuideDraws(model, guide, params)
        self.latents, self.plate = self.at.latents, self.at.plate
        self.costs: dict[str, np.ndarray] = {}
        self.count = 0
        self.first: dict[str, np.ndarray] = {}
        self.second: dict[str, np.ndarray] = {}
        self.rates: dict[str, np.ndarray] = {}
        observed = model.program.observed
        normal = [n for n in observed if self.at.density.dists[n].family == "Normal"]
        self.noisy = normal[0] if len(normal) == 1 == len(observed) else None
        self.noise: float | None = None
        self.plates: dict[str, tuple[Plate, ...]] = {}
        self.outputs = self._outputs()

    def _outputs(self) -> dict[str, Value]:
        program, density, draws = self.at.model.program, self.at.density, self.at.draws
        out: dict[str, Value] = {}
        for name, term in density.terms.items():
            parts = density.parts[name]
            mine = [p for p in parts if p in self.latents]
            if mine and len(parts) > 1:
                others = ", ".join(p for p in parts if p not in mine)
                raise ModelError(
                    f"its prior is part of the sum over {others}, so it has no rate of its own.",
                    site=mine[0],
                    model=program.name,
                    declared_at=program.by_name[mine[0]].location,
                    remedy="Give the site that is summed out a site in the guide.",
                )
            label = ", ".join(parts)
            self.plates[label] = density.plates[name]
            cost = -term
            if mine:
                # In closed form where there is one: then a draw counts by what the site depends on alone.
                q, p = draws.dists[name], density.dists[name]
                closed = kl_divergence(q, p)
                cost = draws.log_probs[name] - term if closed is None else closed
            out[f"cost/{label}"] = over(cost, self.plates[label])
        for name in self.latents:
            q, p, plates = draws.dists[name], density.dists[name], program.sites[name].plates
            if q.family in NAMES or p.family in NAMES:
                continue
            value = draws.values[name]
            out[f"value/{name}"] = over(value, plates)
            rate = element_divergences(q, p)
            if rate is None and not (q.event_rank or p.event_rank or q.mask_value or p.mask_value):
                rate = q.unchecked().element_log_prob(value) - p.unchecked().element_log_prob(value)
            if rate is not None:
                shape = program.sites[name].dist.event_shape
                rate = rate if rate.shape == shape else apply("broadcast_to", rate, shape=shape)
                out[f"unit/{name}"] = over(rate, plates)
        if self.noisy is not None:
            out["scale"] = density.dists[self.noisy].params["scale"]
        log_p, log_q = density.terms.values(), draws.log_probs.values()
        return out | {f"log_p/{i}": t for i, t in enumerate(log_p)} | {f"log_q/{i}": t for i, t in enumerate(log_q)}

    def add(self, count: int, seed: int, chunk: int | None, chunk_bytes: int = CHUNK_BYTES) -> None:
        """Take in some draws.

        Args:
            count: number of draws.
            seed: for the draws.
            chunk: draws that are held at a time; by default as many as fit into `chunk_bytes`.
            chunk_bytes: memory that intermediate results may take.

        Raises:
            NonFiniteError: log q is not finite, or log p is NaN or plus infinity; names the first site at fault.
        """
        for arrays, drawn, used in self.at.evaluate("latents", self.outputs, count, seed, chunk, chunk_bytes):
            self._take(arrays, drawn, used)

    def _take(self, arrays: Mapping[str, np.ndarray], drawn: int, used: int) -> None:
        self.count += used
        for name, array in arrays.items():
            kind, _, label = name.partition("/")
            if kind == "cost":
                sizes = tuple(p.size for p in self.plates[label])
                full = np.broadcast_to(array, (drawn, *sizes))[:used].reshape(used, -1).sum(axis=1, dtype=float)
                self.costs[label] = np.concatenate([self.costs.get(label, np.zeros(0)), full])
            elif kind in ("value", "unit"):
                full = np.broadcast_to(array, (drawn, *self.at.model.sizes(label)))[:used].astype(float)
                if kind == "unit":
                    self.rates[label] = self.rates.get(label, 0.0) + full.sum(axis=0)
                else:
                    self.first[label] = self.first.get(label, 0.0) + full.sum(axis=0)
                    self.second[label] = self.second.get(label, 0.0) + np.square(full).sum(axis=0)
            elif kind == "scale":
                scale = float(np.mean(array, dtype=float))
                self.noise = scale if np.ptp(array) <= 1e-5 * scale else None

    @property
    def totals(self) -> dict[str, tuple[float, float]]:
        """For each latent its rate, then for each other term its distortion: mean and standard error, in nats."""
        # In the order of the declaration: JAX gives results in the order of their names.
        order = [n for n in self.plates if n in self.latents]
        order += [n for n in self.plates if n not in self.latents]
        out: dict[str, tuple[float, float]] = {}
        for name in order:
            each = self.costs[name] / self.at.rows
            out[name] = float(each.mean()), float(each.std(ddof=1) / len(each) ** 0.5)
        return out

    def _flat(self, name: str, array: np.ndarray) -> np.ndarray:
        """Rows, then the event."""
        site = self.at.model.program.sites[name]
        return array.reshape(-1, *site.dist.event_shape)

    def moments(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Variance over the rows of the posterior mean, and mean posterior variance, of the event's shape.

        None for latents in no plate and for those whose numbers are names.

        The variance of the means of the draws is that of the posterior means plus the noise of the means, which is
        taken off: the result is unbiased, and can be slightly negative.
        """
        site = self.at.model.program.sites[name]
        if name not in self.first or not site.plates:
            return None
        mean = self._flat(name, self.first[name] / self.count)
        if len(mean) < 2:
            return None
        square = self._flat(name, self.second[name] / self.count)
        spread = (np.maximum(square - np.square(mean), 0.0) * (self.count / (self.count - 1))).mean(axis=0)
        return mean.var(axis=0, ddof=1) - spread / self.count, spread

    def unit_rates(self, name: str) -> np.ndarray | None:
        """Rate of each number of a latent in nats for each row, of the event's shape; None where it is not known."""
        if name not in self.rates:
            return None
        whole = self._flat(name, self.rates[name] / self.count).sum(axis=0)
        return whole / self.at.rows
