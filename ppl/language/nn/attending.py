"""Attention over the rows of a matrix, and blocks and pools made of it."""

from __future__ import annotations

from ppl.errors import ShapeError, user_location
from ppl.program.distributions import Distribution
from ppl.program.networks import Layer

from .declaring import NetworkValue, check_sizes, known_activation, make_layer, single


def _check_heads(name: str, size: int, heads: int) -> None:
    check_sizes(name, size=size, heads=heads)
    if size % heads:
        raise ShapeError(
            f"network {name!r}: {heads} heads do not divide {size} features.",
            declared_at=user_location(),
            expected="a multiple of `heads`",
            got=f"{size} features",
        )


def Attention(
    name: str, size: int, heads: int = 1, *, causal: bool = False, prior: Distribution | None = None
) -> NetworkValue:
    """Multi-head attention among the rows of one element, (rows, size) to (rows, size).

    Called with a second element, (others, size), the rows attend to the rows of that one.

    Args:
        name: name of the network; parameters are named as in `torch.nn.MultiheadAttention`.
        size: features of a row.
        heads: how many parts of the features attend separately.
        causal: whether a row sees only itself and what comes before it.
        prior: distribution of one weight.

    Reference: Vaswani et al. (2017), Attention is all you need.
    """
    _check_heads(name, size, heads)
    only = make_layer("0", "attention", size=size, heads=heads, causal=causal)
    return single(name, only, f"Attention({size}, heads={heads}{', causal=True' if causal else ''})", prior)


def TransformerBlock(
    name: str,
    size: int,
    heads: int = 1,
    hidden: int | None = None,
    *,
    causal: bool = False,
    activation: str = "gelu",
    eps: float = 1e-5,
    prior: Distribution | None = None,
) -> NetworkValue:
    """Attention and a perceptron of two layers, each behind a layer norm and added to what came in.

    Args:
        name: name of the network; parameters are named as in a `torch.nn.TransformerEncoderLayer` with `norm_first`.
        size: features of a row.
        heads: how many parts of the features attend separately.
        hidden: features between the two layers; four times `size` if left out.
        causal: whether a row sees only itself and what comes before it.
        activation: between the two layers.
        eps: of the layer norms.
        prior: distribution of one weight.

    Reference: Xiong et al. (2020), On layer normalization in the transformer architecture.
    """
    _check_heads(name, size, heads)
    wide = 4 * size if hidden is None else hidden
    check_sizes(name, hidden=wide)
    settings = {"size": size, "heads": heads, "hidden": wide, "causal": causal, "eps": eps}
    only = make_layer("0", "transformer_block", activation=known_activation(activation), **settings)
    shown = f"TransformerBlock({size}, heads={heads}, hidden={wide}{', causal=True' if causal else ''})"
    return single(name, only, shown, prior)


def Positions() -> Layer:
    """A layer for `Sequential` that adds to every row of a matrix waves that tell its place; attention knows none.

    Reference: Vaswani et al. (2017), Attention is all you need, section 3.5.
    """
    return make_layer("positions", "positions")


def AttentionPool(
    name: str, size: int, heads: int = 1, *, seeds: int = 1, prior: Distribution | None = None
) -> NetworkValue:
    """A summary of a set of rows, (rows, size) to (size,), or to (seeds, size): learned seeds attend to the rows.

    Args:
        name: name of the network.
        size: features of a row.
        heads: how many parts of the features attend separately.
        seeds: how many summaries.
        prior: distribution of one weight.

    Reference: Lee et al. (2019), Set transformer, section 3.2.
    """
    _check_heads(name, size, heads)
    check_sizes(name, seeds=seeds)
    only = make_layer("0", "attention_pool", size=size, heads=heads, seeds=seeds)
    return single(name, only, f"AttentionPool({size}, heads={heads}, seeds={seeds})", prior)
