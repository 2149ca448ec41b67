import random

import pytest

from logit_sampling.training import Recipe


@pytest.fixture(scope="session")
def text():
    """Lines drawn from few words, about 24,000 characters that a tiny model can learn."""
    rng = random.Random(5)
    names = ["ALICE", "BOB", "CAROL"]
    words = ["the", "king's", "crown,", "is", "won;", "and", "I'll", "go", "'tis", "true?"]
    words += ["never!", "1599", "über", "méthode"]
    return "".join(
        f"{rng.choice(names)}:\n{' '.join(rng.choices(words, k=9))}.\n\n" for _ in range(400)
    )


@pytest.fixture(scope="session")
def recipe():
    return Recipe(
        vocabulary_size=300, context=32, layers=1, heads=2, width=32, epochs=3, batch_size=8, seed=3
    )
