"""Parameters by name, as other systems know them, to a chain of transforms.

`Sampler.from_params` takes these, and by default applies them in this order; in parentheses stand
the names that other systems have for them. A value that means off leaves the transform out; in a
list with one value per row the others keep it, but for those that are on in all rows or in none.

What is known to be a setting of another system raises ValueError with its name or its place here;
one that is off there, such as num_beams=1, min_keep=0 or tfs=1, and None, may be passed.
"""

import textwrap

from logit_sampling.settings.chain import chain_of
from logit_sampling.settings.names import BY_SWITCH, NAMES, PARAMETERS, SETTINGS
from logit_sampling.settings.systems import SYSTEMS, System
from logit_sampling.strategies._settings import Bound, Parameter, Settings

__all__ = [
    "BY_SWITCH",
    "NAMES",
    "PARAMETERS",
    "SETTINGS",
    "SYSTEMS",
    "Bound",
    "Parameter",
    "Settings",
    "System",
    "chain_of",
]


def _page() -> str:
    """Return all parameters by strategy, from the table."""
    lines = []
    for own in SETTINGS:
        first, *others = (str(parameter) for parameter in own.takes.values())
        rows = own.switch.off is None or own.switch.off.sign == "empty" or own.switch.neutral
        first += "" if rows is not None else ", in all rows or in none"
        text = "; ".join([first, *(f"with {other}" for other in others)])
        lines.append(textwrap.fill(f"- {own.transform}: {text}.", 100, subsequent_indent="  "))
    return "\n".join(lines)


__doc__ = f"{__doc__}\n{_page()}\n"
