"""Networks: each takes and gives one element; leading axes are folded by the compiler."""

from .attending import Attention as Attention
from .attending import AttentionPool as AttentionPool
from .attending import Positions as Positions
from .attending import TransformerBlock as TransformerBlock
from .composition import Flatten as Flatten
from .composition import HyperNetwork as HyperNetwork
from .composition import HyperNetworkValue as HyperNetworkValue
from .composition import Reshape as Reshape
from .composition import Residual as Residual
from .composition import Sequential as Sequential
from .composition import module as module
from .convolution import AvgPool as AvgPool
from .convolution import Conv1d as Conv1d
from .convolution import Conv2d as Conv2d
from .convolution import Conv3d as Conv3d
from .convolution import ConvTranspose1d as ConvTranspose1d
from .convolution import ConvTranspose2d as ConvTranspose2d
from .convolution import ConvTranspose3d as ConvTranspose3d
from .convolution import MaxPool as MaxPool
from .convolution import Pool as Pool
from .declaring import NetworkValue as NetworkValue
from .dense import MLP as MLP
from .dense import Embedding as Embedding
from .dense import Linear as Linear
from .dense import Monotone as Monotone
from .flows import IAF as IAF
from .flows import MAF as MAF
from .flows import Elementwise as Elementwise
from .flows import Mixing as Mixing
from .flows import Planar as Planar
from .flows import Radial as Radial
from .flows import RealNVP as RealNVP
from .flows import SplineCoupling as SplineCoupling
from .graphs import DeepSets as DeepSets
from .graphs import GraphConv as GraphConv
from .normalisation import GroupNorm as GroupNorm
from .normalisation import LayerNorm as LayerNorm
from .normalisation import RMSNorm as RMSNorm
from .recurrence import GRU as GRU
from .recurrence import LSTM as LSTM
from .recurrence import RNN as RNN
from .recurrence import GRUCell as GRUCell
from .recurrence import LSTMCell as LSTMCell
from .recurrence import RNNCell as RNNCell

__all__ = [
    "GRU",
    "IAF",
    "LSTM",
    "MAF",
    "MLP",
    "RNN",
    "Attention",
    "AttentionPool",
    "AvgPool",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "DeepSets",
    "Elementwise",
    "Embedding",
    "Flatten",
    "GRUCell",
    "GraphConv",
    "GroupNorm",
    "HyperNetwork",
    "HyperNetworkValue",
    "LSTMCell",
    "LayerNorm",
    "Linear",
    "MaxPool",
    "Mixing",
    "Monotone",
    "NetworkValue",
    "Planar",
    "Pool",
    "Positions",
    "RMSNorm",
    "RNNCell",
    "Radial",
    "RealNVP",
    "Reshape",
    "Residual",
    "Sequential",
    "SplineCoupling",
    "TransformerBlock",
    "module",
]
