"""An optimizer that averages the weights, in short runs as well as in long ones."""

from typing import Any

import keras
from keras import ops


class AveragingAdamW(keras.optimizers.AdamW):
    """AdamW with an average of the weights whose momentum grows to `ema_momentum`.

    After `t` steps it is at most (1 + t) / (10 + t). With a fixed momentum of 0.99, the random
    weights of the first step would still be half of the average after 70 steps.
    """

    @property
    def ema_momentum(self) -> Any:
        """The share of the old average in the next one."""
        steps = ops.cast(self.iterations, "float32")
        return ops.minimum(self._ema_limit, (1 + steps) / (10 + steps))

    @ema_momentum.setter
    def ema_momentum(self, limit: float) -> None:
        self._ema_limit = limit
