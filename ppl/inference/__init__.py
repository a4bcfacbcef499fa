"""Inference: methods as values, passed to `ppl.infer`."""

from .amortized import NPE as NPE
from .amortized import Calibration as Calibration
from .amortized import calibrate as calibrate
from .gradient import ARM as ARM
from .gradient import MVD as MVD
from .gradient import REBAR as REBAR
from .gradient import DisARM as DisARM
from .gradient import Enumerate as Enumerate
from .gradient import GumbelSoftmax as GumbelSoftmax
from .gradient import Learned as Learned
from .gradient import LeaveOneOut as LeaveOneOut
from .gradient import Reinforce as Reinforce
from .gradient import Reparam as Reparam
from .gradient import Running as Running
from .gradient import StraightThrough as StraightThrough
from .gradient_report import GradientReport as GradientReport
from .gradient_report import gradient_report as gradient_report
from .guide import AutoAmortized as AutoAmortized
from .guide import AutoDelta as AutoDelta
from .guide import AutoFlow as AutoFlow
from .guide import AutoMultivariateNormal as AutoMultivariateNormal
from .guide import AutoNormal as AutoNormal
from .importance import ImportanceSampling as ImportanceSampling
from .infer import infer as infer
from .mcmc import NUTS as NUTS
from .objective import CIWAE as CIWAE
from .objective import CUBO as CUBO
from .objective import ELBO as ELBO
from .objective import IWELBO as IWELBO
from .objective import MIWAE as MIWAE
from .objective import PIWAE as PIWAE
from .objective import VIS as VIS
from .objective import BetaELBO as BetaELBO
from .objective import CapacityELBO as CapacityELBO
from .objective import ForwardKL as ForwardKL
from .objective import Renyi as Renyi
from .objective import ReweightedWakeSleep as ReweightedWakeSleep
from .objective import SleepPhi as SleepPhi
from .objective import WakePhi as WakePhi
from .optimizers import SGD as SGD
from .optimizers import Adam as Adam
from .optimizers import AdamW as AdamW
from .optimizers import Alternate as Alternate
from .optimizers import RMSprop as RMSprop
from .optimizers import Schedule as Schedule
from .svi import SVI as SVI
from .svi import Plateau as Plateau

__all__ = [
    "ARM",
    "CIWAE",
    "CUBO",
    "ELBO",
    "IWELBO",
    "MIWAE",
    "MVD",
    "NPE",
    "NUTS",
    "PIWAE",
    "REBAR",
    "SGD",
    "SVI",
    "VIS",
    "Adam",
    "AdamW",
    "Alternate",
    "AutoAmortized",
    "AutoDelta",
    "AutoFlow",
    "AutoMultivariateNormal",
    "AutoNormal",
    "BetaELBO",
    "Calibration",
    "CapacityELBO",
    "DisARM",
    "Enumerate",
    "ForwardKL",
    "GradientReport",
    "GumbelSoftmax",
    "ImportanceSampling",
    "Learned",
    "LeaveOneOut",
    "Plateau",
    "RMSprop",
    "Reinforce",
    "Renyi",
    "Reparam",
    "ReweightedWakeSleep",
    "Running",
    "Schedule",
    "SleepPhi",
    "StraightThrough",
    "WakePhi",
    "calibrate",
    "gradient_report",
    "infer",
]
