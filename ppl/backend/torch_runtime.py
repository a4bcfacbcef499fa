"""What emitted torch code calls by name: the few operations that torch does not have in the batched form we need."""

# torch.distributions draws through the same private functions; nothing public takes a generator.
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .foreign import check_rows
from .torch_foreign import map_elements
from .torch_layers import attention, avg_pool, conv, conv_transpose, folded, layer_norm, max_pool, recurrent


class _BernoulliLogProb(torch.autograd.Function):
    """value * logits - softplus(logits), with one array in memory each way where autograd would hold four."""

    @staticmethod
    def forward(logits: Tensor, value: Tensor) -> Tensor:
        # From the threshold on softplus gives its argument: at 20, torch's own, that is wrong by 2e-9.
        return F.softplus(logits, threshold=40.0).neg_().addcmul_(value, logits)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = grads
        logits, value = ctx.saved_tensors
        mean = torch.sigmoid(logits)
        if torch.is_grad_enabled():
            return (value - mean) * grad, None
        return torch.sub(value, mean, out=mean).mul_(grad), None


# Numbers from which memory counts more than the fifty microseconds that a function of our own costs.
LARGE = 1 << 16


def bernoulli_log_prob(logits: Any, value: Any) -> Tensor:
    """Log Bernoulli(value; logits), elementwise; the library's kernel where shapes allow it."""
    if isinstance(logits, Tensor) and isinstance(value, Tensor) and logits.shape == value.shape:
        # A compiled graph holds no more than it needs.
        if logits.numel() < LARGE or value.requires_grad or torch.compiler.is_compiling():
            return -F.binary_cross_entropy_with_logits(logits, value, reduction="none")
        return _BernoulliLogProb.apply(logits, value)
    logits = torch.as_tensor(logits)
    return value * logits - F.softplus(logits, threshold=40.0)


def clipped_sigmoid(x: Tensor) -> Tensor:
    """The sigmoid, kept off 0 and 1 by the smallest number that the precision tells apart from them."""
    limits = torch.finfo(x.dtype)
    return torch.sigmoid(x).clamp(limits.tiny, 1.0 - limits.eps)


def cholesky(x: Tensor) -> Tensor:
    """Lower Cholesky factors; NaN where a matrix is not positive definite, as in JAX."""
    factor, info = torch.linalg.cholesky_ex(x)
    return torch.where(info[..., None, None] == 0, factor, torch.nan)


def prod(x: Tensor, axes: Sequence[int], *, keepdim: bool = False) -> Tensor:
    """Product over several negative axes."""
    for axis in axes:
        x = x.prod(axis, keepdim=True)
    # From the left, so that the axes still to come keep their number, counted from the right.
    for axis in () if keepdim else sorted(axes):
        x = x.squeeze(axis)
    return x


def gather(table: Tensor, index: Tensor, rest: int, index_rank: int) -> Tensor:
    """Rows of a table that has batch axes itself, without expanding the table.

    Args:
        table: shape (batch..., rows, rest...).
        index: integers, shape (batch..., index...); batch axes broadcast against the table's.
        rest: number of axes behind the rows.
        index_rank: number of index axes.
    """
    batch = table.ndim - 1 - rest
    batch_index = index.ndim - index_rank
    width = max(batch, batch_index)
    table = table.reshape((1,) * (width - batch) + tuple(table.shape))
    index = index.reshape((1,) * (width - batch_index) + tuple(index.shape))
    where: list[Any] = []
    for axis in range(width):
        size = table.shape[axis]
        if size == 1:
            where.append(torch.zeros((), dtype=torch.long, device=index.device))
        else:
            where.append(
                torch.arange(size, device=index.device).reshape((size,) + (1,) * (width - axis - 1 + index_rank))
            )
    return table[(*where, index.long())]


def take_along(table: Tensor, index: Tensor) -> Tensor:
    """Entries along the last axis; batch axes broadcast."""
    shape = torch.broadcast_shapes(table.shape[:-1], index.shape[:-1])
    return torch.take_along_dim(table.expand(*shape, table.shape[-1]), index.long().expand(*shape, index.shape[-1]), -1)


def segment_sum(data: Tensor, index: Tensor, size: int, rest: int) -> Tensor:
    """Sums of rows by group.

    Args:
        data: rows, shape (batch..., n, rest...).
        index: the group of each row, shape (batch..., n); batch axes broadcast.
        size: number of groups.
        rest: number of axes behind the rows.
    """
    tail = tuple(data.shape[data.ndim - rest :])
    batch = torch.broadcast_shapes(data.shape[: data.ndim - 1 - rest], index.shape[:-1])
    data = data.expand(*batch, *data.shape[data.ndim - 1 - rest :])
    zeros = data.new_zeros((*batch, size, *tail))
    if index.ndim == 1:
        return zeros.index_add(-1 - rest, index.long(), data)
    wide = index.long().reshape(*index.shape, *[1] * rest).expand(data.shape)
    return zeros.scatter_add(-1 - rest, wide, data)


def concat(parts: Sequence[Tensor], axis: int, rank: int) -> Tensor:
    """Join along an event axis parts whose batch axes broadcast."""
    batch = torch.broadcast_shapes(*(p.shape[: p.ndim - rank] for p in parts))
    return torch.cat([p.expand(*batch, *p.shape[p.ndim - rank :]) for p in parts], dim=axis)


def shift(init: Any, following: Tensor, axis: int, *, reverse: bool = False) -> Tensor:
    """Values one step earlier along an axis of steps, the first of which gets `init`; all other axes broadcast."""
    length = following.shape[axis]
    kept = following.narrow(axis, 1 if reverse else 0, length - 1)
    first = torch.as_tensor(init, dtype=following.dtype, device=following.device)
    one = following.narrow(axis, 0, 1)
    if first.shape != one.shape:
        wide = torch.broadcast_shapes(first.shape, one.shape)
        first = first.expand(wide)
        kept = kept.expand(*wide[:axis], length - 1, *wide[len(wide) + axis + 1 :])
    return torch.cat([kept, first] if reverse else [first, kept], dim=axis)


def step_keys(key: torch.Generator, length: int) -> list[torch.Generator]:
    """A generator for each step of a scan: the same one, which goes on."""
    return [key] * length


def scan(
    step: Callable[..., Any],
    init: tuple[Any, ...],
    xs: tuple[Any, ...],
    length: int,
    shapes: tuple[tuple[int, ...], ...],
    *,
    reverse: bool = False,
) -> tuple[Tensor, ...]:
    """Repeat a step.

    Args:
        step: function of (carry, x) -> (next carry, results).
        init: the first carry.
        xs: arrays with the steps in front.
        length: number of steps.
        shapes: plates and event of each carry; leading axes come from what a step computes.
        reverse: from the last step to the first.

    Returns:
        The results of all steps, these in front.
    """
    carry = tuple(
        c.expand(torch.broadcast_shapes(c.shape, s)) for c, s in zip(map(torch.as_tensor, init), shapes, strict=True)
    )
    steps = [x if isinstance(x, list) else x.unbind(0) for x in xs]
    order = range(length - 1, -1, -1) if reverse else range(length)
    rows: list[tuple[Tensor, ...]] = []
    for i in order:
        carry, results = step(carry, tuple(x[i] for x in steps))
        rows.append(results)
    if reverse:
        rows.reverse()
    # The first step may lack leading axes (draws, particles) that the carry has from then on.
    return tuple(torch.stack(torch.broadcast_tensors(*column)) for column in zip(*rows, strict=True))


# Numbers that one level of the tree of products may hold; beyond that, paths are summed step by step.
_LARGEST_TREE = 2**25


def chain(
    first: Tensor,
    own: Tensor,
    pair: Tensor,
    *,
    sites: int = 1,
    starts: bool = False,
    moving: bool = False,
    reverse: bool = False,
) -> Tensor:
    """The log of the sum over all paths of discrete values.

    The steps are multiplied in pairs, these again in pairs, and so on: a few large operations instead of many small
    ones. Where that would take too much memory, step by step.

    Args:
        first: log weights in the first step beyond `own`, shape (..., values...); with `starts`, one for each step,
            shape (..., steps, values...).
        own: log weights in each step, shape (..., steps, values...).
        pair: log weights of values now and before, shape (..., values..., values...); with `moving`, of each step.
        sites: how many sites there are, and so axes of values.
        starts: whether `first` is given for every step, of which one counts.
        moving: whether `pair` differs from step to step.
        reverse: whether the last step comes first.

    Returns:
        Shape (...), axes in front broadcast.
    """
    first, own, pair = (_flat(x, n, sites) for x, n in ((first, 1), (own, 1), (pair, 2)))
    if reverse:
        own = own.flip(-2)
        first = first.flip(-2) if starts else first
        pair = pair.flip(-3) if moving else pair
    first = first[..., 0, :] if starts else first
    # What cannot happen has a large negative weight: logsumexp of nothing but -inf has no gradient in torch. The
    # largest weights are kept apart: added up in the others, the rounding of long sequences would spoil float32.
    lowest = torch.finfo(own.dtype).min / 8.0
    alpha = (first + own[..., 0, :]).clamp(min=lowest)
    steps, values = own.shape[-2] - 1, own.shape[-1]
    pair = pair[..., 1:, :, :] if moving else pair.unsqueeze(-3)
    # Axes that only the first step has (the values of a site it starts from) join at the end.
    batch = torch.broadcast_shapes(own.shape[:-2], pair.shape[:-3])
    kept = torch.zeros((), dtype=own.dtype, device=own.device)
    if steps * values**3 * max(1, math.prod(batch)) > 2 * _LARGEST_TREE:
        later = torch.zeros(values, dtype=own.dtype, device=own.device)
        for t in reversed(range(steps)):
            ahead = (later + own[..., t + 1, :]).unsqueeze(-1) + pair[..., t if moving else 0, :, :]
            later = torch.logsumexp(ahead.clamp(min=lowest), -2).clamp(min=lowest)
            top = later.detach().amax(-1, keepdim=True)
            later, kept = later - top, kept + top[..., 0]
        alpha = alpha + later
    else:
        product = (pair + own[..., 1:, :].unsqueeze(-1)).clamp(min=lowest)
        while product.shape[-3] > 1:
            odd = product[..., -1:, :, :] if product.shape[-3] % 2 else None
            even = product.shape[-3] - product.shape[-3] % 2
            earlier, later = product[..., 0:even:2, :, :], product[..., 1:even:2, :, :]
            product = torch.logsumexp(later.unsqueeze(-1) + earlier.unsqueeze(-3), -2).clamp(min=lowest)
            top = product.detach().amax((-2, -1), keepdim=True)
            kept = kept + top.sum((-3, -2, -1))
            product = product - top if odd is None else torch.cat([product - top, odd], -3)
        if product.shape[-3]:
            alpha = torch.logsumexp(product[..., 0, :, :] + alpha.unsqueeze(-2), -1)
    total = torch.logsumexp(alpha, -1) + kept
    total = torch.where(total > lowest / 2.0, total, -torch.inf)
    return total.expand(torch.broadcast_shapes(total.shape, batch))


def _flat(x: Tensor, times: int, sites: int) -> Tensor:
    """The values of several sites on one axis; `times` such groups of axes stand at the right end."""
    if sites == 1:
        return x
    front = x.shape[: x.ndim - times * sites]
    groups = [x.shape[x.ndim - (times - i) * sites : x.ndim - (times - i - 1) * sites] for i in range(times)]
    return x.reshape(*front, *(math.prod(g) for g in groups))


def call_network(
    module: Any, params: dict[str, Tensor], name: str, x: Tensor, rank: int, shape: tuple[int, ...]
) -> Tensor:
    """A user's own module on folded elements, with its parameters taken from `params`."""
    flat, front = folded(x, rank)
    prefix = f"{name}."
    own = {k[len(prefix) :]: v for k, v in params.items() if k.startswith(prefix)}
    out = torch.func.functional_call(module, own, (flat,))
    check_rows(name, tuple(out.shape[1:]), shape)
    return out.reshape(*front, *out.shape[1:])


def held(params: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters as constants for the gradient."""
    return {name: p.detach() for name, p in params.items()}


# --- draws by torch's own samplers ----------------------------------------------------------------------------------


def _full(parameter: Tensor, shape: tuple[int, ...]) -> Tensor:
    return parameter.expand(shape).contiguous()


def sample_gamma(key: torch.Generator, concentration: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard gamma draws, with implicit pathwise gradients."""
    tiny = torch.finfo(concentration.dtype).tiny
    return torch._standard_gamma(_full(concentration, shape), generator=key).clamp(min=tiny)


def sample_beta(key: torch.Generator, a: Tensor, b: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Beta draws, with pathwise gradients."""
    both = torch.stack([_full(a, shape), _full(b, shape)], -1)
    return _dirichlet(both, key)[..., 0]


def sample_dirichlet(key: torch.Generator, concentration: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Dirichlet draws, with pathwise gradients."""
    return _dirichlet(_full(concentration, shape), key)


def _dirichlet(concentration: Tensor, key: torch.Generator) -> Tensor:
    class Draw(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, c: Tensor) -> Tensor:
            x = torch._sample_dirichlet(c, generator=key)
            ctx.save_for_backward(x, c)
            return x

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            (grad,) = grads
            x, c = ctx.saved_tensors
            local = torch._dirichlet_grad(x, c, c.sum(-1, True).expand_as(c))
            return local * (grad - (x * grad).sum(-1, True))

    return Draw.apply(concentration)  # type: ignore[return-value]


def sample_poisson(key: torch.Generator, rate: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Poisson draws; zeros where the rate is none, for which torch would raise without saying whose it is."""
    rate = rate.detach().nan_to_num(nan=0.0, posinf=0.0).clamp(min=0.0)
    return torch.poisson(_full(rate, shape), generator=key).long()


def sample_binomial(key: torch.Generator, total_count: Tensor, probs: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Binomial draws."""
    count = _full(torch.as_tensor(total_count).to(probs.dtype), shape)
    return torch.binomial(count, _full(probs.detach(), shape), generator=key).long()


def sample_multinomial(key: torch.Generator, total_count: Tensor, probs: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Multinomial draws: category by category, each a binomial share of what the earlier ones left."""
    probs = _full(probs.detach(), shape)
    left = torch.as_tensor(total_count).to(probs.dtype).expand(shape[:-1])
    # What is left of the probability, counted from the last category, so that rounding cannot make it negative.
    rest = probs.flip(-1).cumsum(-1).flip(-1)
    draws = []
    for i in range(shape[-1] - 1):
        share = (probs[..., i] / rest[..., i].clamp(min=torch.finfo(probs.dtype).tiny)).clamp(max=1.0)
        draws.append(torch.binomial(left.contiguous(), share, generator=key))
        left = left - draws[-1]
    return torch.stack([*draws, left], -1).long()


__all__ = [
    "attention",
    "avg_pool",
    "bernoulli_log_prob",
    "call_network",
    "chain",
    "cholesky",
    "clipped_sigmoid",
    "concat",
    "conv",
    "conv_transpose",
    "folded",
    "gather",
    "held",
    "layer_norm",
    "map_elements",
    "max_pool",
    "prod",
    "recurrent",
    "sample_beta",
    "sample_binomial",
    "sample_dirichlet",
    "sample_gamma",
    "sample_multinomial",
    "sample_poisson",
    "scan",
    "segment_sum",
    "shift",
    "step_keys",
    "take_along",
]
