"""What the latents of a fit carry: rate and distortion by site and layer, active units, posterior collapse.

References: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders, for active units; Alemi et al.
(2018), Fixing a broken ELBO, for rate and distortion; Lucas, Tucker, Grosse and Norouzi (2019), Don't blame the ELBO!,
for collapse in linear autoencoders.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ppl.errors import GuideError, ModelError
from ppl.program.check import check_guide
from ppl.program.program import Program
from ppl.transforms.exact import exact_sites

from .bounds import check_programs, given_params
from .evaluation import CHUNK_BYTES, compiled
from .tables import html_table, text_table

if TYPE_CHECKING:
    import pandas

    from .posterior import Posterior

# Variance over the rows of a unit's posterior mean, above which it is active (Burda et al. 2016).
ACTIVE = 0.01


@dataclass(frozen=True)
class SiteFigures:
    """What one site costs or explains.

    Attributes:
        site: its name; several where a discrete site was summed out of their densities.
        role: "rate" for latents, E_q[log q - log p]; "distortion" for data and factors, -E_q[log p].
        layer: for latents, one more than the number of latents above it; 1 is the top.
        nats: for each row, or in all where rows are not independent.
        standard_error: of `nats`, from the draws of the guide.
        units: how many numbers a latent has in each element of its plates; 0 where they cannot be told apart.
        active: how many of these are active.
    """

    site: str
    role: str
    layer: int | None
    nats: float
    standard_error: float
    units: int = 0
    active: int = 0


@dataclass(frozen=True)
class UnitFigures:
    """What one number of a latent carries.

    Attributes:
        site: the latent.
        unit: its index in the event.
        rate: its part of the rate in nats for each row; NaN where the site's numbers are not independent.
        mean_variance: variance over the rows of its posterior mean.
        spread: mean over the rows of its posterior variance.
    """

    site: str
    unit: tuple[int, ...]
    rate: float
    mean_variance: float
    spread: float

    @property
    def active(self) -> bool:
        """Whether its posterior mean moves with the data."""
        return self.mean_variance > ACTIVE


@dataclass(frozen=True)
class LatentReport:
    """Rate and distortion of a model and guide, and which latent units take part.

    Attributes:
        program: name of the model.
        guide: name of the guide.
        plate: the plate whose rows the figures are for; None where they are in all.
        rows: its size.
        draws: draws of the guide.
        sites: one for each latent, then one for each observed site and factor.
        units: one for each number of each latent.
        noise: standard deviation of the data where that is one number and the data normal; else None.
        linear: the rates that the units of a linear autoencoder of that noise would have in its optimum, largest
            first; None where there is no such noise.
    """

    program: str
    guide: str
    plate: str | None
    rows: int
    draws: int
    sites: tuple[SiteFigures, ...]
    units: tuple[UnitFigures, ...]
    noise: float | None = None
    linear: tuple[float, ...] | None = field(default=None)

    @property
    def rate(self) -> float:
        """Nats that the latents carry."""
        return sum(s.nats for s in self.sites if s.role == "rate")

    @property
    def distortion(self) -> float:
        """Nats that the data still costs, given the latents; minus the ELBO is rate plus distortion."""
        return sum(s.nats for s in self.sites if s.role == "distortion")

    @property
    def elbo(self) -> float:
        """The evidence lower bound in nats, for each row or in all."""
        return -self.rate - self.distortion

    @property
    def active_units(self) -> int:
        """How many units are active."""
        return sum(u.active for u in self.units)

    def to_dataframe(self) -> pandas.DataFrame:
        """One row for each site: role, layer, nats, standard error, units, active units."""
        import pandas

        names = ("role", "layer", "nats", "standard_error", "units", "active")
        table = {name: [getattr(s, name) for s in self.sites] for name in names}
        return pandas.DataFrame(table, index=pandas.Index([s.site for s in self.sites], name="site"))

    def units_dataframe(self) -> pandas.DataFrame:
        """One row for each unit: rate, variance of its posterior mean, posterior variance, whether it is active."""
        import pandas

        names = ("rate", "mean_variance", "spread", "active")
        table = {name: [getattr(u, name) for u in self.units] for name in names}
        return pandas.DataFrame(table, index=pandas.Index([_label(u) for u in self.units], name="unit"))

    def layers(self) -> pandas.DataFrame:
        """One row for each layer of latents, from the top down: its rate, units and active units."""
        import pandas

        latents = [s for s in self.sites if s.role == "rate"]
        order = sorted({s.layer for s in latents if s.layer is not None})
        table = {
            name: [sum(getattr(s, name) for s in latents if s.layer == layer) for layer in order]
            for name in ("nats", "units", "active")
        }
        return pandas.DataFrame(table, index=pandas.Index(order, name="layer"))

    @property
    def problems(self) -> list[str]:
        """What should be looked at: units that stand still, and whether the model or its training is the reason."""
        found: list[str] = []
        still = [u for u in self.units if not u.active]
        if still:
            what = ", ".join(_label(u) for u in still[:8]) + (", ..." if len(still) > 8 else "")
            found.append(f"{len(still)} of {len(self.units)} units have collapsed to the prior: {what}.")
        if self.linear is not None:
            could = sum(rate > 0.0 for rate in self.linear)
            if self.active_units < could:
                found.append(
                    f"a linear autoencoder with this noise ({self.noise:.3g}) would use {could} units, this one uses "
                    f"{self.active_units}: it is not the noise that made the others collapse, but the optimisation."
                )
            elif still and could <= self.active_units:
                found.append(
                    f"with this noise ({self.noise:.3g}) a linear autoencoder would use {could} units as well: data "
                    "of so much noise supports no more. Fit the noise, or make it smaller."
                )
        return found

    def _table(self) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
        header = ("site", "role", "layer", "nats", "standard error", "active units")
        rows: list[tuple[Any, ...]] = []
        for s in self.sites:
            active = f"{s.active} of {s.units}" if s.units else None
            rows.append((s.site, s.role, s.layer, s.nats, s.standard_error, active))
        rows.append(("together", "-ELBO", None, -self.elbo, None, None))
        return header, rows

    @property
    def title(self) -> str:
        """What this is a report of."""
        each = f"nats for each of {self.rows} {self.plate}" if self.plate else "nats in all"
        return f"Rate and distortion of {self.program!r} under {self.guide!r}, {each}, {self.draws} draws"

    def __repr__(self) -> str:
        header, rows = self._table()
        return "\n".join([self.title, text_table(header, rows), *(f"  warning: {p}" for p in self.problems)])

    def _repr_html_(self) -> str:
        return html_table(self.title, *self._table(), self.problems)

    def plot(self, ax: Any = None) -> Any:
        """The rate of each unit, largest first, beside that of a linear autoencoder where there is one.

        Units whose rates are not known are shown by the variance of their posterior means. Returns matplotlib axes.
        """
        import matplotlib.pyplot as plt

        if ax is None:
            _, ax = plt.subplots(figsize=(6.0, 3.5))
        known = all(np.isfinite(u.rate) for u in self.units)
        heights = sorted((u.rate if known else u.mean_variance for u in self.units), reverse=True)
        ax.bar(np.arange(len(heights)), heights, label=self.guide)
        if self.linear is not None and known:
            ax.plot(np.arange(len(self.linear)), self.linear, "k.--", label="linear autoencoder")
            ax.legend(frameon=False)
        ax.set_xlabel("unit, largest first")
        ax.set_ylabel("rate (nats)" if known else "variance of the posterior mean")
        return ax


def _label(unit: UnitFigures) -> str:
    return f"{unit.site}[{', '.join(map(str, unit.unit))}]" if unit.unit else unit.site


def linear_vae_rates(data: Any, noise: float, units: int) -> np.ndarray:
    """Rates of the units of a linear variational autoencoder in its optimum, in nats for each row, largest first.

    Args:
        data: shape (rows, features).
        noise: standard deviation of the data given the code.
        units: length of the code.

    Returns:
        Shape (units,): half the log of eigenvalue over noise variance for the largest eigenvalues of the data's
        covariance, and zero where an eigenvalue is smaller: such a unit collapses to the prior in the optimum of the
        likelihood itself, whose stationary points are those of the ELBO.

    Reference: Lucas et al. (2019), Don't blame the ELBO! A linear VAE perspective on posterior collapse, section 4.
    """
    flat = np.asarray(data, dtype=float)
    if flat.ndim != 2 or units < 1 or not noise > 0:
        raise ModelError(
            "rates of a linear autoencoder need rows of data, a positive noise and a positive number of units.",
            expected="data of shape (rows, features), noise > 0, units >= 1",
            got=f"data of shape {flat.shape}, noise {noise}, units {units}",
        )
    values = np.linalg.eigvalsh(np.cov(flat.T, bias=True).reshape(flat.shape[1], flat.shape[1]))[::-1]
    rates = np.zeros(units)
    kept = np.maximum(values[:units], 0.0)
    rates[: len(kept)] = 0.5 * np.log(np.maximum(kept / noise**2, 1.0))
    return rates


def latent_report(
    program: Program,
    guide: Program,
    *,
    params: Mapping[str, Any] | Posterior | None = None,
    draws: int = 100,
    chunk: int | None = None,
    backend: str = "numpyro",
    precision: str = "float32",
    seed: int = 0,
) -> LatentReport:
    """Rate and distortion by site and layer, and which units of the latents are active.

    Args:
        program: the observed model.
        guide: the guide.
        params: all parameters and network weights of model and guide, by name, or a fit that holds them.
        draws: draws of the guide. Divergences that have a closed form given what a site depends on are exact up to
            that.
        chunk: draws that are held at a time; by default as many as fit into 256 megabytes.
        backend: "numpyro" (JAX) or "pyro" (torch).
        precision: "float32" or "float64".
        seed: for the draws.

    Returns:
        It prints as a table; `to_dataframe()`, `units_dataframe()` and `layers()` hold the numbers, `problems` what
        they say about collapse, and `plot()` shows them.

    Raises:
        ModelError: fewer than two draws, parameters without values, or a latent whose prior is part of an exact sum.
        GuideError: the guide does not fit the model, or has sites of its own, so that no rate belongs to a site.
    """
    check_programs(program, guide, "ppl.latent_report")
    check_guide(program, guide, exact_sites(program))
    if isinstance(draws, bool) or not isinstance(draws, (int, np.integer)) or draws < 2:
        raise ModelError("a report of latents needs at least two draws.", model=program.name, got=repr(draws))
    for name, site in guide.sites.items():
        if name not in program.latents:
            raise GuideError(
                f"the guide has the site {name!r} of its own, so its rate is no latent's alone.",
                site=name,
                model=guide.name,
                declared_at=site.location,
                expected=f"sites {list(program.latents)}",
                remedy="Use a guide that draws each latent by itself: AutoNormal(), or one of your own.",
            )
    given = given_params((program, guide), params, backend, precision, seed)
    target, own = (compiled(p, backend, precision, seed) for p in (program, guide))
    from .latent_sums import LatentSums

    sums = LatentSums(target, own, given)
    sums.add(int(draws), seed, chunk, CHUNK_BYTES)
    layer = _layers(program, sums.latents)
    units = tuple(u for name in sums.latents for u in _units(sums, name))
    sites: list[SiteFigures] = []
    for name, figures in sums.totals.items():
        mean, error = figures
        mine = [u for u in units if u.site == name]
        role = "rate" if name in layer else "distortion"
        sites.append(SiteFigures(name, role, layer.get(name), mean, error, len(mine), sum(u.active for u in mine)))
    noise, linear = _linear(program, sums, len(units))
    plate = sums.plate
    return LatentReport(
        program.name,
        guide.name,
        None if plate is None else plate.name,
        1 if plate is None else plate.size,
        int(draws),
        tuple(sites),
        units,
        noise,
        linear,
    )


def _layers(program: Program, latents: Sequence[str]) -> dict[str, int]:
    out: dict[str, int] = {}
    for name in latents:
        above = [out[n] for n in program.ancestors(name) if n in out]
        out[name] = 1 + max(above, default=0)
    return out


def _units(sums: Any, name: str) -> list[UnitFigures]:
    moments = sums.moments(name)
    if moments is None:
        return []
    mean_variance, spread = moments
    rates = sums.unit_rates(name)
    places = list(np.ndindex(*mean_variance.shape))
    return [
        UnitFigures(
            name,
            place,
            math.nan if rates is None else float(rates[place]),
            float(mean_variance[place]),
            float(spread[place]),
        )
        for place in places
    ]


def _linear(program: Program, sums: Any, units: int) -> tuple[float | None, tuple[float, ...] | None]:
    """Noise and rates of the linear autoencoder that the data could be explained by."""
    noise, name = sums.noise, sums.noisy
    if noise is None or name is None or not units:
        return None, None
    data = np.asarray(program.data[name], dtype=float)
    return noise, tuple(linear_vae_rates(data.reshape(len(data), -1), noise, units).tolist())
