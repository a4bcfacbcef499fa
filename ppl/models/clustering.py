"""Clustering by a variational autoencoder whose codes are a mixture (VaDE).

Source: Z. Jiang, Y. Zheng, H. Tan, B. Tang and H. Zhou (2017), Variational deep embedding: an unsupervised and
generative approach to clustering.
"""

import numpy as np

import ppl
from ppl import dist, nn, ops


@ppl.model
def vade(images, clusters: int = 10, latent: int = 8, hidden: int = 256):
    """Binary images whose codes fall into clusters. Observe `x`.

    The cluster of an image takes few values, so that inference sums it out. Given the code that the guide draws, the
    sum is exact, as in the source, where q(cluster | image) is p(cluster | code).

    Clusters that start alike stay alike: start `mean` and `log_scale` from a mixture that was fitted to the codes of a
    plain `vae`, whose networks have the same names (`SVI(params=...)`).
    """
    decoder = nn.MLP("decoder", [latent, hidden, images.shape[-1]], activation="tanh")
    logits = ppl.param("logits", np.zeros(clusters))
    with ppl.plate("clusters", size=clusters):
        mean = ppl.param("mean", np.zeros(latent))
        log_scale = ppl.param("log_scale", np.zeros(latent))
    with ppl.plate("images", images):
        c = ppl.sample("cluster", dist.Categorical(logits=logits))
        z = ppl.sample("z", dist.Normal(mean[c], ops.exp(log_scale[c])), dims=("code",))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)), dims=("pixel",))
