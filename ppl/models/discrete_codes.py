"""Variational autoencoders with discrete codes: categorical ones, and the nearest entry of a codebook.

Sources: E. Jang, S. Gu and B. Poole (2017), Categorical reparameterization with Gumbel-softmax, for the categorical
code; A. van den Oord, O. Vinyals and K. Kavukcuoglu (2017), Neural discrete representation learning, for the codebook.
"""

import numpy as np

import ppl
from ppl import dist, nn, ops


@ppl.model
def categorical_vae(images, codes: int = 2, values: int = 8, hidden: int = 128):
    """Binary images from a few categories, each a site of its own: `code0`, `code1` and so on. Observe `x`.

    With few codes the sum over all their values is exact, and the fit needs no guide: the parameters of greatest
    likelihood are those of a mixture with values ** codes components that share a network.
    """
    decoder = nn.MLP("decoder", [codes * values, hidden, images.shape[-1]], activation="tanh")
    with ppl.plate("images", images):
        code = [ppl.sample(f"code{i}", dist.Categorical(logits=ops.zeros(values))) for i in range(codes)]
        features = ops.concat([ops.one_hot(c, values) for c in code])
        ppl.sample("x", dist.Bernoulli(logits=decoder(features)), dims=("pixel",))


@ppl.model
def categorical_encoder(images, codes: int = 2, values: int = 8, hidden: int = 128):
    """Guide of `categorical_vae`, for codes that are too many to be summed out."""
    encoder = nn.MLP("encoder", [images.shape[-1], hidden, codes * values])
    with ppl.plate("images", images) as image:
        logits = ops.reshape(encoder(image), [codes, values])
        for i in range(codes):
            ppl.sample(f"code{i}", dist.Categorical(logits=logits[i]))


def codebook_of(entries: int, features: int):
    """The codebook, a parameter that model and guide share; it starts from normal numbers."""
    return ppl.param("codebook", np.random.default_rng(0).normal(size=(entries, features)))


@ppl.model
def vq_vae(images, positions: int = 4, entries: int = 16, features: int = 4, hidden: int = 128):
    """Binary images from a few entries of a codebook, one at each position. Observe `x`.

    The prior of the entries is uniform, as it is while the source trains; its second stage learns another.
    """
    codebook = codebook_of(entries, features)
    decoder = nn.MLP("decoder", [positions * features, hidden, images.shape[-1]], activation="tanh")
    with ppl.plate("images", images):
        with ppl.plate("positions", size=positions):
            entry = ppl.sample("entry", dist.Categorical(logits=ops.zeros(entries)))
        vectors = ops.reshape(codebook[entry], [positions * features])
        ppl.sample("x", dist.Bernoulli(logits=decoder(vectors)), dims=("pixel",))


@ppl.model
def vq_encoder(images, positions: int = 4, entries: int = 16, features: int = 4, hidden: int = 128):
    """Guide of `vq_vae`: at each position the entry nearest to the encoder's output, with certainty."""
    codebook = codebook_of(entries, features)
    encoder = nn.MLP("encoder", [images.shape[-1], hidden, positions * features])
    with (
        ppl.plate("images", images) as image,
        ppl.plate("positions", ops.reshape(encoder(image), [positions, features])) as output,
    ):
        distance = ops.sum((codebook - output) ** 2, axis=-1)
        ppl.sample("entry", dist.Categorical(probs=ops.one_hot(ops.argmin(distance), entries)))
