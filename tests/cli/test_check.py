import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import pytest

import logit_sampling as ls
from logit_sampling.cli import main


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[str, str, int]:
    """Run the command; return stdout, stderr and the exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["check", *arguments])
    out, err = capsys.readouterr()
    return out, err, int(stop.value.code or 0)


def saved(folder: Path, activation: str | None, metrics: list[Any] | None = None) -> str:
    layers = [keras.Input((8,)), keras.layers.Dense(5, activation=activation, name="head")]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=metrics)
    model.save(folder / "model.keras")
    return str(folder / "model.keras")


def test_a_preset_agrees_with_its_loss(capsys: pytest.CaptureFixture, tiny_preset: Path) -> None:
    out, err, status = run(capsys, str(tiny_preset))
    assert out.splitlines()[1:3] == ["output   logits (proven)", "expects  logits"]
    assert out.splitlines()[-1] == "verdict  they agree"
    assert (err, status) == ("", 0)


def test_a_file_that_does_not_agree(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    out, err, status = run(capsys, saved(tmp_path, "softmax"), "--json")
    report = json.loads(out)
    assert (report["output"], report["expects"], report["ok"]) == ("softmax", "logits", False)
    assert "from_logits=False" in report["remedy"]
    assert (err, status) == ("", 1)


def test_a_file_that_agrees(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    _, err, status = run(capsys, saved(tmp_path, None))
    assert (err, status) == ("", 0)


@pytest.mark.parametrize("name", ["nowhere.keras", "damaged.keras", "nothing"])
def test_what_is_no_model_is_refused_in_a_line(
    capsys: pytest.CaptureFixture, tmp_path: Path, name: str
) -> None:
    (tmp_path / "damaged.keras").write_bytes(b"PK")
    path = name if name == "nothing" else str(tmp_path / name)
    out, err, status = run(capsys, path)
    assert (out, status, err.count("\n")) == ("", 2, 1)
    assert name in err


def own_loss(y: Any, p: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(y, p, from_logits=True)


@keras.saving.register_keras_serializable("tests", name="Mine")
class OwnMetric(keras.metrics.Mean):
    pass


def test_a_metric_that_cannot_be_read_does_not_hide_the_loss(
    capsys: pytest.CaptureFixture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(tmp_path, "softmax", [OwnMetric()])
    monkeypatch.delitem(keras.saving.get_custom_objects(), "tests>Mine")  # as in another session
    out, _, status = run(capsys, path)
    assert status == 1 and "expects  logits" in out
    told = " ".join(out.split())
    assert "the metrics that the model was compiled with were not looked at" in told
    assert "the class 'OwnMetric', code of yours" in told


def test_our_metrics_are_known_in_a_new_session(tmp_path: Path) -> None:
    metrics = [ls.Perplexity(), ls.BitsPerCharacter([1, 2, 1, 1, 1])]
    told = [saved(tmp_path, None, metrics)]
    code = "from logit_sampling.cli import main; import sys; main(['check', sys.argv[1]])"
    found = subprocess.run([sys.executable, "-c", code, *told], capture_output=True, text=True)
    assert (found.returncode, found.stdout.splitlines()[-1]) == (0, "verdict  they agree")


def test_what_else_people_save(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", own_loss)
    model.save(tmp_path / "own.keras")
    out, err, status = run(capsys, str(tmp_path / "own.keras"))
    assert status == 0 and "The model gives probabilities (a softmax)." in out
    assert "the loss and the metrics that" in out
    assert "the function 'own_loss', code of yours" in " ".join(out.split())

    model.export(tmp_path / "served", verbose=False)
    out, err, status = run(capsys, str(tmp_path / "served"))
    assert status == 0 and "output   softmax (proven)" in out

    model.save_weights(tmp_path / "w.weights.h5")
    out, err, status = run(capsys, str(tmp_path / "w.weights.h5"))
    assert status == 2 and "holds weights and no model" in err

    lambdas = keras.Sequential([keras.Input((6,)), keras.layers.Lambda(lambda x: x * 2)])
    lambdas.save(tmp_path / "lambda.keras")
    out, err, status = run(capsys, str(tmp_path / "lambda.keras"))
    assert status == 2 and "Keras' safe mode refuses it" in " ".join(err.split())
