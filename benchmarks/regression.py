"""Linear regression, 200 points, 3 features: a step of mean-field variational inference.

    weights[k] ~ Normal(0, 1), intercept ~ Normal(0, 1), noise ~ HalfNormal(1)
    y[n] ~ Normal(x[n] @ weights + intercept, noise)

The guide is a diagonal normal over the 5 unconstrained coordinates (log noise), started at 0 with scale 0.1. One draw,
log q at the draw, Adam 1e-2. Synthetic data, fixed seed.
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
ROWS, FEATURES = 200, 3
INITIAL = np.zeros(FEATURES + 2)  # weights, intercept, log noise
CONSTANT = math.log(2) - (ROWS + FEATURES + 2) * LOG_SQRT_2PI


@cache
def data() -> tuple[np.ndarray, np.ndarray]:
    """Features [200, 3] and outcomes [200]."""
    rng = np.random.default_rng(SEED)
    x = rng.normal(size=(ROWS, FEATURES))
    y = x @ [1.0, -2.0, 0.5] + 0.3 + 0.5 * rng.normal(size=ROWS)
    return x.astype(np.float32), y.astype(np.float32)


# --- ours --------------------------------------------------------------------------------------------------------


def credo_jax(steps: int) -> Block:
    """Our emitted AutoNormal step on JAX: a block of `steps` steps, fused, returning `Ran(steps, losses)`."""
    from . import ours

    x, y = data()
    return ours.mean_field(ours.regression(x).observe(y=y), "numpyro", steps, LEARNING_RATE)


def credo_torch(steps: int, *, compile: bool = False) -> Block:
    """Our emitted AutoNormal step on torch, eager or compiled."""
    from . import ours

    x, y = data()
    return ours.mean_field(ours.regression(x).observe(y=y), "pyro", steps, LEARNING_RATE, compile=compile)


# --- peers -------------------------------------------------------------------------------------------------------


def peer_raw_jax(steps: int) -> Block:
    """One flat vector, closed form, `lax.scan`."""
    import jax.numpy as jnp

    def log_joint(u, data):
        x, y = data
        weights, intercept, log_noise = u[:FEATURES], u[FEATURES], u[-1]
        noise = jnp.exp(log_noise)
        residual = (y - x @ weights - intercept) / noise
        quadratic = jnp.sum(residual**2) + jnp.sum(weights**2) + intercept**2 + noise**2
        return CONSTANT - 0.5 * quadratic - (ROWS - 1) * log_noise  # the -1 is the Jacobian

    params = peers.mean_field_params(INITIAL)
    return peers.raw_jax(peers.mean_field_jax(log_joint), params, data(), steps, learning_rate=LEARNING_RATE)


def peer_raw_torch(steps: int, *, compile: bool = False) -> Block:
    """One flat vector, closed form, the intercept as a column of ones."""
    import torch

    def log_joint(u, data):
        x, y = data
        coefficients, log_noise = u[:-1], u[-1]
        residual = torch.addmv(y, x, coefficients, alpha=-1)
        variance = torch.exp(2 * log_noise)
        quadratic = torch.dot(residual, residual) / variance + torch.dot(coefficients, coefficients) + variance
        return CONSTANT - 0.5 * quadratic - (ROWS - 1) * log_noise

    x, y = data()
    design = np.column_stack([x, np.ones_like(y)])
    return peers.raw_torch(
        peers.mean_field_torch(log_joint),
        [peers.mean_field_params(INITIAL)],
        INITIAL.shape,
        (torch.from_numpy(design), torch.from_numpy(y)),
        steps,
        learning_rate=LEARNING_RATE,
        compile=compile,
    )


def peer_numpyro(steps: int) -> Block:
    """AutoNormal."""
    import numpyro
    import numpyro.distributions as dist

    def model(x, y):
        weights = numpyro.sample("weights", dist.Normal(0.0, 1.0).expand([FEATURES]).to_event(1))
        intercept = numpyro.sample("intercept", dist.Normal(0.0, 1.0))
        noise = numpyro.sample("noise", dist.HalfNormal(1.0))
        with numpyro.plate("rows", ROWS):
            numpyro.sample("y", dist.Normal(x @ weights + intercept, noise), obs=y)

    return peers.numpyro_auto_normal(model, data(), steps, learning_rate=LEARNING_RATE)


def peer_pyro(steps: int, **options) -> Block:
    """AutoNormal; options as in `peers.pyro_auto_normal`."""
    import pyro
    import pyro.distributions as dist

    def model(x, y):
        weights = pyro.sample("weights", dist.Normal(0.0, 1.0).expand([FEATURES]).to_event(1))
        intercept = pyro.sample("intercept", dist.Normal(0.0, 1.0))
        noise = pyro.sample("noise", dist.HalfNormal(1.0))
        with pyro.plate("rows", ROWS):
            pyro.sample("y", dist.Normal(x @ weights + intercept, noise), obs=y)

    return peers.pyro_auto_normal(model, data(), steps, learning_rate=LEARNING_RATE, **options)


def cases() -> list[Case]:
    """SVI on both sides."""
    return peers.SmallModel(
        credo_jax=credo_jax,
        credo_torch=credo_torch,
        raw_jax=peer_raw_jax,
        raw_torch=peer_raw_torch,
        numpyro={"NumPyro SVI": peer_numpyro},
        pyro={
            "Pyro SVI": peer_pyro,
            "Pyro SVI, AutoDiagonalNormal": partial(peer_pyro, diagonal=True),
            "Pyro SVI, JitTrace_ELBO": partial(peer_pyro, jit=True),
            "Pyro SVI, validation on": partial(peer_pyro, validate=True),
        },
        steps_jax=20_000,
        steps_torch=200,
    ).cases()
