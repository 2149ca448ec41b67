"""An explanation in a notebook, as the playground shows it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from logit_sampling.explain.rows import rows
from logit_sampling.explain.trace import Decode, Explanation
from logit_sampling.plain import strict_json

_PAGE = Path(__file__).parents[1] / "serving" / "page"
_MOST = 500  # rows at once


def widget(explanations: Sequence[Explanation], decode: Decode | None = None) -> Any:
    """Return a widget that shows what chains do to the next token.

    Args:
        explanations: of the same logits, one for each chain.
        decode: token ids -> text, or the text of each id; None for the id.

    Raises:
        ValueError: anywidget is not installed, or the explanations are of other logits.
    """
    try:
        import anywidget
        import traitlets
    except ImportError:
        raise ValueError(
            'a widget needs anywidget: pip install "logit-sampling[notebook]"'
        ) from None
    first = explanations[0].raw_log_probs
    if any((own.raw_log_probs != first).any() for own in explanations):
        raise ValueError("the explanations are not of the same logits")

    class Distribution(anywidget.AnyWidget):
        # One module, since a notebook loads it from no place that others could be beside.
        _esm = "\n".join(
            (_PAGE / name).read_text("utf-8") for name in ("distribution.js", "notebook.js")
        )
        answer = traitlets.Dict().tag(sync=True)

    shown = Distribution(answer=_answer(explanations, decode, 0, 100))

    def ask(_: Any, question: Mapping[str, Any], buffers: Any) -> None:
        wanted = int(question["first"]), min(int(question["count"]), _MOST)
        shown.send({"id": question["id"], "answer": _answer(explanations, decode, *wanted)})

    shown.on_msg(ask)
    return shown


def _answer(
    explanations: Sequence[Explanation], decode: Decode | None, first: int, count: int
) -> dict[str, Any]:
    """Return what the page's own server answers, for some rows."""

    def text(id: int) -> str:
        if decode is None:
            return str(id)
        return decode([id]) if callable(decode) else decode[id]

    def spelled(id: int) -> dict[str, Any]:
        return {"id": id, "text": text(id), "bytes": None}

    total, found = rows(explanations[0].raw_log_probs, explanations, spelled, first, count)
    chains = []
    for own in explanations:
        drawn = None if own.drawn is None else text(own.drawn)
        kept = int((own.final_log_probs > -float("inf")).sum())
        chains.append(
            {**own.to_dict(), "error": None, "drawn_text": drawn, "drawn_bytes": None, "kept": kept}
        )
        del chains[-1]["tokens"]
    head = explanations[0].to_dict()
    about = {"vocab_size": head["vocab_size"], "entropy": head["entropy"]}
    return strict_json({**about, "chains": chains, "total": total, "rows": found})
