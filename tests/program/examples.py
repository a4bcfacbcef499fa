"""Programs that the tests of this folder share; the line numbers of this file are part of what they print."""

import numpy as np

import ppl
from ppl import dist, nn, ops

NUMBERS = np.random.default_rng(0)


@ppl.model
def vae(images, latent: int = 8):
    decoder = nn.MLP("decoder", [latent, 256, 64], activation="tanh")
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)))


@ppl.model
def encoder(images, latent: int = 8):
    net = nn.MLP("encoder", [64, 256, 2 * latent])
    with ppl.plate("images", images) as image:
        h = net(image)
        ppl.sample("z", dist.Normal(h[:latent], ops.exp(h[latent:])))


@ppl.model
def regression(X, group, groups: int = 3):
    slope = ppl.sample("slope", dist.Normal(0.0, 1.0).expand([2]))
    with ppl.plate("groups", size=groups):
        intercept = ppl.sample("intercept", dist.Normal(0.0, 5.0))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("rows", (X, group)) as (x, g):
        mean = intercept[g] + x @ slope
        ppl.sample("y", dist.Normal(mean, noise))


@ppl.model
def everything(X, index):
    """One statement of every kind, and values with attributes of every kind."""
    scale = ppl.param("scale", [1.0, 2.0], support=dist.support.positive)
    net = nn.Sequential("net", [nn.Linear("first", 2, 3), "tanh", nn.LayerNorm("norm", 3)])
    random = nn.MLP("random", [3, 1], prior=dist.Normal(0.0, 1.0))
    weights = ppl.sample("weights", dist.Dirichlet(ops.ones(2)), dims=("part",))
    bound = ppl.sample("bound", dist.Uniform(0.0, 1.0 - weights[0]))
    with ppl.plate("rows", (X, index)) as (x, i):
        offset = ppl.param("offset", 0.0)
        hidden = net(x * scale)
        code = ppl.sample("code", dist.Categorical(probs=weights))
        centre = ppl.deterministic("centre", ops.where(hidden > 0, hidden, -hidden) + offset, dims=("unit",))
        ppl.factor("pull", -ops.sum(centre**2) * ops.asarray([0.5, 0.25])[code])
        with ppl.plate("times", size=4) as t:
            ppl.sample("y", dist.Normal(centre[i], bound + 0.1 * t).mask(hidden[0] > 0))
        with ppl.plate("more", size=2):
            ppl.sample("count", dist.Binomial(5, logits=random(hidden)[0]).expand([3]))


IMAGES = NUMBERS.integers(0, 2, size=(100, 64))
X = NUMBERS.normal(size=(7, 2))
GROUP = NUMBERS.integers(0, 3, size=7)


def bound_vae() -> ppl.Program:
    return vae(IMAGES.astype(float)).observe(x=IMAGES)


def bound_regression() -> ppl.Program:
    return regression(X, GROUP).observe(y=NUMBERS.normal(size=7))


def bound_everything() -> ppl.Program:
    return everything(X, GROUP).do(weights=np.array([0.25, 0.75])).observe(y=np.full((7, 4), 0.5))
