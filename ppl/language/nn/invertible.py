"""Invertible networks: both directions, and the log determinant that a change of variables needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ppl.errors import ShapeError, user_location
from ppl.program.distributions import Distribution
from ppl.program.ops import apply, in_scope
from ppl.program.values import Value, lift

from .declaring import NetworkValue, check_sizes
from .dense import MLP

# Scales stay within exp(-2) and exp(2) in each step, so that no product of them overflows early in training.
LARGEST_LOG_SCALE = 2.0


class InvertibleValue:
    """A declared chain of affine couplings: call it, or go back with `inverse`.

    Attributes:
        size: length of the vectors.
        conditioners: the network of each step, from the part that stays to scale and shift of the rest.
    """

    def __init__(self, size: int, conditioners: tuple[NetworkValue, ...]) -> None:
        self.size = size
        self.conditioners = conditioners

    def __call__(self, x: Any) -> Value:
        """The image of a vector, shape (size,)."""
        return self.forward(x)[0]

    def forward(self, x: Any) -> tuple[Value, Value]:
        """The image of a vector, and log |det| of the derivative there."""
        return self._run(x, backward=False)

    def inverse(self, y: Any) -> tuple[Value, Value]:
        """The vector whose image this is, and log |det| of the derivative of the inverse."""
        return self._run(y, backward=True)

    def _run(self, x: Any, backward: bool) -> tuple[Value, Value]:
        value = in_scope(lift(x))
        if value.shape != (self.size,):
            raise ShapeError(
                f"an invertible network of vectors of length {self.size} cannot take event shape {value.shape}.",
                declared_at=user_location(),
                expected=f"({self.size},)",
                got=repr(value),
            )
        steps = list(enumerate(self.conditioners))
        total = lift(0.0)
        for index, net in reversed(steps) if backward else steps:
            value, change = _couple(value, net, flipped=index % 2 == 1, backward=backward)
            total = total + change
        return value, total

    def __repr__(self) -> str:
        return f"RealNVP({self.size}, {len(self.conditioners)} steps)"


def _split(size: int, flipped: bool) -> tuple[slice, slice]:
    """What stays, and what is scaled and shifted; the halves take turns."""
    low, high = slice(0, size // 2), slice(size // 2, size)
    return (high, low) if flipped else (low, high)


def _couple(x: Value, net: NetworkValue, *, flipped: bool, backward: bool) -> tuple[Value, Value]:
    """Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP, equations 7 and 8."""
    stays, moves = _split(x.shape[0], flipped)
    fixed, rest = x[stays], x[moves]
    out = net(fixed)
    count = rest.shape[0]
    scale = LARGEST_LOG_SCALE * apply("tanh", out[:count] / LARGEST_LOG_SCALE)
    shift = out[count:]
    moved = (rest - shift) * apply("exp", -scale) if backward else rest * apply("exp", scale) + shift
    parts = (moved, fixed) if flipped else (fixed, moved)
    change = apply("sum", scale, axis=(-1,), keepdims=False)
    return apply("concat", *parts, axis=-1), -change if backward else change


def RealNVP(
    name: str,
    size: int,
    hidden: Sequence[int] = (64,),
    *,
    steps: int = 4,
    activation: str = "tanh",
    prior: Distribution | None = None,
) -> InvertibleValue:
    """An invertible network of vectors: affine couplings, in which the halves of the vector take turns.

    Args:
        name: its name; the perceptron of step i is the network `name_i`.
        size: length of the vectors, at least 2.
        hidden: features of the hidden layers of the perceptrons.
        steps: how many couplings; at least 2 move every entry.
        activation: of the perceptrons.
        prior: distribution of one weight.

    Raises:
        ShapeError: the vectors are too short to be halved, or a size is no positive integer.

    Reference: Dinh, Sohl-Dickstein and Bengio (2017), Density estimation using Real NVP.
    """
    check_sizes(name, size=size, steps=steps)
    if size < 2:
        raise ShapeError(
            f"network {name!r}: a vector of one number cannot be halved.",
            declared_at=user_location(),
            expected="at least 2",
            got=f"size={size}",
        )
    nets: list[NetworkValue] = []
    for i in range(steps):
        stays, moves = (len(range(size)[part]) for part in _split(size, i % 2 == 1))
        nets.append(MLP(f"{name}_{i}", [stays, *hidden, 2 * moves], activation, prior=prior))
    return InvertibleValue(size, tuple(nets))
