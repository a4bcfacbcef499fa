"""Declaring networks: what a network of a model is, and how it enters the program."""

# What a user passes is checked when it comes, whatever its annotation says.
# pyright: reportUnnecessaryIsInstance=false

from __future__ import annotations

from typing import Any

from ppl.errors import ModelError, PlateError, ScopeError, ShapeError, UnknownNameError, nearest, user_location
from ppl.language.trace import Trace, current
from ppl.program.distributions import Distribution
from ppl.program.networks import ACTIVATIONS, Layer, NetworkSpec, Weight, apply_network
from ppl.program.ops import apply, in_scope, to_float
from ppl.program.statements import Network, Sample
from ppl.program.values import Shape, Value, lift, reference


class NetworkValue:
    """A declared network: call it with one element."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec = spec

    def __call__(self, x: Any, *others: Any) -> Value:
        """Apply the network to one element.

        Args:
            x: the element.
            others: what some networks take beside it: the state of a cell, an adjacency matrix, what is attended to.

        Raises:
            ShapeError: an input does not fit the first layer, or a later one; or there are too few or too many inputs.
        """
        trace = current(f"network {self.spec.name!r}")
        trace.harvest()
        value = in_scope(lift(x))
        more = tuple(to_float(in_scope(lift(other))) for other in others)
        if self.spec.foreign is None and not (self.spec.layers and self.spec.layers[0].kind == "embedding"):
            value = to_float(value)
        statement = trace.statements.get(self.spec.name)
        if not isinstance(statement, Network) or statement.spec is not self.spec:
            raise ScopeError(
                f"network {self.spec.name!r} is not declared in this model.",
                model=trace.model,
                declared_at=user_location(),
                expected=f"one of {[n for n, s in trace.statements.items() if isinstance(s, Network)]}",
                got=f"{self.spec.name!r}, of another model or a part of a Sequential",
                remedy="Declare the network in this model; model and guide share weights through equal names.",
            )
        least, most = self.spec.others
        if not least <= len(more) <= most:
            raise ShapeError(
                f"network {self.spec.name!r} was called with {1 + len(more)} inputs.",
                model=trace.model,
                declared_at=user_location(),
                expected=f"{1 + least} inputs" if least == most else f"{1 + least} to {1 + most} inputs",
                got=", ".join(repr(v) for v in (value, *more)),
                remedy="A cell takes its state, a graph convolution an adjacency matrix; most networks one element.",
            )
        if self.spec.foreign is not None:
            shape: Shape = self.spec.out_shape or ()
        else:
            try:
                shape = apply_network(self.spec, value, _shape_only, more).shape
            except (ShapeError, ValueError) as error:
                raise ShapeError(
                    f"network {self.spec.name!r} does not fit its input: {getattr(error, 'summary', f'{error}.')}",
                    model=trace.model,
                    declared_at=user_location(),
                    expected=f"an element for {self.spec.text}",
                    got=repr(value),
                    remedy="A network takes one element; change its sizes, or reshape the element.",
                ) from error
        weights = tuple(_site(trace, name) for name in self.spec.weights) if statement.random else ()
        return apply("network", value, *more, *weights, name=self.spec.name, out_shape=shape)

    def __repr__(self) -> str:
        return self.spec.text


def _shape_only(name: str, weight: Weight) -> Value:
    return reference("param", name, (), weight.shape, "float")


def _site(trace: Trace, name: str) -> Value:
    statement = trace.statements[name]
    assert isinstance(statement, Sample)
    return statement.value


def weight_sites(spec: NetworkSpec) -> dict[str, Value]:
    """The random weights of a network that was declared with a prior, by name."""
    trace = current(f"nn network {spec.name!r}")
    return {name: _site(trace, name) for name in spec.weights}


def declare(spec: NetworkSpec, prior: Distribution | None) -> NetworkValue:
    """Enter a network into the program, and its weights as sites if there is a prior.

    Raises:
        PlateError: random weights inside a plate.
        ModelError: the prior is not the distribution of one weight.
    """
    trace = current(f"nn network {spec.name!r}")
    at = user_location()
    if prior is None:
        trace.declare(Network(spec.name, (), at, spec))
        return NetworkValue(spec)
    if trace.open:
        raise PlateError(
            f"network {spec.name!r} with random weights stands inside plate {trace.open[-1].name!r}.",
            model=trace.model,
            declared_at=at,
            plate=str(trace.open[-1]),
            expected="no open plate",
            got=str(trace.open[-1]),
            remedy="Declare it before the plate: its weights are shared by all elements.",
        )
    if not isinstance(prior, Distribution) or prior.event_shape != () or spec.foreign is not None:
        raise ModelError(
            f"network {spec.name!r}: `prior` is the distribution of one weight of a network of ppl.nn.",
            model=trace.model,
            declared_at=at,
            expected="a distribution over numbers, such as dist.Normal(0, 1)",
            got=repr(prior),
            remedy="The prior is repeated for each weight; for other priors declare the weights with ppl.sample.",
        )
    for name, weight in spec.weights.items():
        trace.declare(Sample(name, (), at, prior.expand(weight.shape)))
    trace.declare(Network(spec.name, (), at, spec, random=True))
    return NetworkValue(spec)


def make_layer(name: str, kind: str, **settings: Any) -> Layer:
    """A layer from its settings."""
    return Layer(name, kind, tuple(sorted(settings.items())))


def single(name: str, only: Layer, text: str, prior: Distribution | None) -> NetworkValue:
    """A network of one layer."""
    return declare(NetworkSpec(name, (only,), text), prior)


def known_activation(name: str) -> str:
    """The name of an activation.

    Raises:
        UnknownNameError: there is no such activation.
    """
    if name not in ACTIVATIONS:
        raise UnknownNameError(
            f"there is no activation {name!r}.",
            declared_at=user_location(),
            expected="a name of an activation",
            got=repr(name),
            remedy=nearest(name, ACTIVATIONS),
        )
    return name


def check_sizes(name: str, **sizes: int) -> None:
    """Refuse sizes of a network that are no positive integers.

    Raises:
        ShapeError: naming the size.
    """
    for what, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ShapeError(
                f"network {name!r}: {what} must be a positive integer.",
                declared_at=user_location(),
                expected="at least 1",
                got=repr(size),
                remedy="Sizes are known when the model is declared: take them from shapes or settings.",
            )
