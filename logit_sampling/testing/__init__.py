"""Certify a sampler, ours or anyone's: does it draw what it says, and nothing else?"""

from logit_sampling.testing.check import check_sampler
from logit_sampling.testing.history import check_history
from logit_sampling.testing.per_row import check_per_row
from logit_sampling.testing.report import Check, Report
from logit_sampling.testing.speculative import check_speculative

__all__ = [
    "Check",
    "Report",
    "check_history",
    "check_per_row",
    "check_sampler",
    "check_speculative",
]
