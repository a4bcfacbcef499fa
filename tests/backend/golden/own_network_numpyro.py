import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import eqx_module

net_network = networks["net"]  # your own module


def model(x, y=None):
    net = eqx_module("net", net_network)
    with numpyro.plate("rows", 6, dim=-1):
        out = jax.vmap(net)(x)
        numpyro.sample("y", dist.Normal(out[..., 0], jnp.exp(out[..., 1])), obs=y)
