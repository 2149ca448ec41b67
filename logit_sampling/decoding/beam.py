"""Beam search, plain and diverse: the likeliest texts that a few hypotheses side by side find."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from logit_sampling.decoding.search import (
    EndedBy,
    TextReader,
    check_request,
    check_several,
    most_likely,
    past_deadline,
    sampler_of_prompt,
)
from logit_sampling.decoding.text_row import Row
from logit_sampling.distribution.checks import check_count, check_flag, check_real
from logit_sampling.distribution.row import Row as Scores
from logit_sampling.sampler import State

if TYPE_CHECKING:
    from logit_sampling.generation.request import Request


@dataclass(frozen=True)
class BeamSearch:
    """Look for the likeliest texts: in each step the ``num_beams`` best beginnings go on.

    A text is worth the sum of the log-probabilities of its tokens, its end token among them,
    divided by ``length ** length_penalty``, its length in new tokens. They are log-probabilities
    under the distribution that the chain of the sampler leaves, which sums to 1; the chain has a
    state for each beam, and with no sampler it is the model's distribution. Of equals the earlier
    beam and then the lower id is first. An end token among the ``num_beams`` best candidates
    ends a text, and the next best goes on in its place; a beam that is alone ends with its text.

    With groups, each keeps ``num_beams / num_groups`` beams, and they choose one after the other: a
    token loses ``diversity_penalty`` for each time that an earlier group took it in the same step.
    The penalty moves the choice alone, not the scores. Without it all groups find the same texts.

    Args:
        num_beams: at least 1, which is greedy.
        length_penalty: any number; 0 compares sums, greater ones favour longer texts.
        num_groups: at least 1; divides ``num_beams``.
        diversity_penalty: at least 0, in nats.
        early_stopping: whether to stop as soon as ``num_beams`` texts have ended, or else when no
            other text can become better than the worst of them.

    Raises:
        ValueError: a value is out of range.

    Source:
        Graves, Sequence Transduction with Recurrent Neural Networks, 2012, arXiv 1211.3711;
        Vijayakumar et al., Diverse Beam Search, 2016, arXiv 1610.02424.

    Example, where the likeliest first token does not begin the likeliest text:

    >>> import numpy as np, logit_sampling as ls
    >>> table = np.log([[0.2, 0.4, 0.4], [0.6, 0.3, 0.1], [0.01, 0.01, 0.98]])
    >>> search = ls.BeamSearch(num_beams=2)
    >>> result = ls.generate(lambda ids: table[ids[:, -1]], [[0]], search=search, max_new_tokens=2)
    >>> result.token_ids, np.exp(2 * result.scores[0]).round(3)
    ([[2, 2]], np.float64(0.392))
    """

    streams: ClassVar[bool] = False

    num_beams: int = 4
    length_penalty: float = 1.0
    num_groups: int = 1
    diversity_penalty: float = 0.0
    early_stopping: bool = False

    def __post_init__(self) -> None:
        check_count(self, "num_beams", least=1)
        check_count(self, "num_groups", least=1)
        check_real(self, "length_penalty")
        check_real(self, "diversity_penalty", ge=0)
        check_flag(self, "early_stopping")
        if self.num_beams % self.num_groups:
            raise ValueError(
                f"BeamSearch needs `num_groups` to divide `num_beams`, {self.num_beams}; got "
                f"{self.num_groups}"
            )

    def grow(self, request: "Request", rows: Sequence[Row], ended_by: EndedBy) -> Iterator[int]:
        """Write the ``n`` best texts of each prompt, with falling scores.

        Yields:
            the number of each row, when all are written, or when the deadline has passed.

        Raises:
            ValueError: ``n`` above ``num_beams``; arguments that need texts written one after the
                other; ``Greedy``; a parameter whose values differ between the rows of a prompt.
        """
        if request.n > self.num_beams:
            raise ValueError(
                f"n is {request.n}, but BeamSearch keeps {self.num_beams} texts of each prompt: "
                "set num_beams to n or more"
            )
        check_request(
            request,
            "BeamSearch",
            stop=bool(request.stop),
            should_stop=request.should_stop is not None,
        )
        check_several(request, "BeamSearch")
        hunts = [_Hunt(self, request, number) for number in range(len(request.prompts))]
        for hunt, row in zip(hunts, rows[:: request.n], strict=True):
            hunt.problem = row.error or ""
        stopped = "interrupted"  # if something comes between
        try:
            for _ in _steps(request, hunts):
                if past_deadline(request):
                    stopped = "deadline"
                    break
            else:
                stopped = ""
        finally:
            for i, hunt in enumerate(hunts):
                hunt.tell(rows[i * request.n :][: request.n], stopped)
        yield from range(len(rows))


def _steps(request: "Request", hunts: "list[_Hunt]") -> Iterator[None]:
    """Give all beams of all prompts a token at a time, and yield between."""
    reader = TextReader(request.model, request.prompts)
    logits = reader.output.logits[:, -1]
    while True:
        for hunt in hunts:
            hunt.step(logits)
        yield
        beams = [beam for hunt in hunts for beam in hunt.beams()]
        if not beams:
            return
        reader.select([beam.place for beam in beams])
        for place, beam in enumerate(beams):
            beam.place = place
        logits = reader.read([beam.row.prompt + beam.row.ids for beam in beams]).logits[:, -1]


@dataclass
class _Beam:
    """One beginning of a text, or a whole one."""

    row: Row
    place: int  # where in the batch the logits are that follow it
    total: float = 0.0  # the sum of the sampler's log-probabilities

    @property
    def score(self) -> float:
        """What whole texts are compared by."""
        assert self.row.score is not None
        return self.row.score


@dataclass
class _Group:
    """Beams that are compared with each other."""

    live: list[_Beam]  # those that go on
    state: State  # of the sampler, a row for each of them
    ended: list[_Beam] = field(default_factory=list)  # whole texts, the best first


class _Hunt:
    """The search for the texts of one prompt."""

    def __init__(self, search: BeamSearch, request: "Request", number: int) -> None:
        self.search, self.request, self.number = search, request, number
        self.sampler, self.end_ids = sampler_of_prompt(request, number)
        self.width = search.num_beams // search.num_groups
        self.length = 0
        self.groups: list[_Group] = []
        self.problem = ""  # why it cannot go on

    def beams(self) -> list[_Beam]:
        """Return the beams that go on."""
        return [beam for group in self.groups for beam in group.live if not self.problem]

    def step(self, logits: np.ndarray) -> None:
        """Give each beam a token; logits [places, vocab]."""
        if self.problem:
            return
        if not self.groups:
            seed = self.request.seeds[self.number * self.request.n]
            first = Row(self.request.prompts[self.number], seed, self.end_ids, score=-math.inf)
            state = self.sampler.init([first.prompt], logits.shape[-1], seed=[first.seed])
            for _ in range(self.search.num_groups):
                self.groups.append(_Group([_Beam(first, self.number)], state))
        self.length += 1
        taken: Counter[int] = Counter()
        for group in self.groups:
            if group.live:
                try:
                    chosen = self._choose(group, logits, taken)
                except ValueError as error:
                    problem = re.sub(r"\brow \d+\b", "this beam", str(error))
                    where = f"prompt {self.number}, new token {self.length - 1}"
                    self.problem = f"{where}: {problem}"
                    return
                taken.update(beam.row.ids[-1] for beam in chosen)
                self._sort_out(group, chosen)

    def _choose(self, group: _Group, logits: np.ndarray, taken: Counter[int]) -> list[_Beam]:
        """Return the best continuations: those that end the text, and as many that do not."""
        ends, penalty = self.end_ids, self.search.diversity_penalty
        # Of each beam no more can be chosen: all that end or are penalised may come first.
        enough = self.width + len(ends) + (len(taken) if penalty else 0)
        pending = self.sampler.begin_step(logits[[b.place for b in group.live]], group.state)
        candidates = []
        for place, (beam, left) in enumerate(zip(group.live, pending.stages[-1].rows, strict=True)):
            if left.empty:  # nothing can follow this beam
                continue
            for token, log_prob in zip(*(a.tolist() for a in left.candidates(enough)), strict=True):
                total = beam.total + log_prob
                order = (penalty * taken[token] - total, place, token)
                candidates.append((order, total, log_prob))
        candidates.sort()
        chosen: list[_Beam] = []
        parents: list[int] = []  # of those that go on
        tokens: list[int] = []
        for rank, ((_, place, token), total, log_prob) in enumerate(candidates):
            if len(parents) == self.width:
                break
            if token not in ends:
                parents.append(place)
                tokens.append(token)
            elif rank >= self.width:
                continue
            beam, model = group.live[place], pending.stages[0].rows[place]
            row = self._longer(beam.row, token, model, log_prob, total)
            chosen.append(_Beam(row, beam.place, total))
        if parents:
            group.state = pending.select(parents).accept(np.array(tokens, np.int32))
        return chosen

    def _longer(self, row: Row, token: int, model: Scores, log_prob: float, total: float) -> Row:
        """Return a text with a token more."""
        longer = replace(
            row,
            ids=[*row.ids],
            log_probs=[*row.log_probs],
            sampler_log_probs=[*row.sampler_log_probs],
            top_log_probs=[*row.top_log_probs],
        )
        top = most_likely(model, self.request.top_log_probs)
        longer.take(token, model.log_prob(token), log_prob, top)
        longer.score = total / self.length**self.search.length_penalty
        return longer

    def _sort_out(self, group: _Group, chosen: list[_Beam]) -> None:
        """Part what has ended from what goes on, and end the group if it is done."""
        last = self.length == self.request.max_new_tokens
        group.live, ended = [], group.ended
        for beam in chosen:
            end = beam.row.ids[-1] in self.end_ids
            beam.row.finish_reason = "end_token" if end else "length" if last else ""
            (ended if beam.row.finish_reason else group.live).append(beam)
        ended.sort(key=lambda beam: -beam.score)
        del ended[self.width :]
        early = self.search.early_stopping or self.width == 1
        if len(ended) == self.width and (early or self._bound(group) <= ended[-1].score):
            group.live = []

    def _bound(self, group: _Group) -> float:
        """Return what no text can exceed that a group may still find: one that loses no more."""
        power = self.search.length_penalty
        length = self.request.max_new_tokens if power > 0 else self.length + 1
        return max((beam.total / length**power for beam in group.live), default=-math.inf)

    def tell(self, rows: Sequence[Row], stopped: str) -> None:
        """Write the best texts into rows: whole ones, and others if the search was ``stopped``.

        What cannot go on, and a row for which the sampler allows no text, ends as an error.
        """
        texts = [beam for group in self.groups for beam in group.ended]
        problem = self.problem
        if problem or stopped:
            texts += [beam for group in self.groups for beam in group.live]
        elif len(texts) < len(rows):
            problem = (
                f"prompt {self.number}: n is {len(rows)}, but the search found {len(texts)} texts "
                "that the sampler allows: ask for fewer, or loosen its transforms"
            )
        texts.sort(key=lambda beam: -beam.score)
        for row, beam in zip_longest(rows, texts[: len(rows)]):
            if beam is not None:
                vars(row).update(vars(beam.row))
            if not row.finish_reason and problem:
                row.fail(problem)
            elif not row.finish_reason:
                row.end(stopped)
