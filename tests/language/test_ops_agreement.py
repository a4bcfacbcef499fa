"""Every operation of the vocabulary: numpy, torch and JAX agree on values, shapes, dtypes and gradients.

Operands carry leading axes (draws) and plates in random combinations; the reference knows neither and is evaluated
element by element.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import ppl
from ppl import dist, ops
from ppl.backend.compiled import get_backend
from ppl.backend.emit import FunctionEmitter
from ppl.errors import UnsupportedByBackend
from ppl.program.values import Plate, Value, reference, walk
from ppl.program.vocabulary import OPS
from tests.language.op_cases import CASES, DOMAINS, ELSEWHERE, Case
from tests.reference import evaluate, symbol

# From a case, its axes, operands and weights to values, and gradients of their weighted sum.
Compute = Callable[[Case, "Axes", list[np.ndarray], np.ndarray], tuple[Any, list[np.ndarray]]]
ROWS, COLUMNS = Plate("rows", 2), Plate("columns", 3)
ROOT = Path(__file__).resolve().parents[2]
STEP = 1e-5


@ppl.model
def nested():
    """Where the plates stand."""
    with ppl.plate("rows", size=ROWS.size), ppl.plate("columns", size=COLUMNS.size):
        ppl.factor("f", 0.0)


NESTED = nested()


@dataclass(frozen=True)
class Axes:
    """What stands in front of the event axes of each operand.

    Attributes:
        lead: sizes of the leading axes.
        plates: for each operand the plates it varies over, outermost first.
        leading: for each operand whether it carries the leading axes.
    """

    lead: tuple[int, ...]
    plates: tuple[tuple[Plate, ...], ...]
    leading: tuple[bool, ...]

    def sizes(self, i: int) -> tuple[int, ...]:
        """The sizes in front of one operand."""
        return (self.lead if self.leading[i] else ()) + tuple(p.size for p in self.plates[i])

    def joint(self) -> tuple[tuple[int, ...], tuple[Plate, ...]]:
        """Leading axes and plates of what is computed from all operands."""
        plates = tuple(p for p in (ROWS, COLUMNS) if any(p in own for own in self.plates))
        return self.lead if any(self.leading) else (), plates


def axes(count: int) -> st.SearchStrategy[Axes]:
    stacks = st.sampled_from([(), (), (ROWS,), (COLUMNS,), (ROWS, COLUMNS)])
    return st.builds(
        Axes,
        st.sampled_from([(), (2,), (2, 1), (1, 3)]),
        st.tuples(*[stacks] * count),
        st.tuples(*[st.booleans()] * count),
    )


def operand_arrays(case: Case, where: Axes, seed: int) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    out: list[np.ndarray] = []
    for i, operand in enumerate(case.operands):
        sizes = where.sizes(i)
        items = [DOMAINS[operand.domain](generator, operand.shape) for _ in range(int(np.prod(sizes)))]
        out.append(np.stack(items).reshape(sizes + operand.shape))
    return out


@cache
def expression(case: Case) -> Value:
    return case.build(*(symbol(f"x{i}", o.shape, o.dtype) for i, o in enumerate(case.operands)))  # type: ignore[arg-type]


def exact(case: Case, where: Axes, arrays: list[np.ndarray]) -> np.ndarray:
    """The expression in numpy, element by element."""
    lead, plates = where.joint()
    sizes = lead + tuple(p.size for p in plates)
    wide = []
    for i, (operand, array) in enumerate(zip(case.operands, arrays, strict=True)):
        front = lead if where.leading[i] else (1,) * len(lead)
        front += tuple(p.size if p in where.plates[i] else 1 for p in plates)
        wide.append(np.broadcast_to(array.reshape(front + operand.shape), sizes + operand.shape))
    points = itertools.product(*map(range, sizes))
    rows = [evaluate(expression(case), {f"x{i}": a[at] for i, a in enumerate(wide)}) for at in points]
    return np.stack(rows).reshape(sizes + rows[0].shape)


def emitted(case: Case, where: Axes, backend: str) -> Any:
    """The function of the operands that a backend runs."""
    leaves = [
        reference("site", f"x{i}", where.plates[i], o.shape, o.dtype)  # type: ignore[arg-type]
        for i, o in enumerate(case.operands)
    ]
    side = get_backend(backend)
    fixed = frozenset(f"x{i}" for i in range(len(leaves)) if not where.leading[i])
    emitter = FunctionEmitter((NESTED,), side.spelling, "float64", from_data=fixed, lead=True)
    text = emitter.emit("op", {"out": case.build(*leaves)}, single=True)
    # Integers that are used as numbers are bound as numbers.
    keys = [(a.group, a.key, int(a.name[1:]), a.dtype) for a in text.arguments]
    function = side.function(text, "float64", {}, "op")

    def call(operands: list[Any]) -> Any:
        groups: dict[str, dict[str, Any]] = {"values": {}, "data": {}}
        for group, key, i, dtype in keys:
            item = operands[i]
            if dtype == "float" and case.operands[i].dtype != "float":
                item = item.double() if backend == "pyro" else item.astype(float)
            groups[group][key] = item
        return function({}, groups["values"], groups["data"], {})

    return call


def by_torch(case: Case, where: Axes, arrays: list[np.ndarray], weight: np.ndarray) -> tuple[Any, list[np.ndarray]]:
    given = [torch.tensor(a) for a in arrays]
    for i in case.smooth:
        given[i].requires_grad_()
    out = emitted(case, where, "pyro")(given)
    grads = (
        torch.autograd.grad((out * torch.tensor(weight)).sum(), [given[i] for i in case.smooth]) if case.smooth else []
    )
    return out.detach(), [g.numpy() for g in grads]


def check(case: Case, where: Axes, seed: int, backend: str, compute: Compute) -> None:
    """Hold what a backend computes against numpy: values, shape, kind of number, and gradients."""
    arrays, expected, weight = point(case, where, seed)
    out, grads = compute(case, where, arrays, weight)
    found = np.asarray(out)
    kind = expression(case).dtype
    kinds = {"f": "float", "i": "int", "b": "bool"}
    assert kinds[expected.dtype.kind] == kinds[found.dtype.kind] == kind
    assert kind != "float" or found.dtype == np.float64
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    generator = np.random.default_rng(seed)
    for i, grad in zip(case.smooth, grads, strict=True):
        # The derivative along a random direction, against the reference's central difference.
        assert grad.shape == arrays[i].shape
        direction = generator.normal(size=grad.shape)
        ends = []
        for sign in (1.0, -1.0):
            moved = list(arrays)
            moved[i] = arrays[i] + sign * STEP * direction
            ends.append((exact(case, where, moved) * weight).sum())
        slope = (ends[0] - ends[1]) / (2 * STEP)
        # Rounding of the two sums, divided by the step.
        rounding = 1e-14 * np.abs(expected * weight).sum() / STEP
        assert_close = np.testing.assert_allclose
        assert_close(
            (grad * direction).sum(), slope, rtol=1e-6, atol=1e-7 + rounding, err_msg=f"{backend}, operand {i}"
        )


def point(case: Case, where: Axes, seed: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Operands, what numpy makes of them, and random weights for the gradient."""
    arrays = operand_arrays(case, where, seed)
    expected = exact(case, where, arrays)
    return arrays, expected, np.random.default_rng(seed + 1).normal(size=expected.shape)


NAMES = [f"{c.op}-{i}" for i, c in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
@settings(derandomize=True, max_examples=4, deadline=None, database=None)
@given(data=st.data())
def test_torch_is_numpy_under_any_leading_axes(case: Case, data: st.DataObject):
    if case.only in ("", "pyro"):
        check(case, data.draw(axes(len(case.operands))), data.draw(st.integers(0, 99)), "pyro", by_torch)


# JAX compiles each case anew, so it gets one case of each operation and kind of operands, in one arrangement of axes.
def arrangement(turn: int) -> Axes:
    stacks = [(ROWS,), (COLUMNS,), (), (ROWS, COLUMNS)]
    places = [turn + i for i in range(len(CASES[turn].operands))]
    return Axes((2,), tuple(stacks[i % 4] for i in places), tuple(i % 3 != 1 for i in places))


TOGETHER = 25
# What is compiled runs once, so it need not be quick.
QUICK: dict[str, Any] = {"xla_backend_optimization_level": 0}
JAX_TURNS = [
    t for t, c in enumerate(CASES) if c.only != "pyro" and all((d.op, d.dtypes) != (c.op, c.dtypes) for d in CASES[:t])
]


@cache
def jax_results(chunk: int) -> dict[int, tuple[Any, list[np.ndarray]]]:
    """Values and gradients of neighbouring cases, compiled as one function, which takes a third of the time."""
    turns = JAX_TURNS[chunk * TOGETHER : (chunk + 1) * TOGETHER]
    functions = {t: emitted(CASES[t], arrangement(t), "numpyro") for t in turns}
    points = {t: point(CASES[t], arrangement(t), t) for t in turns}

    def loss(smooth: list[Any], given: list[Any], turn: int, weight: Any) -> Any:
        filled = list(given)
        for i, item in zip(CASES[turn].smooth, smooth, strict=True):
            filled[i] = item
        out = functions[turn](filled)
        return (out * weight).sum(), out

    @partial(jax.jit, compiler_options=QUICK)
    def everything(given: dict[int, list[Any]], weights: dict[int, Any]) -> dict[int, Any]:
        out = {}
        for turn in turns:
            smooth = [given[turn][i] for i in CASES[turn].smooth]
            if smooth:
                grads, value = jax.grad(loss, has_aux=True)(smooth, given[turn], turn, weights[turn])
                out[turn] = value, grads
            else:
                out[turn] = functions[turn](given[turn]), []
        return out

    with jax.enable_x64(True):
        given = {t: [jnp.asarray(a) for a in points[t][0]] for t in turns}
        found = everything(given, {t: jnp.asarray(points[t][2]) for t in turns})
    return {t: (value, [np.asarray(g) for g in grads]) for t, (value, grads) in found.items()}


@pytest.mark.parametrize("turn", JAX_TURNS, ids=lambda t: NAMES[t])
def test_jax_is_numpy_with_leading_axes_and_plates(turn: int):
    check(
        CASES[turn], arrangement(turn), turn, "numpyro", lambda *_: jax_results(JAX_TURNS.index(turn) // TOGETHER)[turn]
    )


def test_every_operation_has_a_case():
    """An operation without a case, or a case that does not use its operation, is found here."""
    assert {c.op for c in CASES} | ELSEWHERE.keys() == OPS.keys()
    for case in CASES:
        assert case.op in {node.op for node in walk([expression(case)])}, case.op
    for name, file in ELSEWHERE.items():
        assert name not in {c.op for c in CASES}
        assert (ROOT / file).exists()


def test_the_incomplete_beta_function_is_refused_on_torch():
    @ppl.model
    def model():
        x = ppl.sample("x", ppl.dist.Uniform(0.0, 1.0))
        ppl.factor("f", ppl.ops.betainc(2.0, 3.0, x))

    with pytest.raises(UnsupportedByBackend, match=r"ops\.betainc is not supported by backend 'pyro'"):
        ppl.compile(model(), "pyro").log_density({"x": 0.5})
    density = ppl.compile(model(), "numpyro").log_density({"x": 0.5})
    assert abs(float(density) - 0.6875) < 1e-5


def test_the_libraries_own_models_say_the_same():
    """Native models against the pure function, where matrix factors, sums by index and special functions meet."""
    group = np.array([0, 2, 1, 2])

    @ppl.model
    def model(x, group):
        root = ppl.sample("root", dist.Normal(0.0, 1.0).expand([3, 3]))
        covariance = root @ root.T + ops.eye(3)
        values, vectors = ops.eigh(covariance)
        q, r = ops.qr(root)
        _, singular, _ = ops.svd(root)
        ppl.factor("matrices", ops.sum(values * vectors[0]) + ops.sum(q[0]) + ops.log(r[0, 0]) + singular[0])
        ppl.factor("exponential", ops.trace(ops.expm(0.1 * root)) + ops.logdet(ops.matrix_power(covariance, 3)))
        with ppl.plate("rows", x) as row:
            z = ppl.sample("z", dist.Normal(row, 1.0))
            ppl.factor("running", ops.sum(ops.cumlogsumexp(z)) + ops.max(ops.cummax(z)) + ops.median(z))
            ppl.factor("special", ops.log1mexp(-ops.exp(z[0])) + ops.polygamma(1, ops.exp(z[1])) + ops.erfcx(z[2]))
            ppl.factor("groups", ops.sum(ops.segment_sum(z, np.array([0, 1, 0]), 2) * np.array([1.0, 2.0])))
        ppl.factor("by_group", ops.sum(ops.segment_mean(z, group, 3) ** 2) + ops.sum(ops.cdist(z, root)))

    generator = np.random.default_rng(0)
    program = model(generator.normal(size=(4, 3)), group)
    values = {"root": generator.normal(size=(3, 3)), "z": generator.normal(size=(4, 3))}
    sides = {name: ppl.compile(program, name, precision="float64") for name in ("pyro", "numpyro")}
    terms = sides["pyro"].log_density(values, by_site=True)
    for name, side in sides.items():
        native = side.backend.native_log_density(program, side.source, values, {}, "float64")
        assert native.keys() == terms.keys()
        for site, term in terms.items():
            np.testing.assert_allclose(native[site], float(term.sum()), rtol=1e-9, err_msg=f"{name} {site}")
