"""Stochastic optimisation in JAX: many steps in one compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend.core import Literal

from .jax_arrays import draw_noise, x64
from .jax_parts import as_real, parted
from .protocol import Arrays, Averaging, NoiseShape, OptimizerSpec, Part


def _schedule(spec: OptimizerSpec) -> Any:
    """The learning rate as optax takes it: a number, or a function of the number of steps."""
    curve = spec.decay
    return spec.learning_rate if curve is None else lambda count: spec.learning_rate * curve.at(as_real(count), jnp)


def make_optimizer(spec: OptimizerSpec) -> optax.GradientTransformation:
    """The optax optimiser of a specification."""
    rate = _schedule(spec)
    settings = dict(spec.settings)
    match spec.name:
        case "adam" | "adamw":
            decay = settings.get("weight_decay")
            shrink = [] if decay is None else [optax.add_decayed_weights(decay)]
            moments = scale_by_adam(settings["beta1"], settings["beta2"], settings["eps"])
            base = optax.chain(moments, *shrink, optax.scale_by_learning_rate(rate))
        case "sgd":
            base = optax.sgd(rate, momentum=settings["momentum"] or None)
        case _:
            base = optax.rmsprop(rate, decay=settings["alpha"], eps=settings["eps"], eps_in_sqrt=False)
    clips = [] if spec.clip_norm is None else [optax.clip_by_global_norm(spec.clip_norm)]
    return optax.chain(*clips, base) if clips else base


def scale_by_adam(beta1: float, beta2: float, eps: float) -> optax.GradientTransformation:
    """Optax's transformation of this name, with its state, in the order of Kingma and Ba (2015), end of section 2.

    Both corrections of the bias are taken into the step's length, which leaves one division for each number where optax
    has three. On a CPU that is a fifth of the time of an update, and 2 to 5 per cent of a step of an autoencoder.
    """
    own = optax.scale_by_adam(beta1, beta2, eps)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        count = optax.safe_increment(state.count)
        first = jax.tree.map(lambda g, m: (1.0 - beta1) * g + beta1 * m, updates, state.mu)
        second = jax.tree.map(lambda g, v: (1.0 - beta2) * g**2 + beta2 * v, updates, state.nu)
        root = jnp.sqrt(1.0 - beta2**count)
        length = root / (1.0 - beta1**count)

        def one(m: jax.Array, v: jax.Array) -> jax.Array:
            return length.astype(m.dtype) * m / (jnp.sqrt(v) + eps * root.astype(m.dtype))

        return jax.tree.map(one, first, second), optax.ScaleByAdamState(count, first, second)

    return optax.GradientTransformation(own.init, update)


def averaged(transform: optax.GradientTransformation, averaging: Averaging) -> optax.GradientTransformation:
    """An optimiser that keeps a running mean of the parameters it leads to, first in its state."""

    def init(params: Any) -> Any:
        mean = jax.tree_util.tree_map(jnp.array, params)
        return mean, jnp.zeros((), jnp.int32), transform.init(params)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        mean, count, inner = state
        updates, inner = transform.update(updates, inner, params)
        after = optax.apply_updates(params, updates)
        rate = averaging.rate(as_real(count + 1), jnp)
        mean = jax.tree_util.tree_map(lambda m, p: m + rate.astype(m.dtype) * (p - m), mean, after)
        return updates, (mean, count + 1, inner)

    return optax.GradientTransformation(init, update)


def long_factors(loss: Callable[[Arrays], jax.Array], params: Arrays) -> frozenset[str]:
    """Matrices with more rows than columns that a loss uses in matrix products only, transposed or not.

    The optimisation stores these transposed. XLA's product for the gradient of a weight contracts the first axis of
    both its operands; on a CPU it takes two to five times as long where the result has the longer axis first
    (256 x 256 by 256 x 16 numbers: 139 us against 55), and the result lies as the weight does. Elsewhere the
    transposition costs nothing: products read a matrix either way.

    Args:
        loss: function of the parameters.
        params: arrays by name.
    """
    tall = {k for k, v in params.items() if v.ndim == 2 and v.shape[0] > v.shape[1]}
    if not tall:
        return frozenset()
    graph = jax.make_jaxpr(loss)(params).jaxpr
    names = dict(zip(graph.invars, sorted(params), strict=True))  # JAX flattens a dict in the order of its keys
    used: set[str] = set()
    for equation in graph.eqns:
        if equation.primitive.name not in ("transpose", "dot_general"):
            used |= {names[v] for v in equation.invars if not isinstance(v, Literal) and v in names}
    returned = {names[v] for v in graph.outvars if not isinstance(v, Literal) and v in names}
    return frozenset(tall - used - returned)


def turn(tree: Any, names: frozenset[str]) -> Any:
    """A tree of arrays with the matrices of some names transposed, wherever in it they are."""

    def one(path: tuple[Any, ...], leaf: Any) -> Any:
        named = bool(path) and isinstance(path[-1], jax.tree_util.DictKey) and path[-1].key in names
        return leaf.T if named else leaf

    return jax.tree_util.tree_map_with_path(one, tree) if names else tree


class JaxOptimization:
    """A fused loop: many steps in one `lax.scan`, compiled once for each number of steps.

    Args:
        loss: function of (params, values, data, noise, rows).
        params: starting values.
        data: arrays that all steps read.
        noise: random arguments of the loss.
        optimizer: the optimiser, or one for each part of the parameters.
        key: where noise comes from.
        precision: "float32" or "float64".
        averaging: the running mean of the parameters that is kept; None for none.
    """

    def __init__(
        self,
        loss: Callable[..., Any],
        params: Mapping[str, np.ndarray],
        data: Arrays,
        noise: tuple[NoiseShape, ...],
        optimizer: OptimizerSpec | tuple[Part, ...],
        key: jax.Array,
        precision: str,
        averaging: Averaging | None = None,
    ) -> None:
        self.data = data
        self.precision = precision
        self.averaging = averaging
        transform = parted(optimizer, make_optimizer) if isinstance(optimizer, tuple) else make_optimizer(optimizer)
        if averaging is not None:
            transform = averaged(transform, averaging)
        with x64(precision):
            start = {k: jnp.asarray(v, dtype=precision) for k, v in params.items()}
            self.carry: Any = (start, transform.init(start), key)
        # What is stored transposed, and what should be: that shows when the shapes of rows are known.
        self.turned: frozenset[str] = frozenset()
        self.long: frozenset[str] | None = None

        def value(params: Arrays, key: jax.Array, index: Arrays, data: Arrays) -> jax.Array:
            return loss(params, {}, data, draw_noise(key, noise, precision), index)

        def step(carry: Any, index: Arrays, data: Arrays, turned: frozenset[str]) -> tuple[Any, jax.Array]:
            params, state, key = carry
            key, now = jax.random.split(key)
            own, grads = jax.value_and_grad(lambda p: value(turn(p, turned), now, index, data))(params)
            updates, state = transform.update(grads, state, params)
            return (optax.apply_updates(params, updates), state, key), own

        @partial(jax.jit, static_argnames=("steps", "turned"))
        def many(
            carry: Any, index: Arrays, data: Arrays, steps: int, turned: frozenset[str]
        ) -> tuple[Any, jax.Array, jax.Array]:
            after, losses = jax.lax.scan(lambda c, i: step(c, i, data, turned), carry, index, length=steps)
            sound = [jnp.all(jnp.isfinite(after[0][k]) | ~jnp.isfinite(v)) for k, v in carry[0].items()]
            return after, losses, jnp.stack(sound).all()

        self.value = value
        self.many = many

    def run(
        self, steps: int, index: Mapping[str, np.ndarray], meanwhile: Callable[[], None] | None = None
    ) -> np.ndarray:
        """Advance until a step is not finite; the losses."""
        index = {k: v.astype(self.precision) if v.dtype.kind == "f" else v for k, v in index.items()}
        with x64(self.precision):
            self._store({k: v[0] for k, v in index.items()})
            # Arrays never change: this is the way back, and it costs nothing.
            before, good = self.carry, steps
            while good:
                rows = {k: v[:good] for k, v in index.items()}
                self.carry, losses, sound = self.many(before, rows, self.data, good, self.turned)
                # The call returns at once; the steps are taken by other threads.
                if meanwhile is not None:
                    meanwhile()
                    meanwhile = None
                taken = np.asarray(losses)
                finite = np.isfinite(taken)
                if sound and finite.all():
                    return taken
                # A loss that is finite may have a gradient that is not: then the parameters show it after the step.
                good = good - 1 if finite.all() else int(np.argmin(finite))
            self.carry = before
            return np.zeros(0)

    def _store(self, rows: Arrays) -> None:
        """Bring the state into the layout in which steps are fastest."""
        params, state, key = self.carry
        if self.long is None:
            self.long = long_factors(lambda p: self.value(p, key, rows, self.data), params)
        params, state = turn((params, state), self.turned ^ self.long)
        self.carry, self.turned = (params, state, key), self.long

    def params(self) -> Arrays:
        """The parameters now."""
        return turn(dict(self.carry[0]), self.turned)

    def averaged(self) -> Arrays:
        """The running mean of the parameters, or the parameters now."""
        return self.params() if self.averaging is None else turn(dict(self.carry[1][0]), self.turned)

    def state(self) -> dict[str, np.ndarray]:
        """Parameters, optimiser state and key as numpy arrays."""
        params, state, key = self.carry
        leaves = jax.tree_util.tree_leaves(turn((params, state), self.turned))
        out = {f"leaf.{i}": np.asarray(leaf) for i, leaf in enumerate(leaves)}
        return out | {"key": np.asarray(jax.random.key_data(key))}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go back to a state."""
        params, opt, _ = self.carry
        leaves, tree = jax.tree_util.tree_flatten(turn((params, opt), self.turned))
        with x64(self.precision):
            new = [jnp.asarray(state[f"leaf.{i}"], dtype=leaf.dtype) for i, leaf in enumerate(leaves)]
            filled = jax.tree_util.tree_unflatten(tree, new)
            self.carry = (*filled, jax.random.wrap_key_data(jnp.asarray(state["key"])))
        self.turned = frozenset()
