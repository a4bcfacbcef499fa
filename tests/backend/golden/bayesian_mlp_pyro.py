import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F


def model(X, y=None):
    network_0_weight = pyro.sample("network.0.weight", dist.Normal(0.0, 1.0).expand([4, 3]).to_event(2))
    network_0_bias = pyro.sample("network.0.bias", dist.Normal(0.0, 1.0).expand([4]).to_event(1))
    network_2_weight = pyro.sample("network.2.weight", dist.Normal(0.0, 1.0).expand([1, 4]).to_event(2))
    network_2_bias = pyro.sample("network.2.bias", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
    noise = pyro.sample("noise", dist.HalfNormal(1.0))
    with pyro.plate("rows", 6, dim=-1):
        t = F.linear(
            torch.tanh(F.linear(X, network_0_weight, network_0_bias)), network_2_weight, network_2_bias
        )
        mean = pyro.deterministic("mean", t[..., 0] / 2.0, event_dim=0)
        pyro.sample("y", dist.Normal(mean, noise), obs=y)
