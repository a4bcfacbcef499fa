"""Normalizing flows: as the density of a table of measurements, and as the posterior of an autoencoder's code.

Sources: L. Dinh, J. Sohl-Dickstein and S. Bengio (2017), Density estimation using Real NVP; D. P. Kingma and
P. Dhariwal (2018), Glow: generative flow with invertible 1x1 convolutions; D. P. Kingma et al. (2016), Improved
variational inference with inverse autoregressive flow.
"""

import ppl
from ppl import dist, nn, ops


@ppl.model
def flow_density(rows, layers: int = 4, hidden: int = 16):
    """Rows of measurements, each of about unit scale: normal noise bent by affine couplings. Observe `x`.

    Between couplings a learned matrix mixes the measurements, as in Glow. No site is latent, so that
    `SVI(guide=AutoDelta())` fits by maximum likelihood; tables of few rows need `AdamW`, or they are learned by heart.
    """
    size = rows.shape[-1]
    flow = nn.RealNVP("flow", size, [hidden], layers=layers, mixing="lu")
    scale = nn.Elementwise("scale", size, "affine")
    with ppl.plate("rows", rows):
        noise = dist.Normal(0.0, 1.0).expand([size])
        ppl.sample("x", dist.Transformed(noise, flow, scale), dims=("measurement",))


@ppl.model
def flow_encoder(images, latent: int = 8, hidden: int = 256, layers: int = 2):
    """Guide of `vae`: what the plain encoder gives, bent by an inverse autoregressive flow that sees the image too."""
    encoder = nn.MLP("encoder", [images.shape[-1], hidden, 3 * latent])
    flow = nn.IAF("flow", latent, [2 * latent], layers=layers, context=latent)
    with ppl.plate("images", images) as image:
        h = encoder(image)
        first = dist.Normal(h[:latent], ops.exp(h[latent : 2 * latent]))
        ppl.sample("z", dist.Transformed(first, flow.given(h[2 * latent :])))
