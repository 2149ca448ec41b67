"""The numbers of a cell of `generation.py`, as data and as a table."""

from typing import Any

from generation_worker import Who
from generators import LIMIT, OURS, SAMPLERS
from rich.console import Console
from rich.table import Table
from setting import ratio
from timing import Timing

NOISE = "the time of its steps is lost in the noise: take more --new-tokens or --repeats"


def records(
    case: dict[str, Any], timings: dict[Who, tuple[Timing, Timing]], limits: dict[str, float]
) -> list[dict[str, Any]]:
    """Return the numbers of a cell: seconds, and ratios of medians.

    Args:
        case: what all have in common: model, prompt, batch, sampler, new_tokens.
        timings: of N new tokens, and of one.
        limits: for each dtype the seconds of a step that only reads.
    """
    result: list[dict[str, Any]] = [
        case | Who(LIMIT, "", "", dtype)._asdict() | {"low": x, "median": x, "high": x}
        for dtype, x in limits.items()
    ]
    for who, (many, one) in timings.items():
        record = case | who._asdict()
        if failure := many.failure or one.failure:
            result.append(record | {"failure": failure})
            continue
        # Who used up its budget with N tokens has more rounds of one.
        pairs = zip(many.seconds, one.seconds, strict=False)
        steps = Timing([(n - first) / (case["new_tokens"] - 1) for n, first in pairs])
        low, median, high = steps.quartiles()
        record |= {"first_call": many.first, "one_token": one.quartiles()[1]}
        record["compile"] = max(0.0, many.first - many.quartiles()[1])
        if low <= 0:
            result.append(record | {"failure": NOISE})
            continue
        record |= {"low": low, "median": median, "high": high, "rounds": len(steps.seconds)}
        result.append(record | {"per_limit": median / limits[who.dtype]})
    measured = [r for r in result if "median" in r]
    for record in measured:
        default = (OURS, record["backend"], "default")
        if own := [r for r in measured if (r["who"], r["backend"], r["mode"]) == default]:
            record["per_ours"] = record["median"] / own[0]["median"]
    return result


def show(found: list[dict[str, Any]], console: Console) -> None:
    """Print a cell."""
    case = found[0]
    console.print(
        f"\n[bold]{case['model']}[/bold] · batch {case['batch']}, prompt {case['prompt']} + "
        f"{case['new_tokens']} new tokens · {SAMPLERS[case['sampler']].name}",
        highlight=False,
        soft_wrap=True,
    )
    shown = Table(box=None, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for heading in ("ms\na step", "±", "/ limit", "/ ours", "1 token,\nms", "1st call,\ns"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for r in found:
        name = str(Who(*(r[field] for field in Who._fields)))
        style = "bold" if r["who"] == OURS else None
        if "failure" in r:
            shown.add_row(name, "failed", style=style)
            console.print(f"{name} failed: {r['failure']}", markup=False)
            continue
        ratios = [ratio(r[key]) if key in r else "" for key in ("per_limit", "per_ours")]
        cells = [f"{1e3 * r['median']:.3g}", "", *ratios]
        if r["who"] != LIMIT:
            cells[1] = f"{500 * (r['high'] - r['low']):.2g}" if r["rounds"] > 1 else "?"
            cells += [f"{1e3 * r['one_token']:.3g}", f"{r['first_call']:.3g}"]
        shown.add_row(name, *cells, style=style)
    console.print(shown)
