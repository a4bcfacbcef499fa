import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import eqx_module

encoder_network = eqx.nn.Sequential([
    eqx.nn.Linear(5, 4, key=jax.random.key(0)),
    eqx.nn.Lambda(jax.nn.relu),
    eqx.nn.Linear(4, 4, key=jax.random.key(2)),
])


def model(images):
    encoder = eqx_module("encoder", encoder_network)
    with numpyro.plate("images", 6, dim=-1):
        h = jax.vmap(encoder)(images)
        numpyro.sample("z", dist.Normal(h[..., :2], jnp.exp(h[..., 2:])).to_event(1))
