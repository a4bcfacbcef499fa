import numpyro
import numpyro.distributions as dist


def model(X, y=None):
    intercept = numpyro.sample("intercept", dist.Normal(0.0, 2.5))
    slopes = numpyro.sample("slopes", dist.Normal(0.0, 2.5).expand([3]).to_event(1))
    noise = numpyro.sample("noise", dist.Exponential(1.0))
    with numpyro.plate("rows", 6, dim=-1):
        numpyro.sample("y", dist.Normal(intercept + X @ slopes, noise), obs=y)
