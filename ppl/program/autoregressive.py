"""Autoregressive steps of flows: each entry by a map that depends on the entries before it.

One direction sees all entries at once (a masked perceptron gives all maps together). The other finds one entry after
the other. There each unit of the perceptron is computed when the entries it depends on are known, so that the whole
costs no more arithmetic than one pass, in as many dependent stages as there are entries; the stages are unrolled.

Sources: Germain, Gregor, Murray and Larochelle (2015), MADE; Kingma et al. (2016), Improved variational inference with
inverse autoregressive flow; Papamakarios, Pavlakou and Murray (2017), Masked autoregressive flow.
"""

from __future__ import annotations

import numpy as np

from .flows import (
    LONGEST_UNROLLED,
    Weights,
    dense,
    dense_weights,
    free_numbers,
    joined,
    map_entries,
    step,
    total_of,
)
from .layers import Layer, Settings, Weight, apply_layer
from .ops import apply
from .values import Value


def degrees(size: int, units: int, context: int) -> np.ndarray:
    """How many entries, counted from the first, each unit of a hidden layer may depend on: rising, evenly spread.

    Without a context no unit depends on nothing: it would be a constant.
    """
    least = 0 if context or size == 1 else 1
    return least + np.arange(units) * (size - least) // units


def masks(s: Settings) -> list[np.ndarray]:
    """For each affine map of the perceptron, one where a weight may differ from zero."""
    size: int = s["size"]
    context: int = s["context"]
    before = np.maximum(np.arange(context + size) - context + 1, 0)
    out: list[np.ndarray] = []
    for units in s["hidden"]:
        own = degrees(size, units, context)
        out.append((before[None, :] <= own[:, None]).astype(float))
        before = own
    last = np.arange(size * free_numbers(s)) // free_numbers(s)
    out.append((before[None, :] <= last[:, None]).astype(float))
    return out


def _weights(s: Settings) -> tuple[Weight, ...]:
    return dense_weights([s["context"] + s["size"], *s["hidden"], s["size"] * free_numbers(s)])


def _parallel(s: Settings, x: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    """The maps of all entries, from all entries."""
    out = dense(joined(x, context), w, s["activation"], masks(s))
    free = apply("reshape", out, shape=(*out.shape[:-1], s["size"], free_numbers(s)))
    image, log_slopes = map_entries(s, x, free, backward)
    return image, total_of(log_slopes)


def _sequential(s: Settings, y: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    """Entry after entry: each map depends on the results before it."""
    size, count = s["size"], free_numbers(s)
    layers = [degrees(size, units, s["context"]) for units in s["hidden"]]
    # What is known so far: the inputs of the perceptron, and the units of each hidden layer; None for nothing yet.
    known: list[Value | None] = [context, *(None for _ in layers)]
    found: list[Value] = []
    slopes: list[Value] = []
    for k in range(size):
        for depth, own in enumerate(layers):
            rows = slice(int(np.searchsorted(own, k)), int(np.searchsorted(own, k + 1)))
            if rows.start < rows.stop:
                units = _affine(known[depth], w[2 * depth], w[2 * depth + 1], rows)
                units = apply_layer(Layer("", s["activation"]), units, ())
                known[depth + 1] = _appended(known[depth + 1], units)
        free = _affine(known[-1], w[-2], w[-1], slice(k * count, (k + 1) * count))
        entry, log_slope = map_entries(s, y[..., k : k + 1], free[..., None, :], backward)
        found.append(entry)
        slopes.append(log_slope)
        known[0] = _appended(known[0], entry)
    return joined_entries(found), total_of(joined_entries(slopes))


def _affine(x: Value | None, weight: Value, bias: Value, rows: slice) -> Value:
    """Some rows of an affine map, from the inputs that are known; the others have zero weights there."""
    if x is None:
        return bias[..., rows]
    return apply("linear", x, weight[..., rows, : x.shape[-1]], bias[..., rows])


def _appended(x: Value | None, more: Value) -> Value:
    return more if x is None else apply("concat", x, more, axis=-1)


def joined_entries(entries: list[Value]) -> Value:
    """Entries as one vector."""
    return entries[0] if len(entries) == 1 else apply("concat", *entries, axis=-1)


def _autoregressive(s: Settings, x: Value, w: Weights, context: Value | None, backward: bool) -> tuple[Value, Value]:
    run = _parallel if _is_parallel(s, backward) else _sequential
    return run(s, x, w, context, backward)


def _is_parallel(s: Settings, backward: bool) -> bool:
    return backward == (s["parallel"] == "backward")


def _refuses(s: Settings, backward: bool) -> tuple[str, str] | None:
    if _is_parallel(s, backward) or s["size"] <= LONGEST_UNROLLED:
        return None
    what = "scores given values" if backward else "draws"
    other = "nn.MAF, which scores all entries at once" if backward else "nn.IAF, which draws all entries at once"
    why = f"it {what} one entry after the other, and {s['size']} are too many: up to {LONGEST_UNROLLED} are unrolled."
    return why, f"Use {other}, or nn.RealNVP or nn.SplineCoupling, which are quick both ways."


step("autoregressive", _autoregressive, _weights, _refuses)
