"""Log densities and simulators of a program as expression graphs."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ppl.errors import StrategyError, naming_site
from ppl.language.dist.imputed import Imputed
from ppl.program.distributions import Distribution
from ppl.program.missing import completed, gathered, held, known_elements, missing_site
from ppl.program.networks import Weight, apply_network
from ppl.program.ops import apply, chain, leave, merge_plates, plate_sum
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Factor, Sample, Statement
from ppl.program.values import DType, Lane, Plate, Shape, Value, lift, reference, walk

from .exact import eliminate, lane_of, refuse_leaving, term_of
from .recurrence import Carries, Handed, scanned, shift, step_keys


@dataclass(frozen=True)
class NoiseSpec:
    """One random argument of an emitted function.

    Attributes:
        name: name of the argument.
        kind: "normal", "uniform", or "key" for a library sampler.
        plates: plates it varies over.
        shape: event shape.
        site: the site it belongs to.
    """

    name: str
    kind: str
    plates: tuple[Plate, ...]
    shape: Shape
    site: str


class Noise:
    """Hands out noise for one site and records what was handed out (a `NoiseSource`)."""

    def __init__(self, site: str, plates: tuple[Plate, ...], lead: bool, record: list[NoiseSpec]) -> None:
        self.site = site
        self.plates = plates
        self.lead = lead
        self.record = record
        self.count = 0

    def _new(self, kind: str, shape: Shape) -> str:
        name = self.site if self.count == 0 else f"{self.site}.{self.count}"
        self.count += 1
        self.record.append(NoiseSpec(name, kind, self.plates, shape, self.site))
        return name

    def normal(self, shape: Shape) -> Value:
        """Standard normal noise."""
        return reference("noise", self._new("normal", shape), self.plates, shape, "float")

    def uniform(self, shape: Shape) -> Value:
        """Uniform noise on (0, 1)."""
        return reference("noise", self._new("uniform", shape), self.plates, shape, "float")

    def native(self, sampler: str, args: tuple[Value, ...], shape: Shape, dtype: DType) -> Value:
        """A draw by the library's sampler, from a key."""
        key = reference("key", self._new("key", ()), (), (), "int")
        attrs = {"sampler": sampler, "out_shape": shape, "out_dtype": dtype, "lead": self.lead}
        return Value("native", (key, *args), tuple(sorted(attrs.items())), self.plates, shape, dtype)


@dataclass
class Resolver:
    """Replaces names by expressions, statement by statement.

    Attributes:
        program: the program that is read.
        values: expression of each site known so far.
        params: expression of parameters that are replaced (unconstrained ones, for example).
        statement: the statement that is being read, for messages.
        failed: deterministic values that do not exist where discrete sites are summed out; an error if they are read.
    """

    program: Program
    values: dict[str, Value] = field(default_factory=dict[str, Value])
    params: Mapping[str, Value] = field(default_factory=dict[str, Value])
    statement: str = ""
    failed: dict[str, StrategyError] = field(default_factory=dict[str, StrategyError])
    _done: dict[int, Value] = field(default_factory=dict[int, Value])
    _alive: list[Value] = field(default_factory=list[Value])

    def value(self, root: Value) -> Value:
        """An expression in which every site, network and replaced parameter has been filled in."""
        for node in walk([root]):
            if id(node) not in self._done:
                self._done[id(node)] = self._node(node)
                self._alive.append(node)
        return self._done[id(root)]

    def _node(self, node: Value) -> Value:
        if node.op == "site":
            if node.attr("name") in self.failed:
                raise self.failed[node.attr("name")]
            return self.values[node.attr("name")]
        if node.op == "param":
            return self.params.get(node.attr("name"), node)
        if node.op == "network":
            return self._network(node)
        args = tuple(self._done[id(a)] for a in node.args)
        if all(a is b for a, b in zip(args, node.args, strict=True)):
            return node
        return self.rebuilt(node, args)

    def rebuilt(self, node: Value, args: tuple[Value, ...]) -> Value:
        """A node with other operands, over the plates that these vary over."""
        if node.op == "leave":
            return self._leave(node, args[0])
        if node.op == "scan":
            return Value(node.op, args, node.attrs, (), (), node.dtype, node.hint)
        if node.op == "scanned":
            return scanned(args[0], node.attr("at"))
        if node.op == "step_keys":
            return step_keys(args[0], node.attr("plate"))
        if node.op == "chain":
            first, own, pair = args
            lanes = tuple(zip(node.attr("now"), node.attr("before"), strict=True))
            return chain(first, own, pair, node.attr("plate"), lanes, node.attr("reverse"))
        if node.op == "shift":
            return shift(args[0], args[1], node.attr("plate"), node.attr("reverse"), "".join(node.hint[:1]))
        # What replaces a site may vary over fewer plates than the site did (a constant set by `do`, for example).
        plates = merge_plates(args)
        if node.op == "native":
            # A draw for each element of its site, whatever its parameters vary over.
            plates = (*node.plates, *(p for p in plates if p not in node.plates))
        if node.op == "element" and node.attr("plate") not in plates:
            plates = (*plates, node.attr("plate"))
        return Value(node.op, args, node.attrs, plates, node.shape, node.dtype, node.hint)

    def carries(self, first: bool = False) -> Carries | None:
        """What replaces the names of carries, once every statement has been resolved; None where there are none.

        Args:
            first: whether carries of sites that are summed out have their start, or the values of the step before.
        """
        if not self.program.carries:
            return None
        handed: dict[str, Handed] = {}
        for name, carry in self.program.carries.items():
            self.statement = name
            handed[name] = Handed(carry, self.value(carry.init), self.value(carry.following))
        return Carries(self.program.name, handed, self.values.values(), self.rebuilt, first)

    def _leave(self, node: Value, body: Value) -> Value:
        for lane in body.plates:
            if isinstance(lane, Lane) and set(lane.of) & set(node.attr("plates")):
                raise refuse_leaving(self.program, lane, self.statement)
        for plate in node.attr("plates"):
            if plate not in body.plates:
                index = Value("plate_index", (), (("plate", plate),), (plate,), (), "int")
                # The axis has to exist before it can become an array axis: add zeros along it.
                body = apply("add", body, apply("multiply", index, 0))
        out = leave(body, node.attr("plates"))
        out.hint.extend(node.hint)
        return out

    def _network(self, node: Value) -> Value:
        statement = self.program.networks[node.attr("name")]
        args = tuple(self._done[id(a)] for a in node.args)
        if dict(node.attrs).get("weight"):
            return args[0] if args else reference("param", node.attr("weight"), (), node.shape, "float")
        if statement.spec.foreign is not None:
            # Weights of a user's own module have no names here; a mark in their place holds all of them.
            held = (("held", True),) if f"{node.attr('name')}." in self.params else ()
            attrs = tuple(sorted([*node.attrs, *held]))
            return Value("network", args, attrs, node.plates, node.shape, node.dtype, node.hint)
        # The element and what else the network was called with come first, then weights that are sites.
        count = len(args) - (len(statement.spec.weights) if statement.random else 0)
        sites = dict(zip(statement.spec.weights, args[count:], strict=False))

        def weight(name: str, w: Weight) -> Value:
            if name in sites:
                return sites[name]
            return self.params.get(name, reference("param", name, (), w.shape, "float"))

        out = apply_network(statement.spec, args[0], weight, args[1:count])
        if node.hint and not out.hint:
            out.hint.extend(node.hint)
        return out

    def observed(self, statement: Sample) -> Value:
        """The value of an observed site: its data, with imputed elements in the place of missing ones."""
        if statement.missing is None or statement.missing.how != "imputed":
            return statement.value
        return completed(statement, statement.value, self.values[missing_site(statement.name)])

    def distribution(self, dist: Distribution) -> Distribution:
        """A distribution with its parameters filled in."""
        return dist.substitute(self.value)


@dataclass(frozen=True)
class Density:
    """The log density of a program as expressions.

    Attributes:
        terms: log density of every random site and factor, in nats, each varying over the plates of its statement.
        dists: distribution of each site, with its parameters filled in.
        values: expression of every site and deterministic value; of exactly summed sites, all their values.
        plates: the plates that each term is summed over.
        parts: the statements whose terms each term holds: more than one where a discrete site was summed out.
        firsts: for terms that vary over kept sites of the step before, what they are in the first step.
    """

    terms: dict[str, Value]
    dists: dict[str, Distribution]
    values: dict[str, Value]
    plates: dict[str, tuple[Plate, ...]]
    parts: dict[str, tuple[str, ...]]
    firsts: dict[str, Value] = field(default_factory=dict[str, Value])

    def total(self, batch: Mapping[str, int] | None = None) -> Value:
        """The sum of all terms over their plates, in nats."""
        return total_of([plate_sum(t, self.plates[n], dict(batch or {})) for n, t in self.terms.items()])


def total_of(terms: list[Value]) -> Value:
    """The sum of some values; zero of none."""
    return functools.reduce(lambda a, b: apply("add", a, b), terms) if terms else lift(0.0)


def log_density(
    program: Program,
    values: Mapping[str, Value] | None = None,
    *,
    params: Mapping[str, Value] | None = None,
    checked: bool = True,
    exact: Collection[str] = (),
    batch: Mapping[str, int] | None = None,
    keep: Collection[str] = (),
) -> Density:
    """Log density of every random site and factor.

    Args:
        program: a model or guide.
        values: expression for each random site; those left out are arguments of the function.
        params: expressions for parameters that are replaced.
        checked: whether to keep the guards that give -inf outside the support; without them the values must be
            known to lie inside.
        exact: finite discrete sites that are summed out; their values must not be given.
        batch: number of evaluated elements of each subsampled plate.
        keep: exact sites that are not summed out: their terms vary over their lanes.

    Raises:
        StrategyError: an exact site cannot be summed out.
    """
    resolver = Resolver(program, {}, params or {})
    lanes: dict[str, Lane] = {}
    terms: dict[str, Value] = {}
    dists: dict[str, Distribution] = {}
    given = dict(values or {})
    for statement in program.statements:
        name = resolver.statement = statement.name
        if isinstance(statement, Sample):
            dist = resolver.distribution(statement.dist)
            value = given.get(name)
            if value is None:
                value = resolver.observed(statement) if statement.observed else statement.value
            if name in exact:
                lanes[name], value = lane_of(statement)
            resolver.values[name] = value
            guarded = checked and name not in exact and not (statement.observed and _checked_when_observed(statement))
            dists[name] = dist if guarded else dist.unchecked()
            with naming_site(name, program.name, statement.location):
                terms[name] = _known_log_prob(statement, dists[name], value)
        elif isinstance(statement, Deterministic):
            try:
                resolver.values[name] = _named(resolver.value(statement.expression), statement)
            except StrategyError as error:
                resolver.failed[name] = error
        elif isinstance(statement, Factor):
            terms[name] = resolver.value(statement.expression)
    close = resolver.carries()
    firsts: dict[str, Value] = {}
    if close is not None:
        start = resolver.carries(first=True) if lanes else None
        if start is not None:
            firsts = {n: start(t) for n, t in terms.items()}
        terms = {n: close(t) for n, t in terms.items()}
        dists = {n: d.substitute(close) for n, d in dists.items()}
        resolver.values = {n: close(v) for n, v in resolver.values.items()}
    plates = {name: program.by_name[name].plates for name in terms}
    parts = {name: (name,) for name in terms}
    if lanes:
        whole = {n: term_of(t, plates[n], n, firsts.get(n)) for n, t in terms.items()}
        summed = eliminate(program, whole, batch or {}, {lanes[n] for n in keep})
        terms = {n: t.value for n, t in summed.items()}
        firsts = {n: t.first for n, t in summed.items() if t.first is not None}
        plates = {n: t.plates for n, t in summed.items()}
        parts = {n: t.parts for n, t in summed.items()}
    return Density(terms, dists, resolver.values, plates, parts, firsts if lanes else {})


def _known_log_prob(statement: Sample, dist: Distribution, value: Value) -> Value:
    """The log density of a site in nats, of its known elements alone where missing ones are summed out."""
    missing = statement.missing
    if missing is None or missing.how != "summed":
        return dist.log_prob(value)
    known = known_elements(statement)
    return dist.marginal_log_prob(value, known) if missing.numbers else dist.mask(known).log_prob(value)


def _checked_when_observed(statement: Sample) -> bool:
    """Whether `observe` has compared the data with the support already: its bounds are constants."""
    return all(b.op == "const" for b in statement.dist.support.bounds)


def _named(value: Value, statement: Statement) -> Value:
    if value.hint or not value.args:
        return value
    # A copy: the value may be the program's own, whose text would change with what was computed from it before.
    return Value(value.op, value.args, value.attrs, value.plates, value.shape, value.dtype, [statement.name])


@dataclass(frozen=True)
class Continued:
    """The steps of a scan that are known, when all its steps are simulated.

    Attributes:
        plate: the plate of the steps.
        count: how many steps are known, from the first one on.
        anew: sites whose known values feed later steps, while what is reported of them are new draws at all steps.
    """

    plate: Plate
    count: int
    anew: frozenset[str] = frozenset()

    def combined(self, known: Value, drawn: Value) -> Value:
        """Known values at the known steps, draws at all others."""
        index = Value("plate_index", (), (("plate", self.plate),), (self.plate,), (), "int")
        early = apply("less", index, self.count)
        if drawn.shape:
            early = apply("reshape", early, shape=(1,) * drawn.ndim)
        return apply("where", early, known, drawn)


@dataclass(frozen=True)
class Simulator:
    """The draws of a program as expressions.

    Attributes:
        values: expression of every site and deterministic value.
        log_probs: log density of each sampled site at its draw, in nats, varying over its plates.
        noise: the random arguments.
        dists: distribution of each drawn site, with its parameters filled in.
    """

    values: dict[str, Value]
    log_probs: dict[str, Value]
    noise: tuple[NoiseSpec, ...]
    dists: dict[str, Distribution]


def simulator(
    program: Program,
    given: Mapping[str, Value] | None = None,
    *,
    params: Mapping[str, Value] | None = None,
    lead: bool = True,
    densities: bool = False,
    continued: Continued | None = None,
) -> Simulator:
    """Draw every site that is not given, in order.

    Args:
        program: a model or guide.
        given: expressions of sites that are not drawn.
        params: expressions for parameters that are replaced.
        lead: whether draws carry leading axes (many draws at once).
        densities: whether to give the log density of each draw too, which is cheaper along with the draw.
        continued: the steps of a scan that are known; sites in `given` with the plate of the steps are drawn at others.
    """
    resolver = Resolver(program, {}, params or {})
    noise: list[NoiseSpec] = []
    log_probs: dict[str, Value] = {}
    dists: dict[str, Distribution] = {}
    given = dict(given or {})
    anew: dict[str, Value] = {}
    for statement in program.statements:
        if isinstance(statement, Sample):
            name = statement.name
            imputed = statement.missing is not None and statement.missing.how == "imputed"
            if isinstance(statement.dist, Imputed) and name not in given:
                # Drawn with the site that it belongs to, which comes next.
                continue
            known = continued is not None and name in given and continued.plate in statement.plates
            if name in given and not imputed and not known:
                resolver.values[name] = given[name]
                continue
            free = missing_site(name)
            if name in given and free in given:
                resolver.values[name] = completed(statement, given[name], given[free])
                continue
            dist = dists[name] = resolver.distribution(statement.dist).unchecked()
            source = Noise(name, statement.plates, lead, noise)
            with naming_site(name, program.name, statement.location):
                if densities:
                    value, log_probs[name] = dist.draw_with_log_prob(source)
                else:
                    value = dist.draw(source)
            resolver.values[name] = _named(value, statement)
            if known and continued is not None:
                if name in continued.anew:
                    anew[name] = value
                resolver.values[name] = continued.combined(given[name], value)
                continue
            if imputed and free not in given:
                resolver.values[free] = gathered(statement, resolver.values[name])
                if name in given:
                    resolver.values[name] = held(statement, given[name], resolver.values[name])
        elif isinstance(statement, Deterministic):
            resolver.values[statement.name] = given.get(statement.name, resolver.value(statement.expression))
    close = resolver.carries()
    if close is not None:
        resolver.values = {n: close(v) for n, v in {**resolver.values, **anew}.items()}
        log_probs = {n: close(v) for n, v in log_probs.items()}
        dists = {n: d.substitute(close) for n, d in dists.items()}
    return Simulator(resolver.values, log_probs, tuple(noise), dists)
