"""Credo: declare a probabilistic model once, compile it to Pyro and to NumPyro.

This module is the public API: one explicit list, nothing computed.
"""

from . import errors as errors
from . import inference as inference
from .backend.comparison import agreement as agreement
from .backend.compiled import compile as compile
from .backend.ejection import eject as eject
from .inference.amortized import calibrate as calibrate
from .inference.gradient_report import gradient_report as gradient_report
from .inference.infer import infer as infer
from .language import dist as dist
from .language import nn as nn
from .language import ops as ops
from .language.arrays import spec as spec
from .language.foreign import external as external
from .language.model import model as model
from .language.plates import plate as plate
from .language.scans import scan as scan
from .language.sites import deterministic as deterministic
from .language.sites import factor as factor
from .language.sites import param as param
from .language.sites import sample as sample
from .posterior.bounds import log_evidence_bound as log_evidence_bound
from .posterior.latents import latent_report as latent_report
from .posterior.posterior import Posterior as Posterior
from .posterior.simulate import simulate as simulate
from .program.program import Program as Program

__version__ = "0.1.0"

__all__ = [
    "Posterior",
    "Program",
    "agreement",
    "calibrate",
    "compile",
    "deterministic",
    "dist",
    "eject",
    "errors",
    "external",
    "factor",
    "gradient_report",
    "infer",
    "inference",
    "latent_report",
    "log_evidence_bound",
    "model",
    "nn",
    "ops",
    "param",
    "plate",
    "sample",
    "scan",
    "simulate",
    "spec",
]
