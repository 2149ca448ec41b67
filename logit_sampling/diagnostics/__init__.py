"""Logits or probabilities? What a model puts out, what its loss expects, and whether they agree."""

from logit_sampling.diagnostics.check import check_logits
from logit_sampling.diagnostics.report import LogitsReport
from logit_sampling.diagnostics.values import logits_from

__all__ = ["LogitsReport", "check_logits", "logits_from"]
