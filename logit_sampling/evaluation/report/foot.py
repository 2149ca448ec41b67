"""What a reader needs to make the comparison again, and to know how its intervals were made."""

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from logit_sampling.evaluation.intervals import UNITS
from logit_sampling.evaluation.legend import legend
from logit_sampling.plotting.visible import visible

if TYPE_CHECKING:
    from logit_sampling.evaluation.comparison import Comparison


def foot_of(comparison: "Comparison") -> str:
    """Return the foot of the page: legend, samplers, models, seeds and calls."""
    setting = comparison.setting
    samplers = [(name, about["chain"]) for name, about in setting["samplers"].items()]
    models = [
        (
            name,
            f"weights {about['weights']}" if about["weights"] else "of no weights that are known",
        )
        for name, about in setting["models"].items()
    ]
    for reader in ("judge", "embedder"):
        if told := setting.get(reader):
            models.append((reader, f"{told['name']}, weights {told['weights']}"))
    intervals = (
        "Intervals are bootstraps of the prompts (bias-corrected and accelerated), widened as "
        "Student's t is for few of them; those of numbers of all texts together are made by the "
        "jackknife, those of shares are Wilson's. p-values are of sign flips, corrected as Holm "
        f"(1979) does. With fewer than {UNITS} prompts a text is a unit, and numbers hold for "
        "these prompts alone."
    )
    seeds = ", ".join(map(str, comparison.seeds))
    most = "at most " if setting["stop_at_end"] else ""
    return "\n".join(
        [
            f"<p>{_escaped(legend(comparison))}</p>",
            f"<p>{_escaped(intervals)}</p>",
            "<h3>Samplers</h3>",
            _listed(samplers),
            "<h3>Models</h3>",
            _listed(models),
            "<h3>Calls</h3>",
            f"<p>Seeds {seeds}; {most}{comparison.tokens} tokens a text.</p>",
            *(_listed(_told(call)) for call in comparison.calls),
        ]
    )


def _told(call: dict[str, Any]) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in call["versions"].items())
    found = [("date", call["date"]), ("command", call["command"]), ("versions", versions)]
    found += [("backend", call["backend"]), ("machine", call["machine"])]
    return [(name, value) for name, value in found if value]


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(
        f"<dt>{_escaped(name)}</dt><dd><code>{_escaped(value)}</code></dd>" for name, value in pairs
    )
    return f'<div class="scroll" tabindex="0"><dl>{rows}</dl></div>'


def _escaped(text: str) -> str:
    return html.escape(visible(text))
