"""The standard way from all reals to a support."""

from __future__ import annotations

from typing import Any

from ppl.errors import StrategyError, SupportError, user_location
from ppl.program.supports import Support

from .bijections import Bijection, Compose
from .elementwise_bijections import Affine, Exp, Identity, Interval, Sigmoid
from .matrix_bijections import CorrCholesky, LowerCholesky, Ordered, PositiveDefinite, StickBreaking
from .vector_bijections import CorrMatrix, FallingProducts, PositiveOrdered, UnitVector, ZeroSum


def biject_to(support: Support) -> Bijection:
    """The standard bijection from all reals onto a support, as in Stan and NumPyro.

    Bounds that are values stay values: the bijection moves with them.

    Raises:
        StrategyError: the support is discrete.
        SupportError: no bijection is known.
    """
    if support.discrete:
        raise StrategyError(
            f"there is no bijection from the reals onto {support}: it is discrete.",
            declared_at=user_location(),
            remedy="Sum the site out, or sample it with a method for discrete sites.",
        )
    bounds: tuple[Any, ...] = support.bounds
    match support.kind:
        case "real" | "real_vector" | "real_matrix":
            return Identity()
        case "positive" | "nonnegative" | "positive_vector":
            return Exp()
        case "unit_interval":
            return Sigmoid()
        case "interval" | "half_open_interval":
            return Interval(*bounds)
        case "greater_than":
            return Compose(Exp(), Affine(bounds[0], 1.0))
        case "less_than":
            return Compose(Exp(), Affine(bounds[0], -1.0))
        case "simplex":
            return StickBreaking()
        case "ordered":
            return Ordered()
        case "positive_ordered":
            return PositiveOrdered()
        case "falling":
            return FallingProducts()
        case "zero_sum":
            return ZeroSum()
        case "sphere":
            return UnitVector()
        case "lower_cholesky":
            return LowerCholesky()
        case "corr_cholesky":
            return CorrCholesky()
        case "corr_matrix":
            return CorrMatrix()
        case "positive_definite":
            return PositiveDefinite()
        case "censored":
            raise StrategyError(
                "a censored value has limits with a probability of their own, so no real number stands for it.",
                declared_at=user_location(),
                expected="an observed site",
                got=str(support),
                remedy="Observe the site, or sample its base and cut the value with ops.minimum and ops.maximum.",
            )
        case _:
            raise SupportError(f"no bijection onto {support} is known.", declared_at=user_location())
