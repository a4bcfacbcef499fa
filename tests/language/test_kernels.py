"""Kernels against scikit-learn's and their formulas; how they combine, print, compare and travel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.gaussian_process import kernels as sklearn_kernels

import ppl
from ppl import dist
from ppl.errors import ModelError, ShapeError, SupportError, SymbolicValueError
from ppl.language.dist.kernels import Kernel
from ppl.program.distributions import KERNELS
from ppl.program.values import Value
from tests.reference import evaluate, symbol

# scikit-learn's annotations know one lengthscale only.
sk: Any = sklearn_kernels
k = dist.kernels
ROWS = np.asarray(load_diabetes(return_X_y=True)[0])[:12, :4] * 10.0
LINE = ROWS[:, 2]
SCALES = np.array([0.7, 1.5, 0.4, 2.0])

# A kernel of ours, and scikit-learn's of the same covariances. It has no lengthscale for each column in some.
PAIRS: dict[str, tuple[Kernel, Any]] = {
    "RBF": (k.RBF(0.7), sk.RBF(0.7)),
    "RBF.variance": (k.RBF(0.7, 2.5), 2.5 * sk.RBF(0.7)),
    "RBF.by_column": (k.RBF(SCALES), sk.RBF(SCALES)),
    "Matern12": (k.Matern12(0.7, 2.5), 2.5 * sk.Matern(0.7, nu=0.5)),
    "Matern12.by_column": (k.Matern12(SCALES), sk.Matern(SCALES, nu=0.5)),
    "Matern32": (k.Matern32(0.7), sk.Matern(0.7, nu=1.5)),
    "Matern32.by_column": (k.Matern32(SCALES), sk.Matern(SCALES, nu=1.5)),
    "Matern52": (k.Matern52(0.7), sk.Matern(0.7, nu=2.5)),
    "Matern52.by_column": (k.Matern52(SCALES, 2.5), 2.5 * sk.Matern(SCALES, nu=2.5)),
    "RationalQuadratic": (k.RationalQuadratic(0.7, 2.5, 1.3), 2.5 * sk.RationalQuadratic(0.7, 1.3)),
    "Linear": (k.Linear() + 0.09, sk.DotProduct(0.3)),
    "Linear.variance": (k.Linear(2.5), 2.5 * sk.DotProduct(0.0)),
    "Polynomial": (k.Polynomial(3, offset=0.09), sk.DotProduct(0.3) ** 3),
    "Constant": (k.Constant(1.7), sk.ConstantKernel(1.7)),
    "White": (k.White(1.7), sk.WhiteKernel(1.7)),
    "Sum": (
        k.RBF(0.7) + 2.0 * k.Matern32(0.7) + k.White(0.1),
        sk.RBF(0.7) + 2.0 * sk.Matern(0.7) + sk.WhiteKernel(0.1),
    ),
    "Product": (
        3.0 * (k.RBF(0.7) + 0.5) * (k.Linear() + k.White(0.2)),
        3.0 * (sk.RBF(0.7) + 0.5) * (sk.DotProduct(0.0) + sk.WhiteKernel(0.2)),
    ),
}


def covariance(kernel: Kernel, x: np.ndarray, z: np.ndarray | None = None) -> np.ndarray:
    return evaluate(kernel(x) if z is None else kernel(x, z))


@pytest.mark.parametrize("name", PAIRS)
def test_covariances_are_those_of_scikit_learn(name: str) -> None:
    ours, theirs = PAIRS[name]
    np.testing.assert_allclose(covariance(ours, ROWS), theirs(ROWS), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(covariance(ours, ROWS, ROWS[:5]), theirs(ROWS, ROWS[:5]), rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(evaluate(ours.diagonal(ROWS)), theirs.diag(ROWS), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", [n for n in PAIRS if "by_column" not in n])
def test_rows_of_one_number_need_no_second_axis(name: str) -> None:
    ours, theirs = PAIRS[name]
    wanted = theirs(LINE[:, None])
    np.testing.assert_allclose(covariance(ours, LINE), wanted, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(covariance(ours, LINE[:, None]), wanted, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(
        covariance(ours, LINE, LINE[:3, None]), theirs(LINE[:, None], LINE[:3, None]), rtol=1e-10
    )


def test_a_periodic_kernel_on_a_line_is_scikit_learns() -> None:
    theirs = 2.5 * sk.ExpSineSquared(0.8, 1.7)
    np.testing.assert_allclose(covariance(k.Periodic(1.7, 0.8, 2.5), LINE), theirs(LINE[:, None]), rtol=1e-10)


@pytest.mark.parametrize("scale", [0.8, SCALES])
def test_a_periodic_kernel_of_vectors_is_a_product_over_columns(scale: Any) -> None:
    wide = np.broadcast_to(scale, 4)
    wanted = np.prod([covariance(k.Periodic(1.7, s), x) for s, x in zip(wide, ROWS.T, strict=True)], axis=0)
    np.testing.assert_allclose(covariance(k.Periodic(1.7, scale), ROWS), wanted, rtol=1e-10)


def test_weighted_dot_products() -> None:
    wanted = (ROWS * SCALES) @ ROWS.T
    np.testing.assert_allclose(covariance(k.Linear(SCALES), ROWS), wanted, rtol=1e-12)
    np.testing.assert_allclose(covariance(k.Polynomial(2, SCALES, 0.5), ROWS), (0.5 + wanted) ** 2, rtol=1e-12)
    np.testing.assert_allclose(evaluate(k.Linear(SCALES).diagonal(ROWS)), np.diag(wanted), rtol=1e-12)


@pytest.mark.parametrize("make", [k.RBF, k.Matern32, k.Periodic, k.Linear, lambda **kw: k.Polynomial(2, **kw)])
def test_a_kernel_of_some_columns(make: Any) -> None:
    np.testing.assert_allclose(covariance(make(active_dims=(3, 1)), ROWS), covariance(make(), ROWS[:, [3, 1]]))
    np.testing.assert_allclose(covariance(make(active_dims=2), ROWS), covariance(make(), LINE))


def test_every_kernel_has_a_reference() -> None:
    tested = {type(ours).__name__ for ours, _ in PAIRS.values()} | {"Periodic"}
    assert tested == set(KERNELS) == {n for n in k.__all__ if n != "Kernel"}


@pytest.mark.parametrize("name", PAIRS)
def test_kernels_are_positive_semidefinite(name: str) -> None:
    matrix = covariance(PAIRS[name][0], ROWS)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-10 * np.trace(matrix)


# --- how they are written ---------------------------------------------------------------------------------------------


def test_kernels_print_as_they_are_written() -> None:
    ell = symbol("ell")
    kernel = ell * (k.RBF(ell, active_dims=[0, 2]) + k.White(0.1)) * k.Periodic(1.5, 0.3) + k.Polynomial(2) + 0.5
    text = "ell * (RBF(ell, active_dims=(0, 2)) + White(0.1)) * Periodic(1.5, lengthscale=0.3) + "
    assert repr(kernel) == text + "Polynomial(degree=2) + 0.5"


def test_kernels_compare_by_what_they_say() -> None:
    ell = symbol("ell")
    assert 2.0 * k.RBF(ell) + k.White(0.1) == k.Constant(2.0) * k.RBF(ell) + k.White(0.1)
    assert hash(k.RBF(ell)) == hash(k.RBF(ell))
    for other in (k.RBF(0.5), k.Matern32(ell), k.RBF(ell, active_dims=0), k.RBF(ell) + k.White(1.0), 1.0):
        assert k.RBF(ell) != other


@pytest.mark.parametrize("name", PAIRS)
def test_kernels_are_rebuilt_from_their_parts(name: str) -> None:
    ours, _ = PAIRS[name]
    assert type(ours).from_parts(ours.to_parts()) == ours
    assert ours.substitute(lambda v: v) == ours
    other = ours.substitute(lambda v: v * 2.0)
    assert [evaluate(v).tolist() for v in other.operands().values()] == [
        (2.0 * evaluate(v)).tolist() for v in ours.operands().values()
    ]


def test_numbers_arrays_and_values_scale_from_either_side() -> None:
    two: Any = symbol("two")
    wanted = 2.0 * covariance(k.RBF(), ROWS)
    for kernel in (2.0 * k.RBF(), k.RBF() * 2.0, np.float64(2.0) * k.RBF(), two * k.RBF(), k.RBF() * two):
        np.testing.assert_allclose(evaluate(kernel(ROWS), {"two": 2.0}), wanted)
    for kernel in (2.0 + k.RBF(), k.RBF() + 2.0, np.float64(2.0) + k.RBF(), two + k.RBF(), k.RBF() + two):
        np.testing.assert_allclose(evaluate(kernel(ROWS), {"two": 2.0}), 2.0 + covariance(k.RBF(), ROWS))


def test_parameters_by_name() -> None:
    names = (k.RBF(0.7) + 2.0 * k.Periodic(1.0)).operands()
    assert list(names) == ["lengthscale", "variance", "variance_2", "period", "lengthscale_2", "variance_3"]


# --- what is refused --------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[type[Exception], str, Any]] = {
    "a negative lengthscale": (SupportError, "RBF: parameter 'lengthscale' is outside", lambda: k.RBF(-1.0)),
    "a variance of zero": (SupportError, "White: parameter 'variance' is outside", lambda: k.White(0.0)),
    "a negative factor": (SupportError, "Constant: parameter 'variance' is outside", lambda: -1.0 * k.RBF()),
    "a vector of variances": (ShapeError, "RBF: variance is one number", lambda: k.RBF(1.0, [1.0, 2.0])),
    "a matrix of lengthscales": (
        ShapeError,
        "lengthscale is one number, or one",
        lambda: k.RBF(np.eye(2)),
    ),
    "a column that is not there": (ShapeError, "active_dims names column 4", lambda: k.RBF(active_dims=4)(ROWS)),
    "a column on a line": (ShapeError, "active_dims names column 1", lambda: k.RBF(active_dims=1)(LINE)),
    "a negative column": (ShapeError, "active_dims are columns", lambda: k.RBF(active_dims=-1)),
    "a column twice": (ShapeError, "active_dims are columns", lambda: k.RBF(active_dims=(1, 1))),
    "a column by name": (ShapeError, "active_dims are columns", lambda: k.RBF(active_dims="age")),
    "too few lengthscales": (
        ShapeError,
        "RBF: lengthscale has 3 values for 4 columns",
        lambda: k.RBF(SCALES[:3])(ROWS),
    ),
    "lengthscales of other columns": (
        ShapeError,
        "Linear: variance has 4 values for 1 column of",
        lambda: k.Linear(SCALES, active_dims=1)(ROWS),
    ),
    "lengthscales within a sum": (
        ShapeError,
        "RBF: lengthscale has 3 values for 4 columns",
        lambda: (k.White() + 2.0 * k.RBF(SCALES[:3]))(ROWS),
    ),
    "a single number": (ShapeError, "a kernel takes rows of inputs", lambda: k.RBF()(1.0)),
    "images": (ShapeError, "a kernel takes rows of inputs", lambda: k.RBF()(np.zeros((2, 3, 4)))),
    "rows of different lengths": (ShapeError, "compares rows of equal length", lambda: k.RBF()(ROWS, LINE)),
    "a sum with a string": (SymbolicValueError, "'noise' is not a number", lambda: k.RBF() + "noise"),
    "a sum of one": (ModelError, "Sum takes two or more kernels", lambda: k.Sum(k.RBF())),
    "a product with a number": (ModelError, "Product takes two or more kernels", lambda: k.Product(*[k.RBF(), 2.0])),
    "a fractional degree": (ModelError, "Polynomial takes a degree first", lambda: k.Polynomial(1.5)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused(name: str) -> None:
    error, match, make = REFUSED[name]
    with pytest.raises(error, match=match):
        make()


def test_a_parameter_that_left_its_plate_is_refused_where_it_is_used() -> None:
    @ppl.model
    def model(x):
        with ppl.plate("groups", size=3):
            kernel = k.RBF(ppl.sample("lengthscale", dist.LogNormal(0.0, 1.0)))
        ppl.sample("f", dist.GaussianProcess(kernel * 2.0, x))

    with pytest.raises(ShapeError, match="lengthscale has 3 values for 4 columns"):
        model(ROWS)


def test_values_are_symbolic() -> None:
    assert isinstance(k.RBF(symbol("ell"))(ROWS), Value)
