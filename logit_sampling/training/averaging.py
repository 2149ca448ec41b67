"""An optimizer that averages the weights, in short runs as well as in long ones."""

import math
from typing import Any

import keras
from keras import ops


class AveragingMuon(keras.optimizers.Muon):
    """Muon for all matrices, with an average of the weights whose momentum grows to `ema_momentum`.

    Keras' own takes AdamW for the kernels of attention, which have an axis of heads: they are
    matrices as well. After `t` steps the momentum of the average is at most (1 + t) / (10 + t):
    with a fixed one of 0.99, the random weights of the first step would still be half of the
    average after 70 steps.
    """

    @property
    def ema_momentum(self) -> Any:
        """The share of the old average in the next one."""
        steps = ops.cast(self.iterations, "float32")
        return ops.minimum(self._ema_limit, (1 + steps) / (10 + steps))

    @ema_momentum.setter
    def ema_momentum(self, limit: float) -> None:
        self._ema_limit = limit

    def _should_use_adamw(self, variable: Any) -> bool:
        return len(variable.shape) < 2 or "embedding" in variable.path

    def zeropower_via_newtonschulz5(self, x: Any, steps: int) -> Any:
        """Orthogonalize, in bfloat16 as its authors do."""
        matrix = ops.reshape(x, _matrix(x.shape))
        matrix = matrix / (ops.norm(matrix) + 1e-7)
        found = super().zeropower_via_newtonschulz5(ops.cast(matrix, "bfloat16"), steps)
        return ops.reshape(ops.cast(found, x.dtype), x.shape)

    def lr_adjust(self, x: Any) -> Any:
        """Scale an update to the size of one of AdamW."""
        return x * (max(_matrix(x.shape)) ** 0.5 * self.rms_rate)


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    """The matrix that a kernel is: [width, heads, size] and [heads, size, width] have one too."""
    rows = shape[0] if shape[0] >= shape[-1] else math.prod(shape[:-1])
    return rows, math.prod(shape) // rows
