import pyro
import pyro.distributions as dist
import torch

decoder_network = torch.nn.Sequential(
    torch.nn.Linear(2, 4),
    torch.nn.Tanh(),
    torch.nn.Linear(4, 5),
)


def model(images, x=None):
    decoder = pyro.module("decoder", decoder_network)
    with pyro.plate("images", 6, dim=-1):
        z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)
