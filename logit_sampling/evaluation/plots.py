"""A picture of the next-token distribution, before and after each sampler."""

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from logit_sampling.evaluation.next_token import NextToken, next_token
from logit_sampling.evaluation.samplers import default_samplers
from logit_sampling.plotting.figures import (
    COLOURS,
    GREY,
    INK,
    PALE,
    check_plot_path,
    drawable,
    plain,
    token_label,
    write_whole,
)
from logit_sampling.sampler import Sampler

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure


def plot_next_token(
    model: Any,
    prompts: Sequence[str],
    path: str | os.PathLike[str],
    samplers: Mapping[str, Sampler] | None = None,
    top: int = 20,
) -> None:
    """Draw what each sampler does to the distribution of the token after each prompt.

    One row of panels a prompt, one panel a sampler: the model's most likely tokens as bars, the
    model's probability pale behind and the sampler's solid in front, and one bar for all other
    tokens together. A title says how many tokens the sampler keeps, and the probability that the
    model gave to them. The file is written whole or not at all.

    Args:
        model: what `load_model` returns.
        prompts: the texts before the token, one row of panels each.
        path: the file to write, .png, .svg or .pdf; an existing one is replaced.
        samplers: name -> sampler; default: greedy, top-k 50, top-p 0.9 and pure sampling.
        top: number of tokens with a bar of their own, at least 1.

    Raises:
        ValueError: as `check_plot_path`, or a prompt that the model rejects.
    """
    target = check_plot_path(path)
    samplers = default_samplers() if samplers is None else samplers
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    size = (3.0 * len(samplers) + 1.0, (0.2 * top + 1.9) * len(prompts))
    dpi = min(150, 65_000 / max(size))  # matplotlib draws fewer than 2**16 points each way
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.12), dpi=dpi)
    for part, prompt in zip(
        figure.subfigures(len(prompts), 1, squeeze=False)[:, 0], prompts, strict=True
    ):
        shown = prompt if len(prompt) <= 60 else f"…{prompt[-59:]}"
        title = f"Next token after “{drawable(shown)}”"
        part.suptitle(title, fontsize=13, color=INK, parse_math=False)
        _draw_row(part, next_token(model, prompt, samplers, top))
    write_whole(figure, target)


def _draw_row(part: "SubFigure", shown: NextToken) -> None:
    """One panel per sampler, on the same axes."""
    from matplotlib.patches import Patch

    panels = part.subplots(1, len(shown.after), sharex=True, sharey=True, squeeze=False)[0]
    for index, (axes, name) in enumerate(zip(panels, shown.after, strict=True)):
        _draw_panel(axes, name, COLOURS[index % len(COLOURS)], shown)
    # Roots of probabilities: one bar of 1 leaves bars of 0.01 visible, and 0 stays the baseline.
    limit = 1.03 * max(shown.bars(p).max() for p in (shown.before, *shown.after.values()))
    ticks = [t for t in (0.01, 0.1, 0.3, 0.6, 1) if t <= limit]  # bars begin at 0, as bars do
    for axes in panels:
        axes.set_xscale("function", functions=(np.sqrt, np.square))
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
    places = _places(shown)
    labels = [*map(token_label, shown.texts), f"{shown.others:,} others"]
    panels[0].set_xlim(0, limit)
    panels[0].set_ylim(places[-1] + 0.6, -0.6)
    panels[0].set_yticks(places, labels[: len(places)], parse_math=False)
    part.legend(
        [Patch(color=PALE)],
        ["pale: what the model says"],
        loc="upper right",
        handlelength=0.8,
        fontsize=9,
        labelcolor=GREY,
        frameon=False,
    )


def _draw_panel(axes: "Axes", name: str, colour: str, shown: NextToken) -> None:
    after = shown.after[name]
    count, mass = shown.kept(name)
    axes.barh(_places(shown), shown.bars(shown.before), height=0.84, color=PALE)
    axes.barh(_places(shown), shown.bars(after), height=0.46, color=colour)
    axes.set_title(name, fontsize=12, color=colour, loc="left", pad=30, parse_math=False)
    axes.text(
        0,
        1.02,
        f"keeps {count:,} of {after.size:,} tokens,\n{mass:.1%} of the model's mass",
        transform=axes.transAxes,
        fontsize=8.5,
        color=GREY,
        va="bottom",
    )
    axes.set_xlabel("probability (square-root scale)", fontsize=8.5, color=GREY)
    plain(axes)
    axes.grid(axis="x", color="#E9EDF1", linewidth=0.8)


def _places(shown: NextToken) -> list[float]:
    """Where the bars stand: the tokens, then a gap and the others, if there are any."""
    count = shown.ids.size
    return [*range(count), *([count + 0.7] if shown.others else [])]
