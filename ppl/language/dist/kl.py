"""Kullback-Leibler divergences in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ppl.errors import ShapeError, user_location
from ppl.program.distributions import Distribution
from ppl.program.ops import apply
from ppl.program.supports import same_value
from ppl.program.values import Value, lift

from . import algebra as al
from .algebra import Number, add, betaln, div, lgamma, log, mul, neg, square, sub, sum_last
from .bounded import Beta, Dirichlet, Uniform
from .categorical import Categorical, OneHotCategorical
from .continuous import Cauchy, Laplace, Normal
from .counts import Bernoulli, Geometric, Poisson
from .gammas import Gamma, InverseGamma
from .multivariate import MultivariateNormal
from .positive import HalfNormal, LogNormal
from .transformed import Delta, Transformed
from .waiting import Exponential

Rule = Callable[[Any, Any], Number]


def kl_divergence(q: Distribution, p: Distribution) -> Value | None:
    """E_q[log q - log p] in nats, a scalar: the sum over independent elements. None where there is no closed form.

    Args:
        q: the distribution that draws come from.
        p: the other one, of the same event shape.

    Raises:
        ShapeError: different event shapes.
    """
    if q.event_shape != p.event_shape:
        raise ShapeError(
            "a divergence needs equal event shapes.",
            declared_at=user_location(),
            expected=f"{p.event_shape}, from {p!r}",
            got=f"{q.event_shape}, from {q!r}",
        )
    if not _equal_masks(q, p):
        return None
    if _same(q, p):
        return lift(0.0)
    if q.family == "Nearest":
        # A point by its value, but the strategy of such a site has terms of its own in its density.
        return None
    q, p = q.spelled(), p.spelled()
    if isinstance(q, Delta):
        return lift(add(q.params["log_density"], neg(p.log_prob(q.draw(_NO_NOISE))))) if q.mask_value is None else None
    if isinstance(q, Transformed) and isinstance(p, Transformed):
        # A bijection moves both densities alike. It joins elements, so a mask on its results has no place in the base.
        same = q.mask_value is None and q.bijections == p.bijections
        return kl_divergence(q.wide_base, p.wide_base) if same else None
    rule = RULES.get((type(q), type(p)))
    if rule is None:
        return None
    # The rule's terms are per element of the family with more event axes in one draw.
    return (q if q.event_rank >= p.event_rank else p).total(lift(rule(q, p)))


_NO_NOISE: Any = None  # a Delta draws nothing


def element_divergences(q: Distribution, p: Distribution) -> Value | None:
    """E_q[log q - log p] of each number of a draw, in nats, of shape `event_shape`.

    Args:
        q: the distribution that draws come from.
        p: the other one, of the same event shape.

    Returns:
        None where the numbers are not independent, some are masked, or there is no closed form.
    """
    q, p = q.spelled(), p.spelled()
    joint = q.event_rank or p.event_rank or q.mask_value is not None or p.mask_value is not None
    rule = RULES.get((type(q), type(p)))
    if joint or rule is None or q.event_shape != p.event_shape:
        return None
    terms = lift(rule(q, p))
    return terms if terms.shape == q.event_shape else apply("broadcast_to", terms, shape=q.event_shape)


def _same(q: Distribution, p: Distribution) -> bool:
    """Whether both are one distribution as written."""
    if type(q) is not type(p) or q.static != p.static or q.params.keys() != p.params.keys():
        return False
    parts, others = q.nested(), p.nested()
    return (
        parts.keys() == others.keys()
        and all(same_value(v, p.params[name]) for name, v in q.params.items())
        and all(_same(d, others[name]) for name, d in parts.items())
    )


def _equal_masks(q: Distribution, p: Distribution) -> bool:
    if q.mask_value is None or p.mask_value is None:
        return q.mask_value is p.mask_value
    return q.event_rank == p.event_rank and same_value(q.mask_value, p.mask_value)


def _normal(q: Normal | LogNormal, p: Normal | LogNormal) -> Number:
    (a, s), (b, t) = q.params.values(), p.params.values()
    moment = div(add(square(s), square(sub(a, b))), square(t))
    return add(mul(0.5, moment), neg(log(s)), log(t), -0.5)


def _half_normal(q: HalfNormal, p: HalfNormal) -> Number:
    s, t = q.params["scale"], p.params["scale"]
    return add(mul(0.5, square(div(s, t))), neg(log(s)), log(t), -0.5)


def _cauchy(q: Cauchy, p: Cauchy) -> Number:
    # Chyzak and Nielsen (2019), A closed-form formula for the Kullback-Leibler divergence between Cauchy distributions.
    (a, s), (b, t) = q.params.values(), p.params.values()
    return add(log(add(square(add(s, t)), square(sub(a, b)))), neg(log(s)), neg(log(t)), -2.0 * al.LOG_2)


def _laplace(q: Laplace, p: Laplace) -> Number:
    (a, s), (b, t) = q.params.values(), p.params.values()
    distance = abs(sub(a, b))
    spread = add(distance, mul(s, al.exp(neg(div(distance, s)))))
    return add(log(t), neg(log(s)), div(spread, t), -1.0)


def _gamma_form(q: Gamma | InverseGamma | Exponential) -> tuple[Number, Number]:
    return (1.0, q.params["rate"]) if isinstance(q, Exponential) else (q.params["concentration"], q.params["rate"])


def _gamma(q: Any, p: Any) -> Number:
    (a, r), (b, s) = _gamma_form(q), _gamma_form(p)
    shapes: Number = 0.0 if a is b else mul(sub(a, b), apply("digamma", a))
    return add(shapes, neg(lgamma(a)), lgamma(b), mul(b, log(r)), neg(mul(b, log(s))), mul(a, sub(div(s, r), 1.0)))


def _exponential(q: Exponential, p: Exponential) -> Number:
    r, s = q.params["rate"], p.params["rate"]
    return add(log(r), neg(log(s)), div(s, r), -1.0)


def _beta(q: Beta, p: Beta) -> Number:
    (a, b), (c, d) = q.params.values(), p.params.values()
    total = add(a, b)
    first = mul(sub(a, c), apply("digamma", a))
    second = mul(sub(b, d), apply("digamma", b))
    both = mul(sub(add(c, d), total), apply("digamma", total))
    return add(betaln(c, d), neg(betaln(a, b)), first, second, both)


def _dirichlet(q: Dirichlet, p: Dirichlet) -> Number:
    a, c = q.params["concentration"], p.params["concentration"]
    total = apply("sum", a, axis=(-1,), keepdims=True)
    slope = lift(mul(sub(a, c), apply("digamma", a) - apply("digamma", total)))
    norm_a = sub(lgamma(sum_last(a)), sum_last(lift(lgamma(a))))
    norm_c = sub(lgamma(sum_last(c)), sum_last(lift(lgamma(c))))
    return add(sum_last(slope), norm_a, neg(norm_c))


def _bernoulli(q: Bernoulli, p: Bernoulli) -> Number:
    if "logits" in q.params and "logits" in p.params:
        a, b = q.params["logits"], p.params["logits"]
        return add(mul(al.sigmoid(a), sub(a, b)), al.softplus(b), neg(al.softplus(a)))
    a, b = q.success, p.success
    return add(_relative(a, b), _relative(sub(1.0, a), sub(1.0, b)))


def _relative(a: Number, b: Number) -> Number:
    # a log(a / b), zero where a is.
    return sub(al.xlogy(a, a), al.xlogy(a, b))


def _categorical(q: Categorical, p: Categorical) -> Number:
    if "logits" in q.params:
        return sum_last(q.probs * (q.log_probs - p.log_probs))
    return sum_last(lift(_relative(q.probs, p.probs)))


def _poisson(q: Poisson, p: Poisson) -> Number:
    r, s = q.params["rate"], p.params["rate"]
    return add(_relative(r, s), neg(r), s)


def _geometric(q: Geometric, p: Geometric) -> Number:
    wait = div(sub(1.0, q.success), q.success)
    return add(q.log_success, neg(p.log_success), mul(wait, sub(q.log_failure, p.log_failure)))


def _uniform(q: Uniform, p: Uniform) -> Number:
    within = (lift(p.params["low"]) <= q.params["low"]) & (lift(q.params["high"]) <= p.params["high"])
    ends = [al.number(v) for v in (p.params["low"], q.params["low"], q.params["high"], p.params["high"])]
    size = sub(log(p.width), log(q.width))
    if all(e is not None for e in ends):
        return size if ends[0] <= ends[1] and ends[2] <= ends[3] else math.inf  # type: ignore[operator]
    return al.where(within, size, math.inf)


def _squares(matrix: Value) -> Value:
    return sum_last(apply("square", matrix), 2)


def _log_diagonal(factor: Value) -> Value:
    return sum_last(lift(log(apply("diagonal", factor))))


def _solve(factor: Value, matrix: Value) -> Value:
    return apply("solve_triangular", factor, matrix, lower=True)


def _wide(q: Normal, name: str) -> Value:
    return apply("broadcast_to", q.params[name], shape=q.event_shape)


def _multivariate(q: MultivariateNormal, p: MultivariateNormal) -> Number:
    a, b = q.scale_tril, p.scale_tril
    z = al.solve_lower(b, lift(sub(q.params["loc"], p.params["loc"])))
    fit = add(_squares(_solve(b, a)), sum_last(apply("square", z)), -float(q.event_shape[-1]))
    return add(mul(0.5, fit), _log_diagonal(b), neg(_log_diagonal(a)))


def _diagonal_to_full(q: Normal, p: MultivariateNormal) -> Number:
    b, scale = p.scale_tril, _wide(q, "scale")
    z = al.solve_lower(b, lift(sub(q.params["loc"], p.params["loc"])))
    fit = add(_squares(_solve(b, apply("diag_embed", scale))), sum_last(apply("square", z)), -float(q.event_shape[-1]))
    return add(mul(0.5, fit), _log_diagonal(b), neg(sum_last(lift(log(scale)))))


def _full_to_diagonal(q: MultivariateNormal, p: Normal) -> Number:
    scale = _wide(p, "scale")
    centred = square(sub(q.params["loc"], p.params["loc"]))
    moment = sum_last(lift(div(add(q.element_variance(), centred), square(scale))))
    fit = add(moment, -float(q.event_shape[-1]))
    return add(mul(0.5, fit), sum_last(lift(log(scale))), neg(_log_diagonal(q.scale_tril)))


RULES: dict[tuple[type[Distribution], type[Distribution]], Rule] = {
    (Normal, Normal): _normal,
    (LogNormal, LogNormal): _normal,
    (HalfNormal, HalfNormal): _half_normal,
    (Cauchy, Cauchy): _cauchy,
    (Laplace, Laplace): _laplace,
    (Gamma, Gamma): _gamma,
    (Gamma, Exponential): _gamma,
    (Exponential, Gamma): _gamma,
    (InverseGamma, InverseGamma): _gamma,  # a reciprocal moves both densities alike
    (Exponential, Exponential): _exponential,
    (Beta, Beta): _beta,
    (Dirichlet, Dirichlet): _dirichlet,
    (Bernoulli, Bernoulli): _bernoulli,
    (Categorical, Categorical): _categorical,
    (OneHotCategorical, OneHotCategorical): _categorical,
    (Poisson, Poisson): _poisson,
    (Geometric, Geometric): _geometric,
    (Uniform, Uniform): _uniform,
    (MultivariateNormal, MultivariateNormal): _multivariate,
    (Normal, MultivariateNormal): _diagonal_to_full,
    (MultivariateNormal, Normal): _full_to_diagonal,
}
