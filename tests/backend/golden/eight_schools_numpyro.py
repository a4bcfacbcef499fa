import numpyro
import numpyro.distributions as dist


def model(standard_errors, effect=None):
    mean = numpyro.sample("mean", dist.Normal(0.0, 5.0))
    spread = numpyro.sample("spread", dist.HalfCauchy(5.0))
    with numpyro.plate("schools", 8, dim=-1):
        offset = numpyro.sample("offset", dist.Normal(0.0, 1.0))
        true_effect = numpyro.deterministic("true_effect", mean + spread * offset)
        numpyro.sample("effect", dist.Normal(true_effect, standard_errors), obs=effect)
