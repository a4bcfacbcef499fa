"""The statements of a program: what a model can declare, as frozen data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ppl.errors import Location

from .distributions import Distribution
from .missing import Missing
from .networks import NetworkSpec
from .supports import Support, real
from .values import DType, Frozen, Plate, Shape, Value, reference


@dataclass(frozen=True, eq=False)
class Input:
    """An array that the model is given: a covariate, an index, anything that is not random."""

    name: str
    shape: Shape
    dtype: DType

    @property
    def value(self) -> Value:
        """The symbolic array."""
        return reference("input", self.name, (), self.shape, self.dtype)


@dataclass(frozen=True, eq=False)
class PlateStatement:
    """The first opening of a plate.

    Attributes:
        plate: name and size.
        outer: the plates around it, outermost first.
        sources: the arrays it maps over.
        alias: the user's name for one element.
        ordered: whether it is the axis of a scan, whose elements are steps that follow one another.
    """

    plate: Plate
    outer: tuple[Plate, ...]
    sources: tuple[Value, ...]
    location: Location | None
    alias: str = ""
    ordered: bool = False

    @property
    def name(self) -> str:
        """Name of the plate."""
        return self.plate.name


@dataclass(frozen=True, eq=False)
class Statement:
    """What all statements have: a name, the plates around them, and where they were written."""

    name: str
    plates: tuple[Plate, ...]
    location: Location | None


@dataclass(frozen=True, eq=False)
class Sample(Statement):
    """A random site.

    Attributes:
        dist: distribution of one element.
        observed: whether its value comes from data.
        auxiliary: a guide's own site, absent from the model.
        names: names of the event axes, for the posterior.
        missing: how missing elements of its data are treated; None where none are missing.
    """

    dist: Distribution
    observed: bool = False
    auxiliary: bool = False
    names: tuple[str, ...] = ()
    missing: Missing | None = None

    @property
    def value(self) -> Value:
        """The symbolic draw."""
        return reference("site", self.name, self.plates, self.dist.event_shape, self.dist.dtype)


@dataclass(frozen=True, eq=False)
class Deterministic(Statement):
    """A named value computed from others; `intervened` if `do` put it there, with the distribution it replaced."""

    expression: Value
    intervened: bool = False
    names: tuple[str, ...] = ()

    @property
    def value(self) -> Value:
        """The symbolic value."""
        return reference("site", self.name, self.plates, self.expression.shape, self.expression.dtype)


@dataclass(frozen=True, eq=False)
class Factor(Statement):
    """A log weight in nats that multiplies the density, one for each element."""

    expression: Value


@dataclass(frozen=True, eq=False)
class Param(Statement):
    """A parameter that is optimised: a starting value and the support it is kept in.

    Inside a plate there is one for each element.

    Attributes:
        init: start of one element, or of all of them with the plates in front.
        support: where it is kept.
        shape: event shape, where `init` holds all elements; None if it holds one.
    """

    init: Frozen
    support: Support = real
    shape: Shape | None = None

    @property
    def event_shape(self) -> Shape:
        """Shape of one element."""
        return self.init.array.shape if self.shape is None else self.shape

    @property
    def value(self) -> Value:
        """The symbolic parameter."""
        return reference("param", self.name, self.plates, self.event_shape, "float")

    @property
    def full_shape(self) -> Shape:
        """Shape of the stored array: plates in front of the event."""
        return tuple(p.size for p in self.plates) + self.event_shape

    def initial(self) -> np.ndarray:
        """The starting array."""
        return np.broadcast_to(self.init.array.astype(float), self.full_shape).copy()


@dataclass(frozen=True, eq=False)
class Carry(Statement):
    """What one step of a scan is handed by the step before; the innermost of its plates is that of the scan.

    At the first step its value is `init`, at every other one what `following` was at the step before.

    Attributes:
        init: the value before the first step, of the scan's outer plates at most.
        following: what a step returns; it may read statements that come later in the step.
        reverse: whether the steps run from the last to the first.
        hint: the user's name for it.
    """

    init: Value
    following: Value
    reverse: bool = False
    hint: str = ""

    @property
    def time(self) -> Plate:
        """The plate of the scan."""
        return self.plates[-1]

    @property
    def value(self) -> Value:
        """The symbolic value that a step is handed."""
        return reference("carry", self.name, self.plates, self.init.shape, self.init.dtype)


@dataclass(frozen=True, eq=False)
class Network(Statement):
    """A network that is used by name; `random` if its weights are sites of the program."""

    spec: NetworkSpec
    random: bool = False

    @property
    def trained(self) -> bool:
        """Whether it has weights that are fitted as parameters: not if they are sites, and not for a function."""
        return not self.random and not self.spec.is_function
