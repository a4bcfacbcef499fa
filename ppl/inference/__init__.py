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
from .gradient import VectorQuantized as VectorQuantized
from .gradient_report import GradientReport as GradientReport
from .gradient_report import gradient_report as gradient_report
from .guide import AutoAmortized as AutoAmortized
from .guide import AutoDelta as AutoDelta
from .guide import AutoFlow as AutoFlow
from .guide import AutoLowRank as AutoLowRank
from .guide import AutoMultivariateNormal as AutoMultivariateNormal
from .guide import AutoNormal as AutoNormal
from .importance import ImportanceSampling as ImportanceSampling
from .infer import infer as infer
from .mcmc import NUTS as NUTS
from .natural import IVON as IVON
from .natural import NaturalGradient as NaturalGradient
from .objective import CIWAE as CIWAE
from .objective import CUBO as CUBO
from .objective import DIWHVI as DIWHVI
from .objective import ELBO as ELBO
from .objective import HVI as HVI
from .objective import IWELBO as IWELBO
from .objective import IWHVI as IWHVI
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
from .optimizers import EMA as EMA
from .optimizers import SGD as SGD
from .optimizers import Adam as Adam
from .optimizers import AdamW as AdamW
from .optimizers import Alternate as Alternate
from .optimizers import RMSprop as RMSprop
from .optimizers import Schedule as Schedule
from .schedules import Cyclic as Cyclic
from .schedules import Joined as Joined
from .schedules import Ramp as Ramp
from .svi import SVI as SVI
from .svi import Plateau as Plateau

__all__ = [
    "ARM",
    "CIWAE",
    "CUBO",
    "DIWHVI",
    "ELBO",
    "EMA",
    "HVI",
    "IVON",
    "IWELBO",
    "IWHVI",
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
    "AutoLowRank",
    "AutoMultivariateNormal",
    "AutoNormal",
    "BetaELBO",
    "Calibration",
    "CapacityELBO",
    "Cyclic",
    "DisARM",
    "Enumerate",
    "ForwardKL",
    "GradientReport",
    "GumbelSoftmax",
    "ImportanceSampling",
    "Joined",
    "Learned",
    "LeaveOneOut",
    "NaturalGradient",
    "Plateau",
    "RMSprop",
    "Ramp",
    "Reinforce",
    "Renyi",
    "Reparam",
    "ReweightedWakeSleep",
    "Running",
    "Schedule",
    "SleepPhi",
    "StraightThrough",
    "VectorQuantized",
    "WakePhi",
    "calibrate",
    "gradient_report",
    "infer",
]
