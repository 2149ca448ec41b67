"""The playground: what its page asks, answered from `explain`, whose numbers these are."""

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from logit_sampling.decoding.beginnings import LEAST, Beginnings, common
from logit_sampling.decoding.reader import Reader
from logit_sampling.distribution.eager import uniforms
from logit_sampling.distribution.random import row_words
from logit_sampling.explain import Explanation
from logit_sampling.explain.rows import rows, told
from logit_sampling.explain.trace import entropy, likeliest
from logit_sampling.generation.prompts import token_ids
from logit_sampling.models.as_model import model_and_tokenizer
from logit_sampling.models.model import Model, needed_tokenizer
from logit_sampling.plain import strict_json
from logit_sampling.sampler import Sampler
from logit_sampling.serving.cards import CHAINS, LEARNING, PROMPTS, cards
from logit_sampling.serving.changes import nearest
from logit_sampling.serving.refused import RefusedError
from logit_sampling.serving.spelling import Spelling
from logit_sampling.settings import SYSTEMS
from logit_sampling.settings.written import in_written_order

_LOGITS = 256  # texts whose logits are kept, so that a slider reads no model
_TOLD = 24  # chains whose explanations are kept
_LINES, _ROWS = 8, 500  # that one question may ask for
_SEGMENT = 0.005  # mass of a token that is shown on the number line


class Playground:
    """Answers questions about the next token of a text, one at a time.

    Args:
        model: with a tokenizer.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._runner, tokenizer = model_and_tokenizer(model, None)
        self._tokenizer = needed_tokenizer(tokenizer, model.name)
        self._spelling = Spelling(self._tokenizer, tuple(model.end_ids))
        self._reader = Reader(self._runner, beginnings=Beginnings(4096))
        self._read: tuple[int, ...] = ()  # what the reader read last, and its key there
        self._key = 0
        self._known: OrderedDict[tuple[int, ...], np.ndarray] = OrderedDict()
        self._told: OrderedDict[tuple[Any, ...], Explanation | RefusedError] = OrderedDict()
        self._lock = threading.Lock()  # the page may ask twice at once

    def about(self) -> dict[str, Any]:
        """Tell of the model, the strategies and what the page begins with."""
        size = self._runner.vocab_size or 0
        ends = sorted(self.model.end_ids)
        return {
            "model": {
                "name": Path(self.model.name).name,
                "path": self.model.name,  # what `load_model` takes
                "vocab_size": size,
                "context_length": self.model.context_length,
                "end_ids": ends,
            },
            "strategies": cards(size, ends[0] if ends else 0),
            "orders": list(SYSTEMS),
            "examples": PROMPTS,
            "chains": [{"name": name, "line": line} for name, line in CHAINS],
        }

    def next(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Tell of the next token: each chain's stages and draw, and some rows of the vocabulary."""
        text = _Text.of(asked, self)
        lines = _strings(asked, "lines", _LINES)
        logits = self._logits(text.ids)
        found = [self._explained(line, text, logits) for line in lines]
        by = asked.get("by")
        plain = self._plain(text, logits)
        first, count = _whole(asked, "first", 0), min(_whole(asked, "count", 60), _ROWS)
        chosen = by if isinstance(by, int) and 0 <= by < len(found) else None
        total, shown = rows(plain.raw_log_probs, found, self._spelled, first, count, chosen)
        return strict_json(
            {
                "prompt_tokens": [self._spelled(id) for id in text.prompt],
                "step": text.step,
                "vocab_size": int(logits.size),
                "entropy": entropy(plain.raw_log_probs),
                "chains": [self._chain(*own) for own in zip(lines, found, strict=True)],
                "total": total,
                "rows": shown,
            }
        )

    def write(self, asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield the tokens that a chain draws behind a text, until an end token or the count."""
        text = _Text.of(asked, self)
        top = min(_whole(asked, "top", 5), _ROWS)
        for place in range(_whole(asked, "count", 1)):
            if place and len(text.ids) == self.model.context_length:
                return
            explained = self._explained(str(asked.get("line")), text, self._logits(text.ids))
            if not isinstance(explained, Explanation):
                raise explained
            if explained.drawn is None:
                raise RefusedError("the chain leaves nothing to draw from", "line")
            drawn = explained.drawn
            first = likeliest(explained.raw_log_probs, top).tolist()
            of_drawn = told(explained.token(drawn))
            end = drawn in self.model.end_ids
            yield strict_json(
                {
                    **self._spelled(drawn),
                    "log_prob": of_drawn["log_probs"][0],
                    "sampler_log_prob": of_drawn["final_log_prob"],
                    "alternatives": [
                        {
                            **self._spelled(id),
                            "raw_log_prob": float(explained.raw_log_probs[id]),
                            **told(explained.token(id)),
                        }
                        for id in first
                    ],
                    "stages": [stage.name for stage in explained.stages],
                    "end": end,
                }
            )
            if end:
                return
            text = text.longer(drawn)

    def path(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Tell of tokens behind a prompt, `count` from `first` on, what each chain made of them."""
        whole, lines = _Text.of(asked, self), _strings(asked, "lines", _LINES)
        top, prompt = min(_whole(asked, "top", 5), _ROWS), len(whole.prompt)
        self._read_all(whole)
        names: list[dict[str, Any]] = [{"error": None, "stages": []} for _ in lines]
        tokens = []
        first = prompt + _whole(asked, "first", 0)
        last = first + _whole(asked, "count", len(whole.ids))
        for place, id in enumerate(whole.ids[first:last], first):
            text = _Text(whole.prompt, whole.ids[prompt:place], whole.seed)
            logits = self._logits(text.ids)
            found = [self._explained(line, text, logits) for line in lines]
            for chain, own in zip(names, found, strict=True):
                if isinstance(own, Explanation):
                    chain["stages"] = [stage.name for stage in own.stages]
                else:
                    chain["error"] = str(own)
            plain = self._plain(text, logits)
            raw_of_all = plain.raw_log_probs

            def told_of(
                id: int, plain: Explanation = plain, found: Sequence[Any] = found
            ) -> dict[str, Any]:
                chains = [
                    told(own.token(id)) | {"drawn": own.drawn}
                    if isinstance(own, Explanation)
                    else None
                    for own in found
                ]
                raw = float(plain.raw_log_probs[id])
                return {**self._spelled(id), "raw_log_prob": raw, "chains": chains}

            before = raw_of_all > raw_of_all[id]
            rank = int(before.sum() + (raw_of_all[:id] == raw_of_all[id]).sum())
            alternatives = [told_of(other) for other in likeliest(raw_of_all, top).tolist()]
            tokens.append({**told_of(id), "rank": rank, "alternatives": alternatives})
        prompt_tokens = [self._spelled(id) for id in whole.prompt]
        return strict_json({"prompt_tokens": prompt_tokens, "chains": names, "tokens": tokens})

    def why(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Tell where the random number of a draw fell, and what would have drawn another token."""
        text, line = _Text.of(asked, self), str(asked.get("line"))
        logits = self._logits(text.ids)
        explained = self._explained(line, text, logits)
        if not isinstance(explained, Explanation):
            raise explained
        if explained.drawn is None:
            raise RefusedError("the chain leaves nothing to draw from", "line")
        mass = np.exp(explained.final_log_probs)
        ends = np.cumsum(mass) / mass.sum()
        (uniform,) = uniforms(row_words(text.seed, 1), [text.step], 0)
        shown = {*np.flatnonzero(mass >= _SEGMENT).tolist(), explained.drawn}

        def place(id: int) -> dict[str, Any]:
            low = float(ends[id - 1]) if id else 0.0
            return {**self._spelled(id), "low": low, "high": float(ends[id])}

        changes = nearest(line, lambda other: self._draw(other, text, logits))
        return strict_json(
            {
                "uniform": float(uniform),
                **place(explained.drawn),
                "around": [place(id) for id in sorted(shown)],
                "changes": [{**own, **self._spelled(own["id"])} for own in changes],
            }
        )

    def ids(self, prompt: str) -> list[int]:
        """Return the ids of a prompt; raise RefusedError if there are none."""
        try:
            return token_ids(0, prompt, self.model, self._tokenizer)
        except ValueError as error:
            nothing = (
                "The prompt is empty, and this model has no start token: write a word or more."
            )
            raise RefusedError(str(error) if prompt else nothing, "prompt") from error

    def _read_all(self, text: "_Text") -> None:
        """Read a text once, and keep the logits behind its prompt and each of its tokens."""
        first, last = len(text.prompt), len(text.ids)
        if last - first < 2 or all(text.ids[:n] in self._known for n in range(first, last)):
            return
        with self._lock:
            reader, ids = Reader(self._runner), list(text.ids[:-1])
            behind = [reader.read({0: ids[:first]}).logits[0, -1]]
            behind += [*reader.read({0: ids}, last - first - 1).logits[0]][first + 1 - last :]
            for n, logits in zip(range(first, last), behind, strict=True):
                self._known.setdefault(text.ids[:n], logits)
            while len(self._known) > max(_LOGITS, last - first):
                self._known.popitem(last=False)

    def _logits(self, ids: tuple[int, ...]) -> np.ndarray:
        """Return the logits behind a text, float [vocab]."""
        context = self.model.context_length
        if context is not None and len(ids) >= context:
            raise RefusedError(
                f"The text has {len(ids):,} tokens, and the model reads {context:,}: shorten it."
            )
        with self._lock:
            if ids not in self._known:
                if len(self._known) >= _LOGITS:
                    self._known.popitem(last=False)
                self._known[ids] = self._read_anew(ids)
            self._known.move_to_end(ids)
            return self._known[ids]

    def _read_anew(self, ids: tuple[int, ...]) -> np.ndarray:
        """Return the logits behind a text that the reader has not as it is."""
        alike = common(self._read, ids)
        # A reader has to be told where a text differs from the last one, or that it is another.
        unlike, self._read = max(1, len(ids) - alike), ()
        if not alike or unlike > LEAST:
            self._key, unlike = self._key + 1, 1
        logits: np.ndarray = self._reader.read({self._key: list(ids)}, unlike).logits[0, -1]
        self._read = ids
        return logits

    def _explained(
        self, line: str, text: "_Text", logits: np.ndarray
    ) -> Explanation | RefusedError:
        """Return what a chain does, or what is wrong with it."""
        key = (line, text.ids, len(text.prompt), text.seed)
        with self._lock:
            if key in self._told:  # while one chain is edited, the other stays as it is
                self._told.move_to_end(key)
                return self._told[key]
        found: Explanation | RefusedError
        try:
            sampler = Sampler.parse(line)
            found = sampler.explain(logits, **text.given(sampler), top=1)
        except ValueError as error:
            found = RefusedError(str(error), "line")
        with self._lock:
            self._told[key] = found
            while len(self._told) > _TOLD:
                self._told.popitem(last=False)
        return found

    def _plain(self, text: "_Text", logits: np.ndarray) -> Explanation:
        """Return what the model's own distribution is."""
        found = self._explained("sample", text, logits)
        assert isinstance(found, Explanation)
        return found

    def _draw(self, line: str, text: "_Text", logits: np.ndarray) -> int | None:
        """Return what a chain draws; None if it cannot."""
        try:
            sampler = Sampler.parse(line)
            return int(sampler(logits, **text.given(sampler)))
        except ValueError:
            return None

    def _chain(self, line: str, found: Explanation | RefusedError) -> dict[str, Any]:
        if not isinstance(found, Explanation):
            nothing: dict[str, Any] = {
                "python": None,
                "stages": [],
                "drawn": None,
                "drawn_text": None,
                "kept": 0,
            }
            return {"line": line, "error": str(found), **nothing}
        data = found.to_dict()
        drawn = None if found.drawn is None else self._spelled(found.drawn)
        return {
            "line": line,
            "error": None,
            "python": as_python(Sampler.parse(line)),
            "stages": data["stages"],
            "canonical": in_written_order(line),
            "drawn": found.drawn,
            "drawn_text": drawn and drawn["text"],
            "drawn_bytes": drawn and drawn["bytes"],
            "kept": int((found.final_log_probs > -np.inf).sum()),
        }

    def _spelled(self, id: int) -> dict[str, Any]:
        own = self._spelling.bytes(id)
        return {
            "id": id,
            "text": self._spelling.text(id),
            "bytes": None if own is None else list(own),
        }


class _Text:
    """A prompt, what is written behind it, and the seed of its draws."""

    def __init__(self, prompt: Sequence[int], tokens: Sequence[int], seed: int) -> None:
        self.prompt, self.ids, self.seed = prompt, (*prompt, *tokens), seed
        self.step = len(self.ids)  # as in `generate`: the place of the token in the whole text

    @classmethod
    def of(cls, asked: Mapping[str, Any], playground: Playground) -> "_Text":
        """Return what a question is about; raise RefusedError for what is wrong."""
        prompt, tokens, seed = asked.get("prompt"), asked.get("tokens", []), asked.get("seed", 0)
        if not isinstance(prompt, str):
            raise RefusedError("`prompt` is a text", "prompt")
        most = playground.model.vocab_size or 2**31
        if not isinstance(tokens, list) or not all(
            type(id) is int and 0 <= id < most for id in tokens
        ):
            raise RefusedError(f"`tokens` are ids in [0, {most})", "tokens")
        if type(seed) is not int or not 0 <= seed < 2**64:
            raise RefusedError("`seed` is an integer in [0, 2**64)", "seed")
        return cls(playground.ids(prompt), tokens, seed)

    def longer(self, id: int) -> "_Text":
        """Return the text with a token more."""
        return _Text(self.prompt, [*self.ids[len(self.prompt) :], id], self.seed)

    def given(self, sampler: Sampler) -> dict[str, Any]:
        """Return what a call of a sampler needs to know of it."""
        # What learns from draws begins afresh: nothing tells how likely each of them was.
        learns = any(type(own).__name__ in LEARNING for own in sampler.transforms)
        prompt = len(self.ids) if learns else len(self.prompt)
        own = {"history": list(self.ids), "prompt_length": prompt}
        return own | {"seed": self.seed, "step": self.step}


def as_python(sampler: Sampler) -> str:
    """Return the Python that makes a sampler, with `ls` for the package.

    >>> as_python(Sampler.parse("greedy repetition_penalty=1.2"))
    'ls.Greedy(ls.RepetitionPenalty(penalty=1.2, window=None, prompt=True, normalize=False))'
    """
    own = ", ".join(f"ls.{transform!r}" for transform in sampler.transforms)
    return f"ls.{type(sampler).__name__}({own})"


def _strings(asked: Mapping[str, Any], name: str, most: int) -> list[str]:
    given = asked.get(name)
    if not isinstance(given, list) or not all(isinstance(own, str) for own in given):
        raise RefusedError(f"`{name}` is a list of texts", name)
    if len(given) > most:
        raise RefusedError(f"`{name}` has {len(given)} entries, more than {most}", name)
    return given


def _whole(asked: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = asked.get(name, otherwise)
    if type(value) is not int or value < 0:
        raise RefusedError(f"`{name}` is an integer of at least 0", name)
    return value
