"""Arguments that `generate` refuses, and a Hugging Face folder, which needs safetensors."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.cli import main
from logit_sampling.generation.arguments import DEFAULTS, Options, unexpected
from logit_sampling.settings.elsewhere import IN_GENERATE


def counter(ids: np.ndarray) -> np.ndarray:
    return 9.0 * np.eye(5)[(ids[:, -1] + 1) % 5]


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([[0]], {"sampler": ls.TopK(5)}, r"Sampler\(TopK\(50\)\), got TopK\(k=5\)"),
        ([[0]], {"sampler": ls.BeamSearch(2)}, r"got BeamSearch\(.*: .* give it as search=$"),
        ([[0]], {"sampler": "topk"}, "sampler 'topk': 'topk' has no value; write settings"),
        (5, {}, "prompts must be a string or a list of prompts, got 5"),
        (None, {}, "got None"),
        ([[0]], {"stop_at_end": "\n"}, "stop_at_end must be True, False, or a list of token ids"),
        ([[0]], {"stop_at_end": [1.5]}, r"got \[1.5\]"),
        ([[0]], {"stop_at_end": [-1]}, r"got \[-1\]"),
    ],
)
def test_wrong_arguments(prompts: Any, options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        ls.generate(counter, prompts, **options)


def test_a_stop_id_outside_the_vocabulary(tiny_gpt2: Any):
    with pytest.raises(ValueError, match=r"in \[0, 261\); got \[9999\]"):
        ls.generate(tiny_gpt2, "a", max_new_tokens=5, stop_at_end=[9999])


def test_a_prompt_that_is_no_utf_8(tiny_gpt2: Any, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(ValueError, match=r"prompt 0 is not UTF-8 text: character 1 is '\\udcff'"):
        ls.generate(tiny_gpt2, "a\udcff")
    with pytest.raises(SystemExit) as stop:
        main(["generate", "a\udcff", "--max-new-tokens", "3"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_hugging_face_folder_loads(tmp_path: Path):
    """As a published checkpoint has it: safetensors, config.json and tokenizer.json."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {
        token: i for i, token in enumerate(["<|im_start|>", "<|im_end|>", *letters, "ab"])
    }
    tokenizer = Tokenizer(models.BPE(vocabulary, [("a", "b")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    special = {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(special | {"tokenizer_class": "GPT2Tokenizer"})
    )
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "vocab_size": len(vocabulary),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e4,
        "rope_scaling": None,
        "max_position_embeddings": 64,
        "tie_word_embeddings": True,
        "dtype": "float32",
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    layer = {
        "input_layernorm": (16,),
        "post_attention_layernorm": (16,),
        "self_attn.q_proj": (16, 16),
        "self_attn.k_proj": (8, 16),
        "self_attn.v_proj": (8, 16),
        "self_attn.o_proj": (16, 16),
        "mlp.gate_proj": (32, 16),
        "mlp.up_proj": (32, 16),
        "mlp.down_proj": (16, 32),
    }
    shapes = {f"layers.0.{name}": shape for name, shape in layer.items()}
    shapes |= {"embed_tokens": (len(vocabulary), 16), "norm": (16,)}
    rng = np.random.default_rng(0)
    weights = {f"model.{n}.weight": rng.normal(size=s).astype("f4") for n, s in shapes.items()}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    model = ls.load_model(tmp_path)
    assert model.context_length == 64
    embedding = model.causal_lm.backbone.token_embedding.embeddings.numpy()
    np.testing.assert_array_equal(embedding, weights["model.embed_tokens.weight"])
    assert len(ls.generate(model, "ab", max_new_tokens=5, seed=0).token_ids[0]) in range(1, 6)


def test_every_option_is_listed_with_its_type_and_default_and_explained():
    """Four signatures write the options out, for editors; none may differ from `DEFAULTS`."""
    assert list(Options.__annotations__) == list(DEFAULTS)
    for function, own, without in (
        (ls.generate, {"model", "prompts", "on_text"}, set()),
        (ls.stream, {"model", "prompts"}, set()),
        (ls.chat, {"model", "messages", "template", "variables", "on_text"}, set()),
        (ls.Engine.submit, {"self", "prompt"}, {"max_rows", "tokenizer"}),
    ):
        parameters = dict(inspect.signature(function).parameters)
        assert own == parameters.keys() - DEFAULTS.keys()
        shown = [
            (p.name, p.annotation, p.default) for p in parameters.values() if p.name not in own
        ]
        kinds = Options.__annotations__
        assert shown == [(n, kinds[n], d) for n, d in DEFAULTS.items() if n not in without]
        assert {parameters[name].kind for name, _, _ in shown} == {inspect.Parameter.KEYWORD_ONLY}
    for name in ("on_text", *DEFAULTS):
        assert re.search(rf"^ +{name}: ", ls.generate.__doc__ or "", re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        *(
            ({name: 5}, "did you mean `max_new_tokens`?")
            for name in ("max_tokens", "num_predict", "n_predict", "max_length", "max_token")
        ),
        ({"num_return_sequences": 2}, "did you mean `n`?"),
        ({"stop_sequences": ["a"]}, "did you mean `stop`?"),
        ({"stop_strings": "a"}, "did you mean `stop`?"),
        ({"random_seed": 1}, "did you mean `seed`?"),
        ({"logprobs": 1}, "did you mean `top_log_probs`?"),
        ({"top_logprobs": 1}, "did you mean `top_log_probs`?"),
        ({"eos_token_id": 3}, "did you mean `stop_token_ids`?"),
        ({"on_eror": "raise"}, "did you mean `on_error`?"),
        (
            {"num_beams": 4},
            "beams are no sampling; use generate(..., search=BeamSearch(num_beams))",
        ),
        ({"do_sample": False}, "pass sampler=Sampler.from_params(do_sample=False)"),
        (
            {"temperature": 0.5, "seed": 1, "top_k": 3},
            "setting of a sampler: pass sampler=Sampler.from_params(temperature=0.5, top_k=3)",
        ),
        ({"rep_pen": 1.2}, "pass sampler=Sampler.from_params(repetition_penalty=1.2)"),
        ({"temprature": 0.5}, "pass sampler=Sampler.from_params(temperature=0.5)"),
        ({"tfs": 0.5}, "nearest come min_p and top_n_sigma"),
        ({"xyzzy": 0.5}, "known are deadline, draft, echo, "),
    ],
    ids=str,
)
def test_an_option_that_there_is_not_tells_what_it_is_here(options: dict[str, Any], hint: str):
    name = next(iter(options))
    for function in (ls.generate, ls.stream):
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}': ") as raised:
            function(counter, [[0]], **options)
        assert hint in str(raised.value)


def test_what_the_hints_name_is_taken():
    """And a function with samplers by name tells of those."""
    assert set(IN_GENERATE.values()) < set(DEFAULTS)
    error = unexpected("top_k", {"top_k": 3}, ["samplers"])
    assert "pass samplers={'mine': Sampler.from_params(top_k=3)}" in str(error)
    assert not set(DEFAULTS) & set(IN_GENERATE)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ls.generate("shakespeare", "a"), r"pass load_model\('shakespeare'\)"),
        (lambda: ls.generate(3, "a"), "a KerasHub CausalLM, a Keras model, or a function"),
        (lambda: ls.load_model(counter), "goes to generate as it is, or through as_model"),  # type: ignore[arg-type]
        (lambda: ls.generate(counter, "a", tokenizer=5), "a tokenizer needs encode"),
        (
            lambda: ls.Sampler(temperature=0.7, top_k=3),  # type: ignore[arg-type]
            r"Sampler.from_params\(temperature=0.7, top_k=3\)",
        ),
        (lambda: ls.Sampler.from_params(order=["top_k"]), "`order` is one of 'default', 'hf', "),  # type: ignore[arg-type]
        (lambda: ls.Sampler.from_params(num_predict=3), "give `max_new_tokens` to `generate`"),
        (lambda: ls.Sampler.from_params(random_seed=3), "`init` or `generate`, as `seed`"),
    ],
)
def test_what_belongs_elsewhere_is_told_where(call: Any, message: str):
    with pytest.raises(ValueError, match=message):
        call()
