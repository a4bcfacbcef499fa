"""Gaussian processes: a normal distribution over the values of a function at rows of inputs."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self, cast

import numpy as np

from ppl.errors import ModelError, ShapeError, SupportError, user_location
from ppl.language.plates import plate
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply, in_scope, to_float
from ppl.program.supports import Support, boolean, nonnegative, real, real_vector
from ppl.program.values import Shape, Value, is_constant, lift

from . import algebra as al
from .algebra import Number, add, mul, sub
from .definite import missing_diagonal
from .kernels.kernel import Kernel, columns, rows
from .multivariate import MultivariateNormal

# Keeps kernel matrices of functions of unit size positive definite in float32, up to some hundred rows.
JITTER = 1e-4


class Process(Distribution):
    """Values of a function at rows of inputs, jointly normal: what a process is before and after values are given."""

    event_rank = 1

    @property
    @abstractmethod
    def prior(self) -> GaussianProcess:
        """The process that it is, or was before values were given."""

    @abstractmethod
    def moments(self) -> tuple[Value, Value]:
        """Mean, of a shape that broadcasts to `event_shape`, and covariance matrix, noise and jitter included."""

    @property
    def covariance(self) -> Value:
        """The covariance matrix of a draw, noise and jitter included."""
        return self.moments()[1]

    @abstractmethod
    def between(self, other: Process) -> Value:
        """Covariances with the same function at the rows of another process, shape (n, m)."""

    @property
    def support(self) -> Support:
        """All real vectors."""
        return real_vector

    def spelled(self) -> MultivariateNormal:
        """The normal distribution that it is, of as many repetitions and of the same mask."""
        loc, covariance = self.moments()
        out = MultivariateNormal(loc, covariance_matrix=covariance)
        if out.element_shape != self.element_shape:
            out = out.expand(self.element_shape)
        out.mask_value = self.mask_value
        return out

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each draw, in nats."""
        return self.spelled().element_log_prob(value)

    def draw(self, noise: NoiseSource) -> Value:
        """Mean + factor @ noise."""
        return self.spelled().draw(noise)

    def draw_with_element_log_prob(self, noise: NoiseSource) -> tuple[Value, Value]:
        """A draw, and its log density from the noise: no system is solved."""
        return self.spelled().draw_with_element_log_prob(noise)

    def index(self) -> tuple[Value, ...]:
        """The rows of inputs."""
        return (self.prior.params["X"],)

    def extend(self, value: Value, new: Distribution, known: Value | None = None) -> Distribution | None:
        """The values at new rows given those at the rows of this process, jointly normal."""
        return ConditionalGaussianProcess(new, self, value, known) if isinstance(new, Process) else None

    @property
    def has_marginal(self) -> bool:
        """Some of the values are a process as well."""
        return True

    def marginal_log_prob(self, value: Value, known: Value) -> Value:
        """Log density in nats of the known values of a draw, a scalar."""
        return self.spelled().marginal_log_prob(value, known)

    def facts(self) -> dict[str, Value]:
        """The kernel's parameters, the noise, and the covariance matrix."""
        noise = {name: value for name, value in self.prior.params.items() if name == "noise"}
        return {**self.prior.kernel.operands(), **noise, "covariance": self.covariance}

    def remedy(self, facts: Mapping[str, np.ndarray]) -> str | None:
        """Which jitter would make the matrix positive definite, if it is not."""
        matrix = facts.get("covariance")
        missing = None if matrix is None else missing_diagonal(matrix)
        if matrix is None or missing is None:
            return None
        jitter = self.prior.jitter
        wanted = 10.0 ** math.ceil(math.log10(jitter + missing))
        other = "" if matrix.dtype == np.float64 else ', or work in precision="float64"'
        return (
            f"Its kernel matrix is not positive definite in {matrix.dtype}: pass jitter={wanted:g} to GaussianProcess "
            f"(it has {jitter:g}), give it noise, leave out rows of X that are equal{other}."
        )


class GaussianProcess(Process):
    """Values of a random function at rows of inputs: jointly normal, with the kernel's covariances.

    A draw has one entry for each row of X, and the covariance is kernel(X) + (noise + jitter) * I. A plate over X and
    the draw goes on row by row; inside a plate there is a process for each element, and `.expand([k])` makes k
    functions of one kernel. With new rows of X, `Posterior.predict` draws the function there given its draws at the old
    rows; data observed at the old rows counts in the same way.

    Args:
        kernel: one of `dist.kernels`, or a sum or product of them; its parameters may be values.
        X: an input or value of shape (n, d), or (n,) for rows of one number.
        mean: a number, a value of shape (n,), or a function of one row that gives a number.
        noise: variance of independent noise in each entry, one number or shape (n,); None for the function itself.
        jitter: constant added to the diagonal, which the matrix needs to be positive definite in finite precision. By
            default 1e-4 without noise, and 0 with it.

    Reference: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, section 2.2.
    """

    parameters: ClassVar[dict[str, Support]] = {"X": real, "mean": real, "noise": nonnegative}
    positional = 1

    def __init__(self, kernel: Any, X: Any, mean: Any = 0.0, noise: Any = None, jitter: Any = None) -> None:
        if not isinstance(kernel, Kernel):
            raise ModelError(
                "GaussianProcess takes a kernel first.",
                declared_at=user_location(),
                expected="dist.GaussianProcess(dist.kernels.RBF(1.0), X)",
                got=repr(kernel),
                remedy="The kernels are in dist.kernels; they add and multiply.",
            )
        x = rows(X)
        at_rows = _mean_of(mean, x) if callable(mean) else mean
        small = (JITTER if noise is None else 0.0) if jitter is None else _constant_jitter(jitter)
        inside = kernel.substitute(in_scope)
        super().__init__({"X": x, "mean": at_rows, "noise": noise}, kernel=inside, jitter=small)

    @property
    def prior(self) -> GaussianProcess:
        """The process itself."""
        return self

    @property
    def kernel(self) -> Kernel:
        """The kernel."""
        return self.static["kernel"]

    @property
    def jitter(self) -> float:
        """The constant that is added to the diagonal."""
        return self.static["jitter"]

    def parameter_rank(self, name: str) -> int:
        """All axes belong to one draw."""
        return self.params[name].ndim

    def core_shape(self) -> Shape:
        """One entry for each row."""
        x = self.params["X"]
        size = x.shape[0]
        self.kernel.check(columns(x))
        for name in ("mean", "noise"):
            value = self.params.get(name)
            if value is not None and value.shape not in ((), (size,)):
                raise ShapeError(
                    f"GaussianProcess: {name} does not fit the rows of X.",
                    declared_at=user_location(),
                    expected=f"one number, or one for each of {size} rows",
                    got=f"{name} {value.shape}, X {x.shape}",
                    remedy="Inside a plate a process has the rows of one element; for several functions of one kernel "
                    "use .expand([k]).",
                )
        return (size,)

    def moments(self) -> tuple[Value, Value]:
        """The mean, and the kernel with noise and jitter on its diagonal."""
        kernel, extra = self.kernel(self.params["X"]), lift(self._extra)
        if extra.shape:
            diagonal: Number = apply("diag_embed", extra)
        else:
            diagonal = 0.0 if is_constant(extra, 0.0) else mul(extra, lift(np.eye(kernel.shape[0])))
        return self.params["mean"], _named(lift(add(kernel, diagonal)))

    def between(self, other: Process) -> Value:
        """The kernel between both sets of rows."""
        if isinstance(other, GaussianProcess):
            return self.kernel(self.params["X"], other.params["X"])
        return al.swap_last(other.between(self))

    @property
    def _extra(self) -> Number:
        noise = self.params.get("noise")
        return self.jitter if noise is None else add(noise, self.jitter)

    def element_mean(self) -> Value:
        """The mean at each row."""
        return self.params["mean"]

    def element_variance(self) -> Value:
        """Variance of the kernel at each row, noise and jitter added."""
        return lift(add(self.kernel.diagonal(self.params["X"]), self._extra))

    def condition(
        self, X: Any, value: Any, mean: Any = None, noise: Any = None, jitter: Any = None
    ) -> ConditionalGaussianProcess:
        """The distribution of the values at the rows of this process, given the function's values at other rows.

        Args:
            X: the other rows, shape (m, d) or (m,).
            value: values there, shape (m,); for a process with repetitions, these in front.
            mean: the mean there, as for a process; by default that of this process, if it is one number.
            noise: variance of the noise that the values hold; None if they are those of the function itself.
            jitter: added to the diagonal of their covariance; by default that of this process, or the usual one.

        Raises:
            ModelError: no mean was given, and this process has a value of its own for each row.
            ShapeError: value, mean or noise do not fit X.

        Reference: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equations 2.19 and 2.22.
        """
        own = self.params["mean"]
        if mean is None and own.shape:
            raise ModelError(
                "GaussianProcess.condition needs the mean at the rows that are given.",
                declared_at=user_location(),
                expected="mean=..., a number, a value with one entry for each row, or a function of one row",
                got=f"a process whose own mean has the shape {own.shape}",
                remedy="Pass the mean at the rows X as well.",
            )
        if jitter is None and noise is None and self.jitter:
            jitter = self.jitter
        there = GaussianProcess(self.kernel, X, own if mean is None else mean, noise, jitter)
        return ConditionalGaussianProcess(self, there, value)

    # --- what it is made of --------------------------------------------------------------------------------------

    def values(self) -> tuple[Value, ...]:
        """Every value that the kernel, the rows, the mean, the noise and the mask depend on."""
        return (*self.kernel.operands().values(), *super().values())

    def substitute(self, replace: Callable[[Value], Value]) -> Self:
        """The same distribution with every value `v` replaced by `replace(v)`."""
        out = super().substitute(replace)
        out.static = {**self.static, "kernel": self.kernel.substitute(replace)}
        return out


class ConditionalGaussianProcess(Process):
    """A Gaussian process, given the same function's values at other rows; `GaussianProcess.condition` makes it.

    Args:
        process: the process at the rows that are drawn.
        given: the process at the other rows, of one kernel with it.
        value: the values there, shape (m,); for repetitions, these in front.
        known: which of them are known, of the shape of `value` or (m,); None if all are.

    Reference: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, equation 2.19.
    """

    parameters: ClassVar[dict[str, Support]] = {"value": real, "known": boolean}
    positional = 1

    def __init__(self, process: Any, given: Any, value: Any, known: Any = None) -> None:
        if not isinstance(process, Process) or not isinstance(given, Process):
            raise ModelError(
                "ConditionalGaussianProcess takes two processes.",
                declared_at=user_location(),
                expected="GaussianProcess(kernel, X).condition(other_X, value)",
                got=repr(process if not isinstance(process, Process) else given),
            )
        super().__init__({"value": value, "known": known}, nested={"process": process, "given": given})

    @property
    def process(self) -> Process:
        """The process at the rows that are drawn."""
        process = self._nested["process"]
        assert isinstance(process, Process)
        return process

    @property
    def given(self) -> Process:
        """The process at the other rows."""
        given = self._nested["given"]
        assert isinstance(given, Process)
        return given

    @property
    def prior(self) -> GaussianProcess:
        """The process at the rows that are drawn, before any values were given."""
        return self.process.prior

    def parameter_rank(self, name: str) -> int:
        """Rows are the last axis."""
        return 1

    def core_shape(self) -> Shape:
        """One entry for each row that is drawn."""
        count = self.given.core_shape()
        for value in self.params.values():
            if value.shape[-1:] != count:
                raise ShapeError(
                    "a process is given one value for each row.",
                    declared_at=user_location(),
                    expected=f"{count[0]} values, with repetitions in front of them",
                    got=repr(value),
                )
        here, there = (columns(p.prior.params["X"]) for p in (self.process, self.given))
        if here != there:
            raise ShapeError(
                "a kernel compares rows of equal length.",
                declared_at=user_location(),
                expected=f"rows of {here}, as those that are drawn",
                got=f"rows of {there} that are given",
            )
        return self.process.core_shape()

    def batch_shape(self) -> Shape:
        """Repetitions of the process, or of the values."""
        repeated = self.process.element_shape
        return super().batch_shape() if not repeated else repeated

    def moments(self) -> tuple[Value, Value]:
        """The mean, moved by what the given values differ from theirs; the covariance, less what they say."""
        factor = self._factor()
        weights = self._weights(factor, self.process)
        standard = al.solve_lower(factor, lift(self._kept(sub(self.params["value"], self.given.element_mean()))))
        own, covariance = self.process.moments()
        turned = al.swap_last(weights)
        return lift(add(own, al.matvec(turned, standard))), _named(covariance - apply("matmul", turned, weights))

    def _kept(self, x: Number, axes: tuple[None, ...] = ()) -> Number:
        """Zero where a value is not known; the rows of what is given, and then some axes."""
        known = self.params.get("known")
        return x if known is None else mul(x, to_float(known)[(..., slice(None), *axes)])

    def _factor(self) -> Value:
        """The factor L of the covariance of what is given; rows without a value are independent of all others."""
        covariance, known = self.given.covariance, self.params.get("known")
        if known is not None:
            across = mul(self._kept(covariance, (None,)), to_float(known)[..., None, :])
            covariance = lift(across) + apply("diag_embed", 1.0 - to_float(known))
        return apply("cholesky", covariance)

    def _weights(self, factor: Value, process: Process) -> Value:
        """L^-1 times the covariances of what is given with a process."""
        cross = lift(self._kept(self.given.between(process), (None,)))
        return apply("solve_triangular", factor, cross, lower=True)

    def between(self, other: Process) -> Value:
        """Covariances with the same function, given the same values, at the rows of another process."""
        there = other.process if isinstance(other, ConditionalGaussianProcess) else other
        factor = self._factor()
        here = al.swap_last(self._weights(factor, self.process))
        return self.process.between(there) - apply("matmul", here, self._weights(factor, there))

    def element_mean(self) -> Value:
        """The mean, moved by what the given values differ from theirs."""
        return self.moments()[0]

    def element_variance(self) -> Value:
        """Diagonal of the covariance."""
        weights = al.swap_last(self._weights(self._factor(), self.process))
        return lift(sub(self.process.element_variance(), al.sum_last(lift(al.square(weights)))))

    def facts(self) -> dict[str, Value]:
        """Those of the process, and the covariance of what is given."""
        return {**super().facts(), "given covariance": self.given.covariance}

    def remedy(self, facts: Mapping[str, np.ndarray]) -> str | None:
        """Which jitter would make either matrix positive definite, if one is not."""
        first = facts.get("given covariance")
        own = None if first is None else self.given.remedy({"covariance": first})
        return own or super().remedy(facts)


def _named(covariance: Value) -> Value:
    if covariance.args and not covariance.hint:
        covariance.hint.append("covariance")
    return covariance


def _constant_jitter(jitter: Any) -> float:
    if isinstance(jitter, Value) or not np.ndim(jitter) == 0 or not float(jitter) >= 0.0:
        raise SupportError(
            "GaussianProcess: jitter is a constant that is not negative.",
            declared_at=user_location(),
            expected="a number such as 1e-4",
            got=repr(jitter),
            remedy="A variance that is unknown is `noise`.",
        )
    return float(jitter)


def _mean_of(mean: Callable[[Value], Any], x: Value) -> Value:
    """A function of one row, at all rows: they are a plate while it is called."""
    name = x.attr("name") if x.op in ("input", "site") else x.hint[0] if x.hint else "process"
    with plate(f"{name}_rows", x) as row:
        out = in_scope(lift(mean(cast(Value, row))))
        if out.shape:
            raise ShapeError(
                "GaussianProcess: the mean function gives one number for a row.",
                declared_at=user_location(),
                expected="event shape ()",
                got=repr(out),
                remedy="Its argument is one row of X, of which it may take the sum, a product with a vector, ...",
            )
    return in_scope(out)
