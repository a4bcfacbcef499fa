import pyro
import pyro.distributions as dist


def model(standard_errors, effect=None):
    mean = pyro.sample("mean", dist.Normal(0.0, 5.0))
    spread = pyro.sample("spread", dist.HalfCauchy(5.0))
    with pyro.plate("schools", 8, dim=-1):
        offset = pyro.sample("offset", dist.Normal(0.0, 1.0))
        true_effect = pyro.deterministic("true_effect", mean + spread * offset, event_dim=0)
        pyro.sample("effect", dist.Normal(true_effect, standard_errors), obs=effect)
