"""Kernels of Gaussian processes; they add and multiply, with each other and with numbers."""

from .dot_products import Linear as Linear
from .dot_products import Polynomial as Polynomial
from .kernel import Constant as Constant
from .kernel import Kernel as Kernel
from .kernel import Product as Product
from .kernel import Sum as Sum
from .kernel import White as White
from .stationary import RBF as RBF
from .stationary import Matern12 as Matern12
from .stationary import Matern32 as Matern32
from .stationary import Matern52 as Matern52
from .stationary import Periodic as Periodic
from .stationary import RationalQuadratic as RationalQuadratic

__all__ = [
    "RBF",
    "Constant",
    "Kernel",
    "Linear",
    "Matern12",
    "Matern32",
    "Matern52",
    "Periodic",
    "Polynomial",
    "Product",
    "RationalQuadratic",
    "Sum",
    "White",
]
