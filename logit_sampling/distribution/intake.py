"""Taking logits in: which engine serves them, and how results go back to the caller.

`eager` serves all arrays that hold numbers: NumPy's, and eager tensors of TensorFlow, JAX and
torch, whose memory it reads. `graph` serves the symbolic tensors of a graph that is being traced.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from logit_sampling.distribution.arrays import (
    in_graph,
    is_symbolic,
    like,
    named_logits,
    to_int32,
    to_numpy,
)
from logit_sampling.distribution.checks import check_dtype, check_shape
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.random import row_seeds, row_words


class Intake(NamedTuple):
    """Logits taken in: the distribution of a batch, and how results go back to the caller."""

    distribution: Distribution
    rows: Any  # how many; a tensor where a traced graph leaves it open
    symbolic: bool
    batched: bool  # whether there was a batch axis
    like: Callable[[Any], Any]  # to the array type of the caller

    def restore(self, result: Any) -> Any:
        """Return a result, [batch, ...], in the caller's type, without a batch axis of ours."""
        return self.like(result if self.batched else result[0, ...])


def take_in(logits: Any, *others: Any) -> Intake:
    """Check logits, [vocab] or [batch, vocab], and hand them to their engine.

    Args:
        logits: an array, a tensor, or nested lists; or what names it as its `logits`.
        others: what else takes part: in a graph if any of it is.

    Raises:
        ValueError: a wrong rank or dtype, an empty vocabulary, or no array of numbers.
    """
    if type(logits) is not np.ndarray:
        logits = named_logits(logits)
    symbolic = in_graph(logits, *others)
    if symbolic:
        from logit_sampling.distribution import graph, tensors

        x = tensors.to_tensor(logits)
    else:
        x = to_numpy(logits)
    check_shape(x.shape)
    if x.dtype != np.float32:
        check_dtype(x.dtype.name)
    batched = len(x.shape) == 2
    if not batched:
        x = x[None]
    if symbolic:
        rows = tensors.row_count(x)
        return Intake(graph.GraphDistribution.of(x), rows, True, batched, lambda result: result)

    from logit_sampling.distribution import eager

    return Intake(eager.EagerDistribution.of(x), len(x), False, batched, like(logits))


def batch_of(numbers: Any, history: Any) -> Any:
    """Return a number or [batch] numbers as float64 [batch], for the rows of `history`.

    Of a graph that is being traced, it is a tensor.
    """
    if not in_graph(history, numbers):
        return np.broadcast_to(np.asarray(numbers, np.float64), (len(history),))
    from logit_sampling.distribution import tensors

    return tensors.batch_of(numbers, history)


def engine_of(*arrays: Any, others: Sequence[Any] = ()) -> tuple[Any, list[Any]]:
    """Return where to compute with integer arrays, `numpy` or `keras.ops`, and them as int32.

    It is `keras.ops` in a graph that is being traced, which any of the arrays or of `others`
    may belong to; the arrays are then its tensors.
    """
    if not in_graph(*arrays, *others):
        return np, [to_int32(array) for array in arrays]
    from keras import ops

    from logit_sampling.distribution import tensors

    return ops, [tensors.to_int32(array) for array in arrays]


def seeds_and_steps(seed: Any, step: Any, taken: Intake) -> tuple[Any, Any]:
    """Return the seed, uint32 [batch, 2], and the step, int [batch], of each row; or as lists.

    Raises:
        ValueError: something else than integers, or not one for each row.
    """
    if not taken.symbolic and type(step) is int and 0 <= step < 2**31:  # the usual case
        return row_words(seed, taken.rows), [step] * taken.rows
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
    from logit_sampling.distribution import tensors

    return tensors.seed_words(seed, taken.rows), tensors.row_integers(step, taken.rows)
