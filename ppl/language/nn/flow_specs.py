"""Flows as network specifications: the steps behind the constructors of `flows`, checked."""

# What a user passes is checked when it comes, whatever its annotation says.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ppl.errors import ModelError, ShapeError, UnknownNameError, nearest, user_location
from ppl.program.networks import Layer, NetworkSpec

from .declaring import check_sizes, known_activation, make_layer

MIXINGS = ("reverse", "permute", "lu", "householder")
LEARNED_MIXINGS = ("lu", "householder")
TRANSFORMS = ("affine", "spline")


def _flow(name: str, text: str, size: int, steps: Sequence[Layer], mixing: str | None = None) -> NetworkSpec:
    """The network of some steps, with entries mixed between two of them; steps are named by their place."""
    layers: list[Layer] = []
    for i, own in enumerate(steps):
        if i and mixing is not None:
            layers.append(_mixing(name, size, mixing, i))
        layers.append(own)
    return NetworkSpec(name, tuple(Layer(str(i), x.kind, x.settings) for i, x in enumerate(layers)), text)


def _known(name: str, what: str, item: str, known: Sequence[str], remedy: str = "") -> str:
    if item not in known:
        raise UnknownNameError(
            f"network {name!r}: there is no {what} {item!r}.",
            declared_at=user_location(),
            expected=f"one of {tuple(known)}",
            got=repr(item),
            remedy=remedy or nearest(str(item), known),
        )
    return item


def _mixing(name: str, size: int, mixing: str, seed: int, reflections: int = 4) -> Layer:
    _known(name, "mixing", mixing, MIXINGS)
    if mixing == "reverse":
        return make_layer("", "permutation", size=size, order=tuple(range(size))[::-1])
    if mixing == "householder":
        return make_layer("", "householder", size=size, reflections=min(size, reflections), context=0)
    # Any fixed order does; the same one each time, so that a model means the same wherever it is declared.
    order = tuple(int(i) for i in np.random.default_rng([seed, size]).permutation(size))
    return make_layer("", "permutation" if mixing == "permute" else "lu", size=size, order=order)


def _entries(name: str, transform: str, bins: int, bound: float) -> dict[str, Any]:
    """The settings of the map of one entry."""
    if _known(name, "transform", transform, TRANSFORMS) == "affine":
        return {"transform": transform}
    check_sizes(name, bins=bins)
    if not 2 <= bins <= 100 or not bound > 0.0:
        raise ModelError(
            f"network {name!r}: a spline has 2 to 100 bins on an interval.",
            declared_at=user_location(),
            expected="bins between 2 and 100, and a positive bound",
            got=f"bins={bins}, bound={bound}",
            remedy="Each bin takes at least a thousandth of the interval from -bound to bound.",
        )
    return {"transform": transform, "bins": bins, "bound": float(bound)}


def _conditioner(name: str, size: int, hidden: Sequence[int], context: int, activation: str) -> dict[str, Any]:
    check_sizes(name, size=size, **{f"hidden[{i}]": n for i, n in enumerate(hidden)})
    if context:
        check_sizes(name, context=context)
    return {"size": size, "hidden": tuple(hidden), "context": context, "activation": known_activation(activation)}


def _text(family: str, size: int, hidden: Sequence[int] | None, **settings: Any) -> str:
    """How the user wrote it; what is at its usual value goes without saying."""
    usual = {"context": 0, "mixing": "reverse", "activation": "relu", "transform": "affine"}
    if family == "SplineCoupling" or family == "Elementwise":
        usual["transform"] = "spline"
    more = [f"{k}={v!r}" for k, v in settings.items() if usual.get(k) != v]
    return f"{family}({', '.join([str(size), *([] if hidden is None else [str(list(hidden))]), *more])})"


def stacked_spec(
    family: str,
    name: str,
    size: int,
    hidden: Sequence[int],
    *,
    layers: int = 4,
    transform: str = "affine",
    bins: int = 8,
    bound: float = 3.0,
    context: int = 0,
    mixing: str = "reverse",
    activation: str = "relu",
) -> NetworkSpec:
    """The network of `RealNVP`, `SplineCoupling`, `MAF` or `IAF`: maps of one kind, with the entries mixed between."""
    check_sizes(name, size=size, layers=layers)
    _known(name, "mixing", mixing, MIXINGS)
    entries = _entries(name, transform, bins, bound)
    settings = {**_conditioner(name, size, hidden, context, activation), **entries}
    if family in ("MAF", "IAF"):
        _refuse_narrow(name, size, hidden)
        settings["parallel"] = "backward" if family == "MAF" else "forward"
    elif size < 2:
        raise ShapeError(
            f"network {name!r}: a vector of one number cannot be halved.",
            declared_at=user_location(),
            expected="at least 2",
            got=f"size={size}",
            remedy="For one number use nn.Elementwise, a spline or an affine map.",
        )
    step = make_layer("", "autoregressive" if "parallel" in settings else "coupling", **settings)
    text = _text(family, size, hidden, layers=layers, **entries, context=context, mixing=mixing, activation=activation)
    return _flow(name, text, size, [step] * layers, mixing)


def _refuse_narrow(name: str, size: int, hidden: Sequence[int]) -> None:
    narrow = [n for n in hidden if n < size - 1]
    if narrow:
        raise ShapeError(
            f"network {name!r}: a hidden layer of {narrow[0]} units cannot carry how {size} entries depend on one "
            "another.",
            declared_at=user_location(),
            expected=f"at least {size - 1} units, one for each entry that others depend on",
            got=f"hidden={list(hidden)}",
            remedy="Make the hidden layers wider.",
        )


def elementwise_spec(
    name: str,
    size: int,
    transform: str,
    *,
    bins: int = 8,
    bound: float = 3.0,
    context: int = 0,
    hidden: Sequence[int] = (),
    activation: str = "relu",
) -> NetworkSpec:
    """The network of `Elementwise`; see there."""
    entries = _entries(name, transform, bins, bound)
    step = make_layer("", "elementwise", **_conditioner(name, size, hidden, context, activation), **entries)
    own = list(hidden) if context else None
    text = _text("Elementwise", size, own, **entries, context=context, activation=activation)
    return _flow(name, text, size, [step])


def mixing_spec(name: str, size: int, kind: str, reflections: int) -> NetworkSpec:
    """The network of `Mixing`; see there."""
    check_sizes(name, size=size, reflections=reflections)
    _known(name, "learned mixing", kind, LEARNED_MIXINGS, "A fixed order of the entries is dist.Permute.")
    more = f", reflections={min(size, reflections)}" if kind == "householder" else ""
    return _flow(name, f"Mixing({size}, {kind!r}{more})", size, [_mixing(name, size, kind, 0, reflections)])


def one_way_spec(
    family: str,
    name: str,
    size: int,
    *,
    layers: int = 8,
    context: int = 0,
    hidden: Sequence[int] = (),
    activation: str = "relu",
) -> NetworkSpec:
    """The network of `Planar` and `Radial`; see there."""
    check_sizes(name, size=size, layers=layers)
    step = make_layer("", family.lower(), **_conditioner(name, size, hidden, context, activation))
    own = list(hidden) if context else None
    text = _text(family, size, own, layers=layers, context=context, activation=activation)
    return _flow(name, text, size, [step] * layers)
