import pyro
import pyro.distributions as dist
import torch

net_network = networks["net"]  # your own module


def model(x, y=None):
    net = pyro.module("net", net_network)
    with pyro.plate("rows", 6, dim=-1):
        out = net(x)
        pyro.sample("y", dist.Normal(out[..., 0], torch.exp(out[..., 1])), obs=y)
