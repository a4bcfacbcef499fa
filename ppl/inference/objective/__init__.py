"""Objectives: what variational inference maximises, in nats."""

from .elbo import ELBO as ELBO
from .elbo import IWELBO as IWELBO
from .elbo import Bound as Bound
from .elbo import Objective as Objective

__all__ = ["ELBO", "IWELBO", "Bound", "Objective"]
