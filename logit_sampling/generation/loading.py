"""Finding a model by name, and saying what is wrong with it."""

import json
import warnings
from pathlib import Path
from typing import Any

from logit_sampling.generation.language_model import LanguageModel

_PACKAGE = Path(__file__).parents[1]
_SCHEMES = ("kaggle://", "hf://", "modelscope://", "gs://")
_WEIGHTS = (
    "model.weights.h5",
    "model.weights.json",
    "model.safetensors",
    "model.safetensors.index.json",
)


def load_model(name: str | Path) -> LanguageModel:
    """Load a language model.

    Args:
        name: a shipped model (``"shakespeare"``), a folder that holds a KerasHub preset or a
            Hugging Face checkpoint that KerasHub can convert, or a KerasHub preset such as
            ``"gpt2_base_en"`` or ``"hf://user/model"``, which KerasHub downloads. A shipped name
            goes before a folder: write ``"./shakespeare"`` for a folder.

    Returns:
        a :class:`LanguageModel`; its `causal_lm` is the KerasHub model.

    Raises:
        ValueError: there is no such model, or a file of it is missing or damaged.
    """
    shipped = _shipped()
    if str(name) in shipped:
        return _load_folder(shipped[str(name)], str(name))
    if Path(name).is_dir():
        return _load_folder(Path(name), str(name))
    from keras_hub.models import CausalLM

    if not (str(name).startswith(_SCHEMES) or str(name) in CausalLM.presets):
        raise ValueError(
            f"unknown model {str(name)!r}: give a shipped model ({', '.join(shipped) or 'none'}), "
            "the folder of a KerasHub preset, or the name of a KerasHub preset such as "
            "gpt2_base_en, kaggle://... or hf://..."
        )
    try:
        return LanguageModel(CausalLM.from_preset(str(name)), str(name))
    except Exception as error:  # whatever the hub's client raises
        raise ValueError(f"cannot load the preset {str(name)!r}: {_brief(error)}") from error


def _shipped() -> dict[str, Path]:
    """The models of this installation, or of the checkout that the package lies in."""
    places = [_PACKAGE / "models"]
    if (_PACKAGE.parent / "pyproject.toml").is_file():
        places.append(_PACKAGE.parent / "models")
    configs = [config for place in places for config in sorted(place.glob("*/config.json"))]
    return {config.parent.name: config.parent for config in configs}


def _load_folder(folder: Path, name: str) -> LanguageModel:
    config = _check_files(folder)
    from keras_hub.models import CausalLM, CausalLMPreprocessor

    # The tokenizer is read first, on its own, so that an error can say which files to look at.
    try:
        preprocessor = CausalLMPreprocessor.from_preset(str(folder))
    except Exception as error:
        files = ["tokenizer.json", *sorted(p.name for p in folder.glob("assets/tokenizer/*"))]
        raise ValueError(
            f"the tokenizer of {folder} ({', '.join(files)}) does not load: {_brief(error)}"
        ) from error
    try:
        with warnings.catch_warnings():
            # Keras only warns about weights that it leaves at their random values.
            warnings.filterwarnings("error", module=r"keras\.src\.saving")
            causal_lm = CausalLM.from_preset(str(folder), preprocessor=preprocessor)
    except Exception as error:
        raise ValueError(
            f"the model of {folder} (config.json, task.json, {_weights(folder).name}) does not "
            f"load: {_brief(error)}"
        ) from error
    return LanguageModel(causal_lm, name, config.get("max_position_embeddings"))


def _check_files(folder: Path) -> dict[str, Any]:
    """Return the content of config.json; raise ValueError that names a bad file."""
    for needed in ("config.json", "tokenizer.json"):
        if not (folder / needed).is_file():
            raise ValueError(
                f"model folder {folder} has no {needed}: it needs the files that KerasHub's "
                "save_to_preset writes"
            )
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            if path.stat().st_size == 0:
                raise ValueError("it is empty")
            if path.suffix in (".json", ".txt"):
                text = path.read_text(encoding="utf-8")
                if path.suffix == ".json":
                    json.loads(text)
            elif path.suffix == ".h5":
                import h5py

                h5py.File(path).close()
        except (ValueError, OSError) as error:
            raise ValueError(f"{path} is damaged: {error}") from None
    _weights(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise ValueError(f"{folder / 'config.json'} is damaged: it holds no JSON object")
    return config


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _weights(folder: Path) -> Path:
    for weights in _WEIGHTS:
        if (folder / weights).is_file():
            return folder / weights
    raise ValueError(f"model folder {folder} has no weights: {_WEIGHTS[0]} is missing")
