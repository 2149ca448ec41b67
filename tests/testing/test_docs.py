"""The Python of docs/certification.md runs as it stands there, with fewer draws."""

import functools
import re
from pathlib import Path

import numpy as np

from logit_sampling import testing

PAGE = Path(__file__).parents[2] / "docs" / "certification.md"


def test_the_code_of_the_page(monkeypatch, capsys):
    quick = functools.partial(testing.check_sampler, draws=300, wide_vocab_size=500)
    monkeypatch.setattr(testing, "check_sampler", quick)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 3
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert "47 checks passed, 0 failed, 0 not made" in capsys.readouterr().out
    np.testing.assert_allclose(names["expected"](np.zeros((2, 50))).sum(axis=1), 1, rtol=1e-6)
