"""Differential and discrete entropies in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, betaln, lgamma, log, mul, neg, sub, sum_last
from .bounded import Beta, Dirichlet, Uniform
from .categorical import Categorical, OneHotCategorical
from .continuous import Laplace, Normal
from .counts import Bernoulli
from .gammas import Gamma
from .multivariate import MultivariateNormal
from .positive import LogNormal
from .waiting import Exponential

Rule = Callable[[Any], Number]
# Half the log of 2 pi e, the entropy of a standard normal.
STANDARD = 0.5 * (1.0 + math.log(2.0 * math.pi))


def entropy_of(q: Distribution) -> Value | None:
    """-E_q[log q] in nats, a scalar: the sum over independent elements. None where there is no closed form."""
    q = q.spelled()
    rule = RULES.get(type(q))
    if rule is None or q.mask_value is not None:
        return None
    return q.total(lift(rule(q)))


def _normal(q: Normal) -> Number:
    return add(log(q.params["scale"]), STANDARD)


def _log_normal(q: LogNormal) -> Number:
    return add(q.params["loc"], log(q.params["scale"]), STANDARD)


def _laplace(q: Laplace) -> Number:
    return add(log(q.params["scale"]), 1.0 + al.LOG_2)


def _exponential(q: Exponential) -> Number:
    return sub(1.0, log(q.params["rate"]))


def _gamma(q: Gamma) -> Number:
    a = q.params["concentration"]
    return add(a, neg(log(q.params["rate"])), lgamma(a), mul(sub(1.0, a), apply("digamma", a)))


def _beta(q: Beta) -> Number:
    a, b = q.params.values()
    first = mul(sub(a, 1.0), apply("digamma", a))
    second = mul(sub(b, 1.0), apply("digamma", b))
    return add(betaln(a, b), neg(first), neg(second), mul(sub(add(a, b), 2.0), apply("digamma", lift(add(a, b)))))


def _dirichlet(q: Dirichlet) -> Number:
    a = q.params["concentration"]
    total = sum_last(a)
    norm = sub(sum_last(lift(lgamma(a))), lgamma(total))
    whole = mul(sub(total, float(a.shape[-1])), apply("digamma", total))
    return add(norm, whole, neg(sum_last(lift(mul(sub(a, 1.0), apply("digamma", a))))))


def _uniform(q: Uniform) -> Number:
    return log(q.width)


def _bernoulli(q: Bernoulli) -> Number:
    if "logits" in q.params:
        a = q.params["logits"]
        return sub(al.softplus(a), mul(a, al.sigmoid(a)))
    p = q.success
    return neg(add(al.xlogy(p, p), al.xlogy(sub(1.0, p), sub(1.0, p))))


def _categorical(q: Categorical | OneHotCategorical) -> Number:
    if "logits" in q.params:
        return neg(sum_last(q.probs * q.log_probs))
    return neg(sum_last(lift(al.xlogy(q.probs, q.probs))))


def _multivariate(q: MultivariateNormal) -> Number:
    diagonal = sum_last(lift(log(apply("diagonal", q.scale_tril))))
    return add(diagonal, STANDARD * q.event_shape[-1])


RULES: dict[type[Distribution], Rule] = {
    Normal: _normal,
    LogNormal: _log_normal,
    Laplace: _laplace,
    Exponential: _exponential,
    Gamma: _gamma,
    Beta: _beta,
    Dirichlet: _dirichlet,
    Uniform: _uniform,
    Bernoulli: _bernoulli,
    Categorical: _categorical,
    OneHotCategorical: _categorical,
    MultivariateNormal: _multivariate,
}
