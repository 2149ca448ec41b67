"""Beam search: the likeliest texts that a few hypotheses find side by side."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import ClassVar

from logit_sampling.decoding.batch import Batch, Step
from logit_sampling.decoding.plan import Decoding, EndedBy, Group, Plan, Read
from logit_sampling.decoding.row import Row
from logit_sampling.distribution.checks import check_count, check_flag, check_real, told
from logit_sampling.sampler import Sampler


@dataclass(frozen=True)
class BeamSearch:
    """Look for the likeliest texts: in each step the `num_beams` best beginnings go on.

    A text is worth the sum of the log-probabilities of its tokens, its end token among them,
    divided by `length ** length_penalty`, its length in new tokens. They are log-probabilities
    under the distribution that the chain of the sampler leaves, which sums to 1; the chain has a
    state for each beam, and with no sampler it is the model's distribution. Of equals the earlier
    beam and then the lower id is first. An end token among the `num_beams` best candidates
    ends a text, and the next best goes on in its place; a beam that is alone ends with its text.

    With groups, each keeps `num_beams / num_groups` beams, and they choose one after the other: a
    token loses `diversity_penalty` for each time that an earlier group took it in the same step.
    The penalty moves the choice alone, not the scores. Without it all groups find the same texts.

    Args:
        num_beams: at least 1, which is greedy.
        length_penalty: any number; 0 compares sums, greater ones favour longer texts.
        num_groups: at least 1; divides `num_beams`.
        diversity_penalty: at least 0, in nats.
        early_stopping: whether to stop as soon as `num_beams` texts have ended, or else when no
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
    refuses: ClassVar[tuple[str, ...]] = ("stop", "stop_loops", "should_stop", "overflow")

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

    def rows(self, n: int) -> int:
        """Return how many texts are read at once for `n` texts of a prompt."""
        return self.num_beams

    def decode(self, plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Decoding:
        """Write the `n` best texts of each prompt, with falling scores.

        Yields:
            the number of each row, when all are written, or when the deadline has passed.

        Raises:
            ValueError: `n` above `num_beams`; `Greedy`; a parameter whose values differ
                between the rows of a prompt.
        """
        if plan.n > self.num_beams:
            raise ValueError(
                f"n is {plan.n}, but BeamSearch keeps {self.num_beams} texts of each prompt: "
                "set num_beams to n or more"
            )
        plan.check_several("BeamSearch")
        prompts = [_Prompt(self, plan, rows, number) for number in range(len(rows) // plan.n)]
        try:
            at_once = max(1, plan.max_rows // self.num_beams)
            for first in range(0, len(prompts), at_once):
                yield from self._search(plan, prompts[first : first + at_once])
        finally:  # also if something comes between
            for prompt in prompts:
                prompt.tell()
        yield from range(len(rows))

    def _search(self, plan: Plan, prompts: "Sequence[_Prompt]") -> Decoding:
        """Give all beams of all prompts a token at a time: each is a row of one batch."""
        beams = [beam for prompt in prompts for beam in prompt.live()]
        groups = [Group(beam.sampler, [i], beam.row.end_ids) for i, beam in enumerate(beams)]
        batch = Batch(replace(plan, groups=groups), [beam.row for beam in beams])
        name, origins = prompts[0].number, dict[tuple[int, int], tuple[int, int]]()
        while active := batch.active():
            for place, beam in enumerate(beams):
                beam.place = place
            texts = {(name, i): batch.rows[i].tokens for i in active}
            output = yield Read(texts, origins=origins)
            step = batch.begin(output.logits[:, -1], active)
            for prompt in prompts:
                if prompt.live():
                    prompt.step(batch, step)
            beams = [beam for prompt in prompts for beam in prompt.live()]
            if not beams:
                return
            batch.follow(step, [beam.row for beam in beams], [beam.place for beam in beams])
            origins = {(name, i): (name, beam.place) for i, beam in enumerate(beams)}


@dataclass
class _Beam:
    """One beginning of a text, or a whole one."""

    row: Row
    sampler: Sampler
    total: float = 0.0  # the sum of the sampler's log-probabilities
    place: int = 0  # its row in the batch, or that of the beam it has grown from

    @property
    def score(self) -> float:
        """What whole texts are compared by."""
        assert self.row.score is not None
        return self.row.score


@dataclass
class _Group:
    """Beams that are compared with each other."""

    live: list[_Beam]  # those that go on
    ended: list[_Beam] = field(default_factory=list)  # whole texts, the best first


class _Prompt:
    """The hypotheses of one prompt."""

    def __init__(self, search: BeamSearch, plan: Plan, rows: Sequence[Row], number: int) -> None:
        self.search, self.plan, self.number = search, plan, number
        self.rows = rows[number * plan.n :][: plan.n]
        self.width = search.num_beams // search.num_groups
        self.length = 0
        first, sampler = self.rows[0], _sampler_of_prompt(plan, number)
        self.end_ids = first.end_ids
        self.problem = first.error or ""  # why it cannot go on
        start = Row(first.prompt, first.seed, first.end_ids, score=-math.inf)
        self.groups = [_Group([_Beam(start, sampler)]) for _ in range(search.num_groups)]

    def live(self) -> list[_Beam]:
        """Return the beams that go on."""
        return [beam for group in self.groups for beam in group.live if not self.problem]

    def step(self, batch: Batch, step: Step) -> None:
        """Give each beam a token."""
        problems = [p for beam in self.live() if (p := step.problems.get(beam.place))]
        if problems:
            problem = told(problems[0], "this beam")
            self.problem = f"prompt {self.number}, new token {self.length}: {problem}"
            return
        self.length += 1
        taken: Counter[int] = Counter()
        for group in self.groups:
            if group.live:
                chosen = self._choose(group, batch, step, taken)
                taken.update(beam.row.ids[-1] for beam in chosen)
                self._sort_out(group, chosen)

    def _choose(self, group: _Group, batch: Batch, step: Step, taken: Counter[int]) -> list[_Beam]:
        """Return the best continuations: those that end the text, and as many that do not."""
        penalty = self.search.diversity_penalty
        # Of each beam no more can be chosen: all that end or are penalised may come first.
        enough = self.width + len(self.end_ids) + (len(taken) if penalty else 0)
        candidates = []
        for number, beam in enumerate(group.live):
            left = step.sampler(beam.place)
            if left.empty:  # nothing can follow this beam
                continue
            for token, log_prob in zip(*(a.tolist() for a in left.candidates(enough)), strict=True):
                total = beam.total + log_prob
                candidates.append((penalty * taken[token] - total, number, token, total))
        candidates.sort()
        chosen: list[_Beam] = []
        going = 0
        for rank, (_, number, token, total) in enumerate(candidates):
            if going == self.width:
                break
            if token in self.end_ids and rank >= self.width:
                continue
            beam = group.live[number]
            row = batch.branch(step, beam.place, token)
            row.score = total / self.length**self.search.length_penalty
            chosen.append(replace(beam, row=row, total=total))
            going += not row.finish_reason
        return chosen

    def _sort_out(self, group: _Group, chosen: list[_Beam]) -> None:
        """Part what has ended from what goes on, and end the group if it is done."""
        group.live, ended = [], group.ended
        for beam in chosen:
            if not beam.row.finish_reason and self.length == self.plan.max_new_tokens:
                beam.row.finish_reason = "length"
            (ended if beam.row.finish_reason else group.live).append(beam)
        ended.sort(key=lambda beam: -beam.score)
        del ended[self.width :]
        early = self.search.early_stopping or self.width == 1
        if len(ended) == self.width and (early or self._bound(group) <= ended[-1].score):
            group.live = []

    def _bound(self, group: _Group) -> float:
        """Return what no text can exceed that a group may still find: one that loses no more."""
        power = self.search.length_penalty
        length = self.plan.max_new_tokens if power > 0 else self.length + 1
        return max((beam.total / length**power for beam in group.live), default=-math.inf)

    def tell(self) -> None:
        """Write the best texts into the rows of the prompt: whole ones, and those that went on.

        What cannot go on, and a row for which the sampler allows no text, ends as an error.
        """
        live = [beam for group in self.groups for beam in group.live]
        texts = [beam for group in self.groups for beam in group.ended] + live
        problem = self.problem
        if not live and len(texts) < len(self.rows):
            problem = (
                f"prompt {self.number}: n is {len(self.rows)}, but the search found {len(texts)} "
                "texts that the sampler allows: ask for fewer, or loosen its transforms"
            )
        texts.sort(key=lambda beam: -beam.score)
        for row, beam in zip_longest(self.rows, texts[: len(self.rows)]):
            if beam is not None and beam.row.ids:
                vars(row).update(vars(beam.row))
            if not row.finish_reason and problem:
                row.fail(problem)


def _sampler_of_prompt(plan: Plan, number: int) -> Sampler:
    """Return the sampler of a prompt; raise ValueError if its rows have different ones."""
    group = next(group for group in plan.groups if number * plan.n in group.rows)
    sampler, first = group.sampler, group.rows.index(number * plan.n)
    own = [
        type(sampler)(*(transform.of_row(place) for transform in sampler.transforms))
        for place in range(first, first + plan.n)
    ]
    if any(other != own[0] for other in own):
        raise ValueError(
            f"the rows of prompt {number} have different parameters, but one search finds them "
            "all: give them the same"
        )
    return own[0]
