"""Networks: each takes and gives one element; leading axes are folded by the compiler."""

from .layers import MLP as MLP
from .layers import Conv2d as Conv2d
from .layers import ConvTranspose2d as ConvTranspose2d
from .layers import Embedding as Embedding
from .layers import Flatten as Flatten
from .layers import LayerNorm as LayerNorm
from .layers import Linear as Linear
from .layers import NetworkValue as NetworkValue
from .layers import Reshape as Reshape
from .layers import Sequential as Sequential
from .layers import module as module

__all__ = [
    "MLP",
    "Conv2d",
    "ConvTranspose2d",
    "Embedding",
    "Flatten",
    "LayerNorm",
    "Linear",
    "NetworkValue",
    "Reshape",
    "Sequential",
    "module",
]
