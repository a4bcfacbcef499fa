"""Fits without inference: conjugate models whose posterior is drawn from by numpy.

Where a test is not about a backend they are on pyro: torch runs small functions without compiling them first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

import ppl
from ppl import dist, nn, ops
from ppl.posterior.methods import register
from ppl.posterior.posterior import Posterior
from ppl.program.program import Program

PRIOR_SD, NOISE_SD = 2.0, 1.0


def present(array: np.ndarray | None) -> np.ndarray:
    """An optional field that this fit has."""
    assert array is not None
    return array


@register
@dataclass(frozen=True)
class Step:
    """A setting that is a dataclass itself."""

    size: float = 0.1


@register
@dataclass(frozen=True)
class Exact:
    """The method of these fits: exact draws."""

    draws: int = 500
    step: Step = field(default_factory=Step)
    guide: Program | None = None
    sizes: tuple[int, ...] = (1, 2)


@ppl.model
def centre(rows: int):
    mu = ppl.sample("mu", dist.Normal(0.0, PRIOR_SD))
    ppl.deterministic("double", 2.0 * mu)
    with ppl.plate("rows", size=rows):
        ppl.sample("y", dist.Normal(mu, NOISE_SD))


def data(count: int = 12, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.7, 1.0, count)


def centre_moments(y: np.ndarray) -> tuple[float, float]:
    """Exact posterior mean and standard deviation of mu."""
    precision = 1.0 / PRIOR_SD**2 + len(y) / NOISE_SD**2
    return float(y.sum() / NOISE_SD**2 / precision), float(precision**-0.5)


def normal_log_density(x: np.ndarray, mean: np.ndarray | float, sd: float) -> np.ndarray:
    return -0.5 * ((x - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def centre_log_joint(mu: np.ndarray, y: np.ndarray) -> np.ndarray:
    return normal_log_density(mu, 0.0, PRIOR_SD) + normal_log_density(y, mu[..., None], NOISE_SD).sum(-1)


def centre_fit(chains: int = 4, draws: int = 500, y: np.ndarray | None = None, **facts) -> Posterior:
    """Exact posterior draws of `centre`."""
    y = data() if y is None else y
    mean, sd = centre_moments(y)
    mu = np.random.default_rng(1).normal(mean, sd, (chains, draws))
    settings = {"method": Exact(), "backend": "pyro", "precision": "float64", "seed": 3} | facts
    return Posterior(centre(len(y)).observe(y=y), draws={"mu": mu, "double": 2 * mu}, **settings)


@ppl.model
def centre_guide(rows: int):
    loc = ppl.param("loc", 0.0)
    scale = ppl.param("scale", 1.0, support=dist.support.positive)
    ppl.sample("mu", dist.Normal(loc, scale))


def centre_approximation(draws: int = 2000, shift: float = 0.0, widen: float = 1.5) -> Posterior:
    """Draws of a normal guide that misses the posterior by a shift and a factor, with log p and log q."""
    y = data()
    mean, sd = centre_moments(y)
    loc, scale = mean + shift * sd, sd * widen
    mu = np.random.default_rng(2).normal(loc, scale, (1, draws))
    return Posterior(
        centre(len(y)).observe(y=y),
        Exact(),
        backend="pyro",
        precision="float64",
        draws={"mu": mu, "double": 2 * mu},
        params={"loc": np.array(loc), "scale": np.array(scale)},
        log_p=centre_log_joint(mu, y),
        log_q=normal_log_density(mu, loc, scale),
        guide=centre_guide(len(y)),
        diagnostics={"objective": np.linspace(-100.0, -20.0, 400)},
    )


def centre_weighted(draws: int = 4000) -> Posterior:
    """Draws of the prior with importance weights."""
    y = data()
    mu = np.random.default_rng(4).normal(0.0, PRIOR_SD, (2, draws // 2))
    weights = normal_log_density(y, mu[..., None], NOISE_SD).sum(-1)
    top = weights.max()
    return Posterior(
        centre(len(y)).observe(y=y),
        Exact(),
        backend="pyro",
        precision="float64",
        draws={"mu": mu, "double": 2 * mu},
        log_weights=weights,
        log_evidence=float(top + np.log(np.mean(np.exp(weights - top)))),
    )


@ppl.model
def regression(X, group, groups: int = 3):
    slope = ppl.sample("slope", dist.Normal(0.0, 1.0).expand([2]), dims=("feature",))
    with ppl.plate("groups", size=groups):
        intercept = ppl.sample("intercept", dist.Normal(0.0, 1.0))
    with ppl.plate("rows", (X, group)) as (x, g):
        mean = ppl.deterministic("mean", x @ slope + intercept[g])
        own = ppl.sample("own", dist.Normal(0.0, 0.1))
        ppl.sample("y", dist.Normal(mean + own, 0.5))


def regression_inputs(rows: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"X": rng.normal(size=(rows, 2)), "group": rng.integers(0, 3, rows)}


def regression_fit(backend: str = "pyro", draws: int = 200, **facts) -> Posterior:
    """Some draws of `regression`; not its posterior, which the tests on predictions do not need."""
    inputs, rng = regression_inputs(), np.random.default_rng(5)
    program = regression(**inputs).observe(y=rng.normal(size=6))
    slope, intercept = rng.normal(size=(2, draws, 2)), rng.normal(size=(2, draws, 3))
    mean = np.einsum("nf,cdf->cdn", inputs["X"], slope) + intercept[..., inputs["group"]]
    # These local latents are far from what the model would draw, so that it shows where they came from.
    own = rng.normal(10.0, 0.1, size=(2, draws, 6))
    values = {"slope": slope, "intercept": intercept, "mean": mean, "own": own}
    return Posterior(program, Exact(), backend=backend, precision="float64", draws=values, **facts)


@ppl.model
def factors(images, latent: int = 2):
    decoder = nn.Linear("decoder", latent, 3)
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]), dims=("code",))
        ppl.sample("x", dist.Normal(decoder(z), 0.1))


@ppl.model
def encoder(images, latent: int = 2):
    net = nn.Linear("encoder", 3, 2 * latent)
    with ppl.plate("images", images) as image:
        h = net(image)
        ppl.sample("z", dist.Normal(h[:latent], 0.01 * ops.exp(0.0 * h[latent:])))


def factors_fit(backend: str = "pyro", draws: int = 50) -> Posterior:
    """A small autoencoder whose encoder has known weights."""
    rng = np.random.default_rng(6)
    images = rng.normal(size=(5, 3))
    program, guide = factors(images).observe(x=images), encoder(images)
    params = {
        "decoder.0.weight": rng.normal(size=(3, 2)),
        "decoder.0.bias": rng.normal(size=3),
        "encoder.0.weight": rng.normal(size=(4, 3)),
        "encoder.0.bias": rng.normal(size=4),
    }
    z = factors_code(params, images) + 0.01 * rng.normal(size=(1, draws, 5, 2))
    return Posterior(
        program,
        Exact(guide=guide),
        backend=backend,
        draws={"z": z.astype(np.float32)},
        params=params,
        guide=guide,
        log_p=np.zeros((1, draws)),
        log_q=rng.normal(size=(1, draws)),
    )


def factors_code(params: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    """What the encoder makes of images: the mean of z."""
    return (images @ params["encoder.0.weight"].T + params["encoder.0.bias"])[:, :2]
