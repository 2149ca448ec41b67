"""Token ids that tell of lost rows when they come out of a compiled function of TensorFlow."""

from typing import Any

import tensorflow as tf

from logit_sampling.distribution.arrays import in_graph
from logit_sampling.interop.lost_rows import warn


class TellingIds(tf.__internal__.CompositeTensor):
    """Token ids of a graph, with what is to be told of their rows.

    Nothing can be told from inside a graph that XLA compiles. But TensorFlow puts together what a
    compiled function returns, in Python, once it has run, and asks the type of a composite tensor
    to do it. In the graph it passes for its ids.
    """

    def __init__(self, ids: Any, lengths: Any, reasons: Any, end: int) -> None:
        self.parts, self._end = (ids, lengths, reasons), end

    @property
    def _type_spec(self) -> "TellingIdsSpec":
        ids, lengths, reasons = map(tf.TensorSpec.from_tensor, self.parts)
        return TellingIdsSpec(ids, lengths, reasons, self._end)

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.convert_to_tensor(self.parts[0], dtype=dtype, name=name)

    def __getattr__(self, name: str) -> Any:
        if name == "parts":  # of an object that is not set up, as where one is copied
            raise AttributeError(name)
        return getattr(self.parts[0], name)


def _of_ids(operator: str) -> Any:
    return lambda self, *others: getattr(self.parts[0], operator)(*others)


for _operator in tf.Tensor.OVERLOADABLE_OPERATORS:
    setattr(TellingIds, _operator, _of_ids(_operator))


class TellingIdsSpec(tf.TypeSpec):
    """The type of `TellingIds`."""

    value_type = property(lambda self: TellingIds)

    def __init__(self, ids: Any, lengths: Any, reasons: Any, end: int) -> None:
        self._specs, self._end = (ids, lengths, reasons), end

    def _serialize(self) -> tuple:
        return (*self._specs, self._end)

    @property
    def _component_specs(self) -> tuple:
        return self._specs

    def _to_components(self, value: TellingIds) -> tuple:
        return value.parts

    def _from_components(self, components: tuple) -> Any:
        """Return the composite in a graph; outside tell, and return the ids alone."""
        ids, lengths, reasons = components
        if in_graph(ids):
            return TellingIds(ids, lengths, reasons, self._end)
        warn(lengths.numpy(), reasons.numpy())
        return tf.where(ids < 0, tf.cast(self._end, ids.dtype), ids)
