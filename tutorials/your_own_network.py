# %% [markdown]
# # Your own network
#
# `ppl.nn` has the usual layers, each of which runs on torch and on JAX. But perhaps you have a network already: with a
# connection that skips a layer, a layer of your own making, or weights that took someone a week to train. This notebook
# puts such networks into models, on one backend or on both, and gets them out again.
#
# The data are scikit-learn's 1,797 handwritten digits, and at the end the diabetes data once more. It takes about a
# minute on one core.

# %%
import os
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import equinox as eqx
import jax
import matplotlib.pyplot as plt
import numpy as np
import torch
from sklearn.datasets import load_diabetes, load_digits

import ppl
from ppl import dist, nn, ops
from ppl.inference import NUTS, SVI, Adam

QUICK = os.environ.get("CREDO_QUICK") == "1"  # a run of a few seconds that tests everything and finds out nothing
STEPS = 150 if QUICK else 2000
LATENT, HIDDEN, PIXELS = 8, 128, 64

images = (np.asarray(load_digits(return_X_y=True)[0]) >= 8).astype(np.float32)
held_out = np.arange(len(images)) % 5 == 4
train, test = images[~held_out], images[held_out]
print(f"{len(train)} images of {PIXELS} pixels to fit, {len(test)} held out")

# %% [markdown]
# ## What the library's layers do
#
# A network of `ppl.nn` is declared by name, takes **one element**, and gives one. Here is the yardstick: a variational
# autoencoder whose decoder has two hidden layers, and the encoder that all fits below will share.


# %%
@ppl.model
def plain(images):
    decoder = nn.MLP("decoder", [LATENT, HIDDEN, HIDDEN, PIXELS], activation="tanh")
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([LATENT]), dims=("code",))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)), dims=("pixel",))


@ppl.model
def encoder(images):
    net = nn.MLP("encoder", [PIXELS, HIDDEN, 2 * LATENT])
    with ppl.plate("images", images) as image:
        h = net(image)
        ppl.sample("z", dist.Normal(h[:LATENT], ops.exp(h[LATENT:])))


def svi(**settings):
    """The method of all fits in this notebook."""
    fixed = {"guide": encoder(train), "optimizer": Adam(3e-3), "steps": STEPS, "batch_size": 128, "draws": 100}
    return SVI(**{**fixed, "progress": False, **settings})


def held_out_bound(fit):
    """Log probability of an image that was held out, bounded from below, in nats: mean and standard error."""
    bound = fit.bound({"images": test}, {"x": test}, particles=20 if QUICK else 200)
    return float(bound.mean()), float(bound.std()) / len(test) ** 0.5


simple = ppl.infer(plain(train).observe(x=train), svi())
print("held-out bound with nn.MLP: {:.2f} ± {:.2f} nats".format(*held_out_bound(simple)))

# %% [markdown]
# `nn.Sequential`, `nn.Conv2d`, `nn.LayerNorm` and the others are used in the same way. `fit.params` holds the weights
# by name, those of the encoder too; `fit.model_params` those of the model alone.

# %%
print({name: array.shape for name, array in simple.model_params.items()})

# %% [markdown]
# ## A network of your own, for torch
#
# Now a decoder that no list of layers can say: its second layer is added to what went into it. In torch it is a module
# like any other. Credo asks three things of it.
#
# - You pass a **function that makes it**, not the module: each compilation starts from fresh weights, of the seed you
#   fit with.
# - Its `forward` takes a **batch**: rows in front, as torch modules do.
# - It is a **pure function** of input and weights. Dropout and batch normalisation are not: they draw or keep numbers
#   that the model does not know of.


# %%
class TorchResidual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(LATENT, HIDDEN)
        self.block = torch.nn.Linear(HIDDEN, HIDDEN)
        self.last = torch.nn.Linear(HIDDEN, PIXELS)

    def forward(self, z):
        h = torch.tanh(self.first(z))
        return self.last(h + torch.tanh(self.block(h)))


@ppl.model
def torch_only(images):
    decoder = nn.module("decoder", torch=TorchResidual, out_shape=PIXELS)
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([LATENT]), dims=("code",))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)), dims=("pixel",))


program = torch_only(train).observe(x=train)
print(program)
fit = ppl.infer(program, svi(steps=STEPS // 5), backend="pyro")
print("after a fifth of the steps: {:.2f} ± {:.2f} nats".format(*held_out_bound(fit)))

# %% [markdown]
# `out_shape` is what one element gives; everything else is found out by calling it. The model is checked as far as that
# goes, and the other backend refuses, saying what it lacks:

# %%
try:
    ppl.compile(program, "numpyro")
except ppl.errors.UnsupportedByBackend as error:
    print(error)

# %% [markdown]
# ## The same network, for JAX as well
#
# In JAX a network is an equinox module. Its function is made from a key, and it takes **one element**: equinox leaves
# the batch to `vmap`. The fields bear the same names as in torch, and the layers of both libraries store their weights
# in one layout, so the two modules are one network.


# %%
class JaxResidual(eqx.Module):
    first: eqx.nn.Linear
    block: eqx.nn.Linear
    last: eqx.nn.Linear

    def __init__(self, key):
        one, two, three = jax.random.split(key, 3)
        self.first = eqx.nn.Linear(LATENT, HIDDEN, key=one)
        self.block = eqx.nn.Linear(HIDDEN, HIDDEN, key=two)
        self.last = eqx.nn.Linear(HIDDEN, PIXELS, key=three)

    def __call__(self, z):
        h = jax.numpy.tanh(self.first(z))
        return self.last(h + jax.numpy.tanh(self.block(h)))


@ppl.model
def residual(images):
    decoder = nn.module("decoder", torch=TorchResidual, jax=JaxResidual, out_shape=PIXELS)
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([LATENT]), dims=("code",))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)), dims=("pixel",))


program = residual(train).observe(x=train)
fit = ppl.infer(program, svi(), backend="numpyro")
print("held-out bound, residual decoder: {:.2f} ± {:.2f} nats".format(*held_out_bound(fit)))
print("                     with nn.MLP: {:.2f} ± {:.2f} nats".format(*held_out_bound(simple)))

# %% [markdown]
# Are the two really one? `agreement` evaluates both at the weights of the fit. (Without `params` each would start from
# weights of its own, since torch and JAX draw them differently; the table would say so.)

# %%
print(ppl.agreement(program, params=fit.params))

# %% [markdown]
# So the fit moves, like any other, and `network` hands the decoder out as what it is in each library. What JAX has
# trained is now a torch module, to be used without Credo:

# %%
moved = fit.to_backend("pyro")
module = moved.network("decoder")
print(module)
with torch.no_grad():
    average = torch.sigmoid(module(torch.randn(1000, LATENT))).mean(0)
print(f"pixels that are on: {float(average.mean()):.0%} in images from the prior, {train.mean():.0%} in the data")

# %% [markdown]
# ## Weights from somewhere else
#
# A network that was trained elsewhere gives its weights by the same names: `decoder.` and what torch calls them. With
# `params=` a fit starts from them. Here the decoder comes from the fit above and the encoder starts anew, so a fraction
# of the steps is enough.

# %%
pretrained = {f"decoder.{name}": weight.detach().numpy() for name, weight in module.named_parameters()}
again = ppl.infer(program, svi(params=pretrained, steps=STEPS // 5), backend="pyro")
fresh = ppl.infer(program, svi(steps=STEPS // 5), backend="pyro")
print(
    f"after {STEPS // 5} steps, from the weights of another fit: "
    + "{:.2f} ± {:.2f} nats".format(*held_out_bound(again))
)
print(
    f"after {STEPS // 5} steps, from nothing:                    "
    + "{:.2f} ± {:.2f} nats".format(*held_out_bound(fresh))
)

# %% [markdown]
# ## Keep it
#
# A file holds the program, the data and the weights. It does not hold your code, and does not unpickle anything; so you
# pass the functions that make your modules when you read it.

# %%
with tempfile.TemporaryDirectory() as folder:
    path = fit.save(Path(folder) / "residual")
    modules = {"decoder": {"torch": TorchResidual, "jax": JaxResidual}}
    loaded = ppl.Posterior.load(path, modules=modules)
    print(loaded.program == fit.program, "{:.2f} ± {:.2f} nats".format(*held_out_bound(loaded)))

# %% [markdown]
# ## Weights that are unknown
#
# So far the weights were parameters: one best value each. With `prior=` they become **random sites**, and the posterior
# is one of functions. This works for every network of `ppl.nn`. For 442 patients, a network of 8 hidden units, and one
# measurement, the body mass index:


# %%
@ppl.model
def curve(x, hidden: int = 8):
    net = nn.MLP("net", [1, hidden, 1], activation="tanh", prior=dist.Normal(0.0, 1.0))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("patients", x) as row:
        mean = ppl.deterministic("mean", net(row)[0])
        ppl.sample("y", dist.Normal(mean, noise))


inputs, outcome = map(np.asarray, load_diabetes(return_X_y=True, scaled=False))
bmi = ((inputs[:, 2] - inputs[:, 2].mean()) / inputs[:, 2].std())[:, None]
progression = (outcome - outcome.mean()) / outcome.std()
patients = curve(bmi).observe(y=progression)
print(patients)

# %%
draws = 30 if QUICK else 200
functions = ppl.infer(patients, NUTS(chains=2, draws=draws, warmup=draws, progress=False))
grid = np.linspace(-4.0, 6.0, 60)[:, None]
drawn = functions.predict(x=grid)["mean"]
middle, width = drawn.mean(("chain", "draw")).values, drawn.std(("chain", "draw")).values
inside = (grid[:, 0] > bmi.min()) & (grid[:, 0] < bmi.max())
print(f"the curve is known to ± {width[inside].mean():.2f} where there are data, ± {width[~inside].mean():.2f} outside")

# %% [markdown]
# Every draw of the weights is a curve. They agree where there are patients, and part where there are none: something
# that one best network would not have told. The weights themselves have no meaning one by one (hidden units can swap
# places), so look at the curves, not at the weights.

# %%
plot, ax = plt.subplots(figsize=(7.0, 3.6))
ax.scatter(bmi[:, 0], progression, s=8, color="#9aa5b1", linewidths=0)
for draw in drawn.stack(sample=("chain", "draw")).values.T[:30]:
    ax.plot(grid[:, 0], draw, color="#3b6ea8", alpha=0.25, linewidth=0.8)
ax.plot(grid[:, 0], middle, color="#1c2430")
ax.set(xlabel="body mass index (standardised)", ylabel="progression (standardised)", ylim=(-3, 4))
plot.tight_layout()

# %% [markdown]
# ## In short
#
# | you have | you write |
# |---|---|
# | the usual layers | `nn.MLP("net", [...])`, `nn.Sequential("net", [...])` |
# | a torch module | `nn.module("net", torch=make, out_shape=...)`, and `backend="pyro"` |
# | an equinox module | `nn.module("net", jax=make, out_shape=...)`, and `backend="numpyro"` |
# | both, with equal names of weights | both, and the fit moves |
# | weights | `SVI(params={"net.layer.weight": array, ...})` |
# | a wish to know how sure the network is | `prior=dist.Normal(0.0, 1.0)` |
# | a fit, and want the module | `fit.network("net")` |
