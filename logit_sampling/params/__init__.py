"""Parameters by name, as other systems know them, to a chain of transforms."""

from logit_sampling.params.chain import chain_of
from logit_sampling.params.parameters import BY_SWITCH, PARAMETERS, STRATEGIES, Parameter, Strategy
from logit_sampling.params.systems import SYSTEMS, System

__all__ = [
    "BY_SWITCH",
    "PARAMETERS",
    "STRATEGIES",
    "SYSTEMS",
    "Parameter",
    "Strategy",
    "System",
    "chain_of",
]
