import pyro
import pyro.distributions as dist


def model(series, group, height=None):
    spread = pyro.sample("spread", dist.HalfNormal(1.0))
    with pyro.plate("groups", 3, dim=-1):
        centre = pyro.sample("centre", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with pyro.plate("subjects", 6, dim=-2):
        line = pyro.sample("line", dist.Normal(centre[group[..., None]], spread).to_event(1))
        with pyro.plate("visits", 4, dim=-1):
            pyro.sample("height", dist.Normal(line[..., 0] + line[..., 1] * series, 0.5), obs=height)
