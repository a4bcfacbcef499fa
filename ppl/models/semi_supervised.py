"""Semi-supervised classification by a generative model (M2): many images, few labels.

Source: D. P. Kingma, D. J. Rezende, S. Mohamed and M. Welling (2014), Semi-supervised learning with deep generative
models.
"""

import ppl
from ppl import dist, nn, ops


@ppl.model
def m2(images, classes: int = 10, latent: int = 8, hidden: int = 128):
    """Binary images of a class, each with a code for what else there is to say, such as slant and width.

    Observe `x`, and the labels twice, both times with those that are not known masked: as `label`, whose missing
    values are summed out of the density, and as `guess`, which trains the classifier that the guide relies on (the
    source's equation 9; missing ones are left out).

    An image has a code for each class and shows the one of its own, so that a guide, which draws no label, can give
    each class a code that suits it. The model of the images is that of the source.
    """
    decoder = nn.MLP("decoder", [classes + latent, hidden, images.shape[-1]], activation="tanh")
    classifier = nn.MLP("classifier", [images.shape[-1], hidden, classes])
    with ppl.plate("images", images) as image:
        ppl.sample("guess", dist.Categorical(logits=classifier(image)))
        label = ppl.sample("label", dist.Categorical(logits=ops.zeros(classes)))
        with ppl.plate("classes", size=classes):
            code = ppl.sample("code", dist.Normal(0.0, 1.0).expand([latent]), dims=("number",))
        features = ops.concat([ops.one_hot(label, classes), code[label]])
        ppl.sample("x", dist.Bernoulli(logits=decoder(features)), dims=("pixel",))


@ppl.model
def m2_encoder(images, known, given, classes: int = 10, latent: int = 8, hidden: int = 128, least: float = 0.3):
    """Guide of `m2`: the code of an image for each class that it may be of.

    The less probable a class, the nearer its code stays to the prior, where it costs nothing; so the bound approaches
    that of the source, in which a class counts with its probability. It must not get there altogether, though: a class
    whose code says nothing about the image could never turn out to be the right one.

    Args:
        images: shape (images, pixels).
        known: whether the label is known, booleans of shape (images,).
        given: the label where it is known, and any class elsewhere, shape (images,).
        classes: number of classes.
        latent: numbers of a code.
        hidden: width of the networks.
        least: how far the code of an impossible class follows the image, from 0 to 1.
    """
    encoder = nn.MLP("encoder", [images.shape[-1] + classes, hidden, 2 * latent])
    classifier = nn.MLP("classifier", [images.shape[-1], hidden, classes])
    with ppl.plate("images", (images, known, given)) as (image, seen, label):
        guess = least + (1.0 - least) * ops.softmax(classifier(image))
        share = ops.where(seen, ops.one_hot(label, classes), guess)
        with ppl.plate("classes", size=classes) as k:
            h = share[k] * encoder(ops.concat([image, ops.one_hot(k, classes)]))
            ppl.sample("code", dist.Normal(h[:latent], ops.exp(h[latent:])))
