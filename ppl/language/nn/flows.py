"""Normalizing flows: networks of vectors that have an inverse, for distributions of any shape.

Each constructor gives a `dist.Flow`, a bijection: `dist.Transformed(base, flow)`, or `flow.given(h)` for a flow that
depends on a context. Flows chain with each other and with all other bijections.
"""

from __future__ import annotations

from collections.abc import Sequence

from ppl.language.dist.flows import Flow
from ppl.program.distributions import Distribution
from ppl.program.networks import NetworkSpec

from .declaring import declare, weight_sites
from .flow_specs import elementwise_spec, mixing_spec, one_way_spec, stacked_spec


def _declared(spec: NetworkSpec, prior: Distribution | None) -> Flow:
    declare(spec, prior)
    return Flow(spec, weight_sites(spec) if prior is not None else None)


def RealNVP(
    name: str,
    size: int,
    hidden: Sequence[int] = (64,),
    *,
    layers: int = 4,
    context: int = 0,
    mixing: str = "reverse",
    activation: str = "relu",
    prior: Distribution | None = None,
) -> Flow:
    """Affine couplings: half of the vector is scaled and shifted by amounts computed from the other half.

    Quick both ways. Log scales stay within 3 of zero in each coupling. With zeros in the last layer of each perceptron
    it starts as the identity, up to the order of the entries.

    Args:
        name: its name; the weights of step i are `name.i.0.weight`, `name.i.0.bias` and so on.
        size: length of the vectors, at least 2.
        hidden: features of the hidden layers of each perceptron.
        layers: how many couplings; at least 2 move every entry.
        context: length of the vector that the flow depends on, 0 for none; then use `flow.given(vector)`.
        mixing: what happens to the entries between two couplings: "reverse", so that the halves take turns; "permute",
            a fixed shuffle; "lu", a learned matrix (as the 1x1 convolutions of Glow); "householder", learned
            reflections.
        activation: of the perceptrons.
        prior: distribution of one weight.

    Raises:
        ShapeError: the vectors are too short to be halved, or a size is no positive integer.
        UnknownNameError: no such mixing or activation.

    References: Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP; Kingma and Dhariwal (2018),
    Glow, for the mixing by matrices.
    """
    spec = stacked_spec(
        "RealNVP", name, size, hidden, layers=layers, context=context, mixing=mixing, activation=activation
    )
    return _declared(spec, prior)


def SplineCoupling(
    name: str,
    size: int,
    hidden: Sequence[int] = (64,),
    *,
    layers: int = 4,
    bins: int = 8,
    bound: float = 3.0,
    context: int = 0,
    mixing: str = "reverse",
    activation: str = "relu",
    prior: Distribution | None = None,
) -> Flow:
    """Spline couplings: as `RealNVP`, with a monotone rational-quadratic spline in place of each scale and shift.

    Outside (-bound, bound) the splines are the identity, so base and data should have about unit scale.

    Args:
        name: its name; the weights of step i are `name.i.0.weight`, `name.i.0.bias` and so on.
        size: length of the vectors, at least 2.
        hidden: features of the hidden layers of each perceptron.
        layers: how many couplings.
        bins: bins of each spline; none is narrower than a thousandth of the interval.
        bound: half-width of the interval that the splines act on.
        context: length of the vector that the flow depends on, 0 for none; then use `flow.given(vector)`.
        mixing: of the entries between two couplings, as in `RealNVP`.
        activation: of the perceptrons.
        prior: distribution of one weight.

    Raises:
        ShapeError: the vectors are too short to be halved, or a size is no positive integer.
        ModelError: too few or too many bins.
        UnknownNameError: no such mixing or activation.

    Reference: Durkan, Bekasov, Murray and Papamakarios (2019), Neural spline flows.
    """
    spec = stacked_spec(
        "SplineCoupling",
        name,
        size,
        hidden,
        layers=layers,
        transform="spline",
        bins=bins,
        bound=bound,
        context=context,
        mixing=mixing,
        activation=activation,
    )
    return _declared(spec, prior)


def MAF(
    name: str,
    size: int,
    hidden: Sequence[int] = (64,),
    *,
    layers: int = 4,
    transform: str = "affine",
    bins: int = 8,
    bound: float = 3.0,
    context: int = 0,
    mixing: str = "reverse",
    activation: str = "relu",
    prior: Distribution | None = None,
) -> Flow:
    """Masked autoregressive flow: each entry is mapped by what is computed from the entries before it.

    Given values are scored in one pass: for likelihoods and priors. Draws are made one entry after the other. That is
    unrolled, which JAX takes seconds to compile for 16 entries and half a minute for 64; beyond it is refused.

    Args:
        name: its name; the weights of step i are `name.i.0.weight`, `name.i.0.bias` and so on.
        size: length of the vectors.
        hidden: units of the hidden layers of each masked perceptron, at least `size - 1`.
        layers: how many such maps.
        transform: "affine" or "spline", the map of one entry.
        bins: for splines, how many bins each has.
        bound: for splines, half-width of the interval that they act on.
        context: length of the vector that the flow depends on, 0 for none; then use `flow.given(vector)`.
        mixing: of the entries between two maps, as in `RealNVP`.
        activation: of the perceptrons.
        prior: distribution of one weight.

    Raises:
        ShapeError: a hidden layer is too narrow, or a size is no positive integer.
        UnknownNameError: no such transform, mixing or activation.

    Reference: Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow for density estimation.
    """
    spec = stacked_spec(
        "MAF",
        name,
        size,
        hidden,
        layers=layers,
        transform=transform,
        bins=bins,
        bound=bound,
        context=context,
        mixing=mixing,
        activation=activation,
    )
    return _declared(spec, prior)


def IAF(
    name: str,
    size: int,
    hidden: Sequence[int] = (64,),
    *,
    layers: int = 4,
    transform: str = "affine",
    bins: int = 8,
    bound: float = 3.0,
    context: int = 0,
    mixing: str = "reverse",
    activation: str = "relu",
    prior: Distribution | None = None,
) -> Flow:
    """Inverse autoregressive flow: as `MAF` with its directions exchanged.

    Draws are made, and scored, in one pass: for guides. Given values are scored one entry after the other. That is
    unrolled, which JAX takes seconds to compile for 16 entries and half a minute for 64; beyond it is refused.

    Args:
        name: its name; the weights of step i are `name.i.0.weight`, `name.i.0.bias` and so on.
        size: length of the vectors.
        hidden: units of the hidden layers of each masked perceptron, at least `size - 1`.
        layers: how many such maps.
        transform: "affine" or "spline", the map of one entry.
        bins: for splines, how many bins each has.
        bound: for splines, half-width of the interval that they act on.
        context: length of the vector that the flow depends on, 0 for none; then use `flow.given(vector)`.
        mixing: of the entries between two maps, as in `RealNVP`.
        activation: of the perceptrons.
        prior: distribution of one weight.

    Raises:
        ShapeError: a hidden layer is too narrow, or a size is no positive integer.
        UnknownNameError: no such transform, mixing or activation.

    Reference: Kingma et al. (2016), Improved variational inference with inverse autoregressive flow.
    """
    spec = stacked_spec(
        "IAF",
        name,
        size,
        hidden,
        layers=layers,
        transform=transform,
        bins=bins,
        bound=bound,
        context=context,
        mixing=mixing,
        activation=activation,
    )
    return _declared(spec, prior)


def Elementwise(
    name: str,
    size: int,
    transform: str = "spline",
    *,
    bins: int = 8,
    bound: float = 3.0,
    context: int = 0,
    hidden: Sequence[int] = (64,),
    activation: str = "relu",
    prior: Distribution | None = None,
) -> Flow:
    """A monotone map of each entry by itself, learned or computed from a context.

    Args:
        name: its name; the weights are `name.0.free`, or those of a perceptron from the context.
        size: length of the vectors.
        transform: "spline" or "affine".
        bins: bins of each spline.
        bound: half-width of the interval that the splines act on.
        context: length of the vector that the maps depend on, 0 for none; then use `flow.given(vector)`.
        hidden: hidden layers of the perceptron from the context to the maps.
        activation: of this perceptron.
        prior: distribution of one weight.

    Raises:
        ShapeError: a size is no positive integer.
        UnknownNameError: no such transform or activation.
    """
    spec = elementwise_spec(
        name, size, transform, bins=bins, bound=bound, context=context, hidden=hidden, activation=activation
    )
    return _declared(spec, prior)


def Mixing(name: str, size: int, kind: str = "lu", *, reflections: int = 4, prior: Distribution | None = None) -> Flow:
    """A learned linear map of vectors, to mix the entries between other bijections.

    On an event with more axes it maps the last one at every place, which is the 1x1 convolution of Glow.

    Args:
        name: its name.
        size: length of the vectors.
        kind: "lu", an invertible matrix as the product of a fixed permutation and two triangles; "householder", an
            orthogonal one as a product of reflections.
        reflections: how many reflections, at most `size`; as many give every orthogonal matrix, up to the sign of its
            determinant.
        prior: distribution of one weight.

    Raises:
        ShapeError: a size is no positive integer.
        UnknownNameError: there is no such kind.

    References: Kingma and Dhariwal (2018), Glow; Tomczak and Welling (2016), Improving variational auto-encoders using
    Householder flow.
    """
    return _declared(mixing_spec(name, size, kind, reflections), prior)


def Planar(
    name: str,
    size: int,
    *,
    layers: int = 8,
    context: int = 0,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    prior: Distribution | None = None,
) -> Flow:
    """Planar flow: each layer bends space along one direction. Only for guides: it cannot score given values.

    Args:
        name: its name.
        size: length of the vectors.
        layers: how many bends.
        context: length of the vector that the bends are computed from, 0 for none; then use `flow.given(vector)`.
        hidden: hidden layers of the perceptrons from the context to the bends.
        activation: of these perceptrons.
        prior: distribution of one weight.

    Raises:
        ShapeError: a size is no positive integer.

    Reference: Rezende and Mohamed (2015), Variational inference with normalizing flows.
    """
    spec = one_way_spec("Planar", name, size, layers=layers, context=context, hidden=hidden, activation=activation)
    return _declared(spec, prior)


def Radial(
    name: str,
    size: int,
    *,
    layers: int = 8,
    context: int = 0,
    hidden: Sequence[int] = (),
    activation: str = "relu",
    prior: Distribution | None = None,
) -> Flow:
    """Radial flow: each layer draws space to a point, or away from it. Only for guides, as `Planar`.

    Args:
        name: its name.
        size: length of the vectors.
        layers: how many such maps.
        context: length of the vector that they are computed from, 0 for none; then use `flow.given(vector)`.
        hidden: hidden layers of the perceptrons from the context.
        activation: of these perceptrons.
        prior: distribution of one weight.

    Raises:
        ShapeError: a size is no positive integer.

    Reference: Rezende and Mohamed (2015), Variational inference with normalizing flows.
    """
    spec = one_way_spec("Radial", name, size, layers=layers, context=context, hidden=hidden, activation=activation)
    return _declared(spec, prior)
