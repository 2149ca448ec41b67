"""A batch of texts that are written together, and a step of their samplers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from logit_sampling.decoding.log_probs import LogProbs
from logit_sampling.decoding.plan import EndedBy, Group, Plan
from logit_sampling.decoding.row import Row
from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.distribution.checks import InvalidRowError, told
from logit_sampling.distribution.eager import uniforms
from logit_sampling.distribution.row import EagerRow
from logit_sampling.sampler import Pending, Sampler, State

_ROOM = 1024  # tokens that states have room for at first; they grow
NOTHING_LEFT = "every token is at -inf: nothing is left to draw from in {row}"


class Batch:
    """Texts that are written together, and what their samplers carry from token to token.

    A step is `begin`, a choice of a token for each row, and `write`.

    Args:
        plan: its samplers, limits and what to note of each token.
        rows: the texts.
        ended_by: asked after each new token that is no end token.
        most: how many rows are written at once, if not all: others begin when some have ended.

    Attributes:
        plan, rows: as given.
        states: of the samplers, for the rows that have begun and go on.
        vocabulary: how many tokens there are, from the first step on.
    """

    def __init__(
        self,
        plan: Plan,
        rows: Sequence[Row],
        ended_by: EndedBy = lambda row: "",
        most: int | None = None,
    ) -> None:
        self.plan: Plan = plan
        self.rows: Sequence[Row] = rows
        self._ended_by, self._most = ended_by, most
        self._groups: list[Group] = []  # of the rows that have begun
        self.states: list[State] = []
        self.vocabulary: int = 0

    def active(self) -> list[int]:
        """Forget the rows that have finished, and return those to write: none behind the deadline.

        The first step is always begun.
        """
        if self.vocabulary:
            self._forget_finished()
            if self.plan.late:
                return []
        going = (i for i, row in enumerate(self.rows) if not row.finish_reason)
        return list(islice(going, self._most))

    def _forget_finished(self) -> None:
        groups, states = [], []
        for group, state in zip(self._groups, self.states, strict=True):
            own = group.rows
            places = [place for place, i in enumerate(own) if not self.rows[i].finish_reason]
            if 0 < len(places) < len(own):
                sampler, state = select_rows(group.sampler, state, places)
                group = replace(group, sampler=sampler, rows=[own[place] for place in places])
            if places:
                groups.append(group)
                states.append(state)
        self._groups, self.states = groups, states

    def begin(
        self,
        logits: np.ndarray,
        members: Sequence[int],
        states: list[State] | None = None,
        drawing: bool = False,
    ) -> "Step":
        """Apply the samplers of some rows to their logits, [members, vocab].

        They begin with `states`, by default those of the batch. With `drawing` the tokens are
        drawn at once, where that is faster.
        """
        self.vocabulary = logits.shape[-1]
        begun = {i for group in self._groups for i in group.rows}
        if new := {i for i in members if i not in begun}:
            for group in self.plan.groups:
                self._begin_rows(group, [p for p, i in enumerate(group.rows) if i in new])
        states = self.states if states is None else states
        return Step(self._groups, states, logits, members, drawing)

    def _begin_rows(self, group: Group, places: Sequence[int]) -> None:
        """Begin with some rows of a group."""
        if not places:
            return
        sampler, rows = group.sampler, [group.rows[place] for place in places]
        sampler = sampler.of_rows(places)
        state = sampler.init(
            [self.rows[i].prompt for i in rows],
            self.vocabulary,
            seed=[self.rows[i].seed for i in rows],
            max_new_tokens=min(self.plan.max_new_tokens, _ROOM),
        )
        for other, own in enumerate(self._groups):
            if own.sampler is sampler and not any(state.transforms):
                # Rows without states of their own are one group, which takes a step at once.
                self._groups[other] = replace(own, rows=own.rows + rows)
                before = self.states[other]
                seed = np.concatenate([to_numpy(before.seed), to_numpy(state.seed)])
                steps = np.concatenate([to_numpy(before.step), to_numpy(state.step)])
                self.states[other] = State(seed, steps, state.transforms)
                return
        self._groups.append(replace(group, sampler=sampler, rows=rows))
        self.states.append(state)

    def write(self, step: "Step", tokens: Mapping[int, int]) -> Iterator[int]:
        """Give rows their tokens, and end the members of the step that cannot go on.

        Yields:
            the number of each.
        """
        self.states = step.accept(tokens)
        count = self.plan.top_log_probs
        noted = {} if count else step.noted
        model = None if noted.keys() >= tokens.keys() else LogProbs(step.logits)
        for place, i in enumerate(step.members):
            row, token = self.rows[i], tokens.get(i, -1)
            if token < 0 or i in step.problems:
                self.fail(i, step.problems.get(i) or step.nothing_left(i))
            else:
                if i in noted:
                    row.take(token, *noted[i], None)
                else:
                    assert model is not None
                    row.take(
                        token,
                        model.log_prob(place, token),
                        step.sampler_log_prob(i, token),
                        model.likeliest(place, count) if count else None,
                    )
                row.finish_reason = row.finish_reason or self._ended_by(i)
            yield i

    def fail(self, i: int, problem: ValueError, where: str = "") -> None:
        """End a row that cannot go on."""
        text = f"{where}{told(problem, 'this row')}"
        number = self.plan.first_row + i
        self.rows[i].fail(f"row {number}, new token {len(self.rows[i].ids)}: {text}")

    def branch(self, step: "Step", i: int, token: int) -> Row:
        """Return a copy of row `i` that goes on with a token."""
        # A search has summed up whole rows, whose weights tell at no cost what `write` computes.
        longer, model, count = self.rows[i].copy(), step.model(i), self.plan.top_log_probs
        top = model.candidates(count) if count else None
        longer.take(
            token,
            model.log_prob(token),
            step.sampler(i).log_prob(token),
            top and list(zip(*(numbers.tolist() for numbers in top), strict=True)),
        )
        return longer

    def follow(self, step: "Step", rows: Sequence[Row], parents: Sequence[int]) -> None:
        """Go on with other rows in place of all: branches, and the row that each is one of."""
        self.rows = rows
        self._groups, self.states = step.follow([row.ids[-1] for row in rows], parents)


class Step:
    """What the samplers make of the logits of some rows, before a token of each is chosen.

    Args:
        groups: the samplers and their rows.
        states: of each sampler, before.
        logits: of the members, [members, vocab].
        members: the rows that take part.
        drawing: whether to draw their tokens at once, where that is faster.

    Attributes:
        members, logits: as given.
        noted: of rows whose tokens were drawn at once, the log-probabilities under the model and
            under the sampler, if both are known.
        problems: why rows cannot go on, by their numbers. (A row that has no token left cannot
            either: it is not `able`.)
    """

    def __init__(
        self,
        groups: Sequence[Group],
        states: Sequence[State],
        logits: np.ndarray,
        members: Sequence[int],
        drawing: bool = False,
    ) -> None:
        self.members: Sequence[int] = members
        self.logits: np.ndarray = logits
        self.problems: dict[int, ValueError] = {}
        self.noted: dict[int, tuple[float, float]] = {}
        self._parts: list[_Part] = []
        self._where: dict[int, tuple[_Part, int]] = {}
        places = {i: place for place, i in enumerate(members)}
        for group, state in zip(groups, states, strict=True):
            part = _Part(group, state, logits, [places.get(i) for i in group.rows], drawing)
            self._parts.append(part)
            self.problems |= part.problems
            self.noted |= part.noted
            self._where |= {i: (part, place) for place, i in enumerate(group.rows)}

    @property
    def able(self) -> list[int]:
        """The members that a token can be drawn for."""
        return [i for i in self.members if i not in self.problems and not self._empty(i)]

    def _empty(self, i: int) -> bool:
        part, place = self._where[i]
        return part.drawn.get(place) is None and self.sampler(i).empty

    def nothing_left(self, i: int) -> InvalidRowError:
        """Return why no token can be drawn for a row: what removed the last ones."""
        part, place = self._where[i]
        names = [type(transform).__name__ for transform in part.group.sampler.transforms]
        stages = (part.pending.stages[n].rows[place] for n in range(len(names) + 1))
        last = next((n for n, row in enumerate(stages) if row.empty), 0)
        before, why = ", ".join(names[: last - 1]), ""
        if last:
            left = f"what {before} left: put what forbids before what cuts" if before else "all"
            why = f"; {names[last - 1]} removed {left}"
        return InvalidRowError(0, NOTHING_LEFT + why)

    def model(self, i: int) -> EagerRow:
        """Return the distribution of the model for a row."""
        part, place = self._where[i]
        return part.pending.stages[0].rows[place]

    def sampler(self, i: int) -> EagerRow:
        """Return the distribution that the sampler leaves for a row, which may be nothing."""
        part, place = self._where[i]
        return part.row(place)

    def uniform(self, i: int, stream: int) -> float:
        """Return a number in [0, 1): of the row's seed, its position and a stream."""
        part, place = self._where[i]
        return part.uniforms(stream)[place]

    def draw(self, i: int, stream: int = 0) -> int:
        """Return the token that its sampler draws for a row."""
        part, place = self._where[i]
        if stream == 0 and place in part.drawn:
            return part.drawn[place][0]
        left = self.sampler(i)
        if left.ids is not None and left.ids.size == 1:
            return int(left.ids[0])
        return left.draw(self.uniform(i, stream))

    def sampler_log_prob(self, i: int, token: int) -> float:
        """Return the log-probability of a token of a row under its sampler, of a float32."""
        part, place = self._where[i]
        drawn, log_prob = part.drawn.get(place, (-1, 0.0))
        return float(np.float32(log_prob if drawn == token else part.row(place).log_prob(token)))

    def accept(self, tokens: Mapping[int, int]) -> list[State]:
        """Return the states after a token for each of some rows.

        A row whose sampler refuses its token gets a problem, and its state stays as it was.
        """
        states = []
        for part in self._parts:
            ids = [-1 if i in self.problems else tokens.get(i, -1) for i in part.group.rows]
            states.append(part.accept(np.array(ids, np.int32)))
            self.problems |= part.problems
        return states

    def follow(
        self, tokens: Sequence[int], parents: Sequence[int]
    ) -> tuple[list[Group], list[State]]:
        """Return the samplers and their states for other rows.

        Args:
            tokens: the newest of each.
            parents: the member that each has grown from.
        """
        groups, states = [], []
        for part in self._parts:
            own = [i for i, parent in enumerate(parents) if parent in part.group.rows]
            if own:
                groups.append(replace(part.group, rows=own))
                places = [part.group.rows.index(parents[i]) for i in own]
                states.append(part.follow(places, [tokens[i] for i in own]))
        return groups, states


class _Part:
    """The rows of one sampler in a step.

    Args:
        group: the sampler and its rows.
        state: of the sampler, before.
        logits: of the members of the step, [members, vocab].
        places: for each row which of them it is; None for one that takes no part.
        drawing: whether to draw tokens at once, where that is faster.

    Attributes:
        group: as given.
        pending: the step of the sampler, if any row takes part.
        problems: why rows cannot go on, by their numbers.
        drawn: the tokens that were drawn at once, and their log-probabilities under the sampler,
            by the places of the rows.
        noted: see `Step`.
    """

    pending: Pending

    def __init__(
        self,
        group: Group,
        state: State,
        logits: np.ndarray,
        places: Sequence[int | None],
        drawing: bool = False,
    ) -> None:
        self.group, self._state, self._logits = group, state, logits
        self.problems: dict[int, ValueError] = {}
        self.drawn: dict[int, tuple[int, float]] = {}
        self.noted: dict[int, tuple[float, float]] = {}
        self._left: dict[int, EagerRow] | None = None  # what was not drawn
        self._uniforms: dict[int, list[float]] = {}
        inactive = [own for own, place in enumerate(places) if place is None]
        if len(inactive) == len(places):
            return
        if places != list(range(len(logits))):
            self._logits = logits[[place or 0 for place in places]]
        self._leave_out(inactive)
        able = [place for place, own in enumerate(places) if own is not None] if drawing else []
        try:
            self._begin(able)
        except ValueError:
            failing = [place for place in range(len(places)) if self._find_problem(place)]
            if not failing:
                raise
            self._leave_out(failing)
            self._begin([place for place in able if place not in failing])
        for place in range(len(places)) if self._left is None else self._left:
            try:
                self.row(place).look_for_nan()
            except ValueError:
                self._find_problem(place)

    def _begin(self, able: list[int]) -> None:
        """Apply the sampler, and draw tokens for some rows."""
        self.pending = self.group.sampler.begin_step(self._logits, self._state)
        if able:
            self._draw(able)
        if self._left is None:
            self.pending.stages[-1]  # what it raises is raised here

    def _draw(self, places: list[int]) -> None:
        """Draw tokens for some rows, as far as the kernels do."""
        found = self.pending.drawn(log_probs=2)
        if found is None:
            return
        ids, log_probs = found[0].tolist(), found[1].tolist()
        left = [place for place in places if ids[place] < 0]
        rows = self.pending.left(left).rows if left else ()
        self._left = dict(zip(left, rows, strict=True))
        whole = self.pending.whole_chain
        for place in places:
            if ids[place] >= 0:
                own, model = log_probs[place]
                self.drawn[place] = ids[place], own
                if whole:
                    self.noted[self.group.rows[place]] = model, float(np.float32(own))

    def row(self, place: int) -> EagerRow:
        """Return what the sampler leaves of a row."""
        if self._left and place in self._left:
            return self._left[place]
        return self.pending.stages[-1].rows[place]

    def _leave_out(self, places: Sequence[int]) -> None:
        """Make rows certain of token 0, which costs least."""
        if places:
            self._logits = self._logits.copy()
            self._logits[places] = -np.inf
            self._logits[places, 0] = 0

    def _find_problem(self, place: int, *token: int) -> bool:
        """Note why a row cannot go on, or not with a token, if it cannot; tell whether."""
        sampler, state = select_rows(self.group.sampler, self._state, [place])
        try:
            pending = sampler.begin_step(self._logits[place : place + 1], state)
            pending.stages[-1].rows[0].look_for_nan()
            if token:
                pending.accept(np.array(token, np.int32))
        except ValueError as error:
            self.problems[self.group.rows[place]] = error
            return True
        return False

    def uniforms(self, stream: int) -> list[float]:
        """Return a number in [0, 1) for each row: of its seed, its position and a stream."""
        if stream not in self._uniforms:
            self._uniforms[stream] = uniforms(self._state.seed, self._state.step, stream)
        return self._uniforms[stream]

    def accept(self, ids: np.ndarray) -> State:
        """Return the state after a token for each row, int32 [rows]; -1 for none."""
        if (ids < 0).all():
            return self._state
        try:
            return self._after(ids)
        except ValueError:
            refused = [
                place for place, id in enumerate(ids) if id >= 0 and self._find_problem(place, id)
            ]
            if not refused:
                raise
            ids[refused] = -1
            return self._after(ids)

    def _after(self, ids: np.ndarray) -> State:
        inactive = ids < 0
        return self.pending._replace(inactive=inactive if inactive.any() else None).accept(ids)

    def follow(self, places: Sequence[int], ids: Sequence[int]) -> State:
        """Return the state of other rows: the row that each has grown from, and its token."""
        return self.pending.select(places).accept(np.array(ids, np.int32))


def select_rows(sampler: Sampler, state: State, rows: Sequence[int]) -> tuple[Sampler, State]:
    """Return the sampler and the state of some rows, which may be repeated or reordered."""
    places = np.asarray(rows, np.intp)
    pairs = zip(sampler.transforms, state.transforms, strict=True)
    states = tuple(transform.select(own, places) for transform, own in pairs)
    own = State(state.seed[places], state.step[places], states)
    return sampler.of_rows(places.tolist()), own
