"""Speculative decoding: a small model drafts, the target checks several tokens in one call."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from logit_sampling.decoding.batch import Batch, Step
from logit_sampling.decoding.plan import Decoding, EndedBy, Plan, Read
from logit_sampling.decoding.reader import Reader
from logit_sampling.decoding.row import Row
from logit_sampling.distribution.row import EagerRow
from logit_sampling.distribution.weights import find
from logit_sampling.models.model import Model

# Streams of random numbers for a seed and a position: the sampler draws from 0 and its coins count
# up from 1; these count down.
CHECK, REPLACE = 2**32 - 1, 2**32 - 2


def _streams(size: int) -> tuple[int, int]:
    """Return the streams that a token behind `size` others of a draft is drawn and checked with.

    They are of their own for each place in a draft: whether a block is kept depends on all its
    tokens, so that the numbers of one that was not must not come again in the next round. The
    stream before the first makes the seeds of rows (`_ROWS` in `distribution/random.py`).
    """
    return 2**32 - 4 - 2 * size, 2**32 - 5 - 2 * size


@dataclass(frozen=True)
class Speculation:
    """Write texts with the distribution of the sampler on the target, whatever the draft says.

    In a round the draft model samples up to `num_draft` tokens of each text, and the target
    reads them in one call. With p and q what the whole chain of the sampler makes of the logits of
    the target and of the draft after the same tokens, let w be the product of p / q over the first
    i drafted tokens, cut to 1 after each of them, and r the sum of max(w p - q, 0) over what may
    follow them. They can be kept with probability r / (r + 1 - w), all of them with w; as many are
    kept as can be, and one token more is drawn: from max(w p - q, 0), normalised, or from p behind
    all of them. No rule keeps more (of those that look at each token alone, min(1, p / q), fewer).

    A text depends on its prompt and its seed alone, and a shorter one is its beginning: drafts may
    go beyond `max_new_tokens`, as far as the context goes.

    The vocabulary of the draft may be padded to another size than the target's: what the draft
    lacks has q = 0, it proposes nothing that the target lacks, and where the text holds a token
    that it lacks it reads its last one.

    Args:
        draft: a model with the tokens of the target.
        num_draft: how many tokens it drafts in a round, at least 1.

    Source:
        Sun et al., Block Verification Accelerates Speculative Decoding, 2024, arXiv 2403.10444;
        Leviathan et al., Fast Inference from Transformers via Speculative Decoding, 2022, arXiv
        2211.17192.
    """

    streams: ClassVar[bool] = True
    refuses: ClassVar[tuple[str, ...]] = ("overflow",)

    draft: Model
    num_draft: int = 4

    def rows(self, n: int) -> int:
        """Return how many texts are read at once for `n` texts of a prompt."""
        return n

    def decode(self, plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Decoding:
        """Write all rows to their ends, or until the deadline.

        Yields:
            the number of a row whenever it has got a token, or cannot go on.
        """
        batch, drafter = Batch(plan, rows, ended_by, plan.max_rows), Reader(self.draft)
        active = batch.active()
        if active:
            prompts = {i: rows[i].prompt for i in active}
            output = drafter.read(_readable(prompts, self.draft.vocab_size))
            known = output.logits.shape[-1]  # tokens of the draft model
        while active:
            drafts, guesses = self._draft(batch, drafter, active, known)
            yield from (i for i in active if rows[i].finish_reason)
            yield from _verify(batch, drafts, guesses)
            active = batch.active()

    def _draft(
        self, batch: Batch, drafter: Reader, active: list[int], known: int
    ) -> tuple[dict[int, list[int]], list[Step]]:
        """Return what is drafted for each row, and the distributions it was drawn from.

        The draft begins with the states of the samplers after the tokens that are kept. Rows for
        which the draft model gives NaN fail.
        """
        rows, states, guesses = batch.rows, batch.states, list[Step]()
        drafts: dict[int, list[int]] = {i: [] for i in active}
        place_of = {i: place for place, i in enumerate(active)}
        contexts = (batch.plan.model.context_length, self.draft.context_length)
        longest = min((context for context in contexts if context is not None), default=math.inf)
        drafting = [i for i in active if rows[i].ids]  # the first tokens need no draft
        for size in range(self.num_draft):
            drafting = [i for i in drafting if len(rows[i].tokens) + size < longest]
            if not drafting:
                break
            texts = {i: rows[i].tokens + drafts[i] for i in active}
            logits = drafter.read(_readable(texts, known)).logits[:, -1]
            logits = _widened(logits[[place_of[i] for i in drafting]], batch.vocabulary)
            step = batch.begin(logits, drafting, states)
            for i, problem in step.problems.items():
                batch.fail(i, problem, "draft model: ")
            # Where the chain leaves nothing, the target goes on alone.
            tokens = {i: step.draw(i, _streams(size)[0]) for i in step.able}
            states = step.accept(tokens)
            guesses.append(step)
            for i, token in tokens.items():
                drafts[i].append(token)
            drafting = [i for i, token in tokens.items() if token not in rows[i].end_ids]
        return {i: drafted for i, drafted in drafts.items() if not rows[i].finish_reason}, guesses


def _verify(batch: Batch, drafts: Mapping[int, list[int]], guesses: Sequence[Step]) -> Decoding:
    """Keep of each draft what can be kept, draw a token more, and yield the row of each token."""
    if not drafts:
        return
    rows = batch.rows
    texts = {i: rows[i].tokens + drafted for i, drafted in drafts.items()}
    longest = max(map(len, drafts.values()))
    logits = (yield Read(texts, 1 + longest)).logits
    vocabulary, place_of = logits.shape[-1], {i: place for place, i in enumerate(drafts)}

    def after(size: int, members: list[int]) -> np.ndarray:
        """Return the logits of what follows so many drafted tokens, [members, vocab]."""
        columns = [size - len(drafts[i]) - 1 for i in members]  # from the end
        return logits[[place_of[i] for i in members], columns]

    # What the chain makes of the target along each draft, as if all of it were kept.
    targets: list[dict[int, EagerRow]] = []
    coins: list[dict[int, float]] = []
    states, along = batch.states, [i for i in drafts if drafts[i]]
    while along:
        size = len(targets)
        step = batch.begin(after(size, along), along, states)
        along = step.able
        targets.append({i: step.sampler(i) for i in along})
        coins.append({i: step.uniform(i, _streams(size)[1]) for i in along})
        states = step.accept({i: drafts[i][size] for i in along})
        along = [i for i in along if size + 1 < len(drafts[i]) and i not in step.problems]
    kept = {
        i: _kept(
            drafted,
            [target[i] for target in targets if i in target],
            [guess.sampler(i) for guess in guesses[: len(drafted)]],
            [coin[i] for coin in coins if i in coin],
            vocabulary,
        )
        for i, drafted in drafts.items()
    }
    for i in drafts:
        rows[i].rounds += bool(rows[i].ids)  # the first token is no round

    going = list(drafts)
    for size in range(longest + 1):
        step, tokens = batch.begin(after(size, going), going), dict[int, int]()
        for i in step.able:
            count, weight = kept[i]
            if size < count:
                tokens[i] = drafts[i][size]
                rows[i].accepted += 1
            elif size == len(drafts[i]):
                tokens[i] = step.draw(i)
            else:
                p, q = step.sampler(i), guesses[size].sampler(i)
                tokens[i] = _replacement(p, q, weight, vocabulary, step.uniform(i, REPLACE))
        yield from batch.write(step, tokens)
        going = [i for i in tokens if size < kept[i][0] and not rows[i].finish_reason]
        if not going:
            break


def _kept(
    drafted: Sequence[int],
    targets: Sequence[EagerRow],
    guesses: Sequence[EagerRow],
    coins: Sequence[float],
    vocabulary: int,
) -> tuple[int, float]:
    """Return how many tokens of a draft are kept, and the weight of the target behind them.

    Args:
        drafted: the tokens.
        targets: the distributions before each; fewer if one is not defined.
        guesses: those that they were drawn from.
        coins: a number in [0, 1) for each.
        vocabulary: how many tokens there are.
    """
    count, left, weight = 0, 1.0, 1.0
    along = zip(targets, guesses, drafted, coins, strict=False)
    for size, (p, q, token, coin) in enumerate(along, 1):
        weight = min(weight * chance_of(p, token) / chance_of(q, token), 1.0)
        if not weight:
            break
        chance = weight
        if size < min(len(targets), len(drafted)):
            rest = float(_excess(targets[size], guesses[size], weight, vocabulary)[1].sum())
            chance = rest / (rest + 1 - weight) if rest + 1 > weight else 1.0
        if coin < chance:
            count, left = size, weight
    return count, left


def chance_of(distribution: EagerRow, token: int) -> float:
    """Return how likely a token is."""
    return math.exp(distribution.log_prob(token))


def _excess(
    p: EagerRow, q: EagerRow, weight: float, vocabulary: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids that `p` leaves, and what it has more of each, times `weight`, than `q`."""
    ids = np.arange(vocabulary) if p.ids is None else p.ids
    own, other = (left.weights.of() / left.weights.total for left in (p, q))
    return ids, np.maximum(weight * own - q.spread(other, vocabulary, 0.0)[ids], 0.0)


def _replacement(p: EagerRow, q: EagerRow, weight: float, vocabulary: int, uniform: float) -> int:
    """Draw from what `p`, times `weight`, has more than `q`."""
    ids, excess = _excess(p, q, weight, vocabulary)
    return int(ids[find(excess if excess.any() else p.weights.of(), uniform)[0]])


def _readable(texts: Mapping[int, list[int]], vocabulary: int | None) -> dict[int, list[int]]:
    """Return texts with the last of the tokens that a model has for those that it lacks."""
    if vocabulary is None or all(max(text) < vocabulary for text in texts.values()):
        return dict(texts)
    return {i: [min(token, vocabulary - 1) for token in text] for i, text in texts.items()}


def _widened(logits: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return logits [..., vocab] of so many tokens: -inf for more, without those beyond."""
    missing = vocabulary - logits.shape[-1]
    if missing <= 0:
        return logits[..., :vocabulary]
    return np.pad(logits, [(0, 0)] * (logits.ndim - 1) + [(0, missing)], constant_values=-np.inf)
