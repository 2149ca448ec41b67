"""Names of other systems: what they are called here, where they belong, and what comes nearest."""

import pytest

import logit_sampling as ls
from logit_sampling.settings import NAMES
from logit_sampling.settings.elsewhere import CALLED_HERE, ELSEWHERE, NEAREST, OFF


@pytest.mark.parametrize(
    ("name", "message"),
    [
        # text-generation-webui
        ("repetition_penalty_range", "`repetition_penalty_range` is `repeat_last_n` here"),
        ("custom_token_bans", "is `suppress_tokens` here"),
        ("mirostat_mode", "is `mirostat` here"),
        ("ban_eos_token", "ban the token with `suppress_tokens`"),
        ("dynamic_temperature", "dynatemp_range makes the temperature dynamic"),
        ("dynatemp_low", "half of the distance between the lowest and the highest"),
        ("sampler_priority", r"write the chain in the order that you want: ls.Sampler\("),
        ("temperature_last", "write the chain in the order"),
        ("negative_prompt", "give its token ids as `negative_prompt_ids`"),
        ("tfs", "no strategy here does what `tfs` does; nearest come min_p and top_n_sigma"),
        ("skew", "no strategy here does what `skew` does"),
        # KoboldCpp
        ("rep_pen", "`rep_pen` is `repetition_penalty` here"),
        ("rep_pen_range", "is `repeat_last_n` here"),
        ("rep_pen_slope", "no strategy here does what `rep_pen_slope` does"),
        ("sampler_order", "write the chain in the order"),
        ("nsigma", "is `top_n_sigma` here"),
        ("stop_sequence", "it ends a text"),
        # exllamav2
        ("skew", "no strategy here does what `skew` does"),
        ("token_repetition_range", "is `repeat_last_n` here"),
        ("min_temp", "dynatemp_range makes"),
        # Ollama and llama.cpp
        ("num_predict", "give `max_new_tokens` to `generate`"),
        ("num_ctx", "a model has its own"),
        ("tfs_z", "no strategy here does what `tfs_z` does"),
        ("penalize_newline", "nearest come the penalties, which spare no token"),
        # OpenAI, vLLM
        ("max_tokens", "give `max_new_tokens` to `generate`"),
        ("max_completion_tokens", "give `max_new_tokens` to `generate`"),
        ("guided_json", "give it to `generate`, as `json_schema`"),
        ("guided_choice", "put ls.Grammar into"),
        # Slips of names from here and elsewhere.
        ("topK", "unknown parameter `topK`; did you mean `top_k`.$"),
        ("top-p", "did you mean `top_p`.$"),
        ("repitition_penalty", "did you mean `repetition_penalty`.$"),
        ("maxTokens", "did you mean `max_tokens`. .* give `max_new_tokens` to `generate`"),
        ("smoothing_factr", "did you mean `smoothing_factor`.$"),
        ("DRY", "did you mean `dry_multiplier`, `dry_base`, `dry_allowed_length`, `dry_penalty_la"),
        ("Quadratic", "did you mean `smoothing_factor`, `smoothing_curve`.$"),
        ("allowtokens", "did you mean `allowed_token_ids`.$"),
        ("MinP", "did you mean `min_p`.$"),
        ("top", "did you mean `top_h`, .*`top_k`, `top_p`, `top_a`.$"),
        ("tfs_zz", "did you mean `tfs_z`. no strategy here does what"),
        ("rep_pen_rang", "did you mean `rep_pen_range`. `rep_pen_range` is `repeat_last_n` here"),
    ],
)
def test_a_name_from_elsewhere_is_explained(name, message):
    with pytest.raises(ValueError, match=message) as raised:
        ls.Sampler.from_params(**{name: 0.5})
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize(
    "params",
    [
        {"num_beams": 1, "n": 1, "diversity_penalty": 0.0, "penalty_alpha": 0},
        {"min_keep": 0, "tfs_z": 1.0, "ignore_eos": False, "grammar": "", "stop": []},
        {"min_keep": 1, "tfs": 1, "smoothing_factor": 0.0, "skew": 0, "ban_eos_token": False},
        {"bad_words": [], "seed": None, "logprobs": None, "rep_pen": None, "tfs": None},
    ],
    ids=str,
)
def test_what_would_do_nothing_is_passed_over(params):
    assert ls.Sampler.from_params(top_k=3, **params) == ls.Sampler(ls.TopK(3))


@pytest.mark.parametrize(
    "params", [{"num_beams": 2}, {"tfs": 0.9}, {"min_keep": 2}, {"ignore_eos": 0}, {"zzz": None}]
)
def test_what_would_do_something_is_not(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        ls.Sampler.from_params(**params)


def test_none_of_a_parameter_that_a_system_lacks_counts_as_not_given():
    assert ls.Sampler.from_params(order="hf", mirostat=None, top_k=3) == ls.Sampler(ls.TopK(3))


def test_the_tables_are_whole():
    names = [*CALLED_HERE, *NEAREST, *ELSEWHERE, *NAMES]
    assert len(set(names)) == len(names)
    assert set(CALLED_HERE.values()) <= set(NAMES)
    assert set(OFF) <= set(names)
