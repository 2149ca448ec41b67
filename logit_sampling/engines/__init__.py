"""Where the arithmetic runs.

``numpy`` serves all arrays that hold numbers: NumPy's, and eager tensors of TensorFlow, JAX and
torch, whose memory it reads. ``keras`` serves the symbolic tensors of a graph that is being traced.
Both offer one class, ``Scores``, with the same methods.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.arrays import in_graph, is_symbolic, like, to_numpy
from logit_sampling.checks import check_dtype, check_shape
from logit_sampling.random import row_seeds

AUTOGRAPH_SKIPS = "autograph_info__"
"""TensorFlow's AutoGraph leaves code alone that has this attribute.

The engines trace as they are; converting them makes the first call of a ``tf.function`` slow.
"""


def as_written(code: Callable) -> Callable:
    """Ask AutoGraph to leave a function or method alone."""
    setattr(code, AUTOGRAPH_SKIPS, {})
    return code


@dataclass(frozen=True)
class Intake:
    """Logits taken in: the scores of a batch, and how results go back to the caller."""

    scores: Any
    rows: Any  # how many; a tensor where a traced graph leaves it open
    symbolic: bool
    restore: Callable[[Any], Any]  # batch results -> the caller's type, without the batch axis


def take_in(logits: Any, *others: Any) -> Intake:
    """Check logits, [vocab] or [batch, vocab], and hand them to their engine.

    Args:
        logits: an array, a tensor, or nested lists.
        others: what else takes part: in a graph if any of it is.

    Raises:
        ValueError: a wrong rank or dtype, an empty vocabulary, or NaN (in eager code).
    """
    symbolic = in_graph(logits, *others)
    if symbolic:
        from logit_sampling.engines import keras, keras_arrays

        x = keras_arrays.to_tensor(logits)
    else:
        x = to_numpy(logits)
    check_shape(tuple(x.shape))
    check_dtype(x.dtype.name)
    batch = x if len(x.shape) == 2 else x[None]
    unbatched: Callable[[Any], Any] = (lambda y: y) if batch is x else (lambda y: y[0])
    if symbolic:
        scores: Any = keras.Scores.of(batch)
        return Intake(scores, keras_arrays.row_count(batch), True, unbatched)

    from logit_sampling.engines import numpy

    scores = numpy.Scores.of(batch)
    restored = like(logits)
    return Intake(scores, len(batch), False, lambda y: restored(np.asarray(unbatched(y))))


def batch_of(numbers: Any, history: Any) -> Any:
    """Return a number or [batch] numbers as float64 [batch], for the rows of ``history``.

    Of a graph that is being traced, it is a tensor.
    """
    if not in_graph(history):
        return np.broadcast_to(np.asarray(numbers, np.float64), (len(history),))
    from logit_sampling.engines import keras_arrays

    return keras_arrays.batch_of(numbers, history)


def seeds_and_steps(seed: Any, step: Any, taken: Intake) -> tuple[Any, Any]:
    """Return the seed, uint32 [batch, 2], and the step, int [batch], of each row.

    Raises:
        ValueError: something else than integers, or not one for each row.
    """
    if not is_symbolic(step):
        shapes = ((), (taken.rows,)) if isinstance(taken.rows, int) else ((),)
        steps = to_numpy(step)
        integers = steps.dtype.kind in "iu" and steps.shape in shapes
        if not (integers and (steps >= 0).all() and (steps < 2**31).all()):
            raise ValueError(
                "step must be an integer of at least 0 and below 2**31, or one for each of "
                f"{taken.rows} rows; got {step!r}"
            )
        if not taken.symbolic:
            return row_seeds(seed, taken.rows), np.broadcast_to(steps, (taken.rows,))
    from logit_sampling.engines import keras_arrays

    return keras_arrays.seed_words(seed, taken.rows), keras_arrays.per_row(step, taken.rows)
