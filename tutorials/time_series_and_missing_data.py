# %% [markdown]
# # Time series and missing data
#
# What happens at one step is handed to the next. Credo says that with `ppl.scan`: you write one step, and the program
# is the whole sequence. This notebook declares a few sequences, takes data away from them, sums hidden states out, and
# forecasts. It takes about a minute on one core.
#
# The data are the yearly flow of the Nile at Aswan, 1871 to 1970, in 10^8 m^3, and how many earthquakes of magnitude 7
# or more the world saw, each year from 1900 to 2006. Both come with the models of the zoo.

# %%
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import matplotlib.pyplot as plt
import numpy as np

import ppl
from ppl import dist, ops
from ppl.inference import NUTS, SVI, Adam, AutoDelta, AutoMultivariateNormal, Schedule
from ppl.models import EARTHQUAKES, NILE

QUICK = os.environ.get("CREDO_QUICK") == "1"  # a run of a few seconds that tests everything and finds out nothing
SAMPLER = NUTS(chains=2, draws=10 if QUICK else 500, warmup=10 if QUICK else 500, progress=False)
STEPS = 30 if QUICK else 3000

years = np.arange(1871, 1971)
flow = NILE / 100.0  # in 10^10 m^3
print(f"{len(flow)} years; flow from {flow.min():.2f} to {flow.max():.2f}, mean {flow.mean():.2f}")


# %% [markdown]
# ## A step, and the scan of it
#
# The flow is measured with noise about a level, and the level walks. A step is a function of what it is handed (the
# level of the year before) and of an input (here the number of the year). What it returns is handed to the next.


# %%
@ppl.model
def local_level(length: int):
    drift = ppl.sample("drift", dist.HalfNormal(1.0))
    noise = ppl.sample("noise", dist.HalfNormal(2.0))

    def step(previous, t):
        level = ppl.sample("level", dist.Normal(previous, drift))
        ppl.sample("y", dist.Normal(level, noise))
        return level

    start = ppl.sample("start", dist.Normal(9.0, 5.0))
    ppl.scan("year", step, start, length=length)


program = local_level(len(flow)).observe(y=flow)
print(program)

# %% [markdown]
# Read the print from the bottom. `next` says what a step hands on, `carry(start)` what the first one is handed. What
# stands inside the loop has an axis `year`. Nothing was unrolled: the program of a million years has as many lines.
#
# What is carried here is a sampled site. So the density of all years can be computed at once, each level beside the one
# before it, and that is what the compiled function does. In the native model of NumPyro the same program is a scan of
# that library, in Pyro's a loop:

# %%
print(program.to_source("numpyro"))

# %%
print(program.to_source("pyro"))

# %% [markdown]
# Two libraries, two forms of each, and one number per site: they agree.

# %%
print(ppl.agreement(program))

# %% [markdown]
# ## Data that is not there
#
# Missing is a property of the data, not of the model: NaN, or a masked array. Let us hide two stretches of twenty years
# and see whether the model would have known. A measurement that nothing else depends on is simply left out of the
# density: the integral over it is one, and nothing has to be drawn. The program says so.

# %%
gaps = flow.copy()
hidden = np.r_[10:30, 60:80]
gaps[hidden] = np.nan
partial = local_level(len(flow)).observe(y=gaps)
print(partial)

# %% [markdown]
# The posterior has a level for each year all the same. `with_coords` gives the years their names.

# %%
fit = ppl.infer(partial, SAMPLER).with_coords(year=list(years))
print(fit)
spread = fit["level"].std(("chain", "draw"))
inside, outside = years[hidden], np.delete(years, hidden)
print(f"\nlevels are known up to ± {float(spread.sel(year=outside).mean()):.2f}, in the gaps", end=" ")
print(f"up to ± {float(spread.sel(year=inside).mean()):.2f}")
fall = fit["level"].sel(year=slice(1871, 1880)).mean("year") - fit["level"].sel(year=slice(1905, 1914)).mean("year")
print(f"the level fell by {float(fall.mean()):.2f}, with 90 % probability between", end=" ")
print(" and ".join(f"{float(fall.quantile(q)):.2f}" for q in (0.05, 0.95)))

# %% [markdown]
# `predict` draws all measurements anew, also those that were missing. We know what they were, so the intervals can be
# checked.

# %%
drawn = fit.predict()["y"].sel(year=inside)
low, high = drawn.quantile([0.05, 0.95], ("chain", "draw")).values
share = np.mean((low <= flow[hidden]) & (flow[hidden] <= high))
print(f"{share:.0%} of {len(hidden)} hidden measurements lie inside their 90 % intervals")

# %% [markdown]
# ### Missing, and needed by the next step
#
# In an autoregression a step is handed the measurement itself. One that is missing is then an unknown like any other:
# it has a place in the density, and in the posterior as `y.missing`, one number for each gap. The print says "imputed"
# instead of "summed out".


# %%
@ppl.model
def autoregression(first, length: int):
    persistence = ppl.sample("persistence", dist.Uniform(-1.0, 1.0))
    mean = ppl.sample("mean", dist.Normal(9.0, 5.0))
    noise = ppl.sample("noise", dist.HalfNormal(2.0))

    def step(previous, t):
        return ppl.sample("y", dist.Normal(mean + persistence * (previous - mean), noise))

    ppl.scan("year", step, first, length=length)


short = flow[1:].copy()
lost = [9, 10, 50]
short[lost] = np.nan
chain = autoregression(flow[0], len(short)).observe(y=short)
print(chain)

# %%
method = SVI(guide=AutoMultivariateNormal(), optimizer=Adam(0.02), steps=STEPS, draws=500, progress=False)
imputed = ppl.infer(chain, method)
for i, year in enumerate(lost):
    values = imputed["y.missing"][..., i]
    print(f"{years[1 + year]}: {float(values.mean()):.2f} ± {float(values.std()):.2f}, measured {flow[1 + year]:.2f}")

# %% [markdown]
# ## Forecasts
#
# A forecast is the same program with more steps. `predict` takes the new number of steps by the name of the scan; the
# years of the fit stay what they were, draw by draw, and the later ones follow from the last of them.

# %%
ahead = fit.predict(year=len(flow) + 20)
future = ahead["y"].isel(year=slice(len(flow), None))
low, middle, high = future.quantile([0.05, 0.5, 0.95], ("chain", "draw")).values
for k in (0, 9, 19):
    print(f"{years[-1] + 1 + k}: {middle[k]:.1f}, 90 % between {low[k]:.1f} and {high[k]:.1f}")

# %%
figure, axes = plt.subplots(figsize=(8, 3))
level = fit["level"].quantile([0.05, 0.5, 0.95], ("chain", "draw")).values
axes.plot(years, gaps, ".", color="black", markersize=4)
axes.plot(inside, flow[hidden], "x", color="grey", markersize=4)
axes.plot(years, level[1])
axes.fill_between(years, level[0], level[2], alpha=0.3)
axes.fill_between(years[-1] + 1 + np.arange(20), low, high, alpha=0.3, color="tab:orange")
axes.set(xlabel="year", ylabel="flow, 10^10 m^3")
figure.set_layout_engine("tight")

# %% [markdown]
# ## States that are never seen
#
# Now the carry is discrete. The rate of earthquakes depends on one of three states, and the state moves from year to
# year as a Markov chain. There are 3^107 paths through these years. Their sum is exact and cheap, by the forward
# algorithm, and it happens by itself: a discrete site of few values that no guide samples is summed out.


# %%
@ppl.model
def earthquakes(length: int, states: int = 3):
    rising = dist.Transformed(dist.Normal(0.0, 1.0).expand([states]), dist.Ordered())
    log_rate = ppl.sample("log_rate", rising, dims=("state_of",))
    rate = ppl.deterministic("rate", 20.0 * ops.exp(log_rate), dims=("state_of",))
    with ppl.plate("from", size=states):
        moves = ppl.sample("moves", dist.Dirichlet(ops.ones(states)), dims=("to",))

    def step(previous, t):
        state = ppl.sample("state", dist.Categorical(probs=moves[previous]))
        ppl.sample("count", dist.Poisson(rate[state]))
        return state

    start = ppl.sample("start", dist.Categorical(probs=ops.ones(states) / states))
    ppl.scan("year", step, start, length=length)


shaking = earthquakes(len(EARTHQUAKES)).observe(count=EARTHQUAKES)
states = ppl.infer(shaking, method).with_coords(year=list(range(1900, 2007)))
print(states)

# %% [markdown]
# What was summed out comes back. For each draw of the rates and moves, a whole path is drawn given them and the counts,
# from the last year to the first: `state` is in the posterior, though no guide or sampler ever saw it.

# %%
path = states["state"]
print(path.dims)
for year in (1905, 1950, 1990):
    shares = [float((path.sel(year=year) == s).mean()) for s in range(3)]
    print(f"{year}: probability of the calm, usual and busy state", *(f"{p:.2f}" for p in shares))
calm = (path == 0).sum("year")
print(f"calm years: {float(calm.mean()):.0f}, 90 % between", *(int(calm.quantile(q)) for q in (0.05, 0.95)))

# %% [markdown]
# Since whole paths are drawn, and not years one by one, anything can be asked of them that depends on several years:
# how often did the state change?

# %%
changes = (path.diff("year") != 0).sum("year")
print(f"changes of state: {float(changes.mean()):.0f}, 90 % between", *(int(changes.quantile(q)) for q in (0.05, 0.95)))

# %% [markdown]
# A forecast goes on from where each path ended, and counts that are missing are summed out like measurements.

# %%
later = states.predict(year=len(EARTHQUAKES) + 5)["count"].isel(year=slice(len(EARTHQUAKES), None))
print("five more years, 90 % between", *later.quantile([0.05, 0.95], ("chain", "draw")).values.astype(int).tolist())
counts = np.ma.masked_array(EARTHQUAKES, mask=np.arange(len(EARTHQUAKES)) % 10 == 0)
print(earthquakes(len(counts)).observe(count=counts))

# %% [markdown]
# ## The other backend
#
# All of this is one declaration. On Pyro it is the same sum over paths, here at its most probable parameters.

# %%
steps = STEPS // 10
optimizer = Adam(0.05, schedule=Schedule(steps=steps))
peak = SVI(guide=AutoDelta(), optimizer=optimizer, steps=steps, draws=1, progress=False)
for backend in ("numpyro", "pyro"):
    best = ppl.infer(shaking, peak, backend=backend)
    print(f"{backend:<8} rates", *(f"{r:.1f}" for r in best["rate"].values[0, 0]))
    print(f"{'':<8} years in each state of one path:", *np.bincount(best["state"].values[0, 0], minlength=3))

# %% [markdown]
# ## What to remember
#
# 1. A step returns what the next step is handed. What it samples gets an axis of the scan's name.
# 2. If what is handed on was sampled or observed, all steps are computed at once; otherwise one after the other.
# 3. NaN and masked arrays are missing data. Read the print: "summed out" costs nothing, "imputed" is an unknown more.
# 4. Discrete states are summed out along the scan, and come back as whole paths.
# 5. `predict(<name of the scan>=more)` goes on beyond the data.
