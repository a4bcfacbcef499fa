"""The abstract distribution: parameters, event shape, support, log density and a sampler, all symbolic.

The families themselves live in `ppl.language.dist`. A family states its log density once, in the vocabulary of
`ppl.program.ops`; both backends receive the same formula.
"""

from __future__ import annotations

import copy
import functools
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NoReturn, Protocol, Self

import numpy as np

from ppl.errors import ModelError, ShapeError, SupportError, UnknownNameError, nearest, user_location

from .ops import apply, element, in_scope, to_float
from .supports import Support
from .unrelated import mask_remedy, refuse_unrelated
from .values import DType, Plate, Shape, Value, lift
from .vocabulary import broadcast

FAMILIES: dict[str, type[Distribution]] = {}
# Bijections by name, for reading programs from files; the classes live in `ppl.language.dist.bijections`.
BIJECTIONS: dict[str, Any] = {}
# Kernels of Gaussian processes by name, likewise; the classes live in `ppl.language.dist.kernels`.
KERNELS: dict[str, Any] = {}


class NoiseSource(Protocol):
    """Where a sampler takes its randomness from; each call makes a new, named argument of the emitted function."""

    def normal(self, shape: Shape) -> Value:
        """Standard normal noise of an event shape."""
        ...

    def uniform(self, shape: Shape) -> Value:
        """Noise uniform on the open interval (0, 1)."""
        ...

    def native(self, sampler: str, args: tuple[Value, ...], shape: Shape, dtype: DType) -> Value:
        """A draw by the backend's own sampler, for families without a closed noise form."""
        ...


class Distribution(ABC):
    """A distribution over one element, with symbolic parameters.

    Class attributes:
        parameters: for each parameter, its support (of kind and rank as the parameter needs).
        positional: how many parameters are printed without their name.
        as_given: parameters that stay integers if they are; all others become real where their support is.

    Attributes that are fixed for most families, and follow from the parts for those made of others:
        event_rank: event axes of one draw (0 for numbers, 1 for vectors, 2 for matrices).
        dtype: dtype kind of a draw.
        reparameterized: whether a draw is a differentiable function of the parameters.

    Attributes:
        params: the parameters, as values.
        static: settings that are not values (sizes, flags).
        event_shape: shape of one draw, after `expand`; plates are not part of it.
        mask_value: where False, the element contributes nothing to the log density; None for no mask.
        checked: whether the log density is -inf outside the support; False where the value is known to lie inside.
    """

    parameters: ClassVar[dict[str, Support]] = {}
    positional: ClassVar[int] = 2
    as_given: ClassVar[frozenset[str]] = frozenset()
    event_rank: int = 0
    dtype: DType = "float"
    reparameterized: bool = True
    checked: bool = True

    params: dict[str, Value]
    static: dict[str, Any]
    event_shape: Shape
    mask_value: Value | None
    expanded: bool
    _nested: dict[str, Distribution]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not inspect.isabstract(cls):
            FAMILIES[cls.__name__] = cls
        if "__init__" in cls.__dict__:
            cls.__init__ = _checked_arguments(cls.__init__)

    def __init__(self, params: dict[str, Any], *, nested: dict[str, Distribution] | None = None, **static: Any) -> None:
        self.params = {name: self._parameter(name, item) for name, item in params.items() if item is not None}
        self.static = static
        self._nested = nested or {}
        self.mask_value = None
        self.expanded = False
        refuse_unrelated(self.family, self._numbers())
        self._check_parameters()
        self._settle()

    def _numbers(self) -> list[Value]:
        """The parameters of single elements, which broadcast against each other."""
        return [v for n, v in self.params.items() if n in self.parameters and not self.parameter_rank(n)]

    def _parameter(self, name: str, item: Any) -> Value:
        value = in_scope(lift(item))
        # The libraries do not agree on what a real parameter given as integers means, so there are none.
        real = name in self.parameters and not self.parameters[name].discrete and name not in self.as_given
        return to_float(value) if real else value

    # --- what a family states ------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def support(self) -> Support:
        """Where draws lie."""

    @abstractmethod
    def element_log_prob(self, value: Value) -> Value:
        """Log density in nats of each independent element; shape: event shape less the last `event_rank` axes."""

    @abstractmethod
    def draw(self, noise: NoiseSource) -> Value:
        """A draw of shape `event_shape`, as a function of noise."""

    def core_shape(self) -> Shape:
        """Shape of one draw without independent repetitions; () for families over numbers."""
        if self.event_rank == 0:
            return ()
        raise NotImplementedError(type(self).__name__)

    def cdf(self, value: Value) -> Value:
        """Probability of each independent element being at most `value`.

        Raises:
            ModelError: the family has no cdf in elementary functions.
        """
        self._lacks("cumulative distribution function")

    def log_cdf(self, value: Value) -> Value:
        """Log probability of each independent element being at most `value`, in nats: left-censored data."""
        return apply("log", self.cdf(value))

    def log_survival(self, value: Value) -> Value:
        """Log probability of each independent element being above `value`, in nats: right-censored data."""
        return apply("log1p", -self.cdf(value))

    def icdf(self, probability: Value) -> Value:
        """The value below which each independent element falls with the given probability.

        Raises:
            ModelError: the family has no quantile function in elementary functions.
        """
        self._lacks("quantile function")

    def element_mean(self) -> Value:
        """Mean, of a shape that broadcasts to `event_shape`."""
        self._lacks("mean")

    def element_variance(self) -> Value:
        """Variance of each number of a draw, of a shape that broadcasts to `event_shape`."""
        self._lacks("variance")

    def _lacks(self, what: str) -> NoReturn:
        raise ModelError(
            f"{self.family} has no {what} in closed form.",
            declared_at=user_location(),
            got=repr(self),
            remedy="Estimate it from draws.",
        )

    def _settle(self) -> None:
        """Derive what follows from the parameters and parts; called again when a distribution is rebuilt."""
        self.event_shape = self.batch_shape() + self.core_shape()

    # --- what follows from it ------------------------------------------------------------------------------------

    @property
    def element_shape(self) -> Shape:
        """Shape of the independent elements: `event_shape` without the axes of one draw."""
        return self.event_shape[: len(self.event_shape) - self.event_rank]

    def mean(self) -> Value:
        """Mean of a draw, of shape `event_shape`; NaN or inf where the parameters leave it undefined.

        Raises:
            ModelError: the family has no mean in closed form.
        """
        return _filled(self.element_mean(), self.event_shape)

    def variance(self) -> Value:
        """Variance of each number of a draw, of shape `event_shape`.

        Raises:
            ModelError: the family has no variance in closed form.
        """
        return _filled(self.element_variance(), self.event_shape)

    @property
    def family(self) -> str:
        """Name of the family."""
        return type(self).__name__

    def parameter_rank(self, name: str) -> int:
        """Event axes of one value of a parameter."""
        return self.parameters[name].rank

    def batch_shape(self) -> Shape:
        """Broadcast of the parameters' shapes, less the axes that belong to one draw."""
        shapes: list[Shape] = []
        for name, value in self.params.items():
            rank = self.parameter_rank(name)
            if value.ndim < rank:
                raise ShapeError(
                    f"{self.family}: parameter {name!r} needs {rank} event axes.",
                    declared_at=user_location(),
                    expected=f"a {'vector' if rank == 1 else 'matrix'}",
                    got=repr(value),
                )
            shapes.append(value.shape[: value.ndim - rank])
        try:
            return broadcast(*shapes)
        except ValueError as error:
            raise ShapeError(
                f"{self.family}: the parameters' event shapes do not broadcast.",
                declared_at=user_location(),
                expected="shapes that are equal, or of size 1 where they differ",
                got=", ".join(f"{name} {value.shape}" for name, value in self.params.items()),
                remedy="Inside a plate parameters describe one element; leave the plate's size out of them.",
            ) from error

    def log_prob(self, value: Value) -> Value:
        """Log density in nats of one draw, a scalar: the sum over the independent elements, masked ones left out."""
        return self.total(self.element_log_prob(value))

    @property
    def has_marginal(self) -> bool:
        """Whether the density of some of the numbers of one draw is known: `marginal_log_prob`."""
        return False

    def marginal_log_prob(self, value: Value, known: Value) -> Value:
        """Log density in nats of those numbers of a draw that are known, a scalar.

        Args:
            value: a draw; the numbers that are not known do not matter.
            known: booleans of shape `event_shape`.

        Raises:
            ModelError: the family has no such density in closed form.
        """
        self._lacks("density of some of its numbers alone")

    def draw_with_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw and its log density in nats, a scalar."""
        value, terms = self.draw_with_element_log_prob(noise)
        return value, self.total(terms)

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw and its log density per element; families override it where the noise gives the density for less."""
        value = self.draw(noise)
        return value, self.unchecked().element_log_prob(value)

    def total(self, terms: Value) -> Value:
        """Sum of one term for each independent element, masked ones left out."""
        shape = self.element_shape
        if self.mask_value is not None:
            terms = apply("where", self.mask_value, _filled(terms, shape), 0.0)
        elif not terms.shape and shape:
            return terms * float(math.prod(shape))
        terms = _filled(terms, shape)
        return apply("sum", terms, axis=tuple(range(-terms.ndim, 0))) if terms.ndim else terms

    def unchecked(self) -> Self:
        """The same distribution without the guard that makes the log density -inf outside the support."""
        out = copy.copy(self)
        out.checked = False
        out._nested = {name: d.unchecked() for name, d in self._nested.items()}
        return out

    def expand(self, shape: list[int] | tuple[int, ...]) -> Self:
        """Independent repetitions: event axes in front of (or in place of singleton) ones.

        Raises:
            ShapeError: the shape does not broadcast with the one there is.
        """
        wanted = tuple(shape)
        batch = self.element_shape
        core = self.event_shape[len(batch) :]
        if len(wanted) < len(batch) or not _expands(batch, wanted):
            raise ShapeError(
                f"{self.family}.expand({list(wanted)}) does not fit event shape {self.event_shape}.",
                declared_at=user_location(),
                expected=f"a shape that ends in {batch}",
                got=f"{wanted}",
                remedy="expand takes the whole shape of repetitions, as in torch; the event axes of one draw stay.",
            )
        out = copy.copy(self)
        out.event_shape = wanted + core
        out.expanded = True
        return out

    def elements(self, plate: Plate) -> Self | None:
        """The distribution of one element along the first independent axis, which becomes the plate.

        Returns:
            None where that axis cannot be told from the parameters: masked ones, and those made of others.
        """
        if self._nested or self.mask_value is not None:
            return None
        rank = len(self.element_shape)

        def one(name: str, value: Value) -> Value:
            if value.ndim - self.parameter_rank(name) < rank:
                return value
            return element(value, plate) if value.shape[0] == plate.size else apply("index", value, key=(0,))

        out = copy.copy(self)
        out.params = {name: one(name, value) for name, value in self.params.items()}
        out.event_shape = self.event_shape[1:]
        return out

    def mask(self, mask: Any) -> Self:
        """Leave elements out of the log density where `mask` is False.

        Raises:
            ShapeError: the mask does not broadcast to the independent elements.
        """
        value = in_scope(lift(mask))
        shape = self.element_shape
        if value.dtype != "bool" or not _expands(value.shape, shape):
            raise ShapeError(
                f"{self.family}.mask needs booleans that broadcast to {shape}.",
                declared_at=user_location(),
                expected=f"bool{list(shape)}" + (f", one for each draw of {self!r}" if self.event_rank else ""),
                got=repr(value),
                remedy=mask_remedy(value, self.event_rank),
            )
        refuse_unrelated(f"{self.family}.mask", [*self._numbers(), value])
        out = copy.copy(self)
        out.mask_value = value if self.mask_value is None else apply("logical_and", self.mask_value, value)
        return out

    def values(self) -> tuple[Value, ...]:
        """Every value that the distribution depends on."""
        own = tuple(self.params.values())
        nested = tuple(v for d in self._nested.values() for v in d.values())
        return own + nested + (() if self.mask_value is None else (self.mask_value,))

    def nested(self) -> dict[str, Distribution]:
        """Distributions that this one is made of, by argument name."""
        return dict(self._nested)

    def spelled(self) -> Distribution:
        """The same distribution in the family that libraries have for it, if that is another one; else itself."""
        if not self._nested:
            return self
        out = copy.copy(self)
        out._nested = {name: d.spelled() for name, d in self._nested.items()}
        return out

    # --- more of the same draw -----------------------------------------------------------------------------------

    def index(self) -> tuple[Value, ...]:
        """The values whose rows the entries of a draw belong to; with other rows, entries of a draw belong to others.

        Empty for most families, whose entries are known by their place.
        """
        return tuple(v for d in self._nested.values() for v in d.index())

    def extend(self, value: Value, new: Distribution, known: Value | None = None) -> Distribution | None:
        """The distribution of a draw at other rows, given the draw of this distribution at its own.

        Args:
            value: a draw of this distribution, of shape `event_shape`.
            new: the same declaration with other rows.
            known: which numbers of the draw are known, of shape `event_shape`; None if all are.

        Returns:
            Of the event shape of `new`. None where a draw says nothing about other rows, or the family does not know.
        """
        return None

    # --- diagnosis -----------------------------------------------------------------------------------------------

    def facts(self) -> dict[str, Value]:
        """What to look at where the density is not finite: by default the parameters."""
        return dict(self.params)

    def remedy(self, facts: Mapping[str, np.ndarray]) -> str | None:
        """What to do where the density is not finite, in the user's words; None if nothing particular is known.

        Args:
            facts: the numbers of `facts()`, any leading axes in front.
        """
        return None

    def substitute(self, replace: Callable[[Value], Value]) -> Self:
        """The same distribution with every value `v` replaced by `replace(v)`."""
        out = copy.copy(self)
        out.params = {name: replace(value) for name, value in self.params.items()}
        out._nested = {name: d.substitute(replace) for name, d in self._nested.items()}
        if self.mask_value is not None:
            out.mask_value = replace(self.mask_value)
        return out

    def resized(self, replace: Callable[[Value], Value]) -> Self:
        """Like `substitute`, where values may have other event shapes; `expand` repeats what it did."""
        out = self.substitute(replace)
        out._nested = {name: d.resized(replace) for name, d in self._nested.items()}
        out._settle()
        if self.expanded:
            out.event_shape = self.element_shape + out.event_shape[len(out.element_shape) :]
        return out

    @classmethod
    def from_parts(
        cls, params: dict[str, Value], static: dict[str, Any], nested: dict[str, Distribution]
    ) -> Distribution:
        """Rebuild a distribution from what a file holds."""
        out = cls.__new__(cls)
        out.params, out.static, out._nested = params, static, nested
        out.mask_value, out.expanded = None, False
        out._settle()
        return out

    def __repr__(self) -> str:
        from .printing import distribution_text

        return distribution_text(self)

    def _check_parameters(self) -> None:
        for name, value in self.params.items():
            if value.op != "const":
                continue
            number = value.attrs[0][1]
            array = np.asarray(number if not value.shape else number.array)
            inside = self.parameters[name].contains(array)
            if inside is not None and not np.all(inside):
                raise SupportError(
                    f"{self.family}: parameter {name!r} is outside its domain.",
                    declared_at=user_location(),
                    expected=f"{name} in {self.parameters[name]}",
                    got=np.array2string(array, threshold=6),
                    remedy=f"Check what {name} is computed from, and the order of the arguments.",
                )


def _filled(value: Value, shape: Shape) -> Value:
    return value if value.shape == shape else apply("broadcast_to", value, shape=shape)


def _expands(shape: Shape, to: Shape) -> bool:
    try:
        return broadcast(shape, to) == to
    except ValueError:
        return False


def _brief(item: Any) -> str:
    text = repr(item)
    return text if len(text) <= 60 else f"<{type(item).__name__}>"


def _checked_arguments(init: Any) -> Any:
    """Turn Python's TypeError about arguments into a message that names the closest argument."""
    signature = inspect.signature(init)
    names = [n for n in signature.parameters if n != "self"]

    @functools.wraps(init)
    def checked(self: Distribution, *args: Any, **kwargs: Any) -> None:
        family = type(self).__name__
        form = f"{family}({', '.join(names)})"
        got = f"{family}({', '.join([*map(_brief, args), *(f'{k}={_brief(v)}' for k, v in kwargs.items())])})"
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            unknown = [n for n in kwargs if n not in names]
            raise UnknownNameError(
                f"{family} has no argument {unknown[0]!r}." if unknown else f"{family}: {error}.",
                declared_at=user_location(),
                expected=form,
                got=got,
                remedy=nearest(unknown[0], names) if unknown else "Pass each parameter once, best by its name.",
            ) from None
        for name, parameter in signature.parameters.items():
            if parameter.default is not None and bound.arguments.get(name, 0) is None:
                raise ModelError(
                    f"{family}: parameter {name!r} is None.",
                    declared_at=user_location(),
                    expected=form,
                    got=got,
                    remedy="Give it a number, an array or a value of the model.",
                )
        init(self, *args, **kwargs)

    return checked
