"""Gaussian mixtures, with the component of each point summed out of the density.

A point belongs to one of a few components, each with its own mean and scales. Summing over the components by hand
leaves only continuous unknowns, which gradients can treat. The first two models are one posterior, written in two ways.

Sources: C. M. Bishop (2006), Pattern Recognition and Machine Learning, section 9.2; for the ordering,
S. Frühwirth-Schnatter (2006), Finite Mixture and Markov Switching Models.
"""

import ppl
from ppl import dist, ops


def mixture_components(count: int, features: int):
    """Priors of the weights, means and scales of a mixture, for data of about unit scale."""
    weights = ppl.sample("weights", dist.Dirichlet(2.0 * ops.ones(count)), dims=("component",))
    with ppl.plate("components", size=count):
        mean = ppl.sample("mean", dist.Normal(0.0, 2.0).expand([features]), dims=("feature",))
        scale = ppl.sample("scale", dist.LogNormal(-1.0, 0.7).expand([features]), dims=("feature",))
    return weights, mean, scale


@ppl.model
def gaussian_mixture(points, components: int = 3):
    """Gaussian mixture with diagonal covariances. Observe `x`.

    Nothing tells one component from another: permuting them leaves the density as it is, so a posterior has a mode for
    each permutation. Compare what does not depend on their numbering, or sort the components of each draw.
    """
    weights, mean, scale = mixture_components(components, points.shape[-1])
    with ppl.plate("points", points):
        ppl.sample("x", dist.MixtureSameFamily(weights, dist.Normal(mean, scale)))


@ppl.model
def factored_mixture(points, components: int = 3):
    """The same posterior with the sum over components written out: the points are an input, their density a factor."""
    weights, mean, scale = mixture_components(components, points.shape[-1])
    with ppl.plate("points", points) as x:
        by_feature = dist.Normal(mean, scale).element_log_prob(x)
        joint = ops.log(weights) + ops.sum(by_feature, axis=-1)
        ppl.factor("likelihood", ops.logsumexp(joint))


@ppl.model
def ordered_mixture(values, components: int = 2):
    """Mixture of numbers whose components are numbered by increasing mean, which leaves one mode. Observe `x`."""
    weights = ppl.sample("weights", dist.Dirichlet(2.0 * ops.ones(components)), dims=("component",))
    spaced = dist.Transformed(dist.Normal(0.0, 1.0).expand([components]), dist.Ordered())
    mean = ppl.sample("mean", spaced, dims=("component",))
    scale = ppl.sample("scale", dist.LogNormal(-1.0, 0.7).expand([components]), dims=("component",))
    with ppl.plate("points", values):
        ppl.sample("x", dist.MixtureSameFamily(weights, dist.Normal(mean, scale)))
