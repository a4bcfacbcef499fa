"""Emitted models under the libraries' own tools: SVI with an automatic guide, NUTS, Predictive."""

from __future__ import annotations

import jax
import numpy as np
import numpyro
import pyro
import pyro.infer
import pyro.ops.stats
import pyro.optim
import pytest
import torch
from numpyro.infer import autoguide as numpyro_autoguide
from pyro.infer import autoguide as pyro_autoguide

import ppl
from ppl import dist
from ppl.backend.compiled import Compiled
from tests.budget import assert_mean, assert_variance, sigmas

RNG = np.random.default_rng(11)
Y = RNG.normal(1.0, 1.0, size=8).astype(np.float32)
# x ~ N(0, 1), y_i ~ N(x, 1): the posterior is normal with this mean and variance.
VARIANCE = 1.0 / (1.0 + len(Y))
MEAN = VARIANCE * float(Y.sum())


@ppl.model
def location(size: int = 8):
    x = ppl.sample("x", dist.Normal(0.0, 1.0))
    ppl.deterministic("double", 2.0 * x)
    with ppl.plate("rows", size=size):
        ppl.sample("y", dist.Normal(x, 1.0))


@pytest.fixture(scope="module", params=["numpyro", "pyro"])
def compiled(request: pytest.FixtureRequest) -> Compiled:
    return ppl.compile(location().observe(y=Y), request.param)


def test_nuts(compiled) -> None:
    if compiled.backend.name == "numpyro":
        mcmc = numpyro.infer.MCMC(
            numpyro.infer.NUTS(compiled.model), num_warmup=300, num_samples=2000, progress_bar=False
        )
        mcmc.run(jax.random.key(0), **compiled.model_data)
        draws = np.asarray(mcmc.get_samples()["x"])
        effective = float(numpyro.diagnostics.effective_sample_size(draws[None]))
    else:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        sampler = pyro.infer.MCMC(
            pyro.infer.NUTS(compiled.model), warmup_steps=100, num_samples=300, disable_progbar=True
        )
        sampler.run(**compiled.model_data)
        draws = sampler.get_samples()["x"].numpy()
        effective = float(pyro.ops.stats.effective_sample_size(torch.as_tensor(draws)[None], 0, 1))
    assert_mean(draws, MEAN, effective)
    assert_variance(draws, VARIANCE, min(effective, float(len(draws))))


def test_svi_with_an_automatic_guide(compiled) -> None:
    if compiled.backend.name == "numpyro":
        guide = numpyro_autoguide.AutoNormal(compiled.model)
        rate = numpyro.optim.optax_to_numpyro(_falling())
        svi = numpyro.infer.SVI(compiled.model, guide, rate, numpyro.infer.Trace_ELBO(num_particles=8))
        result = svi.run(jax.random.key(0), 2000, progress_bar=False, **compiled.model_data)
        loc = float(result.params["x_auto_loc"])
        scale = float(result.params["x_auto_scale"])
    else:
        pyro.clear_param_store()
        pyro.set_rng_seed(0)
        guide = pyro_autoguide.AutoNormal(compiled.model)
        optimizer = pyro.optim.ExponentialLR(  # pyright: ignore[reportAttributeAccessIssue]
            {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.05}, "gamma": 0.01 ** (1 / 600)}
        )
        svi = pyro.infer.SVI(compiled.model, guide, optimizer, pyro.infer.Trace_ELBO(num_particles=4))
        for _ in range(600):
            svi.step(**compiled.model_data)
            optimizer.step()
        loc = guide.locs.x.item()
        scale = guide.scales.x.item()
    # What the last, small steps leave behind: some hundredths of a posterior standard deviation.
    assert abs(loc - MEAN) < 0.05 * VARIANCE**0.5
    assert abs(scale / VARIANCE**0.5 - 1.0) < 0.05


def _falling():
    import optax

    return optax.adam(optax.exponential_decay(0.05, 2000, 0.01))


def test_predictive(compiled) -> None:
    """Prior predictive draws of the native model have the model's own moments; deterministic sites come along."""
    prior = ppl.compile(location(), compiled.backend.name)
    count = 2000
    if compiled.backend.name == "numpyro":
        sampler = numpyro.infer.Predictive(prior.model, num_samples=count)
        draws = {k: np.asarray(v) for k, v in sampler(jax.random.key(1), **prior.model_data).items()}
    else:
        pyro.set_rng_seed(1)
        sampler = pyro.infer.Predictive(prior.model, num_samples=count)
        draws = {k: v.numpy() for k, v in sampler(**prior.model_data).items()}
    assert draws["y"].reshape(count, -1).shape == (count, 8)
    np.testing.assert_allclose(draws["double"].ravel(), 2.0 * draws["x"].ravel(), rtol=1e-6)
    y = draws["y"].reshape(count, -1)
    assert_mean(y, 0.0)
    assert_variance(y, 2.0)
    # Rows share x: their covariance is its variance, 1; the covariance of two N(0, 2) has variance (4 + 1) / count.
    covariance = np.cov(y[:, 0], y[:, 1])[0, 1]
    assert abs(covariance - 1.0) < sigmas() * np.sqrt(5.0 / count)


def test_emitted_source_shows_in_tracebacks(compiled) -> None:
    """A failure inside an emitted function shows its line, as for any source file."""
    import linecache

    function = compiled.density[1]
    emitted = compiled.density[0]
    names = [n for n in linecache.cache if n.startswith("<credo location")]
    assert function is not None and emitted.source
    assert any(emitted.source == "".join(linecache.getlines(n)) for n in names)
