"""What a comparison found: results by sampler, with intervals and differences."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from logit_sampling.evaluation.closeness import clusters_of, frontier_values
from logit_sampling.evaluation.intervals import (
    Difference,
    corrected,
    difference,
)
from logit_sampling.evaluation.measures import DEFAULT, Grid, Measure, Metric, measure
from logit_sampling.evaluation.record import FORMAT, read, write_whole
from logit_sampling.evaluation.report.page import page_of
from logit_sampling.evaluation.result import Result
from logit_sampling.evaluation.tables import (
    csv_of,
    html_of,
    latex_of,
    markdown_of,
    records,
    text_of,
    written,
)
from logit_sampling.evaluation.texts import HUMAN, Text
from logit_sampling.plain import strict_json


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Samplers on the same prompts, seeds and number of tokens.

    Attributes:
        setting: what was compared: `prompts`, `samplers`, `models`, `seeds`, `max_new_tokens`, ...
        calls: what wrote the texts: dates, commands, versions.
        texts: all of them.
        measures: the names of what tables show.
        baseline: the name of the result that others are compared with.
        metrics: measures of one's own by name.
    """

    setting: dict[str, Any]
    calls: tuple[dict[str, Any], ...]
    texts: tuple[Text, ...]
    measures: tuple[str, ...] = DEFAULT
    baseline: str | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of every sampler that draws."""
        return tuple(self.setting["seeds"])

    @property
    def tokens(self) -> int:
        """How many tokens a text has, at most if end tokens end it."""
        return self.setting["max_new_tokens"]

    @property
    def prompts(self) -> tuple[str | tuple[int, ...], ...]:
        """The prompts whose texts are there."""
        shown = (self.setting["prompts"][i]["text"] for i in self.prompt_ids)
        return tuple(p if isinstance(p, str) else tuple(p) for p in shown)

    @property
    def prompt_ids(self) -> tuple[str, ...]:
        """Their ids."""
        return self._arranged[0]

    @property
    def results(self) -> tuple[Result, ...]:
        """One for each model and sampler, in the order given.

        Before all texts are written: of those whose texts are all there, with the prompts that they
        have in common.
        """
        return self._arranged[1]

    @property
    def human(self) -> Result | None:
        """The same numbers for how the authors of the prompts went on, if that is known.

        Log-probabilities are those of the first model; `humans` has one for each.
        """
        return next(iter(self.humans), None)

    @property
    def humans(self) -> tuple[Result, ...]:
        """See `human`."""
        return self._arranged[2]

    @property
    def left_out(self) -> dict[str, tuple[int, int]]:
        """What `results` lacks, by name: how many of its texts are there, and of how many."""
        return self._arranged[3]

    @cached_property
    def _arranged(
        self,
    ) -> tuple[tuple[str, ...], tuple[Result, ...], tuple[Result, ...], dict[str, tuple[int, int]]]:
        setting = self.setting
        own: dict[tuple[str, str], dict[tuple[str, int | None], Text]] = {}
        for text in self.texts:
            key = (text.model, text.sampler)
            own.setdefault(key, {})[text.prompt_id, text.run] = text
        ids = list(setting["prompts"])
        several = len(setting["models"]) > 1
        done: dict[tuple[str, str], set[str]] = {}
        left_out: dict[str, tuple[int, int]] = {}
        for model in setting["models"]:
            for sampler, about in setting["samplers"].items():
                there = own.get((model, sampler), {})
                runs = setting["seeds"] if about["draws"] else [None]
                whole = {i for i in ids if all((i, run) in there for run in runs)}
                if whole:
                    done[model, sampler] = whole
                name = f"{model}: {sampler}" if several else sampler
                written_there = sum((i, run) in there for i in ids for run in runs)
                left_out[name] = written_there, len(ids) * len(runs)
        kept = tuple(i for i in ids if all(i in whole for whole in done.values()) and done)
        results = []
        for model, sampler in done if kept else ():
            about = setting["samplers"][sampler]
            runs = setting["seeds"] if about["draws"] else [None]
            name = f"{model}: {sampler}" if several else sampler
            results.append(self._result(name, about, model, own[model, sampler], kept, runs))
            del left_out[name]
        humans = []
        for model in setting["models"]:
            wrote = own.get((model, HUMAN), {})
            if any((i, None) in wrote for i in kept):
                name = f"{model}: {HUMAN}" if several else HUMAN
                humans.append(self._result(name, {"chain": HUMAN}, model, wrote, kept, [None]))
        return kept, tuple(results), tuple(humans), left_out

    def _result(
        self,
        name: str,
        about: Mapping[str, Any],
        model: str,
        texts: Mapping[tuple[str, int | None], Text],
        ids: Sequence[str],
        runs: Sequence[int | None],
    ) -> Result:
        found = {key: None if text.failed else text for key, text in texts.items()}
        return Result(
            name=name,
            sampler=about["chain"],
            model=model,
            settings=about.get("settings", {}),
            texts=tuple(texts[i, run] for run in runs for i in ids if (i, run) in texts),
            grid=tuple(tuple(found.get((i, run)) for run in runs) for i in ids),
            _values=self._values,
            _measure=self.measure,
        )

    def _values(self, result: Result, name: str) -> tuple[np.ndarray, float]:
        about, grid = self.measure(name), self._counting(result, name)
        if about.name == "frontier":
            return frontier_values(grid, self._clusters, self.humans[0].grid)
        return about.values(grid)

    def _counting(self, result: Result, name: str) -> Grid:
        """Return the texts that count for a measure.

        For one of several texts together no human text does that is shorter than the others.
        """
        if result.sampler != HUMAN or not self.measure(name).pooled or self.setting["stop_at_end"]:
            return result.grid
        return tuple(
            tuple(t if t and len(t.token_ids) == self.tokens else None for t in row)
            for row in result.grid
        )

    def measure(self, name: str) -> Measure:
        """Return what is known of a measure: its title, its meaning, how to show it."""
        return measure(name, self.metrics)

    def result(self, name: str) -> Result:
        """Return a result by its name.

        Raises:
            ValueError: there is none.
        """
        for own in (*self.results, *self.humans):
            if own.name == name:
                return own
        names = ", ".join(repr(own.name) for own in (*self.results, *self.humans))
        raise ValueError(f"no result is called {name!r}; there are {names}")

    def differences(
        self, baseline: str | None = None, measures: Sequence[str] | None = None
    ) -> list[Difference]:
        """Return how each result differs from a baseline in each measure, prompt by prompt.

        The p-values are corrected for the number of all differences that are returned.

        Args:
            baseline: the name of a result, or `"human"`; by default `baseline`, or else the first.
            measures: what to compare; by default `measures`.

        Raises:
            ValueError: no such result or measure.
        """
        there = {own.name for own in (*self.humans, *self.results)}
        if not self.results or (baseline is None and self.baseline not in {None, *there}):
            return []  # its texts are not all written
        first = self.result(baseline or self.baseline or self.results[0].name)
        return corrected(
            [
                self._difference(own, first, name)
                for name in (self.measures if measures is None else measures)
                for own in self.results
                if own is not first
            ]
        )

    def _difference(self, own: Result, first: Result, name: str) -> Difference:
        grids = (self._counting(result, name) for result in (own, first))
        there = [any(a) and any(b) for a, b in zip(*grids, strict=True)]
        own, first = (result.of(there) for result in (own, first))  # prompts with texts of both
        of_both = own.values(name), first.values(name)
        per_unit = self.measure(name).prompts_per_unit
        found = difference(own.name, first.name, name, *of_both, per_unit)
        number = own.number(name).mean - first.number(name).mean
        return replace(found, estimate=replace(found.estimate, mean=number))

    @cached_property
    def _clusters(self) -> dict[tuple[Any, ...], int]:
        return clusters_of([t for own in (*self.humans, *self.results) for t in own.texts])

    def __str__(self) -> str:
        return text_of(self)

    def __repr__(self) -> str:
        return (
            f"<Comparison of {len(self.results)} samplers on {len(self.prompt_ids)} prompts, "
            f"{len(self.texts)} texts>"
        )

    def _repr_html_(self) -> str:
        return html_of(self)

    def records(self) -> list[dict[str, Any]]:
        """Return a flat dict for each result: name, settings, numbers and ends of intervals."""
        return records(self)

    def to_dataframe(self) -> Any:
        """Return `records` as a pandas DataFrame.

        Raises:
            ImportError: pandas is not installed, which nothing else here needs.
        """
        try:
            import pandas
        except ImportError:
            raise ImportError("to_dataframe needs pandas: pip install pandas") from None
        return pandas.DataFrame(self.records())

    def to_csv(self, path: str | Path | None = None) -> str:
        """Return `records` as CSV, and write it to a file if one is named."""
        return written(csv_of(self), path)

    def to_json(self, path: str | Path | None = None) -> str:
        """Return all of it as JSON, texts too, and write it to a file if one is named."""
        text = json.dumps(self.to_dict(), ensure_ascii=False, allow_nan=False)
        return written(text, path)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the table in Markdown, and write it to a file if one is named."""
        return written(markdown_of(self), path)

    def to_latex(self, path: str | Path | None = None) -> str:
        """Return the table in LaTeX (for booktabs), and write it to a file if one is named."""
        return written(latex_of(self), path)

    def to_html(
        self,
        path: str | Path | None = None,
        *,
        title: str | None = None,
        next_tokens: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """Return all of it as one page for a browser, and write it to a file if one is named.

        The page loads nothing: tables, charts, the texts side by side, and a way to judge them
        without knowing whose they are.

        Args:
            path: the file to write, whole or not at all.
            title: of the page; by default how many samplers are on which models.
            next_tokens: what `next_tokens` of `logit_sampling.evaluation` tells, to show too.
        """
        return written(page_of(self, title, next_tokens), path)

    def to_dict(self) -> dict[str, Any]:
        """All of it as dicts, lists, strings and numbers, as JSON has them: null is -inf."""
        told = {
            "prompts": self.prompts,
            "prompt_ids": self.prompt_ids,
            "seeds": self.seeds,
            "tokens": self.tokens,
            "setting": self.setting,
            "calls": self.calls,
            "results": [self._told(own) for own in self.results],
            "human": None if self.human is None else self._told(self.human),
            "baseline": self.baseline,
            "differences": [asdict(d) for d in self.differences()] if self.baseline else [],
        }
        return strict_json(told)

    def _told(self, result: Result) -> dict[str, Any]:
        texts = []
        for text in result.texts:
            told = asdict(text) | {"log_prob": text.log_prob}
            for name in ("log_probs", "sampler_log_probs", "embedding", "model", "sampler"):
                del told[name]
            texts.append({name: value for name, value in told.items() if value is not None})
        numbers = {name: asdict(result.number(name)) for name in self.measures}
        return {
            "name": result.name,
            "sampler": result.sampler,
            "model": result.model,
            "settings": dict(result.settings),
            "failed": result.failed,
            "seconds_per_token": result.seconds_per_token.mean,
            **{name.replace("-", "_"): own for name, own in numbers.items()},
            "texts": texts,
        }

    def save(self, folder: str | Path) -> None:
        """Write all texts and what was compared to a folder that is not there yet.

        It is the folder that `compare(out=...)` writes, and goes on from.

        Raises:
            ValueError: the folder is there and not empty.
        """
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ValueError(f"{target} is there: choose another folder")
        target.mkdir(parents=True, exist_ok=True)
        about = {"format": FORMAT, "setting": self.setting, "calls": self.calls}
        lines = "".join(text.to_json() + "\n" for text in self.texts)
        write_whole(target / "texts.jsonl", lines)
        write_whole(target / "comparison.json", json.dumps(about, indent=1))

    @classmethod
    def load(
        cls,
        folder: str | Path,
        measures: Sequence[str] | None = None,
        baseline: str | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ) -> Self:
        """Return the comparison that a folder holds, which may be still at work or interrupted.

        Args:
            folder: what `compare(out=...)` or `save` wrote.
            measures: the names of what tables show; by default the usual ones, and what a judge,
                `frontier` and `steps` found out.
            baseline: the name of the result that others are compared with.
            metrics: measures of one's own by name.

        Raises:
            ValueError: the folder holds no comparison, or there is no such measure or result.
        """
        about, texts = read(Path(folder))
        if measures is None:
            found = {"judge_perplexity": "judge", "frontier": "embedding", "kept": "kept"}
            also = (
                name
                for name, of in found.items()
                if any(getattr(text, of) is not None for text in texts.values())
            )
            measures = (*DEFAULT, *also)
        made = cls(
            about["setting"],
            tuple(about["calls"]),
            tuple(texts.values()),
            tuple(measures),
            baseline,
            metrics or {},
        )
        for name in measures:
            made.measure(name)
        if baseline is not None:
            made.result(baseline)
        return made
