"""Distributions of a known value, and of a function of another draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Self, cast

from ppl.errors import ModelError, ShapeError, user_location
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, real
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, mul, neg, square
from .bijections import Bijection, Compose
from .elementwise_bijections import Affine
from .guards import inside


def refuse_mask(family: str, base: Distribution) -> None:
    """Refuse a masked part: what is left out must be whole draws.

    Raises:
        ModelError: the part has a mask.
    """
    if base.mask_value is not None:
        raise ModelError(
            f"{family} cannot be made of a masked distribution.",
            declared_at=user_location(),
            got=repr(base),
            remedy=f"Mask the result: {family}(...).mask(mask).",
        )


class Transformed(Distribution):
    """The image of a draw under bijections.

    Args:
        base: distribution of the draw before the bijections.
        bijections: one or more, the first applied first; a list is accepted as well.
    """

    def __init__(self, base: Any, *bijections: Any) -> None:
        flat: list[Any] = []
        for item in bijections:
            flat += cast("list[Any]", item) if isinstance(item, list | tuple) else [item]
        wrong = next((b for b in flat if not isinstance(b, Bijection)), None)
        if not isinstance(base, Distribution) or wrong is not None or not flat:
            raise ModelError(
                "Transformed takes a distribution and then bijections.",
                declared_at=user_location(),
                expected="Transformed(dist.Normal(0, 1), dist.Exp())",
                got=repr(base if wrong is None else wrong),
            )
        refuse_mask("Transformed", base)
        if base.support.discrete:
            raise ModelError(
                "Transformed needs a continuous base.",
                declared_at=user_location(),
                got=repr(base),
                remedy="Sample the discrete site, and compute with its value.",
            )
        super().__init__({}, nested={"base": base}, bijections=tuple(flat))

    @property
    def base(self) -> Distribution:
        """The distribution of the draw before the bijections."""
        return self._nested["base"]

    @property
    def bijections(self) -> tuple[Bijection, ...]:
        """The bijections, first applied first."""
        return self.static["bijections"]

    @property
    def bijection(self) -> Bijection:
        """All bijections as one."""
        return self.bijections[0] if len(self.bijections) == 1 else Compose(*self.bijections)

    def _settle(self) -> None:
        base, bijection = self.base, self.bijection
        shape = base.event_shape
        if len(shape) < bijection.rank:
            raise ShapeError(
                f"{bijection} acts on {bijection.rank} event axes.",
                declared_at=user_location(),
                expected=f"a base with at least {bijection.rank} event axes",
                got=f"{base!r} of event shape {shape}",
                remedy="Give the base its shape with .expand([n]).",
            )
        try:
            self.event_shape = bijection.forward_shape(shape)
        except ValueError as error:
            raise ShapeError(
                f"{bijection} does not fit a base of event shape {shape}.", declared_at=user_location(), got=str(error)
            ) from error
        gained = bijection.codomain_rank - bijection.rank
        self.event_rank = max(base.event_rank + gained, bijection.codomain_rank)
        self.base_rank = self.event_rank - gained
        self.reparameterized = base.reparameterized

    @property
    def wide_base(self) -> Distribution:
        """The base with the independent axes that the operands of the bijections or `expand` have added."""
        core = self.base.event_shape[len(self.base.event_shape) - self.base_rank :]
        shape = self.element_shape + core
        if self.base.event_shape == shape:
            return self.base
        return self.base.expand(shape[: len(shape) - self.base.event_rank])

    def _base_terms(self, terms: Value, base: Distribution) -> Number:
        return al.sum_as(terms, base.element_shape, self.base_rank - base.event_rank)

    def _volume(self, log_det: Number, x: Value) -> Number:
        extra = self.base_rank - self.bijection.rank
        return al.sum_as(log_det, x.shape[: x.ndim - self.bijection.rank], extra) if extra else log_det

    @property
    def support(self) -> Support:
        """The image of the base's support."""
        return self.bijection.image(self.base.support)

    def element_log_prob(self, value: Value) -> Value:
        """Density of the preimage, less the log determinant."""
        # Guarded here, at the image, because the preimage of a value outside it may be NaN.
        return inside(self, value, self._density)

    def _density(self, y: Value) -> Number:
        base = self.wide_base.unchecked()
        x, log_det = self.bijection.inverse_with_log_det(y)
        terms = self._base_terms(base.element_log_prob(x), base)
        return add(terms, neg(self._volume(log_det, x)))

    def draw(self, noise: NoiseSource) -> Value:
        """The image of a draw of the base."""
        return self.bijection.forward(self.wide_base.draw(noise))

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the base's draw: nothing is inverted."""
        base = self.wide_base
        x, terms = base.draw_with_element_log_prob(noise)
        y, log_det = self.bijection.forward_with_log_det(x)
        return y, lift(add(self._base_terms(terms, base), neg(self._volume(log_det, x))))

    def element_mean(self) -> Value:
        """The image of the mean, under affine bijections."""
        if not all(isinstance(b, Affine) for b in self.bijections):
            self._lacks("mean")
        return self.bijection.forward(self.wide_base.mean())

    def element_variance(self) -> Value:
        """The variance times the squared scales, under affine bijections."""
        out: Number = self.wide_base.variance()
        for bijection in self.bijections:
            if not isinstance(bijection, Affine):
                self._lacks("variance")
            out = mul(square(bijection.params["scale"]), out)
        return lift(out)

    def values(self) -> tuple[Value, ...]:
        """Every value that the base, the bijections and the mask depend on."""
        return tuple(v for b in self.bijections for v in b.operands()) + super().values()

    def substitute(self, replace: Callable[[Value], Value]) -> Self:
        """The same distribution with every value `v` replaced by `replace(v)`."""
        out = super().substitute(replace)
        out.static = {"bijections": tuple(b.substitute(replace) for b in self.bijections)}
        return out


TransformedDistribution = Transformed


class Delta(Distribution):
    """All mass on one value; the whole value is one draw.

    Args:
        value: where the mass lies; any event shape.
        log_density: log density there in nats, one number; 0 for a probability, or what a bijection leaves behind.
    """

    parameters: ClassVar[dict[str, Support]] = {"value": real, "log_density": real}
    positional = 1
    as_given = frozenset({"value"})

    def __init__(self, value: Any, log_density: Any = 0.0) -> None:
        super().__init__({"value": value, "log_density": log_density})

    def _settle(self) -> None:
        value, log_density = self.params["value"], self.params["log_density"]
        if log_density.shape:
            raise ShapeError(
                "Delta: log_density is one number for the whole value.",
                declared_at=user_location(),
                expected="a scalar",
                got=repr(log_density),
                remedy="Sum it over the event.",
            )
        self.event_rank = value.ndim
        self.event_shape = value.shape  # one draw, however many axes it has
        self.dtype = value.dtype
        self.reparameterized = value.dtype == "float"

    def _check_parameters(self) -> None:
        """Any value will do."""

    def parameter_rank(self, name: str) -> int:
        """All axes of the value belong to one draw."""
        return self.params["value"].ndim if name == "value" else 0

    @property
    def support(self) -> Support:
        """Where numbers of the value's kind lie."""
        kinds = {"float": real, "int": Support("integer"), "bool": Support("boolean")}
        return kinds[self.params["value"].dtype]

    def element_log_prob(self, value: Value) -> Value:
        """`log_density` at the value, -inf elsewhere."""
        same = apply("equal", value, self.params["value"])
        if self.event_rank:
            same = apply("all", same, axis=tuple(range(-self.event_rank, 0)))
        return al.where(same, self.params["log_density"], -math.inf)

    def unchecked(self) -> Self:
        """The same: its support names the kind of value only, so that a value inside may still be another one."""
        return self

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """The value, and its log density without comparing."""
        return self.draw(noise), self.params["log_density"]

    def draw(self, noise: NoiseSource) -> Value:
        """The value."""
        return al.filled(self.params["value"], self.event_shape)

    def element_mean(self) -> Value:
        """The value."""
        return self.params["value"]

    def element_variance(self) -> Value:
        """Zero."""
        return lift(0.0)
