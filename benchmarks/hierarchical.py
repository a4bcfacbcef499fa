"""Partial pooling, 85 counties, 919 rows (the shape of the radon data): mean-field inference, and NUTS.

    intercept_mean, slope_mean ~ Normal(0, 1); intercept_scale, slope_scale, noise ~ HalfNormal(1)
    intercept_raw[c], slope_raw[c] ~ Normal(0, 1)
    intercept[c] = intercept_mean + intercept_scale intercept_raw[c], and so for slope
    y[n] ~ Normal(intercept[county[n]] + slope[county[n]] floor[n], noise)

The guide is a diagonal normal over the 175 unconstrained coordinates (logs of the scales), started at 0 with scale 0.1.
One draw, log q at the draw, Adam 1e-2. Synthetic data, fixed seed; most counties are small, as in the real data.
"""

# NumPyro says ArrayLike of what `sample` returns, and Pyro Distribution of what `expand` does; both give more.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false, reportIndexIssue=false

import math
from functools import cache, partial

import numpy as np

from . import peers
from .harness import Block, Candidate, Case, Target
from .peers import LOG_SQRT_2PI, SEED

LEARNING_RATE = 1e-2
COUNTIES, ROWS = 85, 919
SIZE = 5 + 2 * COUNTIES
INITIAL = np.zeros(SIZE)  # two means, three logs of scales, raw intercepts, raw slopes
CONSTANT = 3 * math.log(2) - (SIZE + ROWS) * LOG_SQRT_2PI


@cache
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """County (int32), floor (0 or 1, float32) and outcome of each row, [919]."""
    rng = np.random.default_rng(SEED)
    sizes = rng.dirichlet(np.full(COUNTIES, 0.7))
    county = np.concatenate([np.arange(COUNTIES), rng.choice(COUNTIES, ROWS - COUNTIES, p=sizes)])
    floor = (rng.random(ROWS) < 0.17).astype(np.float32)
    intercept = 1.4 + 0.35 * rng.normal(size=COUNTIES)
    slope = -0.7 + 0.3 * rng.normal(size=COUNTIES)
    y = intercept[county] + slope[county] * floor + 0.75 * rng.normal(size=ROWS)
    return county.astype(np.int32), floor, y.astype(np.float32)


# --- ours --------------------------------------------------------------------------------------------------------


def credo_jax(steps: int) -> Block:
    """Our emitted AutoNormal step on JAX: a block of `steps` steps, fused, returning `Ran(steps, losses)`."""
    from . import ours

    county, floor, y = data()
    program = ours.hierarchical(county, floor, COUNTIES).observe(y=y)
    return ours.mean_field(program, "numpyro", steps, LEARNING_RATE)


def credo_torch(steps: int, *, compile: bool = False) -> Block:
    """Our emitted AutoNormal step on torch, eager or compiled."""
    from . import ours

    county, floor, y = data()
    program = ours.hierarchical(county, floor, COUNTIES).observe(y=y)
    return ours.mean_field(program, "pyro", steps, LEARNING_RATE, compile=compile)


def credo_nuts(draws: int) -> Block:
    """NumPyro's NUTS on our density, as `ppl.infer` runs it."""
    from . import ours

    county, floor, y = data()
    return ours.nuts_block(ours.hierarchical(county, floor, COUNTIES).observe(y=y), draws)


def credo_nuts_numpyro(draws: int) -> Block:
    """NumPyro's NUTS on our emitted NumPyro model: `peers.numpyro_nuts(model, arguments, draws)`."""
    from . import ours

    county, floor, y = data()
    model, arguments = ours.native_model(ours.hierarchical(county, floor, COUNTIES).observe(y=y), "numpyro")
    return peers.numpyro_nuts(model, arguments, draws)


# --- peers -------------------------------------------------------------------------------------------------------


def log_joint_jax(u, data):
    """Log joint density of the unconstrained vector, closed form."""
    import jax.numpy as jnp

    county, floor, y = data
    intercept_mean, slope_mean = u[0], u[1]
    intercept_scale, slope_scale, noise = jnp.exp(u[2]), jnp.exp(u[3]), jnp.exp(u[4])
    raw = u[5:].reshape(2, COUNTIES)
    # Both effects side by side: one gather, and one scatter in the gradient, take half the time of two.
    effects = jnp.stack([intercept_mean + intercept_scale * raw[0], slope_mean + slope_scale * raw[1]], axis=1)
    picked = effects[county]
    residual = (y - picked[:, 0] - picked[:, 1] * floor) / noise
    quadratic = (
        *(jnp.sum(residual**2), intercept_mean**2, slope_mean**2),
        *(intercept_scale**2, slope_scale**2, noise**2, jnp.sum(raw**2)),
    )
    return CONSTANT - 0.5 * sum(quadratic) + jnp.sum(u[2:5]) - ROWS * u[4]


def peer_raw_jax(steps: int) -> Block:
    """One flat vector, closed form, `lax.scan`."""
    params = peers.mean_field_params(INITIAL)
    return peers.raw_jax(peers.mean_field_jax(log_joint_jax), params, data(), steps, learning_rate=LEARNING_RATE)


def peer_raw_torch(steps: int, *, compile: bool = False) -> Block:
    """One flat vector, closed form; both gathers in one `index_select` of the rows of a [2 × counties] vector."""
    import torch

    def log_joint(u, data):
        both, floor, y = data
        means, log_scales, raw = u[:2], u[2:5], u[5:]
        scales = log_scales.exp()
        effects = torch.addcmul(means[:, None], scales[:2, None], raw.view(2, COUNTIES)).view(-1)
        intercept, slope = effects.index_select(0, both).view(2, ROWS).unbind()
        residual = torch.addcmul(y - intercept, slope, floor, value=-1) / scales[2]
        quadratic = torch.dot(residual, residual) + torch.dot(means, means) + torch.dot(scales, scales)
        return CONSTANT - 0.5 * (quadratic + torch.dot(raw, raw)) + log_scales.sum() - ROWS * log_scales[2]

    county, floor, y = data()
    both = torch.from_numpy(np.concatenate([county, county + COUNTIES]).astype(np.int64))
    return peers.raw_torch(
        peers.mean_field_torch(log_joint),
        [peers.mean_field_params(INITIAL)],
        INITIAL.shape,
        (both, torch.from_numpy(floor), torch.from_numpy(y)),
        steps,
        learning_rate=LEARNING_RATE,
        compile=compile,
    )


def model_numpyro(county, floor, y):
    """In NumPyro."""
    import numpyro
    import numpyro.distributions as dist

    intercept_mean = numpyro.sample("intercept_mean", dist.Normal(0.0, 1.0))
    slope_mean = numpyro.sample("slope_mean", dist.Normal(0.0, 1.0))
    intercept_scale = numpyro.sample("intercept_scale", dist.HalfNormal(1.0))
    slope_scale = numpyro.sample("slope_scale", dist.HalfNormal(1.0))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("counties", COUNTIES):
        intercept_raw = numpyro.sample("intercept_raw", dist.Normal(0.0, 1.0))
        slope_raw = numpyro.sample("slope_raw", dist.Normal(0.0, 1.0))
    intercept = intercept_mean + intercept_scale * intercept_raw
    slope = slope_mean + slope_scale * slope_raw
    with numpyro.plate("rows", ROWS):
        numpyro.sample("y", dist.Normal(intercept[county] + slope[county] * floor, noise), obs=y)


def model_pyro(county, floor, y):
    """In Pyro."""
    import pyro
    import pyro.distributions as dist

    intercept_mean = pyro.sample("intercept_mean", dist.Normal(0.0, 1.0))
    slope_mean = pyro.sample("slope_mean", dist.Normal(0.0, 1.0))
    intercept_scale = pyro.sample("intercept_scale", dist.HalfNormal(1.0))
    slope_scale = pyro.sample("slope_scale", dist.HalfNormal(1.0))
    noise = pyro.sample("noise", dist.HalfNormal(1.0))
    with pyro.plate("counties", COUNTIES):
        intercept_raw = pyro.sample("intercept_raw", dist.Normal(0.0, 1.0))
        slope_raw = pyro.sample("slope_raw", dist.Normal(0.0, 1.0))
    intercept = intercept_mean + intercept_scale * intercept_raw
    slope = slope_mean + slope_scale * slope_raw
    with pyro.plate("rows", ROWS):
        pyro.sample("y", dist.Normal(intercept[county] + slope[county] * floor, noise), obs=y)


def peer_numpyro(steps: int) -> Block:
    """AutoNormal."""
    return peers.numpyro_auto_normal(model_numpyro, data(), steps, learning_rate=LEARNING_RATE)


def peer_pyro(steps: int, **options) -> Block:
    """AutoNormal; options as in `peers.pyro_auto_normal`."""
    county, floor, y = data()
    inputs = (county.astype(np.int64), floor, y)
    return peers.pyro_auto_normal(model_pyro, inputs, steps, learning_rate=LEARNING_RATE, **options)


def peer_nuts_numpyro(draws: int) -> Block:
    """NumPyro's NUTS on the model."""
    return peers.numpyro_nuts(model_numpyro, data(), draws)


def peer_nuts_closed_form(draws: int) -> Block:
    """NumPyro's NUTS on the closed form: what a leapfrog step costs without a model around the density."""
    return peers.numpyro_nuts_closed_form(log_joint_jax, data(), INITIAL, draws)


# --- cases -------------------------------------------------------------------------------------------------------


def cases() -> list[Case]:
    """SVI on both sides; NUTS with one chain."""
    small = peers.SmallModel(
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
        steps_jax=5_000,
        steps_torch=100,
    )

    def nuts() -> list[Candidate]:
        return [
            Candidate("Credo", credo_nuts_numpyro, 500),
            Candidate("Credo, ppl.infer", credo_nuts, 500),
            Candidate("NumPyro NUTS", peer_nuts_numpyro, 500),
            Candidate("NumPyro NUTS, closed form", peer_nuts_closed_form, 500),
        ]

    targets = (Target("Credo", "NumPyro NUTS", 1.0), Target("Credo, ppl.infer", "NumPyro NUTS", 1.0))
    return [
        *small.cases(),
        Case("NUTS, 1 chain, JAX", "jax", 1, nuts, targets, unit="leapfrog", check_steps=1000),
    ]
