import numpyro
import numpyro.distributions as dist


def model(series, group, height=None):
    spread = numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("groups", 3, dim=-1):
        centre = numpyro.sample("centre", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
    with numpyro.plate("subjects", 6, dim=-2):
        line = numpyro.sample("line", dist.Normal(centre[group[..., None]], spread).to_event(1))
        with numpyro.plate("visits", 4, dim=-1):
            numpyro.sample("height", dist.Normal(line[..., 0] + line[..., 1] * series, 0.5), obs=height)
