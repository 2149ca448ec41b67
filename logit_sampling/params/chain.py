"""From parameters by name to the transforms of a chain."""

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np

from logit_sampling.params.elsewhere import ELSEWHERE
from logit_sampling.params.parameters import Parameter, Strategy
from logit_sampling.params.strategies import BY_SWITCH, NAMES, PARAMETERS
from logit_sampling.params.systems import SYSTEMS, System
from logit_sampling.transforms.base import Transform


def chain_of(
    given: Mapping[str, Any], order: str = "default", defaults: bool = False, surplus: bool = False
) -> list[Any]:
    """Return the transforms for ``given`` parameters, in the order of a system.

    Args:
        given: values by name; None counts as not given.
        order: which system's chain, a key of ``SYSTEMS``.
        defaults: whether what that system has on by default acts where nothing is given.
        surplus: whether parameters without effect are passed over.

    Raises:
        ValueError: an unknown name, one without effect, or a value out of range.
    """
    if order not in SYSTEMS:
        raise ValueError(f"`order` is one of {', '.join(map(repr, SYSTEMS))}; got {order!r}")
    system = SYSTEMS[order]
    passed, spelled = _by_parameter(given, order)
    values = _read({**(system.defaults if defaults else {}), **passed}, order)
    on = {name: v for name, v in values.items() if not _is_off(name, v, system)}
    acting, idle = _acting(on, system)
    chain, used = [], set(acting)
    for switch in acting:
        strategy = BY_SWITCH[switch]
        taken = {arg: p.name for arg, p in strategy.takes.items() if p.name in values}
        arguments = {arg: _in_rows(name, values[name], system) for arg, name in taken.items()}
        chain.append(_build(strategy, arguments, system))
        used.update(taken.values())
    for name in passed:
        if name in on and name not in used and not surplus:
            raise ValueError(f"`{spelled[name]}` has no effect {_why(name, on, idle, system)}")
    return chain


def _by_parameter(given: Mapping[str, Any], order: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values by the names of the table, without None, and how each name was spelled."""
    values: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for name, value in given.items():
        if name not in NAMES:
            raise ValueError(_unknown(name))
        parameter = NAMES[name]
        if not SYSTEMS[order].knows(parameter.name):
            knowing = [repr(o) for o, system in SYSTEMS.items() if system.knows(parameter.name)]
            raise ValueError(
                f"`{name}` is unknown to order={order!r}, only to {', '.join(knowing)}"
            )
        if value is None:
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


def _unknown(name: str) -> str:
    if name in ELSEWHERE:
        return f"`{name}` is no parameter of a sampler: {ELSEWHERE[name]}"
    close = difflib.get_close_matches(name, NAMES, n=1, cutoff=0.5)
    hint = f"; did you mean `{close[0]}`?" if close else f"; known: {', '.join(sorted(NAMES))}"
    return f"unknown parameter `{name}`{hint}"


def _read(values: Mapping[str, Any], order: str) -> dict[str, Any]:
    """Return the values as the system takes them, or raise ValueError for what it refuses."""
    system = SYSTEMS[order]
    for refusal in system.refuses:
        for value in _rows(refusal.parameter, values.get(refusal.parameter)):
            if refusal.values.holds(value):
                raise ValueError(
                    f"order={order!r} has no `{refusal.parameter}` of {value!r}; {refusal.instead}"
                )
    read = {}
    for name, value in values.items():
        convert = system.reads.get(name)
        if convert is not None and all(_is_number(v) for v in _rows(name, value)):
            value = [convert(v) for v in value] if _has_rows(name, value) else convert(value)
        read[name] = value
    return read


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _has_rows(name: str, value: Any) -> bool:
    return PARAMETERS[name].neutral is not None and np.ndim(value) == 1 and len(value) > 0


def _rows(name: str, value: Any) -> list[Any]:
    """Return the value of each row, or the one for all."""
    return list(value) if _has_rows(name, value) else [value]


def _off(name: str, system: System) -> Any:
    return system.off.get(name, PARAMETERS[name].off) if name in PARAMETERS else None


def _is_off(name: str, value: Any, system: System) -> bool:
    off = _off(name, system)
    return off is not None and all(off.holds(v) for v in _rows(name, value))


def _in_rows(name: str, value: Any, system: System) -> Any:
    """Return the value for a constructor: where one row is off, what does nothing there."""
    parameter, off = PARAMETERS[name], _off(name, system)
    if off is None or not _has_rows(name, value):
        return parameter.read(value)
    return [parameter.neutral if off.holds(v) else v for v in value]


def _acting(on: Mapping[str, Any], system: System) -> tuple[list[str], dict[str, str]]:
    """Return the strategies that act, in order, and for the others the reason why not."""
    acting = [switch for switch in system.chain if switch in on]
    idle: dict[str, str] = {}
    for switch in reversed(acting):
        if switch not in idle:
            replaced = system.replaces.get(switch, ())
            idle |= dict.fromkeys(replaced, f"because of {switch}={on[switch]!r}")
    acting = [switch for switch in acting if switch not in idle]
    greedy = [s for s in acting if s == "temperature" and not np.any(on[s])]
    if greedy:
        place = acting.index("temperature")
        before, after = acting[:place], acting[place + 1 :]
        while before and BY_SWITCH[before[-1]].keeps_best:
            after.append(before.pop())
        reason = "because temperature=0 takes the likeliest token"
        return [*before, "temperature"], idle | dict.fromkeys(after, reason)
    return acting, idle


def _build(strategy: Strategy, arguments: dict[str, Any], system: System) -> Transform:
    for argument in strategy.needs:
        if argument not in arguments:
            needed = _names(strategy.takes[argument])
            raise ValueError(f"`{strategy.switch.name}` needs `{needed}`")
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
