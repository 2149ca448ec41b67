"""What the tests of grammars share."""

import pytest

from tests.strategies.grammars import Tiny


@pytest.fixture(scope="session")
def tiny():
    llguidance = pytest.importorskip("llguidance")
    return llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tiny()))
