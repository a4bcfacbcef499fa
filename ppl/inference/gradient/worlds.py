"""Draws of a guide along particle axes, and the same draws with one site changed: the worlds that terms are read in."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from ppl.inference.marginal import Marginalized, fresh
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Sample
from ppl.program.values import Axis, Plate, Value, reference
from ppl.transforms.density import Density, Noise, NoiseSpec, Resolver, log_density
from ppl.transforms.exact import exact_sites
from ppl.transforms.unconstrain import unconstrained_params

from .contract import Draw, Drawn, Strategy, stopped
from .dependence import Dependence
from .sleep import simulated_world


@dataclass(frozen=True)
class World:
    """Values of the guide's sites, and every density at them.

    Attributes:
        values: expression of each site and deterministic value of the guide.
        log_q: log density of each site of the guide, in nats.
        dists: distribution of each site of the guide.
        drawn: what the strategy of each site gave.
        density: the model's density at these values.
        marginal: what the density of the kept sites is estimated from, where auxiliary sites are averaged out.
    """

    values: dict[str, Value]
    log_q: dict[str, Value]
    dists: dict[str, Distribution]
    drawn: dict[str, Drawn]
    density: Density
    marginal: MarginalParts | None = None


@dataclass(frozen=True)
class MarginalParts:
    """Log densities of guide sites that auxiliary ones touch, by name, in nats.

    Attributes:
        real: at the draws; those of auxiliary sites too, unless they cancel.
        real_reverse: of the auxiliary draws under the proposal; empty where they cancel.
        fresh: as `real`, at the fresh draws of auxiliary sites.
        fresh_reverse: of these under the proposal.
        count: how many draws there are in all.
        inner: the plate of the fresh ones.
        auxiliary: the sites that are averaged out.
        ignored: the sites that hold their fresh draws.
    """

    real: dict[str, Value]
    real_reverse: dict[str, Value]
    fresh: dict[str, Value]
    fresh_reverse: dict[str, Value]
    count: int
    inner: Plate
    auxiliary: tuple[str, ...]
    ignored: tuple[str, ...]


@dataclass
class Setting:
    """What all draws of one objective share.

    Attributes:
        model: the model.
        guide: the guide.
        batch: batch size of each subsampled plate.
        strategies: how each site of the guide is drawn.
        held: the programs whose parameters are constants: "model" or "guide".
        noise: the random arguments so far, by name; shared by the objectives of one fit.
        marginal: the guide's auxiliary sites that are averaged out; None where there are none.
    """

    model: Program
    guide: Program
    batch: Mapping[str, int]
    strategies: Mapping[str, Strategy]
    held: frozenset[str] = frozenset()
    noise: dict[str, NoiseSpec] = field(default_factory=dict[str, NoiseSpec])
    marginal: Marginalized | None = None

    @cached_property
    def own_params(self) -> dict[str, Value]:
        """Parameters of model and guide that are replaced: by unconstrained ones, or held."""
        both = {**unconstrained_params(self.model)[0], **unconstrained_params(self.guide)[0]}
        for role, program in (("model", self.model), ("guide", self.guide)):
            if role in self.held:
                both |= held_params(program, both)
        return both

    @cached_property
    def all_held(self) -> dict[str, Value]:
        """The same with every parameter held."""
        both = {**held_params(self.model, self.own_params), **held_params(self.guide, self.own_params)}
        return {**self.own_params, **both}


def held_params(program: Program, params: Mapping[str, Value]) -> dict[str, Value]:
    """Every parameter and network weight of a program as a constant for the gradient."""
    out: dict[str, Value] = {}
    for name, statement in program.params.items():
        start = reference("param", name, statement.plates, statement.event_shape, "float")
        out[name] = stopped(params.get(name, start))
    for name, network in program.networks.items():
        if network.spec.foreign is not None:
            # The weights of a user's own module have no names here: the mark stands for all of them.
            out[f"{name}."] = stopped(reference("param", f"{name}.", (), (), "float"))
        elif not network.random:
            for weight, w in network.spec.weights.items():
                out[weight] = stopped(params.get(weight, reference("param", weight, (), w.shape, "float")))
    return out


class Draws:
    """The guide's draws along some axes.

    Args:
        setting: programs, parameters and strategies.
        axes: particle axes, outermost first.
        label: what distinguishes their noise from that of other draws; "" for the first.
        exact: the sites whose values are summed out exactly, on lanes.
        tag: what distinguishes lanes of these draws.
    """

    def __init__(
        self, setting: Setting, axes: tuple[Axis, ...], label: str = "", exact: Collection[str] = (), depth: int = 100
    ) -> None:
        self.setting = setting
        self.axes = axes
        self.label = label
        self.exact = exact
        self._depth = depth
        self._lanes: dict[tuple[str, int], Axis] = {}
        self._gated: dict[int, tuple[Value, World]] = {}

    # --- worlds ------------------------------------------------------------------------------------------------------

    @cached_property
    def real(self) -> World:
        """The draws themselves."""
        return self._world({}, self.setting.own_params)

    @cached_property
    def linear(self) -> World:
        """The draws, with densities of the guide as linear reducers want them: "sticking the landing" where asked."""
        sites = [n for n, s in self.setting.strategies.items() if getattr(s, "entropy", None) in ("stl", "dreg")]
        if not sites or "guide" in self.setting.held:
            return self.real
        held = self._held_log_q(self.real.values, sites)
        return replace(self.real, log_q={**self.real.log_q, **held})

    @cached_property
    def detached(self) -> World:
        """The draws as constants."""
        values = {n: stopped(self.real.values[n]) for n in self.setting.guide.sites}
        return self._world(values, self.setting.own_params)

    @cached_property
    def simulated(self) -> World:
        """Latents and data drawn from the model, and the guide's density there."""
        density, log_q, values = simulated_world(self)
        return World(values, log_q, {}, {}, density)

    def changed(self, site: str, value: Value, hold: bool = False) -> World:
        """The draws with one site changed, and with it all that follows from it, on the same noise.

        Args:
            site: the site.
            value: its other value.
            hold: whether all parameters are constants, so that gradients come through `value` alone; discrete sites
                that follow are then relaxed, so that these gradients are those of a smooth function.
        """
        follows = {t for t, reach in self.dependence.parents.items() if site in reach}
        given = {n: v for n, v in self.real.values.items() if n in self.setting.guide.sites and n not in follows}
        params = self.setting.all_held if hold else self.setting.own_params
        if hold:
            given = {n: stopped(v) for n, v in given.items()}
        return self._world({**given, site: value}, params, soft=hold)

    def gated(self, weights: Value) -> World | None:
        """The draws as they enter log weights under the doubly reparameterised gradient; None where no site asks.

        Args:
            weights: normalised weights, constants.

        Reference: Tucker et al. (2019), Doubly reparameterized gradient estimators.
        """
        sites = [n for n, s in self.setting.strategies.items() if getattr(s, "entropy", None) == "dreg"]
        if not sites or "guide" in self.setting.held:
            return None
        if id(weights) not in self._gated:
            values = {n: self.real.values[n] for n in self.setting.guide.sites}
            for name in sites:
                # The same number; what comes back through it is multiplied by the weight.
                z = values[name]
                values[name] = apply("add", stopped(z), apply("multiply", weights, apply("subtract", z, stopped(z))))
            world = self._world(values, self.setting.own_params)
            log_q = {**world.log_q, **self._held_log_q(world.values, sites)}
            self._gated[id(weights)] = weights, replace(world, log_q=log_q)
        return self._gated[id(weights)][1]

    # --- what they are made of ---------------------------------------------------------------------------------------

    def plates(self, name: str) -> tuple[Plate, ...]:
        """Axes and plates of a site."""
        return (*self.axes, *self.setting.guide.by_name[name].plates)

    @cached_property
    def dependence(self) -> Dependence:
        """What depends on the draws."""
        sites = list(self.setting.guide.sites)
        values = {n: (self.real.drawn[n].value, self.real.values[n]) for n in sites}
        return Dependence(values, self.real.dists, {n: self.plates(n) for n in sites})

    def lane(self, site: str, size: int, which: int = 0) -> Axis:
        """The axis of some alternatives of a site."""
        key = (site, which)
        if key not in self._lanes:
            depth = self._depth + len(self._lanes)
            self._lanes[key] = Axis(f"lanes {self.label}{site}.{which}", size, depth)
        return self._lanes[key]

    def _world(self, given: Mapping[str, Value], params: Mapping[str, Value], soft: bool = False) -> World:
        guide = self.setting.guide
        resolver = Resolver(guide, {}, params)
        log_q: dict[str, Value] = {}
        dists: dict[str, Distribution] = {}
        drawn: dict[str, Drawn] = {}
        for statement in guide.statements:
            name = resolver.statement = statement.name
            if isinstance(statement, Deterministic):
                resolver.values[name] = resolver.value(statement.expression)
            if not isinstance(statement, Sample):
                continue
            dist = dists[name] = resolver.distribution(statement.dist).unchecked()
            if name in given:
                resolver.values[name] = given[name]
                unchanged = self._unchanged(name, given)
                log_q[name] = self.real.log_q[name] if unchanged else dist.log_prob(given[name])
                continue
            one = drawn[name] = self._drawn(statement, dist)
            if soft and one.relaxation is not None:
                resolver.values[name] = one.relaxation.value
                log_q[name] = dist.log_prob(one.relaxation.value)
                continue
            resolver.values[name] = named(one.value, statement)
            log_q[name] = one.log_q
        close = resolver.carries()
        values = dict(resolver.values)
        if close is not None:
            values = {n: close(v) for n, v in values.items()}
            log_q = {n: close(v) for n, v in log_q.items()}
            dists = {n: d.substitute(close) for n, d in dists.items()}
            drawn = {n: d.mapped(close) for n, d in drawn.items()}
        return World(values, log_q, dists, drawn, self._density(values, params), self._marginal(values, log_q, params))

    def _marginal(
        self, values: Mapping[str, Value], log_q: Mapping[str, Value], params: Mapping[str, Value]
    ) -> MarginalParts | None:
        averaged = self.setting.marginal
        if averaged is None:
            return None
        given, reverse = averaged.given(values, params), averaged.reverse(values, params)
        names = {n: fresh(n) for n in averaged.auxiliary}
        inner = averaged.program.by_name[next(iter(names.values()))].plates[-1]
        # What a site's density is made of is the same in both places, unless it reads an auxiliary site.
        touched = [n for n, v in given.items() if n in names or inner in v.plates]
        counted = [n for n in touched if not (averaged.own and n in names)]
        return MarginalParts(
            {n: log_q[n] for n in counted},
            {} if averaged.own else {n: reverse[n] for n in names},
            {n: given[n] for n in counted},
            {} if averaged.own else {n: log_q[f] for n, f in names.items()},
            averaged.marginal.particles,
            inner,
            averaged.auxiliary,
            tuple(names.values()),
        )

    def _unchanged(self, name: str, given: Mapping[str, Value]) -> bool:
        """Whether a site and all it depends on are the draws themselves."""
        if "real" not in self.__dict__:
            return False
        above = [name, *self.dependence.parents[name]]
        return all(given.get(n) is self.real.values[n] for n in above)

    def _drawn(self, statement: Sample, dist: Distribution) -> Drawn:
        name = statement.name
        record: list[NoiseSpec] = []
        noise = Noise(f"{self.label}{name}", self.plates(name), False, record)
        lanes = iter(range(100))
        draw = Draw(name, dist, noise, name in self.exact, lambda size: self.lane(name, size, next(lanes)))
        one = self.setting.strategies[name].draw(draw)
        self.setting.noise.update((spec.name, spec) for spec in record)
        return one

    def _held_log_q(self, values: Mapping[str, Value], sites: Collection[str]) -> dict[str, Value]:
        """Log density of some sites at given values, with the guide's parameters as constants."""
        guide = self.setting.guide
        resolver = Resolver(guide, {}, self.setting.all_held)
        out: dict[str, Value] = {}
        for statement in guide.statements:
            if isinstance(statement, Deterministic):
                resolver.values[statement.name] = resolver.value(statement.expression)
            elif isinstance(statement, Sample):
                if statement.name in sites:
                    dist = resolver.distribution(statement.dist).unchecked()
                    out[statement.name] = dist.log_prob(values[statement.name])
                resolver.values[statement.name] = values[statement.name]
        close = resolver.carries()
        return out if close is None else {n: close(v) for n, v in out.items()}

    def _density(self, values: Mapping[str, Value], params: Mapping[str, Value]) -> Density:
        model = self.setting.model
        exact = exact_sites(model, self.setting.guide.sites)
        latents = {name: values[name] for name in model.latents if name not in exact}
        return log_density(model, latents, params=params, checked=False, exact=exact, batch=self.setting.batch)


def named(value: Value, statement: Sample) -> Value:
    """A draw under the user's name for it."""
    if value.hint or not value.args:
        return value
    return Value(value.op, value.args, value.attrs, value.plates, value.shape, value.dtype, [statement.name])


class Contexts:
    """The draws of one objective: one set for each combination of particle axes (the `Worlds` of its meaning).

    Args:
        setting: programs, parameters and strategies.
        exact: for each combination of axes the sites that are summed out on lanes.
    """

    def __init__(self, setting: Setting, exact: Mapping[tuple[Axis, ...], Collection[str]] | None = None) -> None:
        self.setting = setting
        self.model, self.guide, self.batch = setting.model, setting.guide, setting.batch
        self.exact = exact or {}
        self.draws: dict[tuple[Axis, ...], Draws] = {}

    def of(self, axes: tuple[Axis, ...]) -> Draws:
        """The draws along some axes."""
        if axes not in self.draws:
            label = "" if not self.draws else "+".join(a.name for a in axes) + "/"
            self.draws[axes] = Draws(self.setting, axes, label, self.exact.get(axes, ()), 100 + 1000 * len(self.draws))
        return self.draws[axes]

    def at(self, axes: tuple[Axis, ...], kind: str) -> World:
        """The world of a kind, as `Worlds.at`."""
        draws = self.of(axes)
        return {
            "linear": lambda: draws.linear,
            "coupled": lambda: draws.real,
            "detached": lambda: draws.detached,
            "simulated": lambda: draws.simulated,
        }[kind]()

    def gated(self, axes: tuple[Axis, ...], weights: Value) -> World | None:
        """As `Worlds.gated`."""
        return self.of(axes).gated(weights)


class Changed:
    """The same worlds, in which one set of draws has one site changed.

    Args:
        contexts: the worlds.
        axes: which draws.
        world: what takes their place.
    """

    def __init__(self, contexts: Contexts, axes: tuple[Axis, ...], world: World) -> None:
        self.contexts = contexts
        self.model, self.guide, self.batch = contexts.model, contexts.guide, contexts.batch
        self.axes = axes
        self.world = world

    def at(self, axes: tuple[Axis, ...], kind: str) -> World:
        """As `Worlds.at`."""
        changed = axes == self.axes and kind in ("linear", "coupled")
        return self.world if changed else self.contexts.at(axes, kind)

    def gated(self, axes: tuple[Axis, ...], weights: Value) -> World | None:
        """Nothing: gradients of these worlds are not taken that way."""
        return None
