# %% [markdown]
# # Coming from Pyro
#
# You have Pyro models, and know your way around `sample`, `plate` and `to_event`. This notebook takes one of them over
# to Credo, line by line, and shows at each step that nothing was lost: the densities are equal, the compiled model is
# the one you wrote, and Pyro's own tools still run on it. It also shows what you gain: a faster SVI, NUTS on JAX, and
# errors where Pyro warns or says nothing.
#
# The data are the 442 diabetes patients that come with scikit-learn: how does the progression of the disease depend on
# the body mass index, and is that the same at all ages? It takes about a minute on one core.

# %%
# pyright: reportAttributeAccessIssue=false, reportTypedDictNotRequiredAccess=false
import os
import time
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # these models are small; more threads make them slower

import numpy as np
import pyro
import pyro.distributions as pdist
import pyro.optim
import torch
from pyro.infer import SVI as PyroSVI
from pyro.infer import Predictive, Trace_ELBO
from pyro.infer.autoguide import AutoNormal as PyroAutoNormal
from sklearn.datasets import load_diabetes

import ppl
from ppl import dist
from ppl.inference import NUTS, SVI, Adam, AutoMultivariateNormal, AutoNormal

QUICK = os.environ.get("CREDO_QUICK") == "1"  # a run of a few seconds that tests everything and finds out nothing


def standardised(x):
    return (x - x.mean()) / x.std()


inputs, outcome = map(np.asarray, load_diabetes(return_X_y=True, scaled=False))
decade = (inputs[:, 0] // 10).astype(int)
ages = [f"{10 * d}s" for d in range(decade.min(), decade.max() + 1)]
bmi, age, progression = standardised(inputs[:, 2]), decade - decade.min(), standardised(outcome)
print(f"{len(bmi)} patients; patients in their", dict(zip(ages, np.bincount(age).tolist(), strict=True)))

# %% [markdown]
# ## The model, in Pyro
#
# A line for each decade of age. The lines scatter around a common one; how much, is learnt from the data. With three
# patients in their teens and 125 in their fifties, this partial pooling is what makes the lines usable. The offsets
# are standardised (the "non-centred" form), so that samplers do not meet a funnel.


# %%
def pyro_model(bmi, age, ages, progression=None):
    mean = pyro.sample("mean", pdist.Normal(0.0, 1.0).expand([2]).to_event(1))
    spread = pyro.sample("spread", pdist.HalfNormal(1.0).expand([2]).to_event(1))
    noise = pyro.sample("noise", pdist.HalfNormal(1.0))
    with pyro.plate("ages", ages, dim=-1):
        offset = pyro.sample("offset", pdist.Normal(0.0, 1.0).expand([2]).to_event(1))
        line = pyro.deterministic("line", mean + spread * offset, event_dim=1)
    with pyro.plate("patients", len(bmi), dim=-1):
        pyro.sample("progression", pdist.Normal(line[age, 0] + line[age, 1] * bmi, noise), obs=progression)


# %% [markdown]
# ## The same model, in Credo
#
# Five things change, and all of them get shorter.
#
# - `@ppl.model` on top. Calling the model **traces** it on symbols and gives back a program; nothing is computed.
# - **Inside a plate you see one element.** `x` is one body mass index, `g` one age group, `line[g]` one line. There is
#   no `dim=`, no `to_event`, and no `[..., None]`: a batch dimension that you never wrote cannot be in the wrong place.
# - What is repeated without a plate is an event: `.expand([2])` alone does what `.expand([2]).to_event(1)` did.
# - **No argument for data of random sites.** The model says how data come about; `observe` says which you have seen.
# - Inputs can be numpy, torch, JAX or pandas. You never convert them.


# %%
@ppl.model
def lines(bmi, age, ages: int):
    mean = ppl.sample("mean", dist.Normal(0.0, 1.0).expand([2]), dims=("coefficient",))
    spread = ppl.sample("spread", dist.HalfNormal(1.0).expand([2]), dims=("coefficient",))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("ages", size=ages):
        offset = ppl.sample("offset", dist.Normal(0.0, 1.0).expand([2]), dims=("coefficient",))
        line = ppl.deterministic("line", mean + spread * offset, dims=("coefficient",))
    with ppl.plate("patients", (bmi, age)) as (x, g):
        ppl.sample("progression", dist.Normal(line[g, 0] + line[g, 1] * x, noise))


program = lines(bmi, age, len(ages)).observe(progression=progression)
print(program)

# %% [markdown]
# Where `poutine.trace(...).get_trace().format_shapes()` shows you what happened in one run, printing a program shows
# what will happen in all of them, with the line of the file that each statement comes from.
#
# ## Is it the same model?
#
# Trust nothing: draw the latents in Pyro, and evaluate your model and the program at the same values.

# %%
data = {
    "bmi": torch.tensor(bmi, dtype=torch.float32),
    "age": torch.tensor(age),
    "progression": torch.tensor(progression, dtype=torch.float32),
}
pyro.set_rng_seed(1)
trace = pyro.poutine.trace(pyro_model).get_trace(ages=len(ages), **data)
drawn = {name: trace.nodes[name]["value"] for name in program.latents}
by_hand = float(trace.log_prob_sum())

compiled = ppl.compile(program, "pyro")
in_credo = float(compiled.log_density(drawn))
print(f"log density of latents and data: {by_hand:.3f} nats by Pyro, {in_credo:.3f} nats by Credo")
assert abs(by_hand - in_credo) < 1e-5 * abs(by_hand)

# %% [markdown]
# And since the same declaration compiles to NumPyro, the comparison can go further: each site, on both libraries, by
# the pure functions that inference runs and by the native models.

# %%
print(ppl.agreement(program))

# %% [markdown]
# ## The way back
#
# What Credo compiles for Pyro is text. Compare it with what you wrote at the top.

# %%
print(program.to_source("pyro"))

# %% [markdown]
# It is an ordinary Pyro model, so nothing that works with Pyro stops working: `Predictive`, `poutine`, autoguides,
# effect handlers of your own. `compiled.model` is that function and `compiled.model_data` its arguments.

# %%
unobserved = ppl.compile(lines(bmi, age, len(ages)), "pyro")
replicates = Predictive(unobserved.model, num_samples=100)(**unobserved.model_data)["progression"]
print("prior draws by pyro.infer.Predictive:", tuple(replicates.shape), f"sd {replicates.std():.1f}")

# %% [markdown]
# A standard deviation well above 1, of an outcome that has 1: the prior is wide, as it was meant to be.
#
# ## Fit it
#
# First as you always did. The loop is yours, the parameters go to a global store, and each step runs the model under
# effect handlers.

# %%
pyro.clear_param_store()
pyro.set_rng_seed(0)
pyro_svi = PyroSVI(pyro_model, PyroAutoNormal(pyro_model), pyro.optim.Adam({"lr": 0.02}), Trace_ELBO())
pyro_svi.step(ages=len(ages), **data)  # the first step sets up the guide
count = 20 if QUICK else 300
began = time.perf_counter()
for _ in range(count):
    pyro_svi.step(ages=len(ages), **data)
pyro_pace = (time.perf_counter() - began) / count
print(f"Pyro's SVI: {1e3 * pyro_pace:.2f} ms a step")

# %% [markdown]
# Now in Credo. The method is a value, with the settings where you would look for them; the seed is an argument, and
# there is no store to clear. The steps run plain torch functions, without handlers.

# %%
steps = 100 if QUICK else 3000
method = SVI(guide=AutoNormal(), optimizer=Adam(0.02), steps=steps, progress=False)
fit = ppl.infer(program, method, backend="pyro", seed=0).with_coords(ages=ages, coefficient=["intercept", "slope"])
pace = fit.diagnostics["seconds_per_step"]
print(fit)
print(f"\n{1e3 * pace:.2f} ms a step, {pyro_pace / pace:.0f} times as fast as the loop above")

# %% [markdown]
# The printed fit also says how far it can be trusted. Pareto k-hat compares the guide with the posterior itself; above
# 0.7, the guide is too far away for importance weights to make up for it. Would a full covariance help? It is one word
# more:

# %%
richer = SVI(guide=AutoMultivariateNormal(), optimizer=Adam(0.01), steps=steps, progress=False)
full = ppl.infer(program, richer, backend="pyro").with_coords(ages=ages, coefficient=["intercept", "slope"])
print(f"k-hat: {fit.khat:.2f} with independent normals, {full.khat:.2f} with a full covariance")

# %% [markdown]
# Neither is comfortably near. The posterior of a hierarchy narrows where its spread is small, and no normal
# distribution, correlated or not, does that. Pyro fits the same guides, and does not say so.
#
# So let us sample. NUTS is another method on the same program. Leave `backend="pyro"` out and it runs on JAX, where it
# is much faster; you need not know any JAX for that.

# %%
sampler = NUTS(chains=2, draws=30 if QUICK else 500, warmup=30 if QUICK else 500, target_accept=0.95, progress=False)
sampled = ppl.infer(program, sampler).with_coords(ages=ages, coefficient=["intercept", "slope"])
print(sampled)

# %% [markdown]
# All three are the same class, so comparing them is a table. `line` at the ages:

# %%
slopes = {
    name: [
        f"{float(f.mean('line').sel(ages=a, coefficient='slope')):5.2f} ± "
        f"{float(f.std('line').sel(ages=a, coefficient='slope')):.2f}"
        for a in ages
    ]
    for name, f in {"independent normals": fit, "full covariance": full, "NUTS": sampled}.items()
}
print(f"{'slope':<22}" + "".join(f"{a:>14}" for a in ages))
for name, row in slopes.items():
    print(f"{name:<22}" + "".join(f"{cell:>14}" for cell in row))

# %% [markdown]
# The slope is positive at all ages. For the three teenagers it is hardly known from their own data, and is pulled
# towards the mean of the others: that is what the hierarchy is for. The three fits agree on the means. They do not
# agree on how sure one can be: independent normals are too sure where there are few patients.
#
# ## What Pyro lets pass
#
# Here is a guide with a mistake that is easy to make: it forgets `noise`. Pyro warns, and goes on: it draws the
# forgotten latent from its prior, and everything else is fitted to that.


# %%
def forgetful_pyro_guide(bmi, age, ages, progression=None):
    scale = pyro.param("scale", torch.full((2,), 0.1), constraint=pdist.constraints.positive)
    pyro.sample("mean", pdist.Normal(pyro.param("loc", torch.zeros(2)), scale).to_event(1))
    pyro.sample("spread", pdist.LogNormal(torch.full((2,), -2.0), 0.5).to_event(1))
    with pyro.plate("ages", ages, dim=-1):
        pyro.sample("offset", pdist.Normal(torch.zeros(2), 1.0).to_event(1))


pyro.clear_param_store()
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    loss = PyroSVI(pyro_model, forgetful_pyro_guide, pyro.optim.Adam({"lr": 0.02}), Trace_ELBO()).step(
        ages=len(ages), **data
    )
print(f"Pyro goes on with a loss of {loss:.0f}, after saying:", *{str(w.message) for w in said}, sep="\n  ")

# %% [markdown]
# In Credo a guide is a model as well, and is compared with its model before anything runs: sites, plates, shapes,
# supports. A warning that scrolls by becomes an error that says what to do.


# %%
@ppl.model
def forgetful_guide(bmi, age, ages: int):
    scale = ppl.param("scale", np.full(2, 0.1), support=dist.support.positive)
    ppl.sample("mean", dist.Normal(ppl.param("loc", np.zeros(2)), scale))
    ppl.sample("spread", dist.LogNormal(np.full(2, -2.0), 0.5))
    with ppl.plate("ages", size=ages):
        ppl.sample("offset", dist.Normal(np.zeros(2), 1.0))


try:
    program.check(forgetful_guide(bmi, age, len(ages)))
except ppl.errors.GuideError as error:
    print(error)

# %% [markdown]
# ## Minibatches
#
# In Pyro you give the plate a `subsample_size`, take its indices, index inputs **and** data with them, and hope that no
# plate was forgotten. Here the model stays as it is. The batch is a setting of the method, and the scaling of each term
# follows from the plates it lies in.

# %%
batched = SVI(guide=AutoNormal(), optimizer=Adam(0.02), steps=steps, batch_size={"patients": 64}, progress=False)
small = ppl.infer(program, batched, backend="pyro").with_coords(ages=ages, coefficient=["intercept", "slope"])
print("mean of the lines, all rows:  ", np.round(fit.mean("mean").values, 2))
print("mean of the lines, 64 a step: ", np.round(small.mean("mean").values, 2))

# %% [markdown]
# ## New rows
#
# `Predictive(model, posterior_samples)(new inputs)` becomes `predict`. The lines are those of the fit, the rows are
# new. Which is which follows from the plates.

# %%
new_bmi = np.array([-1.0, 0.0, 2.0])
forties = np.full(3, ages.index("40s"))
predicted = sampled.predict(bmi=new_bmi, age=forties)["progression"]
for value, mean, sd in zip(new_bmi, predicted.mean(("chain", "draw")), predicted.std(("chain", "draw")), strict=True):
    print(f"in their 40s, body mass index {value:+.0f} sd: progression {float(mean):+.2f} ± {float(sd):.2f} sd")

# %% [markdown]
# ## Words
#
# | Pyro | Credo |
# |---|---|
# | `pyro.sample("y", d, obs=y)` | `ppl.sample("y", d)`, then `program.observe(y=y)` |
# | `pyro.plate("rows", n, dim=-1)` | `ppl.plate("rows", x) as row`, or `size=n` |
# | `.to_event(1)` | nothing: what no plate repeats is an event |
# | `pyro.param("s", init, constraint=c)` | `ppl.param("s", init, support=...)` |
# | `pyro.module("net", module)` | `nn.MLP("net", ...)`; your own with `nn.module` (see `your_own_network.py`) |
# | `poutine.condition`, `poutine.do` | `program.observe(...)`, `program.do(...)` |
# | `poutine.trace(...).format_shapes()` | `print(program)` |
# | `AutoNormal(model)`, `AutoMultivariateNormal(model)` | `AutoNormal()`, `AutoMultivariateNormal()` |
# | `AutoIAFNormal(model)`, `AutoNormalizingFlow(...)` | `AutoFlow(kind="iaf")`, `AutoFlow()` |
# | `TransformedDistribution(d, spline_coupling(8))` | `dist.Transformed(d, nn.SplineCoupling("flow", 8))` |
# | `SVI(...)` and a loop of `svi.step` | `ppl.infer(program, SVI(...))` |
# | `MCMC(NUTS(model), ...)` | `ppl.infer(program, NUTS(...))` |
# | `Predictive(model, samples)` | `posterior.predict(...)` |
# | `pyro.set_rng_seed`, `pyro.clear_param_store` | `seed=`; there is no store |
#
# What Credo does not have yet is in the README under "Status": time series, missing data.
# Distributions keep the names they have in Pyro.
