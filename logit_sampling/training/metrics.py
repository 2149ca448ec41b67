"""Metrics of Keras that count tokens: perplexity, and bits per character."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from logit_sampling.types import ArrayLike


class _Mask(keras.losses.Loss):
    """1 for each label, 0 where a layer of Keras attached a mask to the prediction.

    Where a backend keeps masks is known to Keras alone, which applies them to losses.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss without a mask, float32 of the shape of the labels."""
        return ops.ones(ops.shape(y_true), "float32")


class TokenMetric(keras.metrics.Metric):
    """Sums -ln p over the tokens that count; each counts the same, whatever batch it is in.

    Args:
        from_logits: whether predictions are logits; else they are probabilities.
        ignore_class: a label that marks padding and does not count.
        name, dtype: as Keras has them.
    """

    default_name: str

    def __init__(
        self,
        from_logits: bool = True,
        ignore_class: int | None = None,
        name: str | None = None,
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name or self.default_name, dtype=dtype)
        self.from_logits = from_logits
        self.ignore_class = ignore_class
        self._nats = self.add_variable((), "zeros", name="nats")
        self._count = self.add_variable((), "zeros", name="count")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Add a batch.

        Args:
            y_true: int [batch, ...], the tokens that came.
            y_pred: float [batch, ..., vocab].
            sample_weight: how often a token counts, 0 for padding; [batch], [batch, ...] or what
                broadcasts to it. A mask that a layer of Keras attached to `y_pred` counts too.
        """
        y_true = ops.cast(y_true, "int32")
        if len(y_true.shape) == len(y_pred.shape):  # [batch, 1], as Keras makes of [batch]
            y_true = ops.squeeze(y_true, -1)
        weight = _Mask("mask", reduction=None)(y_true, y_pred)
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, "float32")
            missing = (1,) * (len(y_true.shape) - len(sample_weight.shape))
            weight *= ops.reshape(sample_weight, (*ops.shape(sample_weight), *missing))
        if self.ignore_class is not None:
            weight *= ops.cast(y_true != self.ignore_class, "float32")
            y_true = ops.where(y_true == self.ignore_class, 0, y_true)
        nats = ops.sparse_categorical_crossentropy(
            y_true, ops.cast(y_pred, "float32"), from_logits=self.from_logits
        )
        nats = ops.where(weight > 0, nats * weight, 0.0)  # a NaN in the padding does not count
        self._nats.assign_add(ops.cast(ops.sum(nats), self.dtype))
        self._count.assign_add(ops.cast(ops.sum(weight * self._worth(y_true)), self.dtype))

    def _worth(self, y_true: Any) -> Any:
        """What each token adds to the count."""
        return 1.0

    def result(self) -> Any:
        """-ln p, in nats per token; NaN before the first token."""
        return self._nats / self._count

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal metric."""
        own = {"from_logits": self.from_logits, "ignore_class": self.ignore_class}
        return {"name": self.name, "dtype": self.dtype, **own}


@keras.saving.register_keras_serializable("logit_sampling")
class Perplexity(TokenMetric):
    """exp of the mean of -ln p over all tokens that count.

    The mean is over tokens, not over rows or batches: a short row counts less than a long one, and
    the last, smaller batch less than the others.

    A model that was compiled with it is saved and loaded as others are. Keras knows the class from
    when `ls.Perplexity` is first named: a new session that only loads says it before.

    Args:
        from_logits: whether predictions are logits; else they are probabilities.
        ignore_class: a label that marks padding and does not count.

    >>> import numpy as np
    >>> metric = Perplexity(ignore_class=0)
    >>> metric.update_state(np.array([[1, 2, 0, 0]]), np.zeros((1, 4, 8)))
    >>> round(float(metric.result()), 4)
    8.0
    """

    default_name = "perplexity"

    def result(self) -> Any:
        """The perplexity, at least 1; NaN before the first token."""
        return ops.exp(super().result())


@keras.saving.register_keras_serializable("logit_sampling")
class BitsPerCharacter(TokenMetric):
    """-log2 p of all tokens that count, divided by the characters that they stand for.

    It compares models with different tokenizers, which perplexity per token cannot. To load a model
    that was saved with it, name `ls.BitsPerCharacter` or `ls.Perplexity` before.

    Args:
        characters: float [vocab], how many characters each token stands for, see
            `characters_per_token`.
        from_logits: whether predictions are logits; else they are probabilities.
        ignore_class: a label that marks padding and does not count.

    >>> import numpy as np
    >>> metric = BitsPerCharacter([0, 1, 2, 1])  # 2 bits a token at equal probabilities
    >>> metric.update_state(np.array([[1, 2, 1]]), np.zeros((1, 3, 4)))
    >>> round(float(metric.result()), 4)  # 6 bits for 4 characters
    1.5
    """

    default_name = "bits_per_character"

    def __init__(self, characters: ArrayLike | Sequence[int], **settings: Any) -> None:
        self.characters = np.asarray(characters, np.float32)
        super().__init__(**settings)

    def _worth(self, y_true: Any) -> Any:
        return ops.take(ops.convert_to_tensor(self.characters), y_true)

    def result(self) -> Any:
        """Bits per character; NaN before the first character."""
        return super().result() / math.log(2)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal metric."""
        return super().get_config() | {"characters": self.characters.tolist()}
