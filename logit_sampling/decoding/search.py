"""What the searches share: how they read a model, and the samplers of their rows."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from logit_sampling.decoding.drawing import select_rows
from logit_sampling.decoding.text_row import Alternatives, Row
from logit_sampling.distribution.eager import uniforms
from logit_sampling.distribution.row import Row as Scores
from logit_sampling.models.model import Model, Output
from logit_sampling.sampler import Greedy, Pending, Sampler, State

if TYPE_CHECKING:
    from logit_sampling.generation.request import Request

EndedBy = Callable[[int], str]
"""Asked after each new token of a row: the reason why it ends with it, or an empty string."""


class TextReader:
    """A model that reads texts as they grow and shrink.

    Args:
        model: what reads.
        prompts: one for each text; equal ones share their reading.

    Attributes:
        output: what follows the last token of each prompt, one column.
    """

    def __init__(self, model: Model, prompts: Sequence[Sequence[int]]) -> None:
        keys = [tuple(prompt) for prompt in prompts]
        distinct = {key: place for place, key in enumerate(dict.fromkeys(keys))}
        (logits, hidden), self._cache = model.prefill(list(distinct))
        places = [distinct[key] for key in keys]
        self.select(places)
        self.output = Output(logits[places], None if hidden is None else hidden[places])

    def select(self, places: Sequence[int]) -> None:
        """Go on with the texts at these places, which may be repeated."""
        if list(places) != list(range(len(self._cache.lengths))):
            self._cache = self._cache.select(places)

    def read(self, texts: Sequence[list[int]], columns: int = 1) -> Output:
        """Read each text to its end.

        What has been read of a text may differ from it in its last ``columns`` tokens and behind
        them; that is forgotten. All texts are read by equally many tokens at once, so that the last
        tokens of some are read again.

        Returns:
            what follows at least the last ``columns`` tokens, and all that had not been read; the
            last column belongs to the last token. Columns before the first token mean nothing.
        """
        held, lengths = self._cache.lengths, np.array([len(text) for text in texts])
        columns = max(columns, int((lengths - held).max()))
        surplus = held - np.maximum(lengths - columns, 0)
        if surplus.any():
            self._cache.drop(surplus)
        # What stands behind a text that is shorter than that is forgotten again.
        parts = [text[-columns:] + text[-1:] * (columns - len(text)) for text in texts]
        logits, hidden = self._cache.append(np.array(parts, np.int32))
        short = np.maximum(columns - lengths, 0)
        if short.any():
            self._cache.drop(short)
            places = np.arange(len(texts))[:, None], np.arange(columns) - short[:, None]
            logits, hidden = logits[places], None if hidden is None else hidden[places]
        return Output(logits, hidden)


class Step:
    """What the samplers make of the logits of some rows, before a token of each is chosen.

    Args:
        pending: of each group of rows; None where none takes part.
        states: of each group, before.
        where: the group of each row, and its place there.
        problems: why rows cannot go on, by their numbers.
    """

    def __init__(
        self,
        pending: list[Pending | None],
        states: list[State],
        where: Sequence[tuple[int, int]],
        problems: dict[int, str],
    ) -> None:
        self._pending, self._states, self._where = pending, states, where
        self.problems = problems
        self._uniforms: dict[tuple[int, int], list[float]] = {}

    def model(self, row: int) -> Scores:
        """Return the distribution of the model."""
        return self._stage(row, 0)

    def sampler(self, row: int) -> Scores:
        """Return the distribution that is left to draw from, which may be nothing."""
        return self._stage(row, -1)

    def uniform(self, row: int, stream: int) -> float:
        """Return a number in [0, 1): of the row's seed, its position and a stream."""
        group, place = self._where[row]
        if (group, stream) not in self._uniforms:
            seed, step, _ = self._states[group]
            self._uniforms[group, stream] = uniforms(seed, step, stream)
        return self._uniforms[group, stream][place]

    def accept(self, tokens: Mapping[int, int]) -> list[State]:
        """Return the states after a token for each of some rows."""
        ids = [np.full(len(state.step), -1, np.int32) for state in self._states]
        for row, token in tokens.items():
            group, place = self._where[row]
            ids[group][place] = token
        return [
            state if pending is None else pending._replace(resting=own < 0).accept(own)
            for pending, state, own in zip(self._pending, self._states, ids, strict=True)
        ]

    def _stage(self, row: int, stage: int) -> Scores:
        group, place = self._where[row]
        pending = self._pending[group]
        assert pending is not None
        return pending.stages[stage].rows[place]


@dataclass(frozen=True)
class Writer:
    """Texts in the making, and the samplers of their rows.

    Attributes:
        request: what to write.
        rows: the texts.
        ended_by: see ``EndedBy``.
    """

    request: "Request"
    rows: Sequence[Row]
    ended_by: EndedBy

    def states(self, vocabulary: int) -> list[State]:
        """Return the state of each group of rows before its first token."""
        return [
            group.sampler.init(
                [self.rows[i].prompt for i in group.rows],
                vocabulary,
                seed=[self.rows[i].seed for i in group.rows],
                max_new_tokens=min(self.request.max_new_tokens, 1024),  # it grows
            )
            for group in self.request.groups
        ]

    def begin(self, logits: np.ndarray, members: Sequence[int], states: list[State]) -> Step:
        """Apply the samplers of some rows to their logits, [members, vocab]."""
        place_of = {row: place for place, row in enumerate(members)}
        pending: list[Pending | None] = []
        where, problems = [(0, 0)] * len(self.rows), dict[int, str]()
        for number, (group, state) in enumerate(zip(self.request.groups, states, strict=True)):
            own = {p: place_of[row] for p, row in enumerate(group.rows) if row in place_of}
            begun, reasons = _begin(group.sampler, state, {p: logits[at] for p, at in own.items()})
            pending.append(begun)
            problems |= {group.rows[place]: reason for place, reason in reasons.items()}
            for place, row in enumerate(group.rows):
                where[row] = (number, place)
        return Step(pending, states, where, problems)

    def able(self, step: Step, members: Sequence[int]) -> Generator[int, None, list[int]]:
        """End the rows that cannot go on, yield the number of each, and return the others."""
        others = []
        for i in members:
            problem = step.problems.get(i)
            if problem is None and step.sampler(i).empty:
                problem = "every token is at -inf: nothing is left to draw from"
            if problem is None:
                others.append(i)
            else:
                self.fail(i, problem)
                yield i
        return others

    def fail(self, i: int, problem: str) -> None:
        """End a row that cannot go on."""
        self.rows[i].fail(f"row {i}, new token {len(self.rows[i].ids)}: {problem}")

    def write(self, step: Step, tokens: Mapping[int, int]) -> Iterator[int]:
        """Give some rows a token; yield the number of each."""
        for i, token in tokens.items():
            row, model = self.rows[i], step.model(i)
            top = most_likely(model, self.request.top_log_probs)
            row.take(token, model.log_prob(token), step.sampler(i).log_prob(token), top)
            row.finish_reason = "end_token" if token in row.end_ids else self.ended_by(i)
            yield i

    def unfinished(self) -> list[int]:
        """Return the rows that go on."""
        return [i for i, row in enumerate(self.rows) if not row.finish_reason]

    def stop_in_time(self) -> Iterator[int]:
        """End all rows if the deadline is over; yield the number of each."""
        if past_deadline(self.request):
            for i in self.unfinished():
                self.rows[i].end("deadline")
                yield i


def most_likely(scores: Scores, count: int) -> Alternatives | None:
    """Return the ``count`` likeliest tokens and their log-probabilities; None if ``count`` is 0."""
    if not count:
        return None
    ids, log_probs = scores.candidates(count)
    return list(zip(ids.tolist(), log_probs.tolist(), strict=True))


def _begin(
    sampler: Sampler, state: State, logits: Mapping[int, np.ndarray]
) -> tuple[Pending | None, dict[int, str]]:
    """Apply a sampler to some rows of its state: logits [vocab] by their places.

    Returns:
        the step of all rows of the state, or None if there are no logits; and by place why rows
        cannot go on: NaN, or what a transform says.
    """
    if not logits:
        return None, {}
    one = next(iter(logits.values()))
    batch = np.full((len(state.step), one.size), -np.inf, one.dtype)
    batch[:, 0] = 0  # the others rest, certain of token 0, which costs least
    for place, own in logits.items():
        batch[place] = own
    problems: dict[int, str] = {}
    try:
        pending = sampler.begin_step(batch, state)
    except ValueError:
        for place, own in logits.items():
            alone, its = select_rows(sampler, state, [place])
            try:
                alone.begin_step(own[None], its)
            except ValueError as error:
                problems[place] = str(error).replace("row 0", "this row")
                batch[place], batch[place, 0] = -np.inf, 0
        if not problems:
            raise
        pending = sampler.begin_step(batch, state)
    for place in logits:
        try:
            pending.stages[-1].rows[place].look_for_nan()
        except ValueError as error:
            problems[place] = str(error).replace(f"row {place}", "this row")
    return pending, problems


def check_request(request: "Request", name: str, **refused: bool) -> None:
    """Raise ValueError if a request asks for what a search cannot do, or for ``Greedy``."""
    refused["overflow"] = request.slide
    for argument, given in refused.items():
        if given:
            raise ValueError(f"{name} does not go together with {argument}=: leave one of them out")


def check_several(request: "Request", name: str) -> None:
    """Raise ValueError for a sampler that leaves one token, where several are compared."""
    for group in request.groups:
        if isinstance(group.sampler, Greedy):
            raise ValueError(
                f"{name} compares several tokens a step, and Greedy leaves one: pass its "
                "transforms in a Sampler, or no sampler"
            )


def past_deadline(request: "Request") -> bool:
    """Tell whether the time is over."""
    return request.deadline is not None and time.perf_counter() >= request.deadline


def sampler_of_prompt(request: "Request", number: int) -> tuple[Sampler, frozenset[int]]:
    """Return the sampler of a prompt and the tokens that end its rows.

    Raises:
        ValueError: its rows have different samplers.
    """
    group = next(group for group in request.groups if number * request.n in group.rows)
    sampler, first = group.sampler, group.rows.index(number * request.n)
    own = [
        type(sampler)(*(transform.of_row(place) for transform in sampler.transforms))
        for place in range(first, first + request.n)
    ]
    if any(other != own[0] for other in own):
        raise ValueError(
            f"the rows of prompt {number} have different parameters, but one search finds them "
            "all: give them the same"
        )
    return own[0], group.end_ids
