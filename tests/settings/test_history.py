"""Parameters of penalties and constraints: what they become, and what they then do."""

import types

import numpy as np
import pytest

import logit_sampling as ls

INF = np.inf


def chain(**params):
    return list(ls.Sampler.from_params(**params).transforms)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"repetition_penalty": 1.2, "presence_penalty": 0.5, "frequency_penalty": 0.1},
            [ls.RepetitionPenalty(1.2), ls.FrequencyPenalty(0.1), ls.PresencePenalty(0.5)],
        ),
        (
            {"order": "vllm", "presence_penalty": 2, "repetition_penalty": 2, "min_p": 0.1},
            [ls.RepetitionPenalty(2), ls.PresencePenalty(2), ls.MinP(0.1)],
        ),
        (
            {"order": "llama.cpp", "repeat_penalty": 1.1, "penalty_freq": 0.1, "top_k": 5},
            [
                ls.RepetitionPenalty(1.1, window=64, prompt=True),
                ls.FrequencyPenalty(0.1, window=64, prompt=True),
                ls.TopK(5),
            ],
        ),
        (
            {"order": "llama.cpp", "presence_penalty": 1, "repeat_last_n": 8},
            [ls.PresencePenalty(1, window=8, prompt=True)],
        ),
        (
            {"order": "llama.cpp", "repeat_penalty": 1.1, "penalty_last_n": -1},
            [ls.RepetitionPenalty(1.1)],
        ),
        ({"repeat_penalty": 1.1, "repeat_last_n": 9}, [ls.RepetitionPenalty(1.1, window=9)]),
        ({"repetition_penalty": [1, 1.5]}, [ls.RepetitionPenalty([1, 1.5])]),
        ({"no_repeat_ngram_size": [0, 2]}, [ls.NoRepeatNGram([2**31 - 1, 2])]),
        ({"dry_multiplier": 0.8}, [ls.DRY(0.8)]),
        ({"order": "llama.cpp", "dry_multiplier": 0.8}, [ls.DRY(0.8, window=64)]),
        (
            {"dry_multiplier": 1, "dry_base": 2, "dry_allowed_length": 3, "dry_penalty_last_n": 9},
            [ls.DRY(1, 2, 3, 9)],
        ),
        (
            {"dry_multiplier": 1, "dry_sequence_breakers": [[3], [4, 5]]},
            [ls.DRY(1, breakers=[[3], [4, 5]])],
        ),
        ({"logit_bias": {"3": 1, 4: False}}, [ls.LogitBias({3: 1, 4: -INF})]),
        ({"logit_bias": [[3, 1.0]]}, [ls.LogitBias({3: 1})]),
        ({"sequence_bias": [[[3, 4], -1.0]]}, [ls.SequenceBias({(3, 4): -1})]),
        (
            {"order": "vllm", "allowed_token_ids": [3, 4], "bad_words_ids": [[3, 4]]},
            [ls.AllowTokens([3, 4]), ls.BadWords([[3, 4]], prompt=False)],
        ),
        (
            {"order": "vllm", "min_tokens": 3, "stop_token_ids": [1, 2], "logit_bias": {1: 2}},
            [ls.MinNewTokens(3, [1, 2]), ls.LogitBias({1: 2})],
        ),
        ({"min_tokens": 3, "eos_token_id": 0, "stop_token_ids": [1]}, [ls.MinNewTokens(3, [0, 1])]),
        ({"min_length": 3, "eos_token_id": 0}, [ls.MinNewTokens(3, [0], prompt=True)]),
        (
            {"exponential_decay_length_penalty": (5, 1.1), "eos_token_id": 0},
            [ls.LengthDecay(5, 1.1, 0)],
        ),
        (
            {"order": "hf", "suppress_tokens": [1], "begin_suppress_tokens": [2], "top_k": 5},
            [ls.SuppressTokens([1]), ls.SuppressTokens([2], steps=1), ls.TopK(5)],
        ),
        ({"forced_bos_token_id": 7}, [ls.ForcedTokens({1: 7}, prompt=True)]),
        ({"forced_eos_token_id": 7, "max_new_tokens": 5}, [ls.ForcedTokens({4: 7})]),
        ({"forced_eos_token_id": 7, "max_length": 5}, [ls.ForcedTokens({4: 7}, prompt=True)]),
        (
            {"guidance_scale": 1.5, "unconditional": np.zeros, "negative_prompt_ids": [3]},
            [ls.Guidance(1.5, np.zeros, [3])],
        ),
        (
            {"order": "hf", "guidance_scale": 2, "unconditional": np.zeros, "top_k": 3},
            [ls.Guidance(2, np.zeros), ls.TopK(3)],
        ),
        (
            {"watermarking_config": {"bias": 3.0, "greenlist_ratio": 0.5}, "temperature": 0},
            [ls.Watermark(gamma=0.5, delta=3.0), ls.Temperature(0)],
        ),
        (
            {"watermarking_config": types.SimpleNamespace(hashing_key=5, context_width=2)},
            [ls.Watermark(key=5, context=2)],
        ),
        # A greedy choice leaves penalties their effect.
        ({"temperature": 0, "repetition_penalty": 2}, [ls.RepetitionPenalty(2), ls.Temperature(0)]),
        (
            {"order": "llama.cpp", "mirostat": 2, "logit_bias": {1: 2}},
            [ls.LogitBias({1: 2}), ls.Mirostat(after_cut=True)],
        ),
    ],
    ids=str,
)
def test_the_chain(params, expected):
    assert chain(**params) == expected


@pytest.mark.parametrize(
    "params",
    [
        {"repetition_penalty": 1.0, "presence_penalty": 0, "frequency_penalty": 0.0},
        {"no_repeat_ngram_size": 0, "dry_multiplier": 0, "logit_bias": {}, "sequence_bias": {}},
        {"bad_words_ids": [], "suppress_tokens": [], "begin_suppress_tokens": ()},
        {"min_length": 0, "min_new_tokens": 0, "allowed_token_ids": None},
        {"order": "llama.cpp", "repeat_penalty": 1.1, "repeat_last_n": 0},
        {"order": "llama.cpp", "presence_penalty": [1, 2], "penalty_last_n": [0, 0]},
        {"frequency_penalty": [1, 0], "repeat_last_n": [0, 64]},
        {"order": "llama.cpp", "dry_multiplier": 0.8, "dry_penalty_last_n": 0},
        {"order": "llama.cpp", "dry_multiplier": 0.8, "dry_base": 0.0, "dry_allowed_length": 3},
        {"dry_multiplier": [0.8, 0, 1], "dry_base": [0.5, 2, 2], "dry_penalty_last_n": [9, 9, 0]},
        {"repeat_last_n": 0, "dry_penalty_last_n": 0, "dry_base": 0},
        {"order": "hf", "no_repeat_ngram_size": [-1, 0], "min_length": -1, "min_new_tokens": 0},
        {"order": "vllm", "repetition_penalty": [1, 1.0], "min_tokens": 0, "stop_token_ids": []},
        {"order": "vllm", "logit_bias": None, "bad_words_ids": [], "presence_penalty": [0, 0]},
    ],
    ids=str,
)
def test_off(params):
    assert chain(**params) == []


ALL = 2**31 - 1


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            {"repeat_penalty": 1.1, "repeat_last_n": [0, -1, 8]},
            ls.RepetitionPenalty([1, 1.1, 1.1], [ALL, ALL, 8]),
        ),
        (
            {"order": "llama.cpp", "presence_penalty": [1, 0, 2], "repeat_last_n": [64, 9, 0]},
            ls.PresencePenalty([1, 0, 0], [64, 9, ALL], prompt=True),
        ),
        (
            {"order": "llama.cpp", "penalty_freq": [1, 0, 2], "penalty_last_n": 9},
            ls.FrequencyPenalty([1, 0, 2], 9, prompt=True),
        ),
        (
            {"dry_multiplier": [1, 0, 2, 3], "dry_base": [2, 2, 0, 1.5], "dry_penalty_last_n": -1},
            ls.DRY([1, 0, 0, 3], [2, 2, 1, 1.5]),
        ),
        (
            {"order": "llama.cpp", "dry_multiplier": 1, "dry_penalty_last_n": [0, -1, 7]},
            ls.DRY([0, 1, 1], window=[ALL, ALL, 7]),
        ),
        ({"repeat_penalty": 1.1, "repeat_last_n": np.int64(-1)}, ls.RepetitionPenalty(1.1)),
        ({"order": "hf", "no_repeat_ngram_size": [-1, 2]}, ls.NoRepeatNGram([ALL, 2])),
        (
            {"order": "hf", "min_new_tokens": [-1, 2], "eos_token_id": 0},
            ls.MinNewTokens([0, 2], [0]),
        ),
        (
            {"order": "vllm", "min_tokens": [0, 2], "stop_token_ids": [0]},
            ls.MinNewTokens([0, 2], [0]),
        ),
        ({"order": "vllm", "repetition_penalty": [1, 2]}, ls.RepetitionPenalty([1, 2])),
    ],
    ids=str,
)
def test_off_in_some_rows_becomes_what_does_nothing(params, expected):
    assert chain(**params) == [expected]


@pytest.mark.parametrize(
    "params",
    [
        {"repeat_penalty": 1.5, "repeat_last_n": [0, 2, -1]},
        {"presence_penalty": [3, 1, 2], "repeat_last_n": [0, 2, 5], "order": "llama.cpp"},
        {"dry_multiplier": 1, "dry_base": [0, 2, 2], "dry_penalty_last_n": [-1, 9, 0]},
        {"no_repeat_ngram_size": [0, 2, 3]},
        {"xtc_probability": 1, "xtc_threshold": [0.6, 0.1, 0.2]},
    ],
    ids=str,
)
def test_rows_do_what_each_does_alone(params):
    x = np.log(np.array([[0.4, 0.3, 0.2, 0.1]] * 3, np.float32))
    past = [0, 1, 2, 0, 1, 2, 0, 1]
    together = ls.Sampler.from_params(**params).probabilities(x, history=[past] * 3)
    alone = []
    for row in range(3):
        own = {n: v[row] if isinstance(v, list) else v for n, v in params.items()}
        alone.append(ls.Sampler.from_params(**own).probabilities(x[row], history=past))
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_array_equal(alone[0], ls.Sampler().probabilities(x[0]))
    assert len(np.unique(together, axis=0)) > 1


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"repeat_penalty": 2, "repeat_last_n": -2}, "`window` .* got -2"),
        ({"repeat_penalty": 2, "repeat_last_n": [9, -2]}, "`window` .* got -2 in row 1"),
        ({"dry_multiplier": 0, "dry_base": 2}, "`dry_base` has no effect without `dry_multiplier`"),
        ({"min_tokens": 3, "stop_token_ids": []}, "`min_new_tokens` needs `eos_token_id` or"),
        ({"repeat_last_n": 64}, "without `repetition_penalty` or `frequency_penalty` or `pres"),
        ({"order": "hf", "repetition_penalty": 2, "repeat_last_n": 9}, "unknown to order='hf'"),
        ({"order": "hf", "presence_penalty": 1}, "unknown to order='hf', known only to 'default'"),
        ({"order": "hf", "logit_bias": {1: 1}}, "`logit_bias` is unknown to order='hf'"),
        ({"order": "vllm", "presence_penalty": 3}, r"no `presence_penalty` of 3; .* \[-2, 2\]"),
        ({"order": "vllm", "dry_multiplier": 1}, "`dry_multiplier` is unknown to order='vllm'"),
        ({"order": "llama.cpp", "mirostat": 1, "repeat_penalty": 2}, "because of mirostat=1"),
        ({"min_tokens": 3}, "`min_new_tokens` needs `eos_token_id` or `stop_token_ids`"),
        ({"eos_token_id": 3}, "`eos_token_id` has no effect without `min_length` or `min_new"),
        ({"max_new_tokens": 3}, "`max_new_tokens` has no effect without `forced_eos_token_id`"),
        ({"forced_eos_token_id": 3}, "needs `max_length` or `max_new_tokens`"),
        (
            {"forced_eos_token_id": 3, "max_length": 9, "max_new_tokens": 5},
            "`max_length` has no effect because of max_new_tokens=5",
        ),
        ({"forced_eos_token_id": 3, "max_length": 0}, "got a length of 0"),
        ({"exponential_decay_length_penalty": 3, "eos_token_id": 1}, "is a pair, .* got 3"),
        ({"logit_bias": {"x": 1}}, r"maps token ids to numbers, got \{'x': 1\}"),
        ({"logit_bias": 3}, "maps token ids to numbers, got 3"),
        ({"dry_base": 2}, "`dry_base` has no effect without `dry_multiplier`"),
        ({"dry_multiplier": 1, "dry_sequence_breakers": ["\n"]}, "breakers"),
        ({"guidance_scale": 2}, "`guidance_scale` needs `unconditional`"),
        ({"negative_prompt_ids": [2]}, "has no effect without `guidance_scale`"),
        ({"watermarking_config": {"seeding_scheme": "selfhash"}}, "has the keys greenlist_ratio"),
        ({"watermarking_config": {"gamma": 0.5}}, "has the keys greenlist_ratio, .* got"),
        ({"watermarking_config": 3}, "has the keys greenlist_ratio, .* got 3"),
        (
            {"order": "hf", "watermarking_config": {"bias": 2.0}},
            "no `watermarking_config` of",
        ),
        ({"bad_words": ["no"]}, "give the token ids of each word as `bad_words_ids`"),
        ({"max_tokens": 5}, "give `max_new_tokens` to `generate`"),
    ],
    ids=str,
)
def test_refusals(params, message):
    with pytest.raises(ValueError, match=message):
        ls.Sampler.from_params(**params)


def kept(history, prompt_length, **params):
    """Return which of six tokens are left."""
    sampler = ls.Sampler.from_params(**params)
    logits = np.zeros(6, np.float32)
    return np.flatnonzero(
        sampler.probabilities(logits, history=history, prompt_length=prompt_length)
    ).tolist()


def test_what_counts_the_prompt():
    for history, prompt, length, new in (
        ([1], 1, [1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
        ([1, 2, 3], 3, [0, 1, 2, 3, 4, 5], [1, 2, 3, 4, 5]),
        ([1, 2, 3], 1, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]),
    ):
        assert kept(history, prompt, min_length=3, eos_token_id=0) == length
        assert kept(history, prompt, min_new_tokens=2, eos_token_id=0) == new
    everything = [0, 1, 2, 3, 4, 5]
    assert kept([1, 1], 2, forced_eos_token_id=4, max_length=3) == [4]
    assert kept([1, 1], 2, forced_eos_token_id=4, max_new_tokens=3) == everything
    assert kept([1, 1], 0, forced_eos_token_id=4, max_new_tokens=3) == [4]
    assert kept([1], 1, forced_bos_token_id=4) == [4]
    assert kept([1, 1], 2, forced_bos_token_id=4) == everything
    assert kept([1, 2], 2, bad_words_ids=[[2, 3]]) == [0, 1, 2, 4, 5]
    assert kept([1, 2], 2, order="vllm", bad_words_ids=[[2, 3]]) == everything
    assert kept([1, 2], 1, order="vllm", bad_words_ids=[[2, 3]]) == [0, 1, 2, 4, 5]


def test_the_state_counts_the_prompt_too():
    sampler = ls.Sampler.from_params(
        min_length=3, eos_token_id=0, forced_eos_token_id=2, max_length=5
    )
    state = sampler.init([[1, 1]], 6, seed=0)
    x, lefts = np.array([[9, 0, 0, 0, 0, 0]], np.float32), []
    for _ in range(3):
        ids, state = sampler.step(x, state)
        lefts.append(int(ids[0]))
    assert lefts[0] != 0 and lefts[1:] == [0, 2]
