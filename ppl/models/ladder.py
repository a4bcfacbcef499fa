"""The ladder variational autoencoder: two layers of codes, inferred from the top down through the generative network.

Source: C. K. Sønderby, T. Raiko, L. Maaløe, S. K. Sønderby and O. Winther (2016), Ladder variational autoencoders.
"""

import ppl
from ppl import dist, nn, ops


@ppl.model
def ladder_vae(images, lower: int = 12, upper: int = 4, hidden: int = 128):
    """Binary images from a code that has a code itself. Observe `x`."""
    prior = nn.MLP("prior", [upper, hidden, 2 * lower], activation="tanh")
    decoder = nn.MLP("decoder", [lower, hidden, images.shape[-1]], activation="tanh")
    with ppl.plate("images", images):
        top = ppl.sample("top", dist.Normal(0.0, 1.0).expand([upper]), dims=("upper",))
        h = prior(top)
        code = ppl.sample("code", dist.Normal(h[:lower], ops.exp(h[lower:])), dims=("lower",))
        ppl.sample("x", dist.Bernoulli(logits=decoder(code)), dims=("pixel",))


@ppl.model
def ladder_encoder(images, lower: int = 12, upper: int = 4, hidden: int = 128):
    """Guide of `ladder_vae`, which shares the model's network `prior`.

    On the way up, the image gives evidence about either code. On the way down, the lower code combines its evidence
    with what the model expects given the upper code that was drawn: both are normal, and count by their precisions.
    """
    prior = nn.MLP("prior", [upper, hidden, 2 * lower], activation="tanh")
    up = nn.MLP("up", [images.shape[-1], hidden, hidden], output="relu")
    lower_evidence = nn.Linear("lower_evidence", hidden, 2 * lower)
    upper_evidence = nn.MLP("upper_evidence", [hidden, hidden, 2 * upper])
    with ppl.plate("images", images) as image:
        h = up(image)
        seen, aims = lower_evidence(h), upper_evidence(h)
        top = ppl.sample("top", dist.Normal(aims[:upper], ops.exp(aims[upper:])))
        expected = prior(top)
        precision_seen, precision_expected = ops.exp(-2.0 * seen[lower:]), ops.exp(-2.0 * expected[lower:])
        precision = precision_seen + precision_expected
        mean = (precision_seen * seen[:lower] + precision_expected * expected[:lower]) / precision
        ppl.sample("code", dist.Normal(mean, precision**-0.5))
