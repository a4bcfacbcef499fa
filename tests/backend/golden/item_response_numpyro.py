import numpyro
import numpyro.distributions as dist


def model(answer=None):
    people_plate = numpyro.plate("people", 6, dim=-2)
    items_plate = numpyro.plate("items", 4, dim=-1)
    with people_plate:
        ability = numpyro.sample("ability", dist.Normal(0.0, 1.0))
    with items_plate:
        difficulty = numpyro.sample("difficulty", dist.Normal(0.0, 1.0))
        discrimination = numpyro.sample("discrimination", dist.LogNormal(0.0, 0.5))
    with people_plate, items_plate:
        numpyro.sample("answer", dist.Bernoulli(logits=discrimination * (ability - difficulty)), obs=answer)
