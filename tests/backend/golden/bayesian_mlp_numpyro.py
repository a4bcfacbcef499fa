import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist


def model(X, y=None):
    network_0_weight = numpyro.sample("network.0.weight", dist.Normal(0.0, 1.0).expand([4, 3]).to_event(2))
    network_0_bias = numpyro.sample("network.0.bias", dist.Normal(0.0, 1.0).expand([4]).to_event(1))
    network_2_weight = numpyro.sample("network.2.weight", dist.Normal(0.0, 1.0).expand([1, 4]).to_event(2))
    network_2_bias = numpyro.sample("network.2.bias", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
    noise = numpyro.sample("noise", dist.HalfNormal(1.0))
    with numpyro.plate("rows", 6, dim=-1):
        t = (jnp.tanh(X @ network_0_weight.T + network_0_bias) @ network_2_weight.T + network_2_bias)[..., 0] / 2.0
        mean = numpyro.deterministic("mean", t)
        numpyro.sample("y", dist.Normal(mean, noise), obs=y)
