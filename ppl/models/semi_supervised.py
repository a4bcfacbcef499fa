"""Semi-supervised classification by a generative model (M2): many images, few labels.

Source: D. P. Kingma, D. J. Rezende, S. Mohamed and M. Welling (2014), Semi-supervised learning with deep generative
models.
"""

import ppl
from ppl import dist, nn, ops


@ppl.model
def m2(images, classes: int = 10, latent: int = 8, hidden: int = 128):
    """Binary images of a class, each with a code for what else there is to say, such as slant and width.

    Observe `x`, and the labels twice, those that are not known masked: as `label`, whose missing values are latent, and
    as `guess`, which trains the classifier that the guide needs (the source's equation 9; missing ones are left out).
    """
    decoder = nn.MLP("decoder", [classes + latent, hidden, images.shape[-1]], activation="tanh")
    classifier = nn.MLP("classifier", [images.shape[-1], hidden, classes])
    with ppl.plate("images", images) as image:
        ppl.sample("guess", dist.Categorical(logits=classifier(image)))
        label = ppl.sample("label", dist.Categorical(logits=ops.zeros(classes)))
        code = ppl.sample("code", dist.Normal(0.0, 1.0).expand([latent]), dims=("number",))
        features = ops.concat([ops.one_hot(label, classes), code])
        ppl.sample("x", dist.Bernoulli(logits=decoder(features)), dims=("pixel",))


@ppl.model
def m2_encoder(images, known, given, classes: int = 10, latent: int = 8, hidden: int = 128):
    """Guide of `m2`: a label by the classifier of the model, and the code for an image of that label.

    The label takes few values, so that gradients sum over all of them (`Enumerate`), each with a code of its own.

    Args:
        images: shape (images, pixels).
        known: whether the label is known, booleans of shape (images,).
        given: the label where it is known, and any class elsewhere, shape (images,).
        classes: number of classes.
        latent: numbers of a code.
        hidden: width of the networks.
    """
    classifier = nn.MLP("classifier", [images.shape[-1], hidden, classes])
    encoder = nn.MLP("encoder", [images.shape[-1] + classes, hidden, 2 * latent])
    with ppl.plate("images", (images, known, given)) as (image, seen, truth):
        probability = ops.where(seen, ops.one_hot(truth, classes), ops.softmax(classifier(image)))
        label = ppl.sample("label", dist.Categorical(probs=probability))
        h = encoder(ops.concat([image, ops.one_hot(label, classes)]))
        ppl.sample("code", dist.Normal(h[:latent], ops.exp(h[latent:])))
