"""The words of the objective language: what a person writes an objective with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ppl.errors import ModelError, user_location
from ppl.program.program import Program

from .expression import (
    KL,
    SIR,
    Entropy,
    Expect,
    Expression,
    Function,
    Group,
    LogDensity,
    LogMeanExp,
    LogWeight,
    Marginal,
    Mean,
    Over,
    Particles,
    Role,
    Simulated,
    Sites,
    Total,
    Weights,
    lifted,
)


def particles(name: str, size: int, chunk: int | None = None) -> Particles:
    """An axis of draws of the guide.

    Args:
        name: what it is called; one name has one size in an objective.
        size: number of draws.
        chunk: number of draws that are held in memory at once.

    Raises:
        ModelError: no particle.
    """
    return Particles(name, size, chunk)


def _sites(sites: Any) -> Sites:
    if sites is None or isinstance(sites, Group):
        return sites
    return (sites,) if isinstance(sites, str) else tuple(sites)


def _role(item: Any, name: str) -> Role:
    if not isinstance(item, Role) or (name and item.name != name):
        raise ModelError(
            f"this place of an objective takes {name or 'model or guide'}.",
            declared_at=user_location(),
            expected="the placeholders of ppl.inference.objective",
            got=repr(item)[:60],
            remedy="from ppl.inference.objective import model, guide; the fit puts the programs in.",
        )
    return item


def _over(over: Any) -> Over:
    axes = (over,) if isinstance(over, Particles) else tuple(over) if isinstance(over, Iterable) else (over,)
    if not axes or not all(isinstance(a, Particles) for a in axes) or len(set(axes)) < len(axes):
        raise ModelError(
            "a reducer is told which particles it reduces.",
            declared_at=user_location(),
            expected="over=particles(...), or several different ones",
            got=repr(over),
        )
    return axes


def log_density(program: Role | Marginal, sites: Any = None) -> LogDensity:
    """Log density of the model or the guide at the guide's draws, in nats.

    Args:
        program: `model`, `guide`, or `marginal(guide, ...)`.
        sites: names of the sites that count, or `observed`; by default all.

    Raises:
        ModelError: some sites of a marginal density.
    """
    if isinstance(program, Marginal):
        if sites is not None:
            raise ModelError(
                "the density of a marginal is that of all its sites together.",
                declared_at=user_location(),
                got=f"sites={sites!r}",
            )
        return LogDensity(program)
    return LogDensity(_role(program, ""), _sites(sites))


def log_weight(model: Role, guide: Role | Marginal) -> LogWeight:
    """Log density of the model less that of the guide, in nats; every axis is kept."""
    return LogWeight(_role(model, "model"), guide if isinstance(guide, Marginal) else _role(guide, "guide"))


def marginal(guide: Role, keep: Any = None, *, proposal: Program | None = None, particles: int = 1) -> Marginal:
    """The guide with its auxiliary sites averaged out.

    Its log density is estimated from the draw that the kept sites came with and `particles - 1` fresh draws of the
    auxiliary ones, so that the log weight under it stays a lower bound in expectation.

    Args:
        guide: the guide.
        keep: names of the sites that stay; by default those that the model has.
        proposal: distribution of the auxiliary sites given the kept ones: a program that reads them as inputs of the
            same names (`ppl.spec` stands for them), plates in front. By default the guide's own distribution.
        particles: how many draws of the auxiliary sites there are for each draw of the guide.

    Raises:
        ModelError: no particle, or a proposal that is no program.
    """
    if isinstance(particles, bool) or not isinstance(particles, int) or particles < 1:
        raise ModelError("marginal(...) needs at least one particle.", declared_at=user_location(), got=repr(particles))
    if proposal is not None and not isinstance(proposal, Program):
        raise ModelError(
            "the proposal of a marginal is a program.",
            declared_at=user_location(),
            expected="a model of the auxiliary sites that was called: proposal=reverse(ppl.spec(()))",
            got=repr(proposal)[:60],
        )
    names = _sites(keep)
    if isinstance(names, Group):
        raise ModelError("marginal(keep=...) takes names of sites.", declared_at=user_location(), got=repr(keep))
    return Marginal(_role(guide, "guide"), names, proposal, particles)


def kl(guide: Role, model: Role, sites: Any = None, *, without: Any = (), closed: bool = False) -> KL:
    """Divergence of the guide's sites from their priors, in nats.

    Args:
        guide: the guide.
        model: the model.
        sites: names of the sites that count; by default all of the guide.
        without: names of sites that do not count.
        closed: refuse a site without a closed form, instead of estimating its part from draws.
    """
    left = _sites(without) or ()
    if isinstance(left, Group):
        raise ModelError("kl(without=...) takes names of sites.", declared_at=user_location(), got=repr(without))
    return KL(_role(guide, "guide"), _role(model, "model"), _sites(sites), left, closed)


def entropy(program: Role, sites: Any = None) -> Entropy:
    """Entropy of the guide's sites, each given those it depends on, in nats; closed forms where there are."""
    return Entropy(_role(program, "guide"), _sites(sites))


def mean(body: Any, over: Any) -> Mean:
    """The mean over particles; linear."""
    return Mean(lifted(body), _over(over))


def logmeanexp(body: Any, over: Any) -> LogMeanExp:
    """The log of the mean of exponentials over particles.

    A plate stays outside if everything inside that depends on draws lives in it; other plates are summed inside.
    """
    return LogMeanExp(lifted(body), _over(over))


def log_power_mean(body: Any, power: float, over: Any) -> Expression:
    """The log of the power mean of exponentials over particles: logmeanexp(power * body) / power."""
    if not power:
        raise ModelError(
            "a power mean needs a power other than zero.",
            declared_at=user_location(),
            remedy="Its limit at zero is mean(...).",
        )
    return logmeanexp(power * lifted(body), over) / power


def softmax(body: Any, over: Any) -> Weights:
    """Weights of particles: exponentials, normalised to sum to one."""
    return Weights(lifted(body), _over(over))


def total(body: Any, over: Any) -> Total:
    """The sum over particles."""
    return Total(lifted(body), _over(over))


def sir(model: Role, guide: Role, over: Any) -> SIR:
    """The guide's draws weighted by model over guide, normalised; `.detach()` makes weights and draws constants."""
    return SIR(_role(model, "model"), _role(guide, "guide"), _over(over))


def simulated(model: Role) -> Simulated:
    """Latents and data drawn from the model."""
    return Simulated(_role(model, "model"))


def expect(body: Any, under: SIR | Simulated) -> Expect:
    """The expectation of a term under weighted or simulated draws.

    Raises:
        ModelError: `under` is no such distribution.
    """
    if not isinstance(under, (SIR, Simulated)):
        raise ModelError(
            "an expectation needs a distribution.",
            declared_at=user_location(),
            expected="sir(model, guide, over=k) or simulated(model)",
            got=repr(under),
        )
    return Expect(lifted(body), under)


# Functions of one number that an expression may be put through.
FUNCTIONS = frozenset(["abs", "exp", "expm1", "log", "log1p", "sqrt", "square", "softplus", "sigmoid", "tanh", "relu"])


def function(name: str, body: Any) -> Function:
    """An elementwise function of a quantity whose particles have been reduced: abs, exp, log, square, ...

    Raises:
        ModelError: there is no such function.
    """
    if name not in FUNCTIONS:
        raise ModelError(
            f"objectives know no function {name!r}.",
            declared_at=user_location(),
            expected=f"one of {sorted(FUNCTIONS)}",
            got=repr(name),
        )
    return Function(name, (lifted(body),))
