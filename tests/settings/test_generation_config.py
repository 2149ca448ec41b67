"""Chains from a `GenerationConfig`, or from what its file holds."""

import json
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.settings.generation_config import IGNORED
from tests.peers.rows import assert_same

GREEDY = ls.Sampler(ls.Temperature(0.0))
LLAMA = """{"bos_token_id": 128000, "do_sample": true, "eos_token_id": [128001, 128009],
            "max_length": 4096, "temperature": 0.6, "top_p": 0.9, "transformers_version": "4.40"}"""
# Both have keys that `generate` does not know, and passes over.
WHISPER = """{"alignment_heads": [[2, 2], [3, 0]], "begin_suppress_tokens": [220, 50257],
              "bos_token_id": 50257, "decoder_start_token_id": 50258, "eos_token_id": 50257,
              "forced_decoder_ids": [[1, null], [2, 50359]], "is_multilingual": true,
              "lang_to_id": {"<|af|>": 50327}, "max_initial_timestamp_index": 50,
              "max_length": 448, "no_timestamps_token_id": 50363, "pad_token_id": 50257,
              "prev_sot_token_id": 50361, "return_timestamps": false,
              "suppress_tokens": [1, 2, 7], "task_to_id": {"transcribe": 50359}}"""
SUPPRESSED = (ls.SuppressTokens([1, 2, 7]), ls.SuppressTokens([220, 50257], steps=1))
QWEN = """{"chat_format": "chatml", "eos_token_id": 151643, "pad_token_id": 151643,
           "max_window_size": 24000, "max_new_tokens": 512, "do_sample": true, "top_k": 0,
           "top_p": 0.8, "repetition_penalty": 1.1, "_from_model_config": true}"""


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, GREEDY),
        ({"do_sample": None, "top_k": None}, GREEDY),
        ({"do_sample": False, "temperature": 0.0, "top_p": 0.5, "top_k": 7}, GREEDY),
        ({"do_sample": True}, ls.Sampler(ls.TopK(50))),
        ({"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0}, ls.Sampler()),
        (json.loads(LLAMA), ls.Sampler(ls.Temperature(0.6), ls.TopK(50), ls.TopP(0.9))),
        ({"do_sample": True, "penalty_alpha": 0.6, "top_k": 0}, ls.Sampler()),
        ({"eos_token_id": 2, "min_length": 0}, GREEDY),
        (
            {"repetition_penalty": 1.2, "min_new_tokens": 3, "eos_token_id": [1, 2], "min_p": 0.1},
            ls.Sampler(ls.RepetitionPenalty(1.2), ls.MinNewTokens(3, (1, 2)), ls.Temperature(0.0)),
        ),
        (
            {"forced_eos_token_id": 3, "max_length": 20, "max_new_tokens": 5},
            ls.Sampler(ls.ForcedTokens({4: 3}), ls.Temperature(0.0)),
        ),
        (dict.fromkeys(sorted(IGNORED), 3), GREEDY),
        ({"num_beams": 1, "diversity_penalty": 0.0, "remove_invalid_values": False}, GREEDY),
        (json.loads(WHISPER), ls.Sampler(*SUPPRESSED, ls.Temperature(0.0))),
        (json.loads(QWEN), ls.Sampler(ls.RepetitionPenalty(1.1), ls.TopP(0.8))),
        ({"talker_temperature": 0.9, "codec_do_sample": True, "eot_token_id": 3}, GREEDY),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_a_file_holds(config, expected):
    before = dict(config)
    assert ls.Sampler.from_generation_config(config) == expected
    assert config == before


def test_overrides_come_first():
    sampler = ls.Sampler.from_generation_config(json.loads(LLAMA), top_k=0, top_p=0.5, min_p=None)
    assert sampler == ls.Sampler(ls.Temperature(0.6), ls.TopP(0.5))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_beams": 4}, r"`num_beams`.*use generate\(\.\.\., search=BeamSearch\(num_beams\)\)"),
        ({"penalty_alpha": 0.6, "top_k": 4}, r"`penalty_alpha`.*ContrastiveSearch"),
        ({"constraints": [1]}, "`constraints`.*beams"),
        ({"encoder_repetition_penalty": 1.2}, "`encoder_repetition_penalty`.*no encoder"),
        ({"remove_invalid_values": True}, "`remove_invalid_values`.*NaN raises"),
        ({"token_healing": True}, "`token_healing`.*prompt"),
        ({"dola_layers": "low"}, "`dola_layers`.*last layer"),
        ({"watermarking_config": {"bias": 2.0}}, "torch's generator"),
        ({"guidance_scale": 1.5}, "needs `unconditional`: give it too, or guidance_scale=None"),
        ({"min_length": 3}, "`min_length` needs `eos_token_id`"),
        ({"forced_eos_token_id": 3}, "needs `max_length` or `max_new_tokens`"),
        ({"do_sample": True, "temperature": 0.0}, "pass do_sample=False"),
        ({"do_sample": True, "top_p": 1.5, "top_k": -2}, "TopK needs `k`"),
        ({"temprature": 1.0}, "did you mean `temperature`"),
        ({"top-p": 0.9}, "did you mean `top_p`"),
        ({"repetition_penality": 1.1}, "did you mean `repetition_penalty`"),
        ({"num_beam": 4}, "did you mean `num_beams`"),
        ({"repetition_penalty_range": 64}, "is `repeat_last_n` here"),
        ({"frequency_penalty": 1.0}, "unknown to order='hf'"),
        ("a.json", r"GenerationConfig, or the mapping .* json.loads\(Path\(.*got 'a.json'"),
    ],
    ids=str,
)
def test_what_raises(config, message):
    with pytest.raises(ValueError, match=message):
        ls.Sampler.from_generation_config(config)


def test_guidance_is_left_out_or_gets_its_function():
    config = {"guidance_scale": 1.5, "do_sample": True, "top_k": 0}
    left_out = ls.Sampler.from_generation_config(config, guidance_scale=None)
    assert left_out == ls.Sampler()
    given = ls.Sampler.from_generation_config(config, unconditional=np.zeros)
    assert given == ls.Sampler(ls.Guidance(1.5, np.zeros))


@pytest.mark.parametrize("name", ["lang_to_id", "_from_model_config", "temprature", "chat_format"])
def test_an_override_that_generate_does_not_know_raises(name):
    with pytest.raises(ValueError, match=f"unknown parameter `{name}`"):
        ls.Sampler.from_generation_config(json.loads(QWEN), **{name: 1})


def test_a_config_object_with_keys_of_a_model():
    transformers = pytest.importorskip("transformers")
    config = transformers.GenerationConfig(do_sample=True, top_k=3, lang_to_id={"en": 1})
    assert "lang_to_id" in config.to_dict()
    assert ls.Sampler.from_generation_config(config) == ls.Sampler(ls.TopK(3))


# What follows runs `generate` with the configuration, and compares what it drew from.

SETTINGS: list[dict[str, Any]] = [
    {"do_sample": True},
    {"do_sample": True, "temperature": 0.7, "top_k": 0, "top_p": 0.8},
    {"do_sample": True, "temperature": 1.4, "top_k": 30, "min_p": 0.05, "typical_p": 0.9},
    {"do_sample": True, "top_k": 0, "epsilon_cutoff": 0.01, "eta_cutoff": 0.02, "top_h": 0.8},
    {"do_sample": True, "repetition_penalty": 1.5, "no_repeat_ngram_size": 2, "top_k": 20},
    {"do_sample": True, "min_new_tokens": 4, "suppress_tokens": [5, 6], "bad_words_ids": [[7, 8]]},
    {"do_sample": True, "sequence_bias": [[[9], 3.0], [[9, 4], -2.0]], "top_p": 0.9},
    {"do_sample": True, "exponential_decay_length_penalty": (2, 1.3), "min_length": 6},
    {"do_sample": True, "forced_eos_token_id": 11, "begin_suppress_tokens": [9]},
    {"repetition_penalty": 1.3, "temperature": 0.5, "no_repeat_ngram_size": 3},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_generate_with_the_configuration(settings):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)
    torch.manual_seed(2)
    model = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=60, n_positions=64, n_embd=16, n_layer=2, n_head=2, initializer_range=0.4
        )
    ).eval()
    model.generation_config = transformers.GenerationConfig(pad_token_id=0, eos_token_id=3)
    config = transformers.GenerationConfig(
        eos_token_id=3, pad_token_id=0, max_new_tokens=10, **settings
    )
    ours = ls.Sampler.from_generation_config(config)
    out = model.generate(
        input_ids=torch.tensor([[7, 9, 4]]),
        generation_config=config,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
    )
    history = out.sequences[0].tolist()
    for step, (scores, logits) in enumerate(zip(out.scores, out.logits, strict=True)):
        mine = ours.probabilities(logits[0].numpy(), history=history[: 3 + step], prompt_length=3)
        theirs = torch.softmax(scores[0].double(), -1).numpy()
        if not config.do_sample:
            theirs = np.eye(60)[int(theirs.argmax())]
        assert_same(mine, theirs, (step, ours))
    assert step >= 3


def test_every_setting_of_theirs_has_its_place():
    transformers = pytest.importorskip("transformers")
    from logit_sampling.settings import NAMES, SYSTEMS
    from logit_sampling.settings.elsewhere import ELSEWHERE

    theirs = {n for n in transformers.GenerationConfig().to_dict() if not n.startswith("_")}
    assert len(theirs) > 60
    ours = {name for name, p in NAMES.items() if SYSTEMS["hf"].knows(p.name)}
    assert theirs - ours - IGNORED - ELSEWHERE.keys() == set()
    assert not IGNORED & ours
