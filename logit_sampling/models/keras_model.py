"""Keras models from token ids to logits.

They keep no cache and read the whole text for each token. Where only few lengths can be read, those
of a fixed input or, on JAX, those that are compiled, texts are padded behind. That is right for a
causal model alone, and done for those alone that were found to be causal (`causality`).
"""

import contextlib
import functools
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from logit_sampling.distribution.arrays import logits_of, to_numpy
from logit_sampling.models.causality import SEEN, dependence, difference, random_weights
from logit_sampling.models.function import CallableModel, Texts, check_shape, hidden_of
from logit_sampling.models.keras_hub_bridge import layers_of, parameter_count
from logit_sampling.models.model import Cache, Output, Tokenizer, in_a_line
from logit_sampling.models.remembered import remembered

_LEAST = 32  # tokens to which texts are padded at least, then to powers of two


@dataclass(frozen=True, eq=False, repr=False)
class KerasModel:
    """A Keras model from token ids to logits, as a model.

    What changes on the Keras model (weights, layers) counts from then on.

    Args:
        keras_model: int32 [batch, length] -> logits [batch, length, vocab], or those of what
            follows the last token, [batch, vocab]; or what a function may return (`CallableModel`).
        called: its name, if not that of the Keras model.
        context: how many tokens a text may have, if not as many as the model has inputs.
        left_pad_id: what fills up the front of a fixed input, if texts were padded there in
            training; None if not.

    Raises:
        ValueError: it has other inputs than token ids.
    """

    keras_model: Any
    called: str | None = None
    context: int | None = None
    left_pad_id: int | None = None

    vocab_size: ClassVar[int | None] = None
    end_ids: ClassVar[tuple[int, ...]] = ()
    tokenizer: ClassVar[Tokenizer | None] = None

    def __post_init__(self) -> None:
        input_shape(self.keras_model)

    def __repr__(self) -> str:
        kind = type(self.keras_model).__name__
        return in_a_line(self, f"KerasModel {kind}", parameter_count(self.keras_model))

    @property
    def name(self) -> str:
        """What to call it."""
        return self.called or str(self.keras_model.name)

    @property
    def input_length(self) -> int | None:
        """How many tokens the Keras model is made for, None if for any number."""
        return input_shape(self.keras_model)[1]

    @property
    def context_length(self) -> int | None:
        """How many tokens a text may have, None if there is no limit."""
        return self.context or self.input_length

    @property
    def stride(self) -> int | None:
        """See `Model`: where texts cannot be padded behind, the input must be full."""
        if self.input_length is None:
            return None
        full = self.left_pad_id is not None or self._compiled().trouble(self.input_length, False, 1)
        return 1 if full else None

    @property
    def traces(self) -> int:
        """How often the Keras model was traced, to be compiled for a size."""
        return self._compiled().traces if self.keras_model.built else 0

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, Cache]:
        """Read prompts; return what follows the last token of each, and the cache."""
        rows = [list(prompt) for prompt in prompts]
        _build(self.keras_model, rows[0])
        texts = Texts(functools.partial(self._read, self._compiled()), [[] for _ in rows])
        return texts.read(rows), texts

    def _compiled(self) -> "_Compiled":
        """Return what runs the Keras model as it is now."""
        make = functools.partial(_Compiled, weakref.ref(self.keras_model))
        return remembered(self.keras_model, make)

    def _read(self, model: "_Compiled", rows: list[list[int]], columns: int) -> Output:
        """Return what follows each of the last `columns` tokens of whole texts."""
        if model.batch is not None and len(rows) > model.batch:
            groups = [rows[i : i + model.batch] for i in range(0, len(rows), model.batch)]
            return _joined([self._read(model, group, columns) for group in groups], axis=0)
        padding = self.left_pad_id is None and (model.length is not None or model.on_jax)
        width = model.width(rows, self.context_length) if padding else None
        if width is not None:
            return model.read(rows, columns, width)
        if columns > 1 and not model.causal(rows, self.context_length):
            # A whole text tells its end alone: that of each of its beginnings is asked for.
            parts = [[row[: len(row) - back] for row in rows] for back in reversed(range(columns))]
            return _joined([self._read(model, part, 1) for part in parts], axis=1)
        if model.length is None:
            return CallableModel(model.exact).read(rows, columns)
        self._check_full(rows, model)
        return model.read(rows, columns, model.length, self.left_pad_id or 0)

    def _check_full(self, rows: list[list[int]], model: "_Compiled") -> None:
        """Raise ValueError for a text that neither fills the input nor may be padded."""
        length, lengths = model.length, sorted({len(row) for row in rows})
        assert length is not None
        if lengths[-1] > length:
            raise ValueError(
                f"model {self.name!r} reads {length} tokens, and a text has {lengths[-1]}: give "
                'shorter ones, or generate with overflow="slide", which reads the last of them'
            )
        if self.left_pad_id is None and lengths[0] < length:
            zeros = any(0 in row for row in rows)
            what = "with token 0 in it " if zeros and not model.trouble(length, False, 1) else ""
            raise ValueError(
                f"model {self.name!r} reads {length} tokens at once, and a text of {lengths[0]} "
                f"{what}cannot be padded behind: {model.trouble(length, zeros, 1)}; give prompts "
                f'of {length} tokens or more with overflow="slide", of which it reads the last, or '
                "pass as_model(model, left_pad_id=0) if it was trained on texts with 0 in front"
            )


def input_shape(model: Any) -> tuple[int | None, int | None]:
    """Return for how many rows and tokens a Keras model is made, None for any number.

    Raises:
        ValueError: it has other inputs than token ids.
    """
    import keras

    inputs = getattr(model, "inputs", None)
    if not isinstance(inputs, list) or not all(isinstance(x, keras.KerasTensor) for x in inputs):
        return None, None  # of a class of one's own, or not built
    shapes = [tuple(x.shape) for x in inputs]
    if len(shapes) > 1 or len(shapes[0]) < 2 or any(n != 1 for n in shapes[0][2:]):
        raise ValueError(
            f"model {model.name!r} takes inputs of shape {', '.join(map(str, shapes))}, and "
            "generate has token ids [batch, length]: pass a function of these that calls the model"
        )
    rows, length = shapes[0][:2]
    if rows is not None and isinstance(model, keras.Sequential):
        return None, None  # the shape of the array that it was first called on
    return rows, length


def _build(model: Any, ids: list[int]) -> None:
    """Give a model its weights, if it has none yet."""
    import keras

    if not model.built and isinstance(model, keras.Sequential):
        model.build((None, None))
    if not model.built:
        model(np.array([ids], np.int32), training=False)


def _joined(outputs: list[Output], axis: int) -> Output:
    logits, hidden = zip(*outputs, strict=True)
    both = any(part is None for part in hidden)
    return Output(np.concatenate(logits, axis), None if both else np.concatenate(hidden, axis))


class _Compiled:
    """A Keras model as it is now, compiled for a few sizes.

    Args:
        own: the Keras model, see `remembered`.

    Attributes:
        batch: how many rows it takes at once, None for any number.
        length: how many tokens it takes, None for any number.
        on_jax: whether it is compiled for each shape.
        traces: how often it was traced.
    """

    def __init__(self, own: "weakref.ref[Any]") -> None:
        import keras

        model: Any = own()
        self._own = own
        self._backend = keras.backend.backend()
        self.on_jax = self._backend == "jax"
        self.batch, self.length = input_shape(model)
        self.traces = 0
        self._troubles: dict[tuple[int, int], str | None] = {}
        self._graphs: dict[tuple[int | None, bool], Any] = {}
        self._eager = False  # whether it turned out that JAX cannot trace it
        self._take: Any = _take
        layers = layers_of(model)
        kinds = {getattr(layer, "compute_dtype", "") for layer in layers}
        self._tolerance = 2**-4 if kinds & {"float16", "bfloat16"} else 2**-8
        if goes_on := [layer.name for layer in layers if getattr(layer, "stateful", False) is True]:
            raise ValueError(
                f"layer {goes_on[0]!r} of model {model.name!r} is stateful, so it goes on from its "
                "last call, and generate reads a text from its beginning: build the model with "
                "stateful=False, and set its weights"
            )
        if self.on_jax:
            import jax

            self._jitted = jax.jit(self._traced)  # weights are inputs: others compile nothing
            self._take = jax.jit(_take)

    def width(self, rows: list[list[int]], limit: int | None) -> int | None:
        """Return to how many tokens rows may be padded behind, None if they may not."""
        longest, zeros = max(map(len, rows)), any(0 in row for row in rows)
        if self.length is not None:
            if longest > self.length or self.trouble(self.length, zeros, len(rows)):
                return None
            limit = self.length
        width = max(_LEAST, 1 << (longest - 1).bit_length())
        width = min(width, limit or width)
        if width >= longest and not self.trouble(width, zeros, len(rows)):
            return width
        return self.length

    def causal(self, rows: list[list[int]], limit: int | None) -> bool:
        """Tell whether a whole text tells what follows each of its tokens."""
        longest, zeros = max(map(len, rows)), any(0 in row for row in rows)
        width = max(16, 1 << (longest.bit_length() - 1))
        return self.length is None and not self.trouble(min(width, limit or width), zeros, 1)

    def trouble(self, width: int, zeros: bool, rows: int) -> str | None:
        """Tell why texts may not be padded behind to a width, None if they may.

        Args:
            width: tokens.
            zeros: whether there is token 0 in the texts, which a model may mask as padding.
            rows: with how many to measure it.
        """
        trouble = self._measured(width, 0, rows)
        return self._measured(width, 1, rows) if trouble and not zeros else trouble

    def _measured(self, width: int, lowest: int, rows: int) -> str | None:
        if (width, lowest) not in self._troubles:
            try:
                self._troubles[width, lowest] = self._measure(width, lowest, rows)
            except Exception as error:  # whatever a model raises for a length that it does not take
                why = " ".join(str(error).split())[:200]
                self._troubles[width, lowest] = (
                    f"called on {width} tokens it raises {type(error).__name__}: {why}"
                )
        return self._troubles[width, lowest]

    def _measure(self, width: int, lowest: int, rows: int) -> str | None:
        shape = self._rows(rows if self.on_jax else 1), width
        other = width // 2 if self.length is None else self.length
        for chance in (False, True):
            weights = _random(self._own()) if chance else None
            call = functools.partial(self._logits, weights=weights)
            trouble = dependence(call, shape, lowest)
            if trouble is None and other not in (0, width):
                seen = SEEN if chance else None
                trouble = difference(call, shape, other, lowest, self._tolerance, seen)
            if trouble is not None:
                return trouble + ", with random weights" * chance
        return None

    def _logits(self, ids: np.ndarray, weights: list[Any] | None) -> np.ndarray:
        logits = to_numpy(self._run(ids, weights)[0]).astype(np.float32)
        check_shape(logits, ids)
        # Random weights may be too large for the model: then they say nothing.
        return logits if weights is None else np.nan_to_num(logits, posinf=np.inf, neginf=-np.inf)

    def read(
        self, rows: list[list[int]], columns: int, width: int, filler: int | None = None
    ) -> Output:
        """Read texts that are padded to a width.

        Args:
            rows: the texts.
            columns: of how many of their last tokens to tell what follows.
            width: tokens.
            filler: stands in front of them; None to pad behind.
        """
        count, lengths = self._rows(len(rows)), np.array([len(row) for row in rows])
        ids = np.full((count, width), filler or 0, np.int32)
        starts = np.zeros_like(lengths) if filler is None else width - lengths
        for own, row, start in zip(ids, rows, starts, strict=False):
            own[start : start + len(row)] = row
        ids[len(rows) :] = ids[0]
        logits, hidden = self._run(ids)
        if len(logits.shape) == 2:
            return Output(to_numpy(logits).astype(np.float32)[: len(rows), None])
        # JAX compiles for each number of columns, as for each number of rows.
        wide = 1 << (columns - 1).bit_length() if self.on_jax else columns
        places = np.zeros((count, wide), np.int32)
        places[: len(rows), :columns] = (starts + lengths)[:, None] - np.arange(columns, 0, -1)
        places += np.arange(count, dtype=np.int32)[:, None] * width

        def at(x: Any) -> np.ndarray:
            return to_numpy(self._take(x, places)).astype(np.float32)[: len(rows), :columns]

        known = hidden is not None and tuple(hidden.shape[:-1]) == ids.shape
        return Output(at(logits), at(hidden) if known else None)

    def exact(self, ids: np.ndarray) -> Any:
        """Call the model on ids [rows, length] of any length."""
        more = self._rows(len(ids)) - len(ids)
        made = self._run(np.concatenate([ids, np.repeat(ids[:1], more, axis=0)]))
        return tuple(None if x is None else to_numpy(x)[: len(ids)] for x in made)

    def _rows(self, count: int) -> int:
        """Return how many rows to read where so many are wanted."""
        return self.batch or (1 << (count - 1).bit_length() if self.on_jax else count)

    def _run(self, ids: np.ndarray, weights: list[Any] | None = None) -> Any:
        """Return logits and what may be hidden states, as arrays of the backend.

        Args:
            ids: int32 [rows, length].
            weights: in place of those of the model.
        """
        if self._backend == "torch":
            import torch

            with torch.no_grad():
                return self._call(ids, weights)
        if self._backend not in ("jax", "tensorflow") or self._eager:
            return self._call(ids, weights)
        if self.on_jax:
            try:
                return self._jitted(ids, _values(self._own()) if weights is None else weights)
            except Exception:  # Keras hides that it cannot be traced in errors of several kinds
                made = self._call(ids, weights)  # raises itself if that is not why
                self._eager = True
                return made
        # Layers may rest on the length of a fixed input.
        key = None if self.length is None else ids.shape[1], weights is None
        if key not in self._graphs:
            self._graphs[key] = self._graph(*key)
        return self._graphs[key](ids) if weights is None else self._graphs[key](ids, weights)

    def _graph(self, width: int | None, own: bool) -> Any:
        """Return what compiles the model with TensorFlow.

        Args:
            width: for how many tokens, None for any number.
            own: whether it reads the variables of the model, and is not given weights.
        """
        import tensorflow as tf

        signature: list[Any] = [tf.TensorSpec([self.batch, width], tf.int32)]
        if not own:
            signature.append([tf.TensorSpec(v.shape, v.dtype) for v in _values(self._own())])
        return tf.function(self._traced, input_signature=signature)

    def _traced(self, ids: Any, weights: list[Any] | None = None) -> Any:
        made = self._call(ids, weights)
        self.traces += 1  # not for a length that the model refuses
        return made

    def _call(self, ids: Any, weights: list[Any] | None = None) -> Any:
        import keras

        model: Any = self._own()
        mapping = list(zip(model.variables, weights or (), strict=bool(weights)))
        with keras.StatelessScope(mapping) if mapping else contextlib.nullcontext():
            result = model(ids, training=False)
        hidden = hidden_of(result)
        return logits_of(result), hidden if len(getattr(hidden, "shape", ())) == 3 else None


def _values(model: Any) -> list[Any]:
    from keras import ops

    return [ops.convert_to_tensor(variable) for variable in model.variables]


def _random(model: Any) -> list[Any]:
    """Return random weights for those that are trained, and the others as they are."""
    from keras import ops

    values = []
    for variable, new in zip(model.variables, random_weights(model.variables), strict=True):
        value = variable.value if new is None else ops.convert_to_tensor(new, variable.dtype)
        constraint = None if new is None else getattr(variable, "constraint", None)
        values.append(value if constraint is None else constraint(value))
    return values


def _take(x: Any, places: Any) -> Any:
    """Return rows of `x` [rows, length, width] by their places in all of its rows."""
    from keras import ops

    return ops.take(ops.reshape(x, (-1, x.shape[-1])), places, axis=0)
