"""Guides: programs that approximate a posterior, written by hand or made from a model."""

from .amortized import AutoAmortized as AutoAmortized
from .automatic import AutoDelta as AutoDelta
from .automatic import AutoGuide as AutoGuide
from .automatic import AutoLowRank as AutoLowRank
from .automatic import AutoMultivariateNormal as AutoMultivariateNormal
from .automatic import AutoNormal as AutoNormal
from .flow import AutoFlow as AutoFlow

__all__ = [
    "AutoAmortized",
    "AutoDelta",
    "AutoFlow",
    "AutoGuide",
    "AutoLowRank",
    "AutoMultivariateNormal",
    "AutoNormal",
]
