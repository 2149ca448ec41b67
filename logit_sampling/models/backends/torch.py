"""torch: the calls of a step, recorded for each number of rows and tokens, and writing in place.

Nothing is filled up to few sizes, as on JAX: recording a size takes hardly longer than running it,
while a long prompt, filled up, would take up to twice as long.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import torch

from logit_sampling.models.attention import Attention
from logit_sampling.models.backends.torch_calls import UnrecordedError, recorded
from logit_sampling.models.sizes import Sizes

sizes = Sizes(few=False)
stacked = False
program = None  # torch traces no loop

_MOST = 64  # records that are held: prompts come in many lengths, and each has some hundred calls


class attention(Attention):
    """Attention by calls that name no number of columns: what was recorded serves for any."""

    _own: Any = None

    def kept(self, arrays: list[Any], layer: int, new: Any) -> Any:
        """Write in place."""
        if self._own is None:
            self._own = self.column + torch.arange(self.count, device=self.column.device)
        return arrays[layer].index_copy_(1, self._own, new.to(arrays[layer].dtype))

    def by_head(self, seen: Any, heads: int) -> Any:
        """Repeat as torch does: Keras would name the columns."""
        return torch.repeat_interleave(seen, heads, dim=0)

    def mixed(
        self, query: Any, keys: Any, values: Any, visible: Any, scale: float, soft_cap: float | None
    ) -> Any:
        """Attend as torch does."""
        if soft_cap is not None:
            return super().mixed(query, keys, values, visible, scale, soft_cap)
        query, keys, values, visible = (
            x.unflatten(0, (self.rows, -1)) for x in (query, keys, values, visible)
        )
        attend = torch.nn.functional.scaled_dot_product_attention
        return attend(query, keys, values, visible, scale=scale).flatten(0, 1)


class _Records:
    """A function, recorded for each size that it is called with; or, if it cannot be, as it is."""

    def __init__(self, function: Callable[..., Any], signature: Sequence[Any], kept: int) -> None:
        self._function, self._given, self.traces = function, len(signature) - kept, 0
        # Attention alone looks at the columns of the arguments that have any number of rows and of
        # columns.
        self._axes = [
            1 if tuple(x.shape) == (None, None) else None for x in signature[: self._given]
        ]
        self._programs: dict[Any, Callable[..., Any]] = {}
        self._recordable = True

    def __call__(self, *arguments: Any) -> Any:
        given = [keras.ops.convert_to_tensor(x) for x in arguments[: self._given]]
        size = tuple(x.shape[:axes] for x, axes in zip(given, self._axes, strict=True))
        arrays, program = [*given, *arguments[self._given :]], self._programs.get(size)
        if program is None and self._recordable:
            try:
                result, program = recorded(self._function, arrays)
            except UnrecordedError:
                self._recordable = False
            else:
                if len(self._programs) == _MOST:
                    self._programs.pop(next(iter(self._programs)), None)  # the oldest
                self._programs[size], self.traces = program, self.traces + 1
                return result
        with torch.inference_mode():
            return program(*keras.tree.flatten(arrays)) if program else self._function(*arrays)


def compiled(
    function: Callable[..., Any], model: Any, signature: Sequence[Any], kept: int
) -> _Records:
    """Return the records of a function; they read variables when they run."""
    return _Records(function, signature, kept)


def put(arrays: list[Any], tables: np.ndarray, new: list[Any]) -> list[Any]:
    """Write in place."""
    with torch.inference_mode():
        for array, own in zip(arrays, new, strict=True):
            array[torch.from_numpy(tables).to(array.device), : own.shape[1]] = own
    return arrays


def state(variables: Sequence[Any]) -> object:
    """Return where the tensors of variables lie, and how often each was written into."""
    tensors = (variable.value for variable in variables)
    return [(tensor.data_ptr(), tensor._version) for tensor in tensors]
