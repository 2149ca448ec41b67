"""Texts from a model, in one call."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from logit_sampling.decoding.plan import Search
from logit_sampling.generation.arguments import (
    Samplers,
    Schema,
    Stop,
    options_in,
    tells_names,
)
from logit_sampling.generation.engine import Engine
from logit_sampling.generation.prompts import Prompt
from logit_sampling.generation.result import GenerationResult, Interrupted, RowError
from logit_sampling.generation.stream import begun
from logit_sampling.generation.writing import TextEvent
from logit_sampling.models.model import AnyModel, AnyTokenizer
from logit_sampling.types import OnError, Overflow


@tells_names()
def generate(
    model: AnyModel | Engine,
    prompts: Prompt | Sequence[Prompt],
    *,
    on_text: Callable[[int, str], None] | None = None,
    sampler: Samplers = None,
    max_new_tokens: int = 100,
    min_new_tokens: int = 0,
    seed: int | Sequence[int] | None = None,
    n: int = 1,
    stop_at_end: bool | Sequence[int] = True,
    stop_token_ids: Sequence[int] = (),
    stop: Stop | Sequence[Stop] = (),
    stop_loops: tuple[int, int] | None = None,
    should_stop: Callable[[int, list[int]], bool] | None = None,
    deadline: float | None = None,
    overflow: Overflow = "error",
    max_rows: int = 32,
    top_log_probs: int = 0,
    echo: bool = False,
    tokenizer: AnyTokenizer | None = None,
    search: Search | None = None,
    draft: AnyModel | Literal["lookup"] | None = None,
    num_draft: int | None = None,
    on_error: OnError = "raise",
    json_schema: Schema | None = None,
    regex: str | None = None,
) -> GenerationResult:
    """Continue prompts.

    Each row has its own seed and its own sampler state, and no row is padded, so that a text
    depends on neither the other prompts nor their number: alone, with its own seed of the result's
    `seeds`, a prompt gets the same text. What remains is the rounding of the model's matrix
    products, whose last bits may change with the batch and then, rarely, a draw.

    A row that cannot go on (its logits hold NaN, nothing is left to draw from, the tokenizer cannot
    decode it) ends as `"error"`, and the others are written to their ends. An interruption (Ctrl-C)
    comes out as `Interrupted`, a `KeyboardInterrupt` whose `result` has what
    was written. So has the attribute `result` of an exception of the model, `should_stop` or
    `on_text`, which comes out as it is. In all cases the model can be used again.

    Args:
        model: what `load_model` returns, a KerasHub `CausalLM` with `call_with_cache`, any
            function or Keras model from int32 token ids [batch, length] to logits [batch, length,
            vocab] (or [batch, vocab], those of the last position), what `as_model` makes of one of
            these, or an object that is a `Model`. Or an `Engine`, which writes the prompts beside
            those of others.
        prompts: a string, a list of strings, or a list of lists of token ids; or bytes, arrays and
            tensors with the same, which may be ragged. A string is encoded as the model's
            preprocessor says (with its start token, which makes a prompt of the empty one, or
            without); ids are taken as they are.
        sampler: draws the tokens; by default from the model's own distribution. A list has one for
            each prompt. A text is read as `Sampler.parse` does, or is a search, such as
            `"beam num_beams=4"`. A parameter with a value per row has one for each row that the
            sampler draws for.
        max_new_tokens: how many tokens a text gets at most.
        min_new_tokens: how many it gets before an end token can be drawn (see
            `MinNewTokens`) or a stop string, complete with a later token, ends it.
        seed: an integer `s` (row 0 uses `s`, row `i` > 0 a 64-bit hash of `s` and `i`), one for
            each row, or None for fresh ones. The result tells the seed of each row.
        n: samples of each prompt; sample `j` of prompt `i` is row `i * n + j`.
        stop_at_end: whether an end token of the model ends a text. (Ids in its place count as
            `stop_token_ids`.)
        stop_token_ids: ids that end a text too, beside the model's end tokens and those of a
            `Grammar`.
        stop: a string, a regular expression (`re.compile`), or several of them that end a text,
            which then stops before it. It may span tokens and be part of one; the prompt is not
            searched. A text ends with the first character that completes one, whatever its tokens
            are: an expression that could match more ends it as soon as it matches.
        stop_loops: the tokens of the longest period and how often it comes in a row, such as
            (64, 4): a text that repeats itself so ends as `"loop"`, with all of it.
        should_stop: called as `should_stop(row, ids)` with the new ids after each token that does
            not end the text; what is true ends it.
        deadline: seconds of wall time from the call on after which no further step is begun; each
            text gets at least one token.
        overflow: what to do when a prompt and its `max_new_tokens` do not fit the context of the
            model: `"error"`, or `"slide"`. Then a text that fills the context goes on from its
            last half, which is read anew, and of a long prompt the last part is read: the part
            depends on the length of the text alone. Samplers see the whole text still.
        max_rows: how many rows are written at once, 32 by default, which bounds the memory. Others
            wait until one ends, and then the first of them joins.
        top_log_probs: how many of the likeliest tokens to tell at each place.
        echo: whether texts begin with the prompt and the result tells its log-probabilities, for
            which the prompt is read once more.
        tokenizer: in place of the model's, if it has one: has `encode(text)` and `decode(ids)`, as
            those of tokenizers and transformers, or `tokenize` and `detokenize`, as KerasHub's.
        on_text: called as `on_text(row, piece)` while the texts grow. Pieces are whole characters,
            and those of a row together are its text. See also `stream`.
        search: another way to write texts: a `BeamSearch` or a `ContrastiveSearch`.
            The chain of `sampler` acts in it too; nothing is drawn.
        draft: a smaller model with the same tokens, in any form that `model` may have. It drafts
            `num_draft` tokens (4 by default) that `model` then reads in one call. The texts have
            the distribution of `sampler` on `model` whatever the draft says, but other random
            numbers make them; see `Speculation`. Or `"lookup"`, which needs no second model: what
            followed the last tokens where the text had them before is the draft (up to 16 tokens).
            It pays for texts that copy: summaries, code, what repeats; see `Lookup`.
        num_draft: at least 1, with `draft` alone.
        json_schema: a JSON schema, a dict or its text, that each text is to follow, compact; True
            for any JSON. It is a `Grammar` before the chain of `sampler`. A text that reaches
            `max_new_tokens` before it is whole ends as `"unfinished"`.
        regex: a regular expression that each text is to match from end to end; see `Grammar`.
        on_error: what to do, after all rows have ended, if some could not go on: `"raise"`, or
            `"return"` the result, whose `errors` tell why.

    Returns:
        a `GenerationResult`.

    Raises:
        ValueError: an empty prompt, one that does not fit the context together with
            `max_new_tokens`, ids outside the vocabulary, an argument out of range, arguments that
            do not go together.
        RowError: with `on_error="raise"`, a ValueError whose `result` has all rows.
        Interrupted: Ctrl-C, a KeyboardInterrupt whose `result` has what was written.

    Example, with a model that counts:

    >>> import numpy as np
    >>> result = generate(lambda ids: 9.0 * np.eye(5)[(ids[:, -1] + 1) % 5], [[0], [2]],
    ...                   max_new_tokens=3, seed=0)
    >>> result.token_ids
    [[1, 2, 3], [3, 4, 0]]
    """
    stream = begun(model, prompts, on_text is not None, options_in(locals()))
    if on_text is None:
        deque(stream, maxlen=0)
        return stream.result

    def tell(events: Iterable[TextEvent]) -> None:
        for event in events:
            if event.text:
                on_text(event.row, event.text)

    try:
        tell(stream)
    except (Interrupted, RowError):
        raise
    except KeyboardInterrupt as error:  # in on_text
        tell(stream.close())
        raise Interrupted(stream.result) from error
    except Exception as error:
        stream.close()
        stream.tell(error)
        raise
    return stream.result
