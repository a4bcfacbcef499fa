"""Inference that is learned once and asked often, and calibration of any method by simulation."""

from .calibration import Calibration as Calibration
from .calibration import calibrate as calibrate
from .npe import NPE as NPE

__all__ = ["NPE", "Calibration", "calibrate"]
