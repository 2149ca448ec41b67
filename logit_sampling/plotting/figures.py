"""What all figures share: colours, labels that can be drawn, and files written whole."""

import math
import os
from collections.abc import Collection, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from logit_sampling.plotting.visible import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg", ".pdf")
COLOURS = ("#D1495B", "#1B7F79", "#3D5A99", "#B7791F", "#7B4B94", "#4F772D")
PALE, INK, GREY = "#D5DBE3", "#22272E", "#6B7480"


def check_plot_path(path: str | os.PathLike[str]) -> Path:
    """Return `path` as a Path if a plot can be written there; call it before the long work.

    Raises:
        ValueError: matplotlib is not installed, the folder does not exist or cannot be written,
            `path` is a folder, or its suffix is none of .png, .svg and .pdf.
    """
    target = Path(path)
    if target.suffix.lower() not in FORMATS:
        raise ValueError(f"a plot ends in {', '.join(FORMATS)}; got {str(target)!r}")
    if not target.parent.is_dir():
        raise ValueError(f"the folder of the plot {str(target)!r} does not exist: create it first")
    if target.is_dir():
        raise ValueError(f"the plot {str(target)!r} is a folder: name a file")
    if find_spec("matplotlib") is None:
        raise ValueError('a plot needs matplotlib: pip install "logit-sampling[plots]"')
    partial = _partial(target)
    try:
        partial.touch()
        partial.unlink()
    except OSError as error:
        raise ValueError(f"the plot {str(target)!r} cannot be written: {error.strerror}") from error
    return target


def _partial(target: Path) -> Path:
    """Where a figure is until it is whole."""
    return target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")


def plain(axes: "Axes") -> None:
    """Leave of the axes their labels."""
    axes.tick_params(length=0, labelsize=8.5, labelcolor=INK)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left", "bottom"]].set_visible(False)


def draw_lines(
    axes: "Axes",
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    dashed: Collection[str] = (),
) -> None:
    """Draw curves, each with its name behind its end: nobody has to look up a colour.

    Args:
        axes: what to draw in; its labels are set by the caller.
        lines: by the name, where the points are across and up.
        dashed: the names of those to draw with dashes.
    """
    for colour, (name, (x, y)) in zip(COLOURS, lines.items(), strict=False):
        axes.plot(x, y, "--" if name in dashed else "-", color=colour, linewidth=1.8)
    low, high = axes.get_ylim()
    least = 0.055 * (high - low)  # between two names
    place = -math.inf
    ends = sorted(zip(lines, COLOURS, strict=False), key=lambda own: lines[own[0]][1][-1])
    for name, colour in ends:
        x, y = lines[name]
        place = max(place + least, y[-1])
        axes.annotate(
            name,
            (x[-1], place),
            xytext=(6, 0),
            textcoords="offset points",
            color=colour,
            fontsize=9,
            va="center",
            annotation_clip=False,
        )
    plain(axes)
    axes.grid(axis="y", color="#E9EDF1", linewidth=0.8)


def token_label(text: str) -> str:
    """A token as it can be read on an axis.

    >>> token_label(" the"), token_label("\\n")
    ('␣the', '⏎')
    """
    return drawable(text).replace(" ", "␣")


def drawable(text: str) -> str:
    """Return the text with an escape for each character that the font has no glyph for."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    font = FT2Font(findfont(FontProperties()))
    return "".join(
        c if font.get_char_index(ord(c)) else c.encode("unicode_escape").decode()
        for c in visible(text)
    )


def write_whole(figure: "Figure", target: Path) -> None:
    """Save next to the target under another name, then rename: a reader never sees half a file."""
    partial = _partial(target)
    try:
        figure.savefig(partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
