import json
import shutil
import sys

import pytest

from logit_sampling.training.card import write_card

from .test_fit import read_log


@pytest.fixture
def card(trained, tmp_path):
    """The card of the run, with other metrics."""
    out, metrics = trained

    def write(**changed):
        recipe = metrics["recipe"] | changed.pop("recipe", {})
        write_card(tmp_path, metrics | changed | {"recipe": recipe}, read_log(out))
        return (tmp_path / "README.md").read_text(encoding="utf-8")

    return write


def test_numbers_agree_with_their_nouns(card):
    several = card(seconds=131.0, cpus=2, steps=3480)
    assert "| 1 layer, 2 heads, width 32" in several
    assert "| 3 epochs, 3,480 steps of 8 windows, seed 3" in several
    assert "| 2.2 minutes on 2 CPU cores, with" in several
    one = card(
        seconds=5.31,
        cpus=1,
        steps=1,
        recipe={"layers": 2, "heads": 1, "epochs": 1, "batch_size": 1},
    )
    assert "| 2 layers, 1 head, width 32" in one
    assert "| 1 epoch, 1 step of 1 window, seed 3" in one
    assert "| 5.3 seconds on 1 CPU core, with" in one


def test_the_card_says_which_weights_were_saved_and_what_was_measured_of_both(card):
    measured = {"average_nats_per_character": 1.25, "last_nats_per_character": 1.5}
    average = card(weights="average", best_epoch=2, **measured)
    assert (
        "Saved are the averaged weights of epoch 2 of 3, with 1.2500 nats a character; the last "
        "weights of the run, as they were, have 1.5000.\n"
    ) in average
    assert "average of the weights with a momentum that grows to 0.99 |" in average
    assert "the validation curve is that of the averaged weights" in average
    measured = {"average_nats_per_character": 1.5, "last_nats_per_character": 1.25}
    assert (
        "Saved are the last weights of the run, as they were, with 1.2500 nats a character; the "
        "best averaged weights have 1.5000.\n"
    ) in card(weights="last", best_epoch=3, **measured)
    none = card(average_nats_per_character=None, best_epoch=2, recipe={"ema": 0.0})
    assert "Saved are the weights as they were after epoch 2 of 3, without an average.\n" in none
    assert "clipped to norm 1, no average of the weights |" in none
    assert "averaged" not in none


def test_the_card_claims_nothing_that_was_not_measured(card):
    written = card()
    assert "How well it writes was not measured" in written
    assert "plausible" not in written
    assert "goes on from the first 8 tokens of the validation text" in written
    assert "from the first 1 token of the validation text" in card(sample_prompt_tokens=1)


@pytest.mark.parametrize("epochs", [1, 2, 3, 29])
def test_the_curve_has_whole_epochs_as_ticks(trained, tmp_path, monkeypatch, epochs):
    from matplotlib.figure import Figure

    ticks = []

    def keep_ticks(figure, *arguments, **options):
        (axes,) = figure.axes
        low, high = axes.get_xlim()
        ticks.extend(tick for tick in axes.get_xticks() if low <= tick <= high)

    monkeypatch.setattr(Figure, "savefig", keep_ticks)
    row = read_log(trained[0])[0]
    write_card(tmp_path, trained[1], [row | {"epoch": i + 1} for i in range(epochs)])
    assert len(ticks) >= min(3, epochs)
    assert all(tick == round(tick) for tick in ticks)


@pytest.mark.parametrize("corpus", ["/a/path", "*", "", "card", "..", "a\udcff"])
def test_any_name_of_a_corpus_is_a_name(trained, tmp_path, corpus):
    """It is no pattern of files, and the bytes of a file's name need not be text."""
    out, metrics = trained
    more = {"corpus": corpus, "command": "train --text m\udcfcller", "sample": "a\n\x1b[31mb"}
    write_card(tmp_path, metrics | more, read_log(out))
    written = corpus.replace("\udcff", r"\udcff")
    card = (tmp_path / "README.md").read_text()
    assert card.startswith(f"# A small GPT trained on {written}\n")
    assert card.count("# A small GPT") == 1
    assert "nanoGPT" not in card
    assert r"train --text m\udcfcller" in card
    assert "a\n\\x1b[31mb" in card
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics | more


def test_without_matplotlib_there_is_a_card_and_no_curve(trained, tmp_path, monkeypatch):
    out, metrics = trained
    copy = shutil.copytree(out, tmp_path / "model")
    (copy / "curve.png").unlink()
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    write_card(copy, metrics, read_log(out))
    assert not (copy / "curve.png").exists()
    assert "curve.png" not in (copy / "README.md").read_text()
