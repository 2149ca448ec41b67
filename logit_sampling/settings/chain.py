"""From parameters by name to the transforms of a chain."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import holds_symbolic, is_symbolic, to_numpy
from logit_sampling.settings.elsewhere import ELSEWHERE, ORDERS, closest, does_nothing, explained
from logit_sampling.settings.names import BY_SWITCH, NAMES, PARAMETERS
from logit_sampling.settings.systems import SYSTEMS, System
from logit_sampling.strategies._settings import Bound, Parameter, Settings
from logit_sampling.strategies.transform import Transform

WRITTEN = "written"
"""The order in which the settings stand."""


def chain_of(
    given: Mapping[str, Any], order: str = "default", defaults: bool = False, surplus: bool = False
) -> list[Any]:
    """Return the transforms for `given` parameters, in the order of a system.

    Args:
        given: values by name; None counts as not given.
        order: which system's chain, a key of `SYSTEMS`; or "written", the default one's strategies
            in the order in which `given` switches them on.
        defaults: whether what that system has on by default acts where nothing is given.
        surplus: whether parameters without effect are passed over.

    Raises:
        ValueError: an unknown name, one without effect, or a value out of range.
    """
    system = _system(order, given)
    passed, spelled = _by_parameter(given, order, system)
    values = _read({**(system.defaults if defaults else {}), **passed}, order, system)
    on = {name: v for name, v in values.items() if not all(_offs(name, v, system))}
    acting, idle = _acting(on, system)
    chain, used = [], set(acting)
    for switch in acting:
        strategy = BY_SWITCH[switch]
        arguments = _arguments(strategy, values, system)
        if arguments is not None:
            chain.append(_build(strategy, arguments, system))
        used.update(parameter.name for parameter in strategy.takes.values())
    for name in passed:
        if name in on and name not in used and not surplus:
            raise ValueError(f"`{spelled[name]}` has no effect {_why(name, on, idle, system)}")
    return chain


def _system(order: Any, given: Mapping[str, Any]) -> System:
    if isinstance(order, str) and order in SYSTEMS:
        return SYSTEMS[order]
    if order == WRITTEN:
        default = SYSTEMS["default"]
        named = [NAMES[name].name for name in given if name in NAMES]
        switched = [name for name in named if name in default.chain]
        return replace(default, chain=tuple(dict.fromkeys([*switched, *default.chain])))
    message = f"`order` is one of {', '.join(map(repr, [*SYSTEMS, WRITTEN]))}; got {order!r}"
    if not isinstance(order, str):
        raise ValueError(f"{message}; for one of your own {ELSEWHERE['samplers']}")
    guess = closest(order, [*SYSTEMS, WRITTEN], cutoff=0.7)
    hint = ORDERS.get(order.lower(), f"did you mean {guess!r}?" if guess else "")
    raise ValueError(f"{message}{hint and '; '}{hint}")


def _by_parameter(
    given: Mapping[str, Any], order: str, system: System
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values by the names of the table, without None, and how each name was spelled."""
    values: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for name, value in given.items():
        if name not in NAMES and not does_nothing(name, value):
            raise ValueError(explained(name, NAMES))
        if name not in NAMES or value is None:
            continue
        parameter = NAMES[name]
        if not system.knows(parameter.name):
            knowing = [repr(o) for o, system in SYSTEMS.items() if system.knows(parameter.name)]
            raise ValueError(
                f"`{name}` is unknown to order={order!r}, known only to {', '.join(knowing)}"
            )
        if holds_symbolic(value):
            value = _in_graph(parameter, value, order, system)
        if parameter.joins and not np.size(value):  # no ids are as good as none given
            continue
        if parameter.name in values and not parameter.joins:
            raise ValueError(
                f"`{spelled[parameter.name]}` and `{name}` are one parameter; give one"
            )
        spelled[parameter.name] = name
        if parameter.joins:
            value = [*values.get(parameter.name, ()), *np.atleast_1d(value).tolist()]
        values[parameter.name] = value
    return values, spelled


def _in_graph(parameter: Parameter, value: Any, order: str, system: System) -> Any:
    """Return a tensor of a graph: what does nothing for off, what is out of range for refused.

    Raises:
        ValueError: its values would decide about more than its own transform.
    """
    name = parameter.name
    off = system.off.get(name, parameter.off)
    known = off is not None and (parameter.neutral is None or name not in BY_SWITCH)
    if known or parameter.joins or name in system.reads:
        raise ValueError(
            f"order={order!r} needs `{name}` in numbers to build its chain, and a tensor of a "
            "graph that is being traced holds none yet; construct the transforms yourself, such as "
            "ls.Sampler(ls.Temperature(t), ls.TopP(p))"
        )
    refused = [refusal.values for refusal in system.refuses if refusal.parameter == name]
    if (off is None and not refused) or isinstance(value, Mapping):
        return value
    from keras import ops

    from logit_sampling.distribution import tensors
    from logit_sampling.distribution.search import wide

    given = tensors.symbol(value).tensor
    none: float = -1
    if "float" in tensors.kind_of(given):
        given, none = ops.cast(given, wide()), np.nan
    tensor = given if off is None else ops.where(off.among(given), parameter.neutral, given)
    for values in refused:
        tensor = ops.where(values.among(given), none, tensor)
    return tensor


class _Rows(list):
    """The values of a parameter, one for each row."""


def _in_rows(name: str, value: Any) -> Any:
    """Return a value, as `_Rows` if it is one number for each row."""
    off = PARAMETERS[name].off
    if off is None or not isinstance(off.number, int | float) or is_symbolic(value):
        return value  # no list of numbers
    listed = value if isinstance(value, list | tuple) else None
    if getattr(value, "ndim", 0) == 1:
        listed = to_numpy(value).tolist()
    return _Rows(listed) if listed else value


def _each(value: Any) -> list[Any]:
    """Return the value of each row, or the one for all."""
    return value if isinstance(value, _Rows) else [value]


def _read(values: Mapping[str, Any], order: str, system: System) -> dict[str, Any]:
    """Return the values as the system takes them, or raise ValueError for what it refuses."""
    read = {name: _in_rows(name, value) for name, value in values.items()}
    for refusal in system.refuses:
        for value in _each(read.get(refusal.parameter)):
            if refusal.values.holds(value):
                raise ValueError(
                    f"order={order!r} has no `{refusal.parameter}` of {value!r}; {refusal.instead}"
                )
    for name, convert in system.reads.items():
        if name in read and all(map(_is_number, _each(read[name]))):
            rows = _Rows(map(convert, _each(read[name])))
            read[name] = rows if isinstance(read[name], _Rows) else rows[0]
    return read


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _offs(name: str, value: Any, system: System) -> list[bool]:
    """Tell whether a value means off, for each row or once for all."""
    off = system.off.get(name, PARAMETERS[name].off)
    return [off is not None and off.holds(v) for v in _each(value)]


def _arguments(
    strategy: Settings, values: Mapping[str, Any], system: System
) -> dict[str, Any] | None:
    """Return the arguments of a constructor, or None if the strategy is off in all rows.

    It is off in a row where its switch is, or another parameter, but one that is the switch of a
    strategy of its own; there the arguments are those that do nothing.
    """
    taken = {arg: p for arg, p in strategy.takes.items() if p.name in values}
    offs = {
        p.name: _offs(p.name, values[p.name], system)
        for p in taken.values()
        if p is strategy.switch or p.name not in BY_SWITCH
    }
    rows = max(map(len, offs.values()))
    counts = {name: len(off) for name, off in offs.items() if len(off) not in (1, rows)}
    if counts:
        raise ValueError(
            f"there are values for {rows} rows, but `{next(iter(counts))}` has "
            f"{next(iter(counts.values()))}; give one value, or one per row"
        )

    def per_row(given: list[Any]) -> list[Any]:
        return given if len(given) == rows else given * rows

    ended = [any(own) for own in zip(*map(per_row, offs.values()), strict=True)]
    if all(ended):
        return None
    arguments = {}
    for argument, parameter in taken.items():
        value = values[parameter.name]
        off = ended if parameter is strategy.switch else offs.get(parameter.name, [False])
        if any(off) and parameter.neutral is None:
            raise ValueError(
                f"`{parameter.name}` of {value!r} is off in some rows and not in others, which one "
                "chain cannot be; give those rows a sampler of their own"
            )
        if any(off):
            own = zip(per_row(_each(value)), per_row(off), strict=True)
            value = [parameter.neutral if is_off else v for v, is_off in own]
        arguments[argument] = parameter.read(value)
    return arguments


def _acting(on: Mapping[str, Any], system: System) -> tuple[list[str], dict[str, str]]:
    """Return the strategies that act, in order, and for the others the reason why not."""
    acting = [switch for switch in system.chain if switch in on]
    idle: dict[str, str] = {}
    for switch in reversed(acting):
        if switch not in idle:
            replaced = system.replaces.get(switch, ())
            idle |= dict.fromkeys(replaced, f"because of {switch}={on[switch]!r}")
    acting = [switch for switch in acting if switch not in idle]
    if "temperature" in acting and all(map(Bound("==", 0).holds, _each(on["temperature"]))):
        place = acting.index("temperature")
        before, after = acting[:place], acting[place + 1 :]
        while before and BY_SWITCH[before[-1]].keeps_best:
            after.append(before.pop())
        reason = "because temperature=0 takes the likeliest token"
        return [*before, "temperature"], idle | dict.fromkeys(after, reason)
    return acting, idle


def _build(strategy: Settings, arguments: dict[str, Any], system: System) -> Transform:
    for argument in strategy.needs:
        if argument not in arguments:
            needed = _names(strategy.takes[argument])
            switch = strategy.switch.name
            raise ValueError(f"`{switch}` needs `{needed}`: give it too, or {switch}=None")
    presets = {**strategy.presets, **system.presets.get(strategy.switch.name, {})}
    return Transform.called(strategy.transform)(**(presets | strategy.make(arguments)))


def _names(parameter: Parameter) -> str:
    return "` or `".join((parameter.name, *parameter.aliases))


def _why(name: str, on: Mapping[str, Any], idle: Mapping[str, str], system: System) -> str:
    """Return the reason why a parameter has no effect."""
    takers = [
        switch
        for switch in system.chain
        if any(p.name == name for p in BY_SWITCH[switch].takes.values())
    ]
    for switch in takers:
        if switch in idle and switch in on:
            return idle[switch]
    return f"without `{'` or `'.join(takers)}`"
