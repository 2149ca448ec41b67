"""Logits or probabilities? What a model puts out, what its loss expects, and whether they agree."""

from .check import check_logits
from .report import LogitsReport
from .values import logits_from

__all__ = ["LogitsReport", "check_logits", "logits_from"]
