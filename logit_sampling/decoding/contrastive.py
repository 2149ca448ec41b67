"""Contrastive search: likely tokens that do not say again what the text has said."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from logit_sampling.decoding.search import (
    EndedBy,
    TextReader,
    Writer,
    check_request,
    check_several,
)
from logit_sampling.decoding.text_row import Row
from logit_sampling.distribution.checks import check_count, check_real
from logit_sampling.models.model import Output

if TYPE_CHECKING:
    from logit_sampling.generation.request import Request

_TOKENS = 256  # of the prompts that are read at once: the logits of each take memory


@dataclass(frozen=True)
class ContrastiveSearch:
    """Take of the ``k`` likeliest tokens the one that is likely and says something new.

    The one of the greatest ``(1 - alpha) * p - alpha * s`` is taken, with p its probability under
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

    k: int = 5
    alpha: float = 0.6

    def __post_init__(self) -> None:
        check_count(self, "k", least=1)
        check_real(self, "alpha", ge=0, le=1)

    def grow(self, request: "Request", rows: Sequence[Row], ended_by: EndedBy) -> Iterator[int]:
        """Write all rows to their ends, or to the deadline.

        Yields:
            the number of a row whenever it has got a token.

        Raises:
            ValueError: several texts a prompt, which would be equal; ``Greedy``; a model that tells
                no hidden states; ``overflow="slide"``; logits with NaN or with nothing left.
        """
        check_request(request, "ContrastiveSearch")
        check_several(request, "ContrastiveSearch")
        if request.n != 1:
            raise ValueError(
                f"n is {request.n}, but ContrastiveSearch finds one text of each prompt: leave n "
                "at 1"
            )
        writer, active = Writer(request, rows, ended_by), list(range(len(rows)))
        reader, logits, seen = _read_prompts(request)
        tries = min(self.k, logits.shape[-1])
        reader.select(np.repeat(active, tries).tolist())  # a text for each token to be tried
        states, columns = writer.states(logits.shape[-1]), 1

        def keep(going: list[int]) -> None:
            """Read on for these of the active rows alone."""
            nonlocal active
            if len(going) < len(active):
                reader.select([active.index(i) * tries + k for i in going for k in range(tries)])
                active = going

        keep(writer.unfinished())
        logits = logits[active]
        while active:
            step = writer.begin(logits, active, states)
            keep((yield from writer.able(step, active)))
            if not active:
                return
            leaders = [step.sampler(i).candidates(tries) for i in active]
            # Where fewer are left, the first are read twice.
            texts = [
                [*rows[i].prompt, *rows[i].ids, token]
                for i, (ids, _) in zip(active, leaders, strict=True)
                for token in np.resize(ids, tries).tolist()
            ]
            output = reader.read(texts, columns)
            columns = 2  # from now on what was tried and not taken is to be forgotten
            hidden = _directions(output)[:, -1].reshape(len(active), tries, -1)
            best = []
            for place, (ids, log_probs) in enumerate(leaders):
                i = active[place]
                length = len(rows[i].prompt) + len(rows[i].ids)
                likeness = (hidden[place, : len(ids)] @ seen[i, :length].T).max(axis=1)
                worth = (1 - self.alpha) * np.exp(log_probs) - self.alpha * likeness
                best.append(int(worth.argmax()))
                seen[i, length] = hidden[place, best[-1]]
            tokens = {i: int(leaders[place][0][best[place]]) for place, i in enumerate(active)}
            states = step.accept(tokens)
            yield from writer.write(step, tokens)
            yield from writer.stop_in_time()
            places = [place for place, i in enumerate(active) if not rows[i].finish_reason]
            logits = output.logits[[place * tries + best[place] for place in places], -1]
            keep([active[place] for place in places])


def _read_prompts(request: "Request") -> tuple[TextReader, np.ndarray, np.ndarray]:
    """Read the prompts, and tell the direction of the hidden state behind each of their tokens.

    Returns:
        the reader, the logits of what follows each prompt, [rows, vocab], and the directions,
        [rows, places, width], with a place for each token that a row may get.
    """
    prompts = request.prompts
    longest, width = max(map(len, prompts)), max(1, _TOKENS // len(prompts))
    reader = TextReader(request.model, [prompt[:1] for prompt in prompts])
    output, first = reader.output, _directions(reader.output)
    seen = np.zeros((len(prompts), longest + request.max_new_tokens, first.shape[-1]), np.float32)
    seen[:, :1] = first
    for start in range(1, longest, width):
        output = reader.read([prompt[: start + width] for prompt in prompts])
        directions = _directions(output)
        for own, new, prompt in zip(seen, directions, prompts, strict=True):
            count = len(prompt[start : start + width])
            own[start : start + count] = new[len(new) - count :]
    return reader, output.logits[:, -1], seen


def _directions(output: Output) -> np.ndarray:
    """Return the hidden states divided by their lengths; raise ValueError if there are none."""
    if output.hidden is None:
        raise ValueError(
            "ContrastiveSearch compares hidden states, and the model tells none: let the function "
            "return a pair, logits [batch, length, vocab] and hidden states [batch, length, width]"
        )
    lengths = np.linalg.norm(output.hidden, axis=-1, keepdims=True)
    return output.hidden / np.maximum(lengths, np.finfo(np.float32).tiny)
