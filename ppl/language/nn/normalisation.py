"""Normalisation without hidden state: what comes out depends on the one element that goes in."""

from __future__ import annotations

from collections.abc import Sequence

from ppl.errors import ShapeError, user_location
from ppl.program.distributions import Distribution

from .declaring import NetworkValue, check_sizes, make_layer, single


def LayerNorm(
    name: str, shape: int | Sequence[int], *, eps: float = 1e-5, prior: Distribution | None = None
) -> NetworkValue:
    """Normalise the last event axes to mean 0 and variance 1, then scale and shift them.

    Args:
        name: name of the network.
        shape: sizes of the axes that are normalised.
        eps: added to the variance.
        prior: distribution of one weight.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return single(name, make_layer("0", "layer_norm", shape=sizes, eps=eps), f"LayerNorm({list(sizes)})", prior)


def RMSNorm(
    name: str, shape: int | Sequence[int], *, eps: float = 1e-5, prior: Distribution | None = None
) -> NetworkValue:
    """Divide the last event axes by their root mean square, then scale them.

    Args:
        name: name of the network.
        shape: sizes of the axes that are normalised.
        eps: added to the mean square.
        prior: distribution of one weight.

    Reference: Zhang and Sennrich (2019), Root mean square layer normalization.
    """
    sizes = (shape,) if isinstance(shape, int) else tuple(shape)
    return single(name, make_layer("0", "rms_norm", shape=sizes, eps=eps), f"RMSNorm({list(sizes)})", prior)


def GroupNorm(
    name: str, groups: int, channels: int, *, eps: float = 1e-5, prior: Distribution | None = None
) -> NetworkValue:
    """Normalise groups of channels of one image (channels, ...), then scale and shift each channel.

    Args:
        name: name of the network.
        groups: how many groups.
        channels: how many channels; a multiple of `groups`.
        eps: added to the variance.
        prior: distribution of one weight.

    Reference: Wu and He (2018), Group normalization.
    """
    check_sizes(name, groups=groups, channels=channels)
    if channels % groups:
        raise ShapeError(
            f"network {name!r}: {groups} groups do not divide {channels} channels.",
            declared_at=user_location(),
            expected="a multiple of `groups`",
            got=f"{channels} channels",
        )
    only = make_layer("0", "group_norm", groups=groups, channels=channels, eps=eps)
    return single(name, only, f"GroupNorm({groups}, {channels})", prior)
