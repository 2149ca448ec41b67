import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.training import fit, split, train
from logit_sampling.training.checkpoint import load_checkpoint


def read_log(folder):
    with (folder / "log.csv").open() as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


def weights(out):
    return ls.load_model(str(out)).causal_lm.get_weights()


def test_the_folder_holds_the_preset_and_its_card_and_nothing_else_is_left(trained):
    out, metrics = trained
    assert [path.name for path in out.parent.iterdir()] == ["model"]
    assert {path.name for path in out.iterdir()} >= {
        "config.json", "model.weights.h5", "tokenizer.json", "preprocessor.json",
        "README.md", "curve.png", "log.csv", "metrics.json",
    }  # fmt: skip
    assert json.loads((out / "metrics.json").read_text()) == metrics
    card = (out / "README.md").read_text()
    for name in ("nats_per_token", "nats_per_character", "bits_per_character", "perplexity"):
        assert f"{metrics[name]:.4f}" in card
    assert metrics["perplexity"] == pytest.approx(np.exp(metrics["nats_per_token"]))
    assert "the command" in card
    assert "nanoGPT" not in card  # its figures are for another text


def test_the_log_has_a_line_an_epoch_and_the_best_is_saved(trained):
    out, metrics = trained
    log = read_log(out)
    assert [row["epoch"] for row in log] == [1, 2, 3]
    losses = [row["validation_nats_per_character"] for row in log]
    assert losses[-1] < losses[0]
    assert metrics["best_epoch"] == 1 + np.argmin(losses)
    assert metrics["average_nats_per_character"] == pytest.approx(min(losses), rel=1e-6)
    assert [row["seconds"] for row in log] == sorted(row["seconds"] for row in log)


def test_the_log_counts_tokens(trained):
    """Every window of an epoch is full, so the mean loss is that of its tokens too."""
    out, metrics = trained
    per_token = metrics["validation_characters"] / metrics["validation_tokens"]
    for row in read_log(out):
        assert row["training_perplexity"] == pytest.approx(
            np.exp(row["training_nats_per_token"]), rel=1e-3
        )
        # The tokens of an epoch are nearly all of the text.
        assert row["training_bits_per_character"] == pytest.approx(
            row["training_nats_per_character"] / np.log(2), rel=0.05
        )
        assert row["validation_bits_per_character"] == pytest.approx(
            row["validation_nats_per_character"] / np.log(2)
        )
        assert row["validation_perplexity"] == pytest.approx(
            np.exp(row["validation_nats_per_character"] * per_token), rel=1e-5
        )


def test_keras_hub_alone_gives_the_loss_that_the_card_states(trained, text):
    """Scores every validation token from logits, one window at a time, in float64."""
    import keras_hub
    from keras.ops import convert_to_numpy

    out, metrics = trained
    model = keras_hub.models.CausalLM.from_preset(str(out))
    training, validation = (np.asarray(model.preprocessor.tokenizer(part)) for part in split(text))
    ids = np.concatenate([training[-32:], validation])
    total, scored = 0.0, 0
    for begin in range(32, ids.size, 16):
        end = min(begin + 16, ids.size)
        window = ids[end - 33 : end]
        x = window[None, :-1]
        logits = model({"token_ids": x, "padding_mask": np.ones_like(x)})[0]
        logits = convert_to_numpy(logits).astype(float)
        logits -= np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        losses = -logits[np.arange(32), window[1:]][begin - end :]
        total, scored = total + losses.sum(), scored + losses.size
    assert scored == validation.size == metrics["validation_tokens"]
    assert metrics["nats_per_token"] == pytest.approx(total / scored, rel=1e-5)
    characters = len(split(text)[1])
    assert metrics["nats_per_character"] == pytest.approx(total / characters, rel=1e-5)
    assert metrics["bits_per_character"] == pytest.approx(total / characters / np.log(2), rel=1e-5)
    assert metrics["parameters"] == model.count_params()


def test_keras_hub_generates_from_the_folder(trained):
    import keras_hub

    model = keras_hub.models.CausalLM.from_preset(str(trained[0]))
    assert model.preprocessor.add_start_token is False
    assert model.preprocessor.sequence_length == 32
    model.compile(sampler="greedy")
    prompt = "ALICE:\nthe king's "
    text = model.generate(prompt, max_length=32)
    assert text.startswith(prompt)
    assert len(text) > len(prompt) + 10


def test_an_existing_output_folder_is_refused_and_left_alone(text, recipe, tmp_path):
    out = tmp_path / "model"
    out.mkdir()
    (out / "mine").write_text("x")
    with pytest.raises(ValueError, match=r"the output folder .*model exists: choose another"):
        train(text, out, recipe=recipe)
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "mine"]


def test_there_must_be_a_run_to_resume(text, recipe, tmp_path):
    with pytest.raises(ValueError, match=r"no run to resume in .*model\.training"):
        train(text, tmp_path / "model", recipe=recipe, resume=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("characters", [0, 1, 9, 300])
def test_a_text_too_short_to_train_on_says_what_is_needed(text, recipe, tmp_path, characters):
    needs = r"a batch of 8 windows \(`batch_size`\) of 32 tokens \(`context`\) needs 257; use"
    with pytest.raises(ValueError, match=rf"too short.* {characters} characters .*{needs}"):
        train(text[:characters], tmp_path / "model", recipe=recipe)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["\n" * 400, "ab" * 200])
def test_of_a_text_that_repeats_itself_more_is_not_asked_for(text, recipe, tmp_path):
    """Ten times as much would be one token still."""
    with pytest.raises(ValueError, match=r"too short.* a text that repeats itself less") as error:
        train(text, tmp_path / "model", recipe=recipe)
    assert "at least about" not in str(error.value)


@pytest.fixture
def interrupted(ended_by_control_c, tmp_path):
    """A run of the same recipe, ended by Ctrl-C while it wrote the sample of its first epoch."""
    assert len(read_log(ended_by_control_c)) == 1
    shutil.copytree(ended_by_control_c, tmp_path / "model.training")
    return tmp_path / "model"


def test_a_resumed_run_ends_as_the_uninterrupted_one(interrupted, trained, text, recipe):
    train(text, interrupted, recipe=recipe, resume=True)
    assert [path.name for path in interrupted.parent.iterdir()] == ["model"]
    for row, other in zip(read_log(interrupted), read_log(trained[0]), strict=True):
        del row["seconds"], other["seconds"]
        assert row == pytest.approx(other, rel=1e-5)
    for weight, other in zip(weights(interrupted), weights(trained[0]), strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-3)


def test_an_interrupted_run_is_neither_overwritten_nor_mixed_with_another(
    interrupted, text, recipe
):
    with pytest.raises(
        ValueError, match=r"an interrupted run is in .*continue it with `resume=True`"
    ):
        train(text, interrupted, recipe=recipe)
    other = replace(recipe, learning_rate=0.01)
    with pytest.raises(ValueError, match=r"another run \(`learning_rate`: 0.002, now 0.01\)"):
        train(text, interrupted, recipe=other, resume=True)
    with pytest.raises(ValueError, match=r"another run \(another text\)"):
        train(text + text, interrupted, recipe=recipe, resume=True)


def test_a_damaged_checkpoint_is_one_clear_error(interrupted, text, recipe):
    checkpoint = interrupted.with_name("model.training") / "checkpoint.npz"
    whole = checkpoint.read_bytes()
    with np.load(checkpoint) as file:
        arrays = dict(file)
    checkpoint.write_bytes(whole[:5000])
    with pytest.raises(ValueError, match=r"checkpoint\.npz is not a readable checkpoint"):
        train(text, interrupted, recipe=recipe, resume=True)
    np.savez(checkpoint, state=np.array("[" * 100_000 + "]" * 100_000))
    with pytest.raises(ValueError, match=r"is not a readable checkpoint \(maximum recursion"):
        load_checkpoint(checkpoint)
    arrays["variables.0"] = np.zeros((3, 3))
    np.savez(checkpoint, **arrays)
    with pytest.raises(ValueError, match=r"checkpoint\.npz is not the state of such a run"):
        train(text, interrupted, recipe=recipe, resume=True)


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(
    text, recipe, tmp_path, monkeypatch
):
    def fail(*arguments):
        raise OSError("disk full")

    monkeypatch.setattr(fit, "save_checkpoint", fail)
    monkeypatch.setattr(fit.Run, "fit", lambda run: run._end_epoch(1.0, 1.0))  # and does no steps
    with pytest.raises(OSError, match="disk full"):
        train(text, tmp_path / "model", recipe=recipe)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["training.result.write_card", "generate"])
def test_what_the_end_does_is_tried_at_the_start(text, recipe, tmp_path, monkeypatch, part):
    def fail(*arguments, **options):
        raise OSError("cannot")

    monkeypatch.setattr(f"logit_sampling.{part}", fail)
    monkeypatch.setattr(fit.Run, "fit", lambda run: pytest.fail("the training began"))
    with pytest.raises(OSError, match="cannot"):
        train(text, tmp_path / "model", recipe=recipe)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_found_at_the_start(text, recipe, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10**6))
    # 25,120 parameters of 4 bytes: twice five times in checkpoints, and once in the model.
    message = r"model.training has room for 1.0 MB, and the run needs 1.1$"
    with pytest.raises(ValueError, match=message):
        train(text, tmp_path / "model", recipe=recipe)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"corpus": None}, "`corpus` must be a string, got None"),
        ({"command": ["logit-sampling"]}, "`command` must be a string, got "),
        ({"text": b"To be"}, "`text` must be a string, got b'To be'"),
        ({"text": "märchen.txt"}, "'märchen.txt' looks like a path: read the file first, with "),
    ],
)
def test_what_is_no_text_is_refused_at_the_start(text, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        train(**{"text": text, "out": tmp_path / "model"} | arguments)
    assert list(tmp_path.iterdir()) == []
