"""Families over directions: angles in radians, and unit vectors."""

from __future__ import annotations

import math
from operator import index
from typing import Any, ClassVar

import numpy as np

from ppl.errors import ModelError, ShapeError, SupportError, SymbolicValueError, user_location
from ppl.program import supports
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.ops import apply
from ppl.program.supports import Support, positive, real, real_vector
from ppl.program.values import Shape, Value, lift
from ppl.program.vocabulary import broadcast

from . import algebra as al
from .algebra import Number, add, div, log, log1p, mul, neg, sqrt, square, sub
from .guards import inside
from .special import log_bessel_i
from .transformed import refuse_mask

# Proposals for each draw by rejection. At least 0.65 of them are accepted (0.66 on the circle, where it is least), so
# that none is with probability below 1e-18, and then the last one is taken.
_PROPOSALS = 40


def _cosine(noise: NoiseSource, concentration: Value, size: int, shape: Shape) -> Value:
    """Cosine of the angle between a von Mises-Fisher draw and the mean direction, by rejection.

    Args:
        noise: where the proposals come from.
        concentration: positive, broadcasts to `shape`.
        size: entries of a direction.
        shape: shape of the independent draws.

    Reference: Wood (1994), Simulation of the von Mises-Fisher distribution, algorithm VM*.
    """
    many = (*shape, _PROPOSALS)
    kappa = concentration[..., None] if concentration.shape else concentration
    free = size - 1.0
    # b = (sqrt(4 kappa**2 + free**2) - 2 kappa) / free, without the cancellation.
    b = div(free, add(mul(2.0, kappa), sqrt(add(mul(4.0, square(kappa)), free * free))))
    centre = div(sub(1.0, b), add(1.0, b))
    if size == 2:
        # Beta(1/2, 1/2) is the arcsine law.
        z = square(apply("sin", (0.5 * math.pi) * noise.uniform(many)))
    else:
        half = lift(0.5 * free)
        z = noise.native("beta", al.reals(half, half), many, "float")
    cosine = div(sub(1.0, mul(add(1.0, b), z)), sub(1.0, mul(sub(1.0, b), z)))
    bound = add(mul(kappa, centre), mul(free, log1p(neg(square(centre)))))
    score = sub(add(mul(kappa, cosine), mul(free, log1p(neg(mul(centre, cosine))))), bound)
    accepted = apply("less_equal", apply("log", noise.uniform(many)), score)
    first = apply("argmax", apply("astype", accepted, dtype="int"), axis=(-1,))
    return al.last(apply("take_along", lift(cosine), first[..., None]), 0)


class VonMises(Distribution):
    """Von Mises distribution over angles from -pi to pi.

    Args:
        loc: mean direction, in radians.
        concentration: positive; large is close to a normal with variance 1 / concentration, small to uniform.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": real, "concentration": positive}
    reparameterized = False

    def __init__(self, loc: Any, concentration: Any) -> None:
        super().__init__({"loc": loc, "concentration": concentration})

    @property
    def support(self) -> Support:
        """Angles from -pi to pi."""
        return supports.circular

    def element_log_prob(self, value: Value) -> Value:
        """Concentration * (cos(x - loc) - 1), normalised, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        loc, kappa = self.params["loc"], self.params["concentration"]
        # cos(d) - 1 = -2 sin(d / 2)**2 keeps the digits of a large concentration.
        fall = mul(-2.0, square(apply("sin", mul(0.5, sub(x, loc)))))
        return add(mul(kappa, fall), neg(log(apply("i0e", kappa))), -2.0 * al.HALF_LOG_2PI)

    def draw(self, noise: NoiseSource) -> Value:
        """The mean direction, turned by an angle drawn by rejection to either side."""
        cosine = _cosine(noise, self.params["concentration"], 2, self.event_shape)
        angle = apply("acos", apply("minimum", apply("maximum", cosine, -1.0), 1.0))
        side = apply("where", noise.uniform(self.event_shape) < 0.5, -1.0, 1.0)
        return _wrapped(lift(add(self.params["loc"], side * angle)))


def _wrapped(angle: Value) -> Value:
    """The same direction between -pi and pi."""
    turns = apply("floor", (angle + math.pi) / (2.0 * math.pi))
    # Rounding must not carry an angle over an end; the largest single below pi serves both precisions.
    return apply("maximum", apply("minimum", angle - (2.0 * math.pi) * turns, _LAST), -_LAST)


_LAST = 3.1415925


class SineSkewed(Distribution):
    """Von Mises angles, skewed by sines: vectors of angles whose density leans to one side of each mean.

    Args:
        base: VonMises, a vector of independent angles.
        skewness: vector, one entry an angle; the sizes sum to one at most.

    Reference: Ameijeiras-Alonso and Ley (2022), Sine-skewed toroidal distributions and their application in protein
    bioinformatics, equation 2.1 and section 2.5.
    """

    parameters: ClassVar[dict[str, Support]] = {"skewness": real_vector}
    positional = 1
    event_rank = 1
    reparameterized = False

    def __init__(self, base: Any, skewness: Any) -> None:
        if not isinstance(base, VonMises) or not base.event_shape:
            raise ModelError(
                "SineSkewed needs a vector of von Mises angles.",
                declared_at=user_location(),
                expected="dist.VonMises(loc, concentration).expand([n])",
                got=repr(base),
            )
        refuse_mask("SineSkewed", base)
        super().__init__({"skewness": skewness}, nested={"base": base})

    def _check_parameters(self) -> None:
        super()._check_parameters()
        value = self.params["skewness"]
        if value.op != "const" or not value.shape:
            return
        total = np.abs(np.asarray(value.attrs[0][1].array)).sum(-1)
        if np.any(total > 1.0 + 1e-6):
            raise SupportError(
                "SineSkewed: parameter 'skewness' is outside its domain.",
                declared_at=user_location(),
                expected="entries whose sizes sum to one at most",
                got=f"{np.max(total)}",
                remedy="Scale them down: the density would be negative somewhere.",
            )

    @property
    def base(self) -> Distribution:
        """The angles before skewing."""
        return self._nested["base"]

    @property
    def support(self) -> Support:
        """Angles from -pi to pi."""
        return supports.circular

    def core_shape(self) -> Shape:
        """One entry an angle."""
        size, angles = self.params["skewness"].shape[-1], self.base.event_shape[-1]
        if size != angles:
            raise ShapeError(
                "SineSkewed: skewness and base do not fit.",
                declared_at=user_location(),
                expected=f"one entry for each of {angles} angles",
                got=f"{size} entries",
            )
        return (size,)

    def batch_shape(self) -> Shape:
        """Broadcast of the base's shape and the skewness, less the axis of the angles."""
        return broadcast(super().batch_shape(), self.base.event_shape[:-1])

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector, in nats; -inf where a skewness that is no constant exceeds its domain."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        factor = 1.0 + self._lean(x)
        ok = factor > 0.0
        lean = al.where(ok, log(apply("where", ok, factor, 1.0)), -math.inf)
        terms = al.filled(self.base.unchecked().element_log_prob(x), x.shape)
        return add(al.sum_last(terms), lean)

    def _lean(self, x: Value) -> Value:
        return al.sum_last(self.params["skewness"] * apply("sin", x - self.base.params["loc"]))

    def draw(self, noise: NoiseSource) -> Value:
        """A draw of the base, reflected at the mean with the probability that skewing asks for."""
        base = self.base
        x = (base if base.event_shape == self.event_shape else base.expand(self.event_shape)).draw(noise)
        keep = apply("less", 2.0 * noise.uniform(self.element_shape) - 1.0, self._lean(x))
        return apply("where", keep[..., None], x, _wrapped(2.0 * base.params["loc"] - x))


def _needs_sphere(family: str, size: int) -> None:
    if size < 2:
        raise ShapeError(
            f"{family} needs vectors of at least two entries.",
            declared_at=user_location(),
            expected="2 entries on the circle, 3 on the sphere, ...",
            got=f"{size}",
        )


class VonMisesFisher(Distribution):
    """Von Mises-Fisher distribution over unit vectors.

    Args:
        loc: mean direction, a unit vector.
        concentration: positive; large is close to a normal with variance 1 / concentration around `loc`.

    Reference: Mardia and Jupp (2000), Directional statistics, section 9.3.2.
    """

    parameters: ClassVar[dict[str, Support]] = {"loc": supports.sphere, "concentration": positive}
    event_rank = 1
    reparameterized = False

    def __init__(self, loc: Any, concentration: Any) -> None:
        super().__init__({"loc": loc, "concentration": concentration})
        _needs_sphere("VonMisesFisher", self._size)

    @property
    def _size(self) -> int:
        return self.params["loc"].shape[-1]

    @property
    def support(self) -> Support:
        """Unit vectors."""
        return supports.sphere

    def core_shape(self) -> Shape:
        """As many entries as the mean direction."""
        return self.params["loc"].shape[-1:]

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector with respect to surface area, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        kappa, order = self.params["concentration"], 0.5 * self._size - 1.0
        # loc' x - 1 = -|x - loc|**2 / 2 keeps the digits of a large concentration.
        fall = mul(-0.5, al.sum_last(apply("square", x - self.params["loc"])))
        norm = sub(mul(order, log(kappa)), log_bessel_i(order, kappa))
        return add(mul(kappa, fall), norm, -self._size * al.HALF_LOG_2PI)

    def draw(self, noise: NoiseSource) -> Value:
        """A direction across the mean direction, and a cosine along it, drawn by rejection."""
        loc = self.params["loc"]
        along = _cosine(noise, self.params["concentration"], self._size, self.element_shape)[..., None]
        free = noise.normal(self.event_shape)
        across = free - loc * apply("sum", free * loc, axis=(-1,), keepdims=True)
        rest = apply("sqrt", apply("maximum", 1.0 - apply("square", along), 0.0))
        return _normalised(along * loc + rest * _normalised(across))

    def element_mean(self) -> Value:
        """The mean direction, shortened by a ratio of Bessel functions."""
        kappa, order = self.params["concentration"], 0.5 * self._size - 1.0
        ratio = lift(al.exp(sub(log_bessel_i(order + 1.0, kappa), log_bessel_i(order, kappa))))
        return self.params["loc"] * (ratio[..., None] if ratio.shape else ratio)


def _normalised(x: Value) -> Value:
    return x / apply("sqrt", apply("sum", apply("square", x), axis=(-1,), keepdims=True))


class SphereUniform(Distribution):
    """Uniform distribution over unit vectors.

    Args:
        size: entries of a vector, a constant of at least 2.
    """

    positional = 0
    event_rank = 1

    def __init__(self, size: Any) -> None:
        try:
            count = index(size)
        except (TypeError, SymbolicValueError):
            count = 0
        _needs_sphere("SphereUniform", count)
        super().__init__({}, size=count)

    @property
    def support(self) -> Support:
        """Unit vectors."""
        return supports.sphere

    def core_shape(self) -> Shape:
        """One axis of the given size."""
        return (self.static["size"],)

    def element_log_prob(self, value: Value) -> Value:
        """Less the log of the sphere's area, in nats."""
        half = 0.5 * self.static["size"]
        area = al.LOG_2 + half * al.LOG_PI - math.lgamma(half)
        return inside(self, value, lambda x: al.filled(-area, x.shape[:-1]))

    def draw(self, noise: NoiseSource) -> Value:
        """Normal noise over its length."""
        return _normalised(noise.normal(self.event_shape))

    def element_mean(self) -> Value:
        """Zero."""
        return lift(0.0)

    def element_variance(self) -> Value:
        """1 / size."""
        return lift(1.0 / self.static["size"])


class ProjectedNormal(Distribution):
    """Direction of a normal vector with unit covariance, in two or three dimensions.

    Args:
        concentration: mean of the normal vector; its direction is the mode, its length the concentration.

    Reference: Hernandez-Stumpfhauser, Breidt and van der Woerd (2017), The general projected normal distribution of
    arbitrary dimension, equation 2.2.
    """

    parameters: ClassVar[dict[str, Support]] = {"concentration": real_vector}
    positional = 1
    event_rank = 1

    def __init__(self, concentration: Any) -> None:
        super().__init__({"concentration": concentration})
        size = self.params["concentration"].shape[-1]
        if size not in (2, 3):
            raise ShapeError(
                "ProjectedNormal is over the circle or the sphere.",
                declared_at=user_location(),
                expected="a concentration of 2 or 3 entries",
                got=f"{size} entries",
                remedy="In more dimensions, use dist.VonMisesFisher.",
            )

    @property
    def support(self) -> Support:
        """Unit vectors."""
        return supports.sphere

    def core_shape(self) -> Shape:
        """As many entries as the concentration."""
        return self.params["concentration"].shape[-1:]

    def element_log_prob(self, value: Value) -> Value:
        """Log density of each vector with respect to surface area, in nats."""
        return inside(self, value, self._density)

    def _density(self, x: Value) -> Number:
        # The integral of r**(n - 1) exp(-|r x - c|**2 / 2) over r > 0, with t = x' c, is exp((t**2 - |c|**2) / 2) times
        # the integral of r**(n - 1) exp(-(r - t)**2 / 2).
        c = self.params["concentration"]
        size = c.shape[-1]
        t = al.sum_last(x * c)
        # (t**2 - |c|**2) / 2 is minus half the squared part of c across x.
        across = mul(-0.5, al.sum_last(apply("square", c - t[..., None] * x)))
        return add(across, _log_radial(t, size), -size * al.HALF_LOG_2PI)

    def draw(self, noise: NoiseSource) -> Value:
        """A normal draw over its length."""
        return _normalised(self.params["concentration"] + noise.normal(self.event_shape))


# Below this t the closed forms cancel, and a series in 1 / t**2 has converged.
_FAR = -8.0


def _log_radial(t: Value, size: int) -> Number:
    """Log of the integral of r**(size - 1) exp(-(r - t)**2 / 2) over positive r, for size 2 or 3."""
    far = t < _FAR
    near, out = apply("where", far, 0.0, t), apply("where", far, t, _FAR)
    cdf = (2.0 * al.HALF_LOG_2PI) * 0.5
    mass = apply("exp", apply("log_ndtr", near) + cdf)
    edge = apply("exp", -0.5 * apply("square", near))
    closed = edge + near * mass if size == 2 else near * edge + (1.0 + apply("square", near)) * mass
    # The integral is exp(-t**2 / 2) times that of r**(n - 1) exp(r t) exp(-r**2 / 2): expand, integrate term by term.
    inverse = 1.0 / apply("square", out)
    series: Number = 0.0
    for k in reversed(range(_TERMS)):
        factor = 1.0 if k == 0 else -(size + 2.0 * k - 2.0) * (size + 2.0 * k - 1.0) / (2.0 * k)
        series = mul(factor, add(1.0, mul(inverse, series)))
    tail = add(math.lgamma(size), mul(-float(size), log(neg(out))), mul(-0.5, square(out)), log(series))
    return al.where(far, tail, log(closed))


_TERMS = 14
