"""Terms of an objective, and blocks: the parts in which particles are coupled by a nonlinear reducer.

Linear reducers (means over particles, sums over plates, constant factors) leave terms apart. A nonlinear one makes one
term of everything inside it, a block. A block remembers the values it is made of, particle by particle, so that a
gradient strategy can ask what it would be if one particle were another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ppl.errors import StrategyError
from ppl.program.ops import apply, element, lane_logsumexp, leave, plate_sum
from ppl.program.values import Axis, Plate, Value, lift

Slots: TypeAlias = tuple[Value, ...]
Names: TypeAlias = Mapping[Axis, Axis]
Build: TypeAlias = Callable[[Slots, Names], Value]


@dataclass(frozen=True)
class Block:
    """How a coupled value is made.

    Attributes:
        slots: the values before reduction; they vary over `over`.
        over: the axes that are reduced on the way.
        build: from slots to the value, with some of the axes renamed.
        fast: from other slots to the value in which one particle at a time has these; None for the general way.
    """

    slots: Slots
    over: tuple[Axis, ...]
    build: Build
    fast: Callable[[Slots], Value] | None = None

    def substitute(self, other: Slots) -> Value:
        """The value with one particle at a time replaced; it varies over `over`, which says which one.

        Args:
            other: slots of the same kind, at other draws; they may vary over further axes.
        """
        if not self.over:
            return self.build(other, {})
        if self.fast is not None:
            return self.fast(other)
        names = {a: Axis(f"{a.name}'", a.size, a.depth + 1000) for a in self.over}
        here = lift(True)
        for axis, twin in names.items():
            here = apply("logical_and", here, apply("equal", _index(axis), _index(twin)))
        mixed = []
        for mine, theirs in zip(self.slots, other, strict=True):
            moved = mine
            for axis, twin in names.items():
                moved = renamed(moved, axis, twin)
            mixed.append(apply("where", here, theirs, moved))
        return self.build(tuple(mixed), names)


@dataclass(frozen=True)
class Term:
    """One term of an objective.

    Attributes:
        label: what it is, in words.
        value: in nats.
        plates: the plates it is summed over in the end.
        pending: the axes it is averaged over in the end.
        block: how it is made, if particles are coupled in it.
        surrogate: what is differentiated in place of `value`, if its gradient is estimated otherwise.
        sampled: whether gradients have to account for the draws it depends on; not where these are constants.
        constant: whether it is a plain number, which belongs to each block.
    """

    label: str
    value: Value
    plates: tuple[Plate, ...]
    pending: tuple[Axis, ...] = ()
    block: Block | None = None
    surrogate: Value | None = None
    sampled: bool = True
    constant: bool = False

    def scaled(self, factor: float | Value) -> Term:
        """The term times a number."""
        block = self.block
        if block is not None:
            inner, fast = block.build, block.fast
            block = replace(
                block,
                build=lambda slots, names: apply("multiply", factor, inner(slots, names)),
                fast=None if fast is None else lambda other: apply("multiply", factor, fast(other)),
            )
        return replace(
            self,
            value=apply("multiply", factor, self.value),
            block=block,
            surrogate=None if self.surrogate is None else apply("multiply", factor, self.surrogate),
        )

    def averaged(self, axes: tuple[Axis, ...]) -> Term:
        """The term, to be averaged over some axes as well."""
        return replace(self, pending=(*self.pending, *(a for a in axes if a not in self.pending)))

    @property
    def parts(self) -> Block:
        """How it is made: a linear term is its own only slot."""
        return self.block or Block((self.value,), (), lambda slots, names: slots[0])


def _index(axis: Axis) -> Value:
    return Value("plate_index", (), (("plate", axis),), (axis,), (), "int")


def renamed(value: Value, axis: Axis, other: Axis) -> Value:
    """A value along another axis of the same size."""
    return element(leave(value, (axis,)), other) if axis in value.plates else value


def mean_over(value: Value, axes: Sequence[Axis]) -> Value:
    """The mean over those of some axes that a value varies over."""
    present = tuple(a for a in axes if a in value.plates)
    if not present:
        return value
    return apply("multiply", 1.0 / math.prod(a.size for a in present), plate_sum(value, present))


def sum_over(value: Value, axes: Sequence[Axis]) -> Value:
    """The sum over axes; over one that the value does not vary over, it counts once for each index."""
    return plate_sum(value, tuple(axes))


def logmeanexp_over(value: Value, axes: Sequence[Axis]) -> Value:
    """The log of the mean of exponentials over those of some axes that a value varies over."""
    present = [a for a in axes if a in value.plates]
    for axis in present:
        value = lane_logsumexp(value, axis)
    return apply("subtract", value, math.log(math.prod(a.size for a in present))) if present else value


def softmax_over(value: Value, axes: Sequence[Axis]) -> Value:
    """Normalised weights along axes."""
    whole = value
    for axis in axes:
        whole = lane_logsumexp(whole, axis)
    return apply("exp", apply("subtract", value, whole))


def exclusive_logsumexp(value: Value, axes: tuple[Axis, ...]) -> Value:
    """For each particle the log of the sum of exponentials of all others, by running sums from both ends.

    Subtracting the one from the whole would lose all digits where it holds most of the weight.
    """
    shape = tuple(a.size for a in axes)
    flat = leave(value, axes)
    if len(axes) > 1:
        flat = apply("reshape", flat, shape=(math.prod(shape),))
    nothing = apply("broadcast_to", lift(-math.inf), shape=(1,))

    def before(x: Value) -> Value:
        return apply("concat", nothing, apply("cumlogsumexp", x, axis=(-1,))[:-1], axis=-1)

    def turned(x: Value) -> Value:
        return apply("flip", x, axis=(-1,))

    out = apply("logaddexp", before(flat), turned(before(turned(flat))))
    if len(axes) > 1:
        out = apply("reshape", out, shape=shape)
    for axis in axes:
        out = element(out, axis)
    return out


@dataclass(frozen=True)
class Merged:
    """Terms added up into one value for each element of the plates that stay outside.

    Attributes:
        plates: those plates.
        block: how the value is made.
        labels: of the terms.
        sampled: whether any of the terms is.
    """

    plates: tuple[Plate, ...]
    block: Block
    labels: tuple[str, ...]
    sampled: bool

    @property
    def value(self) -> Value:
        """The value at the draws."""
        return self.block.build(self.block.slots, {})


def common_plates(terms: Sequence[Term]) -> tuple[Plate, ...]:
    """The plates that stay outside a nonlinear reducer: those that all terms inside live in."""
    stacks = [t.plates for t in terms if not t.constant]
    return tuple(p for p in stacks[0] if all(p in stack for stack in stacks)) if stacks else ()


def merge(terms: Sequence[Term], kept: tuple[Plate, ...], batch: Mapping[str, int], model: str) -> Merged:
    """Add terms up over all plates but those kept, pending means taken.

    Raises:
        StrategyError: a subsampled plate would stand inside.
    """
    slots: list[Value] = []
    builds: list[Build] = []
    over: dict[Axis, None] = {}
    linear: dict[tuple[Axis, ...], list[Value]] = {}
    for term in terms:
        refuse_subsampled(term, kept, batch, model)
        inner = () if term.constant else tuple(p for p in term.plates if p not in kept)
        if term.block is None:
            linear.setdefault(term.pending, []).append(plate_sum(term.value, inner, dict(batch)))
            continue
        at, count = len(slots), len(term.block.slots)
        slots += term.block.slots
        builds.append(_part(term, at, count, inner, batch))
        over.update(dict.fromkeys([*term.block.over, *term.pending]))
    for axes, values in linear.items():
        at = len(slots)
        slots.append(_added(values))
        builds.append(lambda given, names, at=at, axes=axes: mean_over(given[at], [names.get(a, a) for a in axes]))
        over.update(dict.fromkeys(axes))

    def build(given: Slots, names: Names) -> Value:
        return _added([b(given, names) for b in builds])

    block = Block(tuple(slots), tuple(over), build)
    return Merged(kept, block, tuple(t.label for t in terms), any(t.sampled for t in terms))


def _part(term: Term, at: int, count: int, inner: tuple[Plate, ...], batch: Mapping[str, int]) -> Build:
    block = term.parts

    def build(given: Slots, names: Names) -> Value:
        value = plate_sum(block.build(given[at : at + count], names), inner, dict(batch))
        return mean_over(value, [names.get(a, a) for a in term.pending])

    return build


def _added(values: Sequence[Value]) -> Value:
    total = values[0]
    for value in values[1:]:
        total = apply("add", total, value)
    return total


def refuse_subsampled(term: Term, kept: tuple[Plate, ...], batch: Mapping[str, int], model: str) -> None:
    """A plate of which each step sees a minibatch cannot stand inside a nonlinear reducer.

    Raises:
        StrategyError: one would.
    """
    inside = [p for p in term.plates if p not in kept and p.name in batch]
    if inside and not term.constant:
        raise StrategyError(
            f"plate {inside[0].name!r} is subsampled, but stands inside the logarithm of the importance-weighted bound "
            "or another nonlinear reducer, where a minibatch estimate is biased.",
            site=term.label.partition("(")[2].rstrip(")") or None,
            model=model,
            plate=str(inside[0]),
            got=term.label,
            remedy="Use all rows (no batch_size), ELBO(), or a guide without global latents.",
        )


def logmeanexp_term(merged: Merged, axes: tuple[Axis, ...], label: str) -> Term:
    """The log of the mean of exponentials over axes as one term."""
    inner = merged.block
    single = len(inner.slots) == 1 and not inner.over
    present = tuple(a for a in axes if a in merged.value.plates)

    def build(given: Slots, names: Names) -> Value:
        return logmeanexp_over(inner.build(given, names), [names.get(a, a) for a in axes])

    def fast(other: Slots) -> Value:
        rest = exclusive_logsumexp(inner.slots[0], present)
        count = math.log(math.prod(a.size for a in present))
        return apply("subtract", apply("logaddexp", rest, other[0]), count)

    over = (*inner.over, *(a for a in axes if a not in inner.over))
    block = Block(inner.slots, over, build, fast if single else None)
    return Term(label, build(inner.slots, {}), merged.plates, block=block, sampled=merged.sampled)
