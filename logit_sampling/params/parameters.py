"""The parameters that users of other systems know, and the transform that each belongs to."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

ALL_TOKENS = 2**31 - 1
"""A count that no vocabulary and no history reaches."""

_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "empty": lambda value, _: len(value) == 0,
}


@dataclass(frozen=True)
class Bound:
    """Values on one side of a number: those that mean off, or that a system refuses."""

    sign: str
    number: Any = None

    def holds(self, value: Any) -> bool:
        """Tell whether one value lies there; False for what cannot be compared."""
        if self.number is not None and isinstance(value, bool) != isinstance(self.number, bool):
            return False
        try:
            return bool(_SIGNS[self.sign](value, self.number))
        except (TypeError, ValueError):
            return False

    def __str__(self) -> str:
        if self.number is None:
            return self.sign
        return f"{self.number}" if self.sign == "==" else f"{self.sign} {self.number}"


@dataclass(frozen=True)
class Parameter:
    """One setting.

    ``off`` are the values that leave the transform out, besides None. ``neutral`` is what stands
    for them in a row while other rows have a value; None if rows cannot differ. ``joins`` is for
    one that has several names in one system, whose ids are put together.
    """

    name: str
    off: Bound | None = None
    neutral: Any = None
    aliases: tuple[str, ...] = ()
    joins: bool = False
    read: Callable[[Any], Any] = lambda value: value


@dataclass(frozen=True)
class Strategy:
    """A transform and the parameters that its constructor takes; the first switches it on.

    ``presets`` are arguments for when nothing else is said. ``keeps_best`` says that the likeliest
    token stays the likeliest, so that it changes nothing before a greedy choice.
    """

    transform: str
    takes: Mapping[str, Parameter]
    presets: Mapping[str, Any] = field(default_factory=dict)
    keeps_best: bool = False

    @property
    def switch(self) -> Parameter:
        """The parameter that switches it on."""
        return next(iter(self.takes.values()))


def _greedy(do_sample: Any) -> float:
    """Return the temperature for ``do_sample``; True never gets here, it means off."""
    if do_sample is not False:
        raise ValueError(f"`do_sample` is True or False, got {do_sample!r}")
    return 0.0


_ZERO, _ONE, _EMPTY = Bound("==", 0), Bound("==", 1), Bound("empty")

_TEMPERATURE = Parameter("temperature", _ONE, neutral=1, aliases=("temp",))

STRATEGIES = (
    Strategy(
        "DynamicTemperature",
        {
            "range": Parameter("dynatemp_range", _ZERO, neutral=0),
            "temperature": _TEMPERATURE,
            "exponent": Parameter("dynatemp_exponent", aliases=("dynatemp_exp",)),
        },
        presets={"temperature": 1.0},
    ),
    Strategy("Temperature", {"temperature": _TEMPERATURE}),
    Strategy(
        "Temperature", {"temperature": Parameter("do_sample", Bound("==", True), read=_greedy)}
    ),
    Strategy("TopK", {"k": Parameter("top_k", _ZERO, neutral=ALL_TOKENS)}, keeps_best=True),
    Strategy("TopP", {"p": Parameter("top_p", _ONE, neutral=1)}, keeps_best=True),
    Strategy("MinP", {"p": Parameter("min_p", _ZERO, neutral=0)}, keeps_best=True),
    Strategy("Typical", {"p": Parameter("typical_p", _ONE, 1, ("typ_p", "typical"))}),
    Strategy("Epsilon", {"epsilon": Parameter("epsilon_cutoff", _ZERO, 0)}, keeps_best=True),
    Strategy("Eta", {"epsilon": Parameter("eta_cutoff", _ZERO, 0)}, keeps_best=True),
    Strategy("TopA", {"a": Parameter("top_a", _ZERO, neutral=0)}, keeps_best=True),
    Strategy(
        "TopNSigma",
        # As a float32 the neutral value reaches further than any deviation.
        {"n": Parameter("top_n_sigma", _ZERO, neutral=1e38, aliases=("top_nsigma",))},
        keeps_best=True,
    ),
    Strategy("TopH", {"h": Parameter("top_h", _ONE, neutral=1)}, keeps_best=True),
    Strategy("PLess", {"": Parameter("p_less", Bound("==", False))}, keeps_best=True),
    Strategy(
        "XTC",
        {
            "probability": Parameter("xtc_probability", _ZERO, neutral=0),
            "threshold": Parameter("xtc_threshold"),
            "protected": Parameter("xtc_special_tokens"),
        },
        presets={"threshold": 0.1},
    ),
    Strategy(
        "Mirostat",
        {
            "version": Parameter("mirostat", _ZERO),
            "tau": Parameter("mirostat_tau", aliases=("mirostat_ent",)),
            "eta": Parameter("mirostat_eta", aliases=("mirostat_lr",)),
        },
    ),
    Strategy(
        "AdaptiveP",
        {
            "target": Parameter("adaptive_target", Bound("<", 0)),
            "decay": Parameter("adaptive_decay"),
        },
    ),
)
"""Every strategy that parameters can ask for."""

BY_SWITCH = {strategy.switch.name: strategy for strategy in STRATEGIES}
"""The strategies by the name of the parameter that switches each on."""

PARAMETERS = {p.name: p for strategy in STRATEGIES for p in strategy.takes.values()}
"""Every parameter by its name."""

NAMES = {
    name: parameter
    for parameter in PARAMETERS.values()
    for name in (parameter.name, *parameter.aliases)
}
"""Every parameter by each of its names."""
