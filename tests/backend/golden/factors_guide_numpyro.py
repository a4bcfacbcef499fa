import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import eqx_module

encode_network = eqx.nn.Sequential([
    eqx.nn.Linear(3, 2, key=jax.random.key(0)),
])


def model(observations):
    encode = eqx_module("encode", encode_network)
    spread = numpyro.param("spread", jnp.eye(2), constraint=dist.constraints.lower_cholesky)
    with numpyro.plate("rows", 6, dim=-1):
        numpyro.sample("z", dist.MultivariateNormal(jax.vmap(encode)(observations), scale_tril=spread))
