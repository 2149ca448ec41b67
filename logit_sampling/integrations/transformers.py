"""A sampler in the generation loop of Hugging Face transformers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from logit_sampling.arrays import like, to_numpy
from logit_sampling.checks import check_ids
from logit_sampling.random import row_seeds
from logit_sampling.stepping import Pending, State

try:
    from transformers import LogitsProcessor
except ImportError:  # then there is no loop of theirs either, but arrays can be processed
    LogitsProcessor = object


class TransformersProcessor(LogitsProcessor):
    """What ``Sampler.for_transformers`` returns: for ``generate(logits_processor=[...])``.

    Args:
        sampler: one of ours.
        draw: whether the tokens are drawn here.
        seed: see ``Sampler.for_transformers``, also for the others.
        pad_token_id: the same.
        eos_token_id: the same.

    Attributes:
        sampler: ours.
    """

    def __init__(
        self,
        sampler: Any,
        draw: bool = False,
        seed: int | Sequence[int] | None = None,
        pad_token_id: int | None = None,
        eos_token_id: int | Sequence[int] = (),
    ) -> None:
        self.sampler, self._draw, self._seed = sampler, draw, seed
        self._pad, self.eos_token_id = -1 if pad_token_id is None else pad_token_id, eos_token_id
        check_ids(self, "eos_token_id")
        self._ids: np.ndarray | None = None  # what the latest call was given
        self._pending: Pending | None = None  # the step whose tokens the next call will tell

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return what the chain makes of the scores.

        Args:
            input_ids: int [batch, length], the texts so far, shorter prompts padded at the left.
            scores: float [batch, vocab], the logits of the next token.

        Returns:
            float32 [batch, vocab] like ``scores``: logits, -inf for a removed token; or, if the
            draw is made here, 0 for the token drawn and -inf for the others. A row behind its end
            token is left as it is.

        Raises:
            ValueError: as in a call of a sampler, also for a row with nothing left to draw from;
                ``Mirostat`` or ``AdaptiveP`` in beam search.
        """
        ids, raw = to_numpy(input_ids), np.array(to_numpy(scores))  # theirs may be overwritten
        state = self._state(ids, raw.shape[-1])
        ended = np.isin(ids[:, self._prompt_length :], self.eos_token_id)
        resting = np.any(ended, axis=1, keepdims=True)
        pending = self.sampler.begin_step(raw, state, resting[:, 0])
        self._ids, self._pending = ids.copy(), pending
        tokens = pending.draw()  # raises where there is none, which a mask could not tell
        left = pending.logits()
        if self._draw:
            left = np.where(np.arange(left.shape[1]) == tokens[:, None], 0.0, -np.inf)
        result = like(scores)(np.where(resting, raw, left).astype(np.float32))
        return result.to(scores.device) if hasattr(result, "to") else result

    def _state(self, ids: np.ndarray, vocabulary: int) -> State:
        """Return the state after ``ids``, [batch, length]: one token later, or built anew."""
        before, pending = self._ids, self._pending
        if before is None or pending is None or ids.shape != (len(before), before.shape[1] + 1):
            return self._started(ids, vocabulary)
        if (ids[:, :-1] == before).all():
            return pending.accept(np.where(pending.resting, -1, ids[:, -1]).astype(np.int32))
        prompts = np.s_[:, : self._prompt_length]
        if (ids[prompts] == before[prompts]).all():  # beams change places behind their prompts
            return self._read(ids, vocabulary)
        return self._started(ids, vocabulary)

    def _started(self, ids: np.ndarray, vocabulary: int) -> State:
        """Return the state after prompts."""
        self._prompt_length, self._words = ids.shape[1], row_seeds(self._seed, len(ids))
        return self._read(ids, vocabulary)

    def _read(self, ids: np.ndarray, vocabulary: int) -> State:
        """Return the state after a whole history."""
        length, history = self._prompt_length, ids.astype(np.int32)
        padding = np.logical_and.accumulate(history[:, :length] == self._pad, axis=1)
        history[:, :length][padding] = -1
        states = (t.state_of(history, length, vocabulary) for t in self.sampler.transforms)
        return State(self._words, (history >= 0).sum(axis=1, dtype=np.int32), tuple(states))
