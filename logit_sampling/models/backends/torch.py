"""torch: every operation as it comes, written in place."""

from collections.abc import Callable, Sequence
from typing import Any

from logit_sampling.models.attention import Attention
from logit_sampling.models.sizes import Sizes

sizes = Sizes(few=False)
stacked = False
program = None  # torch traces no loop


class attention(Attention):
    """Attention, at once."""

    def kept(self, arrays: list[Any], layer: int, new: Any) -> Any:
        """Write in place."""
        first = int(self.column)
        arrays[layer][:, first : first + self.count] = new
        return arrays[layer]

    def mixed(
        self, query: Any, keys: Any, values: Any, visible: Any, scale: float, soft_cap: float | None
    ) -> Any:
        """Attend as torch does, to the columns that are in use."""
        from torch.nn.functional import scaled_dot_product_attention

        if soft_cap is not None:
            return super().mixed(query, keys, values, visible, scale, soft_cap)
        end = int(self.column) + self.count
        query, keys, values = (
            x.unflatten(0, (self.rows, -1)) for x in (query, keys[:, :end], values[:, :end])
        )
        mixed = scaled_dot_product_attention(query, keys, values, visible[..., :end], scale=scale)
        return mixed.flatten(0, 1)


class _Eager:
    """A function that is called as it is."""

    traces = 0

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        import keras
        import torch

        arrays = keras.tree.map_structure(keras.ops.convert_to_tensor, list(arguments))
        with torch.inference_mode():
            return self._function(*arrays)


def compiled(
    function: Callable[..., Any], model: Any, signature: Sequence[Any], kept: int
) -> _Eager:
    """Return the function."""
    return _Eager(function)
