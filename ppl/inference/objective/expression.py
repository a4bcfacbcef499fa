"""Objectives as expressions: frozen data that prints, compares and serialises; what they mean is in `meaning`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

from ppl.errors import ModelError, user_location
from ppl.inference.schedules import Curve
from ppl.posterior.methods import register
from ppl.program.program import Program


@register
@dataclass(frozen=True, repr=False)
class Role:
    """A program that is not known yet: the model or the guide of the fit."""

    name: str

    def __repr__(self) -> str:
        return self.name


model = Role("model")
guide = Role("guide")


@register
@dataclass(frozen=True, repr=False)
class Group:
    """Sites that are not known yet: `observed` stands for all terms of the model but the priors of guide sites."""

    name: str

    def __repr__(self) -> str:
        return self.name


observed = Group("observed")
Sites: TypeAlias = tuple[str, ...] | Group | None


@register
@dataclass(frozen=True, repr=False)
class Particles:
    """An axis of independent draws of the guide; the same axis in two terms means the same draws.

    Attributes:
        name: what it is called.
        size: how many draws.
        chunk: how many of them are held in memory at once; None for all.
    """

    name: str
    size: int
    chunk: int | None = None

    def __post_init__(self) -> None:
        for what, count in (("particle", self.size), ("particle in a chunk", self.chunk)):
            if count is not None and (isinstance(count, bool) or not isinstance(count, int) or count < 1):
                raise ModelError(
                    f"axis {self.name!r} needs at least one {what}.", declared_at=user_location(), got=repr(count)
                )

    def __repr__(self) -> str:
        chunk = "" if self.chunk is None else f", chunk={self.chunk}"
        return f"particles({self.name!r}, {self.size}{chunk})"


Over: TypeAlias = tuple[Particles, ...]


@dataclass(frozen=True, repr=False)
class Expression:
    """A quantity in nats that is made of the log densities of model and guide.

    Expressions add, subtract, multiply and divide, among themselves and with numbers.
    """

    @property
    def parts(self) -> tuple[Expression, ...]:
        """The expressions it is made of."""
        found: list[Expression] = []
        for f in fields(self):
            item = getattr(self, f.name)
            items = item if isinstance(item, tuple) else (item,)
            found += [i for i in items if isinstance(i, Expression)]
        return tuple(found)

    def walk(self) -> Iterator[Expression]:
        """This expression and all that it is made of."""
        yield self
        for part in self.parts:
            yield from part.walk()

    def __add__(self, other: Any) -> Expression:
        return Sum(_flat(self) + _flat(lifted(other)))

    def __radd__(self, other: Any) -> Expression:
        return Sum(_flat(lifted(other)) + _flat(self))

    def __sub__(self, other: Any) -> Expression:
        return Sum((*_flat(self), Scaled(-1.0, lifted(other))))

    def __rsub__(self, other: Any) -> Expression:
        return Sum((*_flat(lifted(other)), Scaled(-1.0, self)))

    def __mul__(self, other: Any) -> Expression:
        return Function("multiply", (self, other)) if isinstance(other, Expression) else _scaled(other, self)

    def __rmul__(self, other: Any) -> Expression:
        return _scaled(other, self)

    def __truediv__(self, other: Any) -> Expression:
        if isinstance(other, Expression):
            return Function("divide", (self, other))
        if isinstance(other, Curve):
            raise ModelError(
                "an objective is not divided by a curve.",
                declared_at=user_location(),
                got=f"... / {other!r}",
                remedy="Multiply by one: Ramp(1.0, 0.1, 1000) * term.",
            )
        return _scaled(1.0 / other, self)

    def __neg__(self) -> Expression:
        return _scaled(-1.0, self)

    def __abs__(self) -> Expression:
        return Function("abs", (self,))

    def detach(self) -> Expression:
        """The same number, without a gradient."""
        return Detached(self)


def lifted(item: Any) -> Expression:
    """An expression as it is; a number as a constant, or a number that changes from step to step.

    Raises:
        ModelError: it is neither.
    """
    if isinstance(item, Expression):
        return item
    if isinstance(item, (int, float)) and not isinstance(item, bool):
        return Constant(float(item))
    if isinstance(item, Curve):
        return Scheduled(item)
    raise ModelError(
        "an objective is made of expressions and numbers.",
        declared_at=user_location(),
        expected="a term of ppl.inference.objective, a number, or a curve such as Ramp(0.0, 1.0, 1000)",
        got=repr(item),
        remedy="Start from objective.log_weight(model, guide) or objective.log_density(model).",
    )


def _scaled(factor: Any, body: Expression) -> Expression:
    number = lifted(factor)
    if isinstance(number, Scheduled):
        return Weighted(number.curve, body)
    assert isinstance(number, Constant)
    if isinstance(body, Scaled):
        return Scaled(number.value * body.factor, body.body)
    return Scaled(number.value, body)


def _flat(item: Expression) -> tuple[Expression, ...]:
    return item.terms if isinstance(item, Sum) else (item,)


# --- leaves ----------------------------------------------------------------------------------------------------------


@register
@dataclass(frozen=True, repr=False)
class Constant(Expression):
    """A number; inside a nonlinear function it belongs to each block, at the root it counts once."""

    value: float

    def __repr__(self) -> str:
        return repr(self.value)


@register
@dataclass(frozen=True, repr=False)
class Scheduled(Expression):
    """A number that changes from step to step; otherwise as a constant."""

    curve: Curve

    def __repr__(self) -> str:
        return repr(self.curve)


def _sites_text(sites: Sites, without: tuple[str, ...] = ()) -> str:
    text = "" if sites is None else f", sites={list(sites) if isinstance(sites, tuple) else sites!r}"
    return text + (f", without={list(without)}" if without else "")


@register
@dataclass(frozen=True, repr=False)
class Marginal:
    """The guide with its auxiliary sites averaged out.

    Attributes:
        guide: the guide.
        keep: the sites that stay; None for those that the model has.
        proposal: distribution of the others given these; None for the guide's own.
        particles: how many draws of the others estimate the density, that of the guide included.
    """

    guide: Role
    keep: tuple[str, ...] | None = None
    proposal: Program | None = None
    particles: int = 1

    @property
    def name(self) -> str:
        """Whose density it is."""
        return self.guide.name

    def __repr__(self) -> str:
        keep = "" if self.keep is None else f", keep={list(self.keep)}"
        proposal = "" if self.proposal is None else f", proposal={self.proposal.name}"
        return f"marginal({self.guide!r}{keep}{proposal}, particles={self.particles})"


@register
@dataclass(frozen=True, repr=False)
class LogDensity(Expression):
    """Log density of model or guide at the guide's draws."""

    program: Role | Marginal
    sites: Sites = None
    without: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"log_density({self.program!r}{_sites_text(self.sites, self.without)})"


@register
@dataclass(frozen=True, repr=False)
class LogWeight(Expression):
    """Log density of the model less that of the guide."""

    model: Role = model
    guide: Role | Marginal = guide

    def __repr__(self) -> str:
        return f"log_weight({self.model!r}, {self.guide!r})"


@register
@dataclass(frozen=True, repr=False)
class KL(Expression):
    """Divergence of guide sites from their priors, in closed form site by site where there is one."""

    guide: Role = guide
    model: Role = model
    sites: Sites = None
    without: tuple[str, ...] = ()
    closed: bool = False

    def __repr__(self) -> str:
        closed = ", closed=True" if self.closed else ""
        return f"kl({self.guide!r}, {self.model!r}{_sites_text(self.sites, self.without)}{closed})"


@register
@dataclass(frozen=True, repr=False)
class Entropy(Expression):
    """Entropy of guide sites given those they depend on, in closed form where there is one."""

    program: Role = guide
    sites: Sites = None

    def __repr__(self) -> str:
        return f"entropy({self.program!r}{_sites_text(self.sites)})"


# --- distributions to take expectations under --------------------------------------------------------------------


@register
@dataclass(frozen=True, repr=False)
class SIR:
    """The guide's draws, weighted by model over guide and normalised (sampling importance resampling).

    Attributes:
        over: the particles that are weighted.
        detached: whether weights and draws are constants for the gradient.
    """

    model: Role
    guide: Role
    over: Over
    detached: bool = False

    def detach(self) -> SIR:
        """The same, with weights and draws as constants."""
        return SIR(self.model, self.guide, self.over, True)

    def __repr__(self) -> str:
        text = f"sir({self.model!r}, {self.guide!r}, over={_over_text(self.over)})"
        return text + (".detach()" if self.detached else "")


@register
@dataclass(frozen=True, repr=False)
class Simulated:
    """Latents and data drawn from the model; the guide reads the drawn data in place of the real."""

    model: Role

    def __repr__(self) -> str:
        return f"simulated({self.model!r})"


# --- reducers ------------------------------------------------------------------------------------------------------


def _over_text(over: Over) -> str:
    names = [p.name for p in over]
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


@register
@dataclass(frozen=True, repr=False)
class Sum(Expression):
    """The sum of some terms."""

    terms: tuple[Expression, ...]

    def __repr__(self) -> str:
        text = repr(self.terms[0])
        for term in self.terms[1:]:
            if isinstance(term, Scaled) and term.factor < 0:
                text += f" - {_negated(term)}"
            else:
                text += f" + {term!r}"
        return text


def _negated(term: Scaled) -> str:
    return _tight(term.body) if term.factor == -1.0 else repr(Scaled(-term.factor, term.body))


def _tight(term: Expression) -> str:
    return f"({term!r})" if isinstance(term, Sum) else repr(term)


@register
@dataclass(frozen=True, repr=False)
class Scaled(Expression):
    """A term times a number."""

    factor: float
    body: Expression

    def __repr__(self) -> str:
        return f"-{_tight(self.body)}" if self.factor == -1.0 else f"{self.factor!r} * {_tight(self.body)}"


@register
@dataclass(frozen=True, repr=False)
class Weighted(Expression):
    """A term times a number that changes from step to step."""

    curve: Curve
    body: Expression

    def __repr__(self) -> str:
        return f"{self.curve!r} * {_tight(self.body)}"


@register
@dataclass(frozen=True, repr=False)
class Mean(Expression):
    """The mean over particles: linear, so that every term keeps a gradient estimate of its own."""

    body: Expression
    over: Over

    def __repr__(self) -> str:
        return f"mean({self.body!r}, over={_over_text(self.over)})"


@register
@dataclass(frozen=True, repr=False)
class LogMeanExp(Expression):
    """The log of the mean of exponentials over particles: couples them."""

    body: Expression
    over: Over

    def __repr__(self) -> str:
        return f"logmeanexp({self.body!r}, over={_over_text(self.over)})"


@register
@dataclass(frozen=True, repr=False)
class Function(Expression):
    """An elementwise function of quantities that are reduced before it: couples what is in them."""

    name: str
    args: tuple[Expression, ...]

    def __repr__(self) -> str:
        infix = {"multiply": "*", "divide": "/"}.get(self.name)
        if infix:
            return f" {infix} ".join(_tight(a) for a in self.args)
        return f"{self.name}({', '.join(map(repr, self.args))})"


@register
@dataclass(frozen=True, repr=False)
class Weights(Expression):
    """Softmax over particles."""

    body: Expression
    over: Over

    def __repr__(self) -> str:
        return f"softmax({self.body!r}, over={_over_text(self.over)})"


@register
@dataclass(frozen=True, repr=False)
class Total(Expression):
    """The sum over particles: of softmax weights times something, for example."""

    body: Expression
    over: Over

    def __repr__(self) -> str:
        return f"total({self.body!r}, over={_over_text(self.over)})"


@register
@dataclass(frozen=True, repr=False)
class Expect(Expression):
    """The expectation of a term under weighted or simulated draws."""

    body: Expression
    under: SIR | Simulated

    def __repr__(self) -> str:
        return f"expect({self.body!r}, under={self.under!r})"


@register
@dataclass(frozen=True, repr=False)
class Detached(Expression):
    """A term without its gradient."""

    body: Expression

    def __repr__(self) -> str:
        return f"{_tight(self.body)}.detach()"


Groups: TypeAlias = Mapping[str, Expression]
