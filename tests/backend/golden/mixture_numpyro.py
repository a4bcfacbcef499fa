import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model(points):
    weights = numpyro.sample("weights", dist.Dirichlet(jnp.ones(3)))
    with numpyro.plate("components", 3, dim=-1):
        mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
        scale = numpyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with numpyro.plate("points", 6, dim=-1):
        numpyro.factor(
            "likelihood",
            jax.nn.logsumexp(jnp.log(weights) + dist.Normal(mean, scale).log_prob(points[..., None]), -1),
        )
