"""The posterior: what a method found out about a program."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ppl.errors import ModelError, ShapeError, UnknownNameError, nearest
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Sample

from . import weights as weighing
from .analysis import Analysis
from .lazy import LazyDraws

if TYPE_CHECKING:
    import xarray

    from ppl.backend.compiled import Compiled

Kind = Literal["samples", "variational", "weighted", "point"]
FIELDS = (
    "program", "method", "backend", "precision", "seed", "draws", "params", "log_weights", "log_p", "log_q",
    "sample_stats", "diagnostics", "log_evidence", "guide", "versions", "coords",
)  # fmt: skip


class Posterior(Analysis):
    """Draws, weights and parameters of a fit, with the program they belong to.

    One class for every method: MCMC, variational, weighted (importance sampling, SMC) and point fits. Dimensions are
    always chain, draw, plates, event; one chain where chains have no meaning. Nothing in it changes after it was made.

    Attributes:
        program: the observed program, with its data.
        method: the method, a frozen dataclass; a `MethodRecord` if a file names a method that is not known here.
        backend: "numpyro" or "pyro".
        precision: "float32" or "float64".
        seed: the seed of the fit.
        draws: latents and computed values by name, shape (chain, draw, plates..., event...).
        params: parameters and network weights of model and guide, in their own space.
        log_weights: of each draw, in nats, up to a constant, shape (chain, draw); None for equal weights.
        log_p: log p(values, data) in nats, shape (chain, draw), or None.
        log_q: log q(values) in nats, in the same space, or None.
        sample_stats: what the sampler says about each draw, shape (chain, draw).
        diagnostics: what the method says about the whole: numbers, strings, arrays.
        log_evidence: an estimate of log p(data) in nats, or None.
        guide: the guide program, or None.
        versions: versions of the libraries in use.
        coords: labels of plates and named dims.
    """

    def __init__(
        self,
        program: Program,
        method: Any = None,
        *,
        backend: str = "numpyro",
        precision: str = "float32",
        seed: int = 0,
        draws: Mapping[str, np.ndarray] | Callable[[], Mapping[str, np.ndarray]] | None = None,
        params: Mapping[str, np.ndarray] | None = None,
        log_weights: np.ndarray | None = None,
        log_p: np.ndarray | None = None,
        log_q: np.ndarray | None = None,
        sample_stats: Mapping[str, np.ndarray] | None = None,
        diagnostics: Mapping[str, Any] | None = None,
        log_evidence: float | None = None,
        guide: Program | None = None,
        versions: Mapping[str, str] | None = None,
        coords: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Made by inference methods.

        Args:
            program: the observed program.
            method: the method.
            backend: where it ran.
            precision: at which precision.
            seed: from which seed.
            draws: by name, or a function that makes them when they are first looked at.
            params: parameters of model and guide.
            log_weights: shape (chain, draw).
            log_p: shape (chain, draw).
            log_q: shape (chain, draw).
            sample_stats: each of shape (chain, draw).
            diagnostics: figures about the whole fit.
            log_evidence: in nats.
            guide: the guide program.
            versions: of libraries.
            coords: labels of plates.

        Raises:
            ShapeError: draws that do not have the shape that the program says.
            UnknownNameError: draws of something that is no site of the program.
        """
        self.program = program
        self.method = method
        self.backend = backend
        self.precision = precision
        self.seed = seed
        self.params = {name: np.asarray(array) for name, array in (params or {}).items()}
        self.log_weights = None if log_weights is None else np.asarray(log_weights)
        self.log_p = None if log_p is None else np.asarray(log_p)
        self.log_q = None if log_q is None else np.asarray(log_q)
        self.sample_stats = {name: np.asarray(array) for name, array in (sample_stats or {}).items()}
        self.diagnostics = dict(diagnostics or {})
        self.log_evidence = log_evidence
        self.guide = guide
        self.versions = dict(versions or {})
        self.coords = {name: list(labels) for name, labels in (coords or {}).items()}
        self.draws: Mapping[str, np.ndarray]
        if callable(draws):
            self.draws = LazyDraws(draws, (*program.latents, *program.deterministics), self._checked)
        else:
            self.draws = self._checked(draws or {})
        if self.coords:
            from .conversion import check_labels

            check_labels(program, self.coords)

    def _checked(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        arrays = {name: np.asarray(array) for name, array in draws.items()}
        known = {**self.program.latents, **self.program.deterministics}
        lead = self._known_lead()
        for name, array in arrays.items():
            if name not in known:
                raise UnknownNameError(
                    f"there are draws of {name!r}, which is no latent or computed site.",
                    model=self.program.name,
                    remedy=nearest(name, known),
                )
            statement = known[name]
            sizes = tuple(p.size for p in statement.plates) + statement.value.shape
            lead = lead or array.shape[:2]
            if array.shape != lead + sizes or len(lead) != 2:
                raise ShapeError(
                    "its draws have the wrong shape.",
                    site=name,
                    model=self.program.name,
                    expected=f"(chain, draw) and {sizes}: {(*lead, *sizes)}",
                    got=str(array.shape),
                )
        # In the order of the declaration, whatever order the method had.
        return {s.name: arrays[s.name] for s in self.program.statements if s.name in arrays}

    def _known_lead(self) -> tuple[int, ...] | None:
        own = {"log_weights": self.log_weights, "log_p": self.log_p, "log_q": self.log_q, **self.sample_stats}
        given = {name: array.shape for name, array in own.items() if array is not None}
        if len(set(given.values())) > 1 or any(len(shape) != 2 for shape in given.values()):
            raise ShapeError(
                "what there is one of for each draw disagrees.",
                model=self.program.name,
                expected="shape (chain, draw) for all",
                got=", ".join(f"{name}: {shape}" for name, shape in given.items()),
            )
        return next(iter(given.values()), None)

    def replace(self, **changes: Any) -> Posterior:
        """A copy with some fields changed."""
        out = Posterior(**({name: getattr(self, name) for name in FIELDS} | changes))
        # What took long to make stays, where nothing it was made from changed.
        if not changes.keys() & {"program", "backend", "precision", "seed"}:
            kept = ["compiled"] if changes.keys() & {"draws", "params"} else ["compiled", "terms"]
            out.__dict__.update({name: self.__dict__[name] for name in kept if name in self.__dict__})
        return out

    # --- what it holds ---------------------------------------------------------------------------------------------

    @property
    def sites(self) -> list[str]:
        """Names of the latents and computed values that have draws, in order of declaration."""
        return list(self.draws)

    @functools.cached_property
    def _lead(self) -> tuple[int, int]:
        lead = self._known_lead()
        if lead is None:
            lead = next((a.shape[:2] for a in self.draws.values()), (1, 1))
        return lead[0], lead[1]

    @property
    def chains(self) -> int:
        """Number of chains."""
        return self._lead[0]

    @property
    def count(self) -> int:
        """Number of draws in each chain."""
        return self._lead[1]

    @functools.cached_property
    def compiled(self) -> Compiled:
        """The program compiled for the backend of the fit."""
        from .evaluation import compiled

        return compiled(self.program, self.backend, self.precision, self.seed)

    @functools.cached_property
    def kind(self) -> Kind:
        """How the draws came to be: "samples" (MCMC), "variational", "weighted", or "point" (all of one value)."""
        if self.log_weights is not None:
            return "weighted"
        if self.guide is None:
            return "samples" if self.log_q is None else "variational"
        guide, random = self.guide, {n for n, s in self.guide.sites.items() if s.dist.family != "Delta"}
        # A point mass that moves with another random site of the guide is a way to write a joint distribution.
        fixed = [n for n in self.program.latents if n not in random and not guide.ancestors(n) & random]
        return "point" if len(fixed) == len(self.program.latents) else "variational"

    @functools.cached_property
    def weights(self) -> np.ndarray | None:
        """Normalised weights, shape (chain, draw); None for equal ones."""
        return None if self.log_weights is None else weighing.normalise(self.log_weights)

    @functools.cached_property
    def khat(self) -> float | None:
        """Pareto k-hat of the ratios p(values, data) / q(values); above 0.7, q is too far from the posterior.

        For weighted and variational fits with at least 25 draws; else None.

        Reference: Vehtari et al. (2024), Pareto smoothed importance sampling.
        """
        from .loo import khat

        if self.kind in ("samples", "point"):
            return None
        return khat(self) if "khat" not in self.diagnostics else float(self.diagnostics["khat"])

    @property
    def model_params(self) -> dict[str, np.ndarray]:
        """The parameters and network weights of the model alone; `params` holds those of the guide as well."""
        from .evaluation import params_of

        return params_of(self.program, self.params)

    def _statement(self, name: str) -> Sample | Deterministic:
        if name not in self.draws:
            raise UnknownNameError(
                f"there are no draws of {name!r}.", model=self.program.name, remedy=nearest(name, self.draws)
            )
        statement = self.program.by_name[name]
        assert isinstance(statement, (Sample, Deterministic))
        return statement

    def _flat(self, name: str) -> tuple[np.ndarray, np.ndarray | None]:
        self._statement(name)
        array = self.draws[name]
        weights = None if self.weights is None else self.weights.ravel()
        return array.reshape(-1, *array.shape[2:]), weights

    def __getitem__(self, name: str) -> xarray.DataArray:
        """The draws of one site, dims (chain, draw, plates..., event...).

        Raises:
            UnknownNameError: there are none.
        """
        from .views import site_array

        self._statement(name)
        return site_array(self, name, self.draws[name], ("chain", "draw"))

    def mean(self, name: str) -> xarray.DataArray:
        """Posterior mean of a site, weights honoured; dims (plates..., event...)."""
        from .views import site_array

        return site_array(self, name, weighing.mean(*self._flat(name)))

    def std(self, name: str) -> xarray.DataArray:
        """Posterior standard deviation of a site, weights honoured; dims (plates..., event...)."""
        from .views import site_array

        return site_array(self, name, weighing.std(*self._flat(name)))

    def quantile(self, name: str, q: float | Sequence[float]) -> xarray.DataArray:
        """Posterior quantiles of a site, weights honoured.

        Args:
            name: a site.
            q: one probability or several.

        Returns:
            Dims (plates..., event...), with (quantile) in front if there are several.
        """
        from .views import site_array

        values = weighing.quantile(*self._flat(name), q)
        return site_array(self, name, values, ("quantile",) if np.ndim(q) else (), {"quantile": q})

    def dataset(self) -> xarray.Dataset:
        """All draws, dims (chain, draw, plates..., event...)."""
        from .views import posterior_dataset

        return posterior_dataset(self)

    def stack(self) -> xarray.Dataset:
        """All draws with chains joined: dims (sample, plates..., event...)."""
        from .views import stacked

        return stacked(self)

    def resample(self, draws: int | None = None, *, seed: int | None = None) -> Posterior:
        """Equally weighted draws, chosen by systematic resampling, in a single chain.

        Args:
            draws: how many; by default as many as there are.
            seed: by default the seed of the fit, so the same call gives the same draws.

        From equal weights it picks evenly spaced draws, each at most once if there are enough.
        """
        from .views import resampled

        if draws is not None and (isinstance(draws, bool) or draws < 1):
            raise ModelError("resample needs a positive number of draws.", got=repr(draws))
        return resampled(self, draws, self.seed if seed is None else seed)

    def with_coords(self, **labels: Sequence[Any]) -> Posterior:
        """A copy whose plates or named dims carry labels: `posterior.with_coords(schools=["A", "B"])`."""
        return self.replace(coords={**self.coords, **labels})

    # --- taking it elsewhere -----------------------------------------------------------------------------------------

    def to_backend(self, backend: str) -> Posterior:
        """The same posterior for the other backend: draws and parameters move by name.

        Raises:
            UnsupportedByBackend: a network of the user's own has no such weights there, or the program needs something
                that this backend lacks.
        """
        from .transfer import to_backend

        return to_backend(self, backend)

    def network(self, name: str) -> Any:
        """A fitted network of model or guide: a `torch.nn.Module` on pyro, an equinox module on numpyro.

        Raises:
            UnknownNameError: there is no such network.
            ModelError: its weights are random sites, so there is not one network.
        """
        from .transfer import network

        return network(self, name)

    def save(self, path: str | os.PathLike[str]) -> str:
        """Write everything, data included, to one file; see `Posterior.load`.

        Args:
            path: where; `.credo` is added to a name without suffix.

        Returns:
            The path written. The file is a zip archive of one JSON document and numpy arrays, without pickle: `np.load`
            opens it. It replaces an older one only when it is complete.
        """
        from .saving import save

        return save(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, modules: Mapping[str, Mapping[str, Any]] | None = None) -> Posterior:
        """Read a fit that `save` wrote.

        Args:
            path: the file.
            modules: for networks of the user's own, by name: {"torch": factory, "jax": factory}.

        Raises:
            FormatError: the file is cut short, damaged, or of a newer version.
        """
        from .saving import load

        return load(path, modules or {})
