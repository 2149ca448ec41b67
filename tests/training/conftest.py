import os
import random
import signal

import pytest

import logit_sampling as ls
from logit_sampling.training import Recipe, fit, train


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


@pytest.fixture(scope="session")
def finished(text, recipe, tmp_path_factory):
    """A run, the folder that it made, and its metrics."""
    out, runs = tmp_path_factory.mktemp("runs") / "new" / "model", []

    class Kept(fit.Run):
        def __init__(self, *arguments):
            runs.append(self)
            super().__init__(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fit, "Run", Kept)
        metrics = train(text, out, recipe=recipe, command="the command")
    return runs[0], out, metrics


@pytest.fixture(scope="session")
def trained(finished):
    return finished[1:]


@pytest.fixture(scope="session")
def ended_by_control_c(text, recipe, tmp_path_factory):
    """The working folder of a run that ended while it wrote the sample of its first epoch."""
    out = tmp_path_factory.mktemp("interrupted") / "model"
    generate, samples = ls.generate, []

    def interrupt(row, ids):
        if len(samples) == 2:  # after that of the rehearsal
            os.kill(os.getpid(), signal.SIGINT)

    def stop_after_the_first(*arguments, **options):
        samples.append(options)
        return generate(*arguments, should_stop=interrupt, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ls, "generate", stop_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            train(text, out, recipe=recipe)
    assert not out.exists()
    return out.with_name("model.training")
