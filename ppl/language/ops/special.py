"""Special functions and activations."""

from __future__ import annotations

import math

from ppl.program.ops import apply
from ppl.program.values import Value, lift

from .elementwise import Operand
from .reductions import axes_of


def logsumexp(x: Operand, axis: int | tuple[int, ...] | None = None, *, keepdims: bool = False) -> Value:
    """log(sum(exp(x))) without overflow, over some event axes or all of them."""
    value = lift(x)
    return apply("logsumexp", value, axis=axes_of("logsumexp", value, axis), keepdims=keepdims)


def softmax(x: Operand, axis: int = -1) -> Value:
    """Exponentials, divided by their sum along an axis."""
    value = lift(x)
    return apply("softmax", value, axis=axes_of("softmax", value, axis))


def log_softmax(x: Operand, axis: int = -1) -> Value:
    """Logarithm of softmax, without overflow."""
    value = lift(x)
    return apply("log_softmax", value, axis=axes_of("log_softmax", value, axis))


def sigmoid(x: Operand) -> Value:
    """1 / (1 + exp(-x))."""
    return apply("sigmoid", x)


expit = sigmoid


def log_sigmoid(x: Operand) -> Value:
    """Logarithm of the sigmoid, without underflow."""
    return apply("log_sigmoid", x)


def logit(x: Operand) -> Value:
    """Log odds, log(x / (1 - x)): the inverse of sigmoid."""
    return apply("logit", x)


def softplus(x: Operand) -> Value:
    """log(1 + exp(x)), without overflow."""
    return apply("softplus", x)


def softplus_inverse(y: Operand) -> Value:
    """The x whose softplus is y, for positive y."""
    return y + apply("log", -apply("expm1", apply("negative", y)))


def relu(x: Operand) -> Value:
    """X where positive, else 0."""
    return apply("relu", x)


def gelu(x: Operand) -> Value:
    """X times the normal cdf of x."""
    return apply("gelu", x)


def silu(x: Operand) -> Value:
    """X times the sigmoid of x."""
    return apply("silu", x)


def elu(x: Operand) -> Value:
    """X where positive, else exp(x) - 1."""
    return apply("elu", x)


def leaky_relu(x: Operand, negative_slope: Operand = 0.01) -> Value:
    """X where positive, else x times a small slope."""
    value, slope = lift(x), lift(negative_slope)
    if slope.op == "const" and not slope.shape:
        return apply("leaky_relu", value, slope)
    return apply("where", value > 0, value, value * slope)


def lgamma(x: Operand) -> Value:
    """Logarithm of the gamma function."""
    return apply("lgamma", x)


def digamma(x: Operand) -> Value:
    """Derivative of lgamma."""
    return apply("digamma", x)


def gammainc(a: Operand, x: Operand) -> Value:
    """Regularised lower incomplete gamma function: the cdf of a standard gamma variable of shape a.

    On torch only x has a gradient; one by `a` is an error when it is asked for.
    """
    return apply("gammainc", a, x)


def betaln(a: Operand, b: Operand) -> Value:
    """Logarithm of the beta function."""
    return apply("lgamma", a) + apply("lgamma", b) - apply("lgamma", apply("add", a, b))


def multigammaln(a: Operand, dimension: int) -> Value:
    """Logarithm of the multivariate gamma function."""
    total = lift(0.25 * dimension * (dimension - 1) * math.log(math.pi))
    for j in range(dimension):
        total = total + apply("lgamma", apply("subtract", a, 0.5 * j))
    return total


def erf(x: Operand) -> Value:
    """Error function."""
    return apply("erf", x)


def erfc(x: Operand) -> Value:
    """1 - erf(x), accurate for large x."""
    return apply("erfc", x)


def erfinv(x: Operand) -> Value:
    """Inverse of erf."""
    return apply("erfinv", x)


def ndtr(x: Operand) -> Value:
    """Cumulative distribution function of the standard normal distribution."""
    return apply("ndtr", x)


def ndtri(p: Operand) -> Value:
    """Quantile function of the standard normal distribution."""
    return apply("ndtri", p)


def log_ndtr(x: Operand) -> Value:
    """Logarithm of ndtr, accurate in the lower tail."""
    return apply("log_ndtr", x)


def xlogy(x: Operand, y: Operand) -> Value:
    """X * log(y), and 0 where x is 0."""
    return apply("xlogy", x, y)


def xlog1py(x: Operand, y: Operand) -> Value:
    """X * log(1 + y), and 0 where x is 0."""
    return apply("xlog1py", x, y)


def i0e(x: Operand) -> Value:
    """Modified Bessel function of order 0, times exp(-|x|)."""
    return apply("i0e", x)


def i1e(x: Operand) -> Value:
    """Modified Bessel function of order 1, times exp(-|x|)."""
    return apply("i1e", x)


def erfcx(x: Operand) -> Value:
    """Scaled complementary error function, exp(x**2) * erfc(x)."""
    return apply("erfcx", x)


def i0(x: Operand) -> Value:
    """Modified Bessel function of order 0."""
    return apply("i0e", x) * apply("exp", apply("abs", x))


def i1(x: Operand) -> Value:
    """Modified Bessel function of order 1."""
    return apply("i1e", x) * apply("exp", apply("abs", x))


gammaln = lgamma


def gammaincc(a: Operand, x: Operand) -> Value:
    """Regularised upper incomplete gamma function, 1 - gammainc(a, x) without cancellation.

    On torch only x has a gradient; one by `a` is an error when it is asked for.
    """
    return apply("gammaincc", a, x)


def betainc(a: Operand, b: Operand, x: Operand) -> Value:
    """Regularised incomplete beta function: the cdf of a beta variable. JAX only; compiling for pyro refuses it."""
    return apply("betainc", a, b, x)


def polygamma(n: int, x: Operand) -> Value:
    """The n-th derivative of digamma; n is a whole number, known while the model is declared."""
    if n == 0:
        return apply("digamma", x)
    return apply("polygamma", x, n=int(n))


def log_binomial(n: Operand, k: Operand) -> Value:
    """Logarithm of the number of ways to choose k of n."""
    inner = apply("lgamma", apply("add", k, 1.0)) + apply("lgamma", apply("subtract", n, k) + 1.0)
    return apply("lgamma", apply("add", n, 1.0)) - inner


def entr(x: Operand) -> Value:
    """-x * log(x), and 0 where x is 0: one term of an entropy, in nats."""
    return -apply("xlogy", x, x)


def rel_entr(x: Operand, y: Operand) -> Value:
    """X * log(x / y), and 0 where x is 0: one term of a Kullback-Leibler divergence, in nats."""
    return apply("xlogy", x, x) - apply("xlogy", x, y)


def log1mexp(x: Operand) -> Value:
    """log(1 - exp(x)) for negative x, accurate at both ends.

    Reference: Mächler (2012), Accurately computing log(1 - exp(-|a|)).
    """
    value = lift(x)
    close = value > -math.log(2.0)
    # Each branch is given a number that it can digest where it is not taken, or its gradient would spoil the other's.
    near = apply("log", -apply("expm1", apply("where", close, value, -1.0)))
    far = apply("log1p", -apply("exp", apply("where", close, -1.0, value)))
    return apply("where", close, near, far)


def logdiffexp(x: Operand, y: Operand) -> Value:
    """log(exp(x) - exp(y)) for x above y, without overflow."""
    return apply("add", x, log1mexp(apply("subtract", y, x)))


def cumlogsumexp(x: Operand, axis: int = -1) -> Value:
    """Running log(sum(exp(x))) along an event axis, without overflow."""
    value = lift(x)
    return apply("cumlogsumexp", value, axis=axes_of("cumlogsumexp", value, axis))
