"""A sampler in the generation loop of Hugging Face transformers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import like, to_numpy
from logit_sampling.distribution.checks import check_ids
from logit_sampling.distribution.random import row_seeds
from logit_sampling.sampler import Pending, State
from logit_sampling.strategies.transform import start

try:
    from transformers import LogitsProcessor
except ImportError:  # then there is no loop of theirs either, but arrays can be processed
    LogitsProcessor = object


class TransformersProcessor(LogitsProcessor):
    """What `Sampler.for_transformers` returns: for `generate(logits_processor=[...])`.

    A call goes on with the texts of an earlier one if it was given them before without their last
    tokens. If they are those of the call before, so does the state. Where `generate` takes tokens
    back, it is built anew from the texts: in beam search (without `draw`), with
    `prompt_lookup_num_tokens` and with an `assistant_model`. Drafts are checked by this chain,
    so the tokens have the same distribution as without them, and with `draw=True` they are the
    same. `Mirostat` and `AdaptiveP`, which learn from each draw, raise there. So does a draft
    after which a chain leaves nothing to draw from; for drafts that reach behind the end pass
    `eos_token_id`.

    Args:
        sampler: one of ours.
        draw: whether the tokens are drawn here.
        seed: see `Sampler.for_transformers`, also for the others.
        attention_mask: the same.
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
        attention_mask: Any = None,
        pad_token_id: int | None = None,
        eos_token_id: int | Sequence[int] = (),
    ) -> None:
        self.sampler, self._draw, self._seed = sampler, draw, seed
        self._mask: Any = None if attention_mask is None else to_numpy(attention_mask)
        self._masked: Any = None  # the prompts that the mask belongs to
        self._pad, self.eos_token_id = pad_token_id, eos_token_id
        check_ids(self, "eos_token_id")
        if not (pad_token_id is None or isinstance(pad_token_id, int | np.integer)):
            raise ValueError(f"pad_token_id must be a token id or None; got {pad_token_id!r}")
        mask = self._mask
        if mask is not None and not (mask.ndim == 2 and len(mask) and np.isin(mask, (0, 1)).all()):
            raise ValueError(
                "attention_mask must be [batch, length], 1 where a prompt is and 0 for padding, as "
                f"the tokenizer returned it; got {attention_mask!r}"
            )
        # The latest first. There are two where a draft model has a tokenizer of its own: its texts
        # come here too.
        self._generations: list[_Generation] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """Return what the chain makes of the scores.

        Args:
            input_ids: int [batch, length], the texts so far, shorter prompts padded at the left.
            scores: float [batch, vocab], the logits of the next token.

        Returns:
            float32 [batch, vocab] like `scores`: logits, -inf for a removed token; or, if the
            draw is made here, 0 for the token drawn and -inf for the others. A row behind its end
            token is left as it is.

        Raises:
            ValueError: as in a call of a sampler, also for a row with nothing left to draw from;
                padding that cannot be told from prompts; texts of which it cannot be told whether
                they go on or begin; `Mirostat` or `AdaptiveP` where beams change places or
                drafts are given up.
        """
        ids, raw = to_numpy(input_ids), np.array(to_numpy(scores))  # theirs may be overwritten
        generation, state = self._find(ids, raw.shape[-1])
        ended = np.isin(ids[:, generation.prompts.shape[1] :], self.eos_token_id)
        inactive = np.any(ended, axis=1, keepdims=True)
        pending = self.sampler.begin_step(raw, state, inactive[:, 0])
        generation.take(ids, pending)
        others = [other for other in self._generations if not other.has_prompts_of(generation)]
        self._generations = [generation, *others[:1]]
        tokens = pending.draw()  # raises where there is none, which a mask could not tell
        left = pending.logits()
        if self._draw:
            left = np.where(np.arange(left.shape[1]) == tokens[:, None], 0.0, -np.inf)
        return like(scores)(np.where(inactive, raw, left).astype(np.float32))

    def _find(self, ids: np.ndarray, vocabulary: int) -> tuple["_Generation", State]:
        """Return the generation that `ids` [batch, length] belong to, and the state after them.

        It is a new one if its prompts are, or are those of an earlier one and nothing more.
        """
        for generation in self._generations:
            if generation.vocabulary == vocabulary and generation.goes_on(ids):
                return generation, self._state(generation, ids)
        for generation in self._generations[:1]:
            if generation.vocabulary == vocabulary and generation.precedes(ids):
                raise ValueError(
                    f"texts of {ids.shape[1]} tokens begin as those of the latest generation did, "
                    "but this entry was not given them without their last tokens, so it cannot "
                    "tell what of them is prompt: make one with for_transformers for each generate"
                )
        words = row_seeds(self._seed, len(ids))
        generation = _Generation(ids, self._prompts(ids), words, vocabulary)
        return generation, self._read(generation, ids)

    def _prompts(self, ids: np.ndarray) -> np.ndarray:
        """Return prompts, int32 [batch, length], with -1 for padding."""
        prompts = ids.astype(np.int32)
        if self._mask is not None:
            padding = self._fitted_mask(ids) == 0
            if self._pad is not None and (ids[padding] != self._pad).any():
                raise ValueError(
                    f"attention_mask leaves out {ids[padding].tolist()}, which are not all the "
                    f"pad token {self._pad}"
                )
        else:
            padding = np.logical_and.accumulate(ids == self._pad, axis=1)
            if ids.size and padding[:, 0].all():
                raise ValueError(
                    f"every prompt begins with the pad token {self._pad}, which may be padding or "
                    "a start token: give for_transformers the attention_mask of the prompts, or, "
                    "if there is no padding, leave pad_token_id out"
                )
        prompts[padding] = -1
        return prompts

    def _fitted_mask(self, ids: np.ndarray) -> np.ndarray:
        """Return the mask for prompts that `generate` may have repeated, for several texts."""
        mask, copies = self._mask, max(len(ids) // len(self._mask), 1)
        prompts = ids[::copies] if self._masked is None else self._masked
        if prompts.shape != mask.shape or not np.array_equal(np.repeat(prompts, copies, 0), ids):
            raise ValueError(
                f"attention_mask {list(mask.shape)} does not belong to prompts {list(ids.shape)}: "
                "give the mask of the prompts of this generate, and make an entry for each"
            )
        self._masked = prompts.copy()
        return np.repeat(mask, copies, axis=0)

    def _state(self, generation: "_Generation", ids: np.ndarray) -> State:
        """Return the state after `ids`: one token later, or built anew."""
        pending = generation.pending
        if np.array_equal(ids[:, :-1], generation.latest):
            return pending.accept(np.where(pending.inactive, -1, ids[:, -1]).astype(np.int32))
        try:
            return self._read(generation, ids)
        except ValueError as error:
            raise ValueError(
                "generate took tokens back (in beam search, prompt lookup or assisted generation), "
                f"which this chain cannot: {error}"
            ) from None

    def _read(self, generation: "_Generation", ids: np.ndarray) -> State:
        """Return the state after a whole history."""
        length, history = generation.prompts.shape[1], ids.astype(np.int32)
        ends = np.isin(history[:, length:], self.eos_token_id)
        history[:, :length] = generation.prompts
        history[:, length:][np.cumsum(ends, axis=1) > ends] = -1  # what fills up ended rows
        transforms, vocabulary = self.sampler.transforms, generation.vocabulary
        states = tuple(start(t, history, length, vocabulary) for t in transforms)
        return State(generation.words, (history >= 0).sum(axis=1, dtype=np.int32), states)


class _Generation:
    """Prompts, what was written behind them, and the step whose tokens the next call will tell."""

    latest: np.ndarray
    pending: Pending

    def __init__(
        self, given: np.ndarray, prompts: np.ndarray, words: np.ndarray, vocabulary: int
    ) -> None:
        self.given, self.prompts = given.copy(), prompts  # with their padding, and without it
        self.words, self.vocabulary = words, vocabulary
        self._texts: set[int] = set()  # hashes of all that came

    def has_prompts_of(self, other: "_Generation") -> bool:
        """Tell whether this one is `other`, or was until that began anew."""
        return self.vocabulary == other.vocabulary and np.array_equal(self.given, other.given)

    def precedes(self, ids: np.ndarray) -> bool:
        """Tell whether the prompts of `ids`, which hold more, are those of this generation."""
        rows, length = self.given.shape
        longer = len(ids) == rows and ids.shape[1] > length
        return longer and np.array_equal(ids[:, :length], self.given)

    def goes_on(self, ids: np.ndarray) -> bool:
        """Tell whether each row of `ids` was here before without its last token."""
        return self.precedes(ids) and self._texts.issuperset(_hashes(ids[:, :-1]))

    def take(self, ids: np.ndarray, pending: Pending) -> None:
        """Take in the latest step, and the texts that it was given."""
        self.latest, self.pending = ids.copy(), pending
        self._texts.update(_hashes(ids))


def _hashes(ids: np.ndarray) -> list[int]:
    return [hash(row.tobytes()) for row in ids.astype(np.int32)]
