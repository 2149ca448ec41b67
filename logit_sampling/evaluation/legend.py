"""What a reader must know of the numbers of a comparison, in a few sentences."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from logit_sampling.evaluation.intervals import UNITS
from logit_sampling.plotting.visible import counted

if TYPE_CHECKING:
    from logit_sampling.evaluation.comparison import Comparison
from logit_sampling.evaluation.result import Result

_MANY = 1000  # human texts from which on a frontier is not called one of few


def legend(comparison: "Comparison") -> str:
    """Return what a reader must know of the numbers."""
    if not comparison.results:
        return " ".join(["No prompt has all of its texts.", *_left_out(comparison)])
    lines = [_texts(comparison), *_intervals(comparison), *_left_out(comparison)]
    if failed := {own.name: own.failed for own in comparison.results if own.failed}:
        told = ", ".join(f"{count} of {name}" for name, count in failed.items())
        lines.append(f"Texts that failed, and count for nothing: {told}.")
    for human in comparison.humans[:1]:
        lines += _human(comparison, human)
    prompts, asked = len(comparison.prompt_ids), len(comparison.setting["prompts"])
    if prompts < asked:
        lines.append(f"Not all texts are written: {prompts} of {asked} prompts.")
    lines += [f"{(m := comparison.measure(n)).title}: {m.meaning}." for n in comparison.measures]
    return " ".join(lines)


def _texts(comparison: "Comparison") -> str:
    results, seeds = comparison.results, len(comparison.seeds)
    draws = [own for own in results if len(own.grid[0]) == seeds and own.texts[0].run is not None]
    ends = comparison.setting["stop_at_end"]
    return (
        counted(len(comparison.prompt_ids), "prompt")
        + (f", {counted(seeds, 'text')} each" if draws else "")
        + (", one from greedy and searches" if 0 < len(draws) < len(results) and seeds > 1 else "")
        + f", {'at most ' if ends else ''}{comparison.tokens} tokens a"
        + (" text." if ends else " text, end tokens ignored.")
    )


def _intervals(comparison: "Comparison") -> Iterator[str]:
    own = (*comparison.humans, *comparison.results)
    numbers = {name: [result.number(name) for result in own] for name in comparison.measures}
    known = [e for each in numbers.values() for e in each if not math.isnan(e.mean)]
    over = {estimate.over for estimate in known if estimate.low is not None}
    if "prompts" in over:
        yield "Under a number its 95 % interval, over prompts such as these."
    elif over:
        yield "Under a number its 95 % interval, over draws for these prompts alone."
    elif any(estimate.units < UNITS for estimate in known):
        yield f"No intervals: they take {UNITS} prompts, or {UNITS} texts."
    absent = [name for name, each in numbers.items() if all(math.isnan(e.mean) for e in each)]
    if absent:
        titles = ", ".join(comparison.measure(name).title for name in absent)
        yield f"Not known of these texts: {titles}."


def _left_out(comparison: "Comparison") -> Iterator[str]:
    if left := comparison.left_out.items():
        told = ", ".join(f"{name} ({there} of {asked} texts)" for name, (there, asked) in left)
        yield f"Left out, since no prompt has all of their texts: {told}."


def _human(comparison: "Comparison", human: Result) -> Iterator[str]:
    prompts, tokens = len(comparison.prompt_ids), comparison.tokens
    theirs = [row[0] for row in human.grid if row[0] is not None]
    whole = [text for text in theirs if len(text.token_ids) == tokens]
    if len(whole) < prompts:
        yield (
            f"Human texts: of {len(theirs)} of {prompts} prompts, {len(theirs) - len(whole)} of "
            f"them shorter than {tokens} tokens, which many of these numbers depend on."
        )
        pooled = [m.title for n in comparison.measures if (m := comparison.measure(n)).pooled]
        if pooled and not comparison.setting["stop_at_end"]:
            yield (
                f"The human {', '.join(pooled)} {'is' if len(pooled) == 1 else 'are'} of the "
                f"{len(whole)} that are long enough, and would differ with {prompts}: differences "
                f"from {human.name} are of the same prompts."
            )
    if "frontier" in comparison.measures and len(theirs) < _MANY:
        yield (
            f"The frontier is of {counted(len(theirs), 'human text')}, where MAUVE's authors had "
            "5,000: with so few, chance lowers it and differences stay unseen, so that it ranks "
            "what is in this table, and is no MAUVE."
        )
