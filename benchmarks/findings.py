"""What decoding does to real text: the texts and tables of docs/findings.md.

python benchmarks/findings.py texts FOLDER --text FILE --model MODEL [--frontier] [--judge MODEL]
python benchmarks/findings.py tables FOLDER
python benchmarks/findings.py plot FOLDER FOLDER --to findings.png

`texts` cuts prompts out of the last tenth of a text, and has each sampler continue them; stopped,
it goes on where it was. `tables` prints what the page shows, and `plot` draws quality against
diversity. The page says which text and models.
"""

import argparse
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

import logit_sampling as ls
from logit_sampling.evaluation import Comparison, Prompt, Result
from logit_sampling.evaluation.intervals import corrected, difference, estimate
from logit_sampling.evaluation.tables import legend
from logit_sampling.plotting.figures import (
    COLOURS,
    GREY,
    INK,
    check_plot_path,
    plain,
    write_whole,
)

PROMPT, PROMPTS = 120, 200  # characters of a prompt, and how many there are

# The rows of table 1 of Holtzman et al. 2020 (arXiv 1904.09751), with a smaller beam.
TABLE_1 = [
    "greedy",
    "beam 4: beam num_beams=4",
    "pure sampling: sample",
    "t 0.9: temperature=0.9",
    "top-k 40: top_k=40",
    "top-k 640: top_k=640",
    "top-k 40, t 0.7: top_k=40 temperature=0.7",
    "top-p 0.95: top_p=0.95",
]
# Each strategy alone, from cautious to free.
FAMILIES = {
    "temperature": [f"t {t}: temperature={t}" for t in (0.5, 0.6, 0.7, 0.8)],
    "top-k": [f"top-k {k}: top_k={k}" for k in (5, 10, 160)],
    "top-p": [f"top-p {p}: top_p={p}" for p in (0.4, 0.6, 0.75, 0.9)],
    "min-p": [f"min-p {p}: min_p={p}" for p in (0.2, 0.1, 0.05, 0.01)],
    "top-n-sigma": [f"top-n-sigma {n}: top_n_sigma={n}" for n in (0.7, 1.0, 1.5, 2.0)],
    "typical": [f"typical {p}: typical_p={p}" for p in (0.2, 0.5, 0.9)],
    "p-less": ["p-less: p_less=true"],
}
# A truncation behind a temperature above 1, where min-p is said to be at its best.
HOT = {
    f"{rule} at t {t}": [
        f"t {t}, {rule} {p}: temperature={t} {rule.replace('-', '_')}={p}" for p in settings
    ]
    for t, rule, settings in (
        (1.5, "min-p", (0.05, 0.1, 0.2, 0.3)),
        (1.5, "top-p", (0.5, 0.7, 0.8, 0.9)),
        (2, "min-p", (0.1, 0.2, 0.3)),
        (2, "top-p", (0.3, 0.5, 0.7)),
    )
}


def cut(text: str, count: int, length: int, human: int) -> list[Prompt]:
    """Return prompts evenly from the last tenth of a text, each cut before a space."""
    rest = text[len(text) * 9 // 10 :]
    stride = len(rest) // count
    found = []
    for i in range(count):
        start = rest.find(" ", i * stride) + 1
        end = rest.find(" ", start + length)
        found.append(Prompt(str(i), rest[start:end], rest[end : end + human]))
    return found


def at_diversity(points: list[Result], level: float, quality: str) -> np.ndarray | None:
    """Return the values of a quality, one a prompt, where a family has some diversity (distinct-2).

    Between the two of its settings whose diversity lies on both sides, along a straight line. What
    the diversity of these prompts adds to the uncertainty is in the values: to first order, as the
    place on the line moves with it.
    """
    ranked = sorted(points, key=lambda own: own.distinct_2.mean)
    for low, high in pairwise(ranked):
        first, last = low.distinct_2.mean, high.distinct_2.mean
        if first <= level <= last and last > first:
            share = (level - first) / (last - first)
            mixed = {
                name: (1 - share) * low.values(name) + share * high.values(name)
                for name in (quality, "distinct_2")
            }
            rise = high.number(quality).mean - low.number(quality).mean
            return mixed[quality] - rise / (last - first) * (mixed["distinct_2"] - level)
    return None


def table_1(comparison: Comparison) -> None:
    """Print the rows of Holtzman's table 1, and how far each is from the human line."""
    names = [line.split(":")[0] for line in TABLE_1]
    shown = replace_samplers(comparison, names)
    print(shown.to_markdown())
    assert shown.human is not None
    print("\nDifferences from the human line, corrected for all of them:\n")
    print("| | " + " | ".join(shown.measure(name).title for name in shown.measures) + " |")
    print("| --- |" + " ---: |" * len(shown.measures))
    found = {(d.name, d.measure): d for d in shown.differences("human")}
    for own in shown.results:
        cells = []
        for name in shown.measures:
            d, digits = found[own.name, name], shown.measure(name).digits
            clear = d.corrected is not None and d.corrected < 0.05
            cells.append(f"{d.estimate.mean:+.{digits}f}{'' if clear else ' (not clear)'}")
        print(f"| {own.name} | " + " | ".join(cells) + " |")


def replace_samplers(comparison: Comparison, names: list[str]) -> Comparison:
    """Return the comparison of some of its samplers."""
    kept = {name: comparison.setting["samplers"][name] for name in names}
    return replace(comparison, setting=comparison.setting | {"samplers": kept})


def families_of(
    comparison: Comparison, families: dict[str, list[str]] = FAMILIES
) -> dict[str, list[Result]]:
    """Return the results of each strategy, from little diversity to much."""
    by_name = {own.name: own for own in comparison.results}
    also = {"temperature": ["t 0.9"], "top-k": ["top-k 40", "top-k 640"], "top-p": ["top-p 0.95"]}
    found = {}
    for family, lines in families.items():
        names = [line.split(":")[0] for line in lines] + also.get(family, [])
        names += ["pure sampling"] if family in FAMILIES and family != "p-less" else []
        own = [by_name[name] for name in names if name in by_name]
        found[family] = sorted(own, key=lambda result: result.distinct_2.mean)
    return found


def plot(folders: list[str], path: str) -> None:
    """Draw perplexity against distinct-2, a panel for each folder, a line for each family."""
    from matplotlib.figure import Figure

    target = check_plot_path(path)
    figure = Figure(figsize=(5.6 * len(folders), 4.6), layout="constrained", dpi=120)
    for axes, folder in zip(
        figure.subplots(1, len(folders), squeeze=False)[0], folders, strict=True
    ):
        comparison = Comparison.load(folder, ["perplexity", "distinct_2"])
        for colour, (family, own) in zip(
            [*COLOURS, INK], families_of(comparison).items(), strict=False
        ):
            x, y = ([r.number(n).mean for r in own] for n in ("distinct_2", "perplexity"))
            axes.plot(x, y, "o-", color=colour, markersize=4, linewidth=1.2, label=family)
            for result in own:
                across, up = result.distinct_2, result.perplexity
                if across.low is not None and up.low is not None:
                    axes.plot([across.low, across.high], [up.mean] * 2, color=colour, lw=0.6)
                    axes.plot([across.mean] * 2, [up.low, up.high], color=colour, lw=0.6)
        human = comparison.human
        assert human is not None
        place = human.distinct_2.mean, human.perplexity.mean
        axes.plot(*place, "D", color=INK, markersize=6)
        axes.annotate("human", place, xytext=(-8, 4), textcoords="offset points", ha="right")
        axes.set_yscale("log")
        ticks = (2, 3, 5, 10, 20, 50)
        axes.set_yticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        plain(axes)
        axes.grid(color="#E9EDF1", linewidth=0.8)
        model = next(iter(comparison.setting["models"]))
        axes.set_title(model, loc="left", fontsize=12, color=INK)
        axes.set_xlabel("distinct-2, more diverse →", fontsize=9, color=GREY)
        axes.set_ylabel("perplexity under the model itself", fontsize=9, color=GREY)
        axes.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    write_whole(figure, target)


def frontiers(comparison: Comparison, quality: str, others: dict[str, list[str]]) -> None:
    """Print the quality of each family where all have the same diversity, beside temperature's."""
    families = families_of(comparison)
    (p_less,) = families.pop("p-less")
    families = {"temperature": families["temperature"]} | {
        name: own for name, own in families_of(comparison, others).items() if own
    }
    families.pop("p-less", None)
    assert comparison.human is not None
    human = comparison.human.distinct_2.mean
    levels = {"p-less": p_less.distinct_2.mean, "human": human}
    levels |= {f"{share:g} of human": share * human for share in (0.8, 0.9)}
    print("| distinct-2 | " + " | ".join(families) + " | p-less |")
    print("| --- |" + " ---: |" * (len(families) + 1))
    differences = []
    for name, level in sorted(levels.items(), key=lambda own: own[1]):
        cells = []
        base = at_diversity(families["temperature"], level, quality)
        for family, points in families.items():
            values = at_diversity(points, level, quality)
            if values is None:
                cells.append("–")  # noqa: RUF001
                continue
            cells.append(estimate(values).format(2))
            if base is not None and family != "temperature":
                told = f"{name} ({level:.3f})"
                differences.append(difference(family, "temperature", told, values, base))
        own = p_less.number(quality).format(2) if name == "p-less" else ""
        if name == "p-less" and base is not None:
            values = p_less.values(quality)
            differences.append(
                difference("p-less", "temperature", f"{name} ({level:.3f})", values, base)
            )
        print(f"| {name} ({level:.3f}) | " + " | ".join([*cells, own]) + " |")
    print(f"\nDifferences of {quality} from temperature alone at that diversity:\n")
    print("| distinct-2 | family | difference | p, corrected |\n| --- | --- | ---: | ---: |")
    for d in corrected(differences):
        p = "–" if d.corrected is None else f"{d.corrected:.3f}"  # noqa: RUF001
        p = "< 0.001" if p == "0.000" else p
        print(f"| {d.measure} | {d.name} | {d.estimate.format(2)} | {p} |")


def main() -> None:
    """Run one of the tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["texts", "tables", "plot"])
    parser.add_argument("folder", nargs="+")
    parser.add_argument("--to", help="the picture to write")
    parser.add_argument("--text")
    parser.add_argument("--model", default="shakespeare")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--characters", type=int, default=PROMPT, help="of a prompt")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--frontier", action="store_true")
    parser.add_argument("--judge")
    given = parser.parse_args()
    if given.task == "plot":
        plot(given.folder, given.to)
        return
    (folder,) = given.folder
    if given.task == "tables":
        about = Comparison.load(folder).human
        first = about and about.texts[0]
        told = [n for n in ("judge", "embedding") if first and getattr(first, n) is not None]
        extra = {"judge": "judge_perplexity", "embedding": "frontier"}
        measures = ["perplexity", *(extra[name] for name in told)]
        rest = ["distinct_2", "self_bleu", "zipf", "looping", "seq_rep_4"]
        comparison = Comparison.load(folder, [*measures, *rest])
        print(legend(comparison), "\n")
        table_1(comparison)
        for quality in measures:
            print(f"\n## {quality} at equal diversity\n")
            frontiers(comparison, quality, FAMILIES)
            if any(families_of(comparison, HOT).values()):
                print(f"\n## {quality} at equal diversity, temperatures above 1\n")
                frontiers(comparison, quality, HOT)
        print("\n## All\n")
        print(comparison.to_markdown())
        return
    text = Path(given.text).read_text("utf-8")
    prompts = cut(text, given.prompts, given.characters, 8 * given.tokens)
    ls.compare(
        {given.model.rsplit("/")[-1]: ls.load_model(given.model)},
        prompts,
        [*TABLE_1, *(line for lines in (FAMILIES | HOT).values() for line in lines)],
        range(given.seeds),
        given.tokens,
        on_run=lambda *run: print(*run, file=sys.stderr, flush=True),
        batch_size=given.batch_size,
        frontier=given.frontier,
        judge=ls.load_model(given.judge) if given.judge else None,
        out=folder,
        command=" ".join(sys.argv),
    )


if __name__ == "__main__":
    main()
