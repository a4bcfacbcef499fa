import pyro
import pyro.distributions as dist


def model(answer=None):
    people_plate = pyro.plate("people", 6, dim=-2)
    items_plate = pyro.plate("items", 4, dim=-1)
    with people_plate:
        ability = pyro.sample("ability", dist.Normal(0.0, 1.0))
    with items_plate:
        difficulty = pyro.sample("difficulty", dist.Normal(0.0, 1.0))
        discrimination = pyro.sample("discrimination", dist.LogNormal(0.0, 0.5))
    with people_plate, items_plate:
        pyro.sample("answer", dist.Bernoulli(logits=discrimination * (ability - difficulty)), obs=answer)
