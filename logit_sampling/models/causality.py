"""Does a model look at what stands behind a token? Only if it does not may texts be padded there.

It is measured, and a measurement shows a dependence that there is, not that there can be none. So
it is taken in the places where dependences lie (behind the first token, before the last, between),
with the weights that the model has and with random ones: initial weights are often zero just where
one part of a model meets another, and a dependence that they hide comes up with training.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

_ROUNDING = 1e-6  # of the greatest logit: between two calls of one shape nothing else may differ

SEEN = 16
"""Of so many tokens `difference` compares logits where the weights are random.

What rounding changes may grow from token to token with them.
"""


def dependence(
    call: Callable[[np.ndarray], np.ndarray], shape: tuple[int, int], lowest: int
) -> str | None:
    """Tell how the logits of a model change with what stands behind their tokens.

    Args:
        call: int32 [rows, length] -> float32 [rows, length, vocab] or [rows, vocab].
        shape: of the token ids that it is called on.
        lowest: 1 for texts without token 0, which many models mask as padding; 0 for texts with it.

    Returns:
        what is the matter, None if nothing is.
    """
    rng, (rows, width) = np.random.default_rng(0), shape
    logits = call(np.zeros(shape, np.int32))
    if logits.ndim == 2:
        return "it gives the logits of what follows the last token alone"
    vocabulary = logits.shape[-1]
    text = _text(shape, vocabulary, lowest)
    logits = call(text)
    for cut, padding in ((1, False), (width // 3, True), (width - 1, False)):
        if not 0 < cut < width or vocabulary < 2:
            continue
        other = text.copy()
        shift = rng.integers(1, vocabulary, (rows, width - cut))  # to another token each
        other[:, cut:] = 0 if padding else (text[:, cut:] + shift) % vocabulary
        if change := _change(logits[:, :cut], call(other)[:, :cut], _ROUNDING):
            first = "first token" if cut == 1 else f"first {cut} tokens"
            return f"the logits of its {first} change with what stands behind ({change})"
    return None


def difference(
    call: Callable[[np.ndarray], np.ndarray],
    shape: tuple[int, int],
    other: int,
    lowest: int,
    tolerance: float,
    seen: int | None = None,
) -> str | None:
    """Tell how logits differ between texts of two lengths, one the beginning of the other.

    Args:
        call: as for `dependence`.
        shape: of the token ids with one of the lengths.
        other: the other length.
        lowest: as for `dependence`.
        tolerance: how much may be rounding, as a share of the greatest logit.
        seen: of how many tokens to look at the logits, None for all.
    """
    short, long = sorted((shape[1], other))
    text = _text((shape[0], long), call(np.zeros(shape, np.int32)).shape[-1], lowest)
    part = slice(min(short, seen or short))
    if change := _change(call(text)[:, part], call(text[:, :short])[:, part], tolerance):
        return f"the logits in a text of {short} tokens are not those in one of {long} ({change})"
    return None


def random_weights(variables: list[Any]) -> list[np.ndarray | None]:
    """Return random weights for the trainable variables of a Keras model, None for the others.

    Sums over them keep about the size of what is summed.
    """
    rng, weights = np.random.default_rng(0), list[np.ndarray | None]()
    for variable in variables:
        shape = tuple(variable.shape)
        if not variable.trainable or "float" not in variable.dtype:
            weights.append(None)
        elif len(shape) < 2:
            weights.append(rng.uniform(0.5, 1.5, shape).astype(np.float32))
        else:
            scale = np.float32((max(shape) / np.prod(shape)) ** 0.5)
            weights.append(rng.standard_normal(shape, np.float32) * scale)
    return weights


def _text(shape: tuple[int, int], vocabulary: int, lowest: int) -> np.ndarray:
    """Return random token ids; where 0 may be among them it is, at the beginning too."""
    lowest = min(lowest, vocabulary - 1)
    text = np.random.default_rng(1).integers(lowest, vocabulary, shape).astype(np.int32)
    if lowest == 0:
        text[:, ::3] = 0
    return text


def _change(a: np.ndarray, b: np.ndarray, tolerance: float) -> str | None:
    """Tell by how much logits differ, if by more than a share of the greatest."""
    with np.errstate(invalid="ignore"):  # of two infinities
        change = np.where(a == b, 0, np.abs(a - b)).max()
    greatest = np.abs(a, where=np.isfinite(a), out=np.zeros_like(a)).max()
    if change <= tolerance * greatest:  # not if it is NaN
        return None
    return f"by up to {change:.2g}, where the greatest is {greatest:.2g}"
