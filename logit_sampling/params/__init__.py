"""Parameters by name, as other systems know them, to a chain of transforms."""

from logit_sampling.params.chain import chain_of
from logit_sampling.params.parameters import Bound, Parameter, Strategy
from logit_sampling.params.strategies import BY_SWITCH, NAMES, PARAMETERS, STRATEGIES
from logit_sampling.params.systems import SYSTEMS, System

__all__ = [
    "BY_SWITCH",
    "NAMES",
    "PARAMETERS",
    "STRATEGIES",
    "SYSTEMS",
    "Bound",
    "Parameter",
    "Strategy",
    "System",
    "chain_of",
]
