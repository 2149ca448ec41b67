"""Running a case in one mode, and comparing all that it shows with the formulas."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

import logit_sampling as ls
from tests import oracle
from tests.fuzz.cases import PROMPT, ROWS, STEPS, Case
from tests.fuzz.formulas import (
    Cut,
    adaptive,
    cut,
    floor,
    mirostat_count,
    temperatures,
    xtc,
)
from tests.fuzz.modes import Mode, Seen
from tests.fuzz.rows import Row

VALUES = {  # what changes logits by the history or by itself
    "RepetitionPenalty", "PresencePenalty", "FrequencyPenalty", "NoRepeatNGram", "DRY", "LogitBias",
    "SuppressTokens", "AllowTokens", "SequenceBias", "BadWords", "MinNewTokens", "ForcedTokens",
    "SpanBudget", "LengthDecay", "Watermark", "AdaptiveP",
}  # fmt: skip


class Fault(AssertionError):
    """What an engine shows is not what the formulas give."""


def check(case: Case, mode: Mode, counts: Counter) -> None:
    """Run a case in a mode.

    Args:
        counts: of what was compared, and of what rounding excused.

    Raises:
        Fault: something is wrong; it says what.
    """
    run = _Run(case, mode, counts)
    for number in range(STEPS):
        if not run.step(number):
            return


class _Run:
    def __init__(self, case: Case, mode: Mode, counts: Counter) -> None:
        self.case, self.mode, self.counts = case, mode, counts
        self.precision = mode.precision(case.logits.dtype)
        self.transforms = [[t.of_row(r) for t in case.sampler.transforms] for r in range(ROWS)]
        self.feedback = any(
            isinstance(t, ls.Mirostat | ls.AdaptiveP) for t in case.sampler.transforms
        )
        self.history = np.pad(case.prompts, ((0, 0), (0, STEPS)), constant_values=-1)
        self.state = case.sampler.init(
            case.prompts, case.logits.shape[-1], seed=case.seeds, max_new_tokens=STEPS
        )

    def step(self, number: int) -> bool:
        """Take a step; tell whether another can follow."""
        self.logits = self.case.logits[number]
        self.bad = np.isnan(self.logits.astype(np.float64)).any(axis=1)
        self.steps = (self.history >= 0).sum(axis=1, dtype=np.int32)
        try:
            seen = self.mode.step(self.logits, self.state)
        except ValueError as error:
            if not self.mode.eager:
                raise
            self._raised(str(error))
            return False
        drawn = [self._row(r, seen) for r in range(ROWS)]
        if min(drawn) < 0:
            return False
        if not self.feedback or not number:
            self._other_ways(seen)
        self.history[:, PROMPT + number] = drawn
        self.state = seen.state
        return True

    def _raised(self, error: str) -> None:
        """Check that an error names a row without a distribution."""
        found = re.search(r"row (\d+)", error)
        row = int(found[1]) if found else -1
        if self.bad.any() and (row < 0 or not self.bad[row]):
            raise Fault(f"raised {error!r}, but NaN is in row {self.bad.argmax()}")
        if not self.bad.any():
            pending = self.case.sampler.begin_step(self.logits, self.state)
            stages = [stage.dense() for stage in pending.stages]
            empty = [not self._left(r, stages)[-1].alive.any() for r in range(ROWS)]
            if not any(empty) or row != empty.index(True):
                raise Fault(f"raised {error!r}; empty rows are {np.flatnonzero(empty)}")

    # Each stage, given what the engine left of the stage before.

    def _left(self, r: int, stages: Any) -> list[Row]:
        """Check the stages of a row; return what is left after each."""
        row = Row(self.precision.held(self.logits[r]), self.precision)
        self._same("what comes in", np.float64(stages[0][r]), row.values, 0.0)
        rows, coins = [row], 0
        last = [ls.Temperature(0)] if type(self.case.sampler) is ls.Greedy else []
        for place, transform in enumerate([*self.transforms[r], *last]):
            coins += transform.chance() is not None
            shown = np.float64(stages[place + 1][r])
            rows.append(self._stage(r, rows[-1], transform, place, shown, coins))
        return rows

    def _stage(
        self, r: int, row: Row, transform: Any, place: int, shown: np.ndarray, coins: int
    ) -> Row:
        name = type(transform).__name__
        if not row.alive.any() and name not in ("ForcedTokens", "SpanBudget"):
            if (shown > -np.inf).any():
                raise Fault(f"row {r}: {name} brought back {np.flatnonzero(shown > -np.inf)[:5]}")
            return row
        if name in VALUES:
            return self._changed(r, row, transform, place, shown)
        if name in ("Temperature", "DynamicTemperature"):
            return self._scaled(r, row, transform, shown)
        if name == "XTC":
            own = Cut(row, row.alive, lambda kept: False)
            if self._uniform(r, coins) < transform.probability:
                own = xtc(row, transform.threshold, transform.protected)
            return self._kept(r, own, transform, shown)
        if name == "Mirostat":
            (limit,) = (float(np.asarray(part)[r]) for part in self.state.transforms[place])
            if transform.version == 1:
                own = mirostat_count(row, limit, transform.m, max(row.values.size, 2))
            else:
                log_ratio = row.log_total - limit * np.log(2)
                own = floor(row, log_ratio, row.error + self.precision.error * abs(limit))
            return self._kept(r, own, transform, shown)
        return self._kept(r, cut(row, transform), transform, shown)

    def _uniform(self, r: int, stream: int) -> float:
        seed, step = self.case.seeds[r], int(self.steps[r])
        high, low = oracle.threefry((seed & 0xFFFFFFFF, seed >> 32), (step, stream))
        if self.precision.masses == "float32":
            return (high >> 8) / 2**24
        return (high >> 5) / 2**27 + (low >> 6) / 2**53

    def _same(self, what: str, shown: np.ndarray, expected: np.ndarray, off: Any) -> None:
        limits = np.finfo(self.precision.logits)
        tiny = float(limits.tiny if self.precision.flushes else 2 * limits.smallest_subnormal)
        equal = (shown == expected) | (abs(shown - expected) <= off + tiny)
        equal |= np.isnan(shown) & np.isnan(expected)
        if not equal.all():
            i = int(np.flatnonzero(~equal)[0])
            raise Fault(
                f"{what}: token {i} has {shown[i]!r} instead of {expected[i]!r}; "
                f"{np.count_nonzero(~equal)} tokens are wrong"
            )

    def _kept(self, r: int, own: Cut, transform: Any, shown: np.ndarray) -> Row:
        """Check what is kept, and go on with it."""
        row, scaled, what = own.row, own.row.scaled(), f"row {r}, {transform}"
        # What a temperature takes beyond the floats of a dense array is there, but not seen.
        most = 0.99 * float(np.finfo(self.precision.logits).max)
        doubtful = row.doubt and abs(row.peak) * (1 + row.doubt) > most * row.temperature
        if doubtful and (shown.max() == 0) != (scaled.max() == 0):
            scaled = row.logs  # it is shown relative to the greatest
        visible = (abs(scaled) < most) | np.isinf(row.values)
        kept = np.where(visible, shown > -np.inf, own.exact)
        wrong = np.flatnonzero(kept != own.exact)
        if wrong.size:
            if not own.excused(kept):
                raise Fault(
                    f"{what}: keeps {kept.sum()} tokens instead of {own.exact.sum()}; "
                    f"{wrong.size} are wrong, such as {wrong[:4].tolist()}"
                )
            self.counts[f"{type(transform).__name__} excused"] += 1
        self.counts["cuts"] += 1
        seen = visible & kept
        off = (3 * self.precision.epsilon + row.doubt) * np.where(seen, abs(scaled), 0.0)
        off = np.where(np.isfinite(off), off, 0.0)
        self._same(what, np.where(seen, shown, 0.0), np.where(seen, scaled, 0.0), off)
        return row.keep(kept)

    def _scaled(self, r: int, row: Row, transform: Any, shown: np.ndarray) -> Row:
        fixed = type(transform).__name__ == "Temperature"
        exact, low, high = [transform.temperature] * 3 if fixed else temperatures(row, transform)
        limits = np.finfo(self.precision.masses)
        tiny, most = float(limits.tiny), 1 / float(limits.tiny)
        first = np.arange(shown.size) == row.order[0]
        vanished = not fixed and low <= tiny and ((shown > -np.inf) == first).all()
        if exact == 0 or vanished:
            # At which temperature the logit is shown that is left does not matter.
            left = replace(row, temperature=1.0, doubt=0.0, blur=0.0)
            if row.temperature != 1 or not fixed:
                left = replace(left, values=np.where(shown > -np.inf, shown, row.values))
            return self._kept(r, Cut(left, first, lambda kept: False), transform, shown)
        held = min(max(min(max(exact, tiny), most) * row.temperature, tiny), most)
        doubt = min(row.doubt + (high - low) / exact, 1e3)
        row = replace(row, temperature=held, doubt=doubt)
        return self._kept(r, Cut(row, row.alive, lambda kept: False), transform, shown)

    def _changed(self, r: int, row: Row, transform: Any, place: int, shown: np.ndarray) -> Row:
        """Check logits that a transform changed, and go on with those that are shown."""
        name, before = type(transform).__name__, row.scaled()
        most = float(np.finfo(self.precision.logits).max)
        if name == "AdaptiveP":
            total, weights = (float(np.asarray(part)[r]) for part in self.state.transforms[place])
            expected, off = adaptive(
                row, float(np.clip(2 * transform.target - total / weights, 0, 1))
            )
        elif name == "Watermark":  # what is green is asked of eager code; all modes must agree
            green = replace(transform, delta=1.0)(np.zeros(before.size), history=self.history[r])
            count = np.floor(transform.gamma * before.size * (1 + 1e-12))
            if green.any() and green.sum() != count:
                raise Fault(f"row {r}, {transform}: {green.sum()} green tokens, not {count}")
            expected, off = np.where(green > 0, before + transform.delta, before), 0.0
        else:
            given = before.tolist(), self.history[r].tolist(), PROMPT
            expected, off = np.asarray(oracle.after(transform, *given)), 0.0
        finite = np.isfinite(expected)
        expected = np.where(finite, np.clip(expected, -most, most), expected)
        size = np.where(finite & np.isfinite(before), abs(before) + abs(expected), 0.0)
        off = off + (4 * self.precision.epsilon + row.doubt) * size
        off = off + self.precision.error / 8 * np.where(expected != before, size, 0.0)
        if name == "SequenceBias":  # biases that cancel out
            off = off + 4 * self.precision.error
        self._same(f"row {r}, {transform}", shown, expected, off)
        self.counts["changes"] += 1
        kept = expected > -np.inf
        if name != "AdaptiveP" and (expected == before)[kept].all():  # and may be rounded, or not
            size = abs(before[kept]).max(initial=0.0, where=np.isfinite(before[kept]))
            return replace(row.keep(kept), blur=row.blur + self.precision.epsilon * size)
        return Row(self.precision.held(shown), self.precision)

    # The end of the chain.

    def _row(self, r: int, seen: Seen) -> int:
        """Check all that is seen of a row; return the token that it drew, -1 for none."""
        rows = None if self.bad[r] else self._left(r, seen.stages)
        if rows is None or not rows[-1].alive.any():
            if seen.ids[r] != -1 or not np.isnan(seen.shares[r]).all():
                raise Fault(f"row {r} has nothing to draw from, but gives {seen.ids[r]}")
            return -1
        row = rows[-1]
        logs = np.where(row.shares > 0, row.logs - row.log_total, 0.0)
        off = row.error + row.blur + 1e-6 + (row.doubt + self.precision.error) * abs(logs)
        self._same(f"row {r}, probabilities", seen.shares[r], row.shares, off * row.shares + 2e-38)
        token = self._drawn(r, row, int(seen.ids[r]))
        log_prob = row.logs[[token]] - row.log_total
        off = 1e-6 + row.error + (2e-7 + row.doubt + self.precision.error) * abs(log_prob)
        self._same(f"row {r}, log_prob", seen.log_prob[[r]], log_prob, off)
        if self.feedback:
            self._learned(r, rows, seen, token)
        return token

    def _drawn(self, r: int, row: Row, token: int) -> int:
        uniform, ends = self._uniform(r, 0), np.cumsum(row.shares)
        expected = int(np.searchsorted(ends, uniform * ends[-1], "right"))
        self.counts["draws"] += 1
        if token != expected:
            inside = 0 <= token < ends.size and row.shares[token] > 0
            off = 16 * row.error
            if (
                not inside
                or not -off
                <= uniform - ends[token] + row.shares[token]
                <= row.shares[token] + 2 * off
            ):
                raise Fault(f"row {r} draws {token} instead of {expected}, at {uniform}")
            self.counts["draw excused"] += 1
        return token

    def _learned(self, r: int, rows: list[Row], seen: Seen, token: int) -> None:
        """Check what the selector with feedback, the last transform, learned."""
        t, place = self.transforms[r][-1], len(self.transforms[r]) - 1
        old, new = (
            [float(np.asarray(part)[r]) for part in state.transforms[place]]
            for state in (self.state, seen.state)
        )
        row = rows[place + 1 if getattr(t, "after_cut", False) else place]
        log_prob = float(row.logs[token] - row.log_total)
        if type(t).__name__ == "Mirostat":
            expected = [old[0] - t.eta * (-log_prob / np.log(2) - t.tau)]
        else:
            expected = [np.exp(log_prob) + t.decay * old[0], 1 + t.decay * old[1]]
        expected = old if log_prob < -3e38 else expected  # it had no chance at all
        off = (2e-6 + row.error + row.doubt) * (1 + np.abs(expected) + abs(log_prob))
        if not (abs(np.subtract(new, expected)) <= off).all():
            raise Fault(f"row {r}, {t}: its state becomes {new} instead of {expected}")

    def _other_ways(self, seen: Seen) -> None:
        """Check that a history at once, and other rows beside a row, give the same."""
        seeds = np.asarray(self.case.seeds)
        seeds = seeds.astype(np.int32) if self.mode.name == "jax" else seeds
        history = self.case.prompts if self.feedback else self.history
        at_once = self.mode.call(self.logits, history, seeds, self.steps)
        if not np.array_equal(at_once, seen.ids):
            raise Fault(f"step by step {seen.ids.tolist()}, at once {at_once.tolist()}")
        r = int(self.steps.sum()) % ROWS
        if self.mode.eager:
            alone = type(self.case.sampler)(*self.transforms[r])
            given = {"history": history[r], "prompt_length": PROMPT, "step": int(self.steps[r])}
            shares = alone.probabilities(self.logits[r], seed=self.case.seeds[r], **given)
            if not np.array_equal(np.float64(shares), seen.shares[r]):
                raise Fault(f"row {r} alone has another distribution than in the batch")
            return
        others = np.roll(self.logits, 1, axis=0)
        others[r] = self.logits[r]
        again = self.mode.step(others, self.state).ids[r]
        if again != seen.ids[r]:
            raise Fault(f"row {r} draws {again} beside other rows, and {seen.ids[r]} before")
