"""Log densities that a model spells out, recognised, so that native text can call the library's own `log_prob`.

A program keeps `dist.Normal(m, s).element_log_prob(x)` as the operations that it is made of. Families over all real
numbers are found again: an expression of the right form says what `x`, `m` and `s` would have to be, and is taken for
the density only if the family gives just that expression for them. Other families are left spelled out: outside their
support Pyro's `log_prob` raises where the expression is -inf.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

from ppl.language import dist as families
from ppl.language.dist import Distribution
from ppl.program.values import Frozen, Value, constant, reference

FAMILIES = (families.Normal, families.Cauchy, families.Laplace, families.Logistic, families.Gumbel)
# Numbers that occur in no density: what stands in their place is a parameter that is a number.
_LOC, _MINUS_LOC, _SCALE = 0.7130268, 0.4402517, 1.3907215
_ZERO, _ONE = constant(0.0), constant(1.0)
Family = Callable[..., Distribution]


@functools.cache
def forms() -> dict[str, tuple[tuple[Family, Value], ...]]:
    """For every family its log density, with inputs called "x", "loc" and "scale"; by the operation at the root."""
    x, loc, scale = (reference("input", name, (), (), "float") for name in ("x", "loc", "scale"))
    out: dict[str, list[tuple[Family, Value]]] = {}
    # What is zero, one or any other number leaves its mark on the form; a negative number is added.
    for family, a, b in itertools.product(FAMILIES, (loc, _LOC, -_MINUS_LOC, 0.0), (scale, 1.0, _SCALE)):
        root = family(a, b).element_log_prob(x)
        out.setdefault(root.op, []).append((family, root))
    return {op: tuple(found) for op, found in out.items()}


def library_density(node: Value) -> Value | None:
    """An expression as a call of `log_prob`, an operation `library_log_prob` on (x, loc, scale); None if it is none."""
    for family, form in forms().get(node.op, ()):
        bound = _unified(form, node)
        if bound is None:
            continue
        x, loc, scale = bound["x"], bound.get("loc", _ZERO), bound.get("scale", _ONE)
        item = family(loc, scale)
        if _same(item.element_log_prob(x), node):
            attrs = (("family", item.family),)
            return Value("library_log_prob", (x, loc, scale), attrs, node.plates, node.shape, node.dtype, node.hint)
    return None


def _unified(form: Value, node: Value) -> dict[str, Value] | None:
    """What the free inputs of a form stand for, if an expression may have that form; numbers are not compared."""
    bound: dict[str, Value] = {}
    stack = [(form, node)]
    while stack:
        one, two = stack.pop()
        name = one.attr("name") if one.op == "input" else _PLACES.get(_number(one), "")
        if name:
            if bound.setdefault(name, two) is not two and _number(two) is None:
                return None
        elif two.op == "const" and not two.shape:
            continue
        elif one.op != two.op or len(one.args) != len(two.args):
            return None
        else:
            stack += zip(one.args, two.args, strict=True)
    if "minus loc" in bound:
        number = _number(bound["minus loc"])
        if number is None:
            return None
        bound["loc"] = constant(-number)
    return bound if "x" in bound else None


_PLACES: dict[float | None, str] = {_LOC: "loc", _MINUS_LOC: "minus loc", _SCALE: "scale"}


def _number(value: Value) -> float | None:
    if value.op != "const" or value.shape or isinstance(value.attr("value"), Frozen):
        return None
    return float(value.attr("value"))


def _same(one: Value, two: Value) -> bool:
    """Whether two expressions are the same operations on the same operands."""
    equal: set[tuple[int, int]] = set()
    pairs = [(one, two)]
    while pairs:
        a, b = pairs.pop()
        if a is b or (id(a), id(b)) in equal:
            continue
        if _number(a) is not None and _number(a) == _number(b):
            continue
        if (a.op, a.attrs, a.plates, a.shape, a.dtype) != (b.op, b.attrs, b.plates, b.shape, b.dtype) or not a.args:
            return False
        if len(a.args) != len(b.args):
            return False
        equal.add((id(a), id(b)))
        pairs += zip(a.args, b.args, strict=True)
    return True
