"""What is compared: prompts, and the texts that continue them."""

import base64
import json
import math
import sys
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

import numpy as np

from logit_sampling.plain import strict_json

HUMAN = "human"  # in place of the name of a sampler
_DIGITS = 6  # of numbers in a record: so a comparison that was loaded is the one that was saved


@dataclass(frozen=True)
class Prompt:
    """A text to continue.

    Attributes:
        id: what tells it from the others.
        text: itself, or its token ids.
        human: how its author went on, if that is known.
    """

    id: str
    text: str | tuple[int, ...]
    human: str | tuple[int, ...] | None = None


def as_prompts(given: Any) -> tuple[Prompt, ...]:
    """Return prompts: strings, lists of token ids or `Prompt`s, one or several.

    Strings that all end in a line break, as the lines of an open file do, are told with a warning:
    after it a model begins a new line, which may be meant.

    Raises:
        ValueError: there is none, one is neither, or two have one id.
    """
    several = [given] if isinstance(given, str | bytes | Prompt) else list(given)
    prompts = tuple(
        p if isinstance(p, Prompt) else Prompt(str(i), p if isinstance(p, str) else _plain(i, p))
        for i, p in enumerate(several)
    )
    # Of a file without a last line break all but the last.
    if len(several) > 1 and all(
        isinstance(p, str) and p.find("\n") == len(p) - 1 > 0 for p in several[:-1]
    ):
        warnings.warn(
            "the prompts end in a line break, as lines of a file do, and the texts begin after it: "
            "read_prompts(path) leaves it out; if it is meant, Prompt(id, text) says so",
            stacklevel=4,  # of who called `compare`
        )
    if not prompts:
        raise ValueError("prompts is empty: give at least one prompt")
    seen: set[str] = set()
    for prompt in prompts:
        if prompt.id in seen:
            raise ValueError(f"two prompts have the id {prompt.id!r}")
        seen.add(prompt.id)
    return prompts


def _plain(index: int, prompt: Any) -> str | tuple[int, ...]:
    """Return a prompt of token ids as a tuple; `generate` tells what is wrong with the ids."""
    if isinstance(prompt, bytes):
        return prompt.decode()
    if np.ndim(prompt) != 1:
        raise ValueError(
            f"prompt {index} is a string, a list of token ids or a Prompt, got {prompt!r}"
        )
    return tuple(int(i) for i in prompt)


def read_prompts(path: str | Path) -> tuple[Prompt, ...]:
    r"""Read prompts from a file: one a line, or JSON lines.

    A line of JSON is a string, or an object with `prompt` (a string, or a list of token ids) and,
    if you like, `id` and `human`, how its author went on. Other lines are prompts themselves; \n
    in them is a line break, \t a tab and \\ a backslash. Empty lines are left out.

    Args:
        path: a file of UTF-8 text; "-" is standard input.

    Raises:
        ValueError: a line that is no prompt, by its number; no prompt at all; no UTF-8.
        OSError: the file cannot be read.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
    ...     _ = file.write('{"prompt": "ROMEO:", "id": "r", "human": " O, I am"}\n"JULIET:"\n')
    ...     file.flush()
    ...     read_prompts(file.name)
    (Prompt(id='r', text='ROMEO:', human=' O, I am'), Prompt(id='2', text='JULIET:', human=None))
    """
    name = "standard input" if str(path) == "-" else str(path)
    raw = sys.stdin.buffer.read() if str(path) == "-" else Path(path).read_bytes()
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is no UTF-8 text: {error}") from None
    found = [_line(name, i, line) for i, line in enumerate(lines, 1) if line.strip()]
    if not found:
        raise ValueError(f"{name} has no prompt: write one a line")
    return as_prompts(found)


def _line(name: str, number: int, line: str) -> Prompt:
    """Return what one line of a file says."""
    from logit_sampling.plotting.visible import unescaped

    if line.lstrip()[0] not in '{"':
        return Prompt(str(number), unescaped(line))
    try:
        told = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{name}, line {number} is no JSON: {error}") from None
    told = {"prompt": told} if isinstance(told, str) else told
    unknown = sorted(set(told) - {"id", "prompt", "human"})
    if "prompt" not in told or unknown:
        what = f"unknown {', '.join(unknown)}" if unknown else "no `prompt`"
        raise ValueError(
            f"{name}, line {number}: {what}; a line has prompt, and maybe id and human"
        )
    text, human = (_text(name, number, told.get(field), field) for field in ("prompt", "human"))
    if text is None:
        raise ValueError(f"{name}, line {number}: `prompt` is null")
    return Prompt(str(told.get("id", number)), text, human)


def _text(name: str, number: int, value: Any, field: str) -> str | tuple[int, ...] | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(i, int) for i in value):
        return tuple(value)
    raise ValueError(
        f"{name}, line {number}: `{field}` is a string or a list of token ids, got {value!r}"
    )


@dataclass(frozen=True)
class Text:
    """One continuation of one prompt.

    Attributes:
        model: the name of the model.
        sampler: the name of the sampler in this comparison; "human" for what its author wrote.
        prompt_id: the id of the prompt.
        prompt: the prompt as it was given.
        run: the seed of the comparison; None for greedy, searches and humans, which have none.
        seed: the seed of this text, which `generate` takes for the prompt alone; None likewise.
        text: the continuation, without the prompt; None if there is no tokenizer.
        token_ids: its ids.
        log_probs: of each token under the model itself, in nats.
        sampler_log_probs: of each token under the distribution that it was drawn from.
        finish_reason: as in `GenerationResult`; "human" for a human's.
        error: why it could not go on, if it could not; such a text counts for nothing.
        seconds: wall time of a token, that of its batch divided by all tokens of it.
        kept: how many tokens the sampler left at each step, with `steps`.
        entropies: of the distribution that it left at each step, in nats, with `steps`.
        judge: mean log-probability of a token under the judge, in nats.
        embedding: the last hidden state after prompt and text, float16 [width].
    """

    model: str
    sampler: str
    prompt_id: str
    prompt: str | tuple[int, ...]
    run: int | None
    seed: int | None
    text: str | None
    token_ids: tuple[int, ...]
    log_probs: tuple[float, ...]
    sampler_log_probs: tuple[float, ...] = ()
    finish_reason: str = "length"
    error: str | None = None
    seconds: float | None = None
    kept: tuple[int, ...] | None = None
    entropies: tuple[float, ...] | None = None
    judge: float | None = None
    embedding: np.ndarray | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        for name in ("log_probs", "sampler_log_probs", "entropies"):
            if (values := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(round(float(v), _DIGITS) for v in values))

    @property
    def key(self) -> tuple[Any, ...]:
        """What tells it from all other texts of a comparison."""
        return self.model, self.sampler, self.prompt_id, self.seed

    @property
    def failed(self) -> bool:
        """Whether it did not come to an end that counts."""
        return self.finish_reason in ("error", "interrupted", "cancelled")

    @property
    def log_prob(self) -> float:
        """Mean log-probability of a token under the model, in nats."""
        return math.fsum(self.log_probs) / len(self.log_probs) if self.log_probs else math.nan

    def to_json(self) -> str:
        """Return it as one line of strict JSON: null is -inf in a list of numbers."""
        told = {name: value for name, value in asdict(self).items() if value is not None}
        if self.embedding is not None:
            raw = np.asarray(self.embedding, np.float16).tobytes()
            told["embedding"] = base64.b64encode(raw).decode()
        if self.judge is not None and not math.isfinite(self.judge):
            told["judge"] = str(self.judge)
        return json.dumps(strict_json(told), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """Return the text that a line tells; raise ValueError if it tells none."""
        told = json.loads(line)
        known = {field.name for field in fields(cls)}
        if not isinstance(told, dict) or not set(told) <= known:
            raise ValueError("no text of a comparison")
        for name in ("prompt", "token_ids", "kept"):
            if isinstance(told.get(name), list):
                told[name] = tuple(told[name])
        for name in ("log_probs", "sampler_log_probs", "entropies"):
            if name in told:
                told[name] = tuple(-math.inf if v is None else v for v in told[name])
        if "judge" in told:
            told["judge"] = float(told["judge"])
        if "embedding" in told:
            raw = np.frombuffer(base64.b64decode(told["embedding"]), np.float16)
            told["embedding"] = raw
        try:
            return cls(**{"run": None, "seed": None, "text": None, **told})
        except TypeError as error:
            raise ValueError(f"no text of a comparison: {error}") from None


def mean_over(texts: Iterable[Text], of: str) -> Sequence[float]:
    """Return the mean over texts of a number of each step (`kept`, `entropies`), step by step.

    Texts that have ended do not count from then on.
    """
    rows = [getattr(text, of) or () for text in texts if not text.failed]
    longest = max(map(len, rows), default=0)
    return [float(np.mean([row[i] for row in rows if len(row) > i])) for i in range(longest)]
