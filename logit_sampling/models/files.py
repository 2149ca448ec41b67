"""The files of a model's folder: those that the model needs, and whether they fit together."""

import copy
import json
import math
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from logit_sampling.models.quiet import import_tensorflow

# What KerasHub reads of a preset, and of a Hugging Face checkpoint, if it is there.
_DESCRIPTIONS = (
    "task.json",
    "preprocessor.json",
    "metadata.json",
    "image_converter.json",
    "audio_converter.json",
    "video_converter.json",
)
_TOKENIZER = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
)
_PRESET_WEIGHTS = ("model.weights.h5", "model.weights.json")
_CHECKPOINT_WEIGHTS = ("model.safetensors.index.json", "model.safetensors")
_LAYERS = re.compile(r"(num|n)_(\w+_)?layers?")  # num_layers, num_hidden_layers, n_layer
_STACKED = re.compile(r"(.*?)\.(\d+)\.")  # model.layers.3.mlp.up_proj.weight


class ModelFiles:
    """The folder of a KerasHub preset, or of a Hugging Face checkpoint that KerasHub can convert.

    What else lies there, such as a lock or a licence, is none of the model's and not looked at.

    Attributes:
        folder: where they are.
        config: the content of `config.json`.
        tokenizer: the files that the tokenizer is made from.
        weights: the file of the weights, or the one that names the files of their parts.

    Raises:
        ValueError: a file that the model needs is missing, empty or damaged; it is named.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = self._object("config.json")
        self._preset = "registered_name" in self.config
        if not self._preset and "model_type" not in self.config:
            raise ValueError(
                f"{folder / 'config.json'} describes no model: it has neither the "
                '"registered_name" of a KerasHub preset nor the "model_type" of Hugging Face'
            )
        if self._preset:
            self.tokenizer = [folder / "tokenizer.json", *self._assets()]
            for name in _DESCRIPTIONS:
                if (folder / name).is_file():
                    self._object(name)
        else:
            self.tokenizer = [folder / name for name in _TOKENIZER if (folder / name).is_file()]
        for path in self.tokenizer:
            content(path)
        names = _PRESET_WEIGHTS if self._preset else _CHECKPOINT_WEIGHTS
        found = [folder / name for name in names if (folder / name).is_file()]
        if not found:
            raise ValueError(
                f"model folder {folder} has no weights: {' or '.join(names)} is missing"
            )
        self.weights = found[0]
        self._parts = self._parts_of(self.weights)
        self._shapes = {name: s for part in self._parts for name, s in _shapes(part).items()}

    @property
    def descriptions(self) -> str:
        """The names of the files that say what the model is."""
        names = ("config.json", "task.json", self.weights.name)
        return ", ".join(name for name in names if (self.folder / name).is_file())

    def check_fit(self) -> None:
        """Raise ValueError if the configuration is that of another model than the weights.

        KerasHub makes what the configuration asks for and takes from the weights what that needs:
        it would not notice layers too few, and layers too many or too wide end the process.
        """
        for name, layers in _numbers(self.config, _LAYERS):
            if layers > len(self._shapes):
                raise ValueError(
                    f"config.json has {name} {layers}, and {self.weights.name} holds "
                    f"{len(self._shapes)} arrays"
                )
        stored = sum(map(math.prod, self._shapes.values()))
        least = most = stored
        if self._preset:
            self._check_task()
        else:  # it may hold more, such as buffers, and hold it packed
            self._check_stacks()
            least, most = 0, 8 * sum(part.stat().st_size for part in self._parts)
        planned = self._planned()
        if not least <= planned <= most:
            raise ValueError(
                f"config.json describes {planned:,} parameters, and {self.weights.name} holds "
                f"{stored:,}"
            )

    def _planned(self) -> int:
        """How many parameters the configuration asks for."""
        import keras
        from keras_hub.models import Backbone

        def build() -> Any:
            with keras.StatelessScope(initialize_variables=False):  # shapes, and no values
                if self._preset:
                    return keras.saving.deserialize_keras_object(copy.deepcopy(self.config))
                return Backbone.from_preset(str(self.folder), load_weights=False)

        # Keras notes, thread by thread, which variables have no value yet, and gives them one when
        # it next makes a model: those of this thread are forgotten with it.
        with ThreadPoolExecutor(1) as thread:
            return int(thread.submit(build).result().count_params())

    def _check_task(self) -> None:
        """`task.json` repeats the configuration, and KerasHub makes the model from either."""
        if not (self.folder / "task.json").is_file():
            return
        own, task = self.config["config"], self._object("task.json")["config"]
        repeated = task.get("backbone", {}).get("config", {})
        for name in sorted(own.keys() & repeated.keys()):
            if isinstance(own[name], int) and own[name] != repeated[name]:
                raise ValueError(
                    f"config.json has {name} {own[name]}, and task.json {repeated[name]}"
                )

    def _check_stacks(self) -> None:
        """A checkpoint has a stack of exactly as many layers as its configuration says."""
        config = self.config | (self.config.get("text_config") or {})
        layers = config.get("num_hidden_layers", config.get("n_layer"))
        numbered = filter(None, map(_STACKED.match, self._shapes))
        stacks: dict[str, int] = {}
        for name, index in (match.groups() for match in numbered):
            stacks[name] = max(stacks.get(name, 0), int(index) + 1)
        drafting = config.get("num_nextn_predict_layers") or 0  # counted on, beyond the others
        if layers is not None and not {layers, layers + drafting} & {*stacks.values()}:
            held = ", ".join(f"{count} of {name}" for name, count in stacks.items())
            raise ValueError(
                f"config.json has {layers} layers, and {self.weights.name} holds {held or 'none'}"
            )

    def _assets(self) -> list[Path]:
        """The files that the class of the tokenizer asks for."""
        description = self._object("tokenizer.json")
        import_tensorflow()
        import keras
        import keras_hub  # noqa: F401  its classes are registered with Keras

        try:
            tokenizer = keras.saving.deserialize_keras_object(description)
            return [self.folder / "assets" / "tokenizer" / n for n in tokenizer.file_assets or ()]
        except ValueError:
            raise
        except Exception as error:  # whatever Keras makes of another description
            raise ValueError(f"{self.folder / 'tokenizer.json'} is damaged: {error!r}") from error

    def _object(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        if not path.is_file():
            raise ValueError(
                f"model folder {self.folder} has no {name}: it needs the files that KerasHub's "
                "save_to_preset writes"
            )
        value = content(path)
        if not isinstance(value, dict):
            raise ValueError(f"{path} is damaged: it holds no JSON object")
        return value

    def _parts_of(self, weights: Path) -> list[Path]:
        """The files that hold the arrays: the weights themselves, or those that they name."""
        if weights.suffix != ".json":
            return [weights]
        try:
            named = self._object(weights.name)["weight_map"].values()
            names = {name for part in named for name in ([part] if isinstance(part, str) else part)}
            return [self.folder / name for name in sorted(names)]
        except (AttributeError, KeyError, TypeError):
            raise ValueError(
                f'{weights} is damaged: it has no "weight_map" from arrays to files'
            ) from None


def content(path: Path) -> Any:
    """Return what a file holds: the value of JSON, else the text, or None if it is no text.

    Raises:
        ValueError: it is missing, empty or damaged; the message names it.
    """
    try:
        if path.stat().st_size == 0:
            raise ValueError("it is empty")
        if path.suffix not in (".json", ".txt"):
            return None
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else text
    except FileNotFoundError:
        raise ValueError(f"{path} is missing") from None
    except (ValueError, OSError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The arrays of a file of weights by name; those of an optimizer are none of the model's."""
    content(path)
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        if path.suffix == ".h5":
            import h5py

            def note(name: str, item: Any) -> None:
                if isinstance(item, h5py.Dataset) and not name.startswith("optimizer/"):
                    shapes[name] = item.shape

            with h5py.File(path) as file:
                file.visititems(note)
        else:
            from safetensors import safe_open

            with safe_open(path, framework="np") as file:
                names = file.keys()
                for name in names:
                    shapes[name] = tuple(file.get_slice(name).get_shape())
    except Exception as error:  # whatever the two raise for what is no file of theirs
        raise ValueError(f"{path} is damaged: {error}") from error
    return shapes


def _numbers(value: Any, name: re.Pattern[str]) -> Iterator[tuple[str, int]]:
    """The integers in a description whose name matches, with that name."""
    if isinstance(value, dict):
        for key, item in value.items():
            if isinstance(item, int) and name.fullmatch(key):
                yield key, item
            yield from _numbers(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _numbers(item, name)
