"""The strategies described, from what their classes say of themselves."""

from logit_sampling.catalogue.entries import Entry, Parameter, entries, find
from logit_sampling.catalogue.examples import EXAMPLES, ROW, worked

__all__ = ["EXAMPLES", "ROW", "Entry", "Parameter", "entries", "find", "worked"]
