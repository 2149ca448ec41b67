"""Many samplers at once: sweeps of settings, and files that list samplers."""

import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

MOST = 1000  # samplers of a sweep: more are a slip of the step
_RANGE = re.compile(r"([\w.-]+)\s*=\s*([^\s,:\[\]]+):([^\s,:]+):([^\s,:]+)")
_LIST = re.compile(r"([\w.-]+)\s*=\s*(\[[^\]]*\])")


class Swept(list[str]):
    """Lines of samplers, and what a sweep set in each.

    Attributes:
        settings: by the line, the settings that differ.
    """

    def __init__(self, lines: Iterable[str] = (), settings: Any = None) -> None:
        super().__init__(lines)
        self.settings: dict[str, dict[str, float]] = dict(settings or {})


def swept(*sweeps: str) -> Swept:
    """Return the samplers of a grid, as lines.

    A sweep is a line as `Sampler.parse` takes it, in which a value may be a range with both ends,
    `start:stop:step`, or a list, `[0.5, 1]`. All sweeps together are one line, and each value of
    one setting goes with each of the others.

    Args:
        sweeps: the lines.

    Raises:
        ValueError: none of the values is a range or a list, or one cannot be read; a setting that
            is there twice; more than 1,000 samplers.

    >>> swept("temperature=0.5:1:0.25 min_p=0.1")
    ['temperature=0.5 min_p=0.1', 'temperature=0.75 min_p=0.1', 'temperature=1 min_p=0.1']
    >>> swept("temperature=[0.5, 1]", "top_k=[5, 10]").settings["temperature=1 top_k=5"]
    {'temperature': 1, 'top_k': 5}
    """
    line, axes = " ".join(" ".join(sweeps).split()), []
    ranges = [(found[1], found[0], _range(found)) for found in _RANGE.finditer(line)]
    lists = [(found[1], found[0], _list(found)) for found in _LIST.finditer(line)]
    if not ranges and not lists:
        raise ValueError(
            f"the sweep {line!r} has nothing to sweep: write a range, such as "
            "temperature=0.5:1.5:0.1, or a list, top_k=[10,50]"
        )
    names = set()
    for name, written, values in (*ranges, *lists):
        if name.replace("-", "_") in names:
            raise ValueError(f"the sweep {line!r} has {name} twice: write all values as one list")
        names.add(name.replace("-", "_"))
        axes.append([(name, written, value) for value in values])
    count = 1
    for axis in axes:
        count *= len(axis)
    if count > MOST:
        raise ValueError(f"the sweep has {count} samplers, more than {MOST}: take larger steps")
    lines = Swept()
    for chosen in itertools.product(*axes):
        own = line
        for name, written, value in chosen:
            own = own.replace(written, f"{name}={value}", 1)
        lines.append(own)
        lines.settings[own] = {name.replace("-", "_"): value for name, _, value in chosen}
    return lines


def _range(found: re.Match[str]) -> list[float]:
    try:
        start, stop, step = (Decimal(found[i]) for i in (2, 3, 4))
    except InvalidOperation:
        raise ValueError(
            f"{found[0]!r} is no range: write start:stop:step, three numbers"
        ) from None
    if not (step.is_finite() and start.is_finite() and stop.is_finite() and step):
        raise ValueError(f"{found[0]!r} is no range: the step must be a number other than 0")
    count = math.floor((stop - start) / step) + 1
    if count < 1:
        raise ValueError(
            f"{found[0]!r} is empty: the step, {step}, leads from {start} away from {stop}; "
            f"write {found[1]}={start}:{stop}:{-step}, or {found[1]}={stop}:{start}:{step}"
        )
    if count > MOST:
        raise ValueError(f"{found[0]!r} has {count} values, more than {MOST}: take larger steps")
    last = start + (count - 1) * step
    if last != stop:
        raise ValueError(
            f"{found[0]!r} has its last value at {last}, not at {stop}: write "
            f"{found[1]}={start}:{last}:{step}, or another step"
        )
    return [_plain(start + i * step) for i in range(count)]


def _plain(value: Decimal) -> float:
    return int(value) if value == int(value) else float(value)


def _list(found: re.Match[str]) -> list[Any]:
    try:
        values = json.loads(found[2])
    except ValueError as error:
        raise ValueError(f"{found[0]!r} is no list of values: {error}") from None
    if not values:
        raise ValueError(f"{found[0]!r} is empty")
    return values


def read_samplers(path: str | Path) -> Swept:
    """Read samplers from a file, TOML or YAML.

    It has `samplers`, a line, a list of lines or a table from names to lines, `sweep`, a line or a
    list of lines whose product is taken, or both.

    Args:
        path: ends in .toml, .yaml or .yml.

    Raises:
        ValueError: the file cannot be read, or has neither.
        ImportError: YAML without PyYAML.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
    ...     _ = file.write('sweep = "top_k=[5, 50]"\\n[samplers]\\nmine = "min_p=0.1"\\n')
    ...     file.flush()
    ...     read_samplers(file.name)
    ['mine: min_p=0.1', 'top_k=5', 'top_k=50']
    """
    target = Path(path)
    told = _parsed(target)
    if not isinstance(told, dict) or not told or set(told) - {"samplers", "sweep"}:
        what = f"{', '.join(map(repr, told))}" if isinstance(told, dict) and told else "no table"
        raise ValueError(f"{target} holds `samplers`, `sweep` or both; got {what}")
    lines = Swept(_lines(target, "samplers", told.get("samplers", [])))
    if sweep := told.get("sweep"):
        found = swept(*_lines(target, "sweep", sweep))
        lines = Swept([*lines, *found], found.settings)
    return lines


def _lines(target: Path, field: str, given: Any) -> Iterator[str]:
    for line in given if isinstance(given, list) else [given]:
        # Without quotes YAML reads a line with a name as a table of one.
        named = isinstance(line, dict) and field == "samplers"
        for name, own in line.items() if named else [("", line)]:
            if not isinstance(own, str):
                raise ValueError(
                    f"`{field}` in {target} is a list of lines, such as "
                    f'"temperature=0.8 top_k=50"; got {line!r}'
                )
            yield f"{name}: {own}" if named else own


def _parsed(target: Path) -> Any:
    if target.suffix not in (".toml", ".yaml", ".yml"):
        raise ValueError(f"a file of samplers ends in .toml, .yaml or .yml; got {str(target)!r}")
    try:
        text = target.read_text("utf-8")
        if target.suffix == ".toml":
            import tomllib

            return tomllib.loads(text)
        try:
            import yaml
        except ImportError:
            raise ImportError("a .yaml file needs PyYAML: pip install pyyaml; .toml none") from None
        return yaml.safe_load(text)
    except (ValueError, OSError) as error:
        raise ValueError(f"{target} cannot be read: {error}") from None
    except Exception as error:
        if type(error).__module__.startswith("yaml"):
            raise ValueError(f"{target} cannot be read: {error}") from None
        raise
