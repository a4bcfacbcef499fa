"""Semi-supervised classification by a generative model (M2): many images, few labels.

Source: D. P. Kingma, D. J. Rezende, S. Mohamed and M. Welling (2014), Semi-supervised learning with deep generative
models.
"""

import ppl
from ppl import dist, nn, ops


@ppl.model
def m2(labelled, images, classes: int = 10, latent: int = 8, hidden: int = 128):
    """Binary images of a class, each with a code for what else there is to say, such as slant and width.

    Images with labels have a plate of their own, so that each step of a fit sees all of them beside a minibatch of the
    others: observe `labelled_x` and, twice, their labels, as `given` and as `guess`, which trains the classifier that
    the guide needs (the source's equation 9). Of all other `images` observe `x`; their `label` is latent.
    """
    decoder = nn.MLP("decoder", [classes + latent, hidden, images.shape[-1]], activation="tanh")
    classifier = nn.MLP("classifier", [images.shape[-1], hidden, classes])
    any_class = dist.Categorical(logits=ops.zeros(classes))
    any_code = dist.Normal(0.0, 1.0).expand([latent])

    def picture(label, code):
        return dist.Bernoulli(logits=decoder(ops.concat([ops.one_hot(label, classes), code])))

    with ppl.plate("labelled", labelled) as image:
        ppl.sample("guess", dist.Categorical(logits=classifier(image)))
        label = ppl.sample("given", any_class)
        code = ppl.sample("labelled_code", any_code, dims=("number",))
        ppl.sample("labelled_x", picture(label, code), dims=("pixel",))
    with ppl.plate("images", images):
        label = ppl.sample("label", any_class)
        code = ppl.sample("code", any_code, dims=("number",))
        ppl.sample("x", picture(label, code), dims=("pixel",))


@ppl.model
def m2_encoder(labelled, given, images, classes: int = 10, latent: int = 8, hidden: int = 128):
    """Guide of `m2`: the code of an image of a certain label; for images without, a label by the classifier first.

    A label takes few values, so that gradients sum over all of them (`Enumerate`), each with a code of its own.

    Args:
        labelled: images with labels, shape (labelled, pixels).
        given: their labels, from 0 to `classes` - 1, shape (labelled,).
        images: the other images, shape (images, pixels).
        classes: number of classes.
        latent: numbers of a code.
        hidden: width of the networks.
    """
    classifier = nn.MLP("classifier", [images.shape[-1], hidden, classes])
    encoder = nn.MLP("encoder", [images.shape[-1] + classes, hidden, 2 * latent])

    def code_of(image, label):
        h = encoder(ops.concat([image, ops.one_hot(label, classes)]))
        return dist.Normal(h[:latent], ops.exp(h[latent:]))

    with ppl.plate("labelled", (labelled, given)) as (image, label):
        ppl.sample("labelled_code", code_of(image, label))
    with ppl.plate("images", images) as image:
        label = ppl.sample("label", dist.Categorical(logits=classifier(image)))
        ppl.sample("code", code_of(image, label))
