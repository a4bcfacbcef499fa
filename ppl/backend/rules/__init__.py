"""Lowering rules of the operations that are neither elementwise nor a plain reduction."""

from . import contractions as contractions
from . import decompositions as decompositions
from . import densities as densities
from . import networks as networks
from . import plates as plates
from . import recurrences as recurrences
from . import shapes as shapes
from .registry import RULES as RULES

__all__ = ["RULES", "contractions", "decompositions", "densities", "networks", "plates", "recurrences", "shapes"]
