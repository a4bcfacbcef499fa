import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import eqx_module

decoder_network = eqx.nn.Sequential([
    eqx.nn.Linear(2, 4, key=jax.random.key(0)),
    eqx.nn.Lambda(jnp.tanh),
    eqx.nn.Linear(4, 5, key=jax.random.key(2)),
])


def model(images, x=None):
    decoder = eqx_module("decoder", decoder_network)
    with numpyro.plate("images", 6, dim=-1):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.sample("x", dist.Bernoulli(logits=jax.vmap(decoder)(z)).to_event(1), obs=x)
