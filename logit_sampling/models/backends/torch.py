"""torch: the calls of a step, recorded once for each number of rows and tokens, written in place.

No step is filled up to one of few sizes, as on JAX: to record a size takes hardly longer than to
run it, and a long prompt would be paid for up to twice.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import torch

from logit_sampling.models.attention import Attention
from logit_sampling.models.backends.torch_calls import UnrecordedError, recorded
from logit_sampling.models.sizes import Sizes

sizes = Sizes(few=False)
stacked = False

_PROGRAMS = 64  # that are held on to: prompts may have any length


class attention(Attention):
    """Attention by calls in which no number of columns stands, so that they do for any."""

    _columns: Any = None
    _masks: Any = None

    def kept(self, arrays: list[Any], layer: int, new: Any) -> Any:
        """Write in place."""
        if self._columns is None:
            own = torch.arange(self.count, device=self.column.device)
            self._columns = self.column + own
        return arrays[layer].index_copy_(2, self._columns, new.to(arrays[layer].dtype))

    def mixed(
        self, query: Any, keys: Any, values: Any, visible: Any, scale: float, soft_cap: float | None
    ) -> Any:
        """Attend as torch does."""
        if soft_cap is not None:
            return super().mixed(query, keys, values, visible, scale, soft_cap)
        return torch.nn.functional.scaled_dot_product_attention(
            query, keys, values, visible, scale=scale
        )


class _Programs:
    """The records of a function, one for each size that it is called with.

    Args:
        function: see `compiled`.
        over_columns: which of its arguments have an axis of columns.
        kept: see `compiled`.

    Attributes:
        traces: how often it was recorded.
    """

    def __init__(
        self, function: Callable[..., Any], over_columns: list[bool], kept: int
    ) -> None:
        self._function, self._over_columns, self._kept = function, over_columns, kept
        self._programs: dict[Any, Callable[..., Any]] = {}
        self._recordable, self.traces = True, 0

    def __call__(self, *arguments: Any) -> Any:
        first = len(arguments) - self._kept
        given = [keras.ops.convert_to_tensor(x) for x in arguments[:first]]
        arrays = [*given, *arguments[first:]]
        size = tuple(
            x.shape[:1] if any_columns else x.shape
            for x, any_columns in zip(given, self._over_columns, strict=False)
        )
        program = self._programs.get(size)
        if program is None and self._recordable:
            try:
                result, program = recorded(self._function, arrays)
            except UnrecordedError:
                self._recordable = False
            else:
                while len(self._programs) >= _PROGRAMS:
                    del self._programs[next(iter(self._programs))]
                self._programs[size] = program
                self.traces += 1
                return result
        with torch.inference_mode():
            return program(*keras.tree.flatten(arrays)) if program else self._function(*arrays)


def compiled(
    function: Callable[..., Any], model: Any, signature: Sequence[Any], kept: int
) -> _Programs:
    """Return the records of a function; they read variables when they run."""
    # Of the arguments with any number of rows and of columns: attention alone sees these.
    over_columns = [getattr(x, "shape", ()) == (None, None) for x in signature]
    return _Programs(function, over_columns, kept)
