"""Markov chain Monte Carlo."""

from .nuts import NUTS as NUTS

__all__ = ["NUTS"]
