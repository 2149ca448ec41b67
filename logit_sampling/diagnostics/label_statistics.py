"""What is known of the labels of an output: a vector of numbers of which the greatest counts.

So a training step can carry it along, batch by batch. What the numbers mean is decided outside.
"""

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class LabelStatistics:
    """What is known of the labels of one output; an ignored class and NaN are left out.

    Attributes:
        lowest: the lowest value; inf without values, as for what follows.
        counted: the lowest value that is not negative.
        least_sum: the least sum of a row, along the axis of the classes; inf without that axis.
        greatest: the greatest value; -inf without values, as for what follows.
        negative: the greatest negative value.
        under: the greatest value that is not 255.
        greatest_sum: the greatest sum of a row; -inf without that axis.
        nan: whether there is a NaN or an infinity; -inf without values, as for what follows.
        fraction: whether a value is not a whole number.
        zero: whether a value is 0.
        spread: whether a row is not one-hot.
    """

    lowest: float = math.inf
    counted: float = math.inf
    least_sum: float = math.inf
    greatest: float = -math.inf
    negative: float = -math.inf
    under: float = -math.inf
    greatest_sum: float = -math.inf
    nan: float = -math.inf
    fraction: float = -math.inf
    zero: float = -math.inf
    spread: float = -math.inf

    @classmethod
    def of(cls, vector: Any) -> "LabelStatistics":
        """Read what `statistics` returned, or the merge of several."""
        return cls(*(np.asarray(vector, np.float64) * SIGNS).tolist())

    @property
    def one_hot(self) -> bool:
        """Whether each row is 1 once and 0 elsewhere."""
        return self.spread == 0 and self.lowest == 0 and self.fraction <= 0


SIGNS = np.array([-1.0] * 3 + [1.0] * 8)  # the lowest is minus the greatest of the negated values
NOTHING = np.full(len(fields(LabelStatistics)), -np.inf, np.float32)  # of no labels at all


def statistics(y: Any, output_shape: Shape, axis: int = -1, ignored: int | None = None) -> Any:
    """Summarise labels, in a graph too; returns a float32 vector, see `merge`.

    Args:
        y: numbers of any shape and dtype, on any backend of Keras. Text gives `NOTHING`.
        output_shape: of the model's output, [batch, ..., units].
        axis: along which axis of the output the classes lie.
        ignored: the label that the loss leaves out, if it does.
    """
    from keras import ops

    if is_text(y):
        return NOTHING
    x = ops.cast(y, "float32")
    finite = ops.isfinite(x)
    kept = finite
    if ignored is not None:
        kept = ops.logical_and(kept, ops.not_equal(x, ignored))

    def most(values: Any) -> Any:  # -inf of none
        return ops.max(ops.cast(values, "float32"), initial=-math.inf)

    def greatest(values: Any, where: Any) -> Any:
        return most(ops.where(where, values, -math.inf))

    def among(where: Any) -> Any:
        return ops.logical_and(kept, where)

    least_sum = greatest_sum = spread = -math.inf
    if has_rows(y.shape, output_shape, axis):
        filled = ops.where(kept, x, 0.0)
        sums = ops.sum(filled, axis)
        ones = ops.sum(ops.cast(ops.equal(filled, 1.0), "float32"), axis)
        least_sum, greatest_sum = most(-sums), most(sums)
        spread = most(ops.logical_or(ops.not_equal(sums, 1.0), ops.not_equal(ones, 1.0)))
    values = [
        greatest(-x, kept),
        greatest(-x, among(x >= 0)),
        least_sum,
        greatest(x, kept),
        greatest(x, among(x < 0)),
        greatest(x, among(ops.not_equal(x, 255.0))),
        greatest_sum,
        most(ops.logical_not(finite)),
        most(among(ops.not_equal(ops.floor(x), x))),
        most(among(ops.equal(x, 0.0))),
        spread,
    ]
    return ops.stack([ops.cast(value, "float32") for value in values])


def merge(a: Any, b: Any) -> Any:
    """Merge the vectors of two batches, in a graph too; `NOTHING` changes nothing."""
    from keras import ops

    return ops.maximum(a, b)


def is_text(y: Any) -> bool:
    """Whether labels are text or other objects, which Keras cannot train on."""
    dtype = getattr(y, "dtype", None)
    name = str(getattr(dtype, "name", dtype))
    return name.startswith(("str", "bytes", "object"))


def has_rows(y_shape: Any, output_shape: Any, axis: int) -> bool:
    """Whether labels have the axis that the classes lie on."""
    return len(y_shape) == len(output_shape) and y_shape[axis] not in (None, 1)


def form_of(stats: LabelStatistics, y_shape: Shape, output_shape: Shape, axis: int = -1) -> str:
    """Tell "ids", "one-hot", "many" (several yes in a row), "numbers" (of each unit) or ""."""
    if not has_rows(y_shape, output_shape, axis):
        return "ids" if output_shape[axis] not in (None, 1) and stats.fraction <= 0 else ""
    if stats.one_hot:
        return "one-hot"
    yes_or_no = stats.fraction <= 0 and stats.lowest == 0 and stats.greatest == 1
    return "many" if yes_or_no and stats.greatest_sum > 1 else "numbers"
