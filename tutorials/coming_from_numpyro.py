# %% [markdown]
# # Coming from NumPyro
#
# You write models in NumPyro, and JAX is not your problem. This notebook takes a model over to Credo, checks number by
# number that it is still the same, and then does with it what NumPyro alone does not: fits of other kinds by the same
# call, interventions that reach computed values, refusals instead of silent errors, and the same program in torch.
#
# The data are 569 breast tumours from scikit-learn's collection: 30 measurements of each, and whether it was malignant.
# The whole takes about a minute on one core.

# %%
import os
import time
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as ndist
import numpyro.infer
import numpyro.infer.util
from sklearn.datasets import load_breast_cancer

import ppl
from ppl import dist, ops
from ppl.inference import NUTS, SVI, Adam, AutoNormal, ImportanceSampling

QUICK = os.environ.get("CREDO_QUICK") == "1"  # a run of a few seconds that tests everything and finds out nothing
CHAINS, DRAWS = (1, 20) if QUICK else (2, 500)

tumours: Any = load_breast_cancer()
names = [str(n) for n in tumours.feature_names]
inputs = np.asarray(tumours.data)
malignant = 1 - np.asarray(tumours.target)
X = 0.5 * (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)  # standard deviation 0.5, as Gelman et al. (2008) advise
print(f"{len(X)} tumours, {X.shape[1]} measurements each; {malignant.mean():.0%} malignant")

# %% [markdown]
# ## The model, in NumPyro
#
# Logistic regression with a horseshoe prior: most slopes are next to nothing, a few are not, and which is which is to
# be found out. One scale for all slopes, one for each, and the slope itself in non-centred form.


# %%
def numpyro_model(X, malignant=None):
    features = X.shape[-1]
    overall = numpyro.sample("overall", ndist.HalfCauchy(0.2))
    intercept = numpyro.sample("intercept", ndist.Normal(0.0, 2.5))
    with numpyro.plate("features", features):
        local = numpyro.sample("local", ndist.HalfCauchy(1.0))
        offset = numpyro.sample("offset", ndist.Normal(0.0, 1.0))
        slopes = numpyro.deterministic("slopes", overall * local * offset)
    with numpyro.plate("tumours", len(X)):
        numpyro.sample("malignant", ndist.Bernoulli(logits=intercept + X @ slopes), obs=malignant)


# %% [markdown]
# ## The same model, in Credo
#
# It is the same vocabulary, and you will miss three things.
#
# - **`obs=`**: the model does not mention data of random sites. You observe the program, and can do so with other data,
#   or not at all.
# - **The batch**: in the last plate, `x` is one tumour, so `x @ slopes` is one number. `slopes`, which has left its
#   plate, is an array of all of them. There are no `[:, None]` and no `dim=-2` to get right.
# - **Keys**: seeds are arguments. Nothing has to be split, and no `handlers.seed` is needed to look at a model.


# %%
@ppl.model
def horseshoe(X):
    overall = ppl.sample("overall", dist.HalfCauchy(0.2))
    intercept = ppl.sample("intercept", dist.Normal(0.0, 2.5))
    with ppl.plate("features", size=X.shape[-1]):
        local = ppl.sample("local", dist.HalfCauchy(1.0))
        offset = ppl.sample("offset", dist.Normal(0.0, 1.0))
        slopes = ppl.deterministic("slopes", overall * local * offset)
    with ppl.plate("tumours", X) as x:
        ppl.sample("malignant", dist.Bernoulli(logits=intercept + x @ slopes))


program = horseshoe(X).observe(malignant=malignant)
print(program)

# %% [markdown]
# This is not a run of the model, it is the model: a frozen value that you can compare, save as JSON, draw
# (`program.render()`), or ask: what does `malignant` depend on?

# %%
print(sorted(program.ancestors("malignant")))

# %% [markdown]
# ## Is it the same?
#
# Draw the latents with NumPyro's handlers, evaluate both at these values, and compare. Then read what the program
# compiles to.

# %%
arguments = {"X": jnp.asarray(X), "malignant": jnp.asarray(malignant)}
trace = numpyro.handlers.trace(numpyro.handlers.seed(numpyro_model, 1)).get_trace(**arguments)
drawn = {name: trace[name]["value"] for name in program.latents}
by_numpyro, _ = numpyro.infer.util.log_density(numpyro_model, (), arguments, drawn)

compiled = ppl.compile(program, "numpyro")
by_credo = compiled.log_density(drawn)
print(f"log density: {float(by_numpyro):.3f} nats by NumPyro, {float(by_credo):.3f} nats by Credo")
assert np.isclose(by_numpyro, by_credo, rtol=1e-5)
print()
print(program.to_source("numpyro"))

# %% [markdown]
# What you get is what you would have written, and it needs nothing of Credo to run. `compiled.log_density` is the pure
# function beside it: of values, parameters and data, with any number of leading axes, ready for `jit`, `grad`, or a
# sampler of your own.

# %%
many = compiled.simulate((1000,), key=jax.random.key(0), observed=True)
print("a thousand log densities in one call:", compiled.log_density({n: many[n] for n in program.latents}).shape)

# %% [markdown]
# ## Sample it
#
# First in NumPyro, on the model that Credo compiled: `compiled.model` is a NumPyro model like any other, and
# `compiled.model_data` are its arguments.

# %%
settings = {"num_warmup": DRAWS, "num_samples": DRAWS, "num_chains": CHAINS, "progress_bar": False}
kernel = numpyro.infer.NUTS(compiled.model, target_accept_prob=0.9)
mcmc = numpyro.infer.MCMC(kernel, chain_method="sequential", **settings)
began = time.perf_counter()
mcmc.run(jax.random.key(0), **compiled.model_data)
seconds = time.perf_counter() - began

# %% [markdown]
# Then in Credo. It is NumPyro's NUTS here too; the density that it follows is the emitted one.

# %%
method = NUTS(chains=CHAINS, draws=DRAWS, warmup=DRAWS, target_accept=0.9, progress=False)
began = time.perf_counter()
fit = ppl.infer(program, method, seed=0).with_coords(features=names)
print(f"{seconds:.0f} s by hand, {time.perf_counter() - began:.0f} s by ppl.infer; compilation included\n")
print(fit)

# %%
ours, theirs = np.asarray(fit.mean("slopes")), np.mean(np.asarray(mcmc.get_samples()["slopes"]), axis=0)
spread = np.asarray(fit.std("slopes"))
print(f"largest difference of mean slopes: {np.max(np.abs(ours - theirs) / spread):.2f} posterior standard deviations")

# %% [markdown]
# The fit counts divergences and R-hat without being asked: the tails of a horseshoe are hard to follow, for whoever
# samples it. Dimensions kept their names, so the result reads in the words of the data. Here are the six largest
# slopes, with 90 % intervals; many of the 30 measurements say the same, so the data cannot tell which of them it is.

# %%
low, middle, high = fit.quantile("slopes", [0.05, 0.5, 0.95]).values
for i in np.argsort(-np.abs(middle))[:6]:
    print(f"{names[i]:<26} {middle[i]:+6.2f}   ({low[i]:+.2f} to {high[i]:+.2f})")

# %% [markdown]
# ## Other methods, the same call
#
# In NumPyro, SVI is another object with another signature, and its result has other fields. Here the method is an
# argument, and what comes out is the same class: draws, `summary`, `predict`, `to_arviz`, `loo`. What a method cannot
# vouch for, it says: `khat` is the distance of a variational fit from the posterior.

# %%
quick = SVI(guide=AutoNormal(), optimizer=Adam(0.01), steps=200 if QUICK else 5000, progress=False)
variational = ppl.infer(program, quick).with_coords(features=names)
print(variational)
print()
print(f"{'':<26} {'NUTS':>15} {'SVI':>15}")
for i in np.argsort(-np.abs(middle))[:3]:
    cells = [f"{float(f.mean('slopes')[i]):+.2f} ± {float(f.std('slopes')[i]):.2f}" for f in (fit, variational)]
    print(f"{names[i]:<26} {cells[0]:>15} {cells[1]:>15}")

# %% [markdown]
# Independent normals make of a horseshoe what they can: they settle on one of the correlated measurements, and are sure
# of it. k-hat says so; without it, the table would have looked like a result.
#
# ## Interventions
#
# NumPyro's `handlers.do` acts on sample sites. On a deterministic site it does nothing, and says nothing:


# %%
def numpyro_dose():
    severity: Any = numpyro.sample("severity", ndist.Normal(0.0, 1.0))
    dose: Any = numpyro.deterministic("dose", 2.0 * severity)
    numpyro.sample("response", ndist.Normal(dose - severity, 0.1))


cut = numpyro.handlers.do(numpyro_dose, {"dose": jnp.array(5.0)})
responses: Any = numpyro.infer.Predictive(cut, num_samples=2000)(jax.random.key(0))["response"]


@ppl.model
def dosing():
    severity = ppl.sample("severity", dist.Normal(0.0, 1.0))
    dose = ppl.deterministic("dose", 2.0 * severity)
    ppl.sample("response", dist.Normal(dose - severity, 0.1))


ours = ppl.simulate(dosing().do(dose=5.0), 2000)["response"]
print(f"mean response at a dose of 5: {responses.mean():.2f} by handlers.do, {float(ours.mean()):.2f} by program.do")
print(dosing().do(dose=5.0))

# %% [markdown]
# The right answer is 5. In Credo an intervention rewrites the program, and a program has no second-class sites.
#
# ## What NumPyro lets pass
#
# A guide that can draw negative scales. NumPyro does not look: it evaluates the half-normal density at negative numbers
# as if nothing were the matter, and fits.


# %%
def numpyro_scale():
    scale = numpyro.sample("scale", ndist.HalfNormal(1.0))
    numpyro.sample("y", ndist.Normal(scale, 0.5), obs=0.0)


def numpyro_guide():
    width = numpyro.param("width", 1.0, constraint=ndist.constraints.positive)
    numpyro.sample("scale", ndist.Normal(numpyro.param("centre", 0.5), width))


svi = numpyro.infer.SVI(numpyro_scale, numpyro_guide, numpyro.optim.Adam(0.01), numpyro.infer.Trace_ELBO())
params = svi.run(jax.random.key(0), 100 if QUICK else 3000, progress_bar=False).params
draws = float(params["centre"]) + float(params["width"]) * np.random.default_rng(0).normal(size=10_000)
print(f"NumPyro's fit gives {np.mean(draws < 0):.0%} of its probability to scales below zero")


@ppl.model
def scale_model():
    scale = ppl.sample("scale", dist.HalfNormal(1.0))
    ppl.sample("y", dist.Normal(scale, 0.5))


@ppl.model
def scale_guide():
    width = ppl.param("width", 1.0, support=dist.support.positive)
    ppl.sample("scale", dist.Normal(ppl.param("centre", 0.5), width))


try:
    ppl.infer(scale_model().observe(y=0.0), SVI(guide=scale_guide(), progress=False))
except ppl.errors.SupportError as error:
    print(error)

# %% [markdown]
# ## Discrete latents and the evidence
#
# There is no `config_enumerate`: a latent of few values that the guide does not draw is summed out exactly, in SVI, in
# NUTS and here, plate by plate, and its draws come back with the posterior. A coin behind noise; as nothing is left to
# draw, every importance weight is the evidence itself:


# %%
@ppl.model
def coin():
    side = ppl.sample("side", dist.Bernoulli(probs=0.5))
    ppl.sample("y", dist.Normal(ops.where(side > 0, 1.0, 0.0), 0.4))


hidden = ppl.infer(coin().observe(y=0.98), ImportanceSampling(5_000))
heads, tails = (np.exp(-0.5 * ((0.98 - side) / 0.4) ** 2) for side in (1.0, 0.0))
evidence = np.log(0.5 * (heads + tails) / (0.4 * np.sqrt(2 * np.pi)))
print(f"P(heads): {float(hidden.mean('side')):.3f} drawn, {heads / (heads + tails):.3f} exact")
print(f"log evidence: {hidden.log_evidence:.3f} summed, {evidence:.3f} exact")

# %% [markdown]
# ## And in torch
#
# The program compiles to Pyro as well. Each site, on both libraries, by pure functions and by native models, at shared
# draws:

# %%
print(ppl.agreement(program))

# %% [markdown]
# A fit moves too: draws, parameters and networks go over by name. `fit.to_backend("pyro")` is the fit above for a
# colleague who has torch.

# %%
moved = fit.to_backend("pyro")
print(moved.predict(X=X[:4], draws=50)["malignant"].mean(("chain", "draw")).values, "against", malignant[:4])

# %% [markdown]
# ## Words
#
# | NumPyro | Credo |
# |---|---|
# | `numpyro.sample("y", d, obs=y)` | `ppl.sample("y", d)`, then `program.observe(y=y)` |
# | `numpyro.plate("rows", n, dim=-1)` | `ppl.plate("rows", x) as row`, or `size=n` |
# | `.expand([3]).to_event(1)` | `.expand([3])` |
# | `numpyro.deterministic`, `numpyro.factor`, `numpyro.param` | `ppl.deterministic`, `ppl.factor`, `ppl.param` |
# | `jnp.exp`, `jnp.where`, `jax.nn.softplus` inside a model | `ops.exp`, `ops.where`, `ops.softplus` |
# | `handlers.seed`, `handlers.trace` | `print(program)`, `ppl.simulate(program, seed=0)` |
# | `handlers.condition`, `handlers.do` | `program.observe(...)`, `program.do(...)` |
# | `MCMC(NUTS(model), ...).run(key, ...)` | `ppl.infer(program, NUTS(...))` |
# | `SVI(model, guide, optim, loss).run(key, steps)` | `ppl.infer(program, SVI(guide=..., steps=...))` |
# | `Predictive(model, samples)(key, x)` | `posterior.predict(x=x)` |
# | `az.from_numpyro(mcmc)` | `posterior.to_arviz()`, for every method |
# | `flax_module`, `eqx_module`, `random_eqx_module` | `nn.MLP(...)`, `nn.module(...)`, `prior=` |
# | `numpyro.enable_x64()` | `precision="float64"` of `ppl.infer` |
