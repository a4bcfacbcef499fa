import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model(observations, x=None):
    loadings = numpyro.param("loadings", jnp.eye(3, 2))
    noise = numpyro.param("noise", jnp.ones(3), constraint=dist.constraints.positive)
    with numpyro.plate("rows", 6, dim=-1):
        z = numpyro.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        numpyro.sample("x", dist.Normal(z @ loadings.T, noise).to_event(1), obs=x)
