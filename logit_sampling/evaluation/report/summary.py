"""What a comparison shows, in three sentences: nothing that chance may have made."""

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from logit_sampling.evaluation.intervals import UNITS, Difference, corrected
from logit_sampling.evaluation.report.tables import clear
from logit_sampling.plotting.visible import visible

if TYPE_CHECKING:
    from logit_sampling.evaluation.comparison import Comparison
from logit_sampling.evaluation.result import Result

# Of each kind the first that is shown: how diverse texts are, and how likely a model finds them.
_DIVERSITY = ("distinct_2", "distinct_", "entropy_", "self_bleu", "seq_rep_", "rep_")
_QUALITY = ("perplexity", "judge_perplexity", "frontier", "log_prob", "judge_log_prob")
_NAMED = 3  # so many clear differences are named one by one


def summary(comparison: "Comparison", differences: Sequence[Difference]) -> list[str]:
    """Return three sentences: what was compared, what is nearest to human texts, what is clear.

    Args:
        comparison: what to tell of.
        differences: `comparison.differences()`.
    """
    if not comparison.results:
        return ["No prompt has all of its texts."]
    told = [
        _compared(comparison),
        _nearest(comparison) if comparison.humans else _range(comparison),
        _clear(comparison, differences),
    ]
    return [visible(sentence) for sentence in told]


def _compared(comparison: "Comparison") -> str:
    results, setting = comparison.results, comparison.setting
    texts = [text for own in results for row in own.grid for text in row if text is not None]
    tokens = sum(len(text.token_ids) for text in texts)
    failed = sum(own.failed for own in results)
    known = sum(row[0] is not None for own in comparison.humans[:1] for row in own.grid)
    samplers = dict.fromkeys(own.name.removeprefix(f"{own.model}: ") for own in results)
    models = dict.fromkeys(own.model for own in results)
    whole, prompts = len(comparison.prompt_ids), len(setting["prompts"])
    most = "at most " if setting["stop_at_end"] else ""
    return (
        f"{_of(len(samplers), len(setting['samplers']), 'sampler')} on {_joined(models)} continued "
        f"{_of(whole, prompts, 'prompt')} by {most}{comparison.tokens} tokens: "
        f"{_many(len(texts), 'text')} with {_many(tokens, 'token')} in all"
        + (f", and {_many(failed, 'text')} that failed" if failed else "")
        + (f"; beside them stand {_many(known, 'text')} of the prompts' authors" if known else "")
        + "."
    )


def _chosen(comparison: "Comparison") -> list[str]:
    """Return a measure of diversity and one of quality, if they are shown, or else the first."""
    shown = {name.replace("-", "_"): name for name in comparison.measures}
    found = [
        next((own for start in starts for name, own in shown.items() if name.startswith(start)), "")
        for starts in (_DIVERSITY, _QUALITY)
    ]
    return [name for name in found if name] or list(comparison.measures[:1])


def _number(comparison: "Comparison", result: "Result", name: str) -> str:
    about = comparison.measure(name)
    return result.number(name).format(about.digits, about.scale) + about.unit


def _nearest(comparison: "Comparison") -> str:
    results, names = comparison.results, _chosen(comparison)
    humans = {own.model: own for own in comparison.humans}
    models = {own.name: own.model for own in results}
    found = corrected(
        [
            own
            for human in comparison.humans
            for own in comparison.differences(human.name, names)
            if models[own.name] == human.model
        ]
    )
    told: list[str] = []
    apart: list[str] = []
    for name in names:
        title = comparison.measure(name).title
        own = [d for d in found if d.measure == name and math.isfinite(d.estimate.mean)]
        if not own:
            continue
        first = min(own, key=lambda d: abs(d.estimate.mean))
        result = comparison.result(first.name)
        numbers = [_number(comparison, r, name) for r in (result, humans[result.model])]
        nearest = "" if told else " is nearest to the human texts"
        told.append(f"in {title} {first.name}{nearest}, with {' against '.join(numbers)}")
        if known := [d for d in own if d.corrected is not None]:
            which = ", that one among them," if clear(first) and len(known) > 1 else ""
            apart.append(f"{sum(map(clear, known))} of {len(known)}{which} in {title}")
    if not told:
        return "None of the numbers that are shown is known of the human texts."
    alone = any(d.estimate.over == "texts" for d in found)
    if not apart:
        apart_told = "the prompts are too few to tell which differ from them"
    else:
        alone = any(d.estimate.over == "texts" for d in found)
        apart_told = (
            f"clearly different from them after correction are {_joined(apart)}"
            f"{', for these prompts alone' if alone else ''}"
        )
    sentence = "; ".join([*told, apart_told])
    return f"{sentence[0].upper()}{sentence[1:]}."


def _range(comparison: "Comparison") -> str:
    told = []
    for name in _chosen(comparison):
        own = [r for r in comparison.results if math.isfinite(r.number(name).mean)]
        if own:
            ends = [pick(own, key=lambda r: r.number(name).mean) for pick in (min, max)]
            low, high = (f"{_number(comparison, r, name)} ({r.name})" for r in ends)
            title = comparison.measure(name).title
            told.append(
                f"{title} is {low}" if len(own) == 1 else f"{title} goes from {low} to {high}"
            )
    return (
        "How the authors of the prompts went on is not known, so that no number is a goal"
        + (f": {_joined(told)}" if told else "")
        + "."
    )


def _clear(comparison: "Comparison", differences: Sequence[Difference]) -> str:
    if not differences:
        return "There is one sampler, and nothing to compare it with."
    own = [d for d in differences if math.isfinite(d.estimate.mean)]
    known = [d for d in own if d.corrected is not None]
    found = [d for d in known if clear(d)]
    unclear = [d for d in known if not clear(d)]
    baseline = differences[0].baseline
    if not known:
        prompts = _many(len(comparison.prompt_ids), "prompt")
        return (
            f"No difference from {baseline} can be told from chance: {prompts} are too few, "
            f"intervals take {UNITS} prompts or {UNITS} texts."
        )
    alone = ", for these prompts alone" if any(d.estimate.over == "texts" for d in known) else ""
    needed = _needed(comparison, unclear)
    if not found:
        return (
            f"No difference from {baseline} is clear after correction for their number, "
            f"{len(known)}{alone}, which does not show that there is none{needed}."
        )
    each = _each(comparison, found) if len(found) <= _NAMED else _by_measure(comparison, known)
    rest = f"; {len(unclear)} {_are(unclear)} not{needed}" if unclear else ""
    rest += f"; {len(own) - len(known)} more have no interval" if len(own) > len(known) else ""
    number = " after correction for their number" if len(known) > 1 else ""
    return (
        f"{len(found)} of {_many(len(known), 'difference')} from {baseline} {_are(found)} clear"
        f"{number}{alone}: {each}{rest}."
    )


def _each(comparison: "Comparison", found: Sequence[Difference]) -> str:
    told = []
    for own in found:
        about = comparison.measure(own.measure)
        sign = "+" if own.estimate.mean > 0 else ""
        shown = own.estimate.format(about.digits, about.scale)
        told.append(f"{about.title} of {own.name} ({sign}{shown}{about.unit})")
    return _joined(told)


def _by_measure(comparison: "Comparison", known: Sequence[Difference]) -> str:
    told = []
    for name in dict.fromkeys(own.measure for own in known):
        own = [d for d in known if d.measure == name]
        higher = [d.estimate.mean > 0 for d in own if clear(d)]
        ways = {"higher": sum(higher), "lower": len(higher) - sum(higher)}
        which = " and ".join(
            way if count == len(higher) else f"{count} {way}"
            for way, count in ways.items()
            if count
        )
        shown = f"{len(higher)} of {len(own)} in {comparison.measure(name).title}"
        told.append(f"{shown} ({which})" if which else shown)
    return _joined(told)


def _needed(comparison: "Comparison", unclear: Sequence[Difference]) -> str:
    """Return how many prompts would show one of these differences: that which takes the fewest."""
    told = [
        (own.needed(own.estimate.mean), own)
        for own in unclear
        if own.estimate.mean and own.deviation > 0
    ]
    count, own = min(
        ((n, own) for n, own in told if n > own.estimate.units * own.prompts_per_unit),
        key=lambda pair: pair[0],
        default=(0, None),
    )
    if own is None:
        return ""
    about = comparison.measure(own.measure)
    size = f"{own.estimate.mean * about.scale:+.{about.digits}f}{about.unit}"
    return (
        f" ({about.title} of {own.name}, {size}, would take about {count:,} "
        f"{own.estimate.over} such as these, uncorrected)"
    )


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _of(there: int, asked: int, noun: str) -> str:
    return _many(asked, noun) if there == asked else f"{there:,} of {_many(asked, noun)}"


def _are(counted: Sequence[Difference]) -> str:
    return "is" if len(counted) == 1 else "are"


def _joined(parts: Iterable[str]) -> str:
    """Return parts as a list in a sentence."""
    *first, last = parts
    return f"{', '.join(first)} and {last}" if first else last
