"""Steps of normalizing flows as data: the parameter arrays of each kind, and its map of one vector in ops, both ways.

A flow is a network whose layers are such steps. Each acts on the last event axis; axes in front are further elements.
A step gives the log of the volume that it stretches space by along with its image, for what the two share.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ppl.errors import StrategyError

from .layers import Layer, Settings, Weight, apply_layer, kind, uniform_bound
from .ops import apply
from .splines import numbers, spline
from .values import Shape, Value, lift

# Log scales stay within this of zero in each step, so that no product of scales overflows early in training.
LARGEST_LOG_SCALE = 3.0
# Steps that run through the entries of a vector one after the other are unrolled up to this many entries.
LONGEST_UNROLLED = 64

Weights = tuple[Value, ...]
# Settings, the vector, the step's weights, the context or None, whether backward -> image, log volume.
Run = Callable[[Settings, Value, Weights, Value | None, bool], tuple[Value, Value]]


@dataclass(frozen=True)
class Step:
    """What a kind of step is.

    Attributes:
        run: the map of a vector, and the log of the volume it stretches space by there, without the last event axis.
        refuses: why a direction cannot be computed, with what to do; None if it can.
    """

    run: Run
    refuses: Callable[[Settings, bool], tuple[str, str] | None]


STEPS: dict[str, Step] = {}


def step(
    name: str,
    run: Run,
    weights: Callable[[Settings], tuple[Weight, ...]],
    refuses: Callable[[Settings, bool], tuple[str, str] | None] = lambda s, backward: None,
) -> None:
    """Enter a kind of step, as a kind of layer too: what a layer gives is the image."""
    STEPS[name] = Step(run, refuses)
    kind(name, lambda s, x, w, others: run(s, x, w, (*others, None)[0], False)[0], weights, (0, 1))


def is_flow(layers: Sequence[Layer]) -> bool:
    """Whether a network is a flow."""
    return bool(layers) and all(layer.kind in STEPS for layer in layers)


def flow_size(layers: Sequence[Layer]) -> int:
    """Length of the vectors that a flow maps."""
    return layers[0].get("size")


def flow_context(layers: Sequence[Layer]) -> int:
    """Length of the context that a flow needs, 0 for none."""
    return max(int(dict(layer.settings).get("context", 0)) for layer in layers)


def refusal(layers: Sequence[Layer], backward: bool) -> tuple[str, str] | None:
    """Why a flow cannot be run in a direction, with what to do; None if it can."""
    found = (STEPS[layer.kind].refuses(dict(layer.settings), backward) for layer in layers)
    return next((reason for reason in found if reason is not None), None)


def run_flow(
    layers: Sequence[Layer], x: Value, weights: Sequence[Value], context: Value | None, backward: bool
) -> tuple[Value, Value]:
    """The image of a vector under a flow, and the log of the volume that this map stretches space by there.

    Args:
        layers: the steps, the first applied first.
        x: the vector; event axes in front of its last one are further elements.
        weights: the weights of all steps in order.
        context: what the flow depends on, or None.
        backward: whether to give the preimage instead.

    Returns:
        The image, shape of `x`; log |det| of its derivative in nats, shape of `x` without the last axis.

    Raises:
        StrategyError: a step cannot be computed in this direction.
    """
    reason = refusal(layers, backward)
    if reason is not None:
        raise StrategyError(reason[0], remedy=reason[1])
    if context is not None and context.ndim < x.ndim:
        context = apply("broadcast_to", context, shape=(*x.shape[:-1], context.shape[-1]))
    own: list[Weights] = []
    start = 0
    for layer in layers:
        count = len(layer.weights)
        own.append(tuple(weights[start : start + count]))
        start += count
    total: Value | None = None
    for layer, w in reversed([*zip(layers, own, strict=True)]) if backward else zip(layers, own, strict=True):
        x, change = STEPS[layer.kind].run(dict(layer.settings), x, w, context, backward)
        total = change if total is None else total + change
    assert total is not None
    return x, total


# --- what steps are made of ------------------------------------------------------------------------------------------


def free_numbers(s: Settings) -> int:
    """Free numbers of the map of one entry: log scale and shift, or those of a spline."""
    return 2 if s["transform"] == "affine" else numbers(s["bins"])


def map_entries(s: Settings, x: Value, free: Value, backward: bool) -> tuple[Value, Value]:
    """Each entry by a map of its own: the image, and the log of the slope of each.

    Args:
        s: the setting `transform`, for splines also `bins` and `bound`.
        x: entries, shape (..., count).
        free: the free numbers of each map, shape (..., count, free_numbers); zeros give the identity.
        backward: whether to give the preimage instead.
    """
    if s["transform"] == "spline":
        return spline(free, x, s["bins"], s["bound"], backward)
    log_scale = LARGEST_LOG_SCALE * apply("tanh", free[..., 0] / LARGEST_LOG_SCALE)
    shift = free[..., 1]
    image = (x - shift) * apply("exp", -log_scale) if backward else x * apply("exp", log_scale) + shift
    return image, spread(-log_scale if backward else log_scale, x.shape)


def spread(x: Value, shape: Shape) -> Value:
    """A value repeated to a shape."""
    return x if x.shape == shape else apply("broadcast_to", x, shape=shape)


def dense_weights(sizes: Sequence[int], last: str = "zeros") -> tuple[Weight, ...]:
    """Weights and biases of affine maps one after the other; those of the last one start as `last` says.

    From zeros a flow starts as the identity, which is where training is most stable (Kingma and Dhariwal, 2018).
    """
    out: list[Weight] = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        start = last if i == len(sizes) - 2 else "uniform"
        bound = uniform_bound(inputs)
        out += [
            Weight(f"{i}.weight", (outputs, inputs), start, bound),
            Weight(f"{i}.bias", (outputs,), start, bound),
        ]
    return tuple(out)


def dense(x: Value, weights: Weights, activation: str, masks: Sequence[np.ndarray] = ()) -> Value:
    """Affine maps with activations between them; weights are cut to zero where their mask is."""
    for i in range(0, len(weights), 2):
        weight = weights[i] * lift(masks[i // 2]) if masks else weights[i]
        x = apply("linear", x, weight, weights[i + 1])
        if i < len(weights) - 2:
            x = apply_layer(Layer("", activation), x, ())
    return x


def joined(x: Value | None, context: Value | None) -> Value:
    """What a conditioner sees: the context, and a part of the vector."""
    parts = [v for v in (context, x) if v is not None]
    return parts[0] if len(parts) == 1 else apply("concat", *parts, axis=-1)


def total_of(log_slopes: Value) -> Value:
    """The log volume from the log slopes of the entries."""
    return apply("sum", log_slopes, axis=(-1,), keepdims=False)


def zeros_like(x: Value) -> Value:
    """The log volume of a map that keeps volumes."""
    return lift(np.zeros(x.shape[:-1]) if x.ndim > 1 else 0.0)


# --- couplings -------------------------------------------------------------------------------------------------------


def _halves(s: Settings) -> tuple[int, int]:
    stays = s["size"] // 2
    return stays, s["size"] - stays


def _coupling_weights(s: Settings) -> tuple[Weight, ...]:
    stays, moves = _halves(s)
    return dense_weights([stays + s["context"], *s["hidden"], moves * free_numbers(s)])


def _coupling(s: Settings, x: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    """Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP, equations 7 and 8."""
    stays, moves = _halves(s)
    fixed, rest = x[..., :stays], x[..., stays:]
    out = dense(joined(fixed, context), w, s["activation"])
    free = apply("reshape", out, shape=(*out.shape[:-1], moves, free_numbers(s)))
    moved, log_slopes = map_entries(s, rest, free, backward)
    return apply("concat", fixed, moved, axis=-1), total_of(log_slopes)


step("coupling", _coupling, _coupling_weights)


# --- every entry for itself ------------------------------------------------------------------------------------------


def parameter_weights(s: Settings, count: int, start: str) -> tuple[Weight, ...]:
    """The weights behind the numbers that a step needs: the numbers, or a perceptron from the context to them."""
    if not s["context"]:
        return (Weight("free", (count,), start, uniform_bound(s["size"])),)
    return dense_weights([s["context"], *s["hidden"], count], start)


def parameters(s: Settings, w: Weights, context: Value | None, shape: Shape) -> Value:
    """The numbers that a step needs, in a shape of event axes; axes of further elements in front."""
    flat = dense(context, w, s["activation"]) if s["context"] and context is not None else w[0]
    return apply("reshape", flat, shape=(*flat.shape[:-1], *shape))


def _elementwise(s: Settings, x: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    image, log_slopes = map_entries(s, x, parameters(s, w, context, (s["size"], free_numbers(s))), backward)
    return image, total_of(log_slopes)


step("elementwise", _elementwise, lambda s: parameter_weights(s, s["size"] * free_numbers(s), "zeros"))


# --- mixing the entries ----------------------------------------------------------------------------------------------


def _permutation(s: Settings, x: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    order = np.array(s["order"])
    if np.array_equal(order, np.arange(len(order))[::-1]):
        return apply("flip", x, axis=(-1,)), zeros_like(x)
    return x[..., np.argsort(order) if backward else order], zeros_like(x)


def _lu_weights(s: Settings) -> tuple[Weight, ...]:
    n = s["size"]
    return Weight("lower", (n, n), "zeros"), Weight("upper", (n, n), "zeros"), Weight("log_diagonal", (n,), "zeros")


def _lu(s: Settings, x: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    """Kingma and Dhariwal (2018), Glow, section 3.2: a matrix P L U, P a fixed permutation."""
    n, order = s["size"], np.array(s["order"])
    lower = w[0] * lift(np.tril(np.ones((n, n)), -1)) + lift(np.eye(n))
    upper = w[1] * lift(np.triu(np.ones((n, n)), 1)) + apply("diag_embed", apply("exp", w[2]))
    log_volume = spread(apply("sum", w[2], axis=(-1,), keepdims=False), x.shape[:-1])
    if not backward:
        image = apply("linear", x, apply("matmul", lower, upper))
        return image[..., order], log_volume
    # The inverse matrix is made once for all vectors; a system solved for each would repeat the matrix.
    half = apply("solve_triangular", lower, lift(np.eye(n)), lower=True)
    return apply("linear", x[..., np.argsort(order)], apply("solve_triangular", upper, half, lower=False)), -log_volume


def _householder(s: Settings, x: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    """Tomczak and Welling (2016), Improving variational auto-encoders using Householder flow: reflections."""
    count = s["reflections"]
    vectors = parameters(s, w, context, (count, s["size"]))
    for i in reversed(range(count)) if backward else range(count):
        v = vectors[..., i, :]
        along = apply("sum", x * v, axis=(-1,), keepdims=True)
        # The shift is far below rounding, except at a vector of zeros, which reflects nothing.
        x = x - (2.0 * along / (apply("sum", apply("square", v), axis=(-1,), keepdims=True) + 1e-30)) * v
    return x, zeros_like(x)


step("permutation", _permutation, lambda s: ())
step("lu", _lu, _lu_weights)
step("householder", _householder, lambda s: parameter_weights(s, s["reflections"] * s["size"], "normal"))


# --- maps without an inverse in closed form --------------------------------------------------------------------------


def _one_way(what: str) -> Callable[[Settings, bool], tuple[str, str] | None]:
    def refuses(s: Settings, backward: bool) -> tuple[str, str] | None:
        if not backward:
            return None
        why = f"a {what} flow has no inverse in closed form, so the density of a given value cannot be computed."
        use = "nn.RealNVP, nn.SplineCoupling or nn.MAF"
        return why, f"A {what} flow belongs in a guide, which scores its own draws; elsewhere use {use}."

    return refuses


def _planar(s: Settings, x: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    """Rezende and Mohamed (2015), Variational inference with normalizing flows, equations 10 to 12 and appendix A.1."""
    n = s["size"]
    numbers = parameters(s, w, context, (2 * n + 1,))
    u, v, shift = numbers[..., :n], numbers[..., n : 2 * n], numbers[..., 2 * n :]
    inner = apply("sum", u * v, axis=(-1,), keepdims=True)
    size = apply("sum", apply("square", v), axis=(-1,), keepdims=True) + 1e-12
    # u is moved along v until u'v > -1, which is what makes the map invertible.
    u = u + ((apply("softplus", inner) - 1.0 - inner) / size) * v
    bend = apply("tanh", apply("sum", x * v, axis=(-1,), keepdims=True) + shift)
    reach = apply("sum", u * v, axis=(-1,), keepdims=True)
    change = apply("log1p", reach * (1.0 - apply("square", bend)))
    return x + u * bend, change[..., 0]


def _radial(s: Settings, x: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    """Rezende and Mohamed (2015), equation 14 and appendix A.2."""
    n = s["size"]
    numbers = parameters(s, w, context, (n + 2,))
    away = x - numbers[..., :n]
    alpha = apply("softplus", numbers[..., n : n + 1]) + 1e-3
    beta = apply("softplus", numbers[..., n + 1 :]) - alpha
    # The shift is far below rounding, except at the centre, where the gradient of a root is not finite.
    r = apply("sqrt", apply("sum", apply("square", away), axis=(-1,), keepdims=True) + 1e-30)
    pull = beta / (alpha + r)
    # beta h + beta h' r with h = 1 / (alpha + r) is beta alpha / (alpha + r)**2.
    change = (n - 1.0) * apply("log1p", pull) + apply("log1p", pull * alpha / (alpha + r))
    return x + pull * away, change[..., 0]


step("planar", _planar, lambda s: parameter_weights(s, 2 * s["size"] + 1, "uniform"), _one_way("planar"))
step("radial", _radial, lambda s: parameter_weights(s, s["size"] + 2, "uniform"), _one_way("radial"))
