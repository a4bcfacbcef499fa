"""Gaussian processes: regression and classification with a random function, and a VAE whose codes move smoothly.

A Gaussian process is a distribution over functions; its kernel says which rows of inputs have similar values. Dense
forms take time cubic in the number of rows. The sparse form conditions each row on the function's values at a few
places, which makes rows independent, so that it takes minibatches.

Sources: C. E. Rasmussen and C. K. I. Williams (2006), Gaussian Processes for Machine Learning, chapters 2 and 3;
J. Hensman, A. Matthews and Z. Ghahramani (2015), Scalable variational Gaussian process classification, AISTATS;
F. P. Casale et al. (2018), Gaussian process prior variational autoencoders, NeurIPS; V. Fortuin et al. (2020), GP-VAE:
deep probabilistic time series imputation, AISTATS.
"""

import numpy as np

import ppl
from ppl import dist, nn, ops


def smooth_functions():
    """A kernel of unknown lengthscale and size."""
    lengthscale = ppl.sample("lengthscale", dist.LogNormal(0.0, 0.5))
    size = ppl.sample("size", dist.HalfNormal(1.0))
    return dist.kernels.Matern32(lengthscale, size**2)


@ppl.model
def gp_regression(inputs):
    """Regression with a latent function, whose values are sampled at every row. Observe `y`."""
    f = ppl.sample("f", dist.GaussianProcess(smooth_functions(), inputs, jitter=1e-2))
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    with ppl.plate("rows", (inputs, f)) as (_, height):
        ppl.sample("y", dist.Normal(height, noise))


@ppl.model
def marginal_gp_regression(inputs):
    """Regression with the function integrated out: the outcomes are a Gaussian process with noise. Observe `y`."""
    kernel = smooth_functions()
    noise = ppl.sample("noise", dist.HalfNormal(1.0))
    ppl.sample("y", dist.GaussianProcess(kernel, inputs, noise=noise**2))


@ppl.model
def gp_classification(inputs):
    """Binary outcomes, whose log odds are a latent function of the inputs. Observe `y`."""
    f = ppl.sample("f", dist.GaussianProcess(smooth_functions(), inputs, jitter=1e-2))
    with ppl.plate("rows", (inputs, f)) as (_, height):
        ppl.sample("y", dist.Bernoulli(logits=height))


def sparse_process(places):
    """The kernel of the sparse forms, with parameters to be fitted, and the process at the given places."""
    lengthscale = ppl.param("lengthscale", 1.0, support=dist.support.positive)
    size = ppl.param("size", 1.0, support=dist.support.positive)
    kernel = dist.kernels.RBF(lengthscale, size**2)
    return kernel, dist.GaussianProcess(kernel, places, jitter=1e-2)


@ppl.model
def sparse_gp_classification(inputs, places):
    """Classification where each row depends on the function through its values `u` at a few places. Observe `y`."""
    kernel, process = sparse_process(places)
    u = ppl.sample("u", process)
    with ppl.plate("rows", inputs) as row:
        f = ppl.sample("f", dist.GaussianProcess(kernel, row[None], jitter=1e-2).condition(places, u))
        ppl.sample("y", dist.Bernoulli(logits=f[0]))


@ppl.model
def sparse_gp_guide(inputs, places):
    """Guide of the sparse form: a normal distribution of `u`; given that, rows are as in the model.

    Their densities cancel, which leaves the bound of Hensman, Matthews and Ghahramani (2015), equation 18.
    """
    kernel, _ = sparse_process(places)
    count = places.shape[0]
    loc = ppl.param("loc", np.zeros(count))
    spread = ppl.param("spread", np.eye(count), support=dist.support.lower_cholesky)
    u = ppl.sample("u", dist.MultivariateNormal(loc, scale_tril=spread))
    with ppl.plate("rows", inputs) as row:
        ppl.sample("f", dist.GaussianProcess(kernel, row[None], jitter=1e-2).condition(places, u))


@ppl.model
def gp_vae(videos, times, latent: int = 3, hidden: int = 64, period: float | None = None):
    """VAE of sequences of binary images: each entry of the code is a Gaussian process in time. Observe `x`.

    Without a period the kernel is the one of Fortuin et al. (2020), section 3.2, a mixture of lengthscales; with one
    (a turning object) the code returns to where it was.
    """
    decoder = nn.MLP("decoder", [latent, hidden, videos.shape[-1]], activation="tanh")
    lengthscale = ppl.param("lengthscale", 1.0, support=dist.support.positive)
    kernels = dist.kernels
    kernel = kernels.Periodic(period, lengthscale) if period else kernels.RationalQuadratic(lengthscale)
    with ppl.plate("videos", videos):
        z = ppl.sample("z", dist.GaussianProcess(kernel, times, jitter=1e-2).expand([latent]))
        with ppl.plate("frames", z.T) as code:
            ppl.sample("x", dist.Bernoulli(logits=decoder(code)), dims=("pixel",))


@ppl.model
def gp_vae_encoder(videos, latent: int = 3, hidden: int = 64):
    """Guide of `gp_vae`: a network reads each frame on its own."""
    net = nn.MLP("encoder", [videos.shape[-1], hidden, 2 * latent], activation="tanh")
    with ppl.plate("videos", videos) as video:
        with ppl.plate("frames", video) as frame:
            h = net(frame)
        ppl.sample("z", dist.Normal(h[:, :latent].T, ops.exp(h[:, latent:].T)))
