"""Our side of the comparisons: the models in Credo's language, and blocks of emitted steps."""

# Models are written as users write them: the names in them are symbolic values.
# pyright: reportArgumentType=false, reportCallIssue=false, reportOperatorIssue=false, reportIndexIssue=false

from collections.abc import Mapping
from typing import Any

import numpy as np

import ppl
from ppl import dist, nn, ops
from ppl.backend.compiled import get_backend
from ppl.inference import ELBO, SVI, Adam, AutoNormal
from ppl.inference.mcmc.nuts import Unconstrained

from .harness import Block
from .peers import INITIAL_SCALE, SEED, numpyro_nuts
from .programs import Ran


def svi_block(program: ppl.Program, method: SVI, backend: str, steps: int) -> Block:
    """A block of `steps` steps of a fit, without the draws that `ppl.infer` makes at the end."""
    run = method.start(program, get_backend(backend), SEED, "float32")

    def block() -> Ran:
        objective = run.advance(steps)
        return Ran(steps, -objective)

    return block


def mean_field(
    program: ppl.Program,
    backend: str,
    steps: int,
    rate: float,
    *,
    compile: bool = False,
    init: Mapping[str, Any] | None = None,
) -> Block:
    """AutoNormal as the peers have it: started at zero in unconstrained space, one draw, Adam."""
    guide = AutoNormal(init_scale=INITIAL_SCALE, init_radius=0.0, init=init)
    return svi_block(program, SVI(guide=guide, optimizer=Adam(rate), compile=compile, progress=False), backend, steps)


@ppl.model
def eight_schools(sigma):
    mu = ppl.sample("mu", dist.Normal(0.0, 5.0))
    tau = ppl.sample("tau", dist.HalfCauchy(5.0))
    with ppl.plate("schools", sigma) as s:
        raw = ppl.sample("raw", dist.Normal(0.0, 1.0))
        ppl.sample("y", dist.Normal(mu + tau * raw, s))


@ppl.model
def regression(x):
    weights = ppl.sample("weights", dist.Normal(0.0, 1.0).expand([x.shape[1]]))
    intercept = ppl.sample("intercept", dist.Normal(0.0, 1.0))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("rows", x) as row:
        ppl.sample("y", dist.Normal(row @ weights + intercept, noise))


@ppl.model
def mixture(clusters: int, rows: int):
    weights = ppl.sample("weights", dist.Dirichlet(ops.ones(clusters)))
    with ppl.plate("clusters", size=clusters):
        centre = ppl.sample("centre", dist.Normal(0.0, 5.0).expand([2]))
    with ppl.plate("points", size=rows):
        ppl.sample("x", dist.MixtureSameFamily(dist.Categorical(probs=weights), dist.Normal(centre, 1.0)))


@ppl.model
def hierarchical(county, floor, counties: int):
    intercept_mean = ppl.sample("intercept_mean", dist.Normal(0.0, 1.0))
    slope_mean = ppl.sample("slope_mean", dist.Normal(0.0, 1.0))
    intercept_scale = ppl.sample("intercept_scale", dist.HalfNormal(1.0))
    slope_scale = ppl.sample("slope_scale", dist.HalfNormal(1.0))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("counties", size=counties):
        intercept_raw = ppl.sample("intercept_raw", dist.Normal(0.0, 1.0))
        slope_raw = ppl.sample("slope_raw", dist.Normal(0.0, 1.0))
        intercept = intercept_mean + intercept_scale * intercept_raw
        slope = slope_mean + slope_scale * slope_raw
    with ppl.plate("rows", (county, floor)) as (c, f):
        ppl.sample("y", dist.Normal(intercept[c] + slope[c] * f, noise))


@ppl.model
def vae(images, hidden: int, latent: int):
    decoder = nn.MLP("decoder", [latent, hidden, images.shape[1]], "tanh")
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)))


@ppl.model
def encoder(images, hidden: int, latent: int):
    net = nn.MLP("encoder", [images.shape[1], hidden, 2 * latent], "tanh")
    with ppl.plate("images", images) as image:
        h = net(image)
        ppl.sample("z", dist.Normal(h[:latent], ops.exp(h[latent:])))


def vae_block(problem: Any, backend: str, steps: int, rate: float, *, compile: bool = False) -> Block:
    """A block of minibatch steps, started from the problem's weights."""
    images = problem.images
    program = vae(images, problem.hidden, problem.latent).observe(x=images)
    method = SVI(
        objective=ELBO(analytic_kl=problem.analytic),
        guide=encoder(images, problem.hidden, problem.latent),
        optimizer=Adam(rate),
        batch_size=problem.batch,
        # The second layer of our networks is the third module of a torch.nn.Sequential.
        params={k.replace(".1.", ".2."): v for k, v in problem.weights().items()},
        compile=compile,
        progress=False,
    )
    return svi_block(program, method, backend, steps)


def nuts_block(program: ppl.Program, draws: int, *, chains: int = 1) -> Block:
    """NumPyro's NUTS on our density as `ppl.infer` runs it: a function of one unconstrained vector, started at zero."""
    from ppl.backend.numpyro import FlatPotential

    target = Unconstrained(ppl.compile(program, "numpyro"))
    flat = FlatPotential(target.function, target.shapes, {}, target.model.bind(target.emitted))
    return numpyro_nuts(None, (), draws, chains=chains, potential=flat, initial=np.zeros(flat.ends[-1], np.float32))


def native_model(program: ppl.Program, backend: str) -> tuple[Any, tuple[Any, ...]]:
    """The emitted native model and its arguments, in order."""
    compiled = ppl.compile(program, backend)
    data = {k: np.asarray(v) for k, v in compiled.model_data.items()}
    return compiled.model, tuple(data.values())
