"""Tokens for the rows of a batch, each with its own sampler, seed and state."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logit_sampling.generation.row import Row
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
class _Group:
    """The rows that one sampler draws for."""

    rows: list[int]
    sampler: Sampler
    state: State

    def of(self, places: Sequence[int]) -> "_Group":
        """Return the group with the rows at these places alone."""
        sampler, state = select_rows(self.sampler, self.state, places)
        return _Group([self.rows[place] for place in places], sampler, state)

    def draw(self, logits: np.ndarray, rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray]:
        """Draw from `logits` [group, vocab]; return the ids and their log-probabilities, [group].

        Raises:
            ValueError: nothing can be drawn for a row, which is named.
        """
        try:
            ids, self.state, log_probs = self.sampler.step(logits, self.state, return_log_prob=True)
        except ValueError:
            for place, i in enumerate(self.rows):
                alone = self.of([place])
                try:
                    alone.sampler.step(logits[place : place + 1], alone.state)
                except ValueError as error:
                    problem = str(error).replace("row 0", "this row")  # the sampler saw one row
                    raise ValueError(f"row {i}, new token {len(rows[i].ids)}: {problem}") from error
            raise
        return ids, log_probs


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
        groups: Sequence[tuple[Sampler, list[int]]],
        rows: Sequence[Row],
        vocabulary: int,
        max_new_tokens: int,
    ) -> None:
        self._rows = rows
        self._groups = []
        for sampler, members in groups:
            state = sampler.init(
                [rows[i].prompt for i in members],
                vocabulary,
                seed=[rows[i].seed for i in members],
                max_new_tokens=min(max_new_tokens, 1024),  # it grows
            )
            self._groups.append(_Group(members, sampler, state))

    def draw(self, logits: np.ndarray, active: list[int]) -> tuple[np.ndarray, np.ndarray]:
        """Draw a token for each of the rows `active`, of which there are fewer from call to call.

        Args:
            logits: float [active, vocab].
            active: the numbers of the rows.

        Returns:
            ids, int32 [active], and their log-probabilities under the samplers, float32 [active].
        """
        ids, log_probs = np.empty(len(active), np.int32), np.empty(len(active), np.float32)
        place_of = {i: place for place, i in enumerate(active)}
        for number, group in enumerate(self._groups):
            left = [place for place, i in enumerate(group.rows) if i in place_of]
            if not left:
                continue
            if len(left) < len(group.rows):
                group = self._groups[number] = group.of(left)
            own = [place_of[i] for i in group.rows]
            mine = logits if own == list(range(len(logits))) else logits[own]
            ids[own], log_probs[own] = group.draw(mine, self._rows)
        return ids, log_probs
