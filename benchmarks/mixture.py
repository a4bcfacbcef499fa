"""Gaussian mixture, 3 clusters, 500 points in the plane, assignments summed out: a step of mean-field inference.

    weights ~ Dirichlet(1, 1, 1), centre[k] ~ Normal(0, 5)^2
    c[n] ~ Categorical(weights), x[n] ~ Normal(centre[c[n]], 1)

The guide is a diagonal normal over the 8 unconstrained coordinates (weights by stick-breaking), scale 0.1; the centres
start apart, at the same places for all. One draw, log q at the draw, Adam 1e-2. Synthetic data, fixed seed.
"""

# NumPyro says ArrayLike of what `sample` returns, and Pyro Distribution of what `expand` does; both give more.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false

import math
from functools import cache, partial

import numpy as np

from . import peers
from .harness import Block, Case
from .peers import LOG_SQRT_2PI, SEED

LEARNING_RATE = 1e-2
ROWS, CLUSTERS = 500, 3
CENTRES = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], np.float32)
INITIAL = np.concatenate([np.zeros(CLUSTERS - 1), CENTRES.ravel()])  # sticks, centres
# Density of the Dirichlet, of the centres' priors and the points' normalisation.
CONSTANT = math.log(2) - 6 * (LOG_SQRT_2PI + math.log(5)) - 2 * ROWS * LOG_SQRT_2PI


@cache
def data() -> np.ndarray:
    """Points, [500, 2]."""
    rng = np.random.default_rng(SEED)
    centres = np.array([[-3.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    labels = rng.choice(CLUSTERS, ROWS, p=[0.5, 0.3, 0.2])
    return (centres[labels] + rng.normal(size=(ROWS, 2))).astype(np.float32)


# --- ours --------------------------------------------------------------------------------------------------------


def credo_jax(steps: int) -> Block:
    """Our emitted AutoNormal step on JAX: a block of `steps` steps, fused, returning `Ran(steps, losses)`.

    The centres must start at `CENTRES`: all equal, they would never part.
    """
    from . import ours

    program = ours.mixture(CLUSTERS, ROWS).observe(x=data())
    return ours.mean_field(program, "numpyro", steps, LEARNING_RATE, init={"centre": CENTRES})


def credo_torch(steps: int, *, compile: bool = False) -> Block:
    """Our emitted AutoNormal step on torch, eager or compiled; the centres start at `CENTRES`."""
    from . import ours

    program = ours.mixture(CLUSTERS, ROWS).observe(x=data())
    init = {"centre": CENTRES}
    return ours.mean_field(program, "pyro", steps, LEARNING_RATE, compile=compile, init=init)


# --- peers -------------------------------------------------------------------------------------------------------


def peer_raw_jax(steps: int) -> Block:
    """One flat vector, closed form; squared distances through one product of matrices, points along the fast axis."""
    import jax
    import jax.numpy as jnp

    def log_joint(u, data):
        points, half_norms = data
        # Two sticks: weights are a, (1 - a) b and (1 - a) (1 - b); the offset makes 0 the uniform weights.
        sticks = u[:2] - jnp.log(jnp.array([2.0, 1.0]))
        taken, left = jax.nn.log_sigmoid(sticks), jax.nn.log_sigmoid(-sticks)
        log_weights = jnp.stack([taken[0], left[0] + taken[1], left[0] + left[1]])
        log_jacobian = jnp.sum(taken + left) + left[0]
        centres = u[2:].reshape(CLUSTERS, 2)
        scores = centres @ points + (log_weights - 0.5 * jnp.sum(centres**2, axis=1))[:, None]
        log_likelihood = jnp.sum(jax.nn.logsumexp(scores, axis=0)) - half_norms
        return CONSTANT + log_likelihood + log_jacobian - 0.5 / 25 * jnp.sum(centres**2)

    points = data()
    inputs = (np.ascontiguousarray(points.T), 0.5 * np.square(points).sum())
    params = peers.mean_field_params(INITIAL)
    return peers.raw_jax(peers.mean_field_jax(log_joint), params, inputs, steps, learning_rate=LEARNING_RATE)


def peer_raw_torch(steps: int, *, compile: bool = False) -> Block:
    """The same with torch."""
    import torch
    import torch.nn.functional as F

    offset = torch.tensor([math.log(2.0), 0.0])
    # Which logs of (stick taken, stick left) make up each log weight, as a matrix: one product instead of a stack.
    share = torch.tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 1.0, 1.0]])
    jacobian = torch.tensor([1.0, 1.0, 2.0, 1.0])

    def log_joint(u, data):
        points, half_norms = data
        sticks = u[:2] - offset
        pieces = F.logsigmoid(torch.cat([sticks, -sticks]))
        centres = u[2:].view(CLUSTERS, 2)
        norms = centres.square().sum(1)
        bias = torch.addmv(-0.5 * norms, share, pieces)
        log_likelihood = torch.addmm(bias, points, centres.t()).logsumexp(1).sum() - half_norms
        return CONSTANT + log_likelihood + torch.dot(jacobian, pieces) - 0.02 * norms.sum()

    points = data()
    return peers.raw_torch(
        peers.mean_field_torch(log_joint),
        [peers.mean_field_params(INITIAL)],
        INITIAL.shape,
        (torch.from_numpy(points), 0.5 * float(np.square(points).sum())),
        steps,
        learning_rate=LEARNING_RATE,
        compile=compile,
    )


def peer_numpyro(steps: int, *, enumerate: bool) -> Block:
    """`TraceEnum_ELBO` over the assignments, or NumPyro's own mixture distribution."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.contrib.funsor import config_enumerate

    def parameters():
        weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(CLUSTERS)))
        with numpyro.plate("clusters", CLUSTERS):
            centre = numpyro.sample("centre", dist.Normal(0.0, 5.0).expand([2]).to_event(1))
        return weights, centre

    @config_enumerate
    def enumerated(x):
        weights, centre = parameters()
        with numpyro.plate("points", ROWS):
            c = numpyro.sample("c", dist.Categorical(weights))
            numpyro.sample("x", dist.Normal(centre[c], 1.0).to_event(1), obs=x)

    def marginalised(x):
        weights, centre = parameters()
        with numpyro.plate("points", ROWS):
            component = dist.Normal(centre, 1.0).to_event(1)
            numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(weights), component), obs=x)

    return peers.numpyro_auto_normal(
        enumerated if enumerate else marginalised,
        (data(),),
        steps,
        learning_rate=LEARNING_RATE,
        initial={"weights": np.full(CLUSTERS, 1 / CLUSTERS, np.float32), "centre": CENTRES},
        guided=numpyro.handlers.block(enumerated, hide=["c"]) if enumerate else None,
        enumerate=enumerate,
    )


def peer_pyro(steps: int, *, enumerate: bool, **options) -> Block:
    """`TraceEnum_ELBO` over the assignments, or Pyro's own mixture distribution."""
    import pyro
    import pyro.distributions as dist
    import torch
    from pyro.infer import config_enumerate

    ones = torch.ones(CLUSTERS)

    def parameters():
        weights = pyro.sample("weights", dist.Dirichlet(ones))
        with pyro.plate("clusters", CLUSTERS):
            centre = pyro.sample("centre", dist.Normal(0.0, 5.0).expand([2]).to_event(1))
        return weights, centre

    @config_enumerate
    def enumerated(x):
        weights, centre = parameters()
        with pyro.plate("points", ROWS):
            c = pyro.sample("c", dist.Categorical(weights))
            pyro.sample("x", dist.Normal(centre[c], 1.0).to_event(1), obs=x)

    def marginalised(x):
        weights, centre = parameters()
        with pyro.plate("points", ROWS):
            component = dist.Normal(centre, 1.0).to_event(1)
            pyro.sample("x", dist.MixtureSameFamily(dist.Categorical(weights), component), obs=x)

    return peers.pyro_auto_normal(
        enumerated if enumerate else marginalised,
        (data(),),
        steps,
        learning_rate=LEARNING_RATE,
        initial={"weights": np.full(CLUSTERS, 1 / CLUSTERS, np.float32), "centre": CENTRES},
        guided=pyro.poutine.block(enumerated, hide=["c"]) if enumerate else None,
        enumerate=enumerate,
        **options,
    )


def cases() -> list[Case]:
    """SVI on both sides."""
    return peers.SmallModel(
        credo_jax=credo_jax,
        credo_torch=credo_torch,
        raw_jax=peer_raw_jax,
        raw_torch=peer_raw_torch,
        numpyro={
            "NumPyro SVI, enumerated": partial(peer_numpyro, enumerate=True),
            "NumPyro SVI, marginalised": partial(peer_numpyro, enumerate=False),
        },
        pyro={
            "Pyro SVI, enumerated": partial(peer_pyro, enumerate=True),
            "Pyro SVI, enumerated, validation on": partial(peer_pyro, enumerate=True, validate=True),
            "Pyro SVI, enumerated, JitTraceEnum_ELBO": partial(peer_pyro, enumerate=True, jit=True),
            "Pyro SVI, marginalised": partial(peer_pyro, enumerate=False),
        },
        steps_jax=2_000,
        steps_torch=50,
        check_steps=1500,
    ).cases()
