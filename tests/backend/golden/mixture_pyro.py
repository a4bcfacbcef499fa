import pyro
import pyro.distributions as dist
import torch


def model(points):
    weights = pyro.sample("weights", dist.Dirichlet(torch.ones(3)))
    with pyro.plate("components", 3, dim=-1):
        mean = pyro.sample("mean", dist.Normal(0.0, 5.0))
        scale = pyro.sample("scale", dist.LogNormal(0.0, 1.0))
    with pyro.plate("points", 6, dim=-1):
        pyro.factor(
            "likelihood",
            torch.logsumexp(torch.log(weights) + dist.Normal(mean, scale).log_prob(points[..., None]), -1),
        )
