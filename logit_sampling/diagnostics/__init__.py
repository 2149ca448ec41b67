"""Logits or probabilities? What a model puts out, what its loss expects, and whether they agree."""

from typing import TYPE_CHECKING, Any

from .check import check_logits
from .values import logits_from
from .verdict import LogitsReport

if TYPE_CHECKING:
    from .guard import LogitsGuard

__all__ = ["LogitsGuard", "LogitsReport", "check_logits", "logits_from"]


def __getattr__(name: str) -> Any:
    if name == "LogitsGuard":  # a class of Keras, which arrays do without
        from .guard import LogitsGuard

        return LogitsGuard
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
