"""The truth guard: what a text states of money, shares, dates, times, gifts and addresses, and whether a source confirms it."""

from .check import claims, untraceable
from .claim import Claim

__all__ = ["Claim", "claims", "untraceable"]
