"""Tokens for the rows of a batch, each with its own sampler, seed and state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from logit_sampling.decoding.text_row import Row
from logit_sampling.generation.arguments import Group
from logit_sampling.sampler import Sampler, State


def select_rows(sampler: Sampler, state: State, rows: Sequence[int]) -> tuple[Sampler, State]:
    """Return the sampler and the state of some rows, which may be repeated or reordered."""
    places = np.asarray(rows, np.intp)
    pairs = zip(sampler.transforms, state.transforms, strict=True)
    states = tuple(transform.select(own, places) for transform, own in pairs)
    if any(t.per_row() for t in sampler.transforms):
        sampler = type(sampler)(*(t.of_rows(places.tolist()) for t in sampler.transforms))
    return sampler, State(state.seed[places], state.step[places], states)


@dataclass
class _Drawing:
    """The rows that one sampler draws for, and its state."""

    rows: list[int]
    sampler: Sampler
    state: State

    def of(self, places: Sequence[int]) -> "_Drawing":
        """Return the rows at these places alone."""
        sampler, state = select_rows(self.sampler, self.state, places)
        return _Drawing([self.rows[place] for place in places], sampler, state)

    def draw(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draw from `logits` [rows, vocab]; return the ids and their log-probabilities, [rows].

        Raises:
            ValueError: nothing can be drawn for one of the rows; the state is as it was.
        """
        ids, self.state, log_probs = self.sampler.step(logits, self.state, return_log_prob=True)
        return ids, log_probs

    def problems(self, logits: np.ndarray) -> dict[int, str]:
        """Return why nothing can be drawn for rows, by their places."""
        found = {}
        for place in range(len(self.rows)):
            try:
                self.of([place]).draw(logits[place : place + 1])
            except ValueError as error:
                found[place] = str(error).replace("row 0", "this row")  # the sampler saw one row
        return found


class Drawer:
    """Draws for the rows of a batch, those of one sampler in one call.

    Args:
        groups: samplers, each with the numbers of its rows.
        rows: the texts.
        vocabulary: how many tokens there are.
        max_new_tokens: how many a row gets at most.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        rows: Sequence[Row],
        vocabulary: int,
        max_new_tokens: int,
    ) -> None:
        self._groups = []
        for group in groups:
            state = group.sampler.init(
                [rows[i].prompt for i in group.rows],
                vocabulary,
                seed=[rows[i].seed for i in group.rows],
                max_new_tokens=min(max_new_tokens, 1024),  # it grows
            )
            self._groups.append(_Drawing(group.rows, group.sampler, state))

    def draw(
        self, logits: np.ndarray, active: list[int]
    ) -> tuple[np.ndarray, np.ndarray, dict[int, str]]:
        """Draw a token for each of the rows `active`, of which there are fewer from call to call.

        Args:
            logits: float [active, vocab].
            active: the numbers of the rows.

        Returns:
            ids, int32 [active], and their log-probabilities under the samplers, float32 [active];
            and, for each row that nothing can be drawn for, the reason. Those must not go on.
        """
        ids, log_probs = np.zeros(len(active), np.int32), np.zeros(len(active), np.float32)
        problems: dict[int, str] = {}
        place_of = {i: place for place, i in enumerate(active)}
        for number in range(len(self._groups)):
            own = self._only(number, place_of)
            if not own:
                continue
            mine = logits if own == list(range(len(logits))) else logits[own]
            try:
                ids[own], log_probs[own] = self._groups[number].draw(mine)
            except ValueError:
                found = self._groups[number].problems(mine)
                if not found:
                    raise
                problems |= {active[own[place]]: reason for place, reason in found.items()}
                able = {i: place for i, place in place_of.items() if i not in problems}
                own = self._only(number, able)
                if own:
                    ids[own], log_probs[own] = self._groups[number].draw(logits[own])
        return ids, log_probs, problems

    def _only(self, number: int, place_of: Mapping[int, int]) -> list[int]:
        """Let a group draw for some of its rows alone, and return their places in the logits."""
        group = self._groups[number]
        left = [place for place, i in enumerate(group.rows) if i in place_of]
        if not left:
            return []
        if len(left) < len(group.rows):
            group = self._groups[number] = group.of(left)
        return [place_of[i] for i in group.rows]
