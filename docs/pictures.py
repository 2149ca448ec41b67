"""What each strategy does to three rows of the shipped model, as a picture for its page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

import logit_sampling as ls
from logit_sampling.generation.text import continuation

TEXT = (
    "Good morrow, good my lord.\n\nKING:\nGood morrow to you all, good morrow to you all, my "
    "lords. What is the news? What is the matter, and what is the time of day"
)
"""Ours. It repeats itself, for what depends on the tokens before."""
TOKENS = 10  # that have a bar


@dataclass(frozen=True)
class Place:
    """A place in a text, and the logits of the token that follows."""

    model: Any
    ids: list[int]
    logits: np.ndarray

    @cached_property
    def before(self) -> np.ndarray:
        """The model's probabilities."""
        return ls.Sampler().probabilities(self.logits)

    @cached_property
    def entropy(self) -> float:
        """That of the row, nats."""
        return float(-(self.before * np.log(np.maximum(self.before, 1e-30))).sum())

    @cached_property
    def order(self) -> list[int]:
        """All tokens, the likeliest first."""
        return np.argsort(-self.logits, kind="stable").tolist()

    def token(self, token: int) -> str:
        """What a token adds to the text."""
        return continuation(self.model.decode, self.ids, [token])


def places(model: Any) -> list[Place]:
    """Return the places of `TEXT` whose rows are rather sure, in the middle, and rather flat."""
    ids = model.encode(TEXT)
    rows = model.logits([ids])[0]
    found = [Place(model, ids[:n], rows[n - 1]) for n in range(12, len(ids) + 1)]
    found.sort(key=lambda place: place.entropy)
    return [found[int(share * (len(found) - 1))] for share in (0.3, 0.6, 0.9)]


Pictured = Callable[[Place], Any]
_CALM = "the end is taken to be the second likeliest token"
PICTURED: dict[str, tuple[Pictured, str]] = {
    "Greedy": (lambda at: ls.Temperature(0), ""),
    "Temperature": (lambda at: ls.Temperature(0.6), ""),
    "DynamicTemperature": (lambda at: ls.DynamicTemperature(1.0, 0.7), ""),
    "Quadratic": (lambda at: ls.Quadratic(0.3), ""),
    "TopK": (lambda at: ls.TopK(5), ""),
    "TopP": (lambda at: ls.TopP(0.7), ""),
    "MinP": (lambda at: ls.MinP(0.2), ""),
    "Typical": (lambda at: ls.Typical(0.5), ""),
    "Epsilon": (lambda at: ls.Epsilon(0.04), ""),
    "Eta": (lambda at: ls.Eta(0.1), ""),
    "TopA": (lambda at: ls.TopA(0.5), ""),
    "TopNSigma": (lambda at: ls.TopNSigma(1.0), ""),
    "TopH": (lambda at: ls.TopH(0.5), ""),
    "PLess": (lambda at: ls.PLess(), ""),
    "XTC": (lambda at: ls.XTC(1.0, 0.05), "the coin always falls on the side that removes"),
    "MinK": (lambda at: ls.MinK(3.0), ""),
    "RepetitionPenalty": (lambda at: ls.RepetitionPenalty(1.5), ""),
    "PresencePenalty": (lambda at: ls.PresencePenalty(1.0, prompt=True), ""),
    "FrequencyPenalty": (lambda at: ls.FrequencyPenalty(0.5, prompt=True), ""),
    "NoRepeatNGram": (lambda at: ls.NoRepeatNGram(2), ""),
    "DRY": (lambda at: ls.DRY(1.0, allowed_length=1), ""),
    "LogitBias": (lambda at: ls.LogitBias({at.order[0]: -2.0, at.order[3]: 2.0}), ""),
    "SuppressTokens": (lambda at: ls.SuppressTokens([at.order[0], at.order[4]]), ""),
    "AllowTokens": (lambda at: ls.AllowTokens(at.order[1:8:2]), ""),
    "SequenceBias": (
        lambda at: ls.SequenceBias({(at.ids[-1], at.order[1]): 2.0, (at.order[0],): -1.0}),
        "the first sequence is one that the text has begun",
    ),
    "BadWords": (
        lambda at: ls.BadWords([[at.ids[-1], at.order[0]], [at.order[3]]]),
        "the first sequence is one that the text has begun",
    ),
    "MinNewTokens": (lambda at: ls.MinNewTokens(8, at.order[1]), _CALM),
    "ForcedTokens": (lambda at: ls.ForcedTokens({0: at.order[2]}), ""),
    "LengthDecay": (
        lambda at: ls.LengthDecay(0, 1.02, at.order[1]),
        f"{_CALM}, and the whole text counts as generated",
    ),
    "SpanBudget": (
        lambda at: ls.SpanBudget(4, start=at.ids[0], end=at.order[1]),
        "the span is open since the first token, and its end is the second likeliest",
    ),
    "Mirostat": (lambda at: ls.Mirostat(tau=1.5), "at the first step, where the limit is 2 tau"),
    "AdaptiveP": (lambda at: ls.AdaptiveP(0.1), "at the first step, where the aim is the target"),
    "Guidance": (
        lambda at: ls.Guidance(1.5, _without(at)),
        "the second context is the last token alone",
    ),
    "Watermark": (lambda at: ls.Watermark(gamma=0.5, delta=2.0), ""),
    "Grammar": (
        lambda at: ls.Grammar.regex(" ?[a-m][a-z ]*", at.model),
        "the text that may follow begins with a letter from a to m, or a space before one",
    ),
}
"""What the picture of each shows, and what to know of it."""


def _without(at: Place) -> Callable[[np.ndarray], Any]:
    row = at.model.logits([at.ids[-1:]])[0, -1:]
    return lambda ids: row


def after(name: str, at: Place) -> tuple[Any, np.ndarray]:
    """Return what is pictured, and the probabilities that it leaves."""
    made, sampler = PICTURED[name][0](at), ls.Sampler(PICTURED[name][0](at))
    if name in ("Mirostat", "AdaptiveP", "Grammar"):  # at their first step
        return made, sampler.probabilities(at.logits)
    prompt = 0 if name == "LengthDecay" else len(at.ids)
    return made, sampler.probabilities(at.logits, history=at.ids, prompt_length=prompt)


def draw(name: str, at: list[Place], path: Path) -> None:
    """Draw what a strategy does to rows: one picture for a light page, and one for a dark one."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from logit_sampling.plotting.figures import drawable, plain, token_label

    ink, pale, removed, stays = "#222a35", "#b9c2cd", "#c8402f", "#1b7f79"
    dark = {ink: "#d6dde6", pale: "#59636f", removed: "#ff8a76", stays: "#4cc4b8"}
    figure = Figure(figsize=(4.8, 6.6), layout="constrained")
    for axes, place in zip(figure.subplots(3, 1), at, strict=True):
        _, left = after(name, place)
        # The likeliest before, and the likeliest after, which may come from far behind.
        first = [*np.argsort(-left, kind="stable").tolist()[:2], *place.order]
        shown = sorted(list(dict.fromkeys(first))[:TOKENS], key=place.order.index)
        others = np.setdiff1d(np.arange(len(left)), shown)
        was = [*place.before[shown], place.before[others].sum()]
        now = [*left[shown], left[others].sum()]
        bars = np.arange(len(was))
        axes.bar(bars, was, 0.82, color=pale, label="before")
        axes.bar(bars, now, 0.42, color=stays, label="after")
        gone = [n for n, p in enumerate(now) if p == 0]
        axes.plot(gone, [was[n] for n in gone], "x", color=removed, ms=6, mew=2, label="removed")
        kept = int((left > 0).sum())
        last = drawable(place.model.decode(place.ids))
        title = f"after “…{last[-26:]}”, {kept} of {len(left)} tokens left"
        axes.set_title(title, fontsize=9, color=ink, loc="left")
        labels = [token_label(place.token(i)) for i in shown] + ["others"]
        axes.set_xticks(bars, labels, rotation=40, ha="right", rotation_mode="anchor")
        axes.margins(x=0.01, y=0.08)
        plain(axes)
        axes.tick_params(labelsize=9, labelcolor=ink)
        axes.yaxis.set_major_formatter(lambda p, _: f"{p:.0%}")
        axes.yaxis.set_major_locator(mpl.ticker.MaxNLocator(4))
    named = figure.axes[0].get_legend_handles_labels()
    legend = figure.legend(*named, loc="outside upper center", ncols=3, fontsize=9)
    legend.set_frame_on(False)
    for text in legend.get_texts():
        text.set_color(ink)
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(path, transparent=True, metadata={"Date": None, "Creator": None})
    svg = path.read_text(encoding="utf-8")
    for colour, other in dark.items():
        svg = svg.replace(colour, other)
    path.with_stem(f"{path.stem}-dark").write_text(svg, encoding="utf-8")
