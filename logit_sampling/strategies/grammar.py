"""Grammar-constrained sampling: a grammar says which tokens can come next."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from logit_sampling.distribution.arrays import in_graph, to_numpy
from logit_sampling.distribution.checks import InvalidRowError
from logit_sampling.strategies._vocabularies import Vocabulary, as_vocabulary, llguidance
from logit_sampling.strategies.transform import Transform
from logit_sampling.types import ArrayLike


@dataclass(frozen=True)
class Grammar(Transform):
    """Remove every token that cannot continue a valid text.

    The end token is left only where the text is complete, and after it the end token alone; ids
    beyond the tokenizer's are removed. A text may be spelled with any of its tokens, not only with
    those that the tokenizer would choose. Put it first in a chain, so that a cut by rank or mass is
    made among valid tokens. The text begins where generation does: the prompt is no part of it.

    The work is done by llguidance, an optional extra (`pip install 'logit-sampling[grammar]'`),
    in eager code alone. Grammars are equal if their texts, tokens and end tokens are, whatever
    tokenizer told these. They and their states can be pickled, into another process too.

    Args:
        grammar: in llguidance's form of Lark. The constructors `json_schema`, `regex` and
            `lark` write it.
        tokenizer: a KerasHub tokenizer (byte-level BPE, SentencePiece or bytes), one of Hugging
            Face's `tokenizers` or `transformers`, an `LLTokenizer` of llguidance, or what has
            one of these: what `load_model` returns, its `tokenizer`, a KerasHub model. The
            attribute is an `LLTokenizer`.
        end_id: the id of the end token, where the tokenizer knows none or another is wanted.

    Attributes:
        end_ids: the tokens that end a text: `end_id`, or those of the tokenizer. `generate`
            ends its rows with them; another loop has to be told: that of transformers with
            `eos_token_id=list(grammar.end_ids)`, in its `generate` and in `for_transformers`.

    Raises:
        ValueError: llguidance is not installed; the grammar is not valid; a tokenizer of another
            kind, or without an end token; no token can continue a text, or a token is accepted that
            the grammar refuses, with llguidance's reason; a graph is being traced.

    Source:
        llguidance, https://github.com/guidance-ai/llguidance: an Earley parser over a trie of the
        vocabulary.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> model = ls.load_model("shakespeare")                 # doctest: +SKIP
        >>> grammar = ls.Grammar.regex("(ab)+", model)           # doctest: +SKIP
        >>> sampler = ls.Sampler(grammar, ls.Temperature(0.8))   # doctest: +SKIP
    """

    grammar: str
    tokenizer: Any = field(repr=False, compare=False)
    end_id: int | None = field(default=None, compare=False)
    _vocabulary: Vocabulary = field(init=False, repr=False)
    _matcher: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        vocabulary = as_vocabulary(self.tokenizer, self.end_id)
        matcher_of = llguidance().LLMatcher
        # Where only one text can follow, leave each of the tokens with which it can begin.
        written = matcher_of.grammar_from_lark(self.grammar + '\n%llguidance {"no_forcing": true}')
        matcher = matcher_of(vocabulary.engine, written, log_level=0)
        if matcher.is_error():
            raise ValueError(f"no valid grammar: {_wrong(matcher.get_error(), self.grammar)}")
        object.__setattr__(self, "tokenizer", vocabulary.engine)
        object.__setattr__(self, "_vocabulary", vocabulary)
        object.__setattr__(self, "_matcher", matcher)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the matcher out, which is made anew."""
        return type(self), (self.grammar, self._vocabulary, self.end_id)

    def __deepcopy__(self, memo: Any) -> Self:
        """Return itself, since nothing in it changes."""
        return self

    __copy__ = __deepcopy__

    @classmethod
    def json_schema(
        cls,
        schema: str | bool | Mapping[str, object],
        tokenizer: object,
        end_id: int | None = None,
        *,
        whitespace: str | None = None,
    ) -> Self:
        r"""Return the grammar of JSON texts that a JSON schema, a dict or its text, allows.

        `whitespace` is a regular expression for the white space between the parts of a text. By
        default it is `""`: texts are compact, and no white space runs on for ever. `" ?"` lets a
        model write one space or none, and `r"[ \t\r\n]*"` is all that JSON allows. It takes the
        place of what the schema says itself in llguidance's `"x-guidance"`, and so does the default
        where that says nothing of white space.
        """
        try:
            read = json.loads(schema) if isinstance(schema, str) else schema
            read = {} if read is True else read
            if isinstance(read, dict):
                read = read | {"x-guidance": _layout(read.get("x-guidance", {}), whitespace)}
            text = json.dumps(read, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the schema is no JSON: {error}") from None
        return cls.lark(f"start: %json {text}", tokenizer, end_id)

    @classmethod
    def regex(cls, pattern: str, tokenizer: object, end_id: int | None = None) -> Self:
        """Return the grammar of the texts that match a pattern from end to end.

        It is in the syntax of Rust's regular expressions: without look-around and back-references.
        """
        written = json.loads(llguidance().LLMatcher.grammar_from_regex(pattern))
        return cls.lark(written["grammars"][0]["lark_grammar"], tokenizer, end_id)

    @classmethod
    def lark(cls, text: str, tokenizer: object, end_id: int | None = None) -> Self:
        """Return a context-free grammar, in llguidance's form of Lark, that begins at `start`."""
        return cls(text, tokenizer, end_id)

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return self._vocabulary.end_ids

    def end_tokens(self) -> tuple[int, ...]:
        """Return `end_ids`."""
        return self.end_ids

    def accepts(self, ids: Sequence[int]) -> bool:
        """Return whether ids are a whole text, with or without an end token behind it."""
        matcher = self._matcher.deep_copy()
        text = [id for id in ids if id not in self.end_ids]
        return matcher.consume_tokens(text) and matcher.is_accepting()

    def init(self, history: ArrayLike, vocab_size: int) -> "tuple[_Text, ...]":
        """Return an empty text for each row."""
        _refuse_graph(history)
        return (_Text(self, (), self._matcher),) * history.shape[0]

    def update(self, state: Any, ids: ArrayLike) -> "tuple[_Text, ...]":
        """Return the texts that have accepted `ids`, int [batch]; -1 is none."""
        _refuse_graph(ids)
        pairs = zip(state, to_numpy(ids).tolist(), strict=True)
        return tuple(
            text if id < 0 else text.longer(id, row) for row, (text, id) in enumerate(pairs)
        )

    def select(self, state: Any, rows: np.ndarray) -> "tuple[_Text, ...]":
        """Return the texts of some rows, int [n]."""
        return tuple(state[row] for row in rows)

    def apply(self, logits: Any, state: Any = ()) -> Any:
        """Return the logits, float [batch, vocab], with -inf for what is not valid."""
        _refuse_graph(logits)
        x = to_numpy(logits)
        valid = np.zeros(x.shape, bool)
        for row, text in enumerate(state):
            allowed = text.allowed(row, x.shape[1])
            valid[row, : len(allowed)] = allowed
        return np.where(valid, x, -np.inf).astype(x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Raise ValueError: JSON cannot hold a tokenizer."""
        raise ValueError(
            "Grammar has no configuration, since JSON cannot hold its tokenizer; construct it again"
        )


def _wrong(error: str, grammar: str) -> str:
    """Return llguidance's error; its place only in a grammar of several lines: else it is ours."""
    if "\n" not in grammar:
        error = re.sub(r"^at 1\(\d+\): |\n +1 \| .*", "", error, flags=re.DOTALL)
    return error.strip()


@dataclass(frozen=True)
class _Text:
    """What a grammar has read of one row: a value, of which nothing changes."""

    grammar: Grammar
    ids: tuple[int, ...]
    matcher: Any = field(repr=False, compare=False)  # after them; it is copied before it moves

    def longer(self, id: int, row: int) -> "_Text":
        """Return the text with a token more."""
        tokenizer, matcher = self.grammar.tokenizer, self.matcher
        if matcher.is_stopped() and id in self.grammar.end_ids:
            return self  # an ended row may go on ending while others are written
        copy, known = matcher.deep_copy(), id < tokenizer.vocab_size
        if known and not matcher.is_stopped() and copy.consume_token(id):
            return _Text(self.grammar, (*self.ids, id), copy)
        name = tokenizer.decode_str([id]) if known else "unknown"
        if not known:
            why = f"the tokenizer has {tokenizer.vocab_size} tokens"
        elif matcher.is_stopped():
            why = "the text has ended"
        else:
            why = _reason(copy)
        message = "the grammar refuses token {id} ({name!r}) in {row}: {why}"
        raise InvalidRowError(row, message, id=id, name=name, why=why)

    def allowed(self, row: int, vocabulary: int) -> np.ndarray:
        """Return which of the first `vocabulary` tokens are valid, bool [of these]."""
        copy = self.matcher.deep_copy()  # which may fail, while the text stays as it is
        bits = np.frombuffer(copy.compute_bitmask(), np.uint8)
        count = self.grammar.tokenizer.vocab_size
        valid = np.unpackbits(bits, count=count, bitorder="little")[:vocabulary] > 0
        why = ""
        if copy.is_error():
            why = _reason(copy)
        elif not valid.any():
            why = f"those that could are not among the {vocabulary} that have logits"
        if why:
            end = self.grammar.tokenizer.decode_str(list(self.ids[-16:]))
            where = f"behind {end!r}" if self.ids else "at its beginning"
            message = "no token can continue {row} in this grammar {where}: {why}"
            raise InvalidRowError(row, message, where=where, why=why)
        return valid

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the matcher out, which reads the tokens anew."""
        return _reread, (self.grammar, self.ids)

    def __deepcopy__(self, memo: Any) -> "_Text":
        """Return itself, since nothing in it changes."""
        return self

    __copy__ = __deepcopy__


def _reread(grammar: Grammar, ids: tuple[int, ...]) -> _Text:
    matcher = grammar._matcher.deep_copy()
    matcher.consume_tokens(list(ids))
    return _Text(grammar, ids, matcher)


def _reason(matcher: Any) -> str:
    """Return why llguidance goes on no further, without the state of its parser."""
    reason = matcher.get_error().partition("\n")[0]
    stuck = "the tokenizer has no token for what must follow (NoExtensionBias)"
    return stuck if reason == "NoExtensionBias" else reason


def _layout(options: Any, whitespace: str | None) -> Any:
    """Return llguidance's options with the white space that is wanted."""
    if not isinstance(options, dict):
        return options
    if whitespace is not None:
        own = {key: value for key, value in options.items() if key != "whitespace_flexible"}
        return own | {"whitespace_pattern": whitespace}
    told = {"whitespace_flexible", "whitespace_pattern"} & options.keys()
    return options if told else options | {"whitespace_pattern": ""}


def _refuse_graph(array: Any) -> None:
    if in_graph(array):
        raise ValueError(
            "Grammar runs a parser and cannot be part of a graph: call the sampler outside of "
            "tf.function, on the logits that the compiled model returns"
        )
