"""The parameters of all strategies, by their names."""

from logit_sampling.strategies.table import SETTINGS

BY_SWITCH = {strategy.switch.name: strategy for strategy in SETTINGS}
"""The strategies by the name of the parameter that switches each on."""

PARAMETERS = {p.name: p for strategy in SETTINGS for p in strategy.takes.values()}
"""Every parameter by its name."""

NAMES = {
    name: parameter
    for parameter in PARAMETERS.values()
    for name in (parameter.name, *parameter.aliases)
}
"""Every parameter by each of its names."""

BY_CLASS: dict[str, list[str]] = {}
"""The names of the parameters of each strategy, by that of its class in small letters."""
for _strategy in SETTINGS:
    BY_CLASS.setdefault(_strategy.transform.lower(), []).extend(
        parameter.name for parameter in _strategy.takes.values()
    )
