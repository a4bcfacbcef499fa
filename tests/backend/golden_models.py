"""The programs whose emitted text is kept in `golden/`: small data, and one of each thing that a reader meets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import ppl
from ppl import dist, models, nn, ops
from ppl.program.program import Program

NUMBERS = np.random.default_rng(5)
X = NUMBERS.normal(size=(6, 3))
Y = NUMBERS.normal(size=6)
GROUP = np.array([0, 1, 1, 2, 0, 2])
TIMES = NUMBERS.normal(size=(6, 4))
IMAGES = (NUMBERS.uniform(size=(6, 5)) > 0.5).astype(float)
ANSWERS = (NUMBERS.uniform(size=(6, 4)) > 0.5).astype(int)


@ppl.model
def item_response(people: int = 6, items: int = 4):
    """Two plates that cross: a person's ability against an item's difficulty."""
    with ppl.plate("people", size=people):
        ability = ppl.sample("ability", dist.Normal(0.0, 1.0))
    with ppl.plate("items", size=items):
        difficulty = ppl.sample("difficulty", dist.Normal(0.0, 1.0))
        discrimination = ppl.sample("discrimination", dist.LogNormal(0.0, 0.5))
    with ppl.plate("people", ability) as a, ppl.plate("items", (difficulty, discrimination)) as (d, slope):
        ppl.sample("answer", dist.Bernoulli(logits=slope * (a - d)))


@ppl.model
def growth(series, group, groups: int = 3):
    """Nested plates, of which one picks from a third by index: a line for each subject, around its group's."""
    spread = ppl.sample("spread", dist.HalfNormal(1.0))
    with ppl.plate("groups", size=groups):
        centre = ppl.sample("centre", dist.Normal(0.0, 1.0).expand([2]))
    with ppl.plate("subjects", (series, group)) as (visits, g):
        line = ppl.sample("line", dist.Normal(centre[g], spread))
        with ppl.plate("visits", visits) as time:
            ppl.sample("height", dist.Normal(line[0] + line[1] * time, 0.5))


@ppl.model
def mixture(points, components: int = 3):
    """A mixture whose components are summed out by hand."""
    weights = ppl.sample("weights", dist.Dirichlet(ops.ones(components)))
    with ppl.plate("components", size=components):
        mean = ppl.sample("mean", dist.Normal(0.0, 5.0))
        scale = ppl.sample("scale", dist.LogNormal(0.0, 1.0))
    with ppl.plate("points", points) as x:
        ppl.factor("likelihood", ops.logsumexp(ops.log(weights) + dist.Normal(mean, scale).element_log_prob(x)))


def in_torch() -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


def in_jax(key: Any) -> Any:
    import equinox as eqx

    return eqx.nn.MLP(3, 2, 4, 1, key=key)


@ppl.model
def own_network(x):
    """A network of the user's own, whose two outputs are mean and log scale."""
    net = nn.module("net", torch=in_torch, jax=in_jax, out_shape=2)
    with ppl.plate("rows", x) as row:
        out = net(row)
        ppl.sample("y", dist.Normal(out[0], ops.exp(out[1])))


@ppl.model
def factors(observations, latent: int = 2):
    """Parameters, whose supports the libraries call constraints."""
    loadings = ppl.param("loadings", np.eye(observations.shape[-1], latent))
    noise = ppl.param("noise", np.ones(observations.shape[-1]), support=dist.support.positive)
    with ppl.plate("rows", observations):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]))
        ppl.sample("x", dist.Normal(loadings @ z, noise))


@ppl.model
def factors_guide(observations, latent: int = 2):
    """A guide whose code is correlated: one covariance for all rows."""
    encode = nn.Linear("encode", observations.shape[-1], latent)
    spread = ppl.param("spread", np.eye(latent), support=dist.support.lower_cholesky)
    with ppl.plate("rows", observations) as x:
        ppl.sample("z", dist.MultivariateNormal(encode(x), scale_tril=spread))


# Name of the golden file -> the program, and the model it is a guide of.
GOLDEN: dict[str, tuple[Callable[[], Program], str | None]] = {
    "linear_regression": (lambda: models.linear_regression(X).observe(y=Y), None),
    "eight_schools": (lambda: models.eight_schools().observe(effect=models.EFFECTS), None),
    "vae": (lambda: models.vae(IMAGES, latent=2, hidden=4).observe(x=IMAGES), None),
    "vae_encoder": (lambda: models.vae_encoder(IMAGES, latent=2, hidden=4), "vae"),
    "item_response": (lambda: item_response().observe(answer=ANSWERS), None),
    "growth": (lambda: growth(TIMES, GROUP).observe(height=TIMES), None),
    "mixture": (lambda: mixture(Y), None),
    "own_network": (lambda: own_network(X).observe(y=Y), None),
    "bayesian_mlp": (lambda: models.bayesian_mlp(X, hidden=4).observe(y=Y), None),
    "factors": (lambda: factors(X).observe(x=X), None),
    "gp_regression": (lambda: models.gp_regression(X).observe(y=Y), None),
    "marginal_gp_regression": (lambda: models.marginal_gp_regression(X[:, 0]).observe(y=Y), None),
    "factors_guide": (lambda: factors_guide(X), "factors"),
}
