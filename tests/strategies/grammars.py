"""A vocabulary for grammars, and what they leave of it."""

import numpy as np

import logit_sampling as ls

TOKENS = ["a", "b", "ab", "1", "12", '"', '{"', '":', "}", "]", "[", ",", "-", "é", "x", "2", ":"]
TOKENS.append("<end>")
END = len(TOKENS) - 1
VOCABULARY = len(TOKENS)


class Tiny:
    """What llguidance asks of a tokenizer."""

    eos_token_id, bos_token_id, special_token_ids = END, None, [END]
    tokens = [token.encode() for token in TOKENS]  # noqa: RUF012

    def __call__(self, text):
        return [max(range(END), key=lambda i: len(TOKENS[i]) * text.startswith(TOKENS[i]))]


def kept(grammar: ls.Grammar, ids: list[int], vocabulary: int = VOCABULARY) -> list[int]:
    new = grammar(np.zeros(vocabulary, np.float32), history=ids)
    return np.flatnonzero(new > -np.inf).tolist()


def write(grammar: ls.Grammar, seed: int, vocabulary: int = VOCABULARY) -> str | None:
    """Return a text under random logits; None if it does not end."""
    sampler, rng = ls.Sampler(grammar, ls.TopK(5)), np.random.default_rng(seed)
    state, ids = sampler.init([[]], vocabulary, seed=seed), []
    for _ in range(200):
        x = rng.normal(size=(1, vocabulary)).astype(np.float32)
        x[0, grammar.tokenizer.eos_token] += 1
        token, state = sampler.step(x, state)
        if int(token[0]) in grammar.tokenizer.eos_tokens:
            return grammar.tokenizer.decode_str(ids)
        ids.append(int(token[0]))
    return None
