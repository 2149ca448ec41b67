"""Finding a model by name, and saying what is wrong with it."""

import os
from pathlib import Path

from logit_sampling.models.files import ModelFiles
from logit_sampling.models.keras_hub import LanguageModel, checked_jit_compile
from logit_sampling.models.keras_hub_bridge import strict_loading
from logit_sampling.models.quiet import import_tensorflow

_PACKAGE = Path(__file__).parents[1]
_SCHEMES = ("kaggle://", "hf://", "modelscope://", "gs://")


_DTYPES = ("float32", "float16", "bfloat16")


def load_model(
    name: str | Path, *, dtype: str | None = None, jit_compile: bool | None = None
) -> LanguageModel:
    """Load a language model.

    TensorFlow's messages about the machine are not shown, unless it is imported already or the
    environment variable TF_CPP_MIN_LOG_LEVEL says so.

    Args:
        name: a shipped model (`"shakespeare"`), a folder that holds a KerasHub preset or a
            Hugging Face checkpoint that KerasHub can convert, or a KerasHub preset such as
            `"gpt2_base_en"` or `"hf://user/model"`, which KerasHub downloads. A shipped name
            goes before a folder: write `"./shakespeare"` for a folder.
        dtype: of the weights and of what is computed with them: `"float32"`, `"float16"` or
            `"bfloat16"`; None for what the preset says. Half as wide halves the memory; whether it
            is faster depends on the processor (see `docs/backends.md`). Logits are float32.
        jit_compile: whether `generate` writes tokens with programs (XLA) that hold model, sampler
            and draw: True from the first call on, False never, None once a sampler has written
            1,000 tokens to a text (or to several at once). A program takes seconds to compile, for
            each size and chain. On torch there are none.

    Returns:
        a `LanguageModel`; its `causal_lm` is the KerasHub model.

    Raises:
        ValueError: `name` is no name, there is no such model or dtype, `jit_compile` is none of
            these, a file that the model needs is missing or damaged, or the weights are not those
            of its configuration.
    """
    if not isinstance(name, str | os.PathLike):
        raise ValueError(
            f"load_model takes a name or a folder, got {name!r}: a model that is there goes to "
            "generate as it is, or through as_model, which takes what it does not tell"
        )
    if dtype not in (None, *_DTYPES):
        raise ValueError(f"dtype must be {', '.join(_DTYPES)} or None, got {dtype!r}")
    jit_compile = checked_jit_compile(jit_compile)
    model = _loaded(name, dtype)
    model.jit_compile = jit_compile
    return model


def _loaded(name: str | Path, dtype: str | None) -> LanguageModel:
    shipped = _shipped()
    if str(name) in shipped:
        return _load_folder(shipped[str(name)], str(name), dtype)
    if Path(name).is_dir():
        return _load_folder(Path(name), str(name), dtype)
    import_tensorflow()
    from keras_hub.models import CausalLM

    if Path(name).suffix in (".keras", ".h5"):
        raise ValueError(
            f"{str(name)!r} is a file of Keras, whose model as_model takes: pass "
            f"as_model(keras.models.load_model({str(name)!r}), tokenizer=...)"
        )
    if not (str(name).startswith(_SCHEMES) or str(name) in CausalLM.presets):
        raise ValueError(
            f"unknown model {str(name)!r}: give a shipped model ({', '.join(shipped) or 'none'}), "
            "the folder of a KerasHub preset, or the name of a KerasHub preset such as "
            "gpt2_base_en, kaggle://... or hf://..."
        )
    try:
        return LanguageModel(CausalLM.from_preset(str(name), **_given(dtype)), str(name))
    except Exception as error:  # whatever the hub's client raises
        raise ValueError(f"cannot load the preset {str(name)!r}: {_brief(error)}") from error


def _shipped() -> dict[str, Path]:
    """The models of this installation, or of the checkout that the package lies in."""
    places = [_PACKAGE / "models"]
    if (_PACKAGE.parent / "pyproject.toml").is_file():
        places.append(_PACKAGE.parent / "models")
    configs = [config for place in places for config in sorted(place.glob("*/config.json"))]
    return {config.parent.name: config.parent for config in configs}


def _given(dtype: str | None) -> dict[str, str]:
    """Return what to tell KerasHub of a dtype: nothing is another answer than None."""
    return {} if dtype is None else {"dtype": dtype}


def _load_folder(folder: Path, name: str, dtype: str | None) -> LanguageModel:
    files = ModelFiles(folder)
    import_tensorflow()
    from keras_hub.models import CausalLM, CausalLMPreprocessor

    # The tokenizer is read first, on its own, so that an error can say which files to look at.
    try:
        preprocessor = CausalLMPreprocessor.from_preset(str(folder))
    except Exception as error:
        named = ", ".join(path.name for path in files.tokenizer)
        raise ValueError(
            f"the tokenizer of {folder} ({named}) does not load: {_brief(error)}"
        ) from error
    try:
        files.check_fit()
        with strict_loading():
            causal_lm = CausalLM.from_preset(
                str(folder), preprocessor=preprocessor, **_given(dtype)
            )
    except Exception as error:
        raise ValueError(
            f"the model of {folder} ({files.descriptions}) does not load: {_brief(error)}"
        ) from error
    return LanguageModel(causal_lm, name, files.config.get("max_position_embeddings"))


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
