"""Variational autoencoders: a plain one, a conditional one and a convolutional one, each with its encoder.

The models describe binary images. Each encoder is a guide: a model that samples the latent code of the model beside it.

Sources: D. P. Kingma and M. Welling (2014), Auto-encoding variational Bayes; K. Sohn, H. Lee and X. Yan (2015),
Learning structured output representation using deep conditional generative models.
"""

import ppl
from ppl import dist, nn, ops


@ppl.model
def vae(images, latent: int = 8, hidden: int = 256):
    """Images, one vector of pixels each, as decoded from a short Gaussian code. Observe `x`."""
    decoder = nn.MLP("decoder", [latent, hidden, images.shape[-1]], activation="tanh")
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]), dims=("code",))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)), dims=("pixel",))


@ppl.model
def vae_encoder(images, latent: int = 8, hidden: int = 256):
    """Guide of `vae`: mean and log standard deviation of the code, computed from the image."""
    encoder = nn.MLP("encoder", [images.shape[-1], hidden, 2 * latent])
    with ppl.plate("images", images) as image:
        h = encoder(image)
        ppl.sample("z", dist.Normal(h[:latent], ops.exp(h[latent:])))


@ppl.model
def cvae(known, outputs: int, latent: int = 8, hidden: int = 128):
    """A part `y` of an image, given the part of it that is known: structured prediction, with several answers.

    The prior of the code depends on the known part, and so does the decoder. Observe `y`, with `outputs` pixels.
    """
    inputs = known.shape[-1]
    prior = nn.MLP("prior", [inputs, hidden, 2 * latent])
    decoder = nn.MLP("decoder", [inputs + latent, hidden, outputs])
    with ppl.plate("images", known) as x:
        h = prior(x)
        z = ppl.sample("z", dist.Normal(h[:latent], ops.exp(h[latent:])), dims=("code",))
        ppl.sample("y", dist.Bernoulli(logits=decoder(ops.concat([x, z]))), dims=("pixel",))


@ppl.model
def cvae_encoder(known, wanted, latent: int = 8, hidden: int = 128):
    """Guide of `cvae`: sees both parts of the image, the known one and the one to be predicted."""
    encoder = nn.MLP("encoder", [known.shape[-1] + wanted.shape[-1], hidden, 2 * latent])
    with ppl.plate("images", (known, wanted)) as (x, y):
        h = encoder(ops.concat([x, y]))
        ppl.sample("z", dist.Normal(h[:latent], ops.exp(h[latent:])))


@ppl.model
def conv_vae(images, latent: int = 8, channels: int = 16):
    """Images of shape (1, 8, 8), decoded from a code by transposed convolutions. Observe `x`."""
    decoder = nn.Sequential(
        "decoder",
        [
            nn.Linear("spread", latent, 2 * channels * 2 * 2),
            "relu",
            nn.Reshape([2 * channels, 2, 2]),
            nn.ConvTranspose2d("up4", 2 * channels, channels, 4, stride=2, padding=1),
            "relu",
            nn.ConvTranspose2d("up8", channels, 1, 4, stride=2, padding=1),
        ],
    )
    with ppl.plate("images", images):
        z = ppl.sample("z", dist.Normal(0.0, 1.0).expand([latent]), dims=("code",))
        ppl.sample("x", dist.Bernoulli(logits=decoder(z)), dims=("channel", "row", "column"))


@ppl.model
def conv_vae_encoder(images, latent: int = 8, channels: int = 16):
    """Guide of `conv_vae`: convolutions that halve the image twice."""
    encoder = nn.Sequential(
        "encoder",
        [
            nn.Conv2d("down4", 1, channels, 4, stride=2, padding=1),
            "relu",
            nn.Conv2d("down2", channels, 2 * channels, 4, stride=2, padding=1),
            "relu",
            nn.Flatten(),
            nn.Linear("code", 2 * channels * 2 * 2, 2 * latent),
        ],
    )
    with ppl.plate("images", images) as image:
        h = encoder(image)
        ppl.sample("z", dist.Normal(h[:latent], ops.exp(h[latent:])))
