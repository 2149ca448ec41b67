"""The picture of a run: medians as dots, on a logarithmic scale, beside the limits."""

from pathlib import Path
from typing import Any

from contenders import READ, SOFTMAX
from generators import BACKENDS, LIMIT

PANELS = (
    "greedy",
    "whole distribution",
    "top-k 50",
    "top-p 0.9",
    "min-p 0.05",
    "temperature 0.8, top-k 50, top-p 0.9",
)
MOST = 128_256  # tokens
_COLOURS = {"ours": "#1f6feb", "KerasHub": "#d29922", "transformers": "#8250df", "llama": "#57606a"}


def chosen(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the records of one case: the fewest rows, the greatest vocabulary up to `MOST`."""
    own = [r for r in records if "median" in r]
    vocabularies = sorted({r["vocabulary"] for r in own})
    vocabulary = max([v for v in vocabularies if v <= MOST] or vocabularies[:1])
    own = [r for r in own if r["vocabulary"] == vocabulary]
    batch, kind = min(r["batch"] for r in own), own[0]["rows"]
    return [r for r in own if (r["batch"], r["rows"]) == (batch, kind)]


def samplers(records: list[dict[str, Any]], machine: dict[str, Any], file: Path) -> None:
    """Draw one case of a run of `samplers.py` as a PNG."""
    records = chosen(records)
    panels = [name for name in PANELS if any(r["strategy"] == name for r in records)]
    panels = panels or [records[0]["strategy"]]
    case = records[0]
    _draw(
        {name: [r for r in records if r["strategy"] == name] for name in panels},
        {READ: ":", SOFTMAX: "--"},
        f"Time of a draw from {case['rows']} rows: vocabulary {case['vocabulary']:,}, "
        f"batch {case['batch']}, {machine['processor']}, {machine['cores']} cores",
        file,
    )


def generation(records: list[dict[str, Any]], machine: dict[str, Any], file: Path) -> None:
    """Draw the first sampler and prompt of a run of `generation.py` as a PNG, a panel for a model.

    Each backend has ours, KerasHub and transformers, in the faster of their modes.
    """
    own = [r for r in records if "median" in r and r["dtype"] == records[0]["dtype"]]
    case = own[0]
    own = [r for r in own if r["sampler"] == case["sampler"] and r["prompt"] == case["prompt"]]
    panels: dict[str, dict[str, dict[str, Any]]] = {}
    for r in sorted(own, key=lambda r: r["batch"]):
        backend = BACKENDS.get(r["backend"], "")
        name = f"{r['who']}, {backend}, batch {r['batch']}" if backend else LIMIT
        panel = panels.setdefault(r["model"], {})
        if name not in panel or r["median"] < panel[name]["median"]:
            panel[name] = r | {"contender": name}
    _draw(
        {model: list(panel.values()) for model, panel in panels.items()},
        {LIMIT: "--"},
        f"Time of a step of generation: {case['sampler']}, prompt of {case['prompt']} tokens, "
        f"each in its faster mode\n{machine['processor']}, {machine['cores']} cores",
        file,
    )


def _draw(
    panels: dict[str, list[dict[str, Any]]], limits: dict[str, str], title: str, file: Path
) -> None:
    """Draw a panel for each list of records, with vertical lines for `limits` (name: style)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = dict.fromkeys(r["contender"] for records in panels.values() for r in records)
    bars = [name for name in names if name not in limits]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = pyplot.subplots(
        lines,
        columns,
        figsize=(1.6 + 3.6 * columns, 0.9 + (0.8 + 0.24 * len(bars)) * lines),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    for place, (axis, panel) in enumerate(zip(axes.flat, panels, strict=False)):
        own = {r["contender"]: r for r in panels[panel]}
        for height, name in enumerate(bars):
            if name not in own:
                where = axis.get_yaxis_transform()
                axis.text(0.02, height, "has none", transform=where, **_NOTE)
                continue
            median, low, high = (1e6 * own[name][key] for key in ("median", "low", "high"))
            colour = next(c for start, c in _COLOURS.items() if name.startswith(start))
            axis.hlines(height, low, high, color=colour, lw=2.5, alpha=0.5)
            axis.plot(median, height, "o", color=colour, ms=6)
            place_of_text = max(1.15 * high, 1.3 * median)
            axis.text(place_of_text, height, _time(median), va="center", fontsize=8, bbox=_PAPER)
        for name, style in limits.items():
            axis.axvline(1e6 * own[name]["median"], color="#cf222e", lw=1, ls=style, label=name)
        axis.set_title(panel, fontsize=9, loc="left", fontweight="bold")
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(lambda x, _: _time(x))
        axis.set_yticks(range(len(bars)), bars, fontsize=8)
        axis.tick_params(axis="x", labelsize=8)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="y", color="#eaeef2", lw=0.8)
        axis.set_axisbelow(True)
        axis.set_ylim(len(bars) - 0.4, -0.6)
        axis.spines[["top", "right"]].set_visible(False)
        if place == 0:
            handles = axis.get_legend_handles_labels()
    low, high = axes[0, 0].get_xlim()
    axes[0, 0].set_xlim(low, 6 * high)  # room for the numbers
    figure.suptitle(
        f"{title}\nmedian, and the middle half of the rounds; lower is better", fontsize=10
    )
    figure.legend(*handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    figure.savefig(file, dpi=130)
    pyplot.close(figure)


_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
_NOTE: dict[str, Any] = {"va": "center", "fontsize": 7, "color": "#8c959f", "bbox": _PAPER}


def _time(microseconds: float) -> str:
    if microseconds < 1000:
        return f"{microseconds:.0f} µs"
    if microseconds < 1e6:
        return f"{microseconds / 1e3:.3g} ms"
    return f"{microseconds / 1e6:.3g} s"
