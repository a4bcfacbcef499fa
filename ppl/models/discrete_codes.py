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
    """Binary images from a few rows of a codebook, one at each position. Observe `x`.

    Fit with `vq_encoder` and strategies={"code": VectorQuantized(bias="straight-through")}. The prior of the rows is
    uniform, as it is while the source trains; its second stage learns another: `code_prior`.
    """
    codebook = codebook_of(entries, features)
    decoder = nn.MLP("decoder", [positions * features, hidden, images.shape[-1]], activation="tanh")
    with ppl.plate("images", images):
        with ppl.plate("positions", size=positions):
            code = ppl.sample("code", dist.Codebook(codebook, ops.zeros(entries)))
        ppl.sample("x", dist.Bernoulli(logits=decoder(ops.reshape(code, [positions * features]))), dims=("pixel",))


@ppl.model
def vq_encoder(images, positions: int = 4, entries: int = 16, features: int = 4, hidden: int = 128):
    """Guide of `vq_vae`: at each position the row nearest to the encoder's output, with certainty."""
    codebook = codebook_of(entries, features)
    encoder = nn.MLP("encoder", [images.shape[-1], hidden, positions * features])
    with (
        ppl.plate("images", images) as image,
        ppl.plate("positions", ops.reshape(encoder(image), [positions, features])) as output,
    ):
        ppl.sample("code", dist.Nearest(output, codebook))


def entries_of(codes: np.ndarray, codebook: np.ndarray) -> np.ndarray:
    """The numbers of the rows that some vectors are: what a fit of `vq_vae` hands to its second stage.

    Args:
        codes: draws of `code`, shape (..., features).
        codebook: the fitted parameter, shape (entries, features).

    Returns:
        Whole numbers, shape (...).
    """
    return np.square(codes[..., None, :] - codebook).sum(-1).argmin(-1)


@ppl.model
def code_prior(images: int, positions: int = 4, entries: int = 16, hidden: int = 32):
    """The second stage of a `vq_vae`: which rows follow one another, position by position. Observe `entry`."""
    embed = nn.Embedding("embed", entries, hidden)
    cell = nn.GRUCell("cell", hidden, hidden)
    head = nn.Linear("head", hidden, entries)

    def step(state, position):
        entry = ppl.sample("entry", dist.Categorical(logits=head(state)))
        return cell(embed(entry), state)

    with ppl.plate("images", size=images):
        ppl.scan("positions", step, init=ops.zeros(hidden), length=positions)


@ppl.model
def vq_decoder(entry, entries: int = 16, features: int = 4, hidden: int = 128, pixels: int = 64):
    """Images from given rows of the codebook: what a fitted `code_prior` draws, through what a `vq_vae` has learned."""
    codebook = codebook_of(entries, features)
    positions = entry.shape[-1]
    decoder = nn.MLP("decoder", [positions * features, hidden, pixels], activation="tanh")
    with ppl.plate("images", entry) as rows:
        vectors = ops.reshape(ops.stack([codebook[rows[i]] for i in range(positions)]), [positions * features])
        ppl.sample("x", dist.Bernoulli(logits=decoder(vectors)), dims=("pixel",))
