"""A sampler in KerasHub's generation loop, and KerasHub's samplers as chains."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_hub
import numpy as np
from keras import ops

from logit_sampling.distribution.arrays import in_graph
from logit_sampling.distribution.decorators import AUTOGRAPH_SKIPS, as_written
from logit_sampling.distribution.random import check_count, row_seeds
from logit_sampling.distribution.tensors import next_words_of, row_words_of
from logit_sampling.interop.lost_rows import NAN, NO_TOKEN, warn
from logit_sampling.sampler import Greedy, Sampler
from logit_sampling.strategies import Grammar, Guidance


@keras.saving.register_keras_serializable("logit_sampling")
class KerasHubSampler(keras_hub.samplers.Sampler):
    """What `Sampler.for_keras_hub` returns: for `causal_lm.compile(sampler=...)`.

    Nothing can raise in compiled code. When it is through, a UserWarning names each row that
    nothing could be drawn for, where it ends and why. Asked for texts, `generate` returns them
    all, such a row up to there; asked for ids (by a model without a preprocessor), the row holds -1
    from there on. With `run_eagerly=True` TensorFlow raises a ValueError, and torch always does.
    Only in a graph of your own around `generate` nothing is told.

    Args:
        sampler: one of ours, or its configuration.
        seed: see `seed`.

    Attributes:
        sampler: ours.
    """

    def __init__(self, sampler: Any, seed: Any = None) -> None:
        super().__init__()
        self.sampler = Sampler.from_config(sampler) if isinstance(sampler, dict) else sampler
        for transform in self.sampler.transforms:
            if isinstance(transform, Grammar | Guidance):
                raise ValueError(
                    f"{type(transform).__name__} runs Python in each step, so it cannot be part of "
                    "KerasHub's loop, which is compiled: use logit_sampling.generate with the model"
                )
        self._goes_on, self._single = seed is None, np.ndim(seed) == 0
        words = row_seeds(seed, 1 if self._single else np.size(seed))
        # A variable, so that another seed needs no new graph.
        self._words = keras.Variable(words, dtype="uint32", trainable=False, name="seed")

    @property
    def seed(self) -> int | list[int]:
        """The seed of the next `generate`: an integer, or one for each row.

        Constructed without one, it is random, and each `generate` makes the next of it. It can be
        set, to an integer or to as many as there were, and nothing is compiled again.
        """
        seeds = [int(low) | int(high) << 32 for low, high in ops.convert_to_numpy(self._words)]
        return seeds[0] if self._single else seeds

    @seed.setter
    def seed(self, seed: int | Sequence[int]) -> None:
        if seed is None or (np.ndim(seed) == 0) is not self._single:
            wanted = "an integer" if self._single else f"{self._words.shape[0]} integers"
            raise ValueError(f"seed must be {wanted}, as it was; got {seed!r}")
        self._words.assign(row_seeds(seed, self._words.shape[0]))

    @property
    def variables(self) -> list[Any]:
        """What compiled code reads and changes."""
        return [self._words]

    @as_written
    def __call__(
        self,
        next: Callable,
        prompt: Any,
        cache: Any = None,
        index: Any = 0,
        mask: Any = None,
        stop_token_ids: Sequence[int] | None = None,
        hidden_states: Any = None,
        model: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Write the rows of `prompt` to their ends: what a KerasHub model calls.

        Args:
            next: `(prompt, cache, index) -> (logits [batch, vocab], hidden states, cache)`, the
                logits of the column `index`.
            prompt: int [batch, length], with room for what is written.
            cache: what `next` takes and returns.
            index: the first column that is not in all prompts.
            mask: bool [batch, length], where a prompt is, besides the columns before `index`.
            stop_token_ids: tokens that end a row.
            hidden_states: not looked at.
            model: the model whose variables `next` reads; one with a tokenizer gets its end token
                for -1 when compiled code has told of it.
            **kwargs: not looked at.

        Returns:
            int [batch, length]; behind its end a row is as it was. From where nothing could be
            drawn a row holds -1; in `model.generate` a UserWarning then names row and reason.

        Raises:
            ValueError: in eager code (`run_eagerly=True`), a row that nothing can be drawn from;
                seeds for another number of rows.
        """
        prompt, cache = ops.convert_to_tensor(prompt), () if cache is None else cache
        rows, length = ops.shape(prompt)
        index = ops.cast(index, "int32")
        mask = ops.zeros_like(prompt, "bool") if mask is None else ops.cast(mask, "bool")
        given = ops.logical_or(mask, ops.arange(length, dtype="int32")[None] < index)
        # Only the width of these logits is used, so that compiled code does not compute them.
        vocabulary = next(prompt, cache, index)[0].shape[-1]
        history = ops.where(given, prompt, -1)
        # In a graph a state has room for as many tokens as the history has columns.
        room = 0 if in_graph(history) else length - int(index)
        state = self.sampler.init(history, vocabulary, seed=0, max_new_tokens=room)
        state = state._replace(seed=self._row_words(rows))
        if not all(hasattr(leaf, "dtype") for leaf in keras.tree.flatten(state)):
            raise ValueError(
                f"{self.sampler!r} carries what no tensor can hold, so it cannot be part of "
                "KerasHub's loop; use logit_sampling.generate"
            )

        def goes_on(prompt: Any, cache: Any, index: Any, done: Any, lost: Any, state: Any) -> Any:
            return ops.logical_not(ops.all(done))

        def write(prompt: Any, cache: Any, index: Any, done: Any, lost: Any, state: Any) -> tuple:
            logits, _, cache = next(ops.maximum(prompt, 0), cache, index)  # -1 is no input
            inactive = ops.logical_or(mask[:, index], done)
            pending = self.sampler.begin_step(logits, state, inactive)
            ids = pending.draw()
            tokens = ops.where(inactive, prompt[:, index], ops.cast(ids, prompt.dtype))
            prompt = ops.slice_update(prompt, [0, index], tokens[:, None])
            ends = none = tokens < 0
            reasons = ops.where(ops.any(ops.isnan(logits), axis=-1), NAN, NO_TOKEN)
            lost = ops.where(ops.logical_and(none, lost == 0), ops.cast(reasons, "int32"), lost)
            for stop in () if stop_token_ids is None else stop_token_ids:
                ends = ops.logical_or(ends, tokens == stop)
            ends = ops.logical_and(ends, ops.logical_not(inactive))
            done = ops.logical_or(done, ends)
            return prompt, cache, index + 1, done, lost, pending.accept(ids)

        done, lost = ops.zeros((rows,), "bool"), ops.zeros((rows,), "int32")
        prompt, _, _, _, lost, _ = self.run_loop(
            goes_on,
            write,
            loop_vars=(prompt, cache, index, done, lost, state),
            maximum_iterations=length - index,
            model=model,
        )
        if self._goes_on:
            words = ops.convert_to_tensor(self._words)
            self._words.assign(next_words_of(words, ops.zeros((1,), "uint32")))
        behind = ops.cumsum(ops.cast(prompt < 0, "int32"), axis=-1) > 0
        prompt = ops.where(behind, -1, prompt)
        if getattr(model, "generate_function", None) is None:  # nobody is there to be told
            return prompt
        lengths = length - ops.sum(ops.cast(behind, "int32"), axis=-1)
        return _telling(prompt, lengths, lost, _end_token(model))

    def _row_words(self, rows: Any) -> Any:
        """Return the words of each row's seed, uint32 [rows, 2]."""
        if self._single:
            return row_words_of(ops.convert_to_tensor(self._words), rows)
        check_count(self._words.shape[0], rows)
        return ops.convert_to_tensor(self._words)

    def get_config(self) -> dict[str, Any]:
        """Return the chain and the seed, if one was given, as data that JSON can hold."""
        seed = None if self._goes_on else self.seed
        return {"sampler": self.sampler.get_config(), "seed": seed}


setattr(KerasHubSampler, AUTOGRAPH_SKIPS, {})


def _end_token(model: Any) -> int:
    """Return the token that the tokenizer of a model, if it has one, leaves out of texts, or -1."""
    tokenizer = getattr(getattr(model, "preprocessor", None), "tokenizer", None)
    end = getattr(tokenizer, "end_token_id", None)
    return -1 if end is None else int(end)


def from_keras_hub(sampler: Any) -> Sampler:
    """Return our sampler for one of KerasHub's (see `Sampler.from_keras_hub`)."""
    named = keras_hub.samplers
    try:
        theirs = named.get(sampler)
    except (KeyError, TypeError, ValueError):  # whatever the name or the configuration lacks
        theirs = None
    theirs = theirs() if isinstance(theirs, type) else theirs
    if not isinstance(theirs, named.Sampler):
        raise ValueError(
            f"{sampler!r} is no KerasHub sampler: give one, its configuration, or its name, such "
            "as 'top_k'"
        )
    kind = type(theirs)
    if kind is KerasHubSampler:
        return theirs.sampler
    if kind is named.GreedySampler:
        return Greedy()
    if kind not in _SETTINGS:
        own = "write its rule as a Transform, and put that into Sampler(...)"
        instead = _SEARCHES.get(kind, own).format(**vars(theirs))
        raise ValueError(f"no chain of transforms does what {kind.__name__} does: {instead}")
    settings = {ours: getattr(theirs, name) for ours, name in _SETTINGS[kind].items()}
    return Sampler.from_params(order="keras_hub", **settings)


_SETTINGS: dict[type, dict[str, str]] = {
    keras_hub.samplers.RandomSampler: {"temperature": "temperature"},
    keras_hub.samplers.TopKSampler: {"temperature": "temperature", "top_k": "k"},
    keras_hub.samplers.TopPSampler: {"temperature": "temperature", "top_p": "p", "top_k": "k"},
}
"""Our names of the settings of each, and theirs."""

_SEARCHES: dict[type, str] = {
    keras_hub.samplers.BeamSampler: "use generate(..., search=BeamSearch(num_beams={num_beams}))",
    keras_hub.samplers.ContrastiveSampler: (
        "use generate(..., search=ContrastiveSearch(k={k}, alpha={alpha}))"
    ),
    keras_hub.samplers.SpeculativeSampler: (
        "use generate(..., draft=model, num_draft={num_speculative_tokens})"
    ),
}
"""What does the same here, for those that search or draft."""


def _telling(ids: Any, lengths: Any, reasons: Any, end: int) -> Any:
    """Return ids of compiled code, which will `warn` when it is through.

    Args:
        ids: int [batch, length], -1 in a row from where nothing could be drawn.
        lengths: for `warn`.
        reasons: for `warn`.
        end: what a row holds instead of -1 once it is told.
    """
    if keras.config.backend() == "jax":
        import jax

        jax.debug.callback(warn, lengths, reasons)
        return jax.numpy.where(ids < 0, end, ids)
    if not in_graph(ids):  # eager code has raised
        return ids
    from logit_sampling.interop.tensorflow_ids import TellingIds

    return TellingIds(ids, lengths, reasons, end)
