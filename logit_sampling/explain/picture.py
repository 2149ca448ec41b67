"""An explanation as a picture."""

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from logit_sampling.explain.table import fate, kind, percent, short
from logit_sampling.explain.trace import Explanation, in_order
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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STAYS = "#1B7F79"
_BEFORE = "#94A0B0"
_CUTS = [colour for colour in COLOURS if colour != _STAYS]
_FLOOR = 1e-12  # what is less likely is not drawn


def draw(explanation: Explanation, path: str | os.PathLike[str], title: str = "") -> None:
    """Draw the stages in words, the vocabulary by rank, and the tokens as bars, into a file."""
    target = check_plot_path(path)
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    lines = len(explanation.stages) + bool(explanation.stages) + bool(title) or 1
    words, panels = 0.26 * lines + 0.15, max(3.6, 0.3 * len(explanation.tokens) + 1.0)
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08)
    figure = Figure(figsize=(10, words + panels), layout=layout, dpi=160)
    top, bottom = figure.subfigures(2, 1, height_ratios=[words, panels], squeeze=False)[:, 0]
    _write_stages(top.subplots(), explanation, title, lines)
    left, right = bottom.subplots(1, 2, width_ratios=[1, 1.1])
    _draw_ranks(left, explanation)
    _draw_tokens(right, explanation)
    write_whole(figure, target)


def _colour(place: int) -> str:
    return _CUTS[place % len(_CUTS)]


def _write_stages(axes: "Axes", explanation: Explanation, title: str, lines: int) -> None:
    """One line for each stage, in the colour of what it removed."""
    axes.set_axis_off()
    axes.set_ylim(lines, 0)
    axes.set_xlim(0, 1)

    def write(line: int, cells: list[str], colour: str, **style: Any) -> None:
        for place, cell in zip((0, 0.46, 0.58, 0.7, 0.83), cells, strict=False):
            axes.text(place, line + 0.5, cell, color=colour, va="center", parse_math=False, **style)

    if title:
        write(0, [drawable(title)], INK, fontsize=14)
    if not explanation.stages:
        return
    head = ["stage", "tokens left", "removed", "of the mass", "entropy, nats"]
    write(bool(title), head, GREY, fontsize=10)
    for place, stage in enumerate(explanation.stages):
        cells = [
            f"{place + 1} {short(drawable(stage.name), 52)}",
            f"{stage.tokens_after:,}",
            f"{stage.removed:,}",
            percent(stage.removed_mass),
            f"{stage.entropy_before:.2f} → {stage.entropy_after:.2f}",
        ]
        colour = _colour(place) if stage.removed else INK
        write(place + 1 + bool(title), cells, colour, fontsize=11)


def _draw_ranks(axes: "Axes", explanation: Explanation) -> None:
    """The probability of each token by its rank in the logits, before and after."""
    raw, final = np.exp(explanation.raw_log_probs), np.exp(explanation.final_log_probs)
    order = in_order(explanation.raw_log_probs)
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(1, order.size + 1)
    size = float(np.clip(300 / order.size, 2.4, 6.0))

    def dots(which: np.ndarray, p: np.ndarray, colour: str, label: str) -> None:
        if which.any():
            shown = rank[which], p[which]
            style: dict[str, Any] = {
                "linestyle": "",
                "marker": "o",
                "markeredgewidth": 0,
                "color": colour,
            }
            axes.plot(*shown, markersize=size, rasterized=True, **style)
            axes.plot([], [], markersize=7, label=label, **style)

    there, stays = raw > 0, final > 0
    dots(there & stays, raw, _BEFORE, "the model, of what stays")
    dots(stays, final, _STAYS, "after the chain")
    for place, stage in enumerate(explanation.stages):
        which = there & (explanation.removed_by == place)
        dots(which, raw, _colour(place), f"removed by {place + 1} {kind(stage.name)}")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(bottom=max(axes.get_ylim()[0], _FLOOR))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter(lambda p, _: f"{100 * p:.3g}%")
    axes.minorticks_off()
    axes.set_xlabel("rank in the logits", fontsize=10.5, color=GREY)
    axes.set_title("Probability of every token", fontsize=11.5, color=INK, loc="left")
    plain(axes)
    axes.tick_params(labelsize=10)
    axes.grid(color="#E9EDF1", linewidth=0.8)
    axes.legend(fontsize=10, labelcolor=INK, frameon=False, loc="lower left", handletextpad=0.2)


def _draw_tokens(axes: "Axes", explanation: Explanation) -> None:
    """The tokens asked for: before pale, after solid, and what happened to each."""
    tokens = explanation.tokens
    places = range(len(tokens))
    raw = [math.exp(token.raw_log_prob) for token in tokens]
    final = [math.exp(token.final_log_prob) for token in tokens]
    axes.barh(places, raw, height=0.84, color=PALE)
    axes.barh(places, final, height=0.46, color=_STAYS)
    for place, token in enumerate(tokens):
        chosen = token.id == explanation.drawn
        happened = fate(token, explanation) if chosen or final[place] == 0 else ""
        axes.text(
            max(raw[place], final[place]),
            place,
            f" {percent(raw[place])} → {percent(final[place])}  {happened}",
            color=INK if token.removed_by is None else _colour(token.removed_by),
            fontsize=10,
            va="center",
            weight="bold" if chosen else "normal",
        )
    labels = [str(t.id) if t.text is None else token_label(t.text) for t in tokens]
    axes.set_xlim(0, 1.03 * max(*raw, *final))
    axes.set_ylim(len(tokens) - 0.4, -0.6)
    axes.set_yticks(places, labels, parse_math=False)
    plain(axes)
    axes.tick_params(labelsize=10.5)
    axes.set_xticks([])
    axes.set_title("The model → after the chain", fontsize=11.5, color=INK, loc="left")
