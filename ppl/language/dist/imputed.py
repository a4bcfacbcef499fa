"""The missing elements of an observed site, as a latent site: their density is part of that site's own."""

from __future__ import annotations

from typing import NoReturn

from ppl.errors import StrategyError
from ppl.program.distributions import Distribution, NoiseSource
from ppl.program.supports import Support
from ppl.program.values import DType, Shape, Value, lift


class Imputed(Distribution):
    """One missing element. It has a support and no density, which the site that it belongs to has already.

    Args:
        kind: kind of the support.
        bounds: bounds of the support.
        shape: event shape.
        dtype: dtype kind.
    """

    reparameterized = False

    def __init__(self, kind: str, bounds: tuple[float, ...] = (), shape: Shape = (), dtype: DType = "float") -> None:
        super().__init__({}, kind=kind, bounds=tuple(bounds), shape=tuple(shape), dtype=dtype)

    def _settle(self) -> None:
        self.event_shape = tuple(self.static["shape"])
        self.event_rank = len(self.event_shape)
        self.dtype = self.static["dtype"]

    @property
    def support(self) -> Support:
        """That of the site it belongs to."""
        return Support(self.static["kind"], tuple(lift(b) for b in self.static["bounds"]))

    def core_shape(self) -> Shape:
        """The whole event."""
        return self.event_shape

    def element_log_prob(self, value: Value) -> Value:
        """Nothing: the density is part of that of the site it belongs to."""
        return lift(0.0)

    def draw(self, noise: NoiseSource) -> NoReturn:
        """It is drawn with the site it belongs to.

        Raises:
            StrategyError: always.
        """
        raise StrategyError(
            "missing elements are drawn together with the site that they belong to, never alone.",
            remedy="Pass a guide, or use NUTS or SVI.",
        )
