"""Gradient strategies: how gradients pass through the draws of a guide, site by site."""

from .arm import ARM as ARM
from .arm import DisARM as DisARM
from .baseline import Learned as Learned
from .baseline import LeaveOneOut as LeaveOneOut
from .baseline import Running as Running
from .contract import Strategy as Strategy
from .enumerate import Enumerate as Enumerate
from .measure_valued import MVD as MVD
from .quantized import VectorQuantized as VectorQuantized
from .reinforce import Reinforce as Reinforce
from .relax import REBAR as REBAR
from .relaxed import GumbelSoftmax as GumbelSoftmax
from .relaxed import StraightThrough as StraightThrough
from .reparam import Reparam as Reparam

__all__ = [
    "ARM",
    "MVD",
    "REBAR",
    "DisARM",
    "Enumerate",
    "GumbelSoftmax",
    "Learned",
    "LeaveOneOut",
    "Reinforce",
    "Reparam",
    "Running",
    "StraightThrough",
    "Strategy",
    "VectorQuantized",
]
