"""What one sampler wrote with one model, and its numbers."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any, Self

import numpy as np

from logit_sampling.evaluation.intervals import Estimate
from logit_sampling.evaluation.measures import Measure
from logit_sampling.evaluation.texts import Text, mean_over


@dataclass(frozen=True, eq=False, repr=False)
class Result:
    """What one sampler wrote with one model. A measure is an attribute: `result.seq_rep_4`.

    Attributes:
        name: of the sampler in this comparison, after that of the model if there are several.
        sampler: its chain, or the search, as `repr` shows it.
        model: the name of the model.
        settings: what a sweep set, by name.
        texts: seed by seed, and in each the prompts in order. Those that failed are there.
        grid: those that count, [prompts][seeds], None for one that failed.
    """

    name: str
    sampler: str
    model: str
    settings: Mapping[str, Any]
    texts: tuple[Text, ...]
    grid: tuple[tuple[Text | None, ...], ...]
    _values: Callable[["Result", str], tuple[np.ndarray, float]]
    _measure: Callable[[str], Measure]
    _known: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Result {self.name!r}: {self.sampler}, {len(self.texts)} texts>"

    def __getattr__(self, name: str) -> Estimate:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self.number(name)
        except ValueError as error:
            raise AttributeError(str(error)) from None

    def number(self, name: str) -> Estimate:
        """Return a measure of its texts.

        Raises:
            ValueError: there is no such measure.
        """
        if name not in self._known:
            values, number = self._values(self, name)
            self._known[name] = values, self._measure(name).estimate(values, number)
        return self._known[name][1]

    def values(self, name: str) -> np.ndarray:
        """Return the values of a measure, [prompts, seeds]: their mean is the number."""
        self.number(name)
        return self._known[name][0]

    def of(self, prompts: Sequence[bool]) -> Self:
        """Return the same with the texts of some prompts alone."""
        if all(prompts):
            return self
        pairs = zip(self.grid, prompts, strict=True)
        grid = tuple(row if there else (None,) * len(row) for row, there in pairs)
        return replace(self, grid=grid, _known={})

    def steps(self, of: str) -> Sequence[float]:
        """Return the mean of `"kept"` or `"entropies"` at each step of the texts."""
        return mean_over(self.texts, of)

    @property
    def failed(self) -> int:
        """How many of its texts failed."""
        return sum(text.failed for text in self.texts)

    @property
    def seconds_per_token(self) -> Estimate:
        """Wall time of a token: that of a batch divided by its tokens, median over the texts."""
        times = [text.seconds for text in self.texts if text.seconds is not None]
        return Estimate(median(times) if times else math.nan, units=len(times), over="texts")
