"""Mixtures: the component is summed out of the density."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from ppl.errors import ModelError, ShapeError, SupportError, user_location
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply, element, free_lane, lane_logsumexp
from ppl.program.supports import Support
from ppl.program.values import OPEN_PLATES, Value, lift

from . import algebra as al
from .algebra import add
from .categorical import Categorical
from .guards import inside
from .transformed import refuse_mask


def _mixing(family: str, mixing: Any) -> Categorical:
    weights = mixing if isinstance(mixing, Distribution) else Categorical(probs=mixing)
    if not isinstance(weights, Categorical) or weights.event_shape:
        raise ModelError(
            f"{family}: the mixing distribution is one Categorical.",
            declared_at=user_location(),
            expected="Categorical(probs=weights) or a vector of weights",
            got=repr(mixing),
        )
    return weights


class Mixed(Distribution):
    """A component is drawn, then a value from it; the whole value belongs to one component."""

    reparameterized = False

    @property
    def mixing(self) -> Categorical:
        """Distribution of the component's number."""
        mixing = self._nested["mixing"]
        assert isinstance(mixing, Categorical)
        return mixing

    @abstractmethod
    def component_log_prob(self, value: Value) -> Value:
        """Log density of each element under each component; components on the last axis."""

    @abstractmethod
    def component_draws(self, noise: NoiseSource) -> Value:
        """A draw from every component; components on the last axis."""

    def element_log_prob(self, value: Value) -> Value:
        """Log of the weighted sum of the components' densities."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Value:
        return apply("logsumexp", self.component_log_prob(x) + self.mixing.log_probs, axis=(-1,))

    def draw(self, noise: NoiseSource) -> Value:
        """The draw of the chosen component; the others are drawn in vain."""
        index = self.mixing.expand(self.element_shape).draw(noise)
        draws = self.component_draws(noise)
        shape = self.element_shape + (1,) * (self.event_rank + 1)
        chosen = apply("take_along", draws, apply("reshape", index, shape=shape))
        return al.last(chosen, 0)

    def responsibilities(self, value: Value) -> Value:
        """Probability of each component, given a value; components on the last axis."""
        return apply("softmax", self.component_log_prob(value) + self.mixing.log_probs, axis=(-1,))


def _weighted(values: Value, weights: Value) -> Value:
    """Sum over the first axis, weighted."""
    shape = weights.shape + (1,) * (values.ndim - 1)
    return apply("sum", values * apply("reshape", weights, shape=shape), axis=(-values.ndim,))


class MixtureSameFamily(Mixed):
    """Mixture of components of one family, whose parameters are stacked.

    Args:
        mixing: a Categorical, or the vector of its probabilities.
        components: a distribution whose first event axis numbers the components; the remaining axes are one draw,
            which comes from one component as a whole.
    """

    def __init__(self, mixing: Any, components: Distribution) -> None:
        weights = _mixing("MixtureSameFamily", mixing)
        refuse_mask("MixtureSameFamily", components)
        count = weights.categories
        shape = components.element_shape
        if not shape or shape[0] != count:
            raise ShapeError(
                "MixtureSameFamily: the first event axis numbers the components.",
                declared_at=user_location(),
                expected=f"components of event shape ({count}, ...), for {count} weights",
                got=f"{components!r} of event shape {components.event_shape}",
                remedy="Stack the components' parameters along a new first axis.",
            )
        super().__init__({}, nested={"mixing": weights, "components": components})

    @property
    def components(self) -> Distribution:
        """The stacked components."""
        return self._nested["components"]

    def _settle(self) -> None:
        self.event_shape = self.components.event_shape[1:]
        self.event_rank = len(self.event_shape)
        self.dtype = self.components.dtype

    @property
    def support(self) -> Support:
        """The components' support; with bounds that differ, from the least to the greatest."""
        support = self.components.support
        full = len(self.components.event_shape)
        if all(b.ndim < full for b in support.bounds):
            return support
        reduce = {"less_than": ["max"], "greater_than": ["min"]}.get(support.kind, ["min", "max"])
        ends = tuple(
            apply(op, b, axis=(-full,)) if b.ndim == full else b for op, b in zip(reduce, support.bounds, strict=True)
        )
        return Support(support.kind, ends)

    def component_log_prob(self, value: Value) -> Value:
        """Log density of each element under each component; components on the last axis."""
        # Inside the common support a value may still lie outside one component's own bounds.
        components = self.components if self.components.support.bounds else self.components.unchecked()
        rank = self.event_rank
        lead = value.shape[: value.ndim - rank]
        spread = apply("reshape", value, shape=(*lead, 1, *value.shape[value.ndim - rank :]))
        terms = components.element_log_prob(spread)
        wanted = (*lead, *components.element_shape)
        return lift(al.sum_as(al.filled(terms, wanted), wanted, rank - components.event_rank))

    def _density(self, x: Value) -> Value:
        weights = self.mixing.log_probs
        lane = free_lane("component", self.mixing.categories, (x, weights, *self.components.values()))
        components = self.components if self.components.support.bounds else self.components.unchecked()
        one = components.elements(lane)
        if one is None or OPEN_PLATES.get() is not None:
            return super()._density(x)
        # A sum over the outermost axis runs along whole rows of the others; one over a short last axis does not.
        shape = x.shape[: x.ndim - self.event_rank]
        wanted = (*shape, *one.element_shape)
        terms = al.sum_as(al.filled(one.element_log_prob(x), wanted), wanted, self.event_rank - one.event_rank)
        return lane_logsumexp(lift(terms) + element(weights, lane), lane)

    def unchecked(self) -> MixtureSameFamily:
        """Without the guard, which stays in components that have bounds of their own."""
        out = super().unchecked()
        if self.components.support.bounds:
            out._nested = {**out._nested, "components": self.components}
        return out

    def component_draws(self, noise: NoiseSource) -> Value:
        """A draw from every component; components on the last axis."""
        components = self.components
        lead = self.element_shape
        if lead:
            components = components.expand((*lead, *components.element_shape))
        draws = components.draw(noise)
        at = len(lead)
        axes = (*(i for i in range(draws.ndim) if i != at), at)
        return apply("permute_dims", draws, axes=axes)

    def element_mean(self) -> Value:
        """Weighted mean of the components."""
        return _weighted(self.components.mean(), self.mixing.probs)

    def element_variance(self) -> Value:
        """Mean variance within components, plus variance between their means."""
        mean, weights = self.components.mean(), self.mixing.probs
        second = self.components.variance() + apply("square", mean)
        return _weighted(second, weights) - apply("square", _weighted(mean, weights))


class Mixture(Mixed):
    """Mixture of different distributions with one support.

    Args:
        mixing: a Categorical, or the vector of its probabilities.
        components: distributions of equal event shape and support; a draw comes from one of them as a whole.
    """

    def __init__(self, mixing: Any, components: Sequence[Distribution]) -> None:
        weights = _mixing("Mixture", mixing)
        if weights.categories != len(components):
            raise ShapeError(
                f"Mixture has {weights.categories} weights and {len(components)} components.",
                declared_at=user_location(),
            )
        first = components[0]
        for component in components:
            refuse_mask("Mixture", component)
            if component.event_shape != first.event_shape or component.dtype != first.dtype:
                raise ShapeError(
                    "Mixture: the components have different event shapes or dtypes.",
                    declared_at=user_location(),
                    expected=f"{first.dtype}{list(first.event_shape)}, as {first!r}",
                    got=f"{component.dtype}{list(component.event_shape)}, from {component!r}",
                )
            if not _agree(component.support, first.support):
                raise SupportError(
                    "Mixture: the components have different supports.",
                    declared_at=user_location(),
                    expected=f"{first.support}, as {first!r}",
                    got=f"{component.support}, from {component!r}",
                    remedy="Use components over one support: a mixture over pieces of it has no single bijection.",
                )
        super().__init__({}, nested={"mixing": weights, **{str(i): c for i, c in enumerate(components)}})

    @property
    def components(self) -> tuple[Distribution, ...]:
        """The components."""
        return tuple(d for name, d in self._nested.items() if name != "mixing")

    def _settle(self) -> None:
        first = self.components[0]
        self.event_shape = first.event_shape
        self.event_rank = len(self.event_shape)
        self.dtype = first.dtype

    @property
    def support(self) -> Support:
        """The components' support."""
        return self.components[0].support

    def component_log_prob(self, value: Value) -> Value:
        """Log density of each element under each component; components on the last axis."""
        columns: list[Value] = []
        for component in self.components:
            shape = (*self.element_shape, *component.element_shape)
            terms = al.filled(component.unchecked().element_log_prob(value), shape)
            columns.append(lift(al.sum_as(terms, shape, self.event_rank - component.event_rank)))
        return apply("stack", *columns, axis=-1)

    def component_draws(self, noise: NoiseSource) -> Value:
        """A draw from every component; components on the last axis."""
        lead = self.element_shape
        wide = [c.expand((*lead, *c.element_shape)) if lead else c for c in self.components]
        return apply("stack", *(c.draw(noise) for c in wide), axis=-1)

    def _stacked(self, values: list[Value]) -> Value:
        return _weighted(apply("stack", *values, axis=-values[0].ndim - 1), self.mixing.probs)

    def element_mean(self) -> Value:
        """Weighted mean of the components."""
        return self._stacked([c.mean() for c in self.components])

    def element_variance(self) -> Value:
        """Mean variance within components, plus variance between their means."""
        means = [c.mean() for c in self.components]
        seconds = [lift(add(c.variance(), al.square(m))) for c, m in zip(self.components, means, strict=True)]
        return self._stacked(seconds) - apply("square", self._stacked(means))


def _agree(a: Support, b: Support) -> bool:
    # Zero itself has no mass.
    closed = {"nonnegative": "positive"}
    return Support(closed.get(a.kind, a.kind), a.bounds) == Support(closed.get(b.kind, b.kind), b.bounds)
