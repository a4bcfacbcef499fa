"""What a person does with a posterior in a notebook: densities, tables, predictions, plots."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from ppl.errors import ModelError

if TYPE_CHECKING:
    import pandas
    import xarray

    from .latents import LatentReport
    from .posterior import Posterior


@runtime_checkable
class Conditioned(Protocol):
    """A method whose fit answers for other data."""

    def condition(self, fit: Posterior, data: Mapping[str, Any]) -> Posterior:
        """The posterior of other data."""
        ...


class Analysis:
    """Mixin of `Posterior`; each method fetches its file when it is called, so that `import ppl` stays light."""

    @property
    def _fit(self) -> Posterior:
        return self  # type: ignore[return-value]

    # --- densities -------------------------------------------------------------------------------------------------

    @functools.cached_property
    def terms(self) -> dict[str, np.ndarray]:
        """Log density of every site and factor at every draw, in nats, shape (chain, draw, plates...)."""
        from .views import terms

        return terms(self._fit)

    def log_likelihood_dataset(self) -> xarray.Dataset:
        """Pointwise log likelihood as one Dataset; see `log_likelihood`."""
        from .likelihood import likelihood_dataset

        return likelihood_dataset(self._fit)

    @functools.cached_property
    def log_likelihood(self) -> dict[str, xarray.DataArray]:
        """Log likelihood of each observed site at every draw, in nats: dims (chain, draw, plates...).

        Elements that are missing have none. Where there are such, the others stand on one axis, `<site>_known`; of an
        element that is partly known it is the density of what is known.
        """
        dataset = self.log_likelihood_dataset()
        return {str(array.attrs.get("site", v)): array for v, array in dataset.data_vars.items()}

    @functools.cached_property
    def log_prior(self) -> dict[str, xarray.DataArray]:
        """Log density of each latent site given its parents, in nats: dims (chain, draw, plates...).

        Imputed elements have none of their own: their density is part of that of the site they belong to.
        """
        from .views import by_site, with_density

        return by_site(self._fit, with_density(self._fit.program))

    @functools.cached_property
    def independent_rows(self) -> str | None:
        """The plate that holds every latent, if its rows are independent in model and guide; else None."""
        from .rows import independent_plate

        return None if self._fit.guide is None else independent_plate(self._fit.program, self._fit.guide)

    @functools.cached_property
    def row_ratios(self) -> np.ndarray | None:
        """Log ratio of posterior to guide of each independent row, in nats, shape (chain, draw, rows), or None."""
        from .rows import row_ratios

        return row_ratios(self._fit)

    def khat_by_row(self) -> xarray.DataArray | None:
        """Pareto k-hat of each row, for variational fits whose latents all lie in one plate with independent rows.

        The joint `khat` of thousands of rows says little, for their errors add up; each row has its own posterior, and
        this says how near the guide is to it. None for other fits and below 25 draws.
        """
        from .rows import khat_by_row

        return khat_by_row(self._fit)

    def bound(
        self,
        inputs: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        particles: int = 100,
        seed: int | None = None,
    ) -> xarray.DataArray:
        """Importance-weighted lower bound on the log evidence, of the data of the fit or of other data.

        Args:
            inputs: new inputs by name, of model and guide; the guide must be amortised, a function of its inputs.
            data: new data of the observed sites, by name.
            particles: draws of the guide for each row; the more, the tighter. One gives a draw of the ELBO.
            seed: for the draws; by default one derived from the seed of the fit.

        Returns:
            In nats. One bound for each row, dims (plate,), if all latents lie in one plate whose rows are independent
            in model and guide; what reads no latent and lies in no row is then left out. Else one for the whole.

        Raises:
            ModelError: the fit has no guide.
            DataError: an observed site has no data for the new rows.
            GuideError: the guide cannot draw new rows.

        Parameters stay as fitted: for held-out rows, this bounds what a fit has learnt about them.

        Reference: Burda, Grosse and Salakhutdinov (2016), Importance weighted autoencoders.
        """
        found = self.log_evidence_bound(inputs, data, particles=particles, seed=seed)
        return found["bound"].assign_attrs(found.attrs)

    def log_evidence_bound(
        self,
        inputs: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        /,
        *,
        particles: int = 5000,
        chunk: int | None = None,
        seed: int | None = None,
    ) -> xarray.Dataset:
        """Importance-weighted bound on the log evidence with its standard error and k-hat: `ppl.log_evidence_bound`.

        Args:
            inputs: as for `bound`.
            data: as for `bound`.
            particles: draws of the guide for each row.
            chunk: particles that are held at a time; by default as many as fit into 256 megabytes.
            seed: as for `bound`.

        Returns:
            `bound`, `standard_error`, `elbo` and `khat`, dims (plate,) or none, as `bound` has them.

        Raises:
            PPLError: as `bound` does.
        """
        from .bounds import fit_bound

        if seed is None:
            seed = int(np.random.SeedSequence([self._fit.seed, 2]).generate_state(1)[0] >> 1)
        return fit_bound(self._fit, inputs or {}, data or {}, particles, seed, chunk)

    def condition(self, **data: Any) -> Posterior:
        """The posterior of other data, from a fit by an amortised method (`NPE`); nothing is fitted again.

        Args:
            data: of observed sites, of the shapes that the fit had; those that are left out keep theirs.

        Returns:
            A posterior with draws, log p and log q of its own. Its `problems` say where the data is unlike all
            simulations, and a warning does so too.

        Raises:
            ModelError: the method of the fit answers for its own data alone.
            UnknownNameError: the fit observed no such site.
            ShapeError: data of another shape.
        """
        fit = self._fit
        if not isinstance(fit.method, Conditioned):
            raise ModelError(
                f"a fit by {type(fit.method).__name__} answers for its own data alone.",
                model=fit.program.name,
                expected="a fit by an amortised method, such as NPE",
                remedy="Fit again: ppl.infer(program.observe(...), method).",
            )
        return fit.method.condition(fit, data)

    def importance_corrected(self) -> Posterior:
        """The draws of a guide as weighted draws of the posterior, by the ratio of log p to log q.

        Returns:
            A weighted posterior with the same draws, an estimate of `log_evidence`, and `ess` in its diagnostics.
            Where `khat` is above 0.7 the weights are of no use.

        Raises:
            ModelError: the draws are none of a guide whose densities are known.
            StrategyError: all weights are zero.

        `predict`, `summary`, `mean` and the others honour the weights. The draws are those that there are: for more,
        fit with a larger `draws`.
        """
        from .correction import importance_corrected

        return importance_corrected(self._fit)

    def latent_report(self, *, draws: int = 100, chunk: int | None = None, seed: int | None = None) -> LatentReport:
        """Rate and distortion by site and layer, active units and posterior collapse: `ppl.latent_report` of this fit.

        Args:
            draws: draws of the guide.
            chunk: draws that are held at a time; by default as many as fit into 256 megabytes.
            seed: for the draws; by default one derived from the seed of the fit.

        Raises:
            ModelError: the fit has no guide.
        """
        from .bounds import without_guide
        from .latents import latent_report

        fit = self._fit
        if fit.guide is None:
            raise without_guide(fit)
        own = int(np.random.SeedSequence([fit.seed, 3]).generate_state(1)[0] >> 1) if seed is None else seed
        where = {"backend": fit.backend, "precision": fit.precision}
        return latent_report(fit.program, fit.guide, params=fit, draws=draws, chunk=chunk, seed=own, **where)

    def loo(self, var_name: str | None = None, *, pointwise: bool | None = None) -> Any:
        """Leave-one-out cross-validation of an observed site by Pareto smoothed importance sampling.

        Args:
            var_name: the observed site, if there are several.
            pointwise: whether to keep the value of each element; by default as arviz is set.

        Returns:
            arviz's `ELPDData`. Its elements are those of the site's plates, missing ones excepted.

        Raises:
            DataError: nothing is observed, or there are fewer than 25 draws.
            StrategyError: a point estimate, or draws of a guide without `log_q`.

        Variational and weighted draws do not come from the posterior, so each ratio is corrected by log p - log q (or
        by the weight); taking them for posterior draws would be another estimator. Where the rows of a fit are
        independent, the correction goes row by row. Parameters and network weights stay as fitted to all data.

        Reference: Vehtari, Gelman and Gabry (2017); Magnusson et al. (2019) for the correction.
        """
        from .loo import loo

        return loo(self._fit, var_name, pointwise)

    # --- looking at it -----------------------------------------------------------------------------------------------

    def to_arviz(
        self,
        *,
        log_likelihood: bool = True,
        log_prior: bool = True,
        predictive: bool | xarray.Dataset = False,
        prior: bool | xarray.Dataset = False,
        coords: Mapping[str, Sequence[Any]] | None = None,
    ) -> Any:
        """The fit as arviz has it: `InferenceData` on arviz 0.x, an `xarray.DataTree` from 1.0 on.

        Args:
            log_likelihood: whether to evaluate and add the pointwise log likelihood.
            log_prior: whether to add the log prior of each latent.
            predictive: what `predict` gave, or True to make it.
            prior: what `ppl.simulate` gave, or True to make it.
            coords: labels of plates and named dims.

        Returns:
            Groups posterior, sample_stats (with `lp`), log_likelihood, log_prior, observed_data, constant_data, and
            as asked posterior_predictive (predictions, if its inputs are new), prior and prior_predictive. arviz knows
            no weights: of a weighted fit the groups hold resampled draws, and the group `particles` the weighted ones.
        """
        from .views import arviz_groups

        return arviz_groups(self._fit, log_likelihood, log_prior, predictive, prior, coords)

    def summary(self, var_names: str | Sequence[str] | None = None, **settings: Any) -> pandas.DataFrame:
        """Table of means, spreads and intervals by arviz, one row for each number.

        Args:
            var_names: sites; by default all.
            settings: passed on to `arviz.summary`. `kind` is "all" for MCMC, else "stats": R-hat and effective
                sample sizes by autocorrelation say nothing about independent or weighted draws.

        Weighted fits are resampled first, systematically, with the seed of the fit; `attrs["draws"]` says so.
        """
        from .views import summary

        return summary(self._fit, var_names, settings)

    def predict(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        draws: int | None = None,
        seed: int | None = None,
        guide: Literal["auto", "guide", "model"] = "auto",
        same_rows: bool = False,
        factors: Literal["refuse", "ignore"] = "refuse",
        **more_inputs: Any,
    ) -> xarray.Dataset:
        """Draws of the observed sites and computed values: replicates of the data, or predictions on new inputs.

        A Gaussian process whose rows are among the new inputs goes on there: jointly over the new rows, given its draws
        (or, where it is observed, its data) at the rows of the fit.

        Args:
            inputs: new inputs by name, of the model or of the guide; also as keywords. A scan over a number of steps
                takes a larger number by its name, one over arrays takes longer arrays: `predict(time=120)` goes on
                from the steps of the fit, whose values stay, and forecasts the others.
            draws: how many posterior draws to use; by default all.
            seed: for all noise; by default one derived from the seed of the fit.
            guide: what draws latents in new rows: "model" is the model, given the kept latents; "guide" is the guide,
                which must be amortised: a function of inputs that are all given; "auto" is the guide if it can.
            same_rows: the new inputs are other values for the rows of the fit, whose latents are kept. Without it, a
                plate whose input changed has new rows, even if their number is the same. A Gaussian process is a
                function of its inputs, so at other values it goes on all the same.
            factors: what to do about a `ppl.factor` that reads what is drawn.
            more_inputs: inputs by keyword.

        Returns:
            Dims (chain, draw, plates..., event...): observed sites drawn anew, computed values computed anew, latents
            of new rows, processes at new inputs. Weighted fits are resampled first, into one chain.

        Raises:
            UnknownNameError: there is no such input.
            ShapeError: the inputs do not fit the model, or a joint distribution over rows does not say how it goes on.
            NonFiniteError: the covariance of a process with its new rows is not positive definite.
            PlateError: a parameter belongs to the rows of the fit.
            DataError: an index points outside the fitted groups.
            GuideError: the guide was asked for and cannot draw new rows.
        """
        from .prediction import predict

        if seed is None:
            # Not the seed of the fit itself: its noise is spent.
            seed = int(np.random.SeedSequence([self._fit.seed, 1]).generate_state(1)[0] >> 1)
        fit = self._fit
        if draws is not None or fit.kind == "weighted":
            fit = fit.resample(draws)
        return predict(fit, {**(inputs or {}), **more_inputs}, seed, guide, same_rows, factors)

    @property
    def problems(self) -> list[str]:
        """What should be looked at before this fit is believed: divergences, R-hat, k-hat, weights."""
        from .reports import problems

        return problems(self._fit)

    def __repr__(self) -> str:
        from .reports import text

        return text(self._fit)

    def _repr_html_(self) -> str:
        from .reports import html

        return html(self._fit)

    def plot_trace(self, var_names: str | Sequence[str] | None = None, **settings: Any) -> Any:
        """Marginal densities and traces by arviz; returns what arviz returns."""
        from .plots import plot_trace

        return plot_trace(self._fit, var_names, settings)

    def plot_posterior(self, var_names: str | Sequence[str] | None = None, **settings: Any) -> Any:
        """Marginal posterior densities by arviz; returns what arviz returns."""
        from .plots import plot_posterior

        return plot_posterior(self._fit, var_names, settings)

    def plot_predictive(self, predictive: xarray.Dataset | None = None, **settings: Any) -> Any:
        """Observed data among its posterior replicates, by arviz; `predictive` is what `predict()` gave."""
        from .plots import plot_predictive

        return plot_predictive(self._fit, predictive, settings)

    def plot_objective(self, ax: Any = None, *, window: int | None = None) -> Any:
        """The objective at each step of a variational fit, with its running mean, on matplotlib axes."""
        from .plots import plot_objective

        return plot_objective(self._fit, ax, window)
