import pyro
import pyro.distributions as dist
import torch


def model(inputs, y=None):
    lengthscale = pyro.sample("lengthscale", dist.LogNormal(0.0, 0.5))
    size = pyro.sample("size", dist.HalfNormal(1.0))
    squared_distance = torch.square(inputs[:, None] - inputs[None]).sum(-1)
    apart = squared_distance > 0.0
    distance = torch.where(apart, torch.sqrt(torch.where(apart, squared_distance, 1.0)), 0.0)
    t = 1.7320508075688772 * (distance / lengthscale)
    covariance = size**2 * ((t + 1.0) * torch.exp(-t)) + 0.01 * torch.eye(6)
    f = pyro.sample("f", dist.MultivariateNormal(torch.zeros(6), covariance_matrix=covariance))
    noise = pyro.sample("noise", dist.HalfNormal(1.0))
    with pyro.plate("rows", 6, dim=-1):
        pyro.sample("y", dist.Normal(f, noise), obs=y)
