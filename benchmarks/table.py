"""Print the numbers of a run of `samplers.py --json` as tables in Markdown.

python benchmarks/table.py FILE
"""

import argparse
import json
from pathlib import Path
from typing import Any

from contenders import OURS, READ, SOFTMAX
from setting import ratio

_KINDS = {"language": "Language-like rows", "real": "Rows of SmolLM2-135M", "flat": "Flat rows"}


def main() -> None:
    """Print a table for each kind of rows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", type=Path)
    found = json.loads(parser.parse_args().file.read_text())
    records = [r for r in found["records"] if "median" in r]
    for kind, title in _KINDS.items():
        own = [r for r in records if r["rows"] == kind]
        if own:
            print(f"## {title}\n\n{_table(own)}\n")


def _table(records: list[dict[str, Any]]) -> str:
    """Return a line for each strategy, a column for each vocabulary and batch."""
    cases = sorted({(r["vocabulary"], r["batch"]) for r in records})
    times = {(r["strategy"], r["vocabulary"], r["batch"], r["contender"]): r for r in records}
    lines = [["", *(f"{vocabulary:,}, {batch}" for vocabulary, batch in cases)]]
    lines.append(["---", *["---:"] * len(cases)])
    for name in dict.fromkeys(r["strategy"] for r in records):
        cells = []
        for case in cases:
            ours, softmax, peer = (
                times.get((name, *case, who), {}).get("median")
                for who in (OURS["numpy"], SOFTMAX, "llama.cpp")
            )
            cell = f"{_time(ours)}, {ratio(ours / softmax)} S" if ours and softmax else ""
            cells.append(cell + (f", {ratio(ours / peer)} L" if cell and peer else ""))
        lines.append([name, *cells])
    for who, title in ((READ, "one read pass"), (SOFTMAX, "one softmax pass, S")):
        own = [
            [
                r["median"]
                for r in records
                if (r["vocabulary"], r["batch"], r["contender"]) == (*case, who)
            ]
            for case in cases
        ]
        lines.append([title, *(_time(sorted(some)[len(some) // 2]) for some in own)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _time(seconds: float) -> str:
    return f"{1e6 * seconds:,.0f} µs" if seconds < 1e-3 else f"{1e3 * seconds:,.3g} ms"


if __name__ == "__main__":
    main()
