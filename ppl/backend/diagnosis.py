"""Where a number that is not finite came from: the first site at fault, its parameters, and what fed it.

Fits and simulations look at one total. Only where that is not finite, the same point is evaluated again with everything
that is needed to say why, by a function that is emitted then. What counts as a fault:

- of a log density or log weight: NaN and +inf. -inf is a value: what is impossible has that density. It counts where it
  leads nowhere, as in the objective of a fit or at the start of a sampler;
- of a draw: NaN and infinities, which stand for numbers that the precision cannot hold;
- of a computed value (`ppl.deterministic`): NaN, in a simulation. The logarithm of a zero is a value. What the draws of
  a fit leave undefined that no density depends on is NaN there, and no reason to lose the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ppl.errors import NonFiniteError, SupportError
from ppl.program.distributions import Distribution
from ppl.program.printing import distribution_text
from ppl.program.program import Program
from ppl.program.statements import Deterministic, Factor, Sample, Statement
from ppl.program.supports import Support
from ppl.program.values import Value

REMEDY = "Check the scale of the data, and the priors of what feeds it."
SMOOTH = (
    "Its density is finite there and its gradient is not: write ops.where around the argument of a root, logarithm or "
    "quotient as well as around its result, so that the branch that is not taken has a finite gradient too."
)


@dataclass(frozen=True)
class Findings:
    """The numbers of one evaluation of a program, by name of the statement.

    Attributes:
        program: the program.
        terms: log densities of sites and log weights of factors, in nats.
        facts: parameters of each site, by their own names.
        values: sites, computed values, parameters and data.
        parts: for terms of several statements (a discrete site was summed out) which these are.
        drawn: sites that were drawn in this evaluation.
    """

    program: Program
    terms: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    facts: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict[str, Mapping[str, np.ndarray]])
    values: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    drawn: frozenset[str] = frozenset()


# --- what is evaluated ------------------------------------------------------------------------------------------------


def outputs_of(
    terms: Mapping[str, Value], dists: Mapping[str, Distribution], values: Mapping[str, Value], prefix: str = ""
) -> dict[str, Value]:
    """Outputs of a function whose results `findings` reads."""
    out = {f"{prefix}term//{name}": term for name, term in terms.items()}
    out |= {f"{prefix}value//{name}": value for name, value in values.items()}
    for name, dist in dists.items():
        out |= {f"{prefix}fact/{fact}/{name}": value for fact, value in facts_of(dist).items()}
    return out


def facts_of(dist: Distribution) -> dict[str, Value]:
    """What to look at of a distribution and of those that it is made of, such as "components.scale"."""
    out = dist.facts()
    for part, inner in dist.nested().items():
        out |= {f"{part}.{fact}": value for fact, value in facts_of(inner).items()}
    return out


def supports_of(dist: Distribution) -> dict[str, Support]:
    """Where the parameters lie that `facts_of` names."""
    out = dict(dist.parameters)
    for part, inner in dist.nested().items():
        out |= {f"{part}.{name}": support for name, support in supports_of(inner).items()}
    return out


def is_positive(support: Support | None) -> bool:
    """Whether a parameter is at least zero, and finite."""
    return support is not None and support.kind in ("positive", "nonnegative")


def findings(
    program: Program,
    results: Mapping[str, np.ndarray],
    params: Mapping[str, np.ndarray],
    *,
    parts: Mapping[str, Sequence[str]] | None = None,
    drawn: bool = False,
    prefix: str = "",
) -> Findings:
    """The results of a function with the outputs of `outputs_of`.

    Args:
        program: the program.
        results: by name of the output.
        params: parameters in their own space.
        parts: which statements each term holds.
        drawn: whether the sites whose parameters were evaluated were drawn.
        prefix: as in `outputs_of`.
    """
    terms: dict[str, np.ndarray] = {}
    facts: dict[str, dict[str, np.ndarray]] = {}
    values = {n: np.asarray(a) for n, a in {**program.data, **params}.items()}
    for key, array in results.items():
        if not key.startswith(prefix):
            continue
        kind, fact, name = key.removeprefix(prefix).split("/", 2)
        match kind:
            case "term":
                terms[name] = array
            case "value":
                values[name] = array
            case _:
                facts.setdefault(name, {})[fact] = array
    return Findings(program, terms, facts, values, parts or {}, frozenset(facts) if drawn else frozenset())


# --- what is at fault -------------------------------------------------------------------------------------------------


def is_fault(array: np.ndarray, impossible: bool) -> bool:
    """Whether log densities are at fault; -inf is none if what is `impossible` may be."""
    array = np.asarray(array)
    return bool(np.isnan(array).any() or np.isposinf(array).any() or (not impossible and np.isneginf(array).any()))


def fault(
    found: Findings, when: str, *, impossible: bool = False, remedy: str = REMEDY, before: str = ""
) -> NonFiniteError | SupportError | None:
    """The error for the first statement at fault, in the order of the program; None if there is none.

    Args:
        found: what the evaluation gave.
        when: at which point: "at step 3 of the fit".
        impossible: whether log densities of -inf are no fault.
        remedy: what to do, if the distribution at fault knows nothing better.
        before: a sentence to put in front of the remedy.
    """
    for statement in found.program.statements:
        name = statement.name
        if name in found.drawn:
            if (name in found.values and not np.isfinite(found.values[name]).all()) or _nan_parameter(found, name):
                return error_for(found, *(_source(found, name) or (name, "draw")), when, remedy, before)
            parameter = _outside(found, name)
            if parameter:
                return _outside_error(found, name, parameter, when)
        if name in found.terms and is_fault(found.terms[name], impossible):
            # Where discrete sites are summed out, one term is that of several statements.
            part = next((p for p in found.parts.get(name, ()) if _nan_parameter(found, p)), name)
            kind = "log weight" if isinstance(found.program.by_name[part], Factor) else "log density"
            return error_for(found, *(_source(found, part) or (part, kind)), when, remedy, before)
    computed = () if found.terms else found.program.deterministics
    bad = next((n for n in computed if _has_nan(found, n)), None)
    return None if bad is None else error_for(found, bad, "value", when, remedy, before)


def _nan_parameter(found: Findings, name: str) -> bool:
    supports = _supports(found, name)
    facts = found.facts.get(name, {})
    return any(np.isnan(a).any() or (is_positive(supports.get(f)) and np.isinf(a).any()) for f, a in facts.items())


def _outside(found: Findings, name: str) -> str:
    """The first parameter of a distribution that is negative and must not be."""
    supports = _supports(found, name)
    facts = found.facts.get(name, {})
    return next((f for f, a in facts.items() if is_positive(supports.get(f)) and (a < 0).any()), "")


def _supports(found: Findings, name: str) -> dict[str, Support]:
    statement = found.program.by_name[name]
    return supports_of(statement.dist) if isinstance(statement, Sample) else {}


def _source(found: Findings, name: str) -> tuple[str, str] | None:
    """The first computed value that feeds a statement and is NaN."""
    above = found.program.ancestors(name)
    for statement in found.program.statements:
        if isinstance(statement, Deterministic) and statement.name in above and _has_nan(found, statement.name):
            return statement.name, "value"
    return None


def _has_nan(found: Findings, name: str) -> bool:
    array = found.values.get(name)
    return array is not None and array.dtype.kind == "f" and bool(np.isnan(array).any())


# --- what is said -----------------------------------------------------------------------------------------------------


def error_for(
    found: Findings, name: str, what: str, when: str, remedy: str = REMEDY, before: str = ""
) -> NonFiniteError:
    """The error that names a statement.

    Args:
        found: what the evaluation gave.
        name: the statement at fault.
        what: the kind of number: "log density", "log weight", "draw", "value" or "gradient".
        when: at which point.
        remedy: what to do, if its distribution knows nothing better.
        before: a sentence to put in front of the remedy.
    """
    statement = found.program.by_name[name]
    facts = found.facts.get(name, {})
    known = statement.dist.remedy(facts) if isinstance(statement, Sample) and facts else None
    number = found.terms.get(name) if what in ("log density", "log weight") else found.values.get(name)
    own = "" if number is None or what == "gradient" else f"{what} {described(number)}"
    return NonFiniteError(
        f"its {what} is not finite {when}.",
        site=name,
        model=found.program.name,
        declared_at=statement.location,
        expected=_expected(statement, what),
        got=_got(found, name, own),
        remedy=f"{before} {known or remedy}".strip(),
    )


def _outside_error(found: Findings, name: str, parameter: str, when: str) -> SupportError:
    statement = found.program.by_name[name]
    return SupportError(
        f"its parameter {parameter!r} lies outside its support {when}, where no draw has a meaning.",
        site=name,
        model=found.program.name,
        declared_at=statement.location,
        expected=f"{parameter} to be positive in {distribution_text(statement.dist)}"
        if isinstance(statement, Sample)
        else None,
        got=_got(found, name, ""),
        remedy="Give the parameter a value inside: ops.exp or ops.softplus of what it is computed from.",
    )


def _got(found: Findings, name: str, own: str) -> str:
    """The numbers of a statement: its own, its parameters, and the values that feed it."""
    parts = [own] * bool(own) + [f"{fact} = {described(a)}" for fact, a in found.facts.get(name, {}).items()]
    fed = [f"{p} = {described(found.values[p])}" if p in found.values else p for p in found.program.parents(name)]
    return f"{', '.join(parts) or 'no parameters'}; fed by {', '.join(fed) or 'nothing'}"


def _expected(statement: Statement, what: str) -> str:
    article = "finite" if what != "value" else "a number"
    if isinstance(statement, Sample):
        kind = {"log density": "density"}.get(what, what)
        return f"a {article} {kind} of {distribution_text(statement.dist)}"
    return "a number" if what == "value" else f"a {article} {what}"


def described(array: np.ndarray) -> str:
    """Numbers in a few words: one, or their range, how many are not finite, and where the first of these is.

    >>> described(np.array([1.0, np.nan, 3.0]))
    '1 to 3 with 1 of 3 not finite, the first nan at [1]'
    """
    array = np.asarray(array)
    if array.ndim == 0 or array.size == 1:
        return f"{array.reshape(()).item():.4g}"
    if array.dtype.kind not in "fiu":
        return f"{array.dtype}{list(array.shape)}"
    good = np.isfinite(array)
    finite = array[good]
    low, high = (f"{finite.min():.4g}", f"{finite.max():.4g}") if finite.size else ("", "")
    span = low if low == high else f"{low} to {high}"
    if good.all():
        return span
    first = tuple(int(i) for i in np.argwhere(~good)[0])
    count = f"{int((~good).sum())} of {array.size} not finite, the first {array[first]:.4g} at {list(first)}"
    return f"{span} with {count}" if span else count


# --- gradients --------------------------------------------------------------------------------------------------------


def gradient_fault(
    found: Findings, gradient: Callable[[str], Mapping[str, np.ndarray]], when: str, remedy: str, before: str = ""
) -> NonFiniteError | None:
    """The error for the first statement whose log density is finite but has no finite gradient; None if there is none.

    Args:
        found: what the evaluation gave.
        gradient: the gradient of the term of a name, by name of what it is differentiated by.
        when: at which point.
        remedy: what to do, if the distribution at fault knows nothing better.
        before: a sentence to put in front of the remedy.
    """
    for name in found.terms:
        bad = [n for n, g in gradient(name).items() if not np.isfinite(g).all()]
        if bad:
            error = error_for(found, name, "gradient", f"{when}, by {', '.join(bad)}", remedy, before)
            return error
    return None
