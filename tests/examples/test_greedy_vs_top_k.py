"""The example prints what generate and seq_rep_n give."""

import runpy
from pathlib import Path
from typing import Any

import pytest

import logit_sampling as ls
from logit_sampling.evaluation import seq_rep_n

EXAMPLE = Path(__file__).parents[2] / "examples" / "greedy_vs_top_k.py"


def test_it_prints_each_text_and_its_repetition(
    tiny_gpt2: Any, tiny_preset: Path, capsys: pytest.CaptureFixture
) -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60
    runpy.run_path(str(EXAMPLE))["main"](str(tiny_preset), "the", tokens=40)
    out = capsys.readouterr().out
    for sampler, seed in [(ls.Greedy(), 0), (ls.Sampler(ls.TopK(50)), 1)]:
        result = ls.generate(
            tiny_gpt2, "the", sampler=sampler, max_new_tokens=40, seed=seed, stop_at_end=False
        )
        repeated = seq_rep_n(result.token_ids[0])
        assert f"--- {sampler!r}, seed {seed}: seq-rep-4 {repeated:.2f}\n" in out
        assert f"the{result.texts[0]}\n" in out
    names = [line.split(" seq-rep-4 ")[0].strip() for line in out.splitlines()[-4:]]
    assert names == ["greedy", "top-k 50", "top-p 0.9", "pure sampling"]
