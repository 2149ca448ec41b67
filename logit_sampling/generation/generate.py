"""The generation loop."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from logit_sampling.generation.language_model import as_model
from logit_sampling.generation.model import Model, Tokenizer, needed_tokenizer
from logit_sampling.generation.result import GenerationResult
from logit_sampling.generation.text import TextStream, continuation
from logit_sampling.random import row_seeds
from logit_sampling.sampler import Sampler, State

Prompt = str | Sequence[int]


@dataclass
class _Row:
    """One text in the making."""

    prompt: list[int]
    sampler: Sampler
    seed: int
    state: State | None = None
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    sampler_log_probs: list[float] = field(default_factory=list)
    finish_reason: str = ""

    @property
    def shown(self) -> list[int]:
        """The ids that become text: all but the end token."""
        return self.ids[:-1] if self.finish_reason == "end_token" else self.ids

    def draw(self, logits: np.ndarray) -> int:
        """Draw the next token from `logits` [1, vocab]."""
        if self.state is None:
            self.state = self.sampler.init([self.prompt], logits.shape[-1], seed=[self.seed])
        ids, self.state, log_probs = self.sampler.step(logits, self.state, return_log_prob=True)
        self.ids.append(int(ids[0]))
        self.log_probs.append(_log_softmax_at(logits[0], self.ids[-1]))
        self.sampler_log_probs.append(float(log_probs[0]))
        return self.ids[-1]


def generate(
    model: Any,
    prompts: Prompt | Sequence[Prompt],
    *,
    sampler: Sampler | None = None,
    max_new_tokens: int = 100,
    seed: int | Sequence[int] | None = None,
    n: int = 1,
    stop_at_end: bool | Sequence[int] = True,
    tokenizer: Tokenizer | None = None,
    on_text: Callable[[int, str], None] | None = None,
) -> GenerationResult:
    """Continue prompts.

    Each row has its own seed and its own sampler state, and no row is padded, so that a text
    depends on neither the other prompts nor their number: seed `s` gives row `i` the text that its
    prompt gets alone with seed `s + i`. What remains is the rounding of the model's matrix
    products, whose last bits may change with the batch and then, rarely, a draw.

    Prompts of different lengths run side by side: from the end of the shortest on, a longer one is
    read a token a step. With very different lengths, several calls are faster.

    Args:
        model: what :func:`load_model` returns, a KerasHub `CausalLM` with `call_with_cache`, or
            any function from int32 token ids [batch, length] to logits [batch, length, vocab] (or
            [batch, vocab], those of the last position).
        prompts: a string, a list of strings, or a list of lists of token ids. A string is encoded
            as the model's preprocessor says (with its start token or without); ids are taken as
            they are.
        sampler: draws the tokens; by default from the model's own distribution. A parameter with
            a value per row has one for each row here.
        max_new_tokens: how many tokens a text gets at most.
        seed: an integer `s` (row `i` uses `s + i`), one for each row, or None for fresh ones,
            which the result tells.
        n: samples of each prompt; sample `j` of prompt `i` is row `i * n + j`.
        stop_at_end: whether an end token of the model ends a text; or the ids that do.
        tokenizer: has `encode(text)` and `decode(ids)`, in place of the model's, if it has one.
        on_text: called as `on_text(row, piece)` while the texts grow. Pieces are whole characters,
            and those of a row together are its text.

    Returns:
        a :class:`GenerationResult`.

    Raises:
        ValueError: an empty prompt, one that does not fit the context together with
            `max_new_tokens`, ids outside the vocabulary, an argument out of range, or logits that
            no token can be drawn from (NaN, or -inf for every token).

    Example, with a model that counts:

    >>> import numpy as np
    >>> result = generate(lambda ids: 9.0 * np.eye(5)[(ids[:, -1] + 1) % 5], [[0], [2]],
    ...                   max_new_tokens=3, seed=0)
    >>> result.token_ids
    [[1, 2, 3], [3, 4, 0]]
    """
    started = time.perf_counter()
    if not isinstance(sampler, Sampler | None):
        raise ValueError(f"sampler must be a Sampler such as Sampler(TopK(50)), got {sampler!r}")
    runner = as_model(model)
    tokenizer = tokenizer or runner.tokenizer
    for name, value in (("max_new_tokens", max_new_tokens), ("n", n)):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
    listed = _listed(prompts)
    encoded = [encode_prompt(i, p, runner, tokenizer, max_new_tokens) for i, p in enumerate(listed)]
    seeds = [int(low) | int(high) << 32 for low, high in row_seeds(seed, n * len(listed))]
    samplers = _per_row(Sampler() if sampler is None else sampler, len(seeds))
    rows = [_Row(encoded[i // n], samplers[i], seed) for i, seed in enumerate(seeds)]

    if on_text:
        decode = needed_tokenizer(tokenizer, runner.name).decode
        streams = [TextStream(decode, row.prompt) for row in rows]
    for i in _grow(runner, rows, int(max_new_tokens), _end_ids(stop_at_end, runner)):
        if on_text:
            row, stream = rows[i], streams[i]
            piece = "" if row.finish_reason == "end_token" else stream.push(row.ids[-1])
            piece += stream.finish() if row.finish_reason else ""
            if piece:
                on_text(i, piece)

    return GenerationResult(
        prompts=[
            p if isinstance(p, str) else list(ids)
            for p, ids in zip(listed, encoded, strict=True)
            for _ in range(n)
        ],
        texts=[continuation(tokenizer.decode, row.prompt, row.shown) for row in rows]
        if tokenizer
        else [],
        token_ids=[row.ids for row in rows],
        log_probs=[row.log_probs for row in rows],
        sampler_log_probs=[row.sampler_log_probs for row in rows],
        finish_reasons=[row.finish_reason for row in rows],
        seeds=seeds,
        seconds=time.perf_counter() - started,
    )


def _grow(
    model: Model, rows: list[_Row], max_new_tokens: int, end_ids: frozenset[int]
) -> Iterator[int]:
    """Write all rows to their ends; yield the number of a row whenever it has got a token."""
    distinct = list({tuple(row.prompt): None for row in rows})  # samples share their prefill
    output, cache = model.prefill(distinct)
    active, places = list(range(len(rows))), [distinct.index(tuple(row.prompt)) for row in rows]
    logits, cache = output.logits[places, -1], cache.select(places)
    while True:
        for place, i in enumerate(active):
            row = rows[i]
            try:
                token = row.draw(logits[place : place + 1])
            except ValueError as error:
                problem = str(error).replace("row 0", "this row")  # the sampler saw one row
                raise ValueError(f"row {i}, new token {len(row.ids)}: {problem}") from error
            if token in end_ids:
                row.finish_reason = "end_token"
            elif len(row.ids) == max_new_tokens:
                row.finish_reason = "length"
            yield i
        places = [place for place, i in enumerate(active) if not rows[i].finish_reason]
        if not places:
            return
        if len(places) < len(active):
            active, cache = [active[place] for place in places], cache.select(places)
        logits = cache.append(np.array([rows[i].ids[-1:] for i in active], np.int32)).logits[:, -1]


def _per_row(sampler: Sampler, rows: int) -> list[Sampler]:
    """Return the sampler of each row: of a parameter with a value per row, it has its own."""
    for transform in sampler.transforms:
        transform.check_rows(rows)
    return [type(sampler)(*(t.of_row(row) for t in sampler.transforms)) for row in range(rows)]


def _end_ids(stop_at_end: bool | Sequence[int], model: Model) -> frozenset[int]:
    if isinstance(stop_at_end, bool):
        return frozenset(model.end_ids if stop_at_end else ())
    end, ids = model.vocab_size or np.inf, np.asarray(stop_at_end)
    if (
        ids.ndim != 1
        or (ids.size and ids.dtype.kind not in "iu")
        or ((ids < 0) | (ids >= end)).any()
    ):
        raise ValueError(
            f"stop_at_end must be True, False, or a list of token ids in [0, {end}); "
            f"got {stop_at_end!r}"
        )
    return frozenset(ids.tolist())


def _listed(prompts: Prompt | Sequence[Prompt]) -> list[Prompt]:
    if not isinstance(prompts, str | Sequence | np.ndarray):
        raise ValueError(f"prompts must be a string or a list of prompts, got {prompts!r}")
    listed: list[Any] = [prompts] if isinstance(prompts, str) else list(prompts)
    if not listed:
        raise ValueError("prompts is empty: give at least one prompt")
    if any(isinstance(prompt, int | np.integer) for prompt in listed):
        raise ValueError("prompts are lists of token ids: wrap a single one, [[1, 2, 3]]")
    return listed


def encode_prompt(
    index: int, prompt: Prompt, model: Model, tokenizer: Tokenizer | None, max_new_tokens: int
) -> list[int]:
    """Return the ids of a prompt; raise ValueError if it is empty, too long or not in range."""
    if np.size(prompt) == 0 or (isinstance(prompt, str) and not prompt):
        raise ValueError(f"prompt {index} is empty: give at least one token to continue from")
    if isinstance(prompt, str):
        try:
            prompt.encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(
                f"prompt {index} is not UTF-8 text: character {error.start} is "
                f"{prompt[error.start]!r}"
            ) from None
        ids = [int(i) for i in needed_tokenizer(tokenizer, model.name).encode(prompt)]
    else:
        given, end = np.asarray(prompt), model.vocab_size or np.inf
        if given.ndim != 1 or given.dtype.kind not in "iu" or not all(0 <= i < end for i in given):
            raise ValueError(
                f"prompt {index} must be a string or a list of integers in [0, {end}), the token "
                f"ids; got {prompt!r}"
            )
        ids = given.tolist()
    context = model.context_length
    if context is not None and len(ids) >= context:
        raise ValueError(
            f"prompt {index} has {len(ids)} tokens, but the context of model {model.name!r} has "
            f"{context} and a new token needs room: shorten the prompt to {context - 1} or fewer"
        )
    if context is not None and len(ids) + max_new_tokens > context:
        raise ValueError(
            f"prompt {index} has {len(ids)} tokens and max_new_tokens is {max_new_tokens}, "
            f"together more than the context of model {model.name!r}, {context}: ask for at most "
            f"{context - len(ids)} new tokens or shorten the prompt"
        )
    return ids


def _log_softmax_at(logits: np.ndarray, token: int) -> float:
    """The log-probability of `token` under softmax(`logits`), logits [vocab]."""
    shifted = logits.astype(np.float64) - float(logits.max())
    return float(shifted[token] - np.log(np.exp(shifted).sum()))
