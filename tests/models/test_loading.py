import re
import shutil
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.models import loading


@pytest.fixture
def copy(tiny_preset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_preset, tmp_path / "copy"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_folder_gives_the_model_that_was_saved(tiny_preset: Path, tiny_gpt2: Any) -> None:
    model = ls.load_model(tiny_preset)
    assert (model.name, model.context_length, model.vocab_size) == (str(tiny_preset), 48, 261)
    assert model.end_ids == (260,)
    assert model.encode("the") == [260, *tiny_gpt2.preprocessor.tokenizer.tokenize("the")]
    options: dict[str, Any] = {"max_new_tokens": 20, "seed": 2}
    loaded = ls.generate(model, ["the", "a cat"], **options)
    assert loaded.texts == ls.generate(tiny_gpt2, ["the", "a cat"], **options).texts


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_model_in_half_precision(tiny_preset: Path, dtype: str) -> None:
    whole, half = ls.load_model(tiny_preset), ls.load_model(tiny_preset, dtype=dtype)
    assert {v.dtype for v in half.causal_lm.backbone.trainable_variables} == {dtype}
    (output, cache), (expected, _) = (m.prefill([[1, 2, 3]]) for m in (half, whole))
    assert output.logits.dtype == np.float32
    assert 0 < np.abs(output.logits - expected.logits).max() < 0.2 < np.ptp(expected.logits)
    assert dtype in str(cache.keys[0].dtype)
    assert len(ls.generate(half, "the", max_new_tokens=5, seed=0).token_ids[0]) == 5


def test_other_dtypes_are_refused(tiny_preset: Path) -> None:
    with pytest.raises(ValueError, match=r"dtype must be float32, .* or None, got 'int8'"):
        ls.load_model(tiny_preset, dtype="int8")


def test_shipped_model_is_found_in_a_wheel_and_in_a_checkout(
    tiny_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    package = tmp_path / "logit_sampling"
    monkeypatch.setattr(loading, "_PACKAGE", package)
    with pytest.raises(ValueError, match=r"give a shipped model \(none\)"):
        ls.load_model("tiny")
    shutil.copytree(tiny_preset, tmp_path / "models" / "tiny")
    with pytest.raises(ValueError, match="unknown model 'tiny'"):  # not a checkout of ours
        ls.load_model("tiny")
    (tmp_path / "pyproject.toml").touch()
    assert ls.load_model("tiny").name == "tiny"
    shutil.move(tmp_path / "models", package / "models")
    assert ls.load_model("tiny").name == "tiny"


def test_unknown_name_lists_what_there_is_and_stays_offline(
    tiny_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    monkeypatch.setattr(loading, "_PACKAGE", tmp_path)
    shutil.copytree(tiny_preset, tmp_path / "models" / "bard")
    with pytest.raises(ValueError, match=r"unknown model 'brad': .* \(bard\), the folder .*gpt2_"):
        ls.load_model("brad")


def test_a_file_of_keras_is_told_where_to_go() -> None:
    with pytest.raises(ValueError, match=r"as_model\(keras.models.load_model\('gpt.keras'\), tok"):
        ls.load_model("gpt.keras")


def test_preset_that_cannot_be_fetched(offline: None) -> None:
    with pytest.raises(ValueError, match="cannot load the preset 'hf://nobody/nothing'"):
        ls.load_model("hf://nobody/nothing")


NEEDED = (
    "config.json",
    "tokenizer.json",
    "model.weights.h5",
    "assets/tokenizer/vocabulary.json",
    "assets/tokenizer/merges.txt",
)
OPTIONAL = ("task.json", "preprocessor.json", "metadata.json")


@pytest.mark.parametrize(
    ("name", "damage"),
    [(name, damage) for name in NEEDED for damage in ("missing", "empty", "cut", "noise")]
    + [(name, damage) for name in OPTIONAL for damage in ("empty", "cut", "noise")],
)
def test_damaged_file_is_named(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(
            {"empty": b"", "cut": content[: len(content) // 2], "noise": b"\xff\x00 noise"}[damage]
        )
    if damage == "cut" and path.suffix == ".txt":
        path.write_bytes(content[:-1] + b" cut short")
    with pytest.raises(ValueError, match=path.name) as raised:
        ls.load_model(copy)
    assert str(copy) in str(raised.value)


def test_weights_of_another_size_are_named(copy: Path) -> None:
    task = copy / "task.json"
    task.write_text(task.read_text().replace('"hidden_dim": 16', '"hidden_dim": 32'))
    with pytest.raises(ValueError, match=r"task.json, model.weights.h5\) does not load: "):
        ls.load_model(copy)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no config.json: it needs the files that KerasHub's"):
        ls.load_model(tmp_path)


def change(folder: Path, *names: str, **sizes: Any) -> None:
    """Write other numbers into the descriptions of a model."""
    for name in names:
        text = (folder / name).read_text()
        for size, value in sizes.items():
            text, found = re.subn(rf'"{size}": \d+', f'"{size}": {value}', text)
            assert found
        (folder / name).write_text(text)


def test_what_lies_beside_the_files_of_a_model_does_not_matter(copy: Path, tiny_gpt2: Any) -> None:
    for name in (".lock", "README.md", "notes.json", "half.h5", "model.safetensors", "vocab.json"):
        (copy / name).touch()
    (copy / "LICENCE.txt").write_bytes("© Universität".encode("latin-1"))
    (copy / ".cache").mkdir()
    (copy / ".cache" / "refs.json").write_text("{")
    (copy / "assets" / "tokenizer" / ".DS_Store").touch()
    options: dict[str, Any] = {"max_new_tokens": 8, "seed": 2}
    texts = ls.generate(ls.load_model(copy), ["the"], **options).texts
    assert texts == ls.generate(tiny_gpt2, ["the"], **options).texts


BOTH = ("config.json", "task.json")


@pytest.mark.parametrize(
    ("names", "sizes"),
    [
        (BOTH, {"num_layers": 1}),
        (BOTH, {"num_layers": 3}),
        (BOTH, {"num_heads": 4}),
        (BOTH, {"hidden_dim": 32}),
        (BOTH, {"vocabulary_size": 200}),
        (BOTH, {"max_sequence_length": 16}),
        (BOTH[:1], {"num_layers": 1}),
        (BOTH[1:], {"num_layers": 1}),
    ],
)
def test_a_configuration_of_another_model_is_refused(
    copy: Path, names: tuple[str, ...], sizes: dict[str, int]
) -> None:
    change(copy, *names, **sizes)
    with pytest.raises(ValueError, match=r"config.json, task.json, model.weights.h5\) does not"):
        ls.load_model(copy)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_layers": 1_000_000}, "num_layers 1000000, and model.weights.h5 holds 36 arrays"),
        ({"hidden_dim": 10**9}, r"describes 8,\d{3},\d{3},\d{3},\d{3},\d{3},\d{3} parameters"),
        ({"vocabulary_size": 10**12}, "parameters, and model.weights.h5 holds 9,424"),
        ({"intermediate_dim": 10**9}, "parameters, and model.weights.h5 holds 9,424"),
    ],
)
def test_a_model_that_no_machine_could_hold_is_refused_before_it_is_made(
    copy: Path, sizes: dict[str, int], message: str
) -> None:
    change(copy, *BOTH, **sizes)
    with pytest.raises(ValueError, match=message):
        ls.load_model(copy)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "task.json",
        "metadata.json",
        "assets/tokenizer/vocabulary.json",
    ],
)
def test_json_nested_too_deeply_is_damaged(copy: Path, name: str) -> None:
    (copy / name).write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(ValueError, match=rf"{name} is damaged: maximum recursion") as raised:
        ls.load_model(copy)
    assert "\n" not in str(raised.value)


def test_a_model_in_parts(tiny_gpt2: Any, tmp_path: Path) -> None:
    tiny_gpt2.save_to_preset(str(tmp_path), max_shard_size=2e-5)  # GB
    parts = sorted(tmp_path.glob("model_*.weights.h5"))
    assert len(parts) > 1
    options: dict[str, Any] = {"max_new_tokens": 8, "seed": 2}
    texts = ls.generate(ls.load_model(tmp_path), ["the"], **options).texts
    assert texts == ls.generate(tiny_gpt2, ["the"], **options).texts

    change(tmp_path, *BOTH, num_layers=1)
    with pytest.raises(ValueError, match=r"parameters, and model.weights.json holds 9,424"):
        ls.load_model(tmp_path)
    parts[1].write_bytes(parts[1].read_bytes()[:1000])
    with pytest.raises(ValueError, match=rf"{parts[1].name} is damaged"):
        ls.load_model(tmp_path)
    parts[1].unlink()
    with pytest.raises(ValueError, match=rf"{parts[1].name} is missing"):
        ls.load_model(tmp_path)
    (tmp_path / "model.weights.json").write_text('{"weight_map": [1]}')
    with pytest.raises(ValueError, match=r'model.weights.json is damaged: it has no "weight_map"'):
        ls.load_model(tmp_path)


@pytest.mark.parametrize("way", ["int8", "float8", "lora", "fitted"])
def test_quantised_adapted_and_fitted_models_fit_their_configuration(
    copy: Path, tmp_path: Path, way: str
) -> None:
    import h5py
    import keras_hub

    causal_lm = keras_hub.models.CausalLM.from_preset(str(copy))
    if way == "lora":
        causal_lm.backbone.enable_lora(2)
    elif way != "fitted":
        causal_lm.backbone.quantize(way)
    causal_lm.save_to_preset(str(tmp_path / "saved"))
    if way == "fitted":  # after `backbone.fit` the state of the optimizer is saved too
        with h5py.File(tmp_path / "saved" / "model.weights.h5", "a") as file:
            file["optimizer/vars/0"] = np.ones((16, 16))
    loaded = ls.load_model(tmp_path / "saved").causal_lm
    x = {"token_ids": np.array([[1, 2, 3]]), "padding_mask": np.ones((1, 3), np.int32)}
    logits = [to_numpy(model(x)) for model in (loaded, causal_lm)]
    np.testing.assert_allclose(*logits, atol=1e-5)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The folder of a Llama of Hugging Face: two layers, and more arrays than KerasHub reads."""
    import json

    from safetensors.numpy import save_file
    from tokenizers.pre_tokenizers import ByteLevel

    rng = np.random.default_rng(0)
    shapes = {"model.embed_tokens": (260, 16), "model.norm": (16,), "lm_head": (260, 16)}
    for layer in ("model.layers.0", "model.layers.1"):
        shapes |= {f"{layer}.{norm}_layernorm": (16,) for norm in ("input", "post_attention")}
        shapes |= {f"{layer}.self_attn.{p}_proj": (16, 16) for p in "qo"}
        shapes |= {f"{layer}.self_attn.{p}_proj": (8, 16) for p in "kv"}
        shapes |= {f"{layer}.mlp.{part}_proj": (32, 16) for part in ("gate", "up")}
        shapes |= {f"{layer}.mlp.down_proj": (16, 32)}
    weights = {f"{name}.weight": rng.normal(size=shape) for name, shape in shapes.items()}
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].copy()
    weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(2)
    names = sorted(weights)
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    where = {}
    for part, own in (("a.safetensors", names[:9]), ("b.safetensors", names[9:])):
        save_file({n: weights[n].astype(np.float32) for n in own}, folder / part)
        where |= dict.fromkeys(own, part)
    tokens = [*sorted(ByteLevel.alphabet()), "th", "the", "<s>", "</s>"]
    descriptions: dict[str, Any] = {
        "config.json": {
            "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 260,
            "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
            "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-5,
            "rope_theta": 10**9, "tie_word_embeddings": True, "max_position_embeddings": 64,
            "max_window_layers": 28, "bos_token_id": 258, "eos_token_id": 259,
        },
        "tokenizer.json": {
            "model": {
                "vocab": {token: i for i, token in enumerate(tokens)},
                "merges": ["t h", "th e"],
            },
            "added_tokens": [{"content": tokens[i], "id": i} for i in (258, 259)],
        },
        "tokenizer_config.json": {"bos_token": "<s>", "eos_token": "</s>"},
        "model.safetensors.index.json": {"weight_map": where},
    }  # fmt: skip
    for name, description in descriptions.items():
        (folder / name).write_text(json.dumps(description))
    (folder / "LICENSE.txt").write_bytes(b"\xa9")
    (folder / "model.safetensors").touch()  # the index goes before it
    return folder


def test_a_checkpoint_of_hugging_face(checkpoint: Path) -> None:
    model = ls.load_model(checkpoint)
    assert (model.context_length, model.vocab_size, model.end_ids) == (64, 260, (259,))
    assert len(ls.generate(model, "the", max_new_tokens=5, seed=1).token_ids[0]) == 5


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"num_hidden_layers": 1}, "has 1 layers, and .*index.json holds 2 of model.layers"),
        ({"num_hidden_layers": 1_000_000}, "num_hidden_layers 1000000, and .* holds 22 arrays"),
        ({"hidden_size": 10**9}, "describes .* parameters, and .*index.json holds "),
        ({"vocab_size": 10**12}, "describes .* parameters, and .*index.json holds "),
        ({"intermediate_size": 16}, "does not load: "),
    ],
)
def test_a_checkpoint_with_the_configuration_of_another_model(
    checkpoint: Path, sizes: dict[str, int], message: str
) -> None:
    change(checkpoint, "config.json", **sizes)
    with pytest.raises(ValueError, match=message):
        ls.load_model(checkpoint)


@pytest.mark.parametrize(
    "name",
    ["config.json", "tokenizer.json", "tokenizer_config.json", "b.safetensors"],
)
@pytest.mark.parametrize("damage", ["empty", "cut"])
def test_a_damaged_file_of_a_checkpoint_is_named(checkpoint: Path, name: str, damage: str) -> None:
    path = checkpoint / name
    path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else 40])
    with pytest.raises(ValueError, match=f"{path} is damaged"):
        ls.load_model(checkpoint)


def test_a_description_of_no_model(copy: Path) -> None:
    (copy / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"config.json describes no model: it has neither the"):
        ls.load_model(copy)
