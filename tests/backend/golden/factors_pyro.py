import pyro
import pyro.distributions as dist
import torch


def model(observations, x=None):
    loadings = pyro.param("loadings", torch.eye(3, 2))
    noise = pyro.param("noise", torch.ones(3), constraint=dist.constraints.positive)
    with pyro.plate("rows", 6, dim=-1):
        z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        pyro.sample("x", dist.Normal(z @ loadings.T, noise).to_event(1), obs=x)
