"""The page itself: what Python knows of a comparison, and scripts that draw it."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from logit_sampling.evaluation.report.data import data_of
from logit_sampling.evaluation.report.foot import foot_of
from logit_sampling.evaluation.report.summary import summary
from logit_sampling.evaluation.report.tables import differences_table, numbers_table
from logit_sampling.plain import strict_json
from logit_sampling.plotting.figures import COLOURS
from logit_sampling.plotting.visible import visible

if TYPE_CHECKING:
    from logit_sampling.evaluation.comparison import Comparison

_FOLDER = Path(__file__).parent
SCRIPTS = ("base", "axes", "charts", "curves", "next_token", "texts", "blind")  # in this order


def page_of(
    comparison: "Comparison", title: str | None, next_tokens: Sequence[Mapping[str, Any]]
) -> str:
    """Return a comparison as a page; see `Comparison.to_html`."""
    found = comparison.differences()
    models = ", ".join(comparison.setting["models"])
    count = len(comparison.setting["samplers"])
    title = title or f"{count} {'sampler' if count == 1 else 'samplers'} on {models}"
    sentences = summary(comparison, found)
    return Template(_read("page.html")).substitute(
        title=html.escape(visible(title)),
        style=f":root {{ {_colours()} }}\n{_read('page.css')}",
        summary="".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences),
        numbers=numbers_table(comparison),
        differences=differences_table(comparison, found),
        foot=foot_of(comparison),
        data=embedded(data_of(comparison) | {"nextTokens": list(next_tokens)}),
        script="\n".join(_read(f"{name}.js") for name in SCRIPTS),
    )


def _read(name: str) -> str:
    return (_FOLDER / name).read_text("utf-8")


def embedded(value: Any) -> str:
    """Return JSON that may stand in a script: nothing in it ends one, or starts a comment.

    >>> embedded({"text": "</script>"})
    '{"text": "\\\\u003c/script>"}'
    """
    told = json.dumps(strict_json(value), ensure_ascii=False, allow_nan=False)
    return told.replace("<", "\\u003c")


def _colours() -> str:
    """Return the colours of figures as properties of a style sheet, lighter where it is dark."""
    return " ".join(
        f"--c{i}: light-dark({colour}, {lighter(colour)});" for i, colour in enumerate(COLOURS)
    )


def lighter(colour: str) -> str:
    """Return a colour of the same hue that can be seen on a dark ground.

    >>> lighter("#3D5A99")
    '#778cb8'
    """
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(part + 0.3 * (255 - part)):02x}" for part in parts)
