"""Convolutions and pooling of one image: channels first, then one to three spatial axes."""

from __future__ import annotations

from collections.abc import Sequence

from ppl.errors import ShapeError, user_location
from ppl.program.distributions import Distribution
from ppl.program.networks import Layer

from .declaring import NetworkValue, check_sizes, make_layer, single

Sizes = int | Sequence[int]


def _each(name: str, what: str, size: Sizes, rank: int) -> tuple[int, ...]:
    sizes = (size,) * rank if isinstance(size, int) else tuple(size)
    if len(sizes) != rank:
        raise ShapeError(
            f"network {name!r}: {what} needs one number, or one for each of {rank} spatial axes.",
            declared_at=user_location(),
            expected=f"{rank} numbers",
            got=repr(size),
        )
    return sizes


def _convolution(
    name: str, rank: int, channels: tuple[int, int], prior: Distribution | None, groups: int, bias: bool, **sizes: Sizes
) -> NetworkValue:
    inputs, outputs = channels
    check_sizes(name, inputs=inputs, outputs=outputs, groups=groups)
    if inputs % groups or outputs % groups:
        raise ShapeError(
            f"network {name!r}: {groups} groups do not divide the channels.",
            declared_at=user_location(),
            expected="channels in and out that are multiples of `groups`",
            got=f"{inputs} channels in, {outputs} out",
        )
    shapes = {what: _each(name, what, size, rank) for what, size in sizes.items()}
    transposed = "output_padding" in shapes
    only = make_layer(
        "0",
        f"conv_transpose{rank}d" if transposed else f"conv{rank}d",
        inputs=inputs,
        outputs=outputs,
        groups=groups,
        bias=bias,
        **shapes,
    )
    title = f"Conv{'Transpose' if transposed else ''}{rank}d"
    kernel = shapes["kernel"] if rank > 1 else shapes["kernel"][0]
    return single(name, only, f"{title}({inputs}, {outputs}, {kernel})", prior)


def Conv1d(
    name: str,
    inputs: int,
    outputs: int,
    kernel: Sizes,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    prior: Distribution | None = None,
) -> NetworkValue:
    """A 1-D convolution (cross-correlation) of one sequence (channels, length).

    Args:
        name: name of the network; the weight is [outputs, inputs / groups, length].
        inputs: channels in.
        outputs: channels out.
        kernel: size of the kernel.
        stride: step between positions.
        padding: zeros added at each side.
        dilation: spacing of the kernel.
        groups: blocks of channels that are convolved separately.
        bias: whether it has one.
        prior: distribution of one weight.
    """
    return _convolution(
        name,
        1,
        (inputs, outputs),
        prior,
        groups,
        bias,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


def ConvTranspose1d(
    name: str,
    inputs: int,
    outputs: int,
    kernel: Sizes,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    bias: bool = True,
    prior: Distribution | None = None,
) -> NetworkValue:
    """A 1-D transposed convolution of one sequence (channels, length).

    Args:
        name: name of the network; the weight is [inputs, outputs, length], as in torch.
        inputs: channels in.
        outputs: channels out.
        kernel: size of the kernel.
        stride: upsampling factor.
        padding: cut from each side of the result.
        output_padding: added to one side of the result.
        bias: whether it has one.
        prior: distribution of one weight.
    """
    return _convolution(
        name,
        1,
        (inputs, outputs),
        prior,
        1,
        bias,
        kernel=kernel,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
    )


def Conv2d(
    name: str,
    inputs: int,
    outputs: int,
    kernel: Sizes,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    prior: Distribution | None = None,
) -> NetworkValue:
    """A 2-D convolution (cross-correlation) of one image (channels, height, width).

    Args:
        name: name of the network; the weight is [outputs, inputs / groups, height, width].
        inputs: channels in.
        outputs: channels out.
        kernel: size of the kernel.
        stride: step between positions.
        padding: zeros added at each side.
        dilation: spacing of the kernel.
        groups: blocks of channels that are convolved separately.
        bias: whether it has one.
        prior: distribution of one weight.
    """
    return _convolution(
        name,
        2,
        (inputs, outputs),
        prior,
        groups,
        bias,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


def ConvTranspose2d(
    name: str,
    inputs: int,
    outputs: int,
    kernel: Sizes,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    bias: bool = True,
    prior: Distribution | None = None,
) -> NetworkValue:
    """A 2-D transposed convolution of one image (channels, height, width).

    Args:
        name: name of the network; the weight is [inputs, outputs, height, width], as in torch.
        inputs: channels in.
        outputs: channels out.
        kernel: size of the kernel.
        stride: upsampling factor.
        padding: cut from each side of the result.
        output_padding: added to one side of the result.
        bias: whether it has one.
        prior: distribution of one weight.
    """
    return _convolution(
        name,
        2,
        (inputs, outputs),
        prior,
        1,
        bias,
        kernel=kernel,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
    )


def Conv3d(
    name: str,
    inputs: int,
    outputs: int,
    kernel: Sizes,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    bias: bool = True,
    prior: Distribution | None = None,
) -> NetworkValue:
    """A 3-D convolution (cross-correlation) of one volume (channels, depth, height, width).

    Args:
        name: name of the network; the weight is [outputs, inputs / groups, depth, height, width].
        inputs: channels in.
        outputs: channels out.
        kernel: size of the kernel.
        stride: step between positions.
        padding: zeros added at each side.
        dilation: spacing of the kernel.
        groups: blocks of channels that are convolved separately.
        bias: whether it has one.
        prior: distribution of one weight.
    """
    return _convolution(
        name,
        3,
        (inputs, outputs),
        prior,
        groups,
        bias,
        kernel=kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
    )


def ConvTranspose3d(
    name: str,
    inputs: int,
    outputs: int,
    kernel: Sizes,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    bias: bool = True,
    prior: Distribution | None = None,
) -> NetworkValue:
    """A 3-D transposed convolution of one volume (channels, depth, height, width).

    Args:
        name: name of the network; the weight is [inputs, outputs, depth, height, width], as in torch.
        inputs: channels in.
        outputs: channels out.
        kernel: size of the kernel.
        stride: upsampling factor.
        padding: cut from each side of the result.
        output_padding: added to one side of the result.
        bias: whether it has one.
        prior: distribution of one weight.
    """
    return _convolution(
        name,
        3,
        (inputs, outputs),
        prior,
        1,
        bias,
        kernel=kernel,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
    )


def _pool(kind: str, kernel: Sequence[int], stride: Sequence[int] | None, padding: Sequence[int] | None) -> Layer:
    sizes = tuple(kernel)
    steps = sizes if stride is None else tuple(stride)
    pads = (0,) * len(sizes) if padding is None else tuple(padding)
    if not 1 <= len(sizes) <= 3 or len(steps) != len(sizes) or len(pads) != len(sizes):
        raise ShapeError(
            f"{kind}: a window needs one size, stride and padding for each of one to three spatial axes.",
            declared_at=user_location(),
            got=f"kernel={kernel}, stride={stride}, padding={padding}",
        )
    return make_layer(kind, kind, kernel=sizes, stride=steps, padding=pads)


def MaxPool(
    kernel: Sequence[int], *, stride: Sequence[int] | None = None, padding: Sequence[int] | None = None
) -> Layer:
    """A layer for `Sequential`: the largest entry of each window over the last axes.

    Args:
        kernel: size of the window along each spatial axis.
        stride: step between windows; the size of the window if left out.
        padding: how far windows reach beyond each side.
    """
    return _pool("max_pool", kernel, stride, padding)


def AvgPool(
    kernel: Sequence[int], *, stride: Sequence[int] | None = None, padding: Sequence[int] | None = None
) -> Layer:
    """A layer for `Sequential`: the mean of each window over the last axes; see `MaxPool`. Padding counts as zeros."""
    return _pool("avg_pool", kernel, stride, padding)


def Pool(how: str = "mean", axes: int | Sequence[int] = -2) -> Layer:
    """A layer for `Sequential` that reduces whole event axes.

    Args:
        how: "mean", "sum" or "max".
        axes: which, counted from the right: -2 for the rows of a matrix (a set, a sequence), (-2, -1) for an image.
    """
    chosen = (axes,) if isinstance(axes, int) else tuple(axes)
    if how not in ("mean", "sum", "max") or any(a >= 0 for a in chosen):
        raise ShapeError(
            "nn.Pool takes 'mean', 'sum' or 'max', and axes counted from the right.",
            declared_at=user_location(),
            expected="such as nn.Pool('mean', -2)",
            got=f"nn.Pool({how!r}, {axes})",
        )
    return make_layer("pool", "pool_all", how=how, axes=tuple(sorted(chosen)))
