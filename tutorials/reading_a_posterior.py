# %% [markdown]
# # Reading a posterior
#
# Someone hands you a fit. Perhaps it is your own, of last month. What is in it, can it be believed, and how do you get
# from a thousand draws to a sentence? This notebook is about the `Posterior`, which every method returns: MCMC,
# variational inference and importance sampling alike. It takes about a minute on one core.
#
# The data are 178 wines of three growers from one region of Italy, as they come with scikit-learn. The question: how
# does the depth of colour depend on the chemistry of the wine, and on who grew it?

# %%
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_wine

import ppl
from ppl import dist
from ppl.inference import NUTS, SVI, Adam, AutoMultivariateNormal, ImportanceSampling
from ppl.models import EFFECTS, SCHOOLS, eight_schools, eight_schools_centred

QUICK = os.environ.get("CREDO_QUICK") == "1"  # a run of a few seconds that tests everything and finds out nothing
SAMPLER = NUTS(chains=4, draws=100 if QUICK else 400, warmup=100 if QUICK else 400, progress=False)

wine: Any = load_wine()
columns = {name: wine.data[:, i] for i, name in enumerate(wine.feature_names)}
chosen = ["alcohol", "malic_acid", "flavanoids", "hue"]
growers = ["first", "second", "third"]
X = np.stack([(columns[n] - columns[n].mean()) / columns[n].std() for n in chosen], axis=1)
colour, grower = columns["color_intensity"], np.asarray(wine.target)
print(f"{len(colour)} wines; colour intensity from {colour.min():.1f} to {colour.max():.1f}, mean {colour.mean():.1f}")


# %% [markdown]
# ## A fit to read
#
# A level for each grower, a slope for each measurement, normal noise: what one would try first. The levels scatter
# around a common one, by an amount that is learnt from the data.


# %%
@ppl.model
def normal_colour(X, grower, growers: int = 3):
    centre = ppl.sample("centre", dist.Normal(5.0, 3.0))
    scatter = ppl.sample("scatter", dist.HalfNormal(3.0))
    slopes = ppl.sample("slopes", dist.Normal(0.0, 2.0).expand([X.shape[-1]]), dims=("measurement",))
    noise = ppl.sample("noise", dist.HalfNormal(3.0))
    with ppl.plate("growers", size=growers):
        level = ppl.sample("level", dist.Normal(centre, scatter))
    with ppl.plate("wines", (X, grower)) as (x, g):
        ppl.sample("colour", dist.Normal(level[g] + x @ slopes, noise))


labels = {"growers": growers, "measurement": chosen}
first = ppl.infer(normal_colour(X, grower).observe(colour=colour), SAMPLER).with_coords(**labels)

# %% [markdown]
# ### What is in it
#
# Everything that is needed to understand it, and to make it again: the program with its data, the method with its
# settings, the seed, the versions of the libraries. `save` writes all of that to one file. There is no pickle in it, so
# opening a file from a stranger runs none of the stranger's code.

# %%
with tempfile.TemporaryDirectory() as folder:
    fit = ppl.Posterior.load(first.save(Path(folder) / "wine"))
print(fit.program)
print()
print(fit.method, fit.seed, fit.versions, sep="\n")

# %% [markdown]
# Start with `print(fit)`, or with the fit at the end of a notebook cell. It says what the draws are, and it says what
# should worry you.

# %%
print(fit)

# %% [markdown]
# ### Draws are arrays with names
#
# `fit[name]` is an `xarray.DataArray`: chain and draw first, then the plates, then what `dims=` has named. So nobody
# has to remember whether axis 2 was growers or measurements.

# %%
print({name: fit[name].dims for name in fit.draws})
print(fit["level"].sel(growers="second").shape)

# %% [markdown]
# Any function of draws is again draws, of something else. That is the point of having them: the question "by how much
# does the colour of the third grower exceed that of the second, chemistry being equal?" is a subtraction.

# %%
gap = fit["level"].sel(growers="third") - fit["level"].sel(growers="second")
low, high = (float(gap.quantile(q)) for q in (0.05, 0.95))
print(f"third minus second: {float(gap.mean()):.2f}, with 90 % probability between {low:.2f} and {high:.2f}")
print(f"probability that it is positive: {float((gap > 0).mean()):.3f}")

# %% [markdown]
# `mean`, `std` and `quantile` of the fit do the same for whole sites, and heed weights where a method gives weights.

# %%
print(fit.quantile("slopes", [0.05, 0.5, 0.95]).to_pandas().T.round(2).to_string())

# %% [markdown]
# ### Did the sampler work?
#
# `summary` is arviz's table. Three columns are not about wine but about the sampler. `r_hat` compares the chains: above
# 1.01 they disagree, and no number in the row means anything yet. `ess_bulk` and `ess_tail` are how many independent
# draws the correlated ones are worth, for means and for the ends of intervals; a few hundred will do.

# %%
print(fit.summary(["centre", "scatter", "slopes", "noise"]).to_string())

# %% [markdown]
# What a failure looks like is worth seeing once. The eight schools in their centred form have a funnel that NUTS cannot
# enter. It reports **divergences**, which `problems` collects; the other form of the same model, which is a line
# longer, has none, or hardly any.

# %%
for build in (eight_schools_centred, eight_schools):
    schools = ppl.infer(build().observe(effect=EFFECTS), SAMPLER).with_coords(schools=SCHOOLS)
    smallest = float(schools["spread"].min())
    print(f"{schools.program.name}: smallest spread drawn {smallest:.3f}; problems: {schools.problems or 'none'}")

# %% [markdown]
# Look at the smallest spread. A diverging sampler stays out of the region where it diverges, and its averages leave
# that region out: a wrong answer that looks like an answer.
#
# ## Does the model fit?
#
# That the sampler worked says nothing about the model. `predict()` draws the data anew from each draw of the unknowns:
# replicates that should look like what was observed. Take any feature of the data that matters to you, and see where
# the observed one falls among the replicates.


# %%
def skewness(values, axis):
    centred = values - values.mean(axis=axis, keepdims=True)
    return (centred**3).mean(axis=axis) / (centred**2).mean(axis=axis) ** 1.5


FEATURES = {
    "smallest": lambda values, axis: values.min(axis=axis),
    "largest": lambda values, axis: values.max(axis=axis),
    "skewness": skewness,
}


def compare_with_replicates(fit):
    """Features of the data among those of replicates, with the share of replicates that are larger."""
    replicates = fit.predict()["colour"].stack(sample=("chain", "draw")).values.T
    for name, feature in FEATURES.items():
        seen, drawn = feature(colour, axis=0), feature(replicates, axis=1)
        low, high = np.quantile(drawn, [0.05, 0.95])
        above = np.mean(drawn > seen)
        print(f"{name:<9} {seen:6.2f} in the data; {low:6.2f} to {high:6.2f} in replicates, {above:.1%} of them above")


compare_with_replicates(fit)

# %% [markdown]
# Normal noise draws wines of negative colour, and no wine has that. The smallest value in the data lies outside what
# the model thinks possible. Colour is positive, and its errors grow with it: that is a log-normal. One word changes
# (and the priors, which are now about logarithms).


# %%
@ppl.model
def lognormal_colour(X, grower, growers: int = 3):
    centre = ppl.sample("centre", dist.Normal(1.5, 1.0))
    scatter = ppl.sample("scatter", dist.HalfNormal(1.0))
    slopes = ppl.sample("slopes", dist.Normal(0.0, 0.5).expand([X.shape[-1]]), dims=("measurement",))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("growers", size=growers):
        level = ppl.sample("level", dist.Normal(centre, scatter))
    with ppl.plate("wines", (X, grower)) as (x, g):
        ppl.sample("colour", dist.LogNormal(level[g] + x @ slopes, noise))


second = ppl.infer(lognormal_colour(X, grower).observe(colour=colour), SAMPLER).with_coords(**labels)
compare_with_replicates(second)

# %% [markdown]
# ### Which one predicts better?
#
# Leave-one-out cross-validation asks each model for the density of a wine that it has not seen, and adds up the
# logarithms. `loo` gets there without fitting 178 times, and says by its own k-hat where that went wrong. Both models
# have densities of the same thing, the colour, so their sums can be compared.

# %%
for name, candidate in {"normal": fit, "log-normal": second}.items():
    # What k-hat doubts comes as a warning, and belongs to the answer.
    with warnings.catch_warnings(record=True) as doubts:
        warnings.simplefilter("always")
        print(f"{name}:\n{candidate.loo()}\n")
    print(*(doubt.message for doubt in doubts), sep="\n")

# %% [markdown]
# ### What it says about wine
#
# In the log-normal model a slope multiplies: `exp(slope)` is the factor by which one standard deviation of the
# measurement changes the colour.

# %%
slopes = second.quantile("slopes", [0.05, 0.5, 0.95])
for name in chosen:
    low, middle, high = np.exp(slopes.sel(measurement=name).values)
    print(f"{name:<12} × {middle:.2f}   (× {low:.2f} to × {high:.2f})")

# %% [markdown]
# And for a wine that is not in the data: predictions, with all that is unknown about the unknowns in them.

# %%
typical = second.predict(X=np.zeros((3, len(chosen))), grower=np.arange(3))["colour"]
for name, low, middle, high in zip(
    growers, *typical.quantile([0.05, 0.5, 0.95], ("chain", "draw")).values, strict=True
):
    print(f"{name:<7} grower, average chemistry: colour {middle:.1f}, 90 % of wines between {low:.1f} and {high:.1f}")

# %% [markdown]
# ## When the draws are not from the posterior
#
# NUTS draws from the posterior itself, given time. Variational inference draws from a member of a family that it was
# led to by steps of an optimiser, and how near that is to the posterior cannot be read off the objective. Pareto k-hat
# tells: it looks at the ratio of the posterior to the guide in the guide's own draws. Below 0.7 the guide is near
# enough for importance weights to make up for the rest; `loo` uses them by itself.

# %%
method = SVI(guide=AutoMultivariateNormal(), optimizer=Adam(0.01), steps=300 if QUICK else 4000, progress=False)
quick = ppl.infer(second.program, method).with_coords(**labels)
print(quick)
print()
for name in ("scatter", "noise"):
    cells = [f"{float(f.mean(name)):.3f} ± {float(f.std(name)):.3f}" for f in (second, quick)]
    print(f"{name:<8} NUTS {cells[0]}   SVI {cells[1]}")

# %% [markdown]
# Compare the widths before you quote one from a fit that carries this warning.
#
# Importance sampling returns **weighted** draws. `mean`, `std`, `quantile` and `predict` heed the weights; `fit[name]`
# are the draws as they were made, so do not average them yourself: `resample` gives draws of equal weight. The
# effective size says what the weights have left, and in return there is an estimate of the evidence.

# %%
weighted = ppl.infer(eight_schools().observe(effect=EFFECTS), ImportanceSampling(20_000)).with_coords(schools=SCHOOLS)
print(weighted)
print()
for way, effect in {
    "weighted": weighted.mean("mean"),
    "resampled": weighted.resample(2000)["mean"].mean(),
    "by NUTS": schools.mean("mean"),
    "weights ignored, which is the prior": weighted["mean"].mean(),
}.items():
    print(f"mean effect {float(effect):5.2f}   {way}")

# %% [markdown]
# ## Pictures, and the rest of the world
#
# `to_arviz` holds all that arviz works on, with the names: draws, statistics of the sampler, log likelihoods, log
# priors, data, and predictions if you ask for them. Every plot and diagnostic of arviz is then at hand. The most common
# ones are methods.

# %%
everything = second.to_arviz(predictive=True)
print(everything)

# %%
second.plot_trace(["scatter", "slopes", "noise"])
plt.gcf().set_layout_engine("tight")

# %%
second.plot_predictive()
plt.gcf().set_layout_engine("tight")

# %% [markdown]
# ## A list to go through
#
# 1. `print(fit)`: is there a warning?
# 2. MCMC: R-hat below 1.01, no divergences, a few hundred effective draws. Variational: k-hat below 0.7. Weighted: an
#    effective size that is not a handful.
# 3. `predict()`: do replicates look like the data, in what matters to you?
# 4. `loo()`: does another model predict better, by more than the standard error?
# 5. Then the question: a function of the draws, with an interval.
