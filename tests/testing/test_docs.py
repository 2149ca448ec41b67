"""The Python of docs/certification.md runs as it stands there, with fewer draws."""

import functools
import re
from pathlib import Path

import numpy as np

from logit_sampling import testing

PAGE = Path(__file__).parents[2] / "docs" / "certification.md"


def test_the_code_of_the_page(monkeypatch, capsys):
    few = {"draws": 300, "wide_vocab_size": 500}
    for name, settings in (
        ("check_sampler", few),
        ("check_history", {"draws": 300}),
        ("check_per_row", {"draws": 300}),
        ("check_speculative", few),
    ):
        quick = functools.partial(getattr(testing, name), **settings)
        monkeypatch.setattr(testing, name, quick)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 6
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert "49 checks passed, 0 failed, 0 not made" in capsys.readouterr().out
    np.testing.assert_allclose(names["expected"](np.zeros((2, 50))).sum(axis=1), 1, rtol=1e-6)
