"""The operations of a model, under the names of the Python array API and of scipy.special."""

from .creation import arange as arange
from .creation import asarray as asarray
from .creation import eye as eye
from .creation import full as full
from .creation import full_like as full_like
from .creation import linspace as linspace
from .creation import ones as ones
from .creation import ones_like as ones_like
from .creation import zeros as zeros
from .creation import zeros_like as zeros_like
from .elementwise import abs as abs
from .elementwise import acos as acos
from .elementwise import acosh as acosh
from .elementwise import add as add
from .elementwise import asin as asin
from .elementwise import asinh as asinh
from .elementwise import astype as astype
from .elementwise import atan as atan
from .elementwise import atan2 as atan2
from .elementwise import atanh as atanh
from .elementwise import ceil as ceil
from .elementwise import clip as clip
from .elementwise import cos as cos
from .elementwise import cosh as cosh
from .elementwise import divide as divide
from .elementwise import equal as equal
from .elementwise import exp as exp
from .elementwise import expm1 as expm1
from .elementwise import floor as floor
from .elementwise import floor_divide as floor_divide
from .elementwise import greater as greater
from .elementwise import greater_equal as greater_equal
from .elementwise import hypot as hypot
from .elementwise import isfinite as isfinite
from .elementwise import isinf as isinf
from .elementwise import isnan as isnan
from .elementwise import less as less
from .elementwise import less_equal as less_equal
from .elementwise import log as log
from .elementwise import log1p as log1p
from .elementwise import log2 as log2
from .elementwise import log10 as log10
from .elementwise import logaddexp as logaddexp
from .elementwise import logical_and as logical_and
from .elementwise import logical_not as logical_not
from .elementwise import logical_or as logical_or
from .elementwise import logical_xor as logical_xor
from .elementwise import maximum as maximum
from .elementwise import minimum as minimum
from .elementwise import multiply as multiply
from .elementwise import negative as negative
from .elementwise import not_equal as not_equal
from .elementwise import positive as positive
from .elementwise import pow as pow
from .elementwise import reciprocal as reciprocal
from .elementwise import remainder as remainder
from .elementwise import round as round
from .elementwise import sign as sign
from .elementwise import sin as sin
from .elementwise import sinh as sinh
from .elementwise import sqrt as sqrt
from .elementwise import square as square
from .elementwise import stop_gradient as stop_gradient
from .elementwise import subtract as subtract
from .elementwise import tan as tan
from .elementwise import tanh as tanh
from .elementwise import trunc as trunc
from .elementwise import where as where
from .linalg import cholesky as cholesky
from .linalg import cholesky_solve as cholesky_solve
from .linalg import det as det
from .linalg import einsum as einsum
from .linalg import inv as inv
from .linalg import logdet as logdet
from .linalg import matmul as matmul
from .linalg import norm as norm
from .linalg import outer as outer
from .linalg import quadratic_form as quadratic_form
from .linalg import slogdet as slogdet
from .linalg import solve as solve
from .linalg import solve_triangular as solve_triangular
from .linalg import tensordot as tensordot
from .linalg import trace as trace
from .linalg import vecdot as vecdot
from .reductions import all as all
from .reductions import any as any
from .reductions import argmax as argmax
from .reductions import argmin as argmin
from .reductions import argsort as argsort
from .reductions import count_nonzero as count_nonzero
from .reductions import cumprod as cumprod
from .reductions import cumsum as cumsum
from .reductions import diff as diff
from .reductions import max as max
from .reductions import mean as mean
from .reductions import min as min
from .reductions import prod as prod
from .reductions import sort as sort
from .reductions import std as std
from .reductions import sum as sum
from .reductions import var as var
from .shapes import broadcast_to as broadcast_to
from .shapes import concat as concat
from .shapes import diag as diag
from .shapes import diag_embed as diag_embed
from .shapes import diagonal as diagonal
from .shapes import expand_dims as expand_dims
from .shapes import flip as flip
from .shapes import matrix_transpose as matrix_transpose
from .shapes import moveaxis as moveaxis
from .shapes import one_hot as one_hot
from .shapes import permute_dims as permute_dims
from .shapes import repeat as repeat
from .shapes import reshape as reshape
from .shapes import roll as roll
from .shapes import squeeze as squeeze
from .shapes import stack as stack
from .shapes import swapaxes as swapaxes
from .shapes import take as take
from .shapes import take_along_axis as take_along_axis
from .shapes import tile as tile
from .shapes import tril as tril
from .shapes import triu as triu
from .special import betaln as betaln
from .special import digamma as digamma
from .special import elu as elu
from .special import erf as erf
from .special import erfc as erfc
from .special import erfinv as erfinv
from .special import expit as expit
from .special import gammainc as gammainc
from .special import gelu as gelu
from .special import i0e as i0e
from .special import i1e as i1e
from .special import leaky_relu as leaky_relu
from .special import lgamma as lgamma
from .special import log_ndtr as log_ndtr
from .special import log_sigmoid as log_sigmoid
from .special import log_softmax as log_softmax
from .special import logit as logit
from .special import logsumexp as logsumexp
from .special import multigammaln as multigammaln
from .special import ndtr as ndtr
from .special import ndtri as ndtri
from .special import relu as relu
from .special import sigmoid as sigmoid
from .special import silu as silu
from .special import softmax as softmax
from .special import softplus as softplus
from .special import softplus_inverse as softplus_inverse
from .special import xlog1py as xlog1py
from .special import xlogy as xlogy

__all__ = [
    "abs",
    "acos",
    "acosh",
    "add",
    "all",
    "any",
    "arange",
    "argmax",
    "argmin",
    "argsort",
    "asarray",
    "asin",
    "asinh",
    "astype",
    "atan",
    "atan2",
    "atanh",
    "betaln",
    "broadcast_to",
    "ceil",
    "cholesky",
    "cholesky_solve",
    "clip",
    "concat",
    "cos",
    "cosh",
    "count_nonzero",
    "cumprod",
    "cumsum",
    "det",
    "diag",
    "diag_embed",
    "diagonal",
    "diff",
    "digamma",
    "divide",
    "einsum",
    "elu",
    "equal",
    "erf",
    "erfc",
    "erfinv",
    "exp",
    "expand_dims",
    "expit",
    "expm1",
    "eye",
    "flip",
    "floor",
    "floor_divide",
    "full",
    "full_like",
    "gammainc",
    "gelu",
    "greater",
    "greater_equal",
    "hypot",
    "i0e",
    "i1e",
    "inv",
    "isfinite",
    "isinf",
    "isnan",
    "leaky_relu",
    "less",
    "less_equal",
    "lgamma",
    "linspace",
    "log",
    "log1p",
    "log2",
    "log10",
    "log_ndtr",
    "log_sigmoid",
    "log_softmax",
    "logaddexp",
    "logdet",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logit",
    "logsumexp",
    "matmul",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "multigammaln",
    "multiply",
    "ndtr",
    "ndtri",
    "negative",
    "norm",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "outer",
    "permute_dims",
    "positive",
    "pow",
    "prod",
    "quadratic_form",
    "reciprocal",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "roll",
    "round",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinh",
    "slogdet",
    "softmax",
    "softplus",
    "softplus_inverse",
    "solve",
    "solve_triangular",
    "sort",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "subtract",
    "sum",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "trace",
    "tril",
    "triu",
    "trunc",
    "var",
    "vecdot",
    "where",
    "xlog1py",
    "xlogy",
    "zeros",
    "zeros_like",
]
