"""Random chains, and random rows and histories for them; a number gives the same case anywhere."""

from dataclasses import dataclass
from typing import Any

import numpy as np

import logit_sampling as ls

BATCHES = 5  # batches of one chain: what is compiled serves them all
ROWS, STEPS, PROMPT = 6, 2, 8  # rows of a batch, steps of each, columns of a prompt
VOCABULARIES = (1, 2, 5, 40, 128, 129, 300, 1024, 1025, 1500, 3000, 5000)


@dataclass(frozen=True)
class Case:
    """A batch for a chain."""

    number: int
    sampler: ls.Sampler
    logits: np.ndarray  # [STEPS, ROWS, vocab]
    prompts: np.ndarray  # int32 [ROWS, PROMPT], -1 for padding
    seeds: list[int]


def chain(group: int) -> tuple[ls.Sampler, int, str]:
    """Return the chain of a group of cases, its vocabulary, and the dtype of the logits."""
    rng = np.random.default_rng([group, 0])
    vocabulary = int(rng.choice(VOCABULARIES, p=_weights(len(VOCABULARIES))))
    dtype = str(rng.choice(["float32", "float64", "float16", "bfloat16"], p=[0.7, 0.1, 0.1, 0.1]))
    return _chain(rng, vocabulary), vocabulary, dtype


def case(number: int, wide: bool = True) -> Case:
    """Return a case; without `wide` no logits are float64, and seeds have 31 bits, as in JAX."""
    group, batch = divmod(number, BATCHES)
    sampler, vocabulary, dtype = chain(group)
    rng = np.random.default_rng([group, 1, batch])
    logits = np.stack([_row(rng, vocabulary) for _ in range(STEPS * ROWS)])
    most = 6e4 if dtype == "float16" else 3e38
    logits = np.where(np.isinf(logits), logits, np.clip(logits, -most, most))
    logits = logits.reshape(STEPS, ROWS, vocabulary).astype(_dtype(dtype, wide))
    seeds = rng.integers(0, 2**63 if wide else 2**31, ROWS).tolist()
    return Case(number, sampler, logits, _prompts(rng, vocabulary), seeds)


def _weights(count: int) -> np.ndarray:
    """Fewer of the tiny vocabularies, more of those around the limits of the engines."""
    weights = np.ones(count)
    weights[:3] = 0.3
    return weights / weights.sum()


def _dtype(name: str, wide: bool) -> Any:
    if name == "bfloat16":
        import ml_dtypes

        return ml_dtypes.bfloat16
    return np.dtype("float32" if name == "float64" and not wide else name)


def _row(rng: np.random.Generator, n: int) -> np.ndarray:
    """Return logits of one of many kinds, float64 [n]."""
    x = _plain_row(rng, n)
    kind = rng.integers(0, 12)
    if kind == 0:  # ties
        x = np.round(x * rng.choice([0.5, 1, 3])) / 2
    elif kind == 1:  # zeros of either sign, and numbers that may count as 0
        x = rng.choice(
            [0.0, -0.0, 1e-40, -1e-40, 1e-310, 1.0, -1.0],
            n,
            p=[0.4, 0.4, 0.05, 0.05, 0.02, 0.04, 0.04],
        )
    elif kind in (2, 3):  # masked tokens
        x = np.where(rng.random(n) < rng.choice([0.1, 0.5, 0.95]), -np.inf, x)
        x[rng.integers(n)] = 0.5
    elif kind == 4:  # one survivor
        x = np.where(np.arange(n) == rng.integers(n), x, -np.inf)
    elif kind == 5:  # all mass shared at infinity
        count = int(rng.choice([1, 2, max(n // 3, 1), n]))
        x[rng.permutation(n)[:count]] = np.inf
    elif kind == 6:
        x = x * rng.choice([1e-30, 1e-6, 1e3, 1e20, 1e36])
    if rng.random() < 0.02:
        x = np.full(n, -np.inf) if rng.random() < 0.5 else np.where(rng.random(n) < 0.5, np.nan, x)
    return x


def _plain_row(rng: np.random.Generator, n: int) -> np.ndarray:
    kind = rng.integers(0, 4)
    if kind == 0:  # like a language model's
        return -rng.choice([0.7, 1.1, 2.0]) * np.log(rng.permutation(n) + 1.0)
    if kind == 1:  # a plateau of leaders, and a tail
        leaders = rng.permutation(n)[: max(1, int(n * rng.choice([0.05, 0.3, 0.8])))]
        x = rng.normal(size=n) - rng.choice([3, 10, 30])
        x[leaders] += rng.choice([3, 10, 30])
        return x
    x = rng.normal(size=n) * rng.choice([0.001, 0.1, 1, 3, 10])
    return x + rng.choice([0, 0, 100, -1000])


def _prompts(rng: np.random.Generator, vocabulary: int) -> np.ndarray:
    """Return prompts of different lengths, of few tokens so that they repeat themselves."""
    few = rng.integers(0, vocabulary, 3)
    ids = rng.choice(few, (ROWS, PROMPT)).astype(np.int32)
    return np.where(np.arange(PROMPT) < rng.integers(0, PROMPT + 1, (ROWS, 1)), ids, -1)


def _chain(rng: np.random.Generator, vocabulary: int) -> ls.Sampler:
    """Return a chain in an order that people use, or in any."""
    draw = _Parameters(rng, vocabulary)
    of_history = list(rng.choice(HISTORY, rng.choice([0, 0, 1, 2]), replace=False))
    of_scores = list(rng.choice(SCORES, rng.choice([0, 1, 2, 3]), replace=True))
    rng.shuffle(of_scores)
    names = of_history + of_scores
    if rng.random() < 0.2:  # then no temperature is extreme
        rng.shuffle(names)
        draw.mild = True
    if rng.random() < 0.2:
        names.append(rng.choice(["Mirostat", "AdaptiveP"]))
    chain = [getattr(draw, name)() for name in names]
    return (ls.Greedy if rng.random() < 0.1 else ls.Sampler)(*chain)


HISTORY = (
    "RepetitionPenalty", "PresencePenalty", "FrequencyPenalty", "NoRepeatNGram", "DRY", "LogitBias",
    "SuppressTokens", "AllowTokens", "SequenceBias", "BadWords", "MinNewTokens", "ForcedTokens",
    "SpanBudget", "LengthDecay", "Watermark",
)  # fmt: skip
SCORES = (
    "Temperature", "Temperature", "TopK", "TopP", "MinP", "Typical", "Epsilon", "Eta", "TopA",
    "TopNSigma", "TopH", "PLess", "XTC", "DynamicTemperature",
)  # fmt: skip


class _Parameters:
    """Draws a transform of each kind, with usual and extreme parameters, one or one a row."""

    def __init__(self, rng: np.random.Generator, vocabulary: int) -> None:
        self.rng, self.n, self.mild = rng, vocabulary, False

    def _some(self, *ranges: Any) -> Any:
        """Return a number, or one for each row, from ranges (low, high) and single values."""

        def one() -> Any:
            chosen = ranges[self.rng.integers(len(ranges))]
            if not isinstance(chosen, tuple):
                return chosen
            low, high = chosen
            if isinstance(low, int):
                return int(self.rng.integers(low, high + 1))
            return float(self.rng.uniform(low, high))

        return [one() for _ in range(ROWS)] if self.rng.random() < 0.5 else one()

    def _ids(self, most: int) -> list[int]:
        count = int(self.rng.integers(1, most + 1))
        return np.unique(self.rng.integers(0, self.n, count)).tolist()

    def _sequence(self) -> tuple[int, ...]:
        return tuple(self.rng.integers(0, min(self.n, 4), self.rng.integers(1, 4)).tolist())

    def _window(self) -> Any:
        return self._some((1, 6), 2**31 - 1) if self.rng.random() < 0.5 else None

    def _coin(self) -> bool:
        return bool(self.rng.random() < 0.5)

    def Temperature(self) -> ls.Temperature:
        extreme = () if self.mild else (0.0, 0, 5e-324, 1e-300, 1e-45, 1e-20, 1e20, 1e45, 1e300)
        return ls.Temperature(
            self._some((0.2, 3.0), (0.2, 3.0), (0.01, 50.0), *extreme[self.rng.integers(3) :: 3])
        )

    def DynamicTemperature(self) -> ls.DynamicTemperature:
        return (
            ls.DynamicTemperature(
                self._some((0.5, 2.0), 1.0),
                self._some((0.0, 0.4), 0.0),
                self._some((0.3, 3.0), 1.0),
            )
            if self.mild
            else ls.DynamicTemperature(
                self._some((0.1, 2.0), 0.0, 1e30),
                self._some((0.0, 2.0), 0.0, 1e30),
                self._some((0.3, 3.0), 1e-3, 30.0),
            )
        )

    def TopK(self) -> ls.TopK:
        return ls.TopK(self._some((1, 60), (1, max(self.n, 2)), 128, 129, 2**40))

    def _share(self) -> Any:
        return self._some((0.01, 1.0), (0.5, 0.999), 1.0, 1e-9, 1e-300, 1 - 1e-9, 1 - 1e-16)

    def TopP(self) -> ls.TopP:
        return ls.TopP(self._share())

    def MinP(self) -> ls.MinP:
        return ls.MinP(self._some((0.0, 1.0), (0.0, 0.1), 0.0, 1.0, 1e-300, 1 - 1e-12))

    def Typical(self) -> ls.Typical:
        return ls.Typical(self._share())

    def Epsilon(self) -> ls.Epsilon:
        return ls.Epsilon(self._some((0.0, 0.5), (0.0, 0.001), 0.0, 1e-300, 0.999))

    def Eta(self) -> ls.Eta:
        return ls.Eta(self._some((0.0, 0.5), (0.0, 0.001), 0.0, 1e-300, 0.999))

    def TopA(self) -> ls.TopA:
        return ls.TopA(self._some((0.0, 1.0), 0.0, 1.0, 1e-300))

    def TopNSigma(self) -> ls.TopNSigma:
        return ls.TopNSigma(self._some((0.1, 4.0), 1e-9, 1e30, 1e300))

    def TopH(self) -> ls.TopH:
        first = int(self.rng.integers(1, 2 * self.n + 1)) if self.rng.random() < 0.3 else None
        return ls.TopH(self._share(), renormalize=self._coin(), first=first)

    def PLess(self) -> ls.PLess:
        return ls.PLess()

    def XTC(self) -> ls.XTC:
        threshold = self._some((0.0, 0.5), (0.1 / self.n, min(3 / self.n, 0.5)), 0.0, 0.5)
        protected = self._ids(3) if self.rng.random() < 0.3 else ()
        return ls.XTC(self._some(1.0, 1.0, 0.5, 0.0), threshold, protected=protected)

    def Mirostat(self) -> ls.Mirostat:
        version, after_cut = int(self.rng.integers(1, 3)), self._coin()
        tau = self._some((0.1, 8.0), 1e-6, 50.0)
        return ls.Mirostat(tau, self._some((0.0, 1.0), 0.0), version, self._some_m(), after_cut)

    def _some_m(self) -> int:
        return int(self.rng.choice([2, 5, 100]))

    def AdaptiveP(self) -> ls.AdaptiveP:
        return ls.AdaptiveP(self._some((0.0, 1.0), 0.0, 1.0), self._some((0.0, 0.99), 0.0))

    def RepetitionPenalty(self) -> ls.RepetitionPenalty:
        penalty = self._some((0.5, 2.0), (1.0, 1.3), 1.0, 1e-30, 1e30)
        return ls.RepetitionPenalty(penalty, self._window(), self._coin())

    def PresencePenalty(self) -> ls.PresencePenalty:
        penalty = self._some((-2.0, 2.0), 0.0, 1e30, -1e30)
        return ls.PresencePenalty(penalty, self._window(), self._coin())

    def FrequencyPenalty(self) -> ls.FrequencyPenalty:
        penalty = self._some((-2.0, 2.0), 0.0, 1e30, -1e30)
        return ls.FrequencyPenalty(penalty, self._window(), self._coin())

    def NoRepeatNGram(self) -> ls.NoRepeatNGram:
        return ls.NoRepeatNGram(self._some((1, 4), 100))

    def DRY(self) -> ls.DRY:
        breakers = [self._sequence() for _ in range(self.rng.integers(0, 3))]
        return ls.DRY(
            self._some((0.0, 2.0), 0.0, 1e20),
            self._some((1.0, 3.0), 1.0, 1e30),
            self._some((1, 4)),
            self._window(),
            breakers,
        )

    def _bias(self) -> float:
        return float(self.rng.choice([self.rng.normal(), 100.0, -100.0, np.inf, -np.inf, 0.0]))

    def LogitBias(self) -> ls.LogitBias:
        return ls.LogitBias({token: self._bias() for token in self._ids(5)})

    def SuppressTokens(self) -> ls.SuppressTokens:
        return ls.SuppressTokens(self._ids(5), self._some((0, 3)) if self._coin() else None)

    def AllowTokens(self) -> ls.AllowTokens:
        return ls.AllowTokens(self._ids(max(self.n // 2, 1)))

    def SequenceBias(self) -> ls.SequenceBias:
        return ls.SequenceBias({self._sequence(): self._bias() for _ in range(3)})

    def BadWords(self) -> ls.BadWords:
        return ls.BadWords([self._sequence() for _ in range(3)], prompt=self._coin())

    def MinNewTokens(self) -> ls.MinNewTokens:
        return ls.MinNewTokens(self._some((0, 3)), self._ids(2), prompt=self._coin())

    def ForcedTokens(self) -> ls.ForcedTokens:
        steps = {int(self.rng.integers(0, 5)): token for token in self._ids(3)}
        return ls.ForcedTokens(steps, prompt=self._coin())

    def SpanBudget(self) -> ls.SpanBudget:
        start, end = self._sequence(), self._sequence()
        if start[-len(end) :] == end:
            end = (*end, self.n - 1 if end[-1] != self.n - 1 else 0)
        closing = self._sequence() if self._coin() else ()
        return ls.SpanBudget(self._some((0, 3)), start, end, closing, self._coin())

    def LengthDecay(self) -> ls.LengthDecay:
        factor = self._some((0.5, 2.0), 1.0, 1e5)
        return ls.LengthDecay(self._some((0, 2)), factor, self._ids(1))

    def Watermark(self) -> ls.Watermark:
        return ls.Watermark(
            self._some((0.01, 0.99)),
            self._some((0.0, 5.0), 0.0, 1e30),
            int(self.rng.integers(0, 2**63)),
            int(self.rng.integers(1, 4)),
        )
