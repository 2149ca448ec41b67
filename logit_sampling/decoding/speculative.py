"""Speculative decoding: a small model drafts, the target checks several tokens in one call."""

import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from logit_sampling.decoding.search import EndedBy, Step, TextReader, Writer, check_request
from logit_sampling.decoding.text_row import Row
from logit_sampling.distribution.row import Row as Scores
from logit_sampling.distribution.weights import find
from logit_sampling.generation.arguments import check_at_least
from logit_sampling.models.keras_hub import as_model
from logit_sampling.models.tokenizers import token_count
from logit_sampling.sampler import State

if TYPE_CHECKING:
    from logit_sampling.generation.request import Request

# Streams of random numbers for a seed and a position: the sampler draws from 0 and its coins count
# up from 1; these count down.
_DRAW, _CHECK, _REPLACE = 0, 2**32 - 1, 2**32 - 2


@dataclass(frozen=True)
class Speculation:
    """Write texts with the distribution of the sampler on the target, whatever the draft says.

    In a round the draft model samples up to ``num_draft`` tokens of each text, and the target
    reads them in one call. With p and q what the whole chain of the sampler makes of the logits of
    the target and of the draft after the same tokens, a drafted token t is kept with probability
    min(1, p(t) / q(t)). The first that is not is replaced by a draw from max(p - q, 0), normalised,
    and ends the round; if all are kept, one more is drawn from p.

    A text depends on its prompt and its seed alone: each position has its own random numbers, and
    what was drafted behind the last token that is kept leaves no trace.

    The vocabulary of the draft may be padded to another size than the target's: what the draft
    lacks has q = 0, it proposes nothing that the target lacks, and where the text holds a token
    that it lacks it reads its last one.

    Args:
        draft: a model with the tokens of the target.
        num_draft: how many tokens it drafts in a round, at least 1.

    Raises:
        ValueError: ``num_draft`` below 1, or no model.

    Source:
        Leviathan et al., Fast Inference from Transformers via Speculative Decoding, 2022, arXiv
        2211.17192.
    """

    streams: ClassVar[bool] = True

    draft: Any
    num_draft: int = 4

    def __post_init__(self) -> None:
        check_at_least(1, num_draft=self.num_draft)
        object.__setattr__(self, "draft", as_model(self.draft))

    def grow(self, request: "Request", rows: Sequence[Row], ended_by: EndedBy) -> Iterator[int]:
        """Write all rows to their ends, or to the deadline.

        Yields:
            the number of a row whenever it has got a token.

        Raises:
            ValueError: tokenizers with different numbers of tokens; a context of the draft model
                that is too short; ``overflow="slide"``.
        """
        self._check_models(request)
        writer = Writer(request, rows, ended_by)
        active = writer.unfinished()
        prompts = [rows[i].prompt for i in active]
        target = TextReader(request.model, prompts)
        logits = target.output.logits[:, -1]
        drafter = TextReader(self.draft, _readable(prompts, self.draft.vocab_size))

        step = writer.begin(logits, active, writer.states(logits.shape[-1]))
        able = yield from writer.able(step, active)
        # The first tokens need no draft.
        tokens = {i: step.sampler(i).draw(step.uniform(i, _DRAW)) for i in able}
        states = step.accept(tokens)
        yield from writer.write(step, tokens)
        yield from writer.stop_in_time()
        while left := writer.unfinished():
            places = [place for place, i in enumerate(active) if not rows[i].finish_reason]
            target.select(places)
            drafter.select(places)
            drafts, guesses = yield from self._draft(
                writer, drafter, left, states, logits.shape[-1]
            )
            states = yield from _verify(writer, target, left, states, drafts, guesses)
            yield from writer.stop_in_time()
            active = left

    def _draft(
        self,
        writer: Writer,
        drafter: TextReader,
        active: list[int],
        states: list[State],
        vocabulary: int,
    ) -> Generator[int, None, tuple[dict[int, list[int]], list[Step]]]:
        """Return what is drafted for each row, and the distributions it was drawn from.

        The draft begins with the states of the samplers after the tokens that are kept. Rows for
        which the draft model gives NaN fail, and their numbers are yielded.
        """
        rows, drafts, guesses = writer.rows, {i: list[int]() for i in active}, list[Step]()
        own = drafter.output.logits.shape[-1]
        place_of = {i: place for place, i in enumerate(active)}
        drafting = active
        for size in range(self.num_draft):
            # No more than a text may get; one that may get more has the same beginning.
            drafting = [i for i in drafting if size < _room(writer, i)]
            if not drafting:
                break
            texts = [rows[i].prompt + rows[i].ids + drafts[i] for i in active]
            logits = drafter.read(_readable(texts, own)).logits[:, -1]
            logits = _widened(logits[[place_of[i] for i in drafting]], vocabulary)
            step = writer.begin(logits, drafting, states)
            for i, problem in step.problems.items():
                writer.fail(i, f"draft model: {problem}")
                yield i
            drafting = [i for i in drafting if i not in step.problems]
            # Where the chain leaves nothing, the target goes on alone.
            drafting = [i for i in drafting if not step.sampler(i).empty]
            tokens = {i: step.sampler(i).draw(step.uniform(i, _DRAW)) for i in drafting}
            states = step.accept(tokens)
            guesses.append(step)
            for i, token in tokens.items():
                drafts[i].append(token)
            drafting = [i for i in drafting if tokens[i] not in rows[i].end_ids]
        return drafts, guesses

    def _check_models(self, request: "Request") -> None:
        check_request(request, "draft=")
        draft = self.draft
        own, its = (token_count(t) for t in (request.tokenizer, draft.tokenizer))
        if own is not None and its is not None and own != its:
            raise ValueError(
                f"the tokenizer of the draft model has {its} tokens and that of the target {own}: "
                "speculative decoding needs two models with the same tokens"
            )
        longest, new = max(map(len, request.prompts)), request.max_new_tokens
        if draft.context_length is not None and longest + new > draft.context_length:
            raise ValueError(
                f"a prompt has {longest} tokens and max_new_tokens is {new}, together more than "
                f"the context of the draft model {draft.name!r}, {draft.context_length}: ask for "
                "fewer tokens, or shorten the prompt"
            )


def _verify(
    writer: Writer,
    target: TextReader,
    active: list[int],
    states: list[State],
    drafts: dict[int, list[int]],
    guesses: list[Step],
) -> Generator[int, None, list[State]]:
    """Keep or replace what was drafted, and yield the row of each token; return the states then."""
    rows = writer.rows
    # What follows the last token that a text may get is not asked for.
    read = {i: drafts[i][: _room(writer, i) - 1] for i in active}
    texts = [rows[i].prompt + rows[i].ids + read[i] for i in active]
    logits = target.read(texts, 1 + max(map(len, read.values()))).logits
    place_of = {i: place for place, i in enumerate(active)}
    for i in active:
        rows[i].rounds += 1
    checked = [i for i in active if not rows[i].finish_reason]
    for size in range(len(guesses) + 1):
        columns = [size - len(read[i]) - 1 for i in checked]  # from the end
        own = logits[[place_of[i] for i in checked], columns]
        step = writer.begin(own, checked, states)
        tokens, kept = {}, []
        for i in (yield from writer.able(step, checked)):
            p = step.sampler(i)
            if size == len(drafts[i]):
                tokens[i] = p.draw(step.uniform(i, _DRAW))
                continue
            token, q = drafts[i][size], guesses[size].sampler(i)
            if step.uniform(i, _CHECK) * _chance(q, token) < _chance(p, token):
                tokens[i] = token
                rows[i].accepted += 1
                kept.append(i)
            else:
                tokens[i] = _replacement(p, q, logits.shape[-1], step.uniform(i, _REPLACE))
        states = step.accept(tokens)
        yield from writer.write(step, tokens)
        checked = [i for i in kept if not rows[i].finish_reason]
        if not checked:
            break
    return states


def _room(writer: Writer, i: int) -> int:
    """Return how many tokens a row may still get."""
    return writer.request.max_new_tokens - len(writer.rows[i].ids)


def _chance(scores: Scores, token: int) -> float:
    return math.exp(scores.log_prob(token))


def _replacement(p: Scores, q: Scores, vocabulary: int, uniform: float) -> int:
    """Draw from what ``p`` has more than ``q``."""
    ids = np.arange(vocabulary) if p.ids is None else p.ids
    own, other = (scores.weights.of() / scores.weights.total for scores in (p, q))
    excess = np.maximum(own - q.spread(other, vocabulary, 0.0)[ids], 0.0)
    return int(ids[find(excess if excess.any() else own, uniform)[0]])


def _readable(texts: Sequence[list[int]], vocabulary: int | None) -> list[list[int]]:
    """Return texts with the last of the tokens that a model has for those that it lacks."""
    if vocabulary is None or all(max(text) < vocabulary for text in texts):
        return list(texts)
    return [[min(token, vocabulary - 1) for token in text] for text in texts]


def _widened(logits: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return logits [..., vocab] of so many tokens: -inf for more, without those beyond."""
    missing = vocabulary - logits.shape[-1]
    if missing <= 0:
        return logits[..., :vocabulary]
    return np.pad(logits, [(0, 0)] * (logits.ndim - 1) + [(0, missing)], constant_values=-np.inf)
