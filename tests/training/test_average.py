"""Which weights a run saves: their average, or the last ones."""

import shutil
from dataclasses import replace

import numpy as np
import pytest

from logit_sampling.training import fit, sum_loss, train
from logit_sampling.training.checkpoint import load_checkpoint, save_checkpoint
from logit_sampling.training.folder import RunFolder

from .test_fit import read_log, weights


def test_a_short_run_saves_its_last_weights_if_its_average_lags_behind(finished):
    run, out, metrics = finished
    assert run.recipe.epochs * run.steps < 150
    assert metrics["weights"] == "last"
    for saved, last in zip(weights(out), run.model.get_weights(), strict=True):
        np.testing.assert_array_equal(saved, last)
    last = sum_loss(run.judged, *run._validation())
    assert metrics["nats_per_token"] == pytest.approx(last / run.validation_ids.size)
    assert metrics["nats_per_character"] == metrics["last_nats_per_character"]
    # A momentum that begins at 0.99 would leave a third of the random weights in the average.
    average = metrics["average_nats_per_character"]
    assert metrics["nats_per_character"] < average < 1.01 * metrics["nats_per_character"]


def interrupt_after(epoch, monkeypatch, text, out, recipe):
    """Begin a run, and end it after its checkpoint of this epoch."""
    show = fit.Progress.show

    def stop(progress, row, sample):
        show(progress, row, sample)
        if row["epoch"] == epoch:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(fit.Progress, "show", stop)
        train(text, out, recipe=recipe)


def test_the_average_is_saved_if_it_is_better_than_the_last_weights(
    text, recipe, tmp_path, monkeypatch
):
    """And also if the run ended between its last epoch and the choice."""
    wild = replace(recipe, learning_rate=0.1, final_learning_rate=1.0, epochs=2)
    interrupt_after(2, monkeypatch, text, tmp_path / "model", wild)
    _, arrays = load_checkpoint(RunFolder(tmp_path / "model").checkpoint)
    metrics = train(text, tmp_path / "model", recipe=wild, resume=True)
    for saved, best in zip(weights(tmp_path / "model"), arrays["best"], strict=True):
        np.testing.assert_array_equal(saved, best)
    assert metrics["weights"] == "average"
    assert metrics["nats_per_character"] == metrics["average_nats_per_character"]
    assert metrics["nats_per_character"] < 0.99 * metrics["last_nats_per_character"]
    best = read_log(tmp_path / "model")[int(metrics["best_epoch"]) - 1]
    assert best["validation_nats_per_character"] == pytest.approx(metrics["nats_per_character"])
    assert f"Saved are the averaged weights of epoch {metrics['best_epoch']} of 2" in (
        tmp_path / "model" / "README.md"
    ).read_text(encoding="utf-8")


def test_without_an_average_the_weights_are_judged_as_they_are(
    text, recipe, tmp_path, trained, monkeypatch
):
    plain = replace(recipe, ema=0.0)
    interrupt_after(2, monkeypatch, text, tmp_path / "model", plain)
    metrics = train(text, tmp_path / "model", recipe=plain, resume=True)
    assert metrics["recipe"]["ema"] == 0
    assert metrics["average_nats_per_character"] is None
    assert metrics["weights"] == "last"
    # The average takes no part in the training, so the last weights are those of the other run.
    last = trained[1]["last_nats_per_character"]
    assert metrics["nats_per_character"] == pytest.approx(last, rel=1e-5)
    losses = [row["validation_nats_per_character"] for row in read_log(tmp_path / "model")]
    assert losses[-1] == pytest.approx(last, rel=1e-5)
    card = (tmp_path / "model" / "README.md").read_text(encoding="utf-8")
    assert "Saved are the weights as they were after epoch 3 of 3, without an average." in card


def test_a_checkpoint_of_a_version_without_the_momentum_had_the_default(
    ended_by_control_c, text, recipe, tmp_path
):
    folder = RunFolder(tmp_path / "model")
    shutil.copytree(ended_by_control_c, folder.path)
    state, arrays = load_checkpoint(folder.checkpoint)
    assert state["recipe"].pop("ema") == 0.99
    save_checkpoint(folder.checkpoint, state, arrays)
    assert fit.Run(text, folder, recipe, resume=True).epoch == 1
    with pytest.raises(ValueError, match=r"another run \(`ema`: 0.99, now 0.5\)"):
        fit.Run(text, folder, replace(recipe, ema=0.5), resume=True)
