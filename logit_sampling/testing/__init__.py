"""Certify a sampler, ours or anyone's: does it draw what it says, and nothing else?"""

from logit_sampling.testing.check import check_sampler
from logit_sampling.testing.report import Check, Report

__all__ = ["Check", "Report", "check_sampler"]
