"""What the scripts of the page draw: numbers, sweeps and texts, each text once."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from logit_sampling.evaluation.texts import HUMAN, Text
from logit_sampling.plotting.visible import visible

if TYPE_CHECKING:
    from logit_sampling.evaluation.comparison import Comparison
from logit_sampling.evaluation.result import Result

_STEPS = ("kept", "entropies")


def data_of(comparison: "Comparison") -> dict[str, Any]:
    """Return a comparison as the scripts read it; names and texts without control characters."""
    measures = [(name, comparison.measure(name)) for name in comparison.measures]
    return {
        "prompts": [_shown(prompt) for prompt in comparison.prompts],
        "ids": [visible(name) for name in comparison.prompt_ids],
        "seeds": comparison.seeds,
        "measures": [
            {
                "name": name,
                "title": visible(about.title),
                "meaning": about.meaning,
                "digits": about.digits,
                "scale": about.scale,
                "unit": about.unit,
            }
            for name, about in measures
        ],
        "results": [_told(comparison, own) for own in comparison.results],
        "humans": [_told(comparison, own) for own in comparison.humans],
        "sweeps": sweeps(comparison.results),
    }


def _told(comparison: "Comparison", result: "Result") -> dict[str, Any]:
    numbers = {name: result.number(name) for name in comparison.measures}
    steps = {of: [float(f"{value:.5g}") for value in result.steps(of)] for of in _STEPS}
    return {
        "name": visible(result.name),
        "model": visible(result.model),
        "human": result.sampler == HUMAN,
        "settings": dict(result.settings),
        "numbers": {name: (own.mean, own.low, own.high) for name, own in numbers.items()},
        "steps": {of: values for of, values in steps.items() if values},
        "texts": [[_text(text) for text in row] for row in result.grid],
    }


def _text(text: Text | None) -> str | None:
    """Return a text as it is read, or None for one that failed."""
    if text is None:
        return None
    return _shown(text.token_ids if text.text is None else text.text)


def _shown(text: str | Sequence[int]) -> str:
    return visible(text if isinstance(text, str) else " ".join(map(str, text)), keep="\n\t")


def sweeps(results: Sequence["Result"]) -> list[dict[str, Any]]:
    """Return the sweeps among results: which of them differ in nothing but what was swept.

    Returns:
        for each sweep `title`, what does not vary; `names`, the settings that vary, and first of
        them that along which its `lines` go; of each line its `label`, the other settings, and
        `places` of its results.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, own in enumerate(results):
        if own.settings:
            groups.setdefault((_fixed(own), *own.settings), []).append(place)
    found = []
    for (title, *names), places in groups.items():
        values = {name: [results[place].settings[name] for place in places] for name in names}
        counts = {name: len(set(map(str, own))) for name, own in values.items()}
        varying = [name for name in names if counts[name] > 1]
        if not varying:
            continue
        varying.sort(key=lambda name: (not _numeric(values[name]), -counts[name]))
        lines: dict[str, list[int]] = {}
        for place in places:
            settings = results[place].settings
            label = " ".join(f"{name}={settings[name]}" for name in varying[1:])
            lines.setdefault(label, []).append(place)
        if _numeric(values[varying[0]]):
            for line in lines.values():
                line.sort(key=lambda place: results[place].settings[varying[0]])
        found.append(
            {
                "title": title,
                "names": varying,
                "lines": [{"label": label, "places": line} for label, line in lines.items()],
            }
        )
    return found


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _fixed(result: "Result") -> str:
    """Return the name of a result without what the sweep set: one sweep has one such rest."""
    name = visible(result.name)
    for setting in result.settings:
        either = re.escape(setting).replace("_", "[-_]")
        name = re.sub(rf"(?<![\w-]){either}=\S+", "", name)
    return " ".join(name.split())
