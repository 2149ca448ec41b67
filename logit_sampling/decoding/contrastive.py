"""Contrastive search: likely tokens that do not say again what the text has said."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from logit_sampling.decoding.batch import Batch
from logit_sampling.decoding.plan import Decoding, EndedBy, Plan, Read
from logit_sampling.decoding.row import Row
from logit_sampling.distribution.checks import check_count, check_real
from logit_sampling.models.model import Output

_TOKENS = 256  # of the prompts that are read at once: the logits of each take memory


@dataclass(frozen=True)
class ContrastiveSearch:
    """Take of the `k` likeliest tokens the one that is likely and says something new.

    The one of the greatest `(1 - alpha) * p - alpha * s` is taken, with p its probability under
    the distribution that the chain of the sampler leaves, and s the greatest cosine between the
    hidden state behind it and those behind all tokens before it, the prompt's too. Of equals the
    likelier one is taken, then the lower id. Nothing is drawn at random.

    Args:
        k: how many tokens to try, at least 1, which is greedy. A step costs as much as one of so
            many rows.
        alpha: in [0, 1]; 0 is greedy.

    Raises:
        ValueError: a value is out of range.

    Source:
        Su et al., A Contrastive Framework for Neural Text Generation, 2022, arXiv 2202.06417.

    Example, with a model that says token 0 again and again, and shows it:

    >>> import numpy as np, logit_sampling as ls
    >>> def model(ids):
    ...     return np.log(np.full(ids.shape + (3,), [0.5, 0.3, 0.2])), np.eye(3)[ids]
    >>> search = ls.ContrastiveSearch(k=2, alpha=0.5)
    >>> ls.generate(model, [[0]], search=search, max_new_tokens=3).token_ids
    [[1, 0, 0]]
    """

    streams: ClassVar[bool] = True
    refuses: ClassVar[tuple[str, ...]] = ("overflow",)

    k: int = 5
    alpha: float = 0.6

    def __post_init__(self) -> None:
        check_count(self, "k", least=1)
        check_real(self, "alpha", ge=0, le=1)

    def rows(self, n: int) -> int:
        """Return how many texts are read at once for `n` texts of a prompt."""
        return self.k

    def decode(self, plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Decoding:
        """Write all rows to their ends, or until the deadline.

        Yields:
            the number of a row whenever it has got a token, or cannot go on.

        Raises:
            ValueError: several texts a prompt, which would be equal; `Greedy`; a model that tells
                no hidden states.
        """
        plan.check_several("ContrastiveSearch")
        if plan.n != 1:
            raise ValueError(
                f"n is {plan.n}, but ContrastiveSearch finds one text of each prompt: leave n at 1"
            )
        every = [i for i, row in enumerate(rows) if not row.finish_reason]
        at_once = max(1, plan.max_rows // self.k)
        for first in range(0, len(every), at_once):
            batch = Batch(plan, rows, ended_by)
            yield from self._write(batch, every[first : first + at_once])

    def _write(self, batch: Batch, active: list[int]) -> Decoding:
        """Write some rows to their ends."""
        rows, part, columns = batch.rows, set(active), 1
        prompts = {i: rows[i].prompt for i in active}
        following, seen = yield from _prefill(prompts, batch.plan.max_new_tokens)
        tries = min(self.k, len(following[active[0]]))
        # A text for each token to be tried.
        origins: dict[tuple[int, int], int] = {(i, k): i for i in active for k in range(tries)}
        while active:
            step = batch.begin(np.stack([following[i] for i in active]), active)
            candidates = {i: step.sampler(i).candidates(tries) for i in step.able}
            # Where fewer are left, the first are read twice.
            texts = {
                (i, k): [*rows[i].tokens, token]
                for i, (ids, _) in candidates.items()
                for k, token in enumerate(np.resize(ids, tries).tolist())
            }
            tokens: dict[int, int] = {}
            if texts:
                output = yield Read(texts, columns, origins)
                # From now on what was tried and not taken is to be forgotten.
                columns, origins = 2, {}
                logits = output.logits[:, -1].reshape(len(candidates), tries, -1)
                hidden = _directions(output)[:, -1].reshape(len(candidates), tries, -1)
            for place, (i, (ids, log_probs)) in enumerate(candidates.items()):
                length = len(rows[i].tokens)
                likeness = (hidden[place, : len(ids)] @ seen[i][:length].T).max(axis=1)
                best = int(((1 - self.alpha) * np.exp(log_probs) - self.alpha * likeness).argmax())
                tokens[i], following[i] = int(ids[best]), logits[place, best]
                seen[i][length] = hidden[place, best]
            yield from batch.write(step, tokens)
            active = [i for i in batch.active() if i in part]


def _prefill(
    prompts: Mapping[int, list[int]], room: int
) -> Generator[Read, Output, tuple[dict[int, np.ndarray], dict[int, np.ndarray]]]:
    """Read prompts, which have numbers.

    Returns:
        for each the logits of what follows it, [vocab], and the directions of the hidden states
        behind its tokens, [tokens, width], with room for more.
    """
    longest, width = max(map(len, prompts.values())), max(1, _TOKENS // len(prompts))
    output = yield Read({i: prompt[:1] for i, prompt in prompts.items()})
    first = _directions(output)
    seen = np.zeros((len(prompts), longest + room, first.shape[-1]), np.float32)
    seen[:, :1] = first
    for start in range(1, longest, width):
        output = yield Read({i: prompt[: start + width] for i, prompt in prompts.items()})
        for own, new, prompt in zip(seen, _directions(output), prompts.values(), strict=True):
            count = len(prompt[start : start + width])
            own[start : start + count] = new[len(new) - count :]
    logits = output.logits[:, -1]
    return dict(zip(prompts, logits, strict=True)), dict(zip(prompts, seen, strict=True))


def _directions(output: Output) -> np.ndarray:
    """Return the hidden states divided by their lengths; raise ValueError if there are none."""
    if output.hidden is None:
        raise ValueError(
            "ContrastiveSearch compares hidden states, and the model tells none: let the function "
            "return a pair, logits [batch, length, vocab] and hidden states [batch, length, width]"
        )
    lengths = np.linalg.norm(output.hidden, axis=-1, keepdims=True)
    return output.hidden / np.maximum(lengths, np.finfo(np.float32).tiny)
