"""An interpreter of value graphs in numpy and scipy, float64: the exact reference for other evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import scipy.linalg
import scipy.special as sp

from ppl.program.distributions import Distribution
from ppl.program.values import DType, Frozen, Plate, Shape, Value, reference, walk

Array = np.ndarray


def _axes(attrs: dict[str, Any]) -> dict[str, Any]:
    return {"axis": tuple(attrs["axis"]), "keepdims": bool(attrs.get("keepdims", False))}


def _over_one_axis(function: Callable[..., Array]) -> Callable[..., Array]:
    def run(x: Array, axis: tuple[int, ...], keepdims: bool = False) -> Array:
        kept = [i for i in range(-x.ndim, 0) if i not in axis]
        order = [i + x.ndim for i in (*kept, *axis)]
        flat = np.transpose(x, order).reshape(*(x.shape[i] for i in kept), -1)
        out = function(flat, axis=-1)
        if not keepdims:
            return out
        return out.reshape([1 if i in axis else x.shape[i] for i in range(-x.ndim, 0)])

    return run


def _index(x: Array, key: tuple[Any, ...]) -> Array:
    return x[tuple(slice(*k) if isinstance(k, tuple) else k for k in key)]


def _take_along(x: Array, index: Array) -> Array:
    lead = np.broadcast_shapes(x.shape[:-1], index.shape[:-1])
    wide, at = np.broadcast_to(x, lead + x.shape[-1:]), np.broadcast_to(index, lead + index.shape[-1:])
    return np.take_along_axis(wide, at, axis=-1)


def _solve_triangular(a: Array, b: Array, lower: bool) -> Array:
    return np.linalg.solve(np.tril(a) if lower else np.triu(a), b)


def _diag_embed(x: Array) -> Array:
    return x[..., None] * np.eye(x.shape[-1])


def _segment_sum(x: Array, index: Array, size: int) -> Array:
    out = np.zeros((size, *x.shape[1:]))
    np.add.at(out, index, x)
    return out


def _softmax(x: Array, axis: tuple[int, ...]) -> Array:
    return sp.softmax(x, axis=axis)


NAMED: dict[str, Callable[..., Any]] = {
    **{
        n: getattr(np, n)
        for n in ["add", "subtract", "multiply", "divide", "maximum", "minimum", "floor_divide", "remainder"]
    },
    **{
        n: getattr(np, n)
        for n in [
            "negative",
            "abs",
            "sign",
            "square",
            "floor",
            "ceil",
            "trunc",
            "exp",
            "expm1",
            "log",
            "log1p",
            "log2",
            "log10",
        ]
    },
    **{
        n: getattr(np, n)
        for n in ["sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "logaddexp", "isnan", "isfinite", "isinf"]
    },
    **{n: getattr(np, n) for n in ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"]},
    **{n: getattr(np, n) for n in ["logical_and", "logical_or", "logical_xor", "logical_not", "where", "tril", "triu"]},
    **{n: getattr(np, f"arc{n[1:]}") for n in ["asin", "acos", "atan", "asinh", "acosh", "atanh"]},
    **{
        n: getattr(sp, n)
        for n in [
            "erf",
            "erfc",
            "erfinv",
            "digamma",
            "ndtr",
            "ndtri",
            "log_ndtr",
            "i0e",
            "i1e",
            "xlogy",
            "xlog1py",
            "logit",
        ]
    },
    "round": np.round,
    "atan2": np.arctan2,
    "pow": lambda x, y: np.power(np.asarray(x, dtype=float), y),
    "lgamma": sp.gammaln,
    "gammainc": sp.gammainc,
    "gammaincc": sp.gammaincc,
    "betainc": sp.betainc,
    "erfcx": sp.erfcx,
    "sinc": np.sinc,
    "copysign": np.copysign,
    "sigmoid": sp.expit,
    "clipped_sigmoid": lambda x: np.clip(sp.expit(x), np.finfo(float).tiny, 1.0 - np.finfo(float).eps),
    "log_sigmoid": sp.log_expit,
    "softplus": lambda x: np.logaddexp(x, 0.0),
    "relu": lambda x: np.maximum(x, 0.0),
    "gelu": lambda x: x * sp.ndtr(x),
    "silu": lambda x: x * sp.expit(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0.0))),
    "leaky_relu": lambda x, slope: np.where(x > 0, x, slope * x),
    "bernoulli_log_prob": lambda logits, x: x * logits - np.logaddexp(logits, 0.0),
    "stop_gradient": lambda x: x,
    "cholesky": np.linalg.cholesky,
    "inv": np.linalg.inv,
    "expm": scipy.linalg.expm,
    "eigh": np.linalg.eigh,
    "qr": np.linalg.qr,
    "det": np.linalg.det,
    "logdet": lambda x: np.linalg.slogdet(x)[1],
    "diagonal": lambda x: np.diagonal(x, axis1=-2, axis2=-1),
    "diag_embed": _diag_embed,
    "solve": np.linalg.solve,
    "matmul": np.matmul,
    "linear": lambda x, weight, bias=0.0: x @ weight.T + bias,
    "take": lambda table, index: table[index],
    "take_along": _take_along,
}

FACTORS = frozenset(["eigh", "qr", "svd"])

WITH_ATTRIBUTES: dict[str, Callable[..., Any]] = {
    "astype": lambda x, dtype: x.astype({"float": np.float64, "int": np.int64, "bool": bool}[dtype]),
    "sum": lambda x, **kw: np.sum(x, **_axes(kw)),
    "prod": lambda x, **kw: np.prod(x, **_axes(kw)),
    "max": lambda x, **kw: np.max(x, **_axes(kw)),
    "min": lambda x, **kw: np.min(x, **_axes(kw)),
    "mean": lambda x, **kw: np.mean(x, **_axes(kw)),
    "var": lambda x, correction=0, **kw: np.var(x, ddof=correction, **_axes(kw)),
    "all": lambda x, **kw: np.all(x, **_axes(kw)),
    "any": lambda x, **kw: np.any(x, **_axes(kw)),
    "logsumexp": lambda x, **kw: sp.logsumexp(x, **_axes(kw)),
    "argmax": _over_one_axis(np.argmax),
    "argmin": _over_one_axis(np.argmin),
    "cumsum": lambda x, axis: np.cumsum(x, axis=axis[0]),
    "cumprod": lambda x, axis: np.cumprod(x, axis=axis[0]),
    "cummax": lambda x, axis: np.maximum.accumulate(x, axis=axis[0]),
    "cummin": lambda x, axis: np.minimum.accumulate(x, axis=axis[0]),
    "cumlogsumexp": lambda x, axis: np.logaddexp.accumulate(x, axis=axis[0]),
    "polygamma": lambda x, n: sp.polygamma(n, x),
    "svd": lambda x: np.linalg.svd(x, full_matrices=False),
    "unpack": lambda whole, at: whole[at],
    "segment_sum": _segment_sum,
    "sort": lambda x, axis: np.sort(x, axis=axis[0]),
    "argsort": lambda x, axis: np.argsort(x, axis=axis[0], kind="stable"),
    "flip": lambda x, axis: np.flip(x, axis=axis),
    "softmax": _softmax,
    "log_softmax": lambda x, axis: sp.log_softmax(x, axis=axis),
    "solve_triangular": _solve_triangular,
    "reshape": lambda x, shape: np.reshape(x, shape),
    "permute_dims": lambda x, axes: np.transpose(x, axes),
    "broadcast_to": lambda x, shape: np.broadcast_to(x, shape),
    "stack": lambda *xs, axis: np.stack(xs, axis=axis),
    "concat": lambda *xs, axis: np.concatenate(xs, axis=axis),
    "einsum": lambda *xs, pattern: np.einsum(pattern, *xs),
    "index": _index,
    "one_hot": lambda x, size: np.eye(size)[x],
}


def leaf_key(value: Value) -> str:
    """What a leaf is bound by: its name."""
    return value.attr("name")


def evaluate(
    value: Value | float, bindings: Mapping[str, Any] | None = None, lanes: Mapping[Plate, int] | None = None
) -> Array:
    """The number or array that a value without plates stands for.

    Args:
        value: the expression; a number stands for itself.
        bindings: arrays for the leaves, by name; a callable is given `evaluate`, for draws that depend on other values.
        lanes: which alternative of each lane is meant.

    Raises:
        KeyError: a leaf without an array, or an operation without a rule.
    """
    if not isinstance(value, Value):
        return np.asarray(value)
    bound, chosen = dict(bindings or {}), dict(lanes or {})
    done: dict[int, Any] = {}
    # Infinities and NaN are values like others, as they are in torch and JAX.
    with np.errstate(all="ignore"):
        for node in walk([value]):
            if node.op == "lane_logsumexp":
                lane = node.attr("lane")
                terms = [evaluate(node.args[0], bound, {**chosen, lane: i}) for i in range(lane.size)]
                done[id(node)] = sp.logsumexp(np.stack(terms), axis=0)
            elif all(p in chosen for p in node.plates):
                done[id(node)] = _node(node, [done[id(a)] for a in node.args], bound, chosen)
    return np.asarray(done[id(value)])


def _node(node: Value, args: list[Array], bound: dict[str, Any], lanes: Mapping[Plate, int]) -> Any:
    attrs = dict(node.attrs)
    if node.op == "element":
        return args[0][lanes[attrs["plate"]]]
    if node.op == "const":
        item = attrs["value"]
        return np.asarray(item.array if isinstance(item, Frozen) else item)
    if not node.args and node.op not in NAMED and node.op not in WITH_ATTRIBUTES:
        item = bound[leaf_key(node)]
        out = np.asarray(item(lambda v: evaluate(v, bound)) if callable(item) else item)
    elif node.op in WITH_ATTRIBUTES:
        out = WITH_ATTRIBUTES[node.op](*args, **attrs)
    else:
        out = NAMED[node.op](*args)
    if node.op in FACTORS:
        # Several arrays at once; `unpack` takes them out.
        return out
    if np.shape(out) != node.shape:
        raise AssertionError(f"{node!r} evaluates to shape {np.shape(out)}")
    return out


# Native samplers of a backend, in numpy.
SAMPLERS: dict[str, Callable[..., Array]] = {
    "gamma": lambda g, shape, a: g.gamma(a, size=shape),
    "beta": lambda g, shape, a, b: g.beta(a, b, size=shape),
    "dirichlet": lambda g, shape, a: _normalised(g.gamma(np.broadcast_to(a, shape))),
    "poisson": lambda g, shape, rate: g.poisson(rate, size=shape),
    "binomial": lambda g, shape, n, p: g.binomial(n, p, size=shape),
    "multinomial": lambda g, shape, n, p: g.multinomial(n, np.broadcast_to(p, shape)),
}


def _normalised(x: Array) -> Array:
    return x / x.sum(-1, keepdims=True)


class NumpyNoise:
    """Noise from a numpy generator; `bindings` holds the arrays for `evaluate`."""

    def __init__(self, seed: int) -> None:
        self.generator = np.random.default_rng(seed)
        self.bindings: dict[str, Any] = {}

    def _leaf(self, item: Any, shape: Shape, dtype: DType) -> Value:
        name = f"noise{len(self.bindings)}"
        self.bindings[name] = item
        return reference("noise", name, (), shape, dtype)

    def normal(self, shape: Shape) -> Value:
        return self._leaf(self.generator.standard_normal(shape), shape, "float")

    def uniform(self, shape: Shape) -> Value:
        return self._leaf(self.generator.uniform(np.finfo(float).tiny, 1.0, shape), shape, "float")

    def native(self, sampler: str, args: tuple[Value, ...], shape: Shape, dtype: DType) -> Value:
        drawn: list[Array] = []

        def draw(value_of: Callable[[Value], Array]) -> Array:
            # Once only: every value that uses the draw sees the same one.
            if not drawn:
                drawn.append(SAMPLERS[sampler](self.generator, shape, *(value_of(a) for a in args)))
            return drawn[0]

        return self._leaf(draw, shape, dtype)


def draws_of(dist: Distribution, count: int, seed: int) -> Array:
    """Independent draws of a distribution, by its own noise form; shape (count, event)."""
    noise = NumpyNoise(seed)
    wide = dist.expand((count, *dist.element_shape))
    return evaluate(wide.draw(noise), noise.bindings)


def symbol(name: str, shape: Shape = (), dtype: DType = "float") -> Value:
    """A free value to be bound when evaluating."""
    return reference("input", name, (), shape, dtype)
