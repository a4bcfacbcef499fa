import pyro
import pyro.distributions as dist


def model(X, y=None):
    intercept = pyro.sample("intercept", dist.Normal(0.0, 2.5))
    slopes = pyro.sample("slopes", dist.Normal(0.0, 2.5).expand([3]).to_event(1))
    noise = pyro.sample("noise", dist.Exponential(1.0))
    with pyro.plate("rows", 6, dim=-1):
        pyro.sample("y", dist.Normal(intercept + X @ slopes, noise), obs=y)
