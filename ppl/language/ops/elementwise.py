"""Elementwise operations, under the names of the Python array API."""

from __future__ import annotations

from typing import Any, TypeAlias

from ppl.program.ops import apply, to_float
from ppl.program.values import Value, lift

# A value of the model, a number, or an array.
Operand: TypeAlias = Any


def abs(x: Operand) -> Value:
    """Absolute value."""
    return apply("abs", x)


def sign(x: Operand) -> Value:
    """-1, 0 or 1."""
    return apply("sign", x)


def negative(x: Operand) -> Value:
    """-x."""
    return apply("negative", x)


def positive(x: Operand) -> Value:
    """X itself, as a value."""
    return lift(x)


def reciprocal(x: Operand) -> Value:
    """1 / x."""
    return apply("divide", 1.0, x)


def add(x: Operand, y: Operand) -> Value:
    """X + y."""
    return apply("add", x, y)


def subtract(x: Operand, y: Operand) -> Value:
    """X - y."""
    return apply("subtract", x, y)


def multiply(x: Operand, y: Operand) -> Value:
    """X * y."""
    return apply("multiply", x, y)


def divide(x: Operand, y: Operand) -> Value:
    """X / y."""
    return apply("divide", x, y)


def floor_divide(x: Operand, y: Operand) -> Value:
    """Largest whole number below x / y."""
    return apply("floor_divide", x, y)


def remainder(x: Operand, y: Operand) -> Value:
    """X - y * floor(x / y), with the sign of y."""
    return apply("remainder", x, y)


def pow(x: Operand, y: Operand) -> Value:
    """X ** y, a real number."""
    return apply("pow", x, y)


def maximum(x: Operand, y: Operand) -> Value:
    """The larger of two, element by element."""
    return apply("maximum", x, y)


def minimum(x: Operand, y: Operand) -> Value:
    """The smaller of two, element by element."""
    return apply("minimum", x, y)


def clip(x: Operand, min: Operand = None, max: Operand = None) -> Value:
    """X, kept between two bounds; either may be None, and both may be values."""
    out = lift(x)
    if min is not None:
        out = apply("maximum", out, min)
    return out if max is None else apply("minimum", out, max)


def square(x: Operand) -> Value:
    """X * x."""
    return apply("square", x)


def sqrt(x: Operand) -> Value:
    """Square root."""
    return apply("sqrt", x)


def hypot(x: Operand, y: Operand) -> Value:
    """sqrt(x**2 + y**2)."""
    return apply("sqrt", apply("square", x) + apply("square", y))


def exp(x: Operand) -> Value:
    """Exponential."""
    return apply("exp", x)


def expm1(x: Operand) -> Value:
    """exp(x) - 1, accurate near zero."""
    return apply("expm1", x)


def log(x: Operand) -> Value:
    """Natural logarithm."""
    return apply("log", x)


def log1p(x: Operand) -> Value:
    """log(1 + x), accurate near zero."""
    return apply("log1p", x)


def log2(x: Operand) -> Value:
    """Logarithm to base 2."""
    return apply("log2", x)


def log10(x: Operand) -> Value:
    """Logarithm to base 10."""
    return apply("log10", x)


def logaddexp(x: Operand, y: Operand) -> Value:
    """log(exp(x) + exp(y)), without overflow."""
    return apply("logaddexp", x, y)


def sin(x: Operand) -> Value:
    """Sine of an angle in radians."""
    return apply("sin", x)


def cos(x: Operand) -> Value:
    """Cosine of an angle in radians."""
    return apply("cos", x)


def tan(x: Operand) -> Value:
    """Tangent of an angle in radians."""
    return apply("tan", x)


def asin(x: Operand) -> Value:
    """Angle in radians whose sine is x."""
    return apply("asin", x)


def acos(x: Operand) -> Value:
    """Angle in radians whose cosine is x."""
    return apply("acos", x)


def atan(x: Operand) -> Value:
    """Angle in radians whose tangent is x."""
    return apply("atan", x)


def atan2(y: Operand, x: Operand) -> Value:
    """Angle in radians of the point (x, y)."""
    return apply("atan2", y, x)


def sinh(x: Operand) -> Value:
    """Hyperbolic sine."""
    return apply("sinh", x)


def cosh(x: Operand) -> Value:
    """Hyperbolic cosine."""
    return apply("cosh", x)


def tanh(x: Operand) -> Value:
    """Hyperbolic tangent."""
    return apply("tanh", x)


def asinh(x: Operand) -> Value:
    """Inverse of sinh."""
    return apply("asinh", x)


def acosh(x: Operand) -> Value:
    """Inverse of cosh."""
    return apply("acosh", x)


def atanh(x: Operand) -> Value:
    """Inverse of tanh."""
    return apply("atanh", x)


def sinc(x: Operand) -> Value:
    """sin(pi x) / (pi x), and 1 at 0."""
    return apply("sinc", x)


def copysign(x: Operand, y: Operand) -> Value:
    """The size of x with the sign of y."""
    return apply("copysign", x, y)


def floor(x: Operand) -> Value:
    """Largest whole number not above x."""
    return apply("floor", x)


def ceil(x: Operand) -> Value:
    """Least whole number not below x."""
    return apply("ceil", x)


def round(x: Operand) -> Value:
    """Nearest whole number; halves go to the even one."""
    return apply("round", x)


def trunc(x: Operand) -> Value:
    """X without its fraction."""
    return apply("trunc", x)


def equal(x: Operand, y: Operand) -> Value:
    """Whether x == y."""
    return apply("equal", x, y)


def not_equal(x: Operand, y: Operand) -> Value:
    """Whether x != y."""
    return apply("not_equal", x, y)


def less(x: Operand, y: Operand) -> Value:
    """Whether x < y."""
    return apply("less", x, y)


def less_equal(x: Operand, y: Operand) -> Value:
    """Whether x <= y."""
    return apply("less_equal", x, y)


def greater(x: Operand, y: Operand) -> Value:
    """Whether x > y."""
    return apply("greater", x, y)


def greater_equal(x: Operand, y: Operand) -> Value:
    """Whether x >= y."""
    return apply("greater_equal", x, y)


def logical_and(x: Operand, y: Operand) -> Value:
    """Whether both hold."""
    return apply("logical_and", x, y)


def logical_or(x: Operand, y: Operand) -> Value:
    """Whether one of them holds."""
    return apply("logical_or", x, y)


def logical_xor(x: Operand, y: Operand) -> Value:
    """Whether exactly one of them holds."""
    return apply("logical_xor", x, y)


def logical_not(x: Operand) -> Value:
    """Whether x does not hold."""
    return apply("logical_not", x)


def isnan(x: Operand) -> Value:
    """Whether x is not a number."""
    return apply("isnan", x)


def isfinite(x: Operand) -> Value:
    """Whether x is neither infinite nor NaN."""
    return apply("isfinite", x)


def isinf(x: Operand) -> Value:
    """Whether x is infinite."""
    return apply("isinf", x)


def isclose(x: Operand, y: Operand, rtol: float = 1e-5, atol: float = 1e-8) -> Value:
    """Whether |x - y| <= atol + rtol * |y|."""
    return apply("less_equal", apply("abs", apply("subtract", x, y)), atol + rtol * apply("abs", y))


def nan_to_num(x: Operand, nan: Operand = 0.0) -> Value:
    """X with another number in the place of NaN."""
    return apply("where", apply("isnan", x), nan, x)


def where(condition: Operand, x: Operand, y: Operand) -> Value:
    """X where the condition holds, y elsewhere.

    Both sides are evaluated, so a NaN gradient in the side that was not chosen spoils the result: guard its operand.
    """
    return apply("where", condition, x, y)


def astype(x: Operand, dtype: str) -> Value:
    """X as another kind of number: "float", "int" or "bool"."""
    value = lift(x)
    if value.dtype == dtype:
        return value
    return to_float(value) if dtype == "float" else apply("astype", value, dtype=dtype)


def stop_gradient(x: Operand) -> Value:
    """X, taken as a constant by gradients."""
    return apply("stop_gradient", x)
