import pyro
import pyro.distributions as dist
import torch


def model(inputs, y=None):
    lengthscale = pyro.sample("lengthscale", dist.LogNormal(0.0, 0.5))
    size = pyro.sample("size", dist.HalfNormal(1.0))
    noise = pyro.sample("noise", dist.HalfNormal(1.0))
    distance = torch.abs(inputs[:, None] - inputs[None])
    t = 1.7320508075688772 * (distance / lengthscale)
    covariance = size**2 * ((t + 1.0) * torch.exp(-t)) + noise**2 * torch.eye(6)
    pyro.sample("y", dist.MultivariateNormal(torch.zeros(6), covariance_matrix=covariance), obs=y)
