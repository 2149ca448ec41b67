"""Do greedy texts say that all contenders ran the same model?"""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from rich.console import Console

CLOSE = 1e-3  # a gap between logits that rounding may turn round


def differences(
    texts: dict[str, np.ndarray], prompts: np.ndarray, logits: Callable[[np.ndarray], np.ndarray]
) -> Iterator[tuple[str, float]]:
    """Yield where greedy texts first differ from those of the first contender, and the logit gap.

    Args:
        texts: by contender, new ids [batch, N].
        prompts: int32 [batch, length].
        logits: ids [1, length] -> logits [1, length, vocab].
    """
    names = list(texts)
    for name in names[1:]:
        theirs, own = texts[name], texts[names[0]]
        for row in np.flatnonzero((theirs != own).any(axis=1)):
            step = int(np.argmax(theirs[row] != own[row]))
            scores = logits(np.concatenate([prompts[row], own[row, :step]])[None])[0, -1]
            gap = abs(float(scores[own[row, step]]) - float(scores[theirs[row, step]]))
            yield f"{name}: row {row} differs from {names[0]} at new token {step}", gap


def agreement(
    texts: dict[str, np.ndarray], found: Iterable[tuple[str, float]], console: Console
) -> None:
    """Print whether greedy texts are those of the same model."""
    found = list(found)
    if not found and len(texts) > 1:
        equal = f"greedy texts are equal: {', '.join(texts)}"
        console.print(equal, highlight=False, soft_wrap=True)
    for where, gap in found:
        verdict = "rounding" if gap <= CLOSE else "[red]not the same work[/red]"
        console.print(f"{where}, logits {gap:.2g} apart: {verdict}", highlight=False)
