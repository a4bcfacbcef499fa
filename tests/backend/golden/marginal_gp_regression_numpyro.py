import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model(inputs, y=None):
    lengthscale = numpyro.sample("lengthscale", dist.LogNormal(0.0, 0.5))
    size = numpyro.sample("size", dist.HalfNormal(1.0))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    distance = jnp.abs(inputs[:, None] - inputs[None])
    t = 1.7320508075688772 * (distance / lengthscale)
    covariance = size**2 * ((t + 1.0) * jnp.exp(-t)) + noise**2 * jnp.eye(6)
    numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(6), covariance_matrix=covariance), obs=y)
