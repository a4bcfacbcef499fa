"""Bijections: invertible maps with a known change of volume, and how they are composed and inverted."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from ppl.errors import ShapeError, SupportError, user_location
from ppl.program.distributions import BIJECTIONS
from ppl.program.ops import in_scope
from ppl.program.supports import Support, real
from ppl.program.values import Shape, Value, lift
from ppl.program.vocabulary import broadcast

from . import algebra as al
from .algebra import Number, add, neg
from .parts import Assembled


class Bijection(Assembled):
    """An invertible map of elements with `rank` event axes, in ops, so that its operands may be values of the program.

    Attributes:
        rank: event axes of one element before the map.
        codomain_rank: event axes of one element after it.
        params: operands, as values.
        static: settings that are not values.
        parts: bijections that this one is made of.
    """

    rank: int = 0
    codomain_rank: int = 0

    parts: tuple[Bijection, ...]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not inspect.isabstract(cls):
            BIJECTIONS[cls.__name__] = cls

    def __init__(self, params: dict[str, Any] | None = None, parts: tuple[Bijection, ...] = (), **static: Any) -> None:
        self.params = {name: in_scope(lift(item)) for name, item in (params or {}).items()}
        self.parts = parts
        self.static = static
        self._settle()

    @abstractmethod
    def forward(self, x: Value) -> Value:
        """The image of x."""

    @abstractmethod
    def inverse(self, y: Value) -> Value:
        """The element whose image is y."""

    @abstractmethod
    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Log absolute determinant of the Jacobian at x, whose image is y, in nats.

        One number an element; its shape broadcasts to x without its last `rank` axes. Matrices and simplices are
        measured by their free entries.
        """

    def forward_with_log_det(self, x: Value) -> tuple[Value, Number]:
        """The image of x and the log absolute determinant of the Jacobian there."""
        y = self.forward(x)
        return y, self.log_abs_det(x, y)

    def inverse_with_log_det(self, y: Value) -> tuple[Value, Number]:
        """The element whose image is y, and the log absolute determinant of the Jacobian of the map, there."""
        x = self.inverse(y)
        return x, self.log_abs_det(x, y)

    def forward_shape(self, shape: Shape) -> Shape:
        """Event shape of the image of a value of an event shape."""
        return broadcast(shape, *(v.shape for v in self.params.values()))

    def inverse_shape(self, shape: Shape) -> Shape:
        """Event shape of the value whose image has an event shape."""
        return broadcast(shape, *(v.shape for v in self.params.values()))

    def image(self, support: Support) -> Support:
        """The set that a support is mapped onto.

        Raises:
            SupportError: the bijection is not defined there, or its image has no name.
        """
        raise SupportError(
            f"{self} does not act on {support}.", declared_at=user_location(), remedy="Start from another base."
        )

    def preimage(self, support: Support) -> Support:
        """The set that is mapped onto a support.

        Raises:
            SupportError: the support is not the image of all reals, and this bijection knows no other.
        """
        if support == self.image(real):
            return real
        raise SupportError(f"{self} has no inverse on {support}.", declared_at=user_location())

    def operands(self) -> tuple[Value, ...]:
        """Every value that the bijection depends on."""
        return tuple(self.params.values()) + tuple(v for part in self.parts for v in part.operands())

    def text(self, show: Callable[[Value], str]) -> str:
        """The bijection as the user writes it, its operands shown by a function."""
        inner = [part.text(show) for part in self.parts] + [show(v) for v in self.params.values()]
        inner += [f"{name}={item}" for name, item in self.static.items()]
        return f"{type(self).__name__}({', '.join(inner)})"


class Compose(Bijection):
    """Bijections one after the other, the first applied first.

    Args:
        bijections: two or more.
    """

    def __init__(self, *bijections: Bijection) -> None:
        flat = [p for b in bijections for p in (b.parts if isinstance(b, Compose) else (b,))]
        super().__init__(parts=tuple(flat))

    def _settle(self) -> None:
        before = after = 0
        for part in reversed(self.parts):
            before = max(before + part.rank - part.codomain_rank, part.rank)
        for part in self.parts:
            after = max(after + part.codomain_rank - part.rank, part.codomain_rank)
        self.rank, self.codomain_rank = before, max(after, before + sum(p.codomain_rank - p.rank for p in self.parts))

    def forward(self, x: Value) -> Value:
        """The image under each in turn."""
        for part in self.parts:
            x = part.forward(x)
        return x

    def inverse(self, y: Value) -> Value:
        """The preimage under each, last first."""
        for part in reversed(self.parts):
            y = part.inverse(y)
        return y

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Sum over the parts."""
        total: Number = 0.0
        rank = self.rank
        for index, part in enumerate(self.parts):
            image = y if index == len(self.parts) - 1 else part.forward(x)
            total = add(total, _summed(part.log_abs_det(x, image), x, part, rank))
            rank += part.codomain_rank - part.rank
            x = image
        return total

    def forward_with_log_det(self, x: Value) -> tuple[Value, Number]:
        """Image and sum over the parts, each evaluated once."""
        total: Number = 0.0
        rank = self.rank
        for part in self.parts:
            image, log_det = part.forward_with_log_det(x)
            total = add(total, _summed(log_det, x, part, rank))
            rank += part.codomain_rank - part.rank
            x = image
        return x, total

    def inverse_with_log_det(self, y: Value) -> tuple[Value, Number]:
        """Preimage and sum over the parts, each evaluated once."""
        total: Number = 0.0
        rank = self.codomain_rank
        for part in reversed(self.parts):
            rank += part.rank - part.codomain_rank
            y, log_det = part.inverse_with_log_det(y)
            total = add(total, _summed(log_det, y, part, rank))
        return y, total

    def forward_shape(self, shape: Shape) -> Shape:
        """Through all parts."""
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Shape) -> Shape:
        """Back through all parts."""
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def image(self, support: Support) -> Support:
        """Through all parts."""
        for part in self.parts:
            support = part.image(support)
        return support


def _summed(log_det: Number, x: Value, part: Bijection, rank: int) -> Number:
    """A part's log determinant, per element of the whole composition."""
    extra = rank - part.rank
    return al.sum_as(log_det, x.shape[: x.ndim - part.rank], extra) if extra else log_det


class Inverse(Bijection):
    """A bijection run backwards.

    Args:
        bijection: the one to run backwards.
    """

    def __init__(self, bijection: Bijection) -> None:
        super().__init__(parts=(bijection,))

    def _settle(self) -> None:
        self.rank, self.codomain_rank = self.parts[0].codomain_rank, self.parts[0].rank

    def forward(self, x: Value) -> Value:
        """The preimage."""
        return self.parts[0].inverse(x)

    def inverse(self, y: Value) -> Value:
        """The image."""
        return self.parts[0].forward(y)

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """The negative of the other's."""
        return neg(self.parts[0].log_abs_det(y, x))

    def forward_with_log_det(self, x: Value) -> tuple[Value, Number]:
        """The preimage, and the negative of the other's determinant."""
        y, log_det = self.parts[0].inverse_with_log_det(x)
        return y, neg(log_det)

    def inverse_with_log_det(self, y: Value) -> tuple[Value, Number]:
        """The image, and the negative of the other's determinant."""
        x, log_det = self.parts[0].forward_with_log_det(y)
        return x, neg(log_det)

    def forward_shape(self, shape: Shape) -> Shape:
        """Back."""
        return self.parts[0].inverse_shape(shape)

    def inverse_shape(self, shape: Shape) -> Shape:
        """Forth."""
        return self.parts[0].forward_shape(shape)

    def image(self, support: Support) -> Support:
        """The set that the other maps onto the support."""
        return self.parts[0].preimage(support)

    def preimage(self, support: Support) -> Support:
        """The set that the other maps the support onto."""
        return self.parts[0].image(support)


def inverse_of(bijection: Bijection) -> Bijection:
    """The bijection run backwards, without wrapping twice."""
    if isinstance(bijection, Inverse):
        return bijection.parts[0]
    if isinstance(bijection, Compose):
        return Compose(*(inverse_of(part) for part in reversed(bijection.parts)))
    return Inverse(bijection)


class Permute(Bijection):
    """The entries of a vector in another order.

    Args:
        permutation: for each new place, the old place of its entry.
    """

    rank = 1
    codomain_rank = 1

    def __init__(self, permutation: list[int] | tuple[int, ...]) -> None:
        order = tuple(int(i) for i in permutation)
        if sorted(order) != list(range(len(order))):
            raise ShapeError(
                "Permute needs each place once.",
                declared_at=user_location(),
                expected=f"the numbers 0 to {len(order) - 1} in some order",
                got=str(list(order)),
            )
        super().__init__(permutation=order)

    def forward(self, x: Value) -> Value:
        """Entries in the new order."""
        return _reorder(x, self.static["permutation"])

    def inverse(self, y: Value) -> Value:
        """Entries in the old order."""
        order = self.static["permutation"]
        return _reorder(y, tuple(order.index(i) for i in range(len(order))))

    def log_abs_det(self, x: Value, y: Value) -> Number:
        """Zero."""
        return 0.0

    def image(self, support: Support) -> Support:
        """The support itself, where order does not matter."""
        if support.kind == "ordered":
            return real
        return support if not support.bounds else Bijection.image(self, support)


def _reorder(x: Value, order: tuple[int, ...]) -> Value:
    if not x.shape or x.shape[-1] != len(order):
        raise ShapeError(
            f"Permute of {len(order)} entries does not fit event shape {x.shape}.", declared_at=user_location()
        )
    return al.pick_static(x, np.array(order))
