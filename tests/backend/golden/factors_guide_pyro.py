import pyro
import pyro.distributions as dist
import torch

encode_network = torch.nn.Sequential(
    torch.nn.Linear(3, 2),
)


def model(observations):
    encode = pyro.module("encode", encode_network)
    spread = pyro.param("spread", torch.eye(2), constraint=dist.constraints.lower_cholesky)
    with pyro.plate("rows", 6, dim=-1):
        pyro.sample("z", dist.MultivariateNormal(encode(observations), scale_tril=spread))
