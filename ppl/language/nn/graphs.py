"""Networks on sets and graphs: the order of the rows of an element does not matter."""

from __future__ import annotations

from collections.abc import Sequence

from ppl.errors import ModelError, user_location
from ppl.program.distributions import Distribution
from ppl.program.networks import Layer, NetworkSpec

from .declaring import NetworkValue, check_sizes, declare, make_layer, single
from .dense import dense_layers


def GraphConv(
    name: str, inputs: int, outputs: int, *, bias: bool = True, prior: Distribution | None = None
) -> NetworkValue:
    """A graph convolution: every node takes a weighted sum over its neighbours.

    Called as `net(nodes, adjacency)`, with nodes (n, inputs) and a matrix (n, n) that is normalised already, such as
    D^-1/2 (A + I) D^-1/2; both may be values of the model. In a `Sequential` every layer is given the matrix.

    Args:
        name: name of the network.
        inputs: features of a node.
        outputs: features of a node in the result.
        bias: whether it has one.
        prior: distribution of one weight.

    Reference: Kipf and Welling (2017), Semi-supervised classification with graph convolutional networks.
    """
    check_sizes(name, inputs=inputs, outputs=outputs)
    only = make_layer("0", "graph_conv", inputs=inputs, outputs=outputs, bias=bias)
    return single(name, only, f"GraphConv({inputs}, {outputs}{'' if bias else ', bias=False'})", prior)


def DeepSets(
    name: str,
    row: Sequence[int],
    whole: Sequence[int],
    activation: str = "relu",
    *,
    pool: str = "sum",
    prior: Distribution | None = None,
) -> NetworkValue:
    """A function of a set: a perceptron for each row, their sum, and a perceptron of that; (rows, features) to (out,).

    Args:
        name: name of the network.
        row: sizes of the first perceptron, from the features of a row.
        whole: sizes of the second, whose input is the output of the first.
        activation: between layers, and before the rows are pooled.
        pool: "sum", "mean" or "max".
        prior: distribution of one weight.

    Raises:
        ModelError: the perceptrons do not fit, or there is no such pool.

    Reference: Zaheer et al. (2017), Deep sets.
    """
    first = dense_layers(name, "DeepSets", row, activation, activation)
    second = dense_layers(name, "DeepSets", whole, activation, "identity")
    if row[-1] != whole[0] or pool not in ("sum", "mean", "max"):
        raise ModelError(
            f"network {name!r}: rows of {row[-1]} features are pooled, and {whole[0]} are expected behind that.",
            declared_at=user_location(),
            expected="equal sizes, and pool='sum', 'mean' or 'max'",
            got=f"row={list(row)}, whole={list(whole)}, pool={pool!r}",
        )
    between = make_layer("pool", "pool_all", how=pool, axes=(-2,))
    numbered = [*first, between, *second]
    layers = tuple(Layer(str(i), x.kind, x.settings) for i, x in enumerate(numbered))
    text = f"DeepSets({list(row)}, {list(whole)}, {activation!r}, pool={pool!r})"
    return declare(NetworkSpec(name, layers, text), prior)
