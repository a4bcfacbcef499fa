import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model(inputs, y=None):
    lengthscale = numpyro.sample("lengthscale", dist.LogNormal(0.0, 0.5))
    size = numpyro.sample("size", dist.HalfNormal(1.0))
    squared_distance = jnp.square(inputs[:, None] - inputs[None]).sum(-1)
    apart = squared_distance > 0.0
    distance = jnp.where(apart, jnp.sqrt(jnp.where(apart, squared_distance, 1.0)), 0.0)
    t = 1.7320508075688772 * (distance / lengthscale)
    covariance = size**2 * ((t + 1.0) * jnp.exp(-t)) + 0.01 * jnp.eye(6)
    f = numpyro.sample("f", dist.MultivariateNormal(jnp.zeros(6), covariance_matrix=covariance))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("rows", 6, dim=-1):
        numpyro.sample("y", dist.Normal(f, noise), obs=y)
