"""Automatic guides: functions from a model to a guide program, in unconstrained space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ppl.errors import ModelError, StrategyError, user_location
from ppl.language.dist import (
    Delta,
    Identity,
    LowRankMultivariateNormal,
    MultivariateNormal,
    Normal,
    Transformed,
    biject_to,
)
from ppl.posterior.methods import register
from ppl.program import supports
from ppl.program.distributions import Distribution
from ppl.program.ops import apply, element
from ppl.program.program import Program
from ppl.program.statements import Param, Sample, Statement
from ppl.program.values import Frozen, Value
from ppl.transforms.density import Resolver
from ppl.transforms.exact import exact_sites
from ppl.transforms.unconstrain import log_det_total, refuse_discrete, refuse_summed_bounds, unconstrained_shape


class AutoGuide(Protocol):
    """A family of guides."""

    @property
    def init(self) -> Mapping[str, Any] | None:
        """Where sites start, each in its own space; the others start near zero in unconstrained space."""
        ...

    def build(self, program: Program, seed: int, start: Mapping[str, np.ndarray] | None = None) -> Program:
        """The guide program for a model.

        Args:
            program: the model.
            seed: for the sites that start at random.
            start: unconstrained starts of some sites, plates in front.
        """
        ...


def _latents(program: Program, guide: str) -> dict[str, Sample]:
    exact = exact_sites(program)
    latents = {name: site for name, site in program.latents.items() if name not in exact}
    if exact and not latents:
        raise StrategyError(
            f"{guide} has nothing to approximate: all latent sites are discrete, and are summed out exactly.",
            model=program.name,
            remedy="Use ImportanceSampling(), whose draws are then exact.",
        )
    if not latents:
        raise StrategyError(
            f"{guide} has nothing to approximate: no site is latent.",
            model=program.name,
            remedy="Parameters and networks alone are fitted by maximum likelihood: SVI(guide=AutoDelta()).",
        )
    names = _Names(program)
    for site in latents.values():
        refuse_discrete(program, site)
        refuse_summed_bounds(program, site, list(names.distribution(site.dist).support.bounds), exact)
    return latents


def _start(
    name: str, shape: tuple[int, ...], radius: float, seed: int, given: Mapping[str, np.ndarray] | None
) -> np.ndarray:
    """Where a site starts in unconstrained space: as given, or uniform, equal on both backends."""
    if given and name in given:
        return np.broadcast_to(np.asarray(given[name], dtype=float), shape).copy()
    generator = np.random.default_rng([seed, *name.encode()])
    return generator.uniform(-radius, radius, shape)


def _assemble(program: Program, name: str, statements: list[Statement]) -> Program:
    return Program(name, program.inputs, (), program.plates, tuple(statements), program.data)


class _Names(Resolver):
    """Leaves names of sites as names, and computes deterministic values from them."""

    def __init__(self, program: Program) -> None:
        super().__init__(program, {n: s.value for n, s in program.sites.items()})
        for name, site in program.observed.items():
            self.values[name] = self.observed(site)
        for name, statement in program.deterministics.items():
            self.values[name] = self.value(statement.expression)


@register
@dataclass(frozen=True)
class AutoNormal:
    """Independent normal distributions in unconstrained space, one for each latent number.

    Attributes:
        init_scale: starting standard deviation.
        init_radius: the means start uniformly within this distance of zero.
        init: where sites start instead, by name, each in its own space, shape (plates..., event...).

    Reference: Kucukelbir et al. (2017), Automatic differentiation variational inference.
    """

    init_scale: float = 0.1
    init_radius: float = 0.5
    init: Mapping[str, Any] | None = None

    def build(self, program: Program, seed: int, start: Mapping[str, np.ndarray] | None = None) -> Program:
        """The guide program: parameters `guide.SITE.loc` and `guide.SITE.scale`."""
        names = _Names(program)
        statements: list[Statement] = []
        for name, site in _latents(program, "AutoNormal").items():
            dist = names.distribution(site.dist)
            bijection = biject_to(dist.support)
            shape = unconstrained_shape(dist, bijection)
            sizes = tuple(p.size for p in site.plates)
            begin = _start(name, sizes + shape, self.init_radius, seed, start)
            loc = _plated_param(f"guide.{name}.loc", site, begin, shape, supports.real)
            scale = _plated_param(
                f"guide.{name}.scale", site, np.full(sizes + shape, self.init_scale), shape, supports.positive
            )
            base = Normal(loc.value, scale.value)
            family = base if isinstance(bijection, Identity) else Transformed(base, bijection)
            statements += [loc, scale, Sample(name, site.plates, site.location, family, names=site.names)]
        return _assemble(program, "AutoNormal", statements)


def _plated_param(
    name: str, site: Sample, start: np.ndarray, shape: tuple[int, ...], support: supports.Support
) -> Param:
    return Param(name, site.plates, site.location, Frozen(start.astype(float)), support, shape)


@register
@dataclass(frozen=True)
class AutoDelta:
    """A point: maximum a posteriori in the model's own (constrained) space; without latents, maximum likelihood.

    Attributes:
        init_radius: the unconstrained values start uniformly within this distance of zero.
        init: where sites start instead, by name, each in its own space, shape (plates..., event...).
    """

    init_radius: float = 0.5
    init: Mapping[str, Any] | None = None

    def build(self, program: Program, seed: int, start: Mapping[str, np.ndarray] | None = None) -> Program:
        """The guide program: parameters `guide.SITE.point`, unconstrained."""
        names = _Names(program)
        statements: list[Statement] = []
        # Without latents to approximate the point is that of the parameters alone: maximum likelihood.
        alone = bool(program.trained) and program.latents.keys() == exact_sites(program).keys()
        latents = {} if alone else _latents(program, "AutoDelta")
        for name, site in latents.items():
            bijection = biject_to(names.distribution(site.dist).support)
            shape = unconstrained_shape(site.dist, bijection)
            sizes = tuple(p.size for p in site.plates)
            begin = _start(name, sizes + shape, self.init_radius, seed, start)
            point = _plated_param(f"guide.{name}.point", site, begin, shape, supports.real)
            value = bijection.forward(point.value)
            statements += [point, Sample(name, site.plates, site.location, Delta(value), names=site.names)]
        return _assemble(program, "AutoDelta", statements)


@register
@dataclass(frozen=True)
class AutoMultivariateNormal:
    """One normal distribution with a full covariance over all latent numbers, in unconstrained space.

    Attributes:
        init_scale: starting standard deviation.
        init_radius: the means start uniformly within this distance of zero.
        init: where sites start instead, by name, each in its own space, shape (plates..., event...).
    """

    init_scale: float = 0.1
    init_radius: float = 0.5
    init: Mapping[str, Any] | None = None

    def build(self, program: Program, seed: int, start: Mapping[str, np.ndarray] | None = None) -> Program:
        """The guide program: an auxiliary site `guide` of which every latent is a part."""
        parts = joint_parts(program, "AutoMultivariateNormal", self.init_radius, seed, start)
        loc = Param("guide.loc", (), None, Frozen(parts.start), supports.real)
        tril = Param(
            "guide.scale_tril", (), None, Frozen(np.eye(parts.size) * self.init_scale), supports.lower_cholesky
        )
        joint = MultivariateNormal(loc.value, scale_tril=tril.value)
        return split_joint(program, "AutoMultivariateNormal", parts, [loc, tril], joint)


@register
@dataclass(frozen=True)
class AutoLowRank:
    """One normal distribution over all latent numbers, in unconstrained space, with a covariance of few numbers.

    The covariance is that of independent numbers plus a matrix of low rank: between `AutoNormal`, which knows no
    correlations, and `AutoMultivariateNormal`, whose n (n + 1) / 2 numbers are too many where n is in the thousands.

    Attributes:
        rank: directions in which latent numbers may vary together; None for the square root of how many there are.
        init_scale: starting standard deviation, half of its variance from either part.
        init_radius: the means start uniformly within this distance of zero.
        init: where sites start instead, by name, each in its own space, shape (plates..., event...).

    Raises:
        ModelError: the rank is no positive integer.

    Reference: Ong, Nott and Smith (2018), Gaussian variational approximation with a factor covariance structure.
    """

    rank: int | None = None
    init_scale: float = 0.1
    init_radius: float = 0.5
    init: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        rank = self.rank
        if rank is not None and (isinstance(rank, bool) or not isinstance(rank, (int, np.integer)) or rank < 1):
            raise ModelError(
                "AutoLowRank needs a rank of at least 1.",
                declared_at=user_location(),
                got=repr(rank),
                remedy="AutoNormal() has no correlations, AutoMultivariateNormal() has all.",
            )

    def build(self, program: Program, seed: int, start: Mapping[str, np.ndarray] | None = None) -> Program:
        """The guide program: an auxiliary site `guide` of which every latent is a part."""
        parts = joint_parts(program, "AutoLowRank", self.init_radius, seed, start)
        rank = min(parts.size, math.isqrt(parts.size - 1) + 1 if self.rank is None else int(self.rank))
        half = self.init_scale / math.sqrt(2.0)
        # Not zero: there the gradient of a factor is zero too. Each row is of equal length, so that all numbers start
        # with the same variance.
        factor = np.random.default_rng([seed, rank]).normal(size=(parts.size, rank))
        factor *= half / np.linalg.norm(factor, axis=1, keepdims=True)
        loc = Param("guide.loc", (), None, Frozen(parts.start), supports.real)
        own = Param("guide.scale", (), None, Frozen(np.full(parts.size, half)), supports.positive)
        shared = Param("guide.factor", (), None, Frozen(factor), supports.real)
        joint = LowRankMultivariateNormal(loc.value, shared.value, apply("square", own.value))
        return split_joint(program, "AutoLowRank", parts, [loc, own, shared], joint)


@dataclass(frozen=True)
class JointParts:
    """The latent sites of a model as parts of one unconstrained vector.

    Attributes:
        sites: each with the event shape of its unconstrained value, and where it begins in the vector.
        start: where the vector starts.
    """

    sites: tuple[tuple[Sample, tuple[int, ...], int], ...]
    start: np.ndarray

    @property
    def size(self) -> int:
        """Length of the vector."""
        return len(self.start)


def joint_parts(
    program: Program, guide: str, radius: float, seed: int, given: Mapping[str, np.ndarray] | None
) -> JointParts:
    """How the latent sites of a model make up one unconstrained vector.

    Args:
        program: the model.
        guide: name of the guide's family, for messages.
        radius: sites start uniformly within this distance of zero.
        seed: for these starts.
        given: unconstrained starts of some sites.
    """
    names = _Names(program)
    sites: list[tuple[Sample, tuple[int, ...], int]] = []
    starts: list[np.ndarray] = []
    total = 0
    for name, site in _latents(program, guide).items():
        dist = names.distribution(site.dist)
        shape = unconstrained_shape(dist, biject_to(dist.support))
        begin = _start(name, tuple(p.size for p in site.plates) + shape, radius, seed, given)
        sites.append((site, shape, total))
        starts.append(begin.ravel())
        total += begin.size
    return JointParts(tuple(sites), np.concatenate(starts))


def split_joint(
    program: Program, guide: str, parts: JointParts, statements: list[Statement], joint: Distribution
) -> Program:
    """The guide program in which an auxiliary site `guide` holds all latent numbers, and every latent is a part of it.

    Args:
        program: the model.
        guide: name of the guide.
        parts: what the vector is made of.
        statements: what the joint distribution depends on.
        joint: distribution of the vector.
    """
    names = _Names(program)
    together = Sample("guide", (), None, joint, auxiliary=True)
    out = [*statements, together]
    for site, shape, begin in parts.sites:
        full = tuple(p.size for p in site.plates) + shape
        part: Value = together.value[begin : begin + int(np.prod(full))]
        part = apply("reshape", part, shape=full) if part.shape != full else part
        for plate in site.plates:
            part = element(part, plate)
        bijection = biject_to(names.distribution(site.dist).support)
        value = bijection.forward(part)
        # The density of the auxiliary vector, carried over to the site's own space.
        correction = -log_det_total(bijection, part, value)
        out.append(Sample(site.name, site.plates, site.location, Delta(value, correction), names=site.names))
    return _assemble(program, guide, out)
