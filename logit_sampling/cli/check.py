"""The command `logit-sampling check`."""

import contextlib
import json
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from logit_sampling.models.quiet import import_tensorflow


def check(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A shipped model, a folder of KerasHub or TensorFlow (SavedModel), a preset of "
            "KerasHub, or a file of Keras (.keras, .h5).",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Tell whether a model puts out logits or probabilities, and whether its loss expects them.

    The exit status is 1 if they do not agree.
    """
    with contextlib.redirect_stdout(sys.stderr):  # what a library prints is no result
        report = _report(model)
    print(json.dumps(report.to_dict()) if as_json else report)
    if report.ok is False:
        raise typer.Exit(1)


def _report(name: str) -> Any:
    path = Path(name)
    is_file = path.suffix in (".keras", ".h5")
    if is_file and not path.is_file():
        raise ValueError(f"there is no file {name}")
    import_tensorflow()
    from logit_sampling.diagnostics import check_logits

    if is_file:
        return _of_file(name)
    if (path / "saved_model.pb").is_file():
        from logit_sampling.diagnostics.saved_model import check_saved_model

        return check_saved_model(name)
    return check_logits(_preset(path) or _language_model(name))


def _language_model(name: str) -> Any:
    from logit_sampling.models.loading import load_model

    return load_model(name)


def _preset(folder: Path) -> Any:
    """The model of a folder that KerasHub saved, if it is no language model; else None."""
    file = folder / "task.json"
    if not file.is_file():
        return None
    kind = str(json.loads(file.read_text()).get("registered_name", "")).rpartition(">")[2]
    if not kind or kind.endswith("CausalLM"):
        return None
    import keras_hub

    found = getattr(keras_hub.models, kind, None)
    if found is None:
        raise ValueError(f"{folder} holds a {kind}, which this version of KerasHub does not know")
    return found.from_preset(str(folder))


def _of_file(name: str) -> Any:
    """The report on a file of Keras; without its metrics, or its loss, if they cannot be read."""
    import keras

    # Keras knows our metrics from when they are imported.
    from logit_sampling.diagnostics import check_logits, metrics  # noqa: F401
    from logit_sampling.training.metrics import Perplexity  # noqa: F401

    try:
        return check_logits(keras.models.load_model(name))
    except Exception as error:  # whatever Keras raises for what it cannot make anew
        reason = error
    try:
        model = keras.models.load_model(name, compile=False)
    except Exception as error:
        raise ValueError(_unreadable(name, error)) from error
    loss, left_out = {}, "the loss and the metrics"
    with contextlib.suppress(Exception):  # one of the user's own, or an older kind of file
        loss, left_out = {"loss": _loss(name)}, "the metrics"
    report = check_logits(model, **loss)
    why = f"Keras cannot make them anew ({type(reason).__name__})"
    if found := _LACKING.search(str(reason)):
        why = f"it takes the {found[1]} {found[2]!r}, code of yours which the file does not hold"
    note = (
        f"{left_out} that the model was compiled with were not looked at, since {why}: in Python, "
        "load the model and call check_logits on it"
    )
    return replace(report, notes=(*report.notes, note))


def _loss(name: str) -> Any:
    """The loss in a file of Keras, made apart from all else that `compile` was given."""
    import keras

    with zipfile.ZipFile(name) as file:
        config = json.loads(file.read("config.json"))["compile_config"]
    return keras.saving.deserialize_keras_object(config["loss"])


_LACKING = re.compile(r"Could not locate (class|function) '([^']+)'")


def _unreadable(name: str, error: Exception) -> str:
    """What a file lacks."""
    text = " ".join(str(error).split())
    here = "in Python, where the code is, call check_logits(model)"
    if "No model config" in text:
        return f"{name} holds weights and no model: write it with model.save(), or {here}"
    if found := _LACKING.search(text):
        return f"{name} needs the {found[1]} {found[2]!r}, which is code of yours: {here}"
    if "safe_mode" in text:
        return (
            f"{name} holds code of Python, which is not run unasked (Keras' safe mode refuses it): "
            f"if you trust the file, load it with safe_mode=False and {here}"
        )
    return f"cannot load {name}: {error}"
