"""What tells of the rows of KerasHub's loop that nothing could be drawn for, once it is through."""

import warnings
from typing import Any

NAN, NO_TOKEN = 1, 2
"""Why nothing could be drawn, as the loop carries it for each row; 0 where something could."""

_TEXTS = {NAN: "the model's logits hold NaN", NO_TOKEN: "the chain leaves no token to draw"}


def warn(lengths: Any, reasons: Any) -> None:
    """Warn of the rows with a reason.

    Args:
        lengths: int [batch], how many ids a row holds before it is lost.
        reasons: int [batch], why: `NAN`, `NO_TOKEN` or 0.
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
