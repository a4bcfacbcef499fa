"""From the start of `python` to the first finished SVI step of the digits VAE (64-256-8, batch 64), in seconds.

Each repeat is a new process that imports, loads the data, builds, compiles and takes one step; the clock stops when the
step's loss is known, so the interpreter's shutdown is left out.
"""

import subprocess
import sys
import time
from functools import partial

from .harness import Block, Candidate, Case, Target
from .programs import Ran

# Every script must end by calling done() once the loss of the first step is a Python float.
PREAMBLE = """
import time
def done(loss):
    assert loss == loss
    print("\\nfirst step at", repr(time.time()))
"""

DATA = """
from sklearn.datasets import load_digits
images = (load_digits().data > 7.5).astype("float32")
"""

# Ours: from `import ppl` to one step of SVI.
CREDO = """
import ppl
from ppl import dist, nn, ops
from ppl.backend.compiled import get_backend
from ppl.inference import ELBO, SVI, Adam

@ppl.model
def vae(images, latent=8):
    decoder = nn.MLP("decoder", [latent, 256, 64], "tanh")
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)))

@ppl.model
def encoder(images, latent=8):
    net = nn.MLP("encoder", [64, 256, 2 * latent], "tanh")
    with ppl.plate("images", images) as image:
        h = net(image)
        ppl.sample("z", dist.Normal(h[:latent], ops.exp(h[latent:])))

optimizer = Adam(1e-3)
method = SVI(ELBO(analytic_kl=True), encoder(images), optimizer, batch_size=64, progress=False)
run = method.start(vae(images).observe(x=images), get_backend("BACKEND"), 0, "float32")
done(-float(run.advance(1)[0]))
"""
CREDO_NUMPYRO = CREDO.replace("BACKEND", "numpyro")
CREDO_PYRO = CREDO.replace("BACKEND", "pyro")

NUMPYRO = """
import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax.example_libraries import stax
from numpyro.infer import SVI, TraceMeanField_ELBO

rows, batch, latent = len(images), 64, 8
encoder_net = stax.serial(stax.Dense(256), stax.Tanh, stax.Dense(2 * latent))
decoder_net = stax.serial(stax.Dense(256), stax.Tanh, stax.Dense(64))

def model(x):
    decoder = numpyro.module("decoder", decoder_net, (batch, latent))
    with numpyro.plate("images", rows, subsample_size=batch):
        z = numpyro.sample("z", dist.Normal(jnp.zeros(latent), 1.0).to_event(1))
        numpyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

def guide(x):
    encoder = numpyro.module("encoder", encoder_net, (batch, 64))
    with numpyro.plate("images", rows, subsample_size=batch):
        loc, log_scale = jnp.split(encoder(x), 2, axis=1)
        numpyro.sample("z", dist.Normal(loc, jnp.exp(log_scale)).to_event(1))

svi = SVI(model, guide, numpyro.optim.Adam(1e-3), TraceMeanField_ELBO())
state = svi.init(jax.random.key(0), images[:batch])
state, loss = jax.jit(svi.update)(state, images[:batch])
done(float(loss))
"""

PYRO = """
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import SVI, TraceMeanField_ELBO
from torch import nn

rows, batch, latent = len(images), 64, 8
images = torch.from_numpy(images)
encoder = nn.Sequential(nn.Linear(64, 256), nn.Tanh(), nn.Linear(256, 2 * latent))
decoder = nn.Sequential(nn.Linear(latent, 256), nn.Tanh(), nn.Linear(256, 64))

def model(x):
    pyro.module("decoder", decoder)
    with pyro.plate("images", rows, subsample_size=batch):
        z = pyro.sample("z", dist.Normal(torch.zeros(latent), 1.0).to_event(1))
        pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

def guide(x):
    pyro.module("encoder", encoder)
    with pyro.plate("images", rows, subsample_size=batch):
        loc, log_scale = encoder(x).chunk(2, dim=1)
        pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), TraceMeanField_ELBO())
done(svi.step(images[:batch]))
"""


def process(script: str | None, steps: int) -> Block:
    """Runs the script in new processes."""
    if script is None:
        raise NotImplementedError("not yet")

    def block() -> Ran:
        seconds = 0.0
        for _ in range(steps):
            start = time.time()
            command = [sys.executable, "-c", PREAMBLE + DATA + script]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            seconds += float(output.split("first step at")[-1]) - start
        return Ran(steps, seconds=seconds)

    return block


def cases() -> list[Case]:
    """Both sides."""

    def jax_candidates() -> list[Candidate]:
        return [
            Candidate("Credo", partial(process, CREDO_NUMPYRO), 1),
            Candidate("NumPyro SVI", partial(process, NUMPYRO), 1),
        ]

    def torch_candidates() -> list[Candidate]:
        return [
            Candidate("Credo", partial(process, CREDO_PYRO), 1),
            Candidate("Pyro SVI", partial(process, PYRO), 1),
        ]

    def target(peer: str) -> tuple[Target, ...]:
        return (Target("Credo", peer, 0.5, "seconds more"),)

    return [
        Case("first step, JAX", "process", 2, jax_candidates, target("NumPyro SVI"), unit="start", rounds=7),
        Case("first step, torch", "process", 2, torch_candidates, target("Pyro SVI"), unit="start", rounds=7),
    ]
