"""The operations of a model, under the names of the Python array API and of scipy.special."""

from .arrangement import block_diag as block_diag
from .arrangement import broadcast_arrays as broadcast_arrays
from .arrangement import fill_tril as fill_tril
from .arrangement import meshgrid as meshgrid
from .arrangement import pad as pad
from .arrangement import ravel as ravel
from .arrangement import segment_mean as segment_mean
from .arrangement import segment_sum as segment_sum
from .arrangement import set_at as set_at
from .arrangement import sliding_window as sliding_window
from .arrangement import split as split
from .arrangement import toeplitz as toeplitz
from .arrangement import unstack as unstack
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
from .decompositions import cdist as cdist
from .decompositions import cross as cross
from .decompositions import eigh as eigh
from .decompositions import eigvalsh as eigvalsh
from .decompositions import expm as expm
from .decompositions import kron as kron
from .decompositions import matrix_power as matrix_power
from .decompositions import pinv as pinv
from .decompositions import qr as qr
from .decompositions import svd as svd
from .decompositions import svdvals as svdvals
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
from .elementwise import copysign as copysign
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
from .elementwise import isclose as isclose
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
from .elementwise import nan_to_num as nan_to_num
from .elementwise import negative as negative
from .elementwise import not_equal as not_equal
from .elementwise import positive as positive
from .elementwise import pow as pow
from .elementwise import reciprocal as reciprocal
from .elementwise import remainder as remainder
from .elementwise import round as round
from .elementwise import sign as sign
from .elementwise import sin as sin
from .elementwise import sinc as sinc
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
from .ordering import bincount as bincount
from .ordering import median as median
from .ordering import quantile as quantile
from .ordering import searchsorted as searchsorted
from .ordering import top_k as top_k
from .reductions import all as all
from .reductions import any as any
from .reductions import argmax as argmax
from .reductions import argmin as argmin
from .reductions import argsort as argsort
from .reductions import count_nonzero as count_nonzero
from .reductions import cummax as cummax
from .reductions import cummin as cummin
from .reductions import cumprod as cumprod
from .reductions import cumsum as cumsum
from .reductions import cumulative_prod as cumulative_prod
from .reductions import cumulative_sum as cumulative_sum
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
from .special import betainc as betainc
from .special import betaln as betaln
from .special import cumlogsumexp as cumlogsumexp
from .special import digamma as digamma
from .special import elu as elu
from .special import entr as entr
from .special import erf as erf
from .special import erfc as erfc
from .special import erfcx as erfcx
from .special import erfinv as erfinv
from .special import expit as expit
from .special import gammainc as gammainc
from .special import gammaincc as gammaincc
from .special import gammaln as gammaln
from .special import gelu as gelu
from .special import i0 as i0
from .special import i0e as i0e
from .special import i1 as i1
from .special import i1e as i1e
from .special import leaky_relu as leaky_relu
from .special import lgamma as lgamma
from .special import log1mexp as log1mexp
from .special import log_binomial as log_binomial
from .special import log_ndtr as log_ndtr
from .special import log_sigmoid as log_sigmoid
from .special import log_softmax as log_softmax
from .special import logdiffexp as logdiffexp
from .special import logit as logit
from .special import logsumexp as logsumexp
from .special import multigammaln as multigammaln
from .special import ndtr as ndtr
from .special import ndtri as ndtri
from .special import polygamma as polygamma
from .special import rel_entr as rel_entr
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
    "betainc",
    "betaln",
    "bincount",
    "block_diag",
    "broadcast_arrays",
    "broadcast_to",
    "cdist",
    "ceil",
    "cholesky",
    "cholesky_solve",
    "clip",
    "concat",
    "copysign",
    "cos",
    "cosh",
    "count_nonzero",
    "cross",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "cumulative_prod",
    "cumulative_sum",
    "det",
    "diag",
    "diag_embed",
    "diagonal",
    "diff",
    "digamma",
    "divide",
    "eigh",
    "eigvalsh",
    "einsum",
    "elu",
    "entr",
    "equal",
    "erf",
    "erfc",
    "erfcx",
    "erfinv",
    "exp",
    "expand_dims",
    "expit",
    "expm",
    "expm1",
    "eye",
    "fill_tril",
    "flip",
    "floor",
    "floor_divide",
    "full",
    "full_like",
    "gammainc",
    "gammaincc",
    "gammaln",
    "gelu",
    "greater",
    "greater_equal",
    "hypot",
    "i0",
    "i0e",
    "i1",
    "i1e",
    "inv",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "kron",
    "leaky_relu",
    "less",
    "less_equal",
    "lgamma",
    "linspace",
    "log",
    "log1mexp",
    "log1p",
    "log2",
    "log10",
    "log_binomial",
    "log_ndtr",
    "log_sigmoid",
    "log_softmax",
    "logaddexp",
    "logdet",
    "logdiffexp",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "logit",
    "logsumexp",
    "matmul",
    "matrix_power",
    "matrix_transpose",
    "max",
    "maximum",
    "mean",
    "median",
    "meshgrid",
    "min",
    "minimum",
    "moveaxis",
    "multigammaln",
    "multiply",
    "nan_to_num",
    "ndtr",
    "ndtri",
    "negative",
    "norm",
    "not_equal",
    "one_hot",
    "ones",
    "ones_like",
    "outer",
    "pad",
    "permute_dims",
    "pinv",
    "polygamma",
    "positive",
    "pow",
    "prod",
    "qr",
    "quadratic_form",
    "quantile",
    "ravel",
    "reciprocal",
    "rel_entr",
    "relu",
    "remainder",
    "repeat",
    "reshape",
    "roll",
    "round",
    "searchsorted",
    "segment_mean",
    "segment_sum",
    "set_at",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinc",
    "sinh",
    "sliding_window",
    "slogdet",
    "softmax",
    "softplus",
    "softplus_inverse",
    "solve",
    "solve_triangular",
    "sort",
    "split",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "std",
    "stop_gradient",
    "subtract",
    "sum",
    "svd",
    "svdvals",
    "swapaxes",
    "take",
    "take_along_axis",
    "tan",
    "tanh",
    "tensordot",
    "tile",
    "toeplitz",
    "top_k",
    "trace",
    "tril",
    "triu",
    "trunc",
    "unstack",
    "var",
    "vecdot",
    "where",
    "xlog1py",
    "xlogy",
    "zeros",
    "zeros_like",
]
