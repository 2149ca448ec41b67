"""What tells of the rows of KerasHub's loop that nothing could be drawn for, once it is through."""

import warnings
from typing import Any

from logit_sampling.distribution.arrays import in_graph

NAN, NO_TOKEN = 1, 2
"""Why nothing could be drawn, as the loop carries it for each row; 0 where something could."""

_TEXTS = {NAN: "the model's logits hold NaN", NO_TOKEN: "the chain leaves no token to draw"}


def warn(lengths: Any, reasons: Any) -> None:
    """Warn of the rows with a reason.

    Args:
        lengths: int [batch], how many ids a row holds before it is lost.
        reasons: int [batch], why: ``NAN``, ``NO_TOKEN`` or 0.
    """
    lost = [
        f"row {row} ends at {length} tokens, since {_TEXTS[int(reason)]}"
        for row, (length, reason) in enumerate(zip(lengths, reasons, strict=True))
        if reason
    ]
    if lost:
        message = f"{'; '.join(lost)}. Texts end there, and ids are -1 from there on"
        # Without a registry it is shown each time, not once.
        warnings.warn_explicit(message, UserWarning, __file__, 0, __name__, None)


def telling(ids: Any, lengths: Any, reasons: Any, end: int) -> Any:
    """Return ids of compiled code, which will ``warn`` when it is through.

    Args:
        ids: int [batch, length], -1 in a row from where nothing could be drawn.
        lengths: for ``warn``.
        reasons: for ``warn``.
        end: what a row holds instead of -1 once it is told.
    """
    import keras

    if keras.config.backend() == "jax":
        import jax

        jax.debug.callback(warn, lengths, reasons)
        return jax.numpy.where(ids < 0, end, ids)
    if not in_graph(ids):  # eager code has raised
        return ids
    from logit_sampling.interop.tensorflow_ids import TellingIds

    return TellingIds(ids, lengths, reasons, end)
