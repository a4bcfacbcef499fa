"""Inference: methods as values, passed to `ppl.infer`."""

from .guide import AutoDelta as AutoDelta
from .guide import AutoFlow as AutoFlow
from .guide import AutoMultivariateNormal as AutoMultivariateNormal
from .guide import AutoNormal as AutoNormal
from .importance import ImportanceSampling as ImportanceSampling
from .infer import infer as infer
from .mcmc import NUTS as NUTS
from .objective import ELBO as ELBO
from .objective import IWELBO as IWELBO
from .optimizers import SGD as SGD
from .optimizers import Adam as Adam
from .optimizers import AdamW as AdamW
from .optimizers import RMSprop as RMSprop
from .optimizers import Schedule as Schedule
from .svi import SVI as SVI
from .svi import Plateau as Plateau

__all__ = [
    "ELBO",
    "IWELBO",
    "NUTS",
    "SGD",
    "SVI",
    "Adam",
    "AdamW",
    "AutoDelta",
    "AutoFlow",
    "AutoMultivariateNormal",
    "AutoNormal",
    "ImportanceSampling",
    "Plateau",
    "RMSprop",
    "Schedule",
    "infer",
]
