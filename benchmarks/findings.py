"""What decoding does to real text: the texts and tables of docs/findings.md.

python benchmarks/findings.py texts FOLDER --text FILE --model MODEL [--frontier] [--judge MODEL]
python benchmarks/findings.py tables FOLDER

`texts` cuts prompts out of the last tenth of a text, and has each sampler continue them; stopped,
it goes on where it was. `tables` prints what the page shows. The page says which text and models.
"""

import argparse
import sys
from pathlib import Path

import logit_sampling as ls
from logit_sampling.evaluation import Prompt

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


def cut(text: str, count: int, human: int) -> list[Prompt]:
    """Return prompts evenly from the last tenth of a text, each cut before a space."""
    rest = text[len(text) * 9 // 10 :]
    stride = len(rest) // count
    found = []
    for i in range(count):
        start = rest.find(" ", i * stride) + 1
        end = rest.find(" ", start + PROMPT)
        found.append(Prompt(str(i), rest[start:end], rest[end : end + human]))
    return found


def main() -> None:
    """Run one of the tasks."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=["texts", "tables"])
    parser.add_argument("folder")
    parser.add_argument("--text")
    parser.add_argument("--model", default="shakespeare")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--prompts", type=int, default=PROMPTS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=50)
    parser.add_argument("--frontier", action="store_true")
    parser.add_argument("--judge")
    given = parser.parse_args()
    prompts = cut(Path(given.text).read_text("utf-8"), given.prompts, 8 * given.tokens)
    ls.compare(
        {given.model.rsplit("/")[-1]: ls.load_model(given.model)},
        prompts,
        [*TABLE_1, *(line for lines in FAMILIES.values() for line in lines)],
        range(given.seeds),
        given.tokens,
        on_run=lambda *run: print(*run, file=sys.stderr, flush=True),
        batch_size=given.batch_size,
        frontier=given.frontier,
        judge=ls.load_model(given.judge) if given.judge else None,
        out=given.folder,
        command=" ".join(sys.argv),
    )


if __name__ == "__main__":
    main()
