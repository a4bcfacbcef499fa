import pyro
import pyro.distributions as dist
import torch

encoder_network = torch.nn.Sequential(
    torch.nn.Linear(5, 4),
    torch.nn.ReLU(),
    torch.nn.Linear(4, 4),
)


def model(images):
    encoder = pyro.module("encoder", encoder_network)
    with pyro.plate("images", 6, dim=-1):
        h = encoder(images)
        pyro.sample("z", dist.Normal(h[..., :2], torch.exp(h[..., 2:])).to_event(1))
