"""One step of stochastic variational inference for a VAE, minibatch by minibatch.

Networks with one hidden layer and tanh: pixels-hidden-(2 × latent) and latent-hidden-pixels, sizes 784-400-20 and
64-256-8. Bernoulli pixels (grey values cut at the middle of their range), standard normal prior, guide
Normal(h[:latent], exp(h[latent:])). The loss is the whole data set's negative ELBO, one particle, in nats: the
minibatch's sum times rows / batch. Adam, 1e-3. All candidates start from the same weights. The peers see the same
minibatches, whose row numbers are computed before the clock starts; Credo permutes the rows of each epoch itself, on
the clock. The rows are gathered inside the step.
"""

import gzip
import math
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from .harness import Block, Candidate, Case, Target
from .peers import SEED, numpyro_svi, pyro_svi, raw_jax, raw_torch, schedule

LEARNING_RATE = 1e-3
# Early in training the losses of two runs with different noise differ by some parts in a thousand.
CHECK = {"check_steps": 400, "check_slack": 0.01}
MNIST = Path(__file__).parents[2] / "shared/data/mnist/train-images-idx3-ubyte.gz"


@dataclass(frozen=True)
class Problem:
    """What every candidate is given."""

    dataset: str
    hidden: int
    latent: int
    batch: int
    analytic: bool  # closed-form KL; otherwise log p(z) - log q(z) at the draw

    @property
    def images(self) -> np.ndarray:
        """Binary images as float32, [rows, pixels]."""
        return load(self.dataset)

    def weights(self) -> dict[str, np.ndarray]:
        """Initial weights, `weight` [out, in] and `bias` [out] for each layer, as torch and equinox store them."""
        rng = np.random.default_rng(SEED)
        pixels = self.images.shape[1]
        sizes = {
            "encoder.0": (self.hidden, pixels),
            "encoder.1": (2 * self.latent, self.hidden),
            "decoder.0": (self.hidden, self.latent),
            "decoder.1": (pixels, self.hidden),
        }
        weights = {}
        for layer, (out, into) in sizes.items():
            bound = 1 / math.sqrt(into)
            weights[f"{layer}.weight"] = rng.uniform(-bound, bound, (out, into)).astype(np.float32)
            weights[f"{layer}.bias"] = np.zeros(out, np.float32)
        return weights

    def indices(self, steps: int) -> np.ndarray:
        """Row numbers of each step, [steps, batch]."""
        return schedule(len(self.images), self.batch, steps)


@cache
def load(dataset: str) -> np.ndarray:
    """MNIST's training images if they are there, else random ones of the same size; scikit-learn's digits."""
    if dataset == "digits":
        from sklearn.datasets import load_digits

        images, _ = load_digits(return_X_y=True)
        return (np.asarray(images) > 7.5).astype(np.float32)
    if dataset == "mnist":
        with gzip.open(MNIST) as file:
            return (np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784) > 127).astype(np.float32)
    return (np.random.default_rng(SEED).random((60_000, 784), np.float32) < 0.13).astype(np.float32)


# --- ours --------------------------------------------------------------------------------------------------------


def credo_jax(problem: Problem, steps: int) -> Block:
    """Our emitted step on JAX: a block of `steps` steps, fused, returning `Ran(steps, losses)`."""
    from . import ours

    return ours.vae_block(problem, "numpyro", steps, LEARNING_RATE)


def credo_torch(problem: Problem, steps: int, *, compile: bool = False) -> Block:
    """Our emitted step on torch, eager or compiled."""
    from . import ours

    return ours.vae_block(problem, "pyro", steps, LEARNING_RATE, compile=compile)


# --- peers -------------------------------------------------------------------------------------------------------


def peer_raw_jax(problem: Problem, steps: int, *, fused: bool = True) -> Block:
    """Plain JAX and optax, weights stored [in, out]."""
    import jax
    import jax.numpy as jnp

    rows = len(problem.images)
    weights = {k: w.T if w.ndim == 2 else w for k, w in problem.weights().items()}

    def network(params, name, x):
        hidden = jnp.tanh(x @ params[f"{name}.0.weight"] + params[f"{name}.0.bias"])
        return hidden @ params[f"{name}.1.weight"] + params[f"{name}.1.bias"]

    def loss(params, key, images, index):
        x = images[index]
        loc, log_scale = jnp.split(network(params, "encoder", x), 2, axis=1)
        scale = jnp.exp(log_scale)
        noise = jax.random.normal(key, loc.shape)
        z = loc + scale * noise
        logits = network(params, "decoder", z)
        # softplus written out: jax.nn's goes through logaddexp, whose care for infinities costs a few per cent here
        log_likelihood = jnp.sum(x * logits - jnp.maximum(logits, 0.0) - jnp.log1p(jnp.exp(-jnp.abs(logits))))
        if problem.analytic:
            kl = jnp.sum(0.5 * (loc**2 + scale**2 - 1) - log_scale)
        else:
            kl = jnp.sum(0.5 * (z**2 - noise**2) - log_scale)
        return (kl - log_likelihood) * (rows / problem.batch)

    return raw_jax(
        loss,
        weights,
        problem.images,
        steps,
        learning_rate=LEARNING_RATE,
        indices=problem.indices(steps),
        fused=fused,
    )


def peer_numpyro(problem: Problem, steps: int) -> Block:
    """NumPyro with `numpyro.module` networks; XLA drops the row numbers that the plate draws: nothing uses them."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    rows, latent, batch = len(problem.images), problem.latent, problem.batch
    weights = problem.weights()

    def mlp(name):
        def init(key, shape):
            layers = [(weights[f"{name}.{i}.weight"].T, weights[f"{name}.{i}.bias"]) for i in range(2)]
            return None, [(jnp.array(w), jnp.array(b)) for w, b in layers]

        def apply(params, x):
            (w0, b0), (w1, b1) = params
            return jnp.tanh(x @ w0 + b0) @ w1 + b1

        return init, apply

    def model(x):
        decoder = numpyro.module("decoder", mlp("decoder"), (batch, latent))
        with numpyro.plate("images", rows, subsample_size=batch):
            z = numpyro.sample("z", dist.Normal(jnp.zeros(latent), 1.0).to_event(1))
            numpyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x):
        encoder = numpyro.module("encoder", mlp("encoder"), x.shape)
        with numpyro.plate("images", rows, subsample_size=batch):
            loc, log_scale = jnp.split(encoder(x), 2, axis=1)
            numpyro.sample("z", dist.Normal(loc, jnp.exp(log_scale)).to_event(1))

    elbo = numpyro.infer.TraceMeanField_ELBO() if problem.analytic else numpyro.infer.Trace_ELBO()
    return numpyro_svi(
        model,
        guide,
        elbo,
        (problem.images,),
        steps,
        learning_rate=LEARNING_RATE,
        indices=problem.indices(steps),
    )


def peer_raw_torch(problem: Problem, steps: int, *, compile: bool = False) -> Block:
    """Plain torch with functional layers."""
    import torch
    import torch.nn.functional as F

    rows, shape = len(problem.images), (problem.batch, problem.latent)

    def loss(weights, noise, images, index):
        e0, eb0, e1, eb1, d0, db0, d1, db1 = weights
        x = images[index]
        loc, log_scale = F.linear(torch.tanh(F.linear(x, e0, eb0)), e1, eb1).chunk(2, dim=1)
        scale = log_scale.exp()
        z = torch.addcmul(loc, scale, noise)
        logits = F.linear(torch.tanh(F.linear(z, d0, db0)), d1, db1)
        distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        if problem.analytic:
            kl = 0.5 * (loc.square() + scale.square() - 1).sum() - log_scale.sum()
        else:
            kl = 0.5 * (z.square() - noise.square()).sum() - log_scale.sum()
        return (distortion + kl) * (rows / problem.batch)

    return raw_torch(
        loss,
        list(problem.weights().values()),
        shape,
        torch.from_numpy(problem.images),
        steps,
        learning_rate=LEARNING_RATE,
        indices=problem.indices(steps),
        compile=compile,
    )


def peer_pyro(problem: Problem, steps: int) -> Block:
    """Pyro with `torch.nn` networks and validation off."""
    import pyro
    import pyro.distributions as dist
    import torch
    from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
    from torch import nn

    rows, latent = len(problem.images), problem.latent
    weights = {k: torch.from_numpy(w) for k, w in problem.weights().items()}

    def mlp(name):
        layers = []
        for i in range(2):
            out, into = weights[f"{name}.{i}.weight"].shape
            layers.append(nn.Linear(into, out))
            layers[i].load_state_dict({k: weights[f"{name}.{i}.{k}"] for k in ("weight", "bias")})
        return nn.Sequential(layers[0], nn.Tanh(), layers[1])

    encoder, decoder = mlp("encoder"), mlp("decoder")
    zero, one = torch.zeros(latent), torch.ones(latent)

    def model(images, index):
        pyro.module("decoder", decoder)
        with pyro.plate("images", rows, subsample=index):
            z = pyro.sample("z", dist.Normal(zero, one).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=images[index])

    def guide(images, index):
        pyro.module("encoder", encoder)
        with pyro.plate("images", rows, subsample=index):
            loc, log_scale = encoder(images[index]).chunk(2, dim=1)
            pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

    elbo = TraceMeanField_ELBO() if problem.analytic else Trace_ELBO()
    return pyro_svi(
        model,
        guide,
        elbo,
        (torch.from_numpy(problem.images),),
        steps,
        learning_rate=LEARNING_RATE,
        indices=problem.indices(steps),
    )


# --- cases -------------------------------------------------------------------------------------------------------


def cases() -> list[Case]:
    """Both sizes; batches 64, 256 and 1024 with closed-form KL, 256 also without."""
    big = "mnist" if MNIST.exists() else "random images (no MNIST here)"
    made = []
    for dataset, hidden, latent, rows_per_block in (("digits", 256, 8, 50_000), (big, 400, 20, 10_000)):
        for batch, analytic in ((64, True), (256, True), (1024, True), (256, False)):
            problem = Problem(dataset, hidden, latent, batch, analytic)
            made += [jax_case(problem, rows_per_block // batch), torch_case(problem, rows_per_block // batch)]
    return made


def title(problem: Problem) -> str:
    """A case's name without its framework."""
    return f"{problem.dataset}, batch {problem.batch}, {'closed-form' if problem.analytic else 'Monte Carlo'} KL"


def memory_targets(problem: Problem, peer: str) -> tuple[Target, ...]:
    """At the largest batch: of the process, and of what setup and steps add to framework and data."""
    if problem.batch < 1024:
        return ()
    return (Target("Credo", peer, 1.1, "memory"), Target("Credo", peer, 1.1, "memory above data"))


def jax_case(problem: Problem, steps: int) -> Case:
    """Ours, raw JAX twice, NumPyro."""

    def candidates() -> list[Candidate]:
        return [
            Candidate("Credo", partial(credo_jax, problem), steps),
            Candidate("raw JAX", partial(peer_raw_jax, problem), steps),
            Candidate("raw JAX, a call per step", partial(peer_raw_jax, problem, fused=False), steps),
            Candidate("NumPyro SVI", partial(peer_numpyro, problem), steps),
        ]

    targets = (
        Target("Credo", "raw JAX", 1.05),
        Target("Credo", "NumPyro SVI", 1.0),
        *memory_targets(problem, "raw JAX"),
    )
    memory = ("Credo", "raw JAX") if problem.batch == 1024 else ()

    def prepare() -> None:
        import jax

        jax.devices()
        problem.images  # noqa: B018  (loads)

    return Case(
        f"{title(problem)}, JAX", "jax", 2, candidates, targets, memory=memory, prepare=prepare, rounds=7, **CHECK
    )


def torch_case(problem: Problem, steps: int) -> Case:
    """Ours and raw torch, eager and compiled; Pyro."""

    def candidates() -> list[Candidate]:
        return [
            Candidate("Credo", partial(credo_torch, problem), steps),
            Candidate("Credo, compiled", partial(credo_torch, problem, compile=True), steps),
            Candidate("raw torch", partial(peer_raw_torch, problem), steps),
            Candidate("raw torch, compiled", partial(peer_raw_torch, problem, compile=True), steps),
            Candidate("Pyro SVI", partial(peer_pyro, problem), steps),
        ]

    speed = (Target("Credo", "raw torch", 1.1),) if problem.batch >= 256 else ()
    targets = (*speed, *memory_targets(problem, "raw torch"))
    memory = ("Credo", "raw torch") if problem.batch == 1024 else ()

    def prepare() -> None:
        import torch  # noqa: F401

        problem.images  # noqa: B018  (loads)

    return Case(
        f"{title(problem)}, torch", "torch", 2, candidates, targets, memory=memory, prepare=prepare, rounds=7, **CHECK
    )
