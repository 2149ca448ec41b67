"""A step of a sampler in a loop: what it carries, and what lies between logits and tokens."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from logit_sampling.distribution.intake import Intake, quietly
from logit_sampling.strategies.transform import Transform


class State(NamedTuple):
    """What a sampler carries from one step to the next."""

    seed: Any  # uint32 [batch, 2]: the two words of each row's seed
    step: Any  # int32 [batch]: how many tokens each row holds, the position of the next
    transforms: tuple[Any, ...]  # the state of each transform


class Pending(NamedTuple):
    """A step whose logits went through the chain, and whose tokens are not accepted yet.

    Tokens and other numbers are arrays of the engine; ``restore`` gives them the caller's type.
    """

    transforms: tuple[Transform, ...]
    taken: Intake
    stages: tuple[Any, ...]  # scores as they came in, after each transform, and those of the draw
    state: State
    resting: Any = None  # bool [batch]: rows that take no part

    def _scores(self, stage: int) -> Any:
        """Return the scores after so many stages, of rows that may be looked at."""
        scores = self.stages[stage]
        if self.resting is None or self.taken.symbolic:
            return scores
        return scores.force(np.where(self.resting, 0, -1))  # nothing raises for them

    @quietly
    def logits(self) -> Any:
        """Return what the chain leaves: float [batch, vocab], -inf for a removed token."""
        return self.stages[-1].dense()

    @quietly
    def draw(self) -> Any:
        """Return a token for each row, int32 [batch]; -1 for a resting row.

        Raises:
            ValueError: in eager code, a row has nothing left to draw from.
        """
        scores = self._scores(-1)
        ids = scores.draw()
        return ids if self.resting is None else scores.xp.where(self.resting, -1, ids)

    @quietly
    def log_prob(self, ids: Any) -> Any:
        """Return the log-probability of each token in the distribution of the draw, [batch]."""
        return self._scores(-1).log_prob(ids)

    @quietly
    def accept(self, ids: Any) -> State:
        """Return the state after ``ids``, int32 [batch], -1 for a resting row."""
        seed, step, states = self.state
        updated = tuple(
            transform.after(self._scores(i), own, ids)
            for i, (transform, own) in enumerate(zip(self.transforms, states, strict=True))
        )
        following = step + 1
        if self.resting is not None:
            following = self.stages[0].xp.where(self.resting, step, following)
        return State(seed, following, updated)

    def select(self, rows: Sequence[int]) -> "Pending":
        """Return the step of some rows, which may be repeated or reordered; in eager code alone."""
        places = np.asarray(rows, np.intp)
        seed, step, states = self.state
        own = (t.select(s, places) for t, s in zip(self.transforms, states, strict=True))
        return self._replace(
            stages=tuple(stage.select(rows) for stage in self.stages),
            state=State(seed[places], step[places], tuple(own)),
            resting=None if self.resting is None else self.resting[places],
        )

    def restore(self, result: Any) -> Any:
        """Return a result in the array type of the logits, without a batch axis of ours."""
        return self.taken.restore(result)
