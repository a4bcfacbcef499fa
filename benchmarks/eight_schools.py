"""Eight schools, non-centred: a step of mean-field variational inference, and a leapfrog step of NUTS.

    mu ~ Normal(0, 5), tau ~ HalfCauchy(5), raw[j] ~ Normal(0, 1), y[j] ~ Normal(mu + tau raw[j], sigma[j])

The guide is a diagonal normal over the 10 unconstrained coordinates (log tau), started at 0 with scale 0.1. One draw,
log q at the draw, Adam 1e-2.
"""

import math
from functools import partial

import numpy as np

from . import peers
from .harness import Block, Candidate, Case, Target
from .peers import LOG_SQRT_2PI

LEARNING_RATE = 1e-2
Y = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], np.float32)
SIGMA = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0], np.float32)
INITIAL = np.zeros(10)  # mu, log tau, raw
# What does not depend on the unknowns, so that every peer's loss is the full one.
CONSTANT = math.log(2 / (5 * math.pi)) - 17 * LOG_SQRT_2PI - math.log(5) - float(np.log(SIGMA).sum())


# --- ours --------------------------------------------------------------------------------------------------------


def credo_jax(steps: int) -> Block:
    """Our emitted AutoNormal step on JAX: a block of `steps` steps, fused, returning `Ran(steps, losses)`."""
    from . import ours

    return ours.mean_field(ours.eight_schools(SIGMA).observe(y=Y), "numpyro", steps, LEARNING_RATE)


def credo_torch(steps: int, *, compile: bool = False) -> Block:
    """Our emitted AutoNormal step on torch, eager or compiled."""
    from . import ours

    program = ours.eight_schools(SIGMA).observe(y=Y)
    return ours.mean_field(program, "pyro", steps, LEARNING_RATE, compile=compile)


def credo_nuts(draws: int, *, chains: int = 1) -> Block:
    """NumPyro's NUTS on our density, as `ppl.infer` runs it."""
    from . import ours

    return ours.nuts_block(ours.eight_schools(SIGMA).observe(y=Y), draws, chains=chains)


def credo_nuts_numpyro(draws: int, *, chains: int = 1) -> Block:
    """NumPyro's NUTS on our emitted NumPyro model: `peers.numpyro_nuts(model, arguments, draws, chains=chains)`."""
    from . import ours

    model, arguments = ours.native_model(ours.eight_schools(SIGMA).observe(y=Y), "numpyro")
    return peers.numpyro_nuts(model, arguments, draws, chains=chains)


def credo_nuts_pyro(draws: int) -> Block:
    """Pyro's NUTS on our emitted Pyro model: `peers.pyro_nuts(model, arguments, draws)`."""
    from . import ours

    model, arguments = ours.native_model(ours.eight_schools(SIGMA).observe(y=Y), "pyro")
    return peers.pyro_nuts(model, arguments, draws)


# --- peers -------------------------------------------------------------------------------------------------------


def log_joint_jax(u, data):
    """Log joint density of the unconstrained vector, closed form."""
    import jax.numpy as jnp

    y, sigma = data
    mu, log_tau, raw = u[0], u[1], u[2:]
    tau = jnp.exp(log_tau)
    residual = (y - mu - tau * raw) / sigma
    quadratic = jnp.sum(residual**2) + jnp.sum(raw**2) + (mu / 5) ** 2
    return CONSTANT - 0.5 * quadratic - jnp.log1p((tau / 5) ** 2) + log_tau


def log_joint_torch(u, data):
    """The same with as few torch calls as the formula allows."""
    import torch

    y, precision = data
    mu, log_tau, raw = u[0], u[1], u[2:]
    tau = log_tau.exp()
    residual = torch.addcmul(y - mu, raw, tau, value=-1) * precision
    quadratic = torch.dot(residual, residual) + torch.dot(raw, raw) + mu * mu / 25
    return CONSTANT - 0.5 * quadratic - torch.log1p(tau * tau / 25) + log_tau


def peer_raw_jax(steps: int) -> Block:
    """One flat vector, closed form, `lax.scan`."""
    loss = peers.mean_field_jax(log_joint_jax)
    return peers.raw_jax(loss, peers.mean_field_params(INITIAL), (Y, SIGMA), steps, learning_rate=LEARNING_RATE)


def peer_raw_torch(steps: int, *, compile: bool = False) -> Block:
    """One flat vector, closed form."""
    import torch

    return peers.raw_torch(
        peers.mean_field_torch(log_joint_torch),
        [peers.mean_field_params(INITIAL)],
        INITIAL.shape,
        (torch.from_numpy(Y), torch.from_numpy(1 / SIGMA)),
        steps,
        learning_rate=LEARNING_RATE,
        compile=compile,
    )


def model_numpyro(y, sigma):
    """As in NumPyro's own example."""
    import numpyro
    import numpyro.distributions as dist

    mu = numpyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = numpyro.sample("tau", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", 8):
        raw = numpyro.sample("raw", dist.Normal(0.0, 1.0))
        numpyro.sample("y", dist.Normal(mu + tau * raw, sigma), obs=y)


def model_pyro(y, sigma):
    """The same in Pyro."""
    import pyro
    import pyro.distributions as dist

    mu = pyro.sample("mu", dist.Normal(0.0, 5.0))
    tau = pyro.sample("tau", dist.HalfCauchy(5.0))
    with pyro.plate("schools", 8):
        raw = pyro.sample("raw", dist.Normal(0.0, 1.0))
        pyro.sample("y", dist.Normal(mu + tau * raw, sigma), obs=y)


def peer_numpyro(steps: int) -> Block:
    """AutoNormal."""
    return peers.numpyro_auto_normal(model_numpyro, (Y, SIGMA), steps, learning_rate=LEARNING_RATE)


def peer_pyro(steps: int, **options) -> Block:
    """AutoNormal; options as in `peers.pyro_auto_normal`."""
    return peers.pyro_auto_normal(model_pyro, (Y, SIGMA), steps, learning_rate=LEARNING_RATE, **options)


def peer_nuts_numpyro(draws: int, *, chains: int = 1) -> Block:
    """NumPyro's NUTS on the model."""
    return peers.numpyro_nuts(model_numpyro, (Y, SIGMA), draws, chains=chains)


def peer_nuts_closed_form(draws: int, *, chains: int = 1) -> Block:
    """NumPyro's NUTS on the closed form: what a leapfrog step costs without a model around the density."""
    return peers.numpyro_nuts_closed_form(log_joint_jax, (Y, SIGMA), INITIAL, draws, chains=chains)


def peer_nuts_pyro(draws: int) -> Block:
    """Pyro's NUTS on the model."""
    return peers.pyro_nuts(model_pyro, (Y, SIGMA), draws)


# --- cases -------------------------------------------------------------------------------------------------------


def cases() -> list[Case]:
    """SVI on both sides; NUTS with one chain and with four, and Pyro's."""
    this = peers.SmallModel(
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
    )

    def nuts(chains: int) -> Case:
        def candidates() -> list[Candidate]:
            draws = 4000 // chains
            return [
                Candidate("Credo", partial(credo_nuts_numpyro, chains=chains), draws),
                Candidate("Credo, ppl.infer", partial(credo_nuts, chains=chains), draws),
                Candidate("NumPyro NUTS", partial(peer_nuts_numpyro, chains=chains), draws),
                Candidate("NumPyro NUTS, closed form", partial(peer_nuts_closed_form, chains=chains), draws),
            ]

        targets = (Target("Credo", "NumPyro NUTS", 1.0), Target("Credo, ppl.infer", "NumPyro NUTS", 1.0))
        name = f"NUTS, {chains} chain{'s, vectorised' if chains > 1 else ''}, JAX"
        return Case(name, "jax", 1, candidates, targets, unit="leapfrog", check_steps=4000 // chains)

    def nuts_pyro() -> list[Candidate]:
        return [Candidate("Credo", credo_nuts_pyro, 20), Candidate("Pyro NUTS", peer_nuts_pyro, 20)]

    return [
        *this.cases(),
        nuts(1),
        nuts(4),
        Case("NUTS, torch", "torch", 1, nuts_pyro, unit="leapfrog", check_steps=200, rounds=7),
    ]
