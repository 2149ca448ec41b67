"""Valid output only: a grammar says which tokens can come next."""

import json
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from logit_sampling.arrays import in_graph, to_numpy
from logit_sampling.transforms.base import Transform
from logit_sampling.transforms.vocabularies import as_llguidance, llguidance


@dataclass(frozen=True)
class Grammar(Transform):
    """Remove every token that cannot continue a valid text.

    The end token is left only where the text is complete, and after it the end token alone; ids
    beyond the tokenizer's are removed. A text may be spelled with any of its tokens, not only with
    those that the tokenizer would choose. Put it first in a chain, so that a cut by rank or mass is
    made among valid tokens. The text begins where generation does: the prompt is no part of it.

    The work is done by llguidance, an optional extra (``pip install 'logit-sampling[grammar]'``),
    in eager code alone. The state has one of its matchers for each row; ``update`` copies them.

    Args:
        grammar: in llguidance's form of Lark. The constructors ``json_schema``, ``regex`` and
            ``lark`` write it.
        tokenizer: a KerasHub tokenizer (byte-level BPE or SentencePiece), a ``Tokenizer`` of
            Hugging Face's ``tokenizers``, or an ``LLTokenizer`` of llguidance.
        end_id: the id of the end token, where the tokenizer knows none or another is wanted.

    Attributes:
        end_ids: the tokens that end a text: ``end_id``, or those of the tokenizer. ``generate``
            ends its rows with them; another loop has to be told, as that of transformers is with
            ``model.generate(..., eos_token_id=list(grammar.end_ids))``.

    Raises:
        ValueError: llguidance is not installed; the grammar is not valid; a tokenizer of another
            kind, or without an end token; a token is accepted that the grammar refuses; a graph is
            being traced.

    Source:
        llguidance, https://github.com/guidance-ai/llguidance: an Earley parser over a trie of the
        vocabulary.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> grammar = ls.Grammar.regex("(ab)+", tokenizer)       # doctest: +SKIP
        >>> sampler = ls.Sampler(grammar, ls.Temperature(0.8))   # doctest: +SKIP
    """

    grammar: str
    tokenizer: Any = field(repr=False)
    end_id: int | None = None
    _matcher: Any = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        tokenizer = as_llguidance(self.tokenizer, self.end_id)
        matcher_of = llguidance().LLMatcher
        # Where only one text can follow, leave each of the tokens with which it can begin.
        written = matcher_of.grammar_from_lark('%llguidance {"no_forcing": true}\n' + self.grammar)
        matcher = matcher_of(tokenizer, written, log_level=0)
        if matcher.is_error():
            raise ValueError(f"no valid grammar: {matcher.get_error().strip()}")
        object.__setattr__(self, "tokenizer", tokenizer)
        object.__setattr__(self, "_matcher", matcher)

    @classmethod
    def json_schema(
        cls, schema: str | dict[str, Any], tokenizer: Any, end_id: int | None = None
    ) -> Self:
        """Return the grammar of JSON texts that a JSON schema, a dict or its text, allows."""
        try:
            text = json.dumps(json.loads(schema) if isinstance(schema, str) else schema)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the schema is no JSON: {error}") from None
        return cls.lark(f"start: %json {text}", tokenizer, end_id)

    @classmethod
    def regex(cls, pattern: str, tokenizer: Any, end_id: int | None = None) -> Self:
        """Return the grammar of the texts that match a pattern from end to end.

        It is in the syntax of Rust's regular expressions: without look-around and back-references.
        """
        written = json.loads(llguidance().LLMatcher.grammar_from_regex(pattern))
        return cls.lark(written["grammars"][0]["lark_grammar"], tokenizer, end_id)

    @classmethod
    def lark(cls, text: str, tokenizer: Any, end_id: int | None = None) -> Self:
        """Return a context-free grammar, in llguidance's form of Lark, that begins at ``start``."""
        return cls(text, tokenizer, end_id)

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The tokens that end a text."""
        return tuple(self.tokenizer.eos_tokens)

    def end_tokens(self) -> tuple[int, ...]:
        """Return ``end_ids``."""
        return self.end_ids

    def init(self, history: Any, vocab_size: int) -> tuple[Any, ...]:
        """Return a matcher for each row."""
        _refuse_graph(history)
        return tuple(self._matcher.deep_copy() for _ in range(len(history)))

    def update(self, state: Any, ids: Any) -> tuple[Any, ...]:
        """Return matchers that have accepted ``ids``, int [batch]; -1 is none."""
        _refuse_graph(ids)
        pairs = zip(state, to_numpy(ids).tolist(), strict=True)
        return tuple(self._accept(row, matcher, id) for row, (matcher, id) in enumerate(pairs))

    def select(self, state: Any, rows: np.ndarray) -> tuple[Any, ...]:
        """Return the matchers of some rows, int [n]."""
        return tuple(state[row] for row in rows)

    def _accept(self, row: int, matcher: Any, id: int) -> Any:
        ends = matcher.is_stopped() and id in self.tokenizer.eos_tokens
        if id < 0 or ends:  # an ended row may go on ending while others are written
            return matcher
        copy = matcher.deep_copy()
        if id >= self.tokenizer.vocab_size or matcher.is_stopped() or not copy.consume_token(id):
            text = self.tokenizer.decode_str([id]) if id < self.tokenizer.vocab_size else "unknown"
            raise ValueError(f"the grammar refuses token {id} ({text!r}) in row {row}")
        return copy

    def apply(self, logits: Any, state: Any) -> Any:
        """Return the logits, float [batch, vocab], with -inf for what is not valid."""
        _refuse_graph(logits)
        x = to_numpy(logits)
        valid = np.zeros(x.shape, bool)
        for row, matcher in enumerate(state):
            allowed = self._allowed(row, matcher)[: x.shape[1]]
            valid[row, : len(allowed)] = allowed
        return np.where(valid, x, -np.inf).astype(x.dtype)

    def _allowed(self, row: int, matcher: Any) -> np.ndarray:
        """Return which ids of the tokenizer are valid, bool [tokenizer's vocabulary]."""
        copy = matcher.deep_copy()  # which may fail, while the state stays as it is
        bits = np.frombuffer(copy.compute_bitmask(), np.uint8)
        if copy.is_error():
            problem = copy.get_error().partition("\n")[0]
            raise ValueError(f"no token can continue row {row} in this grammar: {problem}")
        return np.unpackbits(bits, count=self.tokenizer.vocab_size, bitorder="little") > 0

    def get_config(self) -> dict[str, Any]:
        """Raise ValueError: JSON cannot hold a tokenizer."""
        raise ValueError(
            "Grammar has no configuration, since JSON cannot hold its tokenizer; construct it again"
        )


def _refuse_graph(array: Any) -> None:
    if in_graph(array):
        raise ValueError(
            "Grammar runs a parser and cannot be part of a graph: call the sampler outside of "
            "tf.function, on the logits that the compiled model returns"
        )
