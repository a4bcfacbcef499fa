"""Objectives as expressions: what variational inference maximises, in nats.

The shipped ones are written in the same words as a user's own: `particles`, `log_weight`, `mean`, `logmeanexp`, ...
"""

from .chi_square import CUBO as CUBO
from .chi_square import VIS as VIS
from .elbo import ELBO as ELBO
from .elbo import BetaELBO as BetaELBO
from .elbo import CapacityELBO as CapacityELBO
from .expression import Expression as Expression
from .expression import guide as guide
from .expression import model as model
from .expression import observed as observed
from .hierarchical import DIWHVI as DIWHVI
from .hierarchical import HVI as HVI
from .hierarchical import IWHVI as IWHVI
from .iwelbo import CIWAE as CIWAE
from .iwelbo import IWELBO as IWELBO
from .iwelbo import MIWAE as MIWAE
from .iwelbo import PIWAE as PIWAE
from .language import entropy as entropy
from .language import expect as expect
from .language import function as function
from .language import kl as kl
from .language import log_density as log_density
from .language import log_power_mean as log_power_mean
from .language import log_weight as log_weight
from .language import logmeanexp as logmeanexp
from .language import marginal as marginal
from .language import mean as mean
from .language import particles as particles
from .language import simulated as simulated
from .language import sir as sir
from .language import softmax as softmax
from .language import total as total
from .renyi import Renyi as Renyi
from .wake_sleep import ForwardKL as ForwardKL
from .wake_sleep import ReweightedWakeSleep as ReweightedWakeSleep
from .wake_sleep import SleepPhi as SleepPhi
from .wake_sleep import WakePhi as WakePhi

__all__ = [
    "CIWAE",
    "CUBO",
    "DIWHVI",
    "ELBO",
    "HVI",
    "IWELBO",
    "IWHVI",
    "MIWAE",
    "PIWAE",
    "VIS",
    "BetaELBO",
    "CapacityELBO",
    "Expression",
    "ForwardKL",
    "Renyi",
    "ReweightedWakeSleep",
    "SleepPhi",
    "WakePhi",
    "entropy",
    "expect",
    "function",
    "guide",
    "kl",
    "log_density",
    "log_power_mean",
    "log_weight",
    "logmeanexp",
    "marginal",
    "mean",
    "model",
    "observed",
    "particles",
    "simulated",
    "sir",
    "softmax",
    "total",
]
